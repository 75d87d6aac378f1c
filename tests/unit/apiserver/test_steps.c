/* Requests that wait: at each step in turn, until they are resumed, their time is up, their client goes or the server
 * ends; and what they held is given back. Who is waited for is simulated: plug-ins that say later. */
#include "harness.h"

#include "apiserver/admission/admission.h"

#include <stdio.h>

#define SERVICES "/api/v1/namespaces/default/services"
#define MAPS "/api/v1/namespaces/default/configmaps"
#define HOOKED "Bearer somebody-elses"

enum point { AUTHENTICATE, AUTHORIZE, MUTATE, VALIDATE, RESERVE, CONVERT, COMMIT, HISTORY, _POINT_MAX };

static const char *const names[] = { "authenticate", "authorize", "mutate", "validate",
				     "reserve",	     "convert",	  "commit", "history" };

/* What the plug-ins are to do, and did. */
static struct {
	bool waits[_POINT_MAX];
	bool at_once; /* resumed before the step returns */
	bool no;      /* what is resumed is refused */
	int asked[_POINT_MAX], cancelled;
	struct req_ticket *ticket;
	struct api_req *q;
	int released; /* results */
	int reserved, given_back, kept;
} out;

static void cancelled(void *ctx)
{
	(void)ctx;
	out.cancelled++;
}

static void release(void *result)
{
	(void)result;
	out.released++;
}

static char yes[] = "yes";

/* 0, -1 or REQ_LATER. */
static int ask(struct api_req *q, enum point p, struct err *err)
{
	void *result;

	out.asked[p]++;
	if (!out.waits[p])
		return 0;
	if (req_result(q, &result)) {
		assert_ptr_equal(result, yes);
		assert_false(req_result(q, &result));
		return out.no ? err_set(err, ERR_FORBIDDEN, "the other side says no") : 0;
	}
	out.q = q;
	out.ticket = req_suspend(q, names[p], cancelled, NULL);
	if (out.at_once)
		assert_true(req_resume(out.ticket, yes, release));
	return REQ_LATER;
}

static int authenticate(struct api_req *q, struct err *err, void *ctx)
{
	static struct sv group = { "system:authenticated", sizeof("system:authenticated") - 1 };
	int rc = ask(q, AUTHENTICATE, err);

	(void)ctx;
	if (rc == 0)
		q->user = (struct user_info){ .name = SV("hooked"), .groups = &group, .n_groups = 1 };
	return rc;
}

static int authorize(struct api_req *q, const struct authz_attrs *at, struct sv *reason, struct err *err, void *ctx)
{
	(void)at;
	(void)reason;
	(void)ctx;
	return sv_is(q->user.name, "hooked") ? ask(q, AUTHORIZE, err) : 1;
}

static int mutate(const struct admission *a, struct err *err, void *ctx)
{
	int rc = ask(a->q, MUTATE, err);

	(void)ctx;
	if (rc == 0)
		val_set_str_sv(a->q->arena,
			       val_ensure_map(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_metadata), F_labels),
			       SV("mutated"), SV("yes"));
	return rc;
}

static int validate(const struct admission *a, struct err *err, void *ctx)
{
	(void)ctx;
	return ask(a->q, VALIDATE, err);
}

static int reserve(struct api_req *q, const struct val *old, const struct val *doc, void **held, struct err *err,
		   void *ctx)
{
	int rc = ask(q, RESERVE, err);

	(void)old;
	(void)doc;
	(void)ctx;
	out.reserved += rc == 0;
	*held = yes;
	return rc;
}

static void reserved(struct apiserver *s, void *held, bool committed, void *ctx)
{
	assert_non_null(s);
	assert_ptr_equal(held, yes);
	(void)ctx;
	out.kept += committed;
	out.given_back += !committed;
}

static int convert(struct api_req *q, struct val *doc, struct err *err, void *ctx)
{
	(void)doc;
	(void)ctx;
	return ask(q, CONVERT, err);
}

static int commit(struct api_req *q, struct err *err, void *ctx)
{
	(void)ctx;
	return ask(q, COMMIT, err);
}

