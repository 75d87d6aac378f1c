/* status.h - writing status documents without needless change.
 *
 * A controller builds its wanted status on a copy of the old one and writes only when the two
 * differ. The setters therefore leave alone what already says the same: in particular a zero
 * count is the same as an absent one, as published documents leave zeros out.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/condition.h"

/* Drops the failure: 0. For what a later event settles anyway, as an object gone meanwhile. */
static inline int err_forgive(struct err *err)
{
	err_release(err);
	return 0;
}

struct sv time_text(struct arena *a, int64_t ns);    /* metav1.Time */
bool time_get(const struct val *v, int64_t *ret_ns); /* false when absent or malformed */

void status_int(struct arena *a, struct val *map, enum sym key, int64_t n);
