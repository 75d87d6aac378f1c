/* Every resource of v1.37: discovery says of it what tests/unit/api/resources.tsv says, and one of it can be made,
 * read, listed and deleted in every version, with everything on. */
#include "harness.h"
#include "everything.h"

#include "base/file.h"

#include <stdio.h>

/* --- what discovery says --- */

enum {
	C_GROUP,
	C_VERSION,
	C_ON,
	C_PLURAL,
	C_SINGULAR,
	C_KIND,
	C_SCOPE,
	C_SHORT,
	C_CATEGORIES,
	C_VERBS,
	C_SUBS,
	C_COLUMNS,
	C_MAX
};

static const char *words(struct arena *a, const struct val *list, const char *sep)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	VAL_EACH(list, v) {
		if (b.n)
			buf_adds(&b, sep);
		buf_addsv(&b, val_str(v));
	}
	return b.n ? arena_cstr(a, buf_sv(&b)) : "-";
}

/* The members of a list that have that name. */
static const struct val *named(const struct val *list, struct sv name)
{
	VAL_EACH(list, v)
		if (sv_eq(val_get_str(v, F_name), name))
			return v;
	return NULL;
}

static size_t count(struct sv text, char sep)
{
	struct sv rest = text, head;
	size_t n = 0;

	while (sv_split(&rest, sep, &head))
		n++;
	return sv_is(text, "-") ? 0 : n;
}

static bool has_word(struct sv list, char sep, struct sv word)
{
	struct sv rest = list, head;

	while (sv_split(&rest, sep, &head))
		if (sv_eq(head, word))
			return true;
	return false;
}

static void check_verbs(const struct val *got, struct sv want, char sep)
{
	assert_int_equal(val_len(got), sv_is(want, "all") ? 8 : count(want, sep));
	VAL_EACH(got, v)
		if (!sv_is(want, "all") && !has_word(want, sep, val_str(v)))
			fail_msg("verb %.*s", SV_ARG(val_str(v)));
}

static void check_subs(struct rig *r, const struct val *list, const struct sv *c)
{
	struct sv rest = c[C_SUBS], sub;
	size_t n = 0;

	VAL_EACH(list, v)
		n += sv_starts(val_get_str(v, F_name), arena_svf(&r->arena, "%.*s/", SV_ARG(c[C_PLURAL])));
	assert_int_equal(n, count(c[C_SUBS], ','));
	while (!sv_is(c[C_SUBS], "-") && sv_split(&rest, ',', &sub)) {
		ssize_t eq = sv_find(sub, '=');
		const struct val *v = named(
		    list, arena_svf(&r->arena, "%.*s/%.*s", SV_ARG(c[C_PLURAL]), SV_ARG(sv_sub(sub, 0, (size_t)eq))));

		assert_non_null(v);
		check_verbs(val_get(v, F_verbs), sv_sub(sub, (size_t)eq + 1, sub.n), '/');
	}
}

static void check_columns(struct rig *r, const struct sv *c, const char *path)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct answer *a =
	    api(r, "GET", arena_cstr(&r->arena, arena_svf(&r->arena, "%s/%.*s", path, SV_ARG(c[C_PLURAL]))),
		.accept = "application/json;as=Table;v=v1;g=meta.k8s.io");

	assert_int_equal(a->code, 200);
	VAL_EACH(val_get(a->json, F_columnDefinitions), d)
		buf_printf(&b, "%s%.*s%s", b.n ? "," : "", SV_ARG(val_get_str(d, F_name)),
			   val_get_int(d, 0, F_priority) ? "+" : "");
	assert_string_equal(buf_cstr(&b), arena_cstr(&r->arena, c[C_COLUMNS]));
	answer_free(a);
}

