/* Unification of types, as upstream's checker does it: dyn goes with everything, null with what can be absent. */
#include "object/cel/check_types.h"
#include "object/cel/value_internal.h"

#define TYPING_SUBST_DEPTH 64
#define TYPING_WORK 2000000

static bool typing_tired(struct typing *t)
{
	return ++t->work > TYPING_WORK;
}

static bool typing_is_var(const struct cel_type *t)
{
	return t->kind == CEL_PARAM && t->preserve;
}

static bool typing_is_dyn(const struct cel_type *t)
{
	return t->kind == CEL_DYN || t->kind == CEL_ERRTYPE;
}

void typing_release(struct typing *t)
{
	vec_release(&t->bound);
	free(t->trail.p);
}

const struct cel_type *typing_var(struct typing *t)
{
	struct cel_type *v = ARENA_NEW(t->arena, struct cel_type);

	v->kind = CEL_PARAM;
	v->preserve = true; /* a variable, not a letter */
	v->n_fields = (uint32_t)t->bound.n;
	v->max_size = CEL_SIZE_UNKNOWN;
	v->name = arena_svf(t->arena, "_var%zu", t->bound.n);
	vec_push(&t->bound, NULL);
	return v;
}

static void typing_bind(struct typing *t, const struct cel_type *var, const struct cel_type *to)
{
	struct typing_undo undo = { var->n_fields, t->bound.p[var->n_fields] };

	vec_push(&t->trail, undo);
	t->bound.p[var->n_fields] = to;
}

static void typing_undo(struct typing *t, size_t mark)
{
	while (t->trail.n > mark) {
		struct typing_undo u = vec_pop(&t->trail);

		t->bound.p[u.var] = u.was;
	}
}

static const struct cel_type *typing_with(struct typing *t, const struct cel_type *type, const struct cel_type *p0,
					  const struct cel_type *p1)
{
	return p0 == type->params[0] && p1 == type->params[1] ? type : cel_type_with(t->arena, type, p0, p1);
}

const struct cel_type *typing_fresh(struct typing *t, const struct cel_type *decl, const struct cel_type **vars)
{
	if (decl->kind == CEL_PARAM && !decl->preserve) {
		const struct cel_type **v = &vars[decl->name.p[0] - 'A'];

		if (!*v)
			*v = typing_var(t);
		return *v;
	}
	if (!decl->params[0])
		return decl;
	return typing_with(t, decl, typing_fresh(t, decl->params[0], vars),
			   decl->params[1] ? typing_fresh(t, decl->params[1], vars) : NULL);
}

static const struct cel_type *typing_subst_at(struct typing *t, const struct cel_type *type, bool free_to_dyn,
					      int depth)
{
	if (depth == 0 || typing_tired(t))
		return &cel_t_dyn;
	if (typing_is_var(type)) {
		const struct cel_type *b = t->bound.p[type->n_fields];

		if (b)
			return typing_subst_at(t, b, free_to_dyn, depth - 1);
		return free_to_dyn ? &cel_t_dyn : type;
	}
	if (!type->params[0])
		return type;
	return typing_with(t, type, typing_subst_at(t, type->params[0], free_to_dyn, depth - 1),
			   type->params[1] ? typing_subst_at(t, type->params[1], free_to_dyn, depth - 1) : NULL);
}

const struct cel_type *typing_subst(struct typing *t, const struct cel_type *type, bool free_to_dyn)
{
	return typing_subst_at(t, type, free_to_dyn, TYPING_SUBST_DEPTH);
}

/* Is var anywhere within type? A type that is too deep counts as if it were. */
static bool typing_within(struct typing *t, const struct cel_type *var, const struct cel_type *type, int depth)
{
	if (depth == 0 || type == var || typing_tired(t))
		return true;
	if (typing_is_var(type)) {
		const struct cel_type *b = t->bound.p[type->n_fields];

		return b && typing_within(t, var, b, depth - 1);
	}
	return (type->params[0] && typing_within(t, var, type->params[0], depth - 1)) ||
	       (type->params[1] && typing_within(t, var, type->params[1], depth - 1));
}

