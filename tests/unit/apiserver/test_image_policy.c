/* ImagePolicyWebhook, under virtual time: the program outside is this file. Refusals first. */
#include "harness.h"

#include "apiserver/admission/image_policy.h"
#include "apiserver/admission/setup.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/webhook/webhook.h"
#include "codec/yaml.h"

#include <stdio.h>
#include <unistd.h>

#define PODS "/api/v1/namespaces/default/pods"
#define C(image) "{\"name\":\"" image "\",\"image\":\"" image "\"}"

static struct {
	size_t asked;
	const char *status; /* NULL: no answer */
	const char *kind;
	struct arena arena;
	const struct val *said;
	char kubeconfig[100];
} far;

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	far.asked++;
	far.said = json_decode(&far.arena, arena_sv(&far.arena, sent->body), NULL, NULL);
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

static struct image_policy *configured(struct rig *r, const char *more, struct err *err)
{
	const char *text = arena_printf(&r->arena, "{\"imagePolicy\":{\"of\":\"tests\"%s,\"kubeConfigFile\":\"%s\"}}",
					more, far.kubeconfig);

	return image_policy_new(yaml_decode(&r->arena, sv_from(text), NULL), ".", err);
}

static void use(struct rig *r, const char *more)
{
	struct admission_set *s = r->server->admission;

	image_policy_free(s->image_policy);
	s->image_policy = configured(r, more, NULL);
	assert_non_null(s->image_policy);
	for (unsigned i = 0; admission_chain[i]; i++)
		if (strcmp(admission_chain[i]->name, "ImagePolicyWebhook") == 0)
			s->on |= UINT64_C(1) << i;
}

static int setup(void **state)
{
	int rc = rig_setup(state);
	struct rig *r = *state;
	FILE *f;

	memset(&far, 0, sizeof(far));
	far.kind = "ImageReview";
	(void)snprintf(far.kubeconfig, sizeof(far.kubeconfig), "/tmp/test-image-policy-%d", (int)getpid());
	f = fopen(far.kubeconfig, "w");
	assert_non_null(f);
	(void)fputs(
	    "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://images.example.com'}}]\n"
	    "contexts: [{name: x, context: {cluster: c}}]\ncurrent-context: x\n",
	    f);
	(void)fclose(f);
	webhook_set_network(r->server, &far_network);
	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	use(r, "");
	return rc;
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	(void)unlink(far.kubeconfig);
	arena_release(&far.arena);
	return rc;
}

static const char *pod(struct rig *r, const char *name, const char *image)
{
	return arena_printf(
	    &r->arena,
	    "{\"metadata\":{\"name\":\"%s\",\"annotations\":{\"a.image-policy.k8s.io/ticket\":\"7\",\"b\":"
	    "\"c\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}],\"initContainers\":[" C(
		"first") "]}}",
	    name, image);
}

static void refused(struct rig *r, const char *name, const char *image, const char *why)
{
	expect_status(r, 403, "Forbidden", why,
		      &(struct ask){ .method = "POST", .path = PODS, .body = pod(r, name, image) });
}

static void test_configuration(void **state)
{
	static const char *const bad[][2] = {
		{ ",\"allowTTL\":1", "allowTTL: valid value is between 1s and 30m0s, got 1" },
		{ ",\"allowTTL\":1801", "allowTTL: valid value is between" },
		{ ",\"denyTTL\":-2", "denyTTL: valid value is between" },
		{ ",\"denyTTL\":9223372036854775807", "denyTTL: valid value is between" },
		{ ",\"retryBackoff\":300001", "retryBackoff: valid value is between 1ns and 5m0s" },
	};
	const struct apiserver_opts bare = { .enable_admission = (const char *const[]){ "ImagePolicyWebhook", NULL } };
	struct rig *r = *state;
	_cleanup_(err_release) struct err none = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		if (configured(r, bad[i][0], &err))
			fail_msg("%s", bad[i][0]);
		if (!strstr(err_msg(&err), bad[i][1]))
			fail_msg("'%s' is not in '%s'", bad[i][1], err_msg(&err));
	}
	assert_null(image_policy_new(NULL, ".", NULL)); /* nobody to ask */
	assert_null(admission_set_new(&bare, &none));
	assert_non_null(strstr(err_msg(&none), "needs to know whom to ask"));
}

static void test_refused(void **state)
{
	struct rig *r = *state;

	far.status = "{\"allowed\":false,\"reason\":\"too old\"}";
	refused(r, "p", "i",
		"pods \"p\" is forbidden: image policy webhook backend denied one or more images: too old");
	assert_val(val_get(far.said, F_apiVersion), "imagepolicy.k8s.io/v1alpha1");
	assert_val(val_get(far.said, F_spec, F_namespace), "default");
	assert_int_equal(val_len(val_get(far.said, F_spec, F_containers)), 2);
	assert_val(val_get(val_at(val_get(far.said, F_spec, F_containers), 1), F_image), "first");
	assert_int_equal(val_len(val_get(far.said, F_spec, F_annotations)), 1);
	/* It is remembered, for half a minute. */
	refused(r, "p", "i", "too old");
	assert_int_equal(far.asked, 1);
	rig_run(r, 31 * NS_PER_SEC);
	far.status = "{}";
	refused(r, "p", "i", "one or more images rejected by webhook backend");
	assert_int_equal(far.asked, 2);
	/* No answer, or none that means anything. */
	far.status = NULL;
	refused(r, "p", "j", "connection refused");
	far.status = "{\"allowed\":true}";
	far.kind = "Pod";
	refused(r, "p", "k", "the webhook's answer is no ImageReview");
	far.kind = "ImageReview";
	far.status = "{\"allowed\":\"true\"}";
	refused(r, "p", "l", "rejected");
}

static void test_allowed(void **state)
{
	struct rig *r = *state;

	far.status = "{\"allowed\":true}";
	expect(r, 201, "POST", PODS, pod(r, "p", "i"));
	expect(r, 201, "POST", PODS, pod(r, "q", "i")); /* the same images */
	assert_int_equal(far.asked, 1);
	/* What is changed is asked about, what is only looked at is not. */
	far.status = "{\"allowed\":false}";
	expect(r, 200, "GET", PODS "/p", NULL);
	expect_type(r, 403, "PATCH", PODS "/p", "application/strategic-merge-patch+json",
		    "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"new\"}]}}");
	expect_type(r, 403, "PATCH", PODS "/p/ephemeralcontainers", "application/strategic-merge-patch+json",
		    "{\"spec\":{\"ephemeralContainers\":[" C("debug") "]}}");
	assert_int_equal(val_len(val_get(far.said, F_spec, F_containers)), 1);
	expect(r, 200, "DELETE", PODS "/q", NULL);
	assert_int_equal(far.asked, 3);
	/* Nobody answers, and that is fine. */
	use(r, ",\"defaultAllow\":true,\"allowTTL\":-1");
	far.status = NULL;
	expect(r, 201, "POST", PODS, pod(r, "s", "i"));
	far.status = "{\"allowed\":false}";
	refused(r, "t", "i", "rejected");
	far.asked = 0;
	far.status = "{\"allowed\":true}";
	expect(r, 201, "POST", PODS, pod(r, "u", "v"));
	expect(r, 201, "POST", PODS, pod(r, "w", "v"));
	assert_int_equal(far.asked, 2); /* nothing is remembered */
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = { T(test_configuration), T(test_refused), T(test_allowed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
