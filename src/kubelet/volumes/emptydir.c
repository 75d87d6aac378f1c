#include "kubelet/fsutil.h"
#include "kubelet/volumes/volumes.h"
#include "object/quantity.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int emptydir_setup(struct volume *v, struct err *err)
{
	struct sv medium = val_get_str(v->source, F_medium);
	int64_t limit = 0;

	if (medium.n && !sv_is(medium, "Memory")) /* huge pages: not in place of them on the disk */
		return err_set(err, ERR_INVALID, "storage medium \"%.*s\" cannot be given by this node",
			       SV_ARG(medium));
	if (fs_mkdir_p(v->dir, 0755, err) < 0)
		return -1;
	if (medium.n && !fs_is_mountpoint(v->dir)) {
		const char *opts = "";

		if (quantity_value(val_get_str(v->source, F_sizeLimit), &limit) && limit > 0)
			opts = arena_printf(v->a, "size=%" PRId64, limit);
		if (mount("tmpfs", v->dir, "tmpfs", 0, opts) < 0)
			return err_set_errno(err, errno, "mounting memory at '%s'", v->dir);
	}
	/* Any user of any container may write. */
	if ((v->fs_group >= 0 && chown(v->dir, (uid_t)-1, (gid_t)v->fs_group) < 0) ||
	    chmod(v->dir, v->fs_group >= 0 ? 02777 : 0777) < 0)
		return err_set_errno(err, errno, "opening up '%s'", v->dir);
	return 0;
}
