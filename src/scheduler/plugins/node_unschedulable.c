/* NodeUnschedulable: cordoned nodes take only Pods that tolerate it (DaemonSets' do). */
#include "scheduler/plugins/plugins.h"

static bool tolerates(const struct pod_shape *s)
{
	for (size_t i = 0; i < s->n_tolerations; i++)
		if (toleration_covers(&s->tolerations[i], SV("node.kubernetes.io/unschedulable"), SV(""),
				      SV("NoSchedule")))
			return true;
	return false;
}

static enum sched_outcome unschedulable_filter(struct cycle_state *cs, const struct node_info *n)
{
	if (!n->unschedulable || tolerates(cs->shape))
		return SCHED_OK;
	cycle_why(cs, "node(s) were unschedulable");
	return SCHED_UNRESOLVABLE;
}

static bool unschedulable_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	(void)c;
	return !change->node->unschedulable || tolerates(p->shape);
}

const struct plugin plugin_node_unschedulable = {
	.name = "NodeUnschedulable",
	.events = EV_NODE_ADD | EV_NODE_TAINTS,
	.hint = unschedulable_hint,
	.filter = unschedulable_filter,
};
