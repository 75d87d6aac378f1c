/* meta.h - metadata of the object and of those embedded in it; only for the files of this folder. */
#pragma once

#include "object/structural/walks.h"

/* raw as upstream's type has it: what it does not know is left out (and said to u), what is of a wrong type an error,
 * or left out as well (drop). at: where it stands. NULL only with an error. */
struct val *meta_coerce(struct arena *a, const struct val *raw, bool drop, const struct fpath *at, struct unknown *u,
			struct err *err);
/* Do embedded resources have a kind, an apiVersion, and metadata that could be an object's? */
void meta_check(const struct snode *n, struct field_errs *fe, const struct val *v, const struct fpath *at);
