/* Watchers that read too slowly: what their queues may keep alive, alone and with the user's others, and how they end.
 * watchcache.h says what counts. */
#include "apiserver/watchcache-internal.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define LINES_AT_ONCE 10
#define LINES_EVERY_NS (5 * NS_PER_SEC)

static const char *const slow_words[] = {
	[WC_SLOW_EVENTS] = "too many events wait",
	[WC_SLOW_BYTES] = "its events keep too much alive",
	[WC_SLOW_USER] = "the events of the user's watches keep too much alive",
	[WC_SLOW_STALLED] = "nothing is taken of what waits",
};

/* --- users --- */

struct wc_owner *wc_owner_get(struct watchcache *c, struct sv user)
{
	struct wc_owner *o;
	void **slot;

	pthread_mutex_lock(&c->owners_lock);
	slot = strmap_slot(&c->owners, user.p ? user : SV(""));
	if (!*slot) {
		o = xcalloc(1, sizeof(*o));
		o->user = xstrndup(user.p ? user.p : "", user.n);
		list_init(&o->past_held);
		list_init(&o->past_link);
		*slot = o;
	}
	o = *slot;
	o->watches++;
	pthread_mutex_unlock(&c->owners_lock);
	return o;
}

void wc_owner_put(struct watchcache *c, struct wc_owner *o)
{
	pthread_mutex_lock(&c->owners_lock);
	if (--o->watches == 0) {
		BUG_ON(atomic_load(&o->bytes) || o->past_bytes || !list_empty(&o->past_held));
		(void)strmap_del(&c->owners, sv_from(o->user));
		free(o->user);
		free(o);
	}
	pthread_mutex_unlock(&c->owners_lock);
}

/* --- the end --- */

void wc_slow_end(struct wc_watch *w, enum wc_slow why)
{
	size_t events, bytes;

	if (w->ended)
		return;
	events = w->n;
	bytes = w->bytes;
	wc_queue_drop(w);
	wc_initial_release(w);
	atomic_fetch_add_explicit(&w->in->n_terminated, 1, memory_order_relaxed);
	/* A reader that stopped because its peer did waits for no wake; one that has not begun comes by itself. */
	wc_watch_end_locked(w, ERR_EXPIRED, "the client reads too slowly", w->read);
	w->ended->slow = why;
	w->ended->events = events;
	w->ended->bytes = bytes;
}

void wc_slow_check(struct wc_watch *w)
{
	enum wc_slow why = WC_SLOW_NOT;

	wc_queue_settle(w);
	if (w->n > WATCH_QUEUE_MAX)
		why = WC_SLOW_EVENTS;
	else if (w->bytes > WATCH_QUEUE_BYTES)
		why = WC_SLOW_BYTES;
	else if (w->bytes > WATCH_SPARED_BYTES && w->user.n &&
		 atomic_load_explicit(&w->owner->bytes, memory_order_relaxed) > WATCH_USER_BYTES)
		why = WC_SLOW_USER;
	if (why != WC_SLOW_NOT)
		wc_slow_end(w, why);
}

/* Once a watcher: by who reads its end. As many as a person reads, for a user has as many watches end as he opens. */
void wc_slow_report(struct wc_watch *w, enum wc_slow why)
{
	char name[160], user[160], events[24], bytes[24], seconds[24], missing[16];
	struct watchcache *c = w->in->cache;
	int64_t now_ns = env_mono_ns(c->s->env), age_ns = now_ns - w->opened_ns;
	unsigned n;
	bool told;

	pthread_mutex_lock(&c->owners_lock);
	told = bucket_take(&c->slow_lines, LINES_AT_ONCE, LINES_EVERY_NS, now_ns, &n);
	pthread_mutex_unlock(&c->owners_lock);
	if (!told)
		return;
	(void)snprintf(user, sizeof(user), "%.*s", SV_ARG(w->user));
	(void)snprintf(missing, sizeof(missing), "%u", n);
	(void)snprintf(events, sizeof(events), "%zu", w->ended->events);
	(void)snprintf(bytes, sizeof(bytes), "%zu", w->ended->bytes);
	(void)snprintf(seconds, sizeof(seconds), "%" PRId64, age_ns / NS_PER_SEC);
	log_kv(LVL_WARN, "apiserver", "a watch was ended: its client reads too slowly and has to start over", "user",
	       user, "resource", resource_qualified(w->in->res, name, sizeof(name)), "namespace",
	       w->ns.n ? w->ns.p : "", "because", slow_words[why], "events", events, "bytes", bytes, "seconds", seconds,
	       "unsaid", missing, NULL);
}

/* --- telling --- */

static void terminated_of(struct wc_resource *r, void *ctx)
{
	uint64_t n = atomic_load_explicit(&r->n_terminated, memory_order_relaxed);

	if (n)
		buf_printf(ctx, "apiserver_terminated_watchers_total{group=\"%s\",resource=\"%s\"} %" PRIu64 "\n",
			   r->res->group, r->res->plural, n);
}

void wc_slow_metrics(struct watchcache *c, struct buf *b)
{
	size_t bytes = 0;

	buf_adds(b, "# HELP apiserver_terminated_watchers_total Counter of watchers closed due to unresponsiveness "
		    "broken by resource type.\n# TYPE apiserver_terminated_watchers_total counter\n");
	wc_each_resource(c, terminated_of, b);
	pthread_mutex_lock(&c->owners_lock);
	STRMAP_EACH(&c->owners, e)
		bytes += atomic_load_explicit(&((struct wc_owner *)e->value)->bytes, memory_order_relaxed);
	pthread_mutex_unlock(&c->owners_lock);
	buf_printf(b,
		   "# HELP caravel_watch_queue_bytes Memory that is kept only for watchers who have not read it yet.\n"
		   "# TYPE caravel_watch_queue_bytes gauge\ncaravel_watch_queue_bytes %zu\n",
		   bytes);
	wc_past_metrics(c, b);
}
