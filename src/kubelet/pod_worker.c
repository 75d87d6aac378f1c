/* One run of a pod's sync: read what the runtime holds, do what the state calls for, write the status. Every step
 * is safe to repeat. Waiting is never done here: *wake_ns says when to look again at the latest. */
#include "kubelet/pod_worker.h"

#include "base/log.h"
#include "base/retry.h"
#include "base/timefmt.h"
#include "kubelet/cgroups.h"
#include "kubelet/config_watch.h"
#include "kubelet/csi/csi.h"
#include "kubelet/host.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/net_mount.h"
#include "kubelet/node_status.h"
#include "kubelet/pod_actual.h"
#include "kubelet/pod_admit.h"
#include "kubelet/pod_evict.h"
#include "kubelet/pod_resize.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_start.h"
#include "kubelet/pod_stop.h"
#include "kubelet/pod_table.h"
#include "kubelet/pod_worker-internal.h"
#include "kubelet/runtime_down.h"
#include "kubelet/status_sync.h"
#include "pod/pod_phase.h"

#include <stdio.h>
#include <stdlib.h>

#define RUNTIME_DOWN_NS (10 * NS_PER_SEC)
#define NETWORK_PATIENCE 5 /* failures before people are told: policies are read in a moment, mostly */

/* Ours: looking whether the runtime knows what it noticed; a sandbox that could not be made; a sync that failed. */
static const struct retry_policy notice_retry = { .first_ns = 5 * NS_PER_MS, .max_ns = 640 * NS_PER_MS };
static const struct retry_policy sandbox_retry = { .first_ns = 2 * NS_PER_SEC, .max_ns = 30 * NS_PER_SEC };
static const struct retry_policy network_retry = { .first_ns = 50 * NS_PER_MS, .max_ns = 5 * NS_PER_SEC };
static const struct retry_policy pod_retry = { .first_ns = 200 * NS_PER_MS, .max_ns = 10 * NS_PER_SEC };

/* Does the runtime know yet what its notice said? If not, look again soon, ever less often. */
static void check_notice(struct sync *s)
{
	struct kpod *p = s->p;
	bool stale = false;

	pthread_mutex_lock(&p->lock);
	for (size_t i = 0; p->noticed && i < s->x.n_containers; i++)
		stale |= sv_is(s->x.containers[i].id, p->noticed) && rt_may_run(s->x.containers[i].state);
	for (size_t i = 0; p->noticed && i < s->x.n_sandboxes; i++)
		stale |= sv_is(s->x.sandboxes[i].id, p->noticed) && s->x.sandboxes[i].ready;
	if (stale && p->noticed_looks < 8) {
		sync_wake(s, retry_pause_ns(&notice_retry, ++p->noticed_looks));
	} else {
		free(p->noticed);
		p->noticed = NULL;
	}
	pthread_mutex_unlock(&p->lock);
}

/* --- should it run at all? --- */

static void check_deadline(struct sync *s)
{
	int64_t limit = val_get_int(s->pod, -1, F_spec, F_activeDeadlineSeconds), left;

	if (limit < 0 || s->p->forced_reason || !s->p->started_ns)
		return;
	left = s->p->started_ns + limit * NS_PER_SEC - env_now_ns(s->k->env);
	if (left > 0) {
		sync_wake(s, left);
		return;
	}
	s->p->forced_reason = xstrdup("DeadlineExceeded");
	s->p->forced_message = xstrdup("Pod was active on the node longer than the specified deadline");
	kpod_event(s->p, NULL, "Normal", "DeadlineExceeded", "%s", s->p->forced_message);
}

static void check_limits(struct sync *s)
{
	const char *why = s->p->forced_reason ? NULL : pod_over_limit(s->p, s->a, s->pod, &s->wake_ns);

	if (!why)
		return;
	s->p->forced_reason = xstrdup("Evicted");
	s->p->forced_message = xstrdup(why);
	kpod_event(s->p, NULL, "Warning", "Evicted", "%s", why);
}

