/* matchConditions: expressions that must all hold for a webhook to be asked. One that is false says no, whatever others
 * failed with; else a failure counts as the webhook's failure policy says. */
#include "apiserver/admission/webhooks.h"
#include "policy/policy_compile.h"

struct hook_condition {
	struct sv name, text;
	struct cel_program *program; /* NULL: it does not compile, */
	struct sv broken;	     /* and why */
};

void hook_conditions_compile(struct arena *a, const struct val *list, struct hook_condition **ret, size_t *ret_n)
{
	*ret = ARENA_ARRAY(a, struct hook_condition, val_len(list) + 1);
	*ret_n = 0;
	VAL_EACH(list, v) {
		struct hook_condition *c = &(*ret)[(*ret_n)++];

		c->name = val_get_str(v, F_name);
		c->text = val_get_str(v, F_expression);
		c->program = policy_compile_hook(a, true, c->text, &c->broken);
	}
}

void hook_conditions_release(struct hook_condition *c, size_t n)
{
	for (size_t i = 0; i < n; i++)
		c[i].program = cel_program_unref(c[i].program);
}

static struct cel_value condition_document(struct arena *a, const struct val *doc)
{
	return doc ? cel_from_doc(a, doc, &cel_t_dyn) : cel_null();
}

/* Another failure, behind those before it. */
static struct sv condition_failed(struct arena *a, struct sv so_far, const struct hook_condition *c, struct sv why)
{
	struct sv one =
	    c->program ? arena_svf(a, "expression '%.*s' resulted in error: %.*s", SV_ARG(c->text), SV_ARG(why)) : why;

	return so_far.n ? arena_svf(a, "%.*s, %.*s", SV_ARG(so_far), SV_ARG(one)) : one;
}

int hook_conditions_hold(const struct hook_match *m, const struct hook_event *e, const struct val *doc,
			 const struct val *old, struct err *err)
{
	struct api_req *q = e->q;
	struct arena *a = q->arena;
	struct hook_authz ha;
	const struct cel_value vars[_POLICY_VAR_MAX] = {
		[POLICY_VAR_OBJECT] = condition_document(a, doc),
		[POLICY_VAR_OLD] = condition_document(a, old),
		[POLICY_VAR_REQUEST] = cel_from_doc(a, hook_request(m->as, e), policy_request_type()),
		[POLICY_VAR_AUTHORIZER] = cel_authz_authorizer(a, &ha.z),
		[POLICY_VAR_RESOURCE] = hook_request_resource(&ha, e),
	};
	uint64_t budget = CEL_BUDGET_MATCH;
	struct sv failed = SV_NULL;
	size_t failures = 0;

	hook_authz_init(&ha, q);
	for (size_t i = 0; i < m->hook->n_conditions; i++) {
		const struct hook_condition *c = &m->hook->conditions[i];
		struct cel_run run = { .arena = a, .vars = vars, .limit = CEL_LIMIT_CALL, .budget = &budget };
		struct cel_value v;
		enum cel_outcome how = c->program ? cel_eval(c->program, &run, &v) : CEL_FAILED;

		if (how == CEL_WAITS)
			return REQ_LATER;
		if (how == CEL_DONE && v.kind == CEL_BOOL && !v.b)
			return 0;
		if (how == CEL_DONE && v.kind == CEL_BOOL)
			continue;
		failures++;
		failed = condition_failed(a, failed, c,
					  !c->program	    ? c->broken
					  : how != CEL_DONE ? run.error
							    : SV("the result is no boolean"));
	}
	if (!failures)
		return 1;
	if (m->hook->ignore)
		return 0;
	return admission_forbid(e->a, err, failures > 1 ? "[%.*s]" : "%.*s", SV_ARG(failed));
}
