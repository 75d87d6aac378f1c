/* Watches: where they start, what they report, when they end. */
#include "watch_kit.h"

#include "store/store.h"

static void test_from_nothing(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	put(r, "a", "x", "1");
	put(r, "b", "x", "1");
	a = watch(r, "");
	assert_int_equal(stream_lines(a), 2);
	assert_event(a, 0, "ADDED", "a");
	assert_event(a, 1, "ADDED", "b");
	put(r, "b", "x", "2");
	assert_event(a, 2, "MODIFIED", "b");
	expect(r, 200, "DELETE", CM "/a", NULL);
	rig_run(r, 0);
	assert_event(a, 3, "DELETED", "a");
	/* A deletion carries its own revision. */
	assert_true(rev_of(val_get(stream_line(a, 3), F_object)) > rev_of(val_get(stream_line(a, 2), F_object)));
	answer_gone(a);
}

static void test_from_revision(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	char query[64];
	int64_t rev;

	put(r, "a", "x", "1");
	rev = rev_of(expect(r, 200, "GET", CM, NULL));
	put(r, "b", "x", "1");
	put(r, "a", "x", "2");
	(void)snprintf(query, sizeof(query), "&resourceVersion=%d", (int)rev);
	a = watch(r, query);
	assert_int_equal(stream_lines(a), 2);
	assert_event(a, 0, "ADDED", "b");
	assert_event(a, 1, "MODIFIED", "a");
	answer_gone(a);
	/* "Now" without a look back. */
	a = watch(r, "&sendInitialEvents=false&resourceVersionMatch=NotOlderThan");
	assert_int_equal(stream_lines(a), 0);
	put(r, "c", "x", "1");
	assert_event(a, 0, "ADDED", "c");
	answer_gone(a);
}

static void test_selector_transitions(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	put(r, "a", "x", "1");
	put(r, "b", "y", "1");
	a = watch(r, "&labelSelector=l%3Dx");
	assert_int_equal(stream_lines(a), 1);
	put(r, "b", "x", "1"); /* comes in */
	assert_event(a, 1, "ADDED", "b");
	put(r, "b", "x", "2");
	assert_event(a, 2, "MODIFIED", "b");
	put(r, "b", "y", "2"); /* leaves: as it was, at the new revision */
	assert_event(a, 3, "DELETED", "b");
	assert_sv(val_str(val_member_sv(val_get(stream_line(a, 3), F_object, F_metadata, F_labels), SV("l"))), "x");
	assert_int_equal(rev_of(val_get(stream_line(a, 3), F_object)), rev_of(expect(r, 200, "GET", CM "/b", NULL)));
	put(r, "b", "y", "3");
	assert_int_equal(stream_lines(a), 4);
	answer_gone(a);
}

static void test_pinned(void **state)
{
	struct rig *r = *state;
	struct answer *a = watch(r, "&fieldSelector=metadata.name%3Dmine"), *legacy;

	put(r, "other", "x", "1");
	put(r, "mine", "x", "1");
	legacy = api(r, "GET", "/api/v1/watch/namespaces/default/configmaps/mine");
	assert_int_equal(stream_lines(a), 1);
	assert_event(a, 0, "ADDED", "mine");
	assert_event(legacy, 0, "ADDED", "mine");
	expect(r, 200, "DELETE", CM "/mine", NULL);
	rig_run(r, 0);
	assert_event(a, 1, "DELETED", "mine");
	assert_event(legacy, 1, "DELETED", "mine");
	answer_gone(a);
	answer_gone(legacy);
}

