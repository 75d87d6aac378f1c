/* Who decides about rights may be slow, wherever he is asked: about what a review asks, whom somebody impersonates,
 * what somebody grants, a stream, the removal of what cannot be read, a node's token. Each of them waits, is resumed
 * with every kind of answer, or ends by its deadline, its client or the server. */
#include "harness.h"

#include "apiserver/authz.h"
#include "base/b64.h"
#include "net/csr.h"
#include "store/store.h"

#include <stdio.h>

#define DEFAULT "/api/v1/namespaces/default/"
#define RBAC "/apis/rbac.authorization.k8s.io/v1/"
#define REVIEWS "/apis/authorization.k8s.io/v1/"
#define UNREAD "ignoreStoreReadErrorWithClusterBreakingPotential"

enum says { YES, NO, REFUSES, FAILS, _SAYS_MAX };

/* The one who is slow: about this verb; all else he allows at once. */
static struct {
	const char *verb, *name; /* name NULL: any */
	enum says says;
	int asked, cancelled, released;
	struct req_ticket *ticket;
	char last[64]; /* what he was asked about last */
} peer;

static void cancelled(void *ctx)
{
	(void)ctx;
	peer.cancelled++;
}

static void release(void *result)
{
	(void)result;
	peer.released++;
}

static int authorize(struct api_req *q, const struct authz_attrs *at, struct sv *reason, struct err *err, void *ctx)
{
	void *result;

	assert_ptr_equal(ctx, &peer);
	if (sv_starts(at->verb, SV("impersonate-on:")))
		return 1; /* constrained rights he gives none */
	if (!sv_is(at->verb, peer.verb) || (peer.name && !sv_is(at->name, peer.name)))
		return 0;
	peer.asked++;
	(void)snprintf(peer.last, sizeof(peer.last), "%.*s %.*s", SV_ARG(at->resource), SV_ARG(at->name));
	if (!req_result(q, &result)) {
		peer.ticket = req_suspend(q, "the slow one", cancelled, NULL);
		return REQ_LATER;
	}
	assert_ptr_equal(result, &peer);
	*reason = SV("he says so");
	switch (peer.says) {
	case YES:
		return 0;
	case NO:
		return 1;
	case REFUSES:
		return err_set(err, ERR_FORBIDDEN, "he refuses");
	default:
		return err_set(err, ERR_INTERNAL, "he cannot be reached");
	}
}

#define REVIEW "review"

/* Of tokens only one is his: what is built in knows its own. */
static int review(struct api_req *q, struct token_question *t, struct user_info *ret, struct err *err, void *ctx)
{
	void *result;

	assert_ptr_equal(ctx, &peer);
	assert_string_equal(peer.verb, REVIEW);
	assert_sv(t->token, "frob");
	assert_int_equal(t->n_audiences, 2);
	peer.asked++;
	if (!req_result(q, &result)) {
		peer.ticket = req_suspend(q, "the slow one", cancelled, NULL);
		return REQ_LATER;
	}
	assert_ptr_equal(result, &peer);
	*ret = (struct user_info){ .name = SV("u"), .groups = ARENA_ARRAY(q->arena, struct sv, 1), .n_groups = 1 };
	ret->groups[0] = SV("g");
	t->ret_audiences[0] = t->audiences[1];
	t->ret_n = 1;
	return peer.says == YES	      ? 0
	       : peer.says == NO      ? 1
	       : peer.says == REFUSES ? err_set(err, ERR_UNAUTHORIZED, "he refuses")
				      : err_set(err, ERR_INTERNAL, "he cannot be reached");
}

static const struct req_plugins plugins = { .authorize = authorize, .review = review, .ctx = &peer };

static struct sv plain = { "system:authenticated", 20 };
static struct sv nodes[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };

struct one {
	const char *what;
	struct ask ask;
	const char *verb, *name; /* that he is slow about */
	int code[_SAYS_MAX];	 /* 0: not to be tried */
	bool twice;		 /* by each of two steps: before and behind mutation */
};

static const struct http_header as_bob[] = { { SV("impersonate-user"), SV("bob") }, { .name = { 0 } } };
static const struct http_header upgrade[] = { { SV("connection"), SV("Upgrade") },
					      { SV("upgrade"), SV("SPDY/3.1") },
					      { .name = { 0 } } };