static void check_resource(struct rig *r, const struct sv *c)
{
	struct arena *a = &r->arena;
	const char *path =
	    sv_is(c[C_GROUP], "-")
		? "/api/v1"
		: arena_cstr(a, arena_svf(a, "/apis/%.*s/%.*s", SV_ARG(c[C_GROUP]), SV_ARG(c[C_VERSION])));
	const struct val *list = val_get(expect(r, 200, "GET", path, NULL), F_resources);
	const struct val *v = named(list, c[C_PLURAL]);
	const struct resource *res =
	    resource_find(sv_is(c[C_GROUP], "-") ? SV("") : c[C_GROUP], c[C_VERSION], c[C_PLURAL]);

	if (!v || !res)
		fail_msg("%s has no %.*s", path, SV_ARG(c[C_PLURAL]));
	assert_true(sv_eq(val_get_str(v, F_singularName), c[C_SINGULAR]));
	assert_true(sv_eq(val_get_str(v, F_kind), c[C_KIND]));
	assert_int_equal(val_get_bool(v, F_namespaced), sv_is(c[C_SCOPE], "namespaced"));
	assert_string_equal(words(a, val_get(v, F_shortNames), ","), arena_cstr(a, c[C_SHORT]));
	assert_string_equal(words(a, val_get(v, F_categories), ","), arena_cstr(a, c[C_CATEGORIES]));
	check_verbs(val_get(v, F_verbs), c[C_VERBS], ',');
	check_subs(r, list, c);
	if (!sv_is(c[C_COLUMNS], "-"))
		check_columns(r, c, path);
	/* Unless everything is on. */
	assert_int_equal(!res->optin && feature_all[res->gate].on, sv_is(c[C_ON], "on"));
}

static void test_discovery(void **state)
{
	struct rig *r = *state;
	struct sv rest, line;
	size_t n = 0;

	assert_int_equal(file_read(&r->arena, RESOURCES_FILE, (size_t)1 << 20, &rest, NULL), 0);
	while (sv_split(&rest, '\n', &line)) {
		struct sv cells[C_MAX], left = line;

		if (!line.n || line.p[0] == '#')
			continue;
		for (size_t i = 0; i < C_MAX; i++)
			if (!sv_split(&left, '\t', &cells[i]))
				fail_msg("too few cells: %.*s", SV_ARG(line));
		print_message("%.*s\n", SV_ARG(line));
		check_resource(r, cells);
		n++;
	}
	assert_int_equal(n, resource_count);
}

/* --- one of each --- */

#define POD_SPEC "{\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}"
#define TEMPLATE "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":" POD_SPEC "}"
#define SELECTED "\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":" TEMPLATE
#define HOOKS                                                                                             \
	"\"webhooks\":[{\"name\":\"h.example.com\",\"clientConfig\":{\"url\":\"https://h.example.com\"}," \
	"\"sideEffects\":\"None\",\"admissionReviewVersions\":[\"v1\"]}]"
#define ROLE_REF "\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":\"ClusterRole\",\"name\":\"view\"}"
#define MATCH                                                                                      \
	"\"matchConstraints\":{\"resourceRules\":[{\"apiGroups\":[\"\"],\"apiVersions\":[\"v1\"]," \
	"\"operations\":[\"CREATE\"],\"resources\":[\"pods\"]}]}"
#define MUTATING_POLICY                                                                                     \
	"\"spec\":{" MATCH ",\"reinvocationPolicy\":\"Never\",\"mutations\":[{\"patchType\":\"JSONPatch\"," \
	"\"jsonPatch\":{\"expression\":\"[JSONPatch{op: 'test', path: '/kind', value: 'Pod'}]\"}}]}"
#define CLAIM "\"devices\":{\"requests\":[{\"name\":\"r\",\"exactly\":{\"deviceClassName\":\"c.example.com\"}}]}"
#define CLAIM_FLAT "\"devices\":{\"requests\":[{\"name\":\"r\",\"deviceClassName\":\"c.example.com\"}]}"
#define SLICE(device)                                                                       \
	"\"spec\":{\"driver\":\"d.example.com\",\"pool\":{\"name\":\"p\",\"generation\":1," \
	"\"resourceSliceCount\":1},\"nodeName\":\"n\",\"devices\":[{\"name\":\"a\"" device "}]}"
#define TAINT "\"spec\":{\"taint\":{\"key\":\"example.com/k\",\"effect\":\"NoSchedule\"}}"
#define CERT                                                                                                           \
	"-----BEGIN CERTIFICATE-----\\n"                                                                               \
	"MIIBWTCCAQugAwIBAgIUVhCNRqTVCBsrkdYoK6N2xfa1uQ8wBQYDK2VwMA4xDDAKBgNVBAMMA2NhMTAgFw0yNjA3MDEwMDAwMDBaGA8yMTI2" \
	"\\n-----END CERTIFICATE-----\\n"
