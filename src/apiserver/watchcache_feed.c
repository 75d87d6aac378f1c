/* How the watch cache is filled and follows the store, and who hears of it. All of it after the start is on the store's
 * thread. */
#include "apiserver/watchcache-internal.h"
#include "apiserver/history/history.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/set_aside.h"
#include "apiserver/storekey.h"
#include "base/board.h"
#include "base/quarantine.h"

void wc_publish(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o_take, int64_t rev,
		struct wc_change **ret)
{
	struct apiserver *s = r->cache->s;
	struct wc_change *c = xcalloc(1, sizeof(*c));
	struct obj *prev, *now = o_take;

	atomic_init(&c->refs, 1);
	c->rev = rev;
	c->mono_ns = env_mono_ns(s->env);
	if (o_take) {
		prev = objtree_put(&r->tree, obj_ref(o_take));
	} else {
		prev = objtree_del(&r->tree, ns, name);
		if (prev) {
			c->deleted = true;
			now = obj_new(obj_root(prev), rev);
		}
	}
	c->o = now;
	c->prev = prev;
	wc_ring_share(r, c);
	r->last_rev = rev;
	atomic_fetch_add_explicit(&r->n_changes, 1, memory_order_relaxed);
	if (now) {
		wc_ring_push(r, c);
		wc_dispatch(r, c);
	}
	*ret = c;
}

static void publish(struct wc_resource *r, struct sv ns, struct sv name, struct obj *o_take, int64_t rev)
{
	const struct strategy *st = strategy_for(r->res);
	_cleanup_obj_ struct obj *prev = NULL;
	struct wc_change *c;

	lock_write(&r->lock, &wc_lock);
	if (r->late && wc_late_keeps(r, ns, name, o_take, rev)) {
		pthread_rwlock_unlock(&r->lock);
		obj_unref(o_take);
		return;
	}
	wc_publish(r, ns, name, o_take, rev, &c);
	if (st->observe)
		prev = obj_ref(c->prev); /* the ring may let go of it */
	pthread_rwlock_unlock(&r->lock);
	if (c->o && st->observe)
		st->observe(r->cache->s, prev, c->deleted ? NULL : c->o);
	wc_change_unref(c);
}

/* A reference to its kind is the caller's. */
static struct wc_resource *resource_of_key(struct watchcache *c, struct sv key)
{
	struct wc_resource *r = NULL;

	for (size_t parts = 1; !r && parts <= STOREKEY_PATH_PARTS; parts++) {
		struct sv path = storekey_path(key, parts);

		r = path.p ? strmap_get(&c->by_path, path) : NULL;
		if (!r && path.p)
			r = wc_late_at(c, path);
	}
	return r;
}

/* Why nothing can be had of kv, which is not deadly. */
static enum set_aside_why aside_why(const struct store_kv *kv)
{
	if (!kv->why)
		return ASIDE_UNREADABLE;
	return kv->why->reason == ERR_UNAVAILABLE || kv->why->reason == ERR_TIMEOUT ? ASIDE_UNANSWERED : ASIDE_SEALED;
}

/* Nothing can be had of kv, for that reason. */
static void note_aside(struct wc_resource *r, const struct store_kv *kv, enum set_aside_why why)
{
	struct sv ns, name;

	wc_key_split(r, kv->key, &ns, &name);
	if (strategy_for(r->res)->unread)
		strategy_for(r->res)->unread(r->cache->s, kv->key, kv->value.p ? kv->value : SV(""),
					     objtree_get(&r->tree, ns, name));
	/* Not what is on its way out: set_aside_forget() has been there. */
	lock_read(&r->lock, &wc_lock);
	if (!wc_late_gone(r))
		set_aside_put(r->cache->s, r->res, ns, name, kv->key, kv->mod_rev, why, kv->why);
	pthread_rwlock_unlock(&r->lock);
	if (why == ASIDE_UNANSWERED)
		wc_again_arm(r->cache);
}

void wc_hide(struct wc_resource *r, int64_t rev)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	err_set(&why, ERR_EXPIRED, "an object of %s cannot be opened", r->res->plural);
	lock_write(&r->lock, &wc_lock);
	wc_end_all(r, &why);
	wc_ring_release(r);
	r->last_rev = MAX(r->last_rev, rev);
	r->ring_floor = r->last_rev;
	pthread_rwlock_unlock(&r->lock);
}

