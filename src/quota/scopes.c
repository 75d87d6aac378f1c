/* Which objects a quota is about. Scopes choose Pods, one of them claims; a quota with any is about no other kind. */
#include "quota/quota.h"

#include "pod/pod_resources.h"

static bool quota_lists(const struct val *values, struct sv value)
{
	VAL_EACH(values, v)
		if (sv_eq(val_str(v), value))
			return true;
	return false;
}

/* The operators over the one value that an object has, or none (""); as of a label. */
static bool quota_op_met(const struct val *requirement, struct sv value)
{
	const struct val *op = val_member(requirement, F_operator), *values = val_member(requirement, F_values);

	if (val_is(op, "Exists"))
		return value.n > 0;
	if (val_is(op, "DoesNotExist"))
		return value.n == 0;
	if (val_is(op, "In"))
		return value.n && quota_lists(values, value);
	return val_is(op, "NotIn") && (!value.n || !quota_lists(values, value));
}

/* --- Pods --- */

static bool affinity_crosses(const struct val *term)
{
	return val_len(val_get(term, F_namespaces)) || val_type(val_get(term, F_namespaceSelector)) == VAL_MAP;
}

static bool affinity_all_cross(const struct val *affinity)
{
	VAL_EACH(val_get(affinity, F_requiredDuringSchedulingIgnoredDuringExecution), t)
		if (affinity_crosses(t))
			return true;
	VAL_EACH(val_get(affinity, F_preferredDuringSchedulingIgnoredDuringExecution), t)
		if (affinity_crosses(val_get(t, F_podAffinityTerm)))
			return true;
	return false;
}

static bool scope_of_pod(struct sv scope, const struct val *requirement, const struct val *pod)
{
	const struct val *spec = val_member(pod, F_spec);

	if (sv_is(scope, "Terminating"))
		return quota_pod_terminating(pod);
	if (sv_is(scope, "NotTerminating"))
		return !quota_pod_terminating(pod);
	if (sv_is(scope, "BestEffort"))
		return pod_qos_class(spec) == QOS_BEST_EFFORT;
	if (sv_is(scope, "NotBestEffort"))
		return pod_qos_class(spec) != QOS_BEST_EFFORT;
	if (sv_is(scope, "CrossNamespacePodAffinity"))
		return affinity_all_cross(val_get(spec, F_affinity, F_podAffinity)) ||
		       affinity_all_cross(val_get(spec, F_affinity, F_podAntiAffinity));
	if (!sv_is(scope, "PriorityClass"))
		return false;
	return requirement ? quota_op_met(requirement, val_get_str(spec, F_priorityClassName))
			   : val_get_str(spec, F_priorityClassName).n > 0;
}

/* --- claims: the class that one has, had, or is to have --- */

static bool scope_of_claim(struct sv scope, const struct val *requirement, const struct val *claim)
{
	const struct sv names[] = { val_get_str(claim, F_spec, F_volumeAttributesClassName),
				    val_get_str(claim, F_status, F_currentVolumeAttributesClassName),
				    val_get_str(claim, F_status, F_modifyVolumeStatus,
						F_targetVolumeAttributesClassName) };
	bool any = false;

	if (!sv_is(scope, "VolumeAttributesClass"))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (!names[i].n)
			continue;
		any = true;
		if (!requirement || quota_op_met(requirement, names[i]))
			return true;
	}
	return !any && requirement && quota_op_met(requirement, SV(""));
}

static bool scope_met(struct sv scope, const struct val *requirement, const struct resource *r, const struct val *obj)
{
	switch (quota_kind_of(r)) {
	case QUOTA_PODS:
		return scope_of_pod(scope, requirement, obj);
	case QUOTA_CLAIMS:
		return scope_of_claim(scope, requirement, obj);
	default:
		return false;
	}
}

bool quota_scope_met(const struct val *requirement, const struct resource *r, const struct val *obj)
{
	return scope_met(val_get_str(requirement, F_scopeName), requirement, r, obj);
}

bool quota_has_scopes(const struct val *quota)
{
	return val_len(val_get(quota, F_spec, F_scopes)) ||
	       val_len(val_get(quota, F_spec, F_scopeSelector, F_matchExpressions));
}

bool quota_scopes_met(const struct val *quota, const struct resource *r, const struct val *obj)
{
	VAL_EACH(val_get(quota, F_spec, F_scopes), s)
		if (!scope_met(val_str(s), NULL, r, obj))
			return false;
	VAL_EACH(val_get(quota, F_spec, F_scopeSelector, F_matchExpressions), e)
		if (!quota_scope_met(e, r, obj))
			return false;
	return true;
}
