/* What each endpoint leaves as it is, and what metadata.generation counts: through the API, kind by kind.
 *
 * Every object is changed at every endpoint it has in everything at once: labels, annotations, spec and status. The
 * table says what of that stays. */
#include "harness.h"

#include <stdio.h>

#define MERGE "application/merge-patch+json"
#define CHANGE                                                                                                       \
	"{\"metadata\":{\"labels\":{\"via\":\"%s\"},\"annotations\":{\"via\":\"%s\"},\"finalizers\":[\"x.io/%s\"]}," \
	"\"spec\":%s,\"status\":%s}"
#define TEMPLATE                                                                                           \
	"\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\"," \
	"\"image\":\"x\"}]}}"
#define MATCH "\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
#define APPS "/apis/apps/v1/namespaces/default/"
#define CORE "/api/v1/namespaces/default/"
#define CONDITION                                                                 \
	"[{\"type\":\"T\",\"status\":\"True\",\"reason\":\"R\",\"message\":\"\"," \
	"\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]"

static const struct {
	const char *path, *create; /* of the spec */
	const char *spec, *status; /* what a change sends */
	const char *spec_at;	   /* dotted: absent before the change */
	const char *status_at;
	bool labels, others; /* the status endpoint takes labels; annotations and finalizers */
	int created, bumped; /* generation at first, and after a change of all at the main endpoint */
} kinds[] = {
	{ APPS "deployments", "{" MATCH TEMPLATE "}", "{\"minReadySeconds\":5}", "{\"replicas\":3}",
	  "spec.minReadySeconds", "status.replicas", false, true, 1, 2 },
	{ APPS "replicasets", "{" MATCH TEMPLATE "}", "{\"minReadySeconds\":5}", "{\"observedGeneration\":3}",
	  "spec.minReadySeconds", "status.observedGeneration", true, true, 1, 2 },
	{ APPS "statefulsets", "{\"serviceName\":\"s\"," MATCH TEMPLATE "}", "{\"minReadySeconds\":5}",
	  "{\"observedGeneration\":3}", "spec.minReadySeconds", "status.observedGeneration", true, true, 1, 2 },
	{ APPS "daemonsets", "{" MATCH TEMPLATE "}", "{\"minReadySeconds\":5}", "{\"observedGeneration\":3}",
	  "spec.minReadySeconds", "status.observedGeneration", true, true, 1, 2 },
	{ CORE "replicationcontrollers", "{\"selector\":{\"a\":\"b\"}," TEMPLATE "}", "{\"minReadySeconds\":5}",
	  "{\"observedGeneration\":3}", "spec.minReadySeconds", "status.observedGeneration", true, true, 1, 2 },
	{ "/apis/batch/v1/namespaces/default/cronjobs",
	  "{\"schedule\":\"@daily\",\"jobTemplate\":{\"spec\":{\"template\":{\"spec\":{\"restartPolicy\":\"Never\","
	  "\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}}}}",
	  "{\"startingDeadlineSeconds\":30}", "{\"lastScheduleTime\":\"2026-01-01T00:00:00Z\"}",
	  "spec.startingDeadlineSeconds", "status.lastScheduleTime", true, true, 1, 2 },
	{ "/apis/policy/v1/namespaces/default/poddisruptionbudgets", "{" MATCH "\"maxUnavailable\":1}",
	  "{\"unhealthyPodEvictionPolicy\":\"AlwaysAllow\"}", "{\"observedGeneration\":3}",
	  "spec.unhealthyPodEvictionPolicy", "status.observedGeneration", true, true, 1, 2 },
	{ CORE "services", "{\"ports\":[{\"port\":80}]}", "{\"externalName\":\"x\"}", "{\"conditions\":" CONDITION "}",
	  "spec.externalName", "status.conditions", true, true, 0, 0 },
	{ "/api/v1/nodes", "{}", "{\"unschedulable\":true}", "{\"phase\":\"Running\"}", "spec.unschedulable",
	  "status.phase", true, true, 0, 0 },
	{ CORE "resourcequotas", "{}", "{\"hard\":{\"pods\":\"1\"}}", "{\"used\":{\"pods\":\"1\"}}", "spec.hard",
	  "status.used", true, true, 0, 0 },
	{ "/api/v1/namespaces", "{}", "{}", "{\"conditions\":" CONDITION "}", NULL, "status.conditions", true, true, 0,
	  0 },
	{ "/api/v1/persistentvolumes",
	  "{\"capacity\":{\"storage\":\"1Gi\"},\"accessModes\":[\"ReadWriteOnce\"],\"hostPath\":{\"path\":\"/x\"}}",
	  "{\"mountOptions\":[\"ro\"]}", "{\"message\":\"m\"}", "spec.mountOptions", "status.message", true, true, 0,
	  0 },
	{ CORE "persistentvolumeclaims",
	  "{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}", "{}",
	  "{\"accessModes\":[\"ReadWriteOnce\"]}", NULL, "status.accessModes", true, true, 0, 0 },
	{ "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
	  "{\"defaultBackend\":{\"service\":{\"name\":\"s\",\"port\":{\"number\":80}}}}",
	  "{\"tls\":[{\"hosts\":[\"a.b\"]}]}", "{\"loadBalancer\":{\"ingress\":[{\"ip\":\"1.2.3.4\"}]}}", "spec.tls",
	  "status.loadBalancer.ingress", true, true, 1, 2 },
	{ "/apis/batch/v1/namespaces/default/jobs",
	  "{\"template\":{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}}",
	  "{\"activeDeadlineSeconds\":5}", "{\"failed\":3}", "spec.activeDeadlineSeconds", "status.failed", true, true,
	  1, 2 },
	{ "/apis/networking.k8s.io/v1/servicecidrs", "{\"cidrs\":[\"10.9.0.0/24\"]}", "{}",
	  "{\"conditions\":" CONDITION "}", NULL, "status.conditions", true, true, 0, 0 },
	{ "/apis/storage.k8s.io/v1/volumeattachments",
	  "{\"attacher\":\"x.io\",\"nodeName\":\"n\",\"source\":{\"persistentVolumeName\":\"v\"}}", "{}",
	  "{\"attached\":true,\"attachmentMetadata\":{\"a\":\"b\"}}", NULL, "status.attachmentMetadata", false, false,
	  0, 0 },
};

