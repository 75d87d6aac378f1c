/* Types: the plain ones, those made of others, and how they are written.
 *
 * Types of schemas are made once for each place of a schema, so that an object type is what its name says: full names
 * are paths ("selfType.spec.@idx"). They are kept as the last word and the owner, as there are many of them.
 */
#include "object/cel/value.h"
#include "object/cel/value_internal.h"

#include <stdlib.h>

#define PLAIN(k, text)                                           \
	{                                                        \
		.kind = (k), .name = {(text), sizeof(text) - 1 } \
	}

const struct cel_type cel_t_null = PLAIN(CEL_NULL, "null_type");
const struct cel_type cel_t_bool = { .kind = CEL_BOOL, .name = { "bool", 4 }, .min_serialized = 4 };
const struct cel_type cel_t_int = { .kind = CEL_INT, .name = { "int", 3 }, .min_serialized = 1 };
const struct cel_type cel_t_uint = { .kind = CEL_UINT, .name = { "uint", 4 }, .min_serialized = 1 };
const struct cel_type cel_t_double = { .kind = CEL_DOUBLE, .name = { "double", 6 }, .min_serialized = 1 };
const struct cel_type cel_t_string = {
	.kind = CEL_STRING, .name = { "string", 6 }, .max_size = CEL_SIZE_UNKNOWN, .min_serialized = 2
};
const struct cel_type cel_t_bytes = {
	.kind = CEL_BYTES, .name = { "bytes", 5 }, .max_size = CEL_SIZE_UNKNOWN, .min_serialized = 2
};
const struct cel_type cel_t_timestamp = PLAIN(CEL_TIMESTAMP, "google.protobuf.Timestamp");
const struct cel_type cel_t_duration = PLAIN(CEL_DURATION, "google.protobuf.Duration");
const struct cel_type cel_t_dyn = {
	.kind = CEL_DYN, .name = { "dyn", 3 }, .max_size = CEL_SIZE_UNKNOWN, .min_serialized = 1
};
const struct cel_type cel_t_error = PLAIN(CEL_ERRTYPE, "!error!");
const struct cel_type cel_t_list_dyn = {
	.kind = CEL_LIST, .name = { "list", 4 }, .max_size = CEL_SIZE_UNKNOWN, .params = { &cel_t_dyn }
};
const struct cel_type cel_t_list_string = {
	.kind = CEL_LIST, .name = { "list", 4 }, .max_size = CEL_SIZE_UNKNOWN, .params = { &cel_t_string }
};
const struct cel_type cel_t_map_dyn = {
	.kind = CEL_MAP, .name = { "map", 3 }, .max_size = CEL_SIZE_UNKNOWN, .params = { &cel_t_string, &cel_t_dyn }
};

static struct cel_type *type_new(struct arena *a, enum cel_kind kind, struct sv name)
{
	struct cel_type *t = ARENA_NEW(a, struct cel_type);

	t->kind = (uint8_t)kind;
	t->name = name;
	t->max_size = CEL_SIZE_UNKNOWN;
	return t;
}

/* Types may share parts, so that a small one is large when it is walked. */
#define TYPE_HEAVY 1000

static const struct cel_type *type_weigh(struct cel_type *t)
{
	unsigned w = 1u + t->params[0]->weight + (t->params[1] ? t->params[1]->weight : 0u);

	if (w > TYPE_HEAVY)
		return &cel_t_dyn;
	t->weight = (uint16_t)w;
	return t;
}

const struct cel_type *cel_type_with(struct arena *a, const struct cel_type *of, const struct cel_type *p0,
				     const struct cel_type *p1)
{
	struct cel_type *t = ARENA_NEW(a, struct cel_type);

	*t = *of;
	t->params[0] = p0;
	t->params[1] = p1;
	return type_weigh(t);
}

const struct cel_type *cel_type_list(struct arena *a, const struct cel_type *elem)
{
	struct cel_type *t = type_new(a, CEL_LIST, SV("list"));

	t->params[0] = elem;
	t->min_serialized = 2;
	return type_weigh(t);
}

