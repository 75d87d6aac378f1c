/* A list hung on the object, pushed to by compare and exchange and never taken from while the object lives: readers
 * need no lock. It has one entry for each encoding the server knows, so it is short. */
#include "object/obj_encoding.h"
#include "object/obj-internal.h"

#include <stdlib.h>
#include <string.h>

struct encoded {
	const struct obj_encoding *encoding;
	struct encoded *next;
	size_t n;
	char bytes[];
};

static _Atomic size_t encoded_total;

static size_t encoded_size(const struct encoded *e)
{
	return sizeof(*e) + e->n;
}

static const struct encoded *encoded_find(const struct encoded *list, const struct obj_encoding *e)
{
	while (list && list->encoding != e)
		list = list->next;
	return list;
}

bool obj_encoded(struct obj *o, const struct obj_encoding *e, struct sv *ret)
{
	/* Acquire: with the pointer come the bytes that were written before it. */
	struct encoded *head = atomic_load_explicit(&o->encoded, memory_order_acquire), *mine;
	const struct encoded *found = encoded_find(head, e);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (!found) {
		if (!e->encode(&b, o))
			return false;
		mine = xmalloc(sizeof(*mine) + b.n);
		mine->encoding = e;
		mine->n = b.n;
		if (b.n)
			memcpy(mine->bytes, b.p, b.n);
		do {
			found = encoded_find(head, e);
			mine->next = head;
		} while (!found && !atomic_compare_exchange_weak_explicit(&o->encoded, &head, mine,
									  memory_order_acq_rel, memory_order_acquire));
		if (found) {
			free(mine);
		} else {
			atomic_fetch_add_explicit(&encoded_total, encoded_size(mine), memory_order_relaxed);
			found = mine;
		}
	}
	*ret = sv_make(found->bytes, found->n);
	return true;
}

void obj_encoded_release(struct encoded *list)
{
	while (list) {
		struct encoded *e = list;

		list = e->next;
		atomic_fetch_sub_explicit(&encoded_total, encoded_size(e), memory_order_relaxed);
		free(e);
	}
}

size_t obj_encoded_bytes(void)
{
	return atomic_load_explicit(&encoded_total, memory_order_relaxed);
}
