/* WATCH over a streaming sink: events as media.h writes them, around the objects' own text.
 *
 *	publish ─▶ queue of the watcher ─wake─▶ post to the request's thread ─▶ drain ─▶ stream_write
 *
 * A stream lives until the client goes, its time is up, the right to it is gone (standing.h) or the watch ended;
 * everything that may still call back (the timer, a posted drain, a check of the right) holds a reference on it. */
#include "apiserver/flow/flow.h"
#include "base/board.h"
#include "apiserver/media.h"
#include "apiserver/metrics.h"
#include "apiserver/registry/registry.h"
#include "apiserver/held.h"
#include "apiserver/standing.h"
#include "apiserver/versions.h"
#include "object/feature.h"

#include <stdlib.h>

/* Bytes not yet taken by the peer: they are let go of before the queue's, so there need not be more than keep a socket
 * busy. What waits in the queue costs nothing until it is old (watchcache.h). */
#define STREAM_HIGH_WATER ((size_t)256 * 1024)

#define EVENTS_HELD 64			       /* that are converted at once, */
#define EVENTS_HELD_BYTES ((size_t)128 * 1024) /* of so many bytes, or one */
#define VIEW_NS (30 * NS_PER_SEC)	       /* for that */

/* Events on their way into the version that is watched. While they are converted the stream goes no further; the
 * question is asked by a request of its own, as the stream's has been answered. */
struct watch_views {
	struct api_req now;
	struct arena arena;
	struct wc_event held[EVENTS_HELD];
	struct obj *objs[EVENTS_HELD]; /* of those that have one: the references, while they are converted */
	size_t n, at, n_objs;
	struct views v;
	bool waits;
	bool empty; /* so the watch said: it is not asked again before it wakes us (watchcache.h) */
};

struct watch_stream {
	struct api_req *q;
	struct watch_views *views; /* NULL: the cache has what is watched */
	struct wc_watch *watch;
	struct env_timer *timer;
	struct standing *standing;
	struct cell *cell; /* where its events are counted */
	atomic_int refs;
	bool blocked; /* waiting for on_drain */
	bool over;    /* no more events */
	bool sent;    /* the first object */
};

static void watch_views_drop(struct watch_views *v)
{
	for (; v->at < v->n; v->at++)
		obj_unref(v->held[v->at].o);
}

static void watch_views_free(struct watch_views *v)
{
	if (!v)
		return;
	watch_views_drop(v);
	views_release(&v->v);
	arena_release(&v->arena);
	free(v);
}

/* Kept out of line: of two drops of different references gcc 12 takes the second for a use after free. */
__attribute__((noinline)) static void stream_unref(struct watch_stream *w)
{
	struct api_req *q = w->q;

	if (atomic_fetch_sub(&w->refs, 1) != 1)
		return;
	watch_views_free(w->views);
	free(w);
	q->sink->stream_end(q);
}

static void watch_finish(struct watch_stream *w)
{
	struct apiserver *s = w->q->server;

	if (w->over)
		return;
	w->over = true;
	if (w->views && w->views->waits)
		req_client_gone(&w->views->now);
	w->watch = wc_watch_close(w->watch);
	if (w->timer && env_timer_stop(s->env, w->timer))
		stream_unref(w); /* its reference: it never runs */
	w->timer = NULL;
	w->standing = standing_end(w->standing); /* lets go of its reference when it does not use q any more */
	stream_unref(w);
}

static void standing_released(struct api_req *q)
{
	stream_unref(q->stream);
}

/* Returns the bytes waiting. */
static size_t send_event(struct watch_stream *w, struct wc_event *e)
{
	static const enum media_event events[] = {
		[WATCH_ADDED] = MEDIA_ADDED, [WATCH_MODIFIED] = MEDIA_MODIFIED, [WATCH_DELETED] = MEDIA_DELETED
	};
	struct api_req *q = w->q;
	_cleanup_(work_leave) _unused_ int mark = api_req_work(q);
	bool first = !w->sent;

	if (e->type == WATCH_BOOKMARK) {
		if (e->initial_end)
			request_listed(q);
		return media_send_bookmark(q, e->rev, e->initial_end);
	}
	request_sent(w->cell, obj_json(e->o).n);
	wc_work(q->server->wc, q->res, e->o);
	w->sent = true;
	return media_send(q, events[e->type], e->o, e->rev, first, !e->was_there);
}

static void drain(struct watch_stream *w);
static int views_of_held(struct watch_stream *w, int rc, struct err *err);

static void views_resumed(struct api_req *now, void *ctx)
{
	struct watch_stream *w = ctx;
	struct err err = ERR_INIT;
	int rc = req_woken(now, &err);

	w->views->waits = false;
	if (views_of_held(w, rc, &err) == 0)
		drain(w);
	stream_unref(w);
}

