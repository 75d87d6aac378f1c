/* NodeResourcesFit: what a Pod requests must be left on the node; the emptier the node then is,
 * the better (strategy LeastAllocated). */
#include "scheduler/plugins/plugins.h"

static enum sched_outcome fit_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct resvec *req = &cs->shape->req;
	enum sched_outcome r = SCHED_OK;

	if ((int64_t)n->n_pods + 1 > n->allowed_pods) {
		cycle_why(cs, "Too many pods");
		r = SCHED_UNSCHEDULABLE;
	}
	for (uint32_t i = 0; i < req->n; i++) {
		int64_t have;

		if (req->v[i] == 0)
			continue;
		have = resvec_get(&n->allocatable, i);
		if (req->v[i] <= have - resvec_get(&n->requested, i))
			continue;
		cycle_why(cs, cs->cache->insufficient.p[i]);
		/* More than the whole node: no Pod going away would help. */
		if (req->v[i] > have)
			r = SCHED_UNRESOLVABLE;
		else if (r == SCHED_OK)
			r = SCHED_UNSCHEDULABLE;
	}
	return r;
}

static int64_t free_percent(int64_t allocatable, int64_t used)
{
	return used > allocatable || allocatable == 0 ? 0 : (allocatable - used) * NODE_SCORE_MAX / allocatable;
}

static int64_t fit_score(struct cycle_state *cs, const struct node_info *n)
{
	int64_t sum = 0, weights = 0;

	for (uint32_t i = RES_CPU; i <= RES_MEMORY; i++) {
		int64_t have = resvec_get(&n->allocatable, i);

		if (have == 0)
			continue;
		sum += free_percent(have, n->nonzero[i] + cs->shape->nonzero[i]);
		weights++;
	}
	return weights ? sum / weights : 0;
}

static bool fit_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	const struct resvec *req = &p->shape->req;

	(void)c;
	/* A Pod that went away made room, if only in the number of Pods. */
	if (change->what & (EV_POD_DELETE | EV_POD_UPDATE))
		return true;
	for (uint32_t i = 0; i < req->n; i++)
		if (req->v[i] > resvec_get(&change->node->allocatable, i))
			return false;
	return change->node->allowed_pods > 0;
}

const struct plugin plugin_node_resources_fit = {
	.name = "NodeResourcesFit",
	.events = EV_POD_DELETE | EV_POD_UPDATE | EV_NODE_ADD | EV_NODE_ALLOCATABLE,
	.weight = 1,
	.hint = fit_hint,
	.filter = fit_filter,
	.score = fit_score,
};
