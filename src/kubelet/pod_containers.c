/* The containers of one run of a pod's sync: those of kubectl debug, init containers in order, the others. */
#include "base/retry.h"
#include "kubelet/cgroups.h"
#include "kubelet/image_volumes.h"
#include "kubelet/images.h"
#include "kubelet/instance.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_resize.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_start.h"
#include "kubelet/pod_stop.h"
#include "kubelet/pod_table.h"
#include "kubelet/pod_worker-internal.h"
#include "kubelet/probes.h"
#include "kubelet/status_sync.h"

#include <stdio.h>

/* Keeps the newest dead instance of a container, for its logs and lastState; earlier ones go. */
static void sync_prune(struct sync *s, struct sv name)
{
	struct rt_container *rc;

	for (size_t nth = 2; (rc = pod_actual_find(&s->x, name, nth)); nth++)
		if (rc->state != RT_RUNNING && s->k->rt->ops->remove_container(s->k->rt, rc->id, NULL) == 0)
			kubelet_forget_container(s->k, rc->id);
}

static bool config_error(const struct kcont *c)
{
	return c->wait_reason && !strcmp(c->wait_reason, "CreateContainerConfigError");
}

static int start_container(struct sync *s, const struct val *spec, struct kcont *c)
{
	struct err e = ERR_INIT;
	struct sv ref;
	int rc = images_ensure(s->p, s->a, s->pod, spec, c, &ref, &s->wake_ns);

	if (rc <= 0 || image_volumes_ensure(s->p, s->a, s->pod, spec, c, &s->wake_ns) <= 0)
		return 0;
	s->changed = true;
	if (pod_container_start(s->p, s->a, s->pod, pod_told(s->p, s->obj), spec, &s->x, ref, &e) < 0) {
		kpod_event(s->p, spec, "Warning", "Failed", "Error: %s", err_msg(&e));
		err_release(&e);
		c->start_failed = true;
		if (config_error(c)) /* somebody else is to mend it: no reason to wait ever longer */
			retry_forget(&c->crashed);
		sync_wake(s, retry_failed(&kcont_retry, &c->crashed, env_mono_ns(s->k->env)));
		return 0;
	}
	c->start_failed = false;
	sync_prune(s, val_get_str(spec, F_name));
	return 1;
}

/* Watches over one that runs: hooks, probes, a changed image. Returns true when it is fully up. */
static bool tend(struct sync *s, const struct val *spec, struct kcont *c, const struct rt_container *rc)
{
	const struct val *hook = val_get(spec, F_lifecycle, F_postStart);
	enum hook_state state;
	char hash[24];
	struct sv old = rt_annotation(rc, "io.kubernetes.container.hash");
	const char *why = NULL;
	bool stop = c->stop_wanted; /* begun earlier */
	int64_t grace = -1;

	kcont_reset(s->p, c, rc->id);
	c->unanswered = c->start_failed = false; /* it runs */
	kcont_wait(s->p, c, NULL, NULL);
	pthread_mutex_lock(&s->p->lock);
	state = c->post_start;
	pthread_mutex_unlock(&s->p->lock);
	snprintf(hash, sizeof(hash), "%" PRIx64, container_hash(spec));
	if (hook && state == HOOK_RUNNING)
		return false;
	if (stop) {
		;
	} else if (state == HOOK_FAILED) {
		why = "FailedPostStartHook";
	} else if (old.n && !sv_is(old, hash)) {
		why = arena_printf(s->a, "Container %s definition changed, will be restarted", c->name);
	} else {
		probes_ensure(s->p, c, spec);
		if (probe_get(s->p, c, PROBE_LIVENESS) == PROBE_FAILURE) {
			why = arena_printf(s->a, "Container %s failed liveness probe, will be restarted", c->name);
			grace = probe_grace(c, PROBE_LIVENESS);
		} else if (probe_get(s->p, c, PROBE_STARTUP) == PROBE_FAILURE) {
			why = arena_printf(s->a, "Container %s failed startup probe, will be restarted", c->name);
			grace = probe_grace(c, PROBE_STARTUP);
		} else if (container_resize_step(s->p, s->a, s->pod, spec, c, &s->wake_ns)) {
			why = arena_printf(s->a, "Container %s resize requires restart", c->name);
		}
	}
	if (!stop && !why)
		return kcont_started(s->p, c, spec);
	container_stop_step(s->p, s->pod, spec, rc, why, grace, &s->wake_ns);
	return false;
}

