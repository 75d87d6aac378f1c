/* The JSON decoder: one pass, no recursion, no allocation per node.
 *
 * Finished nodes wait on one scratch stack. When a container closes, its children are the top
 * of that stack; they move into an exact array in the arena and the container's own node takes
 * their place. An open container is a frame that remembers where its children begin.
 *
 * Unless the caller lends the text, it is copied into the arena once and strings point into
 * that copy; escapes are then undone in place (an escape is never shorter than what it means).
 *
 * Error texts are those of Go's encoding/json. */
#include "codec/json.h"

#include "base/utf8.h"
#include "codec/json_decode-internal.h"
#include "codec/symbol.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* --- errors --- */

static int fail_eof(struct json_decoder *d)
{
	if (d->too_many)
		return budget_refuse(d->opts->values, d->err);
	return err_set(d->err, ERR_BAD_REQUEST, "unexpected end of JSON input");
}

/* The byte as Go quotes a rune: 'x', '\'', '\n', '\x00', '\u0080'. */
static void quote_char(unsigned char c, char out[16])
{
	static const char esc[] = "\a\b\f\n\r\t\v\\'";
	static const char name[] = "abfnrtv\\'";
	const char *p = c ? strchr(esc, c) : NULL;

	if (p)
		snprintf(out, 16, "'\\%c'", name[p - esc]);
	else if (c < 0x20 || c == 0x7f)
		snprintf(out, 16, "'\\x%02x'", c);
	else if (c < 0x80)
		snprintf(out, 16, "'%c'", c);
	else if (c < 0xa1 || c == 0xad)
		snprintf(out, 16, "'\\u%04x'", c);
	else /* Go takes the byte for a rune */
		snprintf(out, 16, "'%c%c'", 0xc0 | c >> 6, 0x80 | (c & 0x3f));
}

/* The byte at d->at is not what the grammar wants there. */
static int fail_char(struct json_decoder *d, const char *context)
{
	char quoted[16];

	if (d->at == d->end)
		return fail_eof(d);
	quote_char((unsigned char)*d->at, quoted);
	return err_set(d->err, ERR_BAD_REQUEST, "invalid character %s %s", quoted, context);
}

/* --- the node stack --- */

static struct val *push_slow(struct json_decoder *d)
{
	/* What is on the stack is not paid for yet. More than the budget has is not even collected: the text ends. */
	if (d->opts && d->opts->values && !d->uncounted && d->n - d->keys > d->opts->values->limit->units) {
		(void)budget_take(d->opts->values, d->n - d->keys);
		d->too_many = true;
		d->end = d->at;
	}
	d->cap *= 2;
	if (d->heap) {
		d->heap = xrealloc(d->heap, d->cap * sizeof(struct val));
	} else {
		d->heap = xmalloc(d->cap * sizeof(struct val));
		memcpy(d->heap, d->nodes, d->n * sizeof(struct val));
	}
	d->nodes = d->heap;
	return &d->nodes[d->n++];
}

static inline struct val *push(struct json_decoder *d)
{
	return d->n < d->cap ? &d->nodes[d->n++] : push_slow(d);
}

/* --- strings --- */

static int hex4(const char *p)
{
	int v = 0;

	for (int i = 0; i < 4; i++) {
		int x = hex_value(p[i]);

		if (x < 0)
			return -1;
		v = v << 4 | x;
	}
	return v;
}

