/* The run: a walk over the nodes that counts what it costs.
 *
 * It is as deep as the expression, which is bounded; each level keeps little on the stack. What a node costs is what
 * upstream's tracker counts for it (program.h says where that is decided).
 */
#include "object/cel/eval.h"

#include <stdlib.h>

void eval_stop(struct cel_eval *e, enum cel_outcome outcome, struct sv why)
{
	if (e->stop)
		return;
	e->stop = true;
	e->outcome = outcome;
	e->why = why;
}

void eval_pay(struct cel_eval *e, uint64_t cost)
{
	e->cost = cel_add_sat(e->cost, cost);
	if (e->cost > e->limit)
		eval_stop(e, CEL_TOO_COSTLY,
			  e->budget_bound
			      ? SV("validation failed due to running out of cost budget, no further validation "
				   "rules will be run")
			      : SV("operation cancelled: actual cost limit exceeded"));
}

void eval_work(struct cel_eval *e, size_t steps)
{
	e->work += MIN(steps, (size_t)EVAL_WORK_MAX + 1);
	if (e->work > EVAL_WORK_MAX)
		eval_stop(e, CEL_TOO_COSTLY, SV("operation cancelled: actual cost limit exceeded"));
}

struct cel_value eval_error(struct cel_eval *e, const char *fmt, ...)
{
	struct cel_value v = { .kind = CEL_ERRTYPE };
	va_list ap;

	va_start(ap, fmt);
	v.s = arena_vprintf(e->arena, fmt, ap);
	va_end(ap);
	v.n = (uint32_t)strlen(v.s);
	return v;
}

int cel_fail(struct cel_call *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	c->error = sv_from(arena_vprintf(c->arena, fmt, ap));
	va_end(ap);
	return -1;
}

int cel_no_overload(struct cel_call *c, const char *name, const struct cel_value *args, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_adds(&b, ", ");
		buf_addsv(&b, cel_type_name_of(&args[i]));
	}
	return cel_fail(c, "no such overload: %s(%s)", name, buf_cstr(&b));
}

int cel_charge(struct cel_call *c, uint64_t units)
{
	if (!c->eval)
		return 0;
	eval_work(c->eval, units > EVAL_WORK_MAX ? EVAL_WORK_MAX + 1 : (size_t)units);
	return c->eval->stop ? cel_fail(c, "operation cancelled: actual cost limit exceeded") : 0;
}

int cel_afford(struct cel_call *c, uint64_t cost)
{
	struct cel_eval *e = c->eval;

	if (!e || cost <= e->limit - MIN(e->cost, e->limit))
		return 0;
	eval_pay(e, cost);
	return cel_fail(c, "%.*s", SV_ARG(e->why));
}

/* --- logic --- */

static struct cel_value eval_not_bool(struct cel_eval *e, const struct cel_value *v)
{
	return eval_bad(v) ? *v : eval_error(e, "no such overload");
}

/* One side that decides is enough, whatever the other is. */
static void eval_logic(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	bool decides = n->op == OP_OR;
	struct cel_value first = { .kind = CEL_NULL }, v;

	for (uint32_t i = 0; i < n->n && !e->stop; i++) {
		eval_part(e, n, i, &v);
		if (v.kind == CEL_BOOL && v.b == decides) {
			*ret = v;
			return;
		}
		if (v.kind != CEL_BOOL && first.kind == CEL_NULL)
			first = eval_not_bool(e, &v);
	}
	*ret = first.kind == CEL_NULL ? cel_bool(!decides) : first;
}

static void eval_cond(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value v;

	eval_part(e, n, 0, &v);
	if (v.kind != CEL_BOOL)
		*ret = eval_not_bool(e, &v);
	else
		eval_part(e, n, v.b ? 1 : 2, ret);
}

static void eval_not(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value v;

	eval_part(e, n, 0, &v);
	eval_pay(e, 1);
	*ret = v.kind == CEL_BOOL ? cel_bool(!v.b) : eval_not_bool(e, &v);
}

/* --- equality and membership --- */

static bool eval_equal(struct cel_eval *e, const struct cel_value *x, const struct cel_value *y)
{
	size_t before = cel_steps;
	bool same = cel_equal(e->arena, x, y);

	eval_work(e, cel_steps - before);
	return same;
}

static void eval_equality(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value x, y;
	uint64_t sx, sy;

	eval_part(e, n, 0, &x);
	eval_part(e, n, 1, &y);
	sx = eval_bad(&x) ? 1 : cel_size(&x);
	sy = eval_bad(&y) ? 1 : cel_size(&y);
	eval_pay(e, cel_factor(MIN(sx, sy), 0.1));
	if (eval_bad(&x) || eval_bad(&y))
		*ret = eval_bad(&x) ? x : y;
	else
		*ret = cel_bool(eval_equal(e, &x, &y) == (n->op == OP_EQ));
}

