/* Amounts and ranges of amounts that stay at the top, and the estimates that libraries share. */
#include "object/cel/func.h"

#define FIXED(n) CEL_RANGE(n, n)

/* --- arithmetic that stays at the top --- */

uint64_t cel_add_sat(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_add_overflow(a, b, &r) ? UINT64_MAX : r;
}

uint64_t cel_mul_sat(uint64_t a, uint64_t b)
{
	uint64_t r;

	return __builtin_mul_overflow(a, b, &r) ? UINT64_MAX : r;
}

uint64_t cel_factor(uint64_t n, double factor)
{
	double x = (double)n * factor;
	uint64_t r;

	if (x >= 18446744073709551615.0)
		return UINT64_MAX;
	r = (uint64_t)x;
	return (double)r < x ? r + 1 : r;
}

struct cel_range cel_range_add(struct cel_range a, struct cel_range b)
{
	return CEL_RANGE(cel_add_sat(a.min, b.min), cel_add_sat(a.max, b.max));
}

struct cel_range cel_range_mul(struct cel_range a, struct cel_range b)
{
	return CEL_RANGE(cel_mul_sat(a.min, b.min), cel_mul_sat(a.max, b.max));
}

struct cel_range cel_range_union(struct cel_range a, struct cel_range b)
{
	return CEL_RANGE(MIN(a.min, b.min), MAX(a.max, b.max));
}

struct cel_range cel_range_factor(struct cel_range a, double factor)
{
	return CEL_RANGE(cel_factor(a.min, factor), cel_factor(a.max, factor));
}

/* --- what functions of libraries say of themselves --- */

bool cel_est_elem(const struct cel_est *list, struct cel_est *ret)
{
	const struct cel_type *t = list->type && list->type->kind == CEL_LIST ? list->type->params[0] : NULL;

	if (!t)
		return false;
	*ret = (struct cel_est){
		.type = t, .size = list->elem, .from_schema = list->from_schema, .elem = cel_range_unknown
	};
	return true;
}

void cel_est_str0(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	ret->cost = n ? cel_range_factor(args[0].size, 0.1) : FIXED(1);
}

void cel_est_trav0(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	struct cel_est elem;
	struct cel_range each = FIXED(1);

	if (n == 0)
		return;
	if (!cel_est_elem(&args[0], &elem)) {
		ret->cost = cel_range_factor(args[0].size, 0.1);
		return;
	}
	if (elem.type->kind == CEL_STRING || elem.type->kind == CEL_BYTES)
		each = cel_range_add(each, cel_range_factor(elem.size, 0.1));
	ret->cost = cel_range_mul(args[0].size, each);
}

void cel_est_re(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	if (n >= 2)
		ret->cost = cel_range_mul(cel_range_factor(cel_range_add(args[0].size, FIXED(1)), 0.1),
					  cel_range_factor(args[1].size, 0.25));
}
