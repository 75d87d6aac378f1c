/* Errors on their way, and what is about one value alone. */
#include "object/structural/judge.h"

#include "base/buf.h"
#include "base/double.h"
#include "codec/json.h"
#include "re/re.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

/* Whether there is room for one more to be said. One that is not said counts all the same: a value with it is invalid.
 */
static bool judge_room(struct judge *j, struct field_err *e)
{
	if (j->bytes <= JUDGE_BYTES_MAX)
		return true;
	vec_push(&j->errs, *e);
	return false;
}

static void judge_push(struct judge *j, struct field_err *e, const struct fpath *at, struct sv detail)
{
	e->field = at ? fpath_str(j->a, at) : SV("<nil>");
	e->detail = detail;
	j->bytes += e->field.n + e->detail.n + sizeof(*e);
	vec_push(&j->errs, *e);
}

void judge_add(struct judge *j, enum field_err_type type, const struct fpath *at, const struct val *value,
	       const char *fmt, ...)
{
	struct field_err e = { .type = type, .value = value };
	va_list ap;

	if (!judge_room(j, &e))
		return;
	va_start(ap, fmt);
	judge_push(j, &e, at, fmt ? sv_from(arena_vprintf(j->a, fmt, ap)) : SV_NULL);
	va_end(ap);
}

void judge_say(struct judge *j, enum field_err_type type, const struct fpath *at, const struct val *value,
	       const char *fmt, ...)
{
	struct field_err e = { .type = type, .value = value };
	struct sv path, said;
	va_list ap;

	if (!judge_room(j, &e))
		return;
	path = fpath_str(j->a, at);
	va_start(ap, fmt);
	said = sv_from(arena_vprintf(j->a, fmt, ap));
	va_end(ap);
	judge_push(j, &e, at, arena_svf(j->a, "%.*s in body %.*s", SV_ARG(path), SV_ARG(said)));
}

void judge_whole(struct judge *j, const struct fpath *at, const char *fmt, ...)
{
	static const struct val nothing = { .type = VAL_STR, .s = "" };
	struct field_err e = { .type = FE_INVALID, .value = &nothing };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	va_list ap;

	if (!judge_room(j, &e))
		return;
	json_encode_str(&b, fpath_str(j->a, at));
	buf_addc(&b, ' ');
	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	judge_push(j, &e, NULL, arena_sv(j->a, buf_sv(&b)));
}

/* --- type --- */

/* A whole number, or so near to one that a product of decimals may have missed it. */
static bool is_integral(double d)
{
	double near = round(d);

	if (!isfinite(d) || fabs(d) > 9007199254740991.0)
		return false;
	return d == near || (near != 0 && fabs(d - near) < 1e-9 * fabs(near));
}

/* The word for the value's type, and the format that Go's type of it stands for. */
static const char *type_of_value(const struct val *v, const char **ret_format)
{
	*ret_format = "";
	switch (val_type(v)) {
	case VAL_BOOL:
		return "boolean";
	case VAL_INT:
		*ret_format = "int64";
		return "integer";
	case VAL_FLOAT:
		*ret_format = "float64";
		return "number";
	case VAL_STR:
		return "string";
	case VAL_LIST:
		return "array";
	default:
		return "object";
	}
}

static const char *const type_words[] = {
	[ST_ANY] = "",
	[ST_OBJECT] = "object",
	[ST_ARRAY] = "array",
	[ST_STRING] = "string",
	[ST_INTEGER] = "integer",
	[ST_NUMBER] = "number",
	[ST_BOOLEAN] = "boolean",
	[ST_INT_OR_STRING] = "integer,string",
};

static bool type_is(const struct snode *n, const char *word)
{
	if (n->type == ST_INT_OR_STRING)
		return strcmp(word, "integer") == 0 || strcmp(word, "string") == 0;
	return n->type != ST_ANY && strcmp(type_words[n->type], word) == 0;
}

static void type_refuse(struct judge *j, struct sv want, const char *got, const struct fpath *at)
{
	judge_say(j, FE_TYPE_INVALID, at, val_new_str(j->a, sv_from(got)), "must be of type %.*s: \"%s\"", SV_ARG(want),
		  got);
}

