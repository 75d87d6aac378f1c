/* DefaultStorageClass: a claim that names no class gets the default one. */
#include "apiserver/admission/plugins.h"

struct newest {
	struct obj *o;
};

/* Several defaults: the newest wins, then the first by name. */
static int find_default(struct obj *o, void *ctx)
{
	struct newest *n = ctx;
	int later;

	if (!val_is(
		val_member_sv(obj_get(o, F_metadata, F_annotations), SV("storageclass.kubernetes.io/is-default-class")),
		"true"))
		return 0;
	later = n->o ? sv_cmp(val_str(obj_get(o, F_metadata, F_creationTimestamp)),
			      val_str(obj_get(n->o, F_metadata, F_creationTimestamp)))
		     : 1;
	if (later > 0 || (later == 0 && sv_cmp(obj_name(o), obj_name(n->o)) < 0)) {
		obj_unref(n->o);
		n->o = obj_ref(o);
	}
	return 0;
}

static int default_class(const struct admission *a, struct err *err)
{
	struct newest n = { 0 };

	(void)err;
	if (a->op != ADMIT_CREATE || a->res != RES(core_persistentvolumeclaims) || a->subresource.n ||
	    val_get(a->doc, F_spec, F_storageClassName) ||
	    val_member_sv(val_get(a->doc, F_metadata, F_annotations), SV("volume.beta.kubernetes.io/storage-class")))
		return 0;
	registry_each(a->q->server, RES(storage_storageclasses), SV(""), find_default, &n);
	if (n.o)
		val_set_str(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_spec), F_storageClassName,
			    obj_name(n.o));
	obj_unref(n.o);
	return 0;
}

const struct admission_plugin admission_default_storage_class = { .name = "DefaultStorageClass",
								  .mutate = default_class };
