/* An empty directory for the pod's life: on the node's disk or, with medium Memory, a tmpfs of bounded size. */
#include "kubelet/cgroups.h"
#include "kubelet/pod_spec.h"
#include "kubelet/volumes/volumes.h"
#include "object/quantity.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Memory that no limit of its own bounds: what the pod's cgroup may use at all, or the machine's. */
int64_t emptydir_memory_bytes(const struct val *pod, const struct val *source, int64_t machine)
{
	struct cgroup_limits pod_limits;
	int64_t size;

	pod_cgroup_limits(pod, &pod_limits);
	if (!quantity_value(val_get_str(source, F_sizeLimit), &size) || size <= 0)
		size = machine;
	return MIN(MIN(size, machine), pod_limits.memory_limit_bytes > 0 ? pod_limits.memory_limit_bytes : machine);
}

int emptydir_setup(struct volume *v, struct err *err)
{
	struct sv medium = val_get_str(v->source, F_medium);
	_cleanup_close_ int fd = -1;

	if (medium.n && !sv_is(medium, "Memory")) /* huge pages: not in place of them on the disk */
		return err_set(err, ERR_INVALID, "storage medium \"%.*s\" cannot be given by this node",
			       SV_ARG(medium));
	if (medium.n) {
		int64_t machine = (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
		int64_t size = emptydir_memory_bytes(v->pod, v->source, machine);

		if (volume_mount_memory(v, arena_printf(v->a, "size=%" PRId64, size), err) < 0)
			return -1;
	}
	fd = volume_dir(v, err);
	if (fd < 0)
		return -1;
	/* Any user of any container may write. */
	if ((v->fs_group >= 0 && fchown(fd, (uid_t)-1, (gid_t)v->fs_group) < 0) ||
	    fchmod(fd, v->fs_group >= 0 ? 02777 : 0777) < 0)
		return err_set_errno(err, errno, "opening up '%s'", v->dir);
	return 0;
}
