/* service_cidrs: ServiceCIDRs are ready from the first look on, and go only when no address is left that would be in
 * none.
 *
 *	new			finalizer, condition Ready
 *	deleted, in the way	an IPAddress of ours is in it and in no other one: Ready False, Terminating; looked at
 *				again when an IPAddress goes or another ServiceCIDR comes
 *	deleted, free		ten seconds later the finalizer goes: servers that still take it for ready hear
 *				of it until then
 *
 * The API server takes addresses from those that are ready (apiserver/registry/kinds/allocators.h), and makes the one
 * of its flags, "kubernetes". */
#include "base/ip.h"
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/status.h"

#include <stdlib.h>

#define CIDR_FINALIZER "networking.k8s.io/service-cidr-finalizer"
#define CIDR_GRACE_NS (10 * NS_PER_SEC)
#define CIDR_DEFAULT "kubernetes"

struct service_cidrs {
	struct controller_ctx *ctx;
	struct informer *cidrs, *addresses;
	struct workq *q;
	bool told; /* that the default one is not as the flags are; of the worker */
};

struct cidr_nets {
	struct ip_net net[2];
	size_t n;
};

static struct cidr_nets cidr_nets_of(const struct obj *o)
{
	struct cidr_nets r = { .n = 0 };

	VAL_EACH(obj_get(o, F_spec, F_cidrs), c)
		r.n += r.n < ARRAY_LEN(r.net) && ip_net_parse(val_str(c), &r.net[r.n]);
	return r;
}

static bool cidr_nets_have(const struct cidr_nets *nets, struct ip_addr ip)
{
	for (size_t i = 0; i < nets->n; i++)
		if (ip_net_has(nets->net[i], ip))
			return true;
	return false;
}

/* --- may it go? --- */

struct cidr_others {
	VEC(struct ip_net) nets; /* of those that stay */
};

static void cidr_others_of(struct service_cidrs *c, struct arena *a, const struct obj *o, struct cidr_others *ret)
{
	size_t n;
	struct obj **list = informer_list(c->cidrs, a, SV(""), &n);

	for (size_t i = 0; i < n; i++) {
		struct cidr_nets nets = cidr_nets_of(list[i]);

		if (sv_eq(obj_name(list[i]), obj_name(o)) || obj_deleting(list[i]))
			continue;
		for (size_t k = 0; k < nets.n; k++)
			vec_push(&ret->nets, nets.net[k]);
	}
}

/* All of it is in another one. */
static bool cidr_is_covered(const struct cidr_nets *nets, const struct cidr_others *others)
{
	for (size_t i = 0; i < nets->n; i++) {
		bool covered = false;

		for (size_t k = 0; k < others->nets.n && !covered; k++)
			covered = ip_net_covers(others->nets.p[k], nets->net[i]);
		if (!covered)
			return false;
	}
	return true;
}

struct cidr_walk {
	const struct cidr_nets *nets;
	const struct cidr_others *others;
	bool found;
};

static bool cidr_is_managed(const struct obj *address)
{
	return sv_is(label_of(obj_root(address), "ipaddress.kubernetes.io/managed-by"), "ipallocator.k8s.io");
}

/* An address that would be in none ends the walk. */
static int cidr_walk_one(struct obj *o, void *ctx)
{
	struct cidr_walk *w = ctx;
	struct ip_addr ip;

	if (!cidr_is_managed(o) || !ip_parse(obj_name(o), &ip) || !cidr_nets_have(w->nets, ip))
		return 0;
	for (size_t i = 0; i < w->others->nets.n; i++)
		if (ip_net_has(w->others->nets.p[i], ip))
			return 0;
	w->found = true;
	return 1;
}

static bool cidr_may_go(struct service_cidrs *c, const struct obj *o)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct cidr_nets nets = cidr_nets_of(o);
	struct cidr_others others = { VEC_INIT };
	struct cidr_walk w = { &nets, &others, false };

	cidr_others_of(c, &a, o, &others);
	if (!cidr_is_covered(&nets, &others))
		informer_each(c->addresses, SV(""), cidr_walk_one, &w);
	vec_release(&others.nets);
	return !w.found;
}

/* --- writes --- */

static int cidr_set_finalizer(struct service_cidrs *c, struct arena *a, struct obj **o, bool on, struct err *err)
{
	struct obj *now = NULL;
	struct val *doc;

	if (obj_has_finalizer(*o, CIDR_FINALIZER) == on)
		return 0;
	doc = obj_edit(a, *o);
	(void)obj_set_finalizer(a, doc, CIDR_FINALIZER, on);
	if (client_update(c->ctx->client, RES(networking_servicecidrs), doc, NULL, &now, err) < 0)
		return -1;
	if (now)
		*o = obj_link(a, now);
	return 0;
}

