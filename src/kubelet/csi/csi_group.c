/* fsGroup: the files of a volume belong to a group that all of the pod's containers have. Whether the agent makes it so
 * is the driver's policy (CSIDriver.spec.fsGroupPolicy); a driver with VOLUME_MOUNT_GROUP does it itself. */
#include "kubelet/csi/csi-internal.h"

static bool group_one_node(const struct csi_run_use *u)
{
	VAL_EACH(obj_get(u->source, F_spec, F_accessModes), m)
		if (val_is(m, "ReadWriteOnce") || val_is(m, "ReadWriteOncePod"))
			return true;
	return false;
}

int64_t csi_group(const struct csi_run *r, const struct csi_run_use *u)
{
	int64_t group = val_int_or(obj_get(u->pod, F_spec, F_securityContext, F_fsGroup), -1);
	const struct val *policy = r->driver ? obj_get(r->driver, F_spec, F_fsGroupPolicy) : NULL;

	if (group < 0 || r->v->block || val_is(policy, "None") || csi_read_only(u))
		return -1;
	if (val_is(policy, "File"))
		return group;
	/* ReadWriteOnceWithFSType, which also is what is not said */
	return val_get_str(csi_source(u), F_fsType).n && (!u->source || group_one_node(u)) ? group : -1;
}
