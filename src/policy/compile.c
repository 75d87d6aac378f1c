/* Compiling. What an expression sees of `variables` is made of the names that stand in its text, so that many variables
 * cost each expression nothing. */
#include "policy/policy_compile.h"

#include "base/vec.h"
#include "codec/symbol.h"
#include "object/cel/authz.h"

#define NOBODY SV("-") /* no expression can write it */

void policy_compiler_init(struct policy_compiler *c, struct arena *a, const struct val *spec, bool mutating)
{
	*c = (struct policy_compiler){ .arena = a,
				       .params = val_type(val_member(spec, F_paramKind)) == VAL_MAP,
				       .mutating = mutating };
}

void policy_compiler_release(struct policy_compiler *c)
{
	strmap_release(&c->variables);
	strmap_release(&c->types);
}

/* A type that contains itself is known when it is met again. As deep as schemas are. */
static void compile_know(struct policy_compiler *c, const struct cel_type *t)
{
	_cleanup_(buf_release) struct buf name = BUF_INIT;

	if (t->kind != CEL_OBJECT) {
		for (size_t i = 0; i < ARRAY_LEN(t->params); i++)
			if (t->params[i])
				compile_know(c, t->params[i]);
		return;
	}
	cel_type_write(&name, t);
	if (strmap_has(&c->types, buf_sv(&name)))
		return;
	(void)strmap_set(&c->types, buf_sv(&name), (void *)(uintptr_t)t);
	for (size_t i = 0; i < t->n_fields; i++)
		compile_know(c, t->fields[i].type);
}

void policy_compiler_types(struct policy_compiler *c, const struct cel_type *object, const struct cel_type *params)
{
	c->params = params;
	c->object_type = object;
	c->params_type = params;
	compile_know(c, object);
	if (params)
		compile_know(c, params);
}

/* A program keeps its result's type without fields, which are found again by the names of types; and it may go before
 * the type does. */
static const struct cel_type *compile_result(const struct policy_compiler *c, const struct cel_type *t)
{
	struct arena *a = c->arena;
	const struct cel_type *found;
	struct cel_type *copy;

	switch ((enum cel_kind)t->kind) {
	case CEL_OBJECT:
		found = strmap_get(&c->types, t->name);
		if (!found)
			found = policy_named_type(a, t->name);
		return found ? found : &cel_t_dyn;
	case CEL_LIST:
		return cel_type_list(a, compile_result(c, t->params[0]));
	case CEL_OPTIONAL:
		return cel_type_optional(a, compile_result(c, t->params[0]));
	case CEL_MAP:
		return cel_type_map(a, compile_result(c, t->params[0]), compile_result(c, t->params[1]));
	case CEL_TYPE:
		return &cel_t_dyn;
	default:
		copy = ARENA_NEW(a, struct cel_type);
		*copy = *t;
		copy->name = arena_sv(a, t->name);
		return copy;
	}
}

void policy_compiler_add(struct policy_compiler *c, struct sv name, const struct cel_program *p)
{
	const struct cel_type *t = p ? compile_result(c, cel_program_result(p)) : &cel_t_dyn;

	if (!strmap_has(&c->variables, name))
		(void)strmap_set(&c->variables, name, (void *)(uintptr_t)t);
}

/* --- variables --- */

static bool compile_word(char c)
{
	char upper = (char)(c & ~0x20);

	return (upper >= 'A' && upper <= 'Z') || c == '_' || (c >= '0' && c <= '9');
}

static const struct cel_type *compile_variables(struct policy_compiler *c, struct sv text)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	VEC(struct cel_field) fields = VEC_INIT;
	const struct cel_type *t;

	for (size_t i = 0, end; i < text.n; i = end + 1) {
		const struct cel_type *of;
		struct sv word;

		for (end = i; end < text.n && compile_word(text.p[end]);)
			end++;
		word = sv_sub(text, i, end - i);
		of = word.n ? strmap_get(&c->variables, word) : NULL;
		if (!of || strmap_set(&seen, word, c))
			continue;
		word = arena_sv(c->arena, word);
		vec_push(&fields, ((struct cel_field){ .name = word, .key = word, .type = of }));
	}
	t = cel_type_object(c->arena, SV("kubernetes.variables"), fields.p, fields.n);
	vec_release(&fields);
	return t;
}