static int cidr_set_ready(struct service_cidrs *c, struct arena *a, struct obj *o, bool ready, struct err *err)
{
	static const char blocked[] = "There are still IPAddresses referencing the ServiceCIDR, please remove them or "
				      "create a new ServiceCIDR";
	struct val *doc = obj_edit(a, o);
	const struct condition yes = { .type = "Ready",
				       .status = "True",
				       .reason = "",
				       .message = SV("Kubernetes Service CIDR is ready") },
			       no = { .type = "Ready",
				      .status = "False",
				      .reason = "Terminating",
				      .message = sv_from(blocked) };

	if (!condition_set(a, val_ensure_map(a, doc, F_status), ready ? &yes : &no, env_now_ns(c->ctx->env)))
		return 0;
	return client_update_status(c->ctx->client, RES(networking_servicecidrs), doc, NULL, err);
}

/* --- runs --- */

/* A flag that changed changes no ServiceCIDR. */
static void cidr_compare(struct service_cidrs *c, const struct obj *o)
{
	struct cidr_nets nets = cidr_nets_of(o);
	struct sv rest = sv_from(c->ctx->opts->service_cidr), one;
	size_t n = 0;
	bool same = true;

	if (!sv_is(obj_name(o), CIDR_DEFAULT) || !rest.n || c->told)
		return;
	while (sv_split(&rest, ',', &one)) {
		struct ip_net net;

		same = same && ip_net_parse(sv_trim(one), &net) && n < nets.n &&
		       memcmp(&net, &nets.net[n], sizeof(net)) == 0;
		n++;
	}
	if (same && n == nets.n)
		return;
	c->told = true;
	recorder_event(
	    c->ctx->recorder, RES(networking_servicecidrs), obj_root(o), "Warning",
	    "KubernetesDefaultServiceCIDRInconsistent",
	    "The default ServiceCIDR does not match the controller flag configurations %s: Services get their "
	    "addresses from the ServiceCIDR",
	    c->ctx->opts->service_cidr);
}

static int cidr_sync_deleted(struct service_cidrs *c, struct arena *a, struct obj *o, struct reconcile_result *ret,
			     struct err *err)
{
	int64_t since = 0, wait;

	if (!obj_has_finalizer(o, CIDR_FINALIZER))
		return 0;
	if (!cidr_may_go(c, o))
		return cidr_set_ready(c, a, o, false, err);
	(void)time_get(obj_get(o, F_metadata, F_deletionTimestamp), &since);
	wait = since + CIDR_GRACE_NS - env_now_ns(c->ctx->env);
	if (wait > 0) {
		ret->after_ns = wait;
		return 0;
	}
	return cidr_set_finalizer(c, a, &o, false, err);
}

static int cidr_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct service_cidrs *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *o = informer_lookup(c->cidrs, SV(""), key);

	if (!o)
		return 0;
	(void)obj_link(&a, o);
	if (obj_deleting(o))
		return cidr_sync_deleted(c, &a, o, ret, err);
	cidr_compare(c, o);
	return cidr_set_finalizer(c, &a, &o, true, err) < 0 ? -1 : cidr_set_ready(c, &a, o, true, err);
}

/* --- what calls for a run --- */

static int cidr_wake_deleted(struct obj *o, void *ctx)
{
	if (obj_deleting(o))
		workq_add_obj(((struct service_cidrs *)ctx)->q, SV(""), obj_name(o));
	return 0;
}

static void cidr_on_cidr(struct obj *o, void *ctx)
{
	struct service_cidrs *c = ctx;

	workq_add_obj(c->q, SV(""), obj_name(o));
	informer_each(c->cidrs, SV(""), cidr_wake_deleted, c);
}

static void cidr_on_cidr_update(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	cidr_on_cidr(neu, ctx);
}

static void cidr_on_address_gone(struct obj *o, void *ctx)
{
	struct service_cidrs *c = ctx;

	if (cidr_is_managed(o))
		informer_each(c->cidrs, SV(""), cidr_wake_deleted, c);
}

static bool cidr_ready(void *ctx)
{
	struct service_cidrs *c = ctx;

	return informer_synced(c->cidrs) && informer_synced(c->addresses);
}

static void *cidr_start(struct controller_ctx *ctx)
{
	struct service_cidrs *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->cidrs = informer_get(ctx->informers, RES(networking_servicecidrs), NULL, NULL, NULL);
	c->addresses = informer_get(ctx->informers, RES(networking_ipaddresses), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "service-cidr-controller",
							 .workers = 1,
							 .reconcile = cidr_reconcile,
							 .ctx = c,
							 .ready = cidr_ready });
	informer_add_handler(c->cidrs, &(struct informer_handler){ cidr_on_cidr, cidr_on_cidr_update, cidr_on_cidr },
			     c);
	informer_add_handler(c->addresses, &(struct informer_handler){ NULL, NULL, cidr_on_address_gone }, c);
	return c;
}

static void cidr_stop(void *controller)
{
	struct service_cidrs *c = controller;

	workq_free(c->q);
	free(c);
}

const struct controller_ops service_cidrs_controller = { "service-cidr-controller", "service-cidrs-controller",
							 cidr_start, cidr_stop };
