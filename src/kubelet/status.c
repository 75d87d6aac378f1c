#include "kubelet/status.h"

#include "base/timefmt.h"
#include "kubelet/pod_actual.h"
#include "kubelet/pod_isolation.h"
#include "kubelet/pod_spec.h"
#include "object/condition.h"

/* --- containers --- */

static void status_set_time(struct arena *a, struct val *m, enum sym key, int64_t ns)
{
	char text[TIME_TEXT_MAX];

	if (ns > 0)
		val_set_str(a, m, key, time_format(ns, false, text));
	else
		val_set(a, m, key, val_new_null(a));
}

/* The runtime's moment, its beginning of time for what never was: a container that could not start. */
static void set_moment(struct arena *a, struct val *m, enum sym key, int64_t ns)
{
	char text[TIME_TEXT_MAX];

	val_set_str(a, m, key, time_format(MAX(ns, 0), false, text));
}

static void set_terminated(struct arena *a, struct val *state, const struct rt_container *c, struct sv message)
{
	struct val *t = val_set_map(a, state, F_terminated);
	struct sv reason = c->reason;

	/* containerd says "Error" and "Completed" itself; others leave it to us. */
	if (!reason.n)
		reason = c->exit_code ? SV("Error") : SV("Completed");
	val_set_int(a, t, F_exitCode, c->exit_code);
	val_set_str(a, t, F_reason, reason);
	if (message.n || c->message.n)
		val_set_str(a, t, F_message, message.n ? message : c->message);
	set_moment(a, t, F_startedAt, c->started_ns);
	set_moment(a, t, F_finishedAt, c->finished_ns);
	val_set_strf(a, t, F_containerID, "containerd://%.*s", SV_ARG(c->id));
}

static void set_unknown(struct arena *a, struct val *state, const char *message)
{
	struct val *t = val_set_map(a, state, F_terminated);

	val_set_int(a, t, F_exitCode, 137);
	val_set_cstr(a, t, F_reason, "ContainerStatusUnknown");
	val_set_cstr(a, t, F_message, message);
	val_set(a, t, F_startedAt, val_new_null(a));
	val_set(a, t, F_finishedAt, val_new_null(a));
}

static void set_waiting(struct arena *a, struct val *state, const char *reason, const char *message)
{
	struct val *w = val_set_map(a, state, F_waiting);

	val_set_cstr(a, w, F_reason, reason);
	if (message && *message)
		val_set_cstr(a, w, F_message, message);
}

static const struct val *old_container(const struct val *pod, const struct status_container *c)
{
	return pod_container_status(pod, val_get_str(c->spec, F_name));
}

static bool status_finished(const struct status_container *c)
{
	return c->cur && c->cur->state == RT_EXITED;
}

/* An init container that is behind us: ended well, or a sidecar that is up. */
static bool init_done(const struct status_container *c)
{
	if (c->sidecar)
		return c->started && (c->cur && (c->cur->state == RT_RUNNING || c->cur->state == RT_EXITED));
	return status_finished(c) && c->cur->exit_code == 0;
}

static bool init_pending(const struct status_input *in)
{
	for (size_t i = 0; i < in->n; i++)
		if (in->c[i].init && !init_done(&in->c[i]))
			return true;
	return false;
}

static bool deleting(const struct status_input *in)
{
	return val_get(in->pod, F_metadata, F_deletionTimestamp) != NULL;
}

/* Has an instance of it ever run? Told by the runtime, or by what was told before. */
static bool ever_ran(const struct status_input *in, const struct status_container *c)
{
	const struct val *old = old_container(in->pod, c);

	return (c->cur && c->cur->state != RT_CREATED) || c->prev || val_get(old, F_state, F_running) ||
	       val_get(old, F_state, F_terminated) || val_get(old, F_lastState, F_terminated);
}

/* How far the pod had come: up to which init container, and whether to the others. */
struct reached {
	size_t init;
	bool others;
};

static struct reached reached(const struct status_input *in)
{
	struct reached r = { .init = 1 };
	size_t n_init = 0;

