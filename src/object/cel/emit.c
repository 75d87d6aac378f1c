/* From tree to program.
 *
 * First the nodes are gathered in growing arrays, then everything is copied into one block; the copying code runs
 * twice, once to count.
 */
#include "object/cel/program.h"
#include "object/cel/ast.h"
#include "object/cel/value_internal.h"

#include "base/vec.h"

struct emitter {
	struct cel_compile *c;
	VEC(struct cel_node) nodes;
	VEC(uint32_t) kids;
	VEC(struct cel_value) consts;
	VEC(const struct cel_overload *) overloads;
	uint64_t uses;
};

static uint32_t emit_tree(struct emitter *m, const struct ast *e, bool bare);

static uint32_t emit_node(struct emitter *m, struct cel_node n)
{
	vec_push(&m->nodes, n);
	return (uint32_t)m->nodes.n - 1;
}

static uint32_t emit_const_slot(struct emitter *m, struct cel_value v)
{
	vec_push(&m->consts, v);
	return (uint32_t)m->consts.n - 1;
}

static uint32_t emit_const(struct emitter *m, struct cel_value v)
{
	return emit_node(m, (struct cel_node){ .op = OP_CONST, .a = emit_const_slot(m, v) });
}

static uint32_t emit_kids(struct emitter *m, const uint32_t *kids, size_t n)
{
	uint32_t at = (uint32_t)m->kids.n;

	for (size_t i = 0; i < n; i++)
		vec_push(&m->kids, kids[i]);
	return at;
}

static bool emit_is_const(const struct emitter *m, uint32_t node)
{
	return m->nodes.p[node].op == OP_CONST;
}

/* Is it a path: a variable, or fields and indices of one? Conditions are paths of their branches. */
static bool emit_is_path(const struct emitter *m, uint32_t node)
{
	switch (m->nodes.p[node].op) {
	case OP_VAR:
	case OP_FIELD:
	case OP_HAS:
	case OP_OPT_FIELD:
	case OP_INDEX:
	case OP_OPT_INDEX:
	case OP_COND:
		return true;
	default:
		return false;
	}
}

static uint32_t emit_field(struct emitter *m, const struct ast *operand, struct sv name, enum cel_op op, bool bare)
{
	uint32_t kid = emit_tree(m, operand, bare || op == OP_HAS);
	struct cel_node n = { .op = (uint8_t)op, .n = 1 };

	if (!emit_is_path(m, kid) && !bare && op != OP_HAS)
		n.flags |= NODE_BASE;
	n.a = emit_kids(m, &kid, 1);
	n.b = emit_const_slot(m, cel_string(name));
	return emit_node(m, n);
}

static uint32_t emit_index(struct emitter *m, const struct ast *e, enum cel_op op, bool bare)
{
	uint32_t kids[2];
	struct cel_node n = { .op = (uint8_t)op, .n = 2 };

	kids[0] = emit_tree(m, e->args[0], bare);
	kids[1] = emit_tree(m, e->args[1], false);
	if (!emit_is_path(m, kids[0]) && !bare)
		n.flags |= NODE_BASE;
	if (emit_is_path(m, kids[1]))
		n.flags |= NODE_KEY;
	n.a = emit_kids(m, kids, 2);
	return emit_node(m, n);
}

/* --- calls --- */

static const struct {
	const char *name;
	uint8_t op;
} emit_ops[] = {
	{ "!_", OP_NOT },   { "@not_strictly_false", OP_NOT_FALSE },
	{ "_==_", OP_EQ },  { "_!=_", OP_NE },
	{ "_&&_", OP_AND }, { "_||_", OP_OR },
	{ "@in", OP_IN },
};

static bool emit_conversion(struct sv name)
{
	static const char *const names[] = { "bool", "bytes",  "double",    "duration", "dyn",
					     "int",  "string", "timestamp", "type",	"uint" };

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (sv_is(name, names[i]))
			return true;
	return false;
}

/* A conversion of a constant is one: it is made once, and errors in it are known now. */
static bool emit_fold_call(struct emitter *m, const struct ast *e, uint32_t kid, uint32_t *ret)
{
	struct cel_call call = { .arena = m->c->arena };
	struct cel_value arg = m->consts.p[m->nodes.p[kid].a], out;

	if (!e->n_overloads || e->overloads[0]->f->impl(&call, &arg, 1, &out) < 0) {
		cel_issue(m->c, e->pos, "%.*s", SV_ARG(call.error));
		return false;
	}
	*ret = emit_const(m, out);
	return true;
}

