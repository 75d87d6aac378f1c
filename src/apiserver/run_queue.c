/* Users with something to run, and room for another runner, are in a ring; a runner takes the first one's oldest run
 * and puts the user behind the others. It is a task that ends after TURN_NS and is posted again while runs are left. A
 * timer is armed while runs wait for runners that are all busy: it sees whether any was taken since it last looked. */
#include "apiserver/run_queue.h"
#include "base/lock.h"
#include "base/strmap.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define USERS_KEPT 256 /* without anything to do: who asks once asks again */
#define BACKLOG 32     /* runs waiting for each runner at which another helps */
#define TURN_NS (20 * NS_PER_MS)

static struct lock_site run_queue_lock = { .name = "run queue" };

struct run_user {
	struct list link; /* in the ring, or empty */
	struct list items;
	char *name; /* owned */
	size_t queued, bytes;
	unsigned running;
};

struct run_queue {
	struct env *env;
	atomic_int refs; /* the owner's, each runner's and the timer's */
	pthread_mutex_t lock;
	pthread_cond_t rest; /* nothing runs */
	/* Guarded by lock. */
	struct list ring;
	struct strmap users;
	size_t queued;
	unsigned runners, running;
	uint64_t taken, taken_seen;
	int64_t patience_ns; /* of the next look */
	struct env_timer *timer;
	bool stopping;
};

static void queue_unref(struct run_queue *rq)
{
	if (atomic_fetch_sub(&rq->refs, 1) != 1)
		return;
	strmap_release(&rq->users);
	pthread_mutex_destroy(&rq->lock);
	pthread_cond_destroy(&rq->rest);
	free(rq);
}

struct run_queue *run_queue_new(struct env *env)
{
	struct run_queue *rq = xcalloc(1, sizeof(*rq));

	rq->env = env;
	rq->patience_ns = RUN_PATIENCE_NS;
	atomic_init(&rq->refs, 1);
	pthread_mutex_init(&rq->lock, NULL);
	pthread_cond_init(&rq->rest, NULL);
	list_init(&rq->ring);
	return rq;
}

/* --- users; all with the lock held --- */

static struct run_user *user_get(struct run_queue *rq, struct sv name)
{
	void **slot = strmap_slot(&rq->users, name);
	struct run_user *u = *slot;

	if (u)
		return u;
	u = *slot = xcalloc(1, sizeof(*u));
	u->name = xstrndup(name.p, name.n);
	list_init(&u->link);
	list_init(&u->items);
	return u;
}

static void user_drop(struct run_queue *rq, struct run_user *u)
{
	(void)strmap_del(&rq->users, sv_from(u->name));
	free(u->name);
	free(u);
}

/* Into the ring or out of it, as it has become. */
static void user_settle(struct run_queue *rq, struct run_user *u)
{
	bool ready = u->queued && (u->running < RUN_USER_RUNNERS || rq->stopping);

	if (ready && list_empty(&u->link))
		list_add_tail(&rq->ring, &u->link);
	else if (!ready && !list_empty(&u->link))
		list_del(&u->link);
	if (!u->queued && !u->running && rq->users.n > USERS_KEPT)
		user_drop(rq, u);
}

static struct run_item *take(struct run_queue *rq, struct run_user **ret)
{
	struct run_item *item;
	struct run_user *u;

	if (list_empty(&rq->ring))
		return NULL;
	u = LIST_ENTRY(rq->ring.next, struct run_user, link);
	item = LIST_ENTRY(u->items.next, struct run_item, link);
	list_del(&item->link);
	list_del(&u->link);
	u->queued--;
	u->bytes -= item->bytes;
	u->running++;
	rq->queued--;
	rq->running++;
	rq->taken++;
	user_settle(rq, u);
	*ret = u;
	return item;
}

/* --- runners --- */

/* Until there is none or the time is over. With the lock held, which it drops while they run. */
static void run_until(struct run_queue *rq, int64_t until_ns)
{
	struct run_item *item;
	struct run_user *u;

	while ((until_ns == INT64_MAX || env_mono_ns(rq->env) < until_ns) && (item = take(rq, &u))) {
		pthread_mutex_unlock(&rq->lock);
		item->fn(item);
		lock_mutex(&rq->lock, &run_queue_lock);
		u->running--;
		user_settle(rq, u);
		if (--rq->running == 0 && rq->stopping)
			pthread_cond_broadcast(&rq->rest);
	}
}

