/* See costs.h. The linker puts these wrappers in place of the C library's functions: sixteen bytes are a unit. */
#include "costs.h"

#ifdef CARAVEL_COUNT_COSTS

#define UNIT 16

#define WRAP(type, name, params, args, bytes)      \
	type __real_##name params;                 \
	type __wrap_##name params;                 \
	type __wrap_##name params                  \
	{                                          \
		costs += (uint64_t)(bytes) / UNIT; \
		return __real_##name args;         \
	}

WRAP(void *, memcpy, (void *to, const void *from, size_t n), (to, from, n), n)
WRAP(void *, memmove, (void *to, const void *from, size_t n), (to, from, n), n)
WRAP(void *, memset, (void *to, int c, size_t n), (to, c, n), n)
WRAP(int, memcmp, (const void *x, const void *y, size_t n), (x, y, n), n)
WRAP(void *, calloc, (size_t n, size_t size), (n, size), n *size)
WRAP(void *, realloc, (void *p, size_t n), (p, n), n)

/* What ends where it finds something costs as far as it looked. */
size_t __real_strlen(const char *s);
size_t __wrap_strlen(const char *s);
size_t __wrap_strlen(const char *s)
{
	size_t n = __real_strlen(s);

	costs += n / UNIT;
	return n;
}

void *__real_memchr(const void *s, int c, size_t n);
void *__wrap_memchr(const void *s, int c, size_t n);
void *__wrap_memchr(const void *s, int c, size_t n)
{
	const char *found = __real_memchr(s, c, n);

	costs += (found ? (size_t)(found - (const char *)s) : n) / UNIT;
	return (void *)found;
}

void cost_begin(struct cost *c)
{
	c->began = costs;
}

void cost_end(struct cost *c)
{
	c->spent += costs - c->began;
}

bool cost_is_linear(const struct cost_row *row)
{
	size_t n = row->n ? row->n : COST_N;
	struct cost few = { 0 }, many = { 0 };

	row->run(&few, n, row->arg);
	row->run(&many, n * COST_TIMES, row->arg);
	if (getenv("COSTS"))
		print_message("# %8.1f a piece, %5.1f times: %s\n", (double)few.spent / (double)n,
			      (double)many.spent / (double)few.spent, row->name);
	if (!few.spent || many.spent <= few.spent * COST_TIMES * COST_SLACK)
		return true;
	print_error("%s: %" PRIu64 " for %zu, %" PRIu64 " for %zu\n", row->name, few.spent, n, many.spent,
		    n * COST_TIMES);
	return false;
}

#else

void cost_begin(struct cost *c)
{
	(void)c;
}

void cost_end(struct cost *c)
{
	(void)c;
}

bool cost_is_linear(const struct cost_row *row)
{
	(void)row;
	return true;
}

#endif

void expect_linear(const struct cost_row *rows, size_t n_rows)
{
	bool good = true;

#ifndef CARAVEL_COUNT_COSTS
	skip(); /* only debug builds count */
#endif
	for (size_t i = 0; i < n_rows; i++)
		good &= cost_is_linear(&rows[i]);
	assert_true(good);
}
