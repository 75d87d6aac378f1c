#include "object/default_class.h"
#include "object/annotation.h"

bool storage_class_is_default(const struct val *class)
{
	return sv_is(annotation_of(class, ANN_DEFAULT_STORAGE_CLASS), "true") ||
	       sv_is(annotation_of(class, "storageclass.beta.kubernetes.io/is-default-class"), "true");
}

bool ingress_class_is_default(const struct val *class)
{
	return sv_is(annotation_of(class, ANN_DEFAULT_INGRESS_CLASS), "true");
}

int default_class_look(struct obj *class, void *ctx)
{
	struct default_class_search *s = ctx;
	int later;

	if (!s->is_default(obj_root(class)))
		return 0;
	later = s->found ? sv_cmp(val_str(obj_get(class, F_metadata, F_creationTimestamp)),
				  val_str(obj_get(s->found, F_metadata, F_creationTimestamp)))
			 : 1;
	if (later > 0 || (later == 0 && sv_cmp(obj_name(class), obj_name(s->found)) < 0)) {
		obj_unref(s->found);
		s->found = obj_ref(class);
	}
	return 0;
}