static bool emit_plain_list(const struct cel_value *v)
{
	for (uint32_t i = 0; v->kind == CEL_LIST && i < v->n; i++)
		if (v->items[i].kind > CEL_STRING || v->items[i].kind == CEL_NULL)
			return false;
	return v->kind == CEL_LIST;
}

static uint32_t emit_call(struct emitter *m, const struct ast *e, bool bare)
{
	uint32_t kids[CEL_ARGS_MAX], n = 0, folded;
	struct cel_node node = { .op = OP_CALL };

	if (sv_is(e->name, "_?._"))
		return emit_field(m, e->args[0], cel_text(&e->args[1]->value), OP_OPT_FIELD, bare);
	if (sv_is(e->name, "_[_]"))
		return emit_index(m, e, OP_INDEX, bare);
	if (sv_is(e->name, "_[?_]"))
		return emit_index(m, e, OP_OPT_INDEX, bare);
	if (sv_is(e->name, "_?_:_")) {
		kids[0] = emit_tree(m, e->args[0], false);
		kids[1] = emit_tree(m, e->args[1], true);
		kids[2] = emit_tree(m, e->args[2], true);
		return emit_node(m, (struct cel_node){ .op = OP_COND, .n = 3, .a = emit_kids(m, kids, 3) });
	}
	if (e->member)
		kids[n++] = emit_tree(m, e->target, false);
	for (uint32_t i = 0; i < e->n; i++)
		kids[n++] = emit_tree(m, e->args[i], false);
	for (size_t i = 0; i < ARRAY_LEN(emit_ops); i++)
		if (sv_is(e->name, emit_ops[i].name))
			node.op = emit_ops[i].op;
	if (node.op == OP_IN && emit_is_const(m, kids[1]) && emit_plain_list(&m->consts.p[m->nodes.p[kids[1]].a]))
		node.op = OP_IN_SET;
	if (sv_is(e->name, "dyn") && emit_is_const(m, kids[0]))
		return kids[0];
	if (node.op == OP_CALL && n == 1 && !e->member && emit_conversion(e->name) && emit_is_const(m, kids[0]))
		return emit_fold_call(m, e, kids[0], &folded) ? folded : kids[0];
	node.n = n;
	node.a = emit_kids(m, kids, n);
	if (node.op == OP_CALL) {
		node.b = (uint32_t)m->overloads.n;
		node.m = (uint16_t)e->n_overloads;
		for (uint32_t i = 0; i < e->n_overloads; i++)
			vec_push(&m->overloads, e->overloads[i]);
	}
	return emit_node(m, node);
}

/* --- literals --- */

static struct cel_value emit_optionals(struct emitter *m, const struct ast *e)
{
	struct cel_value *v = ARENA_ARRAY(m->c->arena, struct cel_value, e->n);

	for (uint32_t i = 0; i < e->n; i++)
		v[i] = cel_bool(e->optional[i]);
	return cel_list(v, e->n);
}

/* The literal as one constant, when all that is in it is. */
static bool emit_literal(struct emitter *m, const struct ast *e, const uint32_t *kids, uint32_t *ret)
{
	size_t n = e->n * (e->kind == AST_MAP ? 2 : 1);
	struct cel_value *v = ARENA_ARRAY(m->c->arena, struct cel_value, n), map, dup;

	if (e->optional)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!emit_is_const(m, kids[i]))
			return false;
		v[i] = m->consts.p[m->nodes.p[kids[i]].a];
	}
	if (e->kind == AST_LIST) {
		*ret = emit_const(m, cel_list(v, n));
		return true;
	}
	if (!cel_map_make(m->c->arena, (const struct cel_entry *)(const void *)v, e->n, &map, &dup))
		return false;
	*ret = emit_const(m, map);
	return true;
}

static uint32_t emit_elements(struct emitter *m, const struct ast *e)
{
	size_t n = e->n * (e->kind == AST_LIST ? 1 : 2);
	uint32_t *kids = ARENA_ARRAY(m->c->arena, uint32_t, n), ret;
	struct cel_node node = { .op = e->kind == AST_LIST  ? OP_LIST
				       : e->kind == AST_MAP ? OP_MAP
							    : OP_STRUCT,
				 .b = NODE_NONE };

	for (size_t i = 0; i < n; i++) {
		const struct cel_field *f;

		if (e->kind == AST_STRUCT && i % 2 == 0) {
			struct sv key = e->args[i]->name;

			f = cel_field_of(e->type, key);
			if (f)
				key = f->key;
			else
				cel_unescape(m->c->arena, key, &key);
			kids[i] = emit_const(m, cel_string(key));
		} else {
			kids[i] = emit_tree(m, e->args[i], false);
		}
	}
	if (e->kind != AST_STRUCT && emit_literal(m, e, kids, &ret))
		return ret;
	if (e->kind == AST_STRUCT)
		node.b = emit_const_slot(m, CEL_VALUE(CEL_TYPE, named, e->type));
	if (e->optional) {
		uint32_t at = emit_const_slot(m, emit_optionals(m, e));

		node.m = 1;
		if (e->kind != AST_STRUCT)
			node.b = at;
	}
	node.n = (uint32_t)n;
	node.a = emit_kids(m, kids, n);
	return emit_node(m, node);
}

