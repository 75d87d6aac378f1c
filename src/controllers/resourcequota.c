/* resourcequota: how much of a quota is used, counted anew.
 *
 * The API server counts what comes (apiserver/admission/resource_quota.h), together with the object; what goes, and
 * what was there before the quota, is counted here. The quota is read first, then what there is, and what was found is
 * written to that very version of the quota: whatever came meanwhile has changed it, and it is counted anew at once.
 *
 * Where things come faster than they can be counted that would never end. After a few times the count is written over
 * whatever version the quota has by then, with what was charged meanwhile on top (quota_status.h): perhaps too much,
 * never too little, and it is counted again until nothing comes between.
 *
 * A write that was admitted before there was a quota is charged to none, and may be done behind the first count: a
 * quota is counted again once it is in force, and when nothing can be under way any more that has not seen it.
 *
 * When: a quota comes or its spec changes, something of its namespace goes or uses less, a kind comes or goes, the
 * grace of a Pod ends; and every five minutes. Many that go at once are one look.
 *
 * Objects of kinds that other servers answer are counted as well, where those can be listed and watched, as upstream
 * does; nothing refuses one more of them, as they do not come by here (quota_far.h).
 *
 * Informers only say where to look. Those of built-in kinds are the garbage collector's, a handler is added when the
 * first quota names the kind. One of a custom kind is ours, of a namespace where a quota names it, and ends with the
 * last such quota, or with the kind. */
#include "base/vec.h"
#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/quota_far.h"
#include "controllers/quota_status.h"
#include "controllers/status.h"
#include "object/quantity.h"
#include "object/served.h"
#include "quota/quota.h"

#include <pthread.h>
#include <stdlib.h>

#define RESYNC_NS (300 * NS_PER_SEC)
#define SETTLE_NS (NS_PER_SEC / 10) /* from a deletion to the look: more of them may come */
#define BUSY_NS NS_PER_SEC	    /* from one count that met others to the next */
#define UNSEEN_NS (60 * NS_PER_SEC) /* longer than the server gives any write */
#define COUNTS_EXACT 3		    /* counts of a run that must find the quota unchanged */
#define COUNTS_MOVED 2		    /* the first may only open it */
#define WRITES_MOVED 64		    /* of the one behind them: each takes a read and a write */

struct quota_controller;

/* Somebody listens to changes of a kind. */
struct quota_watch {
	struct quota_controller *c;
	const struct resource *res; /* held while it is a late kind's */
	char *ns;		    /* of a late kind; NULL: all namespaces */
	struct informer *informer;
};

struct quota_controller {
	struct controller_ctx *ctx;
	struct informer *quotas;
	struct api_listener listener;
	pthread_mutex_t lock; /* of what follows */
	VEC(struct quota_watch *) watches;
	struct quota_far_counts far; /* has a lock of its own */
	struct foreign_waker waker;
	struct workq *q;
};

/* --- what there is --- */

struct quota_count {
	struct quota_controller *c;
	struct arena *a;
	const struct obj *quota;
	struct quota_list used; /* amounts in memory of their own: they change with every object */
	int64_t next_ns;	/* when a Pod's grace ends, wall clock */
	bool far;		/* something of others is named, */
	bool later;		/* of which some did not say yet */
	bool in_force;		/* the quota was, when this began */
};

static void quota_count_add(struct quota_count *k, struct arena *a, struct sv name, struct sv amount)
{
	struct sv had = quota_list_get(&k->used, name), sum = quota_sum(a, had, amount);
	char *text;

	if (sv_eq(had, sum))
		return;
	text = xstrndup(sum.p, sum.n);
	free((char *)(uintptr_t)had.p);
	quota_list_set(&k->used, name, sv_make(text, sum.n));
}

static void quota_count_release(struct quota_count *k)
{
	for (size_t i = 0; i < k->used.n; i++)
		free((char *)(uintptr_t)k->used.p[i].amount.p);
	quota_list_release(&k->used);
}