static int history(struct api_req *q, struct err *err, void *ctx)
{
	(void)ctx;
	return ask(q, HISTORY, err);
}

static const struct req_plugins plugins = {
	.authenticate = authenticate,
	.authorize = authorize,
	.mutate = mutate,
	.validate = validate,
	.reserve = reserve,
	.reserved = reserved,
	.convert = convert,
	.commit = commit,
	.history = history,
};

static int setup(void **state)
{
	int rc = rig_setup(state);
	struct rig *r = *state;

	memset(&out, 0, sizeof(out));
	req_set_plugins(r->server, &plugins);
	return rc;
}

static int teardown(void **state)
{
	assert_int_equal(req_waits_count(((struct rig *)*state)->server), 0);
	return rig_teardown(state);
}

/* --- helpers --- */

static const char service[] =
    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"clusterIP\":\"10.43.7.7\",\"ports\":[{\"port\":80}]}}";

static struct answer *post_service(struct rig *r)
{
	struct answer *a = api_start(
	    r, &(struct ask){
		   .method = "POST", .path = SERVICES, .body = service, .authorization = HOOKED, .loop = true });

	rig_run(r, 0);
	return a;
}

static void must_wait(struct rig *r, struct answer *a, enum point p)
{
	if (a->answers || !out.ticket)
		print_error("at %s: %d %s\n", names[p], a->code, buf_cstr(&a->body));
	assert_int_equal(a->answers, 0);
	assert_non_null(out.ticket);
	assert_int_equal(req_waits_count(r->server), 1);
}

static void resume(struct rig *r)
{
	struct req_ticket *t = out.ticket;

	out.ticket = NULL;
	assert_true(req_resume(t, yes, release));
	rig_run(r, 0);
}

static void resume_late(void)
{
	int before = out.released;
	struct req_ticket *t = out.ticket;

	out.ticket = NULL;
	assert_false(req_resume(t, yes, release));
	assert_int_equal(out.released, before + 1);
}

static void must_fail(struct answer *a, int code, const char *reason, const char *message)
{
	const struct val *st;

	assert_int_equal(a->answers, 1);
	assert_int_equal(a->code, code);
	st = api_json(a);
	assert_val(val_get(st, F_reason), reason);
	if (!val_is(val_get(st, F_message), message))
		print_error("%s\n", buf_cstr(&a->body));
	assert_val(val_get(st, F_message), message);
}

/* Nothing is left of it: name and address can be had. */
static void nothing_left(struct rig *r)
{
	assert_int_equal(out.kept, 0);
	assert_int_equal(out.given_back, out.reserved);
	memset(out.waits, 0, sizeof(out.waits));
	expect(r, 404, "GET", SERVICES "/web", NULL);
	expect(r, 201, "POST", SERVICES, service);
	expect(r, 200, "DELETE", SERVICES "/web", NULL);
}

/* --- resumed --- */

static void test_each_step(void **state)
{
	struct rig *r = *state;

	for (enum point p = AUTHENTICATE; p < HISTORY; p++) {
		struct answer *a;

		memset(&out, 0, sizeof(out));
		out.waits[p] = true;
		a = post_service(r);
		must_wait(r, a, p);
		rig_run(r, 10 * NS_PER_SEC); /* less than its time */
		must_wait(r, a, p);
		assert_int_equal(out.asked[p], 1);
		resume(r);
		assert_int_equal(a->answers, 1);
		assert_int_equal(a->code, 201);
		/* Asked again, and nobody before it. */
		for (enum point i = AUTHENTICATE; i < HISTORY; i++)
			assert_int_equal(out.asked[i], i == p ? 2 : 1);
		assert_int_equal(out.cancelled, 0);
		assert_int_equal(out.kept, 1);
		assert_int_equal(out.given_back, 0);
		assert_val(val_member_sv(val_get(api_json(a), F_metadata, F_labels), SV("mutated")), "yes");
		answer_free(a);
		assert_int_equal(out.released, 1);
		out.waits[p] = false;
		expect(r, 200, "DELETE", SERVICES "/web", NULL);
	}
}

