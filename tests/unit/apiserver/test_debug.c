/* Who sees what the server does, what he sees, and what the log says of slow requests. */
#include "harness.h"

#include "apiserver/debug.h"
#include "base/log.h"
#include "base/utf8.h"
#include "client/workq.h"

#include <stdio.h>

#define MAPS "/api/v1/namespaces/default/configmaps"
#define RBAC "/apis/rbac.authorization.k8s.io/v1/"

static const char *const paths[] = { "/debug",	      "/debug/",       "/debug/requests", "/debug/tasks",
				     "/debug/locks",  "/debug/queues", "/debug/watchers", "/debug/requests?format=json",
				     "/debug/pprof/", "/debug/nothing" };

static void expect_refused(struct rig *r, const struct ask *who, const char *user)
{
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct ask a = *who;
		char words[160];

		(void)snprintf(words, sizeof(words), "forbidden: User \"%s\" cannot get path \"%.*s\"", user,
			       (int)strcspn(paths[i], "?"), paths[i]);
		a.method = "GET";
		a.path = paths[i];
		expect_status(r, 403, "Forbidden", words, &a);
	}
}

static void test_who_is_refused(void **state)
{
	static const struct sv nodes[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } },
			       accounts[] = { { "system:serviceaccounts", 22 },
					      { "system:serviceaccounts:kube-system", 34 },
					      { "system:authenticated", 20 } };
	struct rig *r = *state;

	for (int off = 0; off < 2; off++) {
		expect_refused(r, &(struct ask){ .authorization = "" }, "system:anonymous");
		expect_refused(r, &(struct ask){ .user = "jane" }, "jane");
		expect_refused(r, &(struct ask){ .user = "system:node:n", .groups = nodes, .n_groups = 2 },
			       "system:node:n");
		expect_refused(
		    r,
		    &(struct ask){ .user = "system:serviceaccount:kube-system:x", .groups = accounts, .n_groups = 3 },
		    "system:serviceaccount:kube-system:x");
		/* Turned off: also for who may. Words are those of any path that there is not. */
		for (size_t i = 0; off && i < ARRAY_LEN(paths); i++) {
			struct answer *a = api(r, "GET", paths[i]);

			assert_int_equal(a->code, 404);
			answer_free(a);
		}
		r->no_profiling = true;
		rig_restart(r);
	}
}

static void test_who_is_let_in(void **state)
{
	struct rig *r = *state;

	expect(
	    r, 201, "POST", RBAC "clusterroles",
	    "{\"metadata\":{\"name\":\"d\"},\"rules\":[{\"nonResourceURLs\":[\"/debug/tasks\"],\"verbs\":[\"get\"]}]}");
	expect(r, 201, "POST", RBAC "clusterrolebindings",
	       "{\"metadata\":{\"name\":\"d\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"d\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"jane\"}]}");
	expect_status(r, 403, "Forbidden", "cannot get path \"/debug/requests\"",
		      &(struct ask){ .method = "GET", .path = "/debug/requests", .user = "jane" });
	answer_free(api(r, "GET", "/debug/tasks", .user = "jane"));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		struct answer *a = api(r, "GET", paths[i]);
		bool there = i < ARRAY_LEN(paths) - 2;

		if (a->code != (there ? 200 : 404))
			fail_msg("%s: %d", paths[i], a->code);
		answer_free(a);
	}
	expect_status(r, 405, "MethodNotAllowed", "does not allow this method",
		      &(struct ask){ .method = "POST", .path = "/debug/requests", .body = "{}" });
	expect_status(r, 400, "BadRequest", "must be json or text",
		      &(struct ask){ .method = "GET", .path = "/debug/requests?format=yaml" });
}

/* --- requests --- */

static struct req_ticket *held[16];
static size_t n_held, hold_most;

static int hold(struct api_req *q, struct err *err, void *ctx)
{
	void *result;

	(void)err;
	(void)ctx;
	if (n_held == hold_most || req_result(q, &result))
		return 0;
	held[n_held++] = req_suspend(q, "the test", NULL, NULL);
	return REQ_LATER;
}

static const struct req_plugins plugins = { .commit = hold };

static void let_go(struct rig *r)
{
	for (size_t i = 0; i < n_held; i++)
		req_resume(held[i], NULL, NULL);
	n_held = hold_most = 0;
	rig_run(r, 0);
}

static const struct val *requests(struct rig *r)
{
	return val_member_sv(expect(r, 200, "GET", "/debug/requests?format=json", NULL), SV("requests"));
}

