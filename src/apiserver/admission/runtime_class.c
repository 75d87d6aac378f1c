/* RuntimeClass: a pod names a class that exists, carries the overhead that is its class's, and goes where there is one:
 * the class's labels of nodes and its tolerations become the pod's. */
#include "apiserver/admission/plugins.h"
#include "apiserver/admission/tolerations.h"
#include "codec/val_index.h"

static int merge_labels(const struct admission *a, struct val *spec, const struct val *of_class, struct err *err)
{
	struct val *labels = val_len(of_class) ? val_ensure_map(a->q->arena, spec, F_nodeSelector) : NULL;

	VAL_EACH_MEMBER(of_class, m) {
		const struct val *own = val_member_sv(labels, m.key);

		if (own && !val_equal(own, m.value))
			return admission_forbid(a, err,
						"conflict: runtimeClass.scheduling.nodeSelector[%.*s] = %.*s; "
						"pod.spec.nodeSelector[%.*s] = %.*s",
						SV_ARG(m.key), SV_ARG(val_str(m.value)), SV_ARG(m.key),
						SV_ARG(val_str(own)));
	}
	if (labels)
		val_add_missing(a->q->arena, labels, of_class);
	return 0;
}

/* The pod's class, or NULL: it names none. -1: there is none of that name. */
static int runtime_class_of(const struct admission *a, struct obj **ret, struct err *err)
{
	struct sv name = val_get_str(a->doc, F_spec, F_runtimeClassName);

	*ret = NULL;
	if (!name.n)
		return 0;
	if (registry_find(a->q, RES(node_runtimeclasses), SV(""), name, ret, err) < 0)
		return -1;
	if (!*ret)
		return admission_forbid(a, err, "pod rejected: RuntimeClass \"%.*s\" not found", SV_ARG(name));
	return 0;
}

static int overhead_differs(const struct admission *a, struct err *err)
{
	return admission_forbid(a, err, "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
}

static int runtime_class_mutate(const struct admission *a, struct err *err)
{
	struct arena *ar = a->q->arena;
	const struct val *fixed, *own;
	struct obj *class;
	struct val *spec;

	if (!admits_pod(a))
		return 0;
	if (runtime_class_of(a, &class, err) < 0)
		return -1;
	if (!class)
		return 0;
	spec = val_get_mut(a->doc, F_spec);
	fixed = obj_get(class, F_overhead, F_podFixed);
	own = val_get(spec, F_overhead);
	if (val_len(fixed)) {
		if (own && !val_same(own, fixed))
			return overhead_differs(a, err);
		val_set(ar, spec, F_overhead, val_clone(ar, fixed));
	}
	if (merge_labels(a, spec, obj_get(class, F_scheduling, F_nodeSelector), err) < 0)
		return -1;
	tolerations_merge(ar, spec, obj_get(class, F_scheduling, F_tolerations));
	return 0;
}

static int runtime_class_validate(const struct admission *a, struct err *err)
{
	const struct val *own, *fixed;
	struct obj *class;

	if (!admits_pod(a) || a->op != ADMIT_CREATE)
		return 0;
	if (runtime_class_of(a, &class, err) < 0)
		return -1;
	own = val_get(a->doc, F_spec, F_overhead);
	fixed = class ? obj_get(class, F_overhead, F_podFixed) : NULL;
	if (fixed && !val_same(own, fixed))
		return overhead_differs(a, err);
	if (!fixed && val_len(own))
		return admission_forbid(
		    a, err, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead");
	return 0;
}

const struct admission_plugin admission_runtime_class = {
	.name = "RuntimeClass", .mutates = ON_CREATE, .mutate = runtime_class_mutate, .validate = runtime_class_validate
};
