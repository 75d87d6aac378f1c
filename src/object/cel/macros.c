/* Macros: calls that stand for something larger.
 *
 * What they become is what upstream's become, step by step: types, estimates and costs at run time follow from it. A
 * comprehension goes over a range while its condition holds, gathers in one variable, and has a result.
 */
#include "object/cel/ast.h"

struct macro {
	struct cel_compile *c;
	struct ast *call;
	bool bad;
};

static struct ast *macro_error(struct macro *m, uint32_t pos, const char *what)
{
	cel_issue(m->c, pos, "%s", what);
	m->bad = true;
	return NULL;
}

static struct ast *macro_accu(struct macro *m)
{
	return ast_ident(m->c, m->call->pos, AST_ACCU);
}

static struct ast *macro_const(struct macro *m, struct cel_value v)
{
	return ast_const(m->c, m->call->pos, v);
}

static struct ast *macro_call(struct macro *m, const char *name, struct ast *a, struct ast *b, struct ast *c)
{
	struct ast *args[] = { a, b, c };

	return ast_call(m->c, m->call->pos, name, c ? 3 : b ? 2 : 1, args);
}

static struct ast *macro_list(struct macro *m, struct ast *one)
{
	struct ast *e = ast_new(m->c, AST_LIST, m->call->pos);

	if (one) {
		e->args = ARENA_ARRAY(m->c->arena, struct ast *, 1);
		e->args[0] = one;
		e->n = 1;
	}
	return ast_done(m->c, e);
}

static struct ast *macro_fold(struct macro *m, struct ast_fold f)
{
	struct ast *e = ast_new(m->c, AST_FOLD, m->call->pos);

	e->fold = ARENA_NEW(m->c->arena, struct ast_fold);
	*e->fold = f;
	return ast_done(m->c, e);
}

/* The name in argument i: what an iteration's variable is called. */
static bool macro_var(struct macro *m, uint32_t i, struct sv *ret)
{
	const struct ast *a = m->call->args[i];

	if (a->kind != AST_IDENT) {
		macro_error(m, a->pos, "argument must be a simple name");
		return false;
	}
	if (sv_is(a->name, "__result__")) {
		macro_error(m, a->pos, "iteration variable overwrites accumulator variable");
		return false;
	}
	*ret = a->name;
	return true;
}

enum macro_quantifier { Q_ALL, Q_EXISTS, Q_ONE };

static struct ast *macro_quantifier(struct macro *m, enum macro_quantifier q, bool two)
{
	struct ast_fold f = { .range = m->call->target, .accu = AST_ACCU };
	struct ast *pred = m->call->args[two ? 2 : 1];

	if (!macro_var(m, 0, &f.var) || (two && !macro_var(m, 1, &f.var2)))
		return NULL;
	if (two && sv_eq(f.var, f.var2))
		return macro_error(m, m->call->args[1]->pos,
				   arena_printf(m->c->arena, "duplicate variable name: %.*s", SV_ARG(f.var)));
	switch (q) {
	case Q_ALL:
		f.init = macro_const(m, cel_bool(true));
		f.cond = macro_call(m, "@not_strictly_false", macro_accu(m), NULL, NULL);
		f.step = macro_call(m, "_&&_", macro_accu(m), pred, NULL);
		f.result = macro_accu(m);
		break;
	case Q_EXISTS:
		f.init = macro_const(m, cel_bool(false));
		f.cond =
		    macro_call(m, "@not_strictly_false", macro_call(m, "!_", macro_accu(m), NULL, NULL), NULL, NULL);
		f.step = macro_call(m, "_||_", macro_accu(m), pred, NULL);
		f.result = macro_accu(m);
		break;
	case Q_ONE:
		f.init = macro_const(m, cel_int(0));
		f.cond = macro_const(m, cel_bool(true));
		f.step =
		    macro_call(m, "_?_:_", pred, macro_call(m, "_+_", macro_accu(m), macro_const(m, cel_int(1)), NULL),
			       macro_accu(m));
		f.result = macro_call(m, "_==_", macro_accu(m), macro_const(m, cel_int(1)), NULL);
		break;
	}
	return macro_fold(m, f);
}

/* map, filter and their kin: elements that go into a list, on a condition. */
static struct ast *macro_gather(struct macro *m, struct ast *what, struct ast *filter, bool two)
{
	struct ast_fold f = { .range = m->call->target, .accu = AST_ACCU };

	if (!macro_var(m, 0, &f.var) || (two && !macro_var(m, 1, &f.var2)))
		return NULL;
	f.init = macro_list(m, NULL);
	f.cond = macro_const(m, cel_bool(true));
	f.step = macro_call(m, "_+_", macro_accu(m), macro_list(m, what), NULL);
	if (filter)
		f.step = macro_call(m, "_?_:_", filter, f.step, macro_accu(m));
	f.result = macro_accu(m);
	return macro_fold(m, f);
}

static struct ast *macro_transform_map(struct macro *m, bool entry)
{
	struct ast_fold f = { .range = m->call->target, .accu = AST_ACCU };
	struct ast *what = m->call->args[m->call->n - 1];

