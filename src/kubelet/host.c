/* The real machine behind struct kubelet_host. */
#include "kubelet/host.h"

#include "base/tree.h"
#include "kubelet/beneath.h"
#include "kubelet/cgroups.h"
#include "kubelet/csi/csi.h"
#include "kubelet/fsutil.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/machine.h"
#include "kubelet/net_mount.h"
#include "kubelet/pod_paths.h"
#include "kubelet/pod_spec.h"
#include "kubelet/pod_table.h"
#include "kubelet/volumes/volumes.h"

#include <errno.h>
#include <stdlib.h>

#define REMOVE_AT_ONCE 20000 /* entries: a fraction of a second */

static int host_make_dir(const char *root, const char *path, mode_t mode, struct err *err)
{
	_cleanup_close_ int fd = beneath_dir_make(root, path, mode, err);

	return fd < 0 ? -1 : 0;
}

static int make_pod_dirs(struct kubelet *k, const struct val *pod, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = val_get_str(pod, F_metadata, F_uid);
	static const char *const subs[] = { "volumes", "plugins", "containers" };

	if (!pod_path_harmless(uid) || !pod_path_harmless(val_get_str(pod, F_metadata, F_name)) ||
	    !pod_path_harmless(val_get_str(pod, F_metadata, F_namespace)))
		return err_set(err, ERR_INVALID, "the pod's uid or name is no file name");
	if (fs_mkdir_p(k->root_dir, 0750, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_LEN(subs); i++)
		if (host_make_dir(k->root_dir, arena_printf(&a, "%s/%s", pod_dir(k, &a, uid), subs[i]), 0750, err) < 0)
			return -1;
	return fs_mkdir_p(k->log_dir, 0755, err) < 0 ? -1
						     : host_make_dir(k->log_dir, pod_log_dir(k, &a, pod), 0755, err);
}

/* One entry of a pod's directory, or of the one with the pods' logs; a part at a time, so that a large tree does not
 * keep other pods waiting. */
static int host_remove(const char *root, const char *above, const char *name, struct err *err)
{
	struct err e = ERR_INIT;
	_cleanup_close_ int dir = beneath_dir(root, above, &e);
	int rc;

	if (dir < 0) {
		if (e.errnum != ENOENT)
			return err_move(err, &e);
		err_release(&e);
		return 0;
	}
	rc = tree_remove_some(dir, name, REMOVE_AT_ONCE, err);
	return rc < 0 ? err_wrap(err, "in '%s'", above) : rc;
}

int pod_dirs_remove(struct kubelet *k, const struct val *pod, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = val_get_str(pod, F_metadata, F_uid);
	int rc;

	if (!pod_path_harmless(uid) || !pod_path_harmless(val_get_str(pod, F_metadata, F_name)) ||
	    !pod_path_harmless(val_get_str(pod, F_metadata, F_namespace)))
		return 0; /* nothing was made for it */
	rc = host_remove(k->log_dir, "", pod_log_name(&a, pod), err);
	return rc ? rc : host_remove(k->root_dir, "pods", arena_cstr(&a, uid), err);
}

/* Mounts of file servers, each on its own: one that hangs keeps none of the others. 2: some are under way. */
static int teardown_net(struct kubelet *k, struct sv uid, const char *dir, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kpod *p = kubelet_pod(k, uid);
	const char *const *mounts;
	/* One that is being mounted must not come when all is gone. */
	int rc = k->mounts && net_leave(k->mounts, dir) ? 2 : 0;
	size_t n = fs_net_mounts(&a, dir, &mounts);

	for (size_t i = 0; i < n; i++) {
		int one = net_unmount(k->mounts, p, mounts[i], err);

		rc = one < 0 || rc < 0 ? -1 : rc || one ? 2 : 0;
	}
	kpod_unref(p);
	return rc;
}

/* Volumes only: termination messages and hosts file are still read for the last status. */
static int teardown_pod(struct kubelet *k, struct sv uid, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *dir = pod_dir(k, &a, uid);
	static const char *const subs[] = { "volumes", "volume-subpaths" };
	int rc;

	if (!pod_path_harmless(uid))
		return 0;
	rc = teardown_net(k, uid, dir, err);
	if (rc)
		return rc;
	/* What stands on a driver's volume goes before that, which its driver takes away, and before the rest. */
	if (fs_unmount_under(arena_printf(&a, "%s/volume-subpaths", dir), NULL, err) < 0)
		return -1;
	if (k->csi && csi_drop_pod(k->csi, uid))
		return 2;
	if (fs_unmount_under(dir, NULL, err) < 0)
		return -1;
	if (local_disks_sweep(k))
		return 2;
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(subs); i++)
		rc = host_remove(k->root_dir, dir, subs[i], err);
	return rc;
}

static int pod_cgroup(struct kubelet *k, const struct val *pod, bool create, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv uid = val_get_str(pod, F_metadata, F_uid);
	struct cgroup_limits l;

	if (!create && !val_get(pod, F_spec)) {
		for (enum qos_class q = QOS_BEST_EFFORT; q <= QOS_GUARANTEED; q++)
			if (cgroup_remove(cgroup_pod_path(&a, k->cgroup_root, q, uid), err) < 0)
				return -1;
		return 0;
	}
	if (!create)
		return cgroup_remove(cgroup_pod_path(&a, k->cgroup_root, pod_qos(pod), uid), err);
	pod_cgroup_limits(pod, &l);
	l.pids_limit = k->pod_max_pids;
	return cgroup_create(cgroup_pod_path(&a, k->cgroup_root, pod_qos(pod), uid), &l, err);
}

static bool apparmor(void)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text;

	return file_read(&a, "/sys/module/apparmor/parameters/enabled", 16, &text, NULL) == 0 &&
	       sv_starts(text, SV("Y"));
}

static void machine_info(struct kubelet *k, struct arena *a, struct val *node_status)
{
	machine_status(a, k->max_pods, k->root_dir, node_status);
}

/* Beside the containers' directories, so that it is removed with the pod's. */
static char *note_path(struct kubelet *k, struct arena *a, struct sv uid, const char *container)
{
	return arena_printf(a, "%s/stopping.%s", pod_dir(k, a, uid), container);
}

static int note_put(struct kubelet *k, struct sv uid, const char *container, struct sv text, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	if (!pod_path_harmless(uid) || !pod_path_harmless(sv_from(container)))
		return 0;
	return beneath_write(k->root_dir, note_path(k, &a, uid, container), text, 0600, err);
}

static struct sv note_get(struct kubelet *k, struct arena *a, struct sv uid, const char *container)
{
	struct sv text;

	if (!pod_path_harmless(uid) || !pod_path_harmless(sv_from(container)) ||
	    beneath_read(a, k->root_dir, note_path(k, a, uid, container), 4096, &text, NULL) < 0)
		return SV_NULL;
	return text;
}

static int64_t emptydir_bytes(struct kubelet *k, const struct val *pod, struct sv volume)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *path;
	bool ro;
	int dir;

	if (volume_path(k, &a, pod, volume, &path, &ro, NULL) < 0)
		return -1;
	dir = beneath_dir(k->root_dir, path, NULL);
	return dir < 0 ? -1 : tree_bytes(dir);
}

const struct kubelet_host kubelet_host_real = {
	.make_pod_dirs = make_pod_dirs,
	.setup_volumes = volumes_setup,
	.teardown_pod = teardown_pod,
	.pod_cgroup = pod_cgroup,
	.apparmor = apparmor,
	.machine_info = machine_info,
	.emptydir_bytes = emptydir_bytes,
	.note_put = note_put,
	.note_get = note_get,
};
