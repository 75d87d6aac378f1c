/* tolerations.h - tolerations that others add to a pod's: of its RuntimeClass, of its namespace. */
#pragma once

#include "codec/doc.h"

#define TOLERATIONS_MERGED_MAX 256 /* of so many none is looked for in the others: more of them tolerate the same */

/* Is what less tolerates tolerated by more as well, and for as long? */
bool toleration_within(const struct val *more, const struct val *less);
/* spec.tolerations and more, those left out that another one of them stands for. */
void tolerations_merge(struct arena *a, struct val *spec, const struct val *more);