	for (size_t i = 0; i < in->n; i++) {
		const struct status_container *c = &in->c[i];

		n_init += c->init;
		if (!ever_ran(in, c))
			continue;
		if (c->init)
			r.init = i + 1;
		else
			r.others = true;
	}
	r.others |= !n_init || init_done(&in->c[n_init - 1]);
	if (r.others)
		r.init = n_init;
	return r;
}

/* The pod ended and the runtime has no record of this container: a failure of it where its turn had come. */
static bool unaccounted(const struct status_input *in, const struct reached *r, const struct status_container *c,
			const struct val *old)
{
	if (!in->terminal)
		return false;
	return c->ephemeral ? val_get(old, F_state, F_running) != NULL
	       : c->init    ? (size_t)(c - in->c) < r->init
			    : r->others;
}

/* Between two lives: what holds the next one up is more telling than how the last one ended. */
static bool waits_again(const struct status_input *in, const struct status_container *c)
{
	return c->waiting && c->wait_reason && !in->terminal && !deleting(in) && !c->ephemeral &&
	       container_should_restart(in->pod, c->spec, c->init, c->cur->exit_code);
}

/* Resources and mounts the instance has, which a resize and a change of defaults may set apart from its spec. */
static void set_given(struct arena *a, struct val *s, const struct status_container *c)
{
	const struct val *r = c->resources ? c->resources : val_member(c->spec, F_resources), *v;
	const struct val *mounts = val_member(c->spec, F_volumeMounts);
	bool rro = c->cur && rt_annotation(c->cur, RRO_ANNOTATION).n;
	struct val *given = val_set_map(a, s, F_resources), *list;

	if ((v = val_member(r, F_limits)) && val_len(v))
		val_set(a, given, F_limits, v);
	if ((v = val_member(r, F_requests)) && val_len(v)) {
		val_set(a, given, F_requests, v);
		val_set(a, s, F_allocatedResources, v);
	}
	if (!val_len(mounts))
		return;
	list = val_set_list(a, s, F_volumeMounts);
	VAL_EACH(mounts, m) {
		struct val *out = val_push(a, list, val_new_map(a));

		val_set_str(a, out, F_name, val_get_str(m, F_name));
		val_set_str(a, out, F_mountPath, val_get_str(m, F_mountPath));
		if (val_get_bool(m, F_readOnly)) {
			val_set_bool(a, out, F_readOnly, true);
			val_set_cstr(a, out, F_recursiveReadOnly,
				     rro && isolation_asks_rro(m) ? "Enabled" : "Disabled");
		}
	}
}

