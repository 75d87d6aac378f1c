/* Conversions: int(x), string(x) and the like. */
#include "object/cel/eval.h"
#include "object/cel/std.h"

#include "base/double.h"
#include "base/timefmt.h"
#include "base/utf8.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static int convert_fail(struct cel_call *c, const struct cel_value *v, const char *to)
{
	return cel_fail(c, "type conversion error from '%.*s' to '%s'", SV_ARG(cel_type_name_of(v)), to);
}

static int convert_same(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c, (void)n;
	*ret = args[0];
	return 0;
}

struct sv cel_double_text(struct arena *a, double d)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	double_g(&b, d);
	return arena_sv(a, buf_sv(&b));
}

/* --- from text --- */

/* Go's ParseInt and ParseUint of base 10: digits, and a sign for int. */
static bool convert_digits(struct sv s, bool sign, struct cel_value *ret)
{
	int64_t i;
	uint64_t u;

	if (sign && s.n > 1 && s.p[0] == '+')
		s = sv_sub(s, 1, s.n - 1);
	if (sign ? !sv_to_i64(s, &i) : !sv_to_u64(s, &u))
		return false;
	*ret = sign ? cel_int(i) : cel_uint(u);
	return true;
}

static bool convert_real(struct sv s, double *ret)
{
	_cleanup_free_ char *text = xstrndup(s.p, s.n);
	char *end;

	if (s.n == 0 || s.n > 512 || strlen(text) != s.n || strchr(" \t\n\v\f\r(", text[0]) || strchr(text, '('))
		return false;
	errno = 0;
	*ret = strtod(text, &end);
	return *end == '\0' && !(errno == ERANGE && isinf(*ret));
}

static bool convert_bool(struct sv s, bool *ret)
{
	static const char *const no[] = { "0", "f", "F", "false", "FALSE", "False" };

	*ret = sv_is_true(s);
	if (*ret)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(no); i++)
		if (sv_is(s, no[i]))
			return true;
	return false;
}

/* --- one function for each result --- */

static int convert_to_bool(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	bool b;

	(void)n;
	if (!convert_bool(cel_text(&args[0]), &b))
		return convert_fail(c, &args[0], "bool");
	*ret = cel_bool(b);
	return 0;
}

static int convert_to_int(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *v = &args[0];

	(void)n;
	switch (v->kind) {
	case CEL_UINT:
		if (v->u > INT64_MAX)
			return cel_fail(c, "integer overflow");
		*ret = cel_int((int64_t)v->u);
		return 0;
	case CEL_DOUBLE: /* towards zero; both ends are open */
		if (!(v->d > -9223372036854775808.0 && v->d < 9223372036854775808.0))
			return cel_fail(c, "integer overflow");
		*ret = cel_int((int64_t)v->d);
		return 0;
	case CEL_STRING:
		return convert_digits(cel_text(v), true, ret) ? 0 : convert_fail(c, v, "int");
	default: /* seconds of a timestamp, nanoseconds of a duration */
		*ret = cel_int(v->i);
		return 0;
	}
}

static int convert_to_uint(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *v = &args[0];

	(void)n;
	switch (v->kind) {
	case CEL_INT:
		if (v->i < 0)
			return cel_fail(c, "unsigned integer overflow");
		*ret = cel_uint((uint64_t)v->i);
		return 0;
	case CEL_DOUBLE:
		if (!(v->d >= 0 && v->d < 18446744073709551616.0))
			return cel_fail(c, "unsigned integer overflow");
		*ret = cel_uint((uint64_t)v->d);
		return 0;
	default:
		return convert_digits(cel_text(v), false, ret) ? 0 : convert_fail(c, v, "uint");
	}
}

static int convert_to_double(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *v = &args[0];
	double d = 0;

	(void)n;
	if (v->kind == CEL_STRING && !convert_real(cel_text(v), &d))
		return convert_fail(c, v, "double");
	*ret = cel_double(v->kind == CEL_INT ? (double)v->i : v->kind == CEL_UINT ? (double)v->u : d);
	return 0;
}

static int convert_to_bytes(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c, (void)n;
	*ret = cel_bytes(cel_text(&args[0]));
	return 0;
}

static int convert_to_string(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	const struct cel_value *v = &args[0];
	struct sv s;

	(void)n;
	switch (v->kind) {
	case CEL_BOOL:
		s = v->b ? SV("true") : SV("false");
		break;
	case CEL_INT:
		s = arena_svf(c->arena, "%" PRId64, v->i);
		break;
	case CEL_UINT:
		s = arena_svf(c->arena, "%" PRIu64, v->u);
		break;
	case CEL_DOUBLE:
		s = cel_double_text(c->arena, v->d);
		break;
	case CEL_BYTES:
		s = cel_text(v);
		if (!utf8_valid(s))
			return cel_fail(c, "invalid UTF-8 in bytes, cannot convert to string");
		break;
	case CEL_TIMESTAMP:
		s = cel_timestamp_text(c->arena, v);
		break;
	default:
		s = cel_duration_text(c->arena, v->i);
	}
	*ret = cel_string(s);
	return 0;
}

