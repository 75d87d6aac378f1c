/* Equality, order and hashes of values, and maps, which are found by them.
 *
 * Equality must not cost the square of what a client sends: maps are asked by hash, lists that are sets or maps are
 * compared through a table of hashes, documents' maps through an index.
 */
#include "object/cel/cel.h"
#include "object/cel/value_internal.h"

#include <math.h>

/* --- maps --- */

static const struct cel_entry *value_map_slot(struct arena *a, const struct cel_map *m, const struct cel_value *key)
{
	if (!m->n_slots) {
		for (uint32_t i = 0; i < m->n; i++)
			if (cel_equal(a, &m->entries[i].key, key))
				return &m->entries[i];
		return NULL;
	}
	for (size_t at = cel_hash(a, key) & (m->n_slots - 1); m->slots[at]; at = (at + 1) & (m->n_slots - 1))
		if (cel_equal(a, &m->entries[m->slots[at] - 1].key, key))
			return &m->entries[m->slots[at] - 1];
	return NULL;
}

#define MAP_SMALL 8

bool cel_map_make(struct arena *a, const struct cel_entry *e, size_t n, struct cel_value *ret, struct cel_value *dup)
{
	struct cel_map *m = ARENA_NEW(a, struct cel_map);
	uint32_t *slots = NULL;

	m->entries = e;
	if (n > MAP_SMALL) {
		m->n_slots = 16;
		while (m->n_slots < 2 * n)
			m->n_slots *= 2;
		m->slots = slots = ARENA_ARRAY(a, uint32_t, m->n_slots);
	}
	for (size_t i = 0; i < n; i++) {
		if (value_map_slot(a, m, &e[i].key)) {
			*dup = e[i].key;
			return false;
		}
		m->n = (uint32_t)i + 1;
		if (slots) {
			size_t at = cel_hash(a, &e[i].key) & (m->n_slots - 1);

			while (slots[at])
				at = (at + 1) & (m->n_slots - 1);
			slots[at] = (uint32_t)i + 1;
		}
	}
	*ret = (struct cel_value){ .kind = CEL_MAP, .n = (uint32_t)n, .map = m };
	return true;
}

bool cel_map_find(struct arena *a, const struct cel_value *map, const struct cel_value *key, struct cel_value *ret)
{
	const struct cel_entry *e;

	if (map->flags & CEL_V_DOC) {
		const struct val *m = key->kind == CEL_STRING ? val_member_sv(map->doc, cel_text(key)) : NULL;

		if (!m)
			return false;
		*ret = cel_from_doc(a, m, cel_elem_type(map));
		return true;
	}
	e = value_map_slot(a, map->map, key);
	if (!e)
		return false;
	*ret = e->value;
	return true;
}

/* --- equality --- */

static bool value_number(const struct cel_value *v)
{
	return v->kind == CEL_INT || v->kind == CEL_UINT || v->kind == CEL_DOUBLE;
}

static int value_cmp_int_double(int64_t i, double d)
{
	if (isnan(d))
		return CEL_UNORDERED;
	if (d >= 9223372036854775808.0)
		return -1;
	if (d < -9223372036854775808.0)
		return 1;
	if (i != (int64_t)d)
		return i < (int64_t)d ? -1 : 1;
	return d == trunc(d) ? 0 : d > trunc(d) ? -1 : 1;
}

static int value_cmp_uint_double(uint64_t u, double d)
{
	if (isnan(d))
		return CEL_UNORDERED;
	if (d >= 18446744073709551616.0)
		return -1;
	if (d < 0)
		return 1;
	if (u != (uint64_t)d)
		return u < (uint64_t)d ? -1 : 1;
	return d > trunc(d) ? -1 : 0;
}

#define CMP(a, b) ((a) < (b) ? -1 : (a) > (b) ? 1 : 0)

static int value_cmp_numbers(const struct cel_value *x, const struct cel_value *y)
{
	int c;

	if (x->kind == y->kind) {
		if (x->kind == CEL_DOUBLE)
			return isnan(x->d) || isnan(y->d) ? CEL_UNORDERED : CMP(x->d, y->d);
		return x->kind == CEL_INT ? CMP(x->i, y->i) : CMP(x->u, y->u);
	}
	if (x->kind == CEL_INT && y->kind == CEL_UINT)
		return x->i < 0 ? -1 : CMP((uint64_t)x->i, y->u);
	if (x->kind == CEL_INT)
		return value_cmp_int_double(x->i, y->d);
	if (x->kind == CEL_UINT && y->kind == CEL_DOUBLE)
		return value_cmp_uint_double(x->u, y->d);
	c = value_cmp_numbers(y, x);
	return c == CEL_UNORDERED ? c : -c;
}