static const struct val *at(const struct val *v, const char *path)
{
	struct sv rest = sv_from(path), part;

	while (v && sv_split(&rest, '.', &part))
		v = val_member_sv(v, part);
	return v;
}

static void assert_via(const char *path, const struct val *o, const char *labels, const char *others)
{
	const struct val *meta = val_get(o, F_metadata);

	if (!val_is(val_member_sv(val_get(meta, F_labels), SV("via")), labels))
		fail_msg("%s: labels are %.*s", path,
			 SV_ARG(val_str(val_member_sv(val_get(meta, F_labels), SV("via")))));
	if (!val_is(val_member_sv(val_get(meta, F_annotations), SV("via")), others))
		fail_msg("%s: annotations", path);
	assert_int_equal(sv_ends(val_str(val_at(val_get(meta, F_finalizers), 0)), sv_from(others)), true);
}

static void test_endpoints(void **state)
{
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		char body[1024], path[128], status[160];
		const struct val *o;

		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"w\"},\"spec\":%s}", kinds[i].create);
		(void)snprintf(path, sizeof(path), "%s/w", kinds[i].path);
		(void)snprintf(status, sizeof(status), "%s/status", path);
		o = expect(r, 201, "POST", kinds[i].path, body);
		assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), kinds[i].created);

		(void)snprintf(body, sizeof(body), CHANGE, "main", "main", "main", kinds[i].spec, kinds[i].status);
		o = expect_type(r, 200, "PATCH", path, MERGE, body);
		assert_via(path, o, "main", "main");
		if (kinds[i].spec_at)
			assert_non_null(at(o, kinds[i].spec_at));
		if (val_len(at(o, kinds[i].status_at)) || val_int_or(at(o, kinds[i].status_at), 0))
			fail_msg("%s changes the status", path);
		assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), kinds[i].bumped);

		(void)snprintf(body, sizeof(body), CHANGE, "status", "status", "status", "null", kinds[i].status);
		o = expect_type(r, 200, "PATCH", status, MERGE, body);
		assert_via(status, o, kinds[i].labels ? "status" : "main", kinds[i].others ? "status" : "main");
		if (kinds[i].spec_at && !at(o, kinds[i].spec_at))
			fail_msg("%s changes the spec", status);
		if (val_type(at(o, kinds[i].status_at)) == VAL_NULL)
			fail_msg("%s does not change the status", status);
		assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), kinds[i].bumped);
	}
}

