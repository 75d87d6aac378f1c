/* hpa_calc.h - how many replicas a metric asks for: the arithmetic of the HorizontalPodAutoscaler, pure.
 *
 * Values are thousandths (of a core, a byte, or whatever the metric counts), as upstream's. What is made of pods that
 * are not ready, or of which nothing is known, is upstream's, too (its "algorithm details"): nothing that is unknown
 * makes it act more.
 *
 * Threads: any; everything is of the arena or borrowed.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/strmap.h"
#include "object/obj.h"

#define HPA_CPU_STARTS_NS (300 * NS_PER_SEC) /* so long after a pod's start its processors are looked at twice */
#define HPA_READY_DELAY_NS (30 * NS_PER_SEC) /* who was not ready so early never was */

/* Of one pod. */
struct hpa_sample {
	int64_t value, at_ns, window_ns;
};

struct hpa_tolerance {
	double up, down; /* of the ratio, from 1 */
};

struct hpa_pods {
	struct obj **pods; /* those that the target selects */
	size_t n;
	struct strmap samples; /* name -> struct hpa_sample *; changed by the arithmetic */
	int64_t now_ns;
};

struct hpa_wish {
	int64_t replicas;
	int64_t percent; /* of requests; of hpa_by_utilization() alone */
	int64_t average; /* of the pods that count */
};

/* resource: "cpu", ...; container: of that one alone, "" : of all. -1: what is missing, in upstream's words. */
int hpa_by_utilization(struct arena *a, struct hpa_pods *p, struct sv resource, struct sv container, int64_t percent,
		       int64_t current, struct hpa_tolerance t, struct hpa_wish *ret, struct err *err);
/* resource "" : none of the node's. target: what each pod should have. */
int hpa_by_average(struct arena *a, struct hpa_pods *p, struct sv resource, int64_t target, int64_t current,
		   struct hpa_tolerance t, struct hpa_wish *ret, struct err *err);
/* Of one number for all: target is what it should be; the pods that are ready count. */
int hpa_by_value(const struct hpa_pods *p, int64_t value, int64_t target, int64_t current, struct hpa_tolerance t,
		 struct hpa_wish *ret, struct err *err);
/* Of one number for all, of which each pod should have target. replicas: as the target's status has them. */
void hpa_by_share(int64_t value, int64_t target, int64_t replicas, struct hpa_tolerance t, struct hpa_wish *ret);
