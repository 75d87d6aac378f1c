/* Objects in the order of their keys, whatever those have in common: compared with a plain sorted array. */
#include "costs.h"

#include "apiserver/objpick.h"
#include "base/arena.h"
#include "codec/json.h"

#include <stdio.h>

#define KEYS 1500

struct key {
	char ns[64], name[64];
	bool in;
};

static uint32_t seed;

static uint32_t any(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % n;
}

static struct obj *object(const struct key *k)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char json[256];

	if (k->ns[0])
		snprintf(json, sizeof(json), "{\"metadata\":{\"namespace\":\"%s\",\"name\":\"%s\"}}", k->ns, k->name);
	else
		snprintf(json, sizeof(json), "{\"metadata\":{\"name\":\"%s\"}}", k->name);
	return obj_new(json_decode(&a, sv_from(json), NULL, NULL), 1);
}

static int key_order(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	char left[160], right[160];

	snprintf(left, sizeof(left), "%s%s%s", x->ns, x->ns[0] ? "/" : "", x->name);
	snprintf(right, sizeof(right), "%s%s%s", y->ns, y->ns[0] ? "/" : "", y->name);
	return strcmp(left, right);
}

/* Everything in it, in order, each found, and a seek to what is not there at its place. */
static void assert_same(const struct objtree *t, const struct key *keys, size_t n)
{
	struct objtree_pos p = { 0, 0 };
	const struct objtree_entry *e;
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		struct sv ns = sv_from(keys[i].ns), name = sv_from(keys[i].name);
		struct obj *o = objtree_get(t, ns, name);
		struct objtree_pos to = objtree_seek(t, ns, name);

		assert_int_equal(o != NULL, keys[i].in);
		e = objtree_at(t, p);
		assert_true(objtree_at(t, to) == e);
		if (!keys[i].in)
			continue;
		assert_ptr_equal(e->o, o);
		assert_sv(obj_name(o), keys[i].name);
		assert_sv(obj_ns(o), keys[i].ns);
		p = objtree_next(t, p);
		count++;
	}
	assert_null(objtree_at(t, p));
	assert_int_equal(t->count, count);
}

/* Puts and deletes keys that make() gives, in an order that goes up, down, or is mixed. */
static void run(void (*make)(struct key *k, size_t i), int order)
{
	static struct key keys[KEYS];
	struct objtree t = { 0 };
	size_t n = 0;

	memset(keys, 0, sizeof(keys));
	for (size_t i = 0; i < KEYS; i++)
		make(&keys[i], i);
	qsort(keys, KEYS, sizeof(keys[0]), key_order);
	for (size_t i = 0; i < KEYS; i++)
		if (!n || key_order(&keys[n - 1], &keys[i]))
			keys[n++] = keys[i];
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < n; i++) {
			struct key *k = &keys[order == 0 ? i : order == 1 ? n - 1 - i : any((uint32_t)n)];
			struct obj *was = objtree_put(&t, object(k));

			assert_int_equal(was != NULL, k->in);
			obj_unref(was);
			k->in = true;
		}
		assert_same(&t, keys, n);
		for (size_t i = 0; i < n; i++) {
			struct key *k = &keys[order == 0 ? i : order == 1 ? n - 1 - i : any((uint32_t)n)];
			struct obj *was;

			/* In the last round all of an ordered one: an empty tree, and another life after it. */
			if (order == 2 ? round == 1 && i > n / 4 : round == 2 ? false : i % 7 == 0)
				continue;
			was = objtree_del(&t, sv_from(k->ns), sv_from(k->name));
			assert_int_equal(was != NULL, k->in);
			obj_unref(was);
			k->in = false;
		}
		assert_same(&t, keys, n);
	}
	objtree_release(&t);
}

static void generated(struct key *k, size_t i)
{
	(void)i;
	snprintf(k->ns, sizeof(k->ns), "default");
	snprintf(k->name, sizeof(k->name), "bench-%05x", any(1 << 20));
}

/* Namespaces of which one goes on where another ends, with characters before and after '/'. */
static void spread(struct key *k, size_t i)
{
	static const char *const ns[] = { "a", "a-b", "a.b", "aa", "kube-system", "kube-system-2", "z" };

	(void)i;
	snprintf(k->ns, sizeof(k->ns), "%s", ns[any(ARRAY_LEN(ns))]);
	snprintf(k->name, sizeof(k->name), "%.*s%u", (int)any(20), "long-long-long-long-name", any(60));
}

/* Names that begin one another, and no namespace. */
static void nested(struct key *k, size_t i)
{
	memset(k->name, 'a', 1 + i % 60);
	k->name[any(1 + (uint32_t)(i % 60))] = ":-.a"[any(4)];
}

