/* Chains of authorizers under virtual time: the webhook is this file. Refusals first. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/chain.h"
#include "apiserver/steps.h"
#include "apiserver/webhook/webhook.h"

#include <stdio.h>
#include <unistd.h>

#define MAPS "/api/v1/namespaces/default/configmaps"
#define REVIEWS "/apis/authorization.k8s.io/v1/"

static struct {
	size_t asked;
	const char *status; /* of the answer; NULL: none comes */
	bool hold;
	struct webhook_call *held;
	const struct val *spec; /* of the last question */
	struct sv kind;
	struct arena arena;
	char path[100], kubeconfig[100];
} far;

static void far_answer(struct webhook_call *c)
{
	struct err err = ERR_INIT;

	if (far.status) {
		webhook_call_answer(
		    c, 200, SV("application/json"),
		    arena_svf(&far.arena,
			      "{\"apiVersion\":\"authorization.k8s.io/v1\",\"kind\":\"SubjectAccessReview\","
			      "\"status\":%s}",
			      far.status),
		    NULL);
		return;
	}
	err_set(&err, ERR_UNAVAILABLE, "dial tcp: connection refused");
	webhook_call_answer(c, 0, SV(""), SV(""), &err);
}

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	const struct val *doc = json_decode(&far.arena, arena_sv(&far.arena, sent->body), NULL, NULL);

	(void)ctx;
	far.asked++;
	assert_non_null(doc);
	assert_val(val_get(doc, F_apiVersion), "authorization.k8s.io/v1");
	far.spec = val_get(doc, F_spec);
	if (far.hold)
		far.held = c;
	else
		far_answer(c);
}

static void far_cancel(struct webhook_call *c, void *ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	far.held = NULL;
	err_set(&err, ERR_UNAVAILABLE, "context canceled");
	webhook_call_answer(c, 0, SV(""), SV(""), &err);
}

static const struct webhook_network far_network = { .call = far_call, .cancel = far_cancel };

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	(void)fputs(text, f);
	(void)fclose(f);
}

static int setup(void **state)
{
	int rc = rig_setup(state);

	memset(&far, 0, sizeof(far));
	(void)snprintf(far.path, sizeof(far.path), "/tmp/test-chain-%d.yaml", (int)getpid());
	(void)snprintf(far.kubeconfig, sizeof(far.kubeconfig), "/tmp/test-chain-%d.kubeconfig", (int)getpid());
	write_file(
	    far.kubeconfig,
	    "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://authz.example.com/a'}}]\n"
	    "users: [{name: u, user: {token: t}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\n"
	    "current-context: x\n");
	return rc;
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	(void)unlink(far.path);
	(void)unlink(far.kubeconfig);
	arena_release(&far.arena);
	return rc;
}

/* A chain; its webhook has that policy and more. */
static const char *text_of(struct rig *r, const char *links, const char *policy, const char *more)
{
	return arena_printf(&r->arena,
			    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n%s"
			    "- type: Webhook\n  name: hook\n  webhook:\n    timeout: 3s\n    authorizedTTL: 300s\n"
			    "    unauthorizedTTL: 30s\n    subjectAccessReviewVersion: v1\n    failurePolicy: %s\n"
			    "    connectionInfo: {type: KubeConfigFile, kubeConfigFile: %s}\n%s",
			    links, policy, far.kubeconfig, more);
}

static void world(struct rig *r, const char *text)
{
	write_file(far.path, text);
	r->authorization.config = far.path;
	rig_restart(r);
	webhook_set_network(r->server, &far_network);
}

#define NODE_RBAC "- {type: Node, name: node}\n- {type: RBAC, name: rbac}\n"
#define CONDITIONS(list) "    matchConditionSubjectAccessReviewVersion: v1\n    matchConditions: " list "\n"

static int get(struct rig *r, const char *user, const char *path)
{
	struct answer *a = api(r, "GET", path, .user = user);
	int code = a->code;

	answer_free(a);
	return code;
}

