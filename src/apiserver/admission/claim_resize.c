/* PersistentVolumeClaimResize: a claim grows once it is bound, and where its class says that volumes of it may. */
#include "apiserver/admission/plugins.h"
#include "object/quantity.h"

/* As it was named before there was a field. */
static struct sv resize_class(const struct val *claim)
{
	const struct val *old =
	    val_member_sv(val_get(claim, F_metadata, F_annotations), SV("volume.beta.kubernetes.io/storage-class"));

	return old ? val_str(old) : val_get_str(claim, F_spec, F_storageClassName);
}

static int resize_validate(const struct admission *a, struct err *err)
{
	struct sv was, now, class;
	struct obj *c;

	if (a->res != RES(core_persistentvolumeclaims) || a->subresource.n || a->op != ADMIT_UPDATE)
		return 0;
	was = val_get_str(a->old, F_spec, F_resources, F_requests, F_storage);
	now = val_get_str(a->doc, F_spec, F_resources, F_requests, F_storage);
	if (!now.n || (was.n && quantity_cmp(now, was) <= 0))
		return 0;
	if (!val_is(val_get(a->old, F_status, F_phase), "Bound"))
		return admission_forbid(a, err, "Only bound persistent volume claims can be expanded");
	class = resize_class(a->doc);
	c = class.n && sv_eq(class, resize_class(a->old))
		? registry_peek(a->q, RES(storage_storageclasses), SV(""), class)
		: NULL;
	if (!c && class.n && registry_absent(a->q, RES(storage_storageclasses), SV(""), class, err) < 0)
		return -1;
	if (!c || !val_bool(obj_get(c, F_allowVolumeExpansion)))
		return admission_forbid(a, err,
					"only dynamically provisioned pvc can be resized and the storageclass that "
					"provisions the pvc must support resize");
	return 0;
}

const struct admission_plugin admission_claim_resize = { .name = "PersistentVolumeClaimResize",
							 .validate = resize_validate };
