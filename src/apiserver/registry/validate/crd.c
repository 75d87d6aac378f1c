/* crd.c - CustomResourceDefinition: its names, its versions, and how it may change. Schemas, columns and conversion are
 * judged beside it.
 *
 * Paths are those of upstream's internal type: what all versions have the same (always, when there is one) is said
 * once, at spec.validation, spec.subresources, spec.additionalPrinterColumns and spec.selectableFields. */
#include "apiserver/registry/validate/crd-internal.h"

#include "object/condition.h"
#include "object/structural.h"

#define WARNING_MAX 256

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
	struct fpath list_at = FPATH(at, F_listKind), short_at = FPATH(at, F_shortNames),
		     cat_at = FPATH(at, F_categories);

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		check_required_text(fe, list, at, plain[i], fmt_dns1035_label);
	mixed_case(fe, list, at, F_kind);
	mixed_case(fe, list, at, F_listKind);
	check_texts(fe, val_member(list, F_shortNames), &short_at, fmt_dns1035_label);
	if (val_get_str(list, F_kind).n && sv_eq(val_get_str(list, F_kind), val_get_str(list, F_listKind)))
		fe_invalid(fe, &list_at, val_member(list, F_listKind), "kind and listKind may not be the same");
	check_texts(fe, val_member(list, F_categories), &cat_at, fmt_dns1035_label);
}

#define WHERE "protected groups must have approval annotation \"api-approved.kubernetes.io\""
#define PULL "see https://github.com/kubernetes/enhancements/pull/1111"

enum approval { APPROVAL_MISSING, APPROVAL_INVALID, APPROVAL_GIVEN, APPROVAL_BYPASSED };

static enum approval approval_of(const struct val *doc)
{
	struct sv said =
	    val_str(val_member_sv(val_get(doc, F_metadata, F_annotations), SV("api-approved.kubernetes.io")));

	if (!said.n)
		return APPROVAL_MISSING;
	if (sv_starts(said, SV("unapproved")))
		return APPROVAL_BYPASSED;
	return sv_find_sv(said, SV("://")) > 0 ? APPROVAL_GIVEN : APPROVAL_INVALID;
}

/* Groups of the project itself need somebody's approval; what is there without may stay so. */
static void approval(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct fpath meta_at = FPATH_ROOT(F_metadata), ann_at = FPATH(&meta_at, F_annotations),
		     at = FPATH_KEY(&ann_at, SV("api-approved.kubernetes.io"));
	struct sv group = val_get_str(doc, F_spec, F_group);
	enum approval is = approval_of(doc);

	if (!sv_ends(group, SV(".k8s.io")) && !sv_ends(group, SV(".kubernetes.io")) && !sv_is(group, "k8s.io") &&
	    !sv_is(group, "kubernetes.io"))
		return;
	if (old && approval_of(old) == is)
		return;
	if (is == APPROVAL_MISSING)
		fe_required_why(fe, &at, WHERE ", " PULL);
	else if (is == APPROVAL_INVALID)
		fe_invalid(fe, &at,
			   val_member_sv(val_get(doc, F_metadata, F_annotations), SV("api-approved.kubernetes.io")),
			   WHERE " with either a URL or a reason starting with \"unapproved\", " PULL);
}

/* --- versions --- */

/* All versions have the same there. */
static bool same_in_all(const struct val *list, enum sym name)
{
	const struct val *first = val_member(val_at(list, 0), name);

	VAL_EACH(list, v)
		if (v != val_at(list, 0) && !val_same(first, val_member(v, name)))
			return false;
	return val_len(list) > 0;
}

