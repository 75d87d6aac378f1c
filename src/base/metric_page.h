/* metric_page.h - the text of /metrics as it goes out: every family once, in order, without what is switched off.
 *
 * Components append sections (metric.h, or by hand in the same format); this sorts them by name, joins those of one
 * family that several components have, leaves out what the flags name, and bounds the values of labels. A page that
 * no flag touches costs one pass and a sort.
 */
#pragma once

#include "base/err.h"
#include "base/metric.h"

struct metric_rules; /* what the flags say; immutable */

/* disabled: names of metrics (--disabled-metrics); allow: "METRIC,LABEL='v1,v2'" (--allow-metric-labels), both
 * NULL-terminated or NULL. A label of that metric with another value reads "unexpected". NULL with *err: what is none.
 */
struct metric_rules *metric_rules_new(const char *const *disabled, const char *const *allow, struct err *err);
/* One more METRIC,LABEL, of a manifest; the first word counts. values: with commas between. */
int metric_rules_allow(struct metric_rules *r, struct sv metric_label, struct sv values, struct err *err);
struct metric_rules *metric_rules_free(struct metric_rules *r); /* NULL is fine */

/* b as it is to be sent; r may be NULL. ret_families: how many there are, ret_disabled: how many r left out. */
void metric_page_finish(struct buf *b, const struct metric_rules *r, size_t *ret_families, size_t *ret_disabled);
