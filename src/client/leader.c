/* One election, driven by two timers and the news of a watch:
 *
 *	attempt: get, create or update the lease ─── got it, and the fence ─▶ leading, term + 1
 *	deadline (while leading): renewed too long ago ─────────────────────▶ not leading
 *	news of the lease: observed; the next attempt is when it has run out, or at once
 *
 * A leader attempts every retry_ns. So does a candidate whose watch is not there; with one he knows of each renewal
 * when it is made, asks nothing meanwhile, and is there at the instant at which the lease has run out. What decides is
 * the write, which carries the version that it rests on: news that are late cost an attempt and nothing else.
 *
 * A task that tells the component what has changed since it was last told, term by term, so
 * that a lease lost and won again while started() was running is told as such.
 *
 * Times are of the monotonic clock. The lease counts as renewed at the instant before the
 * write was sent, and as observed at the instant after its new version was read: so the holder's
 * patience (renew deadline) always ends before a candidate's (lease duration).
 *
 * Reference counting as in workq.c: leader_free()'s caller holds one, each task and timer in the
 * env's hands another. */
#include "client/leader.h"

#include "base/timefmt.h"

#include <pthread.h>
#include <stdlib.h>

#define LEASE_NS (15 * NS_PER_SEC)
#define RENEW_DEADLINE_NS (10 * NS_PER_SEC)
#define RETRY_NS (2 * NS_PER_SEC)
#define LOOK_NS LEASE_NS  /* a candidate looks itself, whatever a watch tells */
#define JITTER_MILLI 1200 /* of the retry, while waiting: candidates should not march in step */

struct leader {
	struct client *c;
	struct env *env;
	char *ns, *name, *identity;
	void (*started)(void *ctx), (*stopped)(void *ctx);
	int (*fence)(void *ctx, const struct obj *lease);
	void *ctx;
	int64_t lease_ns, renew_deadline_ns, retry_ns;

	/* The attempt's while one is busy, else under the lock; leader_free()'s in the end. */
	struct obj *observed; /* the lease as last seen: a reference */
	int64_t observed_ns;
	struct client_watch *watch;

	pthread_mutex_t lock;
	struct obj *news; /* what the watch told during an attempt: the lease, or its last version; */
	bool gone;	  /* then it was deleted */
	bool watching;	  /* the watch has not ended */
	pthread_cond_t quiet;
	struct env_timer *attempt, *deadline;
	bool stopping;
	bool busy; /* an attempt is under way */
	bool leading;
	int64_t renewed_ns;
	uint64_t term; /* counts how often the lease was won */
	bool telling;  /* tell_task is on its way or runs */
	bool in_callback;
	uint64_t told; /* the term the component works in; 0: none */
	unsigned refs;
};

static void leader_unref_locked(struct leader *l)
{
	bool last = --l->refs == 0;

	pthread_mutex_unlock(&l->lock);
	if (!last)
		return;
	obj_unref(l->observed);
	obj_unref(l->news);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->quiet);
	free(l->ns);
	free(l->name);
	free(l->identity);
	free(l);
}

/* --- the lease --- */

static bool holds_it(const struct leader *l, const struct obj *lease)
{
	return val_is(obj_get(lease, F_spec, F_holderIdentity), l->identity);
}

/* Only a change of the spec counts as a sign of life: labels may change by other hands. */
static void leader_observe(struct leader *l, struct obj *lease_take)
{
	if (!l->observed || !val_equal(obj_get(l->observed, F_spec), obj_get(lease_take, F_spec)))
		l->observed_ns = env_mono_ns(l->env);
	obj_unref(l->observed);
	l->observed = lease_take;
}

/* How long another candidate's lease lasts; 0: it has run out, or nobody else has it. */
static int64_t others_ns(const struct leader *l)
{
	const struct val *spec = l->observed ? obj_get(l->observed, F_spec) : NULL;
	int64_t s = val_get_int(spec, l->lease_ns / NS_PER_SEC, F_leaseDurationSeconds);

	if (!val_get_str(spec, F_holderIdentity).n || holds_it(l, l->observed))
		return 0;
	s = MAX(0, MIN(s, (int64_t)INT32_MAX));
	return MAX(0, l->observed_ns + s * NS_PER_SEC - env_mono_ns(l->env));
}

