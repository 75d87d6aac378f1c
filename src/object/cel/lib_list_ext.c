/* The extension of lists (cel-go's ext.Lists, version 3). What a call will cost is asked for before, so that a
 * list of ten million elements is refused and not made. */
#include "object/cel/lib-internal.h"

#include <stdlib.h>

#define LIST_EXT_RANGE_MAX 10000000
#define LIST_EXT_DEPTH_MAX 250
#define LIST_EXT_CALL 11 /* the call, and a list made */

static struct cel_value list_ext_of(const struct cel_value *items, size_t n, const struct cel_type *type)
{
	struct cel_value v = cel_list(items, n);

	v.type = type;
	return v;
}

static int list_ext_slice(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	int64_t from = args[1].i, to = args[2].i, count = (int64_t)cel_count(&args[0]);
	struct cel_value *items;

	(void)n;
	if (from < 0 || to < 0)
		return cel_fail(c, "cannot slice(%" PRId64 ", %" PRId64 "), negative indexes not supported", from, to);
	if (from > to)
		return cel_fail(
		    c, "cannot slice(%" PRId64 ", %" PRId64 "), start index must be less than or equal to end index",
		    from, to);
	if (count < to)
		return cel_fail(c, "cannot slice(%" PRId64 ", %" PRId64 "), list is length %" PRId64, from, to, count);
	if (cel_afford(c, (uint64_t)(to - from)) < 0)
		return -1;
	items = ARENA_ARRAY(c->arena, struct cel_value, (size_t)(to - from));
	for (int64_t i = from; i < to; i++)
		items[i - from] = cel_at(c->arena, &args[0], (size_t)i);
	*ret = list_ext_of(items, (size_t)(to - from), args[0].flags & CEL_V_DOC ? NULL : args[0].type);
	return 0;
}

/* Elements of v with lists of depth levels taken apart: counted when items is NULL. */
static int list_ext_flat(struct cel_call *c, const struct cel_value *v, int64_t depth, unsigned level,
			 struct cel_value *items, uint64_t *at)
{
	size_t count = cel_count(v);

	if (level > LIST_EXT_DEPTH_MAX)
		return cel_fail(c, "value is nested too deeply");
	for (size_t i = 0; i < count; i++) {
		struct cel_value one = cel_at(c->arena, v, i);

		if (one.kind == CEL_LIST && depth > 0) {
			if (list_ext_flat(c, &one, depth - 1, level + 1, items, at) < 0)
				return -1;
			continue;
		}
		if (items)
			items[*at] = one;
		else if (*at > UINT32_MAX / 64) /* the same list in a list again and again */
			return lib_pay(c, UINT64_MAX, 0);
		++*at;
	}
	return 0;
}

static int list_ext_flatten(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	int64_t depth = n > 1 ? args[1].i : 1;
	uint64_t made = 0, at = 0;
	struct cel_value *items;

	if (depth < 0)
		return cel_fail(c, "level must be non-negative");
	if (list_ext_flat(c, &args[0], depth, 0, NULL, &made) < 0 ||
	    lib_pay(c, made * sizeof(*items), 8 * (uint64_t)cel_count(&args[0])) < 0)
		return -1;
	items = ARENA_ARRAY(c->arena, struct cel_value, (size_t)made);
	if (list_ext_flat(c, &args[0], depth, 0, items, &at) < 0)
		return -1;
	*ret = list_ext_of(items, (size_t)made, NULL);
	return 0;
}

static uint64_t list_ext_factor(uint64_t n, double factor)
{
	double x = (double)n * factor;

	return x >= 0x1p63 ? UINT64_MAX : x > 0 ? (uint64_t)x : 0;
}

static uint64_t list_ext_cost_flatten(struct cel_call *c, const struct cel_value *args, size_t n,
				      const struct cel_value *ret)
{
	(void)c;
	(void)ret;
	return cel_add_sat(list_ext_factor(cel_count(&args[0]), n > 1 ? (double)args[1].i : 1), LIST_EXT_CALL);
}

/* n elements compared with each other, texts a little dearer. */
static uint64_t list_ext_square(struct cel_call *c, const struct cel_value *list)
{
	uint64_t count = cel_count(list);
	struct cel_value first = count ? cel_at(c->arena, list, 0) : cel_null();

	return list_ext_factor(cel_mul_sat(count, count),
			       first.kind == CEL_STRING || first.kind == CEL_BYTES ? 2.1 : 2);
}

