/* Running the expressions of a policy. Variables are worked out when they are first used, once for all expressions.
 *
 * One that uses another is worked out within the expression that uses it, but not deeper than VARIABLES_NESTED: then
 * the run ends, the inner one is worked out by itself, and the run begins anew. So a chain of any length takes a
 * bounded stack, and each run begun anew finds at least one more variable known. What was spent in vain is given back.
 */
#include "apiserver/admission/policy/policy.h"
#include "base/vec.h"

#define VARIABLES_NESTED 4

struct policy_made {
	enum { MADE_NOT, MADE_VALUE, MADE_ERROR } how;
	struct cel_value value;
	struct sv why;
};

/* --- variables --- */

static struct cel_run run_of(struct policy_run *r, uint64_t *budget)
{
	return (struct cel_run){ .arena = r->arena, .vars = r->vars, .limit = CEL_LIMIT_CALL, .budget = budget };
}

/* 0: it is known now; CEL_LATER: not yet. */
static int variable_make(struct policy_run *r, size_t i)
{
	const struct policy_named *v = &r->policy->variables[i];
	struct policy_made *m = &r->made[i];
	struct cel_run run = run_of(r, &r->left);
	enum cel_outcome how;

	if (!v->expr.program) {
		m->how = MADE_ERROR;
		m->why = arena_svf(r->arena, "composited variable \"%.*s\" fails to compile: %.*s", SV_ARG(v->name),
				   SV_ARG(v->expr.broken));
		return 0;
	}
	r->nested++;
	how = cel_eval(v->expr.program, &run, &m->value);
	r->nested--;
	if (how == CEL_WAITS)
		return CEL_LATER;
	m->how = how == CEL_DONE ? MADE_VALUE : MADE_ERROR;
	if (how != CEL_DONE)
		m->why = arena_svf(r->arena, "composited variable \"%.*s\" fails to evaluate: %.*s", SV_ARG(v->name),
				   SV_ARG(run.error));
	return 0;
}

static int variable_field(struct cel_lazy *l, struct cel_call *c, struct sv name, struct cel_value *ret)
{
	struct policy_run *r = CONTAINER_OF(l, struct policy_run, lazy);
	size_t i = (size_t)(uintptr_t)strmap_get(&r->policy->by_name, name);
	struct policy_made *m;

	if (!i)
		return 1;
	m = &r->made[--i];
	if (m->how == MADE_NOT && r->nested >= VARIABLES_NESTED) {
		r->need = i + 1;
		return CEL_LATER;
	}
	if (m->how == MADE_NOT && variable_make(r, i) == CEL_LATER)
		return CEL_LATER;
	if (m->how == MADE_ERROR)
		return cel_fail(c, "%.*s", SV_ARG(m->why));
	*ret = m->value;
	return 0;
}

/* Those that were too deep, the innermost first. False: somebody has to be waited for. A variable uses only those that
 * stand before it, so this ends. */
static bool variables_needed(struct policy_run *r)
{
	VEC(size_t) todo = VEC_INIT;
	bool ok = true;

	vec_push(&todo, r->need - 1);
	while (ok && todo.n) {
		r->need = 0;
		if (variable_make(r, vec_last(&todo)) == 0)
			todo.n--;
		else if (r->need)
			vec_push(&todo, r->need - 1);
		else
			ok = false;
	}
	r->need = 0;
	vec_release(&todo);
	return ok;
}

/* --- expressions --- */

enum policy_ran policy_eval(struct policy_run *r, const struct policy_expr *e, uint64_t *budget, struct cel_value *ret,
			    struct sv *ret_why)
{
	const uint64_t had = *budget;
	struct cel_run run = run_of(r, budget);
	enum cel_outcome how;
	uint64_t for_variables;

