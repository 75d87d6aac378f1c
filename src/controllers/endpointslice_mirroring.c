/* endpointslice_mirroring: EndpointSlices for Endpoints that somebody wrote by hand.
 *
 * A Service without a selector gets its addresses from outside: an old client writes an Endpoints
 * object of the Service's name, and all readers here look at EndpointSlices only. So each subset of
 * such Endpoints is copied into slices of its own, one a family, at most 100 addresses each (KEP-752).
 * The slices belong to the Endpoints and go with them. Not mirrored: Endpoints that say so by label,
 * those that carry a leader election, and those of the endpoints controller, whose Services have selectors. */
#include "controllers/controllers-internal.h"
#include "controllers/owner.h"
#include "controllers/podutil.h"
#include "controllers/service_pods.h"
#include "controllers/status.h"
#include "controllers/template.h"
#include "controllers/written.h"
#include "object/slice.h"
#include "base/vec.h"
#include "client/workq.h"

#include <stdlib.h>

#define PER_SLICE 100
#define PER_SUBSET 1000
#define LABEL_MANAGED "endpointslice.kubernetes.io/managed-by"
#define LABEL_SKIP "endpointslice.kubernetes.io/skip-mirror"
#define ANN_LEADER "control-plane.alpha.kubernetes.io/leader"
#define ANN_LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define ANN_TRIGGER "endpoints.kubernetes.io/last-change-trigger-time"
#define MANAGER "endpointslicemirroring-controller.k8s.io"
#define INDEX_MIRROR "mirror"
#define STALE_RETRY_NS (20 * NS_PER_MS)

struct mirroring {
	struct controller_ctx *ctx;
	struct informer *services, *endpoints, *slices;
	struct workq *q; /* keys of Endpoints, which are those of their Services */
	struct written *written;
};

/* A slice that shall be there. */
struct wanted {
	const char *family;
	struct val *endpoints;
	const struct val *ports;
};

struct mrun {
	struct mirroring *c;
	struct arena *a;
	struct sv key;
	struct obj *eps;
	struct val *labels, *annotations;
	VEC(struct wanted) want;
};

static void mirror_key(const struct obj *o, struct index_keys *ret)
{
	if (sv_is(label_of(obj_root(o), LABEL_MANAGED), MANAGER))
		index_keys_add_ref(ret, obj_ns(o), slice_service(o));
}

static bool wants_mirror(const struct obj *eps)
{
	return !sv_is(label_of(obj_root(eps), LABEL_SKIP), "true") &&
	       !val_member_sv(obj_get(eps, F_metadata, F_annotations), SV(ANN_LEADER));
}

/* --- what shall be there --- */

static void add_addresses(struct mrun *r, const struct val *list, const char *family, bool ready, struct val *out)
{
	VAL_EACH(list, addr) {
		struct sv ip = val_get_str(addr, F_ip);
		bool v6 = sv_find(ip, ':') >= 0;
		struct val *ep, *ips, *conds;

		if (v6 != (strcmp(family, "IPv6") == 0))
			continue;
		if (val_len(out) >= PER_SUBSET)
			return;
		ep = val_new_map(r->a);
		ips = val_new_list(r->a);
		conds = val_new_map(r->a);
		val_push(r->a, ips, val_new_str(r->a, ip));
		val_set(r->a, ep, F_addresses, ips);
		val_set_bool(r->a, conds, F_ready, ready);
		val_set(r->a, ep, F_conditions, conds);
		if (val_get_str(addr, F_hostname).n)
			val_set_str(r->a, ep, F_hostname, val_get_str(addr, F_hostname));
		if (val_get(addr, F_targetRef))
			val_set(r->a, ep, F_targetRef, val_get(addr, F_targetRef));
		if (val_get_str(addr, F_nodeName).n)
			val_set_str(r->a, ep, F_nodeName, val_get_str(addr, F_nodeName));
		val_push(r->a, out, ep);
	}
}

