#include "codec/symbol.h"

#include "base/strmap.h"
#include "base/vec.h"
#include "codec/symbol_tables.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

/* --- interned --- */

/* Written once each and then never again, before the slot that leads to it: no reader sees half of one. A process
 * without such names touches none of these pages. */
static char intern_text[SYM_INTERN_BYTES];
static uint32_t intern_offset[SYM_INTERN_MAX + 1];
/* As symbol_hash: 1 + which, 0 is free. A hash touches a page of its own for each name, so the first names have a small
 * table, and the large one is touched by processes that have more. No name changes its table. */
static _Atomic uint16_t intern_first[4 * SYM_INTERN_FIRST], intern_rest[4 * SYM_INTERN_MAX];
static _Atomic uint32_t intern_n;
static pthread_mutex_t intern_lock = PTHREAD_MUTEX_INITIALIZER; /* of writers, of owned names too */

static struct sv intern_name(uint32_t i)
{
	return sv_make(intern_text + intern_offset[i], intern_offset[i + 1] - intern_offset[i] - 1u);
}

static enum sym intern_look(_Atomic uint16_t *slots, size_t n, struct sv name, uint32_t folded, uint32_t end)
{
	uint16_t i;

	for (size_t at = folded % n; (i = atomic_load_explicit(&slots[at], memory_order_acquire)) != 0;
	     at = (at + 1) % n)
		if (SYM_MAX + (uint32_t)i - 1 < end && sv_eq(name, intern_name(i - 1u)))
			return (enum sym)(SYM_MAX + (uint32_t)i - 1);
	return SYM_NONE;
}

static enum sym intern_find(struct sv name, uint32_t folded, uint32_t end)
{
	uint32_t n = atomic_load_explicit(&intern_n, memory_order_relaxed);
	enum sym s = n ? intern_look(intern_first, ARRAY_LEN(intern_first), name, folded, end) : SYM_NONE;

	if (s != SYM_NONE || n <= SYM_INTERN_FIRST)
		return s;
	return intern_look(intern_rest, ARRAY_LEN(intern_rest), name, folded, end);
}

/* The generator filled the table with the same function: FNV-1a, folded. At most a quarter of
 * the slots are taken, so a probe sequence is short for names that are no symbol, too. */
enum sym sym_find_below(struct sv name, uint32_t end)
{
	uint64_t h = sv_hash(name);
	uint32_t folded = (uint32_t)(h ^ h >> 32);

	for (uint32_t slot = folded & symbol_hash_mask; symbol_hash[slot]; slot = (slot + 1) & symbol_hash_mask) {
		uint32_t s = symbol_hash[slot];

		if (sv_eq(name, sv_make(symbol_text + symbol_offset[s], symbol_offset[s + 1] - symbol_offset[s] - 1u)))
			return (enum sym)s;
	}
	return intern_find(name, folded, end);
}

enum sym sym_find(struct sv name)
{
	return sym_find_below(name, UINT32_MAX);
}

uint32_t sym_end(void)
{
	return SYM_MAX + atomic_load_explicit(&intern_n, memory_order_acquire);
}

static enum sym intern_add(struct sv name)
{
	uint32_t n = atomic_load_explicit(&intern_n, memory_order_relaxed);
	_Atomic uint16_t *slots = n < SYM_INTERN_FIRST ? intern_first : intern_rest;
	size_t at, n_slots = n < SYM_INTERN_FIRST ? ARRAY_LEN(intern_first) : ARRAY_LEN(intern_rest);
	uint64_t h = sv_hash(name);

	if (n == SYM_INTERN_MAX || name.n >= SYM_INTERN_BYTES - intern_offset[n])
		return SYM_NONE;
	memcpy(intern_text + intern_offset[n], name.p, name.n);
	intern_offset[n + 1] = intern_offset[n] + (uint32_t)name.n + 1;
	at = (uint32_t)(h ^ h >> 32) % n_slots;
	while (atomic_load_explicit(&slots[at], memory_order_relaxed))
		at = (at + 1) % n_slots;
	/* The number first: who finds the slot finds it counted. */
	atomic_store_explicit(&intern_n, n + 1, memory_order_release);
	atomic_store_explicit(&slots[at], (uint16_t)(n + 1), memory_order_release);
	return (enum sym)(SYM_MAX + n);
}