/* Converts what is held: 0, or not yet. What cannot be converted ends the watch. */
static int views_of_held(struct watch_stream *w, int rc, struct err *err)
{
	struct watch_views *v = w->views;

	while (rc >= 0 && !w->over && (rc = views_make(&v->v, err)) > 0) {
		if (rc != REQ_LATER)
			continue;
		v->waits = true;
		atomic_fetch_add(&w->refs, 1);
		if (!req_park(&v->now, views_resumed, w))
			return rc;
		v->waits = false;
		stream_unref(w); /* not the last: the caller has one */
		rc = req_woken(&v->now, err);
	}
	views_release(&v->v);
	arena_release(&v->arena);
	v->n_objs = 0;
	for (size_t i = 0, k = 0; i < v->n; i++)
		if (v->held[i].o)
			v->held[i].o = v->objs[k++];
	if (rc < 0 && !w->over) {
		(void)media_send_error(w->q, err);
		watch_finish(w);
	}
	err_release(err);
	return 0;
}

/* The next few events, converted. 0: they are held; REQ_LATER: they will be; -1: the watch is over. 1: none now. */
static int views_fill(struct watch_stream *w, struct err *err)
{
	struct watch_views *v = w->views;
	struct api_req *asks = NULL;
	size_t bytes = 0;
	int rc = 1;

	v->n = v->at = v->n_objs = 0;
	if (v->empty)
		return 1;
	while (v->n < EVENTS_HELD && bytes < EVENTS_HELD_BYTES &&
	       (rc = wc_watch_next(w->watch, &v->held[v->n], err)) > 0) {
		struct obj *o = v->held[v->n++].o;

		bytes += obj_bytes(o);
		if (o)
			v->objs[v->n_objs++] = o;
	}
	v->empty = rc == 0;
	if (!v->n)
		return rc < 0 ? -1 : 1;
	err_release(err); /* the end is told again */
	if (versions_of(w->q->res)->waits) {
		v->now = *w->q;
		v->now.arena = &v->arena;
		v->now.until_ns = env_mono_ns(w->q->server->env) + VIEW_NS;
		v->now.asked = 0;
		v->now.has_result = false;
		asks = &v->now;
	}
	views_init(&v->v, asks, w->q->res, v->objs, v->n_objs);
	return views_of_held(w, 0, err);
}

/* The client starts again from the last revision it saw, unless that is what cannot be. */
static void watch_ended(struct watch_stream *w, struct err *err)
{
	if (!w->over && w->watch && wc_watch_lost(w->watch))
		(void)media_send_error(w->q, err);
	err_release(err);
	watch_finish(w);
}

static void drain_views(struct watch_stream *w)
{
	struct watch_views *v = w->views;
	struct err err = ERR_INIT;
	int rc = 0;

	while (!w->over && !v->waits && rc == 0) {
		while (!w->over && v->at < v->n && !w->blocked)
			w->blocked = send_event(w, &v->held[v->at++]) > STREAM_HIGH_WATER;
		if (w->blocked && !wc_watch_over(w->watch))
			return;
		watch_views_drop(v); /* nothing, but when it was too slow */
		rc = views_fill(w, &err);
	}
	if (rc < 0)
		watch_ended(w, &err);
}

static void drain(struct watch_stream *w)
{
	struct err err = ERR_INIT;
	struct wc_event e;
	int rc = 1;

	if (w->views) {
		drain_views(w);
		return;
	}
	/* One that was ended for being too slow is over also when its peer takes nothing. */
	while (!w->over && (!w->blocked || wc_watch_over(w->watch)) && (rc = wc_watch_next(w->watch, &e, &err)) > 0)
		w->blocked = send_event(w, &e) > STREAM_HIGH_WATER;
	if (rc < 0)
		watch_ended(w, &err);
}

static void drain_posted(struct api_req *q, void *ctx)
{
	struct watch_stream *w = ctx;

	(void)q;
	if (w->views)
		w->views->empty = false;
	drain(w);
	stream_unref(w);
}

static void on_wake(void *ctx)
{
	struct watch_stream *w = ctx;

	atomic_fetch_add(&w->refs, 1);
	api_req_post(w->q, drain_posted, w);
}

static void watch_on_drain(struct api_req *q)
{
	struct watch_stream *w = q->stream;

	w->blocked = false;
	atomic_fetch_add(&w->refs, 1); /* draining may find the end */
	drain(w);
	stream_unref(w);
}

static void watch_on_gone(struct api_req *q)
{
	watch_finish(q->stream);
}

static void timeout_posted(struct api_req *q, void *ctx)
{
	(void)q;
	watch_finish(ctx);
	stream_unref(ctx);
}

static void on_timeout(void *ctx)
{
	struct watch_stream *w = ctx;

	api_req_post(w->q, timeout_posted, w);
}

/* Lengths in front, as there may be any bytes in what clients send. Versions have fields of their own. */
static struct sv selector_words(struct buf *b, const struct api_req *q, const struct selection_words *w)
{
	buf_printf(b, "%s %zu %zu ", q->res->version, w->labels.n, w->shard.n);
	buf_addsv(b, w->labels);
	buf_addsv(b, w->shard);
	buf_addsv(b, w->fields);
	return buf_sv(b);
}

