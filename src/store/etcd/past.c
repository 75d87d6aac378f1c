/* The past, told to who asks: pages of it, which all who ask share.
 *
 *	es_changes() ── no page has it ──▶ loop: a feed from there ── whole revisions ──▶ page, the feed is stopped
 *	      └─────────── a page has it ◀───────────────────────────────────────────────┘
 *
 * etcd reads a stretch of the past by a watch alone, and has in its memory, of each watch that lags, all that is
 * between there and now, with what was there before. So there is one such watch at a time, whoever asks, it is of a
 * bounded number of bytes, and it is read as fast as it comes: one that is held up etcd keeps whole. What it brought is
 * of all keys, for whoever asks next: a hundred watches from about the same time cost etcd what one does.
 *
 * Why of all keys, if one kind is asked for: a watch of a part of them never says that it is through. What etcd tells
 * of its progress is wrong before 3.4.25 and 3.5.8; of all keys every revision has something.
 *
 * A page is never changed once it is in the list. It goes when nobody has asked for it for a while. */
#include "store/etcd/etcd-internal.h"
#include "store/store-internal.h"

#include <stdlib.h>

#define PAGE_BYTES ((size_t)8 << 20) /* the last revision may lie above it */
#define PAGES_MAX 2		     /* that wait for somebody; more where they are being told */
#define PAGE_UNUSED_NS (5 * NS_PER_SEC)
#define PAST_SILENT_NS (5 * NS_PER_SEC) /* etcd tells nothing, or there is none: the asker is told */

/* Changes of (after, upto]. Under es->mu: refs (the list's own among them), used. */
struct past_page {
	struct list link;
	unsigned refs;
	bool used; /* since the last look */
	int64_t after, upto;
	size_t bytes;
	struct list batches;
};

/* On the stack of who asks, the loop's until it is over. */
struct past_load {
	struct es *es;
	struct feed feed;
	struct past_page *page;
	int64_t until; /* at the latest */
	struct ev_timer *silent;
	bool moved; /* since the last look at `silent` */
	/* Under es->mu. */
	bool over;
	int64_t lost; /* changes up to this revision are gone */
};

static struct past_page *page_free(struct past_page *p)
{
	LIST_EACH(&p->batches, it)
		batch_free(LIST_ENTRY(it, struct batch, link));
	free(p);
	return NULL;
}

/* Lock held. */
static void page_unref(struct past_page *p)
{
	if (--p->refs == 0)
		page_free(p);
}

/* Lock held. */
static void page_drop(struct past_page *p)
{
	list_del(&p->link);
	page_unref(p);
}

/* --- on the loop --- */

static void past_look(void *ctx)
{
	struct es *es = ctx;

	pthread_mutex_lock(&es->mu);
	LIST_EACH(&es->pages, it) {
		struct past_page *p = LIST_ENTRY(it, struct past_page, link);

		if (!p->used)
			page_drop(p);
		else
			p->used = false;
	}
	if (list_empty(&es->pages))
		es->pages_timer = ev_timer_stop(es->pages_timer);
	pthread_mutex_unlock(&es->mu);
}

static void load_over(struct past_load *l, int64_t lost)
{
	struct es *es = l->es;

	feed_stop(&l->feed);
	l->silent = ev_timer_stop(l->silent);
	if (!es->pages_timer && !es->gone)
		es->pages_timer = ev_timer_start(es->loop, PAGE_UNUSED_NS, PAGE_UNUSED_NS, past_look, es);
	pthread_mutex_lock(&es->mu);
	if (l->page->upto > l->page->after) {
		l->page->refs++;
		list_add_head(&es->pages, &l->page->link);
	}
	es->compact_rev = MAX(es->compact_rev, lost);
	l->lost = lost;
	l->over = true;
	es_wake(es); /* under the lock: l is the asker's stack */
	pthread_mutex_unlock(&es->mu);
}

static void load_got(struct feed *f, struct batch *b_take)
{
	struct past_load *l = CONTAINER_OF(f, struct past_load, feed);
	struct past_page *p = l->page;

	list_add_tail(&p->batches, &b_take->link);
	p->bytes += b_take->bytes + b_take->ev.n * sizeof(b_take->ev.p[0]);
	p->upto = vec_last(&b_take->ev).kv.mod_rev;
	l->moved = true;
	if (p->bytes >= PAGE_BYTES || p->upto >= l->until)
		load_over(l, 0);
}

static void load_lost(struct feed *f, int64_t compact_rev)
{
	load_over(CONTAINER_OF(f, struct past_load, feed), compact_rev);
}

static void load_silent(void *ctx)
{
	struct past_load *l = ctx;

	if (l->moved)
		l->moved = false;
	else
		load_over(l, 0);
}

static void load_begin(void *ctx)
{
	struct past_load *l = ctx;

	l->feed.got = load_got;
	l->feed.lost = load_lost;
	l->silent = ev_timer_start(l->es->loop, l->es->patience * PAST_SILENT_NS, l->es->patience * PAST_SILENT_NS,
				   load_silent, l);
	feed_start(l->es, &l->feed, l->page->after + 1);
}

void past_stop(struct es *es)
{
	es->pages_timer = ev_timer_stop(es->pages_timer);
}