static void test_says(void **state)
{
	struct rig *r = *state;

	world(r, text_of(r, NODE_RBAC, "NoOpinion", ""));
	far.status = "{\"allowed\":false,\"reason\":\"he is new\"}";
	expect_status(r, 403, "Forbidden", "in the namespace \"default\": he is new",
		      &(struct ask){ .method = "GET", .path = MAPS, .user = "ann" });
	assert_val(val_member_sv(far.spec, SV("user")), "ann");
	assert_val(val_member_sv(val_member_sv(far.spec, SV("resourceAttributes")), SV("verb")), "list");
	far.status = "{\"allowed\":true,\"denied\":true}";
	assert_int_equal(get(r, "bob", MAPS), 500);
	far.status = "{\"allowed\":true}";
	assert_int_equal(get(r, "cyd", MAPS), 200);
	assert_int_equal(get(r, "cyd", "/healthz"), 200); /* RBAC gives it, nobody else is asked */
	assert_int_equal(far.asked, 3);
	assert_int_equal(get(r, "cyd", "/metrics"), 200);
	assert_val(val_member_sv(val_member_sv(far.spec, SV("nonResourceAttributes")), SV("path")), "/metrics");
}

/* An explicit no ends the chain; the cluster's masters are never asked about. */
static void test_denies(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	world(r,
	      arena_printf(&r->arena, "%s%s", text_of(r, "", "NoOpinion", ""), "- {type: AlwaysAllow, name: all}\n"));
	far.status = "{\"allowed\":false,\"denied\":true,\"reason\":\"no\"}";
	assert_int_equal(get(r, "ann", MAPS), 403);
	far.status = "{\"allowed\":false}";
	assert_int_equal(get(r, "bob", MAPS), 200);
	assert_int_equal(far.asked, 2);
	a = api(r, "GET", MAPS);
	assert_int_equal(a->code, 200);
	answer_free(a);
	assert_int_equal(far.asked, 2);
}

static void test_fails(void **state)
{
	struct rig *r = *state;

	world(r, arena_printf(&r->arena, "%s%s", text_of(r, "", "Deny", ""), "- {type: AlwaysAllow, name: all}\n"));
	expect_status(r, 500, "InternalError", "connection refused",
		      &(struct ask){ .method = "GET", .path = MAPS, .user = "ann" });
	world(r,
	      arena_printf(&r->arena, "%s%s", text_of(r, "", "NoOpinion", ""), "- {type: AlwaysAllow, name: all}\n"));
	assert_int_equal(get(r, "ann", MAPS), 200);
	world(r, text_of(r, NODE_RBAC, "NoOpinion", ""));
	assert_int_equal(get(r, "ann", MAPS), 500);
	far.status = "{\"allowed\":true}"; /* a failure is not remembered */
	assert_int_equal(get(r, "ann", MAPS), 200);
}

static int hangs_in_asked;

static int hangs_in(struct api_req *q, const struct authz_attrs *at, struct sv *reason, struct err *err, void *ctx)
{
	(void)q;
	(void)err;
	(void)ctx;
	hangs_in_asked++;
	*reason = SV("he is not mine");
	return sv_is(at->user->name, "zoe") ? 0 : 1;
}

/* Who hangs in is asked behind a chain, unless that has said no. */
static void test_hangs_in(void **state)
{
	static const struct req_plugins plugins = { .authorize = hangs_in };
	struct rig *r = *state;

	world(r, text_of(r, NODE_RBAC, "Deny", ""));
	req_set_plugins(r->server, &plugins);
	hangs_in_asked = 0;
	far.status = "{\"allowed\":false,\"denied\":true}";
	assert_int_equal(get(r, "zoe", MAPS), 403);
	far.status = NULL;
	assert_int_equal(get(r, "zoe", "/metrics"), 500);
	assert_int_equal(hangs_in_asked, 0);
	far.status = "{\"allowed\":false}";
	assert_int_equal(get(r, "zoe", "/version/x"), 404);
	assert_int_equal(hangs_in_asked, 1);
	expect_status(r, 403, "Forbidden", "he is not mine",
		      &(struct ask){ .method = "GET", .path = MAPS, .user = "ann" });
	world(r, text_of(r, NODE_RBAC, "NoOpinion", ""));
	req_set_plugins(r->server, &plugins);
	far.status = NULL;
	assert_int_equal(get(r, "zoe", MAPS), 200);
	expect_status(r, 500, "InternalError", "connection refused",
		      &(struct ask){ .method = "GET", .path = MAPS, .user = "ann" });
}

