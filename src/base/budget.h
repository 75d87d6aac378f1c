/* budget.h - how much work the input of somebody else may cost.
 *
 * Sizes on both sides of a comparison are often a client's, and so is how often its text names one thing. Whoever
 * parses, merges or compares for a client carries a struct budget and pays for each piece of work, at best before it is
 * done. What a unit is (a node, a rule, some bytes), the limit's owner says; it is something whose cost has a bound.
 *
 *	static const struct budget_limit limit = { 100000, ERR_TOO_LARGE, "too many of them: use fewer" };
 *	struct budget b = BUDGET(limit);
 *	...
 *	if (budget_spend(&b, n, err) < 0)
 *		return -1;
 *
 * A budget is for what no index can make cheap; it is no excuse for a loop in a loop. Tests see by base/costs.h whether
 * there is one.
 *
 * NULL is a budget without end, and so is one of zeroes. Not thread-safe: it belongs to who works.
 */
#pragma once

#include "base/err.h"

struct budget_limit {
	size_t units;
	enum err_reason reason;
	const char *refusal; /* the whole error: what is too much, and what to do about it */
};

struct budget {
	const struct budget_limit *limit;
	size_t used; /* SIZE_MAX stands for all that is more */
};

/* A fresh one, for initialisers. */
#define BUDGET(the_limit)             \
	{                             \
		.limit = &(the_limit) \
	}

static inline bool budget_over(const struct budget *b)
{
	return b && b->limit && b->used > b->limit->units;
}

/* False when it was not enough; it stays used up then. */
static inline bool budget_take(struct budget *b, size_t units)
{
	if (b && __builtin_add_overflow(b->used, units, &b->used))
		b->used = SIZE_MAX;
	return !budget_over(b);
}

int budget_refuse(const struct budget *b, struct err *err); /* sets the one error; -1 */

/* 0, or -1 and the error when it was not enough. */
static inline int budget_spend(struct budget *b, size_t units, struct err *err)
{
	return budget_take(b, units) ? 0 : budget_refuse(b, err);
}
