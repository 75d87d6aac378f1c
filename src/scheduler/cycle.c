/* The scheduling cycle: from one Pod to the node it goes to. Nothing here knows what a plugin
 * looks at, and nothing here talks to the API. */
#include "scheduler/framework.h"

#include <stdlib.h>

#define MIN_FEASIBLE 100 /* as upstream: fewer nodes than this are all looked at */
#define MIN_PERCENT 5

enum sched_outcome cycle_begin(struct cycle_state *cs, struct cache *c, struct pod_info *p, struct arena *a)
{
	*cs = (struct cycle_state){ .cache = c, .pod = p, .shape = p->shape, .arena = a };
	cs->outcome = arena_zalloc(a, c->slots.n + 1);
	for (int i = 0; i < _PLUGIN_MAX; i++) {
		const struct plugin *pl = plugin_table[i];
		enum sched_outcome r = pl->prefilter ? pl->prefilter(cs) : pl->filter ? SCHED_OK : SCHED_SKIP;

		if (r == SCHED_SKIP) {
			cs->skip_filter |= 1u << i;
		} else if (r != SCHED_OK) {
			cs->rejected_by |= 1u << i;
			return r;
		}
	}
	return SCHED_OK;
}

/* All filters on one node; reasons stay in cs->why, the plugin's bit is added to rejected_by. */
static enum sched_outcome cycle_filter(struct cycle_state *cs, const struct node_info *n)
{
	cs->n_why = 0;
	for (int i = 0; i < _PLUGIN_MAX; i++) {
		enum sched_outcome r;

		if (cs->skip_filter & (1u << i))
			continue;
		r = plugin_table[i]->filter(cs, n);
		if (r != SCHED_OK) {
			cs->rejected_by |= 1u << i;
			return r;
		}
	}
	return SCHED_OK;
}

void cycle_move_pod(struct cycle_state *cs, struct pod_info *other, struct node_info *n, int delta)
{
	if (delta > 0)
		cache_put(cs->cache, other, n);
	else
		cache_take(cs->cache, other);
	for (int i = 0; i < _PLUGIN_MAX; i++)
		if (plugin_table[i]->pod_moved && !(cs->skip_filter & (1u << i)))
			plugin_table[i]->pod_moved(cs, other, n, delta);
}

/* A Pod for which others were preempted has not been bound yet, and a more important one could
 * take the room. The node must do with the promised Pods there (room, anti-affinity) and also
 * without them (they may go elsewhere, so affinity must not count on them). */
enum sched_outcome cycle_filter_nominated(struct cycle_state *cs, struct node_info *n)
{
	VEC(struct pod_info *) put = VEC_INIT;
	enum sched_outcome r = SCHED_OK;

	for (size_t i = 0; i < n->nominated.n; i++) {
		struct pod_info *p = n->nominated.p[i];

		if (p != cs->pod && !p->node && p->shape->priority >= cs->shape->priority)
			vec_push(&put, p);
	}
	if (put.n) {
		VEC(enum pod_place) places = VEC_INIT;

		for (size_t i = 0; i < put.n; i++) {
			vec_push(&places, put.p[i]->place);
			cycle_move_pod(cs, put.p[i], n, 1);
		}
		r = cycle_filter(cs, n);
		while (put.n) {
			cycle_move_pod(cs, put.p[put.n - 1], n, -1);
			put.p[put.n - 1]->place = vec_pop(&places);
			put.n--;
		}
		vec_release(&places);
	}
	vec_release(&put);
	return r == SCHED_OK ? cycle_filter(cs, n) : r;
}

size_t cycle_enough(size_t n)
{
	size_t percent, enough;

	if (n < MIN_FEASIBLE)
		return n;
	percent = n / 125 >= 50 - MIN_PERCENT ? MIN_PERCENT : 50 - n / 125;
	enough = n * percent / 100;
	return MAX(enough, MIN_FEASIBLE);
}

static enum sched_outcome try_node(struct cycle_state *cs, struct node_info *n)
{
	enum sched_outcome r = n->nominated.n ? cycle_filter_nominated(cs, n) : cycle_filter(cs, n);

	cs->outcome[n->slot] = (uint8_t)r;
	return r;
}

/* splitmix64: one random number of the env makes as many as a cycle needs. */
static uint64_t next_chance(uint64_t *state)
{
	uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

/* The best of nodes (n > 0), ties broken by cs->chance. */
static struct node_info *cycle_best(struct cycle_state *cs, struct node_info *const *nodes, size_t n)
{
	int64_t *total, *scores;
	struct node_info *best = nodes[0];
	size_t best_at = 0, ties = 0;

	if (n == 1)
		return best;
	total = ARENA_ARRAY(cs->arena, int64_t, n);
	scores = ARENA_ARRAY(cs->arena, int64_t, n);
	for (int i = 0; i < _PLUGIN_MAX; i++) {
		const struct plugin *pl = plugin_table[i];

		if (!pl->score || (pl->prescore && pl->prescore(cs, nodes, n) == SCHED_SKIP))
			continue;
		for (size_t k = 0; k < n; k++)
			scores[k] = pl->score(cs, nodes[k]);
		if (pl->normalize)
			pl->normalize(cs, nodes, scores, n);
		for (size_t k = 0; k < n; k++)
			total[k] += scores[k] * pl->weight;
	}
	for (size_t k = 0; k < n; k++) {
		if (k && total[k] < total[best_at])
			continue;
		if (k == 0 || total[k] > total[best_at]) {
			best_at = k;
			ties = 1;
		} else if (next_chance(&cs->chance) % ++ties == 0) {
			best_at = k;
		}
	}
	return nodes[best_at];
}

struct node_info *cycle_find(struct cycle_state *cs, size_t *start)
{
	size_t n, enough, n_ok = 0, looked;
	struct node_info **order = cache_order(cs->cache, &n), **ok;
	struct node_info *promised;

	if (cs->none || n == 0)
		return NULL;
	/* The node that preemption made room on, if it does, before anything else. */
	if (cs->pod->nominated.n && (promised = cache_node(cs->cache, cs->pod->nominated)) &&
	    try_node(cs, promised) == SCHED_OK)
		return promised;
	if (cs->only) {
		struct node_info *only = cs->cache->slots.p[cs->only->slot];

		if (try_node(cs, only) == SCHED_OK)
			return only;
		cycle_count_reasons(cs, 1);
		if (n > 1) {
			/* The others were not looked at, and no Pod going away would change that. */
			memset(cs->outcome, SCHED_UNRESOLVABLE, cs->cache->slots.n);
			cs->outcome[only->slot] = SCHED_UNSCHEDULABLE;
			for (int i = 0; i < _PLUGIN_MAX; i++)
				if (cs->only_by & (1u << i))
					cycle_count_reason(cs,
							   arena_printf(cs->arena,
									"node(s) didn't satisfy plugin(s) [%s]",
									plugin_table[i]->name),
							   (uint32_t)(n - 1));
		}
		return NULL;
	}
	enough = cycle_enough(n);
	ok = ARENA_ARRAY(cs->arena, struct node_info *, enough);
	*start %= n;
	for (looked = 0; looked < n && n_ok < enough; looked++) {
		struct node_info *at = order[(*start + looked) % n];

		if (try_node(cs, at) == SCHED_OK)
			ok[n_ok++] = at;
		else
			cycle_count_reasons(cs, 1);
	}
	*start = (*start + looked) % n;
	if (n_ok && cs->env)
		cs->score_from_ns = env_mono_ns(cs->env);
	return n_ok == 0 ? NULL : cycle_best(cs, ok, n_ok);
}
