/* storage.c - claims and volumes. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "object/quantity.h"
#include "pod/volume_match.h"

static void access_modes(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *modes = val_member(spec, F_accessModes);
	struct fpath at = FPATH(up, F_accessModes);
	bool single = false;

	if (val_len(modes) == 0)
		fe_required_why(fe, &at, "at least 1 access mode is required");
	VAL_EACH(modes, m) {
		CHECK_ONE_OF(fe, m, &at, "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod");
		single |= val_is(m, "ReadWriteOncePod");
	}
	if (single && val_len(modes) > 1)
		fe_forbidden(fe, &at, "may not use ReadWriteOncePod with other access modes");
}

/* What a new volume begins with. */
static void data_source(struct field_errs *fe, const struct val *src, const struct fpath *at)
{
	struct fpath group_at = FPATH(at, F_apiGroup);

	if (!src)
		return;
	check_required(fe, src, at, F_name);
	check_required(fe, src, at, F_kind);
	if (val_get_str(src, F_apiGroup).n)
		check_text(fe, val_member(src, F_apiGroup), &group_at, fmt_dns_subdomain);
	else if (!val_is(val_member(src, F_kind), "PersistentVolumeClaim"))
		fe_invalid(fe, at, val_new_str(fe->a, val_get_str(src, F_kind)),
			   "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
}

static bool same_source(const struct val *x, const struct val *y)
{
	static const enum sym parts[] = { F_apiGroup, F_kind, F_name };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		if (!sv_eq(val_get_str(x, parts[i]), val_get_str(y, parts[i])))
			return false;
	return true;
}

void validate_pvc_spec(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	struct fpath sel_at = FPATH(at, F_selector), res_at = FPATH(at, F_resources);
	struct fpath size_at = FPATH_KEY(&res_at, SV("storage")), class_at = FPATH(at, F_storageClassName);
	struct fpath mode_at = FPATH(at, F_volumeMode), vac_at = FPATH(at, F_volumeAttributesClassName),
		     src_at = FPATH(at, F_dataSource), ref_at = FPATH(at, F_dataSourceRef);
	const struct val *size = val_member_sv(val_get(spec, F_resources, F_requests), SV("storage"));
	int64_t milli;

	access_modes(fe, spec, at);
	validate_label_selector(fe, val_member(spec, F_selector), &sel_at);
	if (!size)
		fe_required(fe, &size_at);
	else if (quantity_milli(val_str(size), &milli) && milli <= 0)
		fe_invalid(fe, &size_at, size, "must be greater than zero");
	if (val_get_str(spec, F_storageClassName).n)
		check_text(fe, val_member(spec, F_storageClassName), &class_at, fmt_dns_subdomain);
	CHECK_ONE_OF(fe, val_member(spec, F_volumeMode), &mode_at, "Block", "Filesystem");
	if (val_get_str(spec, F_volumeAttributesClassName).n)
		check_text(fe, val_member(spec, F_volumeAttributesClassName), &vac_at, fmt_dns_subdomain);
	data_source(fe, val_member(spec, F_dataSource), &src_at);
	data_source(fe, val_member(spec, F_dataSourceRef), &ref_at);
	if (val_member(spec, F_dataSource) && val_member(spec, F_dataSourceRef) &&
	    !same_source(val_member(spec, F_dataSource), val_member(spec, F_dataSourceRef)))
		fe_invalid(fe, at, val_get(spec, F_dataSource, F_name), "must match dataSourceRef");
}

/* The class that an annotation named stays, or becomes the field's. */
static void claim_annotation(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	struct sv name = SV("volume.beta.kubernetes.io/storage-class");
	const struct val *was = val_member_sv(val_get(old, F_metadata, F_annotations), name),
			 *now = val_member_sv(val_get(doc, F_metadata, F_annotations), name),
			 *class = val_get(doc, F_spec, F_storageClassName);
	struct fpath meta_at = FPATH_ROOT(F_metadata), all_at = FPATH(&meta_at, F_annotations),
		     at = FPATH_NAME(&all_at, name);
	bool moved = was && !val_get(old, F_spec, F_storageClassName) && val_same(class, was) && class;

	if (!val_same(was, now) && !(moved && !now))
		fe_invalid(fe, &at, now ? now : val_new_str(fe->a, SV("")), "field is immutable");
}

/* Bound claims may grow; the volume is set once; everything else stays. */
static void pvc_update(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	static const enum sym may_change[] = { F_resources, F_volumeName, F_storageClassName,
					       F_volumeAttributesClassName };
	const struct val *now = val_member(doc, F_spec), *was = val_member(old, F_spec);
	const struct val *size = val_member_sv(val_get(now, F_resources, F_requests), SV("storage"));
	const struct val *had = val_member_sv(val_get(was, F_resources, F_requests), SV("storage"));
	struct fpath at = FPATH_ROOT(F_spec), res_at = FPATH(&at, F_resources), req_at = FPATH(&res_at, F_requests);
	struct val *x = val_new_map(fe->a), *y = val_new_map(fe->a);
	bool bound = val_is(val_get(old, F_status, F_phase), "Bound"), frozen = false;
	const struct val *applied = val_member(old, F_status), *vac = val_member(now, F_volumeAttributesClassName);
	struct fpath vac_at = FPATH(&at, F_volumeAttributesClassName);
	int cmp = quantity_cmp(val_str(size), val_str(had));

	claim_annotation(fe, doc, old);
	VAL_EACH_MEMBER(now, m)
		val_set_sv(fe->a, x, m.key, m.value);
	VAL_EACH_MEMBER(was, m)
		val_set_sv(fe->a, y, m.key, m.value);
	for (size_t i = 0; i < ARRAY_LEN(may_change); i++) {
		val_del(x, may_change[i]);
		val_del(y, may_change[i]);
	}
	frozen |= !val_equal(x, y);
	frozen |=
	    val_get_str(was, F_volumeName).n && !sv_eq(val_get_str(was, F_volumeName), val_get_str(now, F_volumeName));
	frozen |= val_member(was, F_storageClassName) &&
		  !sv_eq(val_get_str(was, F_storageClassName), val_get_str(now, F_storageClassName));
	frozen |= cmp != 0 && !bound;
	frozen |= !bound && !val_same(vac, val_member(was, F_volumeAttributesClassName));
	if (frozen)
		fe_forbidden(fe, &at,
			     arena_printf(fe->a,
					  "spec is immutable after creation except resources.requests and "
					  "volumeAttributesClassName for bound claims\nchanged: %.*s",
					  SV_ARG(changed_fields(fe->a, &at, was, now))));
	if (val_member(applied, F_currentVolumeAttributesClassName) && !vac)
		fe_forbidden(fe, &vac_at, "update from non-nil value to nil is forbidden");
	else if (val_member(applied, F_currentVolumeAttributesClassName) && !val_str(vac).n)
		fe_forbidden(fe, &vac_at, "update from non-nil value to an empty string is forbidden");
	if (!frozen && cmp < 0 &&
	    quantity_cmp(val_str(size), val_str(val_member_sv(val_get(old, F_status, F_capacity), SV("storage")))) <= 0)
		fe_forbidden(fe, &req_at, "field can not be less than status.capacity");
}

void validate_pvc(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec);

	if (is_sub(sub, "status"))
		return;
	validate_pvc_spec(fe, val_member(doc, F_spec), &at);
	if (old)
		pvc_update(fe, doc, old);
}