static void test_every_step(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	for (enum point p = AUTHENTICATE; p < HISTORY; p++)
		out.waits[p] = true;
	a = post_service(r);
	for (enum point p = AUTHENTICATE; p < HISTORY; p++) {
		must_wait(r, a, p);
		assert_int_equal(out.asked[p], 1);
		resume(r);
	}
	assert_int_equal(a->code, 201);
	answer_free(a);
}

/* Whoever answers does so before the step has returned. */
static void test_resume_inside(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	out.at_once = true;
	for (enum point p = AUTHENTICATE; p < HISTORY; p++)
		out.waits[p] = true;
	a = post_service(r);
	assert_int_equal(a->answers, 1);
	assert_int_equal(a->code, 201);
	answer_free(a);
	assert_int_equal(out.released, HISTORY);
}

static void test_resume_twice(void **state)
{
	struct rig *r = *state;
	struct req_ticket *again;
	struct answer *a;

	out.waits[MUTATE] = true;
	a = post_service(r);
	must_wait(r, a, MUTATE);
	again = req_ticket_ref(out.ticket);
	resume(r);
	assert_int_equal(a->answers, 1);
	answer_free(a);
	assert_int_equal(out.released, 1);
	out.ticket = again;
	resume_late();
}

static void test_refused_later(void **state)
{
	struct rig *r = *state;

	for (enum point p = AUTHENTICATE; p < HISTORY; p++) {
		struct answer *a;

		memset(&out, 0, sizeof(out));
		out.waits[p] = out.no = true;
		a = post_service(r);
		must_wait(r, a, p);
		resume(r);
		must_fail(a, 403, "Forbidden", "the other side says no");
		answer_free(a);
		nothing_left(r);
	}
}

static void test_history(void **state)
{
	struct rig *r = *state;
	char path[512];
	struct answer *a;

	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}");
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"b\"}}");
	(void)snprintf(
	    path, sizeof(path), MAPS "?limit=1&continue=%s",
	    arena_cstr(&r->arena, val_get_str(expect(r, 200, "GET", MAPS "?limit=1", NULL), F_metadata, F_continue)));
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"c\"}}");
	out.waits[HISTORY] = true;
	a = api_start(r, &(struct ask){ .method = "GET", .path = path, .loop = true });
	rig_run(r, 0);
	must_wait(r, a, HISTORY);
	resume(r);
	assert_int_equal(a->code, 200);
	assert_val(val_get(val_at(val_get(api_json(a), F_items), 0), F_metadata, F_name), "b");
	answer_free(a);
	assert_int_equal(out.asked[HISTORY], 2);
	/* And its time is that of a read. */
	a = api_start(r, &(struct ask){ .method = "GET", .path = path, .loop = true });
	rig_run(r, 59 * NS_PER_SEC);
	must_wait(r, a, HISTORY);
	rig_run(r, 2 * NS_PER_SEC);
	must_fail(a, 504, "Timeout", "Timeout: request did not complete within the allotted timeout");
	answer_free(a);
	resume_late();
}

/* A list that waited for its revision and then finds it in history only: who knows history has not waited yet. */
static void test_history_of_late(void **state)
{
	struct rig *r = *state;
	const struct val *list;
	struct answer *a;
	char path[256];
	int64_t rev;

	list = expect(r, 200, "GET", MAPS, NULL);
	assert_true(sv_to_i64(val_get_str(list, F_metadata, F_resourceVersion), &rev));
	(void)snprintf(path, sizeof(path), MAPS "?resourceVersionMatch=Exact&resourceVersion=%" PRId64, rev + 1);
	out.waits[HISTORY] = true;
	a = api_start(r, &(struct ask){ .method = "GET", .path = path, .loop = true });
	rig_run(r, 0);
	assert_int_equal(req_waits_count(r->server), 1);
	assert_int_equal(out.asked[HISTORY], 0);
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}");
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"b\"}}");
	rig_run(r, NS_PER_SEC);
	must_wait(r, a, HISTORY);
	resume(r);
	assert_int_equal(a->code, 200);
	assert_int_equal(val_len(val_get(api_json(a), F_items)), 1);
	assert_int_equal(out.asked[HISTORY], 2);
	answer_free(a);
}