/* Of one object what names has. */
static void quota_count_one(struct quota_count *k, const struct resource *r, const struct obj *o,
			    const struct quota_list *names, bool scoped)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(quota_list_release) struct quota_list uses = QUOTA_LIST_INIT;
	int64_t now = env_now_ns(k->c->ctx->env), until;

	if (scoped && !quota_scopes_met(obj_root(k->quota), r, obj_root(o)))
		return;
	quota_usage(&a, r, obj_root(o), now, &uses);
	for (size_t i = 0; i < uses.n; i++) {
		struct sv name = quota_list_get(names, uses.p[i].name);

		if (name.p) /* the name as the quota has it, which outlives this */
			quota_count_add(k, &a, name, uses.p[i].amount);
	}
	until = r == RES(core_pods) ? quota_pod_until(obj_root(o)) : INT64_MAX;
	if (until > now)
		k->next_ns = MIN(k->next_ns, until);
}

static bool quota_countable(const struct resource *r)
{
	if (!r->namespaced || !(r->verbs & 1 << VERB_LIST))
		return false;
	return resource_late(r) ? api_kind_first(r) : resource_served_first(r);
}

static int quota_count_kind(struct quota_count *k, const struct resource *r, struct err *err)
{
	_cleanup_(obj_list_release) struct obj_list all = { 0 };
	_cleanup_(quota_list_release) struct quota_list names = QUOTA_LIST_INIT;
	struct sv count = quota_count_name(k->a, r);
	bool scoped = quota_has_scopes(obj_root(k->quota));

	VAL_EACH_MEMBER(obj_get(k->quota, F_spec, F_hard), m) {
		if (!quota_names(r, count, m.key))
			continue;
		quota_list_set(&names, m.key, m.key);
		quota_count_add(k, k->a, m.key, SV("0"));
	}
	if (!names.n)
		return 0;
	if (client_list(k->c->ctx->client, r, obj_ns(k->quota), NULL, &all, err) < 0)
		return err_wrap(err, "counting %s", r->plural);
	for (size_t i = 0; i < all.n; i++)
		quota_count_one(k, r, all.items[i], &names, scoped);
	return 0;
}

/* What others have of what is named so. Who does not say, or not yet, leaves the amount what it was. */
static void quota_count_far(struct quota_count *k, struct sv key)
{
	const struct foreign_wake who = { &k->c->waker, key };

	VAL_EACH_MEMBER(obj_get(k->quota, F_spec, F_hard), m) {
		size_t n;
		enum quota_far rc =
		    quota_far_count(&k->c->far, k->c->ctx->opts, obj_uid(k->quota), m.key, obj_ns(k->quota), &who, &n);

		k->later = k->later || rc == QUOTA_FAR_LATER;
		k->far = k->far || rc != QUOTA_FAR_NONE;
		if (rc == QUOTA_FAR_COUNTED)
			quota_count_add(k, k->a, m.key,
					quota_has_scopes(obj_root(k->quota)) ? SV("0") : arena_svf(k->a, "%zu", n));
	}
}

/* --- whom to listen to --- */

static void quota_look(struct quota_controller *c, const struct resource *r, struct sv ns)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv count = quota_count_name(&a, r);
	struct obj **all;
	size_t n;

	all = informer_list(c->quotas, &a, ns, &n);
	for (size_t i = 0; i < n; i++) {
		VAL_EACH_MEMBER(obj_get(all[i], F_spec, F_hard), m) {
			if (!quota_names(r, count, m.key))
				continue;
			workq_add_after(c->q,
					arena_svf(&a, "%.*s/%.*s", SV_ARG(obj_ns(all[i])), SV_ARG(obj_name(all[i]))),
					SETTLE_NS);
			break;
		}
	}
}

static void quota_object_gone(struct obj *o, void *ctx)
{
	struct quota_watch *w = ctx;

	quota_look(w->c, w->res, obj_ns(o));
}

static void quota_uses(struct arena *a, const struct quota_watch *w, const struct obj *o, struct quota_list *ret)
{
	quota_usage(a, w->res, obj_root(o), env_now_ns(w->c->ctx->env), ret);
}

