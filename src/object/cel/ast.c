/* Nodes of the tree: made, counted, their depth bounded. */
#include "object/cel/ast.h"

struct ast *ast_new(struct cel_compile *c, enum ast_kind kind, uint32_t pos)
{
	struct ast *e = ARENA_NEW(c->arena, struct ast);

	e->kind = (uint8_t)kind;
	e->pos = pos;
	e->depth = 1;
	e->weight = 1;
	if (++c->n_nodes == CEL_NODES_MAX) {
		cel_issue(c, pos, "expression node limit exceeded: %d", CEL_NODES_MAX);
		c->too_large = true;
	}
	return e;
}

static void ast_below(struct ast *e, const struct ast *part)
{
	if (!part)
		return;
	if (part->depth >= e->depth)
		e->depth = (uint16_t)(part->depth + 1);
	e->weight = MIN(e->weight + part->weight, 2u * CEL_NODES_MAX);
}

struct ast *ast_done(struct cel_compile *c, struct ast *e)
{
	ast_below(e, e->target);
	for (uint32_t i = 0; i < e->n * (e->kind == AST_MAP || e->kind == AST_STRUCT ? 2 : 1); i++)
		ast_below(e, e->args[i]);
	if (e->fold) {
		ast_below(e, e->fold->range);
		ast_below(e, e->fold->init);
		ast_below(e, e->fold->cond);
		ast_below(e, e->fold->step);
		ast_below(e, e->fold->result);
	}
	if (e->depth > CEL_DEPTH_MAX && !c->too_large) {
		cel_issue(c, e->pos, "expression recursion limit exceeded: %d", CEL_DEPTH_MAX);
		c->too_large = true;
	}
	if (e->weight > CEL_NODES_MAX && !c->too_large) {
		cel_issue(c, e->pos, "expression node limit exceeded: %d", CEL_NODES_MAX);
		c->too_large = true;
	}
	return e;
}

struct ast *ast_call(struct cel_compile *c, uint32_t pos, const char *name, size_t n, struct ast *const *args)
{
	struct ast *e = ast_new(c, AST_CALL, pos);

	e->name = sv_from(name);
	e->n = (uint32_t)n;
	e->args = ARENA_ARRAY(c->arena, struct ast *, n);
	if (n)
		memcpy(e->args, args, n * sizeof(*args));
	return ast_done(c, e);
}

struct ast *ast_ident(struct cel_compile *c, uint32_t pos, struct sv name)
{
	struct ast *e = ast_new(c, AST_IDENT, pos);

	e->name = name;
	return e;
}

struct ast *ast_const(struct cel_compile *c, uint32_t pos, struct cel_value v)
{
	struct ast *e = ast_new(c, AST_CONST, pos);

	e->value = v;
	return e;
}