static struct val *container_status(struct arena *a, const struct status_input *in, const struct reached *r,
				    const struct status_container *c)
{
	const struct val *old = old_container(in->pod, c);
	struct val *s = val_new_map(a), *state, *last;
	const struct rt_container *cur = c->cur;
	bool running = cur && cur->state == RT_RUNNING;
	/* It ran, and the runtime forgot it: a node that was cleaned up or rebuilt. Its successor is a restart. */
	bool lost = !cur && !in->terminal && val_get(old, F_state, F_running);
	/* The same, and its successor was there before anybody was told. */
	bool replaced = cur && !c->prev && c->restart_count > val_get_int(old, 0, F_restartCount);
	bool ready =
	    c->init && !c->sidecar ? status_finished(c) && cur->exit_code == 0 : running && c->ready && !c->ephemeral;

	val_set_str(a, s, F_name, val_get_str(c->spec, F_name));
	state = val_new_map(a);
	last = val_new_map(a);
	if (running) {
		status_set_time(a, val_set_map(a, state, F_running), F_startedAt, cur->started_ns);
	} else if (cur && cur->state == RT_EXITED && !waits_again(in, c)) {
		set_terminated(a, state, cur, c->term_message);
	} else if (cur && cur->state == RT_UNKNOWN && sv_eq(status_container_id(old), cur->id)) {
		state = val_clone(a, val_get(old, F_state)); /* nothing newer is known, and it is proof of a life */
	} else if (!cur && in->terminal && val_get(old, F_state, F_terminated)) {
		state = val_clone(a, val_get(old, F_state));
	} else if (unaccounted(in, r, c, old)) {
		set_unknown(a, state, "The container could not be located when the pod was terminated");
	} else {
		set_waiting(a, state,
			    c->wait_reason					     ? c->wait_reason
			    : !c->init && init_pending(in)			     ? "PodInitializing"
			    : c->init && init_pending(in) && in->n && &in->c[0] != c ? "PodInitializing"
										     : "ContainerCreating",
			    c->wait_message);
	}
	if (cur && cur->state == RT_EXITED && val_member(state, F_waiting))
		set_terminated(a, last, cur, c->term_message);
	else if (c->prev && c->prev->state == RT_EXITED)
		set_terminated(a, last, c->prev, c->prev_message);
	else if (lost || (replaced && val_get(old, F_state, F_running)))
		set_unknown(
		    a, last,
		    "The container could not be located when the pod was deleted.  The container used to be Running");
	else if (replaced && val_get(old, F_state, F_terminated))
		last = val_clone(a, val_get(old, F_state));
	else if (!c->prev && val_get(old, F_lastState, F_terminated) &&
		 (replaced || val_get_int(old, 0, F_restartCount) == c->restart_count))
		last = val_clone(a, val_get(old, F_lastState));
	val_set(a, s, F_state, state);
	val_set(a, s, F_lastState, last);
	val_set_bool(a, s, F_ready, ready);
	val_set_int(a, s, F_restartCount, c->restart_count + (lost && !deleting(in)));
	val_set_str(a, s, F_image, cur && cur->image.n ? cur->image : val_get_str(c->spec, F_image));
	val_set_str(a, s, F_imageID, cur ? cur->image_ref : SV(""));
	if (cur)
		val_set_strf(a, s, F_containerID, "containerd://%.*s", SV_ARG(cur->id));
	val_set_bool(a, s, F_started, running && c->started);
	if (cur)
		set_given(a, s, c);
	return s;
}

/* --- phase --- */

static const char *phase_of(const struct status_input *in)
{
	size_t init_waiting = 0, init_failed = 0, running = 0, waiting = 0, stopped = 0, succeeded = 0, n = 0;
	bool again = false, alive = false; /* alive: an init container or sidecar runs */

	if (in->reason)
		return "Failed";
	for (size_t i = 0; i < in->n; i++) {
		const struct status_container *c = &in->c[i];

		if (c->init) {
			alive |= c->cur && c->cur->state == RT_RUNNING;
			init_waiting += !init_done(c);
			init_failed += !c->sidecar && status_finished(c) && c->cur->exit_code != 0 &&
				       !container_should_restart(in->pod, c->spec, true, c->cur->exit_code);
			continue;
		}
		n++;
		if (c->cur && c->cur->state == RT_RUNNING) {
			running++;
		} else if (status_finished(c)) {
			stopped++;
			succeeded += c->cur->exit_code == 0;
			again |= container_should_restart(in->pod, c->spec, false, c->cur->exit_code);
		} else if (c->prev || c->restart_count > 0) {
			stopped++; /* between two lives */
			again = true;
		} else {
			waiting++;
		}
	}
	if (init_failed && (in->terminal || (running == 0 && !alive)))
		return "Failed";
	if (in->terminal && running == 0) {
		/* Ended before everything had started: nothing of it succeeded. */
		return stopped == n && succeeded == n ? "Succeeded" : "Failed";
	}
	/* A container that ran once proves that initialisation was complete, whatever is left of its traces. */
	if ((init_waiting && !running && !stopped) || waiting)
		return "Pending";
	if (running)
		return "Running";
	if (!stopped)
		return "Pending";
	if (again || alive) /* a sidecar outlives the others: the pod is not over before it is */
		return "Running";
	return succeeded == stopped ? "Succeeded" : "Failed";
}

/* --- conditions --- */

