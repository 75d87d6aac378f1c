/* Operators. Logic, equality, membership and paths are the engine's own nodes and only declared here. */
#include "object/cel/eval.h"
#include "object/cel/std.h"

#include "base/timefmt.h"

#include <math.h>

static int ops_no_overload(struct cel_call *c)
{
	return cel_fail(c, "no such overload");
}

static int ops_overflow(struct cel_call *c, const struct cel_value *v)
{
	switch (v->kind) {
	case CEL_UINT:
		return cel_fail(c, "unsigned integer overflow");
	case CEL_DURATION:
		return cel_fail(c, "duration overflow");
	case CEL_TIMESTAMP:
		return cel_fail(c, "timestamp overflow");
	default:
		return cel_fail(c, "integer overflow");
	}
}

static int ops_shift_time(struct cel_call *c, const struct cel_value *t, int64_t by, bool back, struct cel_value *ret)
{
	int64_t sec = by / NS_PER_SEC, ns = by % NS_PER_SEC;

	if (back) {
		sec = -sec;
		ns = -ns;
	}
	ns += t->n;
	sec += t->i;
	if (ns < 0) {
		ns += NS_PER_SEC;
		sec--;
	} else if (ns >= NS_PER_SEC) {
		ns -= NS_PER_SEC;
		sec++;
	}
	if (sec < TIME_SEC_MIN || sec > TIME_SEC_MAX)
		return ops_overflow(c, t);
	*ret = cel_timestamp(sec, (uint32_t)ns);
	return 0;
}

/* --- + --- */

static int ops_add_text(struct cel_call *c, const struct cel_value *args, struct cel_value *ret)
{
	size_t n = (size_t)args[0].n + args[1].n;
	char *p;

	if (n > UINT32_MAX || cel_charge(c, n / 16) < 0)
		return ops_overflow(c, &args[0]);
	p = arena_alloc(c->arena, n + 1);
	memcpy(p, args[0].s, args[0].n);
	memcpy(p + args[0].n, args[1].s, args[1].n);
	*ret = args[0];
	ret->n = (uint32_t)n;
	ret->s = p;
	return 0;
}

/* Sets and lists with keys: those of x in their places, with what y says of them, then what only y has. */
static int ops_add_keyed(struct cel_call *c, const struct cel_type *t, const struct cel_value *args,
			 struct cel_value *ret)
{
	size_t nx = cel_count(&args[0]), ny = cel_count(&args[1]), n = nx;
	struct cel_value mx, my, *out, typed = args[1];
	const struct cel_entry *ex, *ey;

	if (cel_charge(c, 4 * (nx + ny)) < 0)
		return -1;
	if (!cel_keyed_make(c->arena, t, &args[0], &mx) || !cel_keyed_make(c->arena, t, &typed, &my)) {
		*ret = cel_join(c->arena, args[0], args[1]);
		return 0;
	}
	out = ARENA_ARRAY(c->arena, struct cel_value, nx + ny);
	ex = mx.map->entries;
	ey = my.map->entries;
	for (size_t i = 0; i < nx; i++) {
		out[i] = ex[i].value;
		if (t->list_type == CEL_LIST_MAP)
			cel_map_find(c->arena, &my, &ex[i].key, &out[i]);
	}
	for (size_t i = 0; i < ny; i++) {
		struct cel_value there;

		if (!cel_map_find(c->arena, &mx, &ey[i].key, &there))
			out[n++] = ey[i].value;
	}
	*ret = cel_list(out, n);
	ret->type = t;
	return 0;
}

