/* Definitions: one JSON schema a type. Version 3 wraps references in allOf, because siblings
 * of $ref (doc, default, list marks) count for nothing there; version 2 readers expect them bare. */
#include "object/openapi_write.h"
#include "object/schema_build.h"

#include <stdlib.h>

/* Scalars that are Go types with a definition of their own. */
static const struct special {
	const char *name, *doc, *v2, *v3;
} specials[_FIELD_KIND_MAX] = {
	[FIELD_TIME] = { "io.k8s.apimachinery.pkg.apis.meta.v1.Time", "A moment, to the second.",
			 "\"type\":\"string\",\"format\":\"date-time\"", NULL },
	[FIELD_MICROTIME] = { "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime", "A moment, to the microsecond.",
			      "\"type\":\"string\",\"format\":\"date-time\"", NULL },
	[FIELD_DURATION] = { "io.k8s.apimachinery.pkg.apis.meta.v1.Duration", "A length of time, such as 1h30m.",
			     "\"type\":\"string\"", NULL },
	[FIELD_QUANTITY] = { "io.k8s.apimachinery.pkg.api.resource.Quantity",
			     "An exact amount with an optional suffix: m for thousandths, k M G T P E for powers of "
			     "1000, Ki Mi Gi Ti Pi Ei for powers of 1024.",
			     "\"type\":\"string\"", "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]" },
	[FIELD_INT_OR_STRING] = { "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
				  "A number, or text: a percentage or a name, as the field says.",
				  "\"type\":\"string\",\"format\":\"int-or-string\"",
				  "\"format\":\"int-or-string\",\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}"
				  "]" },
};

void openapi_ref(struct openapi_writer *o, const char *name)
{
	jw_key(&o->w, "$ref");
	jw_comma(&o->w);
	buf_addc(o->w.b, '"');
	buf_adds(o->w.b, o->v3 ? "#/components/schemas/" : "#/definitions/");
	buf_adds(o->w.b, name);
	buf_addc(o->w.b, '"');
	o->w.comma = true;
}

void openapi_gvk(struct openapi_writer *o, const char *group, const char *version, const char *kind)
{
	jw_open(&o->w, '{');
	jw_str(&o->w, "group", group);
	jw_str(&o->w, "kind", kind);
	jw_str(&o->w, "version", version);
	jw_close(&o->w, '}');
}

void openapi_use(struct openapi_writer *o, const struct schema *s)
{
	size_t i;

	if (!s || s->late) /* what is made at run time is described by its definition */
		return;
	i = (size_t)(s - schema_all[0]); /* the tables are one array, in the order of schema_all */
	if (o->types[i])
		return;
	o->types[i] = true;
	for (size_t k = 0; k < s->n_fields; k++) {
		const struct field *f = &s->fields[k];

		o->used[f->kind] = true;
		openapi_use(o, f->type);
	}
}

/* In the order of the alphabet, whatever order errors name them in. */
static void enum_values(struct openapi_writer *o, const char *const *values)
{
	const char *last = NULL, *next;

	do {
		next = NULL;
		for (const char *const *e = values; *e; e++)
			if ((!last || strcmp(*e, last) > 0) && (!next || strcmp(*e, next) < 0))
				next = *e;
		if (next)
			jw_sv(&o->w, sv_from(next));
		last = next;
	} while (next);
}

