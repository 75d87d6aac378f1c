/* What the streams of one loop share: turns. Before the loop sleeps each stream that was touched is flushed, then those
 * with much to send, until the time is over. */
#include "net/stream-internal.h"

#include <stdlib.h>

#define BULK_NS (5 * NS_PER_MS) /* of a loop's turn for those with much to send: others come and go between */

static int64_t clock_ns(void)
{
	return (int64_t)uv_hrtime();
}

bool stream_turn_over(struct stream *s)
{
	struct stream_loop *sl = s->sl;
	int64_t now;

	if (sl->bulk_first) {
		sl->bulk_first = false;
		return false;
	}
	now = clock_ns();
	if (!sl->bulk_until_ns)
		sl->bulk_until_ns = now + BULK_NS;
	s->held = now >= sl->bulk_until_ns;
	return s->held;
}

/* Streams that have had a turn and are not done, in turn, until the time is over; something of one in any case. */
static void stream_loop_bulk(struct stream_loop *sl)
{
	struct stream *s;

	sl->bulk_first = true;
	while ((s = stream_bulk_take(sl))) {
		stream_flush(s);
		if (!sl->bulk_until_ns)
			sl->bulk_until_ns = clock_ns() + BULK_NS;
		else if (clock_ns() >= sl->bulk_until_ns)
			break;
	}
	sl->bulk_first = false;
}

static void stream_loop_before_poll(void *p)
{
	struct stream_loop *sl = p;
	struct list now;

	if (list_empty(&sl->dirty) && list_empty(&sl->bulk))
		return;
	sl->bulk_until_ns = 0;
	/* A stream touched while another is flushed gets its turn as well, but one that touches
	 * itself again waits for the next: moved over, the list cannot grow under us for ever. */
	for (int round = 0; round < 4 && !list_empty(&sl->dirty); round++) {
		list_init(&now);
		now.next = sl->dirty.next;
		now.prev = sl->dirty.prev;
		now.next->prev = &now;
		now.prev->next = &now;
		list_init(&sl->dirty);
		while (!list_empty(&now)) {
			struct stream *s = LIST_ENTRY(now.next, struct stream, dirty);

			list_del(&s->dirty);
			stream_flush(s);
		}
	}
	stream_loop_bulk(sl);
	/* Somebody is left: do not sleep. */
	if (!list_empty(&sl->dirty) || !list_empty(&sl->bulk))
		uv_async_send(&sl->loop->wake);
}

static void stream_loop_free(void *p)
{
	struct stream_loop *sl = p;

	while (!list_empty(&sl->all)) {
		LIST_EACH(&sl->all, it)
			stream_abort(LIST_ENTRY(it, struct stream, link));
		uv_run(&sl->loop->uv, UV_RUN_ONCE);
	}
	ev_timer_stop(sl->look);
	while (sl->spare) {
		struct out_node *n = sl->spare;

		sl->spare = n->next;
		free(n);
	}
	buf_release(&sl->cipher);
	strmap_release(&sl->owners);
	free(sl->rbuf);
	free(sl->plain);
	sl->loop->net.state = NULL;
	sl->loop->net.before_poll = NULL;
	free(sl);
}

struct stream_loop *stream_loop_get(struct ev_loop *l)
{
	struct stream_loop *sl = l->net.state;

	if (sl)
		return sl;
	sl = xcalloc(1, sizeof(*sl));
	sl->loop = l;
	list_init(&sl->dirty);
	list_init(&sl->bulk);
	list_init(&sl->all);
	sl->rbuf = xmalloc(STREAM_READ_BYTES);
	sl->plain = xmalloc(NODE_BYTES);
	l->net.state = sl;
	l->net.before_poll = stream_loop_before_poll;
	l->net.free = stream_loop_free;
	return sl;
}