#define POD_CERT(more)                                                               \
	"\"spec\":{\"signerName\":\"example.com/"                                    \
	"s\",\"podName\":\"p\",\"podUID\":\"u\",\"serviceAccountName\":\"default\"," \
	"\"serviceAccountUID\":\"s\",\"nodeName\":\"n\",\"nodeUID\":\"o\",\"stubPKCS10Request\":\"YQ==\"" more "}"
#define POD_GROUP "\"spec\":{\"schedulingPolicy\":{\"basic\":{}}}"
#define EVICTION "\"target\":{\"pod\":{\"name\":\"p\",\"uid\":\"5b1e3d1c-0d7e-4a0e-9a35-f38b52b1a1a1\"}}"

/* What an object of that kind needs beside its name; version NULL: any. A kind that is not here needs nothing. Objects
 * are judged by their strategies and the marks of the data here, and by the rules of their kinds. */
static const struct {
	const char *version, *kind, *body;
} needs[] = {
	{ NULL, "Pod", "\"spec\":" POD_SPEC },
	{ NULL, "Service", "\"spec\":{\"ports\":[{\"port\":80}]}" },
	{ NULL, "Endpoints", "\"subsets\":[]" },
	{ NULL, "Event",
	  "\"involvedObject\":{\"namespace\":\"default\"},\"regarding\":{\"namespace\":\"default\"},"
	  "\"eventTime\":\"2026-01-01T00:00:00.000000Z\",\"reportingController\":\"a.b/c\","
	  "\"reportingInstance\":\"i\",\"reportingComponent\":\"a.b/c\",\"action\":\"a\",\"reason\":\"r\","
	  "\"type\":\"Normal\"" },
	{ NULL, "PersistentVolume",
	  "\"spec\":{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],"
	  "\"hostPath\":{\"path\":\"/x\"}}" },
	{ NULL, "PersistentVolumeClaim",
	  "\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":"
	  "{\"storage\":\"1Gi\"}}}" },
	{ NULL, "PodTemplate", "\"template\":" TEMPLATE },
	{ NULL, "ReplicationController", "\"spec\":{\"selector\":{\"a\":\"b\"},\"template\":" TEMPLATE "}" },
	{ NULL, "Deployment", "\"spec\":{" SELECTED "}" },
	{ NULL, "ReplicaSet", "\"spec\":{" SELECTED "}" },
	{ NULL, "DaemonSet", "\"spec\":{" SELECTED "}" },
	{ NULL, "StatefulSet", "\"spec\":{" SELECTED ",\"serviceName\":\"s\"}" },
	{ NULL, "ControllerRevision", "\"revision\":1,\"data\":{}" },
	{ NULL, "Job",
	  "\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\","
	  "\"image\":\"i\"}]}}}" },
	{ NULL, "CronJob",
	  "\"spec\":{\"schedule\":\"* * * * *\",\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{"
	  "\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}}" },
	{ NULL, "HorizontalPodAutoscaler",
	  "\"spec\":{\"maxReplicas\":1,\"scaleTargetRef\":{\"kind\":\"Deployment\","
	  "\"name\":\"d\",\"apiVersion\":\"apps/v1\"}}" },
	{ NULL, "RoleBinding", ROLE_REF },
	{ NULL, "ClusterRoleBinding", ROLE_REF },
	{ NULL, "Ingress", "\"spec\":{\"defaultBackend\":{\"service\":{\"name\":\"s\",\"port\":{\"number\":80}}}}" },
	{ NULL, "IngressClass", "\"spec\":{\"controller\":\"example.com/c\"}" },
	{ NULL, "EndpointSlice", "\"addressType\":\"IPv4\",\"endpoints\":[]" },
	{ NULL, "PriorityClass", "\"value\":1" },
	{ NULL, "StorageClass", "\"provisioner\":\"example.com/p\"" },
	{ NULL, "VolumeAttachment",
	  "\"spec\":{\"attacher\":\"a.example.com\",\"nodeName\":\"n\",\"source\":{"
	  "\"persistentVolumeName\":\"v\"}}" },
	{ NULL, "VolumeAttributesClass", "\"driverName\":\"d.example.com\",\"parameters\":{\"a\":\"b\"}" },
	{ NULL, "CSIDriver", "\"spec\":{}" },
	{ NULL, "CSINode", "\"spec\":{\"drivers\":[]}" },
	{ NULL, "CSIStorageCapacity", "\"storageClassName\":\"s\"" },
	{ NULL, "APIService",
	  "\"spec\":{\"group\":\"example.com\",\"version\":\"v1\",\"groupPriorityMinimum\":1000,"
	  "\"versionPriority\":15,\"insecureSkipTLSVerify\":true,\"service\":{\"name\":\"s\","
	  "\"namespace\":\"n\"}}" },
	{ NULL, "MutatingWebhookConfiguration", HOOKS },
	{ NULL, "ValidatingWebhookConfiguration", HOOKS },
	{ NULL, "ValidatingAdmissionPolicy", "\"spec\":{" MATCH ",\"validations\":[{\"expression\":\"true\"}]}" },
	{ NULL, "ValidatingAdmissionPolicyBinding",
	  "\"spec\":{\"policyName\":\"p\",\"validationActions\":[\"Deny\"]}" },
	{ NULL, "MutatingAdmissionPolicy", MUTATING_POLICY },
	{ NULL, "MutatingAdmissionPolicyBinding", "\"spec\":{\"policyName\":\"p\"}" },
	{ NULL, "RuntimeClass", "\"handler\":\"h\"" },
	{ NULL, "FlowSchema", "\"spec\":{\"priorityLevelConfiguration\":{\"name\":\"p\"},\"matchingPrecedence\":500}" },
	{ NULL, "PriorityLevelConfiguration",
	  "\"spec\":{\"type\":\"Limited\",\"limited\":{\"limitResponse\":{\"type\":"
	  "\"Reject\"}}}" },
	{ NULL, "StorageVersion", "\"spec\":{}" },
	{ NULL, "StorageVersionMigration",
	  "\"spec\":{\"resource\":{\"group\":\"apps\",\"resource\":\"deployments\"}}" },
	{ NULL, "DeviceClass", "\"spec\":{}" },
	{ "v1beta1", "ResourceClaim", "\"spec\":{" CLAIM_FLAT "}" },
	{ NULL, "ResourceClaim", "\"spec\":{" CLAIM "}" },
	{ "v1beta1", "ResourceClaimTemplate", "\"spec\":{\"spec\":{" CLAIM_FLAT "}}" },
	{ NULL, "ResourceClaimTemplate", "\"spec\":{\"spec\":{" CLAIM "}}" },
	{ "v1beta1", "ResourceSlice", SLICE(",\"basic\":{\"attributes\":{\"x\":{\"int\":1}}}") },
	{ NULL, "ResourceSlice", SLICE(",\"attributes\":{\"x\":{\"int\":1}}") },
	{ NULL, "DeviceTaintRule", TAINT },
	{ NULL, "ResourcePoolStatusRequest", "\"spec\":{\"driver\":\"d.example.com\"}" },
	{ NULL, "PodCertificateRequest", NULL }, /* its request has to be one, made by a node: test_certificates.c */
	{ NULL, "CertificateSigningRequest", NULL },
	{ NULL, "ClusterTrustBundle", NULL },
	{ NULL, "CustomResourceDefinition", NULL }, /* its name follows from its spec */
	{ NULL, "IPAddress", NULL },
	{ NULL, "ServiceCIDR", "\"spec\":{\"cidrs\":[\"10.77.0.0/24\"]}" },
	{ NULL, "LeaseCandidate",
	  "\"spec\":{\"leaseName\":\"l\",\"binaryVersion\":\"1.37.0\",\"emulationVersion\":\"1.37.0\","
	  "\"strategy\":\"OldestEmulationVersion\",\"preferredStrategies\":[\"OldestEmulationVersion\"]}" },
	{ NULL, "Workload", "\"spec\":{\"podGroupTemplates\":[{\"name\":\"t\",\"schedulingPolicy\":{\"basic\":{}}}]}" },
	{ NULL, "PodGroup", POD_GROUP },
	{ NULL, "CompositePodGroup",
	  "\"spec\":{\"workloadRef\":{\"workloadName\":\"w\",\"templateName\":\"t\"},"
	  "\"schedulingPolicy\":{\"basic\":{}}}" },
	{ NULL, "EvictionRequest", "\"spec\":{" EVICTION ",\"requester\":\"example.com/r\",\"intent\":\"Eviction\"}" },
	{ NULL, "Eviction", "\"spec\":{" EVICTION "}" },
};

