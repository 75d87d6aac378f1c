/* image_volumes.h - volumes that are the content of an image (KEP-4639).
 *
 * Such an image is found or pulled as that of a container (images.h), with the pod's credentials and by the volume's
 * policy; the runtime mounts it, read-only, where it can (struct rt_features). What keeps it is the reason why the
 * containers that mount it do not start.
 *
 * Threads: the pod's sync.
 */
#pragma once

#include "kubelet/kpod.h"
#include "kubelet/runtime.h"

bool volume_is_image(const struct val *volume);
const struct val *pod_volume(const struct val *pod, struct sv name); /* of its spec; NULL: none */
/* Those that the container mounts: 1 there, 0 being pulled (the pod is kicked when done), -1 cannot (wait reason set).
 */
int image_volumes_ensure(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container,
			 struct kcont *c, int64_t *wake_ns);
/* Into *ret, what the runtime is to mount; sub_path "": all of it. */
int image_volume_mount(struct kpod *p, struct arena *a, const struct val *volume, struct sv sub_path,
		       struct rt_mount *ret, struct err *err);