static void add_condition(struct arena *a, const struct status_input *in, struct val *list, const char *type, bool ok,
			  const char *reason, const char *message)
{
	const struct val *old = condition_find(val_get(in->pod, F_status, F_conditions), type);
	struct val *c = val_new_map(a);
	const struct val *since = val_member(old, F_lastTransitionTime);
	int64_t generation = val_get_int(in->pod, 0, F_metadata, F_generation);

	val_set_cstr(a, c, F_type, type);
	if (generation)
		val_set_int(a, c, F_observedGeneration, generation);
	val_set_cstr(a, c, F_status, ok ? "True" : "False");
	if (since && val_is(val_member(old, F_status), ok ? "True" : "False"))
		val_set(a, c, F_lastTransitionTime, since);
	else
		status_set_time(a, c, F_lastTransitionTime, in->now_ns);
	if (reason) {
		val_set_cstr(a, c, F_reason, reason);
		if (message)
			val_set_cstr(a, c, F_message, message);
	}
	val_push(a, list, c);
}

/* "[a b]" of the containers that are (not) something. */
static const char *names_where(struct arena *a, const struct status_input *in, const struct val *statuses, bool init,
			       size_t *ret_n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t i = 0;

	*ret_n = 0;
	VAL_EACH(statuses, s) {
		const struct status_container *c = NULL;
		bool ok;

		for (size_t seen = 0, j = 0; j < in->n && !c; j++)
			if (in->c[j].init == init && seen++ == i)
				c = &in->c[j];
		i++;
		ok = init && c && !c->sidecar ? init_done(c) : val_bool(val_member(s, F_ready));
		if (ok)
			continue;
		if ((*ret_n)++)
			buf_addc(&b, ' ');
		buf_addsv(&b, val_get_str(s, F_name));
	}
	return arena_printf(a, "[%s]", buf_cstr(&b));
}

static void status_set_conditions(struct arena *a, const struct status_input *in, struct val *st, const char *phase,
				  const struct val *init_st, const struct val *main_st)
{
	struct val *list = val_set_list(a, st, F_conditions);
	bool over = !strcmp(phase, "Succeeded"), failed = !strcmp(phase, "Failed"), ready, initialized;
	bool unwanted = failed || in->overdue;
	size_t n_unready, n_side, n_init = 0;
	const char *unready = names_where(a, in, main_st, false, &n_unready), *gate = NULL;
	const char *why = NULL, *msg = NULL, *incomplete = NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < in->n; i++) { /* sidecars must be ready too, and stand with the others */
		const struct status_container *c = &in->c[i];

		if (c->init && !init_done(c)) {
			buf_printf(&b, "%s%.*s", n_init++ ? " " : "", SV_ARG(val_get_str(c->spec, F_name)));
		}
	}
	incomplete = arena_printf(a, "containers with incomplete status: [%s]", buf_cstr(&b));
	n_side = 0;
	VAL_EACH(init_st, s) {
		const struct val *spec = NULL;

		for (size_t i = 0; i < in->n && !spec; i++)
			if (in->c[i].init && in->c[i].sidecar &&
			    sv_eq(val_get_str(in->c[i].spec, F_name), val_get_str(s, F_name)))
				spec = in->c[i].spec;
		n_side += spec && !val_bool(val_member(s, F_ready));
	}
	initialized = n_init == 0 || over || (!failed && !strcmp(phase, "Running"));
	ready = n_unready == 0 && n_side == 0 && initialized && !over && !unwanted && val_len(main_st);

	if (over) {
		why = "PodCompleted";
	} else if (unwanted) {
		why = "PodFailed";
	} else if (!ready) {
		why = "ContainersNotReady";
		msg = arena_printf(a, "containers with unready status: %s", unready);
	}
	VAL_EACH(val_get(in->pod, F_spec, F_readinessGates), g) {
		struct sv type = val_get_str(g, F_conditionType);
		const struct val *c = condition_find(val_get(in->pod, F_status, F_conditions), arena_cstr(a, type));

		if (!val_is(val_member(c, F_status), "True"))
			gate =
			    c ? arena_printf(a, "the status of pod readiness gate \"%.*s\" is not \"True\", but %.*s",
					     SV_ARG(type), SV_ARG(val_get_str(c, F_status)))
			      : arena_printf(a,
					     "corresponding condition of pod readiness gate \"%.*s\" does not exist.",
					     SV_ARG(type));
	}
	add_condition(a, in, list, "PodReadyToStartContainers", in->sandbox_ready, NULL, NULL);
	if (over)
		add_condition(a, in, list, "Initialized", true, "PodCompleted", NULL);
	else
		add_condition(a, in, list, "Initialized", initialized, initialized ? NULL : "ContainersNotInitialized",
			      incomplete);
	if (ready && gate)
		add_condition(a, in, list, "Ready", false, "ReadinessGatesNotReady", gate);
	else
		add_condition(a, in, list, "Ready", ready, why, msg);
	add_condition(a, in, list, "ContainersReady", ready, why, msg);
	add_condition(a, in, list, "PodScheduled", true, NULL, NULL);
	if (in->reason && !strcmp(in->reason, "Evicted"))
		add_condition(a, in, list, "DisruptionTarget", true, "TerminationByKubelet", in->message);
	if (in->reason && !strcmp(in->reason, "Preempting"))
		add_condition(a, in, list, "DisruptionTarget", true, "TerminationByKubelet",
			      "Pod was preempted by Kubelet to accommodate a critical pod.");
	for (size_t i = 0; i < in->n; i++)
		if (in->c[i].resize_reason) {
			bool pending = !strcmp(in->c[i].resize_reason, "Infeasible");

			add_condition(a, in, list, pending ? "PodResizePending" : "PodResizeInProgress", true,
				      in->c[i].resize_reason, in->c[i].resize_message);
			break;
		}
}