/* Does it use something else than before? */
static void quota_object_changed(struct obj *old, struct obj *neu, void *ctx)
{
	struct quota_watch *w = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(quota_list_release) struct quota_list was = QUOTA_LIST_INIT, is = QUOTA_LIST_INIT;
	bool same;

	if (!sv_eq(obj_uid(old), obj_uid(neu))) {
		quota_look(w->c, w->res, obj_ns(neu));
		return;
	}
	if (quota_kind_of(w->res) == QUOTA_OBJECTS)
		return;
	quota_uses(&a, w, old, &was);
	quota_uses(&a, w, neu, &is);
	same = was.n == is.n && obj_deleting(old) == obj_deleting(neu);
	for (size_t i = 0; same && i < is.n; i++)
		same = quantity_cmp(quota_list_get(&was, is.p[i].name), is.p[i].amount) == 0;
	if (!same)
		quota_look(w->c, w->res, obj_ns(neu));
}

static bool quota_watches(struct quota_controller *c, const struct resource *r, struct sv ns)
{
	for (size_t i = 0; i < c->watches.n; i++)
		if (c->watches.p[i]->res == r && (!c->watches.p[i]->ns || sv_is(ns, c->watches.p[i]->ns)))
			return true;
	return false;
}

static void quota_watch_end(struct quota_watch *w)
{
	if (w->ns && w->informer)
		informer_end(w->c->ctx->informers, w->informer);
	resource_unref(w->res);
	free(w->ns);
	free(w);
}

static void quota_watch_begin(struct quota_controller *c, const struct resource *r, struct sv ns)
{
	static const struct informer_handler handler = { .update = quota_object_changed, .del = quota_object_gone };
	struct quota_watch *w;

	if (!(r->verbs & 1 << VERB_WATCH) || informer_factory_stopped(c->ctx->informers))
		return;
	pthread_mutex_lock(&c->lock);
	if (!quota_watches(c, r, ns)) {
		w = xcalloc(1, sizeof(*w));
		w->c = c;
		w->res = resource_ref(r);
		w->ns = resource_late(r) ? xstrndup(ns.p, ns.n) : NULL;
		w->informer = informer_get(c->ctx->informers, r, w->ns, NULL, NULL);
		informer_add_handler(w->informer, &handler, w);
		vec_push(&c->watches, w);
	}
	pthread_mutex_unlock(&c->lock);
}

/* Those for which drop() says so. */
static void quota_watches_drop(struct quota_controller *c, bool (*drop)(const struct quota_watch *w, const void *ctx),
			       const void *ctx)
{
	VEC(struct quota_watch *) gone = VEC_INIT;

	pthread_mutex_lock(&c->lock);
	for (size_t i = c->watches.n; i-- > 0;) {
		if (!drop(c->watches.p[i], ctx))
			continue;
		vec_push(&gone, c->watches.p[i]);
		vec_remove_swap(&c->watches, i);
	}
	pthread_mutex_unlock(&c->lock);
	for (size_t i = 0; i < gone.n; i++)
		quota_watch_end(gone.p[i]);
	vec_release(&gone);
}

static int quota_there(struct obj *o, void *ctx)
{
	(void)o;
	*(bool *)ctx = true;
	return 1;
}

static bool quota_ns_without(const struct quota_watch *w, const void *ctx)
{
	const struct sv *ns = ctx;
	bool any = false;

	if (!w->ns || !sv_is(*ns, w->ns))
		return false;
	informer_each(w->c->quotas, *ns, quota_there, &any);
	return !any;
}

/* --- the run --- */

/* The service account may list quotas, but not get one. */
static struct obj *quota_read(struct quota_controller *c, struct arena *a, struct sv ns, struct sv name, bool *ret_gone,
			      struct err *err)
{
	const struct client_list_opts o = { .field_selector = arena_printf(a, "metadata.name=%.*s", SV_ARG(name)) };
	_cleanup_(obj_list_release) struct obj_list l = { 0 };

	*ret_gone = false;
	if (client_list(c->ctx->client, RES(core_resourcequotas), ns, &o, &l, err) < 0)
		return NULL;
	*ret_gone = l.n == 0;
	return l.n ? obj_link(a, obj_ref(l.items[0])) : NULL;
}

