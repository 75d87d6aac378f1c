/* Quantities as decimal digit arrays: every operation is exact at any size, and the text a
 * client can make us hold is short. The scheduler's conversions of ordinary amounts take a
 * path with plain integers (parse_small).
 *
 * Facts of resource.Quantity kept here: text that already looks canonical is returned as it
 * was written ("1.500" stays, "1.5" becomes "1500m"); amounts finer than a nano round away
 * from zero; binary amounts are capped at 2^63 - 1, and written in decimal where the binary
 * form would need a fraction; "+", "k" and "." are zero. */
#include "object/quantity.h"

#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 256 /* bytes of a quantity; longer text is malformed */
#define EXP_MAX 4096 /* largest decimal exponent either way, as above */
#define DIGITS_MAX (EXP_MAX + 2 * TEXT_MAX)
#define NANO (-9)
#define MILLI (-3)

enum format { DECIMAL_SI, BINARY_SI, DECIMAL_EXPONENT };

/* sign * digits * 10^exp, most significant digit first and not 0; n == 0 is zero. */
struct dec {
	bool neg;
	int n, exp;
	uint8_t d[DIGITS_MAX];
};

struct quantity {
	enum format format;
	bool as_written; /* the text is taken for canonical */
	int scale;	 /* of the number as written */
	struct dec v;
};

/* --- decimal arithmetic --- */

static void dec_trim(struct dec *v)
{
	int lead = 0;

	while (lead < v->n && v->d[lead] == 0)
		lead++;
	if (lead) {
		v->n -= lead;
		memmove(v->d, v->d + lead, (size_t)v->n);
	}
	if (v->n == 0) {
		v->exp = 0;
		v->neg = false;
	}
}

/* To a multiple of 10^exp, away from zero. False when that lost something. */
static bool dec_round_up(struct dec *v, int exp)
{
	int drop = exp - v->exp, keep = v->n - drop;
	bool exact = true;

	if (v->n == 0 || drop <= 0)
		return true;
	for (int i = MAX(keep, 0); i < v->n; i++)
		exact = exact && v->d[i] == 0;
	v->n = MAX(keep, 0);
	v->exp = exp;
	if (!exact) {
		int i = v->n - 1;

		while (i >= 0 && v->d[i] == 9)
			v->d[i--] = 0;
		if (i >= 0) {
			v->d[i]++;
		} else {
			memmove(v->d + 1, v->d, (size_t)v->n);
			v->d[0] = 1;
			v->n++;
		}
	}
	dec_trim(v);
	return exact;
}

static void dec_mul(struct dec *v, unsigned by)
{
	unsigned carry = 0;
	uint8_t head[8];
	int n_head = 0;

	for (int i = v->n - 1; i >= 0; i--) {
		carry += v->d[i] * by;
		v->d[i] = (uint8_t)(carry % 10);
		carry /= 10;
	}
	for (; carry; carry /= 10)
		head[n_head++] = (uint8_t)(carry % 10);
	BUG_ON(v->n + n_head > DIGITS_MAX);
	memmove(v->d + n_head, v->d, (size_t)v->n);
	for (int i = 0; i < n_head; i++)
		v->d[i] = head[n_head - 1 - i];
	v->n += n_head;
}

/* Divides an integer (exp 0) when it is a multiple of by; else leaves it. */
static bool dec_div_exact(struct dec *v, unsigned by)
{
	unsigned rem = 0;

	for (int i = 0; i < v->n; i++)
		rem = (rem * 10 + v->d[i]) % by;
	if (rem)
		return false;
	for (int i = 0; i < v->n; i++) {
		rem = rem * 10 + v->d[i];
		v->d[i] = (uint8_t)(rem / by);
		rem %= by;
	}
	dec_trim(v);
	return true;
}

/* Appends zeros until exp is what is asked, which is not more than it is. */
static void dec_expand(struct dec *v, int exp)
{
	int more = v->exp - exp;

	if (v->n == 0 || more <= 0)
		return;
	BUG_ON(v->n + more > DIGITS_MAX);
	memset(v->d + v->n, 0, (size_t)more);
	v->n += more;
	v->exp = exp;
}

static uint8_t dec_digit(const struct dec *v, int pos) /* of 10^pos */
{
	int i = v->n - 1 - (pos - v->exp);

	return i >= 0 && i < v->n ? v->d[i] : 0;
}

