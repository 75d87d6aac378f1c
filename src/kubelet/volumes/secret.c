#include "kubelet/fsutil.h"
#include "kubelet/volumes/volumes.h"

#include <errno.h>
#include <sys/mount.h>

/* Secrets never touch a disk: their directory is memory. */
static int memory(const char *dir, struct err *err)
{
	if (fs_mkdir_p(dir, 0755, err) < 0)
		return -1;
	if (!fs_is_mountpoint(dir) && mount("tmpfs", dir, "tmpfs", 0, "mode=0755") < 0)
		return err_set_errno(err, errno, "mounting memory at '%s'", dir);
	return 0;
}

int secret_setup(struct volume *v, struct err *err)
{
	struct file_list l = { 0 };

	if (config_files(v, &l, true, val_get_str(v->source, F_secretName), val_member(v->source, F_items),
			 val_get_bool(v->source, F_optional), val_get_int(v->source, 0644, F_defaultMode), err) < 0)
		return -1;
	if (memory(v->dir, err) < 0)
		return -1;
	return volume_write(v, &l, err);
}