	if (!e->program) {
		*ret_why = arena_svf(r->arena, "compilation error: %.*s", SV_ARG(e->broken));
		return POLICY_FAILED;
	}
	r->left = had;
	for (;;) {
		*budget = had;
		r->need = 0;
		how = cel_eval(e->program, &run, ret);
		if (how != CEL_WAITS)
			break;
		if (!r->need || !variables_needed(r))
			return POLICY_WAITS;
	}
	for_variables = had - MIN(had, r->left);
	if (how == CEL_TOO_COSTLY && *budget == 0) {
		*ret_why = run.error;
		return POLICY_SPENT;
	}
	if (for_variables > *budget || (for_variables && for_variables == *budget)) {
		*budget = 0;
		*ret_why = SV("validation failed due to running out of cost budget, no further validation rules will "
			      "be run");
		return POLICY_SPENT;
	}
	*budget -= for_variables;
	if (how == CEL_DONE)
		return POLICY_VALUE;
	*ret_why = arena_svf(r->arena, "expression '%.*s' resulted in error: %.*s", SV_ARG(e->text), SV_ARG(run.error));
	return POLICY_FAILED;
}

/* --- what they know --- */

static struct cel_value run_document(struct policy_run *r, const struct val *doc, const struct cel_type *t)
{
	return doc ? cel_from_doc(r->arena, doc, t) : cel_null();
}

int policy_run_init(struct policy_run *r, struct policy_turn *t, const struct policy *p, const struct policy_form *form,
		    const struct val *params, struct err *err)
{
	const struct resource *namespaces = RES(core_namespaces);
	struct hook_event *e = &t->e;

	*r = (struct policy_run){ .turn = t, .policy = p, .arena = e->q->arena, .lazy = { variable_field } };
	if (e->ns.n && e->a->res != namespaces && !e->ns_obj) {
		e->ns_obj = registry_peek(e->q, namespaces, SV(""), e->ns);
		if (!e->ns_obj)
			return err_not_found(err, namespaces, e->ns);
	}
	r->made = ARENA_ARRAY(r->arena, struct policy_made, p->n_variables + 1);
	r->vars[POLICY_VAR_OBJECT] = run_document(r, form->doc, &cel_t_dyn);
	r->vars[POLICY_VAR_OLD] = run_document(r, form->old, &cel_t_dyn);
	r->vars[POLICY_VAR_REQUEST] = run_document(r, form->request, policy_request_type());
	r->vars[POLICY_VAR_PARAMS] = run_document(r, params, &cel_t_dyn);
	r->vars[POLICY_VAR_NAMESPACE] = cel_null();
	if (e->ns_obj && e->a->res != namespaces)
		r->vars[POLICY_VAR_NAMESPACE] = run_document(r, obj_root(e->ns_obj), policy_namespace_type());
	r->vars[POLICY_VAR_VARIABLES] = (struct cel_value){ .kind = CEL_OBJECT, .flags = CEL_V_LAZY, .lazy = &r->lazy };
	r->vars[POLICY_VAR_AUTHORIZER] = cel_authz_authorizer(r->arena, &t->authz.z);
	r->vars[POLICY_VAR_RESOURCE] = hook_request_resource(&t->authz, e);
	return 0;
}

int policy_conditions_hold(struct policy_run *r, struct sv *ret_why)
{
	uint64_t budget = CEL_BUDGET_MATCH;
	struct sv failed = SV_NULL;
	size_t failures = 0;

	for (size_t i = 0; i < r->policy->n_conditions; i++) {
		struct cel_value v;
		struct sv why;
		enum policy_ran how = policy_eval(r, &r->policy->conditions[i].expr, &budget, &v, &why);

		if (how == POLICY_WAITS)
			return REQ_LATER;
		if (how == POLICY_VALUE && v.kind == CEL_BOOL) {
			if (!v.b)
				return 0;
			continue;
		}
		if (how == POLICY_SPENT) {
			*ret_why = why;
			return r->policy->ignore ? 0 : -1;
		}
		failures++;
		failed = failed.n ? arena_svf(r->arena, "%.*s, %.*s", SV_ARG(failed), SV_ARG(why)) : why;
	}
	if (!failures)
		return 1;
	*ret_why = failures > 1 ? arena_svf(r->arena, "[%.*s]", SV_ARG(failed)) : failed;
	return r->policy->ignore ? 0 : -1;
}
