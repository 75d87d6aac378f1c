/* From an openAPIV3Schema to nodes. A schema is a decoded document, so this may recurse along it. */
#include "object/structural/node.h"
#include "object/structural/walks.h"

#include <stdlib.h>

struct maker {
	struct arena *a;
	struct stree *tree;
};

/* More than a definition can have that came from a client (DOC_VALUES_MAX). */
#define SNODES_MAX DOC_VALUES_MAX
#define SNODES_LATE_MAX 4096 /* described values of a tree that may be made when it is first asked for */

static struct snode *make_node(struct maker *m, const struct val *src);

static enum snode_type make_type(const struct val *src)
{
	static const struct {
		const char *name;
		enum snode_type type;
	} types[] = { { "object", ST_OBJECT },	 { "array", ST_ARRAY },	  { "string", ST_STRING },
		      { "integer", ST_INTEGER }, { "number", ST_NUMBER }, { "boolean", ST_BOOLEAN } };

	if (val_get_bool(src, F_x_kubernetes_int_or_string))
		return ST_INT_OR_STRING;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (val_is(val_member(src, F_type), types[i].name))
			return types[i].type;
	return ST_ANY;
}

static enum snode_list make_list_type(const struct val *src)
{
	const struct val *how = val_member(src, F_x_kubernetes_list_type);

	return val_is(how, "set") ? SL_SET : val_is(how, "map") ? SL_MAP : val_is(how, "atomic") ? SL_ATOMIC : SL_NONE;
}

static int by_name(const void *x, const void *y)
{
	return sv_cmp(((const struct sprop *)x)->name, ((const struct sprop *)y)->name);
}

/* Sorted, and each name once: the one that has a node when there are two. */
static void make_unique(struct snode *n, struct sprop *props, size_t count)
{
	size_t kept = 0;

	qsort(props, count, sizeof(*props), by_name);
	for (size_t i = 0; i < count; i++) {
		if (!kept || !sv_eq(props[kept - 1].name, props[i].name))
			props[kept++] = props[i];
		else if (!props[kept - 1].node)
			props[kept - 1].node = props[i].node;
	}
	n->props = props;
	n->n_props = (uint32_t)kept;
}

static void make_props(struct maker *m, struct snode *n)
{
	const struct val *properties = val_member(n->src, F_properties), *required = val_member(n->src, F_required);
	size_t most = val_len(properties) + val_len(required), count = 0;
	struct sprop *props;

	if (!most)
		return;
	props = ARENA_ARRAY(m->a, struct sprop, most);
	VAL_EACH_MEMBER(properties, p)
		props[count++] = (struct sprop){ .name = p.key, .node = make_node(m, p.value) };
	VAL_EACH(required, r)
		props[count++] = (struct sprop){ .name = val_str(r) };
	make_unique(n, props, count);
}

static struct sbounds *make_bounds_of(struct maker *m, struct snode *n)
{
	if (!n->bounds)
		n->bounds = ARENA_NEW(m->a, struct sbounds);
	return n->bounds;
}

static void make_number(struct maker *m, struct snode *n, enum sym key, unsigned flag, double *ret)
{
	const struct val *v = val_member(n->src, key);

	if (val_type(v) != VAL_INT && val_type(v) != VAL_FLOAT)
		return;
	make_bounds_of(m, n)->flags |= flag;
	*ret = val_num(v);
}

static void make_numbers(struct maker *m, struct snode *n)
{
	double max = 0, min = 0, multiple = 0;

	make_number(m, n, F_maximum, SB_MAX, &max);
	make_number(m, n, F_minimum, SB_MIN, &min);
	make_number(m, n, F_multipleOf, SB_MULTIPLE, &multiple);
	if (!n->bounds)
		return;
	n->bounds->max = max;
	n->bounds->min = min;
	n->bounds->multiple = multiple;
	if (val_get_bool(n->src, F_exclusiveMaximum))
		n->bounds->flags |= SB_MAX_EXCLUSIVE;
	if (val_get_bool(n->src, F_exclusiveMinimum))
		n->bounds->flags |= SB_MIN_EXCLUSIVE;
}

static void make_size(struct maker *m, struct snode *n, enum sym key, unsigned flag, size_t offset)
{
	const struct val *v = val_member(n->src, key);
	int64_t *to;

	if (val_type(v) != VAL_INT)
		return;
	make_bounds_of(m, n)->flags |= flag;
	to = (int64_t *)(void *)((char *)n->bounds + offset);
	*to = v->i;
}

