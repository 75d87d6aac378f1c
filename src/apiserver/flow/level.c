/* A level: its seats, the queues of those who wait for one, and whose turn it is.
 *
 * While seats are free and nobody waits, a request sits down and no queue is looked at. Else it goes into the shortest
 * of the queues that its flow was dealt (hand.c). Queues take turns by start-time fair queueing: each has a tag, the
 * virtual time at which its next request is due; the lowest is served, time is then at that tag, and the tag moves on
 * by the seats of who was served times how long a seat is held, guessed at first and set right when it is known. A
 * queue that was empty begins at the present time: idling earns nothing. */
#include "apiserver/flow/flow-internal.h"
#include "apiserver/steps.h"

#include <stdlib.h>

#define SERVICE_S 0.003	 /* how long a seat is held, by guess: upstream's */
#define SERVICE_MAX_S 60 /* one that hangs costs its queue no more than this */
#define RETRY_MAX_S 32

const double flow_bounds[FLOW_BUCKETS] = { 0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30 };

struct lock_site flow_lock = { .name = "priority level" };

static bool queue_less(const void *pa, const void *pb)
{
	const struct flow_queue *a = pa, *b = pb;

	return a->start < b->start || (!(b->start < a->start) && a->seq < b->seq);
}

struct flow_level *flow_level_new(struct sv name, bool exempt)
{
	struct flow_level *l = xcalloc(1, sizeof(*l));

	l->refs = 1;
	l->name = xstrndup(name.p, name.n);
	l->exempt = exempt;
	l->retry_s = 1;
	pthread_mutex_init(&l->lock, NULL);
	heap_init(&l->active, offsetof(struct flow_queue, heap_index), queue_less);
	return l;
}

void flow_level_unref(struct flow *f, struct flow_level *l)
{
	(void)f;
	if (--l->refs)
		return;
	/* Nobody waits, nobody sits: those would hold a configuration. */
	heap_release(&l->active);
	strmap_release(&l->queues);
	strmap_release(&l->counts);
	pthread_mutex_destroy(&l->lock);
	free(l->name);
	free(l);
}

/* --- what it is asked for; lock held --- */

void flow_demand_note(struct flow_level *l, int64_t now_ns)
{
	struct flow_demand *d = &l->demand;
	double seats = (double)l->in_use + (double)l->waiting_seats, s = (double)(now_ns - d->at_ns) / NS_PER_SEC;

	if (s > 0) {
		d->area += seats * s;
		d->area2 += seats * seats * s;
		d->at_ns = now_ns;
	}
	d->high = MAX(d->high, (unsigned)seats);
}

/* Before seats or those who wait change, while somebody looks. */
static void level_before(struct flow_level *l, struct api_req *q)
{
	if (l->observed)
		flow_demand_note(l, env_mono_ns(q->server->env));
}

static void level_after(struct flow_level *l)
{
	if (l->observed)
		l->demand.high = MAX(l->demand.high, l->in_use + (unsigned)l->waiting_seats);
}

/* --- queues; lock held --- */

static struct sv queue_key(const uint32_t *index)
{
	return sv_make((const char *)index, sizeof(*index));
}

static struct flow_queue *queue_get(struct flow_level *l, uint32_t index)
{
	void **slot = strmap_slot(&l->queues, queue_key(&index));
	struct flow_queue *u = *slot;

	if (u)
		return u;
	u = *slot = xcalloc(1, sizeof(*u));
	u->heap_index = HEAP_NONE;
	u->index = index;
	u->start = l->now;
	list_init(&u->waiting);
	return u;
}

static void queue_drop_idle(struct flow_level *l, struct flow_queue *u)
{
	if (u->n || u->executing)
		return;
	(void)strmap_del(&l->queues, queue_key(&u->index));
	free(u);
}

/* The shortest of those that the flow was dealt. */
static uint32_t queue_choose(struct flow_level *l, uint64_t hash)
{
	uint32_t hand[FLOW_HAND_MAX], best = 0;
	size_t least = SIZE_MAX;

	flow_hand(hash, l->q.queues, l->q.hand, hand);
	for (uint32_t i = 0; i < l->q.hand; i++) {
		const struct flow_queue *u = strmap_get(&l->queues, queue_key(&hand[i]));
		size_t length = u ? u->seats + u->seats_in_use : 0;

		if (length < least) {
			least = length;
			best = hand[i];
		}
	}
	return best;
}

