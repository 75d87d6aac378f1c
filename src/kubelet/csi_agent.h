/* csi_agent.h - the agent as drivers' volumes (csi/) see it, and a volume of theirs as pods do. Threads: any. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "kubelet/csi/csi.h"

struct kubelet;

void csi_agent_start(struct kubelet *k); /* sets k->csi; what was mounted before is known from then on */
/* A volume of a pod's spec: its claim and PersistentVolume, or NULL when it is the pod's own. As csi_want(). */
int csi_agent_want(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
		   struct obj *claim, struct obj *source, struct csi_place *ret, struct err *err);
