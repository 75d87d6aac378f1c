/* The checker: a type for every node, overloads for every call, a slot for every variable.
 *
 * It goes on after an error, with a type that goes with everything, so that users see all of them at once. Order and
 * words are upstream's.
 */
#include "object/cel/ast.h"
#include "object/cel/check_types.h"
#include "object/cel/registry.h"
#include "object/cel/value_internal.h"

struct scope {
	struct sv name;
	const struct cel_type *type;
	uint32_t slot;
	struct scope *outer;
};

struct checker {
	struct cel_compile *c;
	struct typing typing;
	struct scope *scope;
};

static void check_node(struct checker *k, struct ast *e);

static struct sv check_type_text(struct checker *k, const struct cel_type *t)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	cel_type_write(&b, t);
	return arena_sv(k->c->issues->arena, buf_sv(&b));
}

static const struct cel_type *check_now(struct checker *k, const struct cel_type *t)
{
	return typing_subst(&k->typing, t, false);
}

static void check_mismatch(struct checker *k, const struct ast *at, const struct cel_type *want,
			   const struct cel_type *is)
{
	struct sv w = check_type_text(k, typing_subst(&k->typing, want, false)),
		  i = check_type_text(k, typing_subst(&k->typing, is, false));

	cel_issue(k->c, at->pos, "expected type '%.*s' but found '%.*s'", SV_ARG(w), SV_ARG(i));
}

static void check_undeclared(struct checker *k, const struct ast *at, struct sv name)
{
	cel_issue(k->c, at->pos, "undeclared reference to '%.*s' (in container '')", SV_ARG(name));
}

/* --- names --- */

static const struct cel_type *check_type_name(struct checker *k, struct sv name)
{
	const struct cel_type *t = cel_named_type(name);

	if (!t && k->c->env->find_type)
		t = k->c->env->find_type(k->c->env->find_ctx, name);
	return t;
}

/* Makes e an identifier of that name, if there is one: a variable or a type. */
static bool check_name(struct checker *k, struct ast *e, struct sv name)
{
	const struct cel_env *env = k->c->env;
	const struct cel_type *t;

	for (const struct scope *s = k->scope; s; s = s->outer)
		if (sv_eq(s->name, name)) {
			e->type = s->type;
			e->slot = s->slot;
			goto found;
		}
	for (size_t i = 0; i < env->n_vars; i++)
		if (sv_eq(env->vars[i].name, name)) {
			e->type = env->vars[i].type;
			e->slot = (uint32_t)i;
			goto found;
		}
	t = check_type_name(k, name);
	if (!t)
		return false;
	e->type = cel_type_type(k->c->arena, t);
	e->slot = UINT32_MAX;
	e->value = CEL_VALUE(CEL_TYPE, named, t);
found:
	e->kind = AST_IDENT;
	e->name = name;
	return true;
}

/* Selections of names as one name with dots; SV_NULL when it is anything else. */
static struct sv check_qualified(struct checker *k, const struct ast *e)
{
	if (e->kind == AST_IDENT)
		return e->name;
	if (e->kind == AST_SELECT && !e->test_only) {
		struct sv left = check_qualified(k, e->target);

		if (left.p && left.n + e->name.n < 256)
			return arena_svf(k->c->arena, "%.*s.%.*s", SV_ARG(left), SV_ARG(e->name));
	}
	return SV_NULL;
}

/* --- fields --- */

static const struct cel_type *check_member(struct checker *k, struct ast *e, struct ast *operand, struct sv name,
					   bool optional)
{
	const struct cel_type *t, *result = &cel_t_error;
	const struct cel_field *f;
	bool is_opt;

	check_node(k, operand);
	t = check_now(k, operand->type);
	is_opt = t->kind == CEL_OPTIONAL;
	if (is_opt)
		t = t->params[0];
	switch (t->kind) {
	case CEL_MAP:
		result = t->params[1];
		break;
	case CEL_OBJECT:
		f = cel_field_of(t, name);
		if (f)
			result = f->type;
		else if (t->preserve)
			result = &cel_t_dyn;
		else
			cel_issue(k->c, e->pos, "undefined field '%.*s'", SV_ARG(name));
		break;
	case CEL_PARAM:
		typing_fits(&k->typing, &cel_t_dyn, t);
		result = &cel_t_dyn;
		break;
	case CEL_DYN:
	case CEL_ERRTYPE:
		result = &cel_t_dyn;
		break;
	default: {
		struct sv text = check_type_text(k, t);

		cel_issue(k->c, e->pos, "type '%.*s' does not support field selection", SV_ARG(text));
		result = &cel_t_dyn;
	}
	}
	return is_opt || optional ? cel_type_optional(k->c->arena, result) : result;
}

