/* Who wants what, what there is, and the difference. */
#include "netd_kit.h"

#include "costs.h"
#include "netd/track.h"

#include <stdio.h>

static struct arena A;

static struct net_entry route(unsigned node, unsigned via)
{
	return (struct net_entry){ .key = { .type = NET_ROUTE, .bits = 120, .addr = ip_v4(0x0a2a0000 + (node << 8)) },
				   .value = { .via = ip_v4(0xc0000200 | via) } };
}

static struct net_entry neigh(unsigned node)
{
	return (struct net_entry){ .key = { .type = NET_NEIGH, .addr = ip_v4(0x0a2a0000 + (node << 8)) },
				   .value = { .mac = { 0xee, 1, 2, 3, 4, (uint8_t)node } } };
}

static struct net_entry fdb(unsigned node, unsigned via)
{
	return (struct net_entry){ .key = { .type = NET_FDB, .mac = { 0xee, 1, 2, 3, 4, (uint8_t)node } },
				   .value = { .via = ip_v4(0xc0000200 | via) } };
}

/* The plan, a line each: "+route", "-fdb", "~" for a change of value. */
static const char *plan(struct tracker *t, bool fail)
{
	struct net_change *c;
	size_t n = tracker_plan(t, &A, &c);
	const char *text = "";

	for (size_t i = 0; i < n; i++) {
		struct net_entry e = { c[i].key, c[i].want ? c[i].be : c[i].is };

		text = arena_printf(&A, "%s%c%s\n", text, !c[i].want ? '-' : c[i].had ? '~' : '+', kit_entry(&A, &e));
		c[i].failed = fail;
	}
	tracker_done(t, c, n);
	return text;
}

static size_t want(struct tracker *t, const char *node, const struct net_entry *e, size_t n)
{
	return tracker_want(t, sv_from(node), e, n);
}

static void test_one_node(_unused_ void **state)
{
	struct tracker *t = tracker_new();
	struct net_entry seven[] = { route(7, 7), neigh(7), fdb(7, 7) };

	tracker_have(t, NULL, 0);
	assert_string_equal(plan(t, false), "");
	assert_int_equal(want(t, "n7", seven, 3), 0);
	assert_int_equal(tracker_wanted(t), 3);
	/* The route last, and what failed again. */
	assert_string_equal(plan(t, true), "+fdb ee:01:02:03:04:07 by 192.0.2.7\n"
					   "+neigh 10.42.7.0 at ee:01:02:03:04:07\n"
					   "+route 10.42.7.0/24 by 192.0.2.7\n");
	assert_string_equal(plan(t, false), "+fdb ee:01:02:03:04:07 by 192.0.2.7\n"
					    "+neigh 10.42.7.0 at ee:01:02:03:04:07\n"
					    "+route 10.42.7.0/24 by 192.0.2.7\n");
	assert_string_equal(plan(t, false), "");
	/* The same again is nothing; another address is what it concerns. */
	want(t, "n7", seven, 3);
	assert_string_equal(plan(t, false), "");
	seven[2] = fdb(7, 8);
	want(t, "n7", seven, 3);
	assert_string_equal(plan(t, false), "~fdb ee:01:02:03:04:07 by 192.0.2.8\n");
	/* There and back before anybody wrote it. */
	seven[2] = fdb(7, 9);
	want(t, "n7", seven, 3);
	seven[2] = fdb(7, 8);
	want(t, "n7", seven, 3);
	assert_string_equal(plan(t, false), "");
	/* Gone: the route first. */
	want(t, "n7", NULL, 0);
	assert_int_equal(tracker_wanted(t), 0);
	assert_string_equal(plan(t, false), "-route 10.42.7.0/24 by 192.0.2.7\n"
					    "-neigh 10.42.7.0 at ee:01:02:03:04:07\n"
					    "-fdb ee:01:02:03:04:07 by 192.0.2.8\n");
	want(t, "n7", NULL, 0);
	assert_string_equal(plan(t, false), "");
	tracker_free(t);
}

