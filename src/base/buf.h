/* buf.h - a growing byte buffer with a bound.
 *
 * A buffer whose writer is driven by a client gets a limit; writes beyond it are dropped and
 * `overflow` is set (sticky), so that an encoder need not check each of its thirty calls. A
 * limit of 0 means none. Zero-initialised is a valid empty buffer. Not thread-safe.
 */
#pragma once

#include "base/base.h"

#include <stdarg.h>

struct buf {
	char *p; /* owned; always NUL-terminated once something was written */
	size_t n, cap;
	size_t limit;
	bool overflow;
};

#define BUF_INIT ((struct buf){ 0 })

void buf_release(struct buf *b); /* frees and zeroes; for _cleanup_ */
void buf_clear(struct buf *b);	 /* empty, memory and limit kept */
void buf_reserve(struct buf *b, size_t more);
char *buf_extend_slow(struct buf *b, size_t n);
/* Makes the buffer n bytes longer and returns them for the caller to fill, the NUL already behind
 * them; NULL when the limit forbids it. A view until the next write. */
static inline char *buf_extend(struct buf *b, size_t n)
{
	char *p;

	if (n >= b->cap - b->n || b->limit)
		return buf_extend_slow(b, n);
	p = b->p + b->n;
	b->n += n;
	p[n] = '\0';
	return p;
}
void buf_add(struct buf *b, const void *p, size_t n);
void buf_addsv(struct buf *b, struct sv s);
void buf_adds(struct buf *b, const char *s);
static inline void buf_addc(struct buf *b, char c)
{
	char *to = buf_extend(b, 1);

	if (to)
		*to = c;
}
void buf_addi64(struct buf *b, int64_t v); /* decimal */
void buf_addu64(struct buf *b, uint64_t v);
void buf_printf(struct buf *b, const char *fmt, ...) _printf_(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) _printf_(2, 0);
void buf_drop_front(struct buf *b, size_t n); /* forget the first n bytes */
struct sv buf_sv(const struct buf *b);	      /* view until the next write */
char *buf_detach(struct buf *b);	      /* caller frees; never NULL; b is empty after */
const char *buf_cstr(struct buf *b);	      /* never NULL; view until the next write */
