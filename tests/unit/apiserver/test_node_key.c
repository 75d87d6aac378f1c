/* Whose is a node's name: with a bootstrap token, only that of who has the Node's key, or of nobody yet. */
#include "harness.h"

#include "base/b64.h"
#include "net/csr.h"
#include "net/key.h"
#include "object/node_labels.h"

#define LIST "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#define KUBELET "kubernetes.io/kube-apiserver-client-kubelet"

static struct sv bootstrappers[] = { { "system:bootstrappers", 20 },
				     { "system:masters", 14 } }; /* rights are others' tests */
static struct sv masters[] = { { "system:masters", 14 }, { "system:authenticated", 20 } };

/* The request of a key for a node, as a body. */
static const char *request(struct rig *r, const char *name, const char *cn, const char *signer, struct sv key)
{
	static const char *const orgs[] = { "system:nodes", NULL };
	struct cert_opts o = { .common_name = cn, .organizations = orgs };
	struct sv csr, same;

	assert_int_equal(csr_make(&r->arena, &o, key, &csr, &same, NULL), 0);
	return arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"request\":\"%.*s\",\"signerName\":\"%s\","
			    "\"usages\":[\"digital signature\",\"client auth\"]}}",
			    name, SV_ARG(b64_encode(&r->arena, csr)), signer);
}

static void node(struct rig *r, const char *name, const char *annotation)
{
	expect(r, 201, "POST", "/api/v1/nodes",
	       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\",\"annotations\":{%s}}}", name, annotation));
}

static int asked(struct rig *r, struct sv *groups, size_t n, const char *body, const char *words)
{
	struct answer *a =
	    api(r, "POST", LIST, .user = "system:bootstrap:abcdef", .groups = groups, .n_groups = n, .body = body);

	int code = a->code;

	if (words)
		assert_non_null(strstr(arena_cstr(&r->arena, val_get_str(api_json(a), F_message)), words));
	answer_free(a);
	return code;
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct sv mine, other;
	char hash[65];

	assert_int_equal(key_new_ec(&r->arena, &mine, NULL), 0);
	assert_int_equal(key_new_ec(&r->arena, &other, NULL), 0);
	assert_int_equal(key_hash(mine, hash, NULL), 0);
	node(r, "a", arena_printf(&r->arena, "\"" NODE_KEY_ANNOTATION "\":\"%s\"", hash));
	node(r, "of-server", "\"" NODE_KEY_ANNOTATION "\":\"" NODE_KEY_SERVER "\"");

	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r1", "system:node:a", KUBELET, other),
			       "node \"a\" is in the cluster already"),
			 403);
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r2", "system:node:of-server", KUBELET, mine),
			       "kubectl delete node of-server"),
			 403);
	/* Its own key, as after a lost certificate. */
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r3", "system:node:a", KUBELET, mine), NULL), 201);
	/* Deleted: the name is free. */
	expect(r, 200, "DELETE", "/api/v1/nodes/a", NULL);
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r4", "system:node:a", KUBELET, other), NULL), 201);
}

static const char *long_request(struct rig *r, const char *name)
{
	static const char *const orgs[] = { "system:nodes", NULL };
	const char *names[600] = { NULL };
	struct cert_opts o = { .common_name = "system:node:q", .organizations = orgs, .dns_names = names };
	struct sv csr, key;

	for (int i = 0; i < 599; i++)
		names[i] = arena_printf(&r->arena, "a-name-that-is-not-short-%d.example.org", i);
	assert_int_equal(csr_make(&r->arena, &o, SV(""), &csr, &key, NULL), 0);
	return arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"request\":\"%.*s\",\"signerName\":"
			    "\"kubernetes.io/kubelet-serving\",\"usages\":[\"digital signature\",\"server auth\"]}}",
			    name, SV_ARG(b64_encode(&r->arena, csr)));
}

/* A token is no way to fill the store: what waits for a decision is bounded, and how long it is. */
static void test_quota(void **state)
{
	struct rig *r = *state;
	struct sv key;

	assert_int_equal(key_new_ec(&r->arena, &key, NULL), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(asked(r, bootstrappers, 2,
				       request(r, arena_printf(&r->arena, "q%d", i), "system:node:q", KUBELET, key),
				       NULL),
				 201);
	rig_run(r, 0);
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "q", "system:node:q", KUBELET, key),
			       "exceeded quota: 100 requests of \"system:bootstrap:abcdef\" wait for a decision"),
			 403);
	/* Others have their own, and whoever administers has none. */
	expect(r, 201, "POST", LIST, request(r, "other", "system:node:q", KUBELET, key));
	expect(r, 200, "DELETE", LIST "/q0", NULL);
	rig_run(r, 0);
	assert_int_equal(
	    asked(r, bootstrappers, 2, long_request(r, "long"), "spec.request of a node is at most 16384 bytes"), 403);
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "q", "system:node:q", KUBELET, key), NULL), 201);
}

static void test_not_asked(void **state)
{
	struct rig *r = *state;
	struct sv key;

	assert_int_equal(key_new_ec(&r->arena, &key, NULL), 0);
	node(r, "upstream", "");
	node(r, "b", "\"" NODE_KEY_ANNOTATION "\":\"x\"");
	/* A new name; an upstream kubelet's; another signer's; an admin, who may do anything. */
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r1", "system:node:new", KUBELET, key), NULL), 201);
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r2", "system:node:upstream", KUBELET, key), NULL), 201);
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r3", "system:node:b", "example.com/x", key), NULL),
			 201);
	assert_int_equal(asked(r, masters, 2, request(r, "r4", "system:node:b", KUBELET, key), NULL), 201);
	assert_int_equal(asked(r, bootstrappers, 2, request(r, "r5", "b", KUBELET, key), NULL), 201);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_quota, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_not_asked, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("apiserver/node_key", tests, NULL, NULL);
}