static int ops_add(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *x = &args[0], *y = &args[1];
	const struct cel_type *keyed;
	int64_t i;
	uint64_t u;

	(void)n;
	if (x->kind == CEL_TIMESTAMP && y->kind == CEL_DURATION)
		return ops_shift_time(c, x, y->i, false, ret);
	if (x->kind == CEL_DURATION && y->kind == CEL_TIMESTAMP)
		return ops_shift_time(c, y, x->i, false, ret);
	if (x->kind != y->kind)
		return ops_no_overload(c);
	switch (x->kind) {
	case CEL_INT:
	case CEL_DURATION:
		if (__builtin_add_overflow(x->i, y->i, &i))
			return ops_overflow(c, x);
		*ret = x->kind == CEL_INT ? cel_int(i) : cel_duration(i);
		return 0;
	case CEL_UINT:
		if (__builtin_add_overflow(x->u, y->u, &u))
			return ops_overflow(c, x);
		*ret = cel_uint(u);
		return 0;
	case CEL_DOUBLE:
		*ret = cel_double(x->d + y->d);
		return 0;
	case CEL_STRING:
	case CEL_BYTES:
		return ops_add_text(c, args, ret);
	case CEL_LIST:
		keyed = cel_keyed_type(x);
		if (keyed)
			return ops_add_keyed(c, keyed, args, ret);
		*ret = cel_join(c->arena, *x, *y);
		return 0;
	default:
		return ops_no_overload(c);
	}
}

/* --- - * / % --- */

static int ops_sub_times(struct cel_call *c, const struct cel_value *args, struct cel_value *ret)
{
	int64_t sec = args[0].i - args[1].i, ns; /* both within the years that there are */

	if (__builtin_mul_overflow(sec, NS_PER_SEC, &ns) ||
	    __builtin_add_overflow(ns, (int64_t)args[0].n - (int64_t)args[1].n, &ns))
		return cel_fail(c, "duration overflow");
	*ret = cel_duration(ns);
	return 0;
}

static int ops_sub(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *x = &args[0], *y = &args[1];
	int64_t i;
	uint64_t u;

	(void)n;
	if (x->kind == CEL_TIMESTAMP && y->kind == CEL_DURATION)
		return ops_shift_time(c, x, y->i, true, ret);
	if (x->kind != y->kind)
		return ops_no_overload(c);
	switch (x->kind) {
	case CEL_INT:
	case CEL_DURATION:
		if (__builtin_sub_overflow(x->i, y->i, &i))
			return ops_overflow(c, x);
		*ret = x->kind == CEL_INT ? cel_int(i) : cel_duration(i);
		return 0;
	case CEL_UINT:
		if (__builtin_sub_overflow(x->u, y->u, &u))
			return ops_overflow(c, x);
		*ret = cel_uint(u);
		return 0;
	case CEL_DOUBLE:
		*ret = cel_double(x->d - y->d);
		return 0;
	case CEL_TIMESTAMP:
		return ops_sub_times(c, args, ret);
	default:
		return ops_no_overload(c);
	}
}

static int ops_mul(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *x = &args[0], *y = &args[1];

	(void)n;
	if (x->kind != y->kind)
		return ops_no_overload(c);
	*ret = *x;
	if (x->kind == CEL_INT)
		return __builtin_mul_overflow(x->i, y->i, &ret->i) ? ops_overflow(c, x) : 0;
	if (x->kind == CEL_UINT)
		return __builtin_mul_overflow(x->u, y->u, &ret->u) ? ops_overflow(c, x) : 0;
	if (x->kind != CEL_DOUBLE)
		return ops_no_overload(c);
	ret->d = x->d * y->d;
	return 0;
}

static int ops_div(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *x = &args[0], *y = &args[1];

	(void)n;
	if (x->kind == CEL_DOUBLE && y->kind == CEL_DOUBLE) {
		*ret = cel_double(x->d / y->d);
		return 0;
	}
	if (x->kind != y->kind || (x->kind != CEL_INT && x->kind != CEL_UINT))
		return ops_no_overload(c);
	if (y->u == 0)
		return cel_fail(c, "division by zero");
	if (x->kind == CEL_UINT) {
		*ret = cel_uint(x->u / y->u);
		return 0;
	}
	if (x->i == INT64_MIN && y->i == -1)
		return ops_overflow(c, x);
	*ret = cel_int(x->i / y->i);
	return 0;
}

static int ops_mod(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *x = &args[0], *y = &args[1];

	(void)n;
	if (x->kind != y->kind || (x->kind != CEL_INT && x->kind != CEL_UINT))
		return ops_no_overload(c);
	if (y->u == 0)
		return cel_fail(c, "modulus by zero");
	if (x->kind == CEL_UINT) {
		*ret = cel_uint(x->u % y->u);
		return 0;
	}
	if (x->i == INT64_MIN && y->i == -1)
		return ops_overflow(c, x);
	*ret = cel_int(x->i % y->i);
	return 0;
}