static int dec_cmp_abs(const struct dec *a, const struct dec *b)
{
	int top_a = a->n + a->exp, top_b = b->n + b->exp;

	if (a->n == 0 || b->n == 0)
		return (a->n != 0) - (b->n != 0);
	if (top_a != top_b)
		return top_a < top_b ? -1 : 1;
	for (int pos = top_a - 1, low = MIN(a->exp, b->exp); pos >= low; pos--) {
		int diff = dec_digit(a, pos) - dec_digit(b, pos);

		if (diff)
			return diff < 0 ? -1 : 1;
	}
	return 0;
}

static int dec_cmp(const struct dec *a, const struct dec *b)
{
	if (a->neg != b->neg)
		return a->neg ? -1 : 1;
	return a->neg ? -dec_cmp_abs(a, b) : dec_cmp_abs(a, b);
}

static void dec_add(struct dec *ret, const struct dec *a, const struct dec *b)
{
	const struct dec *big = dec_cmp_abs(a, b) >= 0 ? a : b, *small = big == a ? b : a;
	int low = MIN(a->n ? a->exp : b->exp, b->n ? b->exp : a->exp), top = big->n + big->exp + 1;
	int sign = a->neg == b->neg ? 1 : -1, carry = 0;

	ret->neg = big->neg;
	ret->exp = low;
	ret->n = top - low;
	BUG_ON(ret->n > DIGITS_MAX || ret->n < 0);
	for (int pos = low; pos < top; pos++) {
		int x = dec_digit(big, pos) + sign * dec_digit(small, pos) + carry;

		carry = x < 0 ? -1 : x / 10;
		ret->d[ret->n - 1 - (pos - low)] = (uint8_t)((x + 10) % 10);
	}
	dec_trim(ret);
}

static void dec_from_u64(struct dec *ret, bool neg, uint64_t x, int exp)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, x);

	ret->neg = neg;
	ret->exp = exp;
	ret->n = n;
	for (int i = 0; i < n; i++)
		ret->d[i] = (uint8_t)(text[i] - '0');
	dec_trim(ret);
}

/* In units of 10^exp, rounded away from zero, clamped. */
static int64_t dec_to_i64(struct dec *v, int exp)
{
	uint64_t out = 0;
	const uint64_t max = (uint64_t)INT64_MAX + v->neg;

	dec_round_up(v, exp);
	if (v->n + v->exp - exp > 19)
		return v->neg ? INT64_MIN : INT64_MAX;
	dec_expand(v, exp);
	for (int i = 0; i < v->n; i++)
		out = out * 10 + v->d[i]; /* 19 digits fit 64 bits */
	out = MIN(out, max);
	return v->neg ? (int64_t)(0 - out) : (int64_t)out;
}

/* --- parsing --- */

static bool quantity_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

struct parts {
	bool neg;
	struct sv num, frac; /* digits; num without leading zeros */
	bool any_digit;
	struct sv suffix;
	enum format format;
	int exp; /* of two when BINARY_SI, else of ten */
};

static bool parse_suffix(struct parts *p)
{
	static const char si[] = "num kMGTPE", binary[] = "KMGTPE";
	struct sv s = p->suffix;
	const char *at;
	int64_t e;

	p->format = DECIMAL_SI;
	p->exp = 0;
	if (s.n == 0)
		return true;
	if (s.n == 1 && (at = memchr(si, s.p[0], sizeof(si) - 1))) {
		p->exp = (int)(at - si) * 3 - 9;
		return s.p[0] != ' ';
	}
	if (s.n == 2 && s.p[1] == 'i' && (at = memchr(binary, s.p[0], sizeof(binary) - 1))) {
		p->format = BINARY_SI;
		p->exp = (int)(at - binary) * 10 + 10;
		return true;
	}
	if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E'))
		return false;
	s = sv_sub(s, 1, s.n - 1);
	if (s.p[0] == '+') {
		s = sv_sub(s, 1, s.n - 1);
		if (s.n && !quantity_is_digit(s.p[0]))
			return false;
	}
	p->format = DECIMAL_EXPONENT;
	if (!sv_to_i64(s, &e) || e < -EXP_MAX || e > EXP_MAX)
		return false;
	p->exp = (int)e;
	return true;
}