static uint64_t list_ext_cost_made(struct cel_call *c, const struct cel_value *args, size_t n,
				   const struct cel_value *ret)
{
	(void)c;
	(void)args;
	(void)n;
	return cel_add_sat(cel_count(ret), LIST_EXT_CALL);
}

static uint64_t list_ext_cost_square(struct cel_call *c, const struct cel_value *args, size_t n,
				     const struct cel_value *ret)
{
	(void)ret;
	return cel_add_sat(list_ext_square(c, &args[n > 1]), LIST_EXT_CALL);
}

struct list_ext_key {
	struct cel_value key;
	size_t at;
};

static int list_ext_order(const void *x, const void *y)
{
	const struct list_ext_key *a = x, *b = y;
	int order = cel_compare(&a->key, &b->key);

	return order == -1 || order == 1 ? order : a->at < b->at ? -1 : a->at > b->at;
}

static bool list_ext_comparable(const struct cel_value *v)
{
	switch (v->kind) {
	case CEL_BOOL:
	case CEL_INT:
	case CEL_UINT:
	case CEL_DOUBLE:
	case CEL_STRING:
	case CEL_BYTES:
	case CEL_TIMESTAMP:
	case CEL_DURATION:
		return true;
	default:
		return false;
	}
}

/* sort(), and with keys what the macro of sortBy makes. */
static int list_ext_sort(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *by = &args[n > 1];
	size_t count = cel_count(&args[0]), keys = cel_count(by);
	struct list_ext_key *order;
	struct cel_value *items;

	if (count != keys)
		return cel_fail(c,
				"@sortByAssociatedKeys() expected a list of the same size as the associated keys list, "
				"but got %zu and %zu elements respectively",
				count, keys);
	*ret = args[0];
	if (count == 0)
		return 0;
	if (cel_afford(c, list_ext_square(c, by)) < 0)
		return -1;
	order = ARENA_ARRAY(c->arena, struct list_ext_key, count);
	for (size_t i = 0; i < count; i++) {
		order[i] = (struct list_ext_key){ cel_at(c->arena, by, i), i };
		if (!list_ext_comparable(&order[0].key))
			return cel_fail(c, "list elements must be comparable");
		if (order[i].key.kind != order[0].key.kind)
			return cel_fail(c, "list elements must have the same type");
	}
	qsort(order, count, sizeof(*order), list_ext_order);
	items = ARENA_ARRAY(c->arena, struct cel_value, count);
	for (size_t i = 0; i < count; i++)
		items[i] = cel_at(c->arena, &args[0], order[i].at);
	*ret = list_ext_of(items, count, args[0].flags & CEL_V_DOC ? NULL : args[0].type);
	return 0;
}

/* Elements are compared when their hashes are equal: a pass over them all, and not one for each. */
static int list_ext_distinct(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	size_t count = cel_count(&args[0]), kept = 0;
	struct cel_value *items;
	uint64_t *hashes;

	(void)n;
	*ret = args[0];
	if (count == 0)
		return 0;
	if (cel_afford(c, list_ext_square(c, &args[0])) < 0)
		return -1;
	items = ARENA_ARRAY(c->arena, struct cel_value, count);
	hashes = ARENA_ARRAY(c->arena, uint64_t, count);
	for (size_t i = 0; i < count; i++) {
		struct cel_value v = cel_at(c->arena, &args[0], i);
		uint64_t hash = cel_hash(c->arena, &v);
		size_t k = 0;

		while (k < kept && (hashes[k] != hash || !cel_equal(c->arena, &items[k], &v)))
			k++;
		if (k < kept)
			continue;
		hashes[kept] = hash;
		items[kept++] = v;
	}
	*ret = list_ext_of(items, kept, args[0].flags & CEL_V_DOC ? NULL : args[0].type);
	return 0;
}

static int list_ext_reverse(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	size_t count = cel_count(&args[0]);
	struct cel_value *items;

	(void)n;
	if (cel_afford(c, count) < 0)
		return -1;
	items = ARENA_ARRAY(c->arena, struct cel_value, count);
	for (size_t i = 0; i < count; i++)
		items[i] = cel_at(c->arena, &args[0], count - 1 - i);
	*ret = list_ext_of(items, count, args[0].flags & CEL_V_DOC ? NULL : args[0].type);
	return 0;
}

