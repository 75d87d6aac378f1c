/* Structural schemas: every value that is described has a type, junctors (allOf, anyOf, oneOf, not) only narrow what is
 * described outside of them, and the object's own members are not described again. */
#include "apiserver/registry/validate/crd-internal.h"

#include "re/re.h"

enum level { LEVEL_ROOT, LEVEL_FIELD, LEVEL_ITEM };

#define EMPTY "must be empty to be structural"
#define UNDEFINED "must be undefined to be structural"
#define NOT_TRUE "must be false to be structural"

bool crd_spend(struct crd_check *c, size_t steps, const struct fpath *at)
{
	bool had = c->steps <= CRD_STEPS_MAX;

	if (!had)
		return false;
	c->steps += steps;
	if (c->steps <= CRD_STEPS_MAX)
		return true;
	fe_forbidden(c->fe, at, "the schema is too large to be checked: make it smaller, or describe less in junctors");
	return false;
}

const struct val *crd_member(struct crd_check *c, const struct val *map, struct sv key, const struct fpath *at)
{
	return crd_spend(c, val_len(map) / 8 + 1, at) ? val_member_sv(map, key) : NULL;
}

static bool flag(const struct val *s, enum sym name)
{
	return val_bool(val_member(s, name));
}

static struct sv schema_type(const struct val *s)
{
	return val_str(val_member(s, F_type));
}

/* --- junctors --- */

static void nested(struct crd_check *c, const struct val *v, bool skip_any_of, const struct fpath *at);

static void junctor(struct crd_check *c, const struct val *s, enum sym name, const struct fpath *up, bool first_skips)
{
	struct fpath at = FPATH(up, name);
	size_t i = 0;

	VAL_EACH(val_member(s, name), v) {
		struct fpath here = FPATH_AT(&at, i);

		nested(c, v, first_skips && i == 0, &here);
		i++;
	}
}

/* What s says of values. skip_any_of, skip_first: the two forms in which an int-or-string may repeat what it is. */
static void values(struct crd_check *c, const struct val *s, bool skip_any_of, bool skip_first, const struct fpath *at)
{
	struct sv pattern = val_str(val_member(s, F_pattern));
	const struct val *not = val_member(s, F_not);

	if (!skip_any_of)
		junctor(c, s, F_anyOf, at, false);
	junctor(c, s, F_allOf, at, skip_first);
	junctor(c, s, F_oneOf, at, false);
	if (not ) {
		struct fpath here = FPATH(at, F_not);

		nested(c, not, false, &here);
	}
	if (pattern.n && !re_plain(pattern)) {
		_cleanup_(re_unrefp) struct re *re = NULL;
		_cleanup_(err_release) struct err why = ERR_INIT;
		struct fpath here = FPATH(at, F_pattern);

		if (re_cached(pattern, &re, &why) < 0 && why.reason == ERR_INVALID)
			fe_add(c->fe, FE_INVALID, &here, val_member(s, F_pattern),
			       "must be a valid regular expression, but isn't: %s", err_msg(&why));
	}
}

static void forbid_when(struct crd_check *c, const struct val *v, enum sym name, bool is, const char *why,
			const struct fpath *up)
{
	struct fpath at = FPATH(up, name);

	(void)v;
	if (is)
		fe_forbidden(c->fe, &at, why);
}

static void forbid_generics(struct crd_check *c, const struct val *v, const struct fpath *at)
{
	static const enum sym texts[] = { F_type, F_title, F_description };
	static const enum sym flags[] = { F_nullable, F_x_kubernetes_preserve_unknown_fields,
					  F_x_kubernetes_embedded_resource, F_x_kubernetes_int_or_string };
	static const enum sym pointers[] = { F_default, F_x_kubernetes_list_type, F_x_kubernetes_map_type };
	const struct val *more = val_member(v, F_additionalProperties);

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		forbid_when(c, v, texts[i], val_str(val_member(v, texts[i])).n > 0, EMPTY, at);
	forbid_when(c, v, F_additionalProperties, val_type(more) != VAL_NULL, UNDEFINED, at);
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		forbid_when(c, v, flags[i], flag(v, flags[i]), NOT_TRUE, at);
	for (size_t i = 0; i < ARRAY_LEN(pointers); i++)
		forbid_when(c, v, pointers[i], val_type(val_member(v, pointers[i])) != VAL_NULL, UNDEFINED, at);
	forbid_when(c, v, F_x_kubernetes_list_map_keys, val_len(val_member(v, F_x_kubernetes_list_map_keys)) > 0, EMPTY,
		    at);
	forbid_when(c, v, F_x_kubernetes_validations, val_len(val_member(v, F_x_kubernetes_validations)) > 0, EMPTY,
		    at);
}

