/* Which keywords of OpenAPI a schema may have, and how the extensions go together. */
#include "apiserver/registry/validate/crd-internal.h"

/* Where the walk is. */
struct place {
	const char *no_defaults; /* why there may be none here; NULL: there may */
	bool in_meta, root;
};

static void openapi_walk(struct crd_check *c, const struct val *s, const struct place *p, const struct fpath *at);

static void keywords(struct crd_check *c, const struct val *s, const struct place *p, const struct fpath *at)
{
	static const char *const types[] = { "array", "boolean", "integer", "number", "object", "string", NULL };
	static const struct {
		const char *name;
		bool text, list; /* told by: is not empty */
	} not_known[] = { { "id", true, false },
			  { "additionalItems", false, false },
			  { "patternProperties", false, true },
			  { "definitions", false, true },
			  { "dependencies", false, true },
			  { "$ref", false, false } };
	struct fpath type_at = FPATH(at, F_type), default_at = FPATH(at, F_default), items_at = FPATH(at, F_items);
	struct sv type = val_str(val_member(s, F_type));
	size_t k = 0;

	while (types[k] && !sv_is(type, types[k]))
		k++;
	if (type.n && !types[k])
		fe_not_supported(c->fe, &type_at, val_member(s, F_type), types);
	if (p->no_defaults && val_member(s, F_default))
		fe_add(c->fe, FE_FORBIDDEN, &default_at, NULL, "must not be set %s", p->no_defaults);
	for (size_t i = 0; i < ARRAY_LEN(not_known); i++) {
		struct fpath here = FPATH_WORD(at, not_known[i].name);
		const struct val *v = val_member_sv(s, sv_from(not_known[i].name));

		if (!v || v->type == VAL_NULL || (not_known[i].text && !val_str(v).n) ||
		    (not_known[i].list && !val_len(v)))
			continue;
		fe_add(c->fe, FE_FORBIDDEN, &here, NULL, "%s is not supported", not_known[i].name);
	}
	if (sv_is(type, "null"))
		fe_forbidden(c->fe, &type_at, "type cannot be set to null, use nullable as an alternative");
	if (val_type(val_member(s, F_items)) == VAL_LIST && val_len(val_member(s, F_items)))
		fe_forbidden(c->fe, &items_at, "items must be a schema object and not an array");
	if (p->in_meta && val_get_bool(s, F_x_kubernetes_embedded_resource)) {
		struct fpath here = FPATH(at, F_x_kubernetes_embedded_resource);

		fe_forbidden(c->fe, &here, "must not be used inside of resource meta");
	}
}

/* type is `want`, or why it has to be. */
static bool must_be(struct crd_check *c, const struct val *s, const char *want, const char *why, const struct fpath *at)
{
	struct fpath type_at = FPATH(at, F_type);
	struct sv type = val_str(val_member(s, F_type));

	if (sv_is(type, want))
		return true;
	if (!type.n)
		fe_required_why(c->fe, &type_at, why);
	else
		fe_invalid(c->fe, &type_at, val_member(s, F_type), why);
	return false;
}

static void map_type(struct crd_check *c, const struct val *s, const struct fpath *at)
{
	static const char *const known[] = { "atomic", "granular", NULL };
	const struct val *v = val_member(s, F_x_kubernetes_map_type);
	struct fpath here = FPATH(at, F_x_kubernetes_map_type);

	if (val_type(v) != VAL_STR)
		return;
	(void)must_be(c, s, "object", "must be object if x-kubernetes-map-type is specified", at);
	if (!val_is(v, "atomic") && !val_is(v, "granular"))
		fe_not_supported(c->fe, &here, v, known);
}

/* Elements of a set are compared whole. */
static void set_items(struct crd_check *c, const struct val *items, const struct fpath *at)
{
	struct fpath list_at = FPATH(at, F_x_kubernetes_list_type), map_at = FPATH(at, F_x_kubernetes_map_type);
	const struct val *list = val_member(items, F_x_kubernetes_list_type),
			 *map = val_member(items, F_x_kubernetes_map_type);
	static const char why[] = "must be atomic as item of a list with x-kubernetes-list-type=set";

	if (val_is(val_member(items, F_type), "array") && list && !val_is(list, "atomic"))
		fe_invalid(c->fe, &list_at, list, why);
	if (val_is(val_member(items, F_type), "object") && !val_is(map, "atomic"))
		fe_invalid(c->fe, &map_at, map ? map : &fe_null, why);
}

