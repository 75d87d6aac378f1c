/* From conditions to taints (KEP-382: TaintNodesByCondition). */
#include "controllers/node_lifecycle.h"
#include "controllers/status.h"

static const struct {
	const char *condition, *status, *key;
} by_condition[] = {
	{ "Ready", "False", TAINT_NOT_READY },
	{ "Ready", "Unknown", TAINT_UNREACHABLE },
	{ "MemoryPressure", "True", "node.kubernetes.io/memory-pressure" },
	{ "DiskPressure", "True", "node.kubernetes.io/disk-pressure" },
	{ "PIDPressure", "True", "node.kubernetes.io/pid-pressure" },
	{ "NetworkUnavailable", "True", "node.kubernetes.io/network-unavailable" },
};

#define TAINT_UNSCHEDULABLE "node.kubernetes.io/unschedulable"

static bool asked(const struct obj *node, struct sv key, const char **ret_key)
{
	const struct val *conds = obj_get(node, F_status, F_conditions);

	for (size_t i = 0; i < ARRAY_LEN(by_condition); i++)
		if (sv_is(key, by_condition[i].key)) {
			*ret_key = by_condition[i].key;
			return condition_is(conds, by_condition[i].condition, by_condition[i].status);
		}
	if (sv_is(key, TAINT_UNSCHEDULABLE)) {
		*ret_key = TAINT_UNSCHEDULABLE;
		return val_bool(obj_get(node, F_spec, F_unschedulable));
	}
	*ret_key = NULL;
	return true;
}

static bool taints_has(const struct val *taints, const char *key, const char *effect)
{
	VAL_EACH(taints, t)
		if (val_is(val_member(t, F_key), key) && val_is(val_member(t, F_effect), effect))
			return true;
	return false;
}

static void taints_add(struct arena *a, struct val *list, const char *key, const char *effect, int64_t now_ns)
{
	struct val *t = val_push(a, list, val_new_map(a));

	val_set_cstr(a, t, F_key, key);
	val_set_cstr(a, t, F_effect, effect);
	val_set_str(a, t, F_timeAdded, time_text(a, now_ns));
}

bool node_taints(struct arena *a, const struct obj *node, const char *no_execute, int64_t now_ns, struct val **ret)
{
	const struct val *was = obj_get(node, F_spec, F_taints);
	struct val *list = val_new_list(a);
	bool changed = false;
	const char *key;

	VAL_EACH(was, t) {
		struct sv k = val_get_str(t, F_key);
		bool stays = true;

		if (val_is(val_member(t, F_effect), "NoSchedule"))
			stays = asked(node, k, &key);
		else if (val_is(val_member(t, F_effect), "NoExecute") &&
			 (sv_is(k, TAINT_NOT_READY) || sv_is(k, TAINT_UNREACHABLE)))
			stays = no_execute && sv_is(k, no_execute);
		if (stays)
			val_push(a, list, t);
		else
			changed = true;
	}
	for (size_t i = 0; i < ARRAY_LEN(by_condition); i++)
		if (asked(node, sv_from(by_condition[i].key), &key) && !taints_has(list, key, "NoSchedule")) {
			taints_add(a, list, key, "NoSchedule", now_ns);
			changed = true;
		}
	if (asked(node, SV(TAINT_UNSCHEDULABLE), &key) && !taints_has(list, key, "NoSchedule")) {
		taints_add(a, list, key, "NoSchedule", now_ns);
		changed = true;
	}
	if (no_execute && !taints_has(list, no_execute, "NoExecute")) {
		taints_add(a, list, no_execute, "NoExecute", now_ns);
		changed = true;
	}
	*ret = list;
	return changed;
}

bool node_out_of_service(const struct obj *node)
{
	VAL_EACH(obj_get(node, F_spec, F_taints), t)
		if (val_is(val_member(t, F_key), "node.kubernetes.io/out-of-service"))
			return true;
	return false;
}
