/* Taking away: the driver is asked, then the mount table, and what is left is an empty directory or somebody's data,
 * which stays. */
#include "kubelet/csi/csi-internal.h"

#include "kubelet/fsutil.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static bool csi_mounted(struct csi *c, const char *path)
{
	return c->o.mounted ? c->o.mounted(path) : fs_is_mountpoint(path);
}

/* A driver that is not there cannot be asked: only of what it holds no more need it not be. */
static int unmount_ask(struct csi_run *r, const char *path, const char *method, struct buf *request, struct err *err)
{
	if (r->endpoint)
		return csi_call(r->c, r->a, r->v->driver, r->endpoint, method, request, CSI_TIMEOUT_NS, NULL, err);
	buf_release(request);
	if (csi_mounted(r->c, path))
		return err_set(err, ERR_UNAVAILABLE,
			       "kubernetes.io/csi: driver name %s not found in the list of registered CSI drivers",
			       r->v->driver);
	return 0;
}

static int unmount_place(struct csi *c, const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "looking at '%s'", path);
	if (csi_mounted(c, path))
		return err_set(err, ERR_UNAVAILABLE, "'%s' is still mounted, though its driver says that it is not",
			       path);
	if ((S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path)) < 0 && errno != ENOENT)
		return err_set_errno(err, errno, "removing '%s'", path);
	return 0;
}

int csi_unpublish(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	const char *path = csi_publish_path(r->c, r->a, r->v, u->uid, u->spec_name);
	struct buf b = BUF_INIT;

	csi_put_unpublish(&b, sv_from(r->v->handle), path);
	if (unmount_ask(r, path, CSI_NODE_UNPUBLISH, &b, err) < 0 || unmount_place(r->c, path, err) < 0)
		return -1;
	if (!r->v->block)
		csi_data_drop(csi_pod_volume_dir(r->c, r->a, u->uid, u->spec_name));
	return 0;
}

int csi_unstage(struct csi_run *r, struct err *err)
{
	const char *dir = csi_stage_dir(r->c, r->a, r->v), *path = csi_stage_path(r->c, r->a, r->v);
	struct buf b = BUF_INIT;
	struct csi_data d;

	if (csi_data_read(r->a, dir, &d, NULL) < 0)
		return 0; /* never begun */
	csi_put_unstage(&b, sv_from(r->v->handle), path);
	if (r->endpoint && !(r->can & CSI_CAN_STAGE))
		buf_release(&b);
	else if (unmount_ask(r, path, CSI_NODE_UNSTAGE, &b, err) < 0)
		return -1;
	if (unmount_place(r->c, path, err) < 0)
		return -1;
	csi_data_drop(dir);
	if (r->v->block) { /* .../volumeDevices/NAME, and what pods had theirs in */
		(void)rmdir(arena_printf(r->a, "%s/plugins/kubernetes.io/csi/volumeDevices/publish/%s", r->c->root_dir,
					 r->v->spec_name));
		(void)rmdir(arena_printf(r->a, "%s/plugins/kubernetes.io/csi/volumeDevices/%s", r->c->root_dir,
					 r->v->spec_name));
	}
	return 0;
}
