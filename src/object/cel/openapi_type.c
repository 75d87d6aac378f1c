/* Types of OpenAPI schemas, and how their properties are named in expressions.
 *
 * Sizes: a schema that sets no bound has the one that a request sets: no list can have more elements than fit into it
 * when each is as small as its own schema allows. Estimates live on that.
 */
#include "object/cel/cel.h"

#include <stdlib.h>

#define OAS_REQUEST_BYTES (3 * 1024 * 1024)
#define OAS_DURATION_MIN 3
#define OAS_DURATION_MAX 32
#define OAS_DATE 12
#define OAS_TIME_MIN 21
#define OAS_TIME_MAX 29
#define OAS_DEPTH_MAX 256 /* of schemas; documents are not deeper either */

static const struct cel_type *oas_type(struct arena *a, const struct val *s, bool root, const struct cel_type *owner,
				       struct sv name, int depth);

static const struct val *oas_get(const struct val *s, const char *key)
{
	return val_member_sv(s, sv_from(key));
}

static bool oas_bound(const struct val *s, const char *key, uint64_t *ret)
{
	const struct val *v = oas_get(s, key);

	if (val_type(v) != VAL_INT && val_type(v) != VAL_FLOAT)
		return false;
	*ret = val_num(v) < 0 ? 0 : val_type(v) == VAL_INT ? (uint64_t)v->i : (uint64_t)MIN(v->d, 9e18);
	return true;
}

static struct cel_type *oas_new(struct arena *a, const struct cel_type *like, uint64_t max)
{
	struct cel_type *t = ARENA_NEW(a, struct cel_type);

	*t = *like;
	t->max_size = max;
	return t;
}

static uint64_t oas_text_max(const struct val *s, uint64_t or_else)
{
	uint64_t n;

	/* Code points are asked for, and bytes are meant: four of them for each. */
	return oas_bound(s, "maxLength", &n) ? cel_mul_sat(n, 4) : or_else;
}

static uint64_t oas_enum_max(const struct val *s)
{
	uint64_t max = 0;

	VAL_EACH(oas_get(s, "enum"), v)
		max = MAX(max, val_str(v).n);
	return max;
}

/* Without a bound of its own a scalar's type is everybody's. */
static const struct cel_type oas_any_text = {
	.kind = CEL_STRING, .name = { "string", 6 }, .max_size = OAS_REQUEST_BYTES - 2, .min_serialized = 2
};
static const struct cel_type oas_any_bytes = {
	.kind = CEL_BYTES, .name = { "bytes", 5 }, .max_size = OAS_REQUEST_BYTES - 2, .min_serialized = 2
};
static const struct cel_type oas_duration = { .kind = CEL_DURATION,
					      .name = { "google.protobuf.Duration", 24 },
					      .max_size = OAS_DURATION_MAX,
					      .min_serialized = OAS_DURATION_MIN };
static const struct cel_type oas_date = { .kind = CEL_TIMESTAMP,
					  .name = { "google.protobuf.Timestamp", 25 },
					  .max_size = OAS_DATE,
					  .min_serialized = OAS_DATE };
static const struct cel_type oas_time = { .kind = CEL_TIMESTAMP,
					  .name = { "google.protobuf.Timestamp", 25 },
					  .max_size = OAS_TIME_MAX,
					  .min_serialized = OAS_TIME_MIN };

static const struct cel_type *oas_string(struct arena *a, const struct val *s)
{
	struct sv format = val_str(oas_get(s, "format"));
	uint64_t n;

	if (sv_is(format, "byte"))
		return oas_bound(s, "maxLength", &n) ? oas_new(a, &cel_t_bytes, n) : &oas_any_bytes;
	if (sv_is(format, "duration"))
		return &oas_duration;
	if (sv_is(format, "date"))
		return &oas_date;
	if (sv_is(format, "date-time"))
		return &oas_time;
	if (oas_bound(s, "maxLength", &n))
		return oas_new(a, &cel_t_string, oas_text_max(s, n));
	return val_len(oas_get(s, "enum")) ? oas_new(a, &cel_t_string, oas_enum_max(s)) : &oas_any_text;
}