/* Only what can be told of an object without its status may stand at the root of its schema. */
static void status_root(struct field_errs *fe, const struct val *schema, const struct fpath *at)
{
	static const enum sym never[] = { F_default,
					  F_enum,
					  F_allOf,
					  F_oneOf,
					  F_anyOf,
					  F_not,
					  F_additionalProperties,
					  F_nullable,
					  F_minProperties,
					  F_maxProperties,
					  F_x_kubernetes_embedded_resource,
					  F_x_kubernetes_int_or_string,
					  F_x_kubernetes_list_map_keys,
					  F_x_kubernetes_list_type,
					  F_x_kubernetes_map_type };
	struct fpath type_at = FPATH(at, F_type);

	if (val_get_str(schema, F_type).n && !val_is(val_member(schema, F_type), "object"))
		fe_invalid(fe, &type_at, val_member(schema, F_type),
			   "only \"object\" is allowed as the type at the root of the schema if the status subresource "
			   "is enabled");
	for (size_t i = 0; i < ARRAY_LEN(never); i++) {
		const struct val *v = val_member(schema, never[i]);

		if (val_type(v) == VAL_NULL || (v->type == VAL_BOOL && !v->b) ||
		    ((v->type == VAL_LIST || v->type == VAL_MAP) && !v->n))
			continue;
		fe_invalid(
		    fe, at, schema,
		    "only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength "
		    "MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs "
		    "Example XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the "
		    "status subresource is enabled");
		return;
	}
}

/* old: the schema before an update, or NULL. What did not change is not judged again. */
static void schema(struct crd_check *c, const struct val *s, const struct val *old, bool status, const struct fpath *at)
{
	struct fpath null_at = FPATH(at, F_nullable);
	size_t before = c->fe->list.n;
	int found;

	if (!s || (old && val_equal(s, old)))
		return;
	if (status)
		status_root(c->fe, s, at);
	if (val_get_bool(s, F_nullable))
		fe_forbidden(c->fe, &null_at, "nullable cannot be true at the root");
	found = crd_structural(c, s, at);
	if (found == 0)
		structural_check_defaults(c->fe, s, at);
	crd_openapi(c, s, at);
	if (found == 0 && c->fe->list.n == before)
		structural_check_rules(c->fe, s, old, at);
}

static void deprecation(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	const struct val *warning = val_member(v, F_deprecationWarning);
	struct fpath here = FPATH(at, F_deprecationWarning);

	if (!warning)
		return;
	if (!val_get_bool(v, F_deprecated))
		fe_invalid(fe, &here, warning, "can only be set for deprecated versions");
	if (!val_str(warning).n)
		fe_invalid(fe, &here, warning, "must not be an empty string");
	if (val_str(warning).n > WARNING_MAX)
		fe_invalid(fe, &here, warning, "must be <= 256 characters long");
	for (size_t i = 0; i < val_str(warning).n; i++) {
		unsigned char ch = (unsigned char)val_str(warning).p[i];

		if (ch >= ' ' && ch != 0x7f)
			continue;
		fe_add(fe, FE_INVALID, &here, warning,
		       "must only contain printable UTF-8 characters; non-printable character found at index %zu", i);
		break;
	}
}

static const struct val *version_named(const struct val *list, struct sv name)
{
	VAL_EACH(list, v)
		if (sv_eq(val_get_str(v, F_name), name))
			return v;
	return NULL;
}

/* What each version has of its own, or all have the same. */
struct shared {
	bool schema, subresources, columns, selectable;
};

static bool has_status(const struct val *version)
{
	return val_get(version, F_subresources, F_status) != NULL;
}

static void version(struct crd_check *c, const struct val *v, const struct val *was, const struct shared *all,
		    const struct fpath *at)
{
	struct fpath name_at = FPATH(at, F_name), up_at = FPATH(at, F_schema),
		     schema_at = FPATH(&up_at, F_openAPIV3Schema), sub_at = FPATH(at, F_subresources),
		     cols_at = FPATH(at, F_additionalPrinterColumns), sel_at = FPATH(at, F_selectableFields);
	const struct val *s = val_get(v, F_schema, F_openAPIV3Schema);

	fe_check(c->fe, &name_at, val_get_str(v, F_name), fmt_dns1035_label);
	deprecation(c->fe, v, at);
	if (!all->schema)
		schema(c, s, val_get(was, F_schema, F_openAPIV3Schema), has_status(v), &schema_at);
	if (!all->subresources)
		crd_subresources(c->fe, val_member(v, F_subresources), &sub_at);
	if (!all->columns)
		crd_columns(c->fe, val_member(v, F_additionalPrinterColumns), &cols_at);
	if (!all->selectable)
		crd_selectable(c, val_member(v, F_selectableFields), s, &sel_at);
}

