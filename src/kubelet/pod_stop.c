#include "kubelet/kubelet-internal.h"

#include "base/log.h"

#include <stdlib.h>

/* Stopping a container, one step a call so that nobody waits for it:
 *
 *	preStop hook (a task) ──▶ TERM (a task) ──▶ [ends] or grace over ──▶ KILL (a task)
 *
 * The grace period covers the hook and what follows TERM; after a hook that used it up two seconds are left. */

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
		    err.reason != ERR_TIMEOUT)
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
	env_post(p->k->env, stop_task, s);
}

bool container_stop_step(struct kpod *p, const struct val *pod, const struct val *spec, const struct rt_container *rc,
			 const char *why, int64_t grace_s, int64_t *wake_ns)
{
	struct kcont *c = kpod_cont(p, rc->name);
	const struct val *hook = val_get(spec, F_lifecycle, F_preStop);
	int64_t now = env_mono_ns(p->k->env), left;
	enum hook_state pre_stop;
	bool calling;

	if (rc->state != RT_RUNNING)
		return true;
	kcont_reset(p, c, rc->id);
	if (grace_s < 0)
		grace_s = pod_grace_seconds(pod);
	probes_stop(p, c);
	if (!c->stop_wanted) {
		c->stop_wanted = true;
		c->kill_at_ns = now + grace_s * NS_PER_SEC;
		if (why)
			kpod_event(p, spec, "Normal", "Killing", "%s", why);
		else
			kpod_event(p, spec, "Normal", "Killing", "Stopping container %s", c->name);
		if (hook && grace_s > 0)
			hook_start(p, c, spec, hook, true, grace_s * NS_PER_SEC);
	}
	/* A shorter grace period than the one begun with (a second, harder delete) counts. */
	c->kill_at_ns = MIN(c->kill_at_ns, now + grace_s * NS_PER_SEC);
	pthread_mutex_lock(&p->lock);
	pre_stop = c->pre_stop;
	calling = c->stop_call;
	pthread_mutex_unlock(&p->lock);

	if (pre_stop == HOOK_RUNNING && now < c->kill_at_ns) {
		*wake_ns = MIN(*wake_ns, c->kill_at_ns - now);
		return false;
	}
	if (!c->term_sent && grace_s > 0) {
		c->term_sent = true;
		if (pre_stop != HOOK_NONE)
			c->kill_at_ns = MAX(c->kill_at_ns, now + 2 * NS_PER_SEC);
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
		all &= container_stop_step(p, pod, spec, rc, NULL, grace_s, wake_ns);
	}
	if (!all)
		return false;
	/* Sidecars serve the others to the end: they go last, in reverse order, one after the other. */
	for (size_t i = val_len(init); i-- > 0;) {
		const struct val *spec = val_at(init, i);
		const struct rt_container *rc = pod_actual_find(x, val_get_str(spec, F_name), 0);

		if (rc && container_is_sidecar(spec) && !container_stop_step(p, pod, spec, rc, NULL, grace_s, wake_ns))
			return false;
	}
	return true;
}
