/* What is special about kinds, and who may do what: through the whole pipeline. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"

#include "store/store.h"

#include "codec/json.h"
#include "codec/pbwire.h"

#include <stdio.h>

#define NS "/api/v1/namespaces/default"
#define MERGE "application/merge-patch+json"

static void make_default_sa(struct rig *r)
{
	expect(r, 201, "POST", NS "/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
}

/* Whose a pod is: named by either name, and "default" by none; whether it finds a token is its own to say, then the
 * account's; a mount of its own at that place is left alone. */
static void test_account_of_a_pod(void **state)
{
	static const struct {
		const char *spec, *account;
		bool token;
	} table[] = {
		{ "", "default", true },
		{ "\"serviceAccountName\":\"robot\",", "robot", true },
		{ "\"serviceAccount\":\"robot\",", "robot", true },
		{ "\"serviceAccountName\":\"robot\",\"serviceAccount\":\"shy\",", "robot", true },
		{ "\"serviceAccountName\":\"shy\",", "shy", false },
		{ "\"serviceAccountName\":\"shy\",\"automountServiceAccountToken\":true,", "shy", true },
		{ "\"automountServiceAccountToken\":false,", "default", false },
	};
	struct rig *r = *state;

	make_default_sa(r);
	expect(r, 201, "POST", NS "/serviceaccounts",
	       "{\"metadata\":{\"name\":\"robot\"},\"imagePullSecrets\":[{\"name\":\"pull\"}]}");
	expect(r, 201, "POST", NS "/serviceaccounts",
	       "{\"metadata\":{\"name\":\"shy\"},\"automountServiceAccountToken\":false}");
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		const struct val *p = expect(
		    r, 201, "POST", NS "/pods",
		    arena_printf(&r->arena,
				 "{\"metadata\":{\"name\":\"p%zu\"},\"spec\":{%s\"containers\":[{\"name\":\"c\","
				 "\"image\":\"i\"},{"
				 "\"name\":\"own\",\"image\":\"i\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/"
				 "var/run/secrets/"
				 "kubernetes.io/serviceaccount\"}]}],\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}",
				 i, table[i].spec));
		const struct val *spec = val_get(p, F_spec), *c = val_get(spec, F_containers);

		assert_val(val_get(spec, F_serviceAccountName), table[i].account);
		assert_val(val_get(spec, F_serviceAccount), table[i].account);
		assert_int_equal(val_len(val_get(spec, F_volumes)), 1 + table[i].token);
		assert_int_equal(val_len(val_get(val_at(c, 0), F_volumeMounts)), table[i].token);
		assert_int_equal(val_len(val_get(val_at(c, 1), F_volumeMounts)), 1);
		assert_val(val_get(val_at(val_get(val_at(c, 1), F_volumeMounts), 0), F_name), "v");
		assert_int_equal(val_len(val_get(spec, F_imagePullSecrets)), !strcmp(table[i].account, "robot"));
	}
	expect_status(r, 403, "Forbidden", "serviceaccount \"none\" not found",
		      &(struct ask){ .method = "POST",
				     .path = NS "/pods",
				     .body = "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"serviceAccountName\":\"none\","
					     "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}" });
}

/* Fields of features that are off at their stage are dropped, of pods and of templates, created and changed. */
static void test_dropped_fields(void **state)
{
#define USED "\"defaultUser\":5,\"items\":[{\"key\":\"k\",\"path\":\"p\",\"user\":5}]"
#define ITEM "\"items\":[{\"path\":\"p\",\"user\":5,\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}]"
#define OFF_POD                                                                                                      \
	"\"schedulingGroup\":{\"podGroupName\":\"g\"},"                                                              \
	"\"evictionResponders\":[{\"name\":\"a.b/c\",\"priority\":1}],\"volumes\":["                                 \
	"{\"name\":\"a\",\"emptyDir\":{\"mode\":511}},{\"name\":\"b\",\"secret\":{\"secretName\":\"s\"," USED "}},"  \
	"{\"name\":\"d\",\"configMap\":{\"name\":\"s\"," USED                                                        \
	"}},{\"name\":\"e\",\"downwardAPI\":{\"defaultUser\":5," ITEM                                                \
	"}},{\"name\":\"f\",\"projected\":{\"defaultUser\":5,\"sources\":[{\"serviceAccountToken\":{\"path\":\"t\"," \
	"\"user\":5}},{\"downwardAPI\":{" ITEM                                                                       \
	"}}]}}],\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"lifecycle\":{"                                     \
	"\"stopSignal\":\"SIGUSR1\"},\"volumeMounts\":[{\"name\":\"a\",\"mountPath\":\"/a\",\"bindMountOptions\":["  \
	"\"noexec\"]}],\"livenessProbe\":{\"httpGet\":{\"port\":1,\"protocol\":\"HTTP2\"}},\"readinessProbe\":{"     \
	"\"grpc\":{\"port\":1,\"mode\":\"TLS\"}}}]"
#define OFF_RC \
	"{\"selector\":{\"a\":\"b\"},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{" OFF_POD "}}}"
	static const char *const words[] = {
		"schedulingGroup", "evictionResponders", "511",	  "user", "defaultUser",
		"stopSignal",	   "bindMountOptions",	 "HTTP2", "TLS",  "\"scheduling\""
	};
	static const struct {
		const char *method, *path, *type, *body;
		int code;
	} rows[] = {
		{ "POST", NS "/pods?fieldValidation=Strict", NULL,
		  "{\"metadata\":{\"name\":\"p\"},\"spec\":{" OFF_POD "}}", 201 },
		{ "POST", NS "/replicationcontrollers", NULL, "{\"metadata\":{\"name\":\"rc\"},\"spec\":" OFF_RC "}",
		  201 },
		{ "PATCH", NS "/replicationcontrollers/rc", MERGE, "{\"spec\":" OFF_RC "}", 200 },
		{ "PATCH", NS "/replicationcontrollers/rc", "application/strategic-merge-patch+json",
		  "{\"spec\":" OFF_RC "}", 200 },
		{ "PATCH", NS "/replicationcontrollers/ra?fieldManager=m&fieldValidation=Strict",
		  "application/apply-patch+yaml",
		  "{\"apiVersion\":\"v1\",\"kind\":\"ReplicationController\",\"metadata\":{\"name\":\"ra\"},"
		  "\"spec\":" OFF_RC "}",
		  201 },
		{ "POST", "/apis/batch/v1/namespaces/default/jobs?fieldValidation=Strict", NULL,
		  "{\"metadata\":{\"name\":\"j\"},\"spec\":{\"scheduling\":{\"disruptionMode\":{}},\"template\":{"
		  "\"spec\":{"
		  "\"restartPolicy\":\"Never\"," OFF_POD "}}}}",
		  201 },
	};
	struct rig *r = *state;

	make_default_sa(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		json_encode(
		    &b, val_get(expect_type(r, rows[i].code, rows[i].method, rows[i].path, rows[i].type, rows[i].body),
				F_spec));
		for (size_t k = 0; k < ARRAY_LEN(words); k++)
			if (strstr(buf_cstr(&b), words[k]))
				fail_msg("%s %s keeps %s: %s", rows[i].method, rows[i].path, words[k], buf_cstr(&b));
	}
}

