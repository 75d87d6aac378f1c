/* Who may use the kubelet's server: an API server is asked, in virtual time, and its answers are remembered. */
#include "../apiserver/harness.h"

#include "kubelet/server_auth.h"

#include <stdio.h>

#define RBAC "/apis/rbac.authorization.k8s.io/v1"
#define SECOND NS_PER_SEC

struct kit {
	struct rig *rig;
	struct client *client;
	struct kauth *auth;
	struct arena arena;
	struct sv words;
};

struct who {
	const char *cn, *group;
	bool bad;
	int64_t until_ns;
	const char *authorization;
};

static int setup(void **state)
{
	static const char *const nodes[] = { "system:nodes", NULL };
	struct kit *k = xcalloc(1, sizeof(*k));
	void *rig;

	rig_setup_with_keys(&rig);
	k->rig = rig;
	k->client = apiserver_client(k->rig->server, "kubelet", "system:node:n0", nodes);
	k->auth = kauth_new(k->rig->env, k->client, "n0");
	*state = k;
	return 0;
}

static int teardown(void **state)
{
	struct kit *k = *state;
	void *rig = k->rig;

	kauth_free(k->auth);
	client_free(k->client);
	arena_release(&k->arena);
	free(k);
	return rig_teardown(&rig);
}

static enum kauth_verdict ask(struct kit *k, const char *method, const char *part, const struct who *w, bool known)
{
	struct http_peer peer = { .has_cert = w->cn && !w->bad,
				  .bad_cert = w->bad,
				  .common_name = sv_from(w->cn),
				  .not_after_ns = w->until_ns ? w->until_ns : INT64_MAX };
	struct sv group = sv_from(w->group);
	struct http_header h = { SV("authorization"), sv_from(w->authorization) };
	struct http_req r = { .arena = &k->arena,
			      .method = sv_from(method),
			      .peer = &peer,
			      .headers = &h,
			      .n_headers = w->authorization != NULL };

	if (w->group) {
		peer.organizations = &group;
		peer.n_organizations = 1;
	}
	return known ? kauth_known(k->auth, &r, sv_from(part), &k->words)
		     : kauth_ask(k->auth, &r, sv_from(part), &k->words);
}

#define ASK(k, method, part, ...) ask((k), (method), (part), &(struct who){ __VA_ARGS__ }, false)
#define KNOWN(k, method, part, ...) ask((k), (method), (part), &(struct who){ __VA_ARGS__ }, true)

/* role: rules */
static void allow(struct kit *k, const char *user_kind, const char *user, const char *resources, const char *verbs)
{
	char body[512];

	(void)snprintf(
	    body, sizeof(body),
	    "{\"metadata\":{\"name\":\"r\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[%s],\"verbs\":[%s]}]}",
	    resources, verbs);
	expect(k->rig, 201, "POST", RBAC "/clusterroles", body);
	(void)snprintf(
	    body, sizeof(body),
	    "{\"metadata\":{\"name\":\"r\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	    "\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"%s\",\"name\":\"%s\"%s}]}",
	    user_kind, user, strcmp(user_kind, "ServiceAccount") == 0 ? ",\"namespace\":\"default\"" : "");
	expect(k->rig, 201, "POST", RBAC "/clusterrolebindings", body);
}

static const char *token_of(struct kit *k, const char *account)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "{\"metadata\":{\"name\":\"%s\"}}", account);
	expect(k->rig, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", path);
	(void)snprintf(path, sizeof(path), "/api/v1/namespaces/default/serviceaccounts/%s/token", account);
	return arena_printf(&k->arena, "Bearer %.*s",
			    SV_ARG(val_get_str(expect(k->rig, 201, "POST", path, "{\"spec\":{}}"), F_status, F_token)));
}