static void counted(struct key *k, size_t i)
{
	snprintf(k->ns, sizeof(k->ns), "ns-%zu", i / 500);
	snprintf(k->name, sizeof(k->name), "web-%zu", i);
}

static void test_order(void **state)
{
	static void (*const makes[])(struct key *, size_t) = { generated, spread, nested, counted };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(makes); i++)
		for (int order = 0; order < 3; order++)
			run(makes[i], order);
}

/* Where a namespace begins, ends, or would be. */
static void test_seek(void **state)
{
	static const struct key keys[] = {
		{ "a", "x", true }, { "b", "x", true }, { "b", "y", true }, { "d", "x", true }
	};
	static const struct {
		const char *ns, *name, *at; /* at NULL: the end */
	} seeks[] = { { "", "", "a" },	{ "a", "", "a" },   { "a", "y", "b" }, { "b", "", "b" },
		      { "c", "", "d" }, { "d", "y", NULL }, { "e", "", NULL } };
	struct objtree t = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		assert_null(objtree_put(&t, object(&keys[i])));
	for (size_t i = 0; i < ARRAY_LEN(seeks); i++) {
		const struct objtree_entry *e =
		    objtree_at(&t, objtree_seek(&t, sv_from(seeks[i].ns), sv_from(seeks[i].name)));

		assert_int_equal(e != NULL, seeks[i].at != NULL);
		if (e)
			assert_sv(obj_ns(e->o), seeks[i].at);
	}
	objtree_release(&t);
}

/* --- picks: what they are of stays as it was --- */

#define PICKED 1000

static void pick_key(struct key *k, size_t i)
{
	*k = (struct key){ 0 };
	snprintf(k->ns, sizeof(k->ns), "%s", i < PICKED / 4 ? "a" : i < 3 * PICKED / 4 ? "b" : "c");
	snprintf(k->name, sizeof(k->name), "o%05zu", 2 * i); /* room between them */
}

static void put_number(struct objtree *t, size_t i)
{
	struct key k;

	pick_key(&k, i);
	obj_unref(objtree_put(t, object(&k)));
}

static void del_number(struct objtree *t, size_t i)
{
	struct key k;

	pick_key(&k, i);
	obj_unref(objtree_del(t, sv_from(k.ns), sv_from(k.name)));
}

/* Walks it; every second one is dropped. Returns how many there were. */
static size_t walk_and_drop(struct objpick *p, size_t from)
{
	struct objpick_at at = { 0 };
	size_t n = 0, before = p->n;
	struct obj *o;

	for (; (o = objpick_next(p, &at)); n++) {
		struct key k;

		pick_key(&k, from + n);
		assert_sv(obj_name(o), k.name);
		if (n % 2)
			objpick_drop(p, &at);
	}
	assert_int_equal(n, before);
	assert_int_equal(p->n, n - n / 2);
	return n;
}

static void test_pick(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct objpick all, some, few, none, cut;
	struct objtree t = { 0 };
	struct objpick_at at = { 0 };
	struct obj *o;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < PICKED; i++)
		put_number(&t, i);
	assert_int_equal(objpick_take(&all, &t, SV(""), SV(""), SV(""), 0, &a), 0);
	assert_int_equal(objpick_take(&some, &t, SV("b"), SV("b"), SV(""), 0, &a), 0);
	assert_int_equal(objpick_take(&few, &t, SV("b"), SV("b"), SV("o00501"), 300, &a), PICKED / 2 - 1 - 300);
	assert_int_equal(objpick_take(&cut, &t, SV(""), SV(""), SV(""), 0, &a), 0);
	/* A start of another namespace finds nothing of this one. */
	assert_int_equal(objpick_take(&none, &t, SV("b"), SV("a"), SV("o00100"), 0, &a), 0);
	assert_int_equal(none.n, 0);
	assert_null(objpick_last(&none));
	/* Everything is replaced, much goes, more comes: whole blocks are split and emptied. */
	for (size_t i = 0; i < PICKED; i += 3)
		put_number(&t, i);
	for (size_t i = 0; i < PICKED; i++)
		if (i % 5)
			del_number(&t, i);
	for (size_t i = PICKED; i < 2 * PICKED; i++)
		put_number(&t, i);
	assert_int_equal(walk_and_drop(&all, 0), PICKED);
	assert_int_equal(walk_and_drop(&some, PICKED / 4), PICKED / 2);
	assert_int_equal(walk_and_drop(&few, PICKED / 4 + 1), 300);
	/* The first hundred of them, let go of on the way. */
	for (size_t i = 0; i < 100; i++)
		assert_non_null(objpick_next(&cut, &at));
	objpick_cut(&cut, &at);
	assert_int_equal(cut.n, 100);
	assert_sv(obj_name(objpick_last(&cut)), "o00198");
	for (at = (struct objpick_at){ 0 }; (o = objpick_next(&cut, &at)); n++) {
		objpick_pass(&cut, &at);
		assert_true(obj_name(o).n > 0);
	}
	objpick_pass(&cut, &at);
	assert_int_equal(n, 100);
	assert_null(cut.blocks[0]);
	objtree_release(&t); /* picks outlive it */
	assert_int_equal(walk_and_drop(&none, 0), 0);
	objpick_release(&all);
	objpick_release(&some);
	objpick_release(&few);
	objpick_release(&cut);
	objpick_release(&none);
}

