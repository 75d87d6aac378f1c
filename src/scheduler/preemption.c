/* DefaultPreemption: when no node can take a Pod, is there one where less important Pods could go?
 *
 * For each node that was refused for a reason that may pass: think all less important Pods away;
 * if the Pod then fits, think them back one by one, the most important first, and keep off only
 * those without which it does not fit. Of all such nodes the one is taken whose victims matter
 * least. Nothing is changed for good here: the caller deletes the victims through the API.
 *
 * PodDisruptionBudgets are not looked at: they do not bind preemption, upstream only prefers not
 * to violate them. */
#include "scheduler/framework.h"

#include <stdlib.h>

#define MIN_CANDIDATES 100

struct candidate {
	struct node_info *node;
	struct pod_info **victims; /* most important first */
	size_t n;
	int64_t sum;	 /* of priorities, each made positive */
	struct sv start; /* when the earliest started of the most important ones; "" : not yet */
};

static struct sv start_of(const struct pod_info *p)
{
	return val_str(obj_get(p->obj, F_status, F_startTime));
}

/* RFC 3339 in UTC compares as text; not started yet is the latest. */
static int start_cmp(struct sv a, struct sv b)
{
	if (a.n == 0 || b.n == 0)
		return (a.n == 0) - (b.n == 0);
	return sv_cmp(a, b);
}

static int more_important_first(const void *a, const void *b)
{
	const struct pod_info *x = *(struct pod_info *const *)a, *y = *(struct pod_info *const *)b;
	int c;

	if (x->shape->priority != y->shape->priority)
		return x->shape->priority > y->shape->priority ? -1 : 1;
	c = start_cmp(start_of(x), start_of(y));
	if (c == 0)
		c = sv_cmp(obj_ns(x->obj), obj_ns(y->obj));
	return c ? c : sv_cmp(obj_name(x->obj), obj_name(y->obj));
}

/* False: it would not fit even so, with the reasons in dry->why. */
static bool try_candidate(struct cycle_state *dry, struct node_info *n, struct candidate *ret)
{
	struct pod_info **lower = ARENA_ARRAY(dry->arena, struct pod_info *, n->n_pods);
	size_t n_lower = 0;
	bool fits;

	LIST_EACH(&n->pods, it) {
		struct pod_info *p = LIST_ENTRY(it, struct pod_info, on_node);

		if (p->shape->priority < dry->shape->priority)
			lower[n_lower++] = p;
	}
	dry->n_why = 0;
	if (n_lower == 0) {
		cycle_why(dry, "No preemption victims found for incoming pod");
		return false;
	}
	qsort(lower, n_lower, sizeof(struct pod_info *), more_important_first);
	for (size_t i = 0; i < n_lower; i++)
		cycle_move_pod(dry, lower[i], n, -1);
	fits = cycle_filter_nominated(dry, n) == SCHED_OK;
	*ret = (struct candidate){ .node = n, .victims = lower };
	for (size_t i = 0; i < n_lower; i++) {
		struct pod_info *p = lower[i];

		cycle_move_pod(dry, p, n, 1);
		if (!fits || cycle_filter_nominated(dry, n) == SCHED_OK)
			continue;
		cycle_move_pod(dry, p, n, -1);
		/* Victims gather at the front of the array that is being read further on. */
		ret->victims[ret->n++] = p;
	}
	for (size_t i = 0; i < ret->n; i++) {
		struct pod_info *p = ret->victims[i];

		cycle_move_pod(dry, p, n, 1);
		ret->sum += (int64_t)p->shape->priority + INT32_MAX + 1;
		if (p->shape->priority == ret->victims[0]->shape->priority &&
		    (i == 0 || start_cmp(start_of(p), ret->start) < 0))
			ret->start = start_of(p);
	}
	return fits;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
	int32_t x = a->n ? a->victims[0]->shape->priority : INT32_MIN;
	int32_t y = b->n ? b->victims[0]->shape->priority : INT32_MIN;

	if (x != y)
		return x < y;
	if (a->sum != b->sum)
		return a->sum < b->sum;
	if (a->n != b->n)
		return a->n < b->n;
	return start_cmp(a->start, b->start) > 0;
}

static const char *not_eligible(struct cycle_state *cs)
{
	const struct node_info *n;

	if (cs->shape->never_preempts)
		return "not eligible due to preemptionPolicy=Never.";
	if (!cs->pod->nominated.n || !(n = cache_node(cs->cache, cs->pod->nominated)) ||
	    cs->outcome[n->slot] == SCHED_UNRESOLVABLE)
		return NULL;
	LIST_EACH((struct list *)&n->pods, it) {
		const struct pod_info *p = LIST_ENTRY(it, struct pod_info, on_node);

		if (p->deleting && p->shape->priority < cs->shape->priority)
			return "not eligible due to a terminating pod on the nominated node.";
	}
	return NULL;
}

bool preemption_find(struct cycle_state *cs, struct preemption *ret)
{
	struct cycle_state *dry = arena_alloc(cs->arena, sizeof(*dry));
	const char *why = not_eligible(cs);
	struct candidate best = { 0 }, c;
	struct node_info **nodes;
	size_t n, max, found = 0, first;

	*ret = (struct preemption){ 0 };
	nodes = cache_order(cs->cache, &n);
	if (n == 0)
		return false;
	if (why) {
		ret->message = arena_svf(cs->arena, "preemption: %s", why);
		return false;
	}
	*dry = *cs;
	dry->n_reasons = 0;
	max = MAX(n / 10, MIN_CANDIDATES);
	first = (size_t)(cs->chance % n);
	for (size_t i = 0; i < n && found < max; i++) {
		struct node_info *node = nodes[(first + i) % n];

		if (cs->outcome[node->slot] != SCHED_UNSCHEDULABLE) {
			dry->n_why = 0;
			cycle_why(dry, "Preemption is not helpful for scheduling");
			cycle_count_reasons(dry, 1);
			continue;
		}
		if (!try_candidate(dry, node, &c)) {
			cycle_count_reasons(dry, 1);
			continue;
		}
		if (found++ == 0 || better(&c, &best))
			best = c;
	}
	if (found == 0) {
		ret->message = arena_svf(cs->arena, "preemption: %.*s", SV_ARG(cycle_message(dry)));
		return false;
	}
	ret->node = best.node;
	ret->victims = best.victims;
	ret->n = best.n;
	return true;
}
