/* What of a running cluster is taken along, and as what. */
#include "unit.h"

#include "cli/import_rules.h"
#include "codec/json.h"

static struct val *doc(struct arena *a, const char *json)
{
	struct val *v = json_decode(a, sv_from(json), NULL, NULL);

	assert_non_null(v);
	return v;
}

static void test_rank(_unused_ void **state)
{
	assert_int_equal(import_rank(SV(""), SV("namespaces")), 0);
	assert_true(import_rank(SV(""), SV("secrets")) < import_rank(SV(""), SV("pods")));
	assert_int_equal(import_rank(SV("apps"), SV("deployments")), import_rank(SV("apps"), SV("statefulsets")));
	assert_int_equal(import_rank(SV("apps"), SV("controllerrevisions")), -1);
	assert_int_equal(import_rank(SV(""), SV("events")), -1);
	assert_int_equal(import_rank(SV("metrics.k8s.io"), SV("pods")), -1);
	assert_int_equal(import_rank(SV("discovery.k8s.io"), SV("others")), -1);
	/* People's endpoints, when it is known which Services find theirs. */
	assert_true(import_rank(SV("discovery.k8s.io"), SV("endpointslices")) > import_rank(SV(""), SV("services")));
	assert_true(import_rank(SV(""), SV("endpoints")) > import_rank(SV(""), SV("services")));
	/* Definitions before what they define, judges behind it. */
	assert_true(import_rank(SV("apiextensions.k8s.io"), SV("customresourcedefinitions")) <
		    import_rank(SV("example.com"), SV("crates")));
	assert_true(import_rank(SV("example.com"), SV("crates")) <
		    import_rank(SV("admissionregistration.k8s.io"), SV("validatingwebhookconfigurations")));
}

static void test_left_out(_unused_ void **state)
{
	static const struct {
		const char *group, *plural, *json;
		bool left;
	} cases[] = {
		{ "", "configmaps", "{\"metadata\":{\"name\":\"a\"}}", false },
		{ "", "configmaps", "{\"metadata\":{\"name\":\"kube-root-ca.crt\"}}", true },
		{ "", "configmaps", "{\"metadata\":{\"name\":\"a\",\"deletionTimestamp\":\"x\"}}", true },
		{ "", "namespaces", "{\"metadata\":{\"name\":\"kube-system\"}}", true },
		{ "", "namespaces", "{\"metadata\":{\"name\":\"shop\"}}", false },
		{ "", "services", "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\"}}", true },
		{ "", "services", "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"a\"}}", false },
		{ "", "endpoints", "{\"metadata\":{\"name\":\"extdb\",\"namespace\":\"a\"}}", false },
		{ "", "endpoints", "{\"metadata\":{\"name\":\"kubernetes\",\"namespace\":\"default\"}}", true },
		{ "", "endpoints",
		  "{\"metadata\":{\"labels\":{\"endpoints.kubernetes.io/managed-by\":\"endpoint-controller\"}}}",
		  true },
		{ "", "endpoints",
		  "{\"metadata\":{\"annotations\":{\"control-plane.alpha.kubernetes.io/leader\":\"{}\"}}}", true },
		{ "discovery.k8s.io", "endpointslices", "{\"metadata\":{\"name\":\"extdb-1\"}}", false },
		{ "discovery.k8s.io", "endpointslices",
		  "{\"metadata\":{\"labels\":{\"endpointslice.kubernetes.io/managed-by\":\"staff\"}}}", false },
		{ "discovery.k8s.io", "endpointslices",
		  "{\"metadata\":{\"labels\":{\"endpointslice.kubernetes.io/managed-by\":"
		  "\"endpointslice-controller.k8s.io\"}}}",
		  true },
		{ "discovery.k8s.io", "endpointslices",
		  "{\"metadata\":{\"labels\":{\"endpointslice.kubernetes.io/managed-by\":"
		  "\"endpointslicemirroring-controller.k8s.io\"}}}",
		  true },
		{ "", "pods", "{\"metadata\":{\"ownerReferences\":[{\"controller\":true}]}}", true },
		{ "", "pods", "{\"metadata\":{\"ownerReferences\":[{\"controller\":false}]}}", false },
		{ "", "pods", "{\"metadata\":{},\"status\":{\"phase\":\"Failed\"}}", true },
		{ "", "pods", "{\"metadata\":{\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}}}", true },
		{ "", "secrets", "{\"metadata\":{},\"type\":\"bootstrap.kubernetes.io/token\"}", true },
		{ "batch", "jobs",
		  "{\"metadata\":{},\"status\":{\"conditions\":[{\"type\":\"Complete\",\"status\":\"True\"}]}}", true },
		{ "batch", "jobs",
		  "{\"metadata\":{},\"status\":{\"conditions\":[{\"type\":\"Complete\",\"status\":\"False\"}]}}",
		  false },
		{ "apiregistration.k8s.io", "apiservices", "{\"metadata\":{},\"spec\":{}}", true },
		{ "apiregistration.k8s.io", "apiservices", "{\"metadata\":{},\"spec\":{\"service\":{\"name\":\"x\"}}}",
		  false },
		{ "rbac.authorization.k8s.io", "clusterroles",
		  "{\"metadata\":{\"labels\":{\"kubernetes.io/bootstrapping\":\"rbac-defaults\"}}}", true },
		{ "certificates.k8s.io", "clustertrustbundles",
		  "{\"metadata\":{},\"spec\":{\"signerName\":\"kubernetes.io/x\"}}", true },
		/* What is nothing of the kind. */
		{ "", "pods", "{}", false },
		{ "", "pods", "{\"metadata\":7,\"status\":[]}", false },
		{ "", "services", "[]", false },
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *why =
		    import_left_out(sv_from(cases[i].group), sv_from(cases[i].plural), doc(&a, cases[i].json));

		if (!why != !cases[i].left)
			fail_msg("%s: %s", cases[i].json, why ? why : "taken");
	}
}

