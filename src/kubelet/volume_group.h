/* volume_group.h - fsGroup: the files of a volume belong to a group that all of the pod's containers have.
 *
 * Blocking; for worker tasks. */
#pragma once

#include "base/err.h"
#include "codec/doc.h"

/* All below path, as the pod's fsGroupChangePolicy says. What refuses for good (EPERM and its like) is logged once for
 * all and passed over; what is gone meanwhile is nothing. */
int volume_group_set(const struct val *pod, const char *path, int64_t group, struct err *err);