static void oas_list_type(struct arena *a, struct cel_type *t, const struct val *s)
{
	const struct val *type = oas_get(s, "x-kubernetes-list-type"), *keys = oas_get(s, "x-kubernetes-list-map-keys");
	struct sv *k;

	if (val_is(type, "set")) {
		t->list_type = CEL_LIST_SET;
	} else if (val_is(type, "map") && val_len(keys) && val_len(keys) < UINT8_MAX) {
		k = ARENA_ARRAY(a, struct sv, val_len(keys));
		VAL_EACH(keys, v)
			k[t->n_list_keys++] = val_str(v);
		t->list_keys = k;
		t->list_type = CEL_LIST_MAP;
	}
}

static bool oas_embedded(const struct val *s)
{
	return val_bool(oas_get(s, "x-kubernetes-embedded-resource"));
}

static const struct cel_type *oas_list(struct arena *a, const struct val *s, const struct cel_type *owner,
				       struct sv name, int depth)
{
	const struct val *items = oas_get(s, "items");
	struct cel_type *t = oas_new(a, &cel_t_list_dyn, 0);
	uint64_t max;

	t->owner = owner;
	t->name = name;
	t->params[0] = items ? oas_type(a, items, oas_embedded(items), t, SV("@idx"), depth) : NULL;
	if (!t->params[0])
		return NULL;
	t->max_size =
	    oas_bound(s, "maxItems", &max) ? max : (OAS_REQUEST_BYTES - 2) / (t->params[0]->min_serialized + 1);
	t->min_serialized = 2;
	oas_list_type(a, t, s);
	return t;
}

/* Keys have no size for upstream's estimate. */
static const struct cel_type oas_key = { .kind = CEL_STRING, .name = { "string", 6 }, .min_serialized = 2 };

static const struct cel_type *oas_map(struct arena *a, const struct val *s, const struct val *props,
				      const struct cel_type *owner, struct sv name, int depth)
{
	struct cel_type *t = oas_new(a, &cel_t_map_dyn, 0);
	uint64_t max;

	t->owner = owner;
	t->name = name;
	t->params[0] = &oas_key;
	t->params[1] = oas_type(a, props, oas_embedded(props), t, SV("@elem"), depth);
	if (!t->params[1])
		return NULL;
	t->max_size =
	    oas_bound(s, "maxProperties", &max) ? max : (OAS_REQUEST_BYTES - 2) / (t->params[1]->min_serialized + 6);
	t->min_serialized = 2;
	return t;
}

/* --- objects --- */

static bool oas_is_type(const struct val *s, const char *type)
{
	return val_is(oas_get(s, "type"), type);
}

/* Has the schema of a resource already what every resource has? */
static bool oas_has_meta(const struct val *props)
{
	const struct val *meta = oas_get(props, "metadata"), *mp = oas_get(meta, "properties");

	return oas_is_type(oas_get(props, "kind"), "string") && oas_is_type(oas_get(props, "apiVersion"), "string") &&
	       oas_is_type(meta, "object") && oas_is_type(oas_get(mp, "name"), "string") &&
	       oas_is_type(oas_get(mp, "generateName"), "string");
}

static const struct cel_type *oas_meta(struct arena *a, const struct cel_type *owner)
{
	struct cel_field f[] = { { .name = SV("generateName"), .key = SV("generateName"), .type = &oas_any_text },
				 { .name = SV("name"), .key = SV("name"), .type = &oas_any_text } };
	struct cel_type *t;

	if (!owner)
		return &oas_any_text;
	t = oas_new(a, cel_type_object(a, SV("metadata"), f, ARRAY_LEN(f)), 0);
	t->owner = owner;
	return t;
}

static bool oas_required(const struct val *s, struct sv name)
{
	VAL_EACH(oas_get(s, "required"), r)
		if (sv_eq(val_str(r), name))
			return true;
	return false;
}