/* What the pod as a whole was given, where its spec says so. */
static void set_pod_level(struct arena *a, const struct val *pod, struct val *st)
{
	const struct val *whole = val_get(pod, F_spec, F_resources), *v;
	struct val *given;

	if (!pod_level_set(val_member(pod, F_spec)))
		return;
	given = val_set_map(a, st, F_resources);
	if ((v = val_member(whole, F_limits)) && val_len(v))
		val_set(a, given, F_limits, v);
	if ((v = val_member(whole, F_requests)) && val_len(v)) {
		val_set(a, given, F_requests, v);
		val_set(a, st, F_allocatedResources, v);
	}
}

struct val *status_compute(struct arena *a, const struct status_input *in)
{
	struct val *st = val_new_map(a), *init_st = val_new_list(a), *main_st = val_new_list(a), *ips;
	struct sv rest, ip;
	const char *phase = phase_of(in);
	const struct reached r = reached(in);
	int64_t generation = val_get_int(in->pod, 0, F_metadata, F_generation);

	for (size_t i = 0; i < in->n; i++)
		val_push(a, in->c[i].init ? init_st : main_st, container_status(a, in, &r, &in->c[i]));
	if (generation)
		val_set_int(a, st, F_observedGeneration, generation);
	val_set_cstr(a, st, F_phase, phase);
	if (in->reason) {
		val_set_cstr(a, st, F_reason, in->reason);
		if (in->message)
			val_set_cstr(a, st, F_message, in->message);
	}
	if (in->reason && in->refused) { /* nothing of it was ever here */
		status_set_time(a, st, F_startTime, in->start_ns);
		val_set_cstr(a, st, F_qosClass, qos_name(pod_qos(in->pod)));
		return st;
	}
	status_set_conditions(a, in, st, phase, init_st, main_st);
	rest = sv_from(in->host_ips ? in->host_ips : "");
	for (ips = NULL; sv_split(&rest, ' ', &ip);) {
		if (!ips) {
			val_set_str(a, st, F_hostIP, ip);
			ips = val_set_list(a, st, F_hostIPs);
		}
		val_set_str(a, val_push(a, ips, val_new_map(a)), F_ip, ip);
	}
	if (in->n_pod_ips) {
		val_set_str(a, st, F_podIP, in->pod_ips[0]);
		ips = val_set_list(a, st, F_podIPs);
		for (size_t i = 0; i < in->n_pod_ips; i++)
			val_set_str(a, val_push(a, ips, val_new_map(a)), F_ip, in->pod_ips[i]);
	}
	status_set_time(a, st, F_startTime, in->start_ns);
	if (val_len(init_st))
		val_set(a, st, F_initContainerStatuses, init_st);
	val_set(a, st, F_containerStatuses, main_st);
	if (in->n_ephemeral) {
		struct val *list = val_set_list(a, st, F_ephemeralContainerStatuses);

		for (size_t i = 0; i < in->n_ephemeral; i++)
			val_push(a, list, container_status(a, in, &r, &in->ephemeral[i]));
	}
	val_set_cstr(a, st, F_qosClass, qos_name(pod_qos(in->pod)));
	set_pod_level(a, in->pod, st);
	return st;
}

