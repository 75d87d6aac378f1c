/* Liveness, readiness and startup probes. Each is a timer of its own from the container's start to its end:
 *
 *	initialDelay ──▶ run ──(every period)──▶ run ...
 *	result turns after successThreshold / failureThreshold runs in a row with the same outcome
 *
 * Liveness and readiness wait until startup has succeeded. A change of a result kicks the pod's sync, which
 * acts on it: restarts, or writes the status.
 *
 * A container that is being stopped, alone or with its pod, is asked for readiness to its end, for it may serve as
 * long; liveness and startup are over, and what startup said last stays. */
#include "kubelet/probes.h"

#include "base/metric.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "kubelet/hooks.h"
#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_table.h"

#include <stdlib.h>

struct prober {
	_Atomic int refs; /* kcont, and the timer or task */
	struct kpod *p;
	struct obj *obj; /* the version the probe was read from */
	char *container, *id;
	enum probe_kind kind;
	const struct val *probe, *spec; /* in obj */
	int64_t period_ns, timeout_ns;
	/* Under p->lock. */
	enum probe_result result, last;
	int64_t streak;
	struct env_timer *timer;
	bool stop;
};

static void prober_unref(struct prober *r)
{
	if (--r->refs)
		return;
	obj_unref(r->obj);
	kpod_unref(r->p);
	free(r->container);
	free(r->id);
	free(r);
}

/* Pure part, for tests: what one more outcome makes of a result. */
enum probe_result probe_step(enum probe_result result, enum probe_result *last, int64_t *streak,
			     enum probe_result outcome, int64_t success_threshold, int64_t failure_threshold)
{
	if (outcome == PROBE_UNKNOWN) /* could not be run: says nothing */
		return result;
	*streak = outcome == *last ? *streak + 1 : 1;
	*last = outcome;
	if (*streak >= (outcome == PROBE_SUCCESS ? success_threshold : failure_threshold))
		return outcome;
	return result;
}

static bool has_started(struct prober *r) /* under p->lock */
{
	for (size_t i = 0; i < r->p->conts.n; i++) {
		const struct kcont *c = r->p->conts.p[i];
		const struct prober *s = c->probers[PROBE_STARTUP];

		if (!strcmp(c->name, r->container))
			return !s || s->result == PROBE_SUCCESS;
	}
	return true;
}

/* Under p->lock. */
static void prober_count(struct prober *r, enum probe_result outcome)
{
	for (size_t i = 0; i < r->p->conts.n; i++)
		if (!strcmp(r->p->conts.p[i]->name, r->container))
			r->p->conts.p[i]->probed[r->kind][outcome]++;
}

