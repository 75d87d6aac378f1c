/* images.h - the images that pods need: found, or pulled by tasks that kick the pod when done. */
#pragma once

#include "kubelet/kpod.h"

struct images;

struct images *images_new(struct kubelet *k);
struct images *images_free(struct images *i);
/* 1 present (*ret_ref), 0 being pulled (the pod is kicked when done), -1 cannot (wait reason set). */
int images_ensure(struct kpod *p, struct arena *a, const struct val *pod, const struct val *container, struct kcont *c,
		  struct sv *ret_ref, int64_t *wake_ns);
