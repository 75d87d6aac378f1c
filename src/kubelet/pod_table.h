/* pod_table.h - the pods of this node by their uid, and whose the runtime's ids are.
 *
 * Threads: any; not with k->lock held.
 */
#pragma once

#include "base/arena.h"

struct kubelet;
struct kpod;
struct obj;
struct val;

/* The object is kept a reference of; a new pod when it is one. vanished: the API has it no more. refresh: what its
 * volumes show may have changed. */
void pod_table_seen(struct kubelet *k, struct obj *o, bool vanished, bool refresh);
struct kpod *kubelet_pod(struct kubelet *k, struct sv uid); /* new reference or NULL */
struct kpod *kubelet_pod_named(struct kubelet *k, struct sv ns, struct sv name);
/* New references to all pods, in an arena array. */
struct kpod **kubelet_pods(struct kubelet *k, struct arena *a, size_t *ret_n);
/* Of the pods for which uses() is true, what volumes show is looked at again. */
void kubelet_refresh(struct kubelet *k, bool (*uses)(const struct val *pod));
void kubelet_kick_all(struct kubelet *k); /* sync them all soon */
/* The pod is about to be handed the local volume, and may mount it from now on. Is it the first to have it: neither it
 * nor another pod was handed it since the agent started, or those that were are torn down? */
bool kubelet_hands(struct kubelet *k, struct kpod *p, const char *volume);
void kubelet_know_container(struct kubelet *k, struct sv id, struct sv uid);
void kubelet_forget_container(struct kubelet *k, struct sv id);
void kubelet_forget_pod(struct kubelet *k, struct kpod *p); /* leaves the table */