static void test_selects(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *with = doc(&a, "{\"spec\":{\"selector\":{\"app\":\"web\"}}}");

	assert_true(import_selects(SV(""), SV("services"), with));
	assert_false(import_selects(SV("example.com"), SV("services"), with));
	assert_false(import_selects(SV(""), SV("services"), doc(&a, "{\"spec\":{\"selector\":{}}}")));
	assert_false(import_selects(SV(""), SV("services"), doc(&a, "{\"spec\":{}}")));
	assert_false(import_selects(SV(""), SV("services"), doc(&a, "[]")));
}

static void prepared(const char *group, const char *plural, const char *json, const char *wanted)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct val *v = doc(&a, json);

	import_prepare(&a, sv_from(group), sv_from(plural), v);
	json_encode(&b, v);
	assert_string_equal(buf_cstr(&b), wanted);
}

static void test_prepare(_unused_ void **state)
{
	prepared("", "configmaps",
		 "{\"metadata\":{\"name\":\"a\",\"uid\":\"u\",\"resourceVersion\":\"1\",\"managedFields\":[],"
		 "\"creationTimestamp\":\"t\",\"generation\":1,\"ownerReferences\":[]},\"status\":{}}",
		 "{\"metadata\":{\"name\":\"a\"}}");
	prepared("", "pods", "{\"metadata\":{},\"spec\":{\"nodeName\":\"n\",\"x\":1}}",
		 "{\"metadata\":{},\"spec\":{\"x\":1}}");
	prepared("apps", "pods", "{\"metadata\":{},\"spec\":{\"nodeName\":\"n\"}}",
		 "{\"metadata\":{},\"spec\":{\"nodeName\":\"n\"}}");
	prepared("", "persistentvolumes",
		 "{\"metadata\":{\"annotations\":{\"pv.kubernetes.io/bound-by-controller\":\"yes\",\"a\":\"b\"}},"
		 "\"spec\":{\"claimRef\":{\"name\":\"c\",\"uid\":\"u\",\"resourceVersion\":\"1\"}}}",
		 "{\"metadata\":{\"annotations\":{\"a\":\"b\"}},\"spec\":{\"claimRef\":{\"name\":\"c\"}}}");
	prepared(
	    "", "secrets",
	    "{\"metadata\":{\"annotations\":{\"kubernetes.io/service-account.uid\":\"u\"}},\"data\":{\"token\":\"x\"},"
	    "\"type\":\"kubernetes.io/service-account-token\"}",
	    "{\"metadata\":{\"annotations\":{}},\"type\":\"kubernetes.io/service-account-token\"}");
	prepared("", "secrets", "{\"metadata\":{},\"data\":{\"a\":\"b\"},\"type\":\"Opaque\"}",
		 "{\"metadata\":{},\"data\":{\"a\":\"b\"},\"type\":\"Opaque\"}");
	prepared("batch", "jobs",
		 "{\"metadata\":{\"labels\":{\"job-name\":\"j\",\"a\":\"b\"}},\"spec\":{\"selector\":{},\"template\":{"
		 "\"metadata\":{\"labels\":{\"batch.kubernetes.io/controller-uid\":\"u\"}}}}}",
		 "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"template\":{\"metadata\":{\"labels\":{}}}}}");
	prepared("batch", "jobs", "{\"metadata\":{},\"spec\":{\"manualSelector\":true,\"selector\":{\"a\":1}}}",
		 "{\"metadata\":{},\"spec\":{\"manualSelector\":true,\"selector\":{\"a\":1}}}");
	prepared("storage.k8s.io", "storageclasses", "{\"metadata\":{},\"provisioner\":\"rancher.io/local-path\"}",
		 "{\"metadata\":{},\"provisioner\":\"caravel.io/local-path\"}");
	prepared("storage.k8s.io", "storageclasses", "{\"metadata\":{},\"provisioner\":\"a.b/c\"}",
		 "{\"metadata\":{},\"provisioner\":\"a.b/c\"}");
	prepared("", "pods", "{\"metadata\":[],\"spec\":7}", "{\"metadata\":[],\"spec\":7}");
}

static bool stored(struct sv key, struct sv value, const char *want)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv was = value;
	bool changed = import_stored_class(&a, key, &value);

	assert_true(sv_is(value, want));
	assert_int_equal(changed, value.p != was.p);
	return changed;
}

static void test_stored_class(_unused_ void **state)
{
	const struct sv key = SV("/registry/storageclasses/local-path");

	/* Of a protobuf the length before it still is its own. */
	assert_true(stored(key, SV("k8s\x12\x15rancher.io/local-path\x1a"),
			   "k8s\x12\x15"
			   "caravel.io/local-path\x1a"));
	assert_true(stored(key, SV("rancher.io/local-path rancher.io/local-path"),
			   "caravel.io/local-path caravel.io/local-path"));
	assert_false(stored(key, SV("rancher.io/local-pat"), "rancher.io/local-pat"));
	assert_false(stored(key, SV(""), ""));
	assert_false(stored(SV("/registry/configmaps/a/b"), SV("rancher.io/local-path"), "rancher.io/local-path"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rank),	cmocka_unit_test(test_left_out),     cmocka_unit_test(test_selects),
		cmocka_unit_test(test_prepare), cmocka_unit_test(test_stored_class),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
