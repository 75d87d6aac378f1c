#include "scheduler/queue.h"

#include "base/retry.h"

static bool more_important(const void *a, const void *b)
{
	const struct pod_info *x = a, *y = b;

	if (x->shape->priority != y->shape->priority)
		return x->shape->priority > y->shape->priority;
	if (x->queued_ns != y->queued_ns)
		return x->queued_ns < y->queued_ns;
	return x->seq < y->seq;
}

static bool sooner(const void *a, const void *b)
{
	const struct pod_info *x = a, *y = b;

	if (x->backoff_until_ns != y->backoff_until_ns)
		return x->backoff_until_ns < y->backoff_until_ns;
	return x->seq < y->seq;
}

void queue_init(struct queue *q, struct cache *c)
{
	*q = (struct queue){ .cache = c };
	heap_init(&q->active, offsetof(struct pod_info, heap_at), more_important);
	heap_init(&q->backoff, offsetof(struct pod_info, heap_at), sooner);
	heap_init(&q->failed, offsetof(struct pod_info, heap_at), sooner);
	list_init(&q->unschedulable);
	list_init(&q->gated);
}

void queue_release(struct queue *q)
{
	heap_release(&q->active);
	heap_release(&q->backoff);
	heap_release(&q->failed);
}

void queue_remove(struct queue *q, struct pod_info *p)
{
	switch (p->place) {
	case POD_ACTIVE:
		heap_remove(&q->active, p);
		break;
	case POD_BACKOFF:
		heap_remove(p->failed ? &q->failed : &q->backoff, p);
		break;
	case POD_UNSCHEDULABLE:
		q->n_unschedulable--;
		list_del(&p->waiting);
		break;
	case POD_GATED:
		q->n_gated--;
		list_del(&p->waiting);
		break;
	case POD_NOWHERE:
	case POD_ON_NODE:
		return;
	}
	p->place = POD_NOWHERE;
}

static bool gated(const struct pod_info *p)
{
	return val_len(obj_get(p->obj, F_spec, F_schedulingGates)) > 0;
}

static void queue_came(const struct queue *q, const struct pod_info *p, enum sched_came why)
{
	if (q->counts)
		sched_count_incoming(q->counts, why,
				     p->place == POD_GATED	     ? QUEUE_GATED
				     : p->place == POD_BACKOFF	     ? QUEUE_BACKOFF
				     : p->place == POD_UNSCHEDULABLE ? QUEUE_UNSCHEDULABLE
								     : QUEUE_ACTIVE);
}

/* To the gated ones, to the active ones, or to those whose back-off is not over. */
static void queue_enqueue(struct queue *q, struct pod_info *p, enum sched_came why, int64_t now_ns)
{
	BUG_ON(p->place != POD_NOWHERE);
	if (gated(p)) {
		p->place = POD_GATED;
		q->n_gated++;
		list_add_tail(&q->gated, &p->waiting);
	} else if (p->backoff_until_ns > now_ns) {
		p->place = POD_BACKOFF;
		heap_push(p->failed ? &q->failed : &q->backoff, p);
	} else {
		p->place = POD_ACTIVE;
		heap_push(&q->active, p);
	}
	queue_came(q, p, why);
}

void queue_add(struct queue *q, struct pod_info *p, int64_t now_ns)
{
	p->seq = q->seq++;
	p->queued_ns = now_ns;
	p->backoff_until_ns = 0;
	queue_enqueue(q, p, CAME_NEW, now_ns);
}

struct pod_info *queue_pop(struct queue *q)
{
	struct pod_info *p = heap_pop(&q->active);

	if (!p)
		p = heap_pop(&q->backoff);
	if (p) {
		p->place = POD_NOWHERE;
		p->failed = false;
		p->attempts++;
	}
	return p;
}

bool queue_has_next(const struct queue *q)
{
	return q->active.n || q->backoff.n;
}

static void start_backoff(struct pod_info *p, int64_t now_ns)
{
	static const struct retry_policy policy = { .first_ns = QUEUE_BACKOFF_NS, .max_ns = QUEUE_BACKOFF_MAX_NS };

	p->backoff_until_ns = now_ns + retry_pause_ns(&policy, MAX(p->attempts, 1));
}

void queue_park(struct queue *q, struct pod_info *p, uint32_t rejected_by, int64_t now_ns)
{
	BUG_ON(p->place != POD_NOWHERE);
	start_backoff(p, now_ns);
	p->rejected_by = rejected_by;
	p->parked_ns = now_ns;
	p->place = POD_UNSCHEDULABLE;
	q->n_unschedulable++;
	list_add_tail(&q->unschedulable, &p->waiting);
	queue_came(q, p, CAME_FAILED);
}

void queue_retry(struct queue *q, struct pod_info *p, int64_t now_ns)
{
	start_backoff(p, now_ns);
	p->failed = true;
	queue_enqueue(q, p, CAME_FAILED, now_ns);
}

void queue_again(struct queue *q, struct pod_info *p, int64_t now_ns)
{
	queue_enqueue(q, p, CAME_UPDATED, now_ns);
}

static bool may_help(struct queue *q, const struct pod_info *p, const struct sched_change *change)
{
	/* Rejected by nobody in particular (there were no nodes): anything may help. */
	if (p->rejected_by == 0)
		return true;
	for (int i = 0; i < _PLUGIN_MAX; i++) {
		const struct plugin *pl = plugin_table[i];

		if ((p->rejected_by & (1u << i)) && (pl->events & change->what) &&
		    (!pl->hint || !(change->what & ~(uint32_t)EV_NODE_DELETE) || pl->hint(q->cache, p, change)))
			return true;
	}
	return false;
}

size_t queue_event(struct queue *q, const struct sched_change *change, int64_t now_ns)
{
	size_t moved = 0;

	if (change->what == 0)
		return 0;
	LIST_EACH(&q->unschedulable, it) {
		struct pod_info *p = LIST_ENTRY(it, struct pod_info, waiting);

		if (!may_help(q, p, change))
			continue;
		queue_remove(q, p);
		queue_enqueue(q, p, CAME_EVENT + (unsigned)__builtin_ctz(change->what), now_ns);
		moved++;
	}
	return moved;
}

void queue_tick(struct queue *q, int64_t now_ns)
{
	struct pod_info *p;

	for (int i = 0; i < 2; i++) {
		struct heap *h = i ? &q->failed : &q->backoff;

		while ((p = heap_peek(h)) && p->backoff_until_ns <= now_ns) {
			queue_remove(q, p);
			p->failed = false;
			queue_enqueue(q, p, CAME_BACKOFF_END, now_ns);
		}
	}
	while (!list_empty(&q->unschedulable)) {
		p = LIST_ENTRY(q->unschedulable.next, struct pod_info, waiting);
		if (p->parked_ns + QUEUE_FLUSH_NS > now_ns)
			break;
		queue_remove(q, p);
		queue_enqueue(q, p, CAME_TIMEOUT, now_ns);
	}
}

static int64_t queue_earlier(int64_t at, int64_t other)
{
	return at && (!other || at < other) ? at : other;
}

int64_t queue_next_tick(const struct queue *q)
{
	const struct pod_info *woken = heap_peek(&q->backoff), *failed = heap_peek(&q->failed);
	int64_t at = queue_earlier(woken ? woken->backoff_until_ns : 0, failed ? failed->backoff_until_ns : 0);

	if (!list_empty(&q->unschedulable))
		at = queue_earlier(at, LIST_ENTRY(q->unschedulable.next, struct pod_info, waiting)->parked_ns +
					   QUEUE_FLUSH_NS);
	return at;
}