static int ops_neg(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	*ret = args[0];
	if (args[0].kind == CEL_DOUBLE)
		ret->d = -args[0].d;
	else if (__builtin_sub_overflow(INT64_C(0), args[0].i, &ret->i))
		return ops_overflow(c, &args[0]);
	return 0;
}

/* --- order --- */

static int ops_order(struct cel_call *c, const struct cel_value *args, int *ret)
{
	bool nan = (args[0].kind == CEL_DOUBLE && isnan(args[0].d)) || (args[1].kind == CEL_DOUBLE && isnan(args[1].d));

	*ret = cel_compare(&args[0], &args[1]);
	return *ret == CEL_UNORDERED && !nan ? ops_no_overload(c) : 0;
}

#define ORDER(name, test)                                                                                  \
	static int name(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret) \
	{                                                                                                  \
		int o;                                                                                     \
                                                                                                           \
		(void)n;                                                                                   \
		if (ops_order(c, args, &o) < 0)                                                            \
			return -1;                                                                         \
		*ret = cel_bool(test);                                                                     \
		return 0;                                                                                  \
	}
ORDER(ops_lt, o == -1)
ORDER(ops_le, o == -1 || o == 0)
ORDER(ops_gt, o == 1)
ORDER(ops_ge, o == 1 || o == 0)

/* --- what they cost --- */

static uint64_t ops_cost_smaller(struct cel_call *c, const struct cel_value *args, size_t n,
				 const struct cel_value *ret)
{
	(void)c, (void)n, (void)ret;
	return cel_factor(MIN(cel_size(&args[0]), cel_size(&args[1])), 0.1);
}

static void ops_est_smaller(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	uint64_t max = MIN(args[0].size.max, args[1].size.max);

	(void)n;
	ret->cost = CEL_RANGE(max ? 1 : 0, cel_factor(max, 0.1));
}

static uint64_t ops_cost_sum(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret)
{
	(void)c, (void)n, (void)ret;
	return cel_factor(cel_size(&args[0]) + cel_size(&args[1]), 0.1);
}

static void ops_est_sum(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->size = cel_range_add(args[0].size, args[1].size);
	ret->has_size = true;
	ret->cost = cel_range_factor(ret->size, 0.1);
}

static void ops_est_join(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	ops_est_sum(args, n, ret);
	ret->cost = CEL_RANGE(1, 1);
}

static void ops_est_in(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = args[1].size;
}

#define V CEL_V(1, 0)
#define ORDERED(op, fn)                                                                                        \
	{ op, "(bool, bool) bool", V, fn, NULL, NULL }, { op, "(int, int) bool", V, fn, NULL, NULL },          \
	    { op, "(int, double) bool", V, fn, NULL, NULL }, { op, "(int, uint) bool", V, fn, NULL, NULL },    \
	    { op, "(uint, uint) bool", V, fn, NULL, NULL }, { op, "(uint, double) bool", V, fn, NULL, NULL },  \
	    { op, "(uint, int) bool", V, fn, NULL, NULL }, { op, "(double, double) bool", V, fn, NULL, NULL }, \
	    { op, "(double, int) bool", V, fn, NULL, NULL }, { op, "(double, uint) bool", V, fn, NULL, NULL }, \
	    { op, "(string, string) bool", V, fn, ops_cost_smaller, ops_est_smaller },                         \
	    { op, "(bytes, bytes) bool", V, fn, ops_cost_smaller, ops_est_smaller },                           \
	    { op, "(timestamp, timestamp) bool", V, fn, NULL, NULL },                                          \
	{                                                                                                      \
		op, "(duration, duration) bool", V, fn, NULL, NULL                                             \
	}

