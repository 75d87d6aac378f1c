/* crd.c - CustomResourceDefinition: names, versions, and the first rules of a structural schema. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/buf.h"
#include "base/strmap.h"

#define SELECTABLE_MAX 8
#define WARNING_MAX 256
#define SCHEMA_DEPTH_MAX 100

static const struct val *text(struct field_errs *fe, struct sv s)
{
	return val_new_str(fe->a, s);
}

/* --- names --- */

static void mixed_case(struct field_errs *fe, const struct val *names, const struct fpath *up, enum sym name)
{
	struct fpath at = FPATH(up, name);
	struct sv s = val_get_str(names, name);
	const char *msg = s.n ? fmt_dns1035_label(lower_case(fe->a, s)) : NULL;

	if (!s.n)
		fe_required(fe, &at);
	else if (msg)
		fe_add(fe, FE_INVALID, &at, text(fe, s), "may have mixed case, but should otherwise match: %s", msg);
}

static void names(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	static const enum sym plain[] = { F_plural, F_singular };
	struct fpath list_at = FPATH(at, F_listKind);

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		check_required_text(fe, list, at, plain[i], fmt_dns1035_label);
	mixed_case(fe, list, at, F_kind);
	mixed_case(fe, list, at, F_listKind);
	if (val_get_str(list, F_kind).n && sv_eq(val_get_str(list, F_kind), val_get_str(list, F_listKind)))
		fe_invalid(fe, &list_at, val_member(list, F_listKind), "kind and listKind may not be the same");
}

/* Groups of the project itself need somebody's approval. */
static void approval(struct field_errs *fe, const struct val *doc)
{
	static const char key[] = "api-approved.kubernetes.io";
	struct fpath meta_at = FPATH_ROOT(F_metadata), ann_at = FPATH(&meta_at, F_annotations),
		     at = FPATH_KEY(&ann_at, sv_from(key));
	struct sv group = val_get_str(doc, F_spec, F_group);
	const struct val *v = val_member_sv(val_get(doc, F_metadata, F_annotations), sv_from(key));

	if (!sv_ends(group, SV(".k8s.io")) && !sv_ends(group, SV(".kubernetes.io")) && !sv_is(group, "k8s.io") &&
	    !sv_is(group, "kubernetes.io"))
		return;
	if (!val_str(v).n)
		fe_required_why(fe, &at,
				"protected groups must have approval annotation \"api-approved.kubernetes.io\", see "
				"https://github.com/kubernetes/enhancements/pull/1111");
	else if (!sv_starts(val_str(v), SV("unapproved")) && sv_find_sv(val_str(v), SV("://")) <= 0)
		fe_invalid(fe, &at, v,
			   "protected groups must have approval annotation \"api-approved.kubernetes.io\" with "
			   "either a URL or a reason starting with \"unapproved\", see "
			   "https://github.com/kubernetes/enhancements/pull/1111");
}

/* --- schemas --- */

static bool flag(const struct val *s, const char *name)
{
	return val_bool(val_member_sv(s, sv_from(name)));
}

/* Structural: every described value says its type, unless it may be several. */
static void structural(struct field_errs *fe, const struct val *s, const struct fpath *at, const char *what, int depth)
{
	struct fpath type_at = FPATH(at, F_type), props_at = FPATH(at, F_properties), items_at = FPATH(at, F_items),
		     more_at = FPATH(at, F_additionalProperties);
	const struct val *items = val_member(s, F_items), *more = val_member(s, F_additionalProperties);

	if (val_type(s) != VAL_MAP || depth > SCHEMA_DEPTH_MAX)
		return;
	if (!val_get_str(s, F_type).n && !flag(s, "x-kubernetes-int-or-string") &&
	    !flag(s, "x-kubernetes-preserve-unknown-fields"))
		fe_add(fe, FE_REQUIRED, &type_at, NULL, "must not be empty for %s", what);
	VAL_EACH_MEMBER(val_member(s, F_properties), m) {
		struct fpath here = FPATH_KEY(&props_at, m.key);

		structural(fe, m.value, &here, "specified object fields", depth + 1);
	}
	if (val_type(items) == VAL_MAP)
		structural(fe, items, &items_at, "specified array items", depth + 1);
	if (val_type(more) == VAL_MAP)
		structural(fe, more, &more_at, "specified object fields", depth + 1);
}

