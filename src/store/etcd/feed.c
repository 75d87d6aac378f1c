/* A watch of all keys, that goes on with the next revision on whatever connection there is. */
#include "store/etcd/etcd-internal.h"

#include <stdlib.h>

#define LACKING_MAX 5 /* then it is compacted */

struct batch *batch_free(struct batch *b)
{
	if (!b)
		return NULL;
	for (size_t i = 0; i < b->of.n; i++)
		ecommit_unref(b->of.p[i]);
	for (size_t i = 0; i < b->texts.n; i++)
		free(b->texts.p[i]);
	vec_release(&b->ev);
	vec_release(&b->texts);
	vec_release(&b->of);
	free(b);
	return NULL;
}

/* What one message tells of revisions from `from` on, behind what is there. False: it is wrong. */
static bool feed_add(struct feed *f, const struct etcd_watch_said *said, int64_t from)
{
	struct batch *b = f->building;
	struct etcd_event *ev = xcalloc(said->n_events, sizeof(*ev));
	bool good = etcd_watch_events(said, ev);

	for (size_t i = 0; good && i < said->n_events; i++) {
		int64_t rev = ev[i].kv.mod_rev;

		if (rev < from) /* told */
			continue;
		good = rev >= f->next && (b->ev.n == 0 || rev >= vec_last(&b->ev).kv.mod_rev);
		if (good)
			vec_push(&b->ev, ev[i]);
	}
	free(ev);
	return good;
}

static void feed_wrong(struct feed *f, const char *what)
{
	grpc_call_cancel(TAKE(f->call));
	f->building = batch_free(f->building);
	link_leave(f->es->link, what);
}

/* etcd begins a watch before it notes that it shall tell what was there before: what comes in between lacks that, as
 * what has been compacted does. */
static bool feed_lacks(const struct batch *b)
{
	for (size_t i = 0; i < b->ev.n; i++)
		if (etcd_event_lacks(&b->ev.p[i]))
			return true;
	return false;
}

static void feed_open(struct feed *f);

/* More follows of the revision told last; those before it are whole. They are told at once, so that nobody holds a
 * thousand large revisions that came as one answer in pieces. m is the message that was added last: as what was there
 * before it ended with a whole revision or is all of one, the events that stay are all m's. */
static void feed_split(struct feed *f, struct sv m)
{
	struct batch *whole = f->building, *rest;
	int64_t last = vec_last(&whole->ev).kv.mod_rev;
	struct etcd_watch_said said;
	size_t n = whole->ev.n;
	char *text;

	while (n && whole->ev.p[n - 1].kv.mod_rev == last)
		n--;
	if (!n)
		return;
	rest = xcalloc(1, sizeof(*rest));
	list_init(&rest->link);
	text = xmemdup(m.p, m.n);
	vec_push(&rest->texts, text);
	rest->bytes = m.n;
	f->building = rest;
	f->next = last;
	f->lacking = 0;
	(void)etcd_watch_read(sv_make(text, m.n), &said);
	(void)feed_add(f, &said, last); /* it was right before */
	whole->ev.n = n;
	f->got(f, whole); /* last: f may be gone */
}

static void feed_message(struct grpc_call *c _unused_, struct sv m, void *ctx)
{
	struct feed *f = ctx;
	struct etcd_watch_said said;
	char *text;

	if (!etcd_watch_read(m, &said)) {
		feed_wrong(f, "what a watch says cannot be read");
		return;
	}
	if (said.cancelled) {
		grpc_call_cancel(TAKE(f->call));
		f->building = batch_free(f->building);
		if (said.compact_rev > 0) {
			f->started = false;
			list_del(&f->link);
			f->lost(f, said.compact_rev);
		} else {
			link_leave(f->es->link, "a watch was cancelled");
		}
		return;
	}
	if (!said.n_events)
		return;
	if (!f->building)
		f->building = xcalloc(1, sizeof(*f->building));
	list_init(&f->building->link);
	text = xmemdup(m.p, m.n);
	(void)etcd_watch_read(sv_make(text, m.n), &said); /* the same, with views into what is kept */
	vec_push(&f->building->texts, text);
	f->building->bytes += m.n;
	if (!feed_add(f, &said, 0)) {
		feed_wrong(f, "a watch tells what was before");
		return;
	}
	if (feed_lacks(f->building) && f->lacking++ < LACKING_MAX) {
		grpc_call_cancel(TAKE(f->call));
		f->building = batch_free(f->building);
		feed_open(f);
		return;
	}
	if (said.fragment) {
		feed_split(f, m);
		return;
	}
	f->lacking = 0;
	f->next = vec_last(&f->building->ev).kv.mod_rev + 1;
	f->got(f, TAKE(f->building));
}

static void feed_end(struct grpc_call *c _unused_, const struct grpc_end *e, void *ctx)
{
	struct feed *f = ctx;

	f->call = NULL;
	f->building = batch_free(f->building); /* it begins anew with that revision */
	link_leave(f->es->link, *e->message ? e->message : "a watch has ended");
}

static void feed_open(struct feed *f)
{
	static const struct grpc_call_cb cb = { feed_message, feed_end };
	/* Of a member that has no leader a watch would tell nothing, and not say so. */
	static const struct grpc_call_opts o = {
		.method = "/etcdserverpb.Watch/Watch", .header = "hasleader", .header_value = "true", .streams = true
	};
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct grpc_mux *m = link_mux(f->es->link);

	if (!m || f->call)
		return;
	etcd_watch_write(&b, f->next);
	f->call = grpc_mux_call(m, &o, buf_sv(&b), &cb, f);
	if (f->held)
		grpc_call_hold(f->call, true);
}

void feed_start(struct es *es, struct feed *f, int64_t next)
{
	f->es = es;
	f->next = next;
	f->started = true;
	list_init(&f->link);
	list_add_tail(&es->feeds, &f->link);
	feed_open(f);
}

void feed_hold(struct feed *f, bool held)
{
	f->held = held;
	if (f->call)
		grpc_call_hold(f->call, held);
}

void feed_stop(struct feed *f)
{
	if (!f->started)
		return;
	f->started = false;
	list_del(&f->link);
	f->building = batch_free(f->building);
	if (f->call)
		grpc_call_cancel(TAKE(f->call));
}

void feeds_up(struct es *es)
{
	LIST_EACH(&es->feeds, it)
		feed_open(LIST_ENTRY(it, struct feed, link));
}