/* What is there now is no object: lists go on without it, and whoever knew it starts over by one. Nobody is told of a
 * deletion that was none. */
static void feed_spoilt(struct wc_resource *r, struct sv ns, struct sv name, int64_t rev)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	const struct strategy *st = strategy_for(r->res);
	_cleanup_obj_ struct obj *prev = NULL;

	err_set(&why, ERR_EXPIRED, "an object of %s cannot be read", r->res->plural);
	lock_write(&r->lock, &wc_lock);
	if (!r->late || !wc_late_keeps(r, ns, name, NULL, rev)) {
		prev = objtree_del(&r->tree, ns, name);
		r->last_rev = MAX(r->last_rev, rev);
		atomic_fetch_add_explicit(&r->n_changes, 1, memory_order_relaxed);
	}
	if (prev) {
		wc_end_all(r, &why);
		wc_ring_release(r);
		r->ring_floor = r->last_rev;
	}
	pthread_rwlock_unlock(&r->lock);
	if (prev && st->observe)
		st->observe(r->cache->s, prev, NULL);
}

/* kv has been written or deleted: whatever was wrong with what was there before is over. */
static void forget_aside(struct wc_resource *r, const struct store_kv *kv)
{
	struct sv ns, name;

	wc_key_split(r, kv->key, &ns, &name);
	set_aside_drop(r->cache->s, r->res, ns, name);
	if (quarantine_has(kv->key))
		quarantine_drop(kv->key);
}

static struct obj *feed_written(const struct pending_write *pw, int64_t rev)
{
	return obj_set_rev(pw->built, rev) ? obj_ref(pw->built) : obj_new(obj_root(pw->built), rev);
}

static void note_changed(struct wc_resource *r)
{
	if (r->changed)
		return;
	r->changed = true;
	(void)resource_ref(r->res);
	vec_push(&r->cache->changed, r);
}

static void wake_all(struct watchcache *c)
{
	while (c->changed.n) {
		struct wc_resource *r = vec_pop(&c->changed);

		r->changed = false;
		wc_wake(r);
		resource_unref(r->res);
	}
}

/* One change for one resource. pw: the write that made it, if it was one through r. */
static void feed_one(struct watchcache *c, struct wc_resource *r, const struct store_change *ch,
		     struct pending_write *pw)
{
	_cleanup_obj_ struct obj *o = NULL;
	struct sv ns, name;

	wc_key_split(r, ch->kv.key, &ns, &name);
	if (!ch->kv.deleted) {
		work_key(ch->kv.key);
		o = pw ? feed_written(pw, ch->kv.mod_rev) : wc_parse(r, &ch->kv);
		if (pw && o)
			pw->result = obj_ref(o);
	}
	if (!o && !ch->kv.deleted && wc_late_follows(r, &ch->kv)) {
		wc_late_overtaken(r);
		return;
	}
	if (o || ch->kv.deleted)
		forget_aside(r, &ch->kv);
	else
		note_aside(r, &ch->kv, aside_why(&ch->kv));
	if (!o && ch->kv.why) { /* it is there, and what was known of it is kept until it can be opened */
		wc_hide(r, ch->kv.mod_rev);
		note_changed(r);
		return;
	}
	if (o || ch->kv.deleted)
		publish(r, ns, name, o ? obj_ref(o) : NULL, ch->kv.mod_rev);
	else
		feed_spoilt(r, ns, name, ch->kv.mod_rev);
	if (strategy_for(r->res)->unread && (o || ch->kv.deleted))
		strategy_for(r->res)->unread(c->s, ch->kv.key, SV_NULL, NULL);
	note_changed(r);
	standing_observe(c->s, r->res, name, o);
}

static void on_change(const struct store_change *ch, void *ctx)
{
	struct watchcache *c = ctx;
	struct pending_write *written = ch->cookie, *pw = written && written->of == c ? written : NULL;
	struct wc_resource *r = pw ? wc_resource_find(c, pw->res) : resource_of_key(c, ch->kv.key);
	struct wc_resource *twins[WC_TWINS_MAX];
	_cleanup_(work_leave) _unused_ int mark = work_enter("publish", SV(""), SV(""), SV(""));

	history_changed(c->s->history, ch->kv.key.n, ch->kv.value.n);
	if (r) {
		size_t n = r->late ? wc_late_twins(c, r, twins) : 0;

		pthread_mutex_lock(&c->feeding);
		feed_one(c, r, ch, pw);
		for (size_t i = 0; i < n; i++) {
			feed_one(c, twins[i], ch, NULL);
			resource_unref(twins[i]->res);
		}
		pthread_mutex_unlock(&c->feeding);
		if (!pw)
			resource_unref(r->res); /* resource_of_key() */
	}
	/* Of a revision that is known in part nothing is said: progress does when it is there. */
	if (!ch->more)
		atomic_store_explicit(&c->rev, ch->kv.mod_rev, memory_order_release);
}

