/* NodeDeclaredFeatures: what the Pod needs of the program that runs it, its node declares. */
#include "pod/node_features.h"
#include "scheduler/plugins/plugins.h"

/* Why by what is missing, which is some of what is needed: made before the first node is asked. */
struct features_state {
	unsigned need;
	const char *why[];
};

static enum sched_outcome features_prefilter(struct cycle_state *cs)
{
	unsigned need = pod_features_needed(obj_get(cs->pod->obj, F_spec));
	struct features_state *s;

	if (!need)
		return SCHED_SKIP;
	s = arena_zalloc(cs->arena, sizeof(*s) + (need + 1) * sizeof(s->why[0]));
	s->need = need;
	for (unsigned some = need; some; some = (some - 1) & need) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		buf_adds(&b, "node declared features check failed - unsatisfied requirements: ");
		node_features_text(some, &b);
		s->why[some] = arena_cstr(cs->arena, buf_sv(&b));
	}
	cs->data[PLUGIN_NODE_DECLARED_FEATURES] = s;
	return SCHED_OK;
}

static enum sched_outcome features_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct features_state *s = cs->data[PLUGIN_NODE_DECLARED_FEATURES];
	unsigned missing = s->need & ~n->features;

	if (!missing)
		return SCHED_OK;
	cycle_why(cs, s->why[missing]);
	return SCHED_UNRESOLVABLE;
}

static bool features_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	(void)c;
	return !(pod_features_needed(obj_get(p->obj, F_spec)) & ~change->node->features);
}

const struct plugin plugin_node_declared_features = {
	.name = "NodeDeclaredFeatures",
	.events = EV_NODE_ADD | EV_NODE_FEATURES,
	.hint = features_hint,
	.prefilter = features_prefilter,
	.filter = features_filter,
};
