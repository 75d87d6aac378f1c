/* Resources of a running container changed through pods/resize (KEP-1287): its limits follow without a restart,
 * unless its resizePolicy asks for one. What the node could never give stays as it was and is told in the pod's
 * conditions. Not looked at: whether the other pods of the node leave room for it. */
#include "kubelet/pod_resize.h"

#include "base/log.h"
#include "kubelet/cgroups.h"
#include "kubelet/field_ref.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_env.h"
#include "kubelet/pod_source.h"
#include "kubelet/pod_spec.h"

#include <stdlib.h>
#include <unistd.h>

#define RETRY_NS (10 * NS_PER_SEC)
#define PERIOD_US 100000

void container_resources(const struct val *pod, const struct val *spec, struct rt_container_config *c)
{
	int64_t request = container_cpu_milli(spec, F_requests), limit = container_limit(pod, spec, SV("cpu"));

	c->cpu_shares = cgroup_cpu_shares(request ? request : limit);
	c->cpu_period = PERIOD_US;
	c->cpu_quota = cgroup_cpu_quota(limit, c->cpu_period);
	c->memory_limit_bytes = container_limit(pod, spec, SV("memory"));
	c->oom_score_adj = container_oom_score_adj(pod, spec, (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
}

static struct cont_limits resize_wanted(const struct val *pod, const struct val *spec)
{
	struct rt_container_config c = { 0 };

	container_resources(pod, spec, &c);
	return (struct cont_limits){ true, c.cpu_shares, c.cpu_quota, c.memory_limit_bytes };
}

static bool resize_same(const struct cont_limits *x, const struct cont_limits *y)
{
	return x->cpu_shares == y->cpu_shares && x->cpu_quota == y->cpu_quota && x->memory_bytes == y->memory_bytes;
}

/* Its cgroup's, without what the class adds. */
void pod_room(const struct val *pod, struct rt_sandbox_config *c)
{
	const struct val *overhead = val_get(pod, F_spec, F_overhead);
	int64_t cpu = res_amount(SV("cpu"), val_member_sv(overhead, SV("cpu")));
	int64_t memory = res_amount(SV("memory"), val_member_sv(overhead, SV("memory")));
	struct cgroup_limits l;

	pod_cgroup_limits(pod, &l);
	c->room = (struct rt_room){
		.cpu_period = PERIOD_US,
		.cpu_quota = cgroup_cpu_quota(l.cpu_milli_limit > 0 ? l.cpu_milli_limit - cpu : 0, PERIOD_US),
		.cpu_shares = cgroup_cpu_shares(l.cpu_milli_request - cpu),
		.memory_limit_bytes = l.memory_limit_bytes > 0 ? l.memory_limit_bytes - memory : 0,
	};
	if (!val_len(overhead))
		return;
	c->overhead = (struct rt_room){ .cpu_period = PERIOD_US,
					.cpu_quota = cgroup_cpu_quota(cpu, PERIOD_US),
					.cpu_shares = cgroup_cpu_shares(cpu),
					.memory_limit_bytes = memory };
}

void container_resources_given(const struct val *pod, const struct val *spec, struct kcont *c)
{
	c->limits = resize_wanted(pod, spec);
	c->resize_reason = NULL;
}

static void outstanding(struct kcont *c, const char *reason, const char *message)
{
	free(c->resize_message);
	c->resize_reason = reason;
	c->resize_message = xstrdup(message);
}

/* After a restart of the agent: the status says what the instance was given. */
static void resize_recall(const struct val *pod, const struct val *spec, struct kcont *c)
{
	const struct val *now = val_member(spec, F_resources);
	const struct val *given = val_member(pod_container_status(pod, val_get_str(spec, F_name)), F_resources);

	if (given && val_same(val_member(given, F_limits), val_member(now, F_limits)) &&
	    val_same(val_member(given, F_requests), val_member(now, F_requests)))
		c->limits = resize_wanted(pod, spec);
}

static bool asks_for_restart(const struct val *spec, const char *resource)
{
	VAL_EACH(val_member(spec, F_resizePolicy), r)
		if (val_is(val_member(r, F_resourceName), resource))
			return val_is(val_member(r, F_restartPolicy), "RestartContainer");
	return false;
}

/* More than the whole node has: no wait will help. */
static bool infeasible(struct kpod *p, struct arena *a, const struct val *pod, struct kcont *c)
{
	_cleanup_(res_list_release) struct res_list want = RES_LIST_INIT;
	int64_t cpu, memory;
	struct field_ref_node n;

	pod_field_node(p, a, pod, &n);
	pod_requests(val_member(pod, F_spec), RES_AS_WRITTEN, &want);
	cpu = res_list_get(&want, SV("cpu"));
	memory = res_list_get(&want, SV("memory"));
	if (cpu > n.cpu_milli)
		outstanding(
		    c, "Infeasible",
		    arena_printf(a, "Node didn't have enough capacity: cpu, requested: %" PRId64 ", capacity: %" PRId64,
				 cpu, n.cpu_milli));
	else if (memory > n.memory_bytes)
		outstanding(c, "Infeasible",
			    arena_printf(a,
					 "Node didn't have enough capacity: memory, requested: %" PRId64
					 ", capacity: %" PRId64,
					 memory, n.memory_bytes));
	else
		return false;
	return true;
}

bool container_resize_step(struct kpod *p, struct arena *a, const struct val *pod, const struct val *spec,
			   struct kcont *c, int64_t *wake_ns)
{
	struct cont_limits want = resize_wanted(pod, spec);
	struct rt_container_config config = { 0 };
	_cleanup_(err_release) struct err err = ERR_INIT;
	bool more_or_less_cpu, more_or_less_memory;

	if (!c->limits.known)
		resize_recall(pod, spec, c);
	if (c->limits.known && resize_same(&c->limits, &want)) {
		c->resize_reason = NULL;
		return false;
	}
	if (infeasible(p, a, pod, c))
		return false;
	more_or_less_cpu = c->limits.cpu_shares != want.cpu_shares || c->limits.cpu_quota != want.cpu_quota;
	more_or_less_memory = c->limits.memory_bytes != want.memory_bytes;
	if (c->limits.known && ((more_or_less_cpu && asks_for_restart(spec, "cpu")) ||
				(more_or_less_memory && asks_for_restart(spec, "memory"))))
		return true;
	container_resources(pod, spec, &config);
	/* The pod's own cgroup has the sum: raised before, lowered after, and what is refused now comes in the
	 * second try. */
	p->k->host->pod_cgroup(p->k, pod, true, NULL);
	if (p->k->rt->ops->update_resources(p->k->rt, sv_from(c->id), &config, &err) < 0) {
		outstanding(c, "Error", err_msg(&err));
		*wake_ns = MIN(*wake_ns, RETRY_NS);
		return false;
	}
	p->k->host->pod_cgroup(p->k, pod, true, NULL);
	c->limits = want;
	c->resize_reason = NULL;
	return false;
}

void pod_resize_step(struct kpod *p, const struct val *pod, int64_t *wake_ns)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct cgroup_limits want;

	pod_cgroup_limits(pod, &want);
	if (p->cgroup_given.known && !memcmp(&p->cgroup_given.limits, &want, sizeof(want)))
		return;
	if (p->cgroup_given.known && p->k->host->pod_cgroup(p->k, pod, true, &err) < 0) {
		log_warn(SYS, "the cgroup of a pod keeps its old limits, will be retried", "why", "%s/%s: %s", p->ns,
			 p->name, err_msg(&err));
		*wake_ns = MIN(*wake_ns, RETRY_NS);
		return;
	}
	p->cgroup_given.known = true;
	p->cgroup_given.limits = want;
}
