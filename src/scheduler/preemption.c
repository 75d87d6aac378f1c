/* DefaultPreemption: when no node can take a Pod, is there one where less important Pods could go?
 *
 * For each node that was refused for a reason that may pass: think all less important Pods away;
 * if the Pod then fits, think them back one by one, the most important first, and keep off only
 * those without which it does not fit. Of all such nodes the one is taken whose victims matter
 * least. Nothing is changed for good here: the caller deletes the victims through the API.
 *
 * PodDisruptionBudgets do not bind preemption, but those whose budget would be overdrawn are thought
 * back first, and a node with fewer such victims is the better one. */
#include "scheduler/framework.h"

#include "codec/val_index.h"
#include "object/selector.h"

#include <stdlib.h>

#define MIN_CANDIDATES 100

struct candidate {
	struct node_info *node;
	struct pod_info **victims; /* most important first */
	size_t n, overdrawn;	   /* victims beyond a budget */
	int64_t sum;		   /* of priorities, each made positive */
	struct sv start;	   /* when the earliest started of the most important ones; "" : not yet */
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

/* What a PodDisruptionBudget still allows. */
struct pdb_room {
	const struct obj *pdb;
	const struct selector *selector;
	struct val_index granted; /* its disruptedPods */
	int64_t allowed, left;	  /* left: while one node is looked at */
};

struct budgets {
	struct pdb_room *p;
	size_t n;
};

static void granted_drop(void *index)
{
	val_index_release(index);
}

static struct budgets read_budgets(struct cycle_state *cs)
{
	struct budgets b = { ARENA_ARRAY(cs->arena, struct pdb_room, cs->n_budgets), 0 };

	for (size_t i = 0; i < cs->n_budgets; i++) {
		const struct obj *o = cs->budgets[i];
		struct pdb_room *x = &b.p[b.n];
		const struct selector *s =
		    selector_from_label_selector(cs->arena, obj_get(o, F_spec, F_selector), NULL);

		if (!s || selector_empty(s))
			continue;
		*x = (struct pdb_room){ .pdb = o,
					.selector = s,
					.granted = val_index_of(obj_get(o, F_status, F_disruptedPods)),
					.allowed = val_get_int(obj_root(o), 0, F_status, F_disruptionsAllowed) };
		arena_defer(cs->arena, granted_drop, &x->granted);
		b.n++;
	}
	return b;
}

/* Takes one from every budget over the Pod, unless it was granted already. True: one had none left. */
static bool overdraws(struct budgets *b, const struct pod_info *p)
{
	bool over = false;

	for (size_t i = 0; i < b->n; i++) {
		struct pdb_room *x = &b->p[i];

		if (!sv_eq(obj_ns(x->pdb), obj_ns(p->obj)) || !val_len(obj_labels(p->obj)) ||
		    !selector_matches(x->selector, obj_labels(p->obj)) || val_index_get(&x->granted, obj_name(p->obj)))
			continue;
		over |= --x->left < 0;
	}
	return over;
}

/* The overdrawing ones to the front, both parts in their order. Returns how many. */
static size_t overdrawing_first(struct arena *a, struct budgets *b, struct pod_info **pods, size_t n)
{
	struct pod_info **rest;
	size_t n_over = 0, n_rest = 0;

	if (b->n == 0)
		return 0;
	rest = ARENA_ARRAY(a, struct pod_info *, n);
	for (size_t i = 0; i < b->n; i++)
		b->p[i].left = b->p[i].allowed;
	for (size_t i = 0; i < n; i++) {
		if (overdraws(b, pods[i]))
			pods[n_over++] = pods[i];
		else
			rest[n_rest++] = pods[i];
	}
	for (size_t i = 0; i < n_rest; i++)
		pods[n_over + i] = rest[i];
	return n_over;
}

/* False: it would not fit even so, with the reasons in dry->why. */
static bool try_candidate(struct cycle_state *dry, struct node_info *n, struct budgets *b, struct candidate *ret)
{
	struct pod_info **lower = ARENA_ARRAY(dry->arena, struct pod_info *, n->n_pods);
	size_t n_lower = 0, n_over;
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
	n_over = overdrawing_first(dry->arena, b, lower, n_lower);
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
		ret->overdrawn += i < n_over;
	}
	if (ret->overdrawn && ret->overdrawn < ret->n)
		qsort(ret->victims, ret->n, sizeof(struct pod_info *), more_important_first);
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

	if (a->overdrawn != b->overdrawn)
		return a->overdrawn < b->overdrawn;
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
	struct budgets budgets;
	size_t n, max, found = 0, first;

	*ret = (struct preemption){ 0 };
	nodes = cache_order(cs->cache, &n);
	if (n == 0)
		return false;
	if (why) {
		ret->message = arena_svf(cs->arena, "preemption: %s", why);
		return false;
	}
	budgets = read_budgets(cs);
	*dry = *cs;
	dry->n_reasons = 0;
	dry->no_node_because = SV_NULL;
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
		if (!try_candidate(dry, node, &budgets, &c)) {
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