const struct cel_type *cel_type_map(struct arena *a, const struct cel_type *key, const struct cel_type *value)
{
	struct cel_type *t = type_new(a, CEL_MAP, SV("map"));

	t->params[0] = key;
	t->params[1] = value;
	t->min_serialized = 2;
	return type_weigh(t);
}

const struct cel_type *cel_type_optional(struct arena *a, const struct cel_type *of)
{
	struct cel_type *t = type_new(a, CEL_OPTIONAL, SV("optional_type"));

	t->params[0] = of;
	return type_weigh(t);
}

const struct cel_type *cel_type_type(struct arena *a, const struct cel_type *of)
{
	struct cel_type *t = type_new(a, CEL_TYPE, SV("type"));

	t->params[0] = of;
	return type_weigh(t);
}

static int type_field_order(const void *a, const void *b)
{
	return sv_cmp(((const struct cel_field *)a)->name, ((const struct cel_field *)b)->name);
}

const struct cel_type *cel_type_object(struct arena *a, struct sv name, const struct cel_field *fields, size_t n)
{
	struct cel_type *t = type_new(a, CEL_OBJECT, name);
	struct cel_field *f = ARENA_ARRAY(a, struct cel_field, n);

	if (n)
		memcpy(f, fields, n * sizeof(*f));
	qsort(f, n, sizeof(*f), type_field_order);
	t->fields = f;
	t->n_fields = (uint32_t)n;
	t->max_size = 0;
	t->min_serialized = 2;
	return t;
}

const struct cel_field *cel_type_field(const struct cel_type *t, struct sv name)
{
	size_t lo = 0, hi = t && t->kind == CEL_OBJECT ? t->n_fields : 0;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		int c = sv_cmp(name, t->fields[mid].name);

		if (c == 0)
			return &t->fields[mid];
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

static bool type_same_object(const struct cel_type *a, const struct cel_type *b)
{
	while (a != b) {
		if (!a || !b || !sv_eq(a->name, b->name))
			return false;
		a = a->owner;
		b = b->owner;
	}
	return true;
}

bool cel_type_same(const struct cel_type *a, const struct cel_type *b)
{
	if (a == b)
		return true;
	if (a->kind != b->kind)
		return false;
	switch (a->kind) {
	case CEL_LIST:
	case CEL_OPTIONAL:
	case CEL_TYPE:
		return cel_type_same(a->params[0], b->params[0]);
	case CEL_MAP:
		return cel_type_same(a->params[0], b->params[0]) && cel_type_same(a->params[1], b->params[1]);
	case CEL_OBJECT:
		return type_same_object(a, b);
	case CEL_OPAQUE:
		return sv_eq(a->name, b->name);
	case CEL_PARAM:
		return false;
	default:
		return true;
	}
}

/* Owners are as deep as schemas are. */
static void type_write_name(struct buf *b, const struct cel_type *t)
{
	if (t->owner) {
		type_write_name(b, t->owner);
		buf_addc(b, '.');
	}
	buf_addsv(b, t->name);
}

void cel_type_write(struct buf *b, const struct cel_type *t)
{
	switch (t->kind) {
	case CEL_NULL:
		buf_adds(b, "null");
		return;
	case CEL_TIMESTAMP:
		buf_adds(b, "timestamp");
		return;
	case CEL_DURATION:
		buf_adds(b, "duration");
		return;
	case CEL_OBJECT:
		type_write_name(b, t);
		return;
	case CEL_LIST:
	case CEL_MAP:
	case CEL_OPTIONAL:
	case CEL_TYPE: /* a schema's lists and maps have the names of their places */
		buf_adds(b, t->kind == CEL_LIST	  ? "list"
			    : t->kind == CEL_MAP  ? "map"
			    : t->kind == CEL_TYPE ? "type"
						  : "optional_type");
		if (!t->params[0])
			return;
		buf_addc(b, '(');
		cel_type_write(b, t->params[0]);
		if (t->kind == CEL_MAP) {
			buf_adds(b, ", ");
			cel_type_write(b, t->params[1]);
		}
		buf_addc(b, ')');
		return;
	default:
		buf_addsv(b, t->name);
	}
}
