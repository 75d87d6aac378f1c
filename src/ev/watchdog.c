/* The thread that watches and those that are watched meet at the board. A run begins by writing its instant down and
 * then looks whether the watchdog sleeps; the watchdog says that it sleeps and then looks once more whether a run is
 * under way. Both in one order for all threads, so one of the two sees the other. */
#include "ev/watchdog.h"
#include "base/board.h"
#include "base/bucket.h"
#include "ev/ev-internal.h"

#define LOOK_NS (500 * NS_PER_MS)
#define ANSWER_NS NS_PER_SEC /* for a stack; who runs needs far less, but may be kept from running */
#define AGAIN 10	     /* times as long, then it is said again */
#define WATCHDOG_STACK ((size_t)256 * 1024)

static const struct {
	const char *name;
	int64_t long_ns, stuck_ns;
} kinds[_RUN_MAX] = {
	[RUN_LOOP] = { "loop", 100 * NS_PER_MS, 2 * NS_PER_SEC },
	[RUN_STORE] = { "store", 100 * NS_PER_MS, 2 * NS_PER_SEC },
	[RUN_TIMERS] = { "timers", 100 * NS_PER_MS, 2 * NS_PER_SEC },
	[ENV_REQUESTS] = { "requests", 100 * NS_PER_MS, 2 * NS_PER_SEC },
	[ENV_CONTROL] = { "control", NS_PER_SEC, 2 * NS_PER_SEC },
	[ENV_NODE] = { "node", 0, 60 * NS_PER_SEC },
	[ENV_SLOW] = { "slow", 0, 0 },
	[ENV_KEYS] = { "keys", 0, 0 },
	[ENV_VOLUMES] = { "volumes", 0, 0 },
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	pthread_mutex_t reporting; /* one at a time; held for stop() */
	struct watchdog_opts o;
	struct bucket buckets[2]; /* ended, running; under reporting */
	bool running, stopping, gone;
	atomic_bool asleep, reports;
	_Atomic int64_t long_ns, stuck_ns; /* of o */
	atomic_uint skipped;		   /* reports of what has ended, made while another one was under way */
	_Atomic uint64_t n_long[_RUN_MAX], n_stuck[_RUN_MAX];
} dog = { .lock = PTHREAD_MUTEX_INITIALIZER, .reporting = PTHREAD_MUTEX_INITIALIZER };

const char *run_kind_name(enum run_kind k)
{
	return kinds[k].name;
}

void watchdog_counts(enum run_kind k, uint64_t *ret_long, uint64_t *ret_stuck)
{
	*ret_long = atomic_load(&dog.n_long[k]);
	*ret_stuck = atomic_load(&dog.n_stuck[k]);
}

/* --- reports --- */

static void report(const struct work *w, int64_t now_ns, bool running)
{
	int depth = MIN(atomic_load(&((struct work *)w)->depth), WORK_DEPTH);
	const struct work_piece *p = &w->run.longest;
	char name[STACK_NAME_MAX] = "", now[WORK_TOLD_MAX];
	struct run_report r = {
		.kind = atomic_load(&((struct work *)w)->run.kind),
		.thread = w->thread,
		.tid = atomic_load(&((struct work *)w)->tid),
		.running = running,
		.ns = now_ns - atomic_load(&((struct work *)w)->run.since_ns),
		.works = w->run.works,
		.what = "",
		.called = name,
	};

	/* Whoever was held is not held by this, too: a stack may be waited for. */
	if (running) {
		pthread_mutex_lock(&dog.reporting);
	} else if (pthread_mutex_trylock(&dog.reporting) != 0) {
		atomic_fetch_add(&dog.skipped, 1);
		return;
	}
	if (!atomic_load(&dog.reports) ||
	    !bucket_take(&dog.buckets[running], REPORTS_AT_ONCE, REPORTS_EVERY_NS, now_ns, &r.missing)) {
		pthread_mutex_unlock(&dog.reporting);
		return;
	}
	if (!running)
		r.missing += atomic_exchange(&dog.skipped, 0);
	if (running && depth > 0) {
		work_tell(w, depth, now);
		r.what = now;
		r.bytes = w->level[depth - 1].bytes;
		r.step = w->run.step;
	} else if (p->ns) {
		r.what = p->what;
		r.after = p->after;
		r.step = p->step;
		r.bytes = p->bytes;
		r.what_ns = p->ns;
	} else if (w->run.works) {
		work_tell(w, 1, now);
		r.what = now;
		r.after = true;
	}
	if (w->run.fn)
		stack_name((void *)w->run.fn, false, name);
	if (running)
		r.n_frames = stack_of(r.tid, r.frames, ANSWER_NS);
	dog.o.report(&r, dog.o.ctx);
	pthread_mutex_unlock(&dog.reporting);
}

static int64_t limit(int64_t own, _Atomic int64_t *instead)
{
	int64_t ns = atomic_load_explicit(instead, memory_order_relaxed);

	return own && ns ? ns : own;
}

/* --- runs --- */

static void wake_up(void)
{
	pthread_mutex_lock(&dog.lock);
	atomic_store(&dog.asleep, false);
	pthread_cond_signal(&dog.cond);
	pthread_mutex_unlock(&dog.lock);
}