/* An entry of a keyed list without its key: stored, but nobody's, and with it nothing of the object is anybody's. */
static void test_secrets_without_names(void **state)
{
	struct rig *r = *state;
	const struct val *a =
	    expect(r, 201, "POST", NS "/serviceaccounts",
		   "{\"metadata\":{\"name\":\"a\"},\"secrets\":[{\"kind\":\"Secret\"},{\"name\":\"s\"}]}");

	assert_int_equal(val_len(val_get(a, F_secrets)), 2);
	assert_null(val_get(a, F_metadata, F_managedFields));
	a = expect(r, 201, "POST", NS "/serviceaccounts",
		   "{\"metadata\":{\"name\":\"b\"},\"secrets\":[{\"name\":\"s\"}]}");
	assert_int_equal(val_len(val_get(a, F_metadata, F_managedFields)), 1);
	expect_status(
	    r, 500, "", "associative list with keys has an element that omits key field \"name\"",
	    &(struct ask){ .method = "PATCH",
			   .path = NS "/serviceaccounts/c?fieldManager=m",
			   .type = "application/apply-patch+yaml",
			   .body = "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":{\"name\":\"c\"},"
				   "\"secrets\":[{\"kind\":\"y\"}]}" });
}

static void test_pod_defaults(void **state)
{
	struct rig *r = *state;
	const struct val *p, *spec, *c;

	make_default_sa(r);
	p = expect(
	    r, 201, "POST", NS "/pods",
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x:latest\","
	    "\"resources\":{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}},{\"name\":\"d\",\"image\":\"x:1\"}]}}");
	spec = val_get(p, F_spec);
	c = val_at(val_get(spec, F_containers), 0);
	assert_val(val_get(c, F_imagePullPolicy), "Always");
	assert_val(val_get(val_at(val_get(spec, F_containers), 1), F_imagePullPolicy), "IfNotPresent");
	assert_val(val_member_sv(val_get(c, F_resources, F_requests), SV("memory")), "1Gi");
	assert_val(val_get(spec, F_serviceAccountName), "default");
	assert_val(val_get(p, F_status, F_qosClass), "Burstable");
	assert_val(val_get(p, F_status, F_phase), "Pending");
	assert_int_equal(val_get_int(spec, -1, F_priority), 0);
	/* not-ready and unreachable */
	assert_int_equal(val_len(val_get(spec, F_tolerations)), 2);
	/* the token volume and its mount in each container */
	assert_int_equal(val_len(val_get(spec, F_volumes)), 1);
	assert_int_equal(val_len(val_get(c, F_volumeMounts)), 1);
	assert_val(val_get(val_at(val_get(c, F_volumeMounts), 0), F_mountPath),
		   "/var/run/secrets/kubernetes.io/serviceaccount");
	/* A name that cannot be read has no tag, so none that is "latest". */
	p = expect(r, 201, "POST", NS "/pods",
		   "{\"metadata\":{\"name\":\"n\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"repo.example/"
		   "<project>/app\"},"
		   "{\"name\":\"d\",\"image\":\"r:5000/x\"},{\"name\":\"e\",\"image\":\"x:\"}]}}");
	assert_val(val_get(val_at(val_get(p, F_spec, F_containers), 0), F_imagePullPolicy), "IfNotPresent");
	assert_val(val_get(val_at(val_get(p, F_spec, F_containers), 1), F_imagePullPolicy), "Always");
	assert_val(val_get(val_at(val_get(p, F_spec, F_containers), 2), F_imagePullPolicy), "IfNotPresent");
	/* A template is not a pod: its requests stay open, and so do its host's ports. */
	p = expect(
	    r, 201, "POST", "/apis/apps/v1/namespaces/default/daemonsets",
	    "{\"metadata\":{\"name\":\"t\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{"
	    "\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"hostNetwork\":true,\"containers\":[{\"name\":\"c\","
	    "\"image\":\"x\",\"ports\":[{\"containerPort\":80}],\"resources\":{\"limits\":{\"cpu\":\"1\"}}}]}}}}");
	c = val_at(val_get(p, F_spec, F_template, F_spec, F_containers), 0);
	assert_val(val_get(c, F_imagePullPolicy), "Always");
	assert_null(val_get(c, F_resources, F_requests));
	assert_null(val_get(val_at(val_get(c, F_ports), 0), F_hostPort));
}

/* A new object has the status that Go writes of a zero struct: clients look into it without asking. */
/* There are no RuntimeClasses: none of a name, and no overhead that one would define. */
static void test_runtime_class(void **state)
{
	struct rig *r = *state;

	make_default_sa(r);
	expect_status(r, 403, "Forbidden", "pods \"p\" is forbidden: pod rejected: RuntimeClass \"kata\" not found",
		      &(struct ask){ .method = "POST",
				     .path = NS "/pods",
				     .body = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"runtimeClassName\":\"kata\","
					     "\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}" });
	expect_status(
	    r, 403, "Forbidden",
	    "pods \"p\" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined "
	    "Overhead",
	    &(struct ask){ .method = "POST",
			   .path = NS "/pods",
			   .body = "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"overhead\":{\"cpu\":\"1\"},"
				   "\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}" });
}

static void test_empty_status(void **state)
{
	static const char pod[] = "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{"
				  "\"name\":\"c\",\"image\":\"x\"}]}}}}";
#define WORK "{\"metadata\":{\"name\":\"w\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
	static const struct {
		const char *path, *body, *status;
		bool template;
	} rows[] = {
		{ "/apis/apps/v1/namespaces/default/deployments", WORK, "{}", true },
		{ "/apis/apps/v1/namespaces/default/replicasets", WORK, "{\"replicas\":0}", true },
		{ "/apis/apps/v1/namespaces/default/statefulsets", WORK, "{\"replicas\":0,\"availableReplicas\":0}",
		  true },
		{ "/apis/apps/v1/namespaces/default/daemonsets", WORK,
		  "{\"currentNumberScheduled\":0,\"numberMisscheduled\":0,\"desiredNumberScheduled\":0,"
		  "\"numberReady\":0}",
		  true },
		{ "/api/v1/namespaces/default/replicationcontrollers",
		  "{\"metadata\":{\"name\":\"w\"},\"status\":{\"replicas\":7},\"spec\":{\"selector\":{\"a\":\"b\"},",
		  "{\"replicas\":0}", true },
		{ "/apis/policy/v1/namespaces/default/poddisruptionbudgets", "{\"metadata\":{\"name\":\"w\"}}",
		  "{\"disruptionsAllowed\":0,\"currentHealthy\":0,\"desiredHealthy\":0,\"expectedPods\":0}", false },
		{ "/apis/batch/v1/namespaces/default/cronjobs",
		  "{\"metadata\":{\"name\":\"w\"},\"spec\":{\"schedule\":\"@daily\",\"jobTemplate\":{\"spec\":{"
		  "\"template\":"
		  "{\"spec\":{\"restartPolicy\":\"Never\",\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}}}}}",
		  "{}", false },
		{ "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
		  "{\"metadata\":{\"name\":\"w\"},\"spec\":{\"defaultBackend\":{\"service\":{\"name\":\"s\",\"port\":{"
		  "\"number\":80}}}}}",
		  "{\"loadBalancer\":{}}", false },
		{ "/api/v1/namespaces/default/services",
		  "{\"metadata\":{\"name\":\"w\"},\"spec\":{\"ports\":[{\"port\":80}]}}", "{\"loadBalancer\":{}}",
		  false },
	};
#undef WORK
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf got = BUF_INIT;
		char body[512];
		const struct val *o;

		(void)snprintf(body, sizeof(body), "%s%s", rows[i].body, rows[i].template ? pod : "");
		o = expect(r, 201, "POST", rows[i].path, body);
		json_encode(&got, val_get(o, F_status));
		if (!sv_is(buf_sv(&got), rows[i].status))
			fail_msg("%s: %s", rows[i].path, buf_cstr(&got));
		VAL_EACH(val_get(o, F_metadata, F_managedFields), m)
			assert_null(val_member_sv(val_get(m, F_fieldsV1), SV("f:status")));
	}
}

