/* Every key ever added has an item until it is idle again; an item is on the ready list, or
 * running, or waiting on a timer, or marked dirty while running.
 *
 * The queue is reference-counted: its owner holds one reference, every task and timer that
 * was handed to the env another, so that freeing never pulls memory from under a late task. */
#include "client/workq.h"

#include "base/board.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/quarantine.h"
#include "base/retry.h"
#include "base/strmap.h"
#include "client/workq_metrics.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define READY_POLL_NS (10 * NS_PER_MS)

static const struct retry_policy workq_retry = { .first_ns = 5 * NS_PER_MS, .max_ns = 1000 * NS_PER_SEC };

struct item {
	struct workq *q;
	struct list ready; /* in q->ready when waiting for a worker */
	char *key;
	size_t key_n;
	bool running, dirty;
	bool woken; /* while running */
	unsigned failures;
	unsigned undecided;	 /* runs in a row, */
	int64_t decide_ns;	 /* since then; monotonic */
	struct env_timer *timer; /* pending delayed add */
	bool firing;		 /* a timer was too late to stop: its task will come */
	int64_t timer_at_ns;
	int64_t since_ns; /* ready, or running; monotonic */
};

struct workq {
	struct list all; /* in all_queues */
	struct env *env;
	struct workq_opts opts;
	pthread_mutex_t lock;
	pthread_cond_t idle; /* running turned 0, or asking false */
	struct strmap items;
	struct list ready;
	size_t n_ready;
	int tasks;   /* worker tasks posted or running */
	int running; /* reconciles under way */
	bool asking; /* the ready hook is under way */
	bool started, stopping;
	struct env_timer *ready_timer;
	struct workq_counts counts;
	unsigned refs;
};

/* Taken before a queue's own. */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct list all_queues = { &all_queues, &all_queues };

static void worker(void *ctx);

static void workq_unref_locked(struct workq *q)
{
	bool last = --q->refs == 0;

	pthread_mutex_unlock(&q->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->idle);
	free(q);
}

static void workq_item_free(struct item *it)
{
	free(it->key);
	free(it);
}

static void item_drop_if_idle(struct workq *q, struct item *it)
{
	if (it->running || it->dirty || it->timer || it->firing || it->failures || !list_empty(&it->ready))
		return;
	strmap_del(&q->items, sv_make(it->key, it->key_n));
	workq_item_free(it);
}

static void kick(struct workq *q)
{
	while (q->started && !q->stopping && q->tasks < q->opts.workers &&
	       (size_t)q->tasks < q->n_ready + (size_t)q->running) {
		q->tasks++;
		q->refs++;
		env_post(q->env, q->opts.class, worker, q);
	}
}

static void make_ready(struct workq *q, struct item *it)
{
	if (it->running) {
		q->counts.adds += !it->dirty;
		it->dirty = true;
		return;
	}
	if (!list_empty(&it->ready))
		return;
	q->counts.adds++;
	it->since_ns = env_mono_ns(q->env);
	list_add_tail(&q->ready, &it->ready);
	q->n_ready++;
	kick(q);
}

static struct item *item_get(struct workq *q, struct sv key)
{
	void **slot = strmap_slot(&q->items, key);
	struct item *it = *slot;

	if (it)
		return it;
	it = xcalloc(1, sizeof(*it));
	it->q = q;
	list_init(&it->ready);
	it->key = xstrndup(key.p, key.n);
	it->key_n = key.n;
	*slot = it;
	return it;
}

static void timer_fired(void *ctx)
{
	struct item *it = ctx;
	struct workq *q = it->q;

	/* The timer's reference keeps q alive, and `timer` or `firing` the item. */
	pthread_mutex_lock(&q->lock);
	it->firing = false;
	it->timer = env_timer_cancel(q->env, it->timer);
	if (!q->stopping)
		make_ready(q, it);
	else if (!it->running)
		workq_item_free(it); /* already out of the map */
	workq_unref_locked(q);
}

/* False when it is too late: the timer's task is on its way. */
static bool item_stop_timer(struct workq *q, struct item *it)
{
	it->firing = !env_timer_stop(q->env, TAKE(it->timer));
	if (!it->firing)
		q->refs--;
	return !it->firing;
}