static int quota_write(struct quota_count *k, struct obj *onto, const struct val *status, struct err *err)
{
	struct val *doc;

	if (!status)
		return 0;
	doc = obj_edit(k->a, onto);
	val_set(k->a, doc, F_status, status);
	return client_update_status(k->c->ctx->client, RES(core_resourcequotas), doc, NULL, err);
}

/* What there is of all that the quota names. */
static int quota_count_all(struct quota_count *k, struct sv key, struct err *err)
{
	struct quota_controller *c = k->c;
	const struct api_set *api = api_current_get(c->ctx->opts->kinds);
	int rc = 0;

	API_EACH(api, r) {
		size_t named = k->used.n;

		if (rc < 0 || !quota_countable(r))
			continue;
		rc = quota_count_kind(k, r, err);
		if (k->used.n > named)
			quota_watch_begin(c, r, obj_ns(k->quota));
	}
	api_set_unref(api);
	if (rc == 0 && c->ctx->opts->kinds_foreign)
		quota_count_far(k, key);
	return rc;
}

static bool quota_asks_the_same(const struct obj *x, const struct obj *y)
{
	return sv_eq(obj_uid(x), obj_uid(y)) && val_equal(obj_get(x, F_spec), obj_get(y, F_spec));
}

/* Over whatever version there is by then: the count, or what must be there before one can be. 1: it was written, and is
 * to be counted again; 0: the quota went, or asks for something else, which brings it here again. */
static int quota_write_moved(struct quota_count *k, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	bool opened = quota_opened(&k->used, k->quota);
	struct obj *then = NULL;

	for (int i = 0; i < WRITES_MOVED; i++) {
		bool gone;
		struct obj *now = quota_read(k->c, k->a, obj_ns(k->quota), obj_name(k->quota), &gone, err);

		if (!now)
			return gone ? 0 : -1;
		if (!quota_asks_the_same(k->quota, now))
			return 0;
		if (!then)
			then = now;
		if (quota_write(k, now,
				opened ? quota_status(k->a, &k->used, k->quota, then, now)
				       : quota_status_open(k->a, &k->used, now),
				&why) == 0)
			return 1;
		if (why.reason != ERR_CONFLICT)
			return err_move(err, &why);
		err_release(&why);
	}
	return 1;
}

/* One count. 1: the quota has changed meanwhile, it is to be counted again. */
static int quota_count_once(struct quota_count *k, struct sv key, bool moved, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct obj *quota;
	struct sv ns, name;
	bool gone;

	workq_key_split(key, &ns, &name);
	quota = quota_read(k->c, k->a, ns, name, &gone, err);
	if (gone)
		quota_watches_drop(k->c, quota_ns_without, &ns);
	if (!quota)
		return gone ? 0 : -1;
	k->quota = quota;
	k->in_force = quota_in_force(quota);
	if (quota_count_all(k, key, err) < 0)
		return -1;
	if (moved)
		return quota_write_moved(k, err);
	if (quota_write(k, quota, quota_status(k->a, &k->used, quota, quota, quota), &why) == 0 ||
	    why.reason == ERR_NOT_FOUND)
		return 0;
	return why.reason == ERR_CONFLICT ? 1 : err_move(err, &why);
}

/* When to count again what is counted and in force. */
static int64_t quota_unseen_ns(const struct quota_count *k, int64_t now_ns)
{
	int64_t made_ns, left_ns;

	if (k->quota && !k->in_force)
		return BUSY_NS;
	if (!k->quota || !time_get(obj_get(k->quota, F_metadata, F_creationTimestamp), &made_ns))
		return RESYNC_NS;
	left_ns = made_ns + UNSEEN_NS - now_ns;
	return left_ns > 0 && left_ns <= UNSEEN_NS ? left_ns : RESYNC_NS;
}

