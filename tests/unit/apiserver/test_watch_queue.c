/* Watchers that read slowly or not at all: what they keep alive, how they end, and that nobody else notices. */
#include "harness.h"

#include "apiserver/watchcache.h"
#include "base/costs.h"
#include "base/log.h"
#include "base/strmap.h"
#include "store/store.h"

#include <malloc.h>
#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"

/* Of a sanitizer, where there is one: its allocator answers, and mallinfo2() does not. */
__attribute__((weak)) size_t __sanitizer_get_current_allocated_bytes(void);

static size_t allocated(void)
{
	struct mallinfo2 m;

	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	m = mallinfo2();
	return m.uordblks + m.hblkhd;
}

/* Creates or replaces one with so many bytes of data. */
static void put(struct rig *r, const char *name, const char *label, size_t bytes, bool create)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	static int version;
	char path[128];
	struct answer *a;

	buf_printf(&b, "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"l\":\"%s\"}},\"data\":{\"k\":\"%d", name, label,
		   ++version);
	for (size_t i = 0; i < bytes; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\"}}");
	(void)snprintf(path, sizeof(path), CM "%s%s", create ? "" : "/", create ? "" : name);
	a = api(r, create ? "POST" : "PUT", path, .body = buf_cstr(&b));
	assert_int_equal(a->code, create ? 201 : 200);
	answer_free(a);
	rig_run(r, 0);
}

static void put_n(struct rig *r, size_t n, const char *label, size_t bytes, bool create)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "o%05zu", n);
	put(r, name, label, bytes, create);
}

static struct answer *watch_as(struct rig *r, const char *query, const char *user, bool stuck)
{
	static const struct sv masters[] = { { "system:masters", 14 } };
	struct answer *a = api(r, "GET", arena_printf(&r->arena, CM "?watch=true%s", query), .user = user,
			       .groups = masters, .n_groups = 1, .stuck = stuck);

	assert_true(a->streaming);
	return a;
}

static void read_on(struct answer *a)
{
	a->stuck = false;
	if (!a->ended)
		a->q.on_drain(&a->q);
	rig_run(a->rig, 0);
}

/* What a server says of its watchers: the one of that user. */
static const struct val *described(struct rig *r, const char *user)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *found = NULL;
	struct sv rest, line;

	watchers_describe(r->server, &b, 1 << 20);
	rest = buf_sv(&b);
	while (sv_split(&rest, '\n', &line) && line.n) {
		const struct val *v = json_decode(&r->arena, arena_sv(&r->arena, line), NULL, NULL);

		assert_non_null(v);
		if (val_is(val_member_sv(v, SV("user")), user))
			found = v;
	}
	return found;
}

static int64_t number(const struct val *v, const char *key)
{
	return val_int_or(val_member_sv(v, sv_from(key)), -1);
}

/* A metric's value; -1: it is not there. */
static int64_t metric(struct rig *r, const char *name)
{
	struct answer *a = api(r, "GET", "/metrics");
	ssize_t at = sv_find_sv(buf_sv(&a->body), sv_from(name));
	int64_t n = at < 0 ? -1 : strtoll(buf_cstr(&a->body) + at + strlen(name), NULL, 10);

	answer_free(a);
	return n;
}

#define TERMINATED "\napiserver_terminated_watchers_total{group=\"\",resource=\"configmaps\"} "
#define QUEUE_BYTES "\ncaravel_watch_queue_bytes "

