/* usage_pages.h - usage as metrics: /metrics/resource, which metrics-server reads, and /metrics/cadvisor, which
 * dashboards do.
 *
 * Names, labels and units are upstream's (KEP-727; cAdvisor). Samples carry the time they were read at, in ms.
 */
#pragma once

#include "base/buf.h"
#include "kubelet/usage/usage.h"

void usage_resource_page(struct buf *b, const struct usage_node *n);
void usage_cadvisor_page(struct buf *b, const struct usage_node *n);