/* A result is for who waited, also when that one does not look at it. */
static int reserve_deaf(struct api_req *q, const struct val *old, const struct val *doc, void **held, struct err *err,
			void *ctx)
{
	(void)held;
	(void)old;
	(void)doc;
	(void)err;
	(void)ctx;
	if (out.asked[RESERVE]++)
		return 0;
	out.ticket = req_suspend(q, names[RESERVE], cancelled, NULL);
	return REQ_LATER;
}

static int convert_deaf(struct api_req *q, struct val *doc, struct err *err, void *ctx)
{
	void *result;

	(void)doc;
	(void)err;
	(void)ctx;
	if (out.asked[CONVERT]++)
		return 0;
	assert_false(req_result(q, &result));
	out.ticket = req_suspend(q, names[CONVERT], cancelled, NULL);
	return REQ_LATER;
}

static void test_deaf(void **state)
{
	static const struct req_plugins deaf = { .authenticate = authenticate,
						 .authorize = authorize,
						 .reserve = reserve_deaf,
						 .convert = convert_deaf,
						 .commit = commit };
	struct rig *r = *state;
	struct answer *a;

	req_set_plugins(r->server, &deaf);
	out.waits[COMMIT] = true;
	a = post_service(r);
	for (enum point p = RESERVE; p <= COMMIT; p++) {
		must_wait(r, a, p);
		resume(r);
		assert_int_equal(out.asked[p], 2);
	}
	assert_int_equal(a->code, 201);
	answer_free(a);
}

/* --- subresources that store nothing, deletions, what the server does for itself --- */

static void test_other_writes(void **state)
{
	static const char pod[] =
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}";
	static const char binding[] = "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}";
	static const char eviction[] = "{\"metadata\":{\"name\":\"p\"}}";
	static const struct {
		const char *method, *path, *body, *type;
		int code;
	} all[] = {
		{ "POST", "/api/v1/namespaces/default/pods/p/binding", binding, NULL, 201 },
		{ "PATCH", "/api/v1/namespaces/default/pods/p", "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}",
		  "application/merge-patch+json", 200 },
		{ "PATCH", "/api/v1/namespaces/default/pods/p?fieldManager=me",
		  "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"p\",\"labels\":{\"z\":\"y\"}}}",
		  "application/apply-patch+yaml", 200 },
		{ "POST", "/api/v1/namespaces/default/pods/p/eviction", eviction, NULL, 201 },
		{ "DELETE", "/api/v1/namespaces/default/pods/p?gracePeriodSeconds=0", NULL, NULL, 200 },
		{ "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"sa\"}}", NULL, 201 },
		{ "DELETE", "/api/v1/namespaces/default/serviceaccounts", NULL, NULL, 200 },
	};
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/pods", pod);
	memset(out.waits, true, sizeof(out.waits));
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct answer *a = api_start(r, &(struct ask){ .method = all[i].method,
							       .path = all[i].path,
							       .body = all[i].body,
							       .type = all[i].type,
							       .loop = true });
		int waits = 0;

		/* An eviction is two writes, a collection has two objects: who waits at a time is told by out.ticket,
		 * but for the two that wait at once. */
		out.at_once = sv_is(sv_from(all[i].path), "/api/v1/namespaces/default/serviceaccounts") &&
			      !strcmp(all[i].method, "DELETE");
		rig_run(r, 0);
		for (; !out.at_once && !a->answers; waits++)
			resume(r);
		if (a->code != all[i].code)
			print_error("%s %s: %d %s\n", all[i].method, all[i].path, a->code, buf_cstr(&a->body));
		assert_int_equal(a->code, all[i].code);
		assert_true(out.at_once || waits >= 2);
		answer_free(a);
	}
	memset(out.waits, false, sizeof(out.waits));
	assert_int_equal(
	    val_len(val_get(expect(r, 200, "GET", "/api/v1/namespaces/default/serviceaccounts", NULL), F_items)), 0);
}

/* --- not resumed --- */