/* Follows a stream: what is added is new, what changes or goes is known, and the end is what a list says. */
static void assert_follows(struct rig *r, struct answer *a, const char *query)
{
	struct strmap known = STRMAP_INIT;
	struct sv rest = buf_sv(&a->body), line;
	const struct val *list;

	while (sv_split(&rest, '\n', &line) && line.n) {
		const struct val *e = json_decode(&r->arena, line, NULL, NULL), *o = val_get(e, F_object);
		struct sv name = val_get_str(o, F_metadata, F_name), type = val_get_str(e, F_type);

		if (sv_is(type, "BOOKMARK"))
			continue;
		assert_int_equal(sv_is(type, "ADDED"), !strmap_has(&known, name));
		if (sv_is(type, "DELETED"))
			(void)strmap_del(&known, name);
		else
			(void)strmap_set(&known, name, (void *)(uintptr_t)rev_of(o));
	}
	list = val_get(expect(r, 200, "GET", arena_printf(&r->arena, CM "?%s", query), NULL), F_items);
	assert_int_equal(known.n, val_len(list));
	VAL_EACH(list, o)
		assert_int_equal((int64_t)(uintptr_t)strmap_get(&known, val_get_str(o, F_metadata, F_name)), rev_of(o));
	strmap_release(&known);
}

static struct buf logged = BUF_INIT;

static void log_sink(struct sv line, void *ctx)
{
	(void)ctx;
	buf_addsv(&logged, line);
	buf_addc(&logged, '\n');
}

/* The lines about ended watches that hold both words. */
static size_t logged_with(const char *a, const char *b)
{
	struct sv rest = buf_sv(&logged), line;
	size_t n = 0;

	while (sv_split(&rest, '\n', &line))
		n += sv_find_sv(line, SV("a watch was ended")) >= 0 && sv_find_sv(line, sv_from(a)) >= 0 &&
		     sv_find_sv(line, sv_from(b)) >= 0;
	return n;
}

/* Ten thousand changes of large objects and nobody reads: what is kept has a bound, it is what was counted, and the
 * watchers beside it lose nothing. */
static void test_unread(void **state)
{
	enum { OBJECTS = 100, CHANGES = 10000, BYTES = 5000 };
	struct rig *r = *state;
	struct answer *slow, *fast, *some;
	size_t most = 0, before = 0, after = 0;
	int64_t counted = 0;

	slow = watch_as(r, "", "slow", true);
	for (size_t i = 0; i < OBJECTS; i++)
		put_n(r, i, i % 10 ? "x" : "y", BYTES, true);
	fast = watch_as(r, "", "fast", false);
	some = watch_as(r, "&labelSelector=l%3Dy", "some", false);
	for (size_t i = 0; i < CHANGES; i++) {
		if (i % 500 == 0)
			assert_int_equal(
			    store_compact(r->store, rev_of(expect(r, 200, "GET", CM "/o00000", NULL)), NULL), 0);
		if (!slow->ended) {
			counted = number(described(r, "slow"), "bytes");
			most = MAX(most, (size_t)counted);
			before = allocated();
		}
		arena_reset(&r->arena);
		put_n(r, i % OBJECTS, i % OBJECTS % 10 ? "x" : "y", BYTES, false);
		if (!after && slow->ended)
			after = allocated();
	}
	assert_true(slow->ended);
	assert_in_range(most, WATCH_QUEUE_BYTES * 9 / 10, WATCH_QUEUE_BYTES);
	assert_in_range(before - after, (size_t)counted / 2, (size_t)counted * 2);
	assert_int_equal(metric(r, TERMINATED), 1);
	assert_int_equal(logged_with("user=\"slow\"", "resource=\"configmaps\""), 1);
	assert_false(fast->ended);
	assert_int_equal(stream_lines(fast), OBJECTS + CHANGES);
	assert_int_equal(stream_lines(some), (OBJECTS + CHANGES) / 10);
	assert_follows(r, fast, "");
	assert_follows(r, some, "labelSelector=l%3Dy");
	assert_true(metric(r, QUEUE_BYTES) == 0);
	answer_free(slow);
	answer_gone(fast);
	answer_gone(some);
}

