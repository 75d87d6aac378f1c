/* costs.h - does a piece of work cost ten times as much for ten times as many, or a hundred times?
 *
 * A row's run() makes n of something and does its work between cost_begin() and cost_end(); what it costs is counted by
 * base/costs.h, so a test knows no clock. expect_linear() runs it for n and for 10 n: the second may cost a little more
 * than ten times the first, for sorting and for tables that grow. The square would be a hundred.
 *
 * Programs with this depend on costs_dep, which counts the bytes that the C library goes over as well.
 */
#pragma once

#include "unit.h"

#include "base/costs.h"

#define COST_TIMES 10
#define COST_SLACK 2 /* on top of that */

struct cost {
	uint64_t began, spent;
};

void cost_begin(struct cost *c);
void cost_end(struct cost *c);

struct cost_row {
	const char *name;
	void (*run)(struct cost *c, size_t n, const void *arg);
	const void *arg;
	size_t n; /* 0: COST_N */
};
#define COST_N 300

/* False and a word when the row costs too much. True in builds that do not count. */
bool cost_is_linear(const struct cost_row *row);
/* All rows, then fails when one was wrong; skips in builds that do not count. */
void expect_linear(const struct cost_row *rows, size_t n_rows);
