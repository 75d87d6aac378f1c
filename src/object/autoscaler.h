/* autoscaler.h - HorizontalPodAutoscaler in its two versions, for all who read or convert one.
 *
 * autoscaling/v1 knows CPU in per cent and nothing else. What else an object of autoscaling/v2 says stands in four
 * annotations of its v1 form, so that clients of either version keep what the other wrote:
 *
 *	autoscaling.alpha.kubernetes.io/metrics          spec.metrics but for CPU in per cent, in types of v1
 *	autoscaling.alpha.kubernetes.io/behavior         spec.behavior, with the names that Go's fields have
 *	autoscaling.alpha.kubernetes.io/current-metrics  status.currentMetrics, all of them
 *	autoscaling.alpha.kubernetes.io/conditions       status.conditions
 *
 * They are texts that anybody may write: one that cannot be read is as none. No v2 form has them.
 *
 * Both conversions make a new document in a, which shares values with the one given; that is typed (decode.h) and is
 * not changed. The result is not typed yet: zero values are missing, and its members are in no order. Any thread.
 */
#pragma once

#include "codec/doc.h"

#define AUTOSCALER_METRICS "autoscaling.alpha.kubernetes.io/metrics"
#define AUTOSCALER_BEHAVIOR "autoscaling.alpha.kubernetes.io/behavior"
#define AUTOSCALER_CURRENT_METRICS "autoscaling.alpha.kubernetes.io/current-metrics"
#define AUTOSCALER_CONDITIONS "autoscaling.alpha.kubernetes.io/conditions"

struct val *autoscaler_to_v2(struct arena *a, const struct val *v1);
struct val *autoscaler_to_v1(struct arena *a, const struct val *v2);
/* doc itself, or its v2 form when it says that it is of v1. */
const struct val *autoscaler_as_v2(struct arena *a, const struct val *doc);
/* The member of a metric that its type asks for, "Pods": F_pods; SYM_NONE: no such type. */
enum sym autoscaler_member_of(struct sv type);