/* Nobody without a name, whatever the page: and nothing is asked for it. */
static void test_nobody(void **state)
{
	static const char *const parts[] = { "healthz", "pods", "metrics", "stats", "exec", "", "configz" };
	struct kit *k = *state;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		assert_int_equal(KNOWN(k, "GET", parts[i], .cn = NULL), KAUTH_UNAUTHENTICATED);
		assert_sv(k->words, "Unauthorized");
		assert_int_equal(KNOWN(k, "GET", parts[i], .cn = "x", .group = "system:masters", .bad = true),
				 KAUTH_UNAUTHENTICATED);
		assert_int_equal(KNOWN(k, "GET", parts[i], .cn = "x", .group = "system:masters",
				       .until_ns = env_now_ns(k->rig->env)),
				 KAUTH_UNAUTHENTICATED);
		assert_int_equal(KNOWN(k, "GET", parts[i], .authorization = "Bearer "), KAUTH_UNAUTHENTICATED);
		assert_int_equal(KNOWN(k, "GET", parts[i], .authorization = "Bearer"), KAUTH_UNAUTHENTICATED);
		assert_int_equal(KNOWN(k, "GET", parts[i], .authorization = "Basic YTpi"), KAUTH_UNAUTHENTICATED);
	}
	assert_int_equal(ASK(k, "GET", "pods", .authorization = "Bearer junk"), KAUTH_UNAUTHENTICATED);
}

/* A name is no right: not the API server's own, nor a node's. */
static void test_names_alone(void **state)
{
	static const char *const names[] = { "kube-apiserver", "kube-apiserver-kubelet-client", "system:kube-apiserver",
					     "system:node:n0", "alice" };
	struct kit *k = *state;

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		assert_int_equal(ASK(k, "GET", "metrics", .cn = names[i]), KAUTH_FORBIDDEN);
		assert_int_equal(ASK(k, "POST", "exec", .cn = names[i], .group = "system:nodes"), KAUTH_FORBIDDEN);
	}
	assert_sv(k->words, "Forbidden (user=alice, verb=create, resource=nodes, subresource(s)=[proxy])\n");
	(void)ASK(k, "GET", "pods", .cn = "alice");
	assert_sv(k->words, "Forbidden (user=alice, verb=get, resource=nodes, subresource(s)=[pods proxy])\n");
	assert_int_equal(ASK(k, "GET", "pods", .cn = "root", .group = "system:masters"), KAUTH_ALLOWED);
}

/* The API server's client certificate: everything here, and nothing at the API server. */
static void test_api_server(void **state)
{
	static const char *const parts[] = {
		"pods", "metrics", "stats", "logs", "configz", "healthz", "containerLogs"
	};
	struct kit *k = *state;
	struct answer *a;

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		assert_int_equal(
		    ASK(k, "GET", parts[i], .cn = "kube-apiserver-kubelet-client", .group = "caravel:kubelet-clients"),
		    KAUTH_ALLOWED);
	assert_int_equal(
	    ASK(k, "POST", "exec", .cn = "kube-apiserver-kubelet-client", .group = "caravel:kubelet-clients"),
	    KAUTH_ALLOWED);
	a = api(k->rig, "GET", "/version", .cert_user = "kube-apiserver-kubelet-client",
		.cert_group = "caravel:kubelet-clients");
	assert_int_equal(a->code, 401);
	answer_free(a);
}

static void test_fine_grained(void **state)
{
	struct kit *k = *state;

	allow(k, "User", "alice", "\"nodes/metrics\",\"nodes/pods\"", "\"get\"");
	assert_int_equal(ASK(k, "GET", "metrics", .cn = "alice"), KAUTH_ALLOWED);
	assert_int_equal(ASK(k, "GET", "pods", .cn = "alice"), KAUTH_ALLOWED);
	assert_int_equal(ASK(k, "GET", "runningpods", .cn = "alice"), KAUTH_ALLOWED);
	assert_int_equal(ASK(k, "POST", "pods", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "stats", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "configz", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "healthz", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "containerLogs", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "metrics/x", .cn = "alice"), KAUTH_FORBIDDEN); /* a %2F in it */
}

/* Who may read through nodes/proxy may not run commands, though a WebSocket begins with GET. */
static void test_reading_is_not_running(void **state)
{
	struct kit *k = *state;

	allow(k, "User", "alice", "\"nodes/proxy\"", "\"get\"");
	assert_int_equal(ASK(k, "GET", "pods", .cn = "alice"), KAUTH_ALLOWED);
	assert_int_equal(ASK(k, "GET", "containerLogs", .cn = "alice"), KAUTH_ALLOWED);
	assert_int_equal(ASK(k, "GET", "exec", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "attach", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "portForward", .cn = "alice"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "metrics", .cn = "alice"), KAUTH_FORBIDDEN); /* nodes/metrics alone */
}

