/* Staging, once for the node, and publishing, once for each pod. Both may have been done before: drivers take that. */
#include "kubelet/csi/csi-internal.h"

#include "kubelet/fsutil.h"
#include "kubelet/volume_group.h"

static const struct val *csi_modes(const struct csi_run *r)
{
	return r->driver ? obj_get(r->driver, F_spec, F_volumeLifecycleModes) : NULL;
}

/* A driver must have said that it takes volumes of pods: others would take the pod's word for what is an admin's. */
static int csi_mode_ok(struct csi_run *r, struct err *err)
{
	const char *mode = r->v->own ? "Ephemeral" : "Persistent";
	const struct val *modes = csi_modes(r);
	struct sv only = SV("");

	if (!r->driver && r->v->own)
		return err_set(err, ERR_INVALID, "volume mode \"%s\" not supported by driver %s (no CSIDriver object)",
			       mode, r->v->driver);
	if (!r->driver || (!val_len(modes) && !r->v->own))
		return 0;
	VAL_EACH(modes, m) {
		if (val_is(m, mode))
			return 0;
		only = arena_svf(r->a, "%.*s%s\"%.*s\"", SV_ARG(only), only.n ? " " : "", SV_ARG(val_str(m)));
	}
	if (!only.n)
		only = SV("\"Persistent\"");
	return err_set(err, ERR_INVALID, "volume mode \"%s\" not supported by driver %s (only supports [%.*s])", mode,
		       r->v->driver, SV_ARG(only));
}

int csi_stage(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	const char *path = csi_stage_path(r->c, r->a, r->v);
	struct buf b = BUF_INIT;
	struct csi_mount m;

	csi_fill(r, u, &m);
	m.staging = path;
	if (csi_mode_ok(r, err) < 0 || csi_selinux(r, u, &m, err) < 0 ||
	    csi_secrets(r, u, F_nodeStageSecretRef, &m, err) < 0 ||
	    csi_data_write(r->c, r->a, r->v, r->v->block ? r->v->spec_name : NULL, SV(""), err) < 0 ||
	    fs_mkdir_p(path, 0750, err) < 0)
		return -1;
	csi_put_stage(&b, &m);
	return csi_call(r->c, r->a, r->v->driver, r->endpoint, CSI_NODE_STAGE, &b, CSI_TIMEOUT_NS, NULL, err);
}

/* The place itself is the driver's to make. */
static int publish_parent(const char *path, struct err *err)
{
	_cleanup_free_ char *dir = xstrdup(path);

	*strrchr(dir, '/') = '\0';
	return fs_mkdir_p(dir, 0750, err);
}

int csi_publish(struct csi_run *r, const struct csi_run_use *u, struct err *err)
{
	const char *path = csi_publish_path(r->c, r->a, r->v, u->uid, u->spec_name);
	int64_t group = r->can & CSI_CAN_GROUP ? -1 : csi_group(r, u);
	struct buf b = BUF_INIT;
	struct csi_mount m;

	csi_fill(r, u, &m);
	m.target = path;
	m.staging = !r->v->own && (r->can & CSI_CAN_STAGE) ? csi_stage_path(r->c, r->a, r->v) : NULL;
	if (csi_mode_ok(r, err) < 0 || csi_selinux(r, u, &m, err) < 0 ||
	    csi_secrets(r, u, F_nodePublishSecretRef, &m, err) < 0 || csi_pod_context(r, u, &m, err) < 0 ||
	    csi_data_write(r->c, r->a, r->v, u->spec_name, u->uid, err) < 0 || publish_parent(path, err) < 0)
		return -1;
	csi_put_publish(&b, &m);
	if (csi_call(r->c, r->a, r->v->driver, r->endpoint, CSI_NODE_PUBLISH, &b, CSI_TIMEOUT_NS, NULL, err) < 0)
		return -1;
	if (group >= 0 && volume_group_set(obj_root(u->pod), path, group, err) < 0)
		return err_wrap(err, "applyFSGroup failed for vol %s", r->v->handle);
	return 0;
}
