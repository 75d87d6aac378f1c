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
		if (host_ports_taken(&n->ports, &s->ports[i])) {
			cycle_why(cs, "node(s) didn't have free ports for the requested pod ports");
			return SCHED_UNSCHEDULABLE;
		}
	return SCHED_OK;
}

static bool node_ports_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	_cleanup_(host_ports_release) struct host_ports gone = { 0 };

	(void)c;
	if (!(change->what & EV_POD_DELETE))
		return true;
	for (size_t i = 0; p->shape->n_ports && i < change->pod->shape->n_ports; i++)
		host_ports_add(&gone, &change->pod->shape->ports[i]);
	for (size_t i = 0; i < p->shape->n_ports; i++)
		if (host_ports_taken(&gone, &p->shape->ports[i]))
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