/* Somebody more important needs its place. */
static void check_preempted(struct sync *s)
{
	bool preempted;

	pthread_mutex_lock(&s->p->lock);
	preempted = s->p->preempted;
	pthread_mutex_unlock(&s->p->lock);
	if (!preempted || s->p->forced_reason)
		return;
	s->p->forced_reason = xstrdup("Preempting");
	s->p->forced_message = xstrdup("Preempted in order to admit critical pod");
	kpod_event(s->p, NULL, "Warning", "Preempting", "%s", s->p->forced_message);
}

/* Looked at once, when the pod comes: what runs already was taken. False: not decided yet. */
static bool check_admission(struct sync *s)
{
	struct kpod *p = s->p;
	_cleanup_(admission_release) struct admission r = { .a = s->a };

	if (p->taken != TAKEN_UNKNOWN || s->vanished || obj_deleting(s->obj) || pod_phase_terminal(s->pod))
		return true;
	if (val_get(s->pod, F_status, F_startTime) || s->x.n_sandboxes) {
		pod_taken_set(p, TAKEN_YES);
		return true;
	}
	if (!pod_admit(p, &r, s->pod, &s->wake_ns))
		return false;
	if (r.reason) {
		p->refused = true;
		p->forced_reason = xstrdup(r.reason);
		p->forced_message = xasprintf("Pod was rejected: %s", r.message);
		kpod_event(p, NULL, "Warning", r.reason, "%s", r.message);
	}
	return true;
}

static void sync_begin(struct sync *s)
{
	struct kpod *p = s->p;

	if (!p->started_ns && !time_parse(val_get_str(s->pod, F_status, F_startTime), &p->started_ns))
		p->started_ns = env_now_ns(s->k->env);
	check_deadline(s);
	if (p->state != POD_SYNC)
		return;
	check_limits(s);
	check_preempted(s);
	if (s->vanished || obj_deleting(s->obj) || p->forced_reason)
		pod_state_set(p, POD_STOPPING);
	else if (pod_phase_terminal(s->pod) && !p->terminal) {
		p->terminal = true; /* finished before a restart of ours */
		pod_state_set(p, POD_STOPPING);
	}
}

/* --- running it --- */

static bool pod_is_going(const struct sync *s)
{
	return s->vanished || s->p->state != POD_SYNC || val_get(s->pod, F_metadata, F_deletionTimestamp);
}

/* Its volumes cannot be attached here: it ends without having begun, as where it is not taken. */
static int sync_no_room(struct sync *s)
{
	static const char why[] = "Node has reached its volume attachment limit, rejecting pod";
	struct kpod *p = s->p;

	p->refused = s->x.n_sandboxes == 0;
	p->forced_reason = xstrdup(CSI_NODE_FULL);
	p->forced_message = xasprintf("Pod was rejected: %s", why);
	kpod_event(p, NULL, "Warning", CSI_NODE_FULL, "%s", why);
	pod_state_set(p, POD_STOPPING);
	return 1;
}

/* 1: a volume is not there yet; whoever makes it kicks the pod. */
static int sync_prepare(struct sync *s, struct err *err)
{
	struct kpod *p = s->p;
	struct err e = ERR_INIT;
	int rc;

	if (!p->dirs_made) {
		if (s->k->host->make_pod_dirs(s->k, s->pod, err) < 0)
			return -1;
		/* A cgroup that cannot be made is reported and lived without: limits of containers still hold. */
		if (s->k->host->pod_cgroup(s->k, s->pod, true, &e) < 0)
			log_warn(SYS, "no cgroup for a pod", "why", "%s/%s: %s", p->ns, p->name, err_msg(&e));
		err_release(&e);
		p->dirs_made = true;
	}
	if (!p->watching && s->k->files) { /* before the first look, so that no change falls in between */
		p->watching = true;
		config_watch_add(s->k->configs, p, s->pod);
	}
	if (p->volumes_ready && !s->refresh)
		return 0;
	rc = s->k->host->setup_volumes(s->k, s->pod, &e);
	if (rc > 0 && p->volumes_ready)
		return 0;
	if (rc > 0) {
		sync_wake(s, NET_LOOK_NS);
		return 1;
	}
	if (rc < 0) {
		if (p->volumes_ready) {	      /* an update; it keeps running on what it has */
			if (!pod_is_going(s)) /* what they are made of may have gone before */
				log_warn(SYS, "volumes cannot be refreshed", "why", "%s/%s: %s", p->ns, p->name,
					 err_msg(&e));
			err_release(&e);
			return 0;
		}
		if (e.reason_text && !strcmp(e.reason_text, CSI_NODE_FULL)) {
			err_release(&e);
			return sync_no_room(s);
		}
		kpod_event(p, NULL, "Warning", "FailedMount", "%s", err_msg(&e));
		return err_move(err, &e);
	}
	p->volumes_ready = true;
	return 0;
}