static void make_sizes(struct maker *m, struct snode *n)
{
	make_size(m, n, F_maxLength, SB_MAX_LENGTH, offsetof(struct sbounds, max_length));
	make_size(m, n, F_minLength, SB_MIN_LENGTH, offsetof(struct sbounds, min_length));
	make_size(m, n, F_maxItems, SB_MAX_ITEMS, offsetof(struct sbounds, max_items));
	make_size(m, n, F_minItems, SB_MIN_ITEMS, offsetof(struct sbounds, min_items));
	make_size(m, n, F_maxProperties, SB_MAX_PROPERTIES, offsetof(struct sbounds, max_properties));
	make_size(m, n, F_minProperties, SB_MIN_PROPERTIES, offsetof(struct sbounds, min_properties));
	if (val_get_bool(n->src, F_uniqueItems))
		make_bounds_of(m, n)->flags |= SB_UNIQUE;
}

/* A format that is not for the type means nothing; of text it must be known. */
static void make_format(struct maker *m, struct snode *n)
{
	struct sv name = val_get_str(n->src, F_format);
	bool of_integer = sv_is(name, "int32") || sv_is(name, "int64");
	bool of_number = sv_is(name, "float") || sv_is(name, "double");
	const struct oas_format *f = NULL;

	if (!name.n)
		return;
	if (n->type == ST_ANY || n->type == ST_STRING || n->type == ST_INT_OR_STRING)
		f = oas_format_find(name);
	if (!f && !(n->type == ST_INTEGER && of_integer) && !(n->type == ST_NUMBER && of_number))
		return;
	make_bounds_of(m, n)->format = f;
	n->bounds->format_name = name;
}

static void make_texts(struct maker *m, struct snode *n)
{
	struct sv pattern = val_get_str(n->src, F_pattern);
	const struct val *values = val_member(n->src, F_enum);

	make_format(m, n);
	if (val_len(values))
		make_bounds_of(m, n)->one_of_values = values;
	if (pattern.n)
		make_bounds_of(m, n)->pattern = pattern;
}

static void make_required(struct maker *m, struct snode *n)
{
	const struct val *required = val_member(n->src, F_required);
	uint32_t *at;
	size_t i = 0;

	if (!val_len(required))
		return;
	at = ARENA_ARRAY(m->a, uint32_t, val_len(required));
	VAL_EACH(required, r)
		at[i++] = (uint32_t)snode_find(n, val_str(r));
	make_bounds_of(m, n)->required = at;
	n->bounds->n_required = i;
}

static void make_junctor(struct maker *m, const struct val *list, struct sjunctor *ret)
{
	const struct snode **of = ARENA_ARRAY(m->a, const struct snode *, val_len(list) + 1);

	VAL_EACH(list, e)
		of[ret->n++] = make_node(m, e);
	ret->of = of;
}

static void make_junctors(struct maker *m, struct snode *n)
{
	const struct val *any = val_member(n->src, F_anyOf), *one = val_member(n->src, F_oneOf);
	const struct val *all = val_member(n->src, F_allOf), *never = val_member(n->src, F_not);
	struct sbounds *b;

	if (!val_len(any) && !val_len(one) && !val_len(all) && val_type(never) != VAL_MAP)
		return;
	b = make_bounds_of(m, n);
	make_junctor(m, any, &b->any);
	make_junctor(m, one, &b->one);
	make_junctor(m, all, &b->all);
	if (val_type(never) == VAL_MAP)
		b->never = make_node(m, never);
}

static void make_below(struct maker *m, struct snode *n)
{
	const struct val *items = val_member(n->src, F_items), *more = val_member(n->src, F_additionalProperties);

	make_props(m, n);
	if (val_type(items) == VAL_MAP)
		n->items = make_node(m, items);
	if (val_type(more) == VAL_MAP)
		n->additional = make_node(m, more);
	if (val_type(more) == VAL_MAP || val_type(more) == VAL_BOOL)
		n->flags |= SN_ADDITIONAL;
	if (val_type(more) == VAL_BOOL && !more->b)
		n->flags |= SN_CLOSED;
}

static unsigned make_flags(const struct snode *n)
{
	const unsigned below = SN_DEFAULTS | SN_EMBEDS | SN_LISTS | SN_RULES;
	unsigned flags = 0;

	if (val_get_bool(n->src, F_nullable))
		flags |= SN_NULLABLE;
	if (val_get_bool(n->src, F_x_kubernetes_preserve_unknown_fields))
		flags |= SN_PRESERVE;
	if (val_get_bool(n->src, F_x_kubernetes_embedded_resource))
		flags |= SN_EMBEDDED | SN_EMBEDS;
	if (n->list == SL_SET || n->list == SL_MAP)
		flags |= SN_LISTS;
	if (val_len(val_member(n->src, F_x_kubernetes_validations)))
		flags |= SN_RULES;
	for (size_t i = 0; i < n->n_props; i++)
		flags |= n->props[i].node ? n->props[i].node->flags & below : 0;
	flags |= n->items ? n->items->flags & below : 0;
	flags |= n->additional ? n->additional->flags & below : 0;
	for (size_t i = 0; n->bounds && i < n->bounds->all.n; i++)
		flags |= n->bounds->all.of[i]->flags & SN_RULES;
	return flags;
}

