/* model.h - HTTP from outside, as it is to be, whoever wished it: Ingress, or Gateway API.
 *
 *	certificates ─▶ listener ─▶ routes: host, path ─▶ filters ─▶ targets, by weight ─▶ backend: endpoints
 *			       └──▶ gates: port, host, path, and what else a request has to be; then the same
 *
 * A gate is a match of a route of Gateway API. A request is its listener's, the one of the port whose hostname is the
 * most exact for it, and no other's. Of the gates of one place (listener, host, kind of path, path) the first that
 * matches has the request; where none does, those of the next shorter path, then those of the next less exact host of
 * this listener; then nobody, or, when the listener has no hostname and the port is one of Ingresses, these.
 *
 * On ports of Ingresses a host that an Ingress names is its own as a listener's is: before gates of hosts that are less
 * exact, and before those of the same host when they are younger and of other namespaces.
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

struct ing_header {
	struct sv name, value;
};
struct ing_headers {
	struct ing_header *p;
	size_t n;
};

/* What Gateway API knows beside Ingress' annotations. */
struct ing_gate_filters {
	struct sv id;				     /* whose it is: kind, route, rule, match, backend */
	int status;				     /* answered with instead; 0: no */
	struct ing_headers request_set, request_add; /* what is removed has no value */
	struct ing_headers response_set, response_add;
	bool redirect;
	struct sv scheme, host, path; /* of the new location; "": the request's */
	bool has_path;
	size_t path_cut;   /* bytes of the request's path that it replaces; SIZE_MAX: all of it */
	int port, code;	   /* port 0: by scheme, or the listener's */
	int64_t server_ms; /* 0: filters.server_s */
	bool cors, cors_credentials, cors_any_method, cors_any_header;
	struct sv cors_origins;				   /* blank between; "*" and wildcards */
	struct sv cors_methods, cors_headers, cors_expose; /* "": none */
	int cors_age_s;
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

	bool tcp;			     /* connections, not requests: nothing else of this but times and slots */
	const struct ing_gate_filters *gate; /* or NULL */
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

#define ING_GATE_TARGETS_MAX 16

struct ing_gate_target {
	const struct ing_backend *backend; /* NULL: the filters answer */
	const struct ing_filters *filters;
	uint32_t weight; /* not 0 */
};

struct ing_gate {
	uint16_t port;
	struct sv listener; /* the hostname of its own: ing_gate_listener.host */
	struct sv host;	    /* "" for any; a wildcard stands for one label or more */
	enum ing_path_kind path_kind;
	struct sv path;	  /* as of a route */
	struct sv method; /* "": any */
	struct sv tail;	  /* the path ends so; "" */
	struct ing_headers headers, queries;
	struct ing_gate_target targets[ING_GATE_TARGETS_MAX];
	size_t n_targets;
	const struct obj *from;
};

struct ing_gate_port {
	uint16_t port;
	bool tls;
	bool passes, ends; /* some names' TLS ends at the backend; some here */
};

/* Whose a host of a port is; what does not serve, for want of a certificate, is here, too. Each port and host once. */
struct ing_gate_listener {
	uint16_t port;
	struct sv host; /* "" for any */
	bool passes;
	const struct obj *from; /* the oldest Gateway that has it */
};

/* A host that an Ingress names in its rules or spec.tls. Each once. */
struct ing_host {
	struct sv host;
	const struct obj *from; /* the oldest */
};

/* A TLS connection that passes through, by the name that the client asks for. */
struct ing_pass {
	uint16_t port;
	struct sv listener, host; /* as of a gate */
	struct ing_gate_target targets[ING_GATE_TARGETS_MAX];
	size_t n_targets;
	const struct obj *from;
};

struct ing_certificate {
	struct sv key; /* "ns/secret" */
	struct sv pem; /* chain and key */
};

/* Where which of them is shown, for which name. Of one port and name, Ingresses' ports being the same, one from a
 * listener and one from an Ingress: the older's counts. */
struct ing_shown {
	uint16_t port;	    /* 0: those of Ingresses */
	struct sv host;	    /* "": for names that have none there */
	size_t certificate; /* its number */
	const struct obj *from;
};

struct ing_model {
	struct ing_route *routes; /* each place once */
	size_t n_routes;
	struct ing_certificate *certificates;
	size_t n_certificates;
	struct ing_shown *shown;
	size_t n_shown;
	struct ing_gate *gates; /* of one place the first to be asked first */
	size_t n_gates;
	struct ing_gate_port *ports;
	size_t n_ports;
	struct ing_gate_listener *listeners;
	size_t n_listeners;
	struct ing_host *hosts;
	size_t n_hosts;
	struct ing_pass *passes; /* each place once */
	size_t n_passes;
};

/* Where a route's requests are recognized, as one text: "h/path" for exact, "h/path/" for prefixes, where h is the
 * host,
 * "*.wild.card" or "*"; "*" is the fallback. Two with one key are in each other's way. */
struct sv ing_route_key(struct arena *a, const struct ing_route *r);
/* How a request is matched, for tests and for people: what render.c tells HAProxy to do, done here. path as it came,
 * without query. NULL: 404. */
const struct ing_route *ing_model_match(const struct ing_model *m, struct sv host, struct sv path);
