/* The real environment.
 *
 * One lock guards everything. Tasks wait in a ring for each class; a worker of the class is started only when a task
 * arrives and nobody is idle, up to the class's limit. Of those that are idle the last to become so is woken first,
 * so that the others are seen not to be needed: they end after a while, but for one a class.
 *
 * Timers sit in a heap that one thread watches, sleeping until the earliest deadline or for ever: nothing here wakes up
 * when there is nothing to do. It runs those of ENV_TIMERS itself, and queues the others to their classes.
 *
 * A timer has two owners, the caller (until env_timer_cancel()) and the environment (until it
 * ran or was cancelled). A due timer is queued like any task; cancelling it there still works,
 * because the worker looks at it again under the lock before running it.
 */
#include "base/heap.h"
#include "base/lock.h"
#include "ev/ev-internal.h"
#include "ev/watchdog.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#define WORKER_STACK ((size_t)512 * 1024)
#define LOOP_STACK ((size_t)1024 * 1024)
#define TIMER_STACK ((size_t)256 * 1024)
#define IDLE_NS (10 * NS_PER_SEC)

static struct lock_site env_lock = { .name = "tasks and timers" };

/* What a class's tasks can keep busy at once: several times what its queues have under way when all goes well. */
static const int class_threads[ENV_CLASSES] = {
	[ENV_REQUESTS] = 8, [ENV_CONTROL] = 16, [ENV_NODE] = 24, [ENV_SLOW] = 32, [ENV_KEYS] = 4, [ENV_VOLUMES] = 48,
};

struct env_timer {
	size_t heap_index;
	int64_t due_ns;
	uint64_t seq; /* start order among equal deadlines */
	enum env_class class;
	env_fn *fn;
	void *ctx;
	bool cancelled; /* by the caller: it no longer holds it */
	bool done;	/* ran or runs: the environment no longer holds it */
};

struct task {
	env_fn *fn;
	void *ctx;
	struct env_timer *timer; /* not NULL: this timer is due; fn and ctx are its own */
};

/* An idle thread, on its own stack. */
struct idler {
	struct idler *next;
	pthread_cond_t wake; /* woken, or stopping */
	bool woken;	     /* and out of the list */
};

struct class
{
	struct env_real *e;
	enum env_class class;
	struct task *ring; /* capacity a power of two */
	size_t head, n, cap;
	struct idler *idle; /* the last to become so first */
	int max_workers, workers, n_idle;
};

/* The class whose task the calling thread runs, while it has promised to take no task yet that nobody was woken for. */
static _Thread_local struct class *may_take;

struct env_real {
	struct env env;
	pthread_mutex_t lock;
	pthread_cond_t timers; /* an earlier deadline, or stopping */
	pthread_cond_t ended;  /* a thread is gone */
	struct class classes[ENV_CLASSES];
	struct heap heap; /* struct env_timer by due_ns */
	uint64_t seq;
	int64_t idle_ns;
	bool timer_thread, stopping;
	int threads;	       /* of all kinds, started and not left */
	struct ev_thread left; /* the last that left; it waits for the end of the one before it */
	bool any_left;
};

/* With the lock held. */
static int start_thread(struct env_real *e, const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx)
{
	int r = ev_thread_spawn(name, stack_bytes, fn, ctx);

	if (r == 0)
		e->threads++;
	return r;
}

/* The last a thread does with e, whose lock it holds and which may be gone after. A thread that said it is done still
 * has some way to go: libraries take down what they kept for it. So that the end of the environment is the end of its
 * threads, each waits for the one that left before it, and env_real_free() for the last. */
static void leave(struct env_real *e)
{
	struct ev_thread before = e->left;
	bool any = e->any_left;

	e->left = ev_thread_self();
	e->any_left = true;
	e->threads--;
	pthread_cond_signal(&e->ended);
	pthread_mutex_unlock(&e->lock);
	if (any)
		ev_thread_join(before);
}