/* A CSI volume may get the secret that is needed to grow it. */
static bool same_source_of(struct arena *a, enum sym kind, const struct val *now, const struct val *was)
{
	struct val *x;

	if (kind != F_csi || !now || !was || val_member(was, F_controllerExpandSecretRef))
		return val_same(now, was);
	x = val_new_map(a);
	VAL_EACH_MEMBER(now, m)
		if (m.sym != F_controllerExpandSecretRef)
			val_set_sv(a, x, m.key, m.value);
	return val_same(x, was);
}

/* One, and the same for ever. */
static void pv_source(struct field_errs *fe, const struct val *spec, const struct val *was, const struct fpath *at)
{
	struct fpath fixed_at = FPATH_NAME(at, SV("persistentvolumesource"));
	bool moved = false;

	if (check_union(fe, &U_core_PersistentVolumeSource, spec, at) != SYM_NONE)
		validate_volume_elsewhere(fe, spec, at);
	for (const enum sym *m = U_core_PersistentVolumeSource.members; was && *m != SYM_NONE; m++)
		moved |= !same_source_of(fe->a, *m, val_member(spec, *m), val_member(was, *m));
	if (moved)
		fe_forbidden(fe, &fixed_at, "spec.persistentvolumesource is immutable after creation");
}

static void pv_details(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *path = val_get(spec, F_local, F_path), *csi = val_member(spec, F_csi);
	const struct val *aff = val_member(spec, F_nodeAffinity), *vac = val_member(spec, F_volumeAttributesClassName);
	struct fpath vac_at = FPATH(up, F_volumeAttributesClassName), local_at = FPATH(up, F_local),
		     path_at = FPATH(&local_at, F_path), csi_at = FPATH(up, F_csi), aff_at = FPATH(up, F_nodeAffinity),
		     req_at = FPATH(&aff_at, F_required), policy_at = FPATH(up, F_persistentVolumeReclaimPolicy);
	struct sv rest = val_str(path), part;

	while (rest.n && sv_split(&rest, '/', &part))
		if (sv_is(part, "..")) {
			fe_invalid(fe, &path_at, path, "must not contain '..'");
			break;
		}
	if (csi) {
		check_driver_name(fe, csi, &csi_at, F_driver);
		check_required(fe, csi, &csi_at, F_volumeHandle);
	}
	if (vac && !val_str(vac).n)
		fe_required_why(fe, &vac_at, "an empty string is disallowed");
	else if (vac)
		check_text(fe, vac, &vac_at, fmt_dns_subdomain);
	if (vac && !csi)
		fe_required_why(fe, &csi_at, "has to be specified when using volumeAttributesClassName");
	if (volume_is_root(spec) && val_is(val_member(spec, F_persistentVolumeReclaimPolicy), "Recycle"))
		fe_forbidden(fe, &policy_at, "may not be 'recycle' for a hostPath mount of '/'");
	if (aff && !val_member(aff, F_required))
		fe_required_why(fe, &req_at, "must specify required node constraints");
	else if (aff)
		validate_node_selector(fe, val_member(aff, F_required), &req_at);
}