	if (!macro_var(m, 0, &f.var) || !macro_var(m, 1, &f.var2))
		return NULL;
	f.init = ast_done(m->c, ast_new(m->c, AST_MAP, m->call->pos));
	f.cond = macro_const(m, cel_bool(true));
	f.step = entry ? macro_call(m, "cel.@mapInsert", macro_accu(m), what, NULL)
		       : macro_call(m, "cel.@mapInsert", macro_accu(m), ast_ident(m->c, m->call->pos, f.var), what);
	if (m->call->n == 4)
		f.step = macro_call(m, "_?_:_", m->call->args[2], f.step, macro_accu(m));
	f.result = macro_accu(m);
	return macro_fold(m, f);
}

static struct ast *macro_bind(struct macro *m, struct sv name, struct ast *value, struct ast *result)
{
	struct ast_fold f = { .range = macro_list(m, NULL),
			      .var = SV("#unused"),
			      .accu = name,
			      .init = value,
			      .cond = macro_const(m, cel_bool(false)),
			      .step = ast_ident(m->c, m->call->pos, name),
			      .result = result,
			      .bind = true };

	return macro_fold(m, f);
}

static struct ast *macro_member(struct macro *m, const char *name, struct ast *target, struct ast *arg)
{
	struct ast *e = ast_new(m->c, AST_CALL, m->call->pos);

	e->name = sv_from(name);
	e->target = target;
	e->member = true;
	if (arg) {
		e->args = ARENA_ARRAY(m->c->arena, struct ast *, 1);
		e->args[0] = arg;
		e->n = 1;
	}
	return ast_done(m->c, e);
}

/* optMap and optFlatMap: the target once for whether there is a value, once for which. */
static struct ast *macro_opt(struct macro *m, bool flat)
{
	struct ast *target = m->call->target, *value;
	struct sv name;

	if (m->call->args[0]->kind != AST_IDENT)
		return macro_error(m, m->call->args[0]->pos,
				   flat ? "optFlatMap() variable name must be a simple identifier"
					: "optMap() variable name must be a simple identifier");
	name = m->call->args[0]->name;
	value = macro_bind(m, name, macro_member(m, "value", target, NULL), m->call->args[1]);
	if (!flat)
		value = macro_call(m, "optional.of", value, NULL, NULL);
	return macro_call(m, "_?_:_", macro_member(m, "hasValue", target, NULL), value,
			  ast_call(m->c, m->call->pos, "optional.none", 0, NULL));
}

static struct ast *macro_sort_by(struct macro *m)
{
	struct sv input = SV("@__sortBy_input__");
	struct macro keys = *m;
	struct ast call = *m->call, *by;

	call.target = ast_ident(m->c, m->call->pos, input);
	keys.call = &call;
	by = macro_gather(&keys, m->call->args[1], NULL, false);
	if (!by) {
		m->bad = true;
		return NULL;
	}
	return macro_bind(m, input, m->call->target,
			  macro_member(m, "@sortByAssociatedKeys", ast_ident(m->c, m->call->pos, input), by));
}

static struct ast *macro_has(struct macro *m)
{
	struct ast *a = m->call->args[0], *e;

	if (a->kind != AST_SELECT || a->test_only)
		return macro_error(m, a->pos, "invalid argument to has() macro");
	e = ast_new(m->c, AST_SELECT, m->call->pos);
	e->target = a->target;
	e->name = a->name;
	e->test_only = true;
	return ast_done(m->c, e);
}

static struct ast *macro_member_call(struct macro *m, struct sv name, uint32_t n)
{
	bool two = n >= 3 && !sv_is(name, "map");

	if ((n == 2 || n == 3) && sv_is(name, "all"))
		return macro_quantifier(m, Q_ALL, two);
	if ((n == 2 || n == 3) && sv_is(name, "exists"))
		return macro_quantifier(m, Q_EXISTS, two);
	if (n == 2 && (sv_is(name, "exists_one") || sv_is(name, "existsOne")))
		return macro_quantifier(m, Q_ONE, false);
	if (n == 3 && sv_is(name, "existsOne"))
		return macro_quantifier(m, Q_ONE, true);
	if (n == 2 && sv_is(name, "map"))
		return macro_gather(m, m->call->args[1], NULL, false);
	if (n == 3 && sv_is(name, "map"))
		return macro_gather(m, m->call->args[2], m->call->args[1], false);
	if (n == 2 && sv_is(name, "filter"))
		return macro_gather(m, m->call->args[0], m->call->args[1], false);
	if ((n == 3 || n == 4) && sv_is(name, "transformList"))
		return macro_gather(m, m->call->args[n - 1], n == 4 ? m->call->args[2] : NULL, true);
	if ((n == 3 || n == 4) && sv_is(name, "transformMap"))
		return macro_transform_map(m, false);
	if ((n == 3 || n == 4) && sv_is(name, "transformMapEntry"))
		return macro_transform_map(m, true);
	if (n == 2 && sv_is(name, "optMap"))
		return macro_opt(m, false);
	if (n == 2 && sv_is(name, "optFlatMap"))
		return macro_opt(m, true);
	if (n == 2 && sv_is(name, "sortBy"))
		return macro_sort_by(m);
	return NULL;
}

struct ast *cel_macro(struct cel_compile *c, struct ast *call, bool *bad)
{
	struct macro m = { .c = c, .call = call };
	struct ast *e = NULL;

	if (call->member)
		e = macro_member_call(&m, call->name, call->n);
	else if (call->n == 1 && sv_is(call->name, "has"))
		e = macro_has(&m);
	*bad = m.bad;
	return e;
}
