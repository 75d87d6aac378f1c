/* What upstream's version does that one would not expect, and people see: %f groups digits by thousands, %e writes
 * "1.5 x 10" with a superscript exponent and always six digits, doubles within lists have six, too. */
#include "object/cel/lib_format.h"

#include "base/go_quote.h"
#include "base/utf8.h"
#include "object/cel/lib-internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define FORMAT_PRECISION 6
#define FORMAT_PRECISION_MAX 1000
#define FORMAT_DEPTH_MAX 100

struct formatter {
	struct cel_call *c;
	struct buf *b;
};

static int format_value(struct formatter *f, const struct cel_value *v, unsigned depth, bool nested);

static int format_refuse(struct formatter *f, const char *what, const struct cel_value *v)
{
	return cel_fail(f->c, "error during formatting: %s, was given %.*s", what, SV_ARG(cel_type_name_of(v)));
}

static int format_list(struct formatter *f, const struct cel_value *v, unsigned depth)
{
	size_t n = cel_count(v);

	buf_addc(f->b, '[');
	for (size_t i = 0; i < n; i++) {
		struct cel_value one = cel_at(f->c->arena, v, i);

		if (i)
			buf_adds(f->b, ", ");
		if (format_value(f, &one, depth, true) < 0)
			return -1;
	}
	buf_addc(f->b, ']');
	return 0;
}

/* Members of a map, written one by one, in the order of their keys' texts. */
struct format_pair {
	struct sv key, value;
};

static int format_pair_order(const void *a, const void *b)
{
	return sv_cmp(((const struct format_pair *)a)->key, ((const struct format_pair *)b)->key);
}

static int format_pair(struct formatter *f, const struct cel_value *key, const struct cel_value *value, unsigned depth,
		       struct format_pair *ret)
{
	_cleanup_(buf_release) struct buf k = BUF_INIT, v = BUF_INIT;
	struct formatter to_k = { f->c, &k }, to_v = { f->c, &v };

	if (key->kind != CEL_STRING && key->kind != CEL_BOOL && key->kind != CEL_INT && key->kind != CEL_UINT)
		return cel_fail(f->c, "error during formatting: no formatting function for map key of type %.*s",
				SV_ARG(cel_type_name_of(key)));
	if (format_value(&to_k, key, depth, true) < 0 || format_value(&to_v, value, depth, true) < 0)
		return -1;
	*ret = (struct format_pair){ arena_sv(f->c->arena, buf_sv(&k)), arena_sv(f->c->arena, buf_sv(&v)) };
	return 0;
}

static int format_map(struct formatter *f, const struct cel_value *v, unsigned depth)
{
	size_t n = cel_count(v), at = 0;
	struct format_pair *pairs = ARENA_ARRAY(f->c->arena, struct format_pair, MAX(n, (size_t)1));

	if (v->flags & CEL_V_DOC) {
		VAL_EACH_MEMBER(v->doc, m) {
			struct cel_value key = cel_string(m.key);
			struct cel_value value =
			    cel_from_doc(f->c->arena, m.value, v->type ? v->type->params[1] : NULL);

			if (at < n && format_pair(f, &key, &value, depth, &pairs[at++]) < 0)
				return -1;
		}
	} else if (!(v->flags & CEL_V_LAZY)) {
		for (; at < n; at++)
			if (format_pair(f, &v->map->entries[at].key, &v->map->entries[at].value, depth, &pairs[at]) < 0)
				return -1;
	}
	qsort(pairs, at, sizeof(*pairs), format_pair_order);
	buf_addc(f->b, '{');
	for (size_t i = 0; i < at; i++)
		buf_printf(f->b, "%s%.*s:%.*s", i ? ", " : "", SV_ARG(pairs[i].key), SV_ARG(pairs[i].value));
	buf_addc(f->b, '}');
	return 0;
}

/* Of one that stands in a list or map: as a literal of the language, where it has one. */
static int format_literal(struct formatter *f, const struct cel_value *v)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	if (v->kind == CEL_DOUBLE) {
		if (isfinite(v->d)) {
			buf_printf(f->b, "%.*f", FORMAT_PRECISION, v->d);
			return 0;
		}
	}
	if (!lib_text(f->c->arena, v, &text))
		return cel_fail(f->c, "error during formatting: no formatting function for %.*s",
				SV_ARG(cel_type_name_of(v)));
	switch (v->kind) {
	case CEL_TIMESTAMP:
	case CEL_DURATION:
		buf_adds(f->b, v->kind == CEL_TIMESTAMP ? "timestamp(" : "duration(");
		go_quote(f->b, buf_sv(&text));
		buf_addc(f->b, ')');
		return 0;
	case CEL_BYTES:
		buf_addc(f->b, 'b');
		go_quote(f->b, buf_sv(&text));
		return 0;
	case CEL_STRING:
	case CEL_DOUBLE:
		go_quote(f->b, buf_sv(&text));
		return 0;
	default:
		buf_addsv(f->b, buf_sv(&text));
		return 0;
	}
}

