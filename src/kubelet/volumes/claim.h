/* claim.h - the volumes behind a pod's claims, on this machine. Blocking; for worker tasks. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"
#include "kubelet/runtime.h"

struct kubelet;

struct claim_place {
	const char *path; /* the directory, or the device; in the arena */
	bool block;
	bool said;	   /* an error says already what was being done */
	struct sv outside; /* the PersistentVolume's name, where a driver outside has it; else empty */
};

/* Where the claim is that a volume of the pod names, or has as its own (ephemeral); mounted, attached. 1: it is not
 * there yet, the pod is kicked when there is news. */
int claim_find(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *volume,
	       struct claim_place *ret, struct err *err);
/* A container's volumeDevices, into c->devices. */
int claim_devices(struct kubelet *k, struct arena *a, const struct val *pod, const struct val *spec,
		  struct rt_container_config *c, struct err *err);
