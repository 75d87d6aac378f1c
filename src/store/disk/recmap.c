#include "store/disk/recmap.h"

#include "store/disk/overlay.h"

#include <stdlib.h>

#define RECMAP_LEAST 64

/* Where key's record is, or would be: there is a free slot. */
static struct recmap_slot *recmap_slot(const struct recmap *m, struct sv key, uint64_t hash)
{
	for (size_t i = hash & (m->cap - 1);; i = (i + 1) & (m->cap - 1)) {
		struct recmap_slot *s = &m->slots[i];

		if (!s->r || (s->hash == hash && sv_eq(rec_key(s->r), key)))
			return s;
	}
}

struct rec *recmap_get(const struct recmap *m, struct sv key, uint64_t hash)
{
	return m->n ? recmap_slot(m, key, hash)->r : NULL;
}

static void recmap_grow(struct recmap *m)
{
	struct recmap old = *m;

	m->cap = MAX(old.cap * 2, (size_t)RECMAP_LEAST);
	m->slots = xcalloc(m->cap, sizeof(m->slots[0]));
	for (size_t i = 0; i < old.cap; i++) {
		size_t at = old.slots[i].hash & (m->cap - 1);

		if (!old.slots[i].r)
			continue;
		while (m->slots[at].r)
			at = (at + 1) & (m->cap - 1);
		m->slots[at] = old.slots[i];
	}
	free(old.slots);
}

void recmap_put(struct recmap *m, struct rec *r)
{
	struct recmap_slot *s;

	if (2 * m->n >= m->cap)
		recmap_grow(m);
	s = recmap_slot(m, rec_key(r), r->key_hash);
	m->n += !s->r;
	*s = (struct recmap_slot){ r->key_hash, r };
}

void recmap_release(struct recmap *m)
{
	free(m->slots);
	*m = (struct recmap){ 0 };
}