static const struct val *slice_ports(struct mrun *r, const struct val *subset)
{
	struct val *list = val_new_list(r->a);

	VAL_EACH(val_get(subset, F_ports), p) {
		struct val *out = val_new_map(r->a);
		struct sv proto = val_get_str(p, F_protocol);

		val_set_str(r->a, out, F_name, val_get_str(p, F_name));
		val_set_str(r->a, out, F_protocol, proto.n ? proto : SV("TCP"));
		val_set_int(r->a, out, F_port, val_get_int(p, 0, F_port));
		if (val_get_str(p, F_appProtocol).n)
			val_set_str(r->a, out, F_appProtocol, val_get_str(p, F_appProtocol));
		val_push(r->a, list, out);
	}
	return list;
}

static void want_subset(struct mrun *r, const struct val *subset)
{
	static const char *const families[] = { "IPv4", "IPv6" };
	const struct val *ports = slice_ports(r, subset);

	for (size_t f = 0; f < ARRAY_LEN(families); f++) {
		struct val *all = val_new_list(r->a);
		struct wanted w = { .family = families[f], .ports = ports };

		add_addresses(r, val_get(subset, F_addresses), families[f], true, all);
		add_addresses(r, val_get(subset, F_notReadyAddresses), families[f], false, all);
		VAL_EACH(all, ep) {
			if (!w.endpoints || val_len(w.endpoints) >= PER_SLICE) {
				w.endpoints = val_new_list(r->a);
				vec_push(&r->want, w);
			}
			val_push(r->a, w.endpoints, ep);
		}
	}
}

static void want_metadata(struct mrun *r)
{
	const struct val *labels = obj_labels(r->eps), *anns = obj_get(r->eps, F_metadata, F_annotations);

	r->labels = val_type(labels) == VAL_MAP ? val_clone(r->a, labels) : val_new_map(r->a);
	val_set_str_sv(r->a, r->labels, SV(SLICE_SERVICE_LABEL), obj_name(r->eps));
	val_set_str_sv(r->a, r->labels, SV(LABEL_MANAGED), SV(MANAGER));
	r->annotations = val_type(anns) == VAL_MAP ? val_clone(r->a, anns) : val_new_map(r->a);
	val_del_sv(r->annotations, SV(ANN_LAST_APPLIED));
	val_del_sv(r->annotations, SV(ANN_TRIGGER));
}

/* --- making it so --- */

static int mirroring_write_slice(struct mrun *r, struct obj *was, const struct wanted *w, struct err *err)
{
	struct client *client = r->c->ctx->client;
	struct val *doc = was ? obj_edit(r->a, was) : val_new_map(r->a), *meta = val_ensure_map(r->a, doc, F_metadata);
	_cleanup_obj_ struct obj *after = NULL;
	int rc;

	if (was && val_same(obj_get(was, F_endpoints), w->endpoints) && val_same(obj_labels(was), r->labels) &&
	    val_same(obj_get(was, F_metadata, F_annotations), val_len(r->annotations) ? r->annotations : NULL))
		return 0;
	val_set(r->a, meta, F_labels, r->labels);
	if (val_len(r->annotations))
		val_set(r->a, meta, F_annotations, r->annotations);
	else
		val_del(meta, F_annotations);
	if (!was) {
		struct val *refs = val_new_list(r->a);

		val_set_strf(r->a, meta, F_generateName, "%.*s-", SV_ARG(obj_name(r->eps)));
		val_set_str(r->a, meta, F_namespace, obj_ns(r->eps));
		val_push(r->a, refs, owner_ref(r->a, RES(core_endpoints), obj_root(r->eps), true, true));
		val_set(r->a, meta, F_ownerReferences, refs);
		val_set_cstr(r->a, doc, F_apiVersion, "discovery.k8s.io/v1");
		val_set_cstr(r->a, doc, F_kind, "EndpointSlice");
		val_set_cstr(r->a, doc, F_addressType, w->family);
		val_set(r->a, doc, F_ports, w->ports);
	}
	val_set(r->a, doc, F_endpoints, w->endpoints);
	if (was)
		rc = client_update(client, RES(discovery_endpointslices), doc, NULL, &after, err);
	else
		rc = client_create(client, RES(discovery_endpointslices), obj_ns(r->eps), doc, NULL, &after, err);
	if (rc < 0)
		return err_namespace_terminating(err) ? err_forgive(err) : -1;
	written_note(r->c->written, r->key, obj_rev(after));
	return 0;
}

