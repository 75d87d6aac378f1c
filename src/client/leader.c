/* One election, driven by two timers:
 *
 *	attempt (every retry): get, create or update the lease ── got it ──▶ leading, term + 1
 *	deadline (while leading): renewed too long ago ────────────────────▶ not leading
 *
 * and a task that tells the component what has changed since it was last told, term by term, so
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
#define JITTER_MILLI 1200 /* of the retry, while waiting: candidates should not march in step */

struct leader {
	struct client *c;
	struct env *env;
	char *ns, *name, *identity;
	void (*started)(void *ctx), (*stopped)(void *ctx);
	void *ctx;
	int64_t lease_ns, renew_deadline_ns, retry_ns;

	/* Of the one attempt under way; and of leader_free() after it. */
	struct obj *observed; /* the lease as last seen: a reference */
	int64_t observed_ns;

	pthread_mutex_t lock;
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

/* Has another candidate a lease that has not run out? */
static bool held_by_other(const struct leader *l)
{
	const struct val *spec = obj_get(l->observed, F_spec);
	int64_t s = val_get_int(spec, l->lease_ns / NS_PER_SEC, F_leaseDurationSeconds);

	if (!val_get_str(spec, F_holderIdentity).n || holds_it(l, l->observed))
		return false;
	s = MAX(0, MIN(s, (int64_t)INT32_MAX));
	return env_mono_ns(l->env) < l->observed_ns + s * NS_PER_SEC;
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

static enum attempt attempt_lease(struct leader *l, bool leading, int64_t *ret_ns)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj *got = NULL;

	/* A holder knows the version it wrote: one call instead of two, as long as nobody touched it. */
	if (leading && l->observed) {
		if (write_lease(l, l->identity, ret_ns, &err) == 0)
			return ATTEMPT_WON;
		if (err.reason != ERR_CONFLICT && err.reason != ERR_NOT_FOUND)
			return ATTEMPT_FAILED;
		err_release(&err);
	}
	if (client_get(l->c, RES(coordination_leases), sv_from(l->ns), sv_from(l->name), &got, &err) == 0) {
		leader_observe(l, got);
		if (held_by_other(l))
			return ATTEMPT_HELD_BY_OTHER;
	} else if (err.reason == ERR_NOT_FOUND) {
		err_release(&err);
		l->observed = obj_unref(l->observed);
	} else {
		return ATTEMPT_FAILED;
	}
	return write_lease(l, l->identity, ret_ns, &err) == 0 ? ATTEMPT_WON : ATTEMPT_FAILED;
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

/* --- timers --- */

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

	got = attempt_lease(l, leading, &at_ns);

	pthread_mutex_lock(&l->lock);
	l->busy = false;
	pthread_cond_broadcast(&l->quiet);
	if (got == ATTEMPT_WON)
		won_locked(l, at_ns);
	else if (got == ATTEMPT_HELD_BY_OTHER)
		lost_locked(l);
	if (!l->stopping)
		arm_locked(l, &l->attempt, l->c->class,
			   l->leading ? l->retry_ns : env_jitter(l->env, l->retry_ns, JITTER_MILLI), attempt_task);
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

static void stop_timer_locked(struct leader *l, struct env_timer **t)
{
	if (*t && env_timer_stop(l->env, TAKE(*t)))
		l->refs--;
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
