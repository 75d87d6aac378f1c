/* Paths of pods: kubelet's own below its root directory, logs where log collectors expect them. */
#include "kubelet/pod_paths.h"

#include "kubelet/kubelet-internal.h"

char *pod_dir(struct kubelet *k, struct arena *a, struct sv uid)
{
	return arena_printf(a, "%s/pods/%.*s", k->root_dir, SV_ARG(uid));
}

char *pod_log_name(struct arena *a, const struct val *pod)
{
	return arena_printf(a, "%.*s_%.*s_%.*s", SV_ARG(val_get_str(pod, F_metadata, F_namespace)),
			    SV_ARG(val_get_str(pod, F_metadata, F_name)), SV_ARG(val_get_str(pod, F_metadata, F_uid)));
}

char *pod_log_dir(struct kubelet *k, struct arena *a, const struct val *pod)
{
	return arena_printf(a, "%s/%s", k->log_dir, pod_log_name(a, pod));
}

char *container_log_path(struct arena *a, const struct val *pod, struct sv container, int64_t restart_count)
{
	return arena_printf(a, "%s/%.*s/%" PRId64 ".log", pod_log_name(a, pod), SV_ARG(container), restart_count);
}

char *termination_log_path(struct kubelet *k, struct arena *a, struct sv uid, struct sv container, int restart_count)
{
	return arena_printf(a, "%s/containers/%.*s/%d", pod_dir(k, a, uid), SV_ARG(container), restart_count);
}

bool pod_path_harmless(struct sv s)
{
	return s.n && sv_find(s, '/') < 0 && s.p[0] != '.' && s.n < 256;
}
