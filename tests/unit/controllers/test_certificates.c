/* Requests for certificates on the real API server: which are approved by themselves and which are not, what is signed
 * and what fails, when they go. */
#include "real.h"

#include "base/b64.h"
#include "net/csr.h"

#define LIST "/apis/certificates.k8s.io/v1/certificatesigningrequests"
#define MERGE "application/merge-patch+json"
#define CLIENT "kubernetes.io/kube-apiserver-client-kubelet"
#define SERVING "kubernetes.io/kubelet-serving"
#define HOUR_S 3600

static const struct sv joining[] = { { "system:bootstrappers", 20 },
				     { "system:bootstrappers:kubeadm:default-node-token", 47 },
				     { "system:authenticated", 20 } },
		       nodes[] = { { "system:nodes", 12 }, { "system:authenticated", 20 } };

/* As JSON. */
static struct sv json_text(struct rig *r, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, v);
	return arena_sv(&r->arena, buf_sv(&b));
}

/* The base64 of a PEM text without its lines, behind its first one. */
static const char *base64_of(struct rig *r, struct sv rest)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv line;

	while (sv_split(&rest, '\n', &line) && !sv_starts(line, SV("-----")))
		buf_addsv(&b, line);
	return arena_strdup(&r->arena, buf_cstr(&b));
}

struct who {
	const char *user;
	const struct sv *groups;
	size_t n_groups;
};
static const struct who token = { "system:bootstrap:abcdef", joining, 3 }, n1 = { "system:node:n1", nodes, 2 };

struct wanted {
	const char *cn, *org, *ip, *dns, *usages, *more;
};

static void request(struct rig *r, const struct who *who, const char *name, const char *signer, const struct wanted *w)
{
	const char *const orgs[] = { w->org, NULL }, *const ips[] = { w->ip, NULL }, *const dns[] = { w->dns, NULL };
	struct cert_opts o = { .common_name = w->cn,
			       .organizations = w->org ? orgs : NULL,
			       .ip_addrs = w->ip ? ips : NULL,
			       .dns_names = w->dns ? dns : NULL };
	struct ask ask = { .method = "POST", .path = LIST };
	struct sv pem, key;
	struct answer *a;

	if (who) {
		ask.user = who->user;
		ask.groups = who->groups;
		ask.n_groups = who->n_groups;
	}
	assert_int_equal(csr_make(&r->arena, &o, SV(""), &pem, &key, NULL), 0);
	ask.body = arena_printf(&r->arena,
				"{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"request\":\"%.*s\",\"signerName\":\"%s\","
				"\"usages\":[%s]%s}}",
				name, SV_ARG(b64_encode(&r->arena, pem)), signer, w->usages, w->more ? w->more : "");
	a = api_ask(r, &ask);
	if (a->code != 201)
		print_error("%s\n", buf_cstr(&a->body));
	assert_int_equal(a->code, 201);
	answer_free(a);
}

static const struct val *read_back(struct cluster *k, const char *name)
{
	cluster_run(k, 2);
	return expect(k->rig, 200, "GET", arena_printf(&k->rig->arena, LIST "/%s", name), NULL);
}

static const struct val *condition_of(const struct val *csr)
{
	return val_at(val_get(csr, F_status, F_conditions), 0);
}

static struct sv certificate(struct cluster *k, const struct val *csr)
{
	struct sv pem = SV("");

	assert_true(b64_decode(&k->rig->arena, val_get_str(csr, F_status, F_certificate), &pem) && pem.n > 0);
	assert_true(cert_is_of(pem, SV(""), apiserver_ca_pem(k->rig->server)));
	return pem;
}

static void approve(struct cluster *k, const char *name)
{
	expect_type(k->rig, 200, "PATCH", arena_printf(&k->rig->arena, LIST "/%s/approval", name), MERGE,
		    "{\"status\":{\"conditions\":[{\"type\":\"Approved\",\"status\":\"True\",\"reason\":\"Test\"}]}}");
}