static void test_gated_pod(void **state)
{
	struct rig *r = *state;
	const struct val *c;

	make_default_sa(r);
	c = val_at(
	    val_get(expect(r, 201, "POST", NS "/pods",
			   "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"schedulingGates\":[{\"name\":\"x.io/g\"}],"
			   "\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}"),
		    F_status, F_conditions),
	    0);
	assert_val(val_get(c, F_type), "PodScheduled");
	assert_val(val_get(c, F_status), "False");
	assert_val(val_get(c, F_reason), "SchedulingGated");
}

/* Subresources of a pod change what they are named after, whatever else the body says. */
static void test_pod_subresources_are_narrow(void **state)
{
	static const char *const strategic = "application/strategic-merge-patch+json";
	struct rig *r = *state;
	const struct val *p, *c;

	make_default_sa(r);
	expect(
	    r, 201, "POST", NS "/pods",
	    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\",\"resources\":{"
	    "\"requests\":{\"cpu\":\"100m\"},\"limits\":{\"cpu\":\"200m\"}}}]}}");
	p = expect_type(
	    r, 200, "PATCH", NS "/pods/p/resize", strategic,
	    "{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"nodeName\":\"evil\",\"containers\":[{\"name\":"
	    "\"c\",\"image\":\"evil\",\"resources\":{\"limits\":{\"cpu\":\"300m\"}}}]}}");
	c = val_at(val_get(p, F_spec, F_containers), 0);
	assert_val(val_get(c, F_image), "x");
	assert_val(val_member_sv(val_get(c, F_resources, F_limits), SV("cpu")), "300m");
	assert_val(val_member_sv(val_get(c, F_resources, F_requests), SV("cpu")), "100m");
	assert_null(val_get(p, F_spec, F_nodeName));
	assert_null(val_get(p, F_metadata, F_labels));
	assert_int_equal(val_get_int(p, 0, F_metadata, F_generation), 2);
	p = expect_type(
	    r, 200, "PATCH", NS "/pods/p/ephemeralcontainers", strategic,
	    "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"evil\"}],\"ephemeralContainers\":[{\"name\":"
	    "\"d\",\"image\":\"y\"}]}}");
	assert_val(val_get(val_at(val_get(p, F_spec, F_containers), 0), F_image), "x");
	assert_int_equal(val_len(val_get(p, F_spec, F_ephemeralContainers)), 1);
	assert_int_equal(val_get_int(p, 0, F_metadata, F_generation), 3);

	expect_status(r, 422, "Invalid", "Pod QOS Class may not change as a result of resizing",
		      &(struct ask){ .method = "PATCH",
				     .path = NS "/pods/p/resize",
				     .type = strategic,
				     .body = "{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"requests\":{"
					     "\"cpu\":\"1\",\"memory\":\"1Gi\"},\"limits\":{\"cpu\":\"1\",\"memory\":"
					     "\"1Gi\"}}}]}}" });
	expect_status(
	    r, 422, "Invalid", "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed",
	    &(struct ask){ .method = "PATCH",
			   .path = NS "/pods/p/resize",
			   .type = strategic,
			   .body = "{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"cpu\":"
				   "null}}}]}}" });
	expect_status(r, 422, "Invalid", "spec: Forbidden: only cpu and memory resources are mutable",
		      &(struct ask){ .method = "PATCH",
				     .path = NS "/pods/p/resize",
				     .type = strategic,
				     .body = "{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{"
					     "\"ephemeral-storage\":\"1Gi\"}}}]}}" });
}

static void test_binding(void **state)
{
	static const char body[] = "{\"metadata\":{\"name\":\"p\"},\"target\":{\"kind\":\"Node\",\"name\":\"n1\"}}";
	struct rig *r = *state;
	const struct val *p, *owners;

	make_default_sa(r);
	expect(r, 201, "POST", NS "/pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}");
	expect_status(
	    r, 500, "", "target.name: Required value",
	    &(struct ask){ .method = "POST", .path = NS "/pods/p/binding", .body = "{\"metadata\":{\"name\":\"p\"}}" });
	expect_status(r, 400, "BadRequest", "name in URL does not match name in Binding object",
		      &(struct ask){ .method = "POST", .path = NS "/pods/q/binding", .body = body });
	/* A dry run binds nothing. */
	expect(r, 201, "POST", NS "/pods/p/binding?dryRun=All", body);
	assert_null(val_get(expect(r, 200, "GET", NS "/pods/p", NULL), F_spec, F_nodeName));
	owners = val_get(expect(r, 200, "GET", NS "/pods/p", NULL), F_metadata, F_managedFields);
	expect(r, 201, "POST", NS "/pods/p/binding", body);
	p = expect(r, 200, "GET", NS "/pods/p", NULL);
	assert_val(val_get(p, F_spec, F_nodeName), "n1");
	/* Where it runs is nobody's. */
	assert_int_equal(val_len(owners), 1);
	assert_true(val_equal(val_get(p, F_metadata, F_managedFields), owners));
	expect_status(r, 409, "Conflict", "already assigned to node \"n1\"",
		      &(struct ask){ .method = "POST", .path = NS "/pods/p/binding", .body = body });
	/* a bound pod goes gracefully: first marked, then removed by its node */
	p = expect(r, 200, "DELETE", NS "/pods/p", NULL);
	assert_int_equal(val_get_int(p, -1, F_metadata, F_deletionGracePeriodSeconds), 30);
	expect(r, 200, "GET", NS "/pods/p", NULL);
	expect(r, 200, "DELETE", NS "/pods/p?gracePeriodSeconds=0", NULL);
	expect(r, 404, "GET", NS "/pods/p", NULL);
}

/* An empty list is stored as none, but who sent it owns it. */
static void test_empty_lists(void **state)
{
	static const char roles[] = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
			  none[] = "{\"metadata\":{\"name\":\"r\",\"labels\":{\"a\":\"b\"}}}",
			  empty[] = "{\"metadata\":{\"name\":\"r\",\"labels\":{\"a\":\"b\"}},\"rules\":[]}";
	const struct {
		const char *method, *body;
		int code;
		bool owned;
	} steps[] = {
		{ "POST", none, 201, false },
		{ "PUT", empty, 200, true },
		{ "DELETE", NULL, 200, true },
		{ "POST", empty, 201, true },
	};
	struct rig *r = *state;
	char path[100];

	snprintf(path, sizeof(path), "%s/r", roles);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		const struct val *v = expect(r, steps[i].code, steps[i].method,
					     strcmp(steps[i].method, "POST") == 0 ? roles : path, steps[i].body);

		if (!steps[i].body)
			continue;
		assert_int_equal(val_type(val_get(v, F_rules)), VAL_NULL);
		v = val_get(val_at(val_get(v, F_metadata, F_managedFields), 0), F_fieldsV1);
		assert_non_null(v);
		assert_int_equal(val_member_sv(v, SV("f:rules")) != NULL, steps[i].owned);
	}
}