/* The type of one value of f: "type" and "format", or a reference. */
static void openapi_schema_add_value(struct openapi_writer *o, const struct field *f)
{
	static const char *const plain[_FIELD_KIND_MAX] = {
		[FIELD_BOOL] = "\"type\":\"boolean\"",
		[FIELD_INT32] = "\"type\":\"integer\",\"format\":\"int32\"",
		[FIELD_INT64] = "\"type\":\"integer\",\"format\":\"int64\"",
		[FIELD_FLOAT64] = "\"type\":\"number\",\"format\":\"double\"",
		[FIELD_STRING] = "\"type\":\"string\"",
		[FIELD_BYTES] = "\"type\":\"string\",\"format\":\"byte\"",
	};
	const char *ref = f->type ? f->type->openapi : specials[f->kind].name;

	if (!ref) {
		jw_raw(&o->w, plain[f->kind]);
		if (f->enum_values) {
			jw_key(&o->w, "enum");
			jw_open(&o->w, '[');
			enum_values(o, f->enum_values);
			jw_close(&o->w, ']');
		}
	} else if (o->v3) {
		jw_key(&o->w, "allOf");
		jw_open(&o->w, '[');
		jw_open(&o->w, '{');
		openapi_ref(o, ref);
		jw_close(&o->w, '}');
		jw_close(&o->w, ']');
	} else {
		openapi_ref(o, ref);
	}
}

static void add_list_marks(struct openapi_writer *o, const struct field *f)
{
	static const char *const list_types[] = { [TOPO_ATOMIC] = "atomic", [TOPO_SET] = "set", [TOPO_MAP] = "map" };

	if (f->topology != TOPO_DEFAULT && f->topology != TOPO_GRANULAR)
		jw_str(&o->w, "x-kubernetes-list-type", list_types[f->topology]);
	if (f->list_keys) {
		jw_key(&o->w, "x-kubernetes-list-map-keys");
		jw_open(&o->w, '[');
		for (const enum sym *k = f->list_keys; *k; k++)
			jw_sv(&o->w, sym_name(*k));
		jw_close(&o->w, ']');
	}
}

static void add_patch_marks(struct openapi_writer *o, const struct field *f)
{
	bool merge = f->flags & FF_PATCH_MERGE, keep = f->flags & FF_PATCH_RETAIN_KEYS;

	if (f->merge_key) {
		jw_key(&o->w, "x-kubernetes-patch-merge-key");
		jw_sv(&o->w, sym_name(f->merge_key));
	}
	if (merge || keep)
		jw_str(&o->w, "x-kubernetes-patch-strategy",
		       merge && keep ? "merge,retainKeys"
		       : merge	     ? "merge"
				     : "retainKeys");
}

static void add_field(struct openapi_writer *o, const struct field *f)
{
	uint8_t map_type = f->card == CARD_MAP ? f->topology : f->card == CARD_ONE ? f->elem_topology : TOPO_DEFAULT;

	jw_keysv(&o->w, sym_name(f->sym));
	jw_open(&o->w, '{');
	if (f->doc)
		jw_str(&o->w, "description", f->doc);
	if (f->card == CARD_ONE) {
		openapi_schema_add_value(o, f);
	} else {
		jw_str(&o->w, "type", f->card == CARD_LIST ? "array" : "object");
		jw_key(&o->w, f->card == CARD_LIST ? "items" : "additionalProperties");
		jw_open(&o->w, '{');
		if (f->inner_card == CARD_LIST) {
			jw_str(&o->w, "type", "array");
			jw_key(&o->w, "items");
			jw_open(&o->w, '{');
			openapi_schema_add_value(o, f);
			jw_close(&o->w, '}');
		} else {
			openapi_schema_add_value(o, f);
		}
		jw_close(&o->w, '}');
	}
	if (f->json_default) {
		jw_key(&o->w, "default");
		jw_raw(&o->w, f->json_default);
	}
	if (f->card == CARD_LIST)
		add_list_marks(o, f);
	/* An atomic type says so itself. */
	if (map_type != TOPO_DEFAULT && !(f->card == CARD_ONE && f->type && f->type->atomic))
		jw_str(&o->w, "x-kubernetes-map-type", map_type == TOPO_ATOMIC ? "atomic" : "granular");
	add_patch_marks(o, f);
	jw_close(&o->w, '}');
}

/* What any-JSON types say: objects where the content is one, nothing where it may be anything. */
static bool is_object(const struct schema *s)
{
	return strcmp(s->ref, "runtime.RawExtension") == 0 || strcmp(s->ref, "meta/v1.FieldsV1") == 0;
}