static void assert_row(const struct val *row, const char *state, const char *verb, const char *url, const char *user)
{
	assert_val(val_member_sv(row, SV("state")), state);
	assert_val(val_member_sv(row, SV("verb")), verb);
	assert_val(val_member_sv(row, SV("url")), url);
	assert_val(val_member_sv(row, SV("user")), user);
}

static void test_requests(void **state)
{
	struct rig *r = *state;
	struct answer *post, *watch, *text;
	const struct val *rows;
	const char *line;

	req_set_plugins(r->server, &plugins);
	hold_most = 1;
	watch = api(r, "GET", MAPS "?watch=1&allowWatchBookmarks=true");
	post = api_start(r, &(struct ask){ .method = "POST",
					   .path = MAPS "?fieldManager=secret-word",
					   .user = "ja\nne \"\\",
					   .groups = (const struct sv[]){ SV("system:masters") },
					   .n_groups = 1,
					   .body = "{\"metadata\":{\"name\":\"m\"},\"data\":{\"k\":\"hunter2\"}}" });
	rig_run(r, 1500 * NS_PER_MS);
	assert_int_equal(n_held, 1);
	rows = requests(r);
	assert_int_equal(val_len(rows), 3);
	assert_row(val_at(rows, 0), "waits for the test", "POST", MAPS, "ja\nne \"\\");
	assert_val(val_member_sv(val_at(rows, 0), SV("step")), "validated");
	assert_true(val_type(val_member_sv(val_at(rows, 0), SV("age"))) != VAL_NULL);
	assert_int_equal(val_int_or(val_member_sv(val_at(rows, 0), SV("bytes")), 0), 48);
	assert_row(val_at(rows, 1), "runs", "GET", "/debug/requests", "admin");
	assert_true(val_str(val_member_sv(val_at(rows, 1), SV("thread"))).n > 0);
	assert_row(val_at(rows, 2), "stands", "WATCH", MAPS, "admin");

	/* As text: a line for each, whatever is in it. */
	text = api(r, "GET", "/debug/requests");
	line =
	    "  state=\"waits for the test\" verb=POST url=" MAPS " user=\"ja\\nne \\\"\\\\\" age=1.5s step=validated "
	    "bytes=48\n";
	if (sv_find_sv(buf_sv(&text->body), sv_from(line)) < 0)
		fail_msg("%s", buf_cstr(&text->body));
	assert_true(sv_find_sv(buf_sv(&text->body), SV("hunter2")) < 0);
	assert_true(sv_find_sv(buf_sv(&text->body), SV("secret-word")) < 0);
	assert_true(sv_find_sv(buf_sv(&text->body), SV("watch=1")) < 0);
	assert_int_equal(stream_lines(text), 4);
	assert_string_equal(text->content_type, "text/plain; charset=utf-8");
	answer_free(text);

	let_go(r);
	assert_int_equal(post->code, 201);
	answer_free(post);
	assert_int_equal(val_len(requests(r)), 2);
	answer_gone(watch);
	/* Parts of a request and the server's own writes are none. */
	expect(r, 200, "DELETE", MAPS, NULL);
	assert_int_equal(val_len(requests(r)), 1);
	req_set_plugins(r->server, NULL);
}

/* Of who asks, as the page has him: another moment, so that he is not taken for the one before. */
static struct answer *page_of(struct rig *r, const char *path, const char *user)
{
	static const struct sv masters[] = { { "system:masters", 14 } };
	struct answer *a;

	rig_run(r, NS_PER_MS);
	a = api(r, "GET", path, .user = user, .groups = masters, .n_groups = 1);
	assert_int_equal(a->code, 200);
	assert_true(utf8_valid(buf_sv(&a->body)));
	return a;
}

/* Names are anybody's bytes, and of long ones a part is shown. */
static void test_pages_are_text(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	char user[400];

	/* Wherever the cut falls. */
	for (size_t lead = 0; lead < 4; lead++) {
		memset(user, 'x', lead);
		for (size_t i = lead; i + 3 < sizeof(user); i += 3)
			memcpy(user + i, "\xe2\x82\xac", 4);
		for (int json = 0; json < 2; json++) {
			a = page_of(r, json ? "/debug/requests?format=json" : "/debug/tasks", user);
			assert_true(sv_find_sv(buf_sv(&a->body), SV("\xe2\x82\xac")) >= 0);
			assert_true(sv_find_sv(buf_sv(&a->body), SV("\xef\xbf\xbd")) < 0);
			answer_free(a);
		}
	}
	a = page_of(r, "/debug/requests?format=json", "ja\xffne");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("\"ja\xef\xbf\xbdne\"")) >= 0);
	answer_free(a);
}