static int format_value(struct formatter *f, const struct cel_value *v, unsigned depth, bool nested)
{
	if (depth > FORMAT_DEPTH_MAX)
		return cel_fail(f->c, "error during formatting: value is nested too deeply");
	/* Texts are copied: what is long is paid for before. */
	if ((v->kind == CEL_STRING || v->kind == CEL_BYTES) && lib_pay(f->c, v->n, 0) < 0)
		return -1;
	switch (v->kind) {
	case CEL_NULL:
		buf_adds(f->b, "null");
		return 0;
	case CEL_LIST:
		return lib_pay(f->c, 16 * (uint64_t)cel_count(v), 0) < 0 ? -1 : format_list(f, v, depth + 1);
	case CEL_MAP:
	case CEL_OBJECT:
		return lib_pay(f->c, 32 * (uint64_t)cel_count(v), 0) < 0 ? -1 : format_map(f, v, depth + 1);
	default:
		break;
	}
	if (nested)
		return format_literal(f, v);
	if (!lib_text(f->c->arena, v, f->b))
		return format_refuse(f,
				     "string clause can only be used on strings, bools, bytes, ints, doubles, maps, "
				     "lists, types, durations, and timestamps",
				     v);
	return 0;
}

static int format_decimal(struct formatter *f, const struct cel_value *v)
{
	if (v->kind != CEL_INT && v->kind != CEL_UINT)
		return format_refuse(f, "decimal clause can only be used on integers", v);
	lib_text(f->c->arena, v, f->b);
	return 0;
}

/* In digits of 2^shift. */
static void format_digits(struct buf *b, uint64_t u, unsigned shift, bool upper)
{
	char text[65];
	size_t at = sizeof(text);

	do
		text[--at] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[u & ((1u << shift) - 1)];
	while (u >>= shift);
	buf_add(b, text + at, sizeof(text) - at);
}

static void format_number(struct buf *b, const struct cel_value *v, unsigned shift, bool upper)
{
	bool negative = v->kind == CEL_INT && v->i < 0;

	if (negative)
		buf_addc(b, '-');
	format_digits(b, negative ? 0 - (uint64_t)v->i : v->u, shift, upper);
}

static int format_binary(struct formatter *f, const struct cel_value *v)
{
	if (v->kind == CEL_BOOL)
		buf_addc(f->b, v->b ? '1' : '0');
	else if (v->kind == CEL_INT || v->kind == CEL_UINT)
		format_number(f->b, v, 1, false);
	else
		return format_refuse(f, "only integers and bools can be formatted as binary", v);
	return 0;
}

static int format_octal(struct formatter *f, const struct cel_value *v)
{
	if (v->kind != CEL_INT && v->kind != CEL_UINT)
		return format_refuse(f, "octal clause can only be used on integers", v);
	format_number(f->b, v, 3, false);
	return 0;
}

static int format_hex(struct formatter *f, const struct cel_value *v, bool upper)
{
	switch (v->kind) {
	case CEL_INT:
	case CEL_UINT:
		format_number(f->b, v, 4, upper);
		return 0;
	case CEL_STRING:
	case CEL_BYTES:
		if (lib_pay(f->c, 2 * (uint64_t)v->n, 0) < 0)
			return -1;
		for (size_t i = 0; i < v->n; i++)
			buf_printf(f->b, upper ? "%02X" : "%02x", (unsigned char)v->s[i]);
		return 0;
	default:
		return format_refuse(f, "only integers, byte buffers, and strings can be formatted as hex", v);
	}
}

/* A double, or a text that names what no double's literal can. */
static bool format_double(const struct cel_value *v, double *ret)
{
	*ret = v->d;
	if (v->kind == CEL_DOUBLE)
		return true;
	if (v->kind != CEL_STRING)
		return false;
	*ret = sv_is(cel_text(v), "NaN") ? NAN : sv_is(cel_text(v), "Infinity") ? INFINITY : -INFINITY;
	return isnan(*ret) || *ret > 0 || sv_is(cel_text(v), "-Infinity");
}

static bool format_not_finite(struct buf *b, double d)
{
	if (isfinite(d))
		return false;
	buf_adds(b, isnan(d) ? "NaN" : d > 0 ? "\xe2\x88\x9e" : "-\xe2\x88\x9e");
	return true;
}

static int format_fixed(struct formatter *f, const struct cel_value *v, int precision)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct sv s;
	ssize_t point;
	size_t at = 0, whole;
	double d;

	if (!format_double(v, &d))
		return format_refuse(f, "fixed-point clause can only be used on doubles", v);
	if (format_not_finite(f->b, d))
		return 0;
	if (lib_pay(f->c, (uint64_t)precision, 0) < 0)
		return -1;
	buf_printf(&text, "%.*f", precision, d);
	s = buf_sv(&text);
	point = sv_find(s, '.');
	whole = point < 0 ? s.n : (size_t)point;
	if (s.p[0] == '-') {
		buf_addc(f->b, '-');
		at = 1;
	}
	for (; at < whole; at++) {
		buf_addc(f->b, s.p[at]);
		if (at + 1 < whole && (whole - at - 1) % 3 == 0)
			buf_addc(f->b, ',');
	}
	buf_addsv(f->b, sv_sub(s, whole, s.n));
	return 0;
}

