#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

void buf_release(struct buf *b)
{
	free(b->p);
	*b = BUF_INIT;
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->overflow = false;
	if (b->p)
		b->p[0] = '\0';
}

void buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap;

	BUG_ON(more > SIZE_MAX / 4 || b->n > SIZE_MAX / 4);
	need = b->n + more + 1;
	if (need <= b->cap)
		return;
	cap = b->cap ? b->cap + b->cap / 2 : 64;
	if (cap < need)
		cap = need;
	b->p = xrealloc(b->p, cap);
	b->cap = cap;
}

char *buf_extend_slow(struct buf *b, size_t n)
{
	char *p;

	if (b->overflow)
		return NULL;
	if (b->limit && (n > b->limit || b->n > b->limit - n)) {
		b->overflow = true;
		return NULL;
	}
	buf_reserve(b, n);
	p = b->p + b->n;
	b->n += n;
	b->p[b->n] = '\0';
	return p;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	char *to = buf_extend(b, n);

	if (to && n)
		memcpy(to, p, n);
}

void buf_addsv(struct buf *b, struct sv s)
{
	buf_add(b, s.p, s.n);
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_addu64(struct buf *b, uint64_t v)
{
	char tmp[U64_TEXT_MAX];

	buf_addsv(b, u64_text(v, tmp));
}

void buf_addi64(struct buf *b, int64_t v)
{
	if (v < 0) {
		buf_addc(b, '-');
		buf_addu64(b, 0 - (uint64_t)v);
		return;
	}
	buf_addu64(b, (uint64_t)v);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
	/* Most texts fit behind what is there, and need no second run to be measured. */
	size_t room = b->cap - b->n, mark = b->n;
	va_list again;
	char *to;
	int n;

	va_copy(again, ap);
	n = vsnprintf(room ? b->p + mark : NULL, room, fmt, again);
	va_end(again);
	BUG_ON(n < 0);
	to = buf_extend(b, (size_t)n);
	if (!to && room)
		b->p[mark] = '\0'; /* the limit refuses it */
	if (to && (size_t)n >= room)
		vsnprintf(to, (size_t)n + 1, fmt, ap);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(b, fmt, ap);
	va_end(ap);
}

void buf_drop_front(struct buf *b, size_t n)
{
	BUG_ON(n > b->n);
	if (n == 0)
		return;
	memmove(b->p, b->p + n, b->n - n + 1);
	b->n -= n;
}

struct sv buf_sv(const struct buf *b)
{
	return sv_make(b->p, b->n);
}

char *buf_detach(struct buf *b)
{
	char *p = b->p ? b->p : xstrdup("");

	*b = (struct buf){ .limit = b->limit };
	return p;
}

const char *buf_cstr(struct buf *b)
{
	return b->p ? b->p : "";
}