static void test_pages_are_bounded(void **state)
{
	(void)state;
	for (int json = 0; json < 2; json++) {
		struct debug_page p = { .json = json };
		size_t n = 0;

		debug_table(&p, "rows");
		while (debug_row(&p)) {
			debug_number(&p, "n", (int64_t)n++);
			debug_row_end(&p);
		}
		assert_false(debug_row(&p));
		debug_table_end(&p);
		assert_int_equal(n, DEBUG_ROWS_MAX);
		assert_true(sv_ends(buf_sv(&p.b),
				    json ? SV("{\"n\":1999}],\"truncated\":true") : SV("  n=1999\n  ... and more\n")));
		debug_table(&p, "none");
		debug_table_end(&p);
		assert_true(sv_ends(buf_sv(&p.b), json ? SV(",\"none\":[]") : SV("\nnone\n")));
		buf_release(&p.b);
	}
}

static void test_watchers(void **state)
{
	struct rig *r = *state;
	struct answer *watch = api(r, "GET", MAPS "?watch=1", .user = "admin \"x\"",
				   .groups = (const struct sv[]){ SV("system:masters") }, .n_groups = 1),
		      *text;
	const struct val *rows, *row = NULL;

	rows = val_member_sv(expect(r, 200, "GET", "/debug/watchers?format=json", NULL), SV("watchers"));
	VAL_EACH(rows, one)
		if (val_is(val_member_sv(one, SV("user")), "admin \"x\""))
			row = one;
	assert_non_null(row);
	assert_val(val_member_sv(row, SV("resource")), "configmaps");
	assert_val(val_member_sv(row, SV("namespace")), "default");
	assert_true(val_type(val_member_sv(row, SV("bytes"))) == VAL_INT);
	text = api(r, "GET", "/debug/watchers");
	assert_true(sv_find_sv(buf_sv(&text->body),
			       SV("\n  resource=configmaps namespace=default user=\"admin \\\"x\\\"\" seconds=0 ")) >=
		    0);
	answer_free(text);
	answer_gone(watch);
}

static int reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	(void)ctx;
	(void)key;
	(void)ret;
	(void)err;
	return 0;
}

static void test_tasks_and_queues(void **state)
{
	struct rig *r = *state;
	struct workq *q =
	    workq_new(r->env, &(struct workq_opts){ .name = "unit-queue", .class = ENV_NODE, .reconcile = reconcile });
	const struct val *page, *rows;
	bool found = false;

	workq_add(q, SV("a"));
	workq_add(q, SV("b"));
	rows = val_member_sv(expect(r, 200, "GET", "/debug/queues?format=json", NULL), SV("queues"));
	VAL_EACH(rows, row) {
		if (!val_is(val_member_sv(row, SV("queue")), "unit-queue"))
			continue;
		found = true;
		assert_val(val_member_sv(row, SV("class")), "node");
	}
	assert_true(found);
	rig_run(r, NS_PER_SEC);
	q = workq_free(q);
	rows = val_member_sv(expect(r, 200, "GET", "/debug/queues?format=json", NULL), SV("queues"));
	VAL_EACH(rows, row)
		assert_false(val_is(val_member_sv(row, SV("queue")), "unit-queue"));

	rig_run(r, NS_PER_MS); /* who asks at another moment is another one */
	page = expect(r, 200, "GET", "/debug/tasks?format=json", NULL);
	assert_int_equal(val_len(val_member_sv(page, SV("classes"))), ENV_CLASSES);
	rows = val_member_sv(page, SV("running"));
	assert_int_equal(val_len(rows), 1);
	assert_val(val_member_sv(val_at(rows, 0), SV("works_on")), "request GET /debug/tasks admin");
}

/* --- slow requests --- */

static struct {
	struct buf lines;
	int n;
} slow;

static void take_line(struct sv line, void *ctx)
{
	(void)ctx;
	if (sv_find_sv(line, SV("slow request")) < 0)
		return;
	buf_addsv(&slow.lines, line);
	buf_addc(&slow.lines, '\n');
	slow.n++;
}

static void slow_has(const char *words)
{
	if (sv_find_sv(buf_sv(&slow.lines), sv_from(words)) < 0)
		fail_msg("no '%s' in:\n%s", words, buf_cstr(&slow.lines));
}