static int list_ext_range(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	int64_t count = args[0].i;
	struct cel_value *items;

	(void)n;
	if (count < 0)
		return cel_fail(c, "lists.range: size must be non-negative, got %" PRId64, count);
	if (count > LIST_EXT_RANGE_MAX)
		return cel_fail(c, "lists.range: size %" PRId64 " exceeds maximum allowed (%d)", count,
				LIST_EXT_RANGE_MAX);
	if (cel_afford(c, (uint64_t)count) < 0)
		return -1;
	items = ARENA_ARRAY(c->arena, struct cel_value, (size_t)count);
	for (int64_t i = 0; i < count; i++)
		items[i] = cel_int(i);
	*ret = list_ext_of(items, (size_t)count, NULL);
	return 0;
}

/* --- estimates --- */

static void list_ext_estimate(struct cel_estimate *ret, double factor, struct cel_range size)
{
	ret->cost = cel_range_add(cel_range_factor(size, factor), CEL_RANGE(LIST_EXT_CALL, LIST_EXT_CALL));
	ret->size = size;
	ret->has_size = true;
}

static uint64_t list_ext_literal(const struct cel_est *e, uint64_t or_else)
{
	return e->literal && e->literal->kind == CEL_INT && e->literal->i >= 0 ? (uint64_t)e->literal->i : or_else;
}

static void list_ext_est_slice(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	uint64_t from = list_ext_literal(&args[1], 0), to = list_ext_literal(&args[2], args[0].size.max);

	(void)n;
	list_ext_estimate(ret, 1, CEL_RANGE(to - from, to - from)); /* wraps where upstream's does */
}

static void list_ext_est_flatten(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	list_ext_estimate(ret, n > 1 ? (double)list_ext_literal(&args[1], UINT64_MAX) : 1, args[0].size);
}

static void list_ext_est_sort(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	const struct cel_est *by = &args[n > 1];
	const struct cel_type *elem = by->type && by->type->kind == CEL_LIST ? by->type->params[0] : NULL;
	bool text = elem && (elem->kind == CEL_STRING || elem->kind == CEL_BYTES);

	list_ext_estimate(ret, text ? 2.1 : 2, cel_range_mul(by->size, by->size));
}

static void list_ext_est_distinct(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	list_ext_estimate(ret, 2, cel_range_mul(args[0].size, args[0].size));
}

static void list_ext_est_reverse(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	list_ext_estimate(ret, 1, args[0].size);
}

static void list_ext_est_range(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	uint64_t count = list_ext_literal(&args[0], UINT64_MAX);

	(void)n;
	list_ext_estimate(ret, 1, CEL_RANGE(count, count));
}

#define LIST_EXT_SORT(type)                                                                                          \
	{ "sort",	    "list<" #type ">.() list<" #type ">", CEL_V(1, 34), list_ext_sort, list_ext_cost_square, \
	  list_ext_est_sort },                                                                                       \
	{                                                                                                            \
		"@sortByAssociatedKeys", "list<T>.(list<" #type ">) list<T>", CEL_V(1, 34), list_ext_sort,           \
		    list_ext_cost_square, list_ext_est_sort                                                          \
	}

static const struct cel_func list_ext_funcs[] = {
	{ "slice", "list<T>.(int, int) list<T>", CEL_V(1, 34), list_ext_slice, list_ext_cost_made, list_ext_est_slice },
	{ "flatten", "list<list<T>>.() list<T>", CEL_V(1, 34), list_ext_flatten, list_ext_cost_flatten,
	  list_ext_est_flatten },
	{ "flatten", "list<dyn>.(int) list<dyn>", CEL_V(1, 34), list_ext_flatten, list_ext_cost_flatten,
	  list_ext_est_flatten },
	LIST_EXT_SORT(int),
	LIST_EXT_SORT(uint),
	LIST_EXT_SORT(double),
	LIST_EXT_SORT(bool),
	LIST_EXT_SORT(duration),
	LIST_EXT_SORT(timestamp),
	LIST_EXT_SORT(string),
	LIST_EXT_SORT(bytes),
	{ "distinct", "list<T>.() list<T>", CEL_V(1, 34), list_ext_distinct, list_ext_cost_square,
	  list_ext_est_distinct },
	{ "reverse", "list<T>.() list<T>", CEL_V(1, 34), list_ext_reverse, list_ext_cost_made, list_ext_est_reverse },
	{ "lists.range", "(int) list<int>", CEL_V(1, 34), list_ext_range, list_ext_cost_made, list_ext_est_range },
};
const struct cel_lib cel_lib_list_ext = { "ext.lists", list_ext_funcs, ARRAY_LEN(list_ext_funcs), { NULL } };