/* The lease's next version: ours, or (identity "") nobody's. */
static struct val *next_version(struct leader *l, struct arena *a, const char *identity)
{
	struct val *doc = l->observed ? obj_edit(a, l->observed) : val_new_map(a);
	struct val *meta = val_ensure_map(a, doc, F_metadata), *spec;
	const struct val *old = l->observed ? obj_get(l->observed, F_spec) : NULL;
	int64_t transitions = val_get_int(old, 0, F_leaseTransitions);
	bool keeps = l->observed && sv_is(val_get_str(old, F_holderIdentity), l->identity);
	bool release = *identity == '\0';
	char now[TIME_TEXT_MAX];

	val_set_cstr(a, meta, F_name, l->name);
	val_set_cstr(a, meta, F_namespace, l->ns);
	time_format(env_now_ns(l->env), true, now);
	if (!val_get(doc, F_kind)) {
		val_set_cstr(a, doc, F_kind, "Lease");
		val_set_cstr(a, doc, F_apiVersion, "coordination.k8s.io/v1");
	}
	spec = val_ensure_map(a, doc, F_spec);
	val_set_cstr(a, spec, F_holderIdentity, identity);
	val_set_int(a, spec, F_leaseDurationSeconds, release ? 1 : l->lease_ns / NS_PER_SEC);
	if (!keeps || release || !val_get(spec, F_acquireTime))
		val_set_cstr(a, spec, F_acquireTime, now);
	val_set_cstr(a, spec, F_renewTime, now);
	val_set_int(a, spec, F_leaseTransitions, transitions + (l->observed && !keeps));
	return doc;
}

/* Writes it, created or over the version observed. *ret_ns is the instant before. */
static int write_lease(struct leader *l, const char *identity, int64_t *ret_ns, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *doc = next_version(l, &a, identity);
	struct obj *got = NULL;
	int rc;

	*ret_ns = env_mono_ns(l->env);
	if (l->observed)
		rc = client_update(l->c, RES(coordination_leases), doc, NULL, &got, err);
	else
		rc = client_create(l->c, RES(coordination_leases), sv_from(l->ns), doc, NULL, &got, err);
	if (rc == 0)
		leader_observe(l, got);
	return rc;
}

enum attempt { ATTEMPT_FAILED, ATTEMPT_HELD_BY_OTHER, ATTEMPT_WON };

static enum attempt attempt_take(struct leader *l, bool leading, int64_t *ret_ns)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj *got = NULL;

	/* A holder knows the version it wrote: one call instead of two, as long as nobody took it. */
	if (leading && l->observed && holds_it(l, l->observed)) {
		if (write_lease(l, l->identity, ret_ns, &err) == 0)
			return ATTEMPT_WON;
		if (err.reason != ERR_CONFLICT && err.reason != ERR_NOT_FOUND)
			return ATTEMPT_FAILED;
		err_release(&err);
	}
	if (client_get(l->c, RES(coordination_leases), sv_from(l->ns), sv_from(l->name), &got, &err) == 0) {
		leader_observe(l, got);
		if (others_ns(l) > 0)
			return ATTEMPT_HELD_BY_OTHER;
	} else if (err.reason == ERR_NOT_FOUND) {
		err_release(&err);
		l->observed = obj_unref(l->observed);
	} else {
		return ATTEMPT_FAILED;
	}
	return write_lease(l, l->identity, ret_ns, &err) == 0 ? ATTEMPT_WON : ATTEMPT_FAILED;
}

/* Who has the lease and not the fence leads nothing: his next attempt renews the one and asks for the other. */
static enum attempt attempt_lease(struct leader *l, bool leading, int64_t *ret_ns)
{
	enum attempt got = attempt_take(l, leading, ret_ns);

	if (got == ATTEMPT_WON && !leading && l->fence && l->fence(l->ctx, l->observed) < 0)
		return ATTEMPT_FAILED;
	return got;
}

/* --- telling the component --- */

static void tell_task(void *ctx)
{
	struct leader *l = ctx;

	pthread_mutex_lock(&l->lock);
	while (!l->stopping) {
		uint64_t want = l->leading ? l->term : 0;
		bool stop = l->told != 0;

		if (l->told == want)
			break;
		l->told = stop ? 0 : want;
		l->in_callback = true;
		pthread_mutex_unlock(&l->lock);
		if (stop)
			l->stopped(l->ctx);
		else
			l->started(l->ctx);
		pthread_mutex_lock(&l->lock);
		l->in_callback = false;
		pthread_cond_broadcast(&l->quiet);
	}
	l->telling = false;
	leader_unref_locked(l);
}

static void tell_locked(struct leader *l)
{
	if (l->telling || l->stopping)
		return;
	l->telling = true;
	l->refs++;
	env_post(l->env, l->c->class, tell_task, l);
}