static void map_keys(struct crd_check *c, const struct val *s, const struct val *items, const struct fpath *at)
{
	struct fpath items_at = FPATH(at, F_items), props_at = FPATH(&items_at, F_properties),
		     keys_at = FPATH(at, F_x_kubernetes_list_map_keys);
	const struct val *keys = val_member(s, F_x_kubernetes_list_map_keys), *props = val_member(items, F_properties);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;

	VAL_EACH(keys, k) {
		const struct val *p = crd_member(c, props, val_str(k), &keys_at);
		struct fpath here = FPATH_KEY(&props_at, val_str(k)), type_at = FPATH(&here, F_type);

		if (!p)
			fe_invalid(c->fe, &keys_at, keys, "entries must all be names of item properties");
		else if (val_is(val_member(p, F_type), "array") || val_is(val_member(p, F_type), "object"))
			fe_invalid(c->fe, &type_at, val_member(items, F_type),
				   "must be a scalar type if parent array's x-kubernetes-list-type is map");
		if (strmap_set(&seen, val_str(k), c))
			fe_invalid(c->fe, &keys_at, keys, "must not contain duplicate entries");
	}
}

static void map_list(struct crd_check *c, const struct val *s, const struct fpath *at)
{
	struct fpath items_at = FPATH(at, F_items), type_at = FPATH(&items_at, F_type),
		     keys_at = FPATH(at, F_x_kubernetes_list_map_keys);
	const struct val *items = val_member(s, F_items);

	if (!val_len(val_member(s, F_x_kubernetes_list_map_keys)))
		fe_required_why(c->fe, &keys_at, "must not be empty if x-kubernetes-list-type is map");
	if (val_type(items) == VAL_NULL)
		fe_required_why(c->fe, &items_at, "must have a schema if x-kubernetes-list-type is map");
	else if (val_type(items) != VAL_MAP)
		fe_invalid(c->fe, &items_at, items, "must only have a single schema if x-kubernetes-list-type is map");
	else if (!val_is(val_member(items, F_type), "object"))
		fe_invalid(c->fe, &type_at, val_new_str(c->fe->a, val_str(val_member(items, F_type))),
			   "must be object if parent array's x-kubernetes-list-type is map");
	else
		map_keys(c, s, items, at);
}

