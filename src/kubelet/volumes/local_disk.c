/* Block devices of `local` PersistentVolumes as directories (../local/disk.h): where they are mounted, and for whom. */
#include "base/buf.h"
#include "base/log.h"
#include "kubelet/kpod.h"
#include "kubelet/local/disk.h"
#include "kubelet/pod_paths.h"
#include "kubelet/volume_group.h"
#include "kubelet/volumes/volumes.h"

#include <errno.h>
#include <sys/stat.h>

#define DISK_PLUGIN "kubernetes.io~local-volume"

static const char *disk_mounts(struct kubelet *k, struct arena *a)
{
	return arena_printf(a, "%s/plugins/kubernetes.io/local-volume/mounts", k->root_dir);
}

static const char *disk_pods(struct kubelet *k, struct arena *a)
{
	return arena_printf(a, "%s/pods", k->root_dir);
}

bool local_is_disk(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

int local_check(const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errno == ENOENT ? err_set(err, ERR_INVALID, "path \"%s\" does not exist", path)
				       : err_set_errno(err, errno, "looking at '%s'", path);
	return S_ISDIR(st.st_mode) ? 0 : err_set(err, ERR_INVALID, "only directory and block device are supported");
}

static int local_disk_first(const char *at, void *ctx, struct err *err)
{
	const struct val *pod = ctx;
	int64_t group = val_get_int(pod, -1, F_spec, F_securityContext, F_fsGroup);

	if (group < 0 || volume_group_set(pod, at, group, err) == 0)
		return 0;
	return err_wrap(err, "applyFSGroup failed for vol %s", at);
}

int local_disk(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
	       const struct obj *pv, const char **ret, struct err *err)
{
	_cleanup_(buf_release) struct buf options = BUF_INIT;
	const struct val *local = obj_get(pv, F_spec, F_local);
	struct sv name = obj_name(pv);
	struct disk_wish w = { .device = arena_cstr(a, val_get_str(local, F_path)),
			       .fs_type = arena_cstr(a, val_get_str(local, F_fsType)),
			       .read_only = val_get_bool(volume, F_persistentVolumeClaim, F_readOnly) };
	int rc;

	if (!pod_path_harmless(name))
		return err_set(err, ERR_INVALID, "the volume's name is no file name");
	volume_mount_options(&options, pv);
	w.options = options.n ? buf_cstr(&options) : NULL;
	w.at = arena_printf(a, "%s/%.*s", disk_mounts(k, a), SV_ARG(name));
	w.to = arena_printf(a, "%s/volumes/" DISK_PLUGIN "/%.*s", pod_dir(k, a, val_get_str(pod, F_metadata, F_uid)),
			    SV_ARG(name));
	w.first = local_disk_first;
	w.ctx = (void *)(uintptr_t)pod; /* which reads it */
	*ret = w.to;
	rc = disk_give(&disk_machine_real, &w, disk_pods(k, a), err);
	if (rc < 0)
		return err_wrap(err, "MountVolume.MountDevice failed for volume \"%.*s\" ", SV_ARG(name));
	return rc;
}

bool local_disks_sweep(struct kubelet *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	struct err err = ERR_INIT;
	int rc = disks_sweep(&disk_machine_real, disk_mounts(k, &a), disk_pods(k, &a), &err);

	if (rc < 0)
		log_warn("kubelet", "a disk that no pod has stays mounted until another pod ends", "why", "%s",
			 err_msg(&err));
	err_release(&err);
	return rc > 0;
}