/* Slices there are, by what one must have in common with a wanted one. Those alike are in a chain, in order. */
struct mirroring_pool {
	struct obj **slices; /* NULL: taken */
	size_t *next;	     /* from 1; 0: the last one */
	struct strmap first; /* -> the same, as a pointer */
};

/* Of what may be the same as far as val_same() goes: less than all of it, so that it is looked at again. */
static struct sv mirroring_likeness(struct arena *a, struct sv family, const struct val *ports)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_addsv(&b, family);
	VAL_EACH(ports, p)
		buf_printf(&b, "\n%" PRId64 "/%.*s/%.*s", val_get_int(p, 0, F_port), SV_ARG(val_get_str(p, F_protocol)),
			   SV_ARG(val_get_str(p, F_name)));
	return arena_sv(a, buf_sv(&b));
}

static void mirroring_pool_fill(struct mrun *r, struct mirroring_pool *p, size_t n)
{
	p->next = ARENA_ARRAY(r->a, size_t, n + 1);
	for (size_t k = n; k; k--) {
		const struct obj *o = p->slices[k - 1];
		void **head = strmap_slot(
		    &p->first, mirroring_likeness(r->a, val_str(obj_get(o, F_addressType)), obj_get(o, F_ports)));

		p->next[k] = (size_t)(uintptr_t)*head;
		*head = (void *)(uintptr_t)k;
	}
}

/* The first one like w, which is taken out, or NULL. */
static struct obj *mirroring_pool_take(struct mrun *r, struct mirroring_pool *p, const struct wanted *w)
{
	struct sv like = mirroring_likeness(r->a, sv_from(w->family), w->ports);
	size_t first = (size_t)(uintptr_t)strmap_get(&p->first, like), before = 0;

	for (size_t k = first; k; before = k, k = p->next[k]) {
		if (!val_same(obj_get(p->slices[k - 1], F_ports), w->ports))
			continue;
		if (before)
			p->next[before] = p->next[k];
		else
			strmap_set(&p->first, like, (void *)(uintptr_t)p->next[k]);
		return TAKE(p->slices[k - 1]);
	}
	return NULL;
}

/* Existing slices of the same family and ports are reused in order; those nobody wants go. */
static int mirroring_write_all(struct mrun *r, struct obj **slices, size_t n, struct err *err)
{
	struct mirroring_pool pool = { .slices = slices };
	int rc = 0;

	mirroring_pool_fill(r, &pool, n);
	for (size_t i = 0; i < r->want.n && rc == 0; i++)
		rc = mirroring_write_slice(r, mirroring_pool_take(r, &pool, &r->want.p[i]), &r->want.p[i], err);
	strmap_release(&pool.first);
	if (rc < 0)
		return rc;
	for (size_t k = 0; k < n; k++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (slices[k] &&
		    client_delete(r->c->ctx->client, RES(discovery_endpointslices), obj_ns(slices[k]),
				  obj_name(slices[k]), NULL, &why) < 0 &&
		    why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
	}
	return 0;
}

static struct obj **mirroring_own_slices(struct mirroring *c, struct arena *a, struct sv ns, struct sv name,
					 size_t *ret_n)
{
	size_t n, kept = 0;
	struct obj **v = informer_by_ref(c->slices, a, INDEX_MIRROR, ns, name, &n);
	struct obj **out = ARENA_ARRAY(a, struct obj *, n);

	for (size_t i = 0; i < n; i++)
		if (!obj_deleting(v[i]))
			out[kept++] = v[i];
	*ret_n = kept;
	return out;
}

static int mirroring_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct mirroring *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *svc = NULL, *eps = NULL;
	struct mrun r = { .c = c, .a = &a, .key = key };
	struct obj **slices;
	struct sv ns, name;
	size_t n;
	int rc;

	workq_key_split(key, &ns, &name);
	svc = informer_lookup(c->services, ns, name);
	eps = informer_lookup(c->endpoints, ns, name);
	if (!written_seen(c->written, key, c->slices)) {
		ret->after_ns = STALE_RETRY_NS;
		return 0;
	}
	slices = mirroring_own_slices(c, &a, ns, name, &n);
	if (svc && eps && !obj_deleting(eps) && !service_has_selector(svc) && wants_mirror(eps)) {
		r.eps = eps;
		want_metadata(&r);
		VAL_EACH(obj_get(eps, F_subsets), subset)
			want_subset(&r, subset);
	}
	rc = mirroring_write_all(&r, slices, n, err);
	vec_release(&r.want);
	return rc;
}