/* What somebody else decides, so that who has no right by himself waits for an answer. */
static int hold_authorize(struct api_req *q, const struct authz_attrs *at, struct sv *reason, struct err *err,
			  void *ctx)
{
	(void)at;
	(void)reason;
	int rc = sv_is(q->user.name, "jane") ? hold(q, err, ctx) : 1;

	return rc;
}

static const struct req_plugins slow_authorizer = { .authorize = hold_authorize };

static struct answer *change(struct rig *r, int64_t ns, const char *value)
{
	char body[96];
	struct answer *a;

	hold_most = 1;
	(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"m\"},\"data\":{\"k\":\"%s\"}}", value);
	a = api_start(r, &(struct ask){ .method = "PUT", .path = MAPS "/m?fieldManager=secret-word", .body = body });
	rig_run(r, ns);
	let_go(r);
	assert_int_equal(a->code, 200);
	return a;
}

static void test_slow_requests(void **state)
{
	struct rig *r = *state;
	struct answer *all[14], *watch;

	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"}}");
	log_set_sink(take_line, NULL);
	req_set_plugins(r->server, &plugins);
	answer_free(change(r, 999 * NS_PER_MS, "hunter1"));
	assert_int_equal(slow.n, 0);
	answer_free(change(r, 2250 * NS_PER_MS, "hunter2"));
	assert_int_equal(slow.n, 1);
	slow_has("verb=\"PUT\" url=\"" MAPS "/m\" user=\"admin\" bytes=\"48\" took=\"2.25s\" code=\"200\"");
	slow_has("validated 0s, committed 2.25s, answered 0s\" unsaid=\"0\"");
	assert_true(sv_find_sv(buf_sv(&slow.lines), SV("secret-word")) < 0);
	assert_true(sv_find_sv(buf_sv(&slow.lines), SV("hunter")) < 0);

	/* What lasts by nature is not slow; a read that waits is. */
	req_set_plugins(r->server, &slow_authorizer);
	hold_most = 1;
	watch = api_start(r, &(struct ask){ .method = "GET", .path = MAPS "?watch=1", .user = "jane" });
	rig_run(r, 5 * NS_PER_SEC);
	let_go(r);
	assert_int_equal(watch->code, 200);
	rig_run(r, 5 * NS_PER_SEC);
	answer_gone(watch);
	assert_int_equal(slow.n, 1);
	hold_most = 1;
	all[0] = api_start(r, &(struct ask){ .method = "GET", .path = MAPS "/m", .user = "jane" });
	rig_run(r, 5 * NS_PER_SEC);
	let_go(r);
	assert_int_equal(all[0]->code, 200);
	answer_free(all[0]);
	assert_int_equal(slow.n, 2);
	slow_has("verb=\"GET\" url=\"" MAPS "/m\" user=\"jane\" bytes=\"0\" took=\"5s\" code=\"200\" "
		 "steps=\"authorized 5s, answered 0s\"");

	/* What failed says why, when the server is the reason; what somebody sent is told to nobody else. */
	rig_run(r, 100 * NS_PER_SEC);
	assert_true(sv_find_sv(buf_sv(&slow.lines), SV("why=")) < 0);
	all[0] = api_start(r, &(struct ask){ .method = "GET", .path = MAPS "?resourceVersion=99999" });
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(all[0]->code, 504);
	answer_free(all[0]);
	slow_has("unsaid=\"0\" why=\"Timeout: Too large resource version: 99999, current: ");

	/* So many lines at once, then one now and then, which says how many are missing. */
	rig_run(r, 100 * NS_PER_SEC);
	slow.n = 0;
	hold_most = ARRAY_LEN(all);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		all[i] = api_start(r, &(struct ask){ .method = "GET", .path = MAPS "/m", .user = "jane" });
	rig_run(r, 2 * NS_PER_SEC);
	let_go(r);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		answer_free(all[i]);
	assert_int_equal(slow.n, 10);
	req_set_plugins(r->server, &plugins);
	answer_free(change(r, 5 * NS_PER_SEC, "v"));
	assert_int_equal(slow.n, 11);
	slow_has("unsaid=\"4\"");
	log_set_sink(NULL, NULL);
	buf_release(&slow.lines);
	req_set_plugins(r->server, NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who_is_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_who_is_let_in, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_requests, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_pages_are_text, rig_setup, rig_teardown),
		cmocka_unit_test(test_pages_are_bounded),
		cmocka_unit_test_setup_teardown(test_watchers, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_tasks_and_queues, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_slow_requests, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
