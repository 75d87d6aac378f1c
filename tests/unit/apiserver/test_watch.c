/* Watches: where they start, what they report, when they end. */
#include "harness.h"

#include "store/store.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"

static void put(struct rig *r, const char *name, const char *label, const char *value)
{
	char body[256], path[128];
	struct answer *got;

	(void)snprintf(body, sizeof(body),
		       "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"l\":\"%s\"}},\"data\":{\"k\":\"%s\"}}", name,
		       label, value);
	(void)snprintf(path, sizeof(path), CM "/%s", name);
	got = api(r, "GET", path);
	if (got->code == 200)
		expect(r, 200, "PUT", path, body);
	else
		expect(r, 201, "POST", CM, body);
	answer_free(got);
	rig_run(r, 0);
}

static void assert_event(struct answer *a, size_t n, const char *type, const char *name)
{
	const struct val *e = stream_line(a, n);

	assert_non_null(e);
	assert_val(val_get(e, F_type), type);
	assert_val(val_get(e, F_object, F_metadata, F_name), name);
	assert_val(val_get(e, F_object, F_kind), "ConfigMap");
}

static struct answer *watch(struct rig *r, const char *query)
{
	struct answer *a;
	char path[256];

	(void)snprintf(path, sizeof(path), CM "?watch=true%s", query);
	a = api(r, "GET", path);
	assert_true(a->streaming);
	return a;
}

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

static struct answer *watch_from(struct rig *r, int64_t rev, const char *query)
{
	char all[160];

	(void)snprintf(all, sizeof(all), "&resourceVersion=%" PRId64 "%s", rev, query);
	return watch(r, all);
}

/* What the server's memory does not reach, the store's log does: a new server serves it, in portions, and then goes on.
 */
static void test_past(void **state)
{
	enum { N = 2500 };
	struct rig *r = *state;
	struct answer *a, *b, *c;
	int64_t first, last = 0;
	char value[16];

	put(r, "a", "x", "0");
	first = rev_of(expect(r, 200, "GET", CM "/a", NULL));
	for (int i = 1; i <= N; i++) {
		(void)snprintf(value, sizeof(value), "%d", i);
		put(r, i % 2 ? "a" : "b", i % 100 ? "x" : "y", value);
	}
	expect(r, 200, "DELETE", CM "/b", NULL);
	rig_restart(r);
	a = watch_from(r, first, "");
	b = watch_from(r, first, "&labelSelector=l%3Dy");
	c = watch_from(r, first, "&fieldSelector=metadata.name%3Da");
	rig_run(r, 0);
	assert_int_equal(stream_lines(a), N + 1);
	assert_event(a, 0, "MODIFIED", "a");
	assert_event(a, 1, "ADDED", "b");
	assert_event(a, 2, "MODIFIED", "a");
	assert_event(a, N, "DELETED", "b");
	for (size_t i = 0; i <= N; i++) {
		const struct val *o = val_get(stream_line(a, i), F_object);

		assert_true(rev_of(o) > last); /* once, and in order */
		last = rev_of(o);
		if (i < N)
			assert_int_equal(
			    strtol(arena_cstr(&r->arena, val_str(val_member_sv(val_get(o, F_data), SV("k")))), NULL,
				   10),
			    (long)i + 1);
	}
	/* Into the selector and out of it, the last time by the deletion. */
	assert_int_equal(stream_lines(b), N / 100 * 2);
	assert_event(b, 0, "ADDED", "b");
	assert_event(b, 1, "DELETED", "b");
	assert_int_equal(stream_lines(c), N / 2);
	/* The same watches go on. */
	put(r, "b", "y", "new");
	assert_event(a, N + 1, "ADDED", "b");
	assert_event(b, N / 100 * 2, "ADDED", "b");
	assert_int_equal(stream_lines(c), N / 2);
	put(r, "a", "x", "new");
	assert_event(c, N / 2, "MODIFIED", "a");
	answer_gone(a);
	answer_gone(b);
	answer_gone(c);
}

static struct answer *watch_all(struct rig *r, const char *in, int64_t rev)
{
	struct ask ask = { .method = "GET",
			   .path = arena_printf(&r->arena, "%s?watch=1&resourceVersion=%" PRId64, in, rev) };
	struct answer *a = api_ask(r, &ask);

	rig_run(r, 0);
	return a;
}

/* A namespace that was deleted and made anew: who watches within it, and has rights in today's, is not told by the log
 * what was in the other one, nor what was in any before it. */