static void test_service_addresses(void **state)
{
	struct rig *r = *state;
	const struct val *s;
	struct sv ip;

	s = expect(r, 201, "POST", NS "/services",
		   "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
	ip = val_get_str(s, F_spec, F_clusterIP);
	assert_true(sv_starts(ip, SV("10.43.")));
	assert_val(val_at(val_get(s, F_spec, F_clusterIPs), 0), arena_cstr(&r->arena, ip));
	assert_int_equal(val_get_int(val_at(val_get(s, F_spec, F_ports), 0), 0, F_targetPort), 80);
	assert_val(val_get(s, F_spec, F_internalTrafficPolicy), "Cluster");

	expect_status(
	    r, 422, "Invalid",
	    "spec.clusterIPs: Invalid value: [\"10.44.0.1\"]: failed to allocate IP 10.44.0.1: the provided network "
	    "does not match the current range",
	    &(struct ask){ .method = "POST",
			   .path = NS "/services",
			   .body = "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"clusterIP\":\"10.44.0.1\","
				   "\"ports\":[{\"port\":80}]}}" });
	/* taken; and what the failed create had reserved is free again */
	expect_status(
	    r, 422, "Invalid", "provided IP is already allocated",
	    &(struct ask){ .method = "POST",
			   .path = NS "/services",
			   .body = arena_printf(
			       &r->arena,
			       "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"type\":\"NodePort\",\"clusterIP\":\"%.*s\","
			       "\"ports\":[{\"port\":80,\"nodePort\":30123}]}}",
			       SV_ARG(ip)) });
	expect(r, 201, "POST", NS "/services",
	       "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,\"nodePort\":"
	       "30123}]}}");
	expect_status(r, 422, "Invalid", "provided port is already allocated",
		      &(struct ask){ .method = "POST",
				     .path = NS "/services",
				     .body = "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"type\":\"NodePort\",\"ports\":"
					     "[{\"port\":80,\"nodePort\":30123}]}}" });
	/* deleted: both can be had again */
	expect(r, 200, "DELETE", NS "/services/b", NULL);
	expect(r, 200, "DELETE", NS "/services/a", NULL);
	expect(r, 201, "POST", NS "/services",
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"type\":\"NodePort\",\"clusterIP\":\"%.*s\","
			    "\"ports\":[{\"port\":80,"
			    "\"nodePort\":30123}]}}",
			    SV_ARG(ip)));
	/* a restart knows what is taken from what is stored */
	rig_restart(r);
	expect_status(
	    r, 422, "Invalid", "provided IP is already allocated",
	    &(struct ask){
		.method = "POST",
		.path = NS "/services",
		.body = arena_printf(
		    &r->arena,
		    "{\"metadata\":{\"name\":\"e\"},\"spec\":{\"clusterIP\":\"%.*s\",\"ports\":[{\"port\":80}]}}",
		    SV_ARG(ip)) });
}

/* What only the old type needed goes with it, as a client's patch of nothing but the type expects. */
/* What a client leaves out of a Service it has written is filled in again: to send it once more changes nothing. */
static void test_service_sent_again(void **state)
{
	static const char *const specs[] = {
		"\"ports\":[{\"port\":80}]",
		"\"type\":\"NodePort\",\"ports\":[{\"port\":80}]",
		"\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\",\"ports\":[{\"port\":80}]",
		"\"clusterIP\":\"None\"",
		"\"type\":\"ExternalName\",\"externalName\":\"a.b\"",
	};
	struct rig *r = *state;
	char body[200], path[100];
	int64_t rev;

	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		snprintf(path, sizeof(path), "%s/%zus", NS "/services", i); /* a name may begin with a digit */
		snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%zus\"},\"spec\":{%s}}", i, specs[i]);
		rev = rev_of(expect(r, 201, "POST", NS "/services", body));
		assert_int_equal(rev_of(expect(r, 200, "PUT", path, body)), rev);
		assert_int_equal(rev_of(expect(r, 200, "GET", path, NULL)), rev);
	}
	/* Nothing was taken for it: there is another address for another Service. */
	expect(r, 201, "POST", NS "/services",
	       "{\"metadata\":{\"name\":\"more\"},\"spec\":{\"ports\":[{\"port\":80}]}}");
}

/* An applied configuration that spells values in another way, or leaves out what becomes of it, differs from the object
 * each time, but makes no other object of it: neither a version nor a time tells that it was applied again. */
static void test_applied_again(void **state)
{
	static const struct {
		const char *path, *body;
	} rows[] = {
		{ NS "/limitranges/l", "{\"apiVersion\":\"v1\",\"kind\":\"LimitRange\",\"metadata\":{\"name\":\"l\"},"
				       "\"spec\":{\"limits\":[{\"type\":"
				       "\"Container\",\"max\":{\"memory\":\"1024Mi\"}}]}}" },
		{ "/apis/apps/v1/namespaces/default/deployments/d",
		  "{\"apiVersion\":\"apps/"
		  "v1\",\"kind\":\"Deployment\",\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{"
		  "\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{"
		  "\"containers\":[{"
		  "\"name\":\"c\",\"image\":\"i\",\"resources\":{\"limits\":{\"cpu\":1,\"memory\":\"0.5Gi\"}}}]}}}}" },
	};
	struct rig *r = *state;
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct val *first, *again;

		snprintf(path, sizeof(path), "%s?fieldManager=m", rows[i].path);
		first = expect_type(r, 201, "PATCH", path, "application/apply-patch+yaml", rows[i].body);
		rig_run(r, 5 * NS_PER_SEC);
		again = expect_type(r, 200, "PATCH", path, "application/apply-patch+yaml", rows[i].body);
		assert_true(val_equal(first, again));
	}
}

/* Owners are compared where there are some: a store that was filled elsewhere may have an empty list. */
static void test_empty_owners(void **state)
{
	struct rig *r = *state;
	struct store_write w = { .key = SV("/registry/configmaps/default/bare"),
				 .value =
				     SV("{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"bare\","
					"\"namespace\":\"default\",\"uid\":\"u\",\"managedFields\":[]}}"),
				 .expect_rev = STORE_ANY_REV };

	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, NS_PER_MS);
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/default/configmaps/bare", "application/merge-patch+json",
		    "{}");
}

static void test_service_changes_type(void **state)
{
	struct rig *r = *state;
	const struct val *spec;
	int64_t port;

	expect(r, 201, "POST", NS "/services",
	       "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"type\":\"LoadBalancer\",\"externalTrafficPolicy\":\"Local\","
	       "\"ports\":[{\"name\":\"x\",\"port\":80},{\"name\":\"y\",\"port\":81}]}}");
	spec = val_get(expect(r, 200, "GET", NS "/services/a", NULL), F_spec);
	port = val_get_int(spec, 0, F_healthCheckNodePort);
	assert_in_range(port, 30000, 32767);
	assert_int_not_equal(port, val_get_int(val_at(val_get(spec, F_ports), 0), 0, F_nodePort));

	spec = val_get(expect_type(r, 200, "PATCH", NS "/services/a", MERGE, "{\"spec\":{\"type\":\"NodePort\"}}"),
		       F_spec);
	assert_null(val_get(spec, F_healthCheckNodePort));
	assert_null(val_get(spec, F_allocateLoadBalancerNodePorts));
	assert_val(val_get(spec, F_externalTrafficPolicy), "Local");
	assert_int_not_equal(val_get_int(val_at(val_get(spec, F_ports), 0), 0, F_nodePort), 0);

	spec = val_get(expect_type(r, 200, "PATCH", NS "/services/a", MERGE, "{\"spec\":{\"type\":\"ClusterIP\"}}"),
		       F_spec);
	assert_null(val_get(spec, F_externalTrafficPolicy));
	assert_null(val_get(val_at(val_get(spec, F_ports), 0), F_nodePort));
	assert_true(val_get_str(spec, F_clusterIP).n > 0);

	expect_type(r, 200, "PATCH", NS "/services/a", MERGE, "{\"spec\":{\"type\":\"NodePort\"}}");
	spec = val_get(expect_type(r, 200, "PATCH", NS "/services/a", MERGE,
				   "{\"spec\":{\"type\":\"ExternalName\",\"externalName\":\"x.y\"}}"),
		       F_spec);
	assert_null(val_get(spec, F_clusterIP));
	assert_null(val_get(spec, F_ipFamilies));
	assert_null(val_get(spec, F_externalTrafficPolicy));
	assert_null(val_get(val_at(val_get(spec, F_ports), 1), F_nodePort));

	/* the health port was given back */
	expect(r, 201, "POST", NS "/services",
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,"
			    "\"nodePort\":%" PRId64 "}]}}",
			    port));
	/* what the client changed in the same breath is its own mistake */
	expect_status(r, 422, "Invalid", "may not be used when `type` is 'ClusterIP'",
		      &(struct ask){ .method = "PATCH",
				     .path = NS "/services/b",
				     .type = MERGE,
				     .body = "{\"spec\":{\"type\":\"ClusterIP\",\"ports\":[{\"port\":80,"
					     "\"nodePort\":30999}]}}" });
}