/* Is anything left that should be started? Decides whether a dead sandbox is replaced. */
static bool wants_sandbox(struct sync *s)
{
	bool any = false;

	VAL_EACH(val_get(s->pod, F_spec, F_containers), c) {
		const struct rt_container *rc = pod_actual_find(&s->x, val_get_str(c, F_name), 0);

		if (!rc || sync_never_ran(s, rc))
			any = true;
		else if (rc->state != RT_EXITED) /* what runs in a sandbox that died counts as failed */
			any |= container_should_restart(s->pod, c, false, 137);
		else
			any |= container_should_restart(s->pod, c, false, rc->exit_code);
	}
	return any;
}

/* May containers start in the sandbox that there is? */
static bool network_in_force(struct sync *s)
{
	struct kpod *p = s->p;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv ips[8], rest, ip;
	size_t n = 0;

	pod_ips_update(p, s->a, &s->x);
	if (!s->k->network_ready || pod_host_network(s->pod) || (p->ready_of && sv_is(s->x.sandbox->id, p->ready_of)))
		return true;
	rest = sv_from(p->ips ? p->ips : "");
	while (n < ARRAY_LEN(ips) && sv_split(&rest, ' ', &ip))
		ips[n++] = ip;
	if (!p->ips_of || !sv_is(s->x.sandbox->id, p->ips_of))
		(void)err_set(&err, ERR_UNAVAILABLE, "the runtime does not tell the sandbox's addresses");
	else if (s->k->network_ready(s->k->network_ctx, s->obj, ips, n, &err) == 0) {
		free(p->ready_of);
		p->ready_of = xstrndup(s->x.sandbox->id.p, s->x.sandbox->id.n);
		p->network_failures = 0;
		return true;
	}
	if (++p->network_failures == NETWORK_PATIENCE)
		kpod_event(p, NULL, "Warning", "NetworkNotReady", "network is not ready: %s", err_msg(&err));
	sync_wake(s, retry_pause_ns(&network_retry, p->network_failures));
	return false;
}

/* 1: containers may run in it, 0: not now. */
static int ensure_sandbox(struct sync *s, struct err *err)
{
	struct kpod *p = s->p;
	struct err e = ERR_INIT;
	struct sv why;

	if (s->x.sandbox) {
		p->sandbox_failures = 0;
		return network_in_force(s);
	}
	if (s->x.n_sandboxes) {
		if (!wants_sandbox(s))
			return 0;
		/* What still runs in the dead one must end before its successor begins. */
		if (!pod_stop_step(p, s->pod, &s->x, 2, &s->wake_ns))
			return 0;
		for (size_t i = 0; i < s->x.n_sandboxes; i++)
			if (s->k->rt->ops->stop_sandbox(s->k->rt, s->x.sandboxes[i].id, err) < 0)
				return -1;
		sync_network_is_gone(s);
		kpod_event(p, NULL, "Normal", "SandboxChanged",
			   "Pod sandbox changed, it will be killed and re-created.");
	}
	if (!pod_host_network(s->pod) && !node_network_ready(s->k, s->a, &why)) { /* kicked when it is */
		if (why.n && !p->network_waited)
			kpod_event(p, NULL, "Warning", "NetworkNotReady", "network is not ready: %.*s", SV_ARG(why));
		p->network_waited |= why.n > 0;
		return 0;
	}
	if (pod_sandbox_start(p, s->a, s->pod, &s->x, &e) < 0) {
		p->sandbox_failures++;
		sync_wake(s, retry_pause_ns(&sandbox_retry, p->sandbox_failures));
		kpod_event(p, NULL, "Warning", "FailedCreatePodSandBox", "Failed to create pod sandbox: %s",
			   err_msg(&e));
		err_release(&e);
		return 0;
	}
	s->changed = true;
	if (sync_look_again(s, err) < 0)
		return -1;
	return s->x.sandbox && network_in_force(s);
}

