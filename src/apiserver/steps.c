/* Requests that wait, what ends a wait, and where they go on.
 *
 * A wait is a ticket with one state that is changed by compare-and-swap, so that of all that may end it one wins:
 *
 *	RUNNING ──req_park──▶ PARKED ──┬──▶ RESUMED, LATE, GONE or STOPPED: whoever made it that sends the request on
 *	   └───────────────────────────┴──▶ the same: the run that suspended it, which has not ended yet, goes on itself
 *
 * Behind the last edge a ticket never touches its request again. */
#include "apiserver/steps.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/inflight.h"
#include "base/board.h"
#include "base/list.h"
#include "base/timefmt.h"

#include <stdlib.h>

#define MUTATING_NS (34 * NS_PER_SEC) /* upstream's bound of what writes */

enum wait_state { WAIT_RUNNING, WAIT_PARKED, WAIT_RESUMED, WAIT_LATE, WAIT_GONE, WAIT_STOPPED };

struct req_ticket {
	struct list link; /* among those that wait */
	atomic_int refs;  /* the holder's, the request's, the timer's */
	atomic_int state; /* enum wait_state */
	struct api_req *q;
	const char *what;
	void (*cancel)(void *ctx);
	void *ctx;
	/* Of the first one that resumes, before the state says so. */
	atomic_bool taken;
	void *result;
	void (*release)(void *result);
	/* Of the run that suspended, before the state says parked. */
	req_fn *fn;
	void *fn_ctx;
	int64_t until_ns; /* no longer than that, monotonic; 0: as long as the request may last */
	struct env_timer *timer;
};

struct req_waits {
	struct apiserver *s;
	pthread_mutex_t lock; /* of all, and of q->wait of each */
	struct list all;
	size_t n;
	bool stopping;
};

const char *req_step_name(enum req_step step)
{
	static const char *const names[_STEP_MAX] = { "received", "authenticated", "admitted",	"authorized", "decoded",
						      "mutated",  "validated",	   "committed", "answered" };

	return step < _STEP_MAX ? names[step] : "unknown";
}

/* --- tickets --- */

struct req_ticket *req_ticket_ref(struct req_ticket *t)
{
	atomic_fetch_add(&t->refs, 1);
	return t;
}

struct req_ticket *req_ticket_unref(struct req_ticket *t)
{
	if (t && atomic_fetch_sub(&t->refs, 1) == 1)
		free(t);
	return NULL;
}

static void req_go_on(struct api_req *q, void *ctx)
{
	struct req_ticket *t = ctx;

	t->fn(q, t->fn_ctx); /* req_woken() drops t */
}

/* True for the one that ends the wait. */
static bool req_settle(struct req_ticket *t, enum wait_state to)
{
	int was = atomic_load(&t->state);

	do {
		if (was != WAIT_RUNNING && was != WAIT_PARKED)
			return false;
	} while (!atomic_compare_exchange_weak(&t->state, &was, to));
	if (was == WAIT_PARKED)
		req_go(t->q, req_go_on, t);
	return true;
}

struct req_ticket *req_suspend(struct api_req *q, const char *what, void (*cancel)(void *ctx), void *ctx)
{
	struct req_waits *w = q->server->waits;
	struct req_ticket *t = xcalloc(1, sizeof(*t));
	bool stopping;

	BUG_ON(q->wait);
	inflight_add(q);
	inflight_waits(q, what);
	t->q = q;
	t->what = what;
	t->cancel = cancel;
	t->ctx = ctx;
	atomic_init(&t->refs, 2);
	atomic_init(&t->state, WAIT_RUNNING);
	q->has_result = false;
	q->timed = true;
	pthread_mutex_lock(&w->lock);
	stopping = w->stopping;
	q->wait = t;
	list_add_tail(&w->all, &t->link);
	w->n++;
	pthread_mutex_unlock(&w->lock);
	/* Who went before was not told of this wait. */
	if (stopping)
		(void)req_settle(t, WAIT_STOPPED);
	else if (q->http && http_req_gone(q->http))
		(void)req_settle(t, WAIT_GONE);
	return t;
}

bool req_resume(struct req_ticket *t_take, void *result_take, void (*release)(void *result))
{
	bool counts = !atomic_exchange(&t_take->taken, true);

	if (counts) {
		t_take->result = result_take;
		t_take->release = release;
		counts = req_settle(t_take, WAIT_RESUMED);
	}
	if (!counts && release)
		release(result_take);
	req_ticket_unref(t_take);
	return counts;
}

static void time_is_up(void *ctx)
{
	struct req_ticket *t = ctx;

	(void)req_settle(t, WAIT_LATE);
	req_ticket_unref(t);
}

