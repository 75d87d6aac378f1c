#include "store/watchers.h"

#include <stdlib.h>

void watchers_init(struct watchers *ws)
{
	*ws = (struct watchers){ .mu = PTHREAD_MUTEX_INITIALIZER, .idle = PTHREAD_COND_INITIALIZER };
	list_init(&ws->all);
}

static bool watch_lags(const struct store_watch *w)
{
	return !w->live && !w->ended;
}

static void watchers_watch_free(struct store_watch *w)
{
	free((char *)w->from.p);
	free((char *)w->to.p);
	free(w);
}

void watchers_release(struct watchers *ws)
{
	LIST_EACH(&ws->all, l) {
		list_del(l);
		watchers_watch_free(LIST_ENTRY(l, struct store_watch, link));
	}
	pthread_cond_destroy(&ws->idle);
	pthread_mutex_destroy(&ws->mu);
}

struct store_watch *watchers_add(struct watchers *ws, struct sv from, struct sv to, int64_t since,
				 const struct store_watch_cb *cb, void *ctx)
{
	struct store_watch *w = xcalloc(1, sizeof(*w));

	w->from = sv_make(xmemdup(from.n ? from.p : "", from.n ? from.n : 1), from.n);
	w->to = sv_make(xmemdup(to.n ? to.p : "", to.n ? to.n : 1), to.n);
	w->since = since;
	w->cb = cb;
	w->ctx = ctx;
	pthread_mutex_lock(&ws->mu);
	list_add_tail(&ws->all, &w->link);
	ws->lagging++;
	pthread_mutex_unlock(&ws->mu);
	return w;
}

void watchers_remove(struct watchers *ws, struct store_watch *w)
{
	pthread_mutex_lock(&ws->mu);
	while (w->busy)
		pthread_cond_wait(&ws->idle, &ws->mu);
	list_del(&w->link);
	if (watch_lags(w))
		ws->lagging--;
	pthread_mutex_unlock(&ws->mu);
	watchers_watch_free(w);
}

/* Around a callback. The lock is given up in between, but a busy watch stays linked, so that
 * walking the list may go on from it afterwards. */
static void watch_enter(struct watchers *ws, struct store_watch *w)
{
	w->busy = true;
	pthread_mutex_unlock(&ws->mu);
}

static void watch_leave(struct watchers *ws, struct store_watch *w)
{
	pthread_mutex_lock(&ws->mu);
	w->busy = false;
	pthread_cond_broadcast(&ws->idle);
}

#define WATCH_EACH(ws, w)                                                                                          \
	for (struct store_watch *w = LIST_ENTRY((ws)->all.next, struct store_watch, link); &w->link != &(ws)->all; \
	     w = LIST_ENTRY(w->link.next, struct store_watch, link))

void watchers_change(struct watchers *ws, const struct store_change *c)
{
	pthread_mutex_lock(&ws->mu);
	WATCH_EACH(ws, w) {
		if (!w->live || w->ended || w->since >= c->kv.mod_rev || !store_in_range(c->kv.key, w->from, w->to))
			continue;
		watch_enter(ws, w);
		w->cb->change(c, w->ctx);
		watch_leave(ws, w);
	}
	pthread_mutex_unlock(&ws->mu);
}

bool watchers_want_prev(struct watchers *ws, struct sv key)
{
	bool want = false;

	pthread_mutex_lock(&ws->mu);
	WATCH_EACH(ws, w) {
		if (w->cb->wants_prev && w->live && !w->ended && store_in_range(key, w->from, w->to)) {
			want = true;
			break;
		}
	}
	pthread_mutex_unlock(&ws->mu);
	return want;
}

void watchers_progress(struct watchers *ws, int64_t rev)
{
	pthread_mutex_lock(&ws->mu);
	WATCH_EACH(ws, w) {
		if (!w->live || w->ended || w->since >= rev)
			continue;
		w->since = rev;
		if (!w->cb->progress)
			continue;
		watch_enter(ws, w);
		w->cb->progress(rev, w->ctx);
		watch_leave(ws, w);
	}
	pthread_mutex_unlock(&ws->mu);
}

/* Lock held, given up in between. */
static void watch_end(struct watchers *ws, struct store_watch *w, const struct err *why)
{
	if (watch_lags(w))
		ws->lagging--;
	w->ended = true;
	watch_enter(ws, w);
	if (w->cb->end)
		w->cb->end(why, w->ctx);
	watch_leave(ws, w);
}

static void watch_end_expired(struct watchers *ws, struct store_watch *w, int64_t compact_rev)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	err_set(&why, ERR_EXPIRED, "changes after revision %" PRId64 " have been compacted, the oldest is %" PRId64,
		w->since, compact_rev);
	watch_end(ws, w, &why);
}

void watchers_expire(struct watchers *ws, int64_t compact_rev)
{
	pthread_mutex_lock(&ws->mu);
	WATCH_EACH(ws, w)
		if (watch_lags(w) && w->since < compact_rev)
			watch_end_expired(ws, w, compact_rev);
	pthread_mutex_unlock(&ws->mu);
}

void watchers_end(struct watchers *ws, const struct err *why)
{
	pthread_mutex_lock(&ws->mu);
	WATCH_EACH(ws, w)
		if (!w->ended)
			watch_end(ws, w, why);
	pthread_mutex_unlock(&ws->mu);
}

bool watchers_lagging(struct watchers *ws)
{
	bool lagging;

	pthread_mutex_lock(&ws->mu);
	lagging = ws->lagging > 0;
	pthread_mutex_unlock(&ws->mu);
	return lagging;
}

struct store_watch *watchers_take_lagging(struct watchers *ws)
{
	struct store_watch *found = NULL;

	pthread_mutex_lock(&ws->mu);
	WATCH_EACH(ws, w) {
		if (watch_lags(w)) {
			found = w;
			/* To the end of the line: several laggards take turns. */
			list_del(&w->link);
			list_add_tail(&ws->all, &w->link);
			w->busy = true;
			break;
		}
	}
	pthread_mutex_unlock(&ws->mu);
	return found;
}

void watchers_take(struct watchers *ws, struct store_watch *w)
{
	pthread_mutex_lock(&ws->mu);
	w->busy = true;
	pthread_mutex_unlock(&ws->mu);
}

void watchers_give_back(struct watchers *ws, struct store_watch *w, int64_t rev, bool live)
{
	w->since = MAX(w->since, rev);
	if (live && w->since == rev && w->cb->progress)
		w->cb->progress(rev, w->ctx);
	watch_leave(ws, w);
	if (live) {
		w->live = true;
		ws->lagging--;
	}
	pthread_mutex_unlock(&ws->mu);
}

void watchers_give_up(struct watchers *ws, struct store_watch *w, int64_t compact_rev)
{
	pthread_mutex_lock(&ws->mu);
	watch_end_expired(ws, w, compact_rev);
	pthread_mutex_unlock(&ws->mu);
}

void watchers_break(struct watchers *ws, struct store_watch *w, const struct err *why)
{
	pthread_mutex_lock(&ws->mu);
	watch_end(ws, w, why);
	pthread_mutex_unlock(&ws->mu);
}
