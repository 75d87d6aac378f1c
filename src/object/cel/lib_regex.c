/* Finding by regular expressions, which come from the cache of re/re.h. */
#include "object/cel/lib-internal.h"
#include "object/cel/std.h"
#include "re/re.h"

static int regex_find(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(re_unrefp) struct re *re = cel_regex(c, cel_text(&args[1]), args[0].n, "Illegal regex: ");
	struct sv found;

	(void)n;
	if (!re)
		return -1;
	*ret = cel_string(re_find(re, cel_text(&args[0]), 0, &found, 1) ? found : SV(""));
	return 0;
}

static int regex_find_all(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	_cleanup_(re_unrefp) struct re *re = cel_regex(c, cel_text(&args[1]), args[0].n, "Illegal regex: ");
	uint64_t most = n > 2 && args[2].i >= 0 ? (uint64_t)args[2].i : UINT64_MAX;
	struct cel_value *items = NULL;
	size_t found = 0, room = 0;

	if (!re)
		return -1;
	for (struct re_all all = RE_ALL(re, cel_text(&args[0])); found < most && re_all_next(&all); found++) {
		if (found == room) {
			struct cel_value *more = ARENA_ARRAY(c->arena, struct cel_value, room ? 2 * room : 8);

			if (found)
				memcpy(more, items, found * sizeof(*items));
			items = more;
			room = room ? 2 * room : 8;
		}
		items[found] = cel_string(all.match);
	}
	*ret = cel_list(items, found);
	ret->type = &cel_t_list_string;
	return 0;
}

static void regex_est(const struct cel_est *args, size_t n, struct cel_estimate *ret)
{
	cel_est_re(args, n, ret);
	ret->size = CEL_RANGE(0, args[0].size.max);
	ret->has_size = true;
}

static const struct cel_func regex_funcs[] = {
	{ "find", "string.(string) string", CEL_V(1, 0), regex_find, cel_cost_re, regex_est },
	{ "findAll", "string.(string) list<string>", CEL_V(1, 0), regex_find_all, cel_cost_re, regex_est },
	{ "findAll", "string.(string, int) list<string>", CEL_V(1, 0), regex_find_all, cel_cost_re, regex_est },
};
const struct cel_lib cel_lib_regex = { "kubernetes.regex", regex_funcs, ARRAY_LEN(regex_funcs), { NULL } };
