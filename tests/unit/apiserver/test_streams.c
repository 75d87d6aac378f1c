/* Subresources that reach into nodes, as far as they go without one: whom they refuse, and where they do not lead. */
#include "harness.h"
#include "everything.h"

#include "apiserver/kubelet_client.h"

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

/* Nothing has been written by a pod that nobody runs yet; nobody can be spoken to in it. */
static void test_without_node(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	make_pod(r, "p", "");
	a = api(r, "GET", PODS "/p/log");
	assert_int_equal(a->code, 204);
	assert_int_equal(a->body.n, 0);
	answer_free(a);
	a = api(r, "GET", PODS "/p/log?follow=true");
	assert_int_equal(a->code, 204);
	answer_free(a);
	expect_status(r, 400, "BadRequest", "pod p does not have a host assigned",
		      &(struct ask){ .method = "POST", .path = PODS "/p/exec?stdout=true&command=x" });
	expect_status(r, 400, "BadRequest", "container x is not valid for pod p",
		      &(struct ask){ .method = "GET", .path = PODS "/p/log?container=x" });
}

static void test_flags(void **state)
{
	static const char none[] = "you must specify at least 1 of stdin, stdout, stderr",
			  no_command[] = "you must specify at least one command";
	struct rig *r = *state;

	make_pod(r, "p", "n0");
	make_node(r, "n0", "InternalIP", "10.0.0.9", 10250);
	expect_status(r, 400, "BadRequest", none, &(struct ask){ .method = "POST", .path = PODS "/p/exec?command=x" });
	expect_status(
	    r, 400, "BadRequest", none,
	    &(struct ask){ .method = "POST", .path = PODS "/p/exec?command=x&stdout=False&stdin=false&stderr=0" });
	expect_status(r, 400, "BadRequest", no_command,
		      &(struct ask){ .method = "POST", .path = PODS "/p/exec?stdout=True" });
	expect_status(r, 400, "BadRequest", no_command,
		      &(struct ask){ .method = "POST", .path = PODS "/p/exec?stderr=" });
}

static void expect_proxy(struct rig *r, int code, const char *path, const char *words)
{
	expect_status(r, code,
		      code == 400   ? "BadRequest"
		      : code == 404 ? "NotFound"
				    : "ServiceUnavailable",
		      words, &(struct ask){ .method = "GET", .path = path });
}

static void pod_ip(struct rig *r, const char *ip)
{
	char body[128];

	(void)snprintf(body, sizeof(body), "{\"status\":{\"podIP\":\"%s\",\"podIPs\":[{\"ip\":\"%s\"}]}}", ip, ip);
	expect_type(r, 200, "PATCH", PODS "/p/status", "application/merge-patch+json", body);
}

static void test_proxy_names(void **state)
{
	static const char *const bad[] = { ":", "p:80:x", "ftp:p:80", "a:b:c:d", "http::80", ":p" };
	struct rig *r = *state;
	char path[128];

	make_pod(r, "p", "");
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		(void)snprintf(path, sizeof(path), PODS "/%s/proxy/", bad[i]);
		expect_proxy(r, 400, path, "invalid pod request");
		(void)snprintf(path, sizeof(path), "/api/v1/namespaces/default/services/%s/proxy/", bad[i]);
		expect_proxy(r, 400, path, "invalid service request");
		(void)snprintf(path, sizeof(path), "/api/v1/nodes/%s/proxy/", bad[i]);
		expect_proxy(r, 400, path, "invalid node request");
	}
	expect_proxy(r, 404, PODS "/https:none:80/proxy/", "pods \"none\" not found");
	expect_proxy(r, 404, "/api/v1/namespaces/default/services/none:80/proxy/", "services \"none\" not found");
	expect_proxy(r, 404, "/api/v1/nodes/proxy-1/proxy/", "nodes \"proxy-1\" not found");
	expect_proxy(r, 400, PODS "/p:http/proxy/", "pod \"p\" has no port \"http\"");
}

/* A pod's address is a node's word. */
static void test_proxy_addresses(void **state)
{
	static const char *const bad[] = { "127.0.0.1", "169.254.169.254", "::1", "fe80::1", "224.0.0.1" };
	struct rig *r = *state;

	make_pod(r, "p", "");
	expect_proxy(r, 400, PODS "/p:80/proxy/", "address not allowed"); /* it has none yet */
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		pod_ip(r, bad[i]);
		expect_proxy(r, 400, PODS "/p:80/proxy/", "address not allowed");
		expect_proxy(r, 400, PODS "/https:p:80/proxy/x", "address not allowed");
	}
	pod_ip(r, "192.0.2.7");
	expect_proxy(r, 400, PODS "/p:6443/proxy/", "address not allowed"); /* the API server itself */
	expect_proxy(r, 400, PODS "/p:0/proxy/", "invalid port");
	expect_proxy(r, 400, PODS "/p:65536/proxy/", "invalid port");
}

