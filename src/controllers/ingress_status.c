/* ingress_status: the IngressClass `caravel`, and whose addresses the Ingresses of its kind tell.
 *
 * Nodes serve them (ingress/), and each says in its annotation at which ports; those of them that are Ready and may
 * serve are the addresses: the ExternalIPs of a node, or its InternalIPs if it has none. One writes for all, so that no
 * node needs the right to say where requests go. An Ingress that is no longer ours loses what we wrote.
 *
 * With no_ingress (--disable ingress) nobody is: addresses are taken back, and then the class goes.
 *
 * One key: the list is the same for all Ingresses, so a run costs nodes + Ingresses, and as many writes as differ.
 */
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/ingress_nodes.h"
#include "object/annotation.h"
#include "object/default_class.h"
#include "object/ingress_refs.h"

#include <stdlib.h>

static const struct sv ingress_status_key = { "ingresses", 9 };

struct ingress_status {
	struct controller_ctx *ctx;
	struct informer *ingresses, *classes, *nodes;
	struct workq *q;
	/* Of the one worker. */
	struct strmap told; /* "ns/name" of Ingresses that have addresses of ours; no values */
	bool class_made;
};

/* --- the class --- */

static int ingress_status_make_class(struct ingress_status *c, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct default_class_search search = { .is_default = ingress_class_is_default };
	struct val *doc = val_new_map(&a), *meta = val_new_map(&a), *spec = val_new_map(&a);

	informer_each(c->classes, SV(""), default_class_look, &search);
	val_set_cstr(&a, doc, F_apiVersion, "networking.k8s.io/v1");
	val_set_cstr(&a, doc, F_kind, "IngressClass");
	val_set_cstr(&a, meta, F_name, INGRESS_CLASS);
	val_set(&a, doc, F_metadata, meta);
	if (!search.found)
		annotation_set(&a, doc, ANN_DEFAULT_INGRESS_CLASS, SV("true"));
	obj_unref(search.found);
	val_set_cstr(&a, spec, F_controller, INGRESS_CONTROLLER);
	val_set(&a, doc, F_spec, spec);
	if (client_create(c->ctx->client, RES(networking_ingressclasses), SV(""), doc, NULL, NULL, &why) == 0 ||
	    why.reason == ERR_ALREADY_EXISTS) { /* as it is: its admin may have changed it */
		c->class_made = true;
		return 0;
	}
	return err_move(err, &why);
}

/* Where Ingress is switched off, a class of ours, and that the default one, would be nobody's. One that is another
 * controller's by that name stays. */