static void test_kernel(_unused_ void **state)
{
	struct tracker *t = tracker_new();
	struct net_entry seven[] = { route(7, 7), neigh(7), fdb(7, 7) };
	struct net_entry there[] = { route(7, 7), fdb(7, 9), route(8, 8) };

	want(t, "n7", seven, 3);
	/* What an earlier run left is taken over, put right, or taken away. */
	tracker_have(t, there, 3);
	assert_string_equal(plan(t, false), "-route 10.42.8.0/24 by 192.0.2.8\n"
					    "~fdb ee:01:02:03:04:07 by 192.0.2.7\n"
					    "+neigh 10.42.7.0 at ee:01:02:03:04:07\n");
	tracker_have(t, seven, 3);
	assert_string_equal(plan(t, false), "");
	/* A flush. */
	tracker_have(t, NULL, 0);
	assert_string_equal(plan(t, false), "+fdb ee:01:02:03:04:07 by 192.0.2.7\n"
					    "+neigh 10.42.7.0 at ee:01:02:03:04:07\n"
					    "+route 10.42.7.0/24 by 192.0.2.7\n");
	tracker_free(t);
}

static void test_who_was_first(_unused_ void **state)
{
	struct tracker *t = tracker_new();
	struct net_entry own[] = { route(7, 7), fdb(7, 7) }, thief[] = { route(7, 6), fdb(6, 6) };

	want(t, "n7", own, 2);
	(void)plan(t, false);
	assert_int_equal(want(t, "thief", thief, 2), 1);
	assert_string_equal(plan(t, false), "+fdb ee:01:02:03:04:06 by 192.0.2.6\n");
	/* Its owner may change it. */
	own[0] = route(7, 5);
	assert_int_equal(want(t, "n7", own, 2), 0);
	assert_string_equal(plan(t, false), "~route 10.42.7.0/24 by 192.0.2.5\n");
	/* Free, it is the other's: one change, not two. */
	want(t, "n7", NULL, 0);
	assert_string_equal(plan(t, false), "-fdb ee:01:02:03:04:07 by 192.0.2.7\n"
					    "~route 10.42.7.0/24 by 192.0.2.6\n");
	assert_int_equal(want(t, "thief", thief, 2), 0);
	want(t, "thief", NULL, 0);
	assert_int_equal(tracker_wanted(t), 0);
	tracker_free(t);
}

/* A longer prefix within another's range would win in the kernel, a shorter one would get what is not given yet. */
static void test_parts_of_a_range(_unused_ void **state)
{
	static const struct {
		unsigned node, offset;
		uint8_t bits;
	} thieves[] = { { 7, 0, 121 }, { 7, 128, 121 }, { 7, 9, 128 }, { 0, 0, 112 }, { 6, 0, 119 }, { 7, 0, 120 } };
	struct tracker *t = tracker_new();
	struct net_entry own[] = { route(7, 7), neigh(7), fdb(7, 7) }, next[] = { route(8, 8), neigh(8), fdb(8, 8) };

	want(t, "n7", own, 3);
	want(t, "n8", next, 3);
	(void)plan(t, false);
	for (size_t i = 0; i < ARRAY_LEN(thieves); i++) {
		struct net_entry thief[] = { route(thieves[i].node, 6), neigh(thieves[i].node), fdb(6, 6) };

		thief[0].key.bits = thieves[i].bits;
		thief[0].key.addr = thief[1].key.addr = ip_add(thief[0].key.addr, thieves[i].offset);
		assert_int_equal(want(t, "thief", thief, 3), 2);
		assert_string_equal(plan(t, false), "+fdb ee:01:02:03:04:06 by 192.0.2.6\n");
		want(t, "thief", NULL, 0);
		assert_string_equal(plan(t, false), "-fdb ee:01:02:03:04:06 by 192.0.2.6\n");
	}
	/* Both owners gone, it is who asks next. */
	own[0].key.bits = 112;
	own[0].key.addr = ip_v4(0x0a2a0000);
	assert_int_equal(want(t, "wide", own, 1), 1);
	want(t, "n7", NULL, 0);
	(void)plan(t, false);
	assert_int_equal(want(t, "wide", own, 1), 1);
	want(t, "n8", NULL, 0);
	assert_string_equal(plan(t, false), "-route 10.42.8.0/24 by 192.0.2.8\n"
					    "-neigh 10.42.8.0 at ee:01:02:03:04:08\n"
					    "-fdb ee:01:02:03:04:08 by 192.0.2.8\n"
					    "+route 10.42.0.0/16 by 192.0.2.7\n");
	assert_int_equal(want(t, "n8", next, 3), 2);
	tracker_free(t);
}