static void test_past_of_another_namespace(void **state)
{
	const char *const all = "/api/v1/namespaces", *const one = "/api/v1/namespaces/t1";
	const char *const cms = "/api/v1/namespaces/t1/configmaps";
	struct rig *r = *state;
	int64_t before, then, again;
	struct answer *a;

	before = rev_of(expect(r, 200, "GET", CM, NULL));
	expect(r, 201, "POST", all, "{\"metadata\":{\"name\":\"t1\"}}");
	then = rev_of(expect(r, 200, "GET", cms, NULL));
	expect(r, 201, "POST", cms, "{\"metadata\":{\"name\":\"former\"}}");
	expect(r, 200, "DELETE", arena_printf(&r->arena, "%s/former", cms), NULL);
	expect(r, 200, "DELETE", one, NULL);
	expect(r, 200, "PUT", arena_printf(&r->arena, "%s/finalize", one),
	       "{\"metadata\":{\"name\":\"t1\"},\"spec\":{\"finalizers\":[]}}");
	expect(r, 404, "GET", one, NULL);
	again = rev_of(expect(r, 201, "POST", all, "{\"metadata\":{\"name\":\"t1\"}}"));
	expect(r, 201, "POST", cms, "{\"metadata\":{\"name\":\"todays\"}}");
	/* What memory holds is told, as upstream's is. */
	a = watch_all(r, cms, then);
	assert_event(a, 0, "ADDED", "former");
	answer_gone(a);
	rig_restart(r);
	for (int i = 0; i < 2; i++) {
		const struct val *e;

		a = watch_all(r, cms, i ? before : then);
		assert_true(a->ended);
		assert_int_equal(stream_lines(a), 1);
		e = stream_line(a, 0);
		assert_val(val_get(e, F_type), "ERROR");
		assert_int_equal(val_get_int(e, 0, F_object, F_code), 410);
		assert_val(val_get(e, F_object, F_reason), "Expired");
		assert_true(sv_starts(val_get_str(e, F_object, F_message), SV("namespace \"t1\" of revision ")));
		answer_free(a);
	}
	/* Who may watch all namespaces sees all of it; and today's is told. */
	a = watch_all(r, "/api/v1/configmaps", then);
	assert_event(a, 0, "ADDED", "former");
	assert_event(a, 1, "DELETED", "former");
	assert_event(a, 2, "ADDED", "todays");
	answer_gone(a);
	a = watch_all(r, cms, again);
	assert_event(a, 0, "ADDED", "todays");
	assert_int_equal(stream_lines(a), 1);
	answer_gone(a);
	/* One that was changed since is the same one; and in one that is gone nobody has rights but who has them
	 * everywhere. */
	expect_type(r, 200, "PATCH", one, "application/merge-patch+json", "{\"metadata\":{\"labels\":{\"k\":\"1\"}}}");
	rig_restart(r);
	a = watch_all(r, cms, again);
	assert_event(a, 0, "ADDED", "todays");
	answer_gone(a);
	expect(r, 200, "DELETE", arena_printf(&r->arena, "%s/todays", cms), NULL);
	expect(r, 200, "DELETE", one, NULL);
	expect(r, 200, "PUT", arena_printf(&r->arena, "%s/finalize", one),
	       "{\"metadata\":{\"name\":\"t1\"},\"spec\":{\"finalizers\":[]}}");
	rig_restart(r);
	a = watch_all(r, cms, then);
	assert_event(a, 0, "ADDED", "former");
	answer_gone(a);
}

/* A reader that stops in the middle of the past gets the rest when it goes on; one that goes leaves nothing. */
static void test_past_slow_reader(void **state)
{
	struct rig *r = *state;
	struct answer *a, *gone;
	struct ask ask = { .method = "GET", .stuck = true };

	put(r, "a", "x", "0");
	ask.path = arena_printf(&r->arena, CM "?watch=true&resourceVersion=%" PRId64,
				rev_of(expect(r, 200, "GET", CM "/a", NULL)));
	for (int i = 1; i <= 3000; i++)
		put(r, "a", "x", i % 2 ? "1" : "2");
	rig_restart(r);
	answer_gone(api_ask(r, &ask)); /* before anything was read for it */
	gone = api_ask(r, &ask);
	rig_run(r, 0);
	assert_int_equal(stream_lines(gone), 1);
	answer_gone(gone);
	a = api_ask(r, &ask);
	rig_run(r, 0);
	put(r, "a", "x", "behind");
	a->stuck = false;
	a->q.on_drain(&a->q);
	rig_run(r, 0);
	assert_int_equal(stream_lines(a), 3001);
	assert_false(a->ended);
	answer_gone(a);
	/* The end of the server reaches those that are still told the past. */
	a = api_ask(r, &ask);
	rig_run(r, 0);
	apiserver_shutdown(r->server);
	a->stuck = false;
	a->q.on_drain(&a->q);
	rig_run(r, 0);
	assert_true(a->ended);
	answer_free(a);
}

/* So many that begin in the past, all with other keys than theirs between: each has its own, and memory of those who
 * take nothing is bounded. */
