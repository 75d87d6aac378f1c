/* Stopping a container, one step a call so that nobody waits for it:
 *
 *	preStop hook (a task) ──▶ [its turn] ──▶ TERM (a task) ──▶ [ends] or grace over ──▶ KILL (a task)
 *
 * The grace period covers all of it, for all containers of a pod together; what follows TERM has two seconds even
 * when it is used up. Hooks begin at once everywhere; the turn is about sidecars, which serve the others to the end.
 *
 * Of a pod that is being deleted is noted, a line a container, when its grace period ends and what comes next.
 * An agent that starts in the middle goes on from there: the period is not granted anew, and a hook that has
 * ended is not run again. One that was interrupted is, if there is time: it ended with our call, or with the runtime
 * (lost_execs.h).
 * TERM comes twice when the agent died while it sent it, which is better than never. */
#include "kubelet/pod_stop.h"

#include "base/log.h"
#include "kubelet/hooks.h"
#include "kubelet/instance.h"
#include "kubelet/kpod.h"
#include "kubelet/ktask.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_actual.h"
#include "kubelet/pod_spec.h"
#include "kubelet/probes.h"

#include <stdlib.h>

#define STOP_MIN_NS (2 * NS_PER_SEC) /* between TERM and KILL, however little is left */

struct stop_call {
	struct kpod *p;
	char *id, *name;
	int64_t timeout_s;
};

static void stop_task(void *ctx)
{
	struct stop_call *s = ctx;
	struct kpod *p = s->p;
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (ktask_enter(p->k)) {
		/* A second to see the quick ones end; the others' end is noticed when it comes. */
		if (p->k->rt->ops->stop_container(p->k->rt, sv_from(s->id), s->timeout_s,
						  s->timeout_s ? NS_PER_SEC : 120 * NS_PER_SEC, &err) < 0 &&
		    err.reason != ERR_TIMEOUT && err.reason != ERR_NOT_FOUND)
			log_warn(SYS, "a container cannot be stopped", "why", "%s/%s %s: %s", p->ns, p->name, s->name,
				 err_msg(&err));
		pthread_mutex_lock(&p->lock);
		for (size_t i = 0; i < p->conts.n; i++) {
			struct kcont *c = p->conts.p[i];

			if (c->id && !strcmp(c->id, s->id)) {
				c->stop_call = false;
				if (err.reason && err.reason != ERR_TIMEOUT) /* again, at the next step */
					c->term_sent = c->killed = false;
			}
		}
		pthread_mutex_unlock(&p->lock);
		kpod_kick(p);
		ktask_leave(p->k);
	}
	kpod_unref(p);
	free(s->id);
	free(s->name);
	free(s);
}

static void stop_call(struct kpod *p, struct kcont *c, int64_t timeout_s)
{
	struct stop_call *s = xcalloc(1, sizeof(*s));

	s->p = kpod_ref(p);
	s->id = xstrdup(c->id);
	s->name = xstrdup(c->name);
	s->timeout_s = timeout_s;
	pthread_mutex_lock(&p->lock);
	c->stop_call = true;
	pthread_mutex_unlock(&p->lock);
	env_post(p->k->env, ENV_NODE, stop_task, s);
}

/* --- what outlives the agent --- */

static const char *const stop_stages[] = { [STOP_HOOK] = "hook", [STOP_TERM] = "term", [STOP_END] = "end" };

static void stop_note(struct kpod *p, const struct val *pod, struct kcont *c, enum stop_stage stage)
{
	int64_t left_ns = c->kill_at_ns - env_mono_ns(p->k->env);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	c->noted = stage;
	if (!p->k->host->note_put || !val_get(pod, F_metadata, F_deletionTimestamp))
		return;
	buf_printf(&b, "%s %" PRId64 " %s\n", c->id, env_now_ns(p->k->env) + left_ns, stop_stages[stage]);
	if (p->k->host->note_put(p->k, sv_from(p->uid), c->name, buf_sv(&b), &err) < 0)
		log_warn(SYS, "stopping is not noted", "why", "%s/%s %s: %s", p->ns, p->name, c->name, err_msg(&err));
}

/* Was this begun by an agent before us? Then its deadline holds. */
static bool stop_resume(struct kpod *p, const struct val *pod, struct kcont *c, int64_t grace_s)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, id, deadline;
	int64_t deadline_ns;

	if (!p->k->host->note_get || !val_get(pod, F_metadata, F_deletionTimestamp))
		return false;
	text = sv_trim(p->k->host->note_get(p->k, &a, sv_from(p->uid), c->name));
	if (!sv_split(&text, ' ', &id) || !sv_is(id, c->id) || !sv_split(&text, ' ', &deadline) ||
	    !sv_to_i64(deadline, &deadline_ns))
		return false;
	/* The clock may have been set meanwhile: never more than the whole period. */
	deadline_ns -= env_now_ns(p->k->env);
	c->kill_at_ns = env_mono_ns(p->k->env) + MIN(MAX(deadline_ns, 0), grace_s * NS_PER_SEC);
	c->noted = sv_is(text, "end") ? STOP_END : sv_is(text, "term") || deadline_ns <= 0 ? STOP_TERM : STOP_HOOK;
	return true;
}

