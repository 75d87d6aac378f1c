/* PodTopologySpread: hard constraints (DoNotSchedule) filter, soft ones (ScheduleAnyway) score.
 * A Pod without constraints that has a controller gets upstream's system defaults: soft spreading
 * of the controller's Pods over nodes (skew 3) and zones (skew 5).
 *
 * A domain is one value of a constraint's node label. A hard constraint lets a node be chosen when
 * its domain, with this Pod in it, would hold at most maxSkew Pods more than the emptiest domain. */
#include "scheduler/plugins/plugins.h"

#include <math.h>

#define WHY "node(s) didn't match pod topology spread constraints"
#define WHY_LABEL "node(s) didn't match pod topology spread constraints (missing required label)"

struct hard {
	const struct spread *c;
	int64_t *pods;	 /* by value id: matching Pods in the domain */
	uint32_t *nodes; /* by value id: nodes that count; 0: no domain */
	uint32_t n_ids, n_domains;
	int64_t min;
};

struct soft {
	uint32_t topo;
	int32_t max_skew;
	double weight;
	const struct counts *counts;
	const struct spread *c; /* NULL: a default one */
	int64_t *pods;		/* by value id; NULL: counted node by node (hostname) */
};

struct state {
	struct hard *hard;
	size_t n_hard;
	struct soft *soft;
	size_t n_soft;
	bool need_all; /* nodes that lack a label get no score */
};

static struct state *spread_state_of(struct cycle_state *cs)
{
	struct state *st = cs->data[PLUGIN_POD_TOPOLOGY_SPREAD];

	if (!st)
		st = cs->data[PLUGIN_POD_TOPOLOGY_SPREAD] = ARENA_NEW(cs->arena, struct state);
	return st;
}

static const struct counts *census_of(struct cycle_state *cs, struct spread *c)
{
	if (!c->census)
		c->census = census_get(cs->cache, &c->sel, 1, true);
	return &c->census->counts;
}

/* Does this node take part in counting (nodeAffinityPolicy, nodeTaintsPolicy)? */
static bool node_counts(const struct cycle_state *cs, const struct spread *c, const struct node_info *n)
{
	if ((!c || c->honor_affinity) && !node_want_matches(&cs->shape->nodes, n->labels, sv_from(n->name)))
		return false;
	return !c || !c->honor_taints || !untolerated_taint(cs->shape, n);
}

static void find_min(struct hard *h)
{
	int64_t min = INT64_MAX;

	for (uint32_t v = 0; v < h->n_ids; v++)
		if (h->nodes[v])
			min = MIN(min, h->pods[v]);
	h->min = h->n_domains < (uint32_t)h->c->min_domains ? 0 : min;
}

static bool has_all_hard(const struct state *st, const struct node_info *n)
{
	for (size_t i = 0; i < st->n_hard; i++)
		if (!n->topo[st->hard[i].c->topo])
			return false;
	return true;
}

static enum sched_outcome spread_prefilter(struct cycle_state *cs)
{
	const struct pod_shape *s = cs->shape;
	struct state *st;
	struct node_info **nodes;
	size_t n_hard = 0, n;

	for (size_t i = 0; i < s->n_spread; i++)
		n_hard += s->spread[i].hard;
	if (n_hard == 0)
		return SCHED_SKIP;
	st = spread_state_of(cs);
	st->hard = ARENA_ARRAY(cs->arena, struct hard, n_hard);
	for (size_t i = 0; i < s->n_spread; i++) {
		struct hard *h = &st->hard[st->n_hard];

		if (!s->spread[i].hard)
			continue;
		h->c = &s->spread[i];
		(void)census_of(cs, &s->spread[i]);
		h->n_ids = cs->cache->topo.p[h->c->topo].n_ids;
		h->pods = ARENA_ARRAY(cs->arena, int64_t, h->n_ids);
		h->nodes = ARENA_ARRAY(cs->arena, uint32_t, h->n_ids);
		st->n_hard++;
	}
	nodes = cache_order(cs->cache, &n);
	for (size_t k = 0; k < n; k++) {
		if (!has_all_hard(st, nodes[k]))
			continue;
		for (size_t i = 0; i < st->n_hard; i++) {
			struct hard *h = &st->hard[i];
			uint32_t v = nodes[k]->topo[h->c->topo] - 1;

			if (!node_counts(cs, h->c, nodes[k]))
				continue;
			h->n_domains += h->nodes[v]++ == 0;
			h->pods[v] += counts_get(&h->c->census->counts, nodes[k]->slot);
		}
	}
	for (size_t i = 0; i < st->n_hard; i++)
		find_min(&st->hard[i]);
	return SCHED_OK;
}