static void check_select(struct checker *k, struct ast *e)
{
	struct sv name = check_qualified(k, e);
	const struct cel_type *t;

	if (name.p && check_name(k, e, name))
		return;
	t = check_member(k, e, e->target, e->name, false);
	e->type = e->test_only ? &cel_t_bool : check_now(k, t);
}

/* --- calls --- */

/* The rows of a name that this environment has. */
static size_t check_functions(struct checker *k, struct sv name, const struct cel_overload ***ret)
{
	const struct cel_env *env = k->c->env;
	size_t n, kept = 0;
	const struct cel_overload *o = cel_functions(name, &n), **p;

	if (!n)
		return 0;
	p = ARENA_ARRAY(k->c->arena, const struct cel_overload *, n);
	for (size_t i = 0; i < n; i++) {
		/* What is new with this release waits for the next, so that a server taken back still knows it. */
		bool old = env->stored || env->release == 0 || o[i].f->since < env->release;
		bool ours = o[i].lib->name[0] != '!' || (env->extra_lib && strcmp(env->extra_lib, o[i].lib->name) == 0);

		if (old && ours)
			p[kept++] = &o[i];
	}
	*ret = p;
	return kept;
}

static void check_no_overload(struct checker *k, struct ast *e, const struct cel_type *const *given, size_t n,
			      bool member)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (i == 0 && !member)
			buf_addc(&b, '(');
		if (i > (member ? 1u : 0u))
			buf_adds(&b, ", ");
		cel_type_write(&b, typing_subst(&k->typing, given[i], true));
		if (i == 0 && member)
			buf_adds(&b, ".(");
	}
	if (!n)
		buf_addc(&b, '(');
	buf_addc(&b, ')');
	cel_issue(k->c, e->pos, "found no matching overload for '%.*s' applied to '%s'", SV_ARG(e->name), buf_cstr(&b));
}

static void check_resolve(struct checker *k, struct ast *e, const struct cel_overload *const *o, size_t n_o,
			  struct ast *target)
{
	size_t n = e->n + (target ? 1 : 0), kept = 0;
	const struct cel_type **given = ARENA_ARRAY(k->c->arena, const struct cel_type *, n);
	const struct cel_overload **fits = ARENA_ARRAY(k->c->arena, const struct cel_overload *, n_o);
	const struct cel_type *result = NULL;

	if (target)
		given[0] = target->type;
	for (size_t i = 0; i < e->n; i++)
		given[i + (target ? 1 : 0)] = e->args[i]->type;
	for (size_t i = 0; i < n_o; i++) {
		const struct cel_type *vars[26] = { 0 }, *want[CEL_ARGS_MAX], *r;

		if (o[i]->member != (target != NULL) || o[i]->n_args != n)
			continue;
		for (size_t j = 0; j < n; j++)
			want[j] = typing_fresh(&k->typing, o[i]->args[j], vars);
		if (!typing_fit_all(&k->typing, given, want, n))
			continue;
		fits[kept++] = o[i];
		r = check_now(k, typing_fresh(&k->typing, o[i]->result, vars));
		if (!result)
			result = r;
		else if (result->kind != CEL_DYN && !cel_type_same(r, result))
			result = &cel_t_dyn;
	}
	if (!result) {
		check_no_overload(k, e, given, n, target != NULL);
		e->type = &cel_t_error;
		return;
	}
	e->overloads = fits;
	e->n_overloads = (uint32_t)kept;
	e->type = result;
}

