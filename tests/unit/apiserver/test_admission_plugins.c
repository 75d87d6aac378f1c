/* The plugins of admission that are off unless they are asked for, and some that are on: what each refuses, and what it
 * makes of an object. */
#include "harness.h"

#include "apiserver/admission/event_rate.h"
#include "apiserver/admission/setup.h"
#include "apiserver/apiserver-internal.h"
#include "codec/yaml.h"
#include "object/feature.h"
#include "object/served.h"

#include <stdio.h>

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

/* Its configuration, as in a file. */
static void plugin_configure(struct rig *r, const char *name, const char *text)
{
	struct admission_set *s = r->server->admission;
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *doc = yaml_decode(&s->arena, sv_from(text), &err);

	if (!doc || admission_set_configure(s, sv_from(name), doc, ".", &err) < 0)
		fail_msg("%s: %s", name, err_msg(&err));
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

#define RESIZE(cpu)                                                                              \
	"{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{\"cpu\":\"" cpu \
	"\"},\"limits\":{\"cpu\":\"4\"}}}]}}"

/* What a pod asks for in place is no more than its node has. */
static void test_pod_resize(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}");
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n/status", MERGE,
		    "{\"status\":{\"allocatable\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}}");
	expect(r, 201, "POST", CORE "pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n\",\"containers\":[{\"name\":\"c\",\"image\":"
	       "\"i\","
	       "\"resources\":{\"requests\":{\"cpu\":\"100m\"},\"limits\":{\"cpu\":\"4\"}}}]}}");
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, RESIZE("2"), 403,
	    "pods \\\"p\\\" is forbidden: node didn't have enough allocatable resources: cpu, requested: 2000, "
	    "allocatable: 1000");
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, RESIZE("2"), 403, "\"reason\":\"NodeCapacity\"");
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, RESIZE("1"), 200, NULL);
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n", MERGE,
		    "{\"metadata\":{\"labels\":{\"kubernetes.io/os\":\"windows\"}}}");
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, RESIZE("200m"), 403,
	    "pod resize is only supported on linux nodes, node \\\"n\\\" is \\\"windows\\\"");
	expect(r, 200, "DELETE", "/api/v1/nodes/n", NULL);
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, RESIZE("200m"), 403, "node \\\"n\\\" not found");
}

#define POD_RESIZE(cpu) "{\"spec\":{\"resources\":{\"requests\":{\"cpu\":\"" cpu "\"}}}}"

/* What needs something of the node is not for one that does not declare it. */
static void test_node_features(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}");
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n/status", MERGE,
		    "{\"status\":{\"allocatable\":{\"cpu\":\"8\",\"memory\":\"1Gi\"}}}");
	expect(
	    r, 201, "POST", CORE "pods",
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"nodeName\":\"n\",\"resources\":{\"requests\":{\"cpu\":\"1\"}},"
	    "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, POD_RESIZE("2"), 403,
	    "pods \\\"p\\\" is forbidden: pod update requires features InPlacePodLevelResourcesVerticalScaling which "
	    "are "
	    "not available on node \\\"n\\\"");
	/* Other changes, and none at all, need nothing. */
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, POD_RESIZE("1000m"), 200, NULL);
	expect_type(r, 200, "PATCH", CORE "pods/p", MERGE, "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	expect_type(r, 200, "PATCH", "/api/v1/nodes/n/status", MERGE,
		    "{\"status\":{\"declaredFeatures\":[\"InPlacePodLevelResourcesVerticalScaling\"]}}");
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, POD_RESIZE("2"), 200, NULL);
	expect(r, 200, "DELETE", "/api/v1/nodes/n", NULL);
	try(r, NULL, "PATCH", CORE "pods/p/resize", STRATEGIC, POD_RESIZE("3"), 403, "node \\\"n\\\" not found");
}

