/* garbage collector: what an object owns goes with it, as the deletion asked.
 *
 *	Background	the owner goes at once; its dependents, finding no owner, follow
 *	Foreground	the owner waits (finalizer foregroundDeletion) until dependents that block it are gone
 *	Orphan		the owner waits (finalizer orphan) until dependents no longer name it
 *
 * The graph, fed by informers over every kind that can be deleted, only says where to look. Every
 * decision is made on objects read from the API at that moment, and every deletion names the
 * uid and the version it was decided for, so that neither a stale graph, a namesake nor an owner that has let go of it
 * meanwhile costs anybody an object.
 *
 * What an owner has to wait for, or to let go of, only the graph knows. While kinds come and go it has
 * holes: those of a kind that is made anew are in it again when they have been listed, and until then no
 * owner is told that it has none.
 *
 * Kinds that other servers answer take part (gc_far.h). Nobody waits for those: a run that has no answer yet
 * ends, and comes again when it is there.
 *
 * An owner is looked for in the dependent's namespace (or none, when it is cluster-scoped): a
 * reference across namespaces names nothing, and is reported. A cluster-scoped dependent of a
 * namespaced owner is left alone, and reported. */
#include "controllers/gc.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/gc_far.h"
#include "controllers/gc_graph.h"
#include "controllers/gc_monitors.h"

#include <pthread.h>
#include <stdlib.h>

#define GC_HOLES_NS (30 * NS_PER_SEC) /* as upstream: a kind that cannot be listed does not hold all others up */
#define GC_AGAIN_NS (NS_PER_SEC / 5)  /* the first time, of the same decision (client/workq.h) */

struct gc {
	struct controller_ctx *ctx;
	pthread_mutex_t lock; /* of what follows */
	struct gc_graph graph;
	struct gc_monitors monitors;
	struct gc_far *far; /* or NULL */
	struct foreign_waker waker;
	struct workq *q;
};

/* A node as it was under the lock. */
struct ident {
	const struct resource *res;
	struct sv uid, ns, name;
	bool foreground, blocks;
};

struct grun {
	struct gc *c;
	struct arena *a;
	const struct api_set *api; /* keeps what the idents name */
	struct ident me;
	struct ident *deps;
	size_t n_deps;
	bool holes; /* there may be more */
	bool woken; /* it waits for what another server says, and is woken */
	struct obj *live;
	int64_t since_ns; /* of the decision, which may take several runs */
};

#define DELETE_TRIES 5 /* of one judgement */

enum owner_state { OWNER_SOLID, OWNER_GONE, OWNER_WAITS };

static struct ident ident_of(struct arena *a, const struct gc_node *n)
{
	return (struct ident){ n->res,
			       arena_sv(a, sv_from(n->uid)),
			       arena_sv(a, sv_from(n->ns)),
			       arena_sv(a, sv_from(n->name)),
			       n->foreground,
			       false };
}

/* Nothing is going, and all owners are there. */
static bool settled(const struct gc_node *n)
{
	if (n->foreground || n->orphan)
		return false;
	for (size_t i = 0; i < n->owners.n; i++) {
		const struct gc_node *o = n->owners.p[i].owner;

		if (!o->res || o->deleting || (o->res->namespaced && strcmp(o->ns, n->ns) != 0))
			return false;
	}
	return true;
}

/* Objects may be missing from the graph that were in it. The lock is held. */
static bool gc_has_holes(struct gc *c)
{
	int64_t now = env_mono_ns(c->ctx->env);

	return gc_monitors_behind(&c->monitors, now - GC_HOLES_NS) ||
	       (now - gc_far_since(c->far) < GC_HOLES_NS && !gc_far_synced(c->far));
}

static void gc_drop_kind(void *r)
{
	resource_unref(r);
}

/* r is there as long as the run: those of others are in no set. A reference is taken, or the caller's. */
static void gc_keep_kind(struct grun *r, const struct resource *res_take)
{
	if (resource_late(res_take))
		arena_defer(r->a, gc_drop_kind, (void *)(uintptr_t)res_take);
}

