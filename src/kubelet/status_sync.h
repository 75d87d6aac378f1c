/* status_sync.h - gathers, computes (status.h) and writes the pod's status when it changed. */
#pragma once

#include "kubelet/kpod.h"
#include "kubelet/pod_actual.h"

void pod_ips_update(struct kpod *p, struct arena *a, const struct pod_actual *x); /* p->ips, from the sandbox */
const struct val *pod_told(const struct kpod *p, const struct obj *obj);	  /* the newest version, ours or obj */
int pod_status_sync(struct kpod *p, struct arena *a, struct obj *obj, const struct pod_actual *x, struct err *err);