/* Upstream's, and where ours are between them. */
static void test_order(void **state)
{
	static const char *const upstream[] = { "AlwaysAdmit",
						"NamespaceAutoProvision",
						"NamespaceLifecycle",
						"NamespaceExists",
						"LimitPodHardAntiAffinityTopology",
						"LimitRanger",
						"ServiceAccount",
						"NodeRestriction",
						"TaintNodesByCondition",
						"AlwaysPullImages",
						"ImagePolicyWebhook",
						"PodSecurity",
						"PodNodeSelector",
						"Priority",
						"DefaultTolerationSeconds",
						"PodTolerationRestriction",
						"EventRateLimit",
						"ExtendedResourceToleration",
						"DefaultStorageClass",
						"StorageObjectInUseProtection",
						"PodGroupProtection",
						"OwnerReferencesPermissionEnforcement",
						"PersistentVolumeClaimResize",
						"RuntimeClass",
						"CertificateApproval",
						"CertificateSigning",
						"ClusterTrustBundleAttest",
						"CertificateSubjectRestriction",
						"DefaultIngressClass",
						"DenyServiceExternalIPs",
						"PodTopologyLabels",
						"PodGroupWorkloadExists",
						"NodeDeclaredFeatureValidator",
						"JobValidation",
						"PodResizeValidator",
						"MutatingAdmissionPolicy",
						"MutatingAdmissionWebhook",
						"ValidatingAdmissionPolicy",
						"ValidatingAdmissionWebhook",
						"ResourceQuota",
						"AlwaysDeny",
						NULL };
	_cleanup_(err_release) struct err err = ERR_INIT;
	size_t at = 0;

	(void)state;
	for (size_t i = 0; upstream[i]; i++) {
		bool nothing = !strcmp(upstream[i], "AlwaysAdmit") || !strcmp(upstream[i], "JobValidation");
		const char *const one[] = { upstream[i], NULL };

		assert_int_equal(apiserver_check_admission(one, NULL, &err), 0);
		assert_int_equal(apiserver_check_admission(NULL, one, &err), 0);
		while (!nothing && admission_chain[at] && strcmp(admission_chain[at]->name, upstream[i])) {
			const char *const ours[] = { admission_chain[at++]->name, NULL };

			assert_int_equal(apiserver_check_admission(ours, NULL, &err), -1); /* no name of theirs */
			err_release(&err);
		}
		assert_true(nothing || admission_chain[at]);
		at += !nothing;
	}
	assert_null(admission_chain[at]);
}

static void test_provision(void **state)
{
	struct rig *r = *state;

	try(r, NULL, "POST", "/api/v1/namespaces/new/configmaps", NULL, "{\"metadata\":{\"name\":\"c\"}}", 404,
	    "namespaces \\\"new\\\" not found");
	plugins_on(r, "NamespaceAutoProvision");
	/* Nobody makes one by asking what would be. */
	try(r, NULL, "POST", "/api/v1/namespaces/new/configmaps?dryRun=All", NULL, "{\"metadata\":{\"name\":\"c\"}}",
	    404, "namespaces \\\"new\\\" not found");
	try(r, "nobody", "POST", "/api/v1/namespaces/new/configmaps", NULL, "{\"metadata\":{\"name\":\"c\"}}", 403,
	    NULL);
	expect(r, 404, "GET", "/api/v1/namespaces/new", NULL);
	try(r, NULL, "POST", "/api/v1/namespaces/new/configmaps", NULL, "{\"metadata\":{\"name\":\"c\"}}", 201, NULL);
	assert_val(val_get(expect(r, 200, "GET", "/api/v1/namespaces/new", NULL), F_status, F_phase), "Active");
	try(r, NULL, "POST", "/api/v1/namespaces/new/configmaps", NULL, "{\"metadata\":{\"name\":\"d\"}}", 201, NULL);
	/* What is no name of a namespace is refused as that. */
	try(r, NULL, "POST", "/api/v1/namespaces/No_/configmaps", NULL, "{\"metadata\":{\"name\":\"c\"}}", 403,
	    "configmaps \\\"c\\\" is forbidden: Namespace \\\"No_\\\" is invalid");
	/* One that goes is not made anew. */
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/new", MERGE, "{\"metadata\":{\"finalizers\":[\"x.io/y\"]}}");
	expect(r, 200, "DELETE", "/api/v1/namespaces/new", NULL);
	try(r, NULL, "POST", "/api/v1/namespaces/new/configmaps", NULL, "{\"metadata\":{\"name\":\"e\"}}", 403,
	    "because it is being terminated");
}