/* --- on the asker's thread; the lock is held, and given up while it waits --- */

/* Changes after `since`, one revision of them at least: a new page, with a reference. */
static struct past_page *past_load(struct es *es, int64_t since, struct err *err)
{
	struct past_page *p = xcalloc(1, sizeof(*p));
	struct past_load l = { .es = es, .page = p, .until = atomic_load(&es->rev) };

	*p = (struct past_page){ .refs = 1, .used = true, .after = since, .upto = since };
	list_init(&p->link);
	list_init(&p->batches);
	ev_loop_post(es->loop, load_begin, &l);
	while (!l.over)
		pthread_cond_wait(&es->changed, &es->mu);
	if (p->upto > since)
		return p;
	page_unref(p);
	if (l.lost)
		(void)store_check_watch_rev(since, l.lost, err);
	else
		err_set(err, ERR_TIMEOUT, "etcd does not tell what came after revision %" PRId64, since);
	return NULL;
}

static struct past_page *past_find(struct es *es, int64_t since)
{
	LIST_EACH(&es->pages, it) {
		struct past_page *p = LIST_ENTRY(it, struct past_page, link);

		if (p->after <= since && since < p->upto)
			return p;
	}
	return NULL;
}

/* The page that has what comes after `since`, with a reference. */
static struct past_page *past_page(struct es *es, int64_t since, struct err *err)
{
	struct past_page *p;
	size_t n = 0;

	while (!(p = past_find(es, since)) && es->loading)
		pthread_cond_wait(&es->changed, &es->mu);
	if (p) {
		p->refs++;
		p->used = true;
		list_del(&p->link);
		list_add_head(&es->pages, &p->link);
		return p;
	}
	es->loading = true;
	p = past_load(es, since, err);
	es->loading = false;
	es_wake(es);
	LIST_EACH(&es->pages, it)
		if (++n > PAGES_MAX)
			page_drop(LIST_ENTRY(it, struct past_page, link));
	return p;
}

/* --- what is in a page --- */

struct telling {
	struct sv from, to;
	int64_t since, upto;
	store_change_fn *fn;
	void *ctx;
	const struct etcd_event *ev; /* the last one in the range: told when it is known what comes behind it */
	bool stopped;
};

static int tell_one(struct telling *t, bool more, struct err *err)
{
	const struct etcd_event *ev = t->ev;
	struct store_change c;
	struct store_kv prev;

	if (!etcd_change(ev, &prev, &c))
		return store_check_watch_rev(t->since, MAX(ev->kv.mod_rev, t->since + 1), err);
	c.more = more;
	if (t->fn(&c, t->ctx) && !more) {
		t->upto = ev->kv.mod_rev;
		t->stopped = true;
	}
	return 0;
}

static int tell_batch(struct telling *t, const struct batch *b, struct err *err)
{
	for (size_t i = 0; i < b->ev.n && !t->stopped; i++) {
		const struct etcd_event *ev = &b->ev.p[i];

		if (ev->kv.mod_rev > t->upto)
			break;
		if (ev->kv.mod_rev <= t->since || !store_in_range(ev->kv.key, t->from, t->to))
			continue;
		if (t->ev && tell_one(t, t->ev->kv.mod_rev == ev->kv.mod_rev, err) < 0)
			return -1;
		t->ev = ev;
	}
	return 0;
}

static int tell_page(struct telling *t, const struct past_page *p, struct err *err)
{
	LIST_EACH(&p->batches, it) {
		const struct batch *b = LIST_ENTRY(it, struct batch, link);

		if (vec_last(&b->ev).kv.mod_rev > t->since && !t->stopped && tell_batch(t, b, err) < 0)
			return -1;
	}
	return t->ev && !t->stopped ? tell_one(t, false, err) : 0;
}

int es_changes(struct store *s, struct sv from, struct sv to, int64_t since, size_t most, store_change_fn *fn,
	       void *ctx, int64_t *ret_rev, struct err *err)
{
	struct telling t = { .from = from, .to = to, .fn = fn, .ctx = ctx };
	struct past_page *p = NULL;
	struct es *es = ES(s);
	int rc;

	pthread_mutex_lock(&es->mu);
	rc = store_check_watch_rev(since, es->compact_rev, err);
	t.since = MAX(since, STORE_FIRST_REV);
	t.upto = atomic_load(&es->rev);
	if (rc == 0 && t.since < t.upto) {
		p = past_page(es, t.since, err);
		rc = p ? 0 : -1;
	}
	pthread_mutex_unlock(&es->mu);
	if (rc < 0)
		return -1;
	if (p) {
		t.upto = MIN(t.upto, p->upto);
		if ((uint64_t)(t.upto - t.since) > most)
			t.upto = t.since + (int64_t)most;
		rc = tell_page(&t, p, err);
		pthread_mutex_lock(&es->mu);
		page_unref(p);
		pthread_mutex_unlock(&es->mu);
	}
	if (rc == 0)
		*ret_rev = MAX(t.upto, t.since);
	return rc;
}

void past_drop_pages(struct es *es)
{
	LIST_EACH(&es->pages, it)
		page_drop(LIST_ENTRY(it, struct past_page, link));
}
