/* hpa_limits.h - from what metrics ask for to what is done: windows, rates and bounds of a HorizontalPodAutoscaler.
 *
 * What was asked for and done lately is remembered, by upstream's rules in memory only: after a restart the first
 * recommendation is the number of replicas that are there. Bounded: a recommendation or a change that no window reaches
 * any more makes room for the next.
 *
 * Times are monotonic. Not thread-safe: one history is one autoscaler's run's.
 */
#pragma once

#include "base/vec.h"
#include "codec/doc.h"

struct hpa_then {
	int64_t n, at_ns; /* replicas that were recommended; or by how many they changed */
};

struct hpa_history {
	VEC(struct hpa_then) asked, up, down;
};

void hpa_history_release(struct hpa_history *h);

/* Conditions, as they are to be set; constant text. */
struct hpa_said {
	const char *status, *reason, *message;
};

struct hpa_bounds {
	int64_t min, max, current;
	const struct val *behavior; /* spec.behavior, or NULL */
	int64_t now_ns;
};

/* wanted: by metrics. able: AbleToScale, limited: ScalingLimited. */
int64_t hpa_limit(struct hpa_history *h, const struct hpa_bounds *b, int64_t wanted, struct hpa_said *able,
		  struct hpa_said *limited);
/* The target was changed. */
void hpa_changed(struct hpa_history *h, const struct hpa_bounds *b, int64_t to);
/* spec.behavior.scaleUp or scaleDown: how far from its target a metric may be. */
double hpa_tolerance_of(const struct val *behavior, bool up);
