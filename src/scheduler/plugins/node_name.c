/* NodeName: a Pod that names its node goes nowhere else. Such Pods are assigned already and do
 * not come by here, except as a question ("would it fit?"). */
#include "scheduler/plugins/plugins.h"

static struct sv node_name_wanted(const struct pod_info *p)
{
	return val_str(obj_get(p->obj, F_spec, F_nodeName));
}

static enum sched_outcome node_name_prefilter(struct cycle_state *cs)
{
	return node_name_wanted(cs->pod).n ? SCHED_OK : SCHED_SKIP;
}

static enum sched_outcome node_name_filter(struct cycle_state *cs, const struct node_info *n)
{
	if (sv_is(node_name_wanted(cs->pod), n->name))
		return SCHED_OK;
	cycle_why(cs, "node(s) didn't match the requested node name");
	return SCHED_UNRESOLVABLE;
}

const struct plugin plugin_node_name = {
	.name = "NodeName",
	.events = EV_NODE_ADD,
	.prefilter = node_name_prefilter,
	.filter = node_name_filter,
};
