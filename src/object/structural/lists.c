/* x-kubernetes-list-type. Equal elements are found by their hashes, sorted: n log n for n elements. */
#include "object/structural/lists.h"

#include <stdlib.h>

struct hashed {
	uint64_t hash;
	const struct val *v;
	size_t i, times; /* times: how many behind it are equal, of those looked at */
};

static int by_hash(const void *x, const void *y)
{
	const struct hashed *a = x, *b = y;

	if (a->hash != b->hash)
		return a->hash < b->hash ? -1 : 1;
	return a->i < b->i ? -1 : a->i > b->i;
}

static int lists_by_place(const void *x, const void *y)
{
	size_t a = *(const size_t *)x, b = *(const size_t *)y;

	return a < b ? -1 : a > b;
}

/* Absent keys equal each other and nothing else. */
static bool lists_equal(const struct val *a, const struct val *b)
{
	return a && b ? val_equal(a, b) : a == b;
}

/* Of one hash, so mostly all equal: each is compared with the first of each kind, which stand in front. */
static size_t repeated_in(struct hashed *run, size_t n, size_t *ret)
{
	size_t kinds = 0, found = 0;

	for (size_t i = 0; i < n; i++) {
		size_t k = 0;

		while (k < kinds && !lists_equal(run[k].v, run[i].v))
			k++;
		if (k == kinds)
			run[kinds++] = run[i];
		else if (run[k].times++ == 0)
			ret[found++] = run[i].i;
	}
	return found;
}

size_t lists_repeated(struct arena *a, const struct val *const *elements, size_t n, size_t *ret)
{
	struct hashed *all = ARENA_ARRAY(a, struct hashed, n + 1);
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		all[i] = (struct hashed){ .hash = elements[i] ? val_hash(elements[i]) : 0, .v = elements[i], .i = i };
	qsort(all, n, sizeof(*all), by_hash);
	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n && all[end].hash == all[i].hash;)
			end++;
		found += repeated_in(&all[i], end - i, &ret[found]);
	}
	qsort(ret, found, sizeof(*ret), lists_by_place);
	return found;
}

/* --- sets --- */

static void set_check(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	size_t n = val_len(v), *repeated = ARENA_ARRAY(fe->a, size_t, n + 1), found;
	const struct val **elements = ARENA_ARRAY(fe->a, const struct val *, n + 1);

	for (size_t i = 0; i < n; i++)
		elements[i] = val_at(v, i);
	found = lists_repeated(fe->a, elements, n, repeated);
	for (size_t i = 0; i < found; i++) {
		struct fpath item_at = FPATH_AT(at, repeated[i]);

		fe_duplicate(fe, &item_at, elements[repeated[i]]);
	}
}

/* --- maps --- */

static bool map_of_objects(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(v, e) {
		struct fpath item_at = FPATH_AT(at, i++);

		if (e->type == VAL_MAP || e->type == VAL_NULL)
			continue;
		fe_invalid(fe, &item_at, e, "must be an object for an array of list-type map");
		return false;
	}
	return true;
}

/* The keys that e has, as an object. */
static struct val *map_key_of(struct arena *a, const struct snode *n, const struct val *e)
{
	struct val *keys = val_new_map(a);

	VAL_EACH(n->map_key, k) {
		const struct val *key = val_member_sv(e, val_str(k));

		if (key)
			val_set_sv(a, keys, val_str(k), key);
	}
	return keys;
}

static void map_check(const struct snode *n, struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	size_t count = val_len(v), *repeated, found;
	const struct val **keys;

	if (!map_of_objects(fe, v, at) || count < 2)
		return;
	repeated = ARENA_ARRAY(fe->a, size_t, count);
	keys = ARENA_ARRAY(fe->a, const struct val *, count);
	for (size_t i = 0; i < count; i++)
		keys[i] = map_key_of(fe->a, n, val_at(v, i));
	found = lists_repeated(fe->a, keys, count, repeated);
	for (size_t i = 0; i < found; i++) {
		struct fpath item_at = FPATH_AT(at, repeated[i]);

		fe_duplicate(fe, &item_at, keys[repeated[i]]);
	}
}

void lists_check(const struct snode *n, struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	size_t i = 0;

	if (!n || !(n->flags & SN_LISTS))
		return;
	VAL_EACH_MEMBER(v, m) {
		const struct snode *property = snode_property(n, m.key);
		struct fpath named = FPATH_NAME(at, m.key), keyed = FPATH_KEY(at, m.key);

		lists_check(property ? property : n->additional, fe, m.value, property ? &named : &keyed);
	}
	if (val_type(v) != VAL_LIST)
		return;
	if (n->list == SL_SET)
		set_check(fe, v, at);
	else if (n->list == SL_MAP)
		map_check(n, fe, v, at);
	VAL_EACH(v, e) {
		struct fpath item_at = FPATH_AT(at, i++);

		lists_check(n->items, fe, e, &item_at);
	}
}