/* o->words is what `key` gets. */
static int watch_parse_opts(struct api_req *q, struct buf *key, struct wc_watch_opts *o, int64_t *seconds,
			    struct err *err)
{
	struct selection_words words = selection_words(q);
	struct sv rv = SV_NULL, v;
	int64_t limit;
	bool initial_set = api_req_param(q, "sendInitialEvents", &v), initial = option_bool(q, "sendInitialEvents");
	const struct selection *sel;
	int64_t rev;

	(void)api_req_param(q, "resourceVersion", &rv);
	if (list_options_check(q, true, &limit, seconds, err) < 0)
		return -1;
	if (!list_rev_parse(rv, &rev))
		return err_bad_rev(err, rv);
	/* A named watch (the legacy path) is one on metadata.name. */
	if (q->name.n) {
		words.parsed = NULL;
		words.fields = arena_svf(q->arena, "metadata.name=%.*s%s%.*s", SV_ARG(q->name),
					 words.fields.n ? "," : "", SV_ARG(words.fields));
	}
	/* From here on the selector is all that is kept, for as long as the watch stands, and there may be thousands.
	 */
	arena_small(q->arena);
	if (selection_make(q->arena, q->res, &words, &sel, err) < 0)
		return -1;
	*o = (struct wc_watch_opts){ .res = q->res,
				     .ns = q->ns,
				     .sel = sel,
				     .words = selector_words(key, q, &words),
				     .user = q->user.name,
				     .share = user_share(&q->user),
				     .recent = user_is_of_today(&q->user),
				     .bookmarks = option_bool(q, "allowWatchBookmarks") };
	o->initial = initial || (!initial_set && rev == 0);
	/* With WatchList on, who begins from nothing has asked for it by that, as upstream's defaults say. */
	o->initial_bookmark = o->bookmarks && (initial || (o->initial && feature_on(FG_WatchList)));
	o->since = rev ? rev : WATCH_FROM_NOW;
	*seconds = MIN(MAX(*seconds, -1), (int64_t)1 << 30);
	return 0;
}

/* A watch that cannot start where it was asked to is a stream of one error, as upstream's. */
static void answer_error_event(struct api_req *q, struct err *err)
{
	media_stream_begin(q);
	(void)media_send_error(q, err);
	q->sink->stream_end(q);
}

static void watch_revoked(struct api_req *q, struct err *why)
{
	struct watch_stream *w = q->stream;

	if (!w->over)
		(void)media_send_error(q, why);
	else
		err_release(why);
	watch_finish(w);
}

/* Of one that does not say: spread, so that clients do not all come back at once. */
static int64_t watch_seconds(struct apiserver *s)
{
	return s->o.min_watch_s + (int64_t)env_random_below(s->env, (uint64_t)s->o.min_watch_s);
}

void registry_watch(struct api_req *q)
{
	_cleanup_(buf_release) struct buf key = BUF_INIT;
	struct apiserver *s = q->server;
	struct err err = ERR_INIT;
	struct wc_watch_opts o;
	struct watch_stream *w;
	int64_t seconds, ns;

	if (!q->sink->stream_begin)
		err_set(&err, ERR_NOT_ACCEPTABLE, "this transport cannot stream");
	if (err.reason != ERR_NONE || watch_parse_opts(q, &key, &o, &seconds, &err) < 0) {
		api_req_fail(q, &err);
		return;
	}
	if (o.initial && o.since > wc_rev(s->wc)) {
		wait_for_rev(q, o.since, registry_watch, answer_error_event);
		return;
	}
	w = xcalloc(1, sizeof(*w));
	w->q = q;
	w->cell = request_cell(q);
	if (views_needed(q->res))
		w->views = xcalloc(1, sizeof(*w->views));
	atomic_init(&w->refs, 4); /* our own, the timer's, the standing request's and this function's */
	o.wake = on_wake;
	o.ctx = w;
	if (wc_watch_open(s->wc, &o, &w->watch, &err) < 0) {
		free(w->views);
		free(w);
		if (err.reason == ERR_NOT_FOUND && api_req_kind_anew(q)) {
			err_release(&err);
			registry_watch(q);
			return;
		}
		if (err.reason == ERR_EXPIRED)
			answer_error_event(q, &err);
		else
			api_req_fail(q, &err);
		return;
	}
	flow_release(q);						 /* a standing watch holds no seat */
	arena_defer(q->arena, held_give, held_take(q, q->arena->bytes)); /* but its selectors */
	q->stream = w;
	q->on_gone = watch_on_gone;
	q->on_drain = watch_on_drain;
	media_stream_begin(q);
	ns = (seconds ? MAX(seconds, 0) : watch_seconds(s)) * NS_PER_SEC; /* negative: it ends at once */
	w->timer = env_after(s->env, ENV_TIMERS, ns, on_timeout, w);
	w->standing =
	    standing_begin(q, &(struct standing_opts){ .revoke = watch_revoked, .release = standing_released });
	drain(w);
	stream_unref(w);
}