static bool quantity_split(struct sv s, struct parts *p)
{
	size_t at = 0, from;

	if (s.n == 0 || s.n > TEXT_MAX)
		return false;
	*p = (struct parts){ .neg = s.p[0] == '-' };
	if (s.p[0] == '-' || s.p[0] == '+')
		at++;
	for (; at < s.n && s.p[at] == '0'; at++)
		p->any_digit = true;
	for (from = at; at < s.n && quantity_is_digit(s.p[at]); at++)
		p->any_digit = true;
	p->num = sv_make(s.p + from, at - from);
	p->frac = sv_make(s.p + at, 0);
	if (at < s.n && s.p[at] == '.') {
		for (from = ++at; at < s.n && quantity_is_digit(s.p[at]); at++)
			p->any_digit = true;
		p->frac = sv_make(s.p + from, at - from);
	}
	for (from = at; at < s.n && memchr("eEinumkKMGTP", s.p[at], 12); at++)
		;
	if (at < s.n && (s.p[at] == '-' || s.p[at] == '+'))
		at++;
	while (at < s.n && quantity_is_digit(s.p[at]))
		at++;
	p->suffix = sv_make(s.p + from, at - from);
	return at == s.n && parse_suffix(p);
}

/* Would apimachinery have kept the text of this number as its canonical form? Only numbers that
 * fit its int64 path do. */
static bool kept_as_written(const struct parts *p)
{
	int n_num = p->num.n ? (int)p->num.n : 1, n = n_num + (int)p->frac.n, scale = p->exp - (int)p->frac.n;
	char last3[3] = { 'x', 'x', 'x' };

	if (p->format == BINARY_SI) {
		unsigned low = 0;

		if (p->frac.n || 15 - n_num - p->exp * 3 / 10 - 1 < 0)
			return false;
		for (size_t i = 0; i < p->num.n; i++)
			low = (low * 10 + (unsigned)(p->num.p[i] - '0')) & 7;
		return low != 0;
	}
	if (n > 18 || scale < NANO || scale % 3 != 0 || p->num.n == 0)
		return false;
	for (size_t i = 0; i < 3; i++) { /* the last three digits of both parts in a row */
		if (i < p->frac.n)
			last3[i] = p->frac.p[p->frac.n - 1 - i];
		else if (i - p->frac.n < p->num.n)
			last3[i] = p->num.p[p->num.n - 1 - (i - p->frac.n)];
	}
	return memcmp(last3, "000", 3) != 0;
}

static bool quantity_parse(struct sv s, struct quantity *q)
{
	struct parts p;

	if (!quantity_split(s, &p))
		return false;
	/* Without any digit only what needs no rounding is zero; the rest is malformed. */
	if (!p.any_digit && p.format != BINARY_SI && p.exp < NANO)
		return false;
	q->format = p.format;
	q->as_written = kept_as_written(&p);
	q->v.neg = p.neg;
	q->v.n = 0;
	q->v.exp = (p.format == BINARY_SI ? 0 : p.exp) - (int)p.frac.n;
	q->scale = q->v.exp;
	for (size_t i = 0; i < p.num.n; i++)
		q->v.d[q->v.n++] = (uint8_t)(p.num.p[i] - '0');
	for (size_t i = 0; i < p.frac.n; i++)
		q->v.d[q->v.n++] = (uint8_t)(p.frac.p[i] - '0');
	dec_trim(&q->v);
	if (q->v.n + q->v.exp > EXP_MAX + 1) /* so that canonical text, too, stays within the bound */
		return false;
	for (int e = p.format == BINARY_SI ? p.exp : 0; e > 0; e -= 10)
		dec_mul(&q->v, 1024);
	dec_round_up(&q->v, NANO);
	if (p.format == BINARY_SI && q->v.n) {
		struct dec max;

		dec_from_u64(&max, q->v.neg, (uint64_t)INT64_MAX, 0);
		if (dec_cmp_abs(&q->v, &max) > 0)
			q->v = max;
		if (q->v.n + q->v.exp <= 0) /* below one */
			q->format = DECIMAL_SI;
	}
	return true;
}