static const struct one all[] = {
	{ .what = "SubjectAccessReview",
	  .ask = { .method = "POST",
		   .path = REVIEWS "subjectaccessreviews",
		   .body =
		       "{\"spec\":{\"user\":\"x\",\"resourceAttributes\":{\"verb\":\"frob\",\"resource\":\"pods\"}}}" },
	  .verb = "frob",
	  .code = { 201, 201, 201, 201 } },
	{ .what = "LocalSubjectAccessReview",
	  .ask = { .method = "POST",
		   .path = "/apis/authorization.k8s.io/v1/namespaces/default/localsubjectaccessreviews",
		   .body = "{\"spec\":{\"user\":\"x\",\"resourceAttributes\":{\"verb\":\"frob\",\"resource\":\"pods\","
			   "\"namespace\":\"default\"}}}" },
	  .verb = "frob",
	  .code = { 201, 201, 201, 201 } },
	{ .what = "SelfSubjectAccessReview",
	  .ask = { .method = "POST",
		   .path = REVIEWS "selfsubjectaccessreviews",
		   .body = "{\"spec\":{\"nonResourceAttributes\":{\"verb\":\"frob\",\"path\":\"/x\"}}}" },
	  .verb = "frob",
	  .code = { 201, 201, 201, 201 } },
	{ .what = "TokenReview",
	  .ask = { .method = "POST",
		   .path = "/apis/authentication.k8s.io/v1/tokenreviews",
		   .body = "{\"spec\":{\"token\":\"frob\",\"audiences\":[\"x\",\"y\"]}}" },
	  .verb = REVIEW,
	  .code = { 201, 201, 201, 201 } },
	{ .what = "a Role that gives more than its writer has",
	  .ask = { .method = "POST",
		   .path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
		   .body = "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],"
			   "\"verbs\":[\"get\"]}]}" },
	  .verb = "escalate",
	  .code = { 201, 403, 403, 403 } },
	{ .what = "a RoleBinding to more than its writer has",
	  .ask = { .method = "POST",
		   .path = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
		   .body = "{\"metadata\":{\"name\":\"b\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
			   "\"kind\":\"ClusterRole\",\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"User\","
			   "\"apiGroup\":\"rbac.authorization.k8s.io\",\"name\":\"x\"}]}" },
	  .verb = "bind",
	  .code = { 201, 403, 403, 403 } },
	{ .what = "impersonation",
	  .ask = { .method = "GET", .path = DEFAULT "configmaps", .cert_user = "jane", .headers = as_bob },
	  .verb = "impersonate", /* the first no is told, and that is to a constrained right */
	  .code = { 200, 403, 403, 403 } },
	{ .what = "a stream by GET",
	  .ask = { .method = "GET",
		   .path = DEFAULT "pods/p/exec?command=x&stdout=1",
		   .cert_user = "jane",
		   .headers = upgrade },
	  .verb = "create",
	  .name = "p",
	  .code = { 0, 403, 403, 500 } },
	{ .what = "a DELETE of what cannot be read",
	  .ask = { .method = "DELETE",
		   .path = DEFAULT "configmaps/unread",
		   .body = "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"" UNREAD "\":true}" },
	  .verb = "unsafe-delete-ignore-read-errors",
	  .code = { 200, 403, 403, 500 } },
	{ .what = "a node's token for an audience of no volume",
	  .ask = { .method = "POST",
		   .path = DEFAULT "serviceaccounts/default/token",
		   .user = "system:node:n",
		   .groups = nodes,
		   .n_groups = 2,
		   .body = "{\"spec\":{\"audiences\":[\"vault\"],\"boundObjectRef\":{\"apiVersion\":\"v1\",\"kind\":"
			   "\"Pod\",\"name\":\"p\",\"uid\":\"%s\"}}}" },
	  .verb = "request-serviceaccounts-token-audience",
	  .code = { 201, 403, 403, 500 },
	  .twice = true },
};

static void put_raw(struct rig *r, const char *key, const char *value)
{
	struct store_write w = { .key = sv_from(key), .value = sv_from(value), .expect_rev = STORE_ANY_REV };

	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, NS_PER_MS);
}

/* What the requests are about. */
static void world(struct rig *r)
{
	static const char pod[] =
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"serviceAccountName\":\"default\",\"nodeName\":\"n\","
	    "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}";

	memset(&peer, 0, sizeof(peer));
	peer.verb = "";
	expect(r, 201, "POST", DEFAULT "serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}");
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n/status", "application/merge-patch+json",
		    "{\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.9.9.9\"}],"
		    "\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":10250}}}}");
	expect(r, 201, "POST", DEFAULT "pods", pod);
	req_set_plugins(r->server, &plugins);
}

static int setup(void **state)
{
	int rc = rig_setup_with_keys(state);

	if (rc == 0)
		world(*state);
	return rc;
}

static int teardown(void **state)
{
	assert_int_equal(req_waits_count(((struct rig *)*state)->server), 0);
	return rig_teardown(state);
}

/* As it was before it was asked. */
static void clean(struct rig *r)
{
	static const char *const made[] = { "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/r",
					    "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/b" };

	peer.verb = "";
	for (size_t i = 0; i < ARRAY_LEN(made); i++)
		answer_free(api(r, "DELETE", made[i]));
	put_raw(r, "/registry/configmaps/default/unread", "{");
}