static void test_past_many(void **state)
{
	enum { N = 36, CHANGES = 1050, OWN = 10 };
	static char large[64 * 1024];
	struct rig *r = *state;
	const struct store_write other = { .key = SV("/registry/none/x"), .expect_rev = STORE_ANY_REV };
	struct answer *w[N], *m;
	struct sv line, rest;
	int64_t first, held = -1;
	struct ask ask = { .method = "GET", .stuck = true };

	memset(large, 'x', sizeof(large) - 1);
	put(r, "a", "x", "0");
	first = rev_of(expect(r, 200, "GET", CM "/a", NULL));
	for (int i = 0; i < CHANGES; i++)
		assert_int_equal(store_commit_wait(r->store, &other, NULL, NULL), 1);
	for (int i = 0; i < OWN; i++) {
		large[0] = (char)('a' + i);
		expect_type(r, 200, "PATCH", CM "/a", "application/merge-patch+json",
			    arena_printf(&r->arena, "{\"data\":{\"k\":\"%s\"}}", large));
	}
	rig_restart(r);
	ask.path = arena_printf(&r->arena, CM "?watch=true&resourceVersion=%" PRId64, first);
	for (int i = 0; i < N; i++)
		w[i] = api_ask(r, &ask);
	rig_run(r, 0);
	m = api(r, "GET", "/metrics");
	rest = buf_sv(&m->body);
	while (sv_split(&rest, '\n', &line)) {
		if (sv_starts(line, SV("caravel_watch_log_bytes ")))
			(void)sv_to_i64(sv_sub(line, strlen("caravel_watch_log_bytes "), line.n), &held);
		if (sv_starts(line, SV("caravel_watches_from_log_total ")))
			assert_true(sv_ends(line, SV(" 36")));
	}
	answer_free(m);
	assert_in_range(held, 1, 36 << 20); /* a MiB each were more */
	for (int i = 0; i < N; i++) {
		w[i]->stuck = false;
		w[i]->q.on_drain(&w[i]->q);
	}
	rig_run(r, 0);
	for (int i = 0; i < N; i++) {
		assert_int_equal(stream_lines(w[i]), OWN);
		answer_gone(w[i]);
	}
}

/* The value of a metric without labels. */
static int64_t metric_of(struct rig *r, const char *name)
{
	struct answer *m = api(r, "GET", "/metrics");
	struct sv line, rest = buf_sv(&m->body);
	int64_t v = -1;

	while (sv_split(&rest, '\n', &line))
		if (sv_starts(line, sv_from(name)) && line.n > strlen(name) && line.p[strlen(name)] == ' ')
			(void)sv_to_i64(sv_sub(line, strlen(name) + 1, line.n), &v);
	answer_free(m);
	return v;
}

/* What is told and not written out counts, and has a bound for each user: who reads nothing keeps nobody else waiting,
 * and when it reads, or goes, its other watches go on. */
static void test_past_who_reads_nothing(void **state)
{
	enum { N = 60, OWN = 30 };
	static const char bytes[] = "caravel_watch_log_bytes";
	static char large[64 * 1024];
	struct rig *r = *state;
	struct answer *w[N], *other;
	struct ask ask = { .method = "GET", .stuck = true, .user = "mallory" };
	int64_t first;

	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"m\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"mallory\"}]}");
	memset(large, 'x', sizeof(large) - 1);
	put(r, "a", "x", "0");
	first = rev_of(expect(r, 200, "GET", CM "/a", NULL));
	for (int i = 0; i < OWN; i++) {
		large[0] = (char)('a' + i % 26);
		expect_type(r, 200, "PATCH", CM "/a", "application/merge-patch+json",
			    arena_printf(&r->arena, "{\"data\":{\"k\":\"%s\"}}", large));
	}
	rig_restart(r);
	ask.path = arena_printf(&r->arena, CM "?watch=true&resourceVersion=%" PRId64, first);
	for (int i = 0; i < N; i++)
		w[i] = api_ask(r, &ask);
	rig_run(r, 0);
	assert_in_range(metric_of(r, bytes), 4 << 20, 12 << 20); /* 60 portions of a MiB were more */
	other = api(r, "GET", ask.path);
	rig_run(r, 0);
	assert_int_equal(stream_lines(other), OWN);
	answer_gone(other);
	for (int i = 0; i < N / 2; i++) /* those that hold something go, others have their turn */
		answer_gone(w[i]);
	rig_run(r, 0);
	assert_in_range(metric_of(r, bytes), 4 << 20, 12 << 20);
	for (int i = N / 2; i < N; i++) {
		w[i]->stuck = false;
		w[i]->q.on_drain(&w[i]->q);
	}
	rig_run(r, 0);
	for (int i = N / 2; i < N; i++) {
		assert_int_equal(stream_lines(w[i]), OWN);
		answer_gone(w[i]);
	}
	assert_int_equal(metric_of(r, bytes), 0);
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
		T(test_past),
		T(test_past_of_another_namespace),
		T(test_past_slow_reader),
		T(test_past_many),
		T(test_past_who_reads_nothing),
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