/* --- what comes out of them --- */

static const struct {
	const char *first, *second, *why;
} compile_wants[] = {
	[POLICY_CONDITION] = { "bool", NULL, "must evaluate to bool" },
	[POLICY_RULE] = { "bool", NULL, "must evaluate to bool" },
	[POLICY_MESSAGE] = { "string", NULL, "must evaluate to string" },
	[POLICY_NOTE] = { "string", "null", "must evaluate to one of [string null_type]" },
	[POLICY_APPLY] = { "Object", NULL, "must evaluate to Object" },
	[POLICY_PATCH] = { "list(JSONPatch)", NULL, "must evaluate to list(JSONPatch)" },
};

static bool compile_fits(const struct cel_program *p, enum policy_use use)
{
	struct sv type = cel_program_type(p);

	if (use == POLICY_VARIABLE || sv_is(type, compile_wants[use].first))
		return true;
	return compile_wants[use].second && (sv_is(type, compile_wants[use].second) || sv_is(type, "null_type"));
}

/* --- compiling --- */

static const struct cel_type *compile_find(void *ctx, struct sv name)
{
	struct policy_compiler *c = ctx;

	return policy_mutation_type(c->arena, name);
}

/* NULL: *ret_why is what cel-go would print. */
static struct cel_program *compile_text(struct policy_compiler *c, enum policy_use use, bool stored, struct sv text,
					struct sv *ret_why)
{
	bool variables = use != POLICY_CONDITION && c->variables.n, asks = use != POLICY_MESSAGE;
	const struct cel_type *object = c->object_type ? c->object_type : &cel_t_dyn;
	const struct cel_var vars[_POLICY_VAR_MAX] = {
		[POLICY_VAR_OBJECT] = { SV("object"), object },
		[POLICY_VAR_OLD] = { SV("oldObject"), object },
		[POLICY_VAR_REQUEST] = { SV("request"), policy_request_type() },
		[POLICY_VAR_PARAMS] = { c->params ? SV("params") : NOBODY,
					c->params_type ? c->params_type : &cel_t_dyn },
		[POLICY_VAR_NAMESPACE] = { SV("namespaceObject"), policy_namespace_type() },
		[POLICY_VAR_VARIABLES] = { variables ? SV("variables") : NOBODY,
					   variables ? compile_variables(c, text) : &cel_t_dyn },
		[POLICY_VAR_AUTHORIZER] = { asks ? SV("authorizer") : NOBODY, cel_t_authorizer },
		[POLICY_VAR_RESOURCE] = { asks ? SV("authorizer.requestResource") : NOBODY, cel_t_resource_check },
	};
	struct cel_env env = { .release = CEL_V(1, 37), .stored = stored, .vars = vars, .n_vars = _POLICY_VAR_MAX };
	struct cel_issues issues = CEL_ISSUES(c->arena);
	struct cel_program *p;

	if (c->mutating) {
		env.extra_lib = "!kubernetes.jsonpatch";
		env.find_type = compile_find;
		env.find_ctx = c;
	}
	p = cel_compile(&env, text, &issues);
	if (!p)
		*ret_why = cel_issues_text(c->arena, &issues, text);
	return p;
}

struct cel_program *policy_compile(struct policy_compiler *c, enum policy_use use, bool stored, struct sv text,
				   struct sv *ret_why)
{
	struct cel_program *p = compile_text(c, use, stored, text, ret_why);

	if (!p) {
		*ret_why = arena_svf(c->arena, "compilation failed: %.*s", SV_ARG(*ret_why));
	} else if (!compile_fits(p, use)) {
		*ret_why = sv_from(compile_wants[use].why);
		p = cel_program_unref(p);
	}
	return p;
}

struct cel_program *policy_compile_check(struct policy_compiler *c, struct sv text, struct sv *ret_why)
{
	return compile_text(c, POLICY_VARIABLE, true, text, ret_why);
}

struct cel_program *policy_compile_hook(struct arena *a, bool stored, struct sv text, struct sv *ret_why)
{
	struct policy_compiler c = { .arena = a };

	return policy_compile(&c, POLICY_CONDITION, stored, text, ret_why);
}