static bool gc_load(struct grun *r, struct sv uid)
{
	const struct gc_node *n;
	bool work;

	pthread_mutex_lock(&r->c->lock);
	r->api = api_set_ref(r->c->monitors.api);
	n = gc_graph_find(&r->c->graph, uid);
	work = n && n->res && !settled(n);
	if (work) {
		r->holes = (n->orphan || n->foreground) && gc_has_holes(r->c);
		r->me = ident_of(r->a, n);
		gc_keep_kind(r, resource_ref(r->me.res));
		r->deps = ARENA_ARRAY(r->a, struct ident, n->dependents.n);
		for (size_t i = 0; i < n->dependents.n; i++) {
			const struct gc_link *l = &n->dependents.p[i];

			if (!l->dependent->res)
				continue;
			r->deps[r->n_deps] = ident_of(r->a, l->dependent);
			gc_keep_kind(r, resource_ref(l->dependent->res));
			r->deps[r->n_deps++].blocks = gc_link_blocks(l);
		}
	}
	pthread_mutex_unlock(&r->c->lock);
	return work;
}

/* Whoever waits for an answer is woken. */
static int gc_asked(struct grun *r, int rc)
{
	r->woken = r->woken || rc > 0;
	return rc;
}

/* 0, or -1; 1: not yet, for all that asks below. */
static int gc_get(struct grun *r, const struct resource *res, struct sv ns, struct sv name, struct obj **ret,
		  struct err *err)
{
	/* What an object refers to is looked for behind the version that refers to it: an owner is replaced by one of
	 * the same name, with children of its own. */
	struct sv of = r->live ? arena_svf(r->a, "%lld/%.*s/%.*s", (long long)r->since_ns, SV_ARG(obj_uid(r->live)),
					   SV_ARG(val_str(obj_get(r->live, F_metadata, F_resourceVersion))))
			       : arena_svf(r->a, "%lld/%.*s", (long long)r->since_ns, SV_ARG(r->me.uid));
	const struct foreign_wake who = { &r->c->waker, r->me.uid };

	if (gc_far_is(res))
		return gc_asked(r, gc_far_get(r->c->far, res, ns, name, of, &who, ret, err));
	return client_get(r->c->ctx->client, res, ns, name, ret, err);
}

static int gc_patch(struct grun *r, const struct ident *id, const struct val *patch, struct err *err)
{
	const struct foreign_wake who = { &r->c->waker, r->me.uid };

	if (gc_far_is(id->res))
		return gc_asked(r, gc_far_write(r->c->far, id->res, "PATCH", id->ns, id->name, patch, &who, err));
	return client_patch(r->c->ctx->client, id->res, id->ns, id->name, PATCH_MERGE, patch, NULL, NULL, err);
}

/* A merge patch of metadata with one list replaced, valid for this very version of o. */
static int patch_list(struct grun *r, const struct ident *id, const struct obj *o, enum sym key, struct val *list,
		      struct err *err)
{
	struct val *patch = val_new_map(r->a), *meta = val_new_map(r->a);
	_cleanup_(err_release) struct err why = ERR_INIT;
	int rc;

	val_set_str(r->a, meta, F_uid, obj_uid(o));
	val_set_str(r->a, meta, F_resourceVersion, val_str(obj_get(o, F_metadata, F_resourceVersion)));
	val_set(r->a, meta, key, list);
	val_set(r->a, patch, F_metadata, meta);
	rc = gc_patch(r, id, patch, &why);
	if (rc < 0)
		return why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	return rc;
}

static int remove_finalizer(struct grun *r, const char *name, struct err *err)
{
	struct val *list = val_new_list(r->a);

	VAL_EACH(obj_get(r->live, F_metadata, F_finalizers), f)
		if (!val_is(f, name))
			val_push(r->a, list, f);
	return patch_list(r, &r->me, r->live, F_finalizers, list, err);
}

/* --- the owner's side --- */