/* Against a list that knows nothing but what was said last. */
static void test_random_walk(_unused_ void **state)
{
	enum { NODES = 6, RANGES = 5 };
	struct tracker *t = tracker_new();
	uint64_t seed = 1;
	int ranges[NODES], kernel[RANGES]; /* -1: none; the kernel's: by which node */

	for (int i = 0; i < NODES; i++)
		ranges[i] = -1;
	for (int i = 0; i < RANGES; i++)
		kernel[i] = -1;
	for (int step = 0; step < 20000; step++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		unsigned node, r = (unsigned)((seed = seed * 6364136223846793005u + 1442695040888963407u) >> 33);
		struct net_change *c;
		struct net_entry e;
		char name[8];
		size_t n;

		node = r % NODES;
		ranges[node] = (int)(r / NODES % (RANGES + 1)) - 1;
		(void)snprintf(name, sizeof(name), "n%u", node);
		if (ranges[node] >= 0)
			e = route((unsigned)ranges[node], node);
		want(t, name, &e, ranges[node] >= 0 ? 1 : 0);
		if (r / 64 % 7 == 0) { /* somebody flushes, and it is seen */
			for (int i = 0; i < RANGES; i++)
				kernel[i] = -1;
			tracker_have(t, NULL, 0);
		}
		n = tracker_plan(t, &a, &c);
		for (size_t i = 0; i < n; i++) {
			unsigned at = ip_low(c[i].key.addr) >> 8 & 0xff;

			c[i].failed = (r / 512 + i) % 11 == 0;
			assert_int_equal(c[i].had, kernel[at] >= 0);
			if (!c[i].failed)
				kernel[at] = c[i].want ? (int)(ip_low(c[i].be.via) & 0xff) : -1;
		}
		tracker_done(t, c, n);
		for (int i = 0; i < RANGES && r % 16 == 0; i++) {
			int wanted = 0, has = 0;

			n = tracker_plan(t, &a, &c);
			for (size_t k = 0; k < n; k++)
				kernel[ip_low(c[k].key.addr) >> 8 & 0xff] =
				    c[k].want ? (int)(ip_low(c[k].be.via) & 0xff) : -1;
			tracker_done(t, c, n);
			for (int k = 0; k < NODES; k++) {
				wanted += ranges[k] == i;
				has += ranges[k] == i && kernel[i] == k;
			}
			assert_int_equal(has, wanted > 0);
			assert_int_equal(kernel[i] >= 0, wanted > 0);
		}
	}
	tracker_free(t);
}

static void name_of(char name[32], size_t i)
{
	(void)snprintf(name, 32, "node-%zu", i);
}

static struct tracker *cost_world(size_t n)
{
	struct tracker *t = tracker_new();

	for (size_t i = 0; i < n; i++) {
		struct net_entry e[] = { route((unsigned)i, 7), neigh((unsigned)i) };
		char name[32];

		name_of(name, i);
		want(t, name, e, 2);
	}
	return t;
}

static void cost_plan(struct tracker *t)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct net_change *c;
	size_t n = tracker_plan(t, &a, &c);

	tracker_done(t, c, n);
}

static void cost_whole(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct tracker *t;

	cost_begin(c);
	t = cost_world(n);
	tracker_have(t, NULL, 0);
	cost_plan(t);
	cost_end(c);
	tracker_free(t);
}

/* n changes, among n nodes: each its own entries. */
static void cost_changes(struct cost *c, size_t n, _unused_ const void *arg)
{
	struct tracker *t = cost_world(n);

	tracker_have(t, NULL, 0);
	cost_plan(t);
	cost_begin(c);
	for (size_t i = 0; i < n; i++) {
		struct net_entry e = route((unsigned)i, 8);
		char name[32];

		name_of(name, i);
		want(t, name, &e, 1);
		cost_plan(t);
	}
	cost_end(c);
	tracker_free(t);
}

static void test_costs(_unused_ void **state)
{
	static const struct cost_row rows[] = {
		{ "a whole sync", cost_whole, NULL, 0 },
		{ "as many changes as nodes", cost_changes, NULL, 0 },
	};

	expect_linear(rows, ARRAY_LEN(rows));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_node),      cmocka_unit_test(test_kernel),
		cmocka_unit_test(test_who_was_first), cmocka_unit_test(test_parts_of_a_range),
		cmocka_unit_test(test_random_walk),   cmocka_unit_test(test_costs),
	};
	int failed = cmocka_run_group_tests_name("netd track", tests, NULL, NULL);

	arena_release(&A);
	return failed;
}
