/* All watchers, looked over: every minute for those that take nothing, and to tell of them. */
#include "apiserver/watchcache-internal.h"
#include "codec/json.h"

static bool waits(const struct wc_watch *w)
{
	return w->n || wc_initial_waiting(w);
}

static void sweep_one(struct wc_watch *w, void *ctx)
{
	int64_t now = *(const int64_t *)ctx;

	pthread_mutex_lock(&w->lock);
	/* Nothing may be offered to it for long while what waits leaves the ring. */
	wc_slow_check(w);
	if (!w->user.n || w->ended || !waits(w))
		w->stuck_ns = 0;
	else if (!w->stuck_ns || w->taken != w->taken_then)
		w->stuck_ns = now;
	else if (now - w->stuck_ns >= WATCH_STALL_NS)
		wc_slow_end(w, WC_SLOW_STALLED);
	w->taken_then = w->taken;
	pthread_mutex_unlock(&w->lock);
}

static void sweep_of(struct wc_resource *r, void *ctx)
{
	pthread_rwlock_rdlock(&r->lock);
	wc_each_watch(r, sweep_one, ctx);
	pthread_rwlock_unlock(&r->lock);
}

void wc_sweep(struct watchcache *c)
{
	int64_t now = env_mono_ns(c->s->env);

	wc_each_resource(c, sweep_of, &now);
}

/* --- telling --- */

struct describing {
	struct buf *b;
	size_t max;
	int64_t now_ns;
	bool behind; /* those that are, or the others */
};

static void describe_one(struct wc_watch *w, void *ctx)
{
	struct describing *d = ctx;
	struct buf *b = d->b;

	pthread_mutex_lock(&w->lock);
	wc_queue_settle(w);
	if (b->n >= d->max || waits(w) != d->behind) {
		pthread_mutex_unlock(&w->lock);
		return;
	}
	buf_printf(b, "{\"group\":\"%s\",\"resource\":\"%s\",\"namespace\":", w->in->res->group, w->in->res->plural);
	json_encode_str(b, w->ns.n ? w->ns : SV(""));
	buf_adds(b, ",\"user\":");
	json_encode_str(b, w->user.p ? w->user : SV(""));
	buf_printf(b, ",\"seconds\":%" PRId64 ",\"taken\":%" PRIu64 ",\"events\":%" PRIu32 ",\"bytes\":%zu",
		   (d->now_ns - w->opened_ns) / NS_PER_SEC, w->taken, w->n, w->bytes);
	if (w->n)
		buf_printf(b, ",\"oldestRevision\":\"%" PRId64 "\",\"revision\":\"%" PRId64 "\"", w->queue[w->head].rev,
			   w->in->last_rev);
	if (wc_initial_waiting(w))
		buf_adds(b, ",\"initial\":true");
	if (w->stuck_ns && w->taken == w->taken_then)
		buf_printf(b, ",\"stuckSeconds\":%" PRId64, (d->now_ns - w->stuck_ns) / NS_PER_SEC);
	buf_adds(b, "}\n");
	pthread_mutex_unlock(&w->lock);
}

static void describe_of(struct wc_resource *r, void *ctx)
{
	pthread_rwlock_rdlock(&r->lock);
	wc_each_watch(r, describe_one, ctx);
	pthread_rwlock_unlock(&r->lock);
}

void watchers_describe(struct apiserver *s, struct buf *b, size_t max)
{
	struct describing d = { .b = b, .max = b->n + max, .now_ns = env_mono_ns(s->env) };

	for (int behind = 1; behind >= 0; behind--) {
		d.behind = behind;
		wc_each_resource(s->wc, describe_of, &d);
	}
}