/* --- comprehensions --- */

static bool emit_is_accu(const struct ast *e, const struct ast_fold *f)
{
	return e->kind == AST_IDENT && e->slot == f->accu_slot;
}

/* Steps that only add to a list or map do it in place: what was before is nobody else's. */
static uint32_t emit_step(struct emitter *m, const struct ast *e, const struct ast_fold *f, bool bare)
{
	uint32_t kids[3];

	if (e->kind != AST_CALL || e->member)
		return emit_tree(m, e, bare);
	if (sv_is(e->name, "_?_:_") && emit_is_accu(e->args[2], f)) {
		kids[0] = emit_tree(m, e->args[0], false);
		kids[1] = emit_step(m, e->args[1], f, true);
		kids[2] = emit_tree(m, e->args[2], true);
		return emit_node(m, (struct cel_node){ .op = OP_COND, .n = 3, .a = emit_kids(m, kids, 3) });
	}
	if (sv_is(e->name, "_+_") && emit_is_accu(e->args[0], f) && e->args[1]->kind == AST_LIST &&
	    e->args[1]->n == 1 && !e->args[1]->optional && f->init->kind == AST_LIST && f->init->n == 0) {
		kids[0] = emit_tree(m, e->args[1]->args[0], false);
		return emit_node(m, (struct cel_node){ .op = OP_APPEND,
						       .flags = emit_is_const(m, kids[0]) ? NODE_FREE : 0,
						       .n = 1,
						       .a = emit_kids(m, kids, 1),
						       .b = f->accu_slot });
	}
	if (sv_is(e->name, "cel.@mapInsert") && f->init->kind == AST_MAP && f->init->n == 0) {
		for (uint32_t i = 1; i < e->n; i++)
			kids[i - 1] = emit_tree(m, e->args[i], false);
		return emit_node(
		    m, (struct cel_node){
			   .op = OP_INSERT, .n = e->n - 1, .a = emit_kids(m, kids, e->n - 1), .b = f->accu_slot });
	}
	return emit_tree(m, e, bare);
}

static uint32_t emit_fold(struct emitter *m, const struct ast *e)
{
	const struct ast_fold *f = e->fold;
	uint32_t kids[5];

	if (f->bind) {
		kids[0] = emit_tree(m, f->init, false);
		kids[1] = emit_tree(m, f->result, false);
		return emit_node(
		    m, (struct cel_node){ .op = OP_BIND, .n = 2, .a = emit_kids(m, kids, 2), .b = f->accu_slot });
	}
	kids[0] = emit_tree(m, f->range, false);
	kids[1] = emit_tree(m, f->init, false);
	kids[2] = emit_tree(m, f->cond, false);
	kids[3] = emit_step(m, f->step, f, false);
	kids[4] = emit_tree(m, f->result, false);
	return emit_node(m, (struct cel_node){ .op = OP_FOLD,
					       .flags = f->var2.n ? NODE_TWO : 0,
					       .n = 5,
					       .a = emit_kids(m, kids, 5),
					       .b = f->accu_slot });
}

static uint32_t emit_tree(struct emitter *m, const struct ast *e, bool bare)
{
	switch ((enum ast_kind)e->kind) {
	case AST_CONST:
		return emit_const(m, e->value);
	case AST_IDENT:
		if (e->slot == UINT32_MAX)
			return emit_const(m, e->value);
		if (e->slot < m->c->env->n_vars)
			m->uses |= UINT64_C(1) << MIN(e->slot, 63u);
		return emit_node(m, (struct cel_node){ .op = OP_VAR, .flags = bare ? NODE_BARE : 0, .a = e->slot });
	case AST_SELECT:
		return emit_field(m, e->target, e->name, e->test_only ? OP_HAS : OP_FIELD, bare);
	case AST_CALL:
		return emit_call(m, e, bare);
	case AST_LIST:
	case AST_MAP:
	case AST_STRUCT:
		return emit_elements(m, e);
	default:
		return emit_fold(m, e);
	}
}

/* --- the block --- */

struct blob {
	char *p; /* NULL: only counted */
	size_t n;
};

