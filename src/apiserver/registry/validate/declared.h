/* declared.h - rules that upstream declares beside its types instead of writing them by hand; for the kinds that have
 * no others. What an unchanged object had is judged again here: these kinds were never laxer. */
#pragma once

#include "apiserver/registry/validate/kinds-internal.h"

/* Exactly one of the members, which end with SYM_NONE. */
void declared_union(struct field_errs *fe, const struct val *v, const struct fpath *at, const enum sym *members);
#define DECLARED_UNION(fe, v, at, ...) declared_union((fe), (v), (at), (const enum sym[]){ __VA_ARGS__, SYM_NONE })
/* At most max items, none named twice. False: there are too many, and nothing more is said of them. */
bool declared_list(struct field_errs *fe, const struct val *list, const struct fpath *at, size_t max);
void declared_range(struct field_errs *fe, const struct val *v, const struct fpath *at, int64_t min, int64_t max);
/* "example.com/name", and there. */
void declared_prefixed_key(struct field_errs *fe, const struct val *parent, const struct fpath *up, enum sym name);

enum { DECLARED_NO_SET = 1, DECLARED_NO_UNSET = 2, DECLARED_NO_MODIFY = 4 };
void declared_update(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at,
		     unsigned refused);
/* Items by their names: none goes, and none comes unless it may. */
void declared_items_kept(struct field_errs *fe, const struct val *now, const struct val *was, const struct fpath *at,
			 bool may_grow);
