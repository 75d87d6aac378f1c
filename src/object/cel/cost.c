/* The estimate: what an expression may cost, before there are values.
 *
 * For every node: its cost, and what is known of its size. A size comes from the text (literals), from the schema when
 * a path of fields and indices leads from a variable to the node, or from the function that makes it. Upstream's rules
 * are followed with their oddities: a scalar that the schema declares has size 0, one that an expression makes 1.
 */
#include "object/cel/ast.h"
#include "object/cel/registry.h"
#include "object/cel/value_internal.h"

/* Sizes of what is in a container: keys and values. */
struct cost_entry {
	struct cel_range key, value;
};

struct cel_cost_info {
	const struct cel_type *path; /* the type that the schema has for it; NULL: no path leads here */
	bool lost;		     /* a path leads here, and the schema has nothing at its end */
	struct cel_range size;
	struct cost_entry entry;
	bool has_size, has_entry;
};

struct cost_local {
	struct sv name;
	struct cel_cost_info info;
	struct cost_local *outer;
};

struct coster {
	struct cel_compile *c;
	struct cost_local *locals;
};

#define FIXED(n) CEL_RANGE(n, n)
#define COST_SELECT 1
#define COST_LIST 10
#define COST_MAP 30
#define COST_STRUCT 40

static struct cel_range cost_node(struct coster *k, struct ast *e, struct cel_cost_info *info);

/* --- sizes --- */

static bool cost_scalar(const struct cel_type *t)
{
	switch (t->kind) {
	case CEL_BOOL:
	case CEL_DOUBLE:
	case CEL_INT:
	case CEL_UINT:
	case CEL_DURATION:
	case CEL_TIMESTAMP:
		return true;
	case CEL_OPTIONAL:
		return cost_scalar(t->params[0]);
	default:
		return false;
	}
}

/* What is said of the node itself, before its schema is asked. */
static bool cost_literal_size(const struct ast *e, uint64_t *ret)
{
	switch ((enum ast_kind)e->kind) {
	case AST_CONST:
		*ret = cel_size(&e->value);
		return true;
	case AST_LIST:
	case AST_MAP:
		*ret = e->n;
		return true;
	default:
		return false;
	}
}

/* Completes info by what literals, the schema and the type say; an own size stands. */
static void cost_settle(const struct ast *e, struct cel_cost_info *info)
{
	uint64_t n;

	if (info->has_size)
		return;
	info->has_size = true;
	if (cost_literal_size(e, &n))
		info->size = FIXED(n);
	else if (info->path)
		info->size = CEL_RANGE(0, info->path->max_size);
	else if (e->type && cost_scalar(e->type))
		info->size = FIXED(1);
	else
		info->has_size = false;
}

static struct cel_range cost_size(const struct cel_cost_info *info)
{
	return info->has_size ? info->size : cel_range_unknown;
}

static void cost_join_entry(struct cel_cost_info *into, const struct cel_cost_info *a, const struct cel_cost_info *b)
{
	if (!a->has_entry || !b->has_entry)
		return;
	into->has_entry = true;
	into->entry.key = cel_range_union(a->entry.key, b->entry.key);
	into->entry.value = cel_range_union(a->entry.value, b->entry.value);
}

/* --- nodes --- */

static const struct cost_local *cost_local(const struct coster *k, struct sv name)
{
	for (const struct cost_local *l = k->locals; l; l = l->outer)
		if (sv_eq(l->name, name))
			return l;
	return NULL;
}

/* The schema that paths of rules begin at. Upstream's estimate takes the first word off every path, whatever it is: a
 * path that begins in the middle of an expression begins at the schema's root, too. Callers without `self` have no
 * root. */
static const struct cel_type *cost_root(const struct coster *k)
{
	const struct cel_env *env = k->c->env;

	return env->n_vars && sv_is(env->vars[0].name, "self") ? env->vars[0].type : NULL;
}