static void eval_in(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value x, y, v;
	bool found = false;

	eval_part(e, n, 0, &x);
	eval_part(e, n, 1, &y);
	if (n->op == OP_IN)
		eval_pay(e, eval_bad(&y) ? 1 : y.kind == CEL_LIST ? cel_size(&y) : 1);
	if (eval_bad(&x) || eval_bad(&y)) {
		*ret = eval_bad(&x) ? x : y;
		return;
	}
	if (y.kind == CEL_MAP || y.kind == CEL_OBJECT) {
		found = eval_member(e, &y, &x, &v);
	} else if (y.kind == CEL_LIST) {
		for (size_t i = 0; i < y.n && !found && !e->stop; i++) {
			v = cel_at(e->arena, &y, i);
			found = eval_equal(e, &x, &v);
		}
	} else {
		*ret = eval_error(e, "no such overload");
		return;
	}
	*ret = cel_bool(found);
}

/* --- calls --- */

static bool eval_kind_fits(const struct cel_type *want, const struct cel_value *v)
{
	switch (want->kind) {
	case CEL_DYN:
	case CEL_PARAM:
		return true;
	case CEL_MAP:
		return v->kind == CEL_MAP || v->kind == CEL_OBJECT;
	case CEL_OPAQUE:
		return v->kind == CEL_OPAQUE && v->type->opaque == want->opaque;
	default:
		return v->kind == want->kind;
	}
}

static const struct cel_overload *eval_overload(struct cel_eval *e, const struct cel_node *n,
						const struct cel_value *args)
{
	for (uint32_t i = 0; i < n->m; i++) {
		const struct cel_overload *o = e->p->overloads[n->b + i];
		uint32_t j = 0;

		while (j < n->n && eval_kind_fits(o->args[j], &args[j]))
			j++;
		if (j == n->n)
			return o;
	}
	return NULL;
}

/* x.or(y) and x.orValue(y) do not ask for y when x has a value. */
static bool eval_settled(struct cel_eval *e, const struct cel_node *n, const struct cel_value *x, struct cel_value *ret)
{
	const char *name = e->p->overloads[n->b]->f->name;

	if (x->kind != CEL_OPTIONAL || !x->items || (strcmp(name, "or") != 0 && strcmp(name, "orValue") != 0))
		return false;
	*ret = name[2] ? *x->items : *x;
	eval_pay(e, 1);
	return true;
}

static void eval_call(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value args[CEL_ARGS_MAX];
	const struct cel_overload *o;
	const struct cel_value *bad = NULL;
	int r;

	for (uint32_t i = 0; i < n->n; i++) {
		eval_part(e, n, i, &args[i]);
		if (i == 0 && n->n == 2 && eval_settled(e, n, &args[0], ret))
			return;
		if (eval_bad(&args[i]) && !bad) {
			bad = &args[i];
			if (n->n > 2)
				break; /* two are both worked out, as upstream does */
		}
	}
	if (e->stop || bad) {
		eval_pay(e, bad && n->n <= 2 ? 1 : 0);
		*ret = bad ? *bad : eval_error(e, "%.*s", SV_ARG(e->why));
		return;
	}
	o = eval_overload(e, n, args);
	if (!o) {
		const char *name = e->p->overloads[n->b]->f->name;

		eval_pay(e, 1);
		if (name[0] == '_' || name[0] == '-')
			cel_fail(&e->call, "no such overload");
		else
			cel_no_overload(&e->call, name, args, n->n);
		*ret = eval_error(e, "%.*s", SV_ARG(e->call.error));
		return;
	}
	r = o->f->impl(&e->call, args, n->n, ret);
	if (r == CEL_LATER)
		eval_stop(e, CEL_WAITS, SV("waiting"));
	if (r < 0)
		*ret = eval_error(e, "%.*s", SV_ARG(e->stop ? e->why : e->call.error));
	eval_pay(e, o->f->cost && r == 0 ? o->f->cost(&e->call, args, n->n, ret) : 1);
}

/* --- literals --- */

static bool eval_is_optional(const struct cel_eval *e, const struct cel_node *n, uint32_t i)
{
	return n->m && e->p->consts[n->op == OP_STRUCT ? n->b + 1 : n->b].items[i].b;
}

/* The value of an entry that may be left out: false. */
static bool eval_optional_entry(struct cel_eval *e, struct cel_value *v)
{
	if (v->kind != CEL_OPTIONAL) {
		*v = eval_error(e, "cannot initialize optional entry from non-optional value of type '%.*s'",
				SV_ARG(cel_type_name_of(v)));
		return true;
	}
	if (!v->items)
		return false;
	*v = *v->items;
	return true;
}

static void eval_list(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value *items = ARENA_ARRAY(e->arena, struct cel_value, n->n);
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n->n && !e->stop; i++) {
		eval_part(e, n, i, &items[kept]);
		if (!eval_bad(&items[kept]) && eval_is_optional(e, n, i) && !eval_optional_entry(e, &items[kept]))
			continue;
		if (eval_bad(&items[kept])) {
			*ret = items[kept];
			return;
		}
		kept++;
	}
	eval_pay(e, 10);
	*ret = cel_list(items, kept);
}

