/* TaintNodesByCondition: a node begins as not ready. */
#include "apiserver/admission/plugins.h"

static int taint_new(const struct admission *a, struct err *err)
{
	struct val *taints, *t;

	(void)err;
	if (a->res != RES(core_nodes) || a->subresource.n || a->op != ADMIT_CREATE || !a->doc)
		return 0;
	taints = val_ensure_list(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_spec), F_taints);
	VAL_EACH(taints, have)
		if (val_is(val_get(have, F_key), "node.kubernetes.io/not-ready"))
			return 0;
	t = val_new_map(a->q->arena);
	val_set_cstr(a->q->arena, t, F_key, "node.kubernetes.io/not-ready");
	val_set_cstr(a->q->arena, t, F_effect, "NoSchedule");
	val_push(a->q->arena, taints, t);
	return 0;
}

const struct admission_plugin admission_taint_new_nodes = { .name = "TaintNodesByCondition",
							    .mutates = ON_CREATE,
							    .mutate = taint_new };