static void test_deadline(void **state)
{
	struct rig *r = *state;

	for (enum point p = AUTHENTICATE; p < HISTORY; p++) {
		struct answer *a;

		memset(&out, 0, sizeof(out));
		out.waits[p] = true;
		a = post_service(r);
		rig_run(r, 33 * NS_PER_SEC);
		must_wait(r, a, p);
		rig_run(r, 2 * NS_PER_SEC);
		assert_int_equal(out.cancelled, 1);
		must_fail(a, 504, "Timeout",
			  "Timeout: request did not complete within requested timeout - context deadline exceeded");
		answer_free(a);
		resume_late();
		nothing_left(r);
	}
}

/* The client's own bound counts when it is the nearer one. */
static void test_own_timeout(void **state)
{
	static const struct {
		const char *query;
		int64_t s;
	} all[] = { { "?timeout=5s", 5 }, { "?timeout=0s", 34 }, { "?timeout=10m", 34 }, { "?timeout=1m", 34 } };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char path[128];
		struct answer *a;

		out.waits[MUTATE] = true;
		(void)snprintf(path, sizeof(path), MAPS "%s", all[i].query);
		a = api_start(
		    r, &(struct ask){ .method = "POST", .path = path, .body = "{\"metadata\":{\"name\":\"x\"}}" });
		rig_run(r, all[i].s * NS_PER_SEC - NS_PER_MS);
		must_wait(r, a, MUTATE);
		rig_run(r, 2 * NS_PER_MS);
		assert_int_equal(a->code, 504);
		answer_free(a);
		resume_late();
	}
}

/* What is no duration is refused whoever asks, before anybody is asked who that is; what lasts has no deadline. */
static void test_no_timeout(void **state)
{
	static const struct {
		const char *method, *path;
		int code;
		const char *words;
	} all[] = {
		{ "GET", MAPS "?timeout=abc", 400, "time: invalid duration \"abc\"" },
		{ "POST", MAPS "?timeout=5", 400, "time: missing unit in duration \"5\"" },
		{ "DELETE", MAPS "/x?timeout=5y", 400, "time: unknown unit \"y\" in duration \"5y\"" },
		{ "GET", "/version?timeout=x", 400, "time: invalid duration \"x\"" },
		{ "GET", MAPS "?timeout=", 200, NULL },
		{ "GET", MAPS "?timeout=-1s", 200, NULL },
		{ "GET", "/version?timeout=32s", 200, NULL },
	};
	struct rig *r = *state;
	struct answer *a;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		char words[128];

		(void)snprintf(words, sizeof(words), "invalid timeout specified in the request URL - %s",
			       all[i].words ? all[i].words : "");
		out.waits[AUTHENTICATE] = all[i].words != NULL;
		a = api_start(r, &(struct ask){ .method = all[i].method, .path = all[i].path, .body = "{}" });
		if (all[i].words)
			must_fail(a, 400, "BadRequest", words);
		assert_int_equal(a->code, all[i].code);
		answer_free(a);
	}
	out.waits[AUTHENTICATE] = false;
	a = api_start(r, &(struct ask){ .method = "GET", .path = MAPS "?watch=1&timeoutSeconds=1&timeout=abc" });
	rig_run(r, 2 * NS_PER_SEC);
	assert_int_equal(a->code, 200);
	answer_free(a);
	nothing_left(r);
}

static void test_client_gone(void **state)
{
	struct rig *r = *state;

	for (enum point p = AUTHENTICATE; p < HISTORY; p++) {
		struct answer *a;

		memset(&out, 0, sizeof(out));
		out.waits[p] = true;
		a = post_service(r);
		must_wait(r, a, p);
		req_client_gone(&a->q);
		req_client_gone(&a->q); /* harmless */
		rig_run(r, 0);
		assert_int_equal(out.cancelled, 1);
		must_fail(a, 504, "Timeout",
			  "Timeout: request did not complete within requested timeout - context canceled");
		answer_free(a);
		resume_late();
		nothing_left(r);
	}
}

