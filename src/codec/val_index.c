/* val_index.c - see val_index.h. Open addressing over the places of values in the map's array. */
#include "codec/val_index.h"

#include "base/strmap.h"
#include "codec/doc_items.h"
#include "codec/symbol.h"

#include <stdlib.h>

#define SMALL_NODES 32
#define GONE \
	UINT32_MAX /* a slot whose member was removed: searches go on behind it, and the next to come may have it */

/* A late symbol's name may stand in the map as text: the two have one hash and are one key. */
static uint64_t vidx_hash(struct sv key, enum sym sym)
{
	return sym && !sym_late(sym) ? sym * UINT64_C(0x9e3779b97f4a7c15) >> 16 : strmap_hash(key);
}

static bool vidx_is(const struct val_index *x, uint32_t place, struct sv key, enum sym sym)
{
	const struct val *v = &x->map->items[place - 1];

	if (v->sym == (uint32_t)sym && sym)
		return true;
	if (v->sym)
		return sym_late((enum sym)v->sym) && sv_eq(sym_name((enum sym)v->sym), key);
	return (!sym || sym_late(sym)) && sv_eq(sv_make(v[-1].s, v[-1].n), key);
}

static uint32_t *vidx_find(const struct val_index *x, struct sv key, enum sym sym)
{
	size_t mask = x->n_slots - 1;

	for (size_t i = vidx_hash(key, sym) & mask; x->slots[i]; i = (i + 1) & mask)
		if (x->slots[i] != GONE && vidx_is(x, x->slots[i], key, sym))
			return &x->slots[i];
	return NULL;
}

static void vidx_enter(struct val_index *x, struct sv key, enum sym sym, const struct val *v)
{
	size_t mask = x->n_slots - 1, i = vidx_hash(key, sym) & mask;

	while (x->slots[i] && x->slots[i] != GONE)
		i = (i + 1) & mask;
	x->filled += !x->slots[i];
	x->slots[i] = (uint32_t)(v - x->map->items) + 1;
}

/* Takes what was removed out of the map. */
static void vidx_compact(struct val_index *x)
{
	struct val *v = x->map->items;
	size_t w = 0;

	for (size_t i = 0; x->removed && i < x->map->n;) {
		size_t n = v[i].sym ? 1 : 2; /* nodes of a member: its key, its value */

		if (v[i + n - 1].type != VAL_KEY) {
			memmove(&v[w], &v[i], n * sizeof(*v));
			w += n;
		}
		i += n;
	}
	if (x->removed)
		x->map->n = (uint32_t)w & VAL_N_MAX;
	x->removed = false;
}

static void vidx_build(struct val_index *x)
{
	vidx_compact(x);
	free(x->slots);
	x->slots = NULL;
	x->filled = 0;
	if (x->map->n <= SMALL_NODES)
		return;
	for (x->n_slots = 64; x->n_slots < (size_t)x->map->n * 2;)
		x->n_slots *= 2;
	x->slots = xcalloc(x->n_slots, sizeof(*x->slots));
	VAL_EACH_MEMBER(x->map, m)
		vidx_enter(x, m.key, m.sym, m.value);
}

struct val_index val_index_of(const struct val *map)
{
	struct val_index x = { .map = (struct val *)map };

	if (val_type(map) == VAL_MAP)
		vidx_build(&x);
	return x;
}

struct val_index val_index_changing(struct val *map)
{
	struct val_index x = val_index_of(map);

	BUG_ON(val_type(map) != VAL_MAP || val_frozen(map));
	x.changes = true;
	return x;
}

void val_index_release(struct val_index *x)
{
	if (x->removed)
		vidx_compact(x);
	free(x->slots);
	*x = (struct val_index){ 0 };
}

const struct val *val_index_get(const struct val_index *x, struct sv key)
{
	uint32_t *slot;

	if (!x->slots)
		return val_member_sv(x->map, key);
	slot = vidx_find(x, key, sym_find(key));
	return slot ? &x->map->items[*slot - 1] : NULL;
}

const struct val *val_index_member(const struct val_index *x, enum sym sym, struct sv key)
{
	uint32_t *slot;

	if (!sym)
		return val_index_get(x, key);
	if (!x->slots)
		return val_member(x->map, sym);
	slot = vidx_find(x, key, sym);
	return slot ? &x->map->items[*slot - 1] : NULL;
}

struct val *val_index_set(struct val_index *x, struct arena *a, struct sv key, const struct val *v)
{
	struct val *m = (struct val *)val_index_get(x, key), copy = v ? *v : val_make(VAL_NULL, 0);

	BUG_ON(!x->changes);
	if (m) {
		copy.sym = m->sym;
		*m = copy;
		return m;
	}
	val_append_sv(a, x->map, key, v);
	if (!x->slots || x->filled * 2 >= x->n_slots)
		vidx_build(x);
	else
		vidx_enter(x, key, sym_find(key), &x->map->items[x->map->n - 1]);
	return &x->map->items[x->map->n - 1];
}

bool val_index_del(struct val_index *x, struct sv key)
{
	uint32_t *slot;

	BUG_ON(!x->changes);
	if (!x->slots)
		return val_del_sv(x->map, key);
	slot = vidx_find(x, key, sym_find(key));
	if (!slot)
		return false;
	/* A value of this type stands in no map: the member is passed over and swept later. */
	x->map->items[*slot - 1].type = VAL_KEY;
	*slot = GONE;
	x->removed = true;
	return true;
}

static void vidx_put(struct arena *a, struct val *map, const struct val *from, bool over)
{
	struct val out = val_make(VAL_MAP, 0);
	_cleanup_(val_index_release) struct val_index x = { 0 };

	VAL_EACH_MEMBER(map, m)
		val_append_sv(a, &out, m.key, m.value);
	x = val_index_changing(&out);
	VAL_EACH_MEMBER(from, m)
		if (over || !val_index_get(&x, m.key))
			val_index_set(&x, a, m.key, m.value);
	map->items = out.items;
	map->n = out.n;
}

void val_put_all(struct arena *a, struct val *map, const struct val *from)
{
	vidx_put(a, map, from, true);
}

void val_add_missing(struct arena *a, struct val *map, const struct val *from)
{
	vidx_put(a, map, from, false);
}