void run_begin(enum run_kind kind, env_fn *fn, int64_t now_ns)
{
	struct work *w = work_mine();

	if (!w)
		return;
	if (atomic_load_explicit(&w->run.since_ns, memory_order_relaxed)) {
		w->run.nested++;
		return;
	}
	atomic_store_explicit(&w->run.kind, kind, memory_order_relaxed);
	atomic_store_explicit(&w->run.number, atomic_load_explicit(&w->run.number, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	w->run.fn = fn;
	w->run.works = 0;
	w->run.step = NULL;
	w->run.at_ns = now_ns;
	w->run.longest.ns = 0;
	atomic_store(&w->run.since_ns, now_ns);
	if (__builtin_expect(atomic_load(&dog.asleep), 0))
		wake_up();
}

void run_calls(env_fn *fn)
{
	struct work *w = work_mine();

	if (w)
		w->run.fn = fn;
}

void run_end(int64_t now_ns)
{
	struct work *w = work_mine();
	int64_t since, over;

	if (!w)
		return;
	if (w->run.nested) {
		w->run.nested--;
		return;
	}
	since = atomic_load_explicit(&w->run.since_ns, memory_order_relaxed);
	if (!since) /* it began when no slot was left */
		return;
	work_piece_end(w, now_ns, NULL);
	over = limit(kinds[w->run.kind].long_ns, &dog.long_ns);
	if (__builtin_expect(over && now_ns - since > over, 0)) {
		atomic_fetch_add(&dog.n_long[w->run.kind], 1);
		report(w, now_ns, false);
	}
	w->run.at_ns = 0;
	atomic_store_explicit(&w->run.since_ns, 0, memory_order_release);
}

/* --- who watches --- */

struct seen {
	unsigned number;
	int64_t again_ns; /* when its run has taken as long; 0: nothing was said of it */
};

static void look_at(size_t i, struct seen *seen, int64_t now_ns)
{
	struct work *b = &board()->work[i];
	int64_t since = atomic_load(&b->run.since_ns), stuck;
	unsigned number = atomic_load(&b->run.number);
	struct work w;

	if (!since)
		return;
	stuck = limit(kinds[atomic_load(&b->run.kind)].stuck_ns, &dog.stuck_ns);
	if (seen->number != number)
		*seen = (struct seen){ .number = number, .again_ns = stuck };
	if (!stuck || now_ns - since <= seen->again_ns || !work_peek(i, &w) || w.run.number != number ||
	    !w.run.since_ns)
		return;
	if (seen->again_ns == stuck)
		atomic_fetch_add(&dog.n_stuck[w.run.kind], 1);
	seen->again_ns = MAX(seen->again_ns * AGAIN, now_ns - since);
	report(&w, now_ns, true);
}

static bool any_run(void)
{
	for (size_t i = 0; i < board_slots(board()); i++)
		if (atomic_load(&board()->work[i].run.since_ns))
			return true;
	return false;
}

/* With the lock held. Nothing is under way: until something is. */
static void sleep_well(void)
{
	atomic_store(&dog.asleep, true);
	if (any_run())
		atomic_store(&dog.asleep, false);
	while (atomic_load(&dog.asleep) && !dog.stopping)
		pthread_cond_wait(&dog.cond, &dog.lock);
	atomic_store(&dog.asleep, false);
}

static void *watchdog_main(void *ctx)
{
	static struct seen seen[WORK_SLOTS];
	int64_t look_ns = MIN(LOOK_NS, dog.o.stuck_ns ? dog.o.stuck_ns : LOOK_NS);

	(void)ctx;
	memset(seen, 0, sizeof(seen));
	pthread_mutex_lock(&dog.lock);
	while (!dog.stopping) {
		int64_t until = ev_clock_ns(CLOCK_MONOTONIC) + look_ns;
		struct timespec t = { .tv_sec = until / NS_PER_SEC, .tv_nsec = until % NS_PER_SEC };

		if (!any_run())
			sleep_well();
		else
			pthread_cond_timedwait(&dog.cond, &dog.lock, &t);
		pthread_mutex_unlock(&dog.lock);
		until = ev_clock_ns(CLOCK_MONOTONIC);
		for (size_t i = 0; i < board_slots(board()); i++)
			look_at(i, &seen[i], until);
		pthread_mutex_lock(&dog.lock);
	}
	dog.gone = true;
	pthread_cond_broadcast(&dog.cond);
	pthread_mutex_unlock(&dog.lock);
	return NULL;
}

int watchdog_start(const struct watchdog_opts *o)
{
	static bool once;

	BUG_ON(dog.running);
	stack_install();
	if (!once) /* and not again: a run that begins may just be waking up the one before */
		ev_cond_init(&dog.cond);
	once = true;
	dog.o = *o;
	dog.stopping = dog.gone = false;
	memset(dog.buckets, 0, sizeof(dog.buckets));
	atomic_store(&dog.long_ns, o->long_ns);
	atomic_store(&dog.stuck_ns, o->stuck_ns);
	if (ev_thread_start("watchdog", WATCHDOG_STACK, watchdog_main, NULL) != 0)
		return -1;
	dog.running = true;
	atomic_store(&dog.reports, true);
	return 0;
}

void watchdog_stop(void)
{
	if (!dog.running)
		return;
	pthread_mutex_lock(&dog.reporting);
	atomic_store(&dog.reports, false);
	pthread_mutex_unlock(&dog.reporting);
	pthread_mutex_lock(&dog.lock);
	dog.stopping = true;
	pthread_cond_broadcast(&dog.cond);
	while (!dog.gone)
		pthread_cond_wait(&dog.cond, &dog.lock);
	pthread_mutex_unlock(&dog.lock);
	atomic_store(&dog.long_ns, 0);
	atomic_store(&dog.stuck_ns, 0);
	dog.running = false;
}