static void test_bookmarks(void **state)
{
	struct rig *r = *state;
	struct answer *a, *quiet, *initial;
	const struct val *e;

	put(r, "a", "x", "1");
	a = watch(r, "&allowWatchBookmarks=true");
	quiet = watch(r, "");
	initial = watch(r, "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
	assert_int_equal(stream_lines(initial), 2);
	assert_event(initial, 0, "ADDED", "a");
	e = stream_line(initial, 1);
	assert_val(val_get(e, F_type), "BOOKMARK");
	assert_sv(
	    val_str(val_member_sv(val_get(e, F_object, F_metadata, F_annotations), SV("k8s.io/initial-events-end"))),
	    "true");
	/* Who begins from nothing is told that this was all, too, unless WatchList is off. */
	assert_int_equal(stream_lines(a), 2);
	assert_val(val_get(stream_line(a, 1), F_type), "BOOKMARK");
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(stream_lines(a), 3);
	e = stream_line(a, 2);
	assert_val(val_get(e, F_type), "BOOKMARK");
	assert_null(val_get(e, F_object, F_metadata, F_annotations));
	assert_val(val_get(e, F_object, F_kind), "ConfigMap");
	assert_int_equal(rev_of(val_get(e, F_object)), rev_of(expect(r, 200, "GET", CM, NULL)));
	assert_int_equal(stream_lines(quiet), 1);
	answer_gone(a);
	answer_gone(quiet);
	answer_gone(initial);
	expect_status(r, 422, "Invalid", "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
		      &(struct ask){ .method = "GET", .path = CM "?watch=true&sendInitialEvents=true" });
	expect_status(r, 422, "Invalid",
		      "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
		      &(struct ask){ .method = "GET", .path = CM "?watch=true&resourceVersionMatch=NotOlderThan" });
}

static void test_too_old(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	const struct val *e;

	put(r, "a", "x", "1");
	put(r, "a", "x", "2");
	rig_restart(r);
	assert_sv(val_str(val_member_sv(val_get(expect(r, 200, "GET", CM "/a", NULL), F_data), SV("k"))), "2");
	assert_int_equal(store_compact(r->store, rev_of(expect(r, 200, "GET", CM, NULL)), NULL), 0);
	/* Nobody remembers what happened before: one event tells so, and the end. */
	a = watch(r, "&resourceVersion=2");
	assert_true(a->ended);
	e = stream_line(a, 0);
	assert_val(val_get(e, F_type), "ERROR");
	assert_int_equal(val_get_int(e, 0, F_object, F_code), 410);
	assert_val(val_get(e, F_object, F_reason), "Expired");
	assert_true(sv_starts(val_get_str(e, F_object, F_message), SV("too old resource version: 2 (")));
	answer_free(a);
}

/* A watch from a revision that is still to come hears of nothing before it. */
static void test_future(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	put(r, "a", "x", "0");
	a = watch_from(r, rev_of(expect(r, 200, "GET", CM "/a", NULL)) + 2, "");
	put(r, "a", "x", "1");
	put(r, "a", "x", "2");
	assert_int_equal(stream_lines(a), 0);
	put(r, "a", "x", "3");
	assert_int_equal(stream_lines(a), 1);
	answer_gone(a);
}

/* Changes are remembered for five minutes at least and ten at most, also when nothing follows them. */
static void test_old_changes_are_forgotten(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	char query[64];
	int64_t first;

	put(r, "a", "x", "1");
	first = rev_of(expect(r, 200, "GET", CM "/a", NULL));
	put(r, "a", "x", "2");
	(void)snprintf(query, sizeof(query), "&resourceVersion=%" PRId64, first);
	rig_run(r, 120 * NS_PER_SEC);
	a = watch(r, query);
	assert_int_equal(stream_lines(a), 1);
	assert_event(a, 0, "MODIFIED", "a");
	answer_gone(a);
	/* The ring has let go of it, the log not yet. */
	rig_run(r, 240 * NS_PER_SEC);
	a = watch(r, query);
	rig_run(r, 0);
	assert_int_equal(stream_lines(a), 1);
	assert_event(a, 0, "MODIFIED", "a");
	answer_gone(a);
	rig_run(r, 300 * NS_PER_SEC);
	a = watch(r, query);
	assert_val(val_get(stream_line(a, 0), F_object, F_reason), "Expired");
	answer_free(a);
	/* Who has seen them all goes on. */
	(void)snprintf(query, sizeof(query), "&resourceVersion=%" PRId64, rev_of(expect(r, 200, "GET", CM "/a", NULL)));
	a = watch(r, query);
	put(r, "a", "x", "3");
	assert_int_equal(stream_lines(a), 1);
	assert_event(a, 0, "MODIFIED", "a");
	answer_gone(a);
}

static void test_slow_reader(void **state)
{
	struct rig *r = *state;
	struct answer *a = watch(r, "");

	/* Nobody reads while events arrive: the queue is bounded, and the stream ends. */
	a->stuck = true;
	put(r, "a", "x", "0");
	for (int i = 1; i < 5000; i++) {
		char value[16];

		(void)snprintf(value, sizeof(value), "%d", i);
		put(r, "a", "x", value);
	}
	a->stuck = false;
	if (!a->ended)
		a->q.on_drain(&a->q);
	rig_run(r, 0);
	assert_true(a->ended);
	assert_int_equal(stream_lines(a), 1);
	answer_free(a);
}

static void test_timeout(void **state)
{
	struct rig *r = *state;
	struct answer *a = watch(r, "&timeoutSeconds=5");

	rig_run(r, 4 * NS_PER_SEC);
	assert_false(a->ended);
	rig_run(r, 2 * NS_PER_SEC);
	assert_true(a->ended);
	answer_free(a);
	a = watch(r, "&timeoutSeconds=-1"); /* over when it begins */
	rig_run(r, NS_PER_MS);
	assert_true(a->ended);
	answer_free(a);
	a = watch(r, "");
	rig_run(r, 61 * 60 * NS_PER_SEC);
	assert_true(a->ended);
	answer_free(a);
}

static void test_table(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	const struct val *e;

	put(r, "a", "x", "1");
	a = api(r, "GET", CM "?watch=true", .accept = "application/json;as=Table;v=v1;g=meta.k8s.io");
	put(r, "b", "x", "1");
	e = stream_line(a, 0);
	assert_val(val_get(e, F_object, F_kind), "Table");
	assert_true(val_len(val_get(e, F_object, F_columnDefinitions)) > 0);
	e = stream_line(a, 1);
	assert_int_equal(val_len(val_get(e, F_object, F_columnDefinitions)), 0);
	assert_val(val_at(val_get(val_at(val_get(e, F_object, F_rows), 0), F_cells), 0), "b");
	answer_gone(a);
}

static void test_shutdown(void **state)
{
	struct rig *r = *state;
	struct answer *a = watch(r, "");

	apiserver_shutdown(r->server);
	rig_run(r, 0);
	assert_true(a->ended);
	answer_free(a);
}

/* A store that can stop telling its watches. */
static struct deaf {
	struct store_ops ops;
	struct store *store;
	const struct store_ops *inner;
	const struct store_watch_cb *cb;
	void *ctx;
} deaf;

static int deaf_watch(struct store *s, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		      void *ctx, struct store_watch **ret, struct err *err)
{
	deaf.cb = cb;
	deaf.ctx = ctx;
	return deaf.inner->watch(s, from, to, since, cb, ctx, ret, err);
}

static struct store *deaf_new(struct env *env)
{
	struct store *s = store_mem_new(env);

	deaf.inner = s->ops;
	deaf.ops = *s->ops;
	deaf.ops.watch = deaf_watch;
	s->ops = &deaf.ops;
	return s;
}

static int deaf_setup(void **state)
{
	return rig_setup_on(state, deaf_new);
}

/* A cache that hears of no more changes says so, and nothing is answered from it (a server asks for a successor). */
static void test_cache_that_ages(void **state)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct rig *r = *state;
	struct answer *a = watch(r, ""), *ready;

	put(r, "a", "x", "1");
	err_set(&why, ERR_INTERNAL, "row 7 cannot be read");
	deaf.cb->end(&why, deaf.ctx);
	rig_run(r, 0);
	assert_true(a->ended);
	answer_free(a);
	for (int i = 0; i < 2; i++)
		expect_status(r, 503, "ServiceUnavailable", "row 7 cannot be read",
			      &(struct ask){ .method = "GET", .path = i ? CM : CM "/a" });
	expect_status(r, 503, "ServiceUnavailable", "row 7 cannot be read",
		      &(struct ask){ .method = "GET", .path = CM "?watch=true" });
	ready = api(r, "GET", "/livez");
	assert_int_equal(ready->code, 500);
	assert_true(sv_find_sv(buf_sv(&ready->body), SV("[-]watch-cache failed: reason withheld")) > 0);
	answer_free(ready);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_from_nothing),
		T(test_from_revision),
		T(test_selector_transitions),
		T(test_pinned),
		T(test_bookmarks),
		T(test_too_old),
		T(test_future),
		T(test_slow_reader),
		T(test_old_changes_are_forgotten),
		T(test_timeout),
		T(test_table),
		T(test_shutdown),
		cmocka_unit_test_setup_teardown(test_cache_that_ages, deaf_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