/* Old kubelets sent no owners: pods/status leaves them; resize and ephemeralcontainers leave all metadata. */
static void test_pod_endpoints(void **state)
{
	static const char owners[] =
	    "{\"metadata\":{\"labels\":{\"via\":\"x\"},\"ownerReferences\":[{\"apiVersion\":\"v1\",\"kind\":\"Node\","
	    "\"name\":\"n\",\"uid\":\"u\"}]}}";
	struct rig *r = *state;
	const struct val *o;

	expect(r, 201, "POST", CORE "serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", CORE "pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}");
	o = expect_type(r, 200, "PATCH", CORE "pods/p/resize", MERGE, owners);
	assert_null(val_get(o, F_metadata, F_labels));
	o = expect_type(r, 200, "PATCH", CORE "pods/p/ephemeralcontainers", MERGE, owners);
	assert_null(val_get(o, F_metadata, F_labels));
	o = expect_type(r, 200, "PATCH", CORE "pods/p/status", MERGE, owners);
	assert_null(val_get(o, F_metadata, F_ownerReferences));
	assert_val(val_member_sv(val_get(o, F_metadata, F_labels), SV("via")), "x");
}

/* Of a definition, its status endpoint takes the status only; finalizers of a namespace are for another endpoint. */
static void test_rarer_endpoints(void **state)
{
	static const char crd[] = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
			  schema[] = "{\"openAPIV3Schema\":{\"type\":\"object\"}}";
	struct rig *r = *state;
	const struct val *o;
	char body[1024];

	(void)snprintf(body, sizeof(body),
		       "{\"metadata\":{\"name\":\"ws.x.io\"},\"spec\":{\"group\":\"x.io\",\"scope\":\"Cluster\","
		       "\"names\":{\"plural\":\"ws\",\"kind\":\"W\"},\"versions\":[{\"name\":\"v1\",\"served\":true,"
		       "\"storage\":true,\"schema\":%s}]}}",
		       schema);
	o = expect(r, 201, "POST", crd, body);
	assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 1);
	(void)snprintf(body, sizeof(body), CHANGE, "main", "main", "main", "{\"preserveUnknownFields\":false}",
		       "{\"storedVersions\":[\"v1\",\"v2\"]}");
	o = expect_type(r, 200, "PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ws.x.io", MERGE,
			body);
	assert_via(crd, o, "main", "main");
	assert_int_equal(val_len(val_get(o, F_status, F_storedVersions)), 1);
	o = expect_type(
	    r, 200, "PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/ws.x.io/status", MERGE,
	    "{\"metadata\":{\"labels\":{\"via\":\"status\"},\"annotations\":{\"via\":\"status\"}},\"spec\":{"
	    "\"scope\":\"Namespaced\"}}");
	assert_via(crd, o, "main", "main");
	assert_val(val_get(o, F_spec, F_scope), "Cluster");

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\"}}");
	o = expect_type(r, 200, "PATCH", "/api/v1/namespaces/n", MERGE, "{\"spec\":{\"finalizers\":[\"x.io/a\"]}}");
	assert_val(val_at(val_get(o, F_spec, F_finalizers), 0), "kubernetes");
	o = expect_type(r, 200, "PATCH", "/api/v1/namespaces/n/status", MERGE,
			"{\"spec\":{\"finalizers\":[\"x.io/a\"]}}");
	assert_val(val_at(val_get(o, F_spec, F_finalizers), 0), "kubernetes");
}

