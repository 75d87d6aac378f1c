#include "kubelet/pod_spec.h"

#include "kubelet/cgroups.h"
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

const struct val *pod_container_status(const struct val *pod, struct sv name)
{
	static const enum sym lists[] = { F_containerStatuses, F_initContainerStatuses, F_ephemeralContainerStatuses };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_get(pod, F_status, lists[i]), s)
			if (sv_eq(val_get_str(s, F_name), name))
				return s;
	return NULL;
}

static struct sv bare_id(struct sv id)
{
	ssize_t at = sv_find_sv(id, SV("://"));

	return at < 0 ? SV("") : sv_sub(id, (size_t)at + 3, id.n);
}

struct sv status_container_id(const struct val *status)
{
	return bare_id(val_get_str(status, F_containerID));
}

bool status_tells_run(const struct val *status, struct sv id)
{
	if (sv_eq(bare_id(val_get_str(status, F_lastState, F_terminated, F_containerID)), id))
		return id.n > 0;
	return id.n && sv_eq(status_container_id(status), id) &&
	       (val_get(status, F_state, F_running) || val_get(status, F_state, F_terminated));
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

enum qos_class pod_qos(const struct val *pod)
{
	struct sv known = val_get_str(pod, F_status, F_qosClass);

	for (enum qos_class q = QOS_BEST_EFFORT; q <= QOS_GUARANTEED; q++)
		if (sv_is(known, qos_name(q)))
			return q;
	return pod_qos_class(val_member(pod, F_spec));
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

int64_t container_limit(const struct val *pod, const struct val *spec, struct sv name)
{
	int64_t own = res_amount(name, val_member_sv(val_get(spec, F_resources, F_limits), name));

	return own > 0 ? own : res_amount(name, val_member_sv(val_get(pod, F_spec, F_resources, F_limits), name));
}

/* A limit counts when the pod as a whole has it, or every container. */
static int64_t pod_limit(const struct val *pod, const struct res_list *limits, struct sv name)
{
	static const enum sym lists[] = { F_initContainers, F_containers };
	bool all = true;

	for (size_t k = 0; k < ARRAY_LEN(lists); k++)
		VAL_EACH(val_get(pod, F_spec, lists[k]), c)
			all &= res_amount(name, val_member_sv(val_get(c, F_resources, F_limits), name)) > 0;
	if (res_amount(name, val_member_sv(val_get(pod, F_spec, F_resources, F_limits), name)) > 0)
		all = true;
	return all ? res_list_get(limits, name) : 0;
}

void pod_cgroup_limits(const struct val *pod, struct cgroup_limits *ret)
{
	_cleanup_(res_list_release) struct res_list requests = RES_LIST_INIT, limits = RES_LIST_INIT;

	pod_requests(val_member(pod, F_spec), RES_AS_WRITTEN, &requests);
	pod_limits(val_member(pod, F_spec), RES_AS_WRITTEN, &limits);
	*ret = (struct cgroup_limits){
		.cpu_milli_request = res_list_get(&requests, SV("cpu")),
		.cpu_milli_limit = pod_limit(pod, &limits, SV("cpu")),
		.memory_limit_bytes = pod_limit(pod, &limits, SV("memory")),
	};
}

/* Its own request, and an equal part of what the pod requests beyond those of its containers. */
static int64_t memory_share(const struct val *pod, const struct val *spec)
{
	_cleanup_(res_list_release) struct res_list sum = RES_LIST_INIT;
	const struct val *whole = val_member_sv(val_get(pod, F_spec, F_resources, F_requests), SV("memory"));
	int64_t own = container_memory(spec, F_requests), rest,
		n = (int64_t)val_len(val_get(pod, F_spec, F_containers));

	if (!whole)
		return own;
	VAL_EACH(val_get(pod, F_spec, F_initContainers), c)
		n += container_is_sidecar(c);
	pod_requests(val_member(pod, F_spec), RES_CONTAINERS_ONLY, &sum);
	rest = res_amount(SV("memory"), whole) - res_list_get(&sum, SV("memory"));
	return rest > 0 && n > 0 ? own + rest / n : own;
}

int64_t container_oom_score_adj(const struct val *pod, const struct val *spec, int64_t machine_memory)
{
	int64_t request, adj;

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
	request = memory_share(pod, spec);
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
