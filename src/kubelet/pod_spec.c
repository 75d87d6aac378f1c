#include "kubelet/pod_spec.h"

#include "object/quantity.h"

static enum restart_policy pod_restart_policy(const struct val *pod)
{
	const struct val *v = val_get(pod, F_spec, F_restartPolicy);

	return val_is(v, "Never") ? RESTART_NEVER : val_is(v, "OnFailure") ? RESTART_ON_FAILURE : RESTART_ALWAYS;
}

bool container_is_sidecar(const struct val *spec)
{
	return val_is(val_member(spec, F_restartPolicy), "Always");
}

enum restart_policy container_restart_policy(const struct val *pod, const struct val *spec, bool init)
{
	const struct val *own = val_member(spec, F_restartPolicy);
	enum restart_policy p = pod_restart_policy(pod);

	if (val_is(own, "Always"))
		return RESTART_ALWAYS;
	if (val_is(own, "OnFailure"))
		return RESTART_ON_FAILURE;
	if (val_is(own, "Never"))
		return RESTART_NEVER;
	return init && p == RESTART_ALWAYS ? RESTART_ON_FAILURE : p;
}

bool container_should_restart(const struct val *pod, const struct val *spec, bool init, int exit_code)
{
	VAL_EACH(val_member_sv(spec, SV("restartPolicyRules")), rule) {
		const struct val *codes = val_member_sv(rule, SV("exitCodes"));
		bool in = false;

		VAL_EACH(val_member(codes, F_values), v)
			in |= val_int_or(v, -1) == exit_code;
		if (val_is(val_member(codes, F_operator), "NotIn"))
			in = !in;
		if (codes && in)
			return true; /* the only action is Restart */
	}
	switch (container_restart_policy(pod, spec, init)) {
	case RESTART_ALWAYS:
		return true;
	case RESTART_ON_FAILURE:
		return exit_code != 0;
	default:
		return false;
	}
}

const struct val *pod_container(const struct val *pod, struct sv name, bool *ret_init)
{
	VAL_EACH(val_get(pod, F_spec, F_containers), c) {
		if (sv_eq(val_get_str(c, F_name), name)) {
			if (ret_init)
				*ret_init = false;
			return c;
		}
	}
	VAL_EACH(val_get(pod, F_spec, F_initContainers), c) {
		if (sv_eq(val_get_str(c, F_name), name)) {
			if (ret_init)
				*ret_init = true;
			return c;
		}
	}
	VAL_EACH(val_get(pod, F_spec, F_ephemeralContainers), c) {
		if (sv_eq(val_get_str(c, F_name), name)) {
			if (ret_init)
				*ret_init = false;
			return c;
		}
	}
	return NULL;
}

bool container_is_ephemeral(const struct val *pod, const struct val *spec)
{
	VAL_EACH(val_get(pod, F_spec, F_ephemeralContainers), c)
		if (c == spec)
			return true;
	return false;
}

int64_t container_cpu_milli(const struct val *spec, enum sym kind)
{
	return quantity_milli_or(val_member_sv(val_get(spec, F_resources, kind), SV("cpu")), 0);
}

int64_t container_memory(const struct val *spec, enum sym kind)
{
	const struct val *v = val_member_sv(val_get(spec, F_resources, kind), SV("memory"));
	int64_t n;

	if (val_type(v) == VAL_INT)
		return v->i;
	return quantity_value(val_str(v), &n) ? n : 0;
}

static void qos_scan(const struct val *list, bool *any, bool *all)
{
	VAL_EACH(list, c) {
		int64_t rc = container_cpu_milli(c, F_requests), lc = container_cpu_milli(c, F_limits);
		int64_t rm = container_memory(c, F_requests), lm = container_memory(c, F_limits);

		*any |= rc || lc || rm || lm;
		/* Defaulting copied limits to absent requests. */
		*all &= lc && lm && (!rc || rc == lc) && (!rm || rm == lm);
	}
}

enum qos_class pod_qos(const struct val *pod)
{
	struct sv known = val_get_str(pod, F_status, F_qosClass);
	bool any = false, all = true;