/* a says no more than b. */
static bool typing_less_specific(const struct cel_type *a, const struct cel_type *b)
{
	if (typing_is_dyn(a) || a->kind == CEL_PARAM)
		return true;
	if (typing_is_dyn(b) || b->kind == CEL_PARAM || a->kind != b->kind)
		return false;
	switch (a->kind) {
	case CEL_LIST:
	case CEL_OPTIONAL:
		return typing_less_specific(a->params[0], b->params[0]);
	case CEL_MAP:
		return typing_less_specific(a->params[0], b->params[0]) &&
		       typing_less_specific(a->params[1], b->params[1]);
	case CEL_TYPE:
		return true;
	default:
		return cel_type_same(a, b);
	}
}

const struct cel_type *typing_general(const struct cel_type *a, const struct cel_type *b)
{
	return typing_less_specific(a, b) ? a : b;
}

static bool typing_try(struct typing *t, const struct cel_type *a, const struct cel_type *b, int depth);

/* May type stand for the variable? *known: it stood for something already. */
static bool typing_try_var(struct typing *t, const struct cel_type *type, const struct cel_type *var, bool *known,
			   int depth)
{
	const struct cel_type *is = t->bound.p[var->n_fields];

	*known = true;
	if (type == var)
		return true;
	if (is) {
		const struct cel_type *g;

		if (type == is || (type->kind == is->kind && type->kind != CEL_PARAM && cel_type_same(type, is)))
			return true;
		if (!typing_try(t, type, is, depth - 1))
			return false;
		g = typing_general(type, is);
		if (!typing_within(t, var, g, TYPING_SUBST_DEPTH))
			typing_bind(t, var, g);
		return true;
	}
	*known = false;
	if (typing_within(t, var, type, TYPING_SUBST_DEPTH))
		return false;
	typing_bind(t, var, type);
	return true;
}

static bool typing_nullable(const struct cel_type *t)
{
	switch (t->kind) {
	case CEL_OPTIONAL:
	case CEL_OPAQUE:
	case CEL_DURATION:
	case CEL_TIMESTAMP:
	case CEL_OBJECT:
	case CEL_NULL:
		return true;
	default:
		return false;
	}
}

static bool typing_try(struct typing *t, const struct cel_type *a, const struct cel_type *b, int depth)
{
	bool known;

	if (depth <= 0 || typing_tired(t))
		return true; /* as deep as nobody writes: left to the run */
	if (typing_is_var(b)) {
		if (typing_try_var(t, a, b, &known, depth))
			return true;
		if (known)
			return false;
	}
	if (typing_is_var(a))
		return typing_try_var(t, b, a, &known, depth);
	if (typing_is_dyn(a) || typing_is_dyn(b))
		return true;
	if (a->kind == CEL_NULL)
		return typing_nullable(b);
	if (b->kind == CEL_NULL)
		return typing_nullable(a);
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case CEL_TYPE:
		return true;
	case CEL_LIST:
	case CEL_OPTIONAL:
		return typing_try(t, a->params[0], b->params[0], depth - 1);
	case CEL_MAP:
		return typing_try(t, a->params[0], b->params[0], depth - 1) &&
		       typing_try(t, a->params[1], b->params[1], depth - 1);
	default:
		return cel_type_same(a, b);
	}
}

bool typing_fit_all(struct typing *t, const struct cel_type *const *given, const struct cel_type *const *want, size_t n)
{
	size_t mark = t->trail.n;

	for (size_t i = 0; i < n; i++)
		if (!typing_try(t, given[i], want[i], TYPING_SUBST_DEPTH)) {
			typing_undo(t, mark);
			return false;
		}
	return true;
}

bool typing_fits(struct typing *t, const struct cel_type *given, const struct cel_type *want)
{
	return typing_fit_all(t, &given, &want, 1);
}
