/* StorageObjectInUseProtection: claims, volumes and classes of attributes begin with a finalizer, which the protection
 * controllers take away when nobody uses them (controllers/volume_protection.c). */
#include "apiserver/admission/plugins.h"

static int protect(const struct admission *a, struct err *err)
{
	struct sv finalizer = a->res == RES(core_persistentvolumeclaims)       ? SV("kubernetes.io/pvc-protection")
			      : a->res == RES(core_persistentvolumes)	       ? SV("kubernetes.io/pv-protection")
			      : a->res == RES(storage_volumeattributesclasses) ? SV("kubernetes.io/vac-protection")
									       : SV_NULL;
	struct val *list;

	(void)err;
	if (!finalizer.p)
		return 0;
	list = val_ensure_list(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_metadata), F_finalizers);
	VAL_EACH(list, f)
		if (sv_eq(val_str(f), finalizer))
			return 0;
	val_push(a->q->arena, list, val_new_str(a->q->arena, finalizer));
	return 0;
}

const struct admission_plugin admission_storage_protection = { .name = "StorageObjectInUseProtection",
							       .mutates = ON_CREATE,
							       .mutate = protect };
