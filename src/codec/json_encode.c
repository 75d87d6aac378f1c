/* The JSON encoder. Output is byte for byte what Go's json.Encoder writes for the same value
 * (its HTML escaping included), because encoded text is compared, hashed and signed by clients. */
#include "base/double.h"
#include "codec/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Bytes that may begin what cannot be written as it is. 0xe2 begins U+2028 and U+2029, which are escaped, and
 * all other characters from U+2000 to U+2FFF, which are not: scan_escape() tells them apart. */
static const uint8_t special[256] = {
	[0 ... 0x1f] = 1, ['"'] = 1, ['\\'] = 1, ['<'] = 1, ['>'] = 1, ['&'] = 1, [0xe2] = 1,
};

#ifdef __SSE2__
/* Which of the bytes are special, by bits. */
static inline unsigned special_of(__m128i c)
{
	const __m128i quote = _mm_set1_epi8('"'), bs = _mm_set1_epi8('\\'), amp = _mm_set1_epi8('&'),
		      ctl = _mm_set1_epi8(0x1f), e2 = _mm_set1_epi8((char)0xe2), gt = _mm_set1_epi8('>'),
		      two = _mm_set1_epi8(2);
	__m128i stop;

	/* '<' and '>' differ only in the bit of value 2. */
	stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(c, quote), _mm_cmpeq_epi8(c, bs)),
			    _mm_or_si128(_mm_cmpeq_epi8(c, amp), _mm_cmpeq_epi8(_mm_max_epu8(c, ctl), ctl)));
	stop = _mm_or_si128(stop, _mm_or_si128(_mm_cmpeq_epi8(c, e2), _mm_cmpeq_epi8(_mm_or_si128(c, two), gt)));
	return (unsigned)_mm_movemask_epi8(stop);
}
#endif

/* First special byte of [p, end). */
static inline const char *scan_special(const char *p, const char *end)
{
#ifdef __SSE2__
	unsigned found;
	uint64_t low, high;
	uint32_t low4, high4;

	for (; end - p >= 16; p += 16) {
		found = special_of(_mm_loadu_si128((const __m128i *)(const void *)p));
		if (found)
			return p + __builtin_ctz(found);
	}
	/* Most strings are short. Of the rest the first and the last bytes are looked at together, some maybe twice. */
	if (end - p >= 8) {
		memcpy(&low, p, 8);
		memcpy(&high, end - 8, 8);
		found = special_of(_mm_set_epi64x((long long)high, (long long)low));
		if (!found)
			return end;
		return __builtin_ctz(found) < 8 ? p + __builtin_ctz(found) : end - 16 + __builtin_ctz(found);
	}
	if (end - p >= 4) {
		memcpy(&low4, p, 4);
		memcpy(&high4, end - 4, 4);
		found = special_of(_mm_set_epi32(0, 0, (int)high4, (int)low4)) & 0xff;
		if (!found)
			return end;
		return __builtin_ctz(found) < 4 ? p + __builtin_ctz(found) : end - 8 + __builtin_ctz(found);
	}
#endif
	while (p < end && !special[(unsigned char)*p])
		p++;
	return p;
}

/* U+2028 or U+2029 at p? */
static inline bool line_separator(const char *p, const char *end)
{
	return end - p >= 3 && (unsigned char)p[1] == 0x80 && ((unsigned char)p[2] | 1) == 0xa9;
}

/* First character of [p, end) that is written as an escape. The one place that knows which: what json_str_plain()
 * says is what the encoder does, because objects find their strings in the encoded text by it. */
static inline const char *scan_escape(const char *p, const char *end)
{
	for (;;) {
		p = scan_special(p, end);
		if (p == end || (unsigned char)*p != 0xe2 || line_separator(p, end))
			return p;
		p++;
	}
}

/* The character at p, which scan_escape() found. Returns the bytes consumed. */
static size_t encode_special(struct buf *b, const char *p)
{
	static const char hex[] = "0123456789abcdef";
	unsigned char c = (unsigned char)*p;
	char u[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };

	switch (c) {
	case '"':
		buf_add(b, "\\\"", 2);
		break;
	case '\\':
		buf_add(b, "\\\\", 2);
		break;
	case '\n':
		buf_add(b, "\\n", 2);
		break;
	case '\r':
		buf_add(b, "\\r", 2);
		break;
	case '\t':
		buf_add(b, "\\t", 2);
		break;
	case '\b':
		buf_add(b, "\\b", 2);
		break;
	case '\f':
		buf_add(b, "\\f", 2);
		break;
	case 0xe2:
		buf_adds(b, (unsigned char)p[2] == 0xa8 ? "\\u2028" : "\\u2029");
		return 3;
	default:
		buf_add(b, u, sizeof(u));
		break;
	}
	return 1;
}

bool json_str_plain(struct sv s)
{
	return s.n == 0 || scan_escape(s.p, s.p + s.n) == s.p + s.n;
}