static size_t utf8_put(char *out, uint32_t r)
{
	if (r < 0x80) {
		out[0] = (char)r;
		return 1;
	}
	if (r < 0x800) {
		out[0] = (char)(0xc0 | r >> 6);
		out[1] = (char)(0x80 | (r & 0x3f));
		return 2;
	}
	if (r < 0x10000) {
		out[0] = (char)(0xe0 | r >> 12);
		out[1] = (char)(0x80 | (r >> 6 & 0x3f));
		out[2] = (char)(0x80 | (r & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | r >> 18);
	out[1] = (char)(0x80 | (r >> 12 & 0x3f));
	out[2] = (char)(0x80 | (r >> 6 & 0x3f));
	out[3] = (char)(0x80 | (r & 0x3f));
	return 4;
}

static bool is_surrogate(int r)
{
	return r >= 0xd800 && r < 0xe000;
}

/* Undoes the escapes of the checked text [from, end) into out; returns the bytes written. A
 * surrogate without its other half becomes U+FFFD, as in Go. */
static size_t unescape(char *out, const char *from, const char *end)
{
	char *w = out;

	while (from < end) {
		const char *bs = memchr(from, '\\', (size_t)(end - from));
		size_t plain = (size_t)((bs ? bs : end) - from);
		int r;

		memmove(w, from, plain);
		w += plain;
		if (!bs)
			break;
		from = bs + 2;
		switch (bs[1]) {
		case 'b':
			*w++ = '\b';
			break;
		case 'f':
			*w++ = '\f';
			break;
		case 'n':
			*w++ = '\n';
			break;
		case 'r':
			*w++ = '\r';
			break;
		case 't':
			*w++ = '\t';
			break;
		case 'u':
			r = hex4(from);
			from += 4;
			if (is_surrogate(r)) {
				int low = end - from >= 6 && from[0] == '\\' && from[1] == 'u' ? hex4(from + 2) : -1;

				if (r < 0xdc00 && low >= 0xdc00 && low < 0xe000) {
					r = 0x10000 + ((r - 0xd800) << 10) + (low - 0xdc00);
					from += 6;
				} else {
					r = 0xfffd;
				}
			}
			w += utf8_put(w, (uint32_t)r);
			break;
		default: /* quote, backslash, slash stand for themselves */
			*w++ = bs[1];
			break;
		}
	}
	return (size_t)(w - out);
}

/* Advances over bytes that a string holds as they are; ors *high with any byte >= 0x80. */
static inline const char *scan_plain(const char *p, const char *end, unsigned *high)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), bs = _mm_set1_epi8('\\'), ctl = _mm_set1_epi8(0x1f);

	while (end - p >= 16) {
		__m128i c = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* max(c, 0x1f) == 0x1f exactly for control bytes, unsigned */
		__m128i stop = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(c, quote), _mm_cmpeq_epi8(c, bs)),
					    _mm_cmpeq_epi8(_mm_max_epu8(c, ctl), ctl));
		unsigned mask = (unsigned)_mm_movemask_epi8(stop), hi = (unsigned)_mm_movemask_epi8(c);

		if (mask) {
			unsigned at = (unsigned)__builtin_ctz(mask);

			*high |= hi & ((1u << at) - 1);
			return p + at;
		}
		*high |= hi;
		p += 16;
	}
#endif
	for (; p < end; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == '"' || c == '\\' || c < 0x20)
			break;
		*high |= c & 0x80;
	}
	return p;
}

