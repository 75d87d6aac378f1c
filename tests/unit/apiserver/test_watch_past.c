/* Watches that begin before what memory holds: what the log tells, whom it does not, and what that costs. */
#include "watch_kit.h"

#include "store/store.h"

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

/* As the node n. */
static struct ask ask_of_node(const char *path)
{
	static const struct sv nodes[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };

	return (struct ask){ .method = "GET", .path = path, .user = "system:node:n", .groups = nodes, .n_groups = 2 };
}

static struct answer *node_watch(struct rig *r, const char *query, int64_t rev)
{
	struct ask ask = ask_of_node(
	    arena_printf(&r->arena, CM "?watch=1&resourceVersion=%" PRId64 "&fieldSelector=%s", rev, query));
	struct answer *a = api_ask(r, &ask);

	rig_run(r, 0);
	return a;
}

static void node_is_refused(struct rig *r, const char *query, int64_t rev)
{
	struct answer *a = node_watch(r, query, rev);
	const struct val *e = stream_line(a, 0);

	assert_true(a->ended);
	assert_int_equal(stream_lines(a), 1);
	assert_val(val_get(e, F_type), "ERROR");
	assert_int_equal(val_get_int(e, 0, F_object, F_code), 410);
	assert_true(sv_starts(val_get_str(e, F_object, F_message),
			      sv_from(arena_printf(&r->arena, "too old resource version: %" PRId64 " (", rev))));
	answer_free(a);
}

/* A node may watch what its Pods name today. What had the name before is told by memory, as upstream's tells it, and
 * by nothing that reaches further back. */
static void test_past_of_a_node(void **state)
{
	static const char one[] = "metadata.name%3Dc", exact[] = CM "?fieldSelector=metadata.name%%3Dc&%s=%s";
	struct rig *r = *state;
	int64_t before, then, now;
	const char *token;
	struct answer *a;
	struct ask ask;

	before = rev_of(expect(r, 200, "GET", CM, NULL));
	put(r, "a", "x", "1");
	put(r, "c", "x", "somebody else's");
	token = arena_cstr(&r->arena, val_get_str(expect(r, 200, "GET", CM "?limit=1", NULL), F_metadata, F_continue));
	then = rev_of(expect(r, 200, "GET", CM "/c", NULL));
	expect(r, 200, "DELETE", CM "/c", NULL);
	put(r, "c", "x", "its");
	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\",\"image\":"
	       "\"i\"}],\"volumes\":[{\"name\":\"v\",\"configMap\":{\"name\":\"c\"}}]}}");
	now = rev_of(expect(r, 200, "GET", CM, NULL));
	a = node_watch(r, one, then);
	assert_event(a, 0, "DELETED", "c");
	assert_event(a, 1, "ADDED", "c");
	answer_gone(a);
	rig_restart(r);
	node_is_refused(r, one, then);
	node_is_refused(r, one, before);
	ask = ask_of_node(arena_printf(&r->arena, exact, "resourceVersionMatch=Exact&resourceVersion",
				       arena_printf(&r->arena, "%" PRId64, then)));
	expect_status(r, 410, "Expired", "The resourceVersion for the provided list is too old.", &ask);
	ask = ask_of_node(
	    arena_printf(&r->arena, exact, "limit=1&resourceVersion", arena_printf(&r->arena, "%" PRId64, then)));
	expect_status(r, 410, "Expired", "The resourceVersion for the provided list is too old.", &ask);
	ask = ask_of_node(arena_printf(&r->arena, exact, "limit=1&continue", token));
	expect_status(r, 410, "Expired", "The provided continue parameter is too old", &ask);
	/* Others are told, and the node goes on from what memory has. */
	a = watch_all(r, CM, then);
	assert_event(a, 0, "DELETED", "c");
	answer_gone(a);
	a = node_watch(r, one, now);
	assert_int_equal(stream_lines(a), 0);
	put(r, "c", "x", "its new");
	assert_event(a, 0, "MODIFIED", "c");
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
static void past_who_reads_nothing(struct rig *r, int own)
{
	enum { N = 60 };
	static const char bytes[] = "caravel_watch_log_bytes";
	static char large[64 * 1024];
	struct answer *w[N], *other;
	struct ask ask = { .method = "GET", .stuck = true, .user = "mallory" };
	int64_t first;

	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"m\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"view\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"mallory\"}]}");
	memset(large, 'x', sizeof(large) - 1);
	put(r, "a", "x", "0");
	first = rev_of(expect(r, 200, "GET", CM "/a", NULL));
	for (int i = 0; i < own; i++) {
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
	assert_int_equal(stream_lines(other), own);
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
	assert_int_equal(metric_of(r, bytes), 0);
	for (int i = N / 2; i < N; i++) {
		assert_int_equal(stream_lines(w[i]), own);
		answer_gone(w[i]);
	}
}

static void test_past_who_reads_nothing(void **state)
{
	past_who_reads_nothing(*state, 30);
}

/* Nor is it otherwise when all there is fits into one portion, with which the watch joins the others. */
static void test_past_joined_reads_nothing(void **state)
{
	past_who_reads_nothing(*state, 6);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_past),
		T(test_past_of_another_namespace),
		T(test_past_of_a_node),
		T(test_past_slow_reader),
		T(test_past_many),
		T(test_past_who_reads_nothing),
		T(test_past_joined_reads_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