#define GROUPS "/apis/scheduling.k8s.io/v1beta1/namespaces/default/"
#define GROUP(workload, template)                                                                                   \
	"{\"metadata\":{\"name\":\"g\",\"finalizers\":[\"x.io/y\"]},\"spec\":{\"schedulingPolicy\":{\"basic\":{}}," \
	"\"workloadRef\":{\"workloadName\":\"" workload "\",\"templateName\":\"" template "\"}}}"

static void test_pod_groups(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", GROUPS "workloads",
	       "{\"metadata\":{\"name\":\"w\"},\"spec\":{\"podGroupTemplates\":[{\"name\":\"t\",\"schedulingPolicy\":"
	       "{\"basic\":{}}}]}}");
	try(r, NULL, "POST", GROUPS "podgroups", NULL, GROUP("no", "t"), 403,
	    "PodGroup rejected: Workload \\\"no\\\" not found");
	try(r, NULL, "POST", GROUPS "podgroups", NULL, GROUP("w", "no"), 403,
	    "PodGroup rejected: PodGroupTemplate \\\"no\\\" not found in Workload \\\"w\\\"");
	try(r, NULL, "POST", GROUPS "podgroups", NULL, GROUP("w", "t"), 201, NULL);
	try(r, NULL, "POST", CORE "pods", NULL, POD("a", "\"schedulingGroup\":{\"podGroupName\":\"g\"},"), 201, NULL);
	expect(r, 200, "DELETE", GROUPS "podgroups/g", NULL);
	try(r, NULL, "POST", CORE "pods", NULL, POD("b", "\"schedulingGroup\":{\"podGroupName\":\"g\"},"), 403,
	    "cannot create Pod referencing PodGroup \\\"g\\\" because it is being deleted");
}

static int setup_groups(void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(features_set(SV("GenericWorkload=true"), &err), 0);
	assert_int_equal(served_set(SV("scheduling.k8s.io/v1beta1=true"), &err), 0);
	return setup(state);
}

static int teardown_groups(void **state)
{
	features_reset();
	served_reset();
	return rig_teardown(state);
}

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

static void test_attest(void **state)
{
	static const char bundle[] =
	    "{\"metadata\":{\"name\":\"x.io:s:b\"},\"spec\":{\"signerName\":\"x.io/s\",\"trustBundle\":\"t\"}}";
	struct rig *r = *state;
	const struct resource bundles = { .group = "certificates.k8s.io", .plural = "clustertrustbundles" };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct api_req q = { .server = r->server, .arena = &a, .user = { .name = SV("w"), .uid = SV("") } };
	struct admission ad = { .q = &q, .op = ADMIT_CREATE, .res = &bundles, .ns = SV(""), .name = SV("b") };

	ad.doc = json_decode(&a, sv_from(bundle), NULL, &err);
	assert_non_null(ad.doc);
	assert_int_equal(admission_bundle_attest.validate(&ad, &err), -1);
	assert_non_null(strstr(err_msg(&err), "user not permitted to attest for signerName \"x.io/s\""));
	/* What says the same as before is anybody's to touch. */
	ad.op = ADMIT_UPDATE;
	ad.old = ad.doc;
	assert_int_equal(admission_bundle_attest.validate(&ad, &err), 0);
}

#define LIMITS "apiVersion: eventratelimit.admission.k8s.io/v1alpha1\nkind: Configuration\nlimits:\n"

