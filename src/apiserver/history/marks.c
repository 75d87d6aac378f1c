#include "apiserver/history/marks.h"

#include <inttypes.h>
#include <stdio.h>

struct sv marks_key(int64_t rev, char out[MARKS_KEY_MAX])
{
	int n = snprintf(out, MARKS_KEY_MAX, MARKS_ROOT "%016" PRIx64, (uint64_t)rev);

	return sv_make(out, (size_t)n);
}

bool marks_key_rev(struct sv key, int64_t *ret_rev)
{
	uint64_t n = 0;

	if (!sv_starts(key, SV(MARKS_ROOT)))
		return false;
	key = sv_sub(key, strlen(MARKS_ROOT), key.n);
	if (key.n != 16)
		return false;
	for (size_t i = 0; i < key.n; i++) {
		char c = key.p[i];

		if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
			return false;
		n = n << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	*ret_rev = (int64_t)n;
	return *ret_rev > 0;
}

void marks_format(struct buf *b, int64_t run_s, uint64_t bytes, const struct mark *m, size_t n)
{
	struct mark before = { 0 };

	buf_printf(b, "1 %" PRId64 " %" PRIu64 "\n", run_s, bytes);
	for (size_t i = 0; i < n; i++) {
		buf_printf(b, "%s%s%" PRId64 " %" PRId64 "\n", m[i].gap ? "? " : "", m[i].open ? "+ " : "",
			   m[i].sec - before.sec, m[i].rev - before.rev);
		before = m[i];
	}
}

/* The next number of a line, not below 0. */
static bool marks_number(struct sv *line, int64_t *ret)
{
	struct sv word;

	return sv_split(line, ' ', &word) && word.n && word.p[0] >= '0' && word.p[0] <= '9' && sv_to_i64(word, ret);
}

static bool marks_line(struct sv line, const struct mark *before, struct mark *ret)
{
	int64_t sec, rev;

	ret->gap = sv_starts(line, SV("? "));
	if (ret->gap)
		line = sv_sub(line, 2, line.n);
	ret->open = sv_starts(line, SV("+ "));
	if (ret->open)
		line = sv_sub(line, 2, line.n);
	if (!marks_number(&line, &sec) || !marks_number(&line, &rev) || line.n)
		return false;
	return !__builtin_add_overflow(before->sec, sec, &ret->sec) &&
	       !__builtin_add_overflow(before->rev, rev, &ret->rev);
}

bool marks_parse(struct sv text, struct stretch *ret)
{
	struct mark before = { 0 }, m;
	int64_t version, bytes;
	struct sv line;

	*ret = (struct stretch){ 0 };
	if (!sv_split(&text, '\n', &line) || !marks_number(&line, &version) || version != 1 ||
	    !marks_number(&line, &ret->run_s) || !marks_number(&line, &bytes) || line.n)
		return false;
	ret->bytes = (uint64_t)bytes;
	while (text.n) {
		if (!sv_split(&text, '\n', &line) || ret->m.n == MARKS_MAX || !marks_line(line, &before, &m) ||
		    m.rev <= 0 || (ret->m.n && m.sec == before.sec))
			return false;
		vec_push(&ret->m, m);
		before = m;
	}
	return ret->m.n > 0;
}

size_t marks_before(const struct mark *m, size_t n, int64_t sec)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m[mid].sec < sec)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}