/* Each of a collection's deletions waits for itself. */
static void test_collection_gone(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"a\"}}");
	out.waits[VALIDATE] = true;
	a = api_start(r, &(struct ask){ .method = "DELETE", .path = MAPS, .loop = true });
	rig_run(r, 0);
	must_wait(r, a, VALIDATE);
	req_client_gone(&a->q);
	rig_run(r, 0);
	assert_int_equal(out.cancelled, 1);
	must_fail(a, 504, "Timeout", "Timeout: request did not complete within requested timeout - context canceled");
	answer_free(a);
	resume_late();
	out.waits[VALIDATE] = false;
	expect(r, 200, "GET", MAPS "/a", NULL);
}

/* Its time passes while it waits for a runner: nothing of it is done. */
static void test_late_for_the_pool(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	env_sim_hold(r->env, ENV_REQUESTS);
	a = api_start(r, &(struct ask){
			     .method = "POST", .path = MAPS, .body = "{\"metadata\":{\"name\":\"x\"}}", .loop = true });
	rig_run(r, 35 * NS_PER_SEC);
	assert_int_equal(a->answers, 0);
	env_sim_release(r->env, ENV_REQUESTS);
	rig_run(r, 0);
	must_fail(a, 504, "Timeout",
		  "Timeout: request did not complete within requested timeout - context deadline exceeded");
	answer_free(a);
	expect(r, 404, "GET", MAPS "/x", NULL);
}

static void test_gone_then_deadline(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	/* Resumed, and before it goes on the client leaves and its time is up: it was resumed. */
	out.waits[COMMIT] = true;
	a = post_service(r);
	must_wait(r, a, COMMIT);
	assert_true(req_resume(out.ticket, yes, release));
	req_client_gone(&a->q);
	rig_run(r, 40 * NS_PER_SEC);
	assert_int_equal(a->code, 201);
	assert_int_equal(out.cancelled, 0);
	answer_free(a);
}

static void test_shutdown(void **state)
{
	struct rig *r = *state;

	for (enum point p = AUTHENTICATE; p < HISTORY; p++) {
		struct answer *a, *late;

		memset(&out, 0, sizeof(out));
		out.waits[p] = true;
		a = post_service(r);
		must_wait(r, a, p);
		apiserver_shutdown(r->server);
		rig_run(r, 0);
		must_fail(a, 503, "ServiceUnavailable", "the server is shutting down");
		answer_free(a);
		resume_late();
		/* What comes to wait now does not. */
		late = post_service(r);
		rig_run(r, 0);
		assert_int_equal(late->answers, 1);
		assert_true(late->code == 503 || late->code == 500);
		answer_free(late);
		if (out.ticket)
			resume_late();
		rig_restart(r);
		req_set_plugins(r->server, &plugins);
		nothing_left(r);
	}
}

/* --- while it waits the world goes on --- */

static void test_conflict(void **state)
{
	struct rig *r = *state;
	const struct val *o;
	struct answer *a;
	char put[256];

	o = expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"1\"}}");
	(void)snprintf(put, sizeof(put),
		       "{\"metadata\":{\"name\":\"m\",\"resourceVersion\":\"%" PRId64 "\"},\"data\":{\"put\":\"1\"}}",
		       rev_of(o));
	/* A patch is made again of what is there by then. */
	out.waits[MUTATE] = true;
	a = api_start(r, &(struct ask){ .method = "PATCH",
					.path = MAPS "/m",
					.type = "application/merge-patch+json",
					.body = "{\"data\":{\"b\":\"2\"}}" });
	must_wait(r, a, MUTATE);
	out.waits[MUTATE] = false;
	expect_type(r, 200, "PATCH", MAPS "/m", "application/merge-patch+json", "{\"data\":{\"a\":\"3\"}}");
	resume(r);
	rig_run(r, 0);
	assert_int_equal(a->code, 200);
	o = val_get(api_json(a), F_data);
	assert_val(val_member_sv(o, SV("a")), "3");
	assert_val(val_member_sv(o, SV("b")), "2");
	answer_free(a);
	/* Who named a version is told. */
	out.waits[VALIDATE] = true;
	o = expect(r, 200, "GET", MAPS "/m", NULL);
	(void)snprintf(put, sizeof(put),
		       "{\"metadata\":{\"name\":\"m\",\"resourceVersion\":\"%" PRId64 "\"},\"data\":{\"put\":\"1\"}}",
		       rev_of(o));
	a = api_start(r, &(struct ask){ .method = "PUT", .path = MAPS "/m", .body = put });
	must_wait(r, a, VALIDATE);
	out.waits[VALIDATE] = false;
	expect_type(r, 200, "PATCH", MAPS "/m", "application/merge-patch+json", "{\"data\":{\"a\":\"4\"}}");
	resume(r);
	assert_int_equal(a->code, 409);
	answer_free(a);
	/* What is gone is gone. */
	out.waits[COMMIT] = true;
	a = api_start(r, &(struct ask){ .method = "PATCH",
					.path = MAPS "/m",
					.type = "application/merge-patch+json",
					.body = "{\"data\":{\"b\":\"5\"}}" });
	must_wait(r, a, COMMIT);
	out.waits[COMMIT] = false;
	expect(r, 200, "DELETE", MAPS "/m", NULL);
	resume(r);
	assert_int_equal(a->code, 404);
	answer_free(a);
}