/* --- what to send --- */

/* Conditions are merged by their type: those of others stay. */
static void status_merge_conditions(struct arena *a, struct val *patch, const struct val *old, const struct val *want)
{
	struct val *list = val_new_list(a);

	VAL_EACH(want, w) {
		const struct val *before = NULL;

		VAL_EACH(old, o)
			if (sv_eq(val_get_str(o, F_type), val_get_str(w, F_type)))
				before = o;
		if (before && val_same(before, w))
			continue;
		/* The patch merges into the old entry: what it had and we do not say is nulled. */
		if (before) {
			struct val *m = val_clone(a, w);

			VAL_EACH_MEMBER(before, om)
				if (val_type(om.value) != VAL_NULL && !val_member_sv(w, om.key))
					val_set_sv(a, m, om.key, val_new_null(a));
			val_push(a, list, m);
		} else {
			val_push(a, list, w);
		}
	}
	if (val_len(list))
		val_set(a, patch, F_conditions, list);
}

/* Addresses are merged by themselves, too, and then a new one would stand before one that stays: but the first has to
 * be the pod's, or its host's. */
static void status_replace_list(struct arena *a, struct val *patch, enum sym field, const struct val *old,
				const struct val *want)
{
	struct val *list;

	if (val_same(old, want) || (!val_len(old) && !val_len(want)))
		return;
	list = val_set_list(a, patch, field);
	val_set_str_sv(a, val_push(a, list, val_new_map(a)), SV("$patch"), SV("replace"));
	VAL_EACH(want, w)
		val_push(a, list, w);
}

/* A resize that is done leaves no condition behind. */
static void drop_resize(struct arena *a, struct val *patch, const struct val *old, const struct val *want)
{
	static const char *const types[] = { "PodResizePending", "PodResizeInProgress" };

	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		struct val *d;

		if (!condition_find(old, types[i]) || condition_find(want, types[i]))
			continue;
		d = val_push(a, val_ensure_list(a, patch, F_conditions), val_new_map(a));
		val_set_str_sv(a, d, SV("$patch"), SV("delete"));
		val_set_cstr(a, d, F_type, types[i]);
	}
}

struct val *status_patch(struct arena *a, const struct val *old, const struct val *want)
{
	static const enum sym ours[] = { F_observedGeneration,
					 F_phase,
					 F_reason,
					 F_message,
					 F_hostIP,
					 F_podIP,
					 F_startTime,
					 F_initContainerStatuses,
					 F_containerStatuses,
					 F_ephemeralContainerStatuses,
					 F_qosClass,
					 F_resources,
					 F_allocatedResources };
	struct val *patch = val_new_map(a);

	for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
		const struct val *o = val_member(old, ours[i]), *w = val_member(want, ours[i]);

		if (w && !(o && val_same(o, w)) && !(val_type(w) == VAL_NULL && !o))
			val_set(a, patch, ours[i], w);
		else if (!w && o && val_type(o) != VAL_NULL && (ours[i] == F_reason || ours[i] == F_message))
			val_set(a, patch, ours[i], val_new_null(a));
	}
	status_merge_conditions(a, patch, val_member(old, F_conditions), val_member(want, F_conditions));
	drop_resize(a, patch, val_member(old, F_conditions), val_member(want, F_conditions));
	status_replace_list(a, patch, F_hostIPs, val_member(old, F_hostIPs), val_member(want, F_hostIPs));
	if (val_member(want, F_podIPs))
		status_replace_list(a, patch, F_podIPs, val_member(old, F_podIPs), val_member(want, F_podIPs));
	return val_len(patch) ? patch : NULL;
}