static void real_call(enum run_kind kind, env_fn *fn, void *ctx)
{
	run_begin(kind, fn, ev_clock_ns(CLOCK_MONOTONIC));
	fn(ctx);
	run_end(ev_clock_ns(CLOCK_MONOTONIC));
}

/* With the lock held; drops it while the task runs. */
static void real_run_one(struct class *c)
{
	struct env_real *e = c->e;
	struct task t = c->ring[c->head];

	c->head = (c->head + 1) & (c->cap - 1);
	c->n--;
	if (t.timer) {
		if (t.timer->cancelled) {
			free(t.timer);
			return;
		}
		t.timer->done = true;
	}
	pthread_mutex_unlock(&e->lock);
	may_take = c;
	real_call((enum run_kind)c->class, t.fn, t.ctx);
	may_take = NULL;
	lock_mutex(&e->lock, &env_lock);
}

static struct timespec real_timespec(int64_t ns)
{
	return (struct timespec){ .tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC };
}

static void idler_remove(struct class *c, struct idler *me)
{
	struct idler **at = &c->idle;

	while (*at != me)
		at = &(*at)->next;
	*at = me->next;
	c->n_idle--;
}

/* With the lock held. Until there may be work (true), or nobody needs this thread (false). */
static bool worker_rest(struct class *c, struct idler *me)
{
	struct env_real *e = c->e;
	struct timespec until = real_timespec(ev_clock_ns(CLOCK_MONOTONIC) + e->idle_ns);

	me->woken = false;
	me->next = c->idle;
	c->idle = me;
	c->n_idle++;
	while (!me->woken && !e->stopping) {
		if (c->n_idle == 1) { /* one stays, ready when no other thread can be had */
			pthread_cond_wait(&me->wake, &e->lock);
		} else if (pthread_cond_timedwait(&me->wake, &e->lock, &until) == ETIMEDOUT && !me->woken &&
			   c->n_idle > 1) {
			idler_remove(c, me);
			return false;
		}
	}
	if (!me->woken)
		idler_remove(c, me);
	return true;
}

static void *real_worker(void *p)
{
	struct class *c = p;
	struct env_real *e = c->e;
	struct idler me;

	ev_cond_init(&me.wake);
	lock_mutex(&e->lock, &env_lock);
	for (;;) {
		if (c->n)
			real_run_one(c);
		else if (e->stopping || !worker_rest(c, &me))
			break;
	}
	c->workers--;
	pthread_cond_destroy(&me.wake);
	leave(e);
	return NULL;
}

/* With the lock held. */
static void real_put(struct class *c, struct task t)
{
	if (c->n == c->cap) {
		size_t cap = c->cap ? c->cap * 2 : 64;
		struct task *ring = xcalloc(cap, sizeof(*ring));

		for (size_t i = 0; i < c->n; i++)
			ring[i] = c->ring[(c->head + i) & (c->cap - 1)];
		free(c->ring);
		c->ring = ring;
		c->head = 0;
		c->cap = cap;
	}
	c->ring[(c->head + c->n++) & (c->cap - 1)] = t;
}

/* With the lock held. */
static void real_queue(struct class *c, struct task t)
{
	struct idler *w = c->idle;

	real_put(c, t);
	if (w) {
		c->idle = w->next;
		c->n_idle--;
		w->woken = true;
		pthread_cond_signal(&w->wake);
	} else if (c->workers < c->max_workers) {
		c->workers++;
		if (start_thread(c->e, env_class_name(c->class), WORKER_STACK, real_worker, c) != 0)
			c->workers--;
		if (c->workers == 0) /* not even one to be had */
			out_of("threads");
	}
}

static void real_post(struct env *env, enum env_class class, env_fn *fn, void *ctx)
{
	struct env_real *e = (struct env_real *)env;

	BUG_ON(class >= ENV_CLASSES);
	lock_mutex(&e->lock, &env_lock);
	real_queue(&e->classes[class], (struct task){ fn, ctx, NULL });
	pthread_mutex_unlock(&e->lock);
}

