/* gateway.h - what Gateways of ours listen for, which routes are attached to them, and what their owners are told of
 * it; pure.
 *
 *	GatewayClass ◀─ Gateway: listeners ◀─ routes: parentRefs, hostnames ─▶ Services
 *
 * References across namespaces need a ReferenceGrant.
 *
 * One answer for those who write statuses (controllers/gateway.c) and those who serve (ingress/from_gateway.c): what
 * says Accepted is what is served. Words and reasons of conditions are upstream's.
 *
 * All Gateways of ours share the addresses of the nodes. So what of one listener is in another's way is asked across
 * Gateways: on a port the oldest listener says whether it is TLS, and whether a host's TLS ends here or passes
 * through; who differs is told PortUnavailable. Listeners that agree share the port. A hostname on it is the oldest
 * listener's namespace's: a younger one of another namespace is Conflicted (HostnameConflict), those of its own are one
 * place with it, each lets in what it allows, and the place is as old as its oldest. Within one Gateway those that are
 * in each other's way are all Conflicted.
 *
 * Of the places of a port the one whose hostname is nearest to a request's has it: its routes or nobody's, whatever
 * routes there are at listeners that are less exact. So what its listeners let in is what reaches a hostname.
 *
 * Where Ingresses are served, too, a host that one names is not for younger routes of other namespaces.
 *
 * Whose turn it is: the older (creationTimestamp, then namespace and name), as upstream has it.
 *
 * Values alone, in the arena of one run.
 */
#pragma once

#include "base/arena.h"
#include "base/strmap.h"
#include "object/ingress_refs.h"
#include "object/obj.h"

#define GW_CONTROLLER "caravel.io/gateway-controller"
#define GW_CLASS "caravel"

enum gw_kind { GW_CLASSES, GW_GATEWAYS, GW_HTTPROUTES, GW_GRPCROUTES, GW_TLSROUTES, GW_GRANTS, _GW_KIND_MAX };
#define GW_KIND_IS_ROUTE(k) ((k) >= GW_HTTPROUTES && (k) <= GW_TLSROUTES)
extern const char *const gw_kind_names[_GW_KIND_MAX]; /* "GatewayClass", ... */

/* What a Service's port says its backends speak. */
enum gw_app { GW_APP_HTTP, GW_APP_H2C, GW_APP_OTHER };
enum gw_app gw_app_protocol(struct sv app_protocol);

enum gw_service { GW_SERVICE_OK, GW_SERVICE_MISSING, GW_SERVICE_NO_PORT, GW_SERVICE_PROTOCOL };

/* service may be NULL. */
enum gw_service gw_service_port(const struct obj *service, int64_t port);

/* Hosts that Ingresses of ours name in rules or spec.tls, and the ports at which they are served. */
struct gw_ingresses {
	struct strmap hosts; /* host -> the oldest Ingress that names it, a struct obj * that is the caller's */
	int ports[2];	     /* 0: none */
};
void gw_ingresses_of(struct obj *const *ingresses, size_t n, const struct ingress_classes *classes,
		     struct gw_ingresses *ret); /* all but the ports */
void gw_ingresses_release(struct gw_ingresses *i);
bool gw_ingresses_at(const struct gw_ingresses *i, uint16_t port);

/* The cluster as it is; what callbacks return is borrowed and lives as long as the arena. */
struct gw_source {
	struct obj **objects[_GW_KIND_MAX];
	size_t n[_GW_KIND_MAX];
	const struct val *(*namespace_labels)(void *ctx, struct sv ns); /* NULL: none; once for each of a run */
	enum gw_service (*service)(void *ctx, struct sv ns, struct sv name, int64_t port);
	/* Whether a Secret can be shown; NULL: yes, or why not. */
	const char *(*certificate)(void *ctx, struct sv ns, struct sv name);
	void *ctx;
	const struct gw_ingresses *ingresses; /* NULL: none */
};

struct gw_condition {
	const char *type, *reason; /* static */
	bool is;
	const char *message;
};
#define GW_CONDITIONS_MAX 4
struct gw_conditions {
	struct gw_condition p[GW_CONDITIONS_MAX];
	size_t n;
};
const struct gw_condition *gw_condition(const struct gw_conditions *c, const char *type); /* NULL: not there */
bool gw_condition_is(const struct gw_conditions *c, const char *type);