static void add_after_locked(struct workq *q, struct item *it, int64_t delay_ns)
{
	int64_t at = env_mono_ns(q->env) + delay_ns;

	if (it->firing || (it->timer && it->timer_at_ns <= at))
		return; /* earliest deadline wins */
	if (it->timer && !item_stop_timer(q, it))
		return; /* firing this moment: that will do */
	it->timer_at_ns = at;
	q->refs++;
	it->timer = env_after(q->env, ENV_TIMERS, delay_ns, timer_fired, it);
}

static int64_t workq_pause_ns(const struct workq *q, unsigned failures)
{
	struct retry_policy p = workq_retry;

	if (q->opts.retry_max_ns)
		p.max_ns = q->opts.retry_max_ns;
	return retry_pause_ns(&p, failures);
}

/* Nothing can be made in a namespace that is going: what the key stands for goes with it. */
static bool hopeless(const struct err *err)
{
	return err_has_cause(err, "NamespaceTerminating");
}

/* The informer is behind: somebody else has written, made or deleted what this was about. The retry knows better, and
 * nobody needs to act, unless it goes on. */
static bool only_behind(const struct item *it, const struct err *err)
{
	return err->reason == ERR_CONFLICT ||
	       (it->failures == 1 && (err->reason == ERR_NOT_FOUND || err->reason == ERR_ALREADY_EXISTS));
}

/* What goes on failing is told the first time, the second, the fourth, and so on: it is tried for ever. */
static void workq_tell(const struct workq *q, const struct item *it, const struct err *err)
{
	char failures[16];

	if (only_behind(it, err) || (it->failures & (it->failures - 1)))
		return;
	(void)snprintf(failures, sizeof(failures), "%u", it->failures);
	log_kv(LVL_WARN, q->opts.name, "reconcile failed, will retry", "key", it->key, "error", err_msg(err),
	       "failures", failures, NULL);
}

/* From half of it to all: many that began together would ask in step for ever, and find in step that others have. */
static int64_t workq_undecided_ns(const struct item *it, int64_t after_ns)
{
	const struct retry_policy p = { .first_ns = after_ns, .max_ns = MAX(after_ns, WORKQ_UNDECIDED_NS) };

	return env_jitter(it->q->env, retry_pause_ns(&p, it->undecided) / 2, 1000);
}

static void workq_finish(struct workq *q, struct item *it, int rc, const struct reconcile_result *res,
			 const struct err *err)
{
	it->running = false;
	if (rc == 0 && res->undecided && !it->dirty) {
		it->undecided += it->undecided < UINT_MAX;
		it->decide_ns = res->since_ns;
	} else {
		it->undecided = 0;
	}
	if (rc < 0 && !hopeless(err)) {
		it->failures += it->failures < UINT_MAX;
		q->counts.retries++;
		workq_tell(q, it, err);
		if (!it->dirty)
			add_after_locked(q, it, workq_pause_ns(q, it->failures));
	} else {
		if (rc < 0 || !res->undecided)
			it->failures = 0;
		if (rc == 0 && res->after_ns > 0 && !it->dirty && it->woken)
			make_ready(q, it);
		else if (rc == 0 && res->after_ns > 0 && !it->dirty)
			add_after_locked(q, it, it->undecided ? workq_undecided_ns(it, res->after_ns) : res->after_ns);
	}
	it->woken = false;
	if (it->dirty) {
		it->dirty = false;
		q->counts.adds--; /* it was counted when it was added */
		make_ready(q, it);
	}
	item_drop_if_idle(q, it);
}

/* A key that ended the process twice is not run again: what it stands for stays as it is. */
static int workq_reconcile(struct workq *q, const struct item *it, struct reconcile_result *res, struct err *err)
{
	_cleanup_(buf_release) struct buf work = BUF_INIT;
	struct sv key = sv_make(it->key, it->key_n);
	_cleanup_(work_leave) _unused_ int mark = work_enter("reconcile", sv_from(q->opts.name), key, SV(""));

	buf_printf(&work, "reconcile %s %.*s", q->opts.name, SV_ARG(key));
	if (quarantine_has(buf_sv(&work))) {
		log_kv(LVL_DEBUG, q->opts.name, "set aside, not reconciled", "key", it->key, NULL);
		return 0;
	}
	work_key(buf_sv(&work));
	return q->opts.reconcile(q->opts.ctx, key, res, err);
}

