/* Types of the kinds that have tables (object/schema.h): what policies' expressions are checked against in their
 * status.
 *
 * A type that contains itself is a type that points at itself, so each schema is made once.
 */
#include "object/cel/cel.h"

#include "base/vec.h"
#include "codec/symbol.h"
#include "object/schema.h"

struct schema_types {
	struct arena *a;
	VEC(struct schema_made {
		const struct schema *of;
		struct cel_type *type;
	})
	made;
};

static const struct cel_type *schema_type_of(struct schema_types *s, const struct schema *of);

static const struct cel_type *schema_type_one(struct schema_types *s, const struct field *f)
{
	switch ((enum field_kind)f->kind) {
	case FIELD_BOOL:
		return &cel_t_bool;
	case FIELD_INT32:
	case FIELD_INT64:
		return &cel_t_int;
	case FIELD_FLOAT64:
		return &cel_t_double;
	case FIELD_BYTES:
		return &cel_t_bytes;
	case FIELD_TIME:
	case FIELD_MICROTIME:
		return &cel_t_timestamp;
	case FIELD_STRING:
	case FIELD_DURATION:
	case FIELD_QUANTITY:
		return &cel_t_string;
	case FIELD_STRUCT:
		return f->type ? schema_type_of(s, f->type) : &cel_t_dyn;
	default:
		return &cel_t_dyn;
	}
}

static const struct cel_type *schema_type_field(struct schema_types *s, const struct field *f)
{
	const struct cel_type *t = schema_type_one(s, f);

	if (f->card == CARD_MAP) {
		if (f->inner_card == CARD_LIST)
			t = cel_type_list(s->a, t);
		return cel_type_map(s->a, &cel_t_string, t);
	}
	return f->card == CARD_LIST ? cel_type_list(s->a, t) : t;
}

static const struct cel_type *schema_type_of(struct schema_types *s, const struct schema *of)
{
	struct cel_field *fields;
	const struct cel_type *made;
	struct cel_type *t;
	size_t n = 0;

	for (size_t i = 0; i < s->made.n; i++)
		if (s->made.p[i].of == of)
			return s->made.p[i].type;
	t = ARENA_NEW(s->a, struct cel_type);
	t->kind = CEL_OBJECT;
	t->weight = 1;
	t->name = sv_from(of->openapi ? of->openapi : of->ref);
	vec_push(&s->made, ((struct schema_made){ of, t }));
	fields = ARENA_ARRAY(s->a, struct cel_field, of->n_fields);
	for (size_t i = 0; i < of->n_fields; i++) {
		const struct field *f = &of->fields[i];
		struct sv key = sym_name(f->sym), name = f->flags & FF_HIDDEN ? SV_NULL : cel_escape(s->a, key);

		if (name.p)
			fields[n++] = (struct cel_field){ .name = name, .key = key, .type = schema_type_field(s, f) };
	}
	made = cel_type_object(s->a, t->name, fields, n);
	t->fields = made->fields;
	t->n_fields = made->n_fields;
	t->min_serialized = 2;
	return t;
}

const struct cel_type *cel_type_schema(struct arena *a, const struct schema *schema)
{
	struct schema_types s = { .a = a };
	const struct cel_type *t = schema_type_of(&s, schema);

	vec_release(&s.made);
	return t;
}