#define AUTH "\"digital signature\",\"client auth\""
#define SERVE "\"digital signature\",\"server auth\""

static void test_nobody_approves(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	static const struct {
		const struct who *who;
		const char *signer;
		struct wanted w;
	} rows[] = {
		{ &token, CLIENT, { "system:node:x", "system:masters", NULL, NULL, AUTH, NULL } },
		{ &token, CLIENT, { "alice", "system:nodes", NULL, NULL, AUTH, NULL } },
		{ &token, CLIENT, { "system:node:x", "system:nodes", NULL, NULL, SERVE, NULL } },
		{ &token, CLIENT, { "system:node:x", "system:nodes", "10.0.0.1", NULL, AUTH, NULL } },
		{ &token, SERVING, { "system:node:n1", "system:nodes", "10.0.0.1", NULL, SERVE, NULL } },
		{ &token, "kubernetes.io/kube-apiserver-client", { "eve", "devs", NULL, NULL, AUTH, NULL } },
		{ &token, "example.com/x", { "system:node:x", "system:nodes", NULL, NULL, AUTH, NULL } },
		/* nobody in particular may do all, but is no node and none that joins */
		{ NULL, SERVING, { "system:node:n1", "system:nodes", "10.0.0.1", NULL, SERVE, NULL } },
		{ &n1, SERVING, { "system:node:n1", "system:nodes", "10.0.0.2", NULL, SERVE, NULL } },
		{ &n1, SERVING, { "system:node:n1", "system:nodes", NULL, "kubernetes", SERVE, NULL } },
		{ &n1, SERVING, { "system:node:n1", "system:nodes", NULL, "n2", SERVE, NULL } },
	};

	expect_type(r, 200, "PATCH", "/api/v1/nodes/n1/status", MERGE,
		    "{\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.0.0.1\"},{\"type\":"
		    "\"InternalDNS\",\"address\":\"kubernetes\"}]}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		request(r, rows[i].who, arena_printf(&r->arena, "c%zu", i), rows[i].signer, &rows[i].w);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_null(condition_of(read_back(&k, arena_printf(&r->arena, "c%zu", i))));
	cluster_finish(&k);
}

static void test_a_node_joins(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *c;
	int64_t from, to, now = env_now_ns(r->env);

	request(r, &token, "c", CLIENT, &(struct wanted){ "system:node:x", "system:nodes", NULL, NULL, AUTH, NULL });
	c = read_back(&k, "c");
	assert_val(val_get(condition_of(c), F_type), "Approved");
	assert_val(val_get(condition_of(c), F_reason), "AutoApproved");
	assert_val(val_get(condition_of(c), F_message),
		   "Auto approving kubelet client certificate after SubjectAccessReview.");
	assert_int_equal(cert_validity(certificate(&k, c), &from, &to, NULL), 0);
	assert_true(from < now && from > now - 3600 * NS_PER_SEC);
	assert_true(to > now + 364 * 86400 * NS_PER_SEC && to < now + 366 * 86400 * NS_PER_SEC);

	/* and renews, for as long as it says */
	request(r, &n1, "own", CLIENT,
		&(struct wanted){ "system:node:n1", "system:nodes", NULL, NULL, AUTH, ",\"expirationSeconds\":7200" });
	c = read_back(&k, "own");
	assert_val(val_get(condition_of(c), F_message),
		   "Auto approving self kubelet client certificate after SubjectAccessReview.");
	assert_int_equal(cert_validity(certificate(&k, c), &from, &to, NULL), 0);
	assert_true(to > now + 7200 * NS_PER_SEC - NS_PER_SEC && to < now + 7260 * NS_PER_SEC);
	cluster_finish(&k);
}

/* The request comes before the node has said where it is. */
static void test_serving(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *c;

	request(r, &n1, "c", SERVING,
		&(struct wanted){ "system:node:n1", "system:nodes", "10.0.0.1", "n1", SERVE, NULL });
	assert_null(condition_of(read_back(&k, "c")));
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n1/status", MERGE,
		    "{\"status\":{\"addresses\":[{\"type\":\"InternalIP\",\"address\":\"10.0.0.1\"}]}}");
	c = read_back(&k, "c");
	assert_val(val_get(condition_of(c), F_reason), "AutoApproved");
	assert_true(cert_names_it(certificate(&k, c), SV("10.0.0.1")));
	assert_true(cert_names_it(certificate(&k, c), SV("n1")));
	assert_false(cert_names_it(certificate(&k, c), SV("10.0.0.2")));
	cluster_finish(&k);
}