int cel_compare(const struct cel_value *x, const struct cel_value *y)
{
	if (value_number(x) && value_number(y))
		return value_cmp_numbers(x, y);
	if (x->kind != y->kind)
		return CEL_UNORDERED;
	switch (x->kind) {
	case CEL_BOOL:
		return CMP(x->b, y->b);
	case CEL_STRING:
	case CEL_BYTES: {
		int c = sv_cmp(cel_text(x), cel_text(y));

		return CMP(c, 0);
	}
	case CEL_DURATION:
		return CMP(x->i, y->i);
	case CEL_TIMESTAMP:
		return x->i != y->i ? CMP(x->i, y->i) : CMP(x->n, y->n);
	default:
		return CEL_UNORDERED;
	}
}

/* Entries of maps and members of objects, whatever they are made of. */
struct value_iter {
	const struct cel_value *of;
	struct val_iter doc;
	uint32_t i;
	struct cel_value key, value;
};

static struct value_iter value_iter_of(const struct cel_value *v)
{
	return (struct value_iter){ .of = v, .doc = v->flags & CEL_V_DOC ? val_iter(v->doc) : (struct val_iter){ 0 } };
}

static const struct cel_type *value_member_type(struct arena *a, const struct cel_value *v, struct sv key)
{
	const struct cel_field *f;

	if (v->kind != CEL_OBJECT)
		return cel_elem_type(v);
	f = v->type ? cel_type_field(v->type, cel_escape(a, key)) : NULL;
	return f ? f->type : NULL;
}

static bool value_iter_next(struct arena *a, struct value_iter *it)
{
	const struct cel_value *v = it->of;

	if (v->flags & CEL_V_DOC) {
		if (!val_iter_next(&it->doc))
			return false;
		it->key = cel_string(it->doc.key);
		it->value = cel_from_doc(a, it->doc.value, value_member_type(a, v, it->doc.key));
		return true;
	}
	if ((v->flags & CEL_V_LAZY) || it->i >= v->map->n)
		return false;
	it->key = v->map->entries[it->i].key;
	it->value = v->map->entries[it->i++].value;
	return true;
}

bool cel_index_find(struct arena *a, const struct cel_index *x, const struct cel_value *key, struct cel_value *ret)
{
	const struct val *m;

	if (!(x->of->flags & CEL_V_DOC))
		return cel_map_find(a, x->of, key, ret);
	m = key->kind == CEL_STRING ? val_index_get(&x->doc, cel_text(key)) : NULL;
	if (!m)
		return false;
	*ret = cel_from_doc(a, m, value_member_type(a, x->of, cel_text(key)));
	return true;
}

static bool value_equal_maps(struct arena *a, const struct cel_value *x, const struct cel_value *y)
{
	struct value_iter it = value_iter_of(x);
	struct cel_index index;
	bool same = cel_count(x) == cel_count(y);

	if (!same)
		return false;
	index = cel_index_of(y);
	while (same && value_iter_next(a, &it)) {
		struct cel_value other;

		same = cel_index_find(a, &index, &it.key, &other) && cel_equal(a, &it.value, &other);
	}
	cel_index_release(&index);
	return same;
}

/* What tells elements of a list of type map apart: the values of its keys. */
static struct cel_value value_key_of(struct arena *a, const struct cel_type *t, const struct cel_value *elem)
{
	struct cel_value *keys;

	if (t->list_type != CEL_LIST_MAP || !(elem->flags & CEL_V_DOC))
		return *elem;
	keys = ARENA_ARRAY(a, struct cel_value, t->n_list_keys);
	for (size_t i = 0; i < t->n_list_keys; i++)
		keys[i] = cel_from_doc(a, val_member_sv(elem->doc, t->list_keys[i]), NULL);
	return cel_list(keys, t->n_list_keys);
}

bool cel_keyed_make(struct arena *a, const struct cel_type *t, const struct cel_value *list, struct cel_value *ret)
{
	size_t n = cel_count(list);
	struct cel_entry *e = ARENA_ARRAY(a, struct cel_entry, n);
	struct cel_value dup;

	for (size_t i = 0; i < n; i++) {
		e[i].value = cel_at(a, list, i);
		e[i].key = value_key_of(a, t, &e[i].value);
	}
	return cel_map_make(a, e, n, ret, &dup);
}

const struct cel_type *cel_keyed_type(const struct cel_value *x)
{
	return x->type && x->type->kind == CEL_LIST && x->type->list_type != CEL_LIST_ATOMIC ? x->type : NULL;
}

