#include "pod/node_features.h"

#include "object/feature.h"
#include "object/quantity.h"

static const struct known_feature {
	const char *name;
	enum feature gate;
} known_features[] = {
	{ "ExtendWebSocketsToKubelet", FG_ExtendWebSocketsToKubelet },
	{ "InPlacePodLevelResourcesVerticalScaling", FG_InPlacePodLevelResourcesVerticalScaling },
	{ "InPlacePodVerticalScalingInitContainers", FG_InPlacePodVerticalScalingInitContainers },
	{ "InPlacePodVerticalScalingMemoryBackedVolumes", FG_InPlacePodVerticalScalingMemoryBackedVolumes },
	{ "RestartAllContainersOnContainerExits", FG_RestartAllContainersOnContainerExits },
	{ "UserNamespacesHostNetworkSupport", FG_UserNamespacesHostNetworkSupport },
	{ "VolumeBindMountOptions", FG_VolumeBindMountOptions },
};

/* --- what a Pod says --- */

static bool restarts_all(const struct val *containers)
{
	VAL_EACH(containers, c)
		VAL_EACH(val_member(c, F_restartPolicyRules), r)
			if (val_is(val_member(r, F_action), "RestartAllContainers"))
				return true;
	return false;
}

static bool has_bind_options(const struct val *containers)
{
	VAL_EACH(containers, c)
		VAL_EACH(val_member(c, F_volumeMounts), m)
			if (val_len(val_member(m, F_bindMountOptions)))
				return true;
	return false;
}

unsigned pod_features_needed(const struct val *spec)
{
	static const enum sym lists[] = { F_containers, F_initContainers, F_ephemeralContainers };
	const struct val *users = val_member(spec, F_hostUsers);
	unsigned need = 0;

	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct val *list = val_member(spec, lists[i]);

		if (lists[i] != F_ephemeralContainers && restarts_all(list))
			need |= NODE_RESTART_ALL;
		if (has_bind_options(list))
			need |= NODE_BIND_MOUNT_OPTIONS;
	}
	if (val_type(users) == VAL_BOOL && !val_bool(users) && val_get_bool(spec, F_hostNetwork))
		need |= NODE_USER_NS_HOST_NETWORK;
	return need;
}

/* --- what is changed of it --- */

/* Amounts by name: how they are written does not matter. */
static bool same_amounts(const struct val *x, const struct val *y)
{
	if (val_len(x) != val_len(y))
		return false;
	VAL_EACH_MEMBER(x, m) {
		const struct val *other = val_member_sv(y, m.key);

		if (!other || quantity_cmp(val_str(m.value), val_str(other)) != 0)
			return false;
	}
	return true;
}

static bool same_resources(const struct val *x, const struct val *y)
{
	if (!x != !y)
		return false;
	return same_amounts(val_member(x, F_requests), val_member(y, F_requests)) &&
	       same_amounts(val_member(x, F_limits), val_member(y, F_limits)) &&
	       val_same(val_member(x, F_claims), val_member(y, F_claims));
}

static bool init_resized(const struct val *was, const struct val *is)
{
	size_t i = 0;

	VAL_EACH(was, c) {
		const struct val *now = val_at(is, i++);

		if (!val_is(val_member(c, F_restartPolicy), "Always") &&
		    !val_same(val_member(c, F_resources), val_member(now, F_resources)))
			return true;
	}
	return false;
}

/* In memory: its size; else NULL. */
static bool memory_volume(const struct val *volume, const struct val **ret_size)
{
	const struct val *dir = val_member(volume, F_emptyDir);

	*ret_size = val_member(dir, F_sizeLimit);
	return val_is(val_member(dir, F_medium), "Memory");
}

static bool memory_volume_resized(const struct val *was, const struct val *is)
{
	const struct val *size, *old_size;

	if (val_len(was) != val_len(is))
		return false;
	for (size_t i = 0; i < val_len(is); i++) {
		const struct val *v = val_at(is, i), *old = val_at(was, i);

		if (!sv_eq(val_get_str(v, F_name), val_get_str(old, F_name)) || !memory_volume(v, &size) ||
		    !memory_volume(old, &old_size))
			continue;
		if (!size != !old_size || (size && quantity_cmp(val_str(size), val_str(old_size)) != 0))
			return true;
	}
	return false;
}

unsigned pod_features_of_change(const struct val *old_spec, const struct val *spec)
{
	unsigned need = 0;

	if (!same_resources(val_member(old_spec, F_resources), val_member(spec, F_resources)))
		need |= NODE_POD_LEVEL_RESIZE;
	if (init_resized(val_member(old_spec, F_initContainers), val_member(spec, F_initContainers)))
		need |= NODE_INIT_RESIZE;
	if (memory_volume_resized(val_member(old_spec, F_volumes), val_member(spec, F_volumes)))
		need |= NODE_MEMORY_VOLUME_RESIZE;
	return need;
}

/* --- what a Node says --- */

unsigned node_features_declared(const struct val *node_status)
{
	unsigned has = 0;

	VAL_EACH(val_member(node_status, F_declaredFeatures), f)
		for (size_t i = 0; i < ARRAY_LEN(known_features); i++)
			if (val_is(f, known_features[i].name))
				has |= 1u << i;
	return has;
}

void node_features_text(unsigned features, struct buf *b)
{
	const char *sep = "";

	for (size_t i = 0; i < ARRAY_LEN(known_features); i++) {
		if (!(features >> i & 1))
			continue;
		buf_printf(b, "%s%s", sep, known_features[i].name);
		sep = ", ";
	}
}

void node_features_write(struct arena *a, unsigned features, struct val *node_status)
{
	struct val *list = NULL;

	for (size_t i = 0; i < ARRAY_LEN(known_features); i++) {
		if (!(features >> i & 1) || !feature_on(known_features[i].gate))
			continue;
		if (!list)
			list = val_set_list(a, node_status, F_declaredFeatures);
		val_push(a, list, val_new_str(a, sv_from(known_features[i].name)));
	}
}
