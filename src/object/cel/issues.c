/* What is wrong with an expression, and how it is printed.
 *
 * Places are kept as line and column; both are of code points, as cel-go counts them. As many are kept as cel-go
 * reports.
 */
#include "object/cel/ast.h"

#include "base/utf8.h"

#include <stdlib.h>

#define ISSUES_MAX 100

static size_t issue_rune_bytes(const char *p, size_t left)
{
	size_t n = 1;

	while (n < left && ((unsigned char)p[n] & 0xc0) == 0x80)
		n++;
	return n;
}

void cel_issue(struct cel_compile *c, uint32_t pos, const char *fmt, ...)
{
	struct cel_issues *is = c->issues;
	uint32_t line = 1, col = 0, at = 0;
	va_list ap;

	if (is->n >= ISSUES_MAX)
		return;
	for (size_t i = 0; i < c->text.n && at < pos; at++) {
		if (c->text.p[i] == '\n') {
			line++;
			col = 0;
		} else {
			col++;
		}
		i += issue_rune_bytes(c->text.p + i, c->text.n - i);
	}
	if (is->n == is->cap) {
		size_t cap = is->cap ? 2 * is->cap : 4;
		struct cel_issue *p = ARENA_ARRAY(is->arena, struct cel_issue, cap);

		if (is->n)
			memcpy(p, is->p, is->n * sizeof(*p));
		is->p = p;
		is->cap = cap;
	}
	va_start(ap, fmt);
	is->p[is->n++] = (struct cel_issue){ line, col + 1, sv_from(arena_vprintf(is->arena, fmt, ap)) };
	va_end(ap);
}

static struct sv issue_line(struct sv text, uint32_t line)
{
	struct sv rest = text, head = SV_NULL;

	while (line-- && sv_split(&rest, '\n', &head))
		;
	return head;
}

static int issue_order(const void *pa, const void *pb)
{
	const struct cel_issue *a = *(const struct cel_issue *const *)pa, *b = *(const struct cel_issue *const *)pb;

	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	if (a->col != b->col)
		return a->col < b->col ? -1 : 1;
	return a < b ? -1 : a > b; /* in the order they were found */
}

/* The line, and below it dots up to the column; wide ones under characters of several bytes. */
static void issue_mark(struct buf *b, struct sv line, uint32_t col)
{
	size_t at = 0;

	buf_adds(b, "\n | ");
	for (size_t i = 0; i < line.n; i++)
		buf_addc(b, line.p[i] == '\t' ? ' ' : line.p[i]);
	buf_adds(b, "\n | ");
	for (uint32_t i = 1; i < col && at < line.n; i++) {
		size_t n = issue_rune_bytes(line.p + at, line.n - at);

		buf_adds(b, n > 1 ? "\xef\xbc\x8e" : ".");
		at += n;
	}
	buf_adds(b, at < line.n && issue_rune_bytes(line.p + at, line.n - at) > 1 ? "\xef\xbc\xbe" : "^");
}

struct sv cel_issues_text(struct arena *a, const struct cel_issues *issues, struct sv text)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct cel_issue **order = ARENA_ARRAY(a, const struct cel_issue *, issues->n);

	for (size_t i = 0; i < issues->n; i++)
		order[i] = &issues->p[i];
	qsort(order, issues->n, sizeof(*order), issue_order);
	for (size_t i = 0; i < issues->n; i++) {
		buf_printf(&b, "%sERROR: <input>:%" PRIu32 ":%" PRIu32 ": %.*s", i ? "\n" : "", order[i]->line,
			   order[i]->col, SV_ARG(order[i]->message));
		issue_mark(&b, issue_line(text, order[i]->line), order[i]->col);
	}
	return arena_sv(a, buf_sv(&b));
}