#define NODE_PORT(spec, i) val_get_int(val_at(val_get(spec, F_ports), i), 0, F_nodePort)

static void test_service_ports_of_one_number(void **state)
{
	struct rig *r = *state;
	const struct val *spec;
	int64_t port;

	/* One number, two protocols, one node port. */
	spec = val_get(expect(r, 201, "POST", NS "/services",
			      "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"type\":\"NodePort\",\"ports\":["
			      "{\"name\":\"t\",\"port\":53},{\"name\":\"h\",\"port\":80},"
			      "{\"name\":\"u\",\"port\":53,\"protocol\":\"UDP\"}]}}"),
		       F_spec);
	port = NODE_PORT(spec, 0);
	assert_in_range(port, 30000, 32767);
	assert_int_equal(NODE_PORT(spec, 2), port);
	assert_int_not_equal(NODE_PORT(spec, 1), port);
	/* What any of them asks for is all of theirs; who asks for another has that. */
	spec = val_get(expect(r, 201, "POST", NS "/services",
			      "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"type\":\"NodePort\",\"ports\":["
			      "{\"name\":\"t\",\"port\":53},"
			      "{\"name\":\"u\",\"port\":53,\"protocol\":\"UDP\",\"nodePort\":30053},"
			      "{\"name\":\"s\",\"port\":53,\"protocol\":\"SCTP\",\"nodePort\":30054}]}}"),
		       F_spec);
	assert_int_equal(NODE_PORT(spec, 0), 30053);
	assert_int_equal(NODE_PORT(spec, 1), 30053);
	assert_int_equal(NODE_PORT(spec, 2), 30054);
	/* A Service that is there: each its own. */
	spec = val_get(expect_type(r, 200, "PATCH", NS "/services/a", MERGE,
				   "{\"spec\":{\"ports\":[{\"name\":\"t\",\"port\":533},"
				   "{\"name\":\"u\",\"port\":533,\"protocol\":\"UDP\"}]}}"),
		       F_spec);
	assert_int_not_equal(NODE_PORT(spec, 0), NODE_PORT(spec, 1));
	/* The shared one was given back, once. */
	expect(r, 201, "POST", NS "/services",
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[{\"port\":80,"
			    "\"nodePort\":%" PRId64 "}]}}",
			    port));
}

/* A port that is chosen is none that a later one asks for. */
static void test_service_ports_chosen_and_asked(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	bool seen[100] = { false };
	struct rig *r = *state;
	const struct val *spec;

	buf_adds(&b, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"type\":\"NodePort\",\"ports\":[");
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "{\"name\":\"c%d\",\"port\":%d},", i, 1 + i);
	for (int i = 0; i < 100; i++)
		buf_printf(&b, "%s{\"name\":\"a%d\",\"port\":%d,\"nodePort\":%d}", i ? "," : "", i, 1001 + i,
			   30100 + i);
	buf_adds(&b, "]}}");
	spec = val_get(expect(r, 201, "POST", NS "/services", buf_cstr(&b)), F_spec);
	for (size_t i = 0; i < 200; i++) {
		int64_t port = NODE_PORT(spec, i);

		if (port < 30100 || port >= 30200)
			continue;
		assert_false(seen[port - 30100]);
		seen[port - 30100] = true;
	}
}

static void test_secret_string_data(void **state)
{
	struct rig *r = *state;
	const struct val *s = expect(r, 201, "POST", NS "/secrets",
				     "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"a\":\"hello\",\"b\":\"\"}}");

	assert_val(val_member_sv(val_get(s, F_data), SV("a")), "aGVsbG8=");
	assert_null(val_get(s, F_stringData));
	assert_val(val_get(s, F_type), "Opaque");
}

static void test_rbac(void **state)
{
	struct rig *r = *state;
	const struct ask list = { .method = "GET", .path = NS "/pods", .user = "jane" };

	expect_status(r, 403, "Forbidden",
		      "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the "
		      "namespace \"default\"",
		      &list);
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles",
	       "{\"metadata\":{\"name\":\"reader\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],"
	       "\"verbs\":[\"list\"]}]}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings",
	       "{\"metadata\":{\"name\":\"jane\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"Role\",\"name\":\"reader\"},"
	       "\"subjects\":[{\"kind\":\"User\",\"apiGroup\":\"rbac.authorization.k8s.io\",\"name\":\"jane\"}]}");
	answer_free(api_ask(r, &list));
	{
		struct answer *a = api_ask(r, &list);

		assert_int_equal(a->code, 200);
		answer_free(a);
	}
	/* only there, only that */
	expect_status(r, 403, "Forbidden", "in the namespace \"kube-system\"",
		      &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/kube-system/pods", .user = "jane" });
	expect_status(r, 403, "Forbidden", "cannot get resource",
		      &(struct ask){ .method = "GET", .path = NS "/pods/x", .user = "jane" });
	expect(r, 200, "DELETE", "/apis/rbac.authorization.k8s.io/v1/namespaces/default/rolebindings/jane", NULL);
	expect_status(r, 403, "Forbidden", "cannot list", &list);
}

static void test_access_review(void **state)
{
	static const char body[] = "{\"spec\":{\"user\":\"jane\",\"resourceAttributes\":{\"verb\":\"get\",\"resource\":"
				   "\"pods\",\"namespace\":\"default\"}}}";
	struct rig *r = *state;
	const struct val *v = expect(r, 201, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body);

	assert_false(val_get_bool(v, F_status, F_allowed));
	v = expect(r, 201, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
		   "{\"spec\":{\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\"}}}");
	assert_true(val_get_bool(v, F_status, F_allowed));
}

/* Questions that cannot be answered: everything that is wrong, and of no kind. */
static void test_access_review_faults(void **state)
{
#define REVIEWS "/apis/authorization.k8s.io/v1/"
#define ASK(selectors) "{\"spec\":{\"user\":\"u\",\"resourceAttributes\":{\"verb\":\"list\"," selectors "}}}"
#define AT "spec.resourceAttributes."
#define INVALID ".authorization.k8s.io \"\" is invalid: "
	static const struct {
		const char *path, *body, *want;
	} rows[] = {
		{ "subjectaccessreviews", "{}",
		  INVALID
		  "[spec.resourceAttributes: Invalid value: \"null\": exactly one of nonResourceAttributes or "
		  "resourceAttributes must be specified, spec.user: Invalid value: \"\": at least one of user or "
		  "group must be specified]" },
		{ "namespaces/default/localsubjectaccessreviews",
		  "{\"spec\":{\"user\":\"u\",\"nonResourceAttributes\":{\"path\":\"/x\",\"verb\":\"get\"}}}",
		  INVALID "spec.nonResourceAttributes: Invalid value: authorization.NonResourceAttributes{Path:\"/x\", "
			  "Verb:\"get\"}: disallowed on this kind of request" },
		{ "subjectaccessreviews",
		  ASK("\"fieldSelector\":{\"rawSelector\":\"a=b\",\"requirements\":[{\"key\":\"a\",\"operator\":\"In\","
		      "\"values\":[\"b\"]}]}"),
		  INVALID AT "fieldSelector.rawSelector: Invalid value: \"a=b\": may not specified at the same time as "
			     "requirements" },
		{ "subjectaccessreviews", ASK("\"labelSelector\":{}"),
		  INVALID AT
		  "labelSelector.requirements: Required value: when spec.resourceAttributes.labelSelector is "
		  "specified, requirements or rawSelector is required" },
		{ "subjectaccessreviews",
		  ASK("\"fieldSelector\":{\"requirements\":[{\"operator\":\"NotIn\"}]},\"labelSelector\":{"
		      "\"requirements\":"
		      "[{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"b\"]}]}"),
		  INVALID
		  "[" AT "fieldSelector.requirements[0].key: Required value: must be specified, " AT
		  "fieldSelector.requirements[0].values: Required value: must be specified when `operator` is 'In' "
		  "or 'NotIn', " AT "labelSelector.requirements[0].values: Forbidden: may not be specified when "
		  "`operator` is 'Exists' or 'DoesNotExist']" },
	};
	struct rig *r = *state;
	char path[128];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		snprintf(path, sizeof(path), "%s%s", REVIEWS, rows[i].path);
		expect_status(r, 422, "Invalid", rows[i].want,
			      &(struct ask){ .method = "POST", .path = path, .body = rows[i].body });
	}
	/* What a client to come may ask is no fault. */
	expect(r, 201, "POST", REVIEWS "subjectaccessreviews",
	       ASK("\"fieldSelector\":{\"requirements\":[{\"key\":\"a\",\"operator\":\"Like\",\"values\":[\"b\"]}]}"));
}

