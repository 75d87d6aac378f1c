/* Who may look into devices that others use: a claim that asks for admin access is for namespaces whose label says so,
 * and that label is for those to set who may change namespaces. */
#include "apiserver/registry/kinds/kinds.h"

#define ADMIN_LABEL "resource.kubernetes.io/admin-access"

static bool admin_asked(const struct val *request)
{
	const struct val *exactly = val_member(request, F_exactly);

	return val_get_bool(exactly ? exactly : request, F_adminAccess);
}

int device_admin_permit(struct api_req *q, const struct val *old, const struct val *doc, struct err *err)
{
	const struct val *spec = val_member(doc, F_spec), *devices = val_member(spec, F_devices), *labels;
	const struct val *inner = devices ? NULL : val_member(spec, F_spec); /* of a template */
	struct fpath spec_at = FPATH_ROOT(F_spec), inner_at = FPATH(&spec_at, F_spec),
		     devices_at = FPATH(inner ? &inner_at : &spec_at, F_devices),
		     requests_at = FPATH(&devices_at, F_requests);
	struct field_errs fe;
	struct obj *ns;
	size_t i = 0;

	if (old) /* what is asked for never changes */
		return 0;
	VAL_EACH(val_member(inner ? val_member(inner, F_devices) : devices, F_requests), r) {
		struct fpath item = FPATH_AT(&requests_at, i++), exactly_at = FPATH(&item, F_exactly),
			     at = FPATH(&exactly_at, F_adminAccess);

		if (!admin_asked(r))
			continue;
		ns = registry_peek(q, RES(core_namespaces), SV(""), q->ns);
		labels = ns ? obj_get(ns, F_metadata, F_labels) : NULL;
		if (val_is(val_member_sv(labels, SV(ADMIN_LABEL)), "true"))
			return 0;
		field_errs_init(&fe, q->arena);
		fe_forbidden(&fe, &at,
			     "admin access to devices requires the `" ADMIN_LABEL
			     ": true` label on the containing namespace");
		return field_errs_to_err(&fe, q->res, val_get_str(doc, F_metadata, F_name), err);
	}
	return 0;
}