/* Approved is not right. */
static void test_signers_refuse(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *c;

	request(r, NULL, "c", CLIENT, &(struct wanted){ "system:node:x", "system:masters", NULL, NULL, AUTH, NULL });
	approve(&k, "c");
	c = read_back(&k, "c");
	assert_val(val_get(val_at(val_get(c, F_status, F_conditions), 1), F_type), "Failed");
	assert_val(val_get(val_at(val_get(c, F_status, F_conditions), 1), F_reason), "SignerValidationFailure");
	assert_val(val_get(val_at(val_get(c, F_status, F_conditions), 1), F_message),
		   "subject organization is not system:nodes");
	assert_null(val_get(c, F_status, F_certificate));

	/* another's signer, and what was denied */
	request(r, NULL, "other", "example.com/x", &(struct wanted){ "x", NULL, NULL, NULL, AUTH, NULL });
	approve(&k, "other");
	assert_null(val_get(read_back(&k, "other"), F_status, F_certificate));
	request(r, NULL, "denied", "kubernetes.io/kube-apiserver-client",
		&(struct wanted){ "x", NULL, NULL, NULL, AUTH, NULL });
	expect_type(r, 200, "PATCH", LIST "/denied/approval", MERGE,
		    "{\"status\":{\"conditions\":[{\"type\":\"Denied\",\"status\":\"True\"}]}}");
	assert_null(val_get(read_back(&k, "denied"), F_status, F_certificate));

	request(r, NULL, "alice", "kubernetes.io/kube-apiserver-client",
		&(struct wanted){ "alice", "devs", NULL, NULL, AUTH, NULL });
	approve(&k, "alice");
	(void)certificate(&k, read_back(&k, "alice"));
	cluster_finish(&k);
}

/* A right that comes later is seen. */
static void test_asked_again(void **state)
{
	static const struct sv none[] = { { "system:authenticated", 20 } };
	static const struct who late = { "late", none, 1 };
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"late\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"system:node-bootstrapper\"},\"subjects\":[{\"kind\":\"User\",\"name\":"
	       "\"late\",\"apiGroup\":\"rbac.authorization.k8s.io\"}]}");
	request(r, &late, "c", CLIENT, &(struct wanted){ "system:node:x", "system:nodes", NULL, NULL, AUTH, NULL });
	assert_null(condition_of(read_back(&k, "c")));
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"late2\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\",\"name\":\"system:certificates.k8s.io:certificatesigningrequests:nodeclient\"},"
	       "\"subjects\":[{\"kind\":\"User\",\"name\":\"late\",\"apiGroup\":\"rbac.authorization.k8s.io\"}]}");
	cluster_run(&k, 61);
	assert_val(val_get(condition_of(read_back(&k, "c")), F_type), "Approved");
	cluster_finish(&k);
}