/* One step from `of`, to the type that the schema has there, or NULL. */
static void cost_step(const struct coster *k, const struct cel_cost_info *of, const struct cel_type *to,
		      struct cel_cost_info *info)
{
	if (of->path || of->lost) {
		info->path = to;
		info->lost = !to;
	} else {
		info->path = cost_root(k);
	}
}

static struct cel_range cost_ident(struct coster *k, struct ast *e, struct cel_cost_info *info)
{
	const struct cost_local *l = e->slot == UINT32_MAX ? NULL : cost_local(k, e->name);

	if (l) {
		*info = l->info;
		info->has_size = false; /* schema and type first */
		cost_settle(e, info);
		if (!info->has_size && l->info.has_size) {
			info->size = l->info.size;
			info->has_size = true;
		}
	} else {
		info->path = cost_root(k);
		if (!info->path && e->slot < k->c->env->n_vars)
			info->path = k->c->env->vars[e->slot].type;
	}
	return FIXED(COST_SELECT);
}

static const struct cel_type *cost_field_path(const struct cel_type *path, struct sv name)
{
	const struct cel_field *f = path ? cel_field_of(path, name) : NULL;

	return f ? f->type : NULL;
}

static struct cel_range cost_select(struct coster *k, struct ast *e, struct cel_cost_info *info)
{
	struct cel_cost_info of = { 0 };
	struct cel_range sum = cost_node(k, e->target, &of);
	enum cel_kind t = (enum cel_kind)e->target->type->kind;

	if (e->test_only)
		return sum; /* a test of presence is free */
	cost_step(k, &of, cost_field_path(of.path, e->name), info);
	if (t == CEL_MAP || t == CEL_OBJECT || t == CEL_PARAM)
		sum = cel_range_add(sum, FIXED(COST_SELECT));
	return sum;
}

static struct cel_range cost_elements(struct coster *k, struct ast *e, struct cel_cost_info *info)
{
	struct cel_range sum = FIXED(0), none = e->n ? CEL_RANGE(UINT64_MAX, 0) : FIXED(0);
	bool list = e->kind == AST_LIST;

	info->entry.key = list ? FIXED(1) : none;
	info->entry.value = none;
	for (uint32_t i = 0; i < e->n * (list ? 1 : 2); i++) {
		struct cel_cost_info part = { 0 };
		struct cel_range *into = list || i % 2 ? &info->entry.value : &info->entry.key;

		if (e->kind == AST_STRUCT && i % 2 == 0)
			continue;
		sum = cel_range_add(sum, cost_node(k, e->args[i], &part));
		*into = cel_range_union(*into, cost_size(&part));
	}
	info->has_entry = e->kind != AST_STRUCT;
	return cel_range_add(sum, FIXED(list ? COST_LIST : e->kind == AST_MAP ? COST_MAP : COST_STRUCT));
}

/* --- calls --- */

struct cost_call {
	struct ast *e;
	struct cel_cost_info args[CEL_ARGS_MAX]; /* receiver first */
	struct cel_range costs[CEL_ARGS_MAX];
	uint32_t n;
	struct cel_range sum; /* of all arguments but the receiver */
};

static struct cel_est cost_est(const struct ast *e, const struct cel_cost_info *info)
{
	struct cel_est est = { .type = info->path ? info->path : e->type,
			       .size = cost_size(info),
			       .from_schema = info->path != NULL,
			       .elem = cel_range_unknown,
			       .literal = e->kind == AST_CONST ? &e->value : NULL };
	const struct cel_type *elem = info->path && info->path->kind == CEL_LIST ? info->path->params[0] : NULL;

	if (info->has_entry)
		est.elem = info->entry.value;
	else if (elem)
		est.elem = CEL_RANGE(0, elem->max_size);
	return est;
}

static struct cel_range cost_equality(const struct cost_call *call, bool equal)
{
	struct cel_range a = cost_size(&call->args[0]), b = cost_size(&call->args[1]);
	uint64_t most = MIN(a.max, b.max);
	const struct ast *e = call->e;

