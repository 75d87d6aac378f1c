#include "gateway/crds.h"

#include "codec/json.h"

#define USE SV("$use")

/* A copy in which what is used by name stands itself. The text is ours, so its depth is known; names are there
 * (tools/gen_gateway.py) and go round in no circle (a test). */
static struct val *crds_spell(struct arena *a, const struct val *shared, const struct val *v)
{
	struct val *ret;

	if (val_type(v) == VAL_LIST) {
		ret = val_new_list(a);
		VAL_EACH(v, one)
			val_push(a, ret, crds_spell(a, shared, one));
		return ret;
	}
	if (val_type(v) != VAL_MAP)
		return val_clone(a, v);
	ret = val_new_map(a);
	VAL_EACH_MEMBER(v, m) {
		if (!sv_eq(m.key, USE)) {
			val_set_sv(a, ret, m.key, crds_spell(a, shared, m.value));
			continue;
		}
		VAL_EACH_MEMBER(val_member_sv(shared, val_str(m.value)), used)
			val_set_sv(a, ret, used.key, crds_spell(a, shared, used.value));
	}
	return ret;
}

static struct val *crds_version(struct arena *a, const struct val *kind, const struct val *name,
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

static struct val *crds_one(struct arena *a, const struct val *shared, const struct val *kind)
{
	const struct val *names = val_member_sv(kind, SV("names"));
	struct val *crd = val_new_map(a), *meta = val_new_map(a), *spec = val_new_map(a), *notes, *versions;
	struct val *schema = crds_spell(a, shared, val_member_sv(kind, SV("schema")));

	notes = val_set_map(a, meta, F_annotations);
	val_set_str_sv(a, notes, SV("api-approved.kubernetes.io"),
		       SV("https://github.com/kubernetes-sigs/gateway-api/pull/4530"));
	val_set_str_sv(a, notes, SV(GW_GROUP "/bundle-version"), SV(GW_BUNDLE_VERSION));
	val_set_str_sv(a, notes, SV(GW_GROUP "/channel"), SV("standard"));
	val_set_strf(a, meta, F_name, "%.*s." GW_GROUP, SV_ARG(val_get_str(names, F_plural)));
	val_set_cstr(a, spec, F_group, GW_GROUP);
	val_set(a, spec, F_names, val_clone(a, names));
	val_set(a, spec, F_scope, val_clone(a, val_member_sv(kind, SV("scope"))));
	versions = val_set_list(a, spec, F_versions);
	VAL_EACH(val_member_sv(kind, SV("versions")), v)
		val_push(a, versions, crds_version(a, kind, v, schema));
	val_set_cstr(a, crd, F_apiVersion, "apiextensions.k8s.io/v1");
	val_set_cstr(a, crd, F_kind, "CustomResourceDefinition");
	val_set(a, crd, F_metadata, meta);
	val_set(a, crd, F_spec, spec);
	return crd;
}

struct val *gw_crds(struct arena *a)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc = json_decode(a, sv_from(gw_crds_json), NULL, &err);
	struct val *list = val_new_list(a);

	/* It is a constant, which a test reads. */
	VAL_EACH(val_member_sv(doc, SV("kinds")), kind)
		val_push(a, list, crds_one(a, val_member_sv(doc, SV("shared")), kind));
	return list;
}