static void nested(struct crd_check *c, const struct val *v, bool skip_any_of, const struct fpath *at)
{
	struct fpath items_at = FPATH(at, F_items), props_at = FPATH(at, F_properties);
	const struct val *items = val_member(v, F_items);

	if (val_type(v) != VAL_MAP || !crd_spend(c, 1, at))
		return;
	values(c, v, skip_any_of, false, at);
	if (val_type(items) == VAL_MAP)
		nested(c, items, false, &items_at);
	VAL_EACH_MEMBER(val_member(v, F_properties), m) {
		struct fpath here = FPATH_KEY(&props_at, m.key);

		nested(c, m.value, false, &here);
		if (m.sym == F_metadata)
			fe_forbidden(c->fe, &here, "must not be specified in a nested context");
	}
	forbid_generics(c, v, at);
}

/* --- int-or-string --- */

static bool only_type(const struct val *v, const char *type)
{
	size_t n = 0;

	VAL_EACH_MEMBER(v, m)
		n += val_type(m.value) != VAL_NULL;
	return n == 1 && val_is(val_member(v, F_type), type);
}

/* anyOf: integer or string, and nothing else. */
static bool is_int_or_string(const struct val *any_of)
{
	return val_len(any_of) == 2 && only_type(val_at(any_of, 0), "integer") &&
	       only_type(val_at(any_of, 1), "string");
}

static bool is_all_of_pattern(const struct val *s)
{
	const struct val *first = val_at(val_member(s, F_allOf), 0);

	return !val_len(val_member(s, F_anyOf)) && val_len(first) == 1 && is_int_or_string(val_member(first, F_anyOf));
}

/* --- what is described --- */

static void described(struct crd_check *c, const struct val *s, enum level level, const struct fpath *at);

/* The object's own members, at the root and in embedded resources. */
static void own_members(struct crd_check *c, const struct val *props, const struct fpath *up)
{
	static const enum sym texts[] = { F_kind, F_apiVersion };
	const struct val *meta = val_member(props, F_metadata);
	struct fpath meta_at = FPATH_KEY(up, SV("metadata"));
	bool other = false;

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		struct fpath at = FPATH_KEY(up, sym_name(texts[i])), type_at = FPATH(&at, F_type);
		const struct val *p = val_member(props, texts[i]);

		if (p && !sv_is(schema_type(p), "string"))
			fe_invalid(c->fe, &type_at, val_new_str(c->fe->a, schema_type(p)), "must be string");
	}
	if (!meta)
		return;
	/* Its name alone may be described further. */
	VAL_EACH_MEMBER(val_member(meta, F_properties), m)
		other = other || (m.sym != F_name && m.sym != F_generateName);
	VAL_EACH_MEMBER(meta, m)
		other = other || (m.sym != F_type && m.sym != F_properties && m.sym != F_default &&
				  val_type(m.value) != VAL_NULL && !(val_type(m.value) == VAL_BOOL && !m.value->b) &&
				  !(val_type(m.value) == VAL_STR && !m.value->n));
	if (other)
		fe_forbidden(c->fe, &meta_at,
			     "must not specify anything other than name and generateName, but metadata is implicitly "
			     "specified");
}