/* With a format upstream asks less: text and arrays pass, whatever the type. */
size_t judge_type(struct judge *j, const struct snode *n, const struct val *v, const struct fpath *at)
{
	struct sv format = n->bounds ? n->bounds->format_name : SV_NULL;
	bool numeric = type_is(n, "integer") || type_is(n, "number"), fits;
	const char *value_format, *word;

	if (val_type(v) == VAL_NULL) {
		if (n->type == ST_ANY || n->flags & SN_NULLABLE)
			return 1;
		type_refuse(j, sv_from(type_words[n->type]), "null", at);
		return 0;
	}
	if (n->type == ST_ANY && !format.n)
		return 0;
	word = type_of_value(v, &value_format);
	fits = type_is(n, word) || (v->type == VAL_FLOAT && type_is(n, "integer") && is_integral(v->d)) ||
	       (v->type == VAL_INT && type_is(n, "number"));
	if (format.n && v->type != VAL_STR && v->type != VAL_LIST && !fits && !sv_is(format, value_format)) {
		type_refuse(j, format, value_format, at);
		return 0;
	}
	if (!numeric && format.n && (v->type == VAL_STR || v->type == VAL_LIST))
		return 1;
	if (!fits) {
		type_refuse(j, sv_from(type_words[n->type]), word, at);
		return 0;
	}
	return 1;
}

/* --- text --- */

/* A search mostly takes a nanosecond a byte. What may take very many is paid for before. */
#define PATTERN_FREE_STEPS (UINT64_C(50) * 1000 * 1000)
#define PATTERN_STEPS_A_STEP 16

static void text_pay(struct judge *j, const struct re *re, size_t n)
{
	uint64_t steps = re_steps(re, n);

	j->steps += n / 8;
	if (steps > PATTERN_FREE_STEPS)
		j->steps += (size_t)MIN(steps / PATTERN_STEPS_A_STEP, STRUCTURAL_STEPS_MAX);
}

static bool text_pattern(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	_cleanup_(re_unrefp) struct re *re = NULL;
	_cleanup_(err_release) struct err err = ERR_INIT;
	bool matches = false, plain;
	size_t steps = 0;

	j->steps += 1 + b->pattern.n / 8;
	plain = re_plain_match(b->pattern, val_str(v), &matches, &steps);
	j->steps += steps / PATTERN_STEPS_A_STEP;
	if (!plain && re_cached(b->pattern, &re, &err) >= 0)
		text_pay(j, re, v->n);
	if (judge_over(j))
		return false;
	if (!plain && !re)
		judge_say(j, FE_INVALID, at, v, "should match '%.*s, but pattern is invalid: %s'", SV_ARG(b->pattern),
			  err_msg(&err));
	else if (plain ? !matches : !re_match(re, val_str(v)))
		judge_say(j, FE_INVALID, at, v, "should match '%.*s'", SV_ARG(b->pattern));
	else
		return true;
	return false;
}

/* Characters of what a decoder let through: well-formed UTF-8. */
static int64_t text_length(struct sv s)
{
	int64_t n = 0;

	for (size_t i = 0; i < s.n; i++)
		n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
	return n;
}

/* The first thing that is wrong; the format is asked besides. */
static void text_bounds(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	int64_t n = b->flags & (SB_MAX_LENGTH | SB_MIN_LENGTH) ? text_length(val_str(v)) : 0;

	j->steps += v->n / 64;
	if (b->flags & SB_MAX_LENGTH && n > b->max_length)
		judge_add(j, FE_TOO_LONG, at, NULL, "may not be more than %" PRId64 " byte%s", b->max_length,
			  b->max_length == 1 ? "" : "s");
	else if (b->flags & SB_MIN_LENGTH && n < b->min_length)
		judge_say(j, FE_INVALID, at, v, "should be at least %" PRId64 " chars long", b->min_length);
	else if (b->pattern.n)
		(void)text_pattern(j, b, v, at);
}

size_t judge_text(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	_cleanup_(buf_release) struct buf quoted = BUF_INIT;

	if (!b)
		return 1;
	text_bounds(j, b, v, at);
	if (!b->format)
		return 1;
	j->steps += v->n / 16;
	if (oas_format_valid(b->format, val_str(v)))
		return 2;
	json_encode_str(&quoted, val_str(v));
	judge_say(j, FE_TYPE_INVALID, at, v, "must be of type %.*s: %s", SV_ARG(b->format_name), buf_cstr(&quoted));
	return 2;
}

