/* metrics_table.h - a component's families of metrics against tests/fields/metrics.tsv. */
#pragma once

#include "unit.h"

#include "base/file.h"
#include "base/metric.h"

#include <stdlib.h>

static inline void same_labels(const struct metric_family *f, struct sv labels)
{
	struct sv one;
	size_t n = 0;

	while (labels.n && sv_split(&labels, ',', &one)) {
		assert_true(n < METRIC_LABELS_MAX && f->labels[n]);
		assert_sv(one, f->labels[n]);
		n++;
	}
	assert_int_equal(metric_n_labels(f), n);
}

static inline void same_bounds(const struct metric_family *f, struct sv bounds)
{
	struct sv one;
	size_t n = 0;

	if (sv_is(bounds, "*"))
		return;
	while (bounds.n && sv_split(&bounds, ',', &one)) {
		assert_true(n < f->n_bounds);
		assert_true(f->bounds[n] - strtod(one.p, NULL) < 1e-9 && strtod(one.p, NULL) - f->bounds[n] < 1e-9);
		n++;
	}
	assert_int_equal(f->n_bounds, n);
}

/* Each row of `where` has a family among these, with upstream's type, stability, labels and bounds. How many there are.
 */
static inline size_t metrics_table_check(const struct metric_family *families, size_t n, const char *where)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text, line, f[6];
	size_t rows = 0;

	assert_int_equal(file_read(&a, METRICS_FILE, 1 << 20, &text, NULL), 0);
	while (sv_split(&text, '\n', &line)) {
		const struct metric_family *m = NULL;

		if (!line.n || line.p[0] == '#')
			continue;
		for (size_t i = 0; i < ARRAY_LEN(f); i++)
			assert_true(sv_split(&line, '\t', &f[i]));
		if (!sv_is(f[5], where))
			continue;
		for (size_t i = 0; i < n; i++)
			if (sv_is(f[0], families[i].name))
				m = &families[i];
		if (!m)
			print_error("# no %.*s\n", SV_ARG(f[0]));
		assert_non_null(m);
		assert_sv(f[1], metric_type_name(m->type));
		assert_true(sv_ieq(f[2], sv_from(metric_stability_name(m->stability))));
		same_labels(m, f[3]);
		same_bounds(m, f[4]);
		rows++;
	}
	return rows;
}