static bool queue_push(struct flow_level *l, struct flow_ticket *t, uint64_t hash)
{
	size_t bytes = t->q->body.n, bytes_left = FLOW_WAITING_BYTES - l->waiting_bytes;
	struct flow_queue *u;

	if (!l->q.queues || l->waiting >= FLOW_WAITING_MAX)
		return false;
	u = queue_get(l, queue_choose(l, hash));
	/* Of the memory each queue may have as much as it leaves the others. */
	if (u->n >= l->q.length || u->bytes + bytes > bytes_left) {
		queue_drop_idle(l, u);
		return false;
	}
	t->queue = u;
	list_add_tail(&u->waiting, &t->link);
	if (u->n++ == 0) {
		u->start = MAX(u->start, l->now);
		u->seq = l->seq++;
		heap_push(&l->active, u);
	}
	u->bytes += bytes;
	u->seats += t->seats;
	l->waiting++;
	l->waiting_bytes += bytes;
	l->waiting_seats += t->seats;
	t->schema->counts->n.waiting++;
	return true;
}

static void flow_unqueue(struct flow_level *l, struct flow_ticket *t)
{
	struct flow_queue *u = t->queue;
	size_t bytes = t->q->body.n;

	list_del(&t->link);
	if (--u->n == 0)
		heap_remove(&l->active, u);
	u->bytes -= bytes;
	u->seats -= t->seats;
	l->waiting--;
	l->waiting_bytes -= bytes;
	l->waiting_seats -= t->seats;
	t->schema->counts->n.waiting--;
}

/* --- seats; lock held --- */

/* Who wants more than there are gets them when nobody else sits. */
static bool level_fits(const struct flow_level *l, unsigned seats)
{
	return seats > l->limit ? l->in_use == 0 : l->in_use + seats <= l->limit;
}

static void level_seat(struct flow_level *l, struct flow_ticket *t)
{
	struct flow_numbers *n = &t->schema->counts->n;

	t->state = FLOW_SEATED;
	l->in_use += t->seats;
	l->executing++;
	n->seats += t->seats;
	n->executing++;
	n->dispatched++;
	if (t->queue) {
		t->queue->executing++;
		t->queue->seats_in_use += t->seats;
	}
}

static void level_stand(struct flow_level *l, struct flow_ticket *t)
{
	struct flow_numbers *n = &t->schema->counts->n;

	l->in_use -= t->seats;
	l->executing--;
	n->seats -= t->seats;
	n->executing--;
	if (t->queue) {
		t->queue->executing--;
		t->queue->seats_in_use -= t->seats;
	}
}

static void level_waited(struct flow_ticket *t, bool served, int64_t now_ns)
{
	struct flow_numbers *n = &t->schema->counts->n;
	int64_t ns = MAX(now_ns - t->arrived_ns, 0);
	size_t i;

	for (i = 0; i < FLOW_BUCKETS && (double)ns > flow_bounds[i] * NS_PER_SEC; i++)
		;
	n->waits[served][i]++;
	n->waited_ns[served] += ns;
}

/* Seats that are free go to those who wait. Lock held, given up meanwhile. */
static void level_fill(struct flow_level *l, struct env *env)
{
	struct flow_queue *u;

	while ((u = heap_peek(&l->active))) {
		struct flow_ticket *next = LIST_ENTRY(u->waiting.next, struct flow_ticket, link);
		struct req_ticket *wait = next->wait;

		if (!level_fits(l, next->seats))
			break;
		l->now = u->start;
		level_before(l, next->q);
		next->seated_ns = env_mono_ns(env);
		level_waited(next, true, next->seated_ns);
		level_seat(l, next); /* before: that keeps the queue */
		flow_unqueue(l, next);
		u->start += SERVICE_S * next->seats;
		if (u->n) {
			u->seq = l->seq++;
			heap_fix(&l->active, u);
		}
		level_after(l);
		pthread_mutex_unlock(&l->lock);
		/* From here on it may be gone: it runs, or had stopped to wait. Then it gives its seats back itself. */
		(void)req_resume(wait, NULL, NULL);
		lock_mutex(&l->lock, &flow_lock);
	}
}