static void test_cleaned(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct wanted w = { "x", NULL, NULL, NULL, AUTH, NULL },
			    brief = { "x", NULL, NULL, NULL, AUTH, ",\"expirationSeconds\":600" };

	request(r, NULL, "pending", "example.com/x", &w);
	request(r, NULL, "approved", "example.com/x", &w);
	approve(&k, "approved");
	request(r, NULL, "brief", "kubernetes.io/kube-apiserver-client", &brief);
	approve(&k, "brief");
	request(r, NULL, "denied", "example.com/x", &w);
	expect_type(r, 200, "PATCH", LIST "/denied/approval", MERGE,
		    "{\"status\":{\"conditions\":[{\"type\":\"Denied\",\"status\":\"True\"}]}}");
	(void)certificate(&k, read_back(&k, "brief"));
	rig_run(r, 590 * NS_PER_SEC);
	expect(r, 200, "GET", LIST "/brief", NULL);
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", LIST "/brief", NULL); /* with its certificate */
	rig_run(r, (HOUR_S - 630) * NS_PER_SEC);
	expect(r, 200, "GET", LIST "/approved", NULL);
	expect(r, 200, "GET", LIST "/denied", NULL);
	rig_run(r, 40 * NS_PER_SEC);
	expect(r, 404, "GET", LIST "/approved", NULL);
	expect(r, 404, "GET", LIST "/denied", NULL);
	rig_run(r, (INT64_C(23) * HOUR_S - 100) * NS_PER_SEC);
	expect(r, 200, "GET", LIST "/pending", NULL);
	rig_run(r, 200 * NS_PER_SEC);
	expect(r, 404, "GET", LIST "/pending", NULL);
	cluster_finish(&k);
}

/* --- cluster-info: which tokens sign it --- */

#define SECRETS "/api/v1/namespaces/kube-system/secrets"
#define INFO "/api/v1/namespaces/kube-public/configmaps/cluster-info"
#define TOKEN(id, more)                                                                                   \
	"{\"metadata\":{\"name\":\"bootstrap-token-" id "\"},\"type\":\"bootstrap.kubernetes.io/token\"," \
	"\"stringData\":{\"token-id\":\"" id "\",\"token-secret\":\"0123456789abcdef\"" more "}}"
#define SIGNS ",\"usage-bootstrap-signing\":\"true\""

static struct sv signature(struct cluster *k, const char *id)
{
	const struct val *data;

	cluster_run(k, 1);
	data = val_get(expect(k->rig, 200, "GET", INFO, NULL), F_data);
	assert_val(val_member_sv(data, SV("kubeconfig")), "content");
	return val_str(val_member_sv(data, sv_from(arena_printf(&k->rig->arena, "jws-kubeconfig-%s", id))));
}

#define BUNDLES "/apis/certificates.k8s.io/v1/clustertrustbundles"

/* What the API server is known by is there under its hash, again when it is taken away, and alone. */
static void test_trust_bundle(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct val *list, *one;
	const char *path;

	cluster_run(&k, 2);
	list = val_get(expect(r, 200, "GET", BUNDLES, NULL), F_items);
	assert_int_equal(val_len(list), 1);
	one = val_at(list, 0);
	assert_true(sv_starts(val_get_str(one, F_metadata, F_name), SV("kubernetes.io:kube-apiserver-serving:")));
	assert_int_equal(val_get_str(one, F_metadata, F_name).n, 37 + 12);
	assert_val(val_get(one, F_spec, F_signerName), "kubernetes.io/kube-apiserver-serving");
	assert_true(sv_eq(val_get_str(one, F_spec, F_trustBundle), apiserver_ca_pem(r->server)));
	path = arena_printf(&r->arena, BUNDLES "/%.*s", SV_ARG(val_get_str(one, F_metadata, F_name)));
	expect(r, 200, "DELETE", path, NULL);
	expect(r, 201, "POST", BUNDLES,
	       arena_printf(
		   &r->arena,
		   "{\"metadata\":{\"name\":\"kubernetes.io:kube-apiserver-serving:old\"},\"spec\":{\"signerName\":"
		   "\"kubernetes.io/kube-apiserver-serving\",\"trustBundle\":%s}}",
		   arena_cstr(&r->arena, json_text(r, val_get(one, F_spec, F_trustBundle)))));
	cluster_run(&k, 2);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", BUNDLES, NULL), F_items)), 1);
	expect(r, 200, "GET", path, NULL);
	cluster_finish(&k);
}

