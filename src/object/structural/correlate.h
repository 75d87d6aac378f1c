/* correlate.h - which old value a new one was; only for the files of this folder.
 *
 * Members of objects correlate by their name where the schema says something about them, elements of lists that are
 * maps by their keys, all else does not: no old value. An old value is a struct val, that of a member may be null.
 */
#pragma once

#include "base/strmap.h"
#include "codec/val_index.h"
#include "object/structural/node.h"

/* The children of one old value, to look up those of the new one. Old may be NULL. */
struct old_children {
	const struct snode *n;
	const struct val *old;
	struct val_index members;
	struct strmap by_key; /* of the elements */
	bool maps, lists;
};
struct old_children old_children_of(const struct snode *n, const struct val *old);
void old_children_release(struct old_children *c);
const struct val *old_member(const struct old_children *c, struct sv name, const struct snode *of);
const struct val *old_element(const struct old_children *c, const struct val *element);

/* Equal as upstream has it for what did not change: lists that are maps in any order of theirs, and objects with
 * members that their schema does not know never. *steps is paid for each value. */
bool correlated_equal(const struct snode *n, const struct val *now, const struct val *old, size_t *steps);
