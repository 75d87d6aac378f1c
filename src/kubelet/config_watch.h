/* config_watch.h - pods hear of changes to the ConfigMaps and Secrets they use, while they use them.
 *
 * One watch of one name for each object that some running pod refers to, shared by its pods and closed when the last
 * of them is through. That is all a node is allowed: the node authorizer answers a list or watch only when it asks
 * for one name which a pod of the node refers to, as upstream's "watch" change detection does.
 *
 * A change sets kpod.refresh and kicks the pod, so that volumes follow within a moment, and a container that could
 * not be configured, or a volume that could not be mounted, is tried again when what was missing appears.
 *
 * Threads: any. Not to be called with k->lock or p->lock held.
 */
#pragma once

struct kubelet;
struct kpod;
struct val;
struct config_watch;

struct config_watch *config_watch_new(struct kubelet *k);
struct config_watch *config_watch_free(struct config_watch *w); /* no handler runs after */
/* Idempotent: references that are watched already cost a lookup. */
void config_watch_add(struct config_watch *w, struct kpod *p, const struct val *pod);
void config_watch_drop(struct config_watch *w, struct kpod *p, const struct val *pod);