/* By what the elements of a map are told apart each of them has, and it is not null. */
static void keys_are_there(struct crd_check *c, const struct val *s, const struct val *items, const struct fpath *at)
{
	struct fpath props_at = FPATH(at, F_properties);
	_cleanup_(strmap_release) struct strmap required = STRMAP_INIT;

	VAL_EACH(val_member(items, F_required), r)
		strmap_set(&required, val_str(r), c);
	VAL_EACH(val_member(s, F_x_kubernetes_list_map_keys), k) {
		const struct val *p = crd_member(c, val_member(items, F_properties), val_str(k), at);
		struct fpath here = FPATH_KEY(&props_at, val_str(k)), default_at = FPATH(&here, F_default),
			     null_at = FPATH(&here, F_nullable);

		if (!p)
			continue;
		if (!strmap_has(&required, val_str(k)) && !val_member(p, F_default))
			fe_required_why(c->fe, &default_at,
					"this property is in x-kubernetes-list-map-keys, so it must have a default or "
					"be a required property");
		if (val_get_bool(p, F_nullable))
			fe_forbidden(c->fe, &null_at,
				     "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
	}
}

static void list_type(struct crd_check *c, const struct val *s, const struct fpath *at)
{
	static const char *const known[] = { "atomic", "set", "map", NULL };
	const struct val *v = val_member(s, F_x_kubernetes_list_type), *items = val_member(s, F_items);
	struct fpath here = FPATH(at, F_x_kubernetes_list_type), items_at = FPATH(at, F_items),
		     null_at = FPATH(&items_at, F_nullable);
	bool is = val_type(v) == VAL_STR, set = val_is(v, "set"), map = val_is(v, "map");

	if (is && must_be(c, s, "array", "must be array if x-kubernetes-list-type is specified", at) && set &&
	    val_type(items) == VAL_MAP)
		set_items(c, items, &items_at);
	if (is && !set && !map && !val_is(v, "atomic"))
		fe_not_supported(c->fe, &here, v, known);
	if (val_len(val_member(s, F_x_kubernetes_list_map_keys)) && !is)
		fe_required_why(c->fe, &here, "must be map if x-kubernetes-list-map-keys is non-empty");
	else if (val_len(val_member(s, F_x_kubernetes_list_map_keys)) && !map)
		fe_invalid(c->fe, &here, v, "must be map if x-kubernetes-list-map-keys is non-empty");
	if (map)
		map_list(c, s, at);
	if ((!map && !set) || val_type(items) != VAL_MAP)
		return;
	if (val_get_bool(items, F_nullable))
		fe_forbidden(c->fe, &null_at,
			     map ? "cannot be nullable when x-kubernetes-list-type is map"
				 : "cannot be nullable when x-kubernetes-list-type is set");
	if (map)
		keys_are_there(c, s, items, &items_at);
}

static void openapi_properties(struct crd_check *c, const struct val *s, const struct place *p, const struct fpath *at)
{
	struct fpath props_at = FPATH(at, F_properties);

	VAL_EACH_MEMBER(val_member(s, F_properties), m) {
		struct place sub = { .no_defaults = p->no_defaults, .in_meta = p->in_meta };
		struct fpath here = FPATH_KEY(&props_at, m.key);

		if ((p->root || val_get_bool(s, F_x_kubernetes_embedded_resource)) &&
		    (m.sym == F_metadata || m.sym == F_kind || m.sym == F_apiVersion)) {
			sub.in_meta = true;
			if (p->root)
				sub.no_defaults = arena_printf(c->fe->a, "in top-level %.*s", SV_ARG(m.key));
		}
		openapi_walk(c, m.value, &sub, &here);
	}
}

static void openapi_lists(struct crd_check *c, const struct val *s, const struct place *p, const struct fpath *at)
{
	static const enum sym lists[] = { F_allOf, F_oneOf, F_anyOf, F_items };
	static const enum sym maps[] = { F_definitions, F_dependencies };

	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(at, lists[k]);
		size_t i = 0;

		VAL_EACH(val_member(s, lists[k]), e) {
			struct fpath here = FPATH_AT(&list_at, i++);

			openapi_walk(c, e, p, &here);
		}
	}
	for (size_t k = 0; k < ARRAY_LEN(maps); k++) {
		struct fpath map_at = FPATH(at, maps[k]);

		VAL_EACH_MEMBER(val_member(s, maps[k]), m) {
			struct fpath here = FPATH_KEY(&map_at, m.key);

			openapi_walk(c, m.value, p, &here);
		}
	}
}

static void openapi_walk(struct crd_check *c, const struct val *s, const struct place *p, const struct fpath *at)
{
	struct fpath unique_at = FPATH(at, F_uniqueItems), more_at = FPATH(at, F_additionalProperties),
		     keep_at = FPATH(at, F_x_kubernetes_preserve_unknown_fields), not_at = FPATH(at, F_not),
		     items_at = FPATH(at, F_items);
	const struct val *more = val_member(s, F_additionalProperties),
			 *keep = val_member(s, F_x_kubernetes_preserve_unknown_fields);
	struct place sub = { .no_defaults = p->no_defaults, .in_meta = p->in_meta };

	if (val_type(s) != VAL_MAP || !crd_spend(c, 1, at))
		return;
	keywords(c, s, p, at);
	if (val_get_bool(s, F_uniqueItems))
		fe_forbidden(c->fe, &unique_at,
			     "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
	if (val_type(more) != VAL_NULL && val_len(val_member(s, F_properties)) && !val_bool(more))
		fe_forbidden(c->fe, &more_at, "additionalProperties and properties are mutual exclusive");
	if (val_type(more) == VAL_MAP) {
		struct place below = sub;

		if (p->in_meta)
			below.no_defaults = "inside additionalProperties applying to object metadata";
		openapi_walk(c, more, &below, &more_at);
	}
	openapi_properties(c, s, p, at);
	openapi_walk(c, val_member(s, F_not), &sub, &not_at);
	if (val_type(val_member(s, F_items)) == VAL_MAP)
		openapi_walk(c, val_member(s, F_items), &sub, &items_at);
	openapi_lists(c, s, &sub, at);
	if (val_type(keep) == VAL_BOOL && !keep->b)
		fe_invalid(c->fe, &keep_at, keep, "must be true or undefined");
	map_type(c, s, at);
	list_type(c, s, at);
}

void crd_openapi(struct crd_check *c, const struct val *schema, const struct fpath *at)
{
	openapi_walk(c, schema, &(struct place){ .root = true }, at);
}
