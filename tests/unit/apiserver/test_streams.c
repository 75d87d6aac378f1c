/* Subresources that reach into nodes, as far as they go without one: whom they refuse, and where they do not lead. */
#include "harness.h"

#include <stdio.h>

#define PODS "/api/v1/namespaces/default/pods"

/* A node whose kubelet is said to be there. */
static void make_node(struct rig *r, const char *name, const char *type, const char *address, int port)
{
	char body[512], path[128];

	(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"}}", name);
	expect(r, 201, "POST", "/api/v1/nodes", body);
	(void)snprintf(path, sizeof(path), "/api/v1/nodes/%s/status", name);
	(void)snprintf(body, sizeof(body),
		       "{\"status\":{\"addresses\":[{\"type\":\"%s\",\"address\":\"%s\"}],"
		       "\"daemonEndpoints\":{\"kubeletEndpoint\":{\"Port\":%d}}}}",
		       type, address, port);
	expect_type(r, 200, "PATCH", path, "application/merge-patch+json", body);
}

static void make_pod(struct rig *r, const char *name, const char *node)
{
	char body[512];

	expect_type(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", NULL,
		    "{\"metadata\":{\"name\":\"default\"}}");
	(void)snprintf(body, sizeof(body),
		       "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"nodeName\":\"%s\",\"containers\":[{\"name\":\"c\","
		       "\"image\":\"i\"}]}}",
		       name, node);
	expect(r, 201, "POST", PODS, body);
}

static void expect_log(struct rig *r, int code, const char *reason, const char *words)
{
	expect_status(r, code, reason, words, &(struct ask){ .method = "GET", .path = PODS "/p/log" });
}

static void test_node_addresses(void **state)
{
	static const struct {
		const char *type, *address;
		int port;
		const char *words;
	} cases[] = {
		{ "InternalIP", "127.0.0.1", 10250, "node 'n0' at 127.0.0.1: address not allowed" },
		{ "InternalIP", "::1", 10250, "address not allowed" },
		{ "InternalIP", "169.254.169.254", 80, "address not allowed" },
		{ "InternalIP", "localhost", 10250, "address not allowed" },
		{ "InternalIP", "0.0.0.0", 10250, "address not allowed" },
		{ "InternalIP", "192.0.2.7", 6443, "address not allowed" }, /* the API server itself */
		{ "InternalIP", "192.0.2.9", -1, "invalid port" },
		{ "InternalIP", "192.0.2.9", 100000, "invalid port" },
	};
	struct rig *r = *state;

	make_pod(r, "p", "n0");
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		make_node(r, "n0", cases[i].type, cases[i].address, cases[i].port);
		expect_log(r, 400, "BadRequest", cases[i].words);
		expect_status(r, 400, "BadRequest", cases[i].words,
			      &(struct ask){ .method = "GET", .path = "/api/v1/nodes/n0/proxy/pods" });
		expect(r, 200, "DELETE", "/api/v1/nodes/n0", NULL);
	}
	make_node(r, "n0", "Hostname", "n0", 10250);
	expect_log(r, 503, "ServiceUnavailable", "reports no InternalIP");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup_pki, rig_teardown)
	const struct CMUnitTest tests[] = { T(test_node_addresses) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
