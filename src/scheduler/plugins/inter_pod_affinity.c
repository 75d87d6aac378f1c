/* InterPodAffinity: Pods that want to be near others, or apart from them, by topology domain.
 *
 * Three questions per node, each answered by one array lookup: do Pods I must be near run in the
 * node's domain; do Pods I must be apart from; does a Pod there insist on being apart from me? The
 * arrays are summed up once a cycle from the cache's counters, never from Pods. */
#include "scheduler/plugins/plugins.h"

#define HARD_AFFINITY_WEIGHT 1 /* an existing Pod's required affinity also draws, by this much */

struct field {
	uint32_t topo;
	int64_t *pods; /* by value id */
};

struct state {
	struct field *near, *apart; /* one for each term of the Pod */
	int64_t near_total;
	struct field *held; /* by topology key: Pods that must be apart from this one */
	size_t n_held;
	const struct standing **holding; /* whose counters were summed into held */
	size_t n_holding;
	struct field *scores;
	size_t n_scores;
};

static int64_t *domains(struct cycle_state *cs, uint32_t topo)
{
	return ARENA_ARRAY(cs->arena, int64_t, cs->cache->topo.p[topo].n_ids);
}

static struct field *pod_affinity_field_of(struct cycle_state *cs, struct field *fields, size_t *n, uint32_t topo)
{
	for (size_t i = 0; i < *n; i++)
		if (fields[i].topo == topo)
			return &fields[i];
	fields[*n] = (struct field){ topo, domains(cs, topo) };
	return &fields[(*n)++];
}

static struct census **censuses_of(struct cycle_state *cs, struct census **have, const struct terms *t)
{
	if (have || t->n == 0)
		return have;
	have = ARENA_ARRAY(&cs->pod->shape->arena, struct census *, t->n);
	for (size_t i = 0; i < t->n; i++)
		have[i] = census_get(cs->cache, &t->p[i].sel, 1, false);
	return have;
}

static struct census *census_of_all(struct cycle_state *cs, const struct terms *t)
{
	struct pod_sel *sels = ARENA_ARRAY(cs->arena, struct pod_sel, t->n);

	for (size_t i = 0; i < t->n; i++)
		sels[i] = t->p[i].sel;
	return census_get(cs->cache, sels, t->n, false);
}

static void sum_held(struct cycle_state *cs, struct state *st)
{
	const struct cache *c = cs->cache;

	st->held = ARENA_ARRAY(cs->arena, struct field, c->standing.n);
	st->holding = ARENA_ARRAY(cs->arena, const struct standing *, c->standing.n);
	for (size_t i = 0; i < c->standing.n; i++) {
		const struct standing *s = c->standing.p[i];

		if (s->kind != STANDING_APART || !pod_sel_matches(&s->sel, cs->shape->ns, cs->shape->labels))
			continue;
		st->holding[st->n_holding++] = s;
		counts_to_domains(c, &s->counts, s->topo, 1,
				  pod_affinity_field_of(cs, st->held, &st->n_held, s->topo)->pods);
	}
}

static enum sched_outcome pod_affinity_prefilter(struct cycle_state *cs)
{
	struct pod_shape *s = cs->pod->shape;
	struct state *st;

	if (s->near.n == 0 && s->apart.n == 0 && cs->cache->standing.n == 0)
		return SCHED_SKIP;
	st = cs->data[PLUGIN_INTER_POD_AFFINITY] = ARENA_NEW(cs->arena, struct state);
	sum_held(cs, st);
	if (s->near.n && !s->near_census)
		s->near_census = census_of_all(cs, &s->near);
	s->apart_census = censuses_of(cs, s->apart_census, &s->apart);
	st->near = ARENA_ARRAY(cs->arena, struct field, s->near.n);
	st->apart = ARENA_ARRAY(cs->arena, struct field, s->apart.n);
	for (size_t i = 0; i < s->near.n; i++) {
		struct field *f = &st->near[i];

		*f = (struct field){ s->near.p[i].topo, domains(cs, s->near.p[i].topo) };
		counts_to_domains(cs->cache, &s->near_census->counts, f->topo, 1, f->pods);
		for (uint32_t v = 0; v < cs->cache->topo.p[f->topo].n_ids; v++)
			st->near_total += f->pods[v];
	}
	for (size_t i = 0; i < s->apart.n; i++) {
		struct field *f = &st->apart[i];

		*f = (struct field){ s->apart.p[i].topo, domains(cs, s->apart.p[i].topo) };
		counts_to_domains(cs->cache, &s->apart_census[i]->counts, f->topo, 1, f->pods);
	}
	return s->near.n || s->apart.n || st->n_holding ? SCHED_OK : SCHED_SKIP;
}