/* namespaces/finalize takes what the main endpoint leaves: the finalizers, and no status. It knows PUT alone. */
static void test_finalize(void **state)
{
	struct rig *r = *state;
	const struct val *o;

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"f\"}}");
	o = expect(
	    r, 200, "PUT", "/api/v1/namespaces/f/finalize",
	    "{\"metadata\":{\"name\":\"f\",\"labels\":{\"via\":\"finalize\"},\"annotations\":{\"via\":\"finalize\"},"
	    "\"finalizers\":[\"x.io/finalize\"]},\"spec\":{\"finalizers\":[\"kubernetes\",\"x.io/a\"]},\"status\":{"
	    "\"phase\":\"Terminating\",\"conditions\":" CONDITION "}}");
	assert_via("finalize", o, "finalize", "finalize");
	assert_int_equal(val_len(val_get(o, F_spec, F_finalizers)), 2);
	assert_val(val_get(o, F_status, F_phase), "Active");
	assert_int_equal(val_len(val_get(o, F_status, F_conditions)), 0);
	/* What the main endpoint and that of the status send of it changes nothing. */
	o = expect(r, 200, "PUT", "/api/v1/namespaces/f",
		   "{\"metadata\":{\"name\":\"f\",\"finalizers\":[\"x.io/main\"]},\"spec\":{\"finalizers\":[]}}");
	assert_int_equal(val_len(val_get(o, F_spec, F_finalizers)), 2);
	o = expect(r, 200, "PUT", "/api/v1/namespaces/f/status", "{\"metadata\":{\"name\":\"f\"},\"spec\":{}}");
	assert_int_equal(val_len(val_get(o, F_spec, F_finalizers)), 2);
	expect(r, 405, "GET", "/api/v1/namespaces/f/finalize", NULL);
	expect_type(r, 405, "PATCH", "/api/v1/namespaces/f/finalize", MERGE, "{\"spec\":{\"finalizers\":[]}}");
	expect(r, 409, "PUT", "/api/v1/namespaces/f/finalize",
	       "{\"metadata\":{\"name\":\"f\",\"resourceVersion\":\"1\"},\"spec\":{\"finalizers\":[]}}");
	expect(r, 422, "PUT", "/api/v1/namespaces/f/finalize",
	       "{\"metadata\":{\"name\":\"f\"},\"spec\":{\"finalizers\":[\"nodomain\"]}}");
}