static int sync_running(struct sync *s, struct err *err)
{
	int rc;

	rc = sync_prepare(s, err);
	if (rc)
		return MIN(rc, 0);
	rc = ensure_sandbox(s, err);
	if (rc < 0)
		return -1;
	if (rc > 0) {
		sync_containers(s, err);
		pod_resize_step(s->p, s->pod, &s->wake_ns);
		if (err->reason)
			return -1;
	} else if (s->x.n_sandboxes && !s->x.sandbox && !wants_sandbox(s)) {
		s->p->terminal = true;
		pod_state_set(s->p, POD_STOPPING);
	}
	return 0;
}

/* --- one run --- */

int pod_sync(void *ctx, struct sv uid, struct reconcile_result *ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sync s = { .k = ctx, .a = &a, .wake_ns = NEVER_NS };
	enum pod_state before;
	bool lost;
	int rc = 0;

	if (runtime_down(s.k)) { /* all are kicked when it is back */
		ret->after_ns = RUNTIME_DOWN_NS;
		return 0;
	}
	s.p = kubelet_pod(s.k, uid);
	if (!s.p)
		return 0;
	s.obj = kpod_obj(s.p, &a);
	s.pod = obj_root(s.obj);
	pthread_mutex_lock(&s.p->lock);
	lost = s.p->lost;
	s.vanished = s.p->vanished;
	s.refresh = s.p->refresh;
	s.p->refresh = false;
	pthread_mutex_unlock(&s.p->lock);
	if (lost && s.p->state == POD_SYNC) {
		sync_let_go(&s);
		kpod_unref(s.p);
		return 0;
	}

	rc = pod_actual_read(s.k, &a, sv_from(s.p->uid), &s.x, err);
	if (rc == 0 && !check_admission(&s)) {
		ret->after_ns = s.wake_ns;
		kpod_unref(s.p);
		return 0;
	}
	if (rc == 0) {
		check_notice(&s);
		sync_begin(&s);
		do { /* the next state's work follows at once */
			before = s.p->state;
			if (before == POD_SYNC)
				rc = sync_running(&s, err);
			else if (before == POD_STOPPING)
				rc = sync_stopping(&s, err);
			if (s.changed)
				(void)sync_look_again(&s, NULL);
		} while (rc == 0 && s.p->state != before && s.p->state != POD_STOPPED);
	}
	/* The status is told also when something failed above: that is what it is for. */
	if (!s.vanished) {
		struct err e = ERR_INIT;

		if (pod_status_sync(s.p, &a, s.obj, &s.x, &e) < 0 && rc == 0)
			rc = err_move(err, &e);
		err_release(&e);
	}
	if (rc == 0 && s.p->state == POD_STOPPED)
		rc = sync_stopped(&s, err);
	/* Retried on our own terms: the queue's back-off would grow to a quarter of an hour. */
	if (rc < 0) {
		/* One failure is often the next try's success, and of a Pod that is going nobody expects more. */
		log_f(s.p->failures && !pod_is_going(&s) ? LVL_WARN : LVL_INFO, SYS,
		      "pod cannot be synced, will be retried", "why", "%s/%s: %s", s.p->ns, s.p->name, err_msg(err));
		err_release(err);
		s.p->failures++;
		sync_wake(&s, retry_pause_ns(&pod_retry, s.p->failures));
	} else {
		s.p->failures = 0;
	}
	if (s.wake_ns != NEVER_NS)
		ret->after_ns = s.wake_ns;
	kpod_unref(s.p);
	return 0;
}