/* The value in units of 10^unit_exp, away from zero, when everything fits 128 bits easily. */
static bool parse_small(struct sv s, int unit_exp, int64_t *ret)
{
	static const int64_t pow10[] = { 1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000 };
	struct parts p;
	__int128 v = 0, div;
	int exp;

	if (s.n > 18 || !quantity_split(s, &p) || !p.any_digit)
		return false;
	for (size_t i = 0; i < p.num.n; i++)
		v = v * 10 + (p.num.p[i] - '0');
	for (size_t i = 0; i < p.frac.n; i++)
		v = v * 10 + (p.frac.p[i] - '0');
	exp = -(int)p.frac.n - unit_exp;
	if (p.format == BINARY_SI) {
		/* Finer than a nano is not left to round here. */
		if (p.frac.n > 3)
			return false;
		v <<= p.exp;
		if (v > (__int128)INT64_MAX * pow10[p.frac.n])
			return false;
	} else {
		exp += p.exp;
		if (exp + unit_exp < NANO)
			return false;
	}
	if (exp < -9 || exp > 9)
		return false;
	if (exp >= 0) {
		v *= pow10[exp];
	} else {
		div = pow10[-exp];
		v = (v + div - 1) / div;
	}
	if (v > INT64_MAX)
		return false;
	*ret = p.neg ? -(int64_t)v : (int64_t)v;
	return true;
}

bool quantity_milli(struct sv s, int64_t *ret)
{
	struct quantity q;

	if (parse_small(s, MILLI, ret))
		return true;
	if (!quantity_parse(s, &q))
		return false;
	*ret = dec_to_i64(&q.v, MILLI);
	return true;
}

bool quantity_value(struct sv s, int64_t *ret)
{
	struct quantity q;

	if (parse_small(s, 0, ret))
		return true;
	if (!quantity_parse(s, &q))
		return false;
	*ret = dec_to_i64(&q.v, 0);
	return true;
}

/* --- text --- */

static struct sv format_dec(struct arena *a, const struct dec *v, const char *suffix)
{
	size_t n_suffix = strlen(suffix), at = 0;
	char *out = arena_alloc(a, (size_t)v->n + n_suffix + 2);

	if (v->neg)
		out[at++] = '-';
	for (int i = 0; i < v->n; i++)
		out[at++] = (char)('0' + v->d[i]);
	memcpy(out + at, suffix, n_suffix + 1);
	return sv_make(out, at + n_suffix);
}

/* v may be changed. */
static struct sv quantity_format(struct arena *a, struct dec *v, enum format format)
{
	static const char si[][2] = { "n", "u", "m", "", "k", "M", "G", "T", "P", "E" };
	static const char binary[][3] = { "", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei" };
	char exp_suffix[16] = "";
	int k;

	if (v->n == 0)
		return SV("0");
	if (format == BINARY_SI) {
		struct dec whole = *v, kibi;

		dec_from_u64(&kibi, false, 1024, 0);
		if (dec_cmp_abs(v, &kibi) < 0 || !dec_round_up(&whole, 0)) {
			format = DECIMAL_SI; /* keeps every digit */
		} else {
			dec_expand(&whole, 0);
			for (k = 0; k < 6 && dec_div_exact(&whole, 1024); k++)
				;
			return format_dec(a, &whole, binary[k]);
		}
	}
	while (v->n && v->d[v->n - 1] == 0) {
		v->n--;
		v->exp++;
	}
	dec_expand(v, v->exp - (v->exp % 3 + 3) % 3);
	if (format == DECIMAL_SI && v->exp >= -9 && v->exp <= 18)
		return format_dec(a, v, si[v->exp / 3 + 3]);
	if (v->exp)
		snprintf(exp_suffix, sizeof(exp_suffix), "e%d", v->exp);
	return format_dec(a, v, exp_suffix);
}

struct sv quantity_text(struct arena *a, struct sv s)
{
	struct quantity q;

	if (!quantity_parse(s, &q))
		return SV_NULL;
	return q.as_written && q.v.n ? arena_sv(a, s) : quantity_format(a, &q.v, q.format);
}

struct sv quantity_canonical(struct arena *a, struct sv s)
{
	struct quantity q;

	if (!quantity_parse(s, &q))
		return SV_NULL;
	if (q.as_written && q.v.n && q.scale >= MILLI)
		return arena_sv(a, s);
	dec_round_up(&q.v, MILLI);
	return quantity_format(a, &q.v, q.format);
}

int quantity_cmp(struct sv a, struct sv b)
{
	struct quantity qa, qb;

	if (!quantity_parse(a, &qa))
		qa.v.n = qa.v.exp = qa.v.neg = 0;
	if (!quantity_parse(b, &qb))
		qb.v.n = qb.v.exp = qb.v.neg = 0;
	return dec_cmp(&qa.v, &qb.v);
}

struct sv quantity_add(struct arena *a, struct sv x, struct sv y)
{
	struct quantity qx, qy, back;
	struct dec sum;
	struct sv text;