/* --- numbers --- */

/* As Go prints a float64 with %v. */
static struct sv go_float(struct arena *a, double d)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	double_g(&b, d);
	return arena_sv(a, buf_sv(&b));
}

/* A bound as it is compared with v: with whole numbers it is one. */
static bool bound_whole(double bound, int64_t *ret)
{
	if (!(bound > -0x1p63 && bound < 0x1p63))
		return false;
	*ret = (int64_t)bound;
	return true;
}

static int compare_bound(const struct val *v, double bound, struct arena *a, struct sv *ret_text)
{
	int64_t whole;

	if (v->type == VAL_INT && bound_whole(bound, &whole)) {
		*ret_text = arena_svf(a, "%" PRId64, whole);
		return v->i < whole ? -1 : v->i > whole;
	}
	*ret_text = go_float(a, bound);
	return val_num(v) < bound ? -1 : val_num(v) > bound;
}

static void number_multiple(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	double d = val_num(v), by = b->multiple;
	int64_t whole;
	bool fits;

	if (by < 0) {
		judge_add(j, FE_INVALID, at, val_new_float(j->a, by),
			  "factor MultipleOf declared for %.*s must be positive: %.*s", SV_ARG(fpath_str(j->a, at)),
			  SV_ARG(go_float(j->a, by)));
		return;
	}
	if (v->type == VAL_INT && bound_whole(by, &whole) && whole > 0) {
		if (v->i % whole)
			judge_say(j, FE_INVALID, at, v, "should be a multiple of %" PRId64, whole);
		return;
	}
	fits = by < 1 ? is_integral(1 / by * d) : is_integral(d / by);
	if (!fits)
		judge_say(j, FE_INVALID, at, v, "should be a multiple of %.*s", SV_ARG(go_float(j->a, by)));
}

size_t judge_number(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	struct sv text;
	int c;

	if (!b)
		return 2;
	if (b->flags & SB_MULTIPLE)
		number_multiple(j, b, v, at);
	if (b->flags & SB_MIN) {
		c = compare_bound(v, b->min, j->a, &text);
		if (b->flags & SB_MIN_EXCLUSIVE ? c <= 0 : c < 0)
			judge_say(j, FE_INVALID, at, v, "should be greater than %s%.*s",
				  b->flags & SB_MIN_EXCLUSIVE ? "" : "or equal to ", SV_ARG(text));
	}
	if (b->flags & SB_MAX) {
		c = compare_bound(v, b->max, j->a, &text);
		if (b->flags & SB_MAX_EXCLUSIVE ? c >= 0 : c > 0)
			judge_say(j, FE_INVALID, at, v, "should be less than %s%.*s",
				  b->flags & SB_MAX_EXCLUSIVE ? "" : "or equal to ", SV_ARG(text));
	}
	return 2;
}

/* --- enum --- */

/* Go converts a number to the type of the one it compares it with, cutting off what that cannot have. Null equals
 * nothing, not even null. */
static bool enum_equal(const struct val *v, const struct val *one)
{
	int64_t whole;

	if (val_type(v) == VAL_NULL || one->type == VAL_NULL)
		return false;
	if (v->type == VAL_FLOAT && one->type == VAL_INT)
		return bound_whole(v->d, &whole) && whole == one->i;
	return val_equal(v, one);
}

void judge_enum(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	const char **words;
	size_t n = 0;
	struct field_errs one;

	VAL_EACH(b->one_of_values, e) {
		j->steps++;
		if (enum_equal(v, e))
			return;
	}
	if (j->bytes > JUDGE_BYTES_MAX) {
		judge_add(j, FE_NOT_SUPPORTED, at, v, NULL);
		return;
	}
	words = ARENA_ARRAY(j->a, const char *, val_len(b->one_of_values) + 1);
	VAL_EACH(b->one_of_values, e) {
		_cleanup_(buf_release) struct buf text = BUF_INIT;

		if (e->type == VAL_STR)
			buf_addsv(&text, val_str(e));
		else
			json_encode(&text, e);
		words[n++] = arena_strdup(j->a, buf_cstr(&text));
	}
	field_errs_init(&one, j->a);
	fe_not_supported(&one, at, v, words);
	judge_add(j, FE_NOT_SUPPORTED, at, v, "%.*s", SV_ARG(one.list.p[0].detail));
}