static void test_remembers(void **state)
{
	struct rig *r = *state;

	world(r, text_of(r, NODE_RBAC, "NoOpinion", ""));
	far.status = "{\"allowed\":false}";
	assert_int_equal(get(r, "ann", MAPS), 403);
	far.status = "{\"allowed\":true}";
	assert_int_equal(get(r, "ann", MAPS), 403);
	rig_run(r, 31 * NS_PER_SEC);
	assert_int_equal(get(r, "ann", MAPS), 200);
	far.status = "{\"allowed\":false}";
	rig_run(r, 200 * NS_PER_SEC);
	assert_int_equal(get(r, "ann", MAPS), 200);
	assert_int_equal(get(r, "ann", "/api/v1/namespaces/other/configmaps"), 403);
	assert_int_equal(far.asked, 3);
	rig_run(r, 101 * NS_PER_SEC);
	assert_int_equal(get(r, "ann", MAPS), 403);
}

static void test_conditions(void **state)
{
	struct rig *r = *state;

	far.status = "{\"allowed\":true}";
	world(r, text_of(
		     r, NODE_RBAC, "NoOpinion",
		     CONDITIONS("[{expression: 'has(request.resourceAttributes)'}, {expression: "
				"'request.resourceAttributes.namespace == \"default\" && request.user != \"bob\"'}]")));
	assert_int_equal(get(r, "ann", MAPS), 200);
	assert_int_equal(get(r, "bob", MAPS), 403);
	assert_int_equal(get(r, "ann", "/metrics"), 403);
	assert_int_equal(get(r, "ann", "/api/v1/namespaces/other/configmaps"), 403);
	assert_int_equal(far.asked, 1);
	world(r,
	      text_of(r, NODE_RBAC, "Deny", CONDITIONS("[{expression: 'request.resourceAttributes.name == \"x\"'}]")));
	assert_int_equal(get(r, "ann", "/metrics"), 500); /* no such member */
}

/* A request waits without a thread; its deadline cancels the call. */
static void test_waits(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	world(r, text_of(r, NODE_RBAC, "NoOpinion", ""));
	far.status = "{\"allowed\":true}";
	far.hold = true;
	a = api_start(r, &(struct ask){ .method = "GET", .path = MAPS, .user = "ann" });
	rig_run(r, NS_PER_SEC);
	assert_int_equal(a->answers, 0);
	far_answer(far.held);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(a->code, 200);
	answer_free(a);
	a = api_start(r, &(struct ask){ .method = "GET", .path = MAPS "?timeout=2s", .user = "bob" });
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(a->answers, 1);
	assert_int_equal(a->code, 504);
	assert_null(far.held);
	answer_free(a);
}

static void test_reviews(void **state)
{
	struct rig *r = *state;
	const struct val *st;

	world(r, text_of(r, NODE_RBAC, "NoOpinion", ""));
	far.status = "{\"allowed\":true,\"reason\":\"he may\"}";
	st = val_get(expect(r, 201, "POST", REVIEWS "subjectaccessreviews",
			    "{\"spec\":{\"user\":\"ann\",\"groups\":[\"g\"],\"extra\":{\"k\":[\"v\"]},\"uid\":\"7\","
			    "\"resourceAttributes\":{\"verb\":\"list\",\"resource\":\"pods\",\"namespace\":\"default\","
			    "\"fieldSelector\":{\"rawSelector\":\"spec.nodeName=n\"}}}}"),
		     F_status);
	assert_true(val_get_bool(st, F_allowed));
	assert_val(val_get(st, F_reason), "he may");
	assert_val(val_at(val_member_sv(far.spec, SV("groups")), 0), "g");
	assert_val(val_at(val_member_sv(val_member_sv(far.spec, SV("extra")), SV("k")), 0), "v");
	assert_val(val_member_sv(far.spec, SV("uid")), "7");
	assert_int_equal(
	    val_len(val_member_sv(val_member_sv(val_member_sv(far.spec, SV("resourceAttributes")), SV("fieldSelector")),
				  SV("requirements"))),
	    1);
	far.status = "{\"allowed\":false,\"denied\":true,\"reason\":\"never\"}";
	st = val_get(
	    expect(r, 201, "POST", REVIEWS "subjectaccessreviews",
		   "{\"spec\":{\"user\":\"cyd\",\"nonResourceAttributes\":{\"verb\":\"get\",\"path\":\"/x\"}}}"),
	    F_status);
	assert_true(val_get_bool(st, F_denied));
	assert_val(val_get(st, F_reason), "never");
	far.status = NULL;
	st = val_get(
	    expect(r, 201, "POST", REVIEWS "subjectaccessreviews",
		   "{\"spec\":{\"user\":\"bob\",\"nonResourceAttributes\":{\"verb\":\"get\",\"path\":\"/x\"}}}"),
	    F_status);
	assert_false(val_get_bool(st, F_allowed));
	assert_non_null(strstr(arena_cstr(&r->arena, val_get_str(st, F_evaluationError)), "connection refused"));
	st =
	    val_get(expect(r, 201, "POST", REVIEWS "selfsubjectrulesreviews", "{\"spec\":{\"namespace\":\"default\"}}"),
		    F_status);
	assert_true(val_get_bool(st, F_incomplete));
}

