/* The plugins of admission that are off unless they are asked for, and some that are on: what each refuses, and what it
 * makes of an object. */
#include "harness.h"

#include "apiserver/admission/setup.h"
#include "apiserver/apiserver-internal.h"

#define CORE "/api/v1/namespaces/default/"
#define C "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]"
#define MERGE "application/merge-patch+json"
#define STRATEGIC "application/strategic-merge-patch+json"
#define POD(name, more) "{\"metadata\":{\"name\":\"" name "\"},\"spec\":{" more C "}}"

static void plugins_on(struct rig *r, const char *name)
{
	const struct apiserver_opts o = { .enable_admission = (const char *const[]){ name, NULL } };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct admission_set *s = admission_set_new(&o, &err);

	assert_non_null(s);
	r->server->admission->on = s->on;
	admission_set_free(s);
}

static int setup(void **state)
{
	int rc = rig_setup(state);

	expect(*state, 201, "POST", CORE "serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	return rc;
}

/* Who asks for what; has: in the answer. */
static void try(struct rig *r, const char *user, const char *method, const char *path, const char *type,
		const char *body, int code, const char *has)
{
	struct answer *a = api(r, method, path, .body = body, .type = type, .user = user);

	if (a->code != code || (has && !strstr(buf_cstr(&a->body), has)))
		fail_msg("%s %s %s: %d %s; want %d %s", method, path, body ? body : "", a->code, buf_cstr(&a->body),
			 code, has ? has : "");
	answer_free(a);
}

static void test_pull_images(void **state)
{
	struct rig *r = *state;

	plugins_on(r, "AlwaysPullImages");
	try(r, NULL, "POST", CORE "pods", NULL,
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
	    "\"imagePullPolicy\":\"Never\"}],\"volumes\":[{\"name\":\"v\",\"image\":{\"reference\":\"i\","
	    "\"pullPolicy\":"
	    "\"Never\"}}]}}",
	    201, "\"imagePullPolicy\":\"Always\"");
	try(r, NULL, "GET", CORE "pods/p", NULL, NULL, 200, "\"pullPolicy\":\"Always\"");
	/* Of a pod from before only what has a new image. */
	plugins_on(r, "AlwaysAdmit");
	try(r, NULL, "POST", CORE "pods", NULL,
	    "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
	    "\"imagePullPolicy\":\"Never\"}]}}",
	    201, "\"imagePullPolicy\":\"Never\"");
	plugins_on(r, "AlwaysPullImages");
	try(r, NULL, "PATCH", CORE "pods/q", MERGE, "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}", 200,
	    "\"imagePullPolicy\":\"Never\"");
}

static void test_external_ips(void **state)
{
	struct rig *r = *state;

	try(r, NULL, "POST", CORE "services", NULL,
	    "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ports\":[{\"port\":80}],\"externalIPs\":[\"1.2.3.4\",\"1.2.3."
	    "5\"]}}",
	    201, NULL);
	plugins_on(r, "DenyServiceExternalIPs");
	try(r, NULL, "PATCH", CORE "services/s", MERGE, "{\"spec\":{\"externalIPs\":[\"1.2.3.4\",\"1.2.3.6\"]}}", 403,
	    "services \\\"s\\\" is forbidden: Use of external IPs is denied by admission control");
	try(r, NULL, "PATCH", CORE "services/s", MERGE, "{\"spec\":{\"externalIPs\":[\"1.2.3.5\"]}}", 200, NULL);
	try(r, NULL, "POST", CORE "services", NULL,
	    "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"ports\":[{\"port\":80}],\"externalIPs\":[\"1.2.3.4\"]}}", 403,
	    "Use of external IPs");
}

static void test_anti_affinity(void **state)
{
	struct rig *r = *state;

	plugins_on(r, "LimitPodHardAntiAffinityTopology");
#define ANTI(key)                                                                                           \
	POD("p", "\"affinity\":{\"podAntiAffinity\":{\"requiredDuringSchedulingIgnoredDuringExecution\":[{" \
		 "\"labelSelector\":{},\"topologyKey\":\"" key "\"}]}},")
	try(r, NULL, "POST", CORE "pods", NULL, ANTI("zone"), 403,
	    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key "
	    "kubernetes.io/hostname is "
	    "allowed");
	try(r, NULL, "POST", CORE "pods", NULL, ANTI("kubernetes.io/hostname"), 201, NULL);
}

static void test_extended(void **state)
{
	struct rig *r = *state;

	plugins_on(r, "ExtendedResourceToleration");
	try(r, NULL, "POST", CORE "pods", NULL,
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{"
	    "\"limits\":{\"cpu\":\"1\",\"example.com/gpu\":\"1\",\"a.com/b\":\"2\"}}}]}}",
	    201,
	    "{\"key\":\"a.com/b\",\"operator\":\"Exists\",\"effect\":\"NoSchedule\"},{\"key\":\"example.com/gpu\","
	    "\"operator\":\"Exists\",\"effect\":\"NoSchedule\"}");
	try(r, NULL, "POST", CORE "pods", NULL, POD("q", ""), 201, NULL);
}

static void test_exists(void **state)
{
	struct rig *r = *state;

	plugins_on(r, "NamespaceExists");
	try(r, NULL, "POST", "/api/v1/namespaces/none/configmaps", NULL, "{\"metadata\":{\"name\":\"c\"}}", 404,
	    "namespaces \\\"none\\\" not found");
	try(r, NULL, "POST", CORE "configmaps", NULL, "{\"metadata\":{\"name\":\"c\"}}", 201, NULL);
	plugins_on(r, "AlwaysDeny");
	try(r, NULL, "POST", CORE "configmaps", NULL, "{\"metadata\":{\"name\":\"d\"}}", 403,
	    "configmaps \\\"d\\\" is forbidden: admission control is denying all modifications");
	try(r, NULL, "DELETE", CORE "configmaps/c", NULL, NULL, 403, "is denying all modifications");
	try(r, NULL, "GET", CORE "configmaps/c", NULL, NULL, 200, NULL);
}

#define OWNED(name, blocks)                                                                                        \
	"{\"metadata\":{\"name\":\"" name "\",\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\"," \
	"\"name\":\"o\",\"uid\":\"u\",\"blockOwnerDeletion\":" blocks "}]}}"
#define ROLE(verbs, on) "{\"apiGroups\":[\"\"],\"resources\":[\"" on "\"],\"verbs\":[" verbs "]}"

static void test_owners(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
	       "{\"metadata\":{\"name\":\"writer\"},\"rules\":[" ROLE("\"create\",\"update\",\"patch\",\"get\"",
								      "configmaps") "]}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
	       "{\"metadata\":{\"name\":\"writer\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"Role\",\"name\":\"writer\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"w\"}]}");
	plugins_on(r, "OwnerReferencesPermissionEnforcement");
	try(r, "w", "POST", CORE "configmaps", NULL, OWNED("c", "true"), 403,
	    "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: ");
	try(r, "w", "POST", CORE "configmaps", NULL,
	    "{\"metadata\":{\"name\":\"c\",\"ownerReferences\":[{\"apiVersion\":\"x.io/"
	    "v1\",\"kind\":\"X\",\"name\":\"o\","
	    "\"uid\":\"u\",\"blockOwnerDeletion\":true}]}}",
	    403,
	    "cannot find RESTMapping for APIVersion x.io/v1 Kind X: no matches for kind \\\"X\\\" in version "
	    "\\\"x.io/v1\\\"");
	try(r, "w", "POST", CORE "configmaps", NULL, OWNED("c", "false"), 201, NULL);
	try(r, "w", "PATCH", CORE "configmaps/c", MERGE, "{\"metadata\":{\"ownerReferences\":null}}", 403,
	    "cannot set an ownerRef on a resource you can't delete: ");
	try(r, "w", "PATCH", CORE "configmaps/c", MERGE, "{\"data\":{\"a\":\"b\"}}", 200, NULL);
	try(r, NULL, "POST", CORE "configmaps", NULL, OWNED("d", "true"), 201, NULL);
	try(r, NULL, "PATCH", CORE "configmaps/c", MERGE, "{\"metadata\":{\"ownerReferences\":null}}", 200, NULL);
}

#define CLAIM(name, class)                                                                                     \
	"{\"metadata\":{\"name\":\"" name                                                                      \
	"\"},\"spec\":{\"storageClassName\":\"" class "\",\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{" \
						      "\"requests\":{\"storage\":\"1Gi\"}}}}"
#define GROW "{\"spec\":{\"resources\":{\"requests\":{\"storage\":\"2Gi\"}}}}"

static void test_resize(void **state)
{
	static const char bound[] = "{\"status\":{\"phase\":\"Bound\",\"capacity\":{\"storage\":\"1Gi\"}}}";
	struct rig *r = *state;

	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/storageclasses",
	       "{\"metadata\":{\"name\":\"grows\"},\"provisioner\":\"x\",\"allowVolumeExpansion\":true}");
	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/storageclasses",
	       "{\"metadata\":{\"name\":\"fixed\"},\"provisioner\":\"x\"}");
	expect(r, 201, "POST", CORE "persistentvolumeclaims", CLAIM("a", "grows"));
	expect(r, 201, "POST", CORE "persistentvolumeclaims", CLAIM("b", "fixed"));
	try(r, NULL, "PATCH", CORE "persistentvolumeclaims/b", MERGE, "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}", 200,
	    NULL);
	expect_type(r, 200, "PATCH", CORE "persistentvolumeclaims/a/status", MERGE, bound);
	expect_type(r, 200, "PATCH", CORE "persistentvolumeclaims/b/status", MERGE, bound);
	try(r, NULL, "PATCH", CORE "persistentvolumeclaims/b", MERGE, GROW, 403,
	    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support "
	    "resize");
	try(r, NULL, "PATCH", CORE "persistentvolumeclaims/a", MERGE, GROW, 200, "2Gi");
}

