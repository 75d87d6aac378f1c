#include "base/strmap.h"

#include <stdlib.h>

#define FEW 6	       /* entries that are found fastest by looking at each: maps of so many have no index */
#define SHRINK_FROM 64 /* slots: below, there is nothing to gain */
#define SHRINK_AT 16   /* slots per live entry; after it there are two to four */

static uint64_t hash_seed = UINT64_C(0x9e3779b97f4a7c15);

void strmap_seed(uint64_t seed)
{
	hash_seed = seed;
}

/* A multiply-fold hash (the wyhash family's mixing step) over 8-byte words. */
static uint64_t strmap_mix(uint64_t a, uint64_t b)
{
	__uint128_t r = (__uint128_t)a * b;

	return (uint64_t)r ^ (uint64_t)(r >> 64);
}

uint64_t strmap_hash_with(uint64_t seed, struct sv key)
{
	uint64_t h = seed ^ (key.n * UINT64_C(0xa0761d6478bd642f));
	size_t i = 0;

	for (; i + 8 <= key.n; i += 8) {
		uint64_t w;

		memcpy(&w, key.p + i, 8);
		h = strmap_mix(h ^ w, UINT64_C(0xe7037ed1a0b428db));
	}
	if (i < key.n) {
		uint64_t w = 0;

		memcpy(&w, key.p + i, key.n - i);
		h = strmap_mix(h ^ w, UINT64_C(0x8ebc6af09c88c6e3));
	}
	return strmap_mix(h, UINT64_C(0x589965cc75374cc3));
}

uint64_t strmap_hash(struct sv key)
{
	return strmap_hash_with(hash_seed, key);
}

void strmap_release_with(struct strmap *m, void (*free_value)(void *))
{
	if (!m->entries) /* nothing ever was in it */
		return;
	for (size_t i = 0; i < m->used; i++) {
		if (m->entries[i].key && free_value)
			free_value(m->entries[i].value);
		free(m->entries[i].key);
	}
	free(m->entries);
	free(m->index);
	*m = STRMAP_INIT;
}

void strmap_release(struct strmap *m)
{
	strmap_release_with(m, NULL);
}

static bool strmap_is(const struct strmap_entry *e, struct sv key, uint64_t hash)
{
	return e->hash == hash && e->key && e->key_n == key.n && memcmp(e->key, key.p ? key.p : "", key.n) == 0;
}

static struct strmap_entry *lookup(const struct strmap *m, struct sv key, uint64_t hash)
{
	if (m->slots == 0) {
		for (size_t i = 0; i < m->used; i++)
			if (strmap_is(&m->entries[i], key, hash))
				return &m->entries[i];
		return NULL;
	}
	for (size_t s = hash & (m->slots - 1);; s = (s + 1) & (m->slots - 1)) {
		uint32_t at = m->index[s];

		if (at == 0)
			return NULL;
		if (strmap_is(&m->entries[at - 1], key, hash))
			return &m->entries[at - 1];
	}
}

void *strmap_get(const struct strmap *m, struct sv key)
{
	struct strmap_entry *e = m->n ? lookup(m, key, strmap_hash(key)) : NULL;

	return e ? e->value : NULL;
}

bool strmap_has(const struct strmap *m, struct sv key)
{
	return m->n && lookup(m, key, strmap_hash(key)) != NULL;
}

/* Drops removed entries and sizes both tables for what is left and at least one more entry. Costs what they have room
 * for, of which a part has been added or removed since the last time. */
static void rebuild(struct strmap *m)
{
	size_t live = 0, slots = 8;

	for (size_t i = 0; i < m->used; i++)
		if (m->entries[i].key)
			m->entries[live++] = m->entries[i];
	m->used = live;
	free(m->index);
	if (live < FEW) {
		m->index = NULL;
		m->slots = 0;
		m->cap = FEW;
		m->entries = xrealloc(m->entries, m->cap * sizeof(*m->entries));
		return;
	}
	while (slots < (live + 1) * 2)
		slots *= 2;
	m->index = xcalloc(slots, sizeof(*m->index));
	m->slots = slots;
	m->cap = slots / 4 * 3;
	BUG_ON(m->cap > UINT32_MAX - 1);
	m->entries = xrealloc(m->entries, m->cap * sizeof(*m->entries));
	for (size_t i = 0; i < live; i++) {
		size_t s = m->entries[i].hash & (slots - 1);

		while (m->index[s])
			s = (s + 1) & (slots - 1);
		m->index[s] = (uint32_t)(i + 1);
	}
}

void **strmap_slot(struct strmap *m, struct sv key)
{
	uint64_t hash = strmap_hash(key);
	struct strmap_entry *e = lookup(m, key, hash);
	size_t s;

	if (e)
		return &e->value;
	if (m->used == m->cap)
		rebuild(m);
	e = &m->entries[m->used++];
	*e = (struct strmap_entry){ .key = xstrndup(key.p, key.n), .key_n = key.n, .hash = hash };
	m->n++;
	if (!m->slots)
		return &e->value;
	s = hash & (m->slots - 1);
	while (m->index[s])
		s = (s + 1) & (m->slots - 1);
	m->index[s] = (uint32_t)m->used;
	return &e->value;
}

void *strmap_set(struct strmap *m, struct sv key, void *value)
{
	void **slot = strmap_slot(m, key);
	void *old = *slot;

	*slot = value;
	return old;
}

void *strmap_del(struct strmap *m, struct sv key)
{
	struct strmap_entry *e = lookup(m, key, strmap_hash(key));
	void *old;

	if (!e)
		return NULL;
	old = e->value;
	free(e->key);
	e->key = NULL;
	e->value = NULL;
	m->n--;
	if (m->slots > SHRINK_FROM && m->n < m->slots / SHRINK_AT)
		rebuild(m);
	return old;
}

struct strmap_entry *strmap_next(const struct strmap *m, struct strmap_entry *prev)
{
	size_t i = prev ? (size_t)(prev - m->entries) + 1 : 0;

	for (; i < m->used; i++)
		if (m->entries[i].key)
			return &m->entries[i];
	return NULL;
}
