/* model.h - HTTP from outside, as it is to be, whoever wished it: Ingress now, Gateway API later.
 *
 *	certificates ─▶ listener ─▶ routes: host, path ─▶ filters ─▶ targets, by weight ─▶ backend: endpoints
 *
 * Values alone, in the arena of one sync; nobody changes them once from_ingress.c has made them. Every text in here
 * went through check.h, and is a value: render.h writes it into map files and nowhere else. The words that HAProxy's
 * own configuration needs (names of headers, cookies and users, hashes of passwords, a DNS name of another server)
 * are of an alphabet that means nothing in it.
 */
#pragma once

#include "base/arena.h"
#include "base/ip.h"

struct obj;

struct ing_endpoint {
	struct ip_addr ip;
	uint16_t port;
	bool draining; /* serves what it has, gets nothing new */
};
/* By address and port; 0: the same place. */
int ing_endpoint_cmp(const struct ing_endpoint *x, const struct ing_endpoint *y);

/* A port of a Service. Without endpoints it answers 503. */
struct ing_backend {
	struct sv key; /* "ns/service:port", the port as the rule names it */
	struct ing_endpoint *endpoints;
	size_t n;
	struct sv external; /* ExternalName: a name that HAProxy resolves; then no endpoints */
	uint16_t external_port;
};

enum ing_protocol { ING_HTTP, ING_HTTPS, ING_H2C, ING_GRPCS };

struct ing_user {
	struct sv name, hash; /* check.h */
};

struct ing_nets {
	struct ip_net *p;
	size_t n;
};

/* What happens to a request on its way, and to its answer. All zero: nothing. */
struct ing_filters {
	struct sv redirect; /* where it is sent instead of a backend */
	int redirect_code;
	bool ssl_redirect;
	struct sv app_root; /* where "/" is sent */

	bool rewrite;
	struct sv rewrite_to;
	size_t rewrite_cut;	 /* bytes of the path that it replaces; SIZE_MAX: all of it */
	struct sv vhost, prefix; /* Host and X-Forwarded-Prefix for the backend */

	uint64_t body_max; /* bytes; 0: any */
	int connect_s, server_s, tunnel_s;
	enum ing_protocol protocol;
	bool least_conn;

	bool refused; /* what was to protect it is not right: everybody gets 503 */
	bool auth;    /* by users, of which there may be none */
	struct sv realm;
	struct ing_user *users;
	size_t n_users;
	struct ing_nets allow, deny;
	int rps, rpm, connections; /* of one client's address; 0: any */
	int burst;		   /* times rps and rpm for a moment */

	bool sticky;
	struct sv cookie;
	int cookie_s; /* how long it lives; 0: the session */

	bool cors, cors_credentials;
	struct sv cors_origin, cors_methods, cors_headers, cors_expose;
	int cors_age_s;
};

/* Who gets a request of a route. The first whose header or cookie says so; else by weight. */
struct ing_target {
	const struct ing_backend *backend; /* NULL: 503 */
	const struct obj *from;		   /* the canary that wishes it; NULL: the route's own */
	uint32_t weight;
	struct sv header, header_value; /* value "": "always" and "never" */
	struct sv cookie;		/* "always" and "never" */
};
#define ING_TARGETS_MAX 8

enum ing_host_kind { ING_HOST_ANY, ING_HOST_WILDCARD, ING_HOST_EXACT };
enum ing_path_kind { ING_PATH_PREFIX, ING_PATH_EXACT };

struct ing_route {
	enum ing_host_kind host_kind;
	struct sv host; /* lower case; of a wildcard with its "*."; "" for any */
	enum ing_path_kind path_kind;
	struct sv path; /* as in a request: percent-encoded; of a prefix without the last '/', so "" for all */
	bool fallback;	/* any host, any path, after all others: spec.defaultBackend */
	const struct ing_filters *filters;
	struct ing_target targets[ING_TARGETS_MAX];
	size_t n_targets;
	const struct obj *from; /* who wishes it; of two that wish for one place the older has it */
};

struct ing_certificate {
	struct sv key;	  /* "ns/secret" */
	struct sv pem;	  /* chain and key */
	struct sv *hosts; /* for which it is shown */
	size_t n_hosts;
};

struct ing_model {
	struct ing_route *routes; /* each place once */
	size_t n_routes;
	struct ing_certificate *certificates; /* a host once */
	size_t n_certificates;
};

/* Where a route's requests are recognized, as one text: "h/path" for exact, "h/path/" for prefixes, where h is the
 * host,
 * "*.wild.card" or "*"; "*" is the fallback. Two with one key are in each other's way. */
struct sv ing_route_key(struct arena *a, const struct ing_route *r);
/* How a request is matched, for tests and for people: what render.c tells HAProxy to do, done here. path as it came,
 * without query. NULL: 404. */
const struct ing_route *ing_model_match(const struct ing_model *m, struct sv host, struct sv path);
