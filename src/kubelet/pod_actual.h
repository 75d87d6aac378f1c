/* pod_actual.h - what the runtime holds of one pod. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "kubelet/runtime.h"

struct kubelet;

struct pod_actual {
	struct rt_sandbox *sandboxes; /* newest first */
	size_t n_sandboxes;
	struct rt_container *containers; /* newest first; with exit details */
	size_t n_containers;
	struct rt_sandbox *sandbox; /* the newest when it is ready, else NULL */
};
int pod_actual_read(struct kubelet *k, struct arena *a, struct sv uid, struct pod_actual *ret, struct err *err);
/* Newest (nth 0) or an older instance of a container. */
struct rt_container *pod_actual_find(const struct pod_actual *x, struct sv name, size_t nth);
int rt_restart_count(const struct rt_container *c); /* from its annotation */
struct sv rt_annotation(const struct rt_container *c, const char *key);