/* Every term's domain must hold a matching Pod, unless there is none anywhere and the Pod matches
 * its own terms: the first of a group that wants to be together. */
static bool near_enough(const struct cycle_state *cs, const struct state *st, const struct node_info *n)
{
	bool present = true;

	for (size_t i = 0; i < cs->shape->near.n; i++) {
		uint32_t v = n->topo[st->near[i].topo];

		if (!v)
			return false;
		present = present && st->near[i].pods[v - 1] > 0;
	}
	return present || (st->near_total == 0 && cs->shape->near_self);
}

static bool occupied(const struct field *fields, size_t n_fields, const struct node_info *n)
{
	for (size_t i = 0; i < n_fields; i++) {
		uint32_t v = n->topo[fields[i].topo];

		if (v && fields[i].pods[v - 1] > 0)
			return true;
	}
	return false;
}

static enum sched_outcome pod_affinity_filter(struct cycle_state *cs, const struct node_info *n)
{
	const struct state *st = cs->data[PLUGIN_INTER_POD_AFFINITY];

	if (!near_enough(cs, st, n)) {
		cycle_why(cs, "node(s) didn't match pod affinity rules");
		return SCHED_UNRESOLVABLE;
	}
	if (occupied(st->apart, cs->shape->apart.n, n)) {
		cycle_why(cs, "node(s) didn't match pod anti-affinity rules");
		return SCHED_UNSCHEDULABLE;
	}
	if (occupied(st->held, st->n_held, n)) {
		cycle_why(cs, "node(s) didn't satisfy existing pods anti-affinity rules");
		return SCHED_UNSCHEDULABLE;
	}
	return SCHED_OK;
}

static bool matches_all(const struct terms *t, const struct pod_shape *s)
{
	for (size_t i = 0; i < t->n; i++)
		if (!pod_sel_matches(&t->p[i].sel, s->ns, s->labels))
			return false;
	return t->n > 0;
}

static void shift(struct field *f, const struct node_info *n, int64_t delta, int64_t *total)
{
	uint32_t v = n->topo[f->topo];

	if (!v)
		return;
	f->pods[v - 1] += delta;
	if (total)
		*total += delta;
}

static void pod_affinity_pod_moved(struct cycle_state *cs, const struct pod_info *other, const struct node_info *n,
				   int delta)
{
	struct state *st = cs->data[PLUGIN_INTER_POD_AFFINITY];
	const struct pod_shape *s = cs->shape, *o = other->shape;

	for (size_t i = 0; matches_all(&s->near, o) && i < s->near.n; i++)
		shift(&st->near[i], n, delta, &st->near_total);
	for (size_t i = 0; i < s->apart.n; i++)
		if (pod_sel_matches(&s->apart.p[i].sel, o->ns, o->labels))
			shift(&st->apart[i], n, delta, NULL);
	for (size_t k = 0; k < o->n_standing; k++)
		for (size_t i = 0; i < st->n_holding; i++)
			if (o->standing[k] == st->holding[i])
				shift(pod_affinity_field_of(cs, st->held, &st->n_held, st->holding[i]->topo), n, delta,
				      NULL);
}

/* --- scoring --- */