/* --- what calls for a run --- */

static void mirroring_by_name(struct obj *o, void *ctx)
{
	struct mirroring *c = ctx;

	workq_add_obj(c->q, obj_ns(o), obj_name(o));
}

static void endpoints_updated(struct obj *old, struct obj *neu, void *ctx)
{
	(void)old;
	mirroring_by_name(neu, ctx);
}

/* Most Services have a selector and never had another mind: nothing to do for them. */
static void mirroring_service_updated(struct obj *old, struct obj *neu, void *ctx)
{
	if (service_has_selector(old) != service_has_selector(neu))
		mirroring_by_name(neu, ctx);
}

static void service_came(struct obj *o, void *ctx)
{
	if (!service_has_selector(o))
		mirroring_by_name(o, ctx);
}

static void mirroring_slice_changed(struct obj *o, void *ctx)
{
	struct mirroring *c = ctx;

	if (sv_is(label_of(obj_root(o), LABEL_MANAGED), MANAGER))
		workq_add_obj(c->q, obj_ns(o), slice_service(o));
}

static void mirroring_slice_updated(struct obj *old, struct obj *neu, void *ctx)
{
	mirroring_slice_changed(old, ctx);
	mirroring_slice_changed(neu, ctx);
}

static bool mirroring_ready(void *ctx)
{
	struct mirroring *c = ctx;

	return informer_synced(c->services) && informer_synced(c->endpoints) && informer_synced(c->slices);
}

static void *mirroring_start(struct controller_ctx *ctx)
{
	struct mirroring *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->services = informer_get(ctx->informers, RES(core_services), NULL, NULL, NULL);
	c->endpoints = informer_get(ctx->informers, RES(core_endpoints), NULL, NULL, NULL);
	c->slices = informer_get(ctx->informers, RES(discovery_endpointslices), NULL, NULL, NULL);
	informer_add_index(c->slices, INDEX_MIRROR, mirror_key);
	c->written = written_new();
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "endpointslice-mirroring-controller",
							 .workers = 5,
							 .reconcile = mirroring_reconcile,
							 .ctx = c,
							 .ready = mirroring_ready });
	informer_add_handler(c->services,
			     &(struct informer_handler){ service_came, mirroring_service_updated, service_came }, c);
	informer_add_handler(c->endpoints,
			     &(struct informer_handler){ mirroring_by_name, endpoints_updated, mirroring_by_name }, c);
	informer_add_handler(
	    c->slices,
	    &(struct informer_handler){ mirroring_slice_changed, mirroring_slice_updated, mirroring_slice_changed }, c);
	return c;
}

static void mirroring_stop(void *controller)
{
	struct mirroring *c = controller;

	workq_free(c->q);
	written_free(c->written);
	free(c);
}

const struct controller_ops endpointslice_mirroring_controller = { "endpointslice-mirroring-controller",
								   "endpointslicemirroring-controller", mirroring_start,
								   mirroring_stop };
