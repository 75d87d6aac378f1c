/* Claims bound to volumes that are directories of this machine: hostPath and local. */
#include "kubelet/kubelet-internal.h"
#include "kubelet/volumes/volumes.h"

int claim_path(struct kubelet *k, struct arena *a, const struct val *pod, struct sv claim, const char **ret,
	       struct err *err)
{
	struct sv ns = val_get_str(pod, F_metadata, F_namespace), pv_name;
	const struct val *src;
	struct obj *pvc, *pv;

	if (client_get(k->client, RES(core_persistentvolumeclaims), ns, claim, &pvc, err) < 0)
		return -1;
	obj_link(a, pvc);
	pv_name = val_str(obj_get(pvc, F_spec, F_volumeName));
	if (!pv_name.n || !val_is(obj_get(pvc, F_status, F_phase), "Bound"))
		return err_set(err, ERR_UNAVAILABLE, "PVC is not bound");
	if (client_get(k->client, RES(core_persistentvolumes), SV(""), pv_name, &pv, err) < 0)
		return -1;
	obj_link(a, pv);
	src = obj_get(pv, F_spec, F_hostPath);
	if (!src)
		src = obj_get(pv, F_spec, F_local);
	if (!src)
		return err_set(err, ERR_INVALID, "persistent volume \"%.*s\" is of a kind this node does not support",
			       SV_ARG(pv_name));
	*ret = arena_cstr(a, val_get_str(src, F_path));
	return hostpath_check(*ret, val_get_str(src, F_type), err);
}

int claim_setup(struct volume *v, struct err *err)
{
	const char *path;

	return claim_path(v->k, v->a, v->pod, val_get_str(v->source, F_claimName), &path, err);
}
