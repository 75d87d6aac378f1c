/* See job_indexes.h. */
#include "controllers/job_indexes.h"
#include "base/buf.h"

void indexes_parse(struct sv text, bool *has, int64_t n)
{
	struct sv one;

	while (text.n && sv_split(&text, ',', &one)) {
		ssize_t dash = sv_find(one, '-');
		int64_t from, to;

		if (!sv_to_i64(dash < 0 ? one : sv_sub(one, 0, (size_t)dash), &from) ||
		    !sv_to_i64(dash < 0 ? one : sv_sub(one, (size_t)dash + 1, one.n), &to))
			continue;
		for (int64_t i = MAX(from, 0); i <= to && i < n; i++)
			has[i] = true;
	}
}

struct sv indexes_format(struct arena *a, const bool *has, int64_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (int64_t i = 0; i < n; i++) {
		int64_t from = i;

		if (!has[i])
			continue;
		while (i + 1 < n && has[i + 1])
			i++;
		buf_printf(&b, "%s%" PRId64, b.n ? "," : "", from);
		if (i > from)
			buf_printf(&b, i > from + 1 ? "-%" PRId64 : ",%" PRId64, i);
	}
	return arena_sv(a, buf_sv(&b));
}

int64_t indexes_count(const bool *has, int64_t n)
{
	int64_t count = 0;

	for (int64_t i = 0; i < n; i++)
		count += has[i];
	return count;
}
