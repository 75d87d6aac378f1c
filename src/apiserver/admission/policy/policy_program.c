/* A policy, compiled. */
#include "apiserver/admission/policy/policy.h"

#include <stdlib.h>

static void program_expr(struct policy_compiler *c, enum policy_use use, struct sv text, struct policy_expr *ret)
{
	*ret = (struct policy_expr){ .text = text };
	if (sv_trim(text).n)
		ret->program = policy_compile(c, use, true, text, &ret->broken);
}

static void program_named(struct policy_compiler *c, enum policy_use use, const struct val *list, enum sym name,
			  enum sym expression, struct policy_named **ret, size_t *ret_n)
{
	*ret = ARENA_ARRAY(c->arena, struct policy_named, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct policy_named *n = &(*ret)[(*ret_n)++];

		n->name = val_get_str(v, name);
		program_expr(c, use, val_get_str(v, expression), &n->expr);
		if (use == POLICY_VARIABLE)
			policy_compiler_add(c, n->name, n->expr.program);
	}
}

static void program_rules(struct policy_compiler *c, const struct val *list, struct policy *p)
{
	p->rules = ARENA_ARRAY(c->arena, struct policy_rule, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct policy_rule *r = &p->rules[p->n_rules++];

		program_expr(c, POLICY_RULE, val_get_str(v, F_expression), &r->expr);
		program_expr(c, POLICY_MESSAGE, val_get_str(v, F_messageExpression), &r->message);
		r->said = sv_trim(val_get_str(v, F_message));
		r->reason = val_get_str(v, F_reason);
	}
}

static void program_mutations(struct policy_compiler *c, const struct val *list, struct policy *p)
{
	p->mutations = ARENA_ARRAY(c->arena, struct policy_mutation, val_len(list) + 1);
	VAL_EACH(list, v) {
		struct policy_mutation *m = &p->mutations[p->n_mutations++];

		m->patch = val_is(val_get(v, F_patchType), "JSONPatch");
		program_expr(c, m->patch ? POLICY_PATCH : POLICY_APPLY,
			     m->patch ? val_get_str(v, F_jsonPatch, F_expression)
				      : val_get_str(v, F_applyConfiguration, F_expression),
			     &m->expr);
	}
}

struct policy *policy_new(struct obj *o, bool mutating)
{
	struct policy *p = xcalloc(1, sizeof(*p));
	const struct val *spec = obj_get(o, F_spec), *match = val_get(spec, F_matchConstraints);
	struct policy_compiler c;

	atomic_init(&p->refs, 1);
	p->obj = obj_ref(o);
	p->name = obj_name(o);
	hook_scope_compile(&p->arena, match, val_get(match, F_resourceRules), val_get(match, F_excludeResourceRules),
			   &p->scope);
	p->ignore = val_is(val_get(spec, F_failurePolicy), "Ignore");
	p->again = val_is(val_get(spec, F_reinvocationPolicy), "IfNeeded");
	p->has_params = val_type(val_get(spec, F_paramKind)) == VAL_MAP;
	p->param_version = val_get_str(spec, F_paramKind, F_apiVersion);
	p->param_kind = val_get_str(spec, F_paramKind, F_kind);
	policy_compiler_init(&c, &p->arena, spec, mutating);
	program_named(&c, POLICY_CONDITION, val_get(spec, F_matchConditions), F_name, F_expression, &p->conditions,
		      &p->n_conditions);
	program_named(&c, POLICY_VARIABLE, val_get(spec, F_variables), F_name, F_expression, &p->variables,
		      &p->n_variables);
	for (size_t i = 0; i < p->n_variables; i++)
		if (!strmap_has(&p->by_name, p->variables[i].name))
			(void)strmap_set(&p->by_name, p->variables[i].name, (void *)(uintptr_t)(i + 1));
	program_rules(&c, val_get(spec, F_validations), p);
	program_named(&c, POLICY_NOTE, val_get(spec, F_auditAnnotations), F_key, F_valueExpression, &p->notes,
		      &p->n_notes);
	program_mutations(&c, val_get(spec, F_mutations), p);
	policy_compiler_release(&c);
	return p;
}

static void program_drop(struct policy_named *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cel_program_unref(list[i].expr.program);
}

struct policy *policy_unref(struct policy *p)
{
	if (!p || atomic_fetch_sub(&p->refs, 1) != 1)
		return NULL;
	program_drop(p->conditions, p->n_conditions);
	program_drop(p->variables, p->n_variables);
	program_drop(p->notes, p->n_notes);
	for (size_t i = 0; i < p->n_rules; i++) {
		cel_program_unref(p->rules[i].expr.program);
		cel_program_unref(p->rules[i].message.program);
	}
	for (size_t i = 0; i < p->n_mutations; i++)
		cel_program_unref(p->mutations[i].expr.program);
	strmap_release(&p->by_name);
	err_release(&p->scope.wrong);
	obj_unref(p->obj);
	arena_release(&p->arena);
	free(p);
	return NULL;
}