/* What every encoder writes as it is: the text of an object is laid out by the lengths of names (object/obj.c). */
static bool intern_may(struct sv name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] > '~' || strchr("\"\\<>&", name.p[i]))
			return false;
	return name.n > 0;
}

enum sym sym_intern(struct sv name)
{
	enum sym s = sym_find(name);

	if (s != SYM_NONE || !intern_may(name))
		return s;
	pthread_mutex_lock(&intern_lock);
	s = sym_find(name);
	if (s == SYM_NONE)
		s = intern_add(name);
	pthread_mutex_unlock(&intern_lock);
	return s;
}

/* --- owned --- */

struct owned {
	struct sv name;
	uint32_t next_free; /* 1 + which */
};

/* In blocks, so that none moves: a reader has the number from a table that its owner keeps. */
enum { OWNED_BLOCK = 1024 };
static _Atomic(struct owned *) owned_block[SYM_OWNED_MAX / OWNED_BLOCK];
static uint32_t owned_used, owned_free; /* guarded by intern_lock; owned_free: 1 + which */

#define SYM_OWNED ((uint32_t)SYM_MAX + SYM_INTERN_MAX) /* the first number of them */

struct sym_names {
	struct strmap by_name; /* enum sym as a pointer */
};

static struct owned *owned_at(uint32_t i)
{
	return atomic_load_explicit(&owned_block[i / OWNED_BLOCK], memory_order_acquire) + i % OWNED_BLOCK;
}

/* A free place, or SYM_OWNED_MAX. */
static uint32_t owned_take(void)
{
	uint32_t i = owned_free;

	if (i) {
		owned_free = owned_at(i - 1)->next_free;
		return i - 1;
	}
	if (owned_used == SYM_OWNED_MAX)
		return SYM_OWNED_MAX;
	i = owned_used++;
	if (i % OWNED_BLOCK == 0)
		atomic_store_explicit(&owned_block[i / OWNED_BLOCK], xcalloc(OWNED_BLOCK, sizeof(struct owned)),
				      memory_order_release);
	return i;
}

struct sym_names *sym_names_new(void)
{
	return xcalloc(1, sizeof(struct sym_names));
}

struct sym_names *sym_names_free(struct sym_names *n)
{
	if (!n)
		return NULL;
	pthread_mutex_lock(&intern_lock);
	STRMAP_EACH(&n->by_name, m) {
		uint32_t i = (uint32_t)(uintptr_t)m->value - SYM_OWNED;

		free((char *)owned_at(i)->name.p);
		*owned_at(i) = (struct owned){ .next_free = owned_free };
		owned_free = i + 1;
	}
	pthread_mutex_unlock(&intern_lock);
	strmap_release(&n->by_name);
	free(n);
	return NULL;
}

enum sym sym_names_add(struct sym_names *n, struct sv name)
{
	enum sym s = name.n ? sym_intern(name) : SYM_NONE;
	uint32_t i;
	void **slot;

	if (s != SYM_NONE || !name.n)
		return s;
	slot = strmap_slot(&n->by_name, name);
	if (*slot)
		return (enum sym)(uintptr_t)*slot;
	pthread_mutex_lock(&intern_lock);
	i = owned_take();
	if (i < SYM_OWNED_MAX)
		owned_at(i)->name = sv_make(xstrndup(name.p, name.n), name.n);
	pthread_mutex_unlock(&intern_lock);
	if (i == SYM_OWNED_MAX) {
		strmap_del(&n->by_name, name);
		return SYM_NONE;
	}
	*slot = (void *)(uintptr_t)(SYM_OWNED + i);
	return (enum sym)(SYM_OWNED + i);
}

/* --- names --- */

static struct sv late_name(uint32_t s)
{
	uint32_t i = s - SYM_MAX;

	if (i < SYM_INTERN_MAX)
		return i < atomic_load_explicit(&intern_n, memory_order_acquire) ? intern_name(i) : SV("");
	i -= SYM_INTERN_MAX;
	return i < SYM_OWNED_MAX && atomic_load_explicit(&owned_block[i / OWNED_BLOCK], memory_order_acquire)
		   ? owned_at(i)->name
		   : SV("");
}

struct sv sym_name(enum sym s)
{
	if (sym_late(s))
		return late_name((uint32_t)s);
	return sv_make(symbol_text + symbol_offset[s], symbol_offset[s + 1] - symbol_offset[s] - 1u);
}