static void test_topology(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/nodes",
	       "{\"metadata\":{\"name\":\"n\",\"labels\":{\"topology.kubernetes.io/zone\":\"z\","
	       "\"topology.kubernetes.io/region\":\"r\",\"other\":\"o\"}}}");
	expect(r, 201, "POST", CORE "pods",
	       "{\"metadata\":{\"name\":\"p\",\"labels\":{\"topology.kubernetes.io/region\":\"own\"}},\"spec\":{" C
	       "}}");
	expect(
	    r, 201, "POST", CORE "pods/p/binding",
	    "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\","
	    "\"name\":\"n\"}}");
	try(r, NULL, "GET", CORE "pods/p", NULL, NULL, 200,
	    "\"labels\":{\"topology.kubernetes.io/region\":\"own\",\"topology.kubernetes.io/zone\":\"z\"}");
	try(r, NULL, "POST", CORE "pods", NULL, POD("q", "\"nodeName\":\"n\","), 201,
	    "\"labels\":{\"topology.kubernetes.io/zone\":\"z\",\"topology.kubernetes.io/region\":\"r\"}");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pull_images), TEST(test_external_ips), TEST(test_anti_affinity), TEST(test_extended),
		TEST(test_exists),	TEST(test_owners),	 TEST(test_resize),	   TEST(test_topology),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
