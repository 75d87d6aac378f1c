/* The table of functions: signatures are read once, rows sorted by name. */
#include "object/cel/registry.h"

#include <pthread.h>
#include <stdlib.h>

static struct {
	struct arena arena; /* for the life of the process */
	struct cel_overload *rows;
	size_t n;
} registry;

static const struct cel_type registry_letters[26] = {
#define L(i, c) [i] = { .kind = CEL_PARAM, .name = { c, 1 } }
	L(0, "A"),  L(1, "B"),	L(2, "C"),  L(3, "D"),	L(4, "E"),  L(5, "F"),	L(6, "G"),  L(7, "H"),	L(8, "I"),
	L(9, "J"),  L(10, "K"), L(11, "L"), L(12, "M"), L(13, "N"), L(14, "O"), L(15, "P"), L(16, "Q"), L(17, "R"),
	L(18, "S"), L(19, "T"), L(20, "U"), L(21, "V"), L(22, "W"), L(23, "X"), L(24, "Y"), L(25, "Z"),
#undef L
};

static const struct cel_type registry_type_dyn = { .kind = CEL_TYPE, .name = { "type", 4 }, .params = { &cel_t_dyn } };

/* Names that expressions know. list and map stand for any. */
static const struct {
	const char *name;
	const struct cel_type *type;
} registry_plain[] = {
	{ "bool", &cel_t_bool },
	{ "int", &cel_t_int },
	{ "uint", &cel_t_uint },
	{ "double", &cel_t_double },
	{ "string", &cel_t_string },
	{ "bytes", &cel_t_bytes },
	{ "list", &cel_t_list_dyn },
	{ "map", &cel_t_map_dyn },
	{ "null_type", &cel_t_null },
	{ "dyn", &cel_t_dyn },
	{ "timestamp", &cel_t_timestamp },
	{ "duration", &cel_t_duration },
	{ "google.protobuf.Timestamp", &cel_t_timestamp },
	{ "google.protobuf.Duration", &cel_t_duration },
	{ "type", &registry_type_dyn },
};

const struct cel_type *cel_named_type(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(registry_plain); i++)
		if (sv_is(name, registry_plain[i].name))
			return registry_plain[i].type;
	for (size_t i = 0; i < cel_n_libs; i++)
		for (size_t j = 0; j < ARRAY_LEN(cel_libs[i]->opaques) && cel_libs[i]->opaques[j]; j++)
			if (sv_eq(name, cel_libs[i]->opaques[j]->type.name))
				return &cel_libs[i]->opaques[j]->type;
	return NULL;
}

/* --- signatures: our own text, so what is wrong in one is a bug --- */

static const struct cel_type *registry_read_type(struct sv *s)
{
	size_t n = 0;
	struct sv name;
	const struct cel_type *t, *key;
	struct arena *a = &registry.arena;

	while (n < s->n && s->p[n] != '<' && s->p[n] != '>' && s->p[n] != ',' && s->p[n] != ')' && s->p[n] != ' ' &&
	       !(s->p[n] == '.' && n + 1 < s->n && s->p[n + 1] == '('))
		n++;
	name = sv_sub(*s, 0, n);
	*s = sv_sub(*s, n, s->n);
	if (name.n == 1 && name.p[0] >= 'A' && name.p[0] <= 'Z')
		return &registry_letters[name.p[0] - 'A'];
	if (sv_is(name, "null"))
		return &cel_t_null;
	if (!s->n || s->p[0] != '<') {
		t = cel_named_type(name);
		BUG_ON(!t);
		return t;
	}
	*s = sv_sub(*s, 1, s->n);
	t = registry_read_type(s);
	if (sv_is(name, "list")) {
		t = cel_type_list(a, t);
	} else if (sv_is(name, "optional")) {
		t = cel_type_optional(a, t);
	} else if (sv_is(name, "type")) {
		t = cel_type_type(a, t);
	} else {
		BUG_ON(!sv_is(name, "map") || s->p[0] != ',');
		key = t;
		*s = sv_sub(*s, 1, s->n);
		while (s->n && s->p[0] == ' ')
			*s = sv_sub(*s, 1, s->n);
		t = cel_type_map(a, key, registry_read_type(s));
	}
	BUG_ON(!s->n || s->p[0] != '>');
	*s = sv_sub(*s, 1, s->n);
	return t;
}

static void registry_read_row(struct cel_overload *o)
{
	struct sv s = sv_from(o->f->sig);

	if (s.p[0] != '(') {
		o->member = true;
		o->args[o->n_args++] = registry_read_type(&s);
		BUG_ON(!sv_starts(s, SV(".(")));
		s = sv_sub(s, 1, s.n);
	}
	s = sv_sub(s, 1, s.n);
	while (s.n && s.p[0] != ')') {
		if (s.p[0] == ',' || s.p[0] == ' ') {
			s = sv_sub(s, 1, s.n);
			continue;
		}
		BUG_ON(o->n_args == CEL_ARGS_MAX);
		o->args[o->n_args++] = registry_read_type(&s);
	}
	s = sv_sub(s, 2, s.n);
	o->result = registry_read_type(&s);
	BUG_ON(s.n);
}

static int registry_order(const void *pa, const void *pb)
{
	const struct cel_overload *a = pa, *b = pb;
	int c = strcmp(a->f->name, b->f->name);

	if (c)
		return c;
	if (a->lib != b->lib) /* as libraries are listed */
		for (size_t i = 0; i < cel_n_libs; i++)
			if (cel_libs[i] == a->lib || cel_libs[i] == b->lib)
				return cel_libs[i] == a->lib ? -1 : 1;
	return a->f < b->f ? -1 : a->f > b->f;
}

static void registry_make(void)
{
	size_t n = 0;

	for (size_t i = 0; i < cel_n_libs; i++)
		n += cel_libs[i]->n_funcs;
	registry.rows = ARENA_ARRAY(&registry.arena, struct cel_overload, n);
	for (size_t i = 0; i < cel_n_libs; i++)
		for (size_t j = 0; j < cel_libs[i]->n_funcs; j++) {
			struct cel_overload *o = &registry.rows[registry.n++];

			o->f = &cel_libs[i]->funcs[j];
			o->lib = cel_libs[i];
			registry_read_row(o);
		}
	qsort(registry.rows, registry.n, sizeof(*registry.rows), registry_order);
}

const struct cel_overload *cel_functions(struct sv name, size_t *n)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	size_t lo = 0, hi;

	pthread_once(&once, registry_make);
	hi = registry.n;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (sv_cmp(sv_from(registry.rows[mid].f->name), name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (*n = 0; lo + *n < registry.n && sv_is(name, registry.rows[lo + *n].f->name);)
		++*n;
	return *n ? &registry.rows[lo] : NULL;
}
