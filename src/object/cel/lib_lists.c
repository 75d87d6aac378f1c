/* Kubernetes' lists: of one pass, and paid for as such. */
#include "object/cel/lib-internal.h"

static int lists_is_sorted(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	size_t count = cel_count(&args[0]);
	struct cel_value before = cel_null();

	(void)n;
	*ret = cel_bool(true);
	for (size_t i = 0; i < count; i++) {
		struct cel_value v = cel_at(c->arena, &args[0], i);

		if (i && cel_compare(&before, &v) == 1) {
			*ret = cel_bool(false);
			return 0;
		}
		before = v;
	}
	return 0;
}

/* The first of those that none is better than; better is what cel_compare() says of the one before it. */
static int lists_best(struct cel_call *c, const struct cel_value *list, const char *name, int better,
		      struct cel_value *ret)
{
	size_t count = cel_count(list);

	if (count == 0)
		return cel_fail(c, "%s called on empty list", name);
	*ret = cel_at(c->arena, list, 0);
	for (size_t i = 1; i < count; i++) {
		struct cel_value v = cel_at(c->arena, list, i);

		if (cel_compare(ret, &v) == better)
			*ret = v;
	}
	return 0;
}

static int lists_min(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return lists_best(c, &args[0], "min", 1, ret);
}

static int lists_max(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return lists_best(c, &args[0], "max", -1, ret);
}

static int lists_sum(struct cel_call *c, const struct cel_value *list, struct cel_value zero, struct cel_value *ret)
{
	size_t count = cel_count(list);

	*ret = zero;
	for (size_t i = 0; i < count; i++) {
		struct cel_value v = cel_at(c->arena, list, i);

		if (v.kind != zero.kind)
			return cel_fail(c, "no such overload");
		if (v.kind == CEL_DOUBLE)
			ret->d += v.d;
		else if (v.kind == CEL_UINT ? __builtin_add_overflow(ret->u, v.u, &ret->u)
					    : __builtin_add_overflow(ret->i, v.i, &ret->i))
			return cel_fail(c, "%s",
					v.kind == CEL_UINT  ? "unsigned integer overflow"
					: v.kind == CEL_INT ? "integer overflow"
							    : "duration overflow");
	}
	return 0;
}

static int lists_sum_int(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return lists_sum(c, &args[0], cel_int(0), ret);
}

static int lists_sum_uint(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return lists_sum(c, &args[0], cel_uint(0), ret);
}

static int lists_sum_double(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return lists_sum(c, &args[0], cel_double(0), ret);
}

static int lists_sum_duration(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return lists_sum(c, &args[0], cel_duration(0), ret);
}

static int lists_index_of(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	size_t count = cel_count(&args[0]);

	(void)n;
	*ret = cel_int(-1);
	for (size_t i = 0; i < count; i++) {
		struct cel_value v = cel_at(c->arena, &args[0], i);

		if (cel_equal(c->arena, &v, &args[1])) {
			*ret = cel_int((int64_t)i);
			return 0;
		}
	}
	return 0;
}

static int lists_last_index_of(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = cel_int(-1);
	for (size_t i = cel_count(&args[0]); i > 0; i--) {
		struct cel_value v = cel_at(c->arena, &args[0], i - 1);

		if (cel_equal(c->arena, &v, &args[1])) {
			*ret = cel_int((int64_t)i - 1);
			return 0;
		}
	}
	return 0;
}

/* Of what is no list: is it that value? */
static int lists_includes(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct cel_value at;

	if (args[0].kind != CEL_LIST) {
		*ret = cel_bool(cel_equal(c->arena, &args[0], &args[1]));
		return 0;
	}
	if (lists_index_of(c, args, n, &at) < 0)
		return -1;
	*ret = cel_bool(at.i >= 0);
	return 0;
}

#define LISTS_ORDERED(type)                                                                                     \
	{ "isSorted", "list<" #type ">.() bool", CEL_V(1, 0), lists_is_sorted, cel_cost_trav0, cel_est_trav0 }, \
	    { "min", "list<" #type ">.() " #type, CEL_V(1, 0), lists_min, cel_cost_trav0, cel_est_trav0 },      \
	{                                                                                                       \
		"max", "list<" #type ">.() " #type, CEL_V(1, 0), lists_max, cel_cost_trav0, cel_est_trav0       \
	}
#define LISTS_SUM(type)                                                                                          \
	{                                                                                                        \
		"sum", "list<" #type ">.() " #type, CEL_V(1, 0), lists_sum_##type, cel_cost_trav0, cel_est_trav0 \
	}

static const struct cel_func lists_funcs[] = {
	LISTS_ORDERED(int),
	LISTS_ORDERED(uint),
	LISTS_ORDERED(double),
	LISTS_ORDERED(bool),
	LISTS_ORDERED(duration),
	LISTS_ORDERED(timestamp),
	LISTS_ORDERED(string),
	LISTS_ORDERED(bytes),
	LISTS_SUM(int),
	LISTS_SUM(uint),
	LISTS_SUM(double),
	LISTS_SUM(duration),
	{ "indexOf", "list<A>.(A) int", CEL_V(1, 0), lists_index_of, cel_cost_trav0, cel_est_trav0 },
	{ "lastIndexOf", "list<A>.(A) int", CEL_V(1, 0), lists_last_index_of, cel_cost_trav0, cel_est_trav0 },
	{ "includes", "dyn.(dyn) bool", CEL_V(1, 37), lists_includes, cel_cost_trav0, cel_est_trav0 },
};
const struct cel_lib cel_lib_lists = { "kubernetes.lists", lists_funcs, ARRAY_LEN(lists_funcs), { NULL } };
