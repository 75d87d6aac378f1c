/* storage.c - claims and volumes. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "object/quantity.h"

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

void validate_pvc_spec(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	struct fpath sel_at = FPATH(at, F_selector), res_at = FPATH(at, F_resources),
		     req_at = FPATH(&res_at, F_requests);
	struct fpath size_at = FPATH_KEY(&req_at, SV("storage")), class_at = FPATH(at, F_storageClassName);
	struct fpath mode_at = FPATH(at, F_volumeMode);
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
	int cmp = quantity_cmp(val_str(size), val_str(had));

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
	if (frozen)
		fe_forbidden(
		    fe, &at,
		    "spec is immutable after creation except resources.requests and volumeAttributesClassName for "
		    "bound claims");
	else if (cmp < 0 && quantity_cmp(val_str(size), val_str(val_member_sv(val_get(old, F_status, F_capacity),
									      SV("storage")))) <= 0)
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
	if (old)
		check_immutable(fe, spec, val_member(old, F_spec), &at, F_volumeMode);
}