static struct answer *begin(struct rig *r, const struct one *o)
{
	struct ask ask = o->ask;
	struct answer *a;

	clean(r);
	if (!ask.cert_user && !ask.user)
		ask.user = "jane";
	if (!ask.groups) {
		ask.groups = &plain;
		ask.n_groups = 1;
	}
	ask.loop = true;
	if (ask.body && strstr(ask.body, "%s")) {
		struct sv uid = val_get_str(expect(r, 200, "GET", DEFAULT "pods/p", NULL), F_metadata, F_uid);
		char *text = arena_strdup(&r->arena, ask.body);

		*strstr(text, "%s") = '\0';
		ask.body = arena_printf(&r->arena, "%s%.*s%s", text, SV_ARG(uid), strstr(ask.body, "%s") + 2);
	}
	memset(&peer, 0, sizeof(peer));
	peer.verb = o->verb;
	peer.name = o->name;
	a = api_start(r, &ask);
	rig_run(r, 10 * NS_PER_SEC);
	if (a->answers || !peer.ticket)
		fail_msg("%s: %d %s", o->what, a->code, buf_cstr(&a->body));
	assert_int_equal(req_waits_count(r->server), 1);
	assert_int_equal(peer.asked, 1);
	return a;
}

static void must_be(const struct one *o, struct answer *a, int code)
{
	assert_int_equal(a->answers, 1);
	if (a->code != code)
		fail_msg("%s: %d for %d: %s", o->what, a->code, code, buf_cstr(&a->body));
}

static void late(void)
{
	struct req_ticket *t = peer.ticket;

	peer.ticket = NULL;
	assert_false(req_resume(t, &peer, release));
	assert_int_equal(peer.released, 1);
}

static void test_answers(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (enum says says = YES; says < _SAYS_MAX; says++) {
			const struct one *o = &all[i];
			const struct val *st;
			int times = o->twice && says == YES ? 2 : 1;
			struct answer *a;

			if (!o->code[says])
				continue;
			a = begin(r, o);
			peer.says = says;
			for (int t = 0; t < times; t++) {
				assert_true(req_resume(peer.ticket, &peer, release));
				rig_run(r, 0);
			}
			must_be(o, a, o->code[says]);
			assert_int_equal(peer.asked, 2 * times);
			assert_int_equal(peer.cancelled, 0);
			st = val_get(api_json(a), F_status);
			if (strstr(o->what, "AccessReview")) {
				assert_int_equal(val_bool(val_member(st, F_allowed)), says == YES);
				assert_int_equal(val_bool(val_member(st, F_denied)), says == REFUSES);
				assert_val(val_member(st, F_reason), says == REFUSES ? "he refuses"
								     : says == FAILS ? ""
										     : "he says so");
				assert_val(val_member(st, F_evaluationError),
					   says == FAILS ? "he cannot be reached" : "");
			}
			if (strcmp(o->what, "TokenReview") == 0) {
				assert_int_equal(val_bool(val_member(st, F_authenticated)), says == YES);
				assert_val(val_get(st, F_user, F_username), says == YES ? "u" : "");
				assert_int_equal(val_len(val_member(st, F_audiences)), says == YES ? 1 : 0);
				assert_val(val_member(st, F_error), says == YES	      ? ""
								    : says == NO      ? "invalid bearer token"
								    : says == REFUSES ? "he refuses"
										      : "he cannot be reached");
			}
			answer_free(a);
			assert_int_equal(peer.released, times);
		}
}

static void test_deadline(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct answer *a = begin(r, &all[i]);

		/* exec lasts by nature: his answer is waited for as long as it takes */
		if (!strstr(all[i].ask.path, "/exec")) {
			rig_run(r, 61 * NS_PER_SEC);
			must_be(&all[i], a, 504);
			assert_int_equal(peer.cancelled, 1);
		} else {
			req_client_gone(&a->q);
			rig_run(r, 0);
		}
		answer_free(a);
		late();
	}
}

static void test_client_gone(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct answer *a = begin(r, &all[i]);

		req_client_gone(&a->q);
		rig_run(r, 0);
		must_be(&all[i], a, 504);
		assert_int_equal(peer.cancelled, 1);
		answer_free(a);
		late();
	}
}

static void test_shutdown(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct answer *a = begin(r, &all[i]);

		apiserver_shutdown(r->server);
		rig_run(r, 0);
		must_be(&all[i], a, 503);
		assert_int_equal(peer.cancelled, 1);
		answer_free(a);
		late();
		rig_restart(r);
		req_set_plugins(r->server, &plugins);
	}
}