	for (enum qos_class q = QOS_BEST_EFFORT; q <= QOS_GUARANTEED; q++)
		if (sv_is(known, qos_name(q)))
			return q;
	qos_scan(val_get(pod, F_spec, F_containers), &any, &all);
	qos_scan(val_get(pod, F_spec, F_initContainers), &any, &all);
	return !any ? QOS_BEST_EFFORT : all ? QOS_GUARANTEED : QOS_BURSTABLE;
}

int64_t pod_grace_seconds(const struct val *pod)
{
	int64_t own = val_get_int(pod, 30, F_spec, F_terminationGracePeriodSeconds);

	return val_get_int(pod, own, F_metadata, F_deletionGracePeriodSeconds);
}

bool pod_host_network(const struct val *pod)
{
	return val_get_bool(pod, F_spec, F_hostNetwork);
}

/* A pod needs the sum of its containers, and before that each init container together with the sidecars
 * started before it. A limit counts only when every container has one. */
void pod_cgroup_limits(const struct val *pod, struct cgroup_limits *ret)
{
	int64_t cpu = 0, lim = 0, mem = 0, side_cpu = 0, side_lim = 0, side_mem = 0;
	int64_t max_cpu = 0, max_lim = 0, max_mem = 0;
	bool all_lim = true, all_mem = true;

	VAL_EACH(val_get(pod, F_spec, F_initContainers), c) {
		int64_t r = container_cpu_milli(c, F_requests), l = container_cpu_milli(c, F_limits);
		int64_t m = container_memory(c, F_limits);

		all_lim &= l > 0;
		all_mem &= m > 0;
		if (container_is_sidecar(c)) {
			side_cpu += r;
			side_lim += l;
			side_mem += m;
			r = l = m = 0;
		}
		max_cpu = MAX(max_cpu, side_cpu + r);
		max_lim = MAX(max_lim, side_lim + l);
		max_mem = MAX(max_mem, side_mem + m);
	}
	VAL_EACH(val_get(pod, F_spec, F_containers), c) {
		int64_t l = container_cpu_milli(c, F_limits), m = container_memory(c, F_limits);

		cpu += container_cpu_milli(c, F_requests);
		lim += l;
		mem += m;
		all_lim &= l > 0;
		all_mem &= m > 0;
	}
	*ret = (struct cgroup_limits){
		.cpu_milli_request = MAX(cpu + side_cpu, max_cpu),
		.cpu_milli_limit = all_lim ? MAX(lim + side_lim, max_lim) : 0,
		.memory_limit_bytes = all_mem ? MAX(mem + side_mem, max_mem) : 0,
	};
}

int64_t container_oom_score_adj(const struct val *pod, const struct val *spec, int64_t machine_memory)
{
	int64_t request = container_memory(spec, F_requests), adj;

	if (val_is(val_get(pod, F_spec, F_priorityClassName), "system-node-critical"))
		return -997;
	switch (pod_qos(pod)) {
	case QOS_GUARANTEED:
		return -997;
	case QOS_BEST_EFFORT:
		return 1000;
	default:
		break;
	}
	/* The more of the machine it asked for, the later it is killed; 3..999 for burstable pods. */
	adj = machine_memory > 0 ? 1000 - (int64_t)((double)request * 1000.0 / (double)machine_memory) : 999;
	return adj < 3 ? 3 : adj > 999 ? 999 : adj;
}

uint64_t container_hash(const struct val *spec)
{
	return sv_hash(val_get_str(spec, F_name)) * 31 + sv_hash(val_get_str(spec, F_image));
}

int container_port(const struct val *spec, const struct val *port)
{
	int64_t n = val_int_or(port, -1);

	if (val_type(port) == VAL_STR && !sv_to_i64(val_str(port), &n)) {
		n = -1;
		VAL_EACH(val_member(spec, F_ports), p)
			if (sv_eq(val_get_str(p, F_name), val_str(port)))
				n = val_get_int(p, -1, F_containerPort);
	}
	return n > 0 && n <= 65535 ? (int)n : -1;
}

bool pod_phase_terminal(const struct val *pod)
{
	const struct val *phase = val_get(pod, F_status, F_phase);

	return val_is(phase, "Succeeded") || val_is(phase, "Failed");
}
