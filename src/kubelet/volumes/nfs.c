/* Directories of NFS servers: volumes of a pod, and PersistentVolumes.
 *
 * Each pod has a mount of its own, at volumes/kubernetes.io~nfs/NAME, where NAME is the volume's or, of a claim, the
 * PersistentVolume's. Nothing waits for the server here (net_mount.h): while it is being mounted the pod is. */
#include "base/buf.h"
#include "kubelet/kpod.h"
#include "kubelet/net_mount.h"
#include "kubelet/pod_paths.h"
#include "kubelet/pod_table.h"
#include "kubelet/volumes/volumes.h"
#include "object/annotation.h"
#include "object/validate.h"

#define ANN_MOUNT_OPTIONS "volume.beta.kubernetes.io/mount-options"

static void mount_option(struct buf *b, struct sv option)
{
	if (option.n)
		buf_printf(b, "%s%.*s", b->n ? "," : "", SV_ARG(option));
}

void volume_mount_options(struct buf *b, const struct obj *pv)
{
	if (!pv)
		return;
	VAL_EACH(obj_get(pv, F_spec, F_mountOptions), o)
		mount_option(b, val_str(o));
	mount_option(b, annotation_of(obj_root(pv), ANN_MOUNT_OPTIONS));
}

int nfs_mount(struct kubelet *k, const struct val *pod, const struct obj *pv, const struct val *source, const char *at,
	      struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf options = BUF_INIT;
	struct kpod *p = kubelet_pod(k, val_get_str(pod, F_metadata, F_uid));
	struct sv server = val_get_str(source, F_server);
	bool v6 = fmt_ip(server) && sv_find(server, ':') >= 0;
	struct net_source s;
	int rc;

	if (val_get_bool(source, F_readOnly))
		mount_option(&options, SV("ro"));
	volume_mount_options(&options, pv);
	s.what = arena_printf(&a, "%s%.*s%s:%.*s", v6 ? "[" : "", SV_ARG(server), v6 ? "]" : "",
			      SV_ARG(val_get_str(source, F_path)));
	s.options = options.n ? buf_cstr(&options) : NULL;
	rc = net_mount(k->mounts, p, at, &s, err);
	kpod_unref(p);
	return rc;
}

const char *nfs_path(struct kubelet *k, struct arena *a, const struct val *pod, struct sv name)
{
	return arena_printf(a, "%s/volumes/" NFS_PLUGIN "/%.*s", pod_dir(k, a, val_get_str(pod, F_metadata, F_uid)),
			    SV_ARG(name));
}

int nfs_setup(struct volume *v, struct err *err)
{
	return nfs_mount(v->k, v->pod, NULL, v->source, v->dir, err);
}
