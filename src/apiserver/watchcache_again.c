/* What is hidden, as it could not be opened, read again: each second what waits for an answer, each minute all.
 *
 * One is taken into the tree only if nothing was written to its key meanwhile, which the store's thread would have seen
 * to. It was hidden since before anybody could watch or list, so nobody is told: who watches its kind began after it
 * came back, or starts over. */
#include "apiserver/late_kind.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache-internal.h"
#include "base/log.h"

#define AGAIN_NS NS_PER_SEC

/* One value, as the store has it now. */
struct again {
	struct wc_resource *r;
	int64_t rev;	/* it is at; 0: it is gone */
	struct obj *o;	/* owned; NULL: it is still not to be had */
	struct err why; /* as the store says; ERR_NONE: it is there, and no object */
};

static int again_one(const struct store_kv *kv, void *ctx)
{
	struct again *g = ctx;

	g->rev = kv->mod_rev;
	if (kv->why)
		err_copy(&g->why, kv->why);
	else
		g->o = wc_parse(g->r, kv);
	return 1;
}

/* It is what it was; c->feeding is held. */
static void again_take(struct watchcache *c, struct wc_resource *r, struct sv key, struct sv ns, struct sv name,
		       struct again *g)
{
	const struct strategy *st = strategy_for(r->res);
	_cleanup_obj_ struct obj *prev = NULL;

	if (!g->o) {
		enum set_aside_why why = g->why.reason == ERR_NONE ? ASIDE_UNREADABLE
					 : g->why.reason == ERR_UNAVAILABLE || g->why.reason == ERR_TIMEOUT
					     ? ASIDE_UNANSWERED
					     : ASIDE_SEALED;

		lock_read(&r->lock, &wc_lock);
		if (!wc_late_gone(r)) /* set_aside_forget() has been there */
			set_aside_put(c->s, r->res, ns, name, key, g->rev, why, g->why.reason ? &g->why : NULL);
		pthread_rwlock_unlock(&r->lock);
		if (why == ASIDE_UNANSWERED)
			wc_again_arm(c);
		return;
	}
	lock_write(&r->lock, &wc_lock);
	if (wc_late_gone(r)) {
		pthread_rwlock_unlock(&r->lock);
		return;
	}
	prev = objtree_put(&r->tree, obj_ref(g->o));
	r->last_rev = MAX(r->last_rev, wc_rev(c));
	wc_ring_release(r);
	r->ring_floor = r->last_rev; /* who asks for changes since before is told by the store's log */
	pthread_rwlock_unlock(&r->lock);
	if (st->observe)
		st->observe(c->s, prev, g->o);
	if (st->unread)
		st->unread(c->s, key, SV_NULL, NULL);
	standing_observe(c->s, r->res, name, g->o);
	set_aside_drop(c->s, r->res, ns, name);
}

static void again_key(struct watchcache *c, struct wc_resource *r, const struct aside_again *at)
{
	struct again g = { .r = r };
	struct sv ns, name;
	int64_t rev;

	wc_key_split(r, at->key, &ns, &name);
	if (store_range(c->s->store, at->key, SV(""), 0, 1, again_one, &g, &rev, NULL) == 0 && g.rev == at->rev) {
		pthread_mutex_lock(&c->feeding);
		if (set_aside_rev(c->s, r->res, ns, name) == at->rev && set_aside_hides(c->s, r->res, ns, name))
			again_take(c, r, at->key, ns, name, &g);
		pthread_mutex_unlock(&c->feeding);
	}
	obj_unref(g.o);
	err_release(&g.why);
}

static void again_kind(struct watchcache *c, const struct resource *res, bool unanswered_only)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct wc_resource *r = wc_resource_find(c, res);
	struct aside_again *list;
	size_t n = r ? set_aside_hidden(c->s, r->res, unanswered_only, &a, &list) : 0;

	for (size_t i = 0; i < n && !atomic_load(&c->s->stopping); i++)
		again_key(c, r, &list[i]);
	if (n && !set_aside_hidden(c->s, r->res, false, &a, &list))
		log_info("apiserver", "all that is stored of a kind can be read again", "resource", "%s", res->plural);
}

static void again_all(struct watchcache *c, bool unanswered_only)
{
	const struct api_set *api = api_current_get(c->s->api);

	API_EACH(api, r)
		if (resource_first(r))
			again_kind(c, r, unanswered_only);
	api_set_unref(api);
}

void wc_read_again(struct watchcache *c)
{
	again_all(c, false);
}

static void again_tick(void *ctx)
{
	struct watchcache *c = ctx;
	bool stopping;

	pthread_mutex_lock(&c->again_lock);
	c->again_timer = env_timer_cancel(c->s->env, c->again_timer);
	stopping = c->again_stopping;
	pthread_mutex_unlock(&c->again_lock);
	if (!stopping)
		again_all(c, true);
	pthread_mutex_lock(&c->again_lock);
	c->again_armed = !c->again_stopping && !set_aside_answered(c->s, NULL);
	if (c->again_armed)
		c->again_timer = env_after(c->s->env, ENV_SLOW, AGAIN_NS, again_tick, c);
	pthread_cond_broadcast(&c->again_cond);
	pthread_mutex_unlock(&c->again_lock); /* the end may have waited for this: nothing is touched behind it */
}

void wc_again_arm(struct watchcache *c)
{
	pthread_mutex_lock(&c->again_lock);
	if (!c->again_armed && !c->again_stopping) {
		c->again_armed = true;
		c->again_timer = env_after(c->s->env, ENV_SLOW, AGAIN_NS, again_tick, c);
	}
	pthread_mutex_unlock(&c->again_lock);
}

void wc_again_stop(struct watchcache *c)
{
	pthread_mutex_lock(&c->again_lock);
	c->again_stopping = true;
	if (c->again_timer && env_timer_stop(c->s->env, c->again_timer))
		c->again_armed = false;
	c->again_timer = NULL;
	while (c->again_armed)
		pthread_cond_wait(&c->again_cond, &c->again_lock);
	pthread_mutex_unlock(&c->again_lock);
}