/* Labels of nodes that have a new name since; the old one may be exchanged for it. */
static bool renamed_label(struct sv now, struct sv was)
{
	static const struct {
		const char *old_key, *key;
	} renamed[] = {
		{ "failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone" },
		{ "failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region" },
		{ "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type" },
		{ "beta.kubernetes.io/os", "kubernetes.io/os" },
		{ "beta.kubernetes.io/arch", "kubernetes.io/arch" },
	};

	for (size_t i = 0; i < ARRAY_LEN(renamed); i++)
		if (sv_is(was, renamed[i].old_key) && sv_is(now, renamed[i].key))
			return true;
	return sv_eq(now, was);
}

static bool same_nodes(const struct val *now, const struct val *was)
{
	const struct val *terms = val_get(now, F_required, F_nodeSelectorTerms),
			 *before = val_get(was, F_required, F_nodeSelectorTerms);

	if (val_same(now, was))
		return true;
	if (!now || val_len(terms) != val_len(before))
		return false;
	for (size_t i = 0; i < val_len(terms); i++) {
		const struct val *x = val_member(val_at(terms, i), F_matchExpressions),
				 *y = val_member(val_at(before, i), F_matchExpressions);

		if (val_len(x) != val_len(y) || !val_same(val_member(val_at(terms, i), F_matchFields),
							  val_member(val_at(before, i), F_matchFields)))
			return false;
		for (size_t k = 0; k < val_len(x); k++)
			if (!renamed_label(val_get_str(val_at(x, k), F_key), val_get_str(val_at(y, k), F_key)) ||
			    !val_same(val_member(val_at(x, k), F_operator), val_member(val_at(y, k), F_operator)) ||
			    !val_same(val_member(val_at(x, k), F_values), val_member(val_at(y, k), F_values)))
				return false;
	}
	return true;
}

/* Upstream's paths of most of these begin at the member. */
static void pv_update(struct field_errs *fe, const struct val *spec, const struct val *was)
{
	struct fpath aff_at = FPATH_ROOT(F_nodeAffinity), at = FPATH_ROOT(F_spec),
		     vac_at = FPATH(&at, F_volumeAttributesClassName);

	check_immutable(fe, spec, was, NULL, F_volumeMode);
	if (val_member(was, F_nodeAffinity) &&
	    !same_nodes(val_member(spec, F_nodeAffinity), val_member(was, F_nodeAffinity)))
		fe_invalid(fe, &aff_at, val_member(spec, F_nodeAffinity),
			   "field is immutable, except for updating from beta label to GA");
	if (val_member(was, F_volumeAttributesClassName) && !val_member(spec, F_volumeAttributesClassName))
		fe_forbidden(fe, &vac_at, "update from non-nil value to nil is forbidden");
}

void validate_pv(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec),
			 *size = val_member_sv(val_member(spec, F_capacity), SV("storage"));
	struct fpath at = FPATH_ROOT(F_spec), cap_at = FPATH(&at, F_capacity),
		     size_at = FPATH_KEY(&cap_at, SV("storage"));
	struct fpath class_at = FPATH(&at, F_storageClassName), policy_at = FPATH(&at, F_persistentVolumeReclaimPolicy);
	struct fpath mode_at = FPATH(&at, F_volumeMode), aff_at = FPATH(&at, F_nodeAffinity);
	int64_t milli;

	if (is_sub(sub, "status"))
		return;
	access_modes(fe, spec, &at);
	if (val_len(val_member(spec, F_capacity)) == 0)
		fe_required(fe, &cap_at);
	else if (!size || val_len(val_member(spec, F_capacity)) > 1)
		fe_add(fe, FE_NOT_SUPPORTED, &cap_at, val_member(spec, F_capacity), "supported values: \"storage\"");
	else if (quantity_milli(val_str(size), &milli) && milli <= 0)
		fe_invalid(fe, &size_at, size, "must be greater than zero");
	CHECK_ONE_OF(fe, val_member(spec, F_persistentVolumeReclaimPolicy), &policy_at, "Delete", "Recycle", "Retain");
	if (val_get_str(spec, F_storageClassName).n)
		check_text(fe, val_member(spec, F_storageClassName), &class_at, fmt_dns_subdomain);
	CHECK_ONE_OF(fe, val_member(spec, F_volumeMode), &mode_at, "Block", "Filesystem");
	if (val_member(spec, F_local) && !val_member(spec, F_nodeAffinity))
		fe_required_why(fe, &aff_at, "Local volume requires node affinity");
	pv_source(fe, spec, old ? val_member(old, F_spec) : NULL, &at);
	pv_details(fe, spec, &at);
	if (old)
		pv_update(fe, spec, val_member(old, F_spec));
}