static void schema(struct field_errs *fe, const struct val *version, const struct fpath *up)
{
	const struct val *s = val_get(version, F_schema, F_openAPIV3Schema);
	struct fpath schema_at = FPATH(up, F_schema), at = FPATH(&schema_at, F_openAPIV3Schema),
		     type_at = FPATH(&at, F_type), null_at = FPATH(&at, F_nullable);

	if (!s) {
		fe_required_why(fe, &at, "schemas are required");
		return;
	}
	if (val_bool(val_member(s, F_nullable)))
		fe_forbidden(fe, &null_at, "nullable cannot be true at the root");
	if (val_get_str(s, F_type).n && !val_is(val_member(s, F_type), "object"))
		fe_invalid(fe, &type_at, val_member(s, F_type), "must be object at the root");
	structural(fe, s, &at, "at the root", 0);
}

/* --- versions --- */

static void columns(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	static const char *const types[] = { "boolean", "date", "integer", "number", "string", NULL };
	static const char *const formats[] = { "byte",	"date",	 "date-time", "double", "float",
					       "int32", "int64", "password",  NULL };
	size_t i = 0;

	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), type_at = FPATH(&item, F_type),
			     format_at = FPATH(&item, F_format), path_at = FPATH(&item, F_jsonPath);
		struct sv type = val_get_str(c, F_type), format = val_get_str(c, F_format),
			  path = val_get_str(c, F_jsonPath);
		size_t k;

		for (k = 0; types[k] && !sv_is(type, types[k]); k++)
			;
		if (type.n && !types[k])
			fe_invalid(fe, &type_at, val_member(c, F_type),
				   "must be one of boolean,date,integer,number,string");
		for (k = 0; formats[k] && !sv_is(format, formats[k]); k++)
			;
		if (format.n && !formats[k])
			fe_invalid(fe, &format_at, val_member(c, F_format),
				   "must be one of byte,date,date-time,double,float,int32,int64,password");
		if (path.n && path.p[0] != '.')
			fe_invalid(fe, &path_at, val_member(c, F_jsonPath),
				   "must be a simple json path starting with .");
	}
}

static void scale_path(struct field_errs *fe, const struct val *scale, const struct fpath *up, enum sym name,
		       const char *const *under)
{
	struct fpath at = FPATH(up, name);
	const struct val *v = val_member(scale, name);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!val_str(v).n)
		return;
	for (size_t i = 0; under[i]; i++) {
		if (sv_starts(val_str(v), sv_from(under[i])))
			return;
		buf_printf(&b, "%s%.*s", i ? " or " : "", (int)strlen(under[i]) - 1, under[i]);
	}
	fe_add(fe, FE_INVALID, &at, v, "should be a json path under %s", buf_cstr(&b));
}

static void version(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	const struct val *warning = val_member(v, F_deprecationWarning), *scale = val_get(v, F_subresources, F_scale);
	struct fpath name_at = FPATH(at, F_name), warn_at = FPATH(at, F_deprecationWarning),
		     sub_at = FPATH(at, F_subresources), scale_at = FPATH(&sub_at, F_scale),
		     cols_at = FPATH(at, F_additionalPrinterColumns), sel_at = FPATH(at, F_selectableFields);
	struct sv name = val_get_str(v, F_name);

	fe_check(fe, &name_at, name, fmt_dns1035_label);
	if (warning && !val_bool(val_member(v, F_deprecated)))
		fe_invalid(fe, &warn_at, warning, "can only be set for deprecated versions");
	else if (warning && !val_str(warning).n)
		fe_invalid(fe, &warn_at, warning, "must not be an empty string");
	else if (val_str(warning).n > WARNING_MAX)
		fe_too_long(fe, &warn_at, WARNING_MAX);
	schema(fe, v, at);
	columns(fe, val_member(v, F_additionalPrinterColumns), &cols_at);
	if (val_len(val_member(v, F_selectableFields)) > SELECTABLE_MAX)
		fe_too_many(fe, &sel_at, val_len(val_member(v, F_selectableFields)), SELECTABLE_MAX);
	scale_path(fe, scale, &scale_at, F_specReplicasPath, (const char *const[]){ ".spec.", NULL });
	scale_path(fe, scale, &scale_at, F_statusReplicasPath, (const char *const[]){ ".status.", NULL });
	scale_path(fe, scale, &scale_at, F_labelSelectorPath, (const char *const[]){ ".spec.", ".status.", NULL });
}

