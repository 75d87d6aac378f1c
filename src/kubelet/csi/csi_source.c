/* What a volume's PersistentVolume says of it, or the pod that has it inside. */
#include "kubelet/csi/csi-internal.h"

static const struct val *csi_pod_volume(const struct csi_run_use *u)
{
	VAL_EACH(obj_get(u->pod, F_spec, F_volumes), v)
		if (val_is(val_member(v, F_name), u->volume))
			return v;
	return NULL;
}

const struct val *csi_source(const struct csi_run_use *u)
{
	return u->source ? obj_get(u->source, F_spec, F_csi) : val_member(csi_pod_volume(u), F_csi);
}

bool csi_read_only(const struct csi_run_use *u)
{
	const struct val *v = csi_pod_volume(u);

	return val_get_bool(v, F_persistentVolumeClaim, F_readOnly) || val_get_bool(v, F_csi, F_readOnly);
}