static enum sched_outcome spread_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct state *st = cs->data[PLUGIN_POD_TOPOLOGY_SPREAD];

	for (size_t i = 0; i < st->n_hard; i++) {
		const struct hard *h = &st->hard[i];
		uint32_t v = n->topo[h->c->topo];

		if (!v) {
			cycle_why(cs, WHY_LABEL);
			return SCHED_UNRESOLVABLE;
		}
		/* No domain at all: nothing to be uneven with. */
		if (h->n_domains && h->pods[v - 1] + h->c->self - h->min > h->c->max_skew) {
			cycle_why(cs, WHY);
			return SCHED_UNSCHEDULABLE;
		}
	}
	return SCHED_OK;
}

static void spread_pod_moved(struct cycle_state *cs, const struct pod_info *other, const struct node_info *n, int delta)
{
	struct state *st = cs->data[PLUGIN_POD_TOPOLOGY_SPREAD];

	if (other->deleting || !has_all_hard(st, n))
		return;
	for (size_t i = 0; i < st->n_hard; i++) {
		struct hard *h = &st->hard[i];

		if (!pod_sel_matches(&h->c->sel, other->shape->ns, other->shape->labels) || !node_counts(cs, h->c, n))
			continue;
		h->pods[n->topo[h->c->topo] - 1] += delta;
		find_min(h);
	}
}

/* --- scoring --- */

static bool choose_soft(struct cycle_state *cs, struct state *st)
{
	struct pod_shape *s = cs->pod->shape;
	const uint32_t topo[2] = { cs->cache->topo_hostname, cs->cache->topo_zone };
	const int32_t skew[2] = { 3, 5 };

	st->need_all = s->n_spread > 0;
	st->soft = ARENA_ARRAY(cs->arena, struct soft, s->n_spread + 2);
	for (size_t i = 0; i < s->n_spread; i++) {
		struct spread *c = &s->spread[i];

		if (!c->hard)
			st->soft[st->n_soft++] = (struct soft){
				.topo = c->topo, .max_skew = c->max_skew, .counts = census_of(cs, c), .c = c
			};
	}
	if (s->n_spread == 0 && s->owner.n) {
		if (!s->owner_census)
			s->owner_census = census_of_owner(cs->cache, s);
		for (int i = 0; i < 2; i++)
			st->soft[st->n_soft++] =
			    (struct soft){ .topo = topo[i], .max_skew = skew[i], .counts = &s->owner_census->counts };
	}
	return st->n_soft > 0;
}

static bool has_all_soft(const struct state *st, const struct node_info *n)
{
	for (size_t i = 0; i < st->n_soft; i++)
		if (!n->topo[st->soft[i].topo])
			return false;
	return true;
}

/* How many domains the candidates stand in: more domains, more weight for an even spread. */
static size_t count_domains(struct cycle_state *cs, const struct state *st, const struct soft *f,
			    struct node_info *const *nodes, size_t n)
{
	bool *seen = f->pods ? ARENA_ARRAY(cs->arena, bool, cs->cache->topo.p[f->topo].n_ids) : NULL;
	size_t domains = 0;

