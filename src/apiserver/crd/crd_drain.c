/* A definition that was deleted: first its instances go, by deletions like anybody's so that admission and finalizers
 * have their say, then the finalizer that kept it. */
#include "apiserver/crd/crd.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/set_aside.h"
#include "object/condition.h"
#include "apiserver/watchcache.h"
#include "base/vec.h"

#include <stdlib.h>

#define DRAIN_STEP 500 /* instances in one step: other definitions have their turn */

struct draining {
	VEC(struct obj *) batch;
	size_t left; /* those that were deleted and are there yet */
};

static int drain_collect(struct obj *o, void *ctx)
{
	struct draining *d = ctx;

	if (obj_deleting(o))
		d->left++;
	else
		vec_push(&d->batch, obj_ref(o));
	return d->batch.n >= DRAIN_STEP;
}

static bool drain_delete(struct client *c, const struct resource *r, struct draining *d, struct err *err)
{
	bool ok = true;

	for (size_t i = 0; i < d->batch.n; i++) {
		struct obj *o = d->batch.p[i];
		struct client_delete_opts opts = CLIENT_DELETE_OPTS;
		_cleanup_(err_release) struct err why = ERR_INIT;

		opts.precondition_uid = obj_uid(o);
		if (ok && client_delete(c, r, obj_ns(o), obj_name(o), &opts, &why) < 0 && why.reason != ERR_NOT_FOUND &&
		    why.reason != ERR_CONFLICT) {
			(void)err_move(err, &why);
			ok = false;
		}
	}
	return ok;
}

/* What is set aside is there, with finalizers that nobody can read: the definition waits for it. */
static bool drain_sees_all(struct apiserver *s, const struct resource *r, struct err *err)
{
	size_t n = set_aside_count(s, r, SV(""));

	if (!n)
		return true;
	if (set_aside_blocked(s, r, SV(""), err) == 0)
		(void)err_set(err, ERR_INTERNAL, "%zu stored objects cannot be read and are set aside", n);
	return false;
}

/* *ret_left: there were some. */
static bool drain_round(struct apiserver *s, struct client *c, const struct resource *r, bool *ret_left,
			struct err *err)
{
	struct draining d = { .batch = VEC_INIT };
	bool ok;

	wc_each(s->wc, r, SV(""), drain_collect, &d);
	*ret_left = d.batch.n || d.left;
	ok = drain_delete(c, r, &d, err);
	for (size_t i = 0; i < d.batch.n; i++)
		obj_unref(d.batch.p[i]);
	vec_release(&d.batch);
	return ok && drain_sees_all(s, r, err);
}

static int drain_status(struct client *c, struct arena *a, const struct obj *crd, const char *status,
			const char *reason, const char *message, int64_t now_ns, struct obj **ret, struct err *err)
{
	struct val *doc = obj_edit_status(a, obj_root(crd));

	crd_condition(a, doc, "Terminating", status, reason, message, now_ns);
	if (val_same(val_member(doc, F_status), val_member(obj_root(crd), F_status)))
		return 0;
	return client_update_status(c, RES(apiextensions_customresourcedefinitions), doc, ret, err);
}

/* All that it keeps is gone: it may go. That its instances are gone its status says with the same write
 * (registry/kinds/crd.c), for what others keep it for. */
static int drain_finish(struct client *c, struct arena *a, const struct obj *crd, struct err *err)
{
	struct val *doc = obj_edit_status(a, obj_root(crd));

	(void)obj_set_finalizer(a, doc, CRD_FINALIZER, false);
	return client_update(c, RES(apiextensions_customresourcedefinitions), doc, NULL, NULL, err);
}

static bool drain_failed(const struct obj *crd)
{
	const struct val *terminating = condition_find(obj_get(crd, F_status, F_conditions), "Terminating");

	return val_is(val_member(terminating, F_reason), "InstanceDeletionFailed");
}

int crd_drain(struct apiserver *s, struct client *c, const struct obj *crd, const struct api_kind *k, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *said = NULL;
	int64_t now_ns = env_now_ns(s->env);
	bool ok, left;

	/* What failed says so until it goes on: each change of a status is a reason to look again at once. */
	if (!drain_failed(crd) && drain_status(c, &a, crd, "True", "InstanceDeletionInProgress",
					       "CustomResource deletion is in progress", now_ns, &said, err) < 0)
		return -1;
	if (!k)
		return drain_finish(c, &a, said ? said : crd, err);
	ok = drain_round(s, c, api_kind_resource(k), &left, err);
	/* Mostly that was all: then there is no moment at which the kind is served and its objects are gone. */
	if (ok && left)
		ok = drain_round(s, c, api_kind_resource(k), &left, err);
	if (ok && left)
		return 1;
	if (!ok) {
		_cleanup_(err_release) struct err other = ERR_INIT;

		(void)drain_status(c, &a, said ? said : crd, "True", "InstanceDeletionFailed",
				   arena_printf(&a, "could not issue all deletes: %s", err_msg(err)), now_ns, NULL,
				   &other);
		return -1;
	}
	return drain_finish(c, &a, said ? said : crd, err);
}
