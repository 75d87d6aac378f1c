/* The real environment.
 *
 * One lock guards everything. Tasks wait in a ring; a worker is started only when a task
 * arrives and nobody is idle, up to the limit, and stays. Timers sit in a heap that one thread
 * watches, sleeping until the earliest deadline or for ever: nothing here wakes up when there
 * is nothing to do.
 *
 * A timer has two owners, the caller (until env_timer_cancel()) and the environment (until it
 * ran or was cancelled). A due timer is queued like any task; cancelling it there still works,
 * because the worker looks at it again under the lock before running it.
 */
#include "base/crash.h"
#include "base/heap.h"
#include "ev/ev-internal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <time.h>

#define WORKER_STACK ((size_t)512 * 1024)
#define LOOP_STACK ((size_t)1024 * 1024)
#define TIMER_STACK ((size_t)128 * 1024)

struct env_timer {
	size_t heap_index;
	int64_t due_ns;
	uint64_t seq; /* start order among equal deadlines */
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

struct env_real {
	struct env env;
	pthread_mutex_t lock;
	pthread_cond_t work;   /* a task, or stopping */
	pthread_cond_t timers; /* an earlier deadline, or stopping */
	pthread_cond_t ended;  /* a thread is gone */
	struct task *ring;     /* capacity a power of two */
	size_t head, n, cap;
	struct heap heap; /* struct env_timer by due_ns */
	uint64_t seq;
	int max_workers, workers, idle;
	bool timer_thread, stopping;
	int threads;	/* of all kinds, started and not left */
	pthread_t left; /* the last that left; it waits for the end of the one before it */
	bool any_left;
};

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

void ev_cond_init(pthread_cond_t *c)
{
	pthread_condattr_t a;

	pthread_condattr_init(&a);
	pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
	pthread_cond_init(c, &a);
	pthread_condattr_destroy(&a);
}

struct thread_start {
	char name[16];
	void *(*fn)(void *);
	void *ctx;
};

static void *thread_main(void *p)
{
	struct thread_start s = *(struct thread_start *)p;

	free(p);
	prctl(PR_SET_NAME, s.name);
	crash_thread();
	return s.fn(s.ctx);
}

static int spawn(const char *name, size_t stack_bytes, int detached, void *(*fn)(void *), void *ctx)
{
	struct thread_start *s = xcalloc(1, sizeof(*s));
	pthread_attr_t a;
	sigset_t all, old;
	pthread_t t;
	int r;

	strncpy(s->name, name, sizeof(s->name) - 1);
	s->fn = fn;
	s->ctx = ctx;
	pthread_attr_init(&a);
	pthread_attr_setdetachstate(&a, detached);
	pthread_attr_setstacksize(&a, stack_bytes);
	/* Signals belong to whoever watches them, not to the thread that happens to run. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	r = pthread_create(&t, &a, thread_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&a);
	if (r)
		free(s);
	return r;
}

int ev_thread_start(const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx)
{
	return spawn(name, stack_bytes, PTHREAD_CREATE_DETACHED, fn, ctx);
}

/* With the lock held. */
static int start_thread(struct env_real *e, const char *name, size_t stack_bytes, void *(*fn)(void *), void *ctx)
{
	int r = spawn(name, stack_bytes, PTHREAD_CREATE_JOINABLE, fn, ctx);

	if (r == 0)
		e->threads++;
	return r;
}

/* The last a thread does with e, whose lock it holds and which may be gone after. A thread that said it is done still
 * has some way to go: libraries take down what they kept for it. So that the end of the environment is the end of its
 * threads, each waits for the one that left before it, and env_real_free() for the last. */
static void leave(struct env_real *e)
{
	pthread_t before = e->left;
	bool any = e->any_left;

	e->left = pthread_self();
	e->any_left = true;
	e->threads--;
	pthread_cond_signal(&e->ended);
	pthread_mutex_unlock(&e->lock);
	if (any)
		pthread_join(before, NULL);
}

/* With the lock held; drops it while the task runs. */
static void real_run_one(struct env_real *e)
{
	struct task t = e->ring[e->head];

	e->head = (e->head + 1) & (e->cap - 1);
	e->n--;
	if (t.timer) {
		if (t.timer->cancelled) {
			free(t.timer);
			return;
		}
		t.timer->done = true;
	}
	pthread_mutex_unlock(&e->lock);
	t.fn(t.ctx);
	pthread_mutex_lock(&e->lock);
}

static void *real_worker(void *p)
{
	struct env_real *e = p;

	pthread_mutex_lock(&e->lock);
	for (;;) {
		if (e->n) {
			real_run_one(e);
			continue;
		}
		if (e->stopping)
			break;
		e->idle++;
		pthread_cond_wait(&e->work, &e->lock);
		e->idle--;
	}
	e->workers--;
	leave(e);
	return NULL;
}

static void real_queue(struct env_real *e, struct task t)
{
	if (e->n == e->cap) {
		size_t cap = e->cap ? e->cap * 2 : 64;
		struct task *ring = xcalloc(cap, sizeof(*ring));

		for (size_t i = 0; i < e->n; i++)
			ring[i] = e->ring[(e->head + i) & (e->cap - 1)];
		free(e->ring);
		e->ring = ring;
		e->head = 0;
		e->cap = cap;
	}
	e->ring[(e->head + e->n++) & (e->cap - 1)] = t;

	/* Idle workers that were signalled but have not run yet still count as idle, hence the
	 * comparison with the queue's length and not with zero. */
	if ((size_t)e->idle < e->n && e->workers < e->max_workers) {
		e->workers++;
		if (start_thread(e, "worker", WORKER_STACK, real_worker, e) != 0)
			e->workers--;
		if (e->workers == 0) /* not even one to be had */
			out_of("threads");
	}
	pthread_cond_signal(&e->work);
}

static void real_post(struct env *env, env_fn *fn, void *ctx)
{
	struct env_real *e = (struct env_real *)env;

	pthread_mutex_lock(&e->lock);
	real_queue(e, (struct task){ fn, ctx, NULL });
	pthread_mutex_unlock(&e->lock);
}

static bool timer_less(const void *a, const void *b)
{
	const struct env_timer *x = a, *y = b;

	return x->due_ns != y->due_ns ? x->due_ns < y->due_ns : x->seq < y->seq;
}

static void *real_timer_thread(void *p)
{
	struct env_real *e = p;

	pthread_mutex_lock(&e->lock);
	while (!e->stopping) {
		struct env_timer *t = heap_peek(&e->heap);
		struct timespec until;

		if (!t) {
			pthread_cond_wait(&e->timers, &e->lock);
			continue;
		}
		if (t->due_ns <= clock_ns(CLOCK_MONOTONIC)) {
			heap_pop(&e->heap);
			real_queue(e, (struct task){ t->fn, t->ctx, t });
			continue;
		}
		until.tv_sec = t->due_ns / NS_PER_SEC;
		until.tv_nsec = t->due_ns % NS_PER_SEC;
		pthread_cond_timedwait(&e->timers, &e->lock, &until);
	}
	e->timer_thread = false;
	leave(e);
	return NULL;
}

static struct env_timer *real_after(struct env *env, int64_t delay_ns, env_fn *fn, void *ctx)
{
	struct env_real *e = (struct env_real *)env;
	struct env_timer *t = xcalloc(1, sizeof(*t));

	t->heap_index = HEAP_NONE;
	t->fn = fn;
	t->ctx = ctx;
	if (__builtin_add_overflow(clock_ns(CLOCK_MONOTONIC), MAX(delay_ns, 0), &t->due_ns))
		t->due_ns = INT64_MAX;

	pthread_mutex_lock(&e->lock);
	t->seq = e->seq++;
	if (delay_ns <= 0) {
		real_queue(e, (struct task){ fn, ctx, t });
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

	pthread_mutex_lock(&e->lock);
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
	return clock_ns(CLOCK_REALTIME);
}

static int64_t real_mono_ns(struct env *e)
{
	(void)e;
	return clock_ns(CLOCK_MONOTONIC);
}

static void kernel_random(void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t r = getrandom((char *)p + at, n - at, 0);

		BUG_ON(r < 0 && errno != EINTR);
		if (r > 0)
			at += (size_t)r;
	}
}

/* Names and uids take a few bytes each, many times an object: the kernel is asked for some hundred at a time. Bytes
 * are forgotten as they are given out; a forked child, which has the same ones, gets its own. */
#define RANDOM_STOCK 512

static atomic_uint random_forks; /* how many forks lie between this process and the first */

static void random_forked(void)
{
	atomic_fetch_add(&random_forks, 1);
}

static void random_at_fork(void)
{
	BUG_ON(pthread_atfork(NULL, NULL, random_forked) != 0);
}

static void real_random(struct env *e, void *p, size_t n)
{
	static _Thread_local struct {
		unsigned char bytes[RANDOM_STOCK];
		size_t left; /* at the front */
		unsigned forks;
	} stock;
	unsigned forks = atomic_load_explicit(&random_forks, memory_order_relaxed);

	(void)e;
	if (n > RANDOM_STOCK / 4) {
		kernel_random(p, n);
		return;
	}
	if (stock.left < n || stock.forks != forks) {
		kernel_random(stock.bytes, sizeof(stock.bytes));
		stock.left = sizeof(stock.bytes);
		stock.forks = forks;
	}
	stock.left -= n;
	memcpy(p, stock.bytes + stock.left, n);
	explicit_bzero(stock.bytes + stock.left, n);
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
	pthread_mutex_lock(&e->lock);
	r = start_thread(e, name, LOOP_STACK, real_thread_main, t);
	pthread_mutex_unlock(&e->lock);
	if (r) {
		free(t);
		return -1;
	}
	return 0;
}

static const struct env_ops real_ops = {
	.now_ns = real_now_ns,
	.mono_ns = real_mono_ns,
	.random = real_random,
	.post = real_post,
	.after = real_after,
	.timer_cancel = real_timer_cancel,
	.thread = real_thread,
};

struct env *env_real_new(int workers)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct env_real *e = xcalloc(1, sizeof(*e));

	pthread_once(&once, random_at_fork);
	e->env.ops = &real_ops;
	e->max_workers = MAX(workers, 1);
	pthread_mutex_init(&e->lock, NULL);
	ev_cond_init(&e->work);
	ev_cond_init(&e->timers);
	ev_cond_init(&e->ended);
	heap_init(&e->heap, offsetof(struct env_timer, heap_index), timer_less);
	return &e->env;
}

struct env *env_real_free(struct env *env)
{
	struct env_real *e = (struct env_real *)env;
	struct env_timer *t;

	if (!e)
		return NULL;
	pthread_mutex_lock(&e->lock);
	e->stopping = true;
	pthread_cond_broadcast(&e->work);
	pthread_cond_broadcast(&e->timers);
	while (e->threads || e->n) {
		/* The timer thread may have queued something after the last worker left. */
		if (!e->workers && e->n)
			real_run_one(e);
		else
			pthread_cond_wait(&e->ended, &e->lock);
	}
	pthread_mutex_unlock(&e->lock);
	if (e->any_left)
		pthread_join(e->left, NULL);
	while ((t = heap_pop(&e->heap)))
		free(t);
	heap_release(&e->heap);
	free(e->ring);
	pthread_cond_destroy(&e->work);
	pthread_cond_destroy(&e->timers);
	pthread_cond_destroy(&e->ended);
	pthread_mutex_destroy(&e->lock);
	free(e);
	return NULL;
}
