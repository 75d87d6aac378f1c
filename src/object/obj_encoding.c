/* A list hung on the object, pushed to by compare and exchange and never taken from while the object lives: readers
 * need no lock. It has one entry for each encoding and version the server knows, so it is short. */
#include "object/obj_encoding.h"
#include "object/obj-internal.h"

#include <stdlib.h>
#include <string.h>

static const struct encoded *encoded_find(const struct encoded *list, const void *key)
{
	while (list && list->key != key)
		list = list->next;
	return list;
}

static struct encoded *encoded_new(const void *key, struct obj *view_take, struct sv bytes)
{
	struct encoded *e = xmalloc(sizeof(*e) + bytes.n);

	*e = (struct encoded){ .key = key, .view = view_take, .n = bytes.n };
	if (bytes.n)
		memcpy(e->bytes, bytes.p, bytes.n);
	return e;
}

/* The one that is kept: mine, or another thread's that was faster. */
static const struct encoded *encoded_push(struct obj *o, struct encoded *mine)
{
	struct encoded *head = atomic_load_explicit(&o->encoded, memory_order_acquire);
	const struct encoded *found;

	do {
		found = encoded_find(head, mine->key);
		mine->next = head;
	} while (!found && !atomic_compare_exchange_weak_explicit(&o->encoded, &head, mine, memory_order_acq_rel,
								  memory_order_acquire));
	if (!found) {
		atomic_fetch_add_explicit(&obj_encoded_total, encoded_size(mine), memory_order_relaxed);
		return mine;
	}
	obj_unref(mine->view);
	free(mine);
	return found;
}

bool obj_encoded(struct obj *o, const struct obj_encoding *e, struct sv *ret)
{
	/* Acquire: with the pointer come the bytes that were written before it. */
	const struct encoded *found = encoded_find(atomic_load_explicit(&o->encoded, memory_order_acquire), e);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!found) {
		if (!e->encode(&b, o))
			return false;
		found = encoded_push(o, encoded_new(e, NULL, buf_sv(&b)));
	}
	*ret = sv_make(found->bytes, found->n);
	return true;
}

bool obj_view(const struct obj *o, const void *key, struct obj **ret)
{
	const struct encoded *found = encoded_find(atomic_load_explicit(&o->encoded, memory_order_acquire), key);

	*ret = found ? found->view : NULL;
	return found;
}

struct obj *obj_keep_view(struct obj *o, const void *key, struct obj *view_take)
{
	return encoded_push(o, encoded_new(key, view_take, SV_NULL))->view;
}

size_t obj_encoded_bytes(void)
{
	return atomic_load_explicit(&obj_encoded_total, memory_order_relaxed);
}