static void prober_run(struct prober *r)
{
	static const char *const names[] = { "Startup", "Readiness", "Liveness" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	enum probe_result outcome = PROBE_UNKNOWN, before;
	bool wait, changed, told;
	struct sv why = SV("");

	pthread_mutex_lock(&r->p->lock);
	wait = r->kind != PROBE_STARTUP && !has_started(r);
	pthread_mutex_unlock(&r->p->lock);
	if (wait)
		return;
	outcome = handler_run(r->p, &a, r->spec, sv_from(r->id), r->probe, r->timeout_ns, &why);
	pthread_mutex_lock(&r->p->lock);
	prober_count(r, outcome);
	before = r->result;
	r->result = probe_step(r->result, &r->last, &r->streak, outcome, val_get_int(r->probe, 1, F_successThreshold),
			       val_get_int(r->probe, 3, F_failureThreshold));
	told = !r->stop; /* else its container ended, or is being stopped, meanwhile */
	changed = r->result != before && told;
	/* A startup probe that has succeeded is over. */
	if (r->kind == PROBE_STARTUP && r->result != PROBE_UNKNOWN)
		r->stop = true;
	pthread_mutex_unlock(&r->p->lock);
	if (outcome == PROBE_FAILURE && told)
		kpod_event(r->p, r->spec, "Warning", "Unhealthy", "%s probe failed: %.*s", names[r->kind],
			   SV_ARG(utf8_cut(why, 512)));
	if (changed)
		kpod_kick(r->p);
}

static void prober_fire(void *ctx)
{
	struct prober *r = ctx;
	struct kpod *p = r->p;
	bool stop, again = false;

	pthread_mutex_lock(&p->lock);
	r->timer = env_timer_cancel(p->k->env, r->timer);
	stop = r->stop;
	pthread_mutex_unlock(&p->lock);
	if (!stop && ktask_enter(p->k)) {
		prober_run(r);
		pthread_mutex_lock(&p->lock);
		if (!r->stop) {
			/* Held back by startup: look again soon, not a period later. */
			int64_t d =
			    r->kind != PROBE_STARTUP && !has_started(r) ? MIN(r->period_ns, NS_PER_SEC) : r->period_ns;

			r->timer = env_after(p->k->env, ENV_SLOW, d, prober_fire, r);
			again = true; /* the reference passes to the timer */
		}
		pthread_mutex_unlock(&p->lock);
		ktask_leave(p->k);
	}
	if (!again)
		prober_unref(r);
}

static const struct metric_family prober_total = {
	.name = "prober_probe_total",
	.help = "Cumulative number of a liveness, readiness or startup probe for a container by result.",
	.type = METRIC_COUNTER,
	.stability = METRIC_BETA,
};

static const enum sym probe_fields[] = { F_startupProbe, F_readinessProbe, F_livenessProbe };

/* What was told of this very instance, by an agent before us. */
static const struct val *instance_status(const struct obj *pod, const struct kcont *c)
{
	const struct val *s = pod_container_status(obj_root(pod), sv_from(c->name));

	return sv_is(status_container_id(s), c->id) ? s : NULL;
}

/* Goes on from there: nobody becomes unready, or has to start up again, because the agent was away. */
static enum probe_result first_result(const struct val *told, enum probe_kind kind)
{
	if (kind == PROBE_LIVENESS)
		return PROBE_SUCCESS;
	return val_get_bool(told, kind == PROBE_STARTUP ? F_started : F_ready) ? PROBE_SUCCESS : PROBE_UNKNOWN;
}

static int64_t first_delay_ns(const struct prober *r, const struct val *told)
{
	int64_t delay = MAX(val_get_int(r->probe, 0, F_initialDelaySeconds), 0) * NS_PER_SEC, started;

	if (time_parse(val_get_str(told, F_state, F_running, F_startedAt), &started))
		delay = MIN(MAX(started + delay - env_now_ns(r->p->k->env), 0), delay);
	return delay;
}

static void probes_begin(struct kpod *p, struct kcont *c, const struct val *container, bool ending)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *told = NULL;
	struct obj *o = NULL;

	for (enum probe_kind kind = 0; kind < _PROBE_KIND_MAX; kind++) {
		const struct val *probe = val_member(container, probe_fields[kind]);
		struct prober *r;

		if (!probe || c->probers[kind])
			continue;
		if (!o) {
			o = kpod_obj(p, &a);
			told = instance_status(o, c);
		}
		r = xcalloc(1, sizeof(*r));
		r->refs = 1;
		r->p = kpod_ref(p);
		r->obj = obj_ref(o);
		r->container = xstrdup(c->name);
		r->id = xstrdup(c->id);
		r->kind = kind;
		r->spec = pod_container(obj_root(r->obj), sv_from(c->name), NULL);
		r->probe = val_member(r->spec, probe_fields[kind]);
		r->period_ns = MAX(val_get_int(r->probe, 10, F_periodSeconds), 1) * NS_PER_SEC;
		r->timeout_ns = MAX(val_get_int(r->probe, 1, F_timeoutSeconds), 1) * NS_PER_SEC;
		r->result = first_result(told, kind);
		r->stop = kind == PROBE_STARTUP && r->result == PROBE_SUCCESS;
		if (ending && kind != PROBE_READINESS)
			r->stop = true;
		pthread_mutex_lock(&p->lock);
		c->probers[kind] = r;
		if (!r->stop) {
			r->refs++;
			r->timer = env_after(p->k->env, ENV_SLOW, first_delay_ns(r, told), prober_fire, r);
		}
		pthread_mutex_unlock(&p->lock);
	}
}

void probes_ensure(struct kpod *p, struct kcont *c, const struct val *container)
{
	probes_begin(p, c, container, false);
}