static void embedded(struct crd_check *c, const struct val *s, const struct fpath *at)
{
	struct fpath type_at = FPATH(at, F_type), props_at = FPATH(at, F_properties),
		     more_at = FPATH(at, F_additionalProperties);

	if (!schema_type(s).n)
		fe_required_why(c->fe, &type_at, "must be object if x-kubernetes-embedded-resource is true");
	else if (!sv_is(schema_type(s), "object"))
		fe_invalid(c->fe, &type_at, val_member(s, F_type),
			   "must be object if x-kubernetes-embedded-resource is true");
	if (val_type(val_member(s, F_additionalProperties)) != VAL_NULL)
		fe_forbidden(c->fe, &more_at, "must not be used if x-kubernetes-embedded-resource is set");
	if (!flag(s, F_x_kubernetes_preserve_unknown_fields) && !val_len(val_member(s, F_properties)))
		fe_required_why(c->fe, &props_at,
				"must not be empty if x-kubernetes-embedded-resource is true without "
				"x-kubernetes-preserve-unknown-fields");
}

static void type_rules(struct crd_check *c, const struct val *s, enum level level, const struct fpath *at)
{
	static const char *const whys[] = { [LEVEL_ROOT] = "must not be empty at the root",
					    [LEVEL_ITEM] = "must not be empty for specified array items",
					    [LEVEL_FIELD] = "must not be empty for specified object fields" };
	struct fpath type_at = FPATH(at, F_type), items_at = FPATH(at, F_items);

	if (sv_is(schema_type(s), "array") && val_type(val_member(s, F_items)) == VAL_NULL)
		fe_required_why(c->fe, &items_at, "must be specified");
	if (flag(s, F_x_kubernetes_embedded_resource))
		embedded(c, s, at);
	else if (!schema_type(s).n && !flag(s, F_x_kubernetes_int_or_string) &&
		 !flag(s, F_x_kubernetes_preserve_unknown_fields))
		fe_required_why(c->fe, &type_at, whys[level]);
	if (level == LEVEL_ROOT && schema_type(s).n && !sv_is(schema_type(s), "object"))
		fe_invalid(c->fe, &type_at, val_member(s, F_type), "must be object at the root");
}

static void extensions(struct crd_check *c, const struct val *s, const struct fpath *at)
{
	static const enum sym not_both[] = { F_x_kubernetes_preserve_unknown_fields, F_x_kubernetes_embedded_resource };

	for (size_t i = 0; i < ARRAY_LEN(not_both); i++) {
		struct fpath here = FPATH(at, not_both[i]);

		if (flag(s, F_x_kubernetes_int_or_string) && flag(s, not_both[i]))
			fe_invalid(c->fe, &here, val_member(s, not_both[i]),
				   "must be false if x-kubernetes-int-or-string is true");
	}
}

static void described(struct crd_check *c, const struct val *s, enum level level, const struct fpath *at)
{
	struct fpath items_at = FPATH(at, F_items), props_at = FPATH(at, F_properties),
		     more_at = FPATH(at, F_additionalProperties);
	const struct val *props = val_member(s, F_properties), *more = val_member(s, F_additionalProperties);
	bool either = flag(s, F_x_kubernetes_int_or_string), any = either && is_int_or_string(val_member(s, F_anyOf));

	if (val_type(s) != VAL_MAP || !crd_spend(c, 1, at))
		return;
	if (val_type(val_member(s, F_items)) == VAL_MAP)
		described(c, val_member(s, F_items), LEVEL_ITEM, &items_at);
	VAL_EACH_MEMBER(props, m) {
		struct fpath here = FPATH_KEY(&props_at, m.key);

		described(c, m.value, LEVEL_FIELD, &here);
	}
	if (level == LEVEL_ROOT && val_type(more) != VAL_NULL)
		fe_forbidden(c->fe, &more_at, "must not be used at the root");
	if (val_type(more) == VAL_MAP)
		described(c, more, LEVEL_FIELD, &more_at);
	extensions(c, s, at);
	values(c, s, any, either && !any && is_all_of_pattern(s), at);
	type_rules(c, s, level, at);
	if (level == LEVEL_ROOT || flag(s, F_x_kubernetes_embedded_resource))
		own_members(c, props, &props_at);
}

/* --- completeness: what a junctor names is described outside of it --- */

struct pair {
	const struct val *v, *s; /* in the junctor; outside */
	const struct fpath *v_at, *s_at;
};

static void complete_nested(struct crd_check *c, const struct pair *p);