	if (equal && e->args[0]->type->kind == CEL_OPAQUE && e->args[1]->type->kind == CEL_OPAQUE)
		return FIXED(1);
	return CEL_RANGE(most ? 1 : 0, cel_factor(most, 0.1));
}

/* What the overload costs by itself, beside its arguments. */
static void cost_overload(const struct cost_call *call, const struct cel_overload *o, struct cel_estimate *ret)
{
	struct cel_est args[CEL_ARGS_MAX];
	const struct ast *e = call->e;

	*ret = (struct cel_estimate){ .cost = FIXED(1), .size = cel_range_unknown };
	if (!o->f->estimate)
		return;
	for (uint32_t i = 0; i < call->n; i++)
		args[i] = cost_est(e->member ? (i ? e->args[i - 1] : e->target) : e->args[i], &call->args[i]);
	o->f->estimate(args, call->n, ret);
}

static bool cost_op(const struct ast *e, const char *op)
{
	return sv_is(e->name, op);
}

/* Operators whose sides are not simply added. False: it is none of them. */
static bool cost_special(struct coster *k, struct cost_call *call, struct cel_cost_info *info, struct cel_range *ret)
{
	const struct ast *e = call->e;
	const struct cel_range *c = call->costs;
	struct cel_cost_info *a = call->args;

	if (cost_op(e, "_&&_") || cost_op(e, "_||_")) {
		*ret = CEL_RANGE(c[0].min, cel_add_sat(c[0].max, c[1].max));
	} else if (cost_op(e, "_?_:_")) {
		*ret = cel_range_add(c[0], cel_range_union(c[1], c[2]));
		info->size = cel_range_union(cost_size(&a[1]), cost_size(&a[2]));
		info->has_size = true;
		cost_join_entry(info, &a[1], &a[2]);
	} else if (cost_op(e, "_==_") || cost_op(e, "_!=_")) {
		*ret = cel_range_add(cost_equality(call, cost_op(e, "_==_")), call->sum);
	} else if (cost_op(e, "_[_]")) {
		const struct cel_type *t = a[0].path;

		*ret = cel_range_add(FIXED(1), call->sum);
		cost_step(k, &a[0],
			  t && (t->kind == CEL_LIST || t->kind == CEL_MAP) ? t->params[t->kind == CEL_MAP] : NULL,
			  info);
		if (a[0].has_entry) {
			info->size = a[0].entry.value;
			info->has_size = true;
		}
	} else if (cost_op(e, "dyn")) {
		*ret = cel_range_add(FIXED(1), call->sum);
		info->size = a[0].size;
		info->has_size = a[0].has_size;
		info->entry = a[0].entry;
		info->has_entry = a[0].has_entry;
	} else {
		return false;
	}
	return true;
}

static struct cel_range cost_call(struct coster *k, struct ast *e, struct cel_cost_info *info)
{
	struct cost_call call = { .e = e, .sum = FIXED(0) };
	struct cel_range own = CEL_RANGE(UINT64_MAX, 0), receiver = FIXED(0), result;
	bool sized = false;

	if (cost_op(e, "_?._")) {
		struct cel_cost_info of = { 0 };

		return cel_range_add(FIXED(1), cost_node(k, e->args[0], &of));
	}
	for (uint32_t i = 0; i < e->n; i++) {
		uint32_t at = i + (e->member ? 1 : 0);

		call.costs[at] = cost_node(k, e->args[i], &call.args[at]);
		call.sum = cel_range_add(call.sum, call.costs[at]);
	}
	if (e->member)
		receiver = cost_node(k, e->target, &call.args[0]);
	call.n = e->n + (e->member ? 1 : 0);
	if (cost_special(k, &call, info, &result))
		return result;
	for (uint32_t i = 0; i < e->n_overloads; i++) {
		struct cel_estimate est;

		cost_overload(&call, e->overloads[i], &est);
		own = cel_range_union(own, est.cost);
		if (est.has_size) {
			info->size = sized ? cel_range_union(info->size, est.size) : est.size;
			info->has_size = sized = true;
		}
	}
	if (cost_op(e, "_+_") && e->type->kind == CEL_LIST)
		cost_join_entry(info, &call.args[0], &call.args[1]);
	if (!e->n_overloads)
		own = FIXED(0);
	return cel_range_add(cel_range_add(receiver, call.sum), own);
}

