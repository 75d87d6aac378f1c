#include "kubelet/volumes/volumes.h"

#include "kubelet/beneath.h"
#include "kubelet/fsutil.h"
#include "kubelet/kubelet-internal.h"

#include <errno.h>
#include <sys/mount.h>

static const struct volume_kind kinds[] = {
	{ F_emptyDir, "empty-dir", false, emptydir_setup },
	{ F_configMap, "configmap", true, configmap_setup },
	{ F_secret, "secret", true, secret_setup },
	{ F_projected, "projected", true, projected_setup },
	{ F_downwardAPI, "downward-api", true, downward_setup },
	{ F_hostPath, NULL, false, hostpath_setup },
	{ F_persistentVolumeClaim, NULL, false, claim_setup },
};

static const struct volume_kind *kind_of(const struct val *v)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (val_member(v, kinds[i].field))
			return &kinds[i];
	return NULL;
}

static struct sv kind_name(const struct val *v)
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

int volume_path(struct kubelet *k, struct arena *a, const struct val *pod, struct sv name, const char **ret,
		bool *ret_readonly, struct err *err)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v) {
		const struct volume_kind *kind = kind_of(v);

		if (!sv_eq(val_get_str(v, F_name), name))
			continue;
		if (!kind)
			break;
		*ret_readonly = kind->refreshes;
		if (kind->field == F_hostPath) {
			*ret = arena_cstr(a, val_get_str(v, F_hostPath, F_path));
			return 0;
		}
		if (kind->field == F_persistentVolumeClaim) {
			*ret_readonly = val_get_bool(v, F_persistentVolumeClaim, F_readOnly);
			return claim_path(k, a, pod, val_get_str(v, F_persistentVolumeClaim, F_claimName), ret, err);
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

	/* Each on its own: one may need another to be there, and the next attempt finds what this one made. */
	VAL_EACH(val_get(pod, F_spec, F_volumes), v) {
		const struct volume_kind *kind = kind_of(v);
		struct sv name = val_get_str(v, F_name);
		struct volume vol = { .k = k, .p = p, .a = &a, .pod = pod, .v = v };
		struct err e = ERR_INIT;

		vol.source = kind ? val_member(v, kind->field) : NULL;
		vol.dir = kind && kind->plugin ? plugin_dir(k, &a, pod, kind, name) : NULL;
		vol.fs_group = val_get_int(pod, -1, F_spec, F_securityContext, F_fsGroup);
		if (!kind)
			err_set(&e, ERR_INVALID,
				"no volume plugin matched: a volume of kind %.*s cannot be given by this node",
				SV_ARG(kind_name(v)));
		else
			kind->setup(&vol, &e);
		if (!e.reason)
			continue;
		err_wrap(&e, "MountVolume.SetUp failed for volume \"%.*s\" ", SV_ARG(name));
		if (first.reason)
			err_release(&e);
		else
			first = e;
	}
	kpod_unref(p);
	return first.reason ? err_move(err, &first) : 0;
}

bool volumes_need_refresh(const struct val *pod)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v) {
		const struct volume_kind *kind = kind_of(v);

		if (kind && kind->refreshes)
			return true;
	}
	return false;
}

void volume_file_add(struct volume *v, struct file_list *l, struct sv path, struct sv content, mode_t mode)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct atomic_file *p = ARENA_ARRAY(v->a, struct atomic_file, cap);

		if (l->n)
			memcpy(p, l->p, l->n * sizeof(*p));
		l->p = p;
		l->cap = cap;
	}
	l->p[l->n++] = (struct atomic_file){ path, content, mode };
}

/* Of several with one path the last one stays. */
static size_t volume_last_wins(struct file_list *l)
{
	struct strmap seen = STRMAP_INIT; /* path -> its place in the list, and one */
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		void **slot = strmap_slot(&seen, l->p[i].path);

		if (!*slot)
			*slot = (void *)(uintptr_t)++n;
		l->p[(uintptr_t)*slot - 1] = l->p[i];
	}
	strmap_release(&seen);
	return n;
}

int volume_dir(struct volume *v, struct err *err)
{
	return beneath_dir_make(v->k->root_dir, v->dir, 0755, err);
}

int volume_mount_memory(struct volume *v, const char *options, struct err *err)
{
	_cleanup_close_ int fd = volume_dir(v, err);

	if (fd < 0)
		return -1;
	if (!fs_is_mountpoint(v->dir) &&
	    mount("tmpfs", arena_printf(v->a, "/proc/self/fd/%d", fd), "tmpfs", 0, options) < 0)
		return err_set_errno(err, errno, "mounting memory at '%s'", v->dir);
	return 0;
}

int volume_in_memory(struct volume *v, struct err *err)
{
	return volume_mount_memory(v, "mode=0755", err);
}

int volume_write(struct volume *v, const struct file_list *l, struct err *err)
{
	_cleanup_close_ int dir = volume_dir(v, err);
	struct file_list files = *l;

	if (dir < 0)
		return -1;
	files.n = volume_last_wins(&files);
	/* The group must be able to read what is given to it. */
	for (size_t i = 0; i < files.n && v->fs_group >= 0; i++)
		files.p[i].mode |= 0440;
	return atomic_write(dir, files.p, files.n, v->fs_group, env_now_ns(v->k->env), NULL, err) < 0
		   ? err_wrap(err, "in '%s'", v->dir)
		   : 0;
}