static void shared(struct crd_check *c, const struct val *list, const struct val *was, const struct shared *all,
		   const struct fpath *up)
{
	struct fpath valid_at = FPATH_WORD(up, "validation"), schema_at = FPATH(&valid_at, F_openAPIV3Schema),
		     sub_at = FPATH(up, F_subresources), cols_at = FPATH(up, F_additionalPrinterColumns),
		     sel_at = FPATH(up, F_selectableFields);
	const struct val *first = val_at(list, 0), *s = val_get(first, F_schema, F_openAPIV3Schema), *old = NULL;
	bool status = false, kept = was != NULL;

	VAL_EACH(list, v) {
		const struct val *before =
		    val_get(version_named(was, val_get_str(v, F_name)), F_schema, F_openAPIV3Schema);

		status = status || has_status(v);
		kept = kept && before && val_equal(before, s);
		old = before ? before : old;
	}
	if (all->schema && !kept)
		schema(c, s, old && !val_equal(old, s) ? old : NULL, status, &schema_at);
	if (all->subresources)
		crd_subresources(c->fe, val_member(first, F_subresources), &sub_at);
	if (all->columns)
		crd_columns(c->fe, val_member(first, F_additionalPrinterColumns), &cols_at);
	if (all->selectable)
		crd_selectable(c, val_member(first, F_selectableFields), s, &sel_at);
}

static void versions(struct crd_check *c, const struct val *spec, const struct val *old_spec, const struct fpath *up)
{
	const struct val *list = val_member(spec, F_versions), *was = val_member(old_spec, F_versions);
	struct shared all = { same_in_all(list, F_schema), same_in_all(list, F_subresources),
			      same_in_all(list, F_additionalPrinterColumns), same_in_all(list, F_selectableFields) };
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_versions), version_at = FPATH_WORD(up, "version");
	size_t i = 0, stored = 0;
	bool unique = true;

	VAL_EACH(list, v) {
		struct fpath item = FPATH_AT(&at, i), up_at = FPATH(&item, F_schema),
			     schema_at = FPATH(&up_at, F_openAPIV3Schema);

		i++;
		if (!val_get(v, F_schema, F_openAPIV3Schema))
			fe_required_why(c->fe, &schema_at, "schemas are required");
		if (!crd_spend(c, val_len(was) + 1, &item))
			return;
		version(c, v, version_named(was, val_get_str(v, F_name)), &all, &item);
		stored += val_bool(val_member(v, F_storage));
		unique &= !strmap_set(&seen, val_get_str(v, F_name), c);
	}
	if (!unique)
		fe_invalid(c->fe, &at, list, "must contain unique version names");
	if (stored != 1)
		fe_invalid(c->fe, &at, list ? list : val_new_list(c->fe->a),
			   "must have exactly one version marked as storage version");
	if (val_len(list)) {
		if (val_get_str(val_at(list, 0), F_name).n)
			fe_check(c->fe, &version_at, val_get_str(val_at(list, 0), F_name), fmt_dns1035_label);
		shared(c, list, was, &all, up);
	}
}