enum cont_outcome { CONT_UP, CONT_PENDING, CONT_DONE_OK, CONT_DONE_FAILED };

/* Takes away an instance that never ran: the next one has its number. Not while the runtime is still starting it. */
static int remove_unused(struct sync *s, const struct rt_container *rc, struct err *err)
{
	struct err e = ERR_INIT;

	if (s->k->rt->ops->remove_container(s->k->rt, rc->id, &e) == 0) {
		kubelet_forget_container(s->k, rc->id);
		/* containerd forgets a task that it was just creating when it was killed: a "runc init" would stay. */
		if (s->k->files)
			(void)cgroup_kill_all(
			    arena_printf(s->a, "%s/%.*s",
					 cgroup_pod_path(s->a, s->k->cgroup_root, pod_qos(s->pod), sv_from(s->p->uid)),
					 SV_ARG(rc->id)));
		s->changed = true;
		if (sync_look_again(s, &e) == 0)
			return 0;
	}
	err_wrap(&e, "removing a container that never ran");
	if (err->reason) /* of another one; one is enough */
		err_release(&e);
	else
		err_move(err, &e);
	return -1;
}

/* Brings one container to where it should be. */
static enum cont_outcome sync_container(struct sync *s, const struct val *spec, bool init, struct err *err)
{
	struct sv name = val_get_str(spec, F_name);
	struct kcont *c = kpod_cont(s->p, name);
	const struct rt_container *rc = pod_actual_find(&s->x, name, 0);
	bool in_this_sandbox = rc && s->x.sandbox && sv_eq(rc->sandbox_id, s->x.sandbox->id);
	int64_t now = env_mono_ns(s->k->env), ended, left;
	bool unused = false;

	if (rc && rc->state == RT_RUNNING && in_this_sandbox)
		return tend(s, spec, c, rc) ? CONT_UP : CONT_PENDING;
	if (rc && sync_never_ran(s, rc)) {
		if (remove_unused(s, rc, err) < 0)
			return CONT_PENDING;
		rc = pod_actual_find(&s->x, name, 0);
		unused = true;
	} else if (rc &&
		   rc->state == RT_UNKNOWN) { /* it ran: it may do so still, and must not have a second beside it */
		container_stop_step(s->p, s->pod, spec, rc,
				    "Container is in unknown state, try killing it before restart", -1, &s->wake_ns);
		return CONT_PENDING;
	}
	probes_stop(s->p, c);
	if ((!rc || unused) && c->start_failed && !(s->refresh && config_error(c)) &&
	    (left = retry_left_ns(&kcont_retry, &c->crashed, c->crashed.failed_ns, now))) {
		sync_wake(s, left); /* its creation or start failed a moment ago */
		return CONT_PENDING;
	}
	if (rc && rc->state == RT_EXITED && !unused) {
		/* An init container's success holds for the sandbox it ran in, unless the pod went on since. */
		if (init && !container_is_sidecar(spec) && rc->exit_code == 0 && in_this_sandbox)
			return CONT_DONE_OK;
		if (!(init && rc->exit_code == 0 && !in_this_sandbox) &&
		    !container_should_restart(s->pod, spec, init, rc->exit_code))
			return rc->exit_code == 0 ? CONT_DONE_OK : CONT_DONE_FAILED;
		ended = now - (env_now_ns(s->k->env) - rc->finished_ns);
		if (c->start_failed)
			ended = MAX(ended, c->crashed.failed_ns);
		left = retry_left_ns(&kcont_retry, &c->crashed, ended, now);
		if (left) {
			if (!c->wait_reason || strcmp(c->wait_reason, "CrashLoopBackOff") != 0)
				kpod_event(s->p, spec, "Warning", "BackOff",
					   "Back-off restarting failed container %s in pod %s_%s(%s)", c->name,
					   s->p->name, s->p->ns, s->p->uid);
			kcont_wait(s->p, c, "CrashLoopBackOff",
				   "back-off %s restarting failed container=%s pod=%s_%s(%s)",
				   arena_printf(s->a, c->crashed.pause_ns >= 60 * NS_PER_SEC ? "%dm%ds" : "%.0d%ds",
						(int)(c->crashed.pause_ns / NS_PER_SEC / 60),
						(int)(c->crashed.pause_ns / NS_PER_SEC % 60)),
				   c->name, s->p->name, s->p->ns, s->p->uid);
			sync_wake(s, left);
			return CONT_PENDING;
		}
	}
	if (start_container(s, spec, c) <= 0)
		return CONT_PENDING;
	if (rc && rc->state == RT_EXITED)
		retry_failed(&kcont_retry, &c->crashed, now);
	if (sync_look_again(s, NULL) < 0)
		return CONT_PENDING;
	rc = pod_actual_find(&s->x, name, 0);
	return rc && rc->state == RT_RUNNING && tend(s, spec, c, rc) ? CONT_UP : CONT_PENDING;
}

