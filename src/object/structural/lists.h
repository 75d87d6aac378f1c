/* lists.h - sets have no equal elements, maps no elements with equal keys; only for the files of this folder. */
#pragma once

#include "object/structural/node.h"

void lists_check(const struct snode *n, struct field_errs *fe, const struct val *v, const struct fpath *at);

/* Places of the elements that equal an earlier one which no other one before them equals: of three equal ones the
 * second. In order, into ret, which has room for n; returns how many. */
size_t lists_repeated(struct arena *a, const struct val *const *elements, size_t n, size_t *ret);