/* A string and what comes behind its closing quote: nothing, or the colon of a member. */
static void encode_str(struct buf *b, struct sv s, char behind)
{
	const char *p = s.p, *end = s.n ? p + s.n : p, *stop = s.n ? scan_escape(p, end) : p;
	size_t more = behind ? 3 : 2;
	char *to;

	if (stop == end) { /* the common case as one reservation and one copy */
		to = buf_extend(b, s.n + more);
		if (!to)
			return;
		to[0] = '"';
		if (s.n)
			memcpy(to + 1, p, s.n);
		to[s.n + 1] = '"';
		if (behind)
			to[s.n + 2] = behind;
		return;
	}
	buf_addc(b, '"');
	for (;;) {
		buf_add(b, p, (size_t)(stop - p));
		if (stop == end)
			break;
		p = stop + encode_special(b, stop);
		stop = scan_escape(p, end);
	}
	buf_addc(b, '"');
	if (behind)
		buf_addc(b, behind);
}

void json_encode_str(struct buf *b, struct sv s)
{
	encode_str(b, s, '\0');
}

static void encode_scalar(struct buf *b, const struct val *v)
{
	switch (val_type(v)) {
	case VAL_BOOL:
		if (v->b)
			buf_add(b, "true", 4);
		else
			buf_add(b, "false", 5);
		break;
	case VAL_INT:
		buf_addi64(b, v->i);
		break;
	case VAL_FLOAT:
		if (isfinite(v->d))
			double_json(b, v->d);
		else
			buf_adds(b, "null"); /* no JSON number; decoders never make one */
		break;
	case VAL_STR:
		json_encode_str(b, sv_make(v->s, v->n));
		break;
	case VAL_RAW:
		buf_add(b, v->s, v->n);
		break;
	default:
		buf_add(b, "null", 4);
		break;
	}
}

/* Symbols are plain identifiers: nothing in them needs an escape. */
static void encode_sym(struct buf *b, enum sym s)
{
	struct sv name = sym_name(s);
	char *to = buf_extend(b, name.n + 3);

	if (!to)
		return;
	to[0] = '"';
	memcpy(to + 1, name.p, name.n);
	to[name.n + 1] = '"';
	to[name.n + 2] = ':';
}

void json_encode(struct buf *b, const struct val *v)
{
	switch (val_type(v)) {
	case VAL_LIST:
		buf_addc(b, '[');
		for (size_t i = 0; i < v->n; i++) {
			if (i)
				buf_addc(b, ',');
			json_encode(b, &v->items[i]);
		}
		buf_addc(b, ']');
		break;
	case VAL_MAP:
		buf_addc(b, '{');
		for (size_t i = 0; i < v->n; i++) {
			const struct val *m = &v->items[i];

			if (i)
				buf_addc(b, ',');
			if (m->type == VAL_KEY) {
				encode_str(b, sv_make(m->s, m->n), ':');
				m = &v->items[++i];
			} else {
				encode_sym(b, (enum sym)m->sym);
			}
			json_encode(b, m);
		}
		buf_addc(b, '}');
		break;
	default:
		encode_scalar(b, v);
		break;
	}
}

/* --- indented --- */

static void newline(struct buf *b, int spaces, int level)
{
	buf_addc(b, '\n');
	for (int i = 0; i < spaces * level; i++)
		buf_addc(b, ' ');
}

static void encode_indent(struct buf *b, const struct val *v, int spaces, int level);

/* Raw text holds no white space of its own: it is decoded to be laid out. */
static void encode_raw_indent(struct buf *b, const struct val *v, int spaces, int level)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct json_opts opts = { .borrow_text = true };
	struct val *parsed = json_decode(&tmp, val_raw(v), &opts, NULL);

	if (parsed)
		encode_indent(b, parsed, spaces, level);
	else
		buf_addsv(b, val_raw(v));
}

static void encode_indent(struct buf *b, const struct val *v, int spaces, int level)
{
	bool first = true;

	switch (val_type(v)) {
	case VAL_LIST:
		buf_addc(b, '[');
		for (size_t i = 0; i < v->n; i++) {
			if (i)
				buf_addc(b, ',');
			newline(b, spaces, level + 1);
			encode_indent(b, &v->items[i], spaces, level + 1);
		}
		if (v->n)
			newline(b, spaces, level);
		buf_addc(b, ']');
		break;
	case VAL_MAP:
		buf_addc(b, '{');
		VAL_EACH_MEMBER(v, m) {
			if (!first)
				buf_addc(b, ',');
			first = false;
			newline(b, spaces, level + 1);
			json_encode_str(b, m.key);
			buf_add(b, ": ", 2);
			encode_indent(b, m.value, spaces, level + 1);
		}
		if (!first)
			newline(b, spaces, level);
		buf_addc(b, '}');
		break;
	case VAL_RAW:
		encode_raw_indent(b, v, spaces, level);
		break;
	default:
		encode_scalar(b, v);
		break;
	}
}

void json_encode_indent(struct buf *b, const struct val *v, int spaces)
{
	encode_indent(b, v, spaces, 0);
}

void json_encode_indent_at(struct buf *b, const struct val *v, int spaces, int level)
{
	encode_indent(b, v, spaces, level);
}