static void check_call(struct checker *k, struct ast *e)
{
	const struct cel_overload **o = NULL;
	size_t n;

	if (sv_is(e->name, "_?._")) {
		e->type = check_now(k, check_member(k, e, e->args[0], cel_text(&e->args[1]->value), true));
		e->args[1]->type = &cel_t_string;
		return;
	}
	for (uint32_t i = 0; i < e->n; i++)
		check_node(k, e->args[i]);
	if (e->member) {
		struct sv prefix = check_qualified(k, e->target);
		struct sv full =
		    prefix.p ? arena_svf(k->c->arena, "%.*s.%.*s", SV_ARG(prefix), SV_ARG(e->name)) : SV_NULL;

		n = full.p ? check_functions(k, full, &o) : 0;
		if (n) { /* "ip.isCanonical": no member after all */
			e->member = false;
			e->target = NULL;
			e->name = full;
			check_resolve(k, e, o, n, NULL);
			return;
		}
		check_node(k, e->target);
	}
	n = check_functions(k, e->name, &o);
	if (n) {
		check_resolve(k, e, o, n, e->target);
		return;
	}
	check_undeclared(k, e, e->name);
	e->type = &cel_t_error;
}

/* --- literals --- */

static const struct cel_type *check_unwrap(struct checker *k, const struct ast *at, bool optional)
{
	const struct cel_type *t = check_now(k, at->type);

	if (!optional)
		return at->type;
	if (t->kind == CEL_OPTIONAL)
		return t->params[0];
	if (t->kind != CEL_DYN)
		check_mismatch(k, at, cel_type_optional(k->c->arena, t), t);
	return t;
}

/* Parts of unlike types make a literal of anything; whether it may be one is asked later (program.c). */
static const struct cel_type *check_join(struct checker *k, const struct cel_type *so_far, const struct cel_type *t)
{
	if (!so_far)
		return t;
	return typing_fits(&k->typing, so_far, t) ? typing_general(so_far, t) : &cel_t_dyn;
}

static void check_list(struct checker *k, struct ast *e)
{
	const struct cel_type *t = NULL;

	for (uint32_t i = 0; i < e->n; i++) {
		check_node(k, e->args[i]);
		t = check_join(k, t, check_unwrap(k, e->args[i], e->optional && e->optional[i]));
	}
	e->type = cel_type_list(k->c->arena, t ? t : typing_var(&k->typing));
}

static void check_map(struct checker *k, struct ast *e)
{
	const struct cel_type *key = NULL, *value = NULL;

	for (uint32_t i = 0; i < e->n; i++) {
		struct ast *ek = e->args[2 * i], *ev = e->args[2 * i + 1];

		check_node(k, ek);
		key = check_join(k, key, ek->type);
		check_node(k, ev);
		value = check_join(k, value, check_unwrap(k, ev, e->optional && e->optional[i]));
	}
	if (!key) {
		key = typing_var(&k->typing);
		value = typing_var(&k->typing);
	}
	e->type = cel_type_map(k->c->arena, key, value);
}

static void check_object(struct checker *k, struct ast *e)
{
	const struct cel_type *t = check_type_name(k, e->name);

	e->type = &cel_t_error;
	if (!t)
		check_undeclared(k, e, e->name);
	else if (t->kind != CEL_OBJECT)
		cel_issue(k->c, e->pos, "'%.*s' is not a message type", SV_ARG(e->name));
	else
		e->type = t;
	for (uint32_t i = 0; i < e->n; i++) {
		struct ast *ef = e->args[2 * i], *ev = e->args[2 * i + 1];
		const struct cel_field *f;
		const struct cel_type *is;

		check_node(k, ev);
		is = check_unwrap(k, ev, e->optional && e->optional[i]);
		if (e->type->kind != CEL_OBJECT)
			continue;
		f = cel_field_of(t, ef->name);
		if (!f && t->preserve)
			continue;
		if (!f) {
			cel_issue(k->c, ef->pos, "undefined field '%.*s'", SV_ARG(ef->name));
		} else if (!typing_fits(&k->typing, f->type, is)) {
			struct sv want = check_type_text(k, f->type), got = check_type_text(k, check_now(k, is));

			cel_issue(k->c, ef->pos, "expected type of field '%.*s' is '%.*s' but provided type is '%.*s'",
				  SV_ARG(ef->name), SV_ARG(want), SV_ARG(got));
		}
	}
}

/* --- comprehensions --- */