static int quota_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct quota_controller *c = ctx;
	int64_t now, next_ns = INT64_MAX, unseen_ns = RESYNC_NS;
	bool far = false, later = false, in_force = false;
	int rc = 1;

	for (int i = 0; rc > 0 && i < COUNTS_EXACT + COUNTS_MOVED; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(quota_count_release) struct quota_count k = { .c = c, .a = &a, .next_ns = INT64_MAX };

		rc = quota_count_once(&k, key, i >= COUNTS_EXACT, err);
		next_ns = k.next_ns;
		far = k.far;
		later = k.later;
		in_force = k.in_force;
		unseen_ns = quota_unseen_ns(&k, env_now_ns(c->ctx->env));
	}
	now = env_now_ns(c->ctx->env);
	ret->after_ns = next_ns > now ? MIN(unseen_ns, next_ns - now + 1) : unseen_ns;
	if (far)
		ret->after_ns = MIN(ret->after_ns, later ? FOREIGN_ANYWAY_NS : QUOTA_FAR_NS);
	if (rc > 0)
		ret->after_ns = in_force ? BUSY_NS : SETTLE_NS;
	ret->undecided = later && rc <= 0;
	return MIN(rc, 0);
}

/* --- events --- */

static void quota_added(struct obj *o, void *ctx)
{
	workq_add_obj(((struct quota_controller *)ctx)->q, obj_ns(o), obj_name(o));
}

/* What admission and this write to its status is no reason to look. */
static void quota_changed(struct obj *old, struct obj *neu, void *ctx)
{
	if (!val_equal(obj_get(old, F_spec), obj_get(neu, F_spec)) || !sv_eq(obj_uid(old), obj_uid(neu)))
		quota_added(neu, ctx);
}

static bool quota_kind_went(const struct quota_watch *w, const void *ctx)
{
	return resource_late(w->res) && !api_has(ctx, w->res);
}

static int quota_by_count(struct obj *o, void *ctx)
{
	VAL_EACH_MEMBER(obj_get(o, F_spec, F_hard), m) {
		if (!sv_starts(m.key, SV("count/")))
			continue;
		quota_added(o, ctx);
		return 0;
	}
	return 0;
}

static void quota_kinds_changed(const struct api_set *was, const struct api_set *now, void *ctx)
{
	struct quota_controller *c = ctx;

	(void)was;
	if (informer_factory_stopped(c->ctx->informers))
		return;
	quota_watches_drop(c, quota_kind_went, now);
	informer_each(c->quotas, SV(""), quota_by_count, c);
}

static void quota_wake(void *ctx, struct sv key)
{
	workq_wake(((struct quota_controller *)ctx)->q, key);
}

static bool quota_ready(void *ctx)
{
	return informer_synced(((struct quota_controller *)ctx)->quotas);
}

static void *quota_start(struct controller_ctx *ctx)
{
	struct quota_controller *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	pthread_mutex_init(&c->lock, NULL);
	quota_far_init(&c->far);
	c->waker = (struct foreign_waker){ .wake = quota_wake, .ctx = c };
	c->quotas = informer_get(ctx->informers, RES(core_resourcequotas), NULL, NULL, NULL);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "resourcequota-controller",
							 .workers = 5,
							 .retry_max_ns = 60 * NS_PER_SEC,
							 .reconcile = quota_reconcile,
							 .ctx = c,
							 .ready = quota_ready });
	informer_add_handler(c->quotas, &(struct informer_handler){ quota_added, quota_changed, quota_added }, c);
	c->listener = (struct api_listener){ .changed = quota_kinds_changed, .ctx = c };
	api_current_listen(ctx->opts->kinds, &c->listener);
	return c;
}

static void quota_stop(void *controller)
{
	struct quota_controller *c = controller;

	api_current_unlisten(c->ctx->opts->kinds, &c->listener);
	foreign_forget(c->ctx->opts->forget_foreign, c->ctx->opts->foreign_ctx, &c->waker);
	workq_free(c->q);
	while (c->watches.n) {
		struct quota_watch *w = vec_pop(&c->watches);

		w->informer = NULL; /* goes with its factory */
		quota_watch_end(w);
	}
	vec_release(&c->watches);
	quota_far_release(&c->far);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

const struct controller_ops resourcequota_controller = { "resourcequota-controller", "resourcequota-controller",
							 quota_start, quota_stop };