	for (size_t k = 0; k < n; k++) {
		uint32_t v = nodes[k]->topo[f->topo];

		if (st->need_all && !has_all_soft(st, nodes[k]))
			continue;
		if (!seen) {
			domains++;
		} else if (v && !seen[v - 1]) {
			seen[v - 1] = true;
			domains++;
		}
	}
	return domains;
}

static void count_pods(struct cycle_state *cs, const struct state *st, struct soft *f)
{
	size_t n;
	struct node_info **nodes;

	if (!st->need_all && !cs->shape->nodes.required) {
		counts_to_domains(cs->cache, f->counts, f->topo, 1, f->pods);
		return;
	}
	nodes = cache_order(cs->cache, &n);
	for (size_t k = 0; k < n; k++) {
		uint32_t v = nodes[k]->topo[f->topo];

		if (v && (!st->need_all || has_all_soft(st, nodes[k])) && node_counts(cs, f->c, nodes[k]))
			f->pods[v - 1] += counts_get(f->counts, nodes[k]->slot);
	}
}

static enum sched_outcome spread_prescore(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	struct state *st = spread_state_of(cs);

	if (!choose_soft(cs, st))
		return SCHED_SKIP;
	for (size_t i = 0; i < st->n_soft; i++) {
		struct soft *f = &st->soft[i];

		if (f->topo != cs->cache->topo_hostname) {
			f->pods = ARENA_ARRAY(cs->arena, int64_t, cs->cache->topo.p[f->topo].n_ids);
			count_pods(cs, st, f);
		}
		f->weight = log((double)count_domains(cs, st, f, nodes, n) + 2);
	}
	return SCHED_OK;
}

static int64_t spread_score(struct cycle_state *cs, const struct node_info *n)
{
	const struct state *st = cs->data[PLUGIN_POD_TOPOLOGY_SPREAD];
	double sum = 0;

	if (st->need_all && !has_all_soft(st, n))
		return -1; /* normalize makes it 0 */
	for (size_t i = 0; i < st->n_soft; i++) {
		const struct soft *f = &st->soft[i];
		uint32_t v = n->topo[f->topo];
		double pods;

		if (!v)
			continue;
		pods = f->pods ? (double)f->pods[v - 1] : (double)counts_get(f->counts, n->slot);
		sum += pods * f->weight + (double)(f->max_skew - 1);
	}
	return (int64_t)(sum + 0.5);
}

static void spread_normalize(struct cycle_state *cs, struct node_info *const *nodes, int64_t *scores, size_t n)
{
	int64_t min = INT64_MAX, max = 0;

	(void)cs;
	(void)nodes;
	for (size_t i = 0; i < n; i++)
		if (scores[i] >= 0) {
			min = MIN(min, scores[i]);
			max = MAX(max, scores[i]);
		}
	for (size_t i = 0; i < n; i++)
		scores[i] = scores[i] < 0 ? 0
			    : max == 0	  ? NODE_SCORE_MAX
					  : NODE_SCORE_MAX * (max + min - scores[i]) / max;
}

static bool spread_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	(void)c;
	if (change->what & (EV_POD_ADD | EV_POD_UPDATE | EV_POD_DELETE)) {
		const struct pod_shape *s = change->pod->shape;

		for (size_t i = 0; i < p->shape->n_spread; i++)
			if (p->shape->spread[i].hard && pod_sel_matches(&p->shape->spread[i].sel, s->ns, s->labels))
				return true;
		/* Its labels may have changed away from what is counted. */
		return change->what & EV_POD_UPDATE;
	}
	return true;
}

const struct plugin plugin_pod_topology_spread = {
	.name = "PodTopologySpread",
	.events =
	    EV_POD_ADD | EV_POD_UPDATE | EV_POD_DELETE | EV_NODE_ADD | EV_NODE_DELETE | EV_NODE_LABELS | EV_NODE_TAINTS,
	.weight = 2,
	.hint = spread_hint,
	.prefilter = spread_prefilter,
	.filter = spread_filter,
	.pod_moved = spread_pod_moved,
	.prescore = spread_prescore,
	.score = spread_score,
	.normalize = spread_normalize,
};