/* Endpoints may be written by hand: only what a pod confirms is reached by them. */
static void test_proxy_endpoints(void **state)
{
	static const char ports[] = "\"ports\":[{\"name\":\"web\",\"port\":6443}]";
	struct rig *r = *state;
	char body[512];

	make_pod(r, "p", "");
	pod_ip(r, "192.0.2.7");
	expect(r, 201, "POST", "/api/v1/namespaces/default/services",
	       "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[{\"name\":\"web\",\"port\":80}]}}");
	expect_proxy(r, 404, "/api/v1/namespaces/default/services/s:80/proxy/", "endpoints \"s\" not found");
	expect_proxy(r, 503, "/api/v1/namespaces/default/services/s:81/proxy/",
		     "no service port 81 found for service \"s\"");
	(void)snprintf(body, sizeof(body),
		       "{\"metadata\":{\"name\":\"s\"},\"subsets\":[{\"addresses\":[{\"ip\":\"10.0.0.1\"},{\"ip\":"
		       "\"10.0.0.2\",\"targetRef\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"p\"}}],%s}]}",
		       ports);
	expect(r, 201, "POST", "/api/v1/namespaces/default/endpoints", "{\"metadata\":{\"name\":\"s\"}}");
	expect_proxy(r, 503, "/api/v1/namespaces/default/services/https:s:80/proxy/",
		     "no endpoints available for service \"s\"");
	expect(r, 200, "PUT", "/api/v1/namespaces/default/endpoints/s", body);
	expect_proxy(r, 503, "/api/v1/namespaces/default/services/s:80/proxy/",
		     "no endpoints available for service \"s:80\"");
	expect_proxy(r, 503, "/api/v1/namespaces/default/services/s:web/proxy/",
		     "no endpoints available for service \"s:web\"");
	(void)snprintf(
	    body, sizeof(body),
	    "{\"metadata\":{\"name\":\"s\"},\"subsets\":[{\"addresses\":[{\"ip\":\"192.0.2.7\",\"targetRef\":{"
	    "\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"p\"}}],%s}]}",
	    ports);
	expect(r, 200, "PUT", "/api/v1/namespaces/default/endpoints/s", body);
	expect_proxy(r, 400, "/api/v1/namespaces/default/services/s:web/proxy/",
		     "address not allowed"); /* found, and is us */
	expect_proxy(r, 503, "/api/v1/namespaces/default/services/s/proxy/",
		     "no endpoints available"); /* it has a name */
}

/* Whatever discovery lists is there. */
static void test_discovery_is_true(void **state)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
	struct rig *r = *state;
	int asked = 0;

	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *res = &resource_all[i];

		for (size_t k = 0; k < res->n_subresources; k++) {
			const struct subresource *sub = &res->subresources[k];
			char av[128], path[256];

			resource_api_version(res, av, sizeof(av));
			(void)snprintf(path, sizeof(path), "/%s/%s/%s%s/x/%s", *res->group ? "apis" : "api", av,
				       res->namespaced ? "namespaces/default/" : "", res->plural, sub->name);
			for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
				struct answer *a = api(r, methods[m], path, .body = "{}");

				if (sv_find_sv(buf_sv(&a->body), SV("could not find the requested resource")) >= 0)
					fail_msg("%s %s: %s", methods[m], path, buf_cstr(&a->body));
				answer_free(a);
				asked++;
			}
		}
	}
	assert_true(asked > 100);
}

/* Whatever asked for it, and with what to do next where that is known. */
static void test_words_of_what_is_not_reached(void **state)
{
	static const char *const why[][2] = {
		{ "TLS handshake: self-signed certificate",
		  "error dialing backend: TLS handshake: self-signed certificate (the node's certificate for "
		  "serving is "
		  "not issued yet: see 'kubectl get csr')" },
		{ "connection refused", "error dialing backend: connection refused" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(why); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT, was = ERR_INIT;

		err_set(&was, ERR_UNAVAILABLE, "%s", why[i][0]);
		kubelet_unreached(&err, &was);
		assert_string_equal(err_msg(&err), why[i][1]);
		assert_int_equal(err.reason, ERR_INTERNAL);
	}
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup_with_keys, rig_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words_of_what_is_not_reached),
		T(test_node_addresses),
		T(test_without_node),
		T(test_flags),
		T(test_proxy_names),
		T(test_proxy_addresses),
		T(test_proxy_endpoints),
		T(test_discovery_is_true),
	};

	everything_on();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