/* What is current is there anyway: a queue of ever so many bytes of that costs nothing, and is read to its end. */
static void test_current_costs_nothing(void **state)
{
	enum { N = 3000 };
	struct rig *r = *state;
	struct answer *a = watch_as(r, "", "a", true);

	for (size_t i = 0; i < N; i++)
		put_n(r, i, "x", 8000, true);
	assert_false(a->ended);
	assert_int_equal(number(described(r, "a"), "events"), N - 1);
	assert_in_range(number(described(r, "a"), "bytes"), 1, 200000); /* the queue itself */
	read_on(a);
	assert_int_equal(stream_lines(a), N);
	assert_int_equal(number(described(r, "a"), "bytes"), 0);
	/* Deleted they are nobody's but the queue's. */
	a->stuck = true;
	for (size_t i = 0; i < 2000; i++) {
		char path[64];

		(void)snprintf(path, sizeof(path), CM "/o%05zu", i);
		expect(r, 200, "DELETE", path, NULL);
	}
	rig_run(r, 0);
	assert_true(a->ended);
	answer_free(a);
}

/* A watch that begins with thousands of objects and is not read holds a slice of them, not their old versions. When it
 * goes on it has missed nothing, and hears nothing twice. */
static void test_unread_beginning(void **state)
{
	enum { N = 3000, BYTES = 4000 };
	struct rig *r = *state;
	struct answer *a, *some, *marked;
	size_t before, lines = 0;
	ssize_t mark;

	for (size_t i = 0; i < N; i++)
		put_n(r, i * 2, i % 300 ? "x" : "y", BYTES, true);
	a = watch_as(r, "", "a", true);
	some = watch_as(r, "&labelSelector=l%3Dy", "some", true);
	marked = watch_as(r, "&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan",
			  "marked", true);
	assert_true(val_bool(val_member_sv(described(r, "a"), SV("initial"))));
	arena_reset(&r->arena);
	assert_int_equal(store_compact(r->store, rev_of(expect(r, 200, "GET", CM "/o00000", NULL)), NULL), 0);
	before = allocated();
	for (size_t i = 0; i < N; i++) {
		put_n(r, i * 2, i % 200 ? "x" : "y", BYTES, false);
		arena_reset(&r->arena);
	}
	assert_int_equal(store_compact(r->store, rev_of(expect(r, 200, "GET", CM "/o05998", NULL)), NULL), 0);
	/* The ring, and what lies before the place: without slices it would be all three thousand. */
	assert_in_range(allocated(), 0, before + (size_t)12 * 1024 * 1024);
	for (size_t i = 0; i < N; i += 10) {
		char path[64];

		(void)snprintf(path, sizeof(path), CM "/o%05zu", i * 2);
		expect(r, 200, "DELETE", path, NULL);
		put_n(r, i * 2 + 1, "y", 10, true);
	}
	/* Read in bits, while things go on changing. */
	for (size_t i = 1; i < N; i += 50) {
		a->q.on_drain(&a->q);
		some->q.on_drain(&some->q);
		marked->q.on_drain(&marked->q);
		if (i % 10)
			put_n(r, i * 2, i % 3 ? "y" : "x", 20, false);
	}
	read_on(a);
	read_on(some);
	read_on(marked);
	assert_follows(r, a, "");
	assert_follows(r, some, "labelSelector=l%3Dy");
	assert_follows(r, marked, "");
	put_n(r, 1, "y", 10, false);
	assert_follows(r, a, "");
	/* The bookmark comes behind all of the beginning. */
	mark = sv_find_sv(buf_sv(&marked->body), SV("initial-events-end"));
	assert_true(mark > 0);
	for (ssize_t i = 0; i < mark; i++)
		lines += marked->body.p[i] == '\n';
	assert_true(lines >= N * 9 / 10);
	answer_gone(a);
	answer_gone(some);
	answer_gone(marked);
}