/* Init containers in order; true when all are behind us. */
static bool sync_init(struct sync *s, bool *ret_failed, struct err *err)
{
	bool main_ran = false;

	VAL_EACH(val_get(s->pod, F_spec, F_containers), c) {
		const struct rt_container *rc = pod_actual_find(&s->x, val_get_str(c, F_name), 0);

		main_ran |= rc && s->x.sandbox && sv_eq(rc->sandbox_id, s->x.sandbox->id);
	}
	VAL_EACH(val_get(s->pod, F_spec, F_initContainers), c) {
		if (main_ran && !container_is_sidecar(c))
			continue; /* done in this sandbox, though the record may be gone */
		switch (sync_container(s, c, true, err)) {
		case CONT_UP:
			if (container_is_sidecar(c))
				continue;
			return false;
		case CONT_DONE_OK:
			continue;
		case CONT_DONE_FAILED:
			*ret_failed = true;
			return false;
		default:
			if (main_ran)
				continue; /* a sidecar on its way back does not hold up the others */
			return false;
		}
	}
	return true;
}

/* Containers of kubectl debug: started once, whatever the others do, and never again. */
static void sync_ephemeral(struct sync *s, struct err *err)
{
	VAL_EACH(val_get(s->pod, F_spec, F_ephemeralContainers), c) {
		struct sv name = val_get_str(c, F_name);
		const struct rt_container *rc = pod_actual_find(&s->x, name, 0);
		const struct val *told = pod_container_status(pod_told(s->p, s->obj), name);
		bool ran = rc ? !rt_may_run(rc->state) && !sync_never_ran(s, rc)
			      : status_tells_run(told, status_container_id(told));

		if (!ran)
			sync_container(s, c, false, err);
	}
}

void sync_containers(struct sync *s, struct err *err)
{
	bool failed = false;
	size_t n = 0, done = 0;

	sync_ephemeral(s, err);
	if (!sync_init(s, &failed, err)) {
		if (failed) {
			s->p->terminal = true;
			pod_state_set(s->p, POD_STOPPING);
		}
		return;
	}
	VAL_EACH(val_get(s->pod, F_spec, F_containers), c) {
		const struct kcont *kc = kpod_cont(s->p, val_get_str(c, F_name));
		enum cont_outcome o = sync_container(s, c, false, err);

		n++;
		done += o == CONT_DONE_OK || o == CONT_DONE_FAILED;
		/* The next one waits for this one's postStart. */
		if (o == CONT_PENDING && kc->post_start == HOOK_RUNNING)
			return;
	}
	if (n && done == n) { /* nothing left to run, nothing to restart */
		s->p->terminal = true;
		pod_state_set(s->p, POD_STOPPING);
	}
}