static void eval_map(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_entry *entries = ARENA_ARRAY(e->arena, struct cel_entry, n->n / 2);
	struct cel_value dup = cel_null();
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n->n / 2 && !e->stop; i++) {
		struct cel_entry *at = &entries[kept];

		eval_part(e, n, 2 * i, &at->key);
		if (eval_bad(&at->key)) {
			*ret = at->key;
			return;
		}
		eval_part(e, n, 2 * i + 1, &at->value);
		if (!eval_bad(&at->value) && eval_is_optional(e, n, i) && !eval_optional_entry(e, &at->value))
			continue;
		if (eval_bad(&at->value)) {
			*ret = at->value;
			return;
		}
		kept++;
	}
	eval_pay(e, n->op == OP_MAP ? 30 : 40);
	if (!cel_map_make(e->arena, entries, kept, ret, &dup)) {
		*ret = eval_error(e, "Failed with repeated key");
		return;
	}
	if (n->op == OP_STRUCT) {
		ret->kind = CEL_OBJECT;
		ret->type = e->p->consts[n->b].named;
	}
}

static void eval_bind(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	eval_part(e, n, 0, &e->locals[n->b - e->p->n_vars]);
	eval_part(e, n, 1, ret);
}

static void eval_var(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	if (!(n->flags & NODE_BARE))
		eval_pay(e, 1);
	*ret = n->a < e->p->n_vars ? e->run->vars[n->a] : e->locals[n->a - e->p->n_vars];
}

void eval_node(struct cel_eval *e, uint32_t node, struct cel_value *ret)
{
	const struct cel_node *n = &e->p->nodes[node];

	if (e->stop) {
		*ret = (struct cel_value){ .kind = CEL_ERRTYPE, .s = e->why.p, .n = (uint32_t)e->why.n };
		return;
	}
	switch ((enum cel_op)n->op) {
	case OP_CONST:
		*ret = e->p->consts[n->a];
		return;
	case OP_VAR:
		eval_var(e, n, ret);
		return;
	case OP_FIELD:
	case OP_OPT_FIELD:
		eval_field(e, n, ret);
		return;
	case OP_HAS:
		eval_has(e, n, ret);
		return;
	case OP_INDEX:
	case OP_OPT_INDEX:
		eval_index(e, n, ret);
		return;
	case OP_AND:
	case OP_OR:
		eval_logic(e, n, ret);
		return;
	case OP_COND:
		eval_cond(e, n, ret);
		return;
	case OP_NOT:
		eval_not(e, n, ret);
		return;
	case OP_NOT_FALSE:
		eval_part(e, n, 0, ret);
		eval_pay(e, 1);
		*ret = cel_bool(ret->kind != CEL_BOOL || ret->b);
		return;
	case OP_EQ:
	case OP_NE:
		eval_equality(e, n, ret);
		return;
	case OP_IN:
	case OP_IN_SET:
		eval_in(e, n, ret);
		return;
	case OP_CALL:
		eval_call(e, n, ret);
		return;
	case OP_LIST:
		eval_list(e, n, ret);
		return;
	case OP_MAP:
	case OP_STRUCT:
		eval_map(e, n, ret);
		return;
	case OP_FOLD:
		eval_fold(e, n, ret);
		return;
	case OP_BIND:
		eval_bind(e, n, ret);
		return;
	case OP_APPEND:
		eval_append(e, n, ret);
		return;
	case OP_INSERT:
		eval_insert(e, n, ret);
		return;
	}
}

enum cel_outcome cel_eval(const struct cel_program *p, struct cel_run *run, struct cel_value *ret)
{
	struct cel_eval e = { .p = p, .run = run, .arena = run->arena, .outcome = CEL_DONE };
	uint32_t n_locals = p->n_slots - p->n_vars;

	e.call = (struct cel_call){ .arena = run->arena, .ctx = run->ctx, .eval = &e };
	e.limit = run->limit ? run->limit : UINT64_MAX;
	if (run->budget && *run->budget < e.limit) {
		e.limit = *run->budget;
		e.budget_bound = true;
	}
	if (n_locals) {
		e.locals = ARENA_ARRAY(run->arena, struct cel_value, n_locals);
		e.gathers = ARENA_ARRAY(run->arena, struct eval_gather, n_locals);
	}
	eval_node(&e, p->root, ret);
	eval_indices_release(&e);
	run->cost = e.cost;
	if (run->budget)
		*run->budget -= MIN(*run->budget, e.cost);
	if (e.stop) {
		run->error = arena_sv(run->arena, e.why);
		return e.outcome;
	}
	if (eval_bad(ret)) {
		run->error = cel_text(ret);
		return CEL_FAILED;
	}
	return CEL_DONE;
}