/* The versions that objects are, or may be, stored in. */
static void stored_versions(struct field_errs *fe, const struct val *doc)
{
	struct fpath status_at = FPATH_ROOT(F_status), at = FPATH(&status_at, F_storedVersions);
	const struct val *list = val_get(doc, F_status, F_storedVersions), *versions = val_get(doc, F_spec, F_versions);
	_cleanup_(strmap_release) struct strmap known = STRMAP_INIT, stored = STRMAP_INIT;
	size_t i = 0;

	if (!val_len(list)) {
		fe_invalid(fe, &at, val_new_list(fe->a), "must have at least one stored version");
		return;
	}
	VAL_EACH(list, v)
		strmap_set(&stored, val_str(v), fe);
	VAL_EACH(versions, v) {
		struct sv name = val_get_str(v, F_name);

		strmap_set(&known, name, fe);
		if (val_get_bool(v, F_storage) && !strmap_has(&stored, name))
			fe_add(fe, FE_INVALID, &at, list, "must have the storage version %.*s", SV_ARG(name));
	}
	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(&at, i++);

		if (!strmap_has(&known, val_str(v)))
			fe_invalid(fe, &here, v, "must appear in spec.versions");
	}
}

static void group_rules(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	struct fpath at = FPATH(up, F_group);
	struct sv group = val_get_str(spec, F_group);
	const char *msg = group.n ? fmt_dns_subdomain(group) : NULL;

	if (!group.n)
		fe_required(fe, &at);
	else if (msg)
		fe_invalid(fe, &at, val_member(spec, F_group), msg);
	else if (sv_find(group, '.') < 0)
		fe_invalid(fe, &at, val_member(spec, F_group), "should be a domain with at least one dot");
}

/* What may never change, and what may not once objects are stored. */
static void kept(struct field_errs *fe, const struct val *doc, const struct val *old, const struct fpath *at)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct fpath names_at = FPATH(at, F_names);

	if (condition_is(val_get(old, F_status, F_conditions), "Established", "True")) {
		check_immutable(fe, spec, was, at, F_scope);
		check_immutable(fe, val_member(spec, F_names), val_member(was, F_names), &names_at, F_kind);
	}
	check_immutable(fe, spec, was, at, F_group);
	check_immutable(fe, val_member(spec, F_names), val_member(was, F_names), &names_at, F_plural);
}

void validate_crd(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), meta_at = FPATH_ROOT(F_metadata), name_at = FPATH(&meta_at, F_name),
		     scope_at = FPATH(&at, F_scope), names_at = FPATH(&at, F_names),
		     keep_at = FPATH(&at, F_preserveUnknownFields);
	struct crd_check c = { .fe = fe };
	struct sv want = arena_svf(fe->a, "%.*s.%.*s", SV_ARG(val_get_str(spec, F_names, F_plural)),
				   SV_ARG(val_get_str(spec, F_group)));

	/* What goes is not held up by what its status says of versions. */
	if (is_sub(sub, "status") || (old && val_get(old, F_metadata, F_deletionTimestamp) && val_equal(spec, was)))
		return;
	if (!old && !sv_eq(val_get_str(doc, F_metadata, F_name), want))
		fe_invalid(fe, &name_at, text(fe, val_get_str(doc, F_metadata, F_name)),
			   "must be spec.names.plural+\".\"+spec.group");
	group_rules(fe, spec, &at);
	if (val_get_str(spec, F_scope).n)
		CHECK_ONE_OF(fe, val_member(spec, F_scope), &scope_at, "Cluster", "Namespaced");
	else
		fe_required(fe, &scope_at);
	versions(&c, spec, was, &at);
	names(fe, val_member(spec, F_names), &names_at);
	crd_conversion_rules(fe, spec, &at);
	if (old)
		kept(fe, doc, old, &at);
	stored_versions(fe, doc);
	approval(fe, doc, old);
	if (val_bool(val_member(spec, F_preserveUnknownFields)) && !val_bool(val_member(was, F_preserveUnknownFields)))
		fe_invalid(
		    fe, &keep_at, val_member(spec, F_preserveUnknownFields),
		    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema "
		    "instead");
}