/* A Scale changes the number of replicas and nothing else, whatever it says of the object's metadata and status. */
static void test_scale_endpoints(void **state)
{
	static const struct {
		const char *path, *create;
	} scaled[] = {
		{ APPS "deployments", "{\"replicas\":1," MATCH TEMPLATE "}" },
		{ APPS "replicasets", "{\"replicas\":1," MATCH TEMPLATE "}" },
		{ APPS "statefulsets", "{\"replicas\":1,\"serviceName\":\"s\"," MATCH TEMPLATE "}" },
		{ CORE "replicationcontrollers", "{\"replicas\":1,\"selector\":{\"a\":\"b\"}," TEMPLATE "}" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(scaled); i++) {
		char *path = arena_printf(&r->arena, "%s/w", scaled[i].path);
		char *scale = arena_printf(&r->arena, "%s/scale", path);
		const struct val *o;
		struct sv uid;

		expect(r, 201, "POST", scaled[i].path,
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"w\",\"labels\":{\"l\":\"1\"}},\"spec\":%s}",
				    scaled[i].create));
		o = expect(r, 200, "GET", scale, NULL);
		assert_val(val_get(o, F_kind), "Scale");
		assert_val(val_get(o, F_apiVersion), "autoscaling/v1");
		assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 1);
		assert_int_equal(val_get_int(o, -1, F_status, F_replicas), 0);
		assert_val(val_get(o, F_status, F_selector), "a=b");
		uid = val_get_str(o, F_metadata, F_uid);
		assert_true(uid.n > 0);
		o = expect_type(r, 200, "PATCH", scale, MERGE,
				"{\"metadata\":{\"labels\":{\"l\":\"2\"},\"annotations\":{\"x\":\"y\"},\"finalizers\":["
				"\"x.io/y\"]},"
				"\"spec\":{\"replicas\":3},\"status\":{\"replicas\":9,\"selector\":\"x=y\"}}");
		assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 3);
		o = expect(r, 200, "GET", path, NULL);
		assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 3);
		assert_int_equal(val_get_int(o, 0, F_status, F_replicas), 0);
		assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 2);
		assert_val(val_member_sv(val_get(o, F_metadata, F_labels), SV("l")), "1");
		assert_null(val_get(o, F_metadata, F_annotations));
		assert_null(val_get(o, F_metadata, F_finalizers));
		/* Nothing is no number: a Scale without one is for none. */
		o = expect(r, 200, "PUT", scale,
			   "{\"metadata\":{\"name\":\"w\",\"namespace\":\"default\"},\"spec\":{}}");
		assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 0);
		assert_int_equal(val_get_int(expect(r, 200, "GET", path, NULL), -1, F_spec, F_replicas), 0);
		/* Of which object and which version it speaks counts. */
		expect(r, 409, "PUT", scale,
		       "{\"metadata\":{\"name\":\"w\",\"namespace\":\"default\",\"resourceVersion\":\"1\"},\"spec\":{"
		       "\"replicas\":5}}");
		expect(r, 409, "PUT", scale,
		       "{\"metadata\":{\"name\":\"w\",\"namespace\":\"default\",\"uid\":\"other\"},\"spec\":{"
		       "\"replicas\":5}}");
		expect(r, 400, "PUT", scale, "{\"metadata\":{\"name\":\"v\",\"namespace\":\"default\"},\"spec\":{}}");
		expect_status(
		    r, 422, "Invalid", "spec.replicas: Invalid value: -1",
		    &(struct ask){
			.method = "PATCH", .path = scale, .type = MERGE, .body = "{\"spec\":{\"replicas\":-1}}" });
		expect(r, 405, "DELETE", scale, NULL);
		expect(r, 405, "POST", scale, "{}");
		assert_int_equal(val_get_int(expect(r, 200, "GET", path, NULL), -1, F_spec, F_replicas), 0);
	}
}

