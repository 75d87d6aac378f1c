/* default_class.h - which StorageClass, or IngressClass, is the default?
 *
 * Those that an annotation marks. Of several the newest is it, then the first by name.
 */
#pragma once

#include "object/obj.h"

#define ANN_DEFAULT_STORAGE_CLASS "storageclass.kubernetes.io/is-default-class"
#define ANN_DEFAULT_INGRESS_CLASS "ingressclass.kubernetes.io/is-default-class"

/* The former annotation (storageclass.beta.kubernetes.io) counts, too. */
bool storage_class_is_default(const struct val *class);
bool ingress_class_is_default(const struct val *class);

struct default_class_search {
	bool (*is_default)(const struct val *class);
	struct obj *found; /* own, NULL: none */
};

/* For whoever goes through all classes: looks at one more. Returns 0: go on. ctx: a struct default_class_search. */
int default_class_look(struct obj *class, void *ctx);