static enum sched_outcome pod_affinity_prescore(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	struct pod_shape *s = cs->pod->shape;
	struct cache *c = cs->cache;
	struct state *st = cs->data[PLUGIN_INTER_POD_AFFINITY];

	(void)nodes;
	(void)n;
	if (s->near_preferred.n == 0 && s->apart_preferred.n == 0 && c->standing.n == 0)
		return SCHED_SKIP;
	if (!st)
		st = cs->data[PLUGIN_INTER_POD_AFFINITY] = ARENA_NEW(cs->arena, struct state);
	st->scores = ARENA_ARRAY(cs->arena, struct field, s->near_preferred.n + s->apart_preferred.n + c->standing.n);
	s->near_preferred_census = censuses_of(cs, s->near_preferred_census, &s->near_preferred);
	s->apart_preferred_census = censuses_of(cs, s->apart_preferred_census, &s->apart_preferred);
	for (size_t i = 0; i < s->near_preferred.n; i++) {
		const struct affinity_term *t = &s->near_preferred.p[i];

		counts_to_domains(c, &s->near_preferred_census[i]->counts, t->topo, t->weight,
				  pod_affinity_field_of(cs, st->scores, &st->n_scores, t->topo)->pods);
	}
	for (size_t i = 0; i < s->apart_preferred.n; i++) {
		const struct affinity_term *t = &s->apart_preferred.p[i];

		counts_to_domains(c, &s->apart_preferred_census[i]->counts, t->topo, -(int64_t)t->weight,
				  pod_affinity_field_of(cs, st->scores, &st->n_scores, t->topo)->pods);
	}
	for (size_t i = 0; i < c->standing.n; i++) {
		const struct standing *x = c->standing.p[i];

		if (x->kind == STANDING_APART || x->counts.total == 0 || !pod_sel_matches(&x->sel, s->ns, s->labels))
			continue;
		counts_to_domains(c, &x->counts, x->topo, x->kind == STANDING_NEAR ? HARD_AFFINITY_WEIGHT : x->weight,
				  pod_affinity_field_of(cs, st->scores, &st->n_scores, x->topo)->pods);
	}
	return st->n_scores ? SCHED_OK : SCHED_SKIP;
}

static int64_t pod_affinity_score(struct cycle_state *cs, const struct node_info *n)
{
	const struct state *st = cs->data[PLUGIN_INTER_POD_AFFINITY];
	int64_t sum = 0;

	for (size_t i = 0; i < st->n_scores; i++) {
		uint32_t v = n->topo[st->scores[i].topo];

		if (v)
			sum += st->scores[i].pods[v - 1];
	}
	return sum;
}

static void pod_affinity_normalize(struct cycle_state *cs, struct node_info *const *nodes, int64_t *scores, size_t n)
{
	int64_t min = INT64_MAX, max = INT64_MIN;

	(void)cs;
	(void)nodes;
	for (size_t i = 0; i < n; i++) {
		min = MIN(min, scores[i]);
		max = MAX(max, scores[i]);
	}
	for (size_t i = 0; i < n; i++)
		scores[i] = max > min ? NODE_SCORE_MAX * (scores[i] - min) / (max - min) : 0;
}

static bool pod_affinity_hint(struct cache *c, const struct pod_info *p, const struct sched_change *change)
{
	const struct pod_shape *s = p->shape, *o;

	(void)c;
	if (!change->pod)
		return true;
	o = change->pod->shape;
	/* Someone to be near came. */
	if (change->what & (EV_POD_ADD | EV_POD_UPDATE))
		if (matches_all(&s->near, o))
			return true;
	if (change->what & EV_POD_UPDATE)
		return true; /* its labels may have changed away from what this one must be apart from */
	/* Someone to be apart from went, or someone who insisted on it. */
	if (change->what & EV_POD_DELETE) {
		for (size_t i = 0; i < s->apart.n; i++)
			if (pod_sel_matches(&s->apart.p[i].sel, o->ns, o->labels))
				return true;
		for (size_t i = 0; i < o->apart.n; i++)
			if (pod_sel_matches(&o->apart.p[i].sel, s->ns, s->labels))
				return true;
	}
	return false;
}

const struct plugin plugin_inter_pod_affinity = {
	.name = "InterPodAffinity",
	.events =
	    EV_POD_ADD | EV_POD_UPDATE | EV_POD_DELETE | EV_NODE_ADD | EV_NODE_DELETE | EV_NODE_LABELS | EV_NAMESPACE,
	.weight = 2,
	.hint = pod_affinity_hint,
	.prefilter = pod_affinity_prefilter,
	.filter = pod_affinity_filter,
	.pod_moved = pod_affinity_pod_moved,
	.prescore = pod_affinity_prescore,
	.score = pod_affinity_score,
	.normalize = pod_affinity_normalize,
};
