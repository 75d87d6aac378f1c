/* The extension of strings (cel-go's ext.Strings, version 2 as Kubernetes has it): positions are code points, and
 * where Go's strings package has a rule for empty separators, it is that. */
#include "object/cel/lib-internal.h"
#include "object/cel/lib_format.h"

static int strings_out_of_range(struct cel_call *c, int64_t i)
{
	return cel_fail(c, "index out of range: %" PRId64, i);
}

static int strings_char_at(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]);
	int64_t i = args[1].i;
	size_t at, runes = cel_runes(s);

	(void)n;
	if (i < 0 || (uint64_t)i > runes)
		return strings_out_of_range(c, i);
	at = lib_rune_offset(s, (size_t)i);
	s = sv_sub(s, at, s.n);
	*ret = cel_string(sv_sub(s, 0, lib_rune_offset(s, 1)));
	return 0;
}

static int strings_index_of(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]), sub = cel_text(&args[1]);
	int64_t from = n > 2 ? args[2].i : 0;
	ssize_t at;

	*ret = cel_int(sub.n ? -1 : from);
	if (sub.n == 0)
		return 0;
	if (from < 0)
		return strings_out_of_range(c, from);
	if ((uint64_t)from > s.n)
		return 0;
	at = lib_find(s, sub, lib_rune_offset(s, (size_t)from));
	if (at >= 0)
		*ret = cel_int((int64_t)cel_runes(sv_sub(s, 0, (size_t)at)));
	return 0;
}

static char *strings_reversed(struct arena *a, struct sv s)
{
	char *out = arena_alloc(a, MAX(s.n, (size_t)1));

	for (size_t i = 0; i < s.n; i++)
		out[i] = s.p[s.n - 1 - i];
	return out;
}

/* From behind, both turned round: what is found first begins last. Searching forward again and again would cost the
 * product of both lengths. */
static int strings_last_index_of(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]), sub = cel_text(&args[1]), back, back_sub;
	size_t runes = cel_runes(s), end;
	int64_t from = n > 2 ? args[2].i : (int64_t)runes - 1;
	ssize_t at;

	if (sub.n == 0) {
		*ret = cel_int(n > 2 ? from : (int64_t)runes);
		return 0;
	}
	*ret = cel_int(-1);
	if (n <= 2 && s.n < sub.n)
		return 0;
	if (from < 0)
		return strings_out_of_range(c, from);
	if ((uint64_t)from >= runes || s.n < sub.n)
		return 0;
	end = lib_rune_offset(s, (size_t)from) + sub.n;
	if (end > s.n)
		end = s.n;
	back = sv_make(strings_reversed(c->arena, sv_sub(s, 0, end)), end);
	back_sub = sv_make(strings_reversed(c->arena, sub), sub.n);
	at = lib_find(back, back_sub, 0);
	if (at >= 0)
		*ret = cel_int((int64_t)cel_runes(sv_sub(s, 0, end - (size_t)at - sub.n)));
	return 0;
}

static int strings_map_ascii(struct cel_call *c, struct sv s, bool upper, struct cel_value *ret)
{
	char *out = arena_alloc(c->arena, MAX(s.n, (size_t)1));

	for (size_t i = 0; i < s.n; i++) {
		char lower = ascii_lower(s.p[i]);

		out[i] = !upper ? lower : s.p[i] >= 'a' && s.p[i] <= 'z' ? (char)(s.p[i] - 'a' + 'A') : s.p[i];
	}
	*ret = cel_string(sv_make(out, s.n));
	return 0;
}

static int strings_lower(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return strings_map_ascii(c, cel_text(&args[0]), false, ret);
}

static int strings_upper(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return strings_map_ascii(c, cel_text(&args[0]), true, ret);
}