static bool value_equal_lists(struct arena *a, const struct cel_value *x, const struct cel_value *y)
{
	const struct cel_type *keyed = cel_keyed_type(x);
	struct cel_value map;

	if (x->n != y->n)
		return false;
	if (keyed && cel_keyed_make(a, keyed, x, &map)) {
		for (size_t i = 0; i < y->n; i++) {
			struct cel_value e = cel_at(a, y, i), k = value_key_of(a, keyed, &e), other;

			if (!cel_map_find(a, &map, &k, &other) || !cel_equal(a, &e, &other))
				return false;
		}
		return true;
	}
	for (size_t i = 0; i < x->n; i++) {
		struct cel_value ex = cel_at(a, x, i), ey = cel_at(a, y, i);

		if (!cel_equal(a, &ex, &ey))
			return false;
	}
	return true;
}

_Thread_local size_t cel_steps;

bool cel_equal(struct arena *a, const struct cel_value *x, const struct cel_value *y)
{
	cel_steps++;
	if (value_number(x) && value_number(y))
		return value_cmp_numbers(x, y) == 0;
	if (x->kind != y->kind) {
		/* A document's object may meet a literal or an untyped map. */
		bool maps =
		    (x->kind == CEL_MAP || x->kind == CEL_OBJECT) && (y->kind == CEL_MAP || y->kind == CEL_OBJECT);

		return maps && !(x->flags & CEL_V_LAZY) && !(y->flags & CEL_V_LAZY) && value_equal_maps(a, x, y);
	}
	switch (x->kind) {
	case CEL_NULL:
		return true;
	case CEL_LIST:
		return value_equal_lists(a, x, y);
	case CEL_MAP:
	case CEL_OBJECT:
		if ((x->flags | y->flags) & CEL_V_LAZY)
			return x->flags == y->flags && x->lazy == y->lazy;
		return value_equal_maps(a, x, y);
	case CEL_OPTIONAL:
		return x->items && y->items ? cel_equal(a, x->items, y->items) : x->items == y->items;
	case CEL_TYPE:
		return x->named == y->named || sv_eq(x->named->name, y->named->name);
	case CEL_OPAQUE:
		return x->type == y->type && x->type->opaque->equal && x->type->opaque->equal(x->p, y->p);
	default:
		return cel_compare(x, y) == 0;
	}
}

static uint64_t value_mix(uint64_t h, uint64_t x)
{
	h ^= x + UINT64_C(0x9e3779b97f4a7c15) + (h << 6) + (h >> 2);
	h *= UINT64_C(0xff51afd7ed558ccd);
	return h ^ (h >> 32);
}

static uint64_t value_hash_number(const struct cel_value *v)
{
	double d = v->kind == CEL_DOUBLE ? v->d : v->kind == CEL_INT ? (double)v->i : (double)v->u;
	uint64_t bits;

	d = d == 0 ? 0 : d; /* -0 is 0 */
	memcpy(&bits, &d, sizeof(bits));
	return value_mix(1, bits);
}

uint64_t cel_hash(struct arena *a, const struct cel_value *v)
{
	uint64_t h = 0;

	cel_steps++;
	switch (v->kind) {
	case CEL_INT:
	case CEL_UINT:
	case CEL_DOUBLE:
		return value_hash_number(v);
	case CEL_BOOL:
		return value_mix(2, v->b);
	case CEL_STRING:
	case CEL_BYTES: {
		/* Keys may be a client's: seeded, as documents' are. */
		struct val text = { .type = VAL_STR, .n = v->n & 0xfffffff, .s = v->s };

		return value_mix(3, val_hash(&text));
	}
	case CEL_TIMESTAMP:
		return value_mix((uint64_t)v->i, v->n);
	case CEL_DURATION:
		return value_mix(5, (uint64_t)v->i);
	case CEL_OPTIONAL:
		return v->items ? value_mix(6, cel_hash(a, v->items)) : 6;
	case CEL_LIST: {
		bool ordered = !cel_keyed_type(v);

		for (size_t i = 0; i < v->n; i++) {
			struct cel_value e = cel_at(a, v, i);

			h = ordered ? value_mix(h, cel_hash(a, &e)) : h + cel_hash(a, &e);
		}
		return value_mix(h, v->n);
	}
	case CEL_MAP:
	case CEL_OBJECT: {
		struct value_iter it = value_iter_of(v);

		while (value_iter_next(a, &it))
			h += value_mix(cel_hash(a, &it.key), cel_hash(a, &it.value));
		return h;
	}
	default:
		return v->kind;
	}
}
