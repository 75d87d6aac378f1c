/* Claims bound to volumes that are of this machine, directories and block devices, by hostPath and local; or of an NFS
 * server.
 *
 * A volume of the node's own provisioner is made ready here, each time it is asked for: what is mounted is the mount
 * table's to know, and a directory whose image is not mounted is never handed out. */
#include "base/log.h"
#include "kubelet/csi_agent.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/local/local_volume.h"
#include "kubelet/pod_table.h"
#include "kubelet/volumes/claim.h"
#include "kubelet/volumes/volumes.h"
#include "object/annotation.h"
#include "object/pod_refs.h"
#include "pod/volume_match.h"

#include <errno.h>
#include <sys/stat.h>

/* Below the provisioner's directory, and made by it: its name there; NULL: it is not. */
static const char *claim_local_name(struct kubelet *k, struct arena *a, const struct obj *pv, struct sv path)
{
	struct sv dir = sv_from(k->storage_dir), name;

	if (!dir.n || !sv_is(annotation_of(obj_root(pv), ANN_PROVISIONED_BY), LOCAL_PATH_PROVISIONER) ||
	    !sv_starts(path, dir) || path.n <= dir.n || path.p[dir.n] != '/')
		return NULL;
	name = sv_sub(path, dir.n + 1, path.n);
	return local_name_ok(name) ? arena_cstr(a, name) : NULL;
}

/* A directory, or a disk that becomes one. */
static int claim_local(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
		       const struct obj *pv, struct claim_place *ret, struct err *err)
{
	ret->said = true;
	if (!local_is_disk(ret->path))
		return local_check(ret->path, err) == 0
			   ? 0
			   : err_wrap(err, "MountVolume.NewMounter initialization failed for volume \"%.*s\" ",
				      SV_ARG(obj_name(pv)));
	return local_disk(k, a, pod, volume, pv, &ret->path, err);
}

/* A pod that has run before the agent started may be mounting it: it was handed it by the one before. */
static bool claim_is_first(struct kubelet *k, struct kpod *p, const struct val *pod, const char *name)
{
	return p && kubelet_hands(k, p, name) && val_is(val_get(pod, F_status, F_phase), "Pending");
}

/* p: the pod, when this is where it is handed its volumes. */
static int claim_ready(struct kubelet *k, struct arena *a, struct kpod *p, const struct val *pod,
		       const struct val *volume, const struct obj *pv, const struct val *src, struct claim_place *ret,
		       struct err *err)
{
	struct local_store store = { k->storage_dir, &local_machine_real };
	const char *path = arena_cstr(a, val_get_str(src, F_path)), *name = claim_local_name(k, a, pv, sv_from(path));
	bool block = sv_is(volume_mode_of(pv), "Block");
	struct local_place place;
	struct stat st;

	*ret = (struct claim_place){ .path = path, .block = block };
	if (name) {
		_cleanup_(err_release) struct err why = ERR_INIT;

		if (claim_is_first(k, p, pod, name) && local_volume_catch_up(&store, name, &why) < 0)
			log_info("kubelet", "a volume has not grown yet", "volume", "%s: %s", name, err_msg(&why));
		if (local_volume_ready(&store, a, name, &place, err) < 0)
			return -1;
		if (place.block != block)
			return err_set(err, ERR_INVALID, "what lies at \"%s\" is not of the volume's mode %s", path,
				       block ? "Block" : "Filesystem");
		ret->path = place.path;
		return 0;
	}
	if (!block && obj_get(pv, F_spec, F_local))
		return claim_local(k, a, pod, volume, pv, ret, err);
	if (!block)
		return hostpath_check(path, val_get_str(src, F_type), err);
	if (stat(path, &st) < 0)
		return err_set_errno(err, errno, "looking at the device '%s'", path);
	return S_ISBLK(st.st_mode) ? 0 : err_set(err, ERR_INVALID, "'%s' is no block device", path);
}

static int claim_outside(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
			 struct obj *pvc, struct obj *pv, struct claim_place *ret, struct err *err)
{
	struct csi_place place = { NULL, false };
	int rc = csi_agent_want(k, a, pod, volume, pvc, pv, &place, err);

	*ret = (struct claim_place){ place.path, place.block, true, obj_name(pv) };
	return rc;
}