#define TEXT_WEIGHT 64 /* bytes of text that count as a value */

static size_t make_weight(const struct val *v)
{
	size_t sum = 1;

	if (v->type == VAL_STR)
		return 1 + v->n / TEXT_WEIGHT;
	VAL_EACH(v, e)
		sum += make_weight(e);
	VAL_EACH_MEMBER(v, m)
		sum += make_weight(m.value) + m.key.n / TEXT_WEIGHT;
	return sum;
}

/* Upstream prunes defaults as well, when it makes its form of the schema. */
static void make_default(struct maker *m, struct snode *n)
{
	const struct val *given = val_member(n->src, F_default);
	struct val *dflt;

	if (val_type(given) == VAL_NULL)
		return;
	dflt = val_clone(m->a, given);
	walk_prune(n, m->a, dflt, n->flags & SN_EMBEDDED, NULL);
	n->dflt = dflt;
	n->dflt_weight = (uint32_t)MIN(make_weight(dflt), UINT32_MAX);
	n->flags |= SN_DEFAULTS;
}

static struct snode *make_node(struct maker *m, const struct val *src)
{
	struct snode *n = ARENA_NEW(m->a, struct snode);

	n->src = src;
	n->type = (uint8_t)make_type(src);
	n->list = (uint8_t)make_list_type(src);
	n->map_key = val_member(src, F_x_kubernetes_list_map_keys);
	if (n->list == SL_MAP && !val_len(n->map_key))
		n->list = SL_NONE;
	make_below(m, n);
	make_numbers(m, n);
	make_sizes(m, n);
	make_texts(m, n);
	make_required(m, n);
	make_junctors(m, n);
	n->flags |= (uint16_t)make_flags(n);
	if (val_len(val_member(src, F_x_kubernetes_validations)))
		n->rules = ++m->tree->n_rules;
	make_default(m, n);
	return n;
}

static size_t make_count_list(const struct val *list);

/* How many make_node() makes of src: what is refused is refused before it is asked for. */
static size_t make_count(const struct val *src)
{
	static const enum sym lists[] = { F_anyOf, F_oneOf, F_allOf };
	static const enum sym below[] = { F_items, F_additionalProperties, F_not };
	size_t n = 1;

	VAL_EACH_MEMBER(val_member(src, F_properties), p)
		n += make_count(p.value);
	for (size_t i = 0; i < ARRAY_LEN(below); i++)
		if (val_type(val_member(src, below[i])) == VAL_MAP)
			n += make_count(val_member(src, below[i]));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		n += make_count_list(val_member(src, lists[i]));
	return n;
}

static size_t make_count_list(const struct val *list)
{
	size_t n = 0;

	VAL_EACH(list, e)
		n += make_count(e);
	return n;
}

static struct stree *make_tree(const struct val *openapi)
{
	struct stree *t = xcalloc(1, sizeof(*t));
	struct maker m = { .a = &t->arena, .tree = t };
	struct val *any;

	if (!openapi) {
		any = val_new_map(&t->arena);
		val_set_cstr(&t->arena, any, F_type, "object");
		val_set_bool(&t->arena, any, F_x_kubernetes_preserve_unknown_fields, true);
		openapi = any;
	}
	t->root = make_node(&m, openapi);
	return t;
}

void stree_free(struct stree *t)
{
	if (!t)
		return;
	arena_release(&t->arena);
	free(t);
}

const struct stree *structural_tree(const struct structural *s)
{
	struct structural *own = (struct structural *)(uintptr_t)s;
	struct stree *t = atomic_load_explicit(&own->tree, memory_order_acquire), *made;

	if (t)
		return t;
	/* Two may make it at once, and nobody waits for the trees of others. */
	made = make_tree(s->openapi);
	if (atomic_compare_exchange_strong_explicit(&own->tree, &t, made, memory_order_acq_rel, memory_order_acquire))
		return made;
	stree_free(made);
	return t;
}

struct structural *structural_new(struct arena *a, const struct val *openapi, struct err *err)
{
	size_t n = openapi ? make_count(openapi) : 0;
	struct structural *s;

	if (n > SNODES_MAX) {
		err_set(err, ERR_BAD_REQUEST, "the schema is too large: it describes more than %d values", SNODES_MAX);
		return NULL;
	}
	s = ARENA_NEW(a, struct structural);
	s->openapi = openapi;
	/* Whoever brings the definition waits for a large one, and not the first who comes with an object. */
	if (n > SNODES_LATE_MAX)
		(void)structural_tree(s);
	return s;
}
