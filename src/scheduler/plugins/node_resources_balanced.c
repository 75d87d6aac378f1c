/* NodeResourcesBalancedAllocation: prefers nodes whose cpu and memory would be used to similar
 * fractions, so that neither is left over without the other. */
#include "scheduler/plugins/plugins.h"

static enum sched_outcome balanced_prescore(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	(void)nodes;
	(void)n;
	/* A Pod that requests nothing changes no balance. */
	return resvec_get(&cs->shape->req, RES_CPU) || resvec_get(&cs->shape->req, RES_MEMORY) ? SCHED_OK : SCHED_SKIP;
}

static int64_t balanced_score(struct cycle_state *cs, const struct node_info *n)
{
	double fraction[2] = { 0, 0 }, deviation = 0;
	unsigned k = 0;

	for (uint32_t i = RES_CPU; i <= RES_MEMORY; i++) {
		int64_t have = resvec_get(&n->allocatable, i);
		int64_t used = resvec_get(&n->requested, i) + resvec_get(&cs->shape->req, i);

		if (have)
			fraction[k++] = used >= have ? 1 : (double)used / (double)have;
	}
	/* The standard deviation of two numbers is half their distance. */
	if (k == 2)
		deviation = (fraction[0] > fraction[1] ? fraction[0] - fraction[1] : fraction[1] - fraction[0]) / 2;
	return (int64_t)((1 - deviation) * NODE_SCORE_MAX);
}

const struct plugin plugin_node_resources_balanced = {
	.name = "NodeResourcesBalancedAllocation",
	.weight = 1,
	.prescore = balanced_prescore,
	.score = balanced_score,
};