/* A quarter of an hour is enough for whoever asked. */
static void test_pod_certificates_cleaned(void **state)
{
	static const char in[] = "/apis/certificates.k8s.io/v1/namespaces/default/podcertificaterequests";
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;
	const struct cert_opts o = { .common_name = "x" };
	struct sv pem, key, der;

	assert_int_equal(csr_make(&r->arena, &o, SV(""), &pem, &key, NULL), 0);
	der = sv_sub(pem, 0, pem.n);
	(void)sv_split(&der, '\n', &key);
	expect(
	    r, 201, "POST", in,
	    arena_printf(&r->arena,
			 "{\"metadata\":{\"name\":\"r\"},\"spec\":{\"signerName\":\"a.b/c\",\"podName\":\"p\","
			 "\"podUID\":\"u\",\"serviceAccountName\":\"s\",\"serviceAccountUID\":\"u\",\"nodeName\":\"a\","
			 "\"nodeUID\":\"u\",\"stubPKCS10Request\":\"%s\"}}",
			 base64_of(r, der)));
	rig_run(r, 890 * NS_PER_SEC);
	expect(r, 200, "GET", arena_printf(&r->arena, "%s/r", in), NULL);
	rig_run(r, 15 * NS_PER_SEC);
	expect(r, 404, "GET", arena_printf(&r->arena, "%s/r", in), NULL);
	cluster_finish(&k);
}

static void test_cluster_info(void **state)
{
	struct cluster k = cluster_start(state);
	struct rig *r = k.rig;

	expect(r, 201, "POST", SECRETS, TOKEN("nosign", ""));
	expect(r, 201, "POST", SECRETS, TOKEN("signno", ",\"usage-bootstrap-signing\":\"false\""));
	expect(r, 201, "POST", SECRETS, TOKEN("ended0", SIGNS ",\"expiration\":\"2020-01-01T00:00:00Z\""));
	expect(r, 201, "POST", SECRETS, TOKEN("ending", SIGNS ",\"expiration\":\"2026-01-01T00:05:00Z\""));
	expect(r, 201, "POST", SECRETS, TOKEN("signs0", SIGNS));
	cluster_run(&k, 1);
	expect(r, 201, "POST", "/api/v1/namespaces/kube-public/configmaps",
	       "{\"metadata\":{\"name\":\"cluster-info\"},\"data\":{\"kubeconfig\":\"content\",\"other\":\"x\","
	       "\"jws-kubeconfig-forged\":\"x..y\"}}");
	assert_sv(signature(&k, "nosign"), "");
	assert_sv(signature(&k, "signno"), "");
	assert_sv(signature(&k, "ended0"), "");
	assert_sv(signature(&k, "forged"), "");
	assert_true(sv_starts(signature(&k, "signs0"), SV("eyJhbGciOiJIUzI1NiIsImtpZCI6InNpZ25zMCJ9..")));
	assert_true(signature(&k, "ending").n > 0);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", INFO, NULL), F_data), SV("other")), "x");
	/* ends with its token, comes and goes with it */
	rig_run(r, 300 * NS_PER_SEC);
	assert_sv(signature(&k, "ending"), "");
	expect(r, 200, "DELETE", SECRETS "/bootstrap-token-signs0", NULL);
	assert_sv(signature(&k, "signs0"), "");
	cluster_finish(&k);
}

int main(void)
{
#define WITH_KEYS(fn) cmocka_unit_test_setup_teardown(fn, rig_setup_with_keys, rig_teardown)
	const struct CMUnitTest tests[] = {
		WITH_KEYS(test_nobody_approves), WITH_KEYS(test_a_node_joins),
		WITH_KEYS(test_serving),	 WITH_KEYS(test_signers_refuse),
		WITH_KEYS(test_asked_again),	 WITH_KEYS(test_cleaned),
		WITH_KEYS(test_trust_bundle),	 WITH_KEYS(test_pod_certificates_cleaned),
		WITH_KEYS(test_cluster_info),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