static void runner(void *ctx)
{
	struct run_queue *rq = ctx;
	bool again;

	lock_mutex(&rq->lock, &run_queue_lock);
	run_until(rq, env_mono_ns(rq->env) + TURN_NS);
	again = !list_empty(&rq->ring) && !rq->stopping;
	rq->runners -= !again;
	pthread_mutex_unlock(&rq->lock);
	/* A task of its own, behind others of the class: a thread that is always busy is none that is held. */
	if (again)
		env_post_next(rq->env, ENV_REQUESTS, runner, rq);
	else
		queue_unref(rq);
}

/* Counts one more, whom the caller posts without the lock. With the lock held. */
static bool another(struct run_queue *rq)
{
	if (rq->stopping || rq->runners == RUN_RUNNERS || list_empty(&rq->ring))
		return false;
	rq->runners++;
	atomic_fetch_add(&rq->refs, 1);
	return true;
}

static void run_queue_look(void *ctx);

/* With the lock held. */
static void run_queue_arm(struct run_queue *rq)
{
	if (rq->timer || rq->stopping)
		return;
	rq->taken_seen = rq->taken;
	atomic_fetch_add(&rq->refs, 1);
	rq->timer = env_after(rq->env, ENV_TIMERS, rq->patience_ns, run_queue_look, rq);
}

static void run_queue_look(void *ctx)
{
	struct run_queue *rq = ctx;
	bool more = false;

	lock_mutex(&rq->lock, &run_queue_lock);
	rq->timer = env_timer_cancel(rq->env, rq->timer);
	if (rq->taken == rq->taken_seen || rq->queued > (size_t)BACKLOG * rq->runners) {
		more = another(rq);
		rq->patience_ns = RUN_PATIENCE_NS;
	} else { /* a burst of short ones: each look costs as much as one of them */
		rq->patience_ns = MIN(2 * rq->patience_ns, RUN_PATIENCE_MAX_NS);
	}
	if (rq->queued)
		run_queue_arm(rq);
	pthread_mutex_unlock(&rq->lock);
	if (more)
		env_post(rq->env, ENV_REQUESTS, runner, rq);
	queue_unref(rq);
}

bool run_queue_push(struct run_queue *rq, struct run_item *item, struct sv user, size_t bytes,
		    void (*fn)(struct run_item *item), bool must)
{
	bool first = false, refused, now;
	struct run_user *u;

	item->fn = fn;
	item->bytes = bytes;
	lock_mutex(&rq->lock, &run_queue_lock);
	u = user_get(rq, user);
	now = rq->stopping;
	refused = !now && !must && (u->queued >= RUN_USER_MAX || u->bytes + bytes > RUN_USER_BYTES_MAX);
	if (!now && !refused) {
		list_add_tail(&u->items, &item->link);
		u->queued++;
		u->bytes += bytes;
		rq->queued++;
		user_settle(rq, u);
		if (rq->runners)
			run_queue_arm(rq);
		else
			first = another(rq);
	}
	pthread_mutex_unlock(&rq->lock);
	if (first)
		env_post(rq->env, ENV_REQUESTS, runner, rq);
	if (now)
		fn(item);
	return !refused;
}

size_t run_queue_waiting(struct run_queue *rq)
{
	size_t n;

	lock_mutex(&rq->lock, &run_queue_lock);
	n = rq->queued;
	pthread_mutex_unlock(&rq->lock);
	return n;
}

/* --- the end --- */

void run_queue_stop(struct run_queue *rq)
{
	lock_mutex(&rq->lock, &run_queue_lock);
	rq->stopping = true;
	if (rq->timer && env_timer_stop(rq->env, rq->timer))
		atomic_fetch_sub(&rq->refs, 1);
	rq->timer = NULL;
	STRMAP_EACH(&rq->users, e) {
		struct run_user *u = e->value;

		if (u->queued && list_empty(&u->link)) /* whom the number of runners kept out */
			list_add_tail(&rq->ring, &u->link);
	}
	run_until(rq, INT64_MAX);
	while (rq->running)
		pthread_cond_wait(&rq->rest, &rq->lock);
	pthread_mutex_unlock(&rq->lock);
}

struct run_queue *run_queue_free(struct run_queue *rq)
{
	if (!rq)
		return NULL;
	run_queue_stop(rq);
	STRMAP_EACH(&rq->users, e) {
		struct run_user *u = e->value;

		free(u->name);
		free(u);
	}
	queue_unref(rq);
	return NULL;
}
