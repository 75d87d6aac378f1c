/* NodeAffinity: nodeSelector, and required and preferred node affinity. */
#include "scheduler/plugins/plugins.h"

static enum sched_outcome node_affinity_prefilter(struct cycle_state *cs)
{
	const struct pod_shape *s = cs->shape;

	if (!s->nodes.required)
		return SCHED_SKIP;
	if (s->nodes.only_node.n) {
		/* A DaemonSet's Pod: do not look at a thousand other nodes. */
		cs->only = cache_node(cs->cache, s->nodes.only_node);
		cs->only_by = 1u << PLUGIN_NODE_AFFINITY;
		if (!cs->only) {
			size_t n;

			cs->none = true;
			cs->rejected_by |= 1u << PLUGIN_NODE_AFFINITY;
			cache_order(cs->cache, &n);
			cs->n_why = 0;
			cycle_why(cs, "node(s) didn't match Pod's node affinity/selector");
			cycle_count_reasons(cs, (uint32_t)n);
			memset(cs->outcome, SCHED_UNRESOLVABLE, cs->cache->slots.n);
		}
	}
	return SCHED_OK;
}

static enum sched_outcome node_affinity_filter(struct cycle_state *cs, const struct node_info *n)
{
	if (node_want_matches(&cs->shape->nodes, n->labels, sv_from(n->name)))
		return SCHED_OK;
	cycle_why(cs, "node(s) didn't match Pod's node affinity/selector");
	return SCHED_UNRESOLVABLE;
}

static enum sched_outcome node_affinity_prescore(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	(void)nodes;
	(void)n;
	return cs->shape->nodes.n_preferred ? SCHED_OK : SCHED_SKIP;
}

static int64_t node_affinity_score(struct cycle_state *cs, const struct node_info *n)
{
	const struct pod_shape *s = cs->shape;
	int64_t sum = 0;

	for (size_t i = 0; i < s->nodes.n_preferred; i++) {
		const struct node_term *t = &s->nodes.preferred[i];

		if (node_reqs_match(t->reqs, t->n, n->labels, sv_from(n->name)))
			sum += t->weight;
	}
	return sum;
}

static void node_affinity_normalize(struct cycle_state *cs, struct node_info *const *nodes, int64_t *scores, size_t n)
{
	(void)cs;
	(void)nodes;
	normalize_to_max(scores, n, false);
}

static bool node_affinity_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	(void)c;
	return node_want_matches(&p->shape->nodes, change->node->labels, sv_from(change->node->name));
}

const struct plugin plugin_node_affinity = {
	.name = "NodeAffinity",
	.events = EV_NODE_ADD | EV_NODE_LABELS,
	.weight = 2,
	.hint = node_affinity_hint,
	.prefilter = node_affinity_prefilter,
	.filter = node_affinity_filter,
	.prescore = node_affinity_prescore,
	.score = node_affinity_score,
	.normalize = node_affinity_normalize,
};
