/* list_index.h - where in a list an element with a given key is, however long the list.
 *
 * The key of an element is its member merge_key, or the element itself when that is SYM_NONE (sets of scalars) or the
 * element is no map. Keys are equal as val_equal() has it; of equal ones the first counts.
 *
 * The table lives in the arena, the list is borrowed. It may grow while it is indexed (list_index_grown) and elements
 * may be put in place of others with the same key; nothing else of it may change.
 */
#pragma once

#include "codec/doc.h"

struct list_index {
	struct arena *a;
	const struct val *list;
	enum sym merge_key;
	uint32_t *slots;   /* index + 1 */
	size_t n_slots, n; /* n: elements of the list that are in */
};

struct list_index list_index_of(struct arena *a, const struct val *list, enum sym merge_key);
void list_index_grown(struct list_index *x);					/* elements were added at the end */
ssize_t list_index_find(const struct list_index *x, const struct val *element); /* by its key; -1: none */

/* NULL: a map without that member. */
const struct val *list_element_key(const struct val *element, enum sym merge_key);