/* d->at is behind the opening quote. On success it is behind the closing one. */
static int parse_string(struct json_decoder *d, struct sv *ret)
{
	const char *start = d->at, *p = start;
	bool escaped = false, in_text = true;
	unsigned high = 0;
	size_t n;

	for (;;) {
		p = scan_plain(p, d->end, &high);
		d->at = p;
		if (p == d->end)
			return fail_eof(d);
		if (*p == '"')
			break;
		if (*p != '\\')
			return fail_char(d, "in string literal");
		escaped = true;
		d->at = ++p;
		if (p == d->end)
			return fail_eof(d);
		if (*p == 'u') {
			for (int i = 0; i < 4; i++) {
				d->at = ++p;
				if (p == d->end ||
				    !((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f') || (*p >= 'A' && *p <= 'F')))
					return fail_char(d, "in \\u hexadecimal character escape");
			}
		} else if (!memchr("\"\\/bfnrt", *p, 8)) {
			return fail_char(d, "in string escape code");
		}
		p++;
	}
	d->at = p + 1;
	n = (size_t)(p - start);
	if (high && !utf8_valid(sv_make(start, n))) {
		char *whole = arena_alloc(d->a, 3 * n);

		n = utf8_repair(sv_make(start, n), whole);
		start = whole;
		p = whole + n;
		in_text = false;
	}
	if (escaped) {
		char *out = d->own_text || !in_text ? (char *)start : arena_alloc(d->a, n);

		n = unescape(out, start, p);
		start = out;
	}
	*ret = sv_make(start, n);
	return 0;
}

/* --- numbers --- */

static bool digit(const struct json_decoder *d)
{
	return d->at < d->end && *d->at >= '0' && *d->at <= '9';
}

/* Exact when the digits fit 53 bits and the power of ten is exact too; else strtod. */
static int parse_double(struct json_decoder *d, const char *start, uint64_t digits, bool fits, int exp10, double *ret)
{
	static const double pow10[] = { 1e0,  1e1,  1e2,  1e3,	1e4,  1e5,  1e6,  1e7,	1e8,  1e9,  1e10, 1e11,
					1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22 };
	size_t n = (size_t)(d->at - start);
	char small[64], *copy = small;
	double v;

	if (fits && digits <= UINT64_C(1) << 53 && exp10 >= -22 && exp10 <= 22) {
		v = (double)digits;
		v = exp10 < 0 ? v / pow10[-exp10] : v * pow10[exp10];
		*ret = *start == '-' ? -v : v;
		return 0;
	}
	if (n >= sizeof(small))
		copy = xmalloc(n + 1);
	memcpy(copy, start, n);
	copy[n] = '\0';
	v = strtod(copy, NULL);
	if (copy != small)
		free(copy);
	if (isinf(v))
		return err_set(d->err, ERR_BAD_REQUEST,
			       "json: cannot unmarshal number %.*s into Go value of type float64", (int)MIN(n, 64),
			       start);
	*ret = v;
	return 0;
}

/* d->at is on '-' or a digit. */
static int parse_number(struct json_decoder *d, struct val *out)
{
	const char *start = d->at;
	bool neg = *start == '-', whole = true, fits = true;
	uint64_t digits = 0;
	int exp10 = 0;

	if (neg) {
		d->at++;
		if (!digit(d))
			return fail_char(d, "in numeric literal");
	}
	if (*d->at == '0') {
		d->at++;
	} else {
		for (; digit(d); d->at++) {
			fits = fits && !__builtin_mul_overflow(digits, 10u, &digits) &&
			       !__builtin_add_overflow(digits, (uint64_t)(*d->at - '0'), &digits);
		}
	}
	if (d->at < d->end && *d->at == '.') {
		whole = false;
		d->at++;
		if (!digit(d))
			return fail_char(d, "after decimal point in numeric literal");
		for (; digit(d); d->at++) {
			fits = fits && exp10 > -1000 && !__builtin_mul_overflow(digits, 10u, &digits) &&
			       !__builtin_add_overflow(digits, (uint64_t)(*d->at - '0'), &digits);
			exp10 -= fits;
		}
	}
	if (d->at < d->end && (*d->at == 'e' || *d->at == 'E')) {
		bool exp_neg = false;
		int e = 0;

		whole = false;
		d->at++;
		if (d->at < d->end && (*d->at == '+' || *d->at == '-'))
			exp_neg = *d->at++ == '-';
		if (!digit(d))
			return fail_char(d, "in exponent of numeric literal");
		for (; digit(d); d->at++)
			e = MIN(e * 10 + (*d->at - '0'), 100000);
		exp10 += exp_neg ? -e : e;
	}
	if (whole && fits && digits <= (uint64_t)INT64_MAX + neg) {
		*out = val_make(VAL_INT, 0);
		out->i = neg ? (int64_t)(0 - digits) : (int64_t)digits;
		return 0;
	}

	double v = 0;

	if (parse_double(d, start, digits, fits, exp10, &v) < 0)
		return -1;
	*out = val_make(VAL_FLOAT, 0);
	out->d = v;
	return 0;
}

/* --- literals --- */

static int parse_literal(struct json_decoder *d, const char *word)
{
	for (size_t i = 1; word[i]; i++) {
		char context[48];

		d->at++;
		if (d->at < d->end && *d->at == word[i])
			continue;
		snprintf(context, sizeof(context), "in literal %s (expecting '%c')", word, word[i]);
		return fail_char(d, context);
	}
	d->at++;
	return 0;
}

/* --- containers --- */

static int open_container(struct json_decoder *d, bool map, uint32_t sym, size_t max_depth)
{
	if (d->depth >= max_depth)
		return err_set(d->err, ERR_BAD_REQUEST, "exceeded max depth");
	d->frames[d->depth++] =
	    (struct json_frame){ .start = (uint32_t)d->n, .sym = sym, .keys = (uint32_t)d->keys, .map = map };
	if (sym == F_fieldsV1 && !d->uncounted)
		d->uncounted = d->depth;
	return 0;
}

/* For the n nodes of the innermost container. */
static int pay_values(struct json_decoder *d, size_t n)
{
	const struct json_frame *f = &d->frames[d->depth - 1];
	size_t keys = d->keys - f->keys;

	d->keys = f->keys;
	if (!d->opts || !d->opts->values)
		return 0;
	if (d->uncounted) {
		if (d->uncounted == d->depth)
			d->uncounted = 0;
		return 0;
	}
	return budget_spend(d->opts->values, n - keys, d->err);
}

/* Moves the children of the innermost container into the arena and pushes its node. */
static int close_container(struct json_decoder *d)
{
	const struct json_frame *f = &d->frames[d->depth - 1];
	size_t n = d->n - f->start;
	struct val *v = d->nodes + f->start, node;

	if (pay_values(d, n) < 0)
		return -1;
	if (f->map)
		n = json_settle(d, v, n, true);
	if (budget_over(&d->merged))
		return budget_refuse(&d->merged, d->err);
	node = val_make(f->map ? VAL_MAP : VAL_LIST, n);
	node.sym = f->sym;
	node.items = NULL;
	if (n) {
		node.items = val_items_new(d->a, n);
		memcpy(node.items, v, n * sizeof(struct val));
	}
	d->n = f->start;
	d->depth--;
	*push(d) = node;
	return 0;
}

/* Indexed by byte: 1 for JSON white space. */
static const uint8_t is_space[256] = { [' '] = 1, ['\t'] = 1, ['\n'] = 1, ['\r'] = 1 };

static inline void skip_space(struct json_decoder *d)
{
	while (d->at < d->end && is_space[(unsigned char)*d->at])
		d->at++;
}

/* A member's key and colon. String keys push their own node; symbols are returned. */
static int parse_key(struct json_decoder *d, uint32_t *ret_sym)
{
	struct sv key;

	if (d->at == d->end || *d->at != '"')
		return fail_char(d, "looking for beginning of object key string");
	d->at++;
	if (parse_string(d, &key) < 0)
		return -1;
	skip_space(d);
	if (d->at == d->end || *d->at != ':')
		return fail_char(d, "after object key");
	d->at++;
	*ret_sym = (uint32_t)sym_find_below(key, d->sym_end);
	if (*ret_sym == SYM_NONE) {
		struct val *k = push(d);

		*k = val_make(VAL_KEY, key.n);
		k->s = key.p;
		d->keys++;
	}
	return 0;
}

static int parse_scalar(struct json_decoder *d, uint32_t sym)
{
	struct val v;
	struct sv s;

	switch (*d->at) {
	case '"':
		d->at++;
		if (parse_string(d, &s) < 0)
			return -1;
		v = val_make(VAL_STR, s.n);
		v.s = s.p;
		break;
	case 't':
	case 'f':
		v = val_make(VAL_BOOL, 0);
		v.i = 0;
		v.b = *d->at == 't';
		if (parse_literal(d, v.b ? "true" : "false") < 0)
			return -1;
		break;
	case 'n':
		v = val_make(VAL_NULL, 0);
		v.i = 0;
		if (parse_literal(d, "null") < 0)
			return -1;
		break;
	case '-':
	case '0' ... '9':
		if (parse_number(d, &v) < 0)
			return -1;
		break;
	default:
		return fail_char(d, "looking for beginning of value");
	}
	v.sym = sym;
	*push(d) = v;
	return 0;
}

/* The whole text; the value is then the only node on the stack. */
static int parse_text(struct json_decoder *d, size_t max_depth)
{
	uint32_t sym = SYM_NONE;

	for (;;) {
		/* A value begins here. */
		skip_space(d);
		if (d->at == d->end)
			return fail_eof(d);
		if (*d->at == '{') {
			if (open_container(d, true, sym, max_depth) < 0)
				return -1;
			d->at++;
			skip_space(d);
			if (d->at == d->end || *d->at != '}') {
				if (parse_key(d, &sym) < 0)
					return -1;
				continue;
			}
			d->at++;
			if (close_container(d) < 0)
				return -1;
		} else if (*d->at == '[') {
			if (open_container(d, false, sym, max_depth) < 0)
				return -1;
			d->at++;
			sym = SYM_NONE;
			skip_space(d);
			if (d->at == d->end || *d->at != ']')
				continue;
			d->at++;
			if (close_container(d) < 0)
				return -1;
		} else if (parse_scalar(d, sym) < 0) {
			return -1;
		}

		/* A value ended here: close what closes with it, until another one must begin. */
		for (;;) {
			bool map;

			skip_space(d);
			if (d->depth == 0)
				return d->at == d->end ? 0 : fail_char(d, "after top-level value");
			map = d->frames[d->depth - 1].map;
			if (d->at < d->end && *d->at == ',') {
				d->at++;
				sym = SYM_NONE;
				if (map) {
					skip_space(d);
					if (parse_key(d, &sym) < 0)
						return -1;
				}
				break;
			}
			if (d->at == d->end || *d->at != (map ? '}' : ']'))
				return fail_char(d, map ? "after object key:value pair" : "after array element");
			d->at++;
			if (close_container(d) < 0)
				return -1;
		}
	}
}

struct val *json_decode(struct arena *a, struct sv text, const struct json_opts *opts, struct err *err)
{
	struct json_frame frames[JSON_DEPTH_MAX];
	struct val first[256], *root = NULL;
	struct json_decoder d = { .a = a,
				  .opts = opts,
				  .err = err,
				  .nodes = first,
				  .cap = ARRAY_LEN(first),
				  .frames = frames,
				  .merged = BUDGET(json_merge_limit),
				  .sym_end = sym_end() };
	size_t max_depth = opts && opts->max_depth > 0 ? MIN((size_t)opts->max_depth, JSON_DEPTH_MAX) : JSON_DEPTH_MAX;

	/* Lengths of strings and counts of nodes fit a node's 28 bits because the text's does. */
	if (text.n > VAL_N_MAX) {
		err_set(err, ERR_BAD_REQUEST, "JSON text of %zu bytes is too long", text.n);
		return NULL;
	}
	if (!text.n) {
		fail_eof(&d);
		return NULL;
	}
	if (!opts || !opts->borrow_text) {
		text = arena_sv(a, text);
		d.own_text = true;
	}
	d.at = text.p;
	d.end = text.p + text.n;
	if (opts)
		(void)budget_take(opts->values, 1); /* the root, which is in no container */
	if (parse_text(&d, max_depth) == 0) {
		root = arena_alloc(a, sizeof(*root));
		*root = d.nodes[0];
	}
	free(d.heap);
	return root;
}

bool json_valid(struct sv text)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct json_opts opts = { .borrow_text = true };

	return json_decode(&tmp, text, &opts, NULL) != NULL;
}