/* Bytes of the blank that s begins with, of all that Unicode has; 0: none. */
static size_t strings_blank(struct sv s)
{
	static const char *const wide[] = { "\xc2\x85",	    "\xc2\xa0",	    "\xe1\x9a\x80", "\xe2\x80\xa8",
					    "\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe3\x80\x80" };

	if (s.n == 0)
		return 0;
	if (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))
		return 1;
	for (size_t i = 0; i < ARRAY_LEN(wide); i++)
		if (sv_starts(s, sv_from(wide[i])))
			return strlen(wide[i]);
	/* U+2000 to U+200A */
	return s.n >= 3 && memcmp(s.p, "\xe2\x80", 2) == 0 && (unsigned char)s.p[2] <= 0x8a ? 3 : 0;
}

static int strings_trim(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]);
	size_t blank;

	(void)c;
	(void)n;
	while ((blank = strings_blank(s)))
		s = sv_sub(s, blank, s.n);
	while (s.n) {
		size_t last = s.n - 1;

		while (last > 0 && ((unsigned char)s.p[last] & 0xc0) == 0x80)
			last--;
		if (!strings_blank(sv_sub(s, last, s.n)))
			break;
		s = sv_sub(s, 0, last);
	}
	*ret = cel_string(s);
	return 0;
}

static int strings_substring(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]);
	int64_t runes = (int64_t)cel_runes(s), start = args[1].i, end = n > 2 ? args[2].i : runes;
	size_t from;

	if (n > 2 && start > end)
		return cel_fail(c, "invalid substring range. start: %" PRId64 ", end: %" PRId64, start, end);
	if (start < 0 || start > runes)
		return strings_out_of_range(c, start);
	if (end < 0 || end > runes)
		return strings_out_of_range(c, end);
	from = lib_rune_offset(s, (size_t)start);
	s = sv_sub(s, from, s.n);
	*ret = cel_string(sv_sub(s, 0, lib_rune_offset(s, (size_t)(end - start))));
	return 0;
}

/* Where the next old is in s, from at on; with an empty old that is each character's beginning, and the end. */
static ssize_t strings_next(struct sv s, struct sv old, size_t at, bool first)
{
	if (old.n)
		return lib_find(s, old, at);
	if (first)
		return 0;
	return at < s.n ? (ssize_t)(at + lib_rune_offset(sv_sub(s, at, s.n), 1)) : -1;
}

static int strings_replace(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]), old = cel_text(&args[1]), with = cel_text(&args[2]);
	uint64_t left = n > 3 && args[3].i >= 0 ? (uint64_t)args[3].i : UINT64_MAX, count = 0;
	size_t at = 0, made = 0;
	char *out;

	*ret = args[0];
	if (sv_eq(old, with))
		return 0;
	for (ssize_t next; count < left && (next = strings_next(s, old, at, count == 0)) >= 0; count++)
		at = (size_t)next + old.n;
	if (count == 0)
		return 0;
	made = s.n - (size_t)count * old.n;
	if (lib_pay(c, cel_add_sat(made, cel_mul_sat(count, with.n)), cel_factor(cel_runes(s), 0.2)) < 0)
		return -1;
	out = arena_alloc(c->arena, MAX(made + (size_t)count * with.n, (size_t)1));
	at = made = 0;
	for (uint64_t i = 0, from = 0; i < count; i++, from = at) {
		size_t next = (size_t)strings_next(s, old, at, i == 0);

		memcpy(out + made, s.p + from, next - (size_t)from);
		made += next - (size_t)from;
		if (with.n)
			memcpy(out + made, with.p, with.n);
		made += with.n;
		at = next + old.n;
	}
	memcpy(out + made, s.p + at, s.n - at);
	*ret = cel_string(sv_make(out, made + s.n - at));
	return 0;
}

static int strings_split(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]), sep = cel_text(&args[1]), *parts;
	uint64_t most = n > 2 && args[2].i >= 0 ? (uint64_t)args[2].i : UINT64_MAX;
	size_t count = 1, at = 0, made = 0;

	if (most == 0 || (sep.n == 0 && s.n == 0)) {
		*ret = lib_strings(c->arena, NULL, 0);
		return 0;
	}
	if (sep.n == 0) {
		count = cel_runes(s);
	} else {
		for (ssize_t next; count < most && (next = lib_find(s, sep, at)) >= 0; count++)
			at = (size_t)next + sep.n;
	}
	count = (size_t)MIN((uint64_t)count, most);
	if (lib_pay(c, count * (sizeof(*parts) + sizeof(struct cel_value)) / 4, cel_factor(cel_runes(s), 0.2)) < 0)
		return -1;
	parts = ARENA_ARRAY(c->arena, struct sv, count);
	for (at = 0; made + 1 < count; made++) {
		size_t end = sep.n ? (size_t)lib_find(s, sep, at) : at + lib_rune_offset(sv_sub(s, at, s.n), 1);

		parts[made] = sv_sub(s, at, end - at);
		at = end + sep.n;
	}
	parts[made] = sv_sub(s, at, s.n);
	*ret = lib_strings(c->arena, parts, count);
	return 0;
}

