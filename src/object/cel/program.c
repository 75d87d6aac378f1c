/* Compiling as a whole, and what callers ask of a program. */
#include "object/cel/program.h"
#include "object/cel/ast.h"

#include "base/buf.h"
#include "base/utf8.h"

#include <stdlib.h>

static void program_each_part(struct cel_compile *c, const struct ast *e, bool flag,
			      void (*fn)(struct cel_compile *, const struct ast *, bool))
{
	if (e->target)
		fn(c, e->target, flag);
	for (uint32_t i = 0; i < e->n * (e->kind == AST_MAP || e->kind == AST_STRUCT ? 2 : 1); i++)
		fn(c, e->args[i], flag);
	if (e->fold) {
		fn(c, e->fold->range, flag);
		fn(c, e->fold->init, flag);
		fn(c, e->fold->cond, flag);
		fn(c, e->fold->step, flag);
		fn(c, e->fold->result, flag);
	}
}

/* Constants in places where they are read by people's mistakes: said now instead of at every run. */
static void program_check_literals(struct cel_compile *c, const struct ast *e, bool flag)
{
	const struct ast *lit = e->n ? e->args[0] : NULL;
	struct cel_call call = { .arena = c->arena };
	struct cel_value v;

	if (e->kind == AST_CALL && lit && e->n == 1 && lit->kind == AST_CONST && lit->value.kind == CEL_STRING &&
	    e->n_overloads &&
	    (sv_is(e->name, "duration") || sv_is(e->name, "timestamp") || sv_is(e->name, "matches"))) {
		struct cel_value args[] = { e->member ? cel_string(SV("")) : lit->value, lit->value };

		if (e->overloads[0]->f->impl(&call, args, e->member ? 2 : 1, &v) < 0)
			cel_issue(c, lit->pos, "invalid %.*s argument", SV_ARG(e->name));
	}
	program_each_part(c, e, flag, program_check_literals);
}

static const struct cel_type *program_part_type(const struct ast *e, uint32_t i, bool optional)
{
	const struct cel_type *t = e->args[i]->type;

	return optional && t->kind == CEL_OPTIONAL ? t->params[0] : t;
}

static bool program_same(struct cel_compile *c, const struct ast *at, const struct cel_type *want,
			 const struct cel_type *is)
{
	_cleanup_(buf_release) struct buf w = BUF_INIT, i = BUF_INIT;

	if (cel_type_same(want, is))
		return true;
	cel_type_write(&w, want);
	cel_type_write(&i, is);
	cel_issue(c, at->pos, "expected type '%s' but found '%s'", buf_cstr(&w), buf_cstr(&i));
	return false;
}

/* Elements of a list are of one type, and so are keys and values of a map; but for what format() is given. */
static void program_check_alike(struct cel_compile *c, const struct ast *e, bool exempt)
{
	exempt = exempt || (e->kind == AST_CALL && sv_is(e->name, "format"));
	for (uint32_t i = 1; !exempt && i < e->n; i++) {
		bool first = e->optional && e->optional[0], this = e->optional && e->optional[i];

		if (e->kind == AST_LIST &&
		    !program_same(c, e->args[i], program_part_type(e, 0, first), program_part_type(e, i, this)))
			break;
		if (e->kind == AST_MAP) {
			program_same(c, e->args[2 * i], e->args[0]->type, e->args[2 * i]->type);
			program_same(c, e->args[2 * i + 1], program_part_type(e, 1, first),
				     program_part_type(e, 2 * i + 1, this));
		}
	}
	if (e->kind == AST_STRUCT) { /* its names have no types */
		for (uint32_t i = 0; i < e->n; i++)
			program_check_alike(c, e->args[2 * i + 1], exempt);
		return;
	}
	program_each_part(c, e, exempt, program_check_alike);
}

struct cel_program *cel_compile(const struct cel_env *env, struct sv text, struct cel_issues *issues)
{
	_cleanup_(arena_release) struct arena arena = ARENA_INIT;
	struct cel_compile c = { .arena = &arena, .env = env, .issues = issues, .text = text };
	struct ast *e;

	if (text.n > CEL_TEXT_MAX || cel_runes(text) > CEL_TEXT_MAX) {
		c.text = sv_sub(text, 0, 0);
		cel_issue(&c, 0, "expression code point size exceeds limit: size: %zu, limit %d", cel_runes(text),
			  CEL_TEXT_MAX);
		return NULL;
	}
	if (!utf8_valid(text)) {
		c.text = sv_sub(text, 0, 0);
		cel_issue(&c, 0, "expression is not valid UTF-8");
		return NULL;
	}
	e = cel_parse(&c);
	if (!e)
		return NULL;
	cel_check(&c, e);
	if (!issues->n)
		program_check_alike(&c, e, false);
	if (!issues->n && !env->stored)
		program_check_literals(&c, e, false);
	return issues->n ? NULL : cel_emit(&c, e, cel_cost(&c, e));
}

struct cel_program *cel_program_ref(struct cel_program *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

struct cel_program *cel_program_unref(struct cel_program *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
		free(p);
	return NULL;
}

enum cel_kind cel_program_kind(const struct cel_program *p)
{
	return (enum cel_kind)p->kind;
}

struct sv cel_program_type(const struct cel_program *p)
{
	return p->type_text;
}

const struct cel_type *cel_program_result(const struct cel_program *p)
{
	return p->result;
}

struct cel_range cel_program_cost(const struct cel_program *p)
{
	return p->cost;
}

bool cel_program_uses(const struct cel_program *p, size_t var)
{
	return p->uses >> MIN(var, 63u) & 1;
}

size_t cel_program_bytes(const struct cel_program *p)
{
	return p->bytes;
}