static void test_event_buckets(void **state)
{
	static const char *const wrong[] = {
		"kind: Configuration\nlimits: [{type: Server, qps: 1, burst: 1}]\n",
		LIMITS "- {type: Galaxy, qps: 1, burst: 1}\n",
		LIMITS "- {type: User, qps: 0, burst: 1}\n",
		LIMITS "- {type: User, qps: 1, burst: -1}\n",
		LIMITS "- {type: User, qps: 1, burst: 1, cacheSize: -1}\n",
		LIMITS "- {type: User, qps: 1, burst: 99999999999}\n",
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err none = ERR_INIT;
	const int64_t s = NS_PER_SEC;
	struct event_limits *l;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_null(event_limits_new(yaml_decode(&a, sv_from(wrong[i]), &err), &err));
		assert_true(err_msg(&err)[0] != '\0');
	}
	l = event_limits_new(yaml_decode(&a, SV(LIMITS "- {type: User, qps: 2, burst: 3, cacheSize: 2}\n"), &none),
			     &none);
	assert_non_null(l);
	/* Three at once, then one each half second, and never more than three. */
	for (int i = 0; i < 3; i++)
		assert_true(event_limits_take(l, 0, SV("u"), s));
	assert_false(event_limits_take(l, 0, SV("u"), s));
	assert_true(event_limits_take(l, 0, SV("u"), s + s / 2));
	assert_false(event_limits_take(l, 0, SV("u"), s + s / 2));
	for (int i = 0; i < 3; i++)
		assert_true(event_limits_take(l, 0, SV("u"), 100 * s));
	assert_false(event_limits_take(l, 0, SV("u"), 100 * s));
	/* Of three keys the one that was used longest ago is forgotten. */
	assert_true(event_limits_take(l, 0, SV("v"), 100 * s));
	assert_false(event_limits_take(l, 0, SV("u"), 100 * s));
	assert_true(event_limits_take(l, 0, SV("w"), 100 * s));
	assert_false(event_limits_take(l, 0, SV("u"), 100 * s));
	event_limits_free(l);
}

#define EVENT(name)                                                                                             \
	"{\"metadata\":{\"name\":\"" name "\"},\"involvedObject\":{\"namespace\":\"default\",\"kind\":\"Pod\"," \
	"\"name\":\"p\"},\"reason\":\"R\",\"source\":{\"component\":\"c\"}}"

static void test_event_rate(void **state)
{
	const struct apiserver_opts bare = { .enable_admission = (const char *const[]){ "EventRateLimit", NULL } };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct rig *r = *state;

	assert_null(admission_set_new(&bare, &err));
	plugin_configure(r, "EventRateLimit", LIMITS "- {type: Namespace, qps: 1, burst: 2}\n");
	r->server->admission->on = ~UINT64_C(0) >> 1;
	for (unsigned i = 0; admission_chain[i]; i++)
		if (strcmp(admission_chain[i]->name, "EventRateLimit") != 0)
			r->server->admission->on &= ~(UINT64_C(1) << i);
	try(r, NULL, "POST", CORE "events", NULL, EVENT("a"), 201, NULL);
	try(r, NULL, "POST", CORE "events", NULL, EVENT("b"), 201, NULL);
	try(r, NULL, "POST", CORE "events", NULL, EVENT("c"), 429, "limit reached on type Namespace for key default");
	try(r, NULL, "POST", CORE "configmaps", NULL, "{\"metadata\":{\"name\":\"c\"}}", 201, NULL);
	rig_run(r, NS_PER_SEC);
	try(r, NULL, "POST", CORE "events", NULL, EVENT("d"), 201, NULL);
}

static void namespace_with(struct rig *r, const char *name, const char *annotations)
{
	char body[512], path[128];

	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\",\"annotations\":{%s}}}", name, annotations);
	expect(r, 201, "POST", "/api/v1/namespaces", body);
	snprintf(path, sizeof(path), "/api/v1/namespaces/%s/serviceaccounts", name);
	expect(r, 201, "POST", path, "{\"metadata\":{\"name\":\"default\"}}");
}

