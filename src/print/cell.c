/* Cells that several printers have: texts, lists, ages. */
#include "print/print-internal.h"
#include "base/timefmt.h"

void cell_str(struct arena *a, struct val *cells, struct sv s)
{
	val_push(a, cells, val_new_str(a, s));
}

void cell_cstr(struct arena *a, struct val *cells, const char *s)
{
	cell_str(a, cells, sv_from(s));
}

void cell_fmt(struct arena *a, struct val *cells, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	val_push(a, cells, val_new_str_ref(a, sv_from(arena_vprintf(a, fmt, ap))));
	va_end(ap);
}

void cell_join(struct buf *b, const char *sep, struct sv s)
{
	if (b->n)
		buf_adds(b, sep);
	buf_addsv(b, s);
}

void cell_buf(struct arena *a, struct val *cells, struct buf *b, const char *if_none)
{
	cell_str(a, cells, b->n ? buf_sv(b) : sv_from(if_none));
	buf_release(b);
}

struct sv cell_lower_case(struct arena *a, struct sv s)
{
	char *p = arena_cstr(a, s);

	for (size_t i = 0; i < s.n; i++)
		if (p[i] >= 'A' && p[i] <= 'Z')
			p[i] = (char)(p[i] + ('a' - 'A'));
	return sv_make(p, s.n);
}

struct sv cell_age_of(struct arena *a, const struct val *time, int64_t now_ns)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	int64_t t;

	if (!time_parse(val_str(time), &t))
		return SV("<unknown>");
	duration_human(&b, now_ns - t);
	return arena_sv(a, buf_sv(&b));
}

void cell_list3_add(struct list3 *l, struct sv s)
{
	if (l->n++ >= 3)
		return;
	if (l->n > 1)
		buf_addc(&l->b, ',');
	buf_addsv(&l->b, s);
}

struct sv cell_list3_end(struct arena *a, struct list3 *l, const char *if_none)
{
	struct sv out;

	if (l->n > 3)
		buf_printf(&l->b, " + %zu more...", l->n - 3);
	out = l->n ? arena_sv(a, buf_sv(&l->b)) : sv_from(if_none);
	buf_release(&l->b);
	return out;
}