/* Takes the reference to us out of one dependent. */
static int gc_let_go(struct grun *r, const struct ident *dep, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct val *refs = val_new_list(r->a);
	struct obj *o;
	int rc = gc_get(r, dep->res, dep->ns, dep->name, &o, &why);

	if (rc)
		return rc > 0 ? 1 : why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	obj_link(r->a, o);
	if (!sv_eq(obj_uid(o), dep->uid))
		return 0;
	VAL_EACH(obj_get(o, F_metadata, F_ownerReferences), ref)
		if (!sv_eq(val_get_str(ref, F_uid), r->me.uid))
			val_push(r->a, refs, ref);
	if (val_len(refs) == val_len(obj_get(o, F_metadata, F_ownerReferences)))
		return 0;
	return patch_list(r, dep, o, F_ownerReferences, refs, err);
}

static int orphan_dependents(struct grun *r, struct err *err)
{
	bool later = false;

	for (size_t i = 0; i < r->n_deps; i++) {
		int rc = gc_let_go(r, &r->deps[i], err);

		if (rc < 0)
			return err_wrap(err, "orphaning '%.*s'", SV_ARG(r->deps[i].name));
		later = later || rc > 0;
	}
	return later ? 1 : remove_finalizer(r, GC_ORPHAN, err);
}

static int wait_for_dependents(struct grun *r, struct err *err)
{
	bool blocked = false;

	for (size_t i = 0; i < r->n_deps; i++) {
		if (!r->deps[i].blocks)
			continue;
		blocked = true;
		if (!r->deps[i].foreground)
			workq_add(r->c->q, r->deps[i].uid);
	}
	return blocked ? 0 : remove_finalizer(r, GC_FOREGROUND, err);
}

/* --- the dependent's side --- */

static const struct resource *gc_kind_of(const struct api_set *api, const struct val *ref)
{
	struct sv group, version;

	if (!api_version_split(val_get_str(ref, F_apiVersion), &group, &version))
		return NULL;
	API_EACH(api, r)
		if (sv_is(group, r->group) && val_is(val_member(ref, F_kind), r->kind))
			return r;
	return NULL;
}

static void report_bad_ref(struct grun *r, const struct val *ref, const char *what)
{
	recorder_event(r->c->ctx->recorder, r->me.res, obj_root(r->live), "Warning", "OwnerRefInvalidNamespace",
		       "ownerRef [%.*s/%.*s, name: %.*s, uid: %.*s] %s", SV_ARG(val_get_str(ref, F_apiVersion)),
		       SV_ARG(val_get_str(ref, F_kind)), SV_ARG(val_get_str(ref, F_name)),
		       SV_ARG(val_get_str(ref, F_uid)), what);
}

/* Does the graph know the owner's uid in another namespace than ours? */
static bool elsewhere(struct grun *r, struct sv uid)
{
	const struct gc_node *o;
	bool is;

	pthread_mutex_lock(&r->c->lock);
	o = gc_graph_find(&r->c->graph, uid);
	is = o && o->res && o->res->namespaced && !sv_is(r->me.ns, o->ns);
	pthread_mutex_unlock(&r->c->lock);
	return is;
}

