/* DefaultTolerationSeconds: a pod stays on a node that is not ready or unreachable for five
 * minutes, or as long as the server's flags say, unless it says something about that itself. */
#include "apiserver/admission/plugins.h"
#include "apiserver/apiserver-internal.h"

#define DEFAULT_SECONDS 300

static bool says_something(const struct val *tolerations, const char *key)
{
	VAL_EACH(tolerations, t) {
		struct sv k = val_get_str(t, F_key), effect = val_get_str(t, F_effect);

		if ((k.n == 0 || sv_is(k, key)) && (effect.n == 0 || sv_is(effect, "NoExecute")))
			return true;
	}
	return false;
}

static int tolerations_mutate(const struct admission *a, struct err *err)
{
	static const char *const keys[] = { "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable" };
	const struct apiserver_opts *o = &a->q->server->o;
	bool said = o->not_ready_s || o->unreachable_s;
	struct val *spec;

	(void)err;
	if (!admits_pod(a))
		return 0;
	spec = val_get_mut(a->doc, F_spec);
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct val *t;

		if (says_something(val_get(spec, F_tolerations), keys[i]))
			continue;
		t = val_new_map(a->q->arena);
		val_set_cstr(a->q->arena, t, F_key, keys[i]);
		val_set_cstr(a->q->arena, t, F_operator, "Exists");
		val_set_cstr(a->q->arena, t, F_effect, "NoExecute");
		val_set_int(a->q->arena, t, F_tolerationSeconds,
			    !said    ? DEFAULT_SECONDS
			    : i == 0 ? o->not_ready_s
				     : o->unreachable_s);
		val_push(a->q->arena, val_ensure_list(a->q->arena, spec, F_tolerations), t);
	}
	return 0;
}

const struct admission_plugin admission_default_tolerations = { .name = "DefaultTolerationSeconds",
								.mutates = ON_CREATE | ON_UPDATE,
								.mutate = tolerations_mutate };