/* --- won and lost --- */

static void attempt_task(void *ctx);
static void deadline_task(void *ctx);

static void arm_locked(struct leader *l, struct env_timer **t, enum env_class class, int64_t delay_ns, env_fn *fn)
{
	l->refs++;
	*t = env_after(l->env, class, delay_ns, fn, l);
}

static void won_locked(struct leader *l, int64_t renewed_ns)
{
	int64_t left_ns = renewed_ns + l->renew_deadline_ns - env_mono_ns(l->env);

	if (left_ns <= 0)
		return; /* the answer took so long that it is worth nothing */
	l->renewed_ns = renewed_ns;
	if (l->leading)
		return;
	l->leading = true;
	l->term++;
	tell_locked(l);
	if (!l->stopping && !l->deadline)
		arm_locked(l, &l->deadline, ENV_TIMERS, left_ns, deadline_task);
}

static void lost_locked(struct leader *l)
{
	if (!l->leading)
		return;
	l->leading = false;
	tell_locked(l);
}

/* --- when to try again --- */

static void stop_timer_locked(struct leader *l, struct env_timer **t)
{
	if (*t && env_timer_stop(l->env, TAKE(*t)))
		l->refs--;
}

static int64_t next_ns_locked(struct leader *l, enum attempt got)
{
	int64_t left_ns;

	if (l->leading)
		return l->retry_ns;
	left_ns = others_ns(l);
	if (got == ATTEMPT_HELD_BY_OTHER && !left_ns) /* it has run out, or was given up, since */
		return 0;
	if (left_ns && l->watching)
		return MIN(left_ns, LOOK_NS);
	return MIN(left_ns ? left_ns : INT64_MAX, env_jitter(l->env, l->retry_ns, JITTER_MILLI));
}

/* Were there any that are newer than what is known? No attempt is busy. */
static bool take_news_locked(struct leader *l)
{
	struct obj *o = TAKE(l->news);

	if (!o || (l->observed && obj_rev(o) <= obj_rev(l->observed))) {
		obj_unref(o);
		return false;
	}
	if (l->gone) {
		obj_unref(o);
		l->observed = obj_unref(l->observed);
	} else {
		leader_observe(l, o);
	}
	return true;
}

/* No attempt is busy. A timer that has fired already attempts by itself. */
static void attempt_in_locked(struct leader *l, int64_t delay_ns)
{
	if (l->stopping || !l->attempt || !env_timer_stop(l->env, TAKE(l->attempt)))
		return;
	l->refs--;
	arm_locked(l, &l->attempt, l->c->class, delay_ns, attempt_task);
}

/* --- the watch --- */

static void on_news(enum watch_type t, struct obj *o, void *ctx)
{
	struct leader *l = ctx;

	if (t == WATCH_BOOKMARK)
		return;
	pthread_mutex_lock(&l->lock);
	obj_unref(l->news);
	l->news = obj_ref(o);
	l->gone = t == WATCH_DELETED;
	/* A leader renews anyway; but when somebody else has its lease, it looks at once. */
	if (!l->busy && take_news_locked(l)) {
		int64_t left_ns = others_ns(l);

		if (!l->leading)
			attempt_in_locked(l, MIN(left_ns, LOOK_NS));
		else if (left_ns)
			attempt_in_locked(l, 0);
	}
	pthread_mutex_unlock(&l->lock);
}

/* The next attempt opens another one. */
static void on_news_end(const struct err *why, void *ctx)
{
	struct leader *l = ctx;

	(void)why;
	pthread_mutex_lock(&l->lock);
	l->watching = false;
	if (!l->busy && !l->leading)
		attempt_in_locked(l, env_jitter(l->env, l->retry_ns, JITTER_MILLI));
	pthread_mutex_unlock(&l->lock);
}

/* Of a busy attempt. Without one it is as it was before there were any. */
static void watch_open(struct leader *l)
{
	static const struct client_watch_cb cb = { .event = on_news, .end = on_news_end };
	_cleanup_free_ char *only = xasprintf("metadata.name=%s", l->name);
	const struct client_list_opts o = { .field_selector = only };
	bool there;

	pthread_mutex_lock(&l->lock);
	there = l->watching;
	l->watching = true; /* it may end before it is known */
	pthread_mutex_unlock(&l->lock);
	if (there)
		return;
	client_unwatch(l->c, TAKE(l->watch));
	if (client_watch(l->c, RES(coordination_leases), sv_from(l->ns), &o, &cb, l, &l->watch, NULL) == 0)
		return;
	pthread_mutex_lock(&l->lock);
	l->watching = false;
	pthread_mutex_unlock(&l->lock);
}