static void worker(void *ctx)
{
	struct workq *q = ctx;
	struct item *it;

	pthread_mutex_lock(&q->lock);
	if (!q->stopping && !list_empty(&q->ready)) {
		struct reconcile_result res = { 0 };
		_cleanup_(err_release) struct err err = ERR_INIT;
		int64_t now;
		int rc;

		it = LIST_ENTRY(q->ready.next, struct item, ready);
		list_del(&it->ready);
		q->n_ready--;
		it->running = true;
		q->running++;
		now = env_mono_ns(q->env);
		workq_counts_queued(&q->counts, now - it->since_ns);
		it->since_ns = now;
		res.since_ns = it->undecided ? it->decide_ns : now;
		pthread_mutex_unlock(&q->lock);

		rc = workq_reconcile(q, it, &res, &err);

		pthread_mutex_lock(&q->lock);
		workq_counts_worked(&q->counts, env_mono_ns(q->env) - it->since_ns);
		q->running--;
		if (q->stopping) {
			it->running = false;
			if (!it->firing)
				workq_item_free(it); /* already out of the map */
			if (q->running == 0)
				pthread_cond_broadcast(&q->idle);
		} else {
			workq_finish(q, it, rc, &res, &err);
		}
	}
	if (!q->stopping && !list_empty(&q->ready)) {
		/* Back to the executor between two keys, so that one busy queue does not hold a
		 * thread for itself. The task's reference goes on. */
		env_post_next(q->env, q->opts.class, worker, q);
		pthread_mutex_unlock(&q->lock);
		return;
	}
	q->tasks--;
	workq_unref_locked(q);
}

static void check_ready(void *ctx)
{
	struct workq *q = ctx;
	bool ready;

	pthread_mutex_lock(&q->lock);
	q->ready_timer = env_timer_cancel(q->env, q->ready_timer);
	if (q->stopping) { /* what the hook would look at may be gone */
		workq_unref_locked(q);
		return;
	}
	q->asking = true;
	pthread_mutex_unlock(&q->lock);

	ready = !q->opts.ready || q->opts.ready(q->opts.ctx);

	pthread_mutex_lock(&q->lock);
	q->asking = false;
	if (q->stopping) {
		pthread_cond_broadcast(&q->idle);
		workq_unref_locked(q);
		return;
	}
	if (ready) {
		q->started = true;
		kick(q);
		workq_unref_locked(q);
		return;
	}
	q->ready_timer = env_after(q->env, q->opts.class, READY_POLL_NS, check_ready, q);
	pthread_mutex_unlock(&q->lock);
}

struct workq *workq_new(struct env *e, const struct workq_opts *o)
{
	struct workq *q = xcalloc(1, sizeof(*q));

	q->env = e;
	q->opts = *o;
	if (q->opts.workers <= 0)
		q->opts.workers = 2;
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->idle, NULL);
	list_init(&q->ready);
	q->refs = 2; /* the owner's and check_ready's */
	pthread_mutex_lock(&all_lock);
	list_add_tail(&all_queues, &q->all);
	pthread_mutex_unlock(&all_lock);
	env_post(e, q->opts.class, check_ready, q);
	return q;
}

struct workq *workq_free(struct workq *q)
{
	if (!q)
		return NULL;
	pthread_mutex_lock(&all_lock);
	list_del(&q->all);
	pthread_mutex_unlock(&all_lock);
	pthread_mutex_lock(&q->lock);
	q->stopping = true;
	if (q->ready_timer && env_timer_stop(q->env, TAKE(q->ready_timer)))
		q->refs--;
	STRMAP_EACH(&q->items, e) {
		struct item *it = e->value;

		list_del(&it->ready);
		if (it->timer)
			(void)item_stop_timer(q, it);
		if (!it->running && !it->firing)
			workq_item_free(it);
		/* Else its run or its timer's task, seeing `stopping`, frees it. */
	}
	strmap_release(&q->items);
	while (q->running > 0 || q->asking)
		pthread_cond_wait(&q->idle, &q->lock);
	workq_unref_locked(q);
	return NULL;
}

