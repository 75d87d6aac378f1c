/* pod_admit.h - is a pod that was bound to this node taken? Asked once, when it comes.
 *
 * admission_check() is pure. pod_admit() asks it under kubelet.admitting, with the pods that have a place here; what
 * ran before the agent started has one and is not asked again. A critical pod that only lacks room makes it
 * (pod_preempt.c).
 */
#pragma once

#include "kubelet/kpod.h"
#include "pod/pod_resources.h"

struct admission {
	struct arena *a;
	const char *reason, *message; /* the first that speaks against it, in a; NULL: nothing does */
	struct res_list missing;      /* what it lacks */
	bool placed_wrong;	      /* also, or only, for something that room would not mend */
	bool no_apparmor;	      /* the kernel cannot confine by AppArmor */
};

/* others: the pods that have a place. node: as it is now. */
void admission_check(struct admission *r, const struct val *pod, const struct obj *node,
		     const struct val *const *others, size_t n);
void admission_release(struct admission *r);

/* 1: decided, r->reason says how; 0: not yet, look again after *wake_ns. */
int pod_admit(struct kpod *p, struct admission *r, const struct val *pod, int64_t *wake_ns);

/* pod_preempt.c: others, docs: the pods that have a place, same order. True: some are going for a critical pod, look
 * again; false: r->reason stands. Under kubelet.admitting. */
bool preempt_for(struct admission *r, const struct val *pod, struct kpod *const *others, const struct val *const *docs,
		 size_t n);
