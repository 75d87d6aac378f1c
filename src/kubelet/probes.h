/* probes.h - liveness, readiness and startup of a container, asked by tasks that kick the pod when an answer turns.
 *
 * Threads: probes_*() from the pod's sync; probe_get(), kcont_started() and kcont_ready() from any.
 */
#pragma once

#include "kubelet/kpod.h"

void probes_ensure(struct kpod *p, struct kcont *c, const struct val *container);
void probes_stop(struct kpod *p, struct kcont *c);
/* It is being stopped, and runs still: only readiness is asked for any more. */
void probes_ending(struct kpod *p, struct kcont *c, const struct val *container);
enum probe_result probe_get(struct kpod *p, const struct kcont *c, enum probe_kind kind);
bool kcont_started(struct kpod *p, const struct kcont *c, const struct val *spec);
/* Of one that runs; also while it is being stopped. */
bool kcont_ready(struct kpod *p, const struct kcont *c, const struct val *spec);
enum probe_result probe_step(enum probe_result result, enum probe_result *last, int64_t *streak,
			     enum probe_result outcome, int64_t success_threshold, int64_t failure_threshold);
void probes_page(struct kubelet *k, struct buf *b);		  /* /metrics/probes */
int64_t probe_grace(const struct kcont *c, enum probe_kind kind); /* its own terminationGracePeriodSeconds or -1 */