/* Ports that Gateways open, each a socket or two of every node; of one namespace no more than its share. */
#define GW_PORTS_MAX 512
#define GW_PORTS_NAMESPACE_MAX 64

/* How many matches one place, host and path has: a request may have to ask each. */
#define GW_PLACE_MAX 256

enum gw_protocol { GW_HTTP, GW_HTTPS, GW_PASSTHROUGH, GW_UNSUPPORTED };

struct gw_secret {
	struct sv ns, name;
};

struct selector;

struct gw_listener {
	const struct gw_gateway *gateway;
	const struct gw_listener *first; /* the oldest of its place, whose age counts beside Ingresses; or itself */
	const struct val *spec;
	struct sv name, host; /* host "": any; else in lower case, of a wildcard with its "*." */
	uint16_t port;
	enum gw_protocol protocol;
	unsigned kinds;			   /* bits: which routes may attach */
	const struct selector *namespaces; /* of which, where it asks by labels; NULL: of none, then */
	struct gw_secret *secrets;
	size_t n_secrets;
	struct gw_conditions conditions;
	bool claims; /* its hostname on its port is its place's own: what that does not serve nobody does */
	bool serves; /* routes that are attached to it are served */
	size_t attached;
};

struct gw_gateway {
	const struct obj *o;
	struct gw_listener *listeners;
	size_t n_listeners;
	struct gw_conditions conditions;
	bool accepted;
};

/* A route at a listener, for these hosts ("": any). */
struct gw_attached {
	const struct gw_listener *listener;
	struct sv *hosts;
	size_t n_hosts;
};

struct gw_parent {
	const struct val *ref;
	struct gw_conditions conditions;
	struct gw_attached *attached;
	size_t n_attached;
};

struct gw_route {
	const struct obj *o;
	enum gw_kind kind;
	struct gw_parent *parents; /* those whose Gateway is ours */
	size_t n_parents;
};

/* The Ingress that has this host at the listener's port; NULL: none, or the listener has it as its own, and its place
 * is older. */
const struct obj *gw_ingress_before(const struct gw_ingresses *i, const struct gw_listener *l, struct sv host);

/* What ReferenceGrants permit, to be asked as often as there are references. */
struct gw_grants {
	struct strmap pairs; /* grants.c; no values */
};
void gw_grants_of(struct obj *const *grants, size_t n, struct gw_grants *ret);
void gw_grants_release(struct gw_grants *g);
/* May what is of that kind (of GW_GROUP) in one namespace refer to an object of another? to_kind: of the core. */
bool gw_granted(const struct gw_grants *g, const char *from_kind, struct sv from_ns, const char *to_kind,
		struct sv to_ns, struct sv to_name);

struct gw_state {
	const struct obj **classes; /* ours */
	size_t n_classes;
	struct gw_gateway *gateways; /* ours, the oldest first */
	size_t n_gateways;
	struct gw_route *routes; /* with a parent of ours, the oldest first */
	size_t n_routes;
	struct gw_grants grants;
};

void gw_state_make(struct arena *a, const struct gw_source *s, struct gw_state *ret);
void gw_state_release(struct gw_state *st); /* what is not the arena's */

bool gw_class_is_ours(const struct val *class);
/* Where a backend of a route leads, or why it leads nowhere: a reason of ResolvedRefs, and what it says. */
const char *gw_backend_refused(struct arena *a, const struct gw_source *s, const struct gw_grants *g,
			       const struct gw_route *r, const struct val *ref, const char **ret_message);
/* The Secrets that a Gateway names for its listeners, one call each; whether it may is not asked. */
void gw_secrets_each(const struct obj *gateway, void (*fn)(struct sv ns, struct sv name, void *ctx), void *ctx);
/* What of a rule cannot be served here; NULL: all of it can. */
const char *gw_rule_unsupported(enum gw_kind kind, const struct val *rule);
/* Where a match of an HTTPRoute or GRPCRoute is asked: paths like this one, as requests spell them, or all below it
 * (then without the last '/'). match NULL: every request. False: none. */
bool gw_match_path(struct arena *a, enum gw_kind kind, const struct val *match, bool *ret_exact, struct sv *ret);
/* What a host of both is: the narrower of them. False: there is none. "" is any host. */
bool gw_hosts_meet(struct sv x, struct sv y, struct sv *ret);