static void *blob_take(struct blob *b, size_t n)
{
	size_t at = (b->n + 7) & ~(size_t)7;

	b->n = at + n;
	return b->p ? b->p + at : NULL;
}

static void *blob_copy(struct blob *b, const void *from, size_t n)
{
	void *to = blob_take(b, n);

	if (to && n)
		memcpy(to, from, n);
	return to;
}

/* Types without fields and bounds: what they are, and their names. Plain ones are everybody's. */
static const struct cel_type *blob_type(struct blob *b, const struct cel_type *t)
{
	_cleanup_(buf_release) struct buf name = BUF_INIT;
	struct cel_type copy = {
		.kind = t->kind, .opaque = t->opaque, .max_size = CEL_SIZE_UNKNOWN, .weight = t->weight
	};

	if (t->kind == CEL_OPAQUE)
		return t;
	for (int i = 0; i < 2; i++)
		copy.params[i] = t->params[i] ? blob_type(b, t->params[i]) : NULL;
	if (t->kind == CEL_OBJECT)
		cel_type_write(&name, t);
	else
		buf_addsv(&name, t->name);
	copy.name = sv_make(blob_copy(b, buf_cstr(&name), name.n), name.n);
	return blob_copy(b, &copy, sizeof(copy));
}

static struct cel_value blob_value(struct blob *b, const struct cel_value *v)
{
	struct cel_value copy = *v;
	struct cel_value *items;
	struct cel_entry *entries;
	struct cel_map map;

	switch (v->kind) {
	case CEL_STRING:
	case CEL_BYTES:
		copy.s = blob_copy(b, v->s, v->n);
		break;
	case CEL_LIST:
		items = blob_take(b, v->n * sizeof(*items));
		for (uint32_t i = 0; i < v->n; i++) {
			struct cel_value e = blob_value(b, &v->items[i]);

			if (items)
				items[i] = e;
		}
		copy.items = items;
		break;
	case CEL_MAP:
		map = *v->map;
		entries = blob_take(b, map.n * sizeof(*entries));
		for (uint32_t i = 0; i < map.n; i++) {
			struct cel_entry e = { blob_value(b, &v->map->entries[i].key),
					       blob_value(b, &v->map->entries[i].value) };

			if (entries)
				entries[i] = e;
		}
		map.entries = entries;
		map.slots = blob_copy(b, map.slots, map.n_slots * sizeof(*map.slots));
		copy.map = blob_copy(b, &map, sizeof(map));
		break;
	case CEL_TYPE:
		copy.named = blob_type(b, v->named);
		break;
	default:
		break;
	}
	return copy;
}

static void emit_block(struct emitter *m, struct blob *b, struct cel_program *p, const struct cel_type *type)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct cel_value *consts;

	blob_take(b, sizeof(*p));
	p->nodes = blob_copy(b, m->nodes.p, m->nodes.n * sizeof(*m->nodes.p));
	p->kids = blob_copy(b, m->kids.p, m->kids.n * sizeof(*m->kids.p));
	p->overloads = blob_copy(b, m->overloads.p, m->overloads.n * sizeof(*m->overloads.p));
	consts = blob_take(b, m->consts.n * sizeof(*consts));
	p->consts = consts;
	for (size_t i = 0; i < m->consts.n; i++) {
		struct cel_value v = blob_value(b, &m->consts.p[i]);

		if (consts)
			consts[i] = v;
	}
	cel_type_write(&text, type);
	p->type_text = sv_make(blob_copy(b, buf_cstr(&text), text.n), text.n);
	p->result = blob_type(b, type);
	p->bytes = b->n;
}

static void emit_release(struct emitter *m)
{
	vec_release(&m->nodes);
	vec_release(&m->kids);
	vec_release(&m->consts);
	vec_release(&m->overloads);
}

struct cel_program *cel_emit(struct cel_compile *c, struct ast *e, struct cel_range cost)
{
	_cleanup_(emit_release) struct emitter m = { .c = c };
	struct blob count = { 0 }, block;
	struct cel_program p = { .refs = 1,
				 .kind = e->type->kind,
				 .cost = cost,
				 .n_vars = (uint32_t)c->env->n_vars,
				 .n_slots = c->n_slots };

	p.root = emit_tree(&m, e, false);
	p.uses = m.uses;
	if (c->issues->n)
		return NULL;
	emit_block(&m, &count, &p, e->type);
	block = (struct blob){ .p = xmalloc(count.n) };
	emit_block(&m, &block, &p, e->type);
	memcpy(block.p, &p, sizeof(p));
	return (struct cel_program *)(void *)block.p;
}