static void on_progress(int64_t rev, void *ctx)
{
	struct watchcache *c = ctx;

	if (rev > atomic_load(&c->rev))
		atomic_store_explicit(&c->rev, rev, memory_order_release);
	history_progress(c->s->history, rev);
	wake_all(c);
}

static void end_watches(struct wc_resource *r, void *ctx)
{
	lock_write(&r->lock, &wc_lock);
	wc_end_all(r, ctx);
	pthread_rwlock_unlock(&r->lock);
}

static void on_end(const struct err *why, void *ctx)
{
	struct watchcache *c = ctx;

	wake_all(c);
	if (!atomic_load(&c->broken)) {
		err_copy(&c->why, why);
		atomic_store(&c->broken, true);
		if (!atomic_load(&c->s->stopping) && c->s->o.lost)
			c->s->o.lost(why);
	}
	wc_each_resource(c, end_watches, (void *)(uintptr_t)why);
}

static int fill_one(const struct store_kv *kv, void *ctx)
{
	struct wc_resource *r = ctx;
	struct obj *o;

	if (quarantine_has(kv->key)) {
		note_aside(r, kv, ASIDE_DEADLY);
		return 0;
	}
	work_key(kv->key);
	if (kv->mod_rev >= r->filled_newest) {
		r->filled_shared = kv->mod_rev == r->filled_newest;
		r->filled_newest = kv->mod_rev;
	}
	o = wc_parse(r, kv);
	if (o)
		obj_unref(objtree_put(&r->tree, o));
	else
		note_aside(r, kv, aside_why(kv));
	return 0;
}

int wc_fill(struct wc_resource *r, int64_t rev, int64_t *ret_rev, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv from = storekey_first(&a, r->res, SV(""));

	if (store_range(r->cache->s->store, from, storekey_behind(&a, from), rev, 0, fill_one, r, ret_rev, err) < 0)
		return err_wrap(err, "reading %s from the store", r->res->plural);
	return 0;
}

static int load(struct watchcache *c, int64_t *ret_rev, struct err *err)
{
	int64_t rev = 0;

	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];

		if (r && r->res == &resource_all[i] && wc_fill(r, rev, &rev, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < resource_count; i++) {
		struct wc_resource *r = c->by_id[i];
		const struct strategy *st;
		struct objtree_pos p = { 0, 0 };
		const struct objtree_entry *e;

		if (!r || r->res != &resource_all[i])
			continue;
		r->ring_floor = r->last_rev = rev;
		st = strategy_for(r->res);
		for (; st->observe && (e = objtree_at(&r->tree, p)); p = objtree_next(&r->tree, p)) {
			wc_work(c, r->res, e->o);
			st->observe(c->s, NULL, e->o);
		}
	}
	atomic_store(&c->rev, rev);
	*ret_rev = rev;
	return 0;
}

int watchcache_start(struct watchcache *c, struct err *err)
{
	static const struct store_watch_cb cb = { .change = on_change, .progress = on_progress, .end = on_end };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(work_leave) _unused_ int mark = work_enter("load", SV(""), SV(""), SV(""));
	int64_t rev;
	int rc;

	pthread_mutex_lock(&c->feeding);
	rc = load(c, &rev, err);
	pthread_mutex_unlock(&c->feeding);
	if (rc < 0 || history_begin(c->s->history, rev, err) < 0)
		return -1;
	if (store_watch(c->s->store, SV(STORE_KEY_ROOT), storekey_behind(&a, SV(STORE_KEY_ROOT)), rev, &cb, c,
			&c->watch, err) < 0)
		return err_wrap(err, "watching the store");
	return 0;
}

void watchcache_stop(struct watchcache *c)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	wc_again_stop(c);
	if (c->watch)
		store_unwatch(c->s->store, c->watch);
	c->watch = NULL;
	wc_pasts_stop(c->s->pasts);
	err_set(&why, ERR_UNAVAILABLE, "the server is shutting down");
	on_end(&why, c);
}
