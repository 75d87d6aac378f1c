/* NodePorts: two Pods cannot have one host port of one address and protocol. */
#include "scheduler/plugins/plugins.h"

static enum sched_outcome node_ports_prefilter(struct cycle_state *cs)
{
	return cs->shape->n_ports ? SCHED_OK : SCHED_SKIP;
}

static enum sched_outcome node_ports_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct pod_shape *s = cs->shape;

	for (size_t i = 0; i < s->n_ports; i++)
		for (size_t k = 0; k < n->ports.n; k++)
			if (host_ports_clash(&s->ports[i], &n->ports.p[k].port)) {
				cycle_why(cs, "node(s) didn't have free ports for the requested pod ports");
				return SCHED_UNSCHEDULABLE;
			}
	return SCHED_OK;
}

static bool node_ports_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	const struct pod_shape *gone;

	(void)c;
	if (!(change->what & EV_POD_DELETE))
		return true;
	gone = change->pod->shape;
	for (size_t i = 0; i < p->shape->n_ports; i++)
		for (size_t k = 0; k < gone->n_ports; k++)
			if (host_ports_clash(&p->shape->ports[i], &gone->ports[k]))
				return true;
	return false;
}

const struct plugin plugin_node_ports = {
	.name = "NodePorts",
	.events = EV_POD_DELETE | EV_NODE_ADD,
	.hint = node_ports_hint,
	.prefilter = node_ports_prefilter,
	.filter = node_ports_filter,
};
