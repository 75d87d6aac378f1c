/* pod_evict.h - sees now and then whether an emptyDir is larger than its sizeLimit. */
#pragma once

#include "kubelet/kpod.h"

/* The message when one is, in a. */
const char *pod_over_limit(struct kpod *p, struct arena *a, const struct val *pod, int64_t *wake_ns);