static bool body_of(const struct resource *r, const char **ret)
{
	*ret = NULL;
	for (size_t i = 0; i < ARRAY_LEN(needs); i++) {
		if (strcmp(needs[i].kind, r->kind) || (needs[i].version && strcmp(needs[i].version, r->version)))
			continue;
		*ret = needs[i].body;
		return needs[i].body;
	}
	return true;
}

static const char *name_of(const struct resource *r)
{
	return !strcmp(r->kind, "APIService")	    ? "v1.example.com"
	       : !strcmp(r->kind, "StorageVersion") ? "apps.deployments"
						    : "x";
}

static void test_one_of_each(void **state)
{
	struct rig *r = *state;
	int made = 0;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *res = &resource_all[i];
		const char *more, *name = name_of(res);
		char av[160], all[300], one[360];
		const struct val *v;

		if (!(res->verbs & 1 << VERB_CREATE) || !(res->verbs & 1 << VERB_DELETE) || !body_of(res, &more))
			continue;
		resource_api_version(res, av, sizeof(av));
		(void)snprintf(all, sizeof(all), "/%s/%s/%s%s", *res->group ? "apis" : "api", av,
			       res->namespaced ? "namespaces/default/" : "", res->plural);
		(void)snprintf(one, sizeof(one), "%s/%s", all, name);
		print_message("%s\n", one);
		v = expect(r, 201, "POST", all,
			   arena_cstr(&r->arena, arena_svf(&r->arena, "{\"metadata\":{\"name\":\"%s\"}%s%s}", name,
							   more ? "," : "", more ? more : "")));
		assert_val(val_get(v, F_kind), res->kind);
		assert_val(val_get(v, F_apiVersion), av);
		assert_val(val_get(expect(r, 200, "GET", one, NULL), F_apiVersion), av);
		v = expect(r, 200, "GET", all, NULL);
		assert_val(val_get(v, F_kind), res->list_kind);
		assert_true(val_len(val_get(v, F_items)) >= 1);
		expect(r, 200, "DELETE", arena_cstr(&r->arena, arena_svf(&r->arena, "%s?gracePeriodSeconds=0", one)),
		       NULL);
		made++;
	}
	assert_true(made > 70);
}

