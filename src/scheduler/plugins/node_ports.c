/* NodePorts: two Pods cannot have one host port of one address and protocol, nor a Pod one that a load balancer has. */
#include "scheduler/plugins/plugins.h"

struct node_ports_state {
	struct ip_addr *taken; /* addresses at which load balancers have one of the ports */
	size_t n_taken;
};

static enum sched_outcome node_ports_prefilter(struct cycle_state *cs)
{
	struct node_ports_state *st;

	if (!cs->shape->n_ports)
		return SCHED_SKIP;
	st = ARENA_NEW(cs->arena, struct node_ports_state);
	st->n_taken =
	    balancers_addresses(&cs->cache->balancers, cs->arena, cs->shape->ports, cs->shape->n_ports, &st->taken);
	cs->data[PLUGIN_NODE_PORTS] = st;
	return SCHED_OK;
}

static enum sched_outcome node_ports_filter(struct cycle_state *cs, const struct node_info *n)
{
	static const char why[] = "node(s) didn't have free ports for the requested pod ports";
	const struct node_ports_state *st = cs->data[PLUGIN_NODE_PORTS];
	const struct pod_shape *s = cs->shape;

	/* No Pod that goes frees it. */
	if (balancers_on_node(n->obj, st->taken, st->n_taken)) {
		cycle_why(cs, why);
		return SCHED_UNRESOLVABLE;
	}
	for (size_t i = 0; i < s->n_ports; i++)
		if (host_ports_taken(&n->ports, &s->ports[i])) {
			cycle_why(cs, why);
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
	.events = EV_POD_DELETE | EV_NODE_ADD | EV_BALANCER,
	.hint = node_ports_hint,
	.prefilter = node_ports_prefilter,
	.filter = node_ports_filter,
};