/* Leadership that the server arranges is off: a lease keeps what it has of it and gets no more. */
static void test_lease_strategy(void **state)
{
	static const char path[] = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
	struct rig *r = *state;
	const struct val *v =
	    expect(r, 201, "POST", path,
		   "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"h\",\"preferredHolder\":\"p\"}}");

	assert_val(val_get(v, F_spec, F_holderIdentity), "h");
	assert_null(val_get(v, F_spec, F_preferredHolder));
	v = expect(r, 201, "POST", path, "{\"metadata\":{\"name\":\"m\"}}");
	assert_int_equal(val_len(val_get(v, F_spec)), 0);
}

/* A node gets no configuration by way of the API any more. */
static void test_node_config(void **state)
{
	static const char source[] =
	    "\"configSource\":{\"configMap\":{\"namespace\":\"a\",\"name\":\"b\",\"kubeletConfigKey\":"
	    "\"k\"}}";
	struct rig *r = *state;
	const struct val *v;
	struct answer *a;
	char body[200];

	snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"n\"},\"spec\":{%s},\"status\":{\"config\":{}}}",
		 source);
	v = expect(r, 201, "POST", "/api/v1/nodes", body);
	assert_null(val_get(v, F_spec, F_configSource));
	assert_null(val_get(v, F_status, F_config));
	snprintf(body, sizeof(body), "{\"spec\":{%s}}", source);
	v = expect_type(r, 200, "PATCH", "/api/v1/nodes/n", "application/merge-patch+json", body);
	assert_null(val_get(v, F_spec, F_configSource));
	a = api(r, "POST", "/api/v1/nodes", .body = "{\"metadata\":{\"name\":\"m\"},\"spec\":{\"externalID\":\"x\"}}");
	assert_int_equal(a->code, 201);
	assert_int_equal(a->q.n_warnings, 1);
	assert_sv(a->q.warnings[0], "spec.externalID: this field is deprecated, and is unused by Kubernetes");
	answer_free(a);
}

static void test_priority(void **state)
{
	struct rig *r = *state;
	const struct val *p;

	make_default_sa(r);
	p = expect(r, 201, "POST", NS "/pods",
		   "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"priorityClassName\":\"system-node-critical\","
		   "\"containers\":[{\"name\":\"c\","
		   "\"image\":\"x\"}]}}");
	assert_int_equal(val_get_int(p, 0, F_spec, F_priority), 2000001000);
	expect_status(r, 403, "Forbidden", "no PriorityClass with name nothing was found",
		      &(struct ask){ .method = "POST",
				     .path = NS "/pods",
				     .body = "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"priorityClassName\":"
					     "\"nothing\",\"containers\":[{\"name\":\"c\","
					     "\"image\":\"x\"}]}}" });
}

/* Defaults that admission brings, on the verbs on which it does. */
static void test_mutating_admission(void **state)
{
	static const char ingress[] = "{\"metadata\":{\"name\":\"%s\"%s},\"spec\":{\"defaultBackend\":{\"service\":{"
				      "\"name\":\"s\",\"port\":{\"number\":80}}}}}";
	struct rig *r = *state;
	const struct val *o;
	char body[512];

	expect(r, 201, "POST", "/apis/networking.k8s.io/v1/ingressclasses",
	       "{\"metadata\":{\"name\":\"ic\",\"annotations\":{\"ingressclass.kubernetes.io/"
	       "is-default-class\":\"true\"}},"
	       "\"spec\":{\"controller\":\"x.io/c\"}}");
	(void)snprintf(body, sizeof(body), ingress, "a", "");
	o = expect(r, 201, "POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses", body);
	assert_val(val_get(o, F_spec, F_ingressClassName), "ic");
	(void)snprintf(body, sizeof(body), ingress, "b", ",\"annotations\":{\"kubernetes.io/ingress.class\":\"x\"}");
	o = expect(r, 201, "POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses", body);
	assert_null(val_get(o, F_spec, F_ingressClassName));
	/* on create alone: who takes it away is not corrected */
	o = expect_type(r, 200, "PATCH", "/apis/networking.k8s.io/v1/namespaces/default/ingresses/a", MERGE,
			"{\"spec\":{\"ingressClassName\":null}}");
	assert_null(val_get(o, F_spec, F_ingressClassName));
	expect(r, 403, "DELETE", "/apis/scheduling.k8s.io/v1/priorityclasses/system-node-critical", NULL);
	/* tolerations on updates, too */
	make_default_sa(r);
	expect(r, 201, "POST", NS "/pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}");
	expect(r, 404, "POST", "/api/v1/namespaces/nowhere/configmaps", "{\"metadata\":{}}");
	expect(
	    r, 403, "POST", NS "/pods",
	    "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"preemptionPolicy\":\"Never\",\"containers\":[{\"name\":\"c\","
	    "\"image\":\"x\"}]}}");
}

/* `source` is the component that reports. */
static void test_event_source_selector(void **state)
{
	struct rig *r = *state;
	const struct val *l;

	expect(
	    r, 201, "POST", NS "/events",
	    "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"namespace\":\"default\"},\"source\":{\"component\":"
	    "\"comp\"}}");
	l = expect(r, 200, "GET", NS "/events?fieldSelector=source%3Dcomp", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 1);
	l = expect(r, 200, "GET", NS "/events?fieldSelector=source%3Dother", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 0);
}

static void test_events_expire(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", NS "/events",
	       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":\"Pod\","
				       "\"namespace\":\"default\",\"name\":\"p\"},"
				       "\"reason\":\"R\",\"type\":\"Normal\"}"));
	rig_run(r, 59 * 60 * NS_PER_SEC);
	expect(r, 200, "GET", NS "/events/e", NULL);
	rig_run(r, 3 * 60 * NS_PER_SEC);
	expect(r, 404, "GET", NS "/events/e", NULL);
}

static void test_kubernetes_service_comes_back(void **state)
{
	struct rig *r = *state;
	struct sv ip = val_get_str(expect(r, 200, "GET", NS "/services/kubernetes", NULL), F_spec, F_clusterIP);

	expect(r, 200, "DELETE", NS "/services/kubernetes", NULL);
	rig_run(r, 61 * NS_PER_SEC);
	assert_val(val_get(expect(r, 200, "GET", NS "/services/kubernetes", NULL), F_spec, F_clusterIP),
		   arena_cstr(&r->arena, ip));
}

static const char *where_it_is(void *ctx)
{
	return *(const char **)ctx;
}