static int strings_join(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv sep = n > 1 ? cel_text(&args[1]) : SV("");
	size_t count = cel_count(&args[0]), at = 0;
	uint64_t all = 0;
	char *out;

	for (size_t i = 0; i < count; i++) {
		struct cel_value v = cel_at(c->arena, &args[0], i);

		if (v.kind != CEL_STRING)
			return cel_fail(c, "unsupported type conversion from '%.*s' to string",
					SV_ARG(cel_type_name_of(&v)));
		all = cel_add_sat(all, v.n + (i ? sep.n : 0));
	}
	/* Its cost is a fifth of its length: nothing to add, but that it must be to be had. */
	if (lib_pay(c, all, all / 5) < 0)
		return -1;
	out = arena_alloc(c->arena, MAX((size_t)all, (size_t)1));
	for (size_t i = 0; i < count; i++) {
		struct cel_value v = cel_at(c->arena, &args[0], i);

		if (i && sep.n)
			memcpy(out + at, sep.p, sep.n);
		at += i ? sep.n : 0;
		if (v.n)
			memcpy(out + at, v.s, v.n);
		at += v.n;
	}
	*ret = cel_string(sv_make(out, at));
	return 0;
}

static int strings_quote(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	static const char special[] = "\a\b\f\n\r\t\v\\\"", names[] = "abfnrtv\\\"";
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv s = cel_text(&args[0]);

	(void)n;
	if (lib_pay(c, 2 * (uint64_t)s.n, s.n / 10) < 0)
		return -1;
	buf_addc(&b, '"');
	for (size_t i = 0; i < s.n; i++) {
		const char *at = s.p[i] ? strchr(special, s.p[i]) : NULL;

		if (at)
			buf_addc(&b, '\\');
		buf_addc(&b, at ? names[at - special] : s.p[i]);
	}
	buf_addc(&b, '"');
	*ret = cel_string(arena_sv(c->arena, buf_sv(&b)));
	return 0;
}

static int strings_format(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)n;
	return lib_format(c, cel_text(&args[0]), &args[1], ret);
}

/* --- costs --- */

/* There and back: reading the receiver, writing the result. */
static uint64_t strings_cost_twice(struct cel_call *c, const struct cel_value *args, size_t n,
				   const struct cel_value *ret)
{
	(void)c;
	(void)n;
	(void)ret;
	return cel_factor(cel_size(&args[0]), 0.2);
}

static uint64_t strings_cost_join(struct cel_call *c, const struct cel_value *args, size_t n,
				  const struct cel_value *ret)
{
	(void)c;
	(void)args;
	(void)n;
	return cel_factor(cel_size(ret), 0.2);
}

static uint64_t strings_each(uint64_t of, uint64_t by)
{
	return of == CEL_SIZE_UNKNOWN || by == 0 ? of : of / by + (of % by != 0);
}

/* How often at most and at least is something replaced, and how much stays of what was there: upstream's estimate takes
 * the shortest that is replaced by the longest for the one, and the other way round. */
