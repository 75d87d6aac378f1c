/* DefaultStorageClass, DefaultIngressClass: what names no class gets the default one. */
#include "apiserver/admission/plugins.h"

struct newest {
	struct sv annotation; /* that marks a default */
	struct obj *o;
};

/* Several defaults: the newest wins, then the first by name. */
static int find_default(struct obj *o, void *ctx)
{
	struct newest *n = ctx;
	int later;

	if (!val_is(val_member_sv(obj_get(o, F_metadata, F_annotations), n->annotation), "true"))
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

/* Sets spec's member to the default class of classes, unless that or the old annotation names one. */
static void default_class(const struct admission *a, const struct resource *classes, struct sv marked, enum sym member,
			  struct sv old_way)
{
	struct newest n = { .annotation = marked };

	if (val_get(a->doc, F_spec, member) || val_member_sv(val_get(a->doc, F_metadata, F_annotations), old_way))
		return;
	registry_each(a->q->server, classes, SV(""), find_default, &n);
	if (n.o)
		val_set_str(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_spec), member, obj_name(n.o));
	obj_unref(n.o);
}

static int storage_class(const struct admission *a, struct err *err)
{
	(void)err;
	if (a->res == RES(core_persistentvolumeclaims))
		default_class(a, RES(storage_storageclasses), SV("storageclass.kubernetes.io/is-default-class"),
			      F_storageClassName, SV("volume.beta.kubernetes.io/storage-class"));
	return 0;
}

static int ingress_class(const struct admission *a, struct err *err)
{
	(void)err;
	if (a->res == RES(networking_ingresses))
		default_class(a, RES(networking_ingressclasses), SV("ingressclass.kubernetes.io/is-default-class"),
			      F_ingressClassName, SV("kubernetes.io/ingress.class"));
	return 0;
}

const struct admission_plugin admission_default_storage_class = { .name = "DefaultStorageClass",
								  .mutates = ON_CREATE,
								  .mutate = storage_class };
const struct admission_plugin admission_default_ingress_class = { .name = "DefaultIngressClass",
								  .mutates = ON_CREATE,
								  .mutate = ingress_class };