/* A laptop that goes to another network: pods find the API again within a minute. */
static void test_kubernetes_service_follows_the_machine(void **state)
{
	static const char *const slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
	struct rig *r = *state;
	const char *address = "192.0.2.5";
	const struct val *doc;

	r->server->o.find_address = where_it_is;
	r->server->o.find_ctx = &address;
	for (int i = 0; i < 2; i++) {
		rig_run(r, 61 * NS_PER_SEC);
		doc = val_at(val_get(expect(r, 200, "GET", slice, NULL), F_endpoints), 0);
		assert_val(val_at(val_get(doc, F_addresses), 0), address);
		doc = val_at(val_get(expect(r, 200, "GET", NS "/endpoints/kubernetes", NULL), F_subsets), 0);
		assert_val(val_get(val_at(val_get(doc, F_addresses), 0), F_ip), address);
		address = "198.51.100.7";
	}
	r->server->o.find_address = NULL;
}

/* --- protobuf --- */

static void test_protobuf_body(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rig *r = *state;
	const struct val *cm;
	struct answer *a;
	size_t m, n;

	buf_add(&b, "k8s\0", 4);
	m = pb_open(&b, 1);
	pb_sv(&b, 1, SV("v1"));
	pb_sv(&b, 2, SV("ConfigMap"));
	pb_close(&b, m);
	m = pb_open(&b, 2);
	n = pb_open(&b, 1);
	pb_sv(&b, 1, SV("proto"));
	pb_map_entry(&b, 11, SV("app"), SV("x"));
	pb_close(&b, n);
	pb_map_entry(&b, 2, SV("key"), SV("value"));
	pb_close(&b, m);
	a = api_ask(r, &(struct ask){ .method = "POST",
				      .path = NS "/configmaps",
				      .body = b.p,
				      .body_n = b.n,
				      .type = "application/vnd.kubernetes.protobuf" });
	assert_int_equal(a->code, 201);
	answer_free(a);
	cm = expect(r, 200, "GET", NS "/configmaps/proto", NULL);
	assert_val(val_member_sv(val_get(cm, F_data), SV("key")), "value");
	assert_val(val_member_sv(val_get(cm, F_metadata, F_labels), SV("app")), "x");
	/* every prefix is refused, none is stored */
	for (size_t k = 1; k < b.n; k++) {
		a = api_ask(r, &(struct ask){ .method = "POST",
					      .path = NS "/configmaps",
					      .body = b.p,
					      .body_n = k,
					      .type = "application/vnd.kubernetes.protobuf" });
		assert_true(a->code == 400 || a->code == 422 || a->code == 409);
		answer_free(a);
	}
	cm = expect(r, 200, "GET", NS "/configmaps", NULL);
	assert_int_equal(val_len(val_get(cm, F_items)), 1);
}

#define EV "/apis/events.k8s.io/v1/namespaces/default/events"

/* What one group writes the other reads, lists and watches; the store has it once. */
static void test_events_two_views(void **state)
{
	static const char newer[] =
	    "{\"metadata\":{\"name\":\"new\"},\"eventTime\":\"2026-01-01T00:00:00.000001Z\",\"reportingController\":"
	    "\"example.com/c\",\"reportingInstance\":\"i\",\"action\":\"Do\",\"reason\":\"R\",\"note\":\"hello\","
	    "\"type\":\"Normal\",\"regarding\":{\"kind\":\"Pod\",\"namespace\":\"default\",\"name\":\"p\"}}";
	struct rig *r = *state;
	struct answer *core, *events;
	const struct val *e, *l;
	struct sv cont;

	/* one from before anybody looks at the newer form, one after */
	expect(
	    r, 201, "POST", NS "/events",
	    "{\"metadata\":{\"name\":\"old\"},\"involvedObject\":{\"kind\":\"Node\",\"namespace\":\"default\","
	    "\"name\":\"n\"},\"reason\":\"Old\",\"message\":\"m\",\"count\":3,\"source\":{\"component\":\"kubelet\"},"
	    "\"lastTimestamp\":\"2026-01-01T00:00:00Z\",\"type\":\"Warning\"}");
	e = expect(r, 200, "GET", EV "/old", NULL);
	assert_val(val_get(e, F_kind), "Event");
	assert_val(val_get(e, F_apiVersion), "events.k8s.io/v1");
	assert_val(val_get(e, F_note), "m");
	assert_val(val_get(e, F_regarding, F_name), "n");
	assert_int_equal(val_get_int(e, 0, F_deprecatedCount), 3);
	assert_val(val_get(e, F_deprecatedSource, F_component), "kubelet");
	assert_val(val_get(e, F_deprecatedLastTimestamp), "2026-01-01T00:00:00Z");
	assert_null(val_get(e, F_message));
	core = api(r, "GET", NS "/events?watch=1&resourceVersion=0");
	events = api(r, "GET", EV "?watch=1&fieldSelector=regarding.name%3Dp");

	e = expect(r, 201, "POST", EV, newer);
	assert_val(val_get(e, F_apiVersion), "events.k8s.io/v1");
	assert_val(val_get(e, F_note), "hello");
	e = expect(r, 200, "GET", NS "/events/new", NULL);
	assert_val(val_get(e, F_apiVersion), "v1");
	assert_val(val_get(e, F_message), "hello");
	assert_val(val_get(e, F_involvedObject, F_name), "p");
	assert_val(val_get(e, F_reportingComponent), "example.com/c");
	assert_null(val_get(e, F_note));
	e = expect_type(r, 200, "PATCH", NS "/events/new", "application/merge-patch+json", "{\"message\":\"again\"}");
	e = expect(r, 200, "GET", EV "/new", NULL);
	assert_val(val_get(e, F_note), "again");
	expect_status(r, 409, "AlreadyExists", "already exists",
		      &(struct ask){ .method = "POST", .path = EV, .body = newer });
	/* a series counts on, the rest stays as it was told */
	e = expect_type(r, 200, "PATCH", EV "/new", "application/strategic-merge-patch+json",
			"{\"series\":{\"count\":2,\"lastObservedTime\":\"2026-01-01T00:01:00.000000Z\"}}");
	assert_int_equal(val_get_int(e, 0, F_series, F_count), 2);
	expect_status(r, 422, "Invalid", "note: Invalid value: \"x\": field is immutable",
		      &(struct ask){ .method = "PATCH",
				     .path = EV "/new",
				     .type = "application/merge-patch+json",
				     .body = "{\"note\":\"x\"}" });
	expect_status(r, 422, "Invalid", "eventTime: Required value",
		      &(struct ask){ .method = "POST",
				     .path = EV,
				     .body = "{\"metadata\":{\"name\":\"x\"},\"type\":\"Normal\",\"regarding\":"
					     "{\"namespace\":\"default\"}}" });

	l = expect(r, 200, "GET", EV "?fieldSelector=regarding.kind%3DPod,reason%3DR", NULL);
	assert_val(val_get(l, F_kind), "EventList");
	assert_int_equal(val_len(val_get(l, F_items)), 1);
	l = expect(r, 200, "GET", NS "/events?fieldSelector=involvedObject.kind%3DPod", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 1);

	/* an old revision comes out of the store, converted, too */
	l = expect(r, 200, "GET", EV "?limit=1", NULL);
	cont = val_get_str(l, F_metadata, F_continue);
	expect(r, 200, "DELETE", EV "/old", NULL);
	expect(r, 404, "GET", NS "/events/old", NULL);
	l = expect(r, 200, "GET", arena_printf(&r->arena, EV "?limit=1&continue=%.*s", SV_ARG(cont)), NULL);
	assert_val(val_get(val_at(val_get(l, F_items), 0), F_metadata, F_name), "old");
	assert_val(val_get(val_at(val_get(l, F_items), 0), F_note), "m");
	expect(r, 200, "DELETE", NS "/events", NULL);
	l = expect(r, 200, "GET", EV, NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 0);

	/* core: old added, new added, changed twice, both deleted; the other one only the pod's */
	assert_int_equal(stream_lines(core), 6);
	assert_val(val_get(stream_line(core, 3), F_object, F_message), "again");
	assert_int_equal(stream_lines(events), 4);
	assert_val(val_get(stream_line(events, 0), F_type), "ADDED");
	assert_val(val_get(stream_line(events, 0), F_object, F_note), "hello");
	assert_val(val_get(stream_line(events, 3), F_type), "DELETED");
	answer_gone(core);
	answer_gone(events);

	/* and from a server that finds it in the store */
	expect(r, 201, "POST", EV, newer);
	rig_restart(r);
	assert_val(val_get(expect(r, 200, "GET", EV "/new", NULL), F_note), "hello");
	assert_val(val_get(expect(r, 200, "GET", NS "/events/new", NULL), F_message), "hello");
}

