#include "kubelet/volumes/volumes.h"

#include "kubelet/beneath.h"
#include "kubelet/csi_agent.h"
#include "kubelet/fsutil.h"
#include "kubelet/kpod.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_paths.h"
#include "kubelet/pod_table.h"
#include "kubelet/volume_metrics.h"
#include "kubelet/volumes/claim.h"

/* The runtime mounts it, for each container (image_volumes.h). */
static int image_setup(struct volume *v, struct err *err)
{
	(void)v, (void)err;
	return 0;
}

static const struct volume_kind kinds[] = {
	{ F_emptyDir, "empty-dir", false, emptydir_setup },
	{ F_configMap, "configmap", true, configmap_setup },
	{ F_secret, "secret", true, secret_setup },
	{ F_projected, "projected", true, projected_setup },
	{ F_downwardAPI, "downward-api", true, downward_setup },
	{ F_hostPath, NULL, false, hostpath_setup },
	{ F_nfs, "nfs", false, nfs_setup },
	{ F_persistentVolumeClaim, NULL, false, claim_setup },
	{ F_ephemeral, NULL, false, claim_setup },
	{ F_csi, NULL, false, csi_setup },
	{ F_image, "image", false, image_setup },
};

static const struct volume_kind *volume_kind_of(const struct val *v)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (val_member(v, kinds[i].field))
			return &kinds[i];
	return NULL;
}

const char *volume_plugin(struct arena *a, const struct val *v)
{
	const struct volume_kind *kind = volume_kind_of(v);

	return !kind || kind->setup == claim_setup ? NULL
	       : kind->setup == csi_setup	   ? "kubernetes.io/csi"
	       : kind->plugin			   ? arena_printf(a, "kubernetes.io/%s", kind->plugin)
						   : "kubernetes.io/host-path";
}

/* What is done at once; others have their own. */
static void volume_counted(struct volume *vol, const struct volume_kind *kind, bool ok, int64_t began_ns)
{
	if (kind->setup != claim_setup && kind->setup != csi_setup && kind->setup != nfs_setup)
		volume_operation_counted(vol->k->counted, volume_plugin(vol->a, vol->v), "volume_mount", ok,
					 env_mono_ns(vol->k->env) - began_ns);
}

static struct sv volume_kind_name(const struct val *v)
{
	VAL_EACH_MEMBER(v, m)
		if (!sv_is(m.key, "name"))
			return m.key;
	return SV("none");
}

static const char *plugin_dir(struct kubelet *k, struct arena *a, const struct val *pod, const struct volume_kind *kind,
			      struct sv name)
{
	return arena_printf(a, "%s/volumes/kubernetes.io~%s/%.*s", pod_dir(k, a, val_get_str(pod, F_metadata, F_uid)),
			    kind->plugin, SV_ARG(name));
}

/* Of a claim, or of the pod's own of a driver outside. */
static int volume_place(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *v,
			const char **ret, struct err *err)
{
	struct claim_place place = { .path = NULL };
	struct csi_place own = { NULL, false };
	bool inline_ = val_member(v, F_csi) != NULL;
	int rc = inline_ ? csi_agent_want(k, a, pod, v, NULL, NULL, &own, err) : claim_find(k, a, pod, v, &place, err);

	if (rc > 0)
		return err_set(err, ERR_UNAVAILABLE, "volume \"%.*s\" is not there yet",
			       SV_ARG(val_get_str(v, F_name)));
	if (rc < 0)
		return -1;
	*ret = inline_ ? own.path : place.path;
	return place.block
		   ? err_set(err, ERR_INVALID, "volume %.*s has volumeMode Block, but is specified in volumeMounts",
			     SV_ARG(val_get_str(v, F_name)))
		   : 0;
}

int volume_path(struct kubelet *k, struct arena *a, const struct val *pod, struct sv name, const char **ret,
		bool *ret_readonly, struct err *err)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v) {
		const struct volume_kind *kind = volume_kind_of(v);

		if (!sv_eq(val_get_str(v, F_name), name))
			continue;
		if (!kind)
			break;
		*ret_readonly = kind->refreshes;
		if (kind->field == F_hostPath) {
			*ret = arena_cstr(a, val_get_str(v, F_hostPath, F_path));
			return 0;
		}
		if (kind->setup == claim_setup || kind->setup == csi_setup) {
			*ret_readonly =
			    val_get_bool(v, F_persistentVolumeClaim, F_readOnly) || val_get_bool(v, F_csi, F_readOnly);
			return volume_place(k, a, pod, v, ret, err);
		}
		*ret = plugin_dir(k, a, pod, kind, name);
		return 0;
	}
	return err_set(err, ERR_NOT_FOUND, "volume \"%.*s\" of the pod is not set up", SV_ARG(name));
}

int volumes_setup(struct kubelet *k, const struct val *pod, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct kpod *p = kubelet_pod(k, val_get_str(pod, F_metadata, F_uid));
	struct err first = ERR_INIT;
	bool waits = false;

	/* Each on its own: one may need another to be there, and the next attempt finds what this one made. */
	VAL_EACH(val_get(pod, F_spec, F_volumes), v) {
		const struct volume_kind *kind = volume_kind_of(v);
		struct sv name = val_get_str(v, F_name);
		struct volume vol = { .k = k, .p = p, .a = &a, .pod = pod, .v = v };
		int64_t began = env_mono_ns(k->env);
		struct err e = ERR_INIT;

		vol.source = kind ? val_member(v, kind->field) : NULL;
		vol.dir = kind && kind->plugin ? plugin_dir(k, &a, pod, kind, name) : NULL;
		vol.fs_group = val_get_int(pod, -1, F_spec, F_securityContext, F_fsGroup);
		if (!kind)
			err_set(&e, ERR_INVALID,
				"no volume plugin matched: a volume of kind %.*s cannot be given by this node",
				SV_ARG(volume_kind_name(v)));
		else
			waits |= kind->setup(&vol, &e) > 0;
		if (kind)
			volume_counted(&vol, kind, !e.reason, began);
		if (!e.reason)
			continue;
		if (!vol.said)
			err_wrap(&e, "MountVolume.SetUp failed for volume \"%.*s\" ", SV_ARG(name));
		if (first.reason)
			err_release(&e);
		else
			first = e;
	}
	kpod_unref(p);
	return first.reason ? err_move(err, &first) : waits;
}

bool volumes_need_refresh(const struct val *pod)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v) {
		const struct volume_kind *kind = volume_kind_of(v);

		if (kind && kind->refreshes)
			return true;
	}
	return false;
}