/* --- timers --- */

static void attempt_task(void *ctx)
{
	struct leader *l = ctx;
	enum attempt got;
	int64_t at_ns = 0;
	bool leading;

	pthread_mutex_lock(&l->lock);
	l->attempt = env_timer_cancel(l->env, l->attempt);
	if (l->stopping) {
		leader_unref_locked(l);
		return;
	}
	l->busy = true;
	leading = l->leading;
	pthread_mutex_unlock(&l->lock);

	watch_open(l);
	got = attempt_lease(l, leading, &at_ns);

	pthread_mutex_lock(&l->lock);
	l->busy = false;
	pthread_cond_broadcast(&l->quiet);
	if (got == ATTEMPT_WON)
		won_locked(l, at_ns);
	else if (got == ATTEMPT_HELD_BY_OTHER)
		lost_locked(l);
	(void)take_news_locked(l);
	if (!l->stopping)
		arm_locked(l, &l->attempt, l->c->class, next_ns_locked(l, got), attempt_task);
	leader_unref_locked(l);
}

static void deadline_task(void *ctx)
{
	struct leader *l = ctx;
	int64_t left_ns;

	pthread_mutex_lock(&l->lock);
	l->deadline = env_timer_cancel(l->env, l->deadline);
	left_ns = l->renewed_ns + l->renew_deadline_ns - env_mono_ns(l->env);
	if (left_ns <= 0)
		lost_locked(l);
	if (l->leading && !l->stopping)
		arm_locked(l, &l->deadline, ENV_TIMERS, left_ns, deadline_task);
	leader_unref_locked(l);
}

/* --- life --- */

struct leader *leader_new(struct client *c, const struct leader_opts *o)
{
	struct leader *l = xcalloc(1, sizeof(*l));

	l->c = c;
	l->env = c->env;
	l->ns = xstrdup(o->ns);
	l->name = xstrdup(o->name);
	l->identity = xstrdup(o->identity);
	l->started = o->started;
	l->stopped = o->stopped;
	l->fence = o->fence;
	l->ctx = o->ctx;
	l->lease_ns = o->lease_ns ? o->lease_ns : LEASE_NS;
	l->renew_deadline_ns = o->renew_deadline_ns ? o->renew_deadline_ns : RENEW_DEADLINE_NS;
	l->retry_ns = o->retry_ns ? o->retry_ns : RETRY_NS;
	BUG_ON(!*l->identity || l->lease_ns % NS_PER_SEC || l->lease_ns <= l->renew_deadline_ns || l->retry_ns <= 0 ||
	       l->renew_deadline_ns <= l->retry_ns * JITTER_MILLI / 1000);
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->quiet, NULL);
	l->refs = 1;
	pthread_mutex_lock(&l->lock);
	arm_locked(l, &l->attempt, l->c->class, 0, attempt_task);
	pthread_mutex_unlock(&l->lock);
	return l;
}

bool leader_holds(struct leader *l)
{
	bool holds;

	pthread_mutex_lock(&l->lock);
	holds = l->leading && env_mono_ns(l->env) < l->renewed_ns + l->renew_deadline_ns;
	pthread_mutex_unlock(&l->lock);
	return holds;
}

struct leader *leader_free(struct leader *l)
{
	bool working;

	if (!l)
		return NULL;
	pthread_mutex_lock(&l->lock);
	l->stopping = true;
	stop_timer_locked(l, &l->attempt);
	stop_timer_locked(l, &l->deadline);
	while (l->busy || l->in_callback)
		pthread_cond_wait(&l->quiet, &l->lock);
	pthread_mutex_unlock(&l->lock);
	client_unwatch(l->c, TAKE(l->watch));
	pthread_mutex_lock(&l->lock);
	working = l->told != 0;
	l->told = 0;
	pthread_mutex_unlock(&l->lock);

	if (working)
		l->stopped(l->ctx);
	pthread_mutex_lock(&l->lock);
	l->leading = false;
	pthread_mutex_unlock(&l->lock);
	/* Best effort: without it the others wait until the lease has run out. A conflict means that
	 * it is not ours any more. */
	if (l->observed && holds_it(l, l->observed)) {
		int64_t at_ns;

		(void)write_lease(l, "", &at_ns, NULL);
	}
	pthread_mutex_lock(&l->lock);
	leader_unref_locked(l);
	return NULL;
}
