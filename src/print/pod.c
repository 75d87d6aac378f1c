/* The Pod row: what `kubectl get pods` shows under READY, STATUS and RESTARTS. */
#include "print/print-internal.h"
#include "base/timefmt.h"

static const struct val *status_of(const struct val *statuses, struct sv name)
{
	VAL_EACH(statuses, s)
		if (sv_eq(val_get_str(s, F_name), name))
			return s;
	return NULL;
}

static bool condition_true(const struct val *pod, const char *type)
{
	return condition_is(val_get(pod, F_status, F_conditions), type, "True");
}

/* Why a container is not running: its own reason, else the exit code or signal. */
static struct sv state_reason(struct arena *a, const struct val *state, const char *prefix)
{
	const struct val *t = val_get(state, F_terminated);
	struct sv reason = val_get_str(state, F_waiting, F_reason);

	if (reason.n || !t)
		return reason.n ? arena_svf(a, "%s%.*s", prefix, SV_ARG(reason)) : SV("");
	if (val_get_str(t, F_reason).n)
		return arena_svf(a, "%s%.*s", prefix, SV_ARG(val_get_str(t, F_reason)));
	if (val_get_int(t, 0, F_signal))
		return arena_svf(a, "%sSignal:%" PRId64, prefix, val_get_int(t, 0, F_signal));
	return arena_svf(a, "%sExitCode:%" PRId64, prefix, val_get_int(t, 0, F_exitCode));
}

struct counts {
	int64_t ready, total, restarts, sidecar_restarts;
	int64_t last_restart_ns, last_sidecar_ns;
};

static void note_restart(int64_t *last, const struct val *status)
{
	int64_t t;

	if (time_parse(val_get_str(status, F_lastState, F_terminated, F_finishedAt), &t) && t > *last)
		*last = t;
}

/* The init containers' say: SV_NULL when they are all through. */
static struct sv init_reason(struct arena *a, const struct val *pod, struct counts *n)
{
	const struct val *inits = val_get(pod, F_spec, F_initContainers);
	const struct val *statuses = val_get(pod, F_status, F_initContainerStatuses);
	struct sv reason = SV_NULL;
	size_t i = 0;

	VAL_EACH(inits, c) {
		const struct val *s = status_of(statuses, val_get_str(c, F_name));
		bool sidecar = val_is(val_get(c, F_restartPolicy), "Always");
		const struct val *terminated = val_get(s, F_state, F_terminated);
		struct sv why;

		n->restarts += val_get_int(s, 0, F_restartCount);
		note_restart(&n->last_restart_ns, s);
		if (sidecar) {
			n->total++;
			n->sidecar_restarts += val_get_int(s, 0, F_restartCount);
			note_restart(&n->last_sidecar_ns, s);
			if (val_get_bool(s, F_started)) {
				n->ready += val_get_bool(s, F_ready);
				i++;
				continue;
			}
		}
		if (reason.p || !s) { /* before a node has it nothing is said of an init container: Pending */
			i++;
			continue;
		}
		if (terminated && val_get_int(terminated, 0, F_exitCode) == 0) {
			i++;
			continue;
		}
		why = terminated ? state_reason(a, val_get(s, F_state), "Init:") : SV("");
		if (!terminated && val_get_str(s, F_state, F_waiting, F_reason).n &&
		    !val_is(val_get(s, F_state, F_waiting, F_reason), "PodInitializing"))
			why = state_reason(a, val_get(s, F_state), "Init:");
		reason = why.n ? why : arena_svf(a, "Init:%zu/%zu", i, val_len(inits));
		i++;
	}
	return reason;
}

static struct sv containers_reason(struct arena *a, const struct val *pod, struct sv reason, struct counts *n)
{
	const struct val *statuses = val_get(pod, F_status, F_containerStatuses);
	bool running = false;

	n->restarts = n->sidecar_restarts;
	n->last_restart_ns = n->last_sidecar_ns;
	for (size_t k = val_len(statuses); k-- > 0;) {
		const struct val *s = val_at(statuses, k), *state = val_get(s, F_state);
		struct sv why = state_reason(a, state, "");

		n->restarts += val_get_int(s, 0, F_restartCount);
		note_restart(&n->last_restart_ns, s);
		if (why.n) {
			reason = why;
		} else if (val_get_bool(s, F_ready) && val_get(state, F_running)) {
			running = true;
			n->ready++;
		}
	}
	if (sv_is(reason, "Completed") && running)
		reason = condition_true(pod, "Ready") ? SV("Running") : SV("NotReady");
	return reason;
}

void print_pod(struct arena *a, const struct val *pod, int64_t now_ns, struct val *cells)
{
	const struct val *status = val_get(pod, F_status), *phase = val_get(status, F_phase);
	struct sv reason = val_get_str(status, F_reason), init;
	const struct val *gates = val_get(pod, F_spec, F_readinessGates);
	struct counts n = { .total = (int64_t)val_len(val_get(pod, F_spec, F_containers)) };
	bool terminal = val_is(phase, "Succeeded") || val_is(phase, "Failed");
	int64_t met = 0;

	if (!reason.n)
		reason = val_str(phase);
	VAL_EACH(val_get(status, F_conditions), c)
		if (val_is(val_get(c, F_type), "PodScheduled") && val_is(val_get(c, F_reason), "SchedulingGated"))
			reason = SV("SchedulingGated");
	init = init_reason(a, pod, &n);
	if (init.p && !condition_true(pod, "Initialized"))
		reason = init;
	else
		reason = containers_reason(a, pod, reason, &n);
	if (val_get(pod, F_metadata, F_deletionTimestamp) && !terminal)
		reason = val_is(val_get(status, F_reason), "NodeLost") ? SV("Unknown") : SV("Terminating");

	cell_fmt(a, cells, "%" PRId64 "/%" PRId64, n.ready, n.total);
	cell_str(a, cells, reason);
	if (n.restarts && n.last_restart_ns) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		duration_human(&b, now_ns - n.last_restart_ns);
		cell_fmt(a, cells, "%" PRId64 " (%s ago)", n.restarts, buf_cstr(&b));
	} else {
		cell_fmt(a, cells, "%" PRId64, n.restarts);
	}
	if (!val_len(gates)) {
		cell_cstr(a, cells, "<none>");
		return;
	}
	VAL_EACH(gates, g)
		met += condition_true(pod, arena_cstr(a, val_get_str(g, F_conditionType)));
	cell_fmt(a, cells, "%" PRId64 "/%zu", met, val_len(gates));
}