/* Longer while many are refused, shorter again when few are: once a second. */
static unsigned level_retry(struct flow_level *l, int64_t now_ns)
{
	if (now_ns - l->refused_since_ns >= NS_PER_SEC) {
		bool quiet = now_ns - l->refused_since_ns >= 2 * NS_PER_SEC;

		if (!quiet && l->refused > 3 * l->retry_s)
			l->retry_s = MIN(2 * l->retry_s, (unsigned)RETRY_MAX_S);
		else if (l->retry_s > 1)
			l->retry_s = quiet ? 1 : l->retry_s - 1;
		l->refused = 0;
		l->refused_since_ns = now_ns;
	}
	l->refused++;
	return l->retry_s;
}

/* --- for requests --- */

/* A quarter of its time, so that there is some left to be served in, or to try elsewhere. */
static int64_t level_patience(const struct api_req *q)
{
	return q->start_ns + (req_lasts(q) ? q->server->o.request_timeout_ns : req_allotted_ns(q)) / 4;
}

enum flow_state flow_level_enter(struct flow_level *l, struct flow_ticket *t, uint64_t hash, enum flow_refusal *ret_why,
				 unsigned *ret_retry_s)
{
	enum flow_state state = 0;

	lock_mutex(&l->lock, &flow_lock);
	level_before(l, t->q);
	t->arrived_ns = t->q->start_ns;
	if (!l->active.n && level_fits(l, t->seats)) {
		level_seat(l, t);
		t->seated_ns = t->arrived_ns;
		state = FLOW_SEATED;
	} else if (queue_push(l, t, hash)) {
		t->state = state = FLOW_WAITING;
		l->pressed = true;
		/* While locked: a release on another thread may give it its seats at once. */
		t->wait = req_suspend(t->q, "priority level", t->stop, t);
		req_wait_at_most(t->wait, level_patience(t->q));
	} else {
		l->pressed = true;
		*ret_why = l->q.queues ? FLOW_QUEUE_FULL : FLOW_NO_SEAT;
		t->schema->counts->n.rejected[*ret_why]++;
		*ret_retry_s = level_retry(l, t->arrived_ns);
	}
	level_after(l);
	pthread_mutex_unlock(&l->lock);
	return state;
}

void flow_level_leave(struct flow_level *l, struct flow_ticket *t)
{
	struct env *env = t->q->server->env;
	struct flow_queue *u = t->queue;

	lock_mutex(&l->lock, &flow_lock);
	level_before(l, t->q);
	level_stand(l, t);
	if (u) {
		double held_s = (double)(env_mono_ns(env) - t->seated_ns) / NS_PER_SEC;

		u->start += (MIN(held_s, (double)SERVICE_MAX_S) - SERVICE_S) * t->seats;
		if (u->n)
			heap_fix(&l->active, u);
		queue_drop_idle(l, u);
	}
	level_fill(l, env);
	pthread_mutex_unlock(&l->lock);
}

bool flow_level_give_up(struct flow_level *l, struct flow_ticket *t)
{
	struct env *env = t->q->server->env;
	struct req_ticket *wait = NULL;
	bool waited;

	lock_mutex(&l->lock, &flow_lock);
	waited = t->state == FLOW_WAITING;
	if (waited) {
		bool gone = t->q->http && http_req_gone(t->q->http);

		level_before(l, t->q);
		flow_unqueue(l, t);
		queue_drop_idle(l, t->queue);
		level_waited(t, false, env_mono_ns(env));
		t->schema->counts->n.rejected[gone ? FLOW_CANCELLED : FLOW_TIME_OUT]++;
		t->state = 0;
		wait = t->wait;
		level_fill(l, env); /* those behind it may have waited for it alone */
	}
	pthread_mutex_unlock(&l->lock);
	req_ticket_unref(wait);
	return waited;
}

void flow_level_fill(struct flow_level *l, struct env *env)
{
	lock_mutex(&l->lock, &flow_lock);
	level_fill(l, env);
	pthread_mutex_unlock(&l->lock);
}
