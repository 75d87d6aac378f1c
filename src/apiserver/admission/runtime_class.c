/* RuntimeClass: a pod names a class that exists, carries the overhead that is its class's, and goes where there is one:
 * the class's labels of nodes and its tolerations become the pod's. */
#include "apiserver/admission/plugins.h"
#include "codec/val_index.h"

#define MERGED_MAX 256 /* of so many tolerations none is looked for in the others: more of them tolerate the same */

static bool covers_key(const struct val *more, const struct val *less)
{
	struct sv key = val_get_str(more, F_key);

	return sv_eq(key, val_get_str(less, F_key)) || (!key.n && val_is(val_get(more, F_operator), "Exists"));
}

/* Is what less tolerates tolerated by more as well, and for as long? */
static bool covers(const struct val *more, const struct val *less)
{
	struct sv effect = val_get_str(more, F_effect), op = val_get_str(less, F_operator);
	const struct val *time = val_get(more, F_tolerationSeconds), *time_less = val_get(less, F_tolerationSeconds);

	if (val_same(more, less))
		return true;
	if (!covers_key(more, less) || (effect.n && !sv_eq(effect, val_get_str(less, F_effect))))
		return false;
	if (sv_is(effect, "NoExecute") && time && (!time_less || val_int_or(time_less, 0) > val_int_or(time, 0)))
		return false;
	if (val_is(val_get(more, F_operator), "Exists"))
		return true;
	return (!op.n || sv_is(op, "Equal")) && sv_eq(val_get_str(more, F_value), val_get_str(less, F_value));
}

static void merge_tolerations(struct arena *a, struct val *spec, const struct val *of_class)
{
	struct val *all = val_new_list(a), *merged;

	VAL_EACH(val_get(spec, F_tolerations), t)
		val_push(a, all, t);
	VAL_EACH(of_class, t)
		val_push(a, all, t);
	if (!val_len(of_class))
		return;
	merged = val_set_list(a, spec, F_tolerations);
	for (size_t i = 0; i < val_len(all); i++) {
		const struct val *t = val_at(all, i);
		bool known = false;

		for (size_t k = 0; val_len(all) <= MERGED_MAX && !known && k < val_len(all); k++)
			known = k < i ? covers(val_at(all, k), t)
				      : k > i && !val_same(val_at(all, k), t) && covers(val_at(all, k), t);
		if (!known)
			val_push(a, merged, t);
	}
}

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
	*ret = registry_peek(a->q, RES(node_runtimeclasses), SV(""), name);
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
	merge_tolerations(ar, spec, obj_get(class, F_scheduling, F_tolerations));
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