static void test_tokens(void **state)
{
	struct kit *k = *state;
	const char *t = token_of(k, "prom");

	allow(k, "ServiceAccount", "prom", "\"nodes/metrics\"", "\"get\"");
	assert_int_equal(KNOWN(k, "GET", "metrics", .authorization = t), KAUTH_UNKNOWN);
	assert_int_equal(ASK(k, "GET", "metrics", .authorization = t), KAUTH_ALLOWED);
	assert_int_equal(KNOWN(k, "GET", "metrics", .authorization = t), KAUTH_ALLOWED);
	assert_int_equal(ASK(k, "GET", "stats", .authorization = t), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "metrics", .authorization = token_of(k, "other")), KAUTH_FORBIDDEN);
}

/* How long answers count. */
static void test_memory(void **state)
{
	struct kit *k = *state;
	const char *t = token_of(k, "prom");

	allow(k, "ServiceAccount", "prom", "\"nodes/metrics\"", "\"get\"");
	assert_int_equal(ASK(k, "GET", "metrics", .authorization = t), KAUTH_ALLOWED);
	assert_int_equal(ASK(k, "GET", "metrics", .cn = "bob"), KAUTH_FORBIDDEN);
	assert_int_equal(ASK(k, "GET", "metrics", .authorization = "Bearer junk"), KAUTH_UNAUTHENTICATED);
	rig_run(k->rig, 9 * SECOND);
	assert_int_equal(KNOWN(k, "GET", "metrics", .authorization = "Bearer junk"), KAUTH_UNAUTHENTICATED);
	rig_run(k->rig, 2 * SECOND);
	assert_int_equal(KNOWN(k, "GET", "metrics", .authorization = "Bearer junk"), KAUTH_UNKNOWN);
	assert_int_equal(KNOWN(k, "GET", "metrics", .cn = "bob"), KAUTH_FORBIDDEN);
	rig_run(k->rig, 20 * SECOND);
	assert_int_equal(KNOWN(k, "GET", "metrics", .cn = "bob"), KAUTH_UNKNOWN);
	assert_int_equal(KNOWN(k, "GET", "metrics", .authorization = t), KAUTH_ALLOWED);
	rig_run(k->rig, 90 * SECOND);
	assert_int_equal(KNOWN(k, "GET", "metrics", .authorization = t), KAUTH_UNKNOWN);
	/* The account is gone: its token is nobody's, whatever was allowed to it. */
	expect(k->rig, 200, "DELETE", "/api/v1/namespaces/default/serviceaccounts/prom", NULL);
	assert_int_equal(ASK(k, "GET", "metrics", .authorization = t), KAUTH_UNAUTHENTICATED);
	/* A right that was withdrawn ends after five minutes. */
	expect(k->rig, 200, "DELETE", RBAC "/clusterrolebindings/r", NULL);
	expect(k->rig, 200, "DELETE", RBAC "/clusterroles/r", NULL);
	allow(k, "User", "carol", "\"nodes/stats\"", "\"get\"");
	assert_int_equal(ASK(k, "GET", "stats", .cn = "carol"), KAUTH_ALLOWED);
	expect(k->rig, 200, "DELETE", RBAC "/clusterrolebindings/r", NULL);
	rig_run(k->rig, 299 * SECOND);
	assert_int_equal(KNOWN(k, "GET", "stats", .cn = "carol"), KAUTH_ALLOWED);
	rig_run(k->rig, 2 * SECOND);
	assert_int_equal(ASK(k, "GET", "stats", .cn = "carol"), KAUTH_FORBIDDEN);
}

/* Many names do not fill the memory: whatever is forgotten is asked again. */
static void test_bounded(void **state)
{
	struct kit *k = *state;
	char name[32];

	for (int i = 0; i < 3000; i++) {
		(void)snprintf(name, sizeof(name), "user-%d", i);
		assert_int_equal(ASK(k, "GET", "metrics", .cn = name), KAUTH_FORBIDDEN);
	}
	assert_int_equal(KNOWN(k, "GET", "metrics", .cn = "user-2999"), KAUTH_FORBIDDEN);
	assert_int_equal(KNOWN(k, "GET", "metrics", .cn = "user-0"), KAUTH_UNKNOWN);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_nobody),
		T(test_names_alone),
		T(test_api_server),
		T(test_fine_grained),
		T(test_reading_is_not_running),
		T(test_tokens),
		T(test_memory),
		T(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
