/* Sizes, and what the language itself asks of strings. */
#include "object/cel/eval.h"
#include "object/cel/std.h"

#include "re/re.h"

static int text_size(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c, (void)n;
	*ret = cel_int((int64_t)cel_size(&args[0]));
	return 0;
}

static int text_contains(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]), what = cel_text(&args[1]);

	(void)c, (void)n;
	*ret = cel_bool(what.n == 0 || (s.n >= what.n && memmem(s.p, s.n, what.p, what.n)));
	return 0;
}

static int text_starts(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c, (void)n;
	*ret = cel_bool(sv_starts(cel_text(&args[0]), cel_text(&args[1])));
	return 0;
}

static int text_ends(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	(void)c, (void)n;
	*ret = cel_bool(sv_ends(cel_text(&args[0]), cel_text(&args[1])));
	return 0;
}

#define TEXT_MAKE_WORK 8	       /* for each instruction of a program that has to be made */
#define TEXT_REFUSE_WORK 20000	       /* for a pattern that is none, or too large */
#define TEXT_FREE_STEPS 50000000       /* of one search: a tenth of a second */
#define TEXT_STEPS_A_UNIT UINT64_C(64) /* of those beyond */

struct re *cel_regex(struct cel_call *c, struct sv pattern, size_t text_n, const char *before)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct re *re = NULL;
	int made = re_cached(pattern, &re, &err);
	uint64_t steps = made < 0 ? 0 : re_steps(re, text_n);
	uint64_t work = made < 0 ? TEXT_REFUSE_WORK : made ? (uint64_t)TEXT_MAKE_WORK * re_size(re) : 0;

	if (steps > TEXT_FREE_STEPS)
		work = cel_add_sat(work, steps / TEXT_STEPS_A_UNIT);
	if (cel_charge(c, work) == 0) {
		if (made >= 0)
			return re;
		cel_fail(c, "%s%s", before, err_msg(&err));
	}
	re_unref(re);
	return NULL;
}

static int text_matches(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(re_unrefp) struct re *re = NULL;
	size_t steps;
	bool matches;

	(void)n;
	if (re_plain_match(cel_text(&args[1]), cel_text(&args[0]), &matches, &steps)) {
		if (cel_charge(c, steps / TEXT_STEPS_A_UNIT) < 0)
			return -1;
	} else {
		re = cel_regex(c, cel_text(&args[1]), args[0].n, "");
		if (!re)
			return -1;
		matches = re_match(re, cel_text(&args[0]));
	}
	*ret = cel_bool(matches);
	return 0;
}

/* --- costs, also those that libraries share --- */

uint64_t cel_cost_str0(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret)
{
	(void)c, (void)n, (void)ret;
	return cel_factor(cel_size(&args[0]), 0.1);
}

uint64_t cel_regex_cost(uint64_t runes, uint64_t pattern)
{
	return cel_mul_sat(cel_factor(cel_add_sat(runes, 1), 0.1), cel_factor(pattern, 0.25));
}

uint64_t cel_cost_re(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret)
{
	(void)c, (void)n, (void)ret;
	return cel_regex_cost(cel_size(&args[0]), cel_size(&args[1]));
}

static uint64_t text_traverse_doc(const struct val *v)
{
	uint64_t sum = 0;

	switch (val_type(v)) {
	case VAL_STR:
		return v->n / 10;
	case VAL_LIST:
		VAL_EACH(v, e)
			sum = cel_add_sat(sum, text_traverse_doc(e));
		return sum;
	case VAL_MAP:
		VAL_EACH_MEMBER(v, m)
			sum = cel_add_sat(sum, cel_add_sat(m.key.n / 10, text_traverse_doc(m.value)));
		return sum;
	default:
		return 1;
	}
}

uint64_t cel_traverse(struct cel_call *c, const struct cel_value *v)
{
	uint64_t sum = 0;

	switch (v->kind) {
	case CEL_STRING:
	case CEL_BYTES:
		return v->n / 10;
	case CEL_LIST:
		for (size_t i = 0; i < v->n; i++) {
			struct cel_value e = cel_at(c->arena, v, i);

			sum = cel_add_sat(sum, cel_traverse(c, &e));
		}
		return sum;
	case CEL_MAP:
	case CEL_OBJECT:
		if (v->flags & CEL_V_DOC)
			return text_traverse_doc(v->doc);
		for (uint32_t i = 0; !(v->flags & CEL_V_LAZY) && i < v->map->n; i++)
			sum = cel_add_sat(sum, cel_add_sat(cel_traverse(c, &v->map->entries[i].key),
							   cel_traverse(c, &v->map->entries[i].value)));
		return sum;
	default:
		return 1;
	}
}

uint64_t cel_cost_trav0(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret)
{
	(void)n, (void)ret;
	return cel_traverse(c, &args[0]);
}

static uint64_t text_cost_contains(struct cel_call *c, const struct cel_value *args, size_t n,
				   const struct cel_value *ret)
{
	(void)c, (void)n, (void)ret;
	return cel_mul_sat(cel_factor(cel_size(&args[0]), 0.1), cel_factor(cel_size(&args[1]), 0.1));
}

static void text_est_contains(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_mul(cel_range_factor(args[0].size, 0.1), cel_range_factor(args[1].size, 0.1));
}

/* What it looks for is what bounds it, says upstream's estimate; its tracker counts the text. */
static void text_est_affix(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	(void)n;
	ret->cost = cel_range_factor(args[1].size, 0.1);
}

#define V CEL_V(1, 0)
static const struct cel_func text_funcs[] = {
	{ "size", "(string) int", V, text_size, NULL, NULL },
	{ "size", "(bytes) int", V, text_size, NULL, NULL },
	{ "size", "(list<A>) int", V, text_size, NULL, NULL },
	{ "size", "(map<A, B>) int", V, text_size, NULL, NULL },
	{ "size", "string.() int", V, text_size, NULL, NULL },
	{ "size", "bytes.() int", V, text_size, NULL, NULL },
	{ "size", "list<A>.() int", V, text_size, NULL, NULL },
	{ "size", "map<A, B>.() int", V, text_size, NULL, NULL },
	{ "contains", "string.(string) bool", V, text_contains, text_cost_contains, text_est_contains },
	{ "startsWith", "string.(string) bool", V, text_starts, cel_cost_str0, text_est_affix },
	{ "endsWith", "string.(string) bool", V, text_ends, cel_cost_str0, text_est_affix },
	{ "matches", "string.(string) bool", V, text_matches, cel_cost_re, cel_est_re },
	{ "matches", "(string, string) bool", V, text_matches, cel_cost_re, cel_est_re },
};

const struct cel_lib cel_lib_text = { "text", text_funcs, ARRAY_LEN(text_funcs), { NULL } };
