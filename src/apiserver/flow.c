/* Priority levels: a flood of one kind of request never starves another (upstream's API Priority
 * and Fairness, with its default FlowSchemas and without objects to change them).
 *
 * A request holds seats from its admission until its answer. Small reads are answered at once,
 * so what holds seats is what runs on the pool, waits for the disk or for somebody else. What lasts by nature (logs,
 * exec, what is passed on to pods) holds none, as upstream: how long it lasts is up to a pod. When a level is
 * full, requests wait in its queue (steps.h); when that is full too, 429 with Retry-After. Levels do not
 * lend each other seats: these are cheap, and leases must always find one.
 *
 * Within a level users take turns: who has a thousand requests waiting holds up another's one by a single one of them.
 * Nor has one all of the queue: each may have as much of it as he leaves free. */
#include "apiserver/apiserver-internal.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/strmap.h"

#include <stdlib.h>

#define SEAT_BYTES ((size_t)64 * 1024) /* of a body; each more costs one seat more */
#define QUEUE_BYTES_MAX ((size_t)64 * 1024 * 1024)

static struct lock_site flow_lock = { .name = "priority level" };

enum level_id {
	LEADER_ELECTION,
	NODE_HIGH,
	SYSTEM,
	WORKLOAD_HIGH,
	WORKLOAD_LOW,
	GLOBAL_DEFAULT,
	CATCH_ALL,
	EXEMPT,
	_LEVEL_MAX
};

static const struct {
	const char *name;
	unsigned seats, queue;
} levels[_LEVEL_MAX] = {
	[LEADER_ELECTION] = { "leader-election", 100, 400 },
	[NODE_HIGH] = { "node-high", 400, 3200 },
	[SYSTEM] = { "system", 300, 3200 },
	[WORKLOAD_HIGH] = { "workload-high", 400, 6400 },
	[WORKLOAD_LOW] = { "workload-low", 1000, 6400 },
	[GLOBAL_DEFAULT] = { "global-default", 200, 6400 },
	[CATCH_ALL] = { "catch-all", 10, 0 },
	[EXEMPT] = { "exempt", UINT_MAX, 0 },
};

/* Somebody of whom requests wait. */
struct flow_user {
	struct list link; /* in the level's ring */
	struct list queue;
	char *name; /* owned */
	unsigned waiting;
	size_t waiting_bytes;
};

struct flow_ticket {
	struct list link; /* in the user's queue, while waiting */
	struct api_req *q;
	struct level *level;
	struct flow_user *user;	 /* while waiting */
	struct req_ticket *wait; /* while waiting */
	unsigned seats;
};

struct level {
	pthread_mutex_t lock;
	unsigned in_use, waiting;
	size_t waiting_bytes;
	struct list ring; /* users, the next one to be let in first */
	struct strmap users;
	uint64_t rejected;
};

struct flow {
	struct level levels[_LEVEL_MAX];
};

struct flow *flow_new(struct apiserver *s)
{
	struct flow *f = xcalloc(1, sizeof(*f));

	(void)s;
	for (size_t i = 0; i < _LEVEL_MAX; i++) {
		pthread_mutex_init(&f->levels[i].lock, NULL);
		list_init(&f->levels[i].ring);
	}
	return f;
}

struct flow *flow_free(struct flow *f)
{
	if (!f)
		return NULL;
	for (size_t i = 0; i < _LEVEL_MAX; i++) {
		strmap_release(&f->levels[i].users); /* nobody waits any more */
		pthread_mutex_destroy(&f->levels[i].lock);
	}
	free(f);
	return NULL;
}

static enum level_id classify(const struct api_req *q)
{
	const struct user_info *u = &q->user;
	bool lease = q->resource_request && q->res && q->res->id == R_coordination_leases;

	if (user_in_group(u, SV("system:masters")))
		return EXEMPT;
	if (!q->resource_request && (sv_starts(q->path, SV("/healthz")) || sv_starts(q->path, SV("/livez")) ||
				     sv_starts(q->path, SV("/readyz"))))
		return EXEMPT;
	if (lease && (sv_is(u->name, "system:kube-controller-manager") || sv_is(u->name, "system:kube-scheduler") ||
		      user_in_group(u, SV("system:serviceaccounts"))))
		return LEADER_ELECTION;
	if (user_in_group(u, SV("system:nodes")))
		return lease || (q->res && q->res->id == R_core_nodes) ? NODE_HIGH : SYSTEM;
	if (sv_is(u->name, "system:kube-controller-manager") || sv_is(u->name, "system:kube-scheduler") ||
	    user_in_group(u, SV("system:serviceaccounts:kube-system")))
		return WORKLOAD_HIGH;
	if (user_in_group(u, SV("system:serviceaccounts")))
		return WORKLOAD_LOW;
	if (user_in_group(u, SV("system:authenticated")) || user_in_group(u, SV("system:unauthenticated")))
		return GLOBAL_DEFAULT;
	return CATCH_ALL;
}

/* --- who waits; all with the level's lock held --- */

static void flow_user_drop(struct level *l, struct flow_user *u)
{
	(void)strmap_del(&l->users, sv_from(u->name));
	list_del(&u->link);
	free(u->name);
	free(u);
}

/* False: there is no room for it. */
static bool flow_enqueue(struct level *l, struct flow_ticket *t, unsigned max)
{
	size_t bytes = t->q->body.n, bytes_left = QUEUE_BYTES_MAX - l->waiting_bytes;
	struct sv share = user_share(&t->q->user);
	struct flow_user *u = strmap_get(&l->users, share);

	if ((u ? u->waiting : 0) >= max - l->waiting || (u ? u->waiting_bytes : 0) + bytes > bytes_left)
		return false;
	if (!u) {
		u = xcalloc(1, sizeof(*u));
		u->name = xstrndup(share.p, share.n);
		list_init(&u->queue);
		list_add_tail(&l->ring, &u->link);
		*strmap_slot(&l->users, sv_from(u->name)) = u;
	}
	t->user = u;
	list_add_tail(&u->queue, &t->link);
	u->waiting++;
	u->waiting_bytes += bytes;
	l->waiting++;
	l->waiting_bytes += bytes;
	return true;
}