/* A page and what is behind it are all, wherever it begins and however much has come and gone. */
static void test_pages(void **state)
{
	static const char *const namespaces[] = { "", "a", "b", "c" };
	struct objtree t = { 0 };

	(void)state;
	for (size_t i = 0; i < 2 * PICKED; i++)
		put_number(&t, (i * 7919) % (2 * PICKED));
	for (int round = 0; round < 2000; round++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv ns = sv_from(namespaces[any(ARRAY_LEN(namespaces))]);
		size_t max = 1 + any(500), behind;
		struct objpick all, page;
		struct key from;

		if (any(2))
			del_number(&t, any(2 * PICKED));
		else
			put_number(&t, any(2 * PICKED));
		pick_key(&from, any(2 * PICKED));
		if (ns.n)
			snprintf(from.ns, sizeof(from.ns), "%.*s", SV_ARG(ns));
		assert_int_equal(objpick_take(&all, &t, ns, sv_from(from.ns), sv_from(from.name), 0, &a), 0);
		behind = objpick_take(&page, &t, ns, sv_from(from.ns), sv_from(from.name), max, &a);
		assert_int_equal(page.n, MIN(max, all.n));
		assert_int_equal(page.n + behind, all.n);
		objpick_release(&all);
		objpick_release(&page);
	}
	objtree_release(&t);
}

#define PAGE 10

/* What a page of so many of all costs, and how many are behind it. */
static uint64_t page_cost(struct objtree *t, struct sv ns, bool selects, size_t *ret_behind)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct objpick_at at = { 0 };
	struct cost c = { 0 };
	struct objpick p;

	cost_begin(&c);
	*ret_behind = objpick_take(&p, t, ns, ns, SV(""), selects ? 0 : PAGE, &a);
	for (size_t i = 0; i < PAGE; i++)
		assert_non_null(objpick_next(&p, &at));
	objpick_cut(&p, &at); /* as one that selects has enough */
	cost_end(&c);
	assert_int_equal(p.n, PAGE);
	objpick_release(&p);
	return c.spent;
}

/* A page of a list costs its own length, and very little for what there is behind it: whoever asks for all pages would
 * pay the square. */
static void test_page_costs(void **state)
{
	static const size_t sizes[] = { 2000, 20000 };
	struct objtree t = { 0 };
	uint64_t cost[3][2];
	size_t n = 0, behind;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		for (; n < sizes[i]; n++)
			put_number(&t, n);
		cost[0][i] = page_cost(&t, SV(""), false, &behind);
		assert_int_equal(behind, n - PAGE);
		cost[1][i] = page_cost(&t, SV("c"), false, &behind);
		assert_int_equal(behind, n - 3 * PICKED / 4 - PAGE);
		(void)page_cost(&t, SV("b"), false, &behind);
		assert_int_equal(behind, PICKED / 2 - PAGE);
		cost[2][i] = page_cost(&t, SV(""), true, &behind);
		assert_int_equal(behind, 0);
	}
	objtree_release(&t);
#ifdef CARAVEL_COUNT_COSTS
	assert_in_range(cost[0][1], 0, cost[0][0] + sizes[1] / 20);
	assert_in_range(cost[1][1], 0, cost[1][0] + sizes[1] / 20);
	assert_in_range(cost[2][1], 0, cost[2][0] + sizes[1] * 2);
#else
	(void)cost;
#endif
}

static void test_pick_of(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct obj *objs[OBJTREE_BLOCK + 10];
	struct objpick p;
	struct key k;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(objs); i++) {
		pick_key(&k, i);
		objs[i] = object(&k);
	}
	objpick_of(&p, objs, ARRAY_LEN(objs), &a);
	assert_int_equal(p.n_blocks, 2);
	assert_ptr_equal(objpick_last(&p), objs[ARRAY_LEN(objs) - 1]);
	assert_int_equal(walk_and_drop(&p, 0), ARRAY_LEN(objs));
	objpick_release(&p);
	objpick_of(&p, NULL, 0, &a);
	assert_null(objpick_last(&p));
	objpick_release(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),	cmocka_unit_test(test_seek),	   cmocka_unit_test(test_pick),
		cmocka_unit_test(test_pick_of), cmocka_unit_test(test_page_costs), cmocka_unit_test(test_pages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
