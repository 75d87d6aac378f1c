/* DefaultStorageClass, DefaultIngressClass: what names no class gets the default one. */
#include "apiserver/admission/plugins.h"
#include "object/default_class.h"

/* Sets spec's member to the default class of classes, unless that or the old annotation names one. */
static int default_class(const struct admission *a, const struct resource *classes,
			 bool (*is_default)(const struct val *), enum sym member, struct sv old_way, struct err *err)
{
	struct default_class_search s = { is_default, NULL };
	int rc;

	if (val_get(a->doc, F_spec, member) || val_member_sv(val_get(a->doc, F_metadata, F_annotations), old_way))
		return 0;
	rc = registry_each(a->q->server, classes, SV(""), default_class_look, &s, err);
	if (rc == 0 && s.found)
		val_set_str(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_spec), member, obj_name(s.found));
	obj_unref(s.found);
	return rc;
}

static int storage_class(const struct admission *a, struct err *err)
{
	if (a->res != RES(core_persistentvolumeclaims))
		return 0;
	return default_class(a, RES(storage_storageclasses), storage_class_is_default, F_storageClassName,
			     SV("volume.beta.kubernetes.io/storage-class"), err);
}

static int ingress_class(const struct admission *a, struct err *err)
{
	if (a->res != RES(networking_ingresses))
		return 0;
	return default_class(a, RES(networking_ingressclasses), ingress_class_is_default, F_ingressClassName,
			     SV("kubernetes.io/ingress.class"), err);
}

const struct admission_plugin admission_default_storage_class = { .name = "DefaultStorageClass",
								  .mutates = ON_CREATE,
								  .mutate = storage_class };
const struct admission_plugin admission_default_ingress_class = { .name = "DefaultIngressClass",
								  .mutates = ON_CREATE,
								  .mutate = ingress_class };
