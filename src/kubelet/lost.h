/* lost.h - pods that run here and that a restored cluster does not know: kept for a while, and told of.
 *
 *	known to this agent, not in the new list ─▶ lost: its sync lets go of it, as an agent that ends does
 *	not known to this agent (the former, or it was started anew) ─▶ orphans.h, which asks lost_kept()
 *
 * A pod whose end was asked for before, or in whose place there is another one of its name, is not lost.
 *
 * Threads: any; not with k->lock or a pod's lock held.
 */
#pragma once

#include "kubelet/runtime.h"

struct kubelet;

/* Before anything is concluded from a pod's absence, and with each that comes: is this another time of the cluster? */
void lost_look(struct kubelet *k);
/* May what runs of a pod that the API does not know stay for now? s: its sandboxes. Told, once. */
bool lost_kept(struct kubelet *k, struct sv uid, const struct rt_sandbox *s, size_t n);
/* It is being ended: told as well, if it was kept. */
void lost_ends(struct kubelet *k, struct sv uid, const struct rt_sandbox *s, size_t n);