bool req_park(struct api_req *q, req_fn *fn, void *ctx)
{
	struct req_ticket *t = q->wait;
	int64_t deadline = req_deadline_ns(q), until = t->until_ns ? MIN(t->until_ns, deadline) : deadline;
	int running = WAIT_RUNNING;

	t->fn = fn;
	t->fn_ctx = ctx;
	if (until != INT64_MAX && atomic_load(&t->state) == WAIT_RUNNING) {
		struct env *env = q->server->env;

		t->timer = env_after(env, ENV_TIMERS, until - env_mono_ns(env), time_is_up, req_ticket_ref(t));
	}
	return !atomic_compare_exchange_strong(&t->state, &running, WAIT_PARKED);
}

void req_wait_at_most(struct req_ticket *t, int64_t until_ns)
{
	t->until_ns = until_ns;
}

int req_out_of_time(struct err *err)
{
	return err_set(err, ERR_TIMEOUT, "Timeout: request did not complete within the allotted timeout");
}

static int wait_failed(const struct api_req *q, enum wait_state how, struct err *err)
{
	if (how == WAIT_STOPPED)
		return err_set(err, ERR_UNAVAILABLE, "the server is shutting down");
	/* Where upstream's handlers notice it themselves, and where a filter around them does. */
	if (how == WAIT_GONE)
		return err_set(err, ERR_TIMEOUT,
			       "Timeout: request did not complete within requested timeout - context canceled");
	if (req_mutating(q))
		return err_set(err, ERR_TIMEOUT,
			       "Timeout: request did not complete within requested timeout - context deadline "
			       "exceeded");
	return req_out_of_time(err);
}

int req_woken(struct api_req *q, struct err *err)
{
	struct req_waits *w = q->server->waits;
	struct req_ticket *t = q->wait;
	enum wait_state how = (enum wait_state)atomic_load(&t->state);
	int rc = 0;

	if (t->timer && env_timer_stop(q->server->env, t->timer))
		req_ticket_unref(t);
	t->timer = NULL;
	inflight_waits(q, NULL);
	pthread_mutex_lock(&w->lock);
	list_del(&t->link);
	w->n--;
	q->wait = NULL;
	pthread_mutex_unlock(&w->lock);
	if (how == WAIT_RESUMED) {
		q->has_result = true;
		q->result = t->result;
		if (t->release)
			arena_defer(q->arena, t->release, t->result);
	} else {
		if (t->cancel)
			t->cancel(t->ctx);
		rc = how == WAIT_LATE && t->until_ns && env_mono_ns(q->server->env) < req_deadline_ns(q)
			 ? err_too_many(err)
			 : wait_failed(q, how, err);
	}
	req_ticket_unref(t);
	return rc;
}

struct req_asking {
	int (*fn)(struct api_req *q, void *ctx, struct err *err);
	void *ctx;
};

static void req_asked(struct api_req *q, void *ctx);

static void req_ask_on(struct api_req *q, struct req_asking *a)
{
	struct err err = ERR_INIT;
	int rc;

	while ((rc = a->fn(q, a->ctx, &err)) == REQ_LATER) {
		if (!req_park(q, req_asked, a))
			return;
		if ((rc = req_woken(q, &err)) < 0)
			break;
	}
	if (rc < 0)
		api_req_fail(q, &err);
}

static void req_asked(struct api_req *q, void *ctx)
{
	struct err err = ERR_INIT;

	if (req_woken(q, &err) < 0)
		api_req_fail(q, &err);
	else
		req_ask_on(q, ctx);
}

void req_ask(struct api_req *q, int (*fn)(struct api_req *q, void *ctx, struct err *err), void *ctx)
{
	struct req_asking *a = ARENA_NEW(q->arena, struct req_asking);

	*a = (struct req_asking){ fn, ctx };
	req_ask_on(q, a);
}

bool req_result(struct api_req *q, void **ret)
{
	if (!q->has_result)
		return false;
	q->has_result = false;
	*ret = q->result;
	return true;
}

int req_over(struct api_req *q, struct err *err)
{
	if (q->http && http_req_gone(q->http))
		return wait_failed(q, WAIT_GONE, err);
	return env_mono_ns(q->server->env) >= req_deadline_ns(q) ? wait_failed(q, WAIT_LATE, err) : 0;
}

int req_late(struct api_req *q, struct err *err)
{
	return wait_failed(q, WAIT_LATE, err);
}

void req_has_parts(struct api_req *q)
{
	pthread_mutex_lock(&q->server->waits->lock);
	q->parts = true;
	pthread_mutex_unlock(&q->server->waits->lock);
}

/* Ends the waits of q, of its parts, or all (q NULL). */
static void settle_all(struct req_waits *w, const struct api_req *q, enum wait_state to)
{
	struct req_ticket **all;
	size_t n = 0;

	pthread_mutex_lock(&w->lock);
	w->stopping = w->stopping || to == WAIT_STOPPED;
	all = xcalloc(w->n + 1, sizeof(struct req_ticket *));
	for (struct list *l = w->all.next; l != &w->all; l = l->next) {
		struct req_ticket *t = LIST_ENTRY(l, struct req_ticket, link);

		if (!q || t->q == q || t->q->served == q)
			all[n++] = req_ticket_ref(t);
	}
	pthread_mutex_unlock(&w->lock);
	for (size_t i = 0; i < n; i++) {
		(void)req_settle(all[i], to);
		req_ticket_unref(all[i]);
	}
	free(all);
}