static void stop_begin(struct kpod *p, const struct val *pod, const struct val *spec, struct kcont *c, const char *why,
		       int64_t grace_s)
{
	const struct val *hook = val_get(spec, F_lifecycle, F_preStop);
	int64_t now = env_mono_ns(p->k->env);

	c->stop_wanted = true;
	c->stop_grace_s = grace_s;
	c->kill_at_ns = now + grace_s * NS_PER_SEC;
	if (!stop_resume(p, pod, c, grace_s)) {
		if (why)
			kpod_event(p, spec, "Normal", "Killing", "%s", why);
		else
			kpod_event(p, spec, "Normal", "Killing", "Stopping container %s", c->name);
		stop_note(p, pod, c, STOP_HOOK);
	}
	if (hook && c->noted == STOP_HOOK) {
		hook_start(p, c, spec, hook, true, c->kill_at_ns - now);
	} else if (hook && c->noted != STOP_HOOK) {
		pthread_mutex_lock(&p->lock);
		c->pre_stop = HOOK_DONE;
		pthread_mutex_unlock(&p->lock);
	}
	c->term_sent = c->noted == STOP_END;
}

/* --- */

/* turn: what it serves has ended, TERM may be sent before its time is over. */
static bool stop_step(struct kpod *p, const struct val *pod, const struct val *spec, const struct rt_container *rc,
		      const char *why, int64_t grace_s, bool turn, int64_t *wake_ns)
{
	struct kcont *c = kpod_cont(p, rc->name);
	int64_t now = env_mono_ns(p->k->env), left;
	enum hook_state pre_stop;
	bool calling;

	if (!rt_may_run(rc->state)) {
		if (c->id && sv_is(rc->id, c->id))
			probes_stop(p, c);
		return true;
	}
	kcont_reset(p, c, rc->id);
	c->unanswered &= rc->state != RT_RUNNING;
	if (grace_s < 0)
		grace_s = pod_grace_seconds(pod);
	grace_s = MAX(grace_s, 1);
	probes_ending(p, c, spec);
	if (!c->stop_wanted)
		stop_begin(p, pod, spec, c, why, grace_s);
	if (grace_s < c->stop_grace_s) { /* a second, harder delete */
		c->stop_grace_s = grace_s;
		c->kill_at_ns = MIN(c->kill_at_ns, now + grace_s * NS_PER_SEC);
		stop_note(p, pod, c, c->noted);
	}
	pthread_mutex_lock(&p->lock);
	pre_stop = c->pre_stop;
	calling = c->stop_call;
	pthread_mutex_unlock(&p->lock);

	if ((pre_stop == HOOK_RUNNING || !turn) && !c->term_sent && now < c->kill_at_ns) {
		if (c->noted == STOP_HOOK && (pre_stop == HOOK_DONE || pre_stop == HOOK_FAILED))
			stop_note(p, pod, c, STOP_TERM);
		*wake_ns = MIN(*wake_ns, c->kill_at_ns - now);
		return false;
	}
	if (c->noted == STOP_HOOK && (pre_stop == HOOK_DONE || pre_stop == HOOK_FAILED))
		stop_note(p, pod, c, STOP_TERM);
	if (c->noted != STOP_END && c->term_sent && !calling)
		stop_note(p, pod, c, STOP_END);
	if (!c->term_sent) {
		c->term_sent = true;
		c->kill_at_ns = MAX(c->kill_at_ns, now + STOP_MIN_NS);
		left = (c->kill_at_ns - now + NS_PER_SEC - 1) / NS_PER_SEC;
		stop_call(p, c, MAX(left, 1));
	} else if (now >= c->kill_at_ns && !c->killed && !calling) {
		c->killed = true;
		stop_call(p, c, 0);
	}
	if (!c->killed)
		*wake_ns = MIN(*wake_ns, MAX(c->kill_at_ns - now, NS_PER_MS));
	else
		*wake_ns = MIN(*wake_ns, NS_PER_SEC);
	return false;
}

bool container_stop_step(struct kpod *p, const struct val *pod, const struct val *spec, const struct rt_container *rc,
			 const char *why, int64_t grace_s, int64_t *wake_ns)
{
	return stop_step(p, pod, spec, rc, why, grace_s, true, wake_ns);
}

bool pod_stop_step(struct kpod *p, const struct val *pod, const struct pod_actual *x, int64_t grace_s, int64_t *wake_ns)
{
	const struct val *init = val_get(pod, F_spec, F_initContainers);
	bool all = true;

	for (size_t i = 0; i < x->n_containers; i++) {
		const struct rt_container *rc = &x->containers[i];
		bool is_init = false;
		const struct val *spec = pod_container(pod, rc->name, &is_init);

		if (spec && is_init && container_is_sidecar(spec))
			continue;
		all &= stop_step(p, pod, spec, rc, NULL, grace_s, true, wake_ns);
	}
	/* Sidecars go last, in reverse order, one after the other. */
	for (size_t i = val_len(init); i-- > 0;) {
		const struct val *spec = val_at(init, i);
		const struct rt_container *rc = pod_actual_find(x, val_get_str(spec, F_name), 0);

		if (rc && container_is_sidecar(spec))
			all &= stop_step(p, pod, spec, rc, NULL, grace_s, all, wake_ns);
	}
	for (size_t i = 0; all && i < p->conts.n; i++)
		probes_stop(p, p->conts.p[i]);
	return all;
}