static int format_scientific(struct formatter *f, const struct cel_value *v)
{
	static const char *const superscript[] = { "\xe2\x81\xb0", "\xc2\xb9",	   "\xc2\xb2",	   "\xc2\xb3",
						   "\xe2\x81\xb4", "\xe2\x81\xb5", "\xe2\x81\xb6", "\xe2\x81\xb7",
						   "\xe2\x81\xb8", "\xe2\x81\xb9" };
	char text[64];
	const char *e;
	double d;

	if (!format_double(v, &d))
		return format_refuse(f, "scientific clause can only be used on doubles", v);
	if (format_not_finite(f->b, d))
		return 0;
	(void)snprintf(text, sizeof(text), "%.*e", FORMAT_PRECISION, d);
	e = strchr(text, 'e');
	if (!e)
		return 0;
	buf_add(f->b, text, (size_t)(e - text));
	buf_adds(f->b, "\xe2\x80\xaf\xc3\x97\xe2\x80\xaf"
		       "10");
	for (e++; *e; e++) {
		if (*e == '-')
			buf_adds(f->b, "\xe2\x81\xbb");
		else if (*e >= '0' && *e <= '9')
			buf_adds(f->b, superscript[*e - '0']);
	}
	return 0;
}

/* What follows '%' at s[*at]: its precision, -1 when there is none. *at is behind it. */
static int format_precision(struct cel_call *c, struct sv s, size_t *at, int *ret)
{
	static const char where[] = "could not parse formatting clause: error while parsing precision";
	uint64_t n = 0;
	size_t from;

	*ret = -1;
	if (s.p[*at] != '.')
		return 0;
	for (from = ++*at; *at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9'; ++*at)
		n = MIN(n * 10 + (uint64_t)(s.p[*at] - '0'), (uint64_t)INT32_MAX);
	if (*at >= s.n)
		return cel_fail(c, "%s: could not find end of precision specifier", where);
	if (*at == from)
		return cel_fail(c,
				"%s: error while converting precision to integer: strconv.Atoi: parsing \"\": invalid "
				"syntax",
				where);
	*ret = (int)MIN(n, (uint64_t)FORMAT_PRECISION_MAX);
	return 0;
}

static int format_clause(struct formatter *f, struct sv s, size_t *at, const struct cel_value *v)
{
	int precision;
	size_t clause;

	if (format_precision(f->c, s, at, &precision) < 0)
		return -1;
	clause = (*at)++;
	switch (s.p[clause]) {
	case 's':
		return format_value(f, v, 0, false);
	case 'd':
		return format_decimal(f, v);
	case 'f':
		return format_fixed(f, v, precision < 0 ? FORMAT_PRECISION : precision);
	case 'e':
		return format_scientific(f, v);
	case 'b':
		return format_binary(f, v);
	case 'x':
	case 'X':
		return format_hex(f, v, s.p[clause] == 'X');
	case 'o':
		return format_octal(f, v);
	default: /* a byte, which Go takes for a character */
		if ((unsigned char)s.p[clause] >= 0x80)
			return cel_fail(f->c,
					"could not parse formatting clause: unrecognized formatting clause \"%c%c\"",
					(char)(0xc0 | (unsigned char)s.p[clause] >> 6),
					(char)(0x80 | ((unsigned char)s.p[clause] & 0x3f)));
		return cel_fail(f->c, "could not parse formatting clause: unrecognized formatting clause \"%c\"",
				s.p[clause]);
	}
}

int lib_format(struct cel_call *c, struct sv format, const struct cel_value *args, struct cel_value *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct formatter f = { c, &b };
	size_t n = cel_count(args), arg = 0, at = 0;

	if (lib_pay(c, format.n, format.n / 10) < 0)
		return -1;
	while (at < format.n) {
		struct cel_value v;

		if (format.p[at] != '%') {
			buf_addc(&b, format.p[at++]);
			continue;
		}
		if (at + 1 < format.n && format.p[at + 1] == '%') {
			buf_addc(&b, '%');
			at += 2;
			continue;
		}
		if (arg >= n)
			return cel_fail(c, "index %zu out of range", arg);
		if (++at >= format.n)
			return cel_fail(c, "unexpected end of string");
		v = cel_at(c->arena, args, arg++);
		if (format_clause(&f, format, &at, &v) < 0)
			return -1;
	}
	*ret = cel_string(arena_sv(c->arena, buf_sv(&b)));
	return 0;
}