static int ingress_status_drop_class(struct ingress_status *c, struct err *err)
{
	_cleanup_obj_ struct obj *o = informer_lookup(c->classes, SV(""), SV(INGRESS_CLASS));
	_cleanup_(err_release) struct err why = ERR_INIT;

	if (o && ingress_class_is_ours(obj_root(o)) &&
	    client_delete(c->ctx->client, RES(networking_ingressclasses), SV(""), SV(INGRESS_CLASS),
			  &(struct client_delete_opts){ .grace_seconds = -1, .precondition_uid = obj_uid(o) },
			  &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	c->class_made = true; /* made by hand it stays from now on */
	return 0;
}

/* --- addresses --- */

/* As status.loadBalancer.ingress has it; NULL: nobody serves. */
static const struct val *ingress_status_addresses(struct ingress_status *c, struct arena *a)
{
	size_t n;
	struct obj **nodes = informer_list(c->nodes, a, SV(""), &n);
	struct sv *ips = ingress_node_addresses(a, nodes, n, NULL, NULL, &n);
	struct val *list = val_new_list(a);

	for (size_t i = 0; i < n; i++)
		val_set_str(a, val_push(a, list, val_new_map(a)), F_ip, ips[i]);
	return n ? list : NULL;
}

static int ingress_status_write(struct ingress_status *c, struct arena *a, const struct obj *o,
				const struct val *addresses, struct err *err)
{
	struct val *patch = val_new_map(a), *lb = val_new_map(a), *status = val_new_map(a);

	val_set(a, lb, F_ingress, addresses ? val_clone(a, addresses) : val_new_null(a));
	val_set(a, status, F_loadBalancer, lb);
	val_set(a, patch, F_status, status);
	if (client_patch(c->ctx->client, RES(networking_ingresses), obj_ns(o), obj_name(o), PATCH_MERGE, patch,
			 &(struct client_write_opts){ .subresource = "status" }, NULL, err) == 0)
		return 0;
	return err->reason == ERR_NOT_FOUND ? (err_release(err), 0) : -1;
}

/* told: for the next run. */
static int ingress_status_one(struct ingress_status *c, struct arena *a, const struct obj *o, bool ours,
			      const struct val *addresses, struct strmap *told, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv key = obj_path(&b, obj_ns(o), obj_name(o));
	const struct val *has = obj_get(o, F_status, F_loadBalancer, F_ingress);

	if (!ours && !strmap_has(&c->told, key))
		return 0;
	if (ours)
		strmap_set(told, key, c);
	if ((!val_len(has) && !addresses) || val_same(has, ours ? addresses : NULL) ||
	    ingress_status_write(c, a, o, ours ? addresses : NULL, err) == 0)
		return 0;
	strmap_set(told, key, c); /* what we wrote is still there */
	return -1;
}

static int ingress_status_reconcile(void *ctx, _unused_ struct sv key, _unused_ struct reconcile_result *ret,
				    struct err *err)
{
	struct ingress_status *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct strmap told = STRMAP_INIT;
	struct ingress_classes classes;
	const struct val *addresses;
	struct obj **list;
	size_t n;
	bool off = c->ctx->opts->no_ingress;
	int rc = 0;

	if (!off && !c->class_made && ingress_status_make_class(c, err) < 0)
		return -1;
	list = informer_list(c->classes, &a, SV(""), &n);
	ingress_classes_of(list, n, &classes);
	addresses = off ? NULL : ingress_status_addresses(c, &a);
	list = informer_list(c->ingresses, &a, SV(""), &n);
	/* One that is refused, by a webhook for example, keeps none of those behind it waiting. */
	for (size_t i = 0; i < n; i++) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (ingress_status_one(c, &a, list[i], ingress_is_ours(&classes, obj_root(list[i])), addresses, &told,
				       &why) < 0)
			rc = err_move(err, &why); /* the first */
	}
	ingress_classes_release(&classes);
	strmap_release(&c->told);
	c->told = told;
	if (rc == 0 && off && !c->class_made) /* when what is said of Ingresses of it is taken back */
		return ingress_status_drop_class(c, err);
	return rc;
}

/* --- what calls for a run --- */

static void ingress_status_on_object(_unused_ struct obj *o, void *ctx)
{
	workq_add(((struct ingress_status *)ctx)->q, ingress_status_key);
}

static void ingress_status_on_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (obj_rev(old) != obj_rev(neu)) /* not told anew after a re-list */
		ingress_status_on_object(neu, ctx);
}

static void ingress_status_on_gone(struct obj *o, void *ctx)
{
	(void)o;
	(void)ctx;
}

static void ingress_status_on_node_update(struct obj *old, struct obj *neu, void *ctx)
{
	if (ingress_node_changed(old, neu))
		ingress_status_on_object(neu, ctx);
}

static bool ingress_status_ready(void *ctx)
{
	struct ingress_status *c = ctx;

	return informer_synced(c->ingresses) && informer_synced(c->classes) && informer_synced(c->nodes);
}

static void *ingress_status_start(struct controller_ctx *ctx)
{
	static const struct informer_handler any = { ingress_status_on_object, ingress_status_on_update,
						     ingress_status_on_object },
					     ingresses = { ingress_status_on_object, ingress_status_on_update,
							   ingress_status_on_gone },
					     nodes = { ingress_status_on_object, ingress_status_on_node_update,
						       ingress_status_on_object };
	struct ingress_status *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	c->ingresses = informer_get(ctx->informers, RES(networking_ingresses), NULL, NULL, NULL);
	c->classes = informer_get(ctx->informers, RES(networking_ingressclasses), NULL, NULL, NULL);
	c->nodes = informer_get(ctx->informers, RES(core_nodes), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "ingress-controller",
							 .workers = 1,
							 .retry_max_ns = 10 * NS_PER_SEC,
							 .reconcile = ingress_status_reconcile,
							 .ctx = c,
							 .ready = ingress_status_ready });
	informer_add_handler(c->ingresses, &ingresses, c);
	informer_add_handler(c->classes, &any, c);
	informer_add_handler(c->nodes, &nodes, c);
	workq_add(c->q, ingress_status_key); /* the class, where there is nothing yet */
	return c;
}

static void ingress_status_stop(void *controller)
{
	struct ingress_status *c = controller;

	workq_free(c->q);
	strmap_release(&c->told);
	free(c);
}

const struct controller_ops ingress_controller = { "ingress-controller", "ingress-controller", ingress_status_start,
						   ingress_status_stop };
