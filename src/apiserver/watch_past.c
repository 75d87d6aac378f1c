/* Watches that start before the ring of recent changes.
 *
 * The ring is small, the store's log keeps minutes, or as long as --history says. Who starts from an older revision is
 * told by the log first, portion by portion, and joins the others when the ring reaches back to where he is:
 *
 *	log ──copies──▶ portion (bounded) ─wake─▶ reader: parse ─▶ queue ─▶ next portion … ─▶ join
 *
 * Who reads the log only copies bytes: a few tasks in turn (watch_past_read.c), or, of a store that is elsewhere, the
 * store's own watches. What they mean is found out on the reader's thread, which asks for the next portion when it has
 * taken one. So a slow reader of a long past holds two portions, whatever the log has. Between portions nothing is
 * missed: each begins at the revision where the one before ended. */
#include "apiserver/storekey.h"
#include "apiserver/watch_past.h"

#include <stdlib.h>

/* --- on the store's thread --- */

static void past_on_change(const struct store_change *ch, void *ctx)
{
	struct wc_past *p = ctx;

	pthread_mutex_lock(&p->watch->lock);
	if (p->complete || ch->kv.mod_rev <= p->upto) {
		pthread_mutex_unlock(&p->watch->lock);
		return;
	}
	if (!past_take(&p->got, ch)) { /* start over */
		p->complete = p->lost = true;
		wc_watch_wake(p->watch);
	} else if (!ch->more) { /* a portion has all of a revision */
		p->upto = ch->kv.mod_rev;
		p->complete = p->got.changes.n >= PORTION_CHANGES || p->got.bytes >= PORTION_BYTES;
		if (p->complete)
			wc_watch_wake(p->watch);
	}
	pthread_mutex_unlock(&p->watch->lock);
}

static bool past_enough(void *ctx)
{
	struct wc_past *p = ctx;
	bool complete;

	pthread_mutex_lock(&p->watch->lock);
	complete = p->complete;
	pthread_mutex_unlock(&p->watch->lock);
	return complete;
}

static void past_on_progress(int64_t rev, void *ctx)
{
	struct wc_past *p = ctx;

	pthread_mutex_lock(&p->watch->lock);
	if (!p->complete) {
		p->upto = MAX(p->upto, rev);
		p->complete = true;
		wc_watch_wake(p->watch);
	}
	pthread_mutex_unlock(&p->watch->lock);
}

static void past_on_end(const struct err *why, void *ctx)
{
	struct wc_past *p = ctx;

	(void)why;
	pthread_mutex_lock(&p->watch->lock);
	p->complete = p->lost = true;
	wc_watch_wake(p->watch);
	pthread_mutex_unlock(&p->watch->lock);
}

/* --- on the reader's --- */

