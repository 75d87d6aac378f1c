/* volume_totals.h - volumes for /metrics: what was counted (volume_metrics.h), and how many of which kind this node's
 * pods want and have. Any thread.
 */
#pragma once

#include "base/buf.h"

struct kubelet;
void volume_metrics_write(struct kubelet *k, struct buf *b);