/* --- who looks on --- */

struct seen {
	enum req_step steps[32];
	int64_t ns[32];
	size_t n;
	bool timed;
};

static void passed(struct api_req *q, enum req_step step, int64_t ns, void *ctx)
{
	struct seen *s = ctx;

	assert_true(s->n < ARRAY_LEN(s->steps));
	assert_int_equal(q->step, step);
	assert_int_equal(q->step_ns[step], ns);
	s->steps[s->n] = step;
	s->ns[s->n++] = ns;
}

static void test_observer(void **state)
{
	static const enum req_step read[] = { STEP_RECEIVED, STEP_AUTHENTICATED, STEP_ADMITTED, STEP_AUTHORIZED,
					      STEP_ANSWERED };
	struct rig *r = *state;
	struct seen s = { 0 };
	const struct req_observer o = { passed, &s };
	struct answer *a;

	req_set_observer(r->server, &o);
	out.waits[VALIDATE] = true;
	a = post_service(r);
	must_wait(r, a, VALIDATE);
	rig_run(r, 7 * NS_PER_SEC);
	resume(r);
	assert_int_equal(a->code, 201);
	assert_int_equal(s.n, _STEP_MAX);
	for (size_t i = 0; i < s.n; i++)
		assert_int_equal(s.steps[i], i);
	/* Its times say where it has been so long. */
	assert_true(s.ns[STEP_MUTATED] - s.ns[STEP_RECEIVED] < NS_PER_SEC);
	assert_true(s.ns[STEP_VALIDATED] - s.ns[STEP_MUTATED] >= 7 * NS_PER_SEC);
	answer_free(a);
	s.n = 0;
	expect(r, 200, "GET", SERVICES "/web", NULL);
	assert_int_equal(s.n, ARRAY_LEN(read));
	assert_memory_equal(s.steps, read, sizeof(read));
	s.n = 0;
	expect(r, 404, "GET", "/nowhere", NULL);
	assert_int_equal(s.n, ARRAY_LEN(read));
	req_set_observer(r->server, NULL);
	for (enum req_step i = 0; i < _STEP_MAX; i++)
		assert_true(strlen(req_step_name(i)) > 0);
}

/* --- asked again about a stream --- */

static int reauthenticate(struct api_req *q, struct err *err, void *ctx)
{
	return authenticate(q, err, ctx);
}