void req_client_gone(struct api_req *q)
{
	struct req_waits *w = q->server->waits;
	struct req_ticket *t;
	bool parts;

	pthread_mutex_lock(&w->lock);
	parts = q->parts;
	t = q->wait ? req_ticket_ref(q->wait) : NULL;
	pthread_mutex_unlock(&w->lock);
	if (t)
		(void)req_settle(t, WAIT_GONE);
	req_ticket_unref(t);
	if (parts)
		settle_all(w, q, WAIT_GONE);
}

/* --- deadlines --- */

bool req_mutating(const struct api_req *q)
{
	return q->resource_request && q->verb != VERB_GET && q->verb != VERB_LIST && q->verb != VERB_WATCH;
}

bool req_lasts(const struct api_req *q)
{
	static const char *const subs[] = { "attach", "exec", "log", "portforward", "proxy" };

	if (q->resource_request && q->verb == VERB_WATCH)
		return true;
	for (size_t i = 0; q->resource_request && i < ARRAY_LEN(subs); i++)
		if (sv_is(q->subresource, subs[i]))
			return true;
	return false;
}

int req_check_timeout(struct api_req *q, struct err *err)
{
	_cleanup_(buf_release) struct buf why = BUF_INIT;
	struct sv text;
	int64_t ns;

	if (!api_req_param(q, "timeout", &text) || !text.n || req_lasts(q) || duration_parse(text, &ns))
		return 0;
	duration_why(&why, text);
	return err_set(err, ERR_BAD_REQUEST, "invalid timeout specified in the request URL - %s", buf_cstr(&why));
}

int64_t req_allotted_ns(const struct api_req *q)
{
	int64_t bound = q->server->o.request_timeout_ns, own;
	struct sv text;

	if (api_req_param(q, "timeout", &text) && duration_parse(text, &own) && own > 0 && own < bound)
		bound = own;
	return bound;
}

int64_t req_deadline_ns(struct api_req *q)
{
	int64_t from = q->start_ns ? q->start_ns : env_mono_ns(q->server->env), ns;

	if (q->until_ns)
		return q->until_ns;
	if (req_lasts(q))
		return INT64_MAX;
	ns = req_allotted_ns(q);
	return from + (req_mutating(q) ? MIN(ns, MUTATING_NS) : ns);
}

/* --- where requests go on --- */

static void run_pooled(struct run_item *item)
{
	struct api_req *q = CONTAINER_OF(item, struct api_req, run);
	_cleanup_(work_leave) _unused_ int mark = api_req_work(q);

	q->run_fn(q, q->run_ctx);
}

bool req_pool(struct api_req *q, req_fn *fn, void *ctx, bool must)
{
	inflight_add(q);
	q->timed = true;
	q->run_fn = fn;
	q->run_ctx = ctx;
	return run_queue_push(q->server->runs, &q->run, user_share(&q->user), q->body.n, run_pooled, must);
}

void api_req_post(struct api_req *q, req_fn *fn, void *ctx)
{
	if (q->sink && q->sink->post)
		q->sink->post(q, fn, ctx);
	else
		(void)req_pool(q, fn, ctx, true);
}

void req_go(struct api_req *q, req_fn *fn, void *ctx)
{
	if (q->pooled)
		(void)req_pool(q, fn, ctx, true);
	else
		api_req_post(q, fn, ctx);
}

/* --- what is seen of a request on its way --- */

void req_note(struct api_req *q, enum req_step step)
{
	const struct req_observer *o = q->server->observer;

	inflight_step(q, step);
	q->step_ns[step] = env_mono_ns(q->server->env);
	work_tick(q->step_ns[step], req_step_name(step));
	if (o)
		o->passed(q, step, q->step_ns[step], o->ctx);
}

void req_set_plugins(struct apiserver *s, const struct req_plugins *p)
{
	s->plugins = p;
}

void req_set_observer(struct apiserver *s, const struct req_observer *o)
{
	s->observer = o;
}

/* --- life --- */

struct req_waits *req_waits_new(struct apiserver *s)
{
	struct req_waits *w = xcalloc(1, sizeof(*w));

	w->s = s;
	pthread_mutex_init(&w->lock, NULL);
	list_init(&w->all);
	return w;
}

size_t req_waits_count(const struct apiserver *s)
{
	size_t n;

	pthread_mutex_lock(&s->waits->lock);
	n = s->waits->n;
	pthread_mutex_unlock(&s->waits->lock);
	return n;
}

void req_waits_stop(struct req_waits *w)
{
	settle_all(w, NULL, WAIT_STOPPED);
}

struct req_waits *req_waits_free(struct req_waits *w)
{
	if (!w)
		return NULL;
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}