void workq_add(struct workq *q, struct sv key)
{
	pthread_mutex_lock(&q->lock);
	if (!q->stopping) {
		struct item *it = item_get(q, key);

		it->undecided = 0; /* something happened: what was asked before may not be so any more */
		make_ready(q, it);
	}
	pthread_mutex_unlock(&q->lock);
}

void workq_wake(struct workq *q, struct sv key)
{
	struct item *it;

	pthread_mutex_lock(&q->lock);
	it = q->stopping ? NULL : strmap_get(&q->items, key);
	if (it && it->running)
		it->woken = true;
	else if (it && it->timer && (it->undecided || !it->failures) && item_stop_timer(q, it))
		make_ready(q, it);
	pthread_mutex_unlock(&q->lock);
}

void workq_add_after(struct workq *q, struct sv key, int64_t delay_ns)
{
	if (delay_ns <= 0) {
		workq_add(q, key);
		return;
	}
	pthread_mutex_lock(&q->lock);
	if (!q->stopping)
		add_after_locked(q, item_get(q, key), delay_ns);
	pthread_mutex_unlock(&q->lock);
}

void workq_add_obj(struct workq *q, struct sv ns, struct sv name)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (ns.n) {
		buf_addsv(&b, ns);
		buf_addc(&b, '/');
	}
	buf_addsv(&b, name);
	workq_add(q, buf_sv(&b));
}

size_t workq_len(struct workq *q)
{
	size_t n;

	pthread_mutex_lock(&q->lock);
	n = q->n_ready + (size_t)q->running;
	pthread_mutex_unlock(&q->lock);
	return n;
}

void workq_each(void (*fn)(const char *name, enum env_class class, size_t waiting, int running, void *ctx), void *ctx)
{
	pthread_mutex_lock(&all_lock);
	for (struct list *l = all_queues.next; l != &all_queues; l = l->next) {
		struct workq *q = LIST_ENTRY(l, struct workq, all);
		size_t waiting;
		int running;

		pthread_mutex_lock(&q->lock);
		waiting = q->n_ready;
		running = q->running;
		pthread_mutex_unlock(&q->lock);
		fn(q->opts.name, q->opts.class, waiting, running, ctx);
	}
	pthread_mutex_unlock(&all_lock);
}

/* Under q's lock. */
static void workq_count_now(struct workq *q)
{
	struct workq_counts *c = &q->counts;
	int64_t now = env_mono_ns(q->env);

	c->depth = q->n_ready;
	c->longest_ns = c->unfinished_ns = 0;
	STRMAP_EACH(&q->items, e) {
		const struct item *it = e->value;

		if (!it->running)
			continue;
		c->longest_ns = MAX(c->longest_ns, now - it->since_ns);
		c->unfinished_ns += now - it->since_ns;
	}
}

void workq_metrics(struct buf *b)
{
	struct workq_table *t = workq_table_new();

	pthread_mutex_lock(&all_lock);
	for (struct list *l = all_queues.next; l != &all_queues; l = l->next) {
		struct workq *q = LIST_ENTRY(l, struct workq, all);

		pthread_mutex_lock(&q->lock);
		workq_count_now(q);
		workq_table_add(t, q->opts.name, &q->counts);
		pthread_mutex_unlock(&q->lock);
	}
	pthread_mutex_unlock(&all_lock);
	workq_table_write(t, b);
}

void workq_key_split(struct sv key, struct sv *ret_ns, struct sv *ret_name)
{
	ssize_t at = sv_find(key, '/');

	*ret_ns = at < 0 ? SV("") : sv_sub(key, 0, (size_t)at);
	*ret_name = at < 0 ? key : sv_sub(key, (size_t)at + 1, key.n);
}