static void test_standing(void **state)
{
	static const struct req_plugins p = { .authenticate = reauthenticate, .authorize = authorize };
	struct rig *r = *state;
	struct answer *a;

	req_set_plugins(r->server, &p);
	a = api_start(r, &(struct ask){ .method = "GET", .path = MAPS "?watch=true", .authorization = HOOKED });
	rig_run(r, 0);
	assert_true(a->streaming);
	/* The first sweep asks again: the stream goes on while it waits, however long. */
	out.waits[AUTHENTICATE] = true;
	rig_run(r, 45 * NS_PER_SEC);
	assert_non_null(out.ticket);
	assert_false(a->ended);
	resume(r);
	assert_false(a->ended);
	/* Nobody answers: asked again. */
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "{\"metadata\":{\"name\":\"x\"}}");
	rig_run(r, 40 * NS_PER_SEC);
	assert_non_null(out.ticket);
	rig_run(r, 31 * NS_PER_SEC);
	assert_false(a->ended);
	assert_int_equal(out.cancelled, 1);
	resume_late();
	/* No. */
	out.no = true;
	while (!a->ended) {
		rig_run(r, 5 * NS_PER_SEC);
		if (out.ticket && req_waits_count(r->server) == 1) {
			struct req_ticket *t = out.ticket;

			out.ticket = NULL;
			(void)req_resume(t, yes, release);
		}
	}
	answer_free(a);
}

/* --- the queue of a priority level --- */

#define WAITING 230 /* more than global-default has seats for */

static void test_flow_queue(void **state)
{
	static const struct sv group = { "system:authenticated", sizeof("system:authenticated") - 1 };
	static struct answer *all[WAITING];
	struct req_ticket *tickets[WAITING];
	struct rig *r = *state;
	size_t n = 0, late = 0;

	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"all\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"Group\",\"apiGroup\":"
	       "\"rbac.authorization.k8s.io\",\"name\":\"system:authenticated\"}]}");
	out.waits[COMMIT] = true;
	for (size_t i = 0; i < WAITING; i++) {
		char body[64];

		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"q%zu\"}}", i);
		out.ticket = NULL;
		all[i] = api_start(r, &(struct ask){ .method = "POST",
						     .path = i == WAITING - 1 ? MAPS "?timeout=1s" : MAPS,
						     .body = body,
						     .user = "plain",
						     .groups = &group,
						     .n_groups = 1 });
		rig_run(r, 0);
		if (out.ticket)
			tickets[n++] = out.ticket;
	}
	assert_int_equal(n, 49); /* the level's seats */
	assert_int_equal(req_waits_count(r->server), WAITING);
	/* One of those in the queue leaves, the time of another is up. */
	req_client_gone(&all[210]->q);
	rig_run(r, 2 * NS_PER_SEC);
	assert_int_equal(all[210]->answers, 1);
	assert_int_equal(all[WAITING - 1]->code, 429); /* a quarter of its time was enough to wait */
	/* All others get their seats as those before them are done. */
	for (size_t i = 0; i < n; i++) {
		out.ticket = NULL;
		assert_true(req_resume(tickets[i], yes, release));
		rig_run(r, 0);
		if (out.ticket)
			tickets[n++] = out.ticket;
	}
	for (size_t i = 0; i < WAITING; i++) {
		late += all[i]->code == 504;
		assert_int_equal(all[i]->answers, 1);
		answer_free(all[i]);
	}
	assert_int_equal(late, 1);
	assert_int_equal(n, WAITING - 2);
	/* And no seat is lost. */
	memset(out.waits, false, sizeof(out.waits));
	{
		struct answer *a = api(r, "GET", "/metrics");

		assert_true(sv_find_sv(buf_sv(&a->body), SV("current_executing_seats{flow_schema=\"global-default\","
							    "priority_level=\"global-default\"} 0\n")) > 0);
		assert_true(sv_find_sv(buf_sv(&a->body), SV("current_inqueue_requests{flow_schema=\"global-default\","
							    "priority_level=\"global-default\"} 0\n")) > 0);
		answer_free(a);
	}
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_each_step),	   T(test_every_step),	       T(test_resume_inside),
		T(test_resume_twice),	   T(test_refused_later),      T(test_history),
		T(test_other_writes),	   T(test_deadline),	       T(test_own_timeout),
		T(test_no_timeout),	   T(test_client_gone),	       T(test_collection_gone),
		T(test_late_for_the_pool), T(test_gone_then_deadline), T(test_shutdown),
		T(test_conflict),	   T(test_observer),	       T(test_standing),
		T(test_flow_queue),	   T(test_history_of_late),    T(test_deaf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
