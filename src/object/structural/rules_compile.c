/* Rules become programs. */
#include "object/structural/rules.h"

/* --- types --- */

const struct cel_type *rules_property_type(struct arena *a, const struct cel_type *t, struct sv name,
					   const struct snode *of)
{
	unsigned flags = of->flags & SN_EMBEDDED ? CEL_OAS_ROOT : 0;
	const struct cel_field *f;
	struct sv escaped;

	if (!t)
		return NULL;
	escaped = cel_escape(a, name);
	if (!escaped.p)
		return cel_type_openapi(a, of->src, flags);
	f = cel_type_field(t, escaped);
	return f ? f->type : NULL;
}

const struct cel_type *structural_type(struct arena *a, const struct structural *s, struct sv name)
{
	return cel_type_openapi_named(a, structural_tree(s)->root->src, CEL_OAS_ROOT, name);
}

const struct cel_type *rules_item_type(const struct cel_type *t)
{
	return t && t->kind == CEL_LIST ? t->params[0] : NULL;
}

const struct cel_type *rules_value_type(const struct cel_type *t)
{
	return t && t->kind == CEL_MAP ? t->params[1] : NULL;
}

/* --- one rule --- */

struct sv rule_name(const struct val *rule)
{
	struct sv message = val_get_str(rule, F_message);

	return sv_trim(message.n ? message : val_get_str(rule, F_rule));
}

static void rule_message(struct arena *a, const struct cel_env *env, struct rule *r)
{
	struct sv text = val_get_str(r->src, F_messageExpression);
	struct cel_issues issues = CEL_ISSUES(a);

	if (!sv_trim(text).n)
		return;
	r->message = cel_compile(env, text, &issues);
	if (!r->message)
		r->message_error = arena_svf(a, "messageExpression compilation failed: %.*s",
					     SV_ARG(cel_issues_text(a, &issues, text)));
	else if (cel_program_kind(r->message) != CEL_STRING)
		r->message = cel_program_unref(r->message),
		r->message_error = SV("messageExpression must evaluate to a string");
	else
		r->message_uses_old = cel_program_uses(r->message, 1);
}

static void rule_compile(struct arena *a, const struct snode *n, const struct cel_type *self, bool stored,
			 struct rule *r)
{
	struct cel_var vars[] = { { SV("self"), self }, { SV("oldSelf"), self } };
	struct cel_env env = { .release = CEL_V(1, 37), .stored = stored, .vars = vars, .n_vars = ARRAY_LEN(vars) };
	struct sv text = val_get_str(r->src, F_rule), path = val_get_str(r->src, F_fieldPath);
	struct cel_issues issues = CEL_ISSUES(a);

	r->optional_old = val_get_bool(r->src, F_optionalOldSelf);
	if (path.n)
		(void)rule_path(a, n, path, &r->path);
	if (!sv_trim(text).n)
		return;
	if (r->optional_old)
		vars[1].type = cel_type_optional(a, self);
	r->program = cel_compile(&env, text, &issues);
	if (!r->program) {
		r->error = arena_svf(a, "compilation failed: %.*s", SV_ARG(cel_issues_text(a, &issues, text)));
		return;
	}
	if (cel_program_kind(r->program) != CEL_BOOL) {
		r->program = cel_program_unref(r->program);
		r->error = SV("cel expression must evaluate to a bool");
		return;
	}
	r->uses_old = cel_program_uses(r->program, 1);
	rule_message(a, &env, r);
}

void rule_set_compile(struct arena *a, const struct snode *n, const struct cel_type *own, bool stored,
		      struct rule_set *ret)
{
	const struct val *list = val_member(n->src, F_x_kubernetes_validations);

	ret->type = own;
	ret->rules = ARENA_ARRAY(a, struct rule, val_len(list) + 1);
	VAL_EACH(list, src) {
		struct rule *r = &ret->rules[ret->n++];

		r->src = src;
		if (own)
			rule_compile(a, n, own, stored, r);
	}
}

void rule_set_release(struct rule_set *set)
{
	for (size_t i = 0; i < set->n; i++) {
		cel_program_unref(set->rules[i].program);
		cel_program_unref(set->rules[i].message);
	}
}

/* --- all of a schema --- */

/* by: where the rules stand; like: what they are about, which differs from it in allOf. t: type of like's values; NULL
 * above all rules. */
static void compile_node(struct rules *r, const struct snode *by, const struct snode *like, const struct cel_type *t,
			 bool root)
{
	struct arena *a = &r->arena;

	if (!by || !(by->flags & SN_RULES))
		return;
	if (!t && by->rules)
		t = cel_type_openapi(a, like->src, root || like->flags & SN_EMBEDDED ? CEL_OAS_ROOT : 0);
	if (by->rules)
		rule_set_compile(a, by, t, true, &r->sets[by->rules - 1]);
	for (size_t i = 0; by->bounds && i < by->bounds->all.n; i++)
		compile_node(r, by->bounds->all.of[i], like, t, root);
	for (size_t i = 0; i < by->n_props; i++) {
		const struct snode *of = by->props[i].node, *is = snode_property(like, by->props[i].name);

		if (of && is)
			compile_node(r, of, is, rules_property_type(a, t, by->props[i].name, is), false);
	}
	if (like->items)
		compile_node(r, by->items, like->items, rules_item_type(t), false);
	if (like->additional)
		compile_node(r, by->additional, like->additional, rules_value_type(t), false);
}

void rules_free(struct rules *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->n; i++)
		rule_set_release(&r->sets[i]);
	arena_release(&r->arena);
	free(r);
}

const struct rules *rules_of(const struct structural *s)
{
	struct structural *own = (struct structural *)(uintptr_t)s;
	struct rules *r = atomic_load_explicit(&own->rules, memory_order_acquire), *made;
	const struct stree *t;

	if (r)
		return r;
	t = structural_tree(s);
	made = xcalloc(1, sizeof(*made));
	made->n = t->n_rules;
	made->sets = ARENA_ARRAY(&made->arena, struct rule_set, made->n + 1);
	compile_node(made, t->root, t->root, NULL, true);
	/* As structural_tree(): who comes second takes that of the first. */
	if (atomic_compare_exchange_strong_explicit(&own->rules, &r, made, memory_order_acq_rel, memory_order_acquire))
		return made;
	rules_free(made);
	return r;
}

bool structural_has_rules(const struct structural *s)
{
	return structural_tree(s)->n_rules > 0;
}

bool structural_compile_rules(const struct structural *s)
{
	bool before = atomic_load_explicit(&((struct structural *)(uintptr_t)s)->rules, memory_order_acquire) != NULL;

	(void)rules_of(s);
	return !before;
}

void structural_release(struct structural *s)
{
	if (!s)
		return;
	rules_free(atomic_exchange(&s->rules, NULL));
	stree_free(atomic_exchange(&s->tree, NULL));
}