static void real_post_next(struct env *env, enum env_class class, env_fn *fn, void *ctx)
{
	struct env_real *e = (struct env_real *)env;
	struct class *c = &e->classes[class];

	if (may_take != c) {
		real_post(env, class, fn, ctx);
		return;
	}
	may_take = NULL; /* it comes for one */
	lock_mutex(&e->lock, &env_lock);
	real_put(c, (struct task){ fn, ctx, NULL });
	pthread_mutex_unlock(&e->lock);
}

static bool timer_less(const void *a, const void *b)
{
	const struct env_timer *x = a, *y = b;

	return x->due_ns != y->due_ns ? x->due_ns < y->due_ns : x->seq < y->seq;
}

/* With the lock held, which it drops while one of ENV_TIMERS runs. */
static void timer_due(struct env_real *e, struct env_timer *t)
{
	env_fn *fn = t->fn;
	void *ctx = t->ctx;

	if (t->class != ENV_TIMERS) {
		real_queue(&e->classes[t->class], (struct task){ fn, ctx, t });
		return;
	}
	t->done = true; /* and the caller's alone */
	pthread_mutex_unlock(&e->lock);
	real_call(RUN_TIMERS, fn, ctx);
	lock_mutex(&e->lock, &env_lock);
}

static void *real_timer_thread(void *p)
{
	struct env_real *e = p;

	lock_mutex(&e->lock, &env_lock);
	while (!e->stopping) {
		struct env_timer *t = heap_peek(&e->heap);
		struct timespec until;

		if (!t) {
			pthread_cond_wait(&e->timers, &e->lock);
			continue;
		}
		if (t->due_ns <= ev_clock_ns(CLOCK_MONOTONIC)) {
			timer_due(e, heap_pop(&e->heap));
			continue;
		}
		until = real_timespec(t->due_ns);
		pthread_cond_timedwait(&e->timers, &e->lock, &until);
	}
	e->timer_thread = false;
	leave(e);
	return NULL;
}

static struct env_timer *real_after(struct env *env, enum env_class class, int64_t delay_ns, env_fn *fn, void *ctx)
{
	struct env_real *e = (struct env_real *)env;
	struct env_timer *t = xcalloc(1, sizeof(*t));

	BUG_ON(class > ENV_TIMERS);
	t->heap_index = HEAP_NONE;
	t->class = class;
	t->fn = fn;
	t->ctx = ctx;
	if (__builtin_add_overflow(ev_clock_ns(CLOCK_MONOTONIC), MAX(delay_ns, 0), &t->due_ns))
		t->due_ns = INT64_MAX;

	lock_mutex(&e->lock, &env_lock);
	t->seq = e->seq++;
	if (delay_ns <= 0 && class != ENV_TIMERS) {
		real_queue(&e->classes[class], (struct task){ fn, ctx, t });
	} else {
		heap_push(&e->heap, t);
		if (!e->timer_thread && !e->stopping) {
			e->timer_thread = true;
			if (start_thread(e, "timers", TIMER_STACK, real_timer_thread, e) != 0)
				out_of("threads");
		}
		if (heap_peek(&e->heap) == t)
			pthread_cond_signal(&e->timers);
	}
	pthread_mutex_unlock(&e->lock);
	return t;
}

static bool real_timer_cancel(struct env *env, struct env_timer *t)
{
	struct env_real *e = (struct env_real *)env;
	bool ran, gone;

	lock_mutex(&e->lock, &env_lock);
	ran = gone = t->done;
	if (t->heap_index != HEAP_NONE) {
		heap_remove(&e->heap, t);
		gone = true;
	}
	t->cancelled = true; /* queued: the worker that meets it frees it */
	pthread_mutex_unlock(&e->lock);
	if (gone)
		free(t);
	return !ran;
}

static int64_t real_now_ns(struct env *e)
{
	(void)e;
	return ev_clock_ns(CLOCK_REALTIME);
}

static int64_t real_mono_ns(struct env *e)
{
	(void)e;
	return ev_clock_ns(CLOCK_MONOTONIC);
}

struct real_thread {
	struct env_real *e;
	env_fn *fn;
	void *ctx;
};

