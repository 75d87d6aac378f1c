#include "kubelet/image_volumes.h"

#include "kubelet/images.h"
#include "kubelet/kubelet-internal.h"
#include "pod/image_name.h"

bool volume_is_image(const struct val *volume)
{
	return val_member(volume, F_image) != NULL;
}

const struct val *pod_volume(const struct val *pod, struct sv name)
{
	VAL_EACH(val_get(pod, F_spec, F_volumes), v)
		if (sv_eq(val_get_str(v, F_name), name))
			return v;
	return NULL;
}

/* No container is of that name, so what is remembered of its pulls is the volume's. */
static struct sv remembered_as(struct arena *a, const struct val *volume)
{
	return arena_svf(a, "volumes/%.*s", SV_ARG(val_get_str(volume, F_name)));
}

static int ensure_one(struct kpod *p, struct arena *a, const struct val *pod, const struct val *volume, struct kcont *c,
		      int64_t *wake_ns)
{
	const struct val *source = val_member(volume, F_image), *policy = val_member(source, F_pullPolicy);
	struct sv name = remembered_as(a, volume), ref;
	struct kcont *own = kpod_cont(p, name);
	struct val *as = val_new_map(a);
	int rc;

	val_set_str(a, as, F_name, name);
	val_set_str(a, as, F_image, val_get_str(source, F_reference));
	if (policy)
		val_set(a, as, F_imagePullPolicy, policy);
	rc = images_ensure(p, a, pod, as, own, &ref, wake_ns);
	if (rc < 0 && own->wait_reason)
		kcont_wait(p, c, own->wait_reason, "%s", own->wait_message ? own->wait_message : "");
	else if (rc > 0)
		kcont_wait(p, own, NULL, NULL);
	return rc;
}

int image_volumes_ensure(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container,
			 struct kcont *c, int64_t *wake_ns)
{
	struct rt_status st = { .runtime = false };
	_cleanup_(err_release) struct err err = ERR_INIT;
	bool asked = false;

	VAL_EACH(val_member(container, F_volumeMounts), m) {
		const struct val *v = pod_volume(pod, val_get_str(m, F_name));
		int rc;

		if (!v || !volume_is_image(v))
			continue;
		if (!asked && p->k->rt->ops->status(p->k->rt, a, &st, &err) < 0) {
			kcont_wait(p, c, "CreateContainerConfigError", "%s", err_msg(&err));
			*wake_ns = MIN(*wake_ns, 5 * NS_PER_SEC);
			return -1;
		}
		asked = true;
		if (!st.features.image_volumes) {
			kcont_wait(p, c, "CreateContainerConfigError",
				   "volume \"%.*s\" of kind image cannot be given by this node's runtime: containerd "
				   "mounts images since 2.1, CRI-O since 1.31",
				   SV_ARG(val_get_str(v, F_name)));
			*wake_ns = MIN(*wake_ns, 30 * NS_PER_SEC);
			return -1;
		}
		rc = ensure_one(p, a, pod, v, c, wake_ns);
		if (rc <= 0)
			return rc;
	}
	return 1;
}

int image_volume_mount(struct kpod *p, struct arena *a, const struct val *volume, struct sv sub_path,
		       struct rt_mount *ret, struct err *err)
{
	struct sv given = val_get_str(volume, F_image, F_reference);
	struct rt_image *img = NULL;

	*ret = (struct rt_mount){ .readonly = true, .image_sub_path = sub_path };
	if (image_normalize(a, given, &ret->image, err) < 0 ||
	    p->k->rt->ops->image_status(p->k->rt, a, ret->image, &img, err) < 0)
		return -1;
	if (!img)
		return err_set(err, ERR_UNAVAILABLE, "image \"%.*s\" of volume \"%.*s\" is not there", SV_ARG(given),
			       SV_ARG(val_get_str(volume, F_name)));
	ret->image_ref = img->id;
	return 0;
}
