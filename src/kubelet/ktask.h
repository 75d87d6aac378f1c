/* ktask.h - work of the agent beside its syncs, and how it ends in time.
 *
 * Tasks begin with ktask_enter(), which fails once the kubelet is being freed, so that nothing borrowed (client,
 * runtime) is touched after kubelet_free() returned. What may outlive that call holds a reference.
 *
 * Threads: any.
 */
#pragma once

#include "base/env.h"

struct kubelet;

struct kubelet *kubelet_ref(struct kubelet *k);
void kubelet_unref(struct kubelet *k);
bool ktask_enter(struct kubelet *k); /* false: stopping; do not touch anything, just release references */
void ktask_leave(struct kubelet *k);
bool kubelet_stopping(struct kubelet *k); /* from then on stop_fd can be read */
/* A repeating timer: its task fn(k) begins with kubelet_fired() (false: leave at once), ends with
 * kubelet_fired_end(), and arms the next run in between. slot is under k->lock. */
void kubelet_rearm(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn);
/* Under k->lock: the next run comes after delay_ns already. */
void kubelet_hurry(struct kubelet *k, struct env_timer **slot, enum env_class class, int64_t delay_ns, env_fn *fn);
bool kubelet_fired(struct kubelet *k, struct env_timer **slot);
void kubelet_fired_end(struct kubelet *k);
/* No further run begins, when k->stopping keeps it from being armed anew; one under way goes on. */
void kubelet_timer_stop(struct kubelet *k, struct env_timer **slot);