/* One step asks for the user, each group and each extra: one after the other, none of them twice, and what it is
 * refused for is what was refused. */
static void test_several_questions(void **state)
{
	static const struct http_header many[] = { { SV("impersonate-user"), SV("bob") },
						   { SV("impersonate-group"), SV("g1") },
						   { SV("impersonate-group"), SV("g2") },
						   { SV("impersonate-extra-k"), SV("v1") },
						   { SV("impersonate-extra-k"), SV("v2") },
						   { SV("impersonate-uid"), SV("7") },
						   { .name = { 0 } } };
	static const char *const asked[] = { "users bob", "uids 7",	   "groups g1",
					     "groups g2", "userextras v1", "userextras v2" };
	const struct one one = { .what = "several",
				 .ask = { .method = "POST",
					  .path = "/apis/authentication.k8s.io/v1/selfsubjectreviews",
					  .body = "{}",
					  .cert_user = "jane",
					  .headers = many },
				 .verb = "impersonate" };
	struct rig *r = *state;

	/* all are allowed, or the last one is not */
	for (int last = 0; last < 2; last++) {
		struct answer *a = begin(r, &one);
		const struct val *who;

		for (size_t i = 0; i < ARRAY_LEN(asked); i++) {
			struct req_ticket *t = peer.ticket;

			assert_int_equal(a->answers, 0);
			assert_string_equal(peer.last, asked[i]);
			assert_int_equal(peer.asked, 2 * i + 1);
			peer.ticket = NULL;
			peer.says = last && i == ARRAY_LEN(asked) - 1 ? NO : YES;
			assert_true(req_resume(t, &peer, release));
			rig_run(r, 0);
		}
		assert_int_equal(peer.asked, 2 * ARRAY_LEN(asked));
		must_be(&one, a, last ? 403 : 201);
		who = val_get(api_json(a), F_status, F_userInfo);
		if (last) {
			assert_true(
			    sv_find_sv(buf_sv(&a->body), SV("cannot impersonate-on:user-info:create resource")) >= 0);
		} else {
			assert_val(val_get(who, F_username), "bob");
			assert_int_equal(val_len(val_get(who, F_groups)), 3);
		}
		answer_free(a);
	}
}

/* The right to a signer: by its name, then by its domain, whoever is slow about either. A refusal of the first is
 * final, as is that he cannot be reached. */
static void test_signers(void **state)
{
	static const struct {
		enum says exact, domain; /* domain: where he is asked for it */
		int code;
	} rows[] = { { NO, NO, 403 },	{ NO, REFUSES, 403 }, { NO, FAILS, 403 }, { REFUSES, 0, 403 },
		     { FAILS, 0, 403 }, { NO, YES, 200 },     { YES, 0, 200 } };
	const struct one one = {
		.what = "a signer",
		.ask = { .method = "PATCH",
			 .path = "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval?dryRun=All",
			 .type = "application/merge-patch+json",
			 .body = "{\"status\":{\"conditions\":[{\"type\":\"Approved\",\"status\":\"True\"}]}}" },
		.verb = "approve",
	};
	struct rig *r = *state;
	struct sv pem, key;

	assert_int_equal(csr_make(&r->arena, &(struct cert_opts){ .common_name = "x" }, SV(""), &pem, &key, NULL), 0);
	expect(r, 201, "POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests",
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"request\":\"%.*s\",\"signerName\":\"x.io/y\","
			    "\"usages\":[\"any\"]}}",
			    SV_ARG(b64_encode(&r->arena, pem))));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer *a = begin(r, &one);

		assert_string_equal(peer.last, "signers x.io/y");
		peer.says = rows[i].exact;
		assert_true(req_resume(peer.ticket, &peer, release));
		rig_run(r, 0);
		if (rows[i].exact == NO) {
			assert_int_equal(a->answers, 0);
			assert_string_equal(peer.last, "signers x.io/*");
			peer.says = rows[i].domain;
			assert_true(req_resume(peer.ticket, &peer, release));
			rig_run(r, 0);
		}
		must_be(&one, a, rows[i].code);
		answer_free(a);
	}
}

/* Rights that others decide about are not told by rules. */
static void test_rules_are_not_all(void **state)
{
	const struct val *st = val_get(
	    expect(*state, 201, "POST", REVIEWS "selfsubjectrulesreviews", "{\"spec\":{\"namespace\":\"default\"}}"),
	    F_status);

	assert_true(val_bool(val_get(st, F_incomplete)));
	assert_val(val_get(st, F_evaluationError), "webhook authorizer does not support user rule resolution");
}

#define T(t) cmocka_unit_test_setup_teardown(t, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_answers),	      T(test_deadline),		 T(test_client_gone),
					    T(test_shutdown),	      T(test_several_questions), T(test_signers),
					    T(test_rules_are_not_all) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