static int convert_to_duration(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	int64_t ns = args[0].i;

	(void)n;
	if (args[0].kind == CEL_STRING && !duration_parse(cel_text(&args[0]), &ns))
		return convert_fail(c, &args[0], "google.protobuf.Duration");
	*ret = cel_duration(ns);
	return 0;
}

static int convert_to_timestamp(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	int64_t sec = args[0].i;
	unsigned ns = 0;

	(void)n;
	if (args[0].kind == CEL_STRING && !time_parse_sec(cel_text(&args[0]), &sec, &ns))
		return convert_fail(c, &args[0], "google.protobuf.Timestamp");
	if (sec < TIME_SEC_MIN || sec > TIME_SEC_MAX)
		return cel_fail(c, "timestamp overflow");
	*ret = cel_timestamp(sec, ns);
	return 0;
}

/* --- type(x) --- */

static int convert_to_type(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct cel_type *t = ARENA_NEW(c->arena, struct cel_type);

	(void)n;
	t->kind = args[0].kind;
	t->name = cel_type_name_of(&args[0]);
	*ret = CEL_VALUE(CEL_TYPE, named, t);
	return 0;
}

/* --- what they cost --- */

static void convert_est_bytes(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	cel_est_str0(args, n, ret);
	ret->size = CEL_RANGE(args[0].size.min, cel_mul_sat(args[0].size.max, 4));
	ret->has_size = true;
}

static void convert_est_text(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	cel_est_str0(args, n, ret);
	ret->size = CEL_RANGE(args[0].size.min / 4, args[0].size.max);
	ret->has_size = true;
}

#define V CEL_V(1, 0)
static const struct cel_func convert_funcs[] = {
	{ "bool", "(bool) bool", V, convert_same, NULL, NULL },
	{ "bool", "(string) bool", V, convert_to_bool, NULL, NULL },
	{ "bytes", "(bytes) bytes", V, convert_same, NULL, NULL },
	{ "bytes", "(string) bytes", V, convert_to_bytes, cel_cost_str0, convert_est_bytes },
	{ "double", "(double) double", V, convert_same, NULL, NULL },
	{ "double", "(int) double", V, convert_to_double, NULL, NULL },
	{ "double", "(string) double", V, convert_to_double, NULL, NULL },
	{ "double", "(uint) double", V, convert_to_double, NULL, NULL },
	{ "duration", "(duration) duration", V, convert_same, NULL, NULL },
	{ "duration", "(int) duration", V, convert_to_duration, NULL, NULL },
	{ "duration", "(string) duration", V, convert_to_duration, NULL, NULL },
	{ "dyn", "(A) dyn", V, convert_same, NULL, NULL },
	{ "int", "(int) int", V, convert_same, NULL, NULL },
	{ "int", "(double) int", V, convert_to_int, NULL, NULL },
	{ "int", "(duration) int", V, convert_to_int, NULL, NULL },
	{ "int", "(string) int", V, convert_to_int, NULL, NULL },
	{ "int", "(timestamp) int", V, convert_to_int, NULL, NULL },
	{ "int", "(uint) int", V, convert_to_int, NULL, NULL },
	{ "string", "(string) string", V, convert_same, NULL, NULL },
	{ "string", "(bool) string", V, convert_to_string, NULL, NULL },
	{ "string", "(bytes) string", V, convert_to_string, cel_cost_str0, convert_est_text },
	{ "string", "(double) string", V, convert_to_string, NULL, NULL },
	{ "string", "(duration) string", V, convert_to_string, NULL, NULL },
	{ "string", "(int) string", V, convert_to_string, NULL, NULL },
	{ "string", "(timestamp) string", V, convert_to_string, NULL, NULL },
	{ "string", "(uint) string", V, convert_to_string, NULL, NULL },
	{ "timestamp", "(timestamp) timestamp", V, convert_same, NULL, NULL },
	{ "timestamp", "(int) timestamp", V, convert_to_timestamp, NULL, NULL },
	{ "timestamp", "(string) timestamp", V, convert_to_timestamp, NULL, NULL },
	{ "type", "(A) type<A>", V, convert_to_type, NULL, NULL },
	{ "uint", "(uint) uint", V, convert_same, NULL, NULL },
	{ "uint", "(double) uint", V, convert_to_uint, NULL, NULL },
	{ "uint", "(int) uint", V, convert_to_uint, NULL, NULL },
	{ "uint", "(string) uint", V, convert_to_uint, NULL, NULL },
};

const struct cel_lib cel_lib_convert = { "conversions", convert_funcs, ARRAY_LEN(convert_funcs), { NULL } };