/* A peer that takes nothing of what waits for it for a minute or two loses its watch, quiet and busy ones do not. */
static void test_stalled(void **state)
{
	struct rig *r = *state;
	struct answer *stuck, *quiet, *busy, *lazy;

	stuck = watch_as(r, "", "stuck", false);
	quiet = watch_as(r, "&labelSelector=l%3Dnever", "quiet", true);
	busy = watch_as(r, "", "busy", false);
	lazy = watch_as(r, "", "lazy", false);
	put_n(r, 0, "x", 10, true);
	stuck->stuck = lazy->stuck = true;
	put_n(r, 0, "x", 20, false);
	put_n(r, 0, "x", 30, false);
	rig_run(r, 50 * NS_PER_SEC);
	assert_false(stuck->ended);
	assert_int_equal(number(described(r, "stuck"), "events"), 1);
	for (int i = 0; i < 8; i++) {
		rig_run(r, 20 * NS_PER_SEC);
		put_n(r, 0, "x", 10, false);
		lazy->q.on_drain(&lazy->q); /* one event each time */
	}
	assert_true(stuck->ended);
	assert_false(quiet->ended);
	assert_false(busy->ended);
	assert_false(lazy->ended);
	assert_int_equal(logged_with("user=\"stuck\"", "nothing is taken"), 1);
	assert_int_equal(logged_with("user=", ""), 1);
	assert_int_equal(metric(r, TERMINATED), 1);
	answer_free(stuck);
	answer_gone(quiet);
	answer_gone(busy);
	answer_gone(lazy);
}

/* A thousand unread watches of one user have one bound together, and service accounts of a namespace are one user;
 * others' are not looked at. */
static void test_thousand(void **state)
{
	enum { WATCHES = 1000, OBJECTS = 20, CHANGES = 1500, BYTES = 10000 };
	static struct answer *many[WATCHES];
	struct rig *r = *state;
	struct answer *other, *fast;
	size_t ended = 0, most = 0;

	other = watch_as(r, "", "other", true);
	fast = watch_as(r, "", "system:serviceaccount:many:fast", false);
	for (size_t i = 0; i < WATCHES; i++)
		many[i] = watch_as(r, "", arena_printf(&r->arena, "system:serviceaccount:many:a%zu", i % 50), true);
	for (size_t i = 0; i < OBJECTS; i++)
		put_n(r, i, "x", BYTES, true);
	for (size_t i = 0; i < CHANGES; i++) {
		put_n(r, i % OBJECTS, "x", BYTES, false);
		if (i % 16 == 0)
			most = MAX(most, (size_t)metric(r, QUEUE_BYTES));
	}
	for (size_t i = 0; i < WATCHES; i++)
		ended += many[i]->ended;
	assert_in_range(most, 1, WATCH_USER_BYTES + WATCHES * (WATCH_SPARED_BYTES + 20000) + WATCH_QUEUE_BYTES);
	assert_true(ended > WATCHES / 2);
	assert_int_equal(metric(r, TERMINATED), ended);
	assert_in_range(logged_with("user=\"system:serviceaccount:many:a", "the user's watches"), 1,
			20); /* a few say it for all */
	assert_false(other->ended);
	assert_false(fast->ended);
	assert_follows(r, fast, "");
	read_on(other);
	assert_follows(r, other, "");
	for (size_t i = 0; i < WATCHES; i++)
		answer_gone(many[i]);
	answer_gone(other);
	answer_gone(fast);
}

/* The list of watchers: whoever is behind first, no more than asked for, whatever users are called. */
static void test_described(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rig *r = *state;
	struct answer *fast = watch_as(r, "", "fast", false), *slow = watch_as(r, "", "a \"slow\"\nuser", true);
	const struct val *v;

	for (size_t i = 0; i < 3; i++)
		put_n(r, i, "x", 10, true);
	watchers_describe(r->server, &b, 1);
	assert_int_equal(sv_find(buf_sv(&b), '\n'), (ssize_t)b.n - 1);
	v = json_decode(&r->arena, buf_sv(&b), NULL, NULL);
	assert_val(val_member_sv(v, SV("user")), "a \"slow\"\nuser");
	assert_val(val_member_sv(v, SV("resource")), "configmaps");
	assert_val(val_member_sv(v, SV("namespace")), "default");
	assert_int_equal(number(v, "events"), 2);
	assert_int_equal(number(v, "taken"), 1);
	v = described(r, "fast");
	assert_int_equal(number(v, "events"), 0);
	assert_int_equal(number(v, "taken"), 3);
	answer_gone(fast);
	answer_gone(slow);
}

