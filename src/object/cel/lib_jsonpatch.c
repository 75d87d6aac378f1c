/* A name as a part of a JSON pointer. */
#include "object/cel/lib-internal.h"

static int jsonpatch_escape(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret)
{
	struct sv s = cel_text(&args[0]);
	char *out = arena_alloc(c->arena, 2 * s.n + 1);
	size_t at = 0;

	(void)n;
	for (size_t i = 0; i < s.n; i++) {
		out[at] = s.p[i];
		if (s.p[i] == '~' || s.p[i] == '/') {
			out[at++] = '~';
			out[at] = s.p[i] == '~' ? '0' : '1';
		}
		at++;
	}
	*ret = cel_string(sv_make(out, at));
	return 0;
}

static const struct cel_func jsonpatch_funcs[] = {
	{ "jsonpatch.escapeKey", "(string) string", CEL_V(1, 32), jsonpatch_escape, cel_cost_str0, lib_est_text },
};
const struct cel_lib cel_lib_jsonpatch = {
	"!kubernetes.jsonpatch", jsonpatch_funcs, ARRAY_LEN(jsonpatch_funcs), { NULL }
};
