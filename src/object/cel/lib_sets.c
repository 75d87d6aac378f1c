/* The extension of sets: lists as sets. Upstream compares each with each, and that is the price; here a comparison is
 * one of hashes first, so that long elements are gone over once. */
#include "object/cel/lib-internal.h"

struct sets_list {
	struct cel_value *items;
	uint64_t *hashes;
	size_t n;
};

static struct sets_list sets_read(struct arena *a, const struct cel_value *list)
{
	struct sets_list s = { .n = cel_count(list) };

	s.items = ARENA_ARRAY(a, struct cel_value, s.n);
	s.hashes = ARENA_ARRAY(a, uint64_t, s.n);
	for (size_t i = 0; i < s.n; i++) {
		s.items[i] = cel_at(a, list, i);
		s.hashes[i] = cel_hash(a, &s.items[i]);
	}
	return s;
}

static bool sets_has(struct arena *a, const struct sets_list *s, const struct cel_value *v, uint64_t hash)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->hashes[i] == hash && cel_equal(a, &s->items[i], v))
			return true;
	return false;
}

static bool sets_has_all(struct arena *a, const struct sets_list *s, const struct sets_list *of)
{
	for (size_t i = 0; i < of->n; i++)
		if (!sets_has(a, s, &of->items[i], of->hashes[i]))
			return false;
	return true;
}

static bool sets_meet(struct arena *a, const struct sets_list *x, const struct sets_list *y)
{
	for (size_t i = 0; i < y->n; i++)
		if (sets_has(a, x, &y->items[i], y->hashes[i]))
			return true;
	return false;
}

enum sets_what { SETS_CONTAINS, SETS_EQUIVALENT, SETS_INTERSECTS };

static uint64_t sets_price(const struct cel_value *args, enum sets_what what)
{
	uint64_t each = cel_mul_sat(cel_count(&args[0]), cel_count(&args[1]));

	return cel_add_sat(cel_mul_sat(each, what == SETS_EQUIVALENT ? 2 : 1), 1);
}

static int sets_compare(struct cel_call *c, const struct cel_value *args, enum sets_what what, struct cel_value *ret)
{
	struct arena *a = c->arena;
	struct sets_list x, y;

	if (cel_afford(c, sets_price(args, what)) < 0)
		return -1;
	x = sets_read(a, &args[0]);
	y = sets_read(a, &args[1]);
	*ret = cel_bool(what == SETS_INTERSECTS
			    ? sets_meet(a, &x, &y)
			    : sets_has_all(a, &x, &y) && (what == SETS_CONTAINS || sets_has_all(a, &y, &x)));
	return 0;
}

static int sets_contains(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return sets_compare(c, args, SETS_CONTAINS, ret);
}

static int sets_equivalent(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return sets_compare(c, args, SETS_EQUIVALENT, ret);
}

static int sets_intersects(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return sets_compare(c, args, SETS_INTERSECTS, ret);
}

static uint64_t sets_cost(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret)
{
	(void)c;
	(void)n;
	(void)ret;
	return sets_price(args, SETS_CONTAINS);
}

static uint64_t sets_cost_twice(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret)
{
	(void)c;
	(void)n;
	(void)ret;
	return sets_price(args, SETS_EQUIVALENT);
}

static void sets_estimate(const struct cel_est *args, double factor, struct cel_estimate *ret)
{
	ret->cost = cel_range_add(cel_range_factor(cel_range_mul(args[0].size, args[1].size), factor), CEL_RANGE(1, 1));
}

static void sets_est(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	sets_estimate(args, 1, ret);
}

static void sets_est_twice(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	sets_estimate(args, 2, ret);
}

static const struct cel_func sets_funcs[] = {
	{ "sets.contains", "(list<T>, list<T>) bool", CEL_V(1, 29), sets_contains, sets_cost, sets_est },
	{ "sets.equivalent", "(list<T>, list<T>) bool", CEL_V(1, 29), sets_equivalent, sets_cost_twice,
	  sets_est_twice },
	{ "sets.intersects", "(list<T>, list<T>) bool", CEL_V(1, 29), sets_intersects, sets_cost, sets_est },
};
const struct cel_lib cel_lib_sets = { "ext.sets", sets_funcs, ARRAY_LEN(sets_funcs), { NULL } };