#define STS "/apis/apps/v1/namespaces/default/statefulsets"
#define STS_REST                                                                                                       \
	"\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":" \
	"{"                                                                                                            \
	"\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}}}"

static void test_statefulset_defaults(void **state)
{
	struct rig *r = *state;
	const struct val *s = val_get(expect(r, 201, "POST", STS, "{\"metadata\":{\"name\":\"a\"},\"spec\":{" STS_REST),
				      F_spec, F_updateStrategy);

	assert_val(val_get(s, F_type), "RollingUpdate");
	assert_int_equal(val_get_int(s, -1, F_rollingUpdate, F_partition), 0);
	s = val_get(
	    expect(r, 201, "POST", STS,
		   "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"updateStrategy\":{\"type\":\"OnDelete\"}," STS_REST),
	    F_spec, F_updateStrategy);
	assert_val(val_get(s, F_type), "OnDelete");
	assert_null(val_get(s, F_rollingUpdate));
}

/* Claims and volumes wait for who takes their protection away. */
static void test_claims_are_protected(void **state)
{
	struct rig *r = *state;
	const struct val *c;

	expect(
	    r, 201, "POST", NS "/persistentvolumeclaims",
	    "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"resources\":{\"requests\":"
	    "{\"storage\":\"1Gi\"}}}}");
	expect(r, 200, "DELETE", NS "/persistentvolumeclaims/c", NULL);
	c = expect(r, 200, "GET", NS "/persistentvolumeclaims/c", NULL);
	assert_val(val_at(val_get(c, F_metadata, F_finalizers), 0), "kubernetes.io/pvc-protection");
	expect_type(r, 200, "PATCH", NS "/persistentvolumeclaims/c", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	expect(r, 404, "GET", NS "/persistentvolumeclaims/c", NULL);
}

static void test_eviction_answer(void **state)
{
	struct rig *r = *state;
	const struct val *st;

	make_default_sa(r);
	expect(r, 201, "POST", NS "/pods",
	       "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"x\"}]}}");
	st = expect(r, 201, "POST", NS "/pods/p/eviction",
		    "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"p\"}}");
	assert_val(val_get(st, F_kind), "Status");
	assert_val(val_get(st, F_status), "Success");
	expect(r, 404, "GET", NS "/pods/p", NULL);
}

static void test_scale_is_told_apart(void **state)
{
	struct rig *r = *state;
	const struct val *list;
	bool seen = false;

	expect(r, 201, "POST", STS, "{\"metadata\":{\"name\":\"a\"},\"spec\":{" STS_REST);
	expect_type(r, 200, "PATCH", STS "/a/scale?fieldManager=scaler", "application/merge-patch+json",
		    "{\"spec\":{\"replicas\":3}}");
	list = val_get(expect(r, 200, "GET", STS "/a", NULL), F_metadata, F_managedFields);
	VAL_EACH(list, e) {
		if (!val_is(val_get(e, F_manager), "scaler"))
			continue;
		seen = true;
		assert_val(val_get(e, F_subresource), "scale");
		assert_val(val_get(e, F_apiVersion), "apps/v1");
	}
	assert_true(seen);
}

static void test_refused_by_the_cluster(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses",
	       "{\"metadata\":{\"name\":\"a\"},\"value\":1,\"globalDefault\":true}");
	expect_status(
	    r, 403, "Forbidden",
	    "priorityclasses.scheduling.k8s.io \"b\" is forbidden: PriorityClass a is already marked as default. Only "
	    "one default can exist",
	    &(struct ask){ .method = "POST",
			   .path = "/apis/scheduling.k8s.io/v1/priorityclasses",
			   .body = "{\"metadata\":{\"name\":\"b\"},\"value\":2,\"globalDefault\":true}" });
	expect_status(
	    r, 422, "Invalid", "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster",
	    &(struct ask){ .method = "POST",
			   .path = NS "/services",
			   .body = "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ipFamilies\":[\"IPv6\"],\"ports\":[{"
				   "\"port\":80}]}}" });
	expect_status(
	    r, 422, "Invalid", "this cluster is not configured for dual-stack services",
	    &(struct ask){ .method = "POST",
			   .path = NS "/services",
			   .body = "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"ipFamilyPolicy\":\"RequireDualStack\","
				   "\"ports\":[{\"port\":80}]}}" });
}

static void test_component_statuses(void **state)
{
	struct rig *r = *state;
	const struct val *l = expect(r, 200, "GET", "/api/v1/componentstatuses", NULL), *one;
	struct answer *a;

	assert_val(val_get(l, F_kind), "ComponentStatusList");
	one = val_at(val_get(l, F_items), 0);
	assert_val(val_get(one, F_metadata, F_name), "etcd-0");
	assert_val(val_get(val_at(val_get(one, F_conditions), 0), F_status), "True");
	a = api(r, "GET", "/api/v1/componentstatuses", .accept = "application/json;as=Table;v=v1;g=meta.k8s.io");
	assert_int_equal(a->code, 200);
	assert_sv(a->q.warnings[0], "v1 ComponentStatus is deprecated in v1.19+");
	one = val_at(val_get(api_json(a), F_rows), 0);
	assert_val(val_at(val_get(one, F_cells), 1), "Healthy");
	assert_val(val_at(val_get(one, F_cells), 2), "ok");
	answer_free(a);
	assert_int_equal(
	    val_len(val_get(expect(r, 200, "GET", "/api/v1/componentstatuses?labelSelector=a", NULL), F_items)), 0);
	expect(r, 200, "GET", "/api/v1/componentstatuses/etcd-0", NULL);
	expect(r, 404, "GET", "/api/v1/componentstatuses/scheduler", NULL);
	expect(r, 405, "POST", "/api/v1/componentstatuses", "{}");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_component_statuses),
		T(test_refused_by_the_cluster),
		T(test_pod_defaults),
		T(test_account_of_a_pod),
		T(test_dropped_fields),
		T(test_secrets_without_names),
		T(test_runtime_class),
		T(test_binding),
		T(test_empty_lists),
		T(test_empty_status),
		T(test_gated_pod),
		T(test_pod_subresources_are_narrow),
		T(test_service_addresses),
		T(test_service_sent_again),
		T(test_applied_again),
		T(test_empty_owners),
		T(test_service_changes_type),
		T(test_service_ports_of_one_number),
		T(test_service_ports_chosen_and_asked),
		T(test_secret_string_data),
		T(test_rbac),
		T(test_access_review),
		T(test_access_review_faults),
		T(test_lease_strategy),
		T(test_node_config),
		T(test_priority),
		T(test_events_expire),
		T(test_event_source_selector),
		T(test_mutating_admission),
		T(test_kubernetes_service_comes_back),
		T(test_kubernetes_service_follows_the_machine),
		T(test_protobuf_body),
		T(test_events_two_views),
		T(test_statefulset_defaults),
		T(test_claims_are_protected),
		T(test_eviction_answer),
		T(test_scale_is_told_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