static int past_ask(struct wc_past *p, struct err *err)
{
	static const struct store_watch_cb cb = {
		.change = past_on_change,
		.progress = past_on_progress,
		.end = past_on_end,
		.enough = past_enough,
		.wants_prev = true,
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct wc_resource *r = p->watch->in;
	struct store *store = r->cache->s->store;
	struct sv from = storekey_first(&a, r->res, p->watch->ns);
	struct store_stats st;

	if (p->read) {
		store_stats(store, &st);
		if (p->upto < st.compact_rev)
			return err_too_old(err, p->upto, st.compact_rev);
		past_read_ask(p->read, p->upto);
		return 0;
	}
	if (store_watch(store, from, storekey_behind(&a, from), p->upto, &cb, p, &p->from, &why) == 0)
		return 0;
	if (p->again && why.reason == ERR_EXPIRED) { /* then without it */
		p->again = 0;
		p->upto++;
		return past_ask(p, err);
	}
	if (why.reason == ERR_EXPIRED) {
		store_stats(store, &st);
		return err_too_old(err, p->upto, st.compact_rev);
	}
	return err_move(err, &why);
}

int wc_past_open(struct wc_watch *w, struct err *err)
{
	struct wc_past *p = xcalloc(1, sizeof(*p));

	p->watch = w;
	p->upto = w->since;
	if (store_shared(w->in->cache->s->store) && p->upto > 1)
		p->again = p->upto--;
	w->past = p;
	if (store_tells_changes(w->in->cache->s->store))
		p->read = past_read_new(p);
	wc_past_count(w->in->cache);
	if (past_ask(p, err) == 0)
		return 0;
	wc_past_close(w);
	return -1;
}

void wc_past_close(struct wc_watch *w)
{
	struct wc_past *p = w->past;

	if (!p)
		return;
	if (p->from)
		store_unwatch(w->in->cache->s->store, p->from);
	past_read_close(p->read);
	past_drop(&p->got);
	vec_release(&p->got.changes);
	free(p);
	w->past = NULL;
}

/* The change as watchers know it: what cannot be read is not there (set_aside.h). NULL when nothing is left of it.
 * spoilt: what was an object is none now, but it is there. */
static struct wc_change *past_parse(const struct wc_resource *r, const struct past_change *pc, bool *ret_spoilt)
{
	struct wc_change *c = xcalloc(1, sizeof(*c));

	atomic_init(&c->refs, 1);
	c->rev = pc->rev;
	if (pc->prev)
		c->prev = stored_parse(r->res, sv_make(pc->prev, pc->prev_n), pc->prev_rev);
	if (pc->value)
		c->o = stored_parse(r->res, sv_make(pc->value, pc->value_n), pc->rev);
	*ret_spoilt = pc->value && !c->o && c->prev;
	c->deleted = !c->o;
	if (!pc->value && c->prev)
		c->o = obj_new(obj_root(c->prev), pc->rev);
	if (c->o)
		return c;
	wc_change_unref(c);
	return NULL;
}

/* Of the reader's thread alone: what is collected is its own until the next portion is asked for. False: it has to
 * start over. */
static bool past_deliver(struct wc_past *p)
{
	struct wc_watch *w = p->watch;
	size_t first = 0;
	bool spoilt;

	/* One change is all of its revision: the client has it. */
	if (p->got.changes.n && p->got.changes.p[0].rev == p->again &&
	    (p->got.changes.n == 1 || p->got.changes.p[1].rev != p->again))
		first = 1;
	p->again = 0;
	for (size_t i = first; i < p->got.changes.n; i++) {
		struct wc_change *c = past_parse(w->in, &p->got.changes.p[i], &spoilt);

		if (spoilt)
			return false;
		if (!c)
			continue;
		pthread_mutex_lock(&w->lock);
		wc_watch_push(w, c);
		pthread_mutex_unlock(&w->lock);
		wc_change_unref(c);
	}
	return true;
}

bool wc_past_step(struct wc_watch *w)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct wc_past *p = w->past;
	bool complete;

	pthread_mutex_lock(&w->lock);
	complete = p->complete;
	pthread_mutex_unlock(&w->lock);
	if (!complete)
		return false;
	if (p->from)
		store_unwatch(w->in->cache->s->store, p->from); /* waits for a portion under way at most */
	p->from = NULL;
	if (p->lost || !past_deliver(p)) {
		err_set(&why, ERR_EXPIRED, "the changes after revision %" PRId64 " are gone", w->since);
	} else {
		w->since = p->upto;
		if (p->read)
			past_read_taken(p->read, p->got.bytes);
		past_drop(&p->got);
		if (wc_watch_join(w)) {
			wc_past_close(w);
			return true;
		}
		p->complete = false;
		if (past_ask(p, &why) == 0)
			return true;
	}
	w->lost = why.reason == ERR_EXPIRED;
	wc_watch_end(w, &why);
	wc_past_close(w);
	return true;
}

bool wc_watch_lost(const struct wc_watch *w)
{
	return w->lost;
}
