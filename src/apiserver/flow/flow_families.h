/* flow_families.h - the families of metrics of priority and fairness, as the page has them; a test compares them with
 * tests/fields/metrics.tsv. */
#pragma once

#include "base/metric.h"

/* Of a schema at its level, then of a level. */
enum flow_metric {
	FM_EXECUTING,
	FM_SEATS,
	FM_WAITING,
	FM_DISPATCHED,
	FM_REJECTED,
	FM_WAITS,
	FM_NOMINAL,
	FM_LIMIT,
	_FM_MAX
};
extern const struct metric_family flow_families[_FM_MAX];
