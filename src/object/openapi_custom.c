/* Definitions of custom kinds. Version 3 has the schema as its author wrote it, with what every object has, and every
 * embedded resource. Version 2 cannot say all of it, and its readers stumble over more: what upstream leaves out for
 * them is left out (alternatives, null, the known part of what may have unknown members). A schema is a decoded
 * document, so this may recurse along it. */
#include "object/openapi_write.h"

static void custom_schema(struct openapi_writer *o, const struct val *v);

static bool custom_is(const struct val *v, enum sym mark)
{
	return val_bool(val_member(v, mark));
}

/* --- what version 2 does without --- */

/* Of a value that may be null, or have unknown members, nothing inside is said. */
static bool custom_opaque(const struct openapi_writer *o, const struct val *v)
{
	return !o->v3 && (custom_is(v, F_nullable) || custom_is(v, F_x_kubernetes_preserve_unknown_fields));
}

static bool custom_typeless(const struct openapi_writer *o, const struct val *v)
{
	bool items = val_member(v, F_items) && !custom_opaque(o, v);

	return !o->v3 && (custom_is(v, F_nullable) || (val_is(val_member(v, F_type), "array") && !items));
}

static bool custom_left_out(const struct openapi_writer *o, const struct val *v, enum sym member)
{
	switch (member) {
	case F_allOf:
	case F_anyOf:
	case F_oneOf:
	case F_not:
	case F_nullable:
		return !o->v3;
	case F_items:
		return custom_opaque(o, v);
	case F_type:
		return custom_typeless(o, v);
	case F_properties: /* written apart */
	case F_required:
		return true;
	default:
		return false;
	}
}

/* --- what every object has --- */

static void custom_object(struct openapi_writer *o)
{
	jw_raw(&o->w,
	       "\"apiVersion\":{\"type\":\"string\",\"description\":\"Group and version of the API that the object is "
	       "written in.\"},\"kind\":{\"type\":\"string\",\"description\":\"What type of object this is.\"}");
	jw_key(&o->w, "metadata");
	jw_open(&o->w, '{');
	if (o->v3) {
		jw_key(&o->w, "allOf");
		jw_open(&o->w, '[');
		jw_open(&o->w, '{');
	}
	openapi_ref(o, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
	if (o->v3) {
		jw_close(&o->w, '}');
		jw_close(&o->w, ']');
	}
	jw_close(&o->w, '}');
}

static void custom_properties(struct openapi_writer *o, const struct val *v, bool object)
{
	const struct val *properties = custom_opaque(o, v) ? NULL : val_member(v, F_properties);

	if (!val_len(properties) && !object)
		return;
	jw_key(&o->w, "properties");
	jw_open(&o->w, '{');
	if (object)
		custom_object(o);
	VAL_EACH_MEMBER(properties, m) {
		if (object && (m.sym == F_apiVersion || m.sym == F_kind || m.sym == F_metadata))
			continue;
		jw_keysv(&o->w, m.key);
		custom_schema(o, m.value);
	}
	jw_close(&o->w, '}');
}

/* Where null may stand, version 2 has nothing there: so it is not required. */
static void custom_required(struct openapi_writer *o, const struct val *v)
{
	const struct val *properties = val_member(v, F_properties);
	bool any = false;

	if (!o->v3 && custom_is(val_member(v, F_additionalProperties), F_nullable))
		return;
	VAL_EACH(val_member(v, F_required), name) {
		if (!o->v3 && custom_is(val_member_sv(properties, val_str(name)), F_nullable))
			continue;
		if (!any) {
			jw_key(&o->w, "required");
			jw_open(&o->w, '[');
		}
		any = true;
		jw_sv(&o->w, val_str(name));
	}
	if (any)
		jw_close(&o->w, ']');
}

static void custom_members(struct openapi_writer *o, const struct val *v, bool object)
{
	VAL_EACH_MEMBER(v, m) {
		if (custom_left_out(o, v, m.sym))
			continue;
		jw_keysv(&o->w, m.key);
		if ((m.sym == F_items || m.sym == F_additionalProperties) && m.value->type == VAL_MAP) {
			custom_schema(o, m.value);
			continue;
		}
		jw_comma(&o->w);
		json_encode(o->w.b, m.value);
		o->w.comma = true;
	}
	custom_required(o, v);
	custom_properties(o, v, object);
}

static void custom_schema(struct openapi_writer *o, const struct val *v)
{
	bool embedded = custom_is(v, F_x_kubernetes_embedded_resource);

	jw_open(&o->w, '{');
	custom_members(o, v, embedded && (o->v3 || !custom_opaque(o, v)));
	jw_close(&o->w, '}');
}

void openapi_custom_definitions(struct openapi_writer *o, const struct openapi_custom *c)
{
	_cleanup_(buf_release) struct buf name = BUF_INIT;
	const struct resource *r = c->resource;

	jw_key(&o->w, openapi_kind_name(r, &name, false));
	jw_open(&o->w, '{');
	if (!c->schema)
		jw_raw(&o->w, "\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true");
	else if (!o->v3 && custom_is(c->schema, F_x_kubernetes_preserve_unknown_fields))
		jw_raw(&o->w, "\"type\":\"object\"");
	else
		custom_members(o, c->schema, true);
	jw_key(&o->w, "x-kubernetes-group-version-kind");
	jw_open(&o->w, '[');
	openapi_gvk(o, r->group, r->version, r->kind);
	jw_close(&o->w, ']');
	jw_close(&o->w, '}');

	jw_key(&o->w, openapi_kind_name(r, &name, true));
	jw_open(&o->w, '{');
	jw_raw(&o->w, "\"type\":\"object\",\"required\":[\"items\"]");
	jw_key(&o->w, "properties");
	jw_open(&o->w, '{');
	jw_raw(&o->w, "\"apiVersion\":{\"type\":\"string\"},\"kind\":{\"type\":\"string\"}");
	jw_key(&o->w, "metadata");
	jw_open(&o->w, '{');
	openapi_ref(o, "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta");
	jw_close(&o->w, '}');
	jw_key(&o->w, "items");
	jw_open(&o->w, '{');
	jw_str(&o->w, "type", "array");
	jw_key(&o->w, "items");
	jw_open(&o->w, '{');
	openapi_ref(o, openapi_kind_name(r, &name, false));
	jw_close(&o->w, '}');
	jw_close(&o->w, '}');
	jw_close(&o->w, '}');
	jw_key(&o->w, "x-kubernetes-group-version-kind");
	jw_open(&o->w, '[');
	openapi_gvk(o, r->group, r->version, r->list_kind);
	jw_close(&o->w, ']');
	jw_close(&o->w, '}');
}