static const struct cel_func ops_funcs[] = {
	{ "_?_:_", "(bool, A, A) A", V, NULL, NULL, NULL },
	{ "_&&_", "(bool, bool) bool", V, NULL, NULL, NULL },
	{ "_||_", "(bool, bool) bool", V, NULL, NULL, NULL },
	{ "!_", "(bool) bool", V, NULL, NULL, NULL },
	{ "@not_strictly_false", "(bool) bool", V, NULL, NULL, NULL },
	{ "_==_", "(A, A) bool", V, NULL, NULL, NULL },
	{ "_!=_", "(A, A) bool", V, NULL, NULL, NULL },
	{ "@in", "(A, list<A>) bool", V, NULL, NULL, ops_est_in },
	{ "@in", "(A, map<A, B>) bool", V, NULL, NULL, NULL },
	{ "_[_]", "(list<A>, int) A", V, NULL, NULL, NULL },
	{ "_[_]", "(map<A, B>, A) B", V, NULL, NULL, NULL },
	{ "_[_]", "(optional<list<V>>, int) optional<V>", V, NULL, NULL, NULL },
	{ "_[_]", "(optional<map<K, V>>, K) optional<V>", V, NULL, NULL, NULL },
	{ "_[?_]", "(list<V>, int) optional<V>", V, NULL, NULL, NULL },
	{ "_[?_]", "(optional<list<V>>, int) optional<V>", V, NULL, NULL, NULL },
	{ "_[?_]", "(map<K, V>, K) optional<V>", V, NULL, NULL, NULL },
	{ "_[?_]", "(optional<map<K, V>>, K) optional<V>", V, NULL, NULL, NULL },
	{ "cel.@mapInsert", "(map<K, V>, map<K, V>) map<K, V>", V, NULL, NULL, NULL },
	{ "cel.@mapInsert", "(map<K, V>, K, V) map<K, V>", V, NULL, NULL, NULL },
	ORDERED("_<_", ops_lt),
	ORDERED("_<=_", ops_le),
	ORDERED("_>_", ops_gt),
	ORDERED("_>=_", ops_ge),
	{ "_+_", "(bytes, bytes) bytes", V, ops_add, ops_cost_sum, ops_est_sum },
	{ "_+_", "(double, double) double", V, ops_add, NULL, NULL },
	{ "_+_", "(duration, duration) duration", V, ops_add, NULL, NULL },
	{ "_+_", "(duration, timestamp) timestamp", V, ops_add, NULL, NULL },
	{ "_+_", "(timestamp, duration) timestamp", V, ops_add, NULL, NULL },
	{ "_+_", "(int, int) int", V, ops_add, NULL, NULL },
	{ "_+_", "(list<A>, list<A>) list<A>", V, ops_add, NULL, ops_est_join },
	{ "_+_", "(string, string) string", V, ops_add, ops_cost_sum, ops_est_sum },
	{ "_+_", "(uint, uint) uint", V, ops_add, NULL, NULL },
	{ "_-_", "(double, double) double", V, ops_sub, NULL, NULL },
	{ "_-_", "(duration, duration) duration", V, ops_sub, NULL, NULL },
	{ "_-_", "(int, int) int", V, ops_sub, NULL, NULL },
	{ "_-_", "(timestamp, duration) timestamp", V, ops_sub, NULL, NULL },
	{ "_-_", "(timestamp, timestamp) duration", V, ops_sub, NULL, NULL },
	{ "_-_", "(uint, uint) uint", V, ops_sub, NULL, NULL },
	{ "_*_", "(double, double) double", V, ops_mul, NULL, NULL },
	{ "_*_", "(int, int) int", V, ops_mul, NULL, NULL },
	{ "_*_", "(uint, uint) uint", V, ops_mul, NULL, NULL },
	{ "_/_", "(double, double) double", V, ops_div, NULL, NULL },
	{ "_/_", "(int, int) int", V, ops_div, NULL, NULL },
	{ "_/_", "(uint, uint) uint", V, ops_div, NULL, NULL },
	{ "_%_", "(int, int) int", V, ops_mod, NULL, NULL },
	{ "_%_", "(uint, uint) uint", V, ops_mod, NULL, NULL },
	{ "-_", "(double) double", V, ops_neg, NULL, NULL },
	{ "-_", "(int) int", V, ops_neg, NULL, NULL },
};

const struct cel_lib cel_lib_ops = { "operators", ops_funcs, ARRAY_LEN(ops_funcs), { NULL } };
