/* Lengths of nested messages are known only at pb_close(): one byte is kept for them and the message is
 * moved up when it needs more, which for our small messages is rare. */
#include "codec/pbwire.h"

void pb_varint_long(struct buf *b, uint64_t v)
{
	while (v >= 0x80) {
		buf_addc(b, (char)(v | 0x80));
		v >>= 7;
	}
	buf_addc(b, (char)v);
}

void pb_u64(struct buf *b, uint32_t field, uint64_t v)
{
	if (!v)
		return;
	pb_tag(b, field, PB_VARINT);
	pb_varint(b, v);
}

void pb_i64(struct buf *b, uint32_t field, int64_t v)
{
	pb_u64(b, field, (uint64_t)v);
}

void pb_bool(struct buf *b, uint32_t field, bool v)
{
	pb_u64(b, field, v);
}

void pb_sv_elem(struct buf *b, uint32_t field, struct sv v)
{
	if (field < 16 && v.n < 0x80) {
		char *to = buf_extend(b, v.n + 2);

		if (!to)
			return;
		to[0] = (char)(field << 3 | PB_BYTES);
		to[1] = (char)v.n;
		if (v.n)
			memcpy(to + 2, v.p, v.n);
		return;
	}
	pb_tag(b, field, PB_BYTES);
	pb_varint(b, v.n);
	buf_addsv(b, v);
}

void pb_sv(struct buf *b, uint32_t field, struct sv v)
{
	if (v.n)
		pb_sv_elem(b, field, v);
}

void pb_map_entry(struct buf *b, uint32_t field, struct sv key, struct sv value)
{
	size_t m = pb_open(b, field);

	pb_sv(b, 1, key);
	pb_sv(b, 2, value);
	pb_close(b, m);
}

size_t pb_open(struct buf *b, uint32_t field)
{
	pb_tag(b, field, PB_BYTES);
	buf_addc(b, 0);
	return b->n;
}

void pb_close(struct buf *b, size_t mark)
{
	size_t n, len_bytes = 1, left;

	if (b->overflow || mark > b->n)
		return;
	n = b->n - mark;
	for (left = n >> 7; left; left >>= 7)
		len_bytes++;
	for (size_t i = 1; i < len_bytes; i++)
		buf_addc(b, 0);
	if (b->overflow)
		return;
	if (len_bytes > 1)
		memmove(b->p + mark + len_bytes - 1, b->p + mark, n);
	left = n;
	for (size_t i = 0; i < len_bytes; i++) {
		b->p[mark - 1 + i] = (char)((left & 0x7f) | (i + 1 < len_bytes ? 0x80 : 0));
		left >>= 7;
	}
}

struct pb_reader pb_reader(struct sv message)
{
	const unsigned char *p = (const unsigned char *)(message.p ? message.p : "");

	return (struct pb_reader){ .at = p, .end = p + message.n };
}

static bool read_varint(struct pb_reader *r, uint64_t *ret)
{
	uint64_t v = 0;

	for (unsigned shift = 0; shift < 70 && r->at < r->end; shift += 7) {
		unsigned char c = *r->at++;

		if (shift < 64)
			v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*ret = v;
			return true;
		}
	}
	r->bad = true;
	return false;
}

static bool read_fixed(struct pb_reader *r, size_t n, uint64_t *ret)
{
	uint64_t v = 0;

	if ((size_t)(r->end - r->at) < n) {
		r->bad = true;
		return false;
	}
	for (size_t i = 0; i < n; i++)
		v |= (uint64_t)r->at[i] << (8 * i);
	r->at += n;
	*ret = v;
	return true;
}

bool pb_next(struct pb_reader *r, struct pb_field *ret)
{
	uint64_t t, n;

	if (r->bad || r->at == r->end || !read_varint(r, &t))
		return false;
	*ret = (struct pb_field){ .no = (uint32_t)(t >> 3), .wire = (enum pb_wire)(t & 7) };
	if (t >> 3 == 0 || t >> 32) {
		r->bad = true;
		return false;
	}
	switch (t & 7) {
	case PB_VARINT:
		return read_varint(r, &ret->u);
	case PB_FIXED64:
		return read_fixed(r, 8, &ret->u);
	case PB_FIXED32:
		return read_fixed(r, 4, &ret->u);
	case PB_BYTES:
		if (!read_varint(r, &n))
			return false;
		if (n > (size_t)(r->end - r->at)) {
			r->bad = true;
			return false;
		}
		ret->bytes = sv_make((const char *)r->at, (size_t)n);
		r->at += n;
		return true;
	default: /* groups went away with proto2 */
		r->bad = true;
		return false;
	}
}

bool pb_find(struct sv message, uint32_t field, struct pb_field *ret)
{
	PB_EACH(message, r, f) {
		if (f.no == field) {
			*ret = f;
			return true;
		}
	}
	return false;
}

struct sv pb_get_sv(struct sv message, uint32_t field)
{
	struct pb_field f;

	return pb_find(message, field, &f) && f.wire == PB_BYTES ? f.bytes : sv_make("", 0);
}

uint64_t pb_get_u64(struct sv message, uint32_t field)
{
	struct pb_field f;

	return pb_find(message, field, &f) && f.wire == PB_VARINT ? f.u : 0;
}

bool pb_valid(struct sv message)
{
	struct pb_reader r = pb_reader(message);
	struct pb_field f;

	while (pb_next(&r, &f))
		;
	return !r.bad;
}