static void complete_values(struct crd_check *c, const struct pair *p)
{
	static const enum sym lists[] = { F_allOf, F_anyOf, F_oneOf };
	struct fpath not_at = FPATH(p->v_at, F_not);

	if (val_member(p->v, F_not))
		complete_nested(c, &(struct pair){ val_member(p->v, F_not), p->s, &not_at, p->s_at });
	for (size_t k = 0; k < ARRAY_LEN(lists); k++) {
		struct fpath list_at = FPATH(p->v_at, lists[k]);
		size_t i = 0;

		VAL_EACH(val_member(p->v, lists[k]), e) {
			struct fpath at = FPATH_AT(&list_at, i++);

			complete_nested(c, &(struct pair){ e, p->s, &at, p->s_at });
		}
	}
}

static void complete_one(struct crd_check *c, const struct pair *p)
{
	if (!p->s)
		fe_add(c->fe, FE_REQUIRED, p->s_at, NULL, "because it is defined in %.*s",
		       SV_ARG(fpath_str(c->fe->a, p->v_at)));
	else
		complete_nested(c, p);
}

static void complete_nested(struct crd_check *c, const struct pair *p)
{
	struct fpath v_items = FPATH(p->v_at, F_items), s_items = FPATH(p->s_at, F_items),
		     v_props = FPATH(p->v_at, F_properties), s_props = FPATH(p->s_at, F_properties);
	const struct val *items = val_member(p->v, F_items), *props = val_member(p->s, F_properties);

	if (val_type(p->v) != VAL_MAP || !crd_spend(c, 1, p->v_at))
		return;
	complete_values(c, p);
	if (val_type(items) == VAL_MAP)
		complete_one(c, &(struct pair){ items, val_member(p->s, F_items), &v_items, &s_items });
	VAL_EACH_MEMBER(val_member(p->v, F_properties), m) {
		struct fpath v_at = FPATH_KEY(&v_props, m.key), s_at = FPATH_KEY(&s_props, m.key);

		if (!crd_spend(c, val_len(props) / 8, &v_at))
			return;
		complete_one(c, &(struct pair){ m.value, val_member_sv(props, m.key), &v_at, &s_at });
	}
}

static void complete_schema(struct crd_check *c, const struct val *s, const struct fpath *at)
{
	struct fpath items_at = FPATH(at, F_items), props_at = FPATH(at, F_properties),
		     more_at = FPATH(at, F_additionalProperties);

	if (val_type(s) != VAL_MAP || !crd_spend(c, 1, at))
		return;
	complete_values(c, &(struct pair){ s, s, at, at });
	complete_schema(c, val_member(s, F_items), &items_at);
	VAL_EACH_MEMBER(val_member(s, F_properties), m) {
		struct fpath here = FPATH_KEY(&props_at, m.key);

		complete_schema(c, m.value, &here);
	}
	complete_schema(c, val_member(s, F_additionalProperties), &more_at);
}

/* --- what no structural schema has --- */

static bool has_foreign(const struct val *s)
{
	static const enum sym maps[] = { F_patternProperties, F_definitions, F_dependencies };
	static const enum sym below[] = { F_items, F_not, F_additionalProperties };
	static const enum sym lists[] = { F_allOf, F_anyOf, F_oneOf };

	if (val_type(s) != VAL_MAP)
		return false;
	if (val_str(val_member_sv(s, SV("id"))).n || val_str(val_member_sv(s, SV("$schema"))).n ||
	    val_member_sv(s, SV("$ref")) || val_type(val_member(s, F_additionalItems)) != VAL_NULL ||
	    val_type(val_member(s, F_items)) == VAL_LIST)
		return true;
	for (size_t i = 0; i < ARRAY_LEN(maps); i++)
		if (val_len(val_member(s, maps[i])))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(below); i++)
		if (has_foreign(val_member(s, below[i])))
			return true;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_member(s, lists[i]), e)
			if (has_foreign(e))
				return true;
	VAL_EACH_MEMBER(val_member(s, F_properties), m)
		if (has_foreign(m.value))
			return true;
	return false;
}

int crd_structural(struct crd_check *c, const struct val *schema, const struct fpath *at)
{
	size_t before = c->fe->list.n;

	if (has_foreign(schema))
		return -1;
	described(c, schema, LEVEL_ROOT, at);
	if (c->fe->list.n == before)
		complete_schema(c, schema, at);
	return (int)(c->fe->list.n - before);
}