static void flow_dequeue(struct level *l, struct flow_ticket *t)
{
	struct flow_user *u = TAKE(t->user);
	size_t bytes = t->q->body.n;

	list_del(&t->link);
	u->waiting--;
	u->waiting_bytes -= bytes;
	l->waiting--;
	l->waiting_bytes -= bytes;
	if (!u->waiting)
		flow_user_drop(l, u);
}

/* Seats that are free go to those who wait: one request of each user in turn, of one user in their order. Lock held,
 * given up meanwhile. */
static void level_fill(struct level *l, unsigned seats)
{
	while (!list_empty(&l->ring)) {
		struct flow_user *u = LIST_ENTRY(l->ring.next, struct flow_user, link);
		struct flow_ticket *next = LIST_ENTRY(u->queue.next, struct flow_ticket, link);
		struct req_ticket *wait = next->wait;
		unsigned taken = next->seats;
		bool counts;

		if (l->in_use + taken > seats)
			break;
		list_del(&u->link);
		list_add_tail(&l->ring, &u->link);
		flow_dequeue(l, next);
		l->in_use += taken;
		pthread_mutex_unlock(&l->lock);
		/* From here on it may be gone: it runs, or had stopped to wait. */
		counts = req_resume(wait, NULL, NULL);
		lock_mutex(&l->lock, &flow_lock);
		if (!counts)
			l->in_use -= taken;
	}
}

static unsigned level_seats(const struct api_req *q, const struct level *l)
{
	return levels[l - q->server->flow->levels].seats;
}

/* The wait ended without a seat. One that was given meanwhile is taken back by who gave it. Those behind it may have
 * waited for it alone, as it asked for more seats than are free. */
static void stop_waiting(void *ctx)
{
	struct flow_ticket *t = ctx;
	struct level *l = t->level;
	struct req_ticket *wait = NULL;

	lock_mutex(&l->lock, &flow_lock);
	if (!list_empty(&t->link)) {
		flow_dequeue(l, t);
		wait = t->wait;
		level_fill(l, level_seats(t->q, l));
	}
	pthread_mutex_unlock(&l->lock);
	req_ticket_unref(wait);
	t->q->flow = NULL;
}

int flow_admit(struct api_req *q, struct err *err)
{
	enum level_id id;
	struct flow_ticket *t = q->flow;
	struct level *l;
	bool seated = false, wait = false;

	if (t) /* it has waited, and was given its seats */
		return 0;
	id = classify(q);
	if (id == EXEMPT || (q->subresource.n && req_lasts(q)))
		return 0;
	l = &q->server->flow->levels[id];
	t = ARENA_NEW(q->arena, struct flow_ticket);
	t->q = q;
	t->level = l;
	t->seats = 1 + (unsigned)MIN(q->body.n / SEAT_BYTES, (size_t)levels[id].seats - 1);
	list_init(&t->link);
	lock_mutex(&l->lock, &flow_lock);
	if (list_empty(&l->ring) && l->in_use + t->seats <= levels[id].seats) {
		l->in_use += t->seats;
		seated = true;
	} else if (flow_enqueue(l, t, levels[id].queue)) {
		/* While locked: a release on another thread may give it its seats at once. */
		t->wait = req_suspend(q, levels[id].name, stop_waiting, t);
		wait = true;
	} else {
		l->rejected++;
	}
	if (seated || wait)
		q->flow = t;
	pthread_mutex_unlock(&l->lock);
	if (wait)
		return REQ_LATER;
	if (seated)
		return 0;
	return err_too_many(err);
}

void flow_release(struct api_req *q)
{
	struct flow_ticket *t = q->flow;

	if (!t)
		return;
	q->flow = NULL;
	lock_mutex(&t->level->lock, &flow_lock);
	t->level->in_use -= t->seats;
	level_fill(t->level, level_seats(q, t->level));
	pthread_mutex_unlock(&t->level->lock);
}

void flow_metrics(struct apiserver *s, struct buf *b)
{
	static const char *const heads[] = {
		"# HELP apiserver_flowcontrol_current_executing_seats Seats in use.\n"
		"# TYPE apiserver_flowcontrol_current_executing_seats gauge\n",
		"# HELP apiserver_flowcontrol_current_inqueue_requests Requests waiting.\n"
		"# TYPE apiserver_flowcontrol_current_inqueue_requests gauge\n",
		"# HELP apiserver_flowcontrol_rejected_requests_total Requests rejected.\n"
		"# TYPE apiserver_flowcontrol_rejected_requests_total counter\n",
	};
	static const char *const names[] = { "current_executing_seats", "current_inqueue_requests",
					     "rejected_requests_total" };

	for (size_t k = 0; k < ARRAY_LEN(heads); k++) {
		buf_adds(b, heads[k]);
		for (size_t i = 0; i < EXEMPT; i++) {
			struct level *l = &s->flow->levels[i];
			uint64_t v;

			lock_mutex(&l->lock, &flow_lock);
			v = k == 0 ? l->in_use : k == 1 ? l->waiting : l->rejected;
			pthread_mutex_unlock(&l->lock);
			buf_printf(b, "apiserver_flowcontrol_%s{priority_level=\"%s\"} %" PRIu64 "\n", names[k],
				   levels[i].name, v);
		}
	}
}