static void versions(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *list = val_member(spec, F_versions);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_versions);
	size_t i = 0, stored = 0;
	bool unique = true;

	VAL_EACH(list, v) {
		struct fpath item = FPATH_AT(&at, i++);

		version(fe, v, &item);
		stored += val_bool(val_member(v, F_storage));
		unique &= !strmap_set(&seen, val_get_str(v, F_name), fe);
	}
	if (!unique)
		fe_invalid(fe, &at, list, "must contain unique version names");
	if (stored != 1)
		fe_invalid(fe, &at, list ? list : val_new_list(fe->a),
			   "must have exactly one version marked as storage version");
}

static void conversion(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *c = val_member(spec, F_conversion), *hook = val_member(c, F_webhook);
	struct fpath at = FPATH(up, F_conversion), strategy_at = FPATH(&at, F_strategy),
		     hook_at = FPATH(&at, F_webhook), config_at = FPATH(&hook_at, F_clientConfig),
		     versions_at = FPATH(&hook_at, F_conversionReviewVersions);
	const struct val *config = val_member(hook, F_clientConfig);

	if (!c)
		return;
	CHECK_ONE_OF(fe, val_member(c, F_strategy), &strategy_at, "None", "Webhook");
	if (!val_is(val_member(c, F_strategy), "Webhook")) {
		if (config)
			fe_forbidden(fe, &config_at, "should not be set when strategy is not set to Webhook");
		return;
	}
	if (!config)
		fe_required_why(fe, &config_at, "required when strategy is set to Webhook");
	else if (!val_member(config, F_url) == !val_member(config, F_service))
		fe_required_why(fe, &config_at, "exactly one of url or service is required");
	if (!val_len(val_member(hook, F_conversionReviewVersions)))
		fe_required(fe, &versions_at);
}

void validate_crd(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), meta_at = FPATH_ROOT(F_metadata), name_at = FPATH(&meta_at, F_name),
		     group_at = FPATH(&at, F_group), scope_at = FPATH(&at, F_scope), names_at = FPATH(&at, F_names),
		     keep_at = FPATH(&at, F_preserveUnknownFields);
	struct sv group = val_get_str(spec, F_group),
		  want = arena_svf(fe->a, "%.*s.%.*s", SV_ARG(val_get_str(spec, F_names, F_plural)), SV_ARG(group));
	bool established = false;

	if (is_sub(sub, "status"))
		return;
	if (!sv_eq(val_get_str(doc, F_metadata, F_name), want))
		fe_invalid(fe, &name_at, text(fe, val_get_str(doc, F_metadata, F_name)),
			   "must be spec.names.plural+\".\"+spec.group");
	if (group.n && sv_find(group, '.') < 0)
		fe_invalid(fe, &group_at, val_member(spec, F_group), "should be a domain with at least one dot");
	if (val_get_str(spec, F_scope).n)
		CHECK_ONE_OF(fe, val_member(spec, F_scope), &scope_at, "Cluster", "Namespaced");
	approval(fe, doc);
	versions(fe, spec, &at);
	names(fe, val_member(spec, F_names), &names_at);
	conversion(fe, spec, &at);
	if (val_bool(val_member(spec, F_preserveUnknownFields)) && !val_bool(val_member(was, F_preserveUnknownFields)))
		fe_invalid(
		    fe, &keep_at, val_member(spec, F_preserveUnknownFields),
		    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema "
		    "instead");
	VAL_EACH(val_get(old, F_status, F_conditions), c)
		established |= val_is(val_member(c, F_type), "Established") && val_is(val_member(c, F_status), "True");
	if (!established)
		return;
	check_immutable(fe, spec, was, &at, F_scope);
	check_immutable(fe, val_member(spec, F_names), val_member(was, F_names), &names_at, F_kind);
}
