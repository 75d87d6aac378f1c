/* A list hung on the object, pushed to by compare and exchange and never taken from while the object lives: readers
 * need no lock. It has one entry for each version the server knows, so it is short. */
#include "object/obj_view.h"
#include "object/obj-internal.h"

#include <stdlib.h>

static const struct view *view_find(const struct view *list, const void *key)
{
	while (list && list->key != key)
		list = list->next;
	return list;
}

bool obj_view(const struct obj *o, const void *key, struct obj **ret)
{
	/* Acquire: with the pointer comes what was written before it. */
	const struct view *found = view_find(atomic_load_explicit(&o->views, memory_order_acquire), key);

	*ret = found ? found->o : NULL;
	return found;
}

struct obj *obj_keep_view(struct obj *o, const void *key, struct obj *view_take)
{
	struct view *mine = xmalloc(sizeof(*mine)), *head = atomic_load_explicit(&o->views, memory_order_acquire);
	const struct view *found;

	*mine = (struct view){ .key = key, .o = view_take };
	do {
		found = view_find(head, key);
		mine->next = head;
	} while (!found && !atomic_compare_exchange_weak_explicit(&o->views, &head, mine, memory_order_acq_rel,
								  memory_order_acquire));
	if (!found) {
		atomic_fetch_add_explicit(&obj_view_total, view_size(mine), memory_order_relaxed);
		return view_take;
	}
	obj_unref(view_take); /* another thread's was faster */
	free(mine);
	return found->o;
}

size_t obj_view_bytes(void)
{
	return atomic_load_explicit(&obj_view_total, memory_order_relaxed);
}