/* Of kinds without a status: everything is the main endpoint's, and there is no other; what may not change does not. */
static void test_without_status(void **state)
{
	static const struct {
		const char *path, *name, *create, *change, *at;
		bool unconditional;	  /* an update need not say which version it is of */
		const char *wrong, *says; /* of the spec: what an update may not do */
	} rows[] = {
		{ "/apis/storage.k8s.io/v1/csinodes", "n1",
		  "{\"drivers\":[{\"name\":\"a.io\",\"nodeID\":\"1\",\"topologyKeys\":null}]}",
		  "{\"drivers\":[{\"name\":\"a.io\",\"nodeID\":\"1\",\"topologyKeys\":null},{\"name\":\"b.io\","
		  "\"nodeID\":\"2\","
		  "\"topologyKeys\":null}]}",
		  "spec.drivers", false, "{\"drivers\":[{\"name\":\"a.io\",\"nodeID\":\"9\",\"topologyKeys\":null}]}",
		  "field is immutable" },
		{ "/apis/networking.k8s.io/v1/ipaddresses", "10.43.7.7",
		  "{\"parentRef\":{\"resource\":\"services\",\"namespace\":\"default\",\"name\":\"s\"}}", "{}",
		  "spec.parentRef", true,
		  "{\"parentRef\":{\"resource\":\"services\",\"namespace\":\"default\",\"name\":\"t\"}}",
		  "field is immutable" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char *path = arena_printf(&r->arena, "%s/%s", rows[i].path, rows[i].name);
		char *status = arena_printf(&r->arena, "%s/status", path), *body;
		const struct val *o;

		o = expect(r, 201, "POST", rows[i].path,
			   arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"spec\":%s}", rows[i].name,
					rows[i].create));
		assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 0);
		o = expect_type(r, 200, "PATCH", path, MERGE,
				arena_printf(&r->arena, CHANGE, "main", "main", "main", rows[i].change, "{}"));
		assert_via(path, o, "main", "main");
		assert_non_null(at(o, rows[i].at));
		assert_null(val_get(o, F_status));
		assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), 0);
		expect_type(r, 404, "PATCH", status, MERGE, "{}");
		expect(r, 404, "GET", status, NULL);
		expect_status(r, 422, "Invalid", rows[i].says,
			      &(struct ask){ .method = "PATCH",
					     .path = path,
					     .type = MERGE,
					     .body = arena_printf(&r->arena, "{\"spec\":%s}", rows[i].wrong) });
		body = arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"spec\":%s}", rows[i].name,
				    rows[i].create);
		if (rows[i].unconditional)
			expect(r, 200, "PUT", path, body);
		else
			expect_status(r, 422, "Invalid",
				      "metadata.resourceVersion: Invalid value: 0x0: must be specified for an update",
				      &(struct ask){ .method = "PUT", .path = path, .body = body });
	}
}

/* Generations that count something else than the spec. */
static void test_generations(void **state)
{
	static const struct {
		const char *path, *create, *change;
		int created, changed;
	} rows[] = {
		{ APPS "deployments", "\"spec\":{" MATCH TEMPLATE "}", "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}", 1,
		  1 },
		{ APPS "deployments", "\"spec\":{" MATCH TEMPLATE "}", "{\"metadata\":{\"annotations\":{\"x\":\"1\"}}}",
		  1, 2 },
		{ APPS "replicasets", "\"spec\":{" MATCH TEMPLATE "}", "{\"metadata\":{\"annotations\":{\"x\":\"1\"}}}",
		  1, 1 },
		{ "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
		  "\"addressType\":\"IPv4\",\"endpoints\":[]", "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}", 1, 2 },
		{ "/apis/scheduling.k8s.io/v1/priorityclasses", "\"value\":1", "{\"description\":\"x\"}", 1, 1 },
		{ "/apis/storage.k8s.io/v1/csidrivers", "\"spec\":{}", "{\"metadata\":{\"labels\":{\"x\":\"1\"}}}", 0,
		  0 },
		{ "/apis/storage.k8s.io/v1/csidrivers", "\"spec\":{}", "{\"spec\":{\"requiresRepublish\":true}}", 0,
		  1 },
		{ CORE "configmaps", "\"data\":{}", "{\"data\":{\"a\":\"b\"}}", 0, 0 },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char body[512], path[128];
		const struct val *o;

		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"g%zu\"},%s}", i, rows[i].create);
		o = expect(r, 201, "POST", rows[i].path, body);
		assert_int_equal(val_get_int(o, 0, F_metadata, F_generation), rows[i].created);
		(void)snprintf(path, sizeof(path), "%s/g%zu", rows[i].path, i);
		o = expect_type(r, 200, "PATCH", path, MERGE, rows[i].change);
		if (val_get_int(o, 0, F_metadata, F_generation) != rows[i].changed)
			fail_msg("%s %s", path, rows[i].change);
	}
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { T(test_endpoints),	T(test_pod_endpoints),	 T(test_rarer_endpoints),
					    T(test_finalize),	T(test_scale_endpoints), T(test_without_status),
					    T(test_generations) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