static int oas_field_order(const void *a, const void *b)
{
	return sv_cmp(((const struct cel_field *)a)->name, ((const struct cel_field *)b)->name);
}

static void oas_object_field(struct arena *a, struct cel_type *t, struct cel_field *fields, const struct val *s,
			     struct sv key, const struct val *prop, int depth)
{
	struct sv escaped = cel_escape(a, key);
	struct cel_field f = { .name = escaped, .key = key, .dflt = oas_get(prop, "default") };

	f.type = oas_type(a, prop, oas_embedded(prop), t, escaped.p ? escaped : key, depth);
	if (!f.type)
		return;
	f.required = oas_required(s, key);
	if (escaped.p)
		fields[t->n_fields++] = f;
	if (f.required && !f.dflt)
		t->min_serialized += key.n + f.type->min_serialized + 4;
}

static const struct cel_type *oas_object(struct arena *a, const struct val *s, bool root, const struct cel_type *owner,
					 struct sv name, int depth)
{
	const struct val *props = oas_get(s, "properties");
	struct cel_field *fields = ARENA_ARRAY(a, struct cel_field, val_len(props) + 3);
	struct cel_type *t = ARENA_NEW(a, struct cel_type);
	bool add = root && !oas_has_meta(props);

	*t = (struct cel_type){ .kind = CEL_OBJECT, .name = name, .owner = owner, .min_serialized = 2, .weight = 1 };
	VAL_EACH_MEMBER(props, m) {
		bool meta = sv_is(m.key, "kind") || sv_is(m.key, "apiVersion") || sv_is(m.key, "metadata");

		if (!add || !meta)
			oas_object_field(a, t, fields, s, m.key, m.value, depth);
	}
	if (add) {
		fields[t->n_fields++] =
		    (struct cel_field){ .name = SV("kind"), .key = SV("kind"), .type = oas_meta(a, NULL) };
		fields[t->n_fields++] =
		    (struct cel_field){ .name = SV("apiVersion"), .key = SV("apiVersion"), .type = oas_meta(a, NULL) };
		fields[t->n_fields++] =
		    (struct cel_field){ .name = SV("metadata"), .key = SV("metadata"), .type = oas_meta(a, t) };
	}
	qsort(fields, t->n_fields, sizeof(*fields), oas_field_order);
	t->fields = fields;
	return t;
}

static const struct cel_type *oas_type(struct arena *a, const struct val *s, bool root, const struct cel_type *owner,
				       struct sv name, int depth)
{
	const struct val *props = oas_get(s, "additionalProperties");
	struct cel_type *t;

	if (depth == 0 || val_type(s) != VAL_MAP)
		return NULL;
	if (val_bool(oas_get(s, "x-kubernetes-int-or-string"))) {
		t = oas_new(a, &cel_t_dyn, oas_text_max(s, OAS_REQUEST_BYTES - 2));
		t->int_or_string = true;
		return t;
	}
	if (oas_is_type(s, "array"))
		return oas_list(a, s, owner, name, depth - 1);
	if (oas_is_type(s, "object") && val_type(props) == VAL_MAP)
		return oas_map(a, s, props, owner, name, depth - 1);
	if (oas_is_type(s, "object"))
		return oas_object(a, s, root, owner, name, depth - 1);
	if (oas_is_type(s, "string"))
		return oas_string(a, s);
	if (oas_is_type(s, "boolean"))
		return &cel_t_bool;
	if (oas_is_type(s, "number"))
		return &cel_t_double;
	return oas_is_type(s, "integer") ? &cel_t_int : NULL;
}

const struct cel_type *cel_type_openapi_named(struct arena *a, const struct val *schema, unsigned flags, struct sv name)
{
	return oas_type(a, schema, flags & CEL_OAS_ROOT, NULL, name, OAS_DEPTH_MAX);
}

const struct cel_type *cel_type_openapi(struct arena *a, const struct val *schema, unsigned flags)
{
	return cel_type_openapi_named(a, schema, flags, SV("selfType"));
}