static void test_node_selector(void **state)
{
	struct rig *r = *state;

	plugins_on(r, "PodNodeSelector");
	plugin_configure(
	    r, "PodNodeSelector",
	    "podNodeSelectorPluginConfig: {clusterDefaultNodeSelector: \"env=dev\", team: \"zone=a,env=prod\"}");
	namespace_with(r, "team", "\"scheduler.alpha.kubernetes.io/node-selector\":\"env=prod\"");
	namespace_with(r, "odd", "\"scheduler.alpha.kubernetes.io/node-selector\":\"env in (a)\"");
	try(r, NULL, "POST", CORE "pods", NULL, POD("a", ""), 201, "\"nodeSelector\":{\"env\":\"dev\"}");
	try(r, NULL, "POST", CORE "pods", NULL, POD("b", "\"nodeSelector\":{\"env\":\"prod\"},"), 403,
	    "pod node label selector conflicts with its namespace node label selector");
	try(r, NULL, "POST", "/api/v1/namespaces/team/pods", NULL, POD("a", "\"nodeSelector\":{\"zone\":\"a\"},"), 201,
	    "\"env\":\"prod\"");
	try(r, NULL, "POST", "/api/v1/namespaces/team/pods", NULL, POD("b", "\"nodeSelector\":{\"zone\":\"b\"},"), 403,
	    "pod node label selector labels conflict with its namespace whitelist");
	try(r, NULL, "POST", "/api/v1/namespaces/odd/pods", NULL, POD("a", ""), 500, "invalid selector: [env in (a)]");
}

static void test_toleration_restriction(void **state)
{
	struct rig *r = *state;

	plugins_on(r, "PodTolerationRestriction");
	plugin_configure(r, "PodTolerationRestriction", "default: [{key: usual, operator: Exists}]");
	namespace_with(r, "n",
		       "\"scheduler.alpha.kubernetes.io/defaultTolerations\":\"[]\","
		       "\"scheduler.alpha.kubernetes.io/tolerationsWhitelist\":\"[{\\\"key\\\":\\\"k\\\",\\\"value\\\":"
		       "\\\"v\\\"},{\\\"operator\\\":\\\"Exists\\\",\\\"effect\\\":\\\"NoExecute\\\"}]\"");
	namespace_with(r, "odd", "\"scheduler.alpha.kubernetes.io/defaultTolerations\":\"{}\"");
	try(r, NULL, "POST", CORE "pods", NULL, POD("a", ""), 201, "{\"key\":\"usual\",\"operator\":\"Exists\"}");
	try(r, NULL, "POST", CORE "pods", NULL,
	    "{\"metadata\":{\"name\":\"m\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"resources\":{"
	    "\"requests\":{\"cpu\":\"1\"}}}]}}",
	    201, "node.kubernetes.io/memory-pressure");
	try(r, NULL, "POST", "/api/v1/namespaces/n/pods", NULL,
	    POD("a", "\"tolerations\":[{\"key\":\"k\",\"value\":\"v\",\"effect\":\"NoSchedule\"}],"), 201, NULL);
	try(r, NULL, "POST", "/api/v1/namespaces/n/pods", NULL,
	    POD("b", "\"tolerations\":[{\"operator\":\"Exists\"}],"), 500, "conflict with its namespace whitelist");
	try(r, NULL, "POST", "/api/v1/namespaces/odd/pods", NULL, POD("a", ""), 500, "is no list of tolerations");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_pull_images),
		TEST(test_external_ips),
		TEST(test_anti_affinity),
		TEST(test_extended),
		TEST(test_exists),
		TEST(test_owners),
		TEST(test_resize),
		TEST(test_pod_resize),
		TEST(test_node_features),
		TEST(test_provision),
		cmocka_unit_test(test_order),
		cmocka_unit_test_setup_teardown(test_pod_groups, setup_groups, teardown_groups),
		TEST(test_attest),
		cmocka_unit_test(test_event_buckets),
		TEST(test_event_rate),
		TEST(test_node_selector),
		TEST(test_toleration_restriction),
		TEST(test_topology),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