/* --- who wants the same --- */

/* Watches are asked as one when they say the same, and only then: labels are not fields, and a watch that has them from
 * another revision still goes by that. */
static void test_alike(void **state)
{
	static const char *const queries[] = {
		"&labelSelector=l%3Da",
		"&labelSelector=l%3Da",
		"&labelSelector=l%3Db",
		"&fieldSelector=metadata.name%3Do00001",
		"&labelSelector=l&fieldSelector=metadata.name%3Do00001",
		"&labelSelector=l%3Da&resourceVersion=1000",
		"",
	};
	static const size_t want[] = { 2, 2, 2, 2, 2, 0, 3 };
	struct answer *a[ARRAY_LEN(queries)], *late;
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		a[i] = watch_as(r, queries[i], "u", false);
	put_n(r, 0, "a", 10, true);
	put_n(r, 1, "b", 10, true);
	put_n(r, 1, "a", 10, false); /* for some it is new, for others gone */
	for (size_t i = 0; i < ARRAY_LEN(queries); i++)
		assert_int_equal(stream_lines(a[i]), want[i]);
	/* Who is gone is not asked, and who comes is. */
	answer_gone(a[0]);
	late = watch_as(r, queries[0], "u", false);
	put_n(r, 2, "a", 10, true);
	assert_int_equal(stream_lines(late), 3); /* what there was, first */
	assert_int_equal(stream_lines(a[1]), 3);
	assert_int_equal(stream_lines(a[2]), 2);
	answer_gone(late);
	for (size_t i = 1; i < ARRAY_LEN(queries); i++)
		answer_gone(a[i]);
}

#ifdef CARAVEL_COUNT_COSTS

/* One change to so many who watch by the same words, of so many terms. */
static uint64_t steps_of_change(struct rig *r, size_t watches, size_t terms)
{
	struct answer **a = xcalloc(watches, sizeof(*a));
	_cleanup_(buf_release) struct buf q = BUF_INIT;
	static size_t number;
	uint64_t before;

	buf_adds(&q, "&labelSelector=l");
	for (size_t i = 0; i < terms; i++)
		buf_printf(&q, ",k%zu!%%3Dv", i);
	for (size_t i = 0; i < watches; i++)
		a[i] = watch_as(r, buf_cstr(&q), "u", false);
	before = costs;
	put_n(r, 100 + number++, "a", 10, true);
	before = costs - before;
	for (size_t i = 0; i < watches; i++) {
		assert_int_equal(stream_lines(a[i]), number); /* what there was, first */
		answer_gone(a[i]);
	}
	free(a);
	return before;
}

static void test_alike_cost(void **state)
{
	uint64_t one, few, many;

	(void)steps_of_change(*state, 1, 1);
	few = steps_of_change(*state, 200, 1);
	one = steps_of_change(*state, 1, 200);
	many = steps_of_change(*state, 200, 200);
	if (many > 2 * (few + one))
		fail_msg("%" PRIu64 " steps, where many watches cost %" PRIu64 " and many terms %" PRIu64, many, few,
			 one);
}

#else

static void test_alike_cost(void **state)
{
	(void)state;
	skip();
}

#endif

static int setup(void **state)
{
	buf_release(&logged);
	log_set_sink(log_sink, NULL);
	return rig_setup(state);
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	log_set_sink(NULL, NULL);
	buf_release(&logged);
	return rc;
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_unread),
		T(test_current_costs_nothing),
		T(test_unread_beginning),
		T(test_stalled),
		T(test_thousand),
		T(test_described),
		T(test_alike),
		T(test_alike_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
