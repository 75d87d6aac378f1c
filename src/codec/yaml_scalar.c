/* Plain scalars: YAML 1.1 as yaml.v2 reads it. Dates stay
 * strings; "y" and "n" are booleans, as they are to sigs.k8s.io/yaml. */
#include "codec/yaml_scalar.h"

#include "codec/doc_items.h"

#include <math.h>
#include <stdlib.h>

static bool one_of(struct sv s, const char *const *words)
{
	for (; *words; words++) {
		if (sv_is(s, *words))
			return true;
	}
	return false;
}

static bool yaml_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)? */
static bool float_shape(struct sv s)
{
	size_t i = 0, whole, frac = 0;

	if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
		i++;
	for (whole = i; i < s.n && yaml_is_digit(s.p[i]); i++)
		;
	whole = i - whole;
	if (i < s.n && s.p[i] == '.') {
		for (frac = ++i; i < s.n && yaml_is_digit(s.p[i]); i++)
			;
		frac = i - frac;
	}
	if (whole + frac == 0)
		return false;
	if (i < s.n && (s.p[i] == 'e' || s.p[i] == 'E')) {
		i++;
		if (i < s.n && (s.p[i] == '-' || s.p[i] == '+'))
			i++;
		if (i == s.n)
			return false;
		while (i < s.n && yaml_is_digit(s.p[i]))
			i++;
	}
	return i == s.n;
}

static void set_float(struct val *ret, double d)
{
	*ret = val_make(VAL_FLOAT, 0);
	ret->d = d;
	/* JSON writes a whole double below 1e21 without fraction, and such text is an integer. */
	if (d == floor(d) && fabs(d) < 9.2e18) {
		*ret = val_make(VAL_INT, 0);
		ret->i = (int64_t)d;
	}
}

/* Go's strconv.ParseInt and ParseUint with base 0: 0x, 0o, 0b, and 0 for octal. */
static bool resolve_int(struct sv s, struct val *ret)
{
	bool neg = s.n && s.p[0] == '-';
	unsigned base = 10;
	uint64_t x = 0;

	if (s.n && (s.p[0] == '-' || s.p[0] == '+'))
		s = sv_sub(s, 1, s.n - 1);
	if (s.n > 1 && s.p[0] == '0') {
		char c = s.p[1];
		size_t skip = 2;

		if (c == 'x' || c == 'X')
			base = 16;
		else if (c == 'o' || c == 'O')
			base = 8;
		else if (c == 'b' || c == 'B')
			base = 2;
		else
			base = 8, skip = 1;
		s = sv_sub(s, skip, s.n - skip);
	}
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned d = (unsigned)hex_value(s.p[i]);

		if (d >= base || __builtin_mul_overflow(x, base, &x) || __builtin_add_overflow(x, d, &x))
			return false;
	}
	if (x <= (uint64_t)INT64_MAX + neg) {
		*ret = val_make(VAL_INT, 0);
		ret->i = neg ? (int64_t)(0 - x) : (int64_t)x;
		return true;
	}
	if (neg)
		return false;
	*ret = val_make(VAL_FLOAT, 0);
	ret->d = (double)x;
	return true;
}

static bool resolve_number(struct sv s, struct val *ret)
{
	char small[64], *plain = s.n < sizeof(small) ? small : xmalloc(s.n + 1);
	size_t n = 0;
	bool is_number;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] != '_')
			plain[n++] = s.p[i];
	}
	plain[n] = '\0';
	is_number = resolve_int(sv_make(plain, n), ret);
	if (!is_number && float_shape(sv_make(plain, n))) {
		double d = strtod(plain, NULL);

		is_number = !isinf(d); /* Go's ParseFloat fails there: a string */
		if (is_number)
			set_float(ret, d);
	}
	if (plain != small)
		free(plain);
	return is_number;
}

bool yaml_resolve(struct sv s, struct val *ret)
{
	static const char *const nulls[] = { "", "~", "null", "Null", "NULL", NULL };
	static const char *const trues[] = { "true", "True", "TRUE", "yes", "Yes", "YES",
					     "on",   "On",   "ON",   "y",   "Y",   NULL };
	static const char *const falses[] = { "false", "False", "FALSE", "no", "No", "NO",
					      "off",   "Off",	"OFF",	 "n",  "N",  NULL };
	static const char *const not_json[] = { ".nan",	 ".NaN",  ".NAN",  ".inf",  ".Inf",  ".INF", "+.inf",
						"+.Inf", "+.INF", "-.inf", "-.Inf", "-.INF", NULL };
	*ret = val_make(VAL_STR, s.n);
	ret->s = s.p ? s.p : "";
	if (one_of(s, nulls)) {
		*ret = val_make(VAL_NULL, 0);
		ret->i = 0;
	} else if (one_of(s, trues) || one_of(s, falses)) {
		bool b = one_of(s, trues);

		*ret = val_make(VAL_BOOL, 0);
		ret->i = 0;
		ret->b = b;
	} else if (one_of(s, not_json)) {
		return false;
	} else if (yaml_is_digit(s.p[0]) || s.p[0] == '-' || s.p[0] == '+' || s.p[0] == '.') {
		struct val number;

		if (resolve_number(s, &number))
			*ret = number;
	}
	return true;
}

/* --- may it stand unquoted? --- */

/* 2001-01-02...: yaml.v2 quotes what others take for a time. */
static bool date_shape(struct sv s)
{
	return s.n >= 8 && yaml_is_digit(s.p[0]) && yaml_is_digit(s.p[1]) && yaml_is_digit(s.p[2]) &&
	       yaml_is_digit(s.p[3]) && s.p[4] == '-' && yaml_is_digit(s.p[5]);
}

/* 12:30:45, a number in base 60 to YAML 1.1. */
static bool base60_shape(struct sv s)
{
	bool colon = false;
	size_t i = s.n && (s.p[0] == '-' || s.p[0] == '+');

	if (i == s.n || !yaml_is_digit(s.p[i]))
		return false;
	for (; i < s.n; i++) {
		colon |= s.p[i] == ':';
		if (!yaml_is_digit(s.p[i]) && s.p[i] != ':' && s.p[i] != '_' && s.p[i] != '.')
			return false;
	}
	return colon;
}

bool yaml_plain_is_string(struct sv s)
{
	static const char *const others[] = { "<<", "=", NULL };
	struct val v;

	if (s.n == 0 || !yaml_resolve(s, &v) || v.type != VAL_STR || one_of(s, others) || date_shape(s) ||
	    base60_shape(s))
		return false;
	if (memchr(",[]{}#&*!|>'\"%@` \t", s.p[0], 19) || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' ||
	    s.p[s.n - 1] == ':')
		return false;
	if ((s.p[0] == '-' || s.p[0] == '?' || s.p[0] == ':') && (s.n == 1 || s.p[1] == ' '))
		return false;
	if (sv_starts(s, SV("---")) || sv_starts(s, SV("...")))
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		/* Not plain: controls, and the encodings of NEL, C1, U+2028/9, U+FEFF, U+FFFE/F. */
		if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0))
			return false;
		if ((c == 0xe2 && i + 2 < s.n && (unsigned char)s.p[i + 1] == 0x80 &&
		     ((unsigned char)s.p[i + 2] | 1) == 0xa9) ||
		    (c == 0xef && i + 1 < s.n && (unsigned char)s.p[i + 1] >= 0xbb))
			return false;
		if (c == ':' && (s.p[i + 1] == ' ' || s.p[i + 1] == '\t'))
			return false;
		if (c == '#' && (s.p[i - 1] == ' ' || s.p[i - 1] == '\t'))
			return false;
	}
	return true;
}