static int owner_state(struct grun *r, const struct val *ref, enum owner_state *ret, struct err *err)
{
	const struct resource *res = gc_kind_of(r->api, ref);
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_obj_ struct obj *o = NULL;
	struct sv group, version;
	int rc;

	*ret = OWNER_SOLID;
	if (!res && r->c->far && api_version_split(val_get_str(ref, F_apiVersion), &group, &version)) {
		res = gc_far_kind(r->c->far, group, val_get_str(ref, F_kind));
		if (res)
			gc_keep_kind(r, res);
	}
	if (!res)
		return 0; /* a kind of which nothing is known may well be there */
	if (res->namespaced && !r->me.ns.n) {
		report_bad_ref(r, ref, "is namespaced, but the dependent is not");
		return 0;
	}
	if (elsewhere(r, val_get_str(ref, F_uid)))
		report_bad_ref(r, ref, arena_printf(r->a, "does not exist in namespace \"%.*s\"", SV_ARG(r->me.ns)));
	rc = gc_get(r, res, res->namespaced ? r->me.ns : SV(""), val_get_str(ref, F_name), &o, &why);
	if (rc > 0)
		return 1;
	if (rc < 0) {
		if (why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
		*ret = OWNER_GONE;
		return 0;
	}
	if (!sv_eq(obj_uid(o), val_get_str(ref, F_uid)))
		*ret = OWNER_GONE;
	else if (obj_deleting(o) && obj_has_finalizer(o, GC_FOREGROUND))
		*ret = OWNER_WAITS;
	return 0;
}

static int delete_far(struct grun *r, const char *policy, struct err *err)
{
	struct val *doc = val_new_map(r->a), *pre = val_new_map(r->a);

	val_set_cstr(r->a, doc, F_kind, "DeleteOptions");
	val_set_cstr(r->a, doc, F_apiVersion, "v1");
	val_set_cstr(r->a, doc, F_propagationPolicy, policy);
	/* The object was asked for a moment ago: it is to be what it was then. */
	val_set_str(r->a, pre, F_uid, r->me.uid);
	if (obj_get(r->live, F_metadata, F_resourceVersion))
		val_set_str(r->a, pre, F_resourceVersion, val_str(obj_get(r->live, F_metadata, F_resourceVersion)));
	val_set(r->a, doc, F_preconditions, pre);
	return gc_asked(r, gc_far_write(r->c->far, r->me.res, "DELETE", r->me.ns, r->me.name, doc,
					&(struct foreign_wake){ &r->c->waker, r->me.uid }, err));
}

#define GC_NO_ANSWER 2 /* of a far kind, so far: the run comes again */

/* Reads r->live anew: 1 when it still says the same of its owners, 0 when there is nothing to do or to be said again.
 */
static int gc_still_mine(struct grun *r, struct err *err)
{
	const struct val *was = obj_get(r->live, F_metadata, F_ownerReferences), *is;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct obj *o;
	int rc = gc_get(r, r->me.res, r->me.ns, r->me.name, &o, &why);

	if (rc)
		return rc > 0 ? GC_NO_ANSWER : why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	obj_link(r->a, o);
	is = obj_get(o, F_metadata, F_ownerReferences);
	if (!sv_eq(obj_uid(o), r->me.uid) || !was || !is || !val_equal(was, is))
		return 0;
	r->live = o;
	return 1;
}

/* Only as it was judged: its owners may have let go of it since. Whoever writes it all the time, and says nothing of
 * its owners, does not keep it. */
static int delete_me(struct grun *r, const char *policy, struct err *err)
{
	struct client_delete_opts o = CLIENT_DELETE_OPTS;

	o.propagation = policy;
	o.precondition_uid = r->me.uid;
	for (int tries = 0;; tries++) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		int mine, rc;

		o.precondition_rev = obj_rev(r->live);
		rc = gc_far_is(r->me.res) ? delete_far(r, policy, &why)
					  : client_delete(r->c->ctx->client, r->me.res, r->me.ns, r->me.name, &o, &why);
		if (rc >= 0 || why.reason == ERR_NOT_FOUND)
			return MAX(rc, 0);
		if (why.reason != ERR_CONFLICT || tries == DELETE_TRIES)
			return err_move(err, &why);
		mine = gc_still_mine(r, err);
		if (mine < 0 || mine == GC_NO_ANSWER)
			return mine < 0 ? -1 : 1;
		if (!mine) { /* judged again, by what it says now */
			workq_add(r->c->q, r->me.uid);
			return 0;
		}
	}
}

/* A circle of foreground deletions would wait for ever: stop blocking our owners. */
static int break_circle(struct grun *r, struct err *err)
{
	bool circle = false;
	struct val *refs;

	for (size_t i = 0; i < r->n_deps; i++)
		circle |= r->deps[i].foreground;
	if (!circle)
		return 0;
	refs = val_clone_nodes(r->a, obj_get(r->live, F_metadata, F_ownerReferences));
	for (size_t i = 0; i < val_len(refs); i++)
		val_set_bool(r->a, val_at_mut(refs, i), F_blockOwnerDeletion, false);
	return patch_list(r, &r->me, r->live, F_ownerReferences, refs, err);
}