static void check_assert(struct checker *k, struct ast *e, const struct cel_type *want)
{
	if (!typing_fits(&k->typing, want, e->type))
		check_mismatch(k, e, want, e->type);
}

static void check_fold(struct checker *k, struct ast *e)
{
	struct ast_fold *f = e->fold;
	struct scope *outer = k->scope;
	struct scope accu = { f->accu, NULL, 0, outer }, var = { .name = f->var }, var2 = { .name = f->var2 };
	const struct cel_type *range;

	check_node(k, f->range);
	check_node(k, f->init);
	range = check_now(k, f->range->type);
	accu.type = f->init->type;
	accu.slot = f->accu_slot = k->c->n_slots++;
	var.slot = f->var_slot = k->c->n_slots++;
	var2.slot = f->var2_slot = f->var2.n ? k->c->n_slots++ : 0;
	switch (range->kind) {
	case CEL_LIST:
		var.type = f->var2.n ? &cel_t_int : range->params[0];
		var2.type = range->params[0];
		break;
	case CEL_MAP:
		var.type = range->params[0];
		var2.type = range->params[1];
		break;
	case CEL_PARAM:
		typing_fits(&k->typing, &cel_t_dyn, range);
		var.type = var2.type = &cel_t_dyn;
		break;
	case CEL_DYN:
	case CEL_ERRTYPE:
		var.type = var2.type = &cel_t_dyn;
		break;
	default: {
		struct sv text = check_type_text(k, range);

		cel_issue(
		    k->c, f->range->pos,
		    "expression of type '%.*s' cannot be range of a comprehension (must be list, map, or dynamic)",
		    SV_ARG(text));
		var.type = var2.type = &cel_t_error;
	}
	}
	var.outer = &accu;
	var2.outer = &var;
	k->scope = f->var2.n ? &var2 : &var;
	check_node(k, f->cond);
	check_assert(k, f->cond, &cel_t_bool);
	check_node(k, f->step);
	check_assert(k, f->step, accu.type);
	k->scope = &accu;
	check_node(k, f->result);
	k->scope = outer;
	e->type = check_now(k, f->result->type);
}

static void check_node(struct checker *k, struct ast *e)
{
	static const struct cel_type *const consts[] = {
		[CEL_NULL] = &cel_t_null,  [CEL_BOOL] = &cel_t_bool,	 [CEL_INT] = &cel_t_int,
		[CEL_UINT] = &cel_t_uint,  [CEL_DOUBLE] = &cel_t_double, [CEL_STRING] = &cel_t_string,
		[CEL_BYTES] = &cel_t_bytes
	};

	switch ((enum ast_kind)e->kind) {
	case AST_CONST:
		e->type = consts[e->value.kind];
		break;
	case AST_IDENT:
		if (!check_name(k, e, e->name)) {
			e->type = &cel_t_error;
			check_undeclared(k, e, e->name);
		}
		break;
	case AST_SELECT:
		check_select(k, e);
		break;
	case AST_CALL:
		check_call(k, e);
		break;
	case AST_LIST:
		check_list(k, e);
		break;
	case AST_MAP:
		check_map(k, e);
		break;
	case AST_STRUCT:
		check_object(k, e);
		break;
	case AST_FOLD:
		check_fold(k, e);
		break;
	}
}

/* What stayed open is dyn. */
static void check_finish(struct checker *k, struct ast *e)
{
	if (e->type)
		e->type = typing_subst(&k->typing, e->type, true);
	if (e->target)
		check_finish(k, e->target);
	for (uint32_t i = 0; i < e->n * (e->kind == AST_MAP || e->kind == AST_STRUCT ? 2 : 1); i++)
		check_finish(k, e->args[i]);
	if (e->fold) {
		check_finish(k, e->fold->range);
		check_finish(k, e->fold->init);
		check_finish(k, e->fold->cond);
		check_finish(k, e->fold->step);
		check_finish(k, e->fold->result);
	}
}

void cel_check(struct cel_compile *c, struct ast *e)
{
	struct checker k = { .c = c, .typing = { .arena = c->arena } };

	c->n_slots = (uint32_t)c->env->n_vars;
	check_node(&k, e);
	check_finish(&k, e);
	typing_release(&k.typing);
}