static void strings_est_replace(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	struct cel_range s = args[0].size, old = args[1].size, with = args[2].size, count = { 0, 0 }, kept = { 0, 0 };

	(void)n;
	if (old.min == 0) {
		count.max = cel_add_sat(s.max, 1);
		kept.max = s.max;
	} else if (with.max <= old.min) {
		kept.max = s.max;
	} else {
		count.max = strings_each(s.max, old.min);
	}
	if (old.max == 0) {
		count.min = cel_add_sat(s.min, 1);
		kept.min = s.min;
	} else if (old.max <= with.min) {
		kept.min = s.min;
	} else {
		count.min = old.max == CEL_SIZE_UNKNOWN ? s.min > 0 : strings_each(s.min, old.max);
	}
	ret->cost = cel_range_factor(s, 0.2);
	ret->size = cel_range_add(cel_range_mul(count, with), kept);
	ret->has_size = true;
}

static void strings_est_split(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	uint64_t most = args[0].size.max;

	if (n > 2 && args[2].literal && args[2].literal->kind == CEL_INT)
		most = (uint64_t)args[2].literal->i;
	ret->cost = cel_range_factor(args[0].size, 0.2);
	ret->size = CEL_RANGE(0, most);
	ret->has_size = true;
}

static void strings_est_join(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	struct cel_range list = args[0].size, size = { 0, 0 };
	struct cel_est elem;

	if (cel_est_elem(&args[0], &elem))
		size = cel_range_mul(list, elem.size);
	if (n > 1) {
		struct cel_range seps = { list.min - (list.min > 0), list.max - (list.max > 0) };

		size = cel_range_add(size, cel_range_mul(args[1].size, seps));
	}
	ret->cost = cel_range_factor(size, 0.1);
	ret->size = size;
	ret->has_size = true;
}

/* At worst every character is escaped. */
static void strings_est_quote(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	lib_est_text(args, n, ret);
	ret->size.max = cel_mul_sat(ret->size.max, 2);
}

static const struct cel_func strings_funcs[] = {
	{ "charAt", "string.(int) string", CEL_V(1, 0), strings_char_at, NULL, NULL },
	{ "indexOf", "string.(string) int", CEL_V(1, 0), strings_index_of, cel_cost_trav0, cel_est_trav0 },
	{ "indexOf", "string.(string, int) int", CEL_V(1, 0), strings_index_of, cel_cost_trav0, cel_est_trav0 },
	{ "lastIndexOf", "string.(string) int", CEL_V(1, 0), strings_last_index_of, cel_cost_trav0, cel_est_trav0 },
	{ "lastIndexOf", "string.(string, int) int", CEL_V(1, 0), strings_last_index_of, cel_cost_trav0,
	  cel_est_trav0 },
	{ "lowerAscii", "string.() string", CEL_V(1, 0), strings_lower, cel_cost_str0, lib_est_text },
	{ "upperAscii", "string.() string", CEL_V(1, 0), strings_upper, cel_cost_str0, lib_est_text },
	{ "trim", "string.() string", CEL_V(1, 0), strings_trim, cel_cost_str0, lib_est_text },
	{ "substring", "string.(int) string", CEL_V(1, 0), strings_substring, cel_cost_str0, lib_est_text },
	{ "substring", "string.(int, int) string", CEL_V(1, 0), strings_substring, cel_cost_str0, lib_est_text },
	{ "replace", "string.(string, string) string", CEL_V(1, 0), strings_replace, strings_cost_twice,
	  strings_est_replace },
	{ "replace", "string.(string, string, int) string", CEL_V(1, 0), strings_replace, strings_cost_twice,
	  strings_est_replace },
	{ "split", "string.(string) list<string>", CEL_V(1, 0), strings_split, strings_cost_twice, strings_est_split },
	{ "split", "string.(string, int) list<string>", CEL_V(1, 0), strings_split, strings_cost_twice,
	  strings_est_split },
	{ "join", "list<string>.() string", CEL_V(1, 0), strings_join, strings_cost_join, strings_est_join },
	{ "join", "list<string>.(string) string", CEL_V(1, 0), strings_join, strings_cost_join, strings_est_join },
	{ "format", "string.(list<dyn>) string", CEL_V(1, 29), strings_format, cel_cost_str0, lib_est_read },
	{ "strings.quote", "(string) string", CEL_V(1, 29), strings_quote, cel_cost_str0, strings_est_quote },
};
const struct cel_lib cel_lib_strings = { "ext.strings", strings_funcs, ARRAY_LEN(strings_funcs), { NULL } };