/* Under p->lock. No run begins any more; true when the timer's reference is the caller's to drop. */
static bool prober_halt(struct prober *r)
{
	bool owed = false;

	r->stop = true;
	if (r->timer) {
		owed = env_timer_stop(r->p->k->env, r->timer); /* its task will not come */
		r->timer = NULL;
	}
	return owed;
}

void probes_ending(struct kpod *p, struct kcont *c, const struct val *container)
{
	probes_begin(p, c, container, true); /* after a restart of the agent: there are none yet */
	for (enum probe_kind kind = 0; kind < _PROBE_KIND_MAX; kind++) {
		struct prober *r = c->probers[kind];
		bool owed = false;

		if (!r || kind == PROBE_READINESS)
			continue;
		pthread_mutex_lock(&p->lock);
		owed = prober_halt(r);
		pthread_mutex_unlock(&p->lock);
		if (owed)
			prober_unref(r);
	}
}

void probes_stop(struct kpod *p, struct kcont *c)
{
	for (enum probe_kind kind = 0; kind < _PROBE_KIND_MAX; kind++) {
		struct prober *r;
		bool owed = false;

		pthread_mutex_lock(&p->lock);
		r = TAKE(c->probers[kind]);
		owed = r && prober_halt(r);
		pthread_mutex_unlock(&p->lock);
		if (owed)
			prober_unref(r);
		if (r)
			prober_unref(r);
	}
}

enum probe_result probe_get(struct kpod *p, const struct kcont *c, enum probe_kind kind)
{
	enum probe_result r = PROBE_UNKNOWN;

	pthread_mutex_lock(&p->lock);
	if (c->probers[kind])
		r = c->probers[kind]->result;
	pthread_mutex_unlock(&p->lock);
	return r;
}

bool kcont_started(struct kpod *p, const struct kcont *c, const struct val *spec)
{
	bool hooked;

	pthread_mutex_lock(&p->lock);
	hooked = !val_get(spec, F_lifecycle, F_postStart) || c->post_start != HOOK_RUNNING;
	pthread_mutex_unlock(&p->lock);
	return hooked && (!val_member(spec, F_startupProbe) || probe_get(p, c, PROBE_STARTUP) == PROBE_SUCCESS);
}

bool kcont_ready(struct kpod *p, const struct kcont *c, const struct val *spec)
{
	return kcont_started(p, c, spec) &&
	       (!val_member(spec, F_readinessProbe) || probe_get(p, c, PROBE_READINESS) == PROBE_SUCCESS);
}

/* Of one pod: its probes, by outcome. */
static void probes_count_pod(struct buf *b, struct buf *labels, struct kpod *p)
{
	static const char *const kinds[_PROBE_KIND_MAX] = { "Startup", "Readiness", "Liveness" };
	static const char *const results[_PROBE_RESULT_MAX] = { "unknown", "successful", "failed" };

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; i < p->conts.n; i++)
		for (size_t kind = 0; kind < _PROBE_KIND_MAX; kind++)
			for (size_t r = 0; r < _PROBE_RESULT_MAX; r++) {
				const struct kcont *c = p->conts.p[i];

				if (!c->probed[kind][r])
					continue;
				buf_clear(labels);
				metric_label(labels, "container", sv_from(c->name));
				metric_label(labels, "namespace", sv_from(p->ns));
				metric_label(labels, "pod", sv_from(p->name));
				metric_label(labels, "pod_uid", sv_from(p->uid));
				metric_label(labels, "probe_type", sv_from(kinds[kind]));
				metric_label(labels, "result", sv_from(results[r]));
				metric_sample(b, &prober_total, buf_cstr(labels), (double)c->probed[kind][r]);
			}
	pthread_mutex_unlock(&p->lock);
}

void probes_page(struct kubelet *k, struct buf *b)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf labels = BUF_INIT;
	size_t n;
	struct kpod **pods = kubelet_pods(k, &a, &n);

	metric_head(b, &prober_total);
	for (size_t i = 0; i < n; i++) {
		probes_count_pod(b, &labels, pods[i]);
		kpod_unref(pods[i]);
	}
}

int64_t probe_grace(const struct kcont *c, enum probe_kind kind)
{
	return c->probers[kind] ? val_get_int(c->probers[kind]->probe, -1, F_terminationGracePeriodSeconds) : -1;
}