/* --- comprehensions --- */

static struct cel_range cost_bind(struct coster *k, struct ast_fold *f, struct cel_cost_info *info)
{
	struct cost_local accu = { .name = f->accu, .outer = k->locals };
	struct cel_cost_info range = { 0 };
	struct cel_range sum = cost_node(k, f->range, &range);

	sum = cel_range_add(sum, cost_node(k, f->init, &accu.info));
	k->locals = &accu;
	sum = cel_range_add(sum, cost_node(k, f->result, info));
	k->locals = accu.outer;
	return sum;
}

/* What an iteration's variable is known to be: key or value of the range. */
static struct cel_cost_info cost_iter(const struct coster *k, const struct cel_cost_info *range, bool key)
{
	struct cel_cost_info v = { 0 };
	const struct cel_type *t = range->path, *to = NULL;

	if (t && t->kind == CEL_LIST)
		to = key ? NULL : t->params[0];
	else if (t && t->kind == CEL_MAP)
		to = t->params[key ? 0 : 1];
	cost_step(k, range, to, &v);
	if (range->has_entry) {
		v.size = key ? range->entry.key : range->entry.value;
		v.has_size = true;
	}
	return v;
}

static struct cel_range cost_fold(struct coster *k, struct ast *e, struct cel_cost_info *info)
{
	struct ast_fold *f = e->fold;
	struct cost_local accu = { .name = f->accu, .outer = k->locals }, var = { .name = f->var, .outer = &accu },
			  var2 = { .name = f->var2, .outer = &var };
	struct cel_cost_info range = { 0 }, cond = { 0 }, step = { 0 }, result = { 0 };
	struct cel_range sum, loop, count;
	bool list;

	if (f->bind)
		return cost_bind(k, f, info);
	sum = cost_node(k, f->range, &range);
	sum = cel_range_add(sum, cost_node(k, f->init, &accu.info));
	list = (range.path ? range.path->kind : f->range->type->kind) == CEL_LIST;
	var.info = cost_iter(k, &range, f->var2.n || !list);
	var2.info = cost_iter(k, &range, false);
	k->locals = f->var2.n ? &var2 : &var;
	loop = cost_node(k, f->cond, &cond);
	loop = cel_range_add(loop, cost_node(k, f->step, &step));
	k->locals = &accu;
	sum = cel_range_add(sum, cost_node(k, f->result, &result));
	k->locals = accu.outer;
	count = cost_size(&range);
	sum = cel_range_add(sum, cel_range_mul(count, loop));
	if (f->init->kind == AST_CONST) {
		info->size = accu.info.size;
		info->has_size = accu.info.has_size;
	} else if (f->init->kind == AST_LIST || f->init->kind == AST_MAP) {
		info->size = count;
		info->has_size = true;
		info->entry = step.entry;
		info->has_entry = step.has_entry;
	}
	return sum;
}

static struct cel_range cost_node(struct coster *k, struct ast *e, struct cel_cost_info *info)
{
	struct cel_range cost = FIXED(0);

	switch ((enum ast_kind)e->kind) {
	case AST_CONST:
		break;
	case AST_IDENT:
		cost = cost_ident(k, e, info);
		break;
	case AST_SELECT:
		cost = cost_select(k, e, info);
		break;
	case AST_CALL:
		cost = cost_call(k, e, info);
		break;
	case AST_LIST:
	case AST_MAP:
	case AST_STRUCT:
		cost = cost_elements(k, e, info);
		break;
	case AST_FOLD:
		cost = cost_fold(k, e, info);
		break;
	}
	cost_settle(e, info);
	return cost;
}

struct cel_range cel_cost(struct cel_compile *c, struct ast *e)
{
	struct coster k = { .c = c };
	struct cel_cost_info info = { 0 };

	return cost_node(&k, e, &info);
}
