/* Priority: spec.priority is computed from the named PriorityClass, or the global default; system
 * classes are for system namespaces. */
#include "apiserver/admission/plugins.h"

static int find_default(struct obj *o, void *ctx)
{
	struct obj **ret = ctx;

	if (val_bool(obj_get(o, F_globalDefault)) &&
	    (!*ret || val_int_or(obj_get(o, F_value), 0) < val_int_or(obj_get(*ret, F_value), 0))) {
		obj_unref(*ret);
		*ret = obj_ref(o);
	}
	return 0;
}

static int priority_mutate(const struct admission *a, struct err *err)
{
	struct arena *ar = a->q->arena;
	struct obj *pc = NULL;
	int64_t value = 0;
	struct sv policy = SV("PreemptLowerPriority"), name, own;
	const struct val *given;
	struct val *spec;
	int rc;

	if (!admits_pod(a))
		return 0;
	spec = val_get_mut(a->doc, F_spec);
	if (a->op == ADMIT_UPDATE) {
		/* Whatever an update leaves out stays as it was computed. */
		if (!val_get(spec, F_priority) && val_get(a->old, F_spec, F_priority))
			val_set(ar, spec, F_priority, val_get(a->old, F_spec, F_priority));
		if (!val_get(spec, F_preemptionPolicy) && val_get(a->old, F_spec, F_preemptionPolicy))
			val_set(ar, spec, F_preemptionPolicy, val_get(a->old, F_spec, F_preemptionPolicy));
		return 0;
	}
	name = val_get_str(spec, F_priorityClassName);
	if (name.n) {
		if (registry_find(a->q, RES(scheduling_priorityclasses), SV(""), name, &pc, err) < 0)
			return -1;
		if (!pc)
			return admission_forbid(a, err, "no PriorityClass with name %.*s was found", SV_ARG(name));
	} else {
		rc = registry_each(a->q->server, RES(scheduling_priorityclasses), SV(""), find_default, &pc, err);
		if (pc)
			obj_link(ar, pc);
		if (rc < 0)
			return -1;
		if (pc)
			val_set_str(ar, spec, F_priorityClassName, obj_name(pc));
	}
	if (pc) {
		value = val_int_or(obj_get(pc, F_value), 0);
		if (val_str(obj_get(pc, F_preemptionPolicy)).n)
			policy = val_str(obj_get(pc, F_preemptionPolicy));
	}
	given = val_get(spec, F_priority);
	if (given && val_int_or(given, 0) != value)
		return admission_forbid(
		    a, err,
		    "the integer value of priority (%" PRId64
		    ") must not be provided in pod spec; priority admission controller computed %" PRId64
		    " from the given PriorityClass name",
		    val_int_or(given, 0), value);
	own = val_get_str(spec, F_preemptionPolicy);
	if (own.n && !sv_eq(own, policy))
		return admission_forbid(a, err,
					"the string value of PreemptionPolicy (%.*s) must not be provided in pod spec; "
					"priority admission controller computed %.*s from the given PriorityClass name",
					SV_ARG(own), SV_ARG(policy));
	val_set_int(ar, spec, F_priority, value);
	val_set_str(ar, spec, F_preemptionPolicy, policy);
	return 0;
}

/* Of all classes one may be the default. */
static int priority_validate(const struct admission *a, struct err *err)
{
	_cleanup_obj_ struct obj *is = NULL;

	if (a->res != RES(scheduling_priorityclasses))
		return 0;
	if (a->op == ADMIT_DELETE &&
	    (sv_is(a->name, "system-node-critical") || sv_is(a->name, "system-cluster-critical")))
		return admission_forbid(a, err, "this is a system priority class and cannot be deleted");
	if (a->op == ADMIT_DELETE || !val_get_bool(a->doc, F_globalDefault))
		return 0;
	if (registry_each(a->q->server, RES(scheduling_priorityclasses), SV(""), find_default, &is, err) < 0)
		return -1;
	if (is && !sv_eq(obj_name(is), a->name))
		return admission_forbid(a, err,
					"PriorityClass %.*s is already marked as default. Only one default can exist",
					SV_ARG(obj_name(is)));
	return 0;
}

const struct admission_plugin admission_priority = {
	.name = "Priority", .mutates = ON_CREATE | ON_UPDATE, .mutate = priority_mutate, .validate = priority_validate
};
