/* list_index.c - see list_index.h. */
#include "object/list_index.h"

const struct val *list_element_key(const struct val *element, enum sym merge_key)
{
	return merge_key && val_type(element) == VAL_MAP ? val_member(element, merge_key) : element;
}

/* The slot of an element with that key, or the free one where it belongs. */
static uint32_t *lidx_slot(const struct list_index *x, const struct val *key)
{
	size_t mask = x->n_slots - 1, i = val_hash(key) & mask;

	while (x->slots[i] && !val_equal(list_element_key(val_at(x->list, x->slots[i] - 1), x->merge_key), key))
		i = (i + 1) & mask;
	return &x->slots[i];
}

void list_index_grown(struct list_index *x)
{
	size_t len = val_len(x->list);

	if (len * 2 > x->n_slots) {
		for (x->n_slots = x->n_slots ? x->n_slots : 8; x->n_slots < len * 3;)
			x->n_slots *= 2;
		x->slots = ARENA_ARRAY(x->a, uint32_t, x->n_slots);
		x->n = 0;
	}
	for (; x->n < len; x->n++) {
		const struct val *key = list_element_key(val_at(x->list, x->n), x->merge_key);
		uint32_t *slot = key ? lidx_slot(x, key) : NULL;

		if (slot && !*slot)
			*slot = (uint32_t)x->n + 1;
	}
}

struct list_index list_index_of(struct arena *a, const struct val *list, enum sym merge_key)
{
	struct list_index x = { .a = a, .list = list, .merge_key = merge_key };

	if (val_type(list) == VAL_LIST)
		list_index_grown(&x);
	return x;
}

ssize_t list_index_find(const struct list_index *x, const struct val *element)
{
	const struct val *key = list_element_key(element, x->merge_key);

	return key && x->n_slots ? (ssize_t)*lidx_slot(x, key) - 1 : -1;
}
