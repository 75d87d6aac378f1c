/* pod_paths.h - where what belongs to a pod stands on the machine. Pure: nothing is looked at, or made. */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

struct kubelet;

/* Uids and names come from the API, which checks them; a path is made of them all the same only when harmless. */
bool pod_path_harmless(struct sv name);
char *pod_dir(struct kubelet *k, struct arena *a, struct sv uid);
char *pod_log_name(struct arena *a, const struct val *pod); /* of its directory below k->log_dir */
char *pod_log_dir(struct kubelet *k, struct arena *a, const struct val *pod);
/* Of one instance, below k->log_dir. */
char *container_log_path(struct arena *a, const struct val *pod, struct sv container, int64_t restart_count);
char *termination_log_path(struct kubelet *k, struct arena *a, struct sv uid, struct sv container, int restart_count);