static void add_type(struct openapi_writer *o, const struct schema *s)
{
	bool required = false;

	jw_key(&o->w, s->openapi);
	jw_open(&o->w, '{');
	if (s->doc)
		jw_str(&o->w, "description", s->doc);
	if (s->n_fields || is_object(s))
		jw_str(&o->w, "type", "object");
	for (size_t i = 0; i < s->n_fields; i++)
		required |= s->fields[i].flags & FF_REQUIRED;
	if (required) {
		jw_key(&o->w, "required");
		jw_open(&o->w, '[');
		for (size_t i = 0; i < s->n_fields; i++)
			if (s->fields[i].flags & FF_REQUIRED)
				jw_sv(&o->w, sym_name(s->fields[i].sym));
		jw_close(&o->w, ']');
	}
	if (s->n_fields) {
		jw_key(&o->w, "properties");
		jw_open(&o->w, '{');
		for (size_t i = 0; i < s->n_fields; i++)
			if (!(s->fields[i].flags & FF_HIDDEN))
				add_field(o, &s->fields[i]);
		jw_close(&o->w, '}');
	}
	if (s->atomic)
		jw_str(&o->w, "x-kubernetes-map-type", "atomic");
	if (s->root) {
		struct sv ref = sv_from(s->ref), group, version;
		ssize_t slash = sv_find(ref, '/');
		const char *kind = strrchr(s->ref, '.') + 1;
		char g[64] = "", v[32] = "";

		group = sv_sub(ref, 0, slash < 0 ? 0 : (size_t)slash);
		version = sv_sub(ref, group.n + 1, ref.n - group.n - 2 - strlen(kind));
		if (!sv_is(group, "core") && !sv_is(group, "meta"))
			memcpy(g, group.p, MIN(group.n, sizeof(g) - 1));
		memcpy(v, version.p, MIN(version.n, sizeof(v) - 1));
		jw_key(&o->w, "x-kubernetes-group-version-kind");
		jw_open(&o->w, '[');
		openapi_gvk(o, g, v, kind);
		jw_close(&o->w, ']');
	}
	jw_close(&o->w, '}');
}

void openapi_definitions(struct openapi_writer *o)
{
	for (size_t i = 0; i < schema_count; i++)
		if (o->types[i]) {
			add_type(o, schema_all[i]);
			if (o->whole)
				o->whole(o);
		}
	for (size_t k = 0; k < _FIELD_KIND_MAX; k++) {
		const struct special *s = &specials[k];

		if (!s->name || !o->used[k])
			continue;
		jw_key(&o->w, s->name);
		jw_open(&o->w, '{');
		jw_str(&o->w, "description", s->doc);
		jw_raw(&o->w, o->v3 && s->v3 ? s->v3 : s->v2);
		jw_close(&o->w, '}');
	}
	jw_key(&o->w, "io.k8s.apimachinery.pkg.apis.meta.v1.Patch");
	jw_raw(&o->w,
	       "{\"description\":\"A change to an object, in the form its content type names.\",\"type\":\"object\"}");
}

const struct schema *openapi_list_schema(const struct resource *r)
{
	char ref[160];
	size_t n;

	if (!r->schema || !*r->list_kind)
		return NULL;
	n = (size_t)(strrchr(r->schema->ref, '.') - r->schema->ref) + 1;
	if (n + strlen(r->list_kind) >= sizeof(ref))
		return NULL;
	memcpy(ref, r->schema->ref, n);
	memcpy(ref + n, r->list_kind, strlen(r->list_kind));
	return schema_find(sv_make(ref, n + strlen(r->list_kind)));
}

const char *openapi_kind_name(const struct resource *r, struct buf *tmp, bool list)
{
	if (r->schema && !list)
		return r->schema->openapi;
	if (openapi_list_schema(r))
		return openapi_list_schema(r)->openapi;
	buf_clear(tmp);
	schema_package(tmp, sv_from(r->group));
	buf_printf(tmp, ".%s.%s", r->version, list ? r->list_kind : r->kind);
	return buf_cstr(tmp);
}