static void metrics_say(struct rig *r, const char *one, const char *other)
{
	struct answer *a = api(r, "GET", "/metrics");

	assert_non_null(strstr(buf_cstr(&a->body), one));
	assert_non_null(strstr(buf_cstr(&a->body), other));
	answer_free(a);
}

static void test_reload_and_flags(void **state)
{
	static const char *const modes[] = { "Node", "RBAC", "Webhook", NULL };
	struct rig *r = *state;

	far.status = "{\"allowed\":true}";
	world(r, text_of(r, NODE_RBAC, "NoOpinion", ""));
	assert_int_equal(get(r, "ann", MAPS), 200);
	write_file(far.path, text_of(r, NODE_RBAC, "Perhaps", ""));
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(get(r, "ann", MAPS), 200);
	write_file(far.path,
		   "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers: [{type: "
		   "RBAC, name: r}]\n");
	rig_run(r, 61 * NS_PER_SEC);
	assert_int_equal(get(r, "ann", MAPS), 403);
	metrics_say(r,
		    "config_controller_automatic_reloads_total{apiserver_id_hash=\"sha256:", "status=\"success\"} 1\n");
	metrics_say(r, "status=\"failure\"} 1\n", "automatic_reload_last_timestamp_seconds{");
	r->authorization = (struct apiserver_authorization){ .modes = modes,
							     .webhook_config_file = far.kubeconfig,
							     .webhook_version = "v1" };
	rig_restart(r);
	webhook_set_network(r->server, &far_network);
	assert_int_equal(get(r, "ann", MAPS), 200);
}

static void test_config(void **state)
{
	static const struct {
		const char *text, *why;
	} table[] = {
		{ "authorizers: []\n", "authorizers: Required value: at least one authorization mode must be defined" },
		{ "authorizers: [{type: ABAC, name: a}]\n", "authorizers[0].type: Unsupported value: \"ABAC\"" },
		{ "authorizers: [{type: RBAC, name: a}, {type: RBAC, name: b}]\n",
		  "authorizers[1].type: Duplicate value: \"RBAC\"" },
		{ "authorizers: [{type: RBAC, name: a}, {type: Node, name: a}]\n",
		  "authorizers[1].name: Duplicate value: \"a\"" },
		{ "authorizers: [{type: RBAC, name: 'A b'}]\n", "authorizer name is invalid" },
		{ "authorizers: [{type: Webhook, name: a}]\n",
		  "authorizers[0].webhook: Required value: required when type=Webhook" },
		{ "authorizers: [{type: RBAC, name: a, webhook: {}}]\n",
		  "authorizers[0].webhook: Invalid value: \"non-null\": may only be specified when type=Webhook" },
		{ "authorizers: [{type: Webhook, name: a, webhook: {timeout: 31s, matchConditions: [{expression: "
		  "'request.x'}]}}]\n",
		  "authorizers[0].timeout: Invalid value: \"31s\": must be > 0s and <= 30s, "
		  "authorizers[0].authorizedTTL: "
		  "Required value, " },
		{ "authorizers: [{type: Webhook, name: a, webhook: {timeout: 31s, matchConditions: [{expression: "
		  "'request.x'}]}}]\n",
		  "undefined field 'x'" },
		{ "authorizers: [{type: Webhook, name: a, webhook: {connectionInfo: {type: KubeConfigFile, "
		  "kubeConfigFile: "
		  "/nowhere}}}]\n",
		  "authorizers[0].connectionInfo.kubeConfigFile: Invalid value: \"/nowhere\": error loading file: stat "
		  "/nowhere: no such file or directory" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		_cleanup_free_ char *text = xasprintf(
		    "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n%s", table[i].text);

		assert_null(authz_chain_parse(sv_from(text), &err));
		if (!strstr(err_msg(&err), table[i].why))
			fail_msg("'%s' is not in '%s'", table[i].why, err_msg(&err));
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_says),	    T(test_denies),
		T(test_fails),	    T(test_hangs_in),
		T(test_remembers),  T(test_waits),
		T(test_reviews),    T(test_reload_and_flags),
		T(test_conditions), cmocka_unit_test(test_config),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