	if (!quantity_parse(x, &qx)) {
		qx.format = DECIMAL_SI;
		qx.v.n = qx.v.exp = qx.v.neg = 0;
	}
	if (!quantity_parse(y, &qy)) {
		qy.format = DECIMAL_SI;
		qy.v.n = qy.v.exp = qy.v.neg = 0;
	}
	dec_add(&sum, &qx.v, &qy.v);
	text = quantity_format(a, &sum, qx.v.n ? qx.format : qy.format);
	if (text.n <= TEXT_MAX && quantity_parse(text, &back))
		return text;
	/* A sum that nobody could read would count as none. Where only one of the two tells, it does for both. */
	return dec_cmp_abs(&qx.v, &qy.v) < 0 ? y : x;
}

static struct sv from_i64(struct arena *a, int64_t x, int exp, enum format format)
{
	struct dec v;

	dec_from_u64(&v, x < 0, x < 0 ? 0 - (uint64_t)x : (uint64_t)x, exp);
	return quantity_format(a, &v, format);
}

struct sv quantity_from_milli(struct arena *a, int64_t milli)
{
	return from_i64(a, milli, MILLI, DECIMAL_SI);
}

struct sv quantity_from_bytes(struct arena *a, int64_t bytes)
{
	return from_i64(a, bytes, 0, BINARY_SI);
}

struct sv quantity_sub(struct arena *a, struct sv x, struct sv y)
{
	bool signed_ = y.n && (y.p[0] == '-' || y.p[0] == '+');
	struct sv number = signed_ ? sv_sub(y, 1, y.n) : y;

	/* A malformed one stays it: it counts as none. */
	return quantity_add(a, x, arena_svf(a, "%s%.*s", y.n && y.p[0] == '-' ? "+" : "-", SV_ARG(number)));
}

int quantity_sign(struct sv s)
{
	struct quantity q;

	return !quantity_parse(s, &q) || q.v.n == 0 ? 0 : q.v.neg ? -1 : 1;
}

bool quantity_amount(struct sv s, int64_t *ret_value, int *ret_exp)
{
	struct parts p;
	int64_t value = 0;
	int n_num, exp, room;

	if (!quantity_split(s, &p))
		return false;
	n_num = p.num.n ? (int)p.num.n : 1;
	exp = p.format == BINARY_SI ? 0 : p.exp - (int)p.frac.n;
	room = p.format == BINARY_SI ? 14 - n_num - p.exp * 3 / 10 : 18 - n_num - (int)p.frac.n;
	if (room < 0 || exp < NANO || (p.format == BINARY_SI && p.frac.n))
		return false;
	for (size_t i = 0; i < p.num.n; i++)
		value = value * 10 + (p.num.p[i] - '0');
	for (size_t i = 0; i < p.frac.n; i++)
		value = value * 10 + (p.frac.p[i] - '0');
	if (p.format == BINARY_SI && __builtin_mul_overflow(value, INT64_C(1) << p.exp, &value))
		return false;
	*ret_value = p.neg ? -value : value;
	*ret_exp = exp;
	return true;
}

double quantity_float(struct sv s)
{
	char text[DIGITS_MAX + 24];
	struct quantity q;
	size_t at = 0;

	if (!quantity_parse(s, &q) || q.v.n == 0)
		return 0;
	if (q.v.neg)
		text[at++] = '-';
	for (int i = 0; i < q.v.n; i++)
		text[at++] = (char)('0' + q.v.d[i]);
	(void)snprintf(text + at, sizeof(text) - at, "e%d", q.v.exp);
	return strtod(text, NULL);
}

const char *quantity_why(struct sv s)
{
	struct parts p = { .suffix = SV_NULL };

	if (s.n == 0 || s.n > TEXT_MAX || quantity_split(s, &p) || p.suffix.p + p.suffix.n != s.p + s.n)
		return "quantities must match the regular expression "
		       "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
	return "unable to parse quantity's suffix";
}
