/* TaintToleration: NoSchedule and NoExecute taints keep Pods off that do not tolerate them;
 * PreferNoSchedule ones make a node less liked. */
#include "scheduler/plugins/plugins.h"

static bool tolerated(const struct pod_shape *s, const struct taint *t)
{
	for (size_t i = 0; i < s->n_tolerations; i++)
		if (toleration_covers(&s->tolerations[i], t->key, t->value, t->effect))
			return true;
	return false;
}

const struct taint *untolerated_taint(const struct pod_shape *s, const struct node_info *n)
{
	for (size_t i = 0; i < n->n_hard_taints; i++)
		if (!tolerated(s, &n->taints[i]))
			return &n->taints[i];
	return NULL;
}

static enum sched_outcome taint_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct taint *t = n->n_hard_taints ? untolerated_taint(cs->shape, n) : NULL;

	if (!t)
		return SCHED_OK;
	cycle_why(cs, t->reason);
	return SCHED_UNRESOLVABLE;
}

static enum sched_outcome taint_prescore(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	(void)cs;
	for (size_t i = 0; i < n; i++)
		if (nodes[i]->n_taints > nodes[i]->n_hard_taints)
			return SCHED_OK;
	return SCHED_SKIP; /* the same score everywhere */
}

static int64_t taint_score(struct cycle_state *cs, const struct node_info *n)
{
	int64_t intolerable = 0;

	for (size_t i = n->n_hard_taints; i < n->n_taints; i++)
		intolerable += !tolerated(cs->shape, &n->taints[i]);
	return intolerable;
}

static void taint_normalize(struct cycle_state *cs, struct node_info *const *nodes, int64_t *scores, size_t n)
{
	(void)cs;
	(void)nodes;
	normalize_to_max(scores, n, true);
}

static bool taint_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	(void)c;
	return !untolerated_taint(p->shape, change->node);
}

const struct plugin plugin_taint_toleration = {
	.name = "TaintToleration",
	.events = EV_NODE_ADD | EV_NODE_TAINTS,
	.weight = 3,
	.hint = taint_hint,
	.filter = taint_filter,
	.prescore = taint_prescore,
	.score = taint_score,
	.normalize = taint_normalize,
};
