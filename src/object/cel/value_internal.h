/* value_internal.h - what value.c shares with the rest of the engine; nobody else includes it. */
#pragma once

#include "object/cel/value.h"
#include "codec/val_index.h"

/* Of the elements of a list or the values of a map; NULL: not known. */
static inline const struct cel_type *cel_elem_type(const struct cel_value *v)
{
	return v->type ? v->type->params[v->kind == CEL_MAP ? 1 : 0] : NULL;
}

/* Entry of a map by key: looks through small ones. */
bool cel_map_find(struct arena *a, const struct cel_value *map, const struct cel_value *key, struct cel_value *ret);

/* The same type with other parameters. */
const struct cel_type *cel_type_with(struct arena *a, const struct cel_type *of, const struct cel_type *p0,
				     const struct cel_type *p1);
bool cel_reserved(struct sv name); /* a word that is no identifier */
/* A field by its name, also one whose name is a reserved word. */
const struct cel_field *cel_field_of(const struct cel_type *t, struct sv name);

struct sv cel_duration_text(struct arena *a, int64_t ns); /* "1.5s" */
/* RFC 3339 with as many digits behind the point as there are. */
struct sv cel_timestamp_text(struct arena *a, const struct cel_value *v);
struct sv cel_double_text(struct arena *a, double d); /* as Go's %g: the shortest */

/* A map or object that is asked many times. To be released. */
struct cel_index {
	const struct cel_value *of;
	struct val_index doc;
};
static inline struct cel_index cel_index_of(const struct cel_value *v)
{
	struct cel_index x = { .of = v };

	if (v->flags & CEL_V_DOC)
		x.doc = val_index_of(v->doc);
	return x;
}
bool cel_index_find(struct arena *a, const struct cel_index *x, const struct cel_value *key, struct cel_value *ret);
static inline void cel_index_release(struct cel_index *x)
{
	val_index_release(&x->doc);
}

/* Values that were compared or hashed by this thread: what a comparison really took, however little it costs. */
extern _Thread_local size_t cel_steps;

struct cel_value cel_join(struct arena *a, struct cel_value x,
			  struct cel_value y); /* two lists, one behind the other */

/* The type of a list whose elements are a set, or have keys; else NULL. */
const struct cel_type *cel_keyed_type(const struct cel_value *list);
/* Such a list by its keys; false when two elements have the same. */
bool cel_keyed_make(struct arena *a, const struct cel_type *t, const struct cel_value *list, struct cel_value *ret);