static int judge_dependent(struct grun *r, struct err *err)
{
	const struct val *refs = obj_get(r->live, F_metadata, F_ownerReferences);
	struct val *keep = val_new_list(r->a);
	bool solid = false, waits = false, later = false;

	VAL_EACH(refs, ref) {
		enum owner_state s;
		int rc = owner_state(r, ref, &s, err);

		if (rc < 0)
			return err_wrap(err, "looking for the owners of '%.*s'", SV_ARG(r->me.name));
		later = later || rc > 0;
		solid |= s == OWNER_SOLID;
		waits |= s == OWNER_WAITS;
		if (s == OWNER_SOLID)
			val_push(r->a, keep, ref);
	}
	if (later)
		return 1;
	if (!val_len(refs))
		return 0;
	if (solid)
		return val_len(keep) == val_len(refs) ? 0
						      : patch_list(r, &r->me, r->live, F_ownerReferences, keep, err);
	if (waits && r->n_deps) {
		int rc = break_circle(r, err);

		if (rc)
			return rc;
		return delete_me(r, "Foreground", err);
	}
	return delete_me(r,
			 obj_has_finalizer(r->live, GC_ORPHAN)	     ? "Orphan"
			 : obj_has_finalizer(r->live, GC_FOREGROUND) ? "Foreground"
								     : "Background",
			 err);
}

static void gc_run_release(struct grun *r)
{
	api_set_unref(r->api);
}

/* 1: not yet. */
static int gc_run(struct grun *r, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	int rc = gc_get(r, r->me.res, r->me.ns, r->me.name, &r->live, &why);

	if (rc)
		return rc > 0 ? 1 : why.reason == ERR_NOT_FOUND ? 0 : err_move(err, &why);
	obj_link(r->a, r->live);
	if (!sv_eq(obj_uid(r->live), r->me.uid))
		return 0;
	if (!obj_deleting(r->live))
		return judge_dependent(r, err);
	if (r->holes)
		return 1;
	if (obj_has_finalizer(r->live, GC_ORPHAN))
		return orphan_dependents(r, err);
	if (obj_has_finalizer(r->live, GC_FOREGROUND))
		return wait_for_dependents(r, err);
	return 0;
}

static int gc_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct gc *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(gc_run_release) struct grun r = { .c = c, .a = &a, .since_ns = ret->since_ns };
	int rc = gc_load(&r, key) ? gc_run(&r, err) : 0;

	ret->undecided = rc > 0;
	if (rc > 0)
		ret->after_ns = r.woken && !r.holes ? FOREIGN_ANYWAY_NS : GC_AGAIN_NS;
	return MIN(rc, 0);
}

/* --- life --- */

static void queue_uid(struct sv uid, void *ctx)
{
	workq_add(((struct gc *)ctx)->q, uid);
}

static void gc_wake(void *ctx, struct sv key)
{
	workq_wake(((struct gc *)ctx)->q, key);
}

static bool gc_ready(void *ctx)
{
	struct gc *c = ctx;
	bool synced;

	pthread_mutex_lock(&c->lock);
	synced = gc_monitors_synced(&c->monitors);
	pthread_mutex_unlock(&c->lock);
	return synced;
}

static void *gc_start(struct controller_ctx *ctx)
{
	struct gc *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	pthread_mutex_init(&c->lock, NULL);
	c->graph.look = queue_uid;
	c->graph.ctx = c;
	c->waker = (struct foreign_waker){ .wake = gc_wake, .ctx = c };
	c->far = gc_far_new(ctx, &c->lock, &c->graph);
	gc_monitors_start(&c->monitors, ctx, &c->lock, &c->graph);
	/* Last: it asks at once whether all of them are synced. */
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "garbage-collector-controller",
							 .workers = 20,
							 .reconcile = gc_reconcile,
							 .ctx = c,
							 .ready = gc_ready });
	gc_far_start(c->far);
	gc_monitors_follow(&c->monitors);
	return c;
}

static void gc_stop(void *controller)
{
	struct gc *c = controller;

	gc_monitors_stay(&c->monitors);
	gc_far_stop(c->far);
	foreign_forget(c->ctx->opts->forget_foreign, c->ctx->opts->foreign_ctx, &c->waker);
	workq_free(c->q);
	gc_far_free(c->far);
	gc_graph_release(&c->graph);
	gc_monitors_release(&c->monitors);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct controller_ops gc_controller = { "garbage-collector-controller", "generic-garbage-collector", gc_start,
					      gc_stop };
