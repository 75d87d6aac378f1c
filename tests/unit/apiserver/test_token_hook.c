/* A webhook that knows tokens, under virtual time: it is this file. Refusals first. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/webhook/webhook.h"

#include <stdio.h>
#include <unistd.h>

#define REVIEWS "/apis/authentication.k8s.io/v1/tokenreviews"
#define KNOWN                                                                                                        \
	"{\"authenticated\":true,\"user\":{\"username\":\"ann\",\"uid\":\"7\",\"groups\":[\"g\"],\"extra\":{\"k\":[" \
	"\"v\"]}}}"

static struct {
	size_t asked, failures; /* so many times it fails with fails first */
	int fails;
	const char *status; /* NULL: no answer */
	const char *kind;
	struct arena arena;
	char kubeconfig[100];
} far;

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	const struct val *doc = json_decode(&far.arena, arena_sv(&far.arena, sent->body), NULL, NULL);
	struct err err = ERR_INIT;

	(void)ctx;
	far.asked++;
	assert_val(val_get(doc, F_kind), "TokenReview");
	assert_val(val_get(doc, F_apiVersion), "authentication.k8s.io/v1");
	assert_int_equal(val_len(val_get(doc, F_spec, F_audiences)), 1);
	if (far.failures) {
		far.failures--;
		webhook_call_answer(c, far.fails, SV("text/plain"), SV("no"), NULL);
		return;
	}
	if (far.status) {
		webhook_call_answer(c, 200, SV("application/json"),
				    arena_svf(&far.arena, "{\"kind\":\"%s\",\"status\":%s}", far.kind, far.status),
				    NULL);
		return;
	}
	err_set(&err, ERR_UNAVAILABLE, "dial tcp: connection refused");
	webhook_call_answer(c, 0, SV(""), SV(""), &err);
}

static const struct webhook_network far_network = { .call = far_call };

static int setup(void **state)
{
	int rc = rig_setup_with_keys(state);
	struct rig *r = *state;
	FILE *f;

	memset(&far, 0, sizeof(far));
	far.kind = "TokenReview";
	(void)snprintf(far.kubeconfig, sizeof(far.kubeconfig), "/tmp/test-token-hook-%d", (int)getpid());
	f = fopen(far.kubeconfig, "w");
	assert_non_null(f);
	(void)fputs(
	    "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://authn.example.com'}}]\n"
	    "contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n",
	    f);
	(void)fclose(f);
	r->token_hook = (struct apiserver_token_hook){ .config_file = far.kubeconfig, .version = "v1" };
	rig_restart(r);
	webhook_set_network(r->server, &far_network);
	return rc;
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	(void)unlink(far.kubeconfig);
	arena_release(&far.arena);
	return rc;
}

static const struct val *review(struct rig *r, const char *more)
{
	return val_get(expect(r, 201, "POST", REVIEWS, arena_printf(&r->arena, "{\"spec\":{\"token\":\"t\"%s}}", more)),
		       F_status);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"{\"authenticated\":false}",
		"{}",
		"{\"authenticated\":\"true\",\"user\":{\"username\":\"ann\"}}",
		"{\"authenticated\":true,\"user\":{}}",
		"{\"authenticated\":true,\"user\":{\"username\":\"ann\"},\"audiences\":[\"x\"]}",
		"{\"authenticated\":false,\"error\":\"expired\"}"
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		far.status = bad[i];
		assert_int_equal(api_code(r, "GET", "/version", arena_printf(&r->arena, "Bearer t%zu", i)), 401);
	}
	assert_int_equal(far.asked, ARRAY_LEN(bad));
	assert_int_equal(api_code(r, "GET", "/version", "Bearer t0"), 401); /* it is remembered */
	assert_int_equal(far.asked, ARRAY_LEN(bad));
	far.kind = "Pod";
	far.status = KNOWN;
	assert_int_equal(api_code(r, "GET", "/version", "Bearer u"), 401);
	far.status = NULL;
	assert_int_equal(api_code(r, "GET", "/version", "Bearer v"), 401);
	assert_non_null(strstr(arena_cstr(&r->arena, val_get_str(review(r, ""), F_error)), "connection refused"));
	far.kind = "TokenReview";
	far.status = KNOWN;
	assert_int_equal(api_code(r, "GET", "/version", "Bearer v"), 200); /* a failure is not */
}

static void test_known(void **state)
{
	struct rig *r = *state;
	const struct val *st;

	far.status = KNOWN;
	assert_int_equal(api_code(r, "GET", "/version", "Bearer t"), 200);
	st = review(r, "");
	assert_true(val_get_bool(st, F_authenticated));
	assert_val(val_get(st, F_user, F_username), "ann");
	assert_val(val_get(st, F_user, F_uid), "7");
	assert_int_equal(val_len(val_get(st, F_user, F_groups)), 2);
	assert_int_equal(far.asked, 1);
	assert_false(val_get_bool(review(r, ",\"audiences\":[\"other\"]"), F_authenticated));
	rig_run(r, 121 * NS_PER_SEC);
	far.status = "{}";
	assert_int_equal(api_code(r, "GET", "/version", "Bearer t"), 401);
	/* What the server knows itself nobody is asked about. */
	assert_int_equal(api_code(r, "GET", "/version", ""), 200);
	assert_int_equal(far.asked, 3);
}

/* What may go well the next time is tried again, five times in all, with pauses; other failures are not. */
static void test_again(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	far.status = KNOWN;
	far.failures = 4;
	far.fails = 500;
	a = api_start(r, &(struct ask){ .method = "GET", .path = "/version", .authorization = "Bearer a" });
	rig_run(r, 400 * NS_PER_MS);
	assert_int_equal(far.asked, 1);
	rig_run(r, 200 * NS_PER_MS);
	assert_int_equal(far.asked, 2);
	rig_run(r, 4 * NS_PER_SEC);
	assert_int_equal(a->code, 200);
	assert_int_equal(far.asked, 5);
	answer_free(a);
	far.failures = 5;
	far.fails = 429;
	assert_int_equal(api_code(r, "GET", "/version", "Bearer b"), 401);
	assert_int_equal(far.asked, 10);
	far.failures = 1;
	far.fails = 403;
	assert_int_equal(api_code(r, "GET", "/version", "Bearer c"), 401);
	assert_int_equal(far.asked, 11);
	/* The end of the server, or of the request, ends the pause. */
	far.failures = 1;
	far.fails = 504;
	a = api_start(r, &(struct ask){ .method = "GET", .path = "/version", .authorization = "Bearer d" });
	rig_run(r, 0);
	assert_int_equal(a->answers, 0);
	apiserver_shutdown(r->server);
	rig_run(r, 0);
	assert_int_equal(a->answers, 1);
	answer_free(a);
	rig_run(r, 5 * NS_PER_SEC);
	assert_int_equal(far.asked, 12);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_refused), T(test_known), T(test_again) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