/* One object, read in each of its versions, is what it was written as. */
static void test_versions_of_devices(void **state)
{
#define AT "/apis/resource.k8s.io/"
#define NS "/namespaces/default/resourceclaims"
	struct rig *r = *state;
	const struct val *v;

	expect(r, 201, "POST", AT "v1beta1" NS, "{\"metadata\":{\"name\":\"c\"},\"spec\":{" CLAIM_FLAT "}}");
	v = expect(r, 200, "GET", AT "v1" NS "/c", NULL);
	v = val_at(val_get(v, F_spec, F_devices, F_requests), 0);
	assert_val(val_get(v, F_exactly, F_deviceClassName), "c.example.com");
	assert_val(val_get(v, F_exactly, F_allocationMode), "ExactCount");
	assert_int_equal(val_get_int(v, 0, F_exactly, F_count), 1);
	v = expect(r, 200, "GET", AT "v1beta2" NS "/c", NULL);
	assert_val(val_get(v, F_apiVersion), "resource.k8s.io/v1beta2");
	v = val_at(val_get(v, F_spec, F_devices, F_requests), 0);
	assert_val(val_get(v, F_exactly, F_deviceClassName), "c.example.com");
	v = expect(r, 200, "GET", AT "v1beta1" NS "/c", NULL);
	v = val_at(val_get(v, F_spec, F_devices, F_requests), 0);
	assert_null(val_get(v, F_exactly));
	assert_val(val_get(v, F_deviceClassName), "c.example.com");
	assert_int_equal(val_get_int(v, 0, F_count), 1);

	expect(r, 201, "POST", AT "v1/devicetaintrules", "{\"metadata\":{\"name\":\"t\"}," TAINT "}");
	v = expect(r, 200, "GET", AT "v1alpha3/devicetaintrules/t", NULL);
	assert_val(val_get(v, F_apiVersion), "resource.k8s.io/v1alpha3");
	assert_true(val_get_str(v, F_spec, F_taint, F_timeAdded).n > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_discovery, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_one_of_each, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_versions_of_devices, rig_setup, rig_teardown),
	};

	everything_on();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
