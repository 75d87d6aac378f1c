#include "object/described.h"

#include "codec/json.h"

#define USE SV("$use")

/* A copy in which what is used by name stands itself. The text is ours, so its depth is known; names are there
 * (tools/gen_crds.py) and go round in no circle (a test). */
static struct val *described_spell(struct arena *a, const struct val *shared, const struct val *v)
{
	struct val *ret;

	if (val_type(v) == VAL_LIST) {
		ret = val_new_list(a);
		VAL_EACH(v, one)
			val_push(a, ret, described_spell(a, shared, one));
		return ret;
	}
	if (val_type(v) != VAL_MAP)
		return val_clone(a, v);
	ret = val_new_map(a);
	VAL_EACH_MEMBER(v, m) {
		if (!sv_eq(m.key, USE)) {
			val_set_sv(a, ret, m.key, described_spell(a, shared, m.value));
			continue;
		}
		VAL_EACH_MEMBER(val_member_sv(shared, val_str(m.value)), used)
			val_set_sv(a, ret, used.key, described_spell(a, shared, used.value));
	}
	return ret;
}

static struct val *described_version(struct arena *a, const struct val *kind, const struct val *name,
				     const struct val *schema)
{
	struct val *v = val_new_map(a);

	val_set(a, v, F_name, val_clone(a, name));
	val_set_bool(a, v, F_served, true);
	val_set_bool(a, v, F_storage, val_equal(name, val_member_sv(kind, SV("storage"))));
	if (val_bool(val_member_sv(kind, SV("status"))))
		val_set_map(a, val_set_map(a, v, F_subresources), F_status);
	val_set(a, v, F_additionalPrinterColumns, val_clone(a, val_member_sv(kind, SV("columns"))));
	val_set(a, val_set_map(a, v, F_schema), F_openAPIV3Schema, val_clone(a, schema));
	return v;
}

static struct val *described_one(struct arena *a, const struct val *doc, const struct val *kind)
{
	const struct val *names = val_member_sv(kind, SV("names")), *group = val_member_sv(doc, SV("group"));
	const struct val *notes = val_member(kind, F_annotations);
	struct val *crd = val_new_map(a), *meta = val_new_map(a), *spec = val_new_map(a), *versions;
	struct val *schema = described_spell(a, val_member_sv(doc, SV("shared")), val_member_sv(kind, SV("schema")));

	val_set(a, meta, F_annotations, val_clone(a, notes ? notes : val_member(doc, F_annotations)));
	val_set_strf(a, meta, F_name, "%.*s.%.*s", SV_ARG(val_get_str(names, F_plural)), SV_ARG(val_str(group)));
	val_set(a, spec, F_group, val_clone(a, group));
	val_set(a, spec, F_names, val_clone(a, names));
	val_set(a, spec, F_scope, val_clone(a, val_member_sv(kind, SV("scope"))));
	versions = val_set_list(a, spec, F_versions);
	VAL_EACH(val_member_sv(kind, SV("versions")), v)
		val_push(a, versions, described_version(a, kind, v, schema));
	val_set_cstr(a, crd, F_apiVersion, "apiextensions.k8s.io/v1");
	val_set_cstr(a, crd, F_kind, "CustomResourceDefinition");
	val_set(a, crd, F_metadata, meta);
	val_set(a, crd, F_spec, spec);
	return crd;
}

struct val *described_crds(struct arena *a, const char *json)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc = json_decode(a, sv_from(json), NULL, &err);
	struct val *list = val_new_list(a);

	VAL_EACH(val_member_sv(doc, SV("kinds")), kind)
		val_push(a, list, described_one(a, doc, kind));
	return list;
}