static int claim_look(struct kubelet *k, struct arena *a, struct kpod *p, const struct val *pod,
		      const struct val *volume, struct claim_place *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv ns = val_get_str(pod, F_metadata, F_namespace), claim = pod_volume_claim(&b, pod, volume), pv_name;
	const struct val *src;
	struct obj *pvc, *pv;

	if (client_get(k->client, RES(core_persistentvolumeclaims), ns, claim, &pvc, err) < 0)
		return -1;
	obj_link(a, pvc);
	if (val_member(volume, F_ephemeral) && claim_made_for_pod(pvc, pod, err) < 0)
		return -1;
	pv_name = val_str(obj_get(pvc, F_spec, F_volumeName));
	if (!pv_name.n || !val_is(obj_get(pvc, F_status, F_phase), "Bound"))
		return err_set(err, ERR_UNAVAILABLE, "PVC is not bound");
	if (client_get(k->client, RES(core_persistentvolumes), SV(""), pv_name, &pv, err) < 0)
		return -1;
	obj_link(a, pv);
	if (obj_get(pv, F_spec, F_csi))
		return claim_outside(k, a, pod, volume, pvc, pv, ret, err);
	src = obj_get(pv, F_spec, F_nfs);
	if (src) {
		*ret = (struct claim_place){ .path = nfs_path(k, a, pod, pv_name) };
		return nfs_mount(k, pod, pv, src, ret->path, err);
	}
	src = obj_get(pv, F_spec, F_hostPath);
	if (!src)
		src = obj_get(pv, F_spec, F_local);
	if (!src)
		return err_set(err, ERR_INVALID, "persistent volume \"%.*s\" is of a kind this node does not support",
			       SV_ARG(pv_name));
	return claim_ready(k, a, p, pod, volume, pv, src, ret, err);
}

int claim_find(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
	       struct claim_place *ret, struct err *err)
{
	return claim_look(k, a, NULL, pod, volume, ret, err);
}

int claim_setup(struct volume *v, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct claim_place place = { .path = NULL };
	int rc = claim_look(v->k, v->a, v->p, v->pod, v->v, &place, err);

	v->said = place.said;
	if (rc == 0 && v->p)
		kpod_claim_seen(v->p, val_get_str(v->v, F_name), pod_volume_claim(&b, v->pod, v->v), place.path,
				place.block, place.outside);
	return rc;
}

int csi_setup(struct volume *v, struct err *err)
{
	struct csi_place place;

	v->said = true;
	return csi_agent_want(v->k, v->a, v->pod, v->v, NULL, NULL, &place, err);
}

/* --- devices of containers --- */

static const struct val *claim_volume(const struct val *pod, struct sv name)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v)
		if (sv_eq(val_get_str(v, F_name), name))
			return v;
	return NULL;
}

int claim_devices(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *spec,
		  struct rt_container_config *c, struct err *err)
{
	const struct val *list = val_member(spec, F_volumeDevices);

	c->devices = ARENA_ARRAY(a, struct rt_device, val_len(list));
	VAL_EACH(list, d) {
		struct sv name = val_get_str(d, F_name);
		const struct val *v = claim_volume(pod, name);
		bool readonly = val_get_bool(v, F_persistentVolumeClaim, F_readOnly);
		struct claim_place place;
		int rc;

		if (!k->files)
			return err_set(err, ERR_INVALID,
				       "volumeDevices: volume \"%.*s\" cannot be given as a block device by this node",
				       SV_ARG(name));
		rc = claim_find(k, a, pod, v, &place, err);
		if (rc > 0)
			return err_set(err, ERR_UNAVAILABLE, "volume \"%.*s\" is not there yet", SV_ARG(name));
		if (rc < 0)
			return err_wrap(err, "MapVolume.SetUpDevice failed for volume \"%.*s\"", SV_ARG(name));
		if (!place.block)
			return err_set(err, ERR_INVALID,
				       "volume %.*s has volumeMode Filesystem, but is specified in volumeDevices",
				       SV_ARG(name));
		c->devices[c->n_devices++] = (struct rt_device){ .container_path = val_get_str(d, F_devicePath),
								 .host_path = sv_from(place.path),
								 .permissions = readonly ? SV("r") : SV("mrw") };
	}
	return 0;
}