static void *real_thread_main(void *p)
{
	struct real_thread t = *(struct real_thread *)p;

	free(p);
	t.fn(t.ctx);
	pthread_mutex_lock(&t.e->lock);
	leave(t.e);
	return NULL;
}

static int real_thread(struct env *env, const char *name, env_fn *fn, void *ctx)
{
	struct env_real *e = (struct env_real *)env;
	struct real_thread *t = xcalloc(1, sizeof(*t));
	int r;

	*t = (struct real_thread){ .e = e, .fn = fn, .ctx = ctx };
	lock_mutex(&e->lock, &env_lock);
	r = start_thread(e, name, LOOP_STACK, real_thread_main, t);
	pthread_mutex_unlock(&e->lock);
	if (r) {
		free(t);
		return -1;
	}
	return 0;
}

static struct env_class_stats real_stats(struct env *env, enum env_class class)
{
	struct env_real *e = (struct env_real *)env;
	struct class *c = &e->classes[class];
	struct env_class_stats s;

	BUG_ON(class >= ENV_CLASSES);
	lock_mutex(&e->lock, &env_lock);
	s = (struct env_class_stats){
		.threads = c->workers, .max_threads = c->max_workers, .idle = c->n_idle, .queued = c->n
	};
	pthread_mutex_unlock(&e->lock);
	return s;
}

static const struct env_ops real_ops = {
	.now_ns = real_now_ns,
	.mono_ns = real_mono_ns,
	.random = ev_random,
	.post = real_post,
	.post_next = real_post_next,
	.after = real_after,
	.timer_cancel = real_timer_cancel,
	.thread = real_thread,
	.stats = real_stats,
};

struct env *env_real_new(int threads)
{
	struct env_real *e = xcalloc(1, sizeof(*e));

	e->env.ops = &real_ops;
	e->idle_ns = IDLE_NS;
	for (enum env_class i = 0; i < ENV_CLASSES; i++)
		e->classes[i] =
		    (struct class){ .e = e, .class = i, .max_workers = threads > 0 ? threads : class_threads[i] };
	pthread_mutex_init(&e->lock, NULL);
	ev_cond_init(&e->timers);
	ev_cond_init(&e->ended);
	heap_init(&e->heap, offsetof(struct env_timer, heap_index), timer_less);
	return &e->env;
}

void env_real_set_idle(struct env *env, int64_t ns)
{
	struct env_real *e = (struct env_real *)env;

	lock_mutex(&e->lock, &env_lock);
	e->idle_ns = ns;
	pthread_mutex_unlock(&e->lock);
}

/* Of a class that has tasks and no thread: its last one left before they came. */
static struct class *left_over(struct env_real *e)
{
	for (enum env_class i = 0; i < ENV_CLASSES; i++)
		if (e->classes[i].n && !e->classes[i].workers)
			return &e->classes[i];
	return NULL;
}

struct env *env_real_free(struct env *env)
{
	struct env_real *e = (struct env_real *)env;
	struct env_timer *t;
	struct class *c;

	if (!e)
		return NULL;
	lock_mutex(&e->lock, &env_lock);
	e->stopping = true;
	for (enum env_class i = 0; i < ENV_CLASSES; i++)
		for (struct idler *w = e->classes[i].idle; w; w = w->next)
			pthread_cond_signal(&w->wake);
	pthread_cond_broadcast(&e->timers);
	while ((c = left_over(e)) || e->threads) {
		if (c)
			real_run_one(c);
		else
			pthread_cond_wait(&e->ended, &e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	if (e->any_left)
		ev_thread_join(e->left);
	while ((t = heap_pop(&e->heap)))
		free(t);
	heap_release(&e->heap);
	for (enum env_class i = 0; i < ENV_CLASSES; i++)
		free(e->classes[i].ring);
	pthread_cond_destroy(&e->timers);
	pthread_cond_destroy(&e->ended);
	pthread_mutex_destroy(&e->lock);
	free(e);
	return NULL;
}
