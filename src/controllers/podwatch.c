/* See podwatch.h. */
#include "controllers/podwatch.h"
#include "controllers/owner.h"
#include "controllers/selecting.h"

static struct sv owner_key(struct arena *a, const struct obj *o)
{
	return arena_svf(a, "%.*s/%.*s", SV_ARG(obj_ns(o)), SV_ARG(obj_name(o)));
}

static void owner_add(struct obj *o, void *ctx)
{
	struct podwatch *w = ctx;

	workq_add_obj(w->q, obj_ns(o), obj_name(o));
}

static void owner_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct podwatch *w = ctx;

	/* A namesake: what was expected of the old one will not be seen under the new uid. */
	if (w->expect && !sv_eq(obj_uid(old), obj_uid(neu))) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		expectations_forget(w->expect, owner_key(&a, old));
	}
	owner_add(neu, ctx);
}

static void owner_del(struct obj *o, void *ctx)
{
	struct podwatch *w = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	if (w->expect)
		expectations_forget(w->expect, owner_key(&a, o));
	owner_add(o, ctx);
}

/* Queues all owners that could adopt the orphan. */
static void podwatch_queue_matching(struct podwatch *w, struct obj *pod)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	size_t n;
	struct obj **owners;

	if (!val_len(obj_labels(pod)))
		return;
	owners = selecting(w->owners, &a, obj_ns(pod), obj_labels(pod), &n);
	for (size_t i = 0; i < n; i++) {
		const struct selector *s = owner_selector(&a, w->owner_res, owners[i], NULL);

		if (s && !selector_empty(s) && selector_matches(s, obj_labels(pod)))
			owner_add(owners[i], w);
	}
}

static void queue_controller(struct podwatch *w, struct obj *pod, bool created, bool deleted)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *owner = NULL;
	const struct val *ref = obj_controller_ref(pod);

	if (!ref)
		return;
	owner = owner_resolve(w->owners, w->owner_res, obj_ns(pod), ref);
	if (!owner)
		return;
	if (w->expect && created)
		creation_observed(w->expect, owner_key(&a, owner));
	if (w->expect && deleted)
		deletion_observed(w->expect, owner_key(&a, owner), obj_uid(pod));
	owner_add(owner, w);
}

static void pod_add(struct obj *pod, void *ctx)
{
	struct podwatch *w = ctx;

	/* A pod first seen when it is already going was both made and deleted. */
	queue_controller(w, pod, true, obj_deleting(pod));
	if (!obj_controller_ref(pod) && !obj_deleting(pod))
		podwatch_queue_matching(w, pod);
}

static void pod_update(struct obj *old, struct obj *neu, void *ctx)
{
	struct podwatch *w = ctx;
	const struct val *was = obj_controller_ref(old), *is = obj_controller_ref(neu);
	bool moved = !sv_eq(val_str(val_member(was, F_uid)), val_str(val_member(is, F_uid)));

	if (!sv_eq(obj_uid(old), obj_uid(neu))) {
		/* Deleted and made again while nobody watched. */
		queue_controller(w, old, false, true);
		pod_add(neu, ctx);
		return;
	}
	if (moved)
		queue_controller(w, old, false, false);
	queue_controller(w, neu, false, obj_deleting(neu));
	if (!is && !obj_deleting(neu) && (was || !val_equal(obj_labels(old), obj_labels(neu))))
		podwatch_queue_matching(w, neu);
}

static void pod_del(struct obj *pod, void *ctx)
{
	queue_controller(ctx, pod, false, true);
}

void podwatch_start(struct podwatch *w)
{
	informer_add_index(w->owners, INDEX_SELECTING,
			   w->owner_res == RES(core_replicationcontrollers) ? index_selecting_map
									    : index_selecting_labels);
	informer_add_handler(
	    w->owners, &(struct informer_handler){ .add = owner_add, .update = owner_update, .del = owner_del }, w);
	informer_add_handler(w->pods,
			     &(struct informer_handler){ .add = pod_add, .update = pod_update, .del = pod_del }, w);
}
