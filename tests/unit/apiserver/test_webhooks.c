/* Admission and conversion webhooks under virtual time: the network is this file, which sees what is asked and answers
 * when it likes, or never. */
#include "harness.h"

#include "apiserver/admission/webhooks.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/webhook/conversion.h"
#include "apiserver/webhook/credentials.h"
#include "base/b64.h"
#include "codec/yaml.h"
#include "toy_versions.h"

#define CONFIGS "/apis/admissionregistration.k8s.io/v1/"
#define MAPS "/api/v1/namespaces/default/configmaps"
#define CALLS_MAX 64

/* The other side. */
static struct {
	struct call {
		struct webhook_call *c;
		char url[200];
		struct val *review; /* in the arena */
		int64_t timeout_ns;
		bool open;
	} calls[CALLS_MAX];
	size_t n, cancelled;
	bool hold;	      /* calls are answered by the test */
	const char *response; /* members beside uid; NULL: allowed */
	const char *only;     /* a part of the URL of those the response is for; NULL: all */
	const char *raw;      /* instead */
	int status;	      /* 0: 200 */
	const char *fails;    /* no answer, and why */
	struct arena arena;
} far;

static void far_answer(struct call *k)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv uid = val_get_str(k->review, F_request, F_uid);
	bool ours = far.response && (!far.only || strstr(k->url, far.only));
	struct err err = ERR_INIT;

	k->open = false;
	if (far.fails) {
		err_set(&err, ERR_UNAVAILABLE, "%s", far.fails);
		webhook_call_answer(k->c, 0, SV(""), SV(""), &err);
		return;
	}
	if (far.raw)
		buf_adds(&b, far.raw);
	else
		buf_printf(&b, "{\"apiVersion\":\"%.*s\",\"kind\":\"%.*s\",\"response\":{\"uid\":\"%.*s\",%s}}",
			   SV_ARG(val_get_str(k->review, F_apiVersion)), SV_ARG(val_get_str(k->review, F_kind)),
			   SV_ARG(uid), ours ? far.response : "\"allowed\":true");
	webhook_call_answer(k->c, far.status ? far.status : 200, SV("application/json"), buf_sv(&b), NULL);
}

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	struct call *k = &far.calls[far.n++];

	(void)ctx;
	assert_true(far.n <= CALLS_MAX);
	*k = (struct call){ .c = c, .timeout_ns = sent->timeout_ns, .open = true };
	(void)snprintf(k->url, sizeof(k->url), "%s", sent->url);
	k->review = json_decode(&far.arena, arena_sv(&far.arena, sent->body), NULL, NULL);
	assert_non_null(k->review);
	if (!far.hold)
		far_answer(k);
}

static void far_cancel(struct webhook_call *c, void *ctx)
{
	struct err err = ERR_INIT;

	(void)ctx;
	for (size_t i = 0; i < far.n; i++) {
		if (far.calls[i].c != c || !far.calls[i].open)
			continue;
		far.calls[i].open = false;
		far.cancelled++;
		err_set(&err, ERR_UNAVAILABLE, "context canceled");
		webhook_call_answer(c, 0, SV(""), SV(""), &err);
	}
}

static const struct webhook_network far_network = { .call = far_call, .cancel = far_cancel };

static int setup(void **state)
{
	struct rig *r;

	if (rig_setup(state))
		return -1;
	r = *state;
	memset(&far, 0, sizeof(far));
	webhook_set_network(r->server, &far_network);
	return 0;
}

static int teardown(void **state)
{
	int rc = rig_teardown(state);

	arena_release(&far.arena);
	return rc;
}

/* Webhooks of a configuration, each `name:rules:more`. */
static void config(struct rig *r, bool mutating, const char *name, const char *webhooks)
{
	_cleanup_free_ char *body = xasprintf("{\"metadata\":{\"name\":\"%s\"},\"webhooks\":[%s]}", name, webhooks);

	expect(r, 201, "POST",
	       mutating ? CONFIGS "mutatingwebhookconfigurations" : CONFIGS "validatingwebhookconfigurations", body);
}

#define HOOK(name, rules, more)                                                                              \
	"{\"name\":\"" name "\",\"clientConfig\":{\"url\":\"https://" name "/h\"},\"sideEffects\":\"None\"," \
	"\"admissionReviewVersions\":[\"v1\"],\"rules\":[" rules "]" more "}"
#define RULE(ops, group, version, resources)                                                  \
	"{\"operations\":[" ops "],\"apiGroups\":[\"" group "\"],\"apiVersions\":[\"" version \
	"\"],\"resources\":[" resources "]}"
#define MAPS_RULE RULE("\"*\"", "", "v1", "\"configmaps\"")
#define MAP(name) "{\"metadata\":{\"name\":\"" name "\"}}"

static const struct val *asked(size_t i)
{
	assert_true(i < far.n);
	return val_member(far.calls[i].review, F_request);
}

static char *patch_response(const char *patch)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return xasprintf("\"allowed\":true,\"patchType\":\"JSONPatch\",\"patch\":\"%s\"",
			 arena_cstr(&a, b64_encode(&a, sv_from(patch))));
}

static void what_is_said(void **state)
{
	static const char wanted[] =
	    "{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\",\"request\":{"
	    "\"kind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"ConfigMap\"},"
	    "\"resource\":{\"group\":\"\",\"version\":\"v1\",\"resource\":\"configmaps\"},"
	    "\"requestKind\":{\"group\":\"\",\"version\":\"v1\",\"kind\":\"ConfigMap\"},"
	    "\"requestResource\":{\"group\":\"\",\"version\":\"v1\",\"resource\":\"configmaps\"},"
	    "\"name\":\"m\",\"namespace\":\"default\",\"operation\":\"CREATE\","
	    "\"userInfo\":{\"username\":\"jo\",\"groups\":[\"system:masters\"]},"
	    "\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"m\","
	    "\"namespace\":\"default\"},\"data\":{\"a\":\"1\"}},\"oldObject\":null,\"dryRun\":true,"
	    "\"options\":{\"kind\":\"CreateOptions\",\"apiVersion\":\"meta.k8s.io/v1\",\"dryRun\":[\"All\"],"
	    "\"fieldManager\":\"me\",\"fieldValidation\":\"Strict\"}}}";
	const struct sv groups[] = { SV("system:masters") };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct rig *r = *state;
	struct answer *a;
	struct val *request;

	config(r, true, "c", HOOK("a.hook.io", MAPS_RULE, ""));
	a = api(r, "POST", MAPS "?dryRun=All&fieldManager=me&fieldValidation=Strict",
		.body = "{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"1\"}}", .user = "jo", .groups = groups,
		.n_groups = 1);
	assert_int_equal(a->code, 201);
	answer_free(a);
	assert_int_equal(far.n, 1);
	assert_string_equal(far.calls[0].url, "https://a.hook.io/h?timeout=10s");
	request = val_member_mut(far.calls[0].review, F_request);
	assert_int_equal(val_get_str(request, F_uid).n, 36);
	val_del(request, F_uid);
	val_del(val_get_mut(request, F_object, F_metadata), F_managedFields);
	json_encode(&b, far.calls[0].review);
	assert_sv(buf_sv(&b), wanted);
}

/* Who is asked about what: operations, groups, versions, subresources, scopes. */
static void whom(void **state)
{
	struct rig *r = *state;

	config(r, false, "c",
	       HOOK("create.hook.io", RULE("\"CREATE\"", "", "*", "\"configmaps\""), "") "," HOOK(
		   "delete.hook.io", RULE("\"DELETE\"", "*", "*", "\"*\""),
		   "") "," HOOK("apps.hook.io", RULE("\"*\"", "apps", "v1", "\"*/*\""),
				"") "," HOOK("subs.hook.io", RULE("\"*\"", "", "v1", "\"*/status\""),
					     "") "," HOOK("cluster.hook.io",
							  "{\"operations\":[\"*\"],\"apiGroups\":[\"*\"],"
							  "\"apiVersions\":[\"*\"],\"resources\":[\"*\"],\"scope\":"
							  "\"Cluster\"}",
							  ""));
	assert_int_equal(far.n, 0); /* not about configurations */
	expect(r, 201, "POST", MAPS, MAP("a"));
	assert_int_equal(far.n, 1);
	assert_string_equal(far.calls[0].url, "https://create.hook.io/h?timeout=10s");
	expect_type(r, 200, "PATCH", MAPS "/a", "application/merge-patch+json", "{\"data\":{\"a\":\"b\"}}");
	assert_int_equal(far.n, 1);
	expect(r, 200, "DELETE", MAPS "/a", "{\"gracePeriodSeconds\":5,\"propagationPolicy\":\"Background\"}");
	assert_int_equal(far.n, 2);
	assert_string_equal(far.calls[1].url, "https://delete.hook.io/h?timeout=10s");
	assert_int_equal(val_get_int(asked(1), 0, F_options, F_gracePeriodSeconds), 5);
	assert_val(val_get(asked(1), F_options, F_propagationPolicy), "Background");
	assert_val(val_member_sv(val_get(val_member_sv(asked(1), SV("oldObject")), F_data), SV("a")), "b");
	assert_int_equal(val_type(val_get(asked(1), F_object)), VAL_NULL);
	/* A Namespace is of the cluster, and in itself. */
	expect(r, 201, "POST", "/api/v1/namespaces", MAP("n"));
	assert_int_equal(far.n, 3);
	assert_string_equal(far.calls[2].url, "https://cluster.hook.io/h?timeout=10s");
	assert_val(val_get(asked(2), F_namespace), "n");
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/n/status", "application/merge-patch+json",
		    "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	assert_int_equal(far.n, 4);
	assert_string_equal(far.calls[3].url, "https://subs.hook.io/h?timeout=10s");
}

static void collections_and_nothing_of_the_servers_own(void **state)
{
	struct rig *r = *state;

	for (int i = 0; i < 3; i++) {
		_cleanup_free_ char *body = xasprintf("{\"metadata\":{\"name\":\"m%d\"}}", i);

		expect(r, 201, "POST", MAPS, body);
	}
	config(r, false, "c", HOOK("a.hook.io", RULE("\"*\"", "*", "*", "\"*/*\""), ""));
	far.response = "\"allowed\":false";
	/* The server makes up for what goes missing, whatever webhooks say. */
	rig_run(r, 120 * NS_PER_SEC);
	assert_int_equal(far.n, 0);
	expect_status(r, 400, "", "admission webhook \"a.hook.io\" denied the request without explanation",
		      &(struct ask){ .method = "DELETE", .path = MAPS });
	assert_int_equal(far.n, 3);
	assert_null(val_get(asked(0), F_name));
	far.response = NULL;
	expect(r, 200, "DELETE", MAPS, NULL);
	assert_int_equal(far.n, 6);
}

/* A rule of another version is meant, too: the object is shown in that one, and what comes back is understood. */
static void another_version_of_the_same(void **state)
{
#define SCALERS "/apis/autoscaling/v1/namespaces/default/horizontalpodautoscalers"
	_cleanup_free_ char *patch =
	    patch_response("[{\"op\":\"replace\",\"path\":\"/spec/maxReplicas\",\"value\":7}]");
	static const char body[] =
	    "{\"metadata\":{\"name\":\"h\"},\"spec\":{\"maxReplicas\":3,\"scaleTargetRef\":{\"kind\":"
	    "\"Deployment\",\"name\":\"d\",\"apiVersion\":\"apps/v1\"},"
	    "\"targetCPUUtilizationPercentage\":50}}";
	struct rig *r = *state;
	const struct val *o;

	config(r, true, "c",
	       HOOK("v2.hook.io", RULE("\"CREATE\"", "autoscaling", "v2", "\"horizontalpodautoscalers\""), "") "," HOOK(
		   "exact.hook.io", RULE("\"CREATE\"", "autoscaling", "v2", "\"horizontalpodautoscalers\""),
		   ",\"matchPolicy\":\"Exact\""));
	far.response = patch;
	o = expect(r, 201, "POST", SCALERS, body);
	assert_int_equal(far.n, 1);
	assert_val(val_get(asked(0), F_kind, F_version), "v2");
	assert_val(val_get(asked(0), F_resource, F_version), "v2");
	assert_val(val_member_sv(val_member_sv(asked(0), SV("requestResource")), SV("version")), "v1");
	assert_val(val_get(asked(0), F_object, F_apiVersion), "autoscaling/v2");
	assert_int_equal(val_len(val_get(asked(0), F_object, F_spec, F_metrics)), 1);
	assert_val(val_get(o, F_apiVersion), "autoscaling/v1");
	assert_int_equal(val_get_int(o, 0, F_spec, F_maxReplicas), 7);
	assert_int_equal(val_get_int(o, 0, F_spec, F_targetCPUUtilizationPercentage), 50);
}

static void a_scale_is_one(void **state)
{
	_cleanup_free_ char *patch = patch_response("[{\"op\":\"replace\",\"path\":\"/spec/replicas\",\"value\":4}]");
	struct rig *r = *state;
	const struct val *o;

	expect(
	    r, 201, "POST", "/apis/apps/v1/namespaces/default/deployments",
	    "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":1,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
	    "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
	    "\"i\"}]}}}}");
	config(r, true, "c", HOOK("a.hook.io", RULE("\"UPDATE\"", "apps", "v1", "\"deployments/scale\""), ""));
	far.response = patch;
	o = expect_type(r, 200, "PATCH", "/apis/apps/v1/namespaces/default/deployments/d/scale",
			"application/merge-patch+json", "{\"spec\":{\"replicas\":2}}");
	assert_int_equal(far.n, 1);
	assert_val(val_get(asked(0), F_kind, F_kind), "Scale");
	assert_val(val_member_sv(asked(0), SV("subResource")), "scale");
	assert_int_equal(val_get_int(asked(0), 0, F_object, F_spec, F_replicas), 2);
	assert_int_equal(val_get_int(val_member_sv(asked(0), SV("oldObject")), 0, F_spec, F_replicas), 1);
	assert_int_equal(val_get_int(o, 0, F_spec, F_replicas), 4);
}

/* Its time is the webhook's own, or what the request has left. */
static void time_of_a_call(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	config(r, false, "c", HOOK("a.hook.io", MAPS_RULE, ",\"timeoutSeconds\":30"));
	expect(r, 201, "POST", MAPS "?timeout=4s", MAP("a"));
	assert_string_equal(far.calls[0].url, "https://a.hook.io/h?timeout=4s");
	expect(r, 201, "POST", MAPS, MAP("b"));
	assert_string_equal(far.calls[1].url, "https://a.hook.io/h?timeout=30s");
	/* One that never answers: the request ends with its own time, and the call is given up. */
	far.hold = true;
	a = api_start(r, &(struct ask){ .method = "POST", .path = MAPS "?timeout=3s", .body = MAP("c"), .loop = true });
	rig_run(r, NS_PER_SEC);
	assert_int_equal(a->answers, 0);
	assert_int_equal(far.cancelled, 0);
	rig_run(r, 3 * NS_PER_SEC);
	assert_int_equal(a->answers, 1);
	assert_int_equal(a->code, 504);
	assert_int_equal(far.cancelled, 1);
	answer_free(a);
	expect(r, 404, "GET", MAPS "/c", NULL);
}

/* Validating ones are asked at once, and the first in order that refuses counts, whoever answers first. */
static void all_at_once(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	config(r, false, "b", HOOK("b1.hook.io", MAPS_RULE, "") "," HOOK("b2.hook.io", MAPS_RULE, ""));
	config(r, false, "a", HOOK("a1.hook.io", MAPS_RULE, ""));
	far.hold = true;
	a = api_start(r, &(struct ask){ .method = "POST", .path = MAPS, .body = MAP("x"), .loop = true });
	rig_run(r, NS_PER_MS);
	assert_int_equal(far.n, 3);
	assert_string_equal(far.calls[0].url, "https://a1.hook.io/h?timeout=10s");
	far.response = "\"allowed\":false,\"status\":{\"message\":\"b2\"}";
	far_answer(&far.calls[2]);
	far.response = NULL;
	far_answer(&far.calls[0]);
	rig_run(r, NS_PER_MS);
	assert_int_equal(a->answers, 0);
	far.response = "\"allowed\":false,\"status\":{\"message\":\"b1\"}";
	far_answer(&far.calls[1]);
	rig_run(r, NS_PER_MS);
	assert_int_equal(a->code, 400);
	assert_val(val_get(api_json(a), F_message), "admission webhook \"b1.hook.io\" denied the request: b1");
	answer_free(a);
}

static void failures(void **state)
{
	static const struct {
		const char *raw, *fails, *words;
		int status;
	} rows[] = {
		{ "", NULL, "json parse error: unexpected end of JSON input", 200 },
		{ "{", NULL, "json parse error: unexpected end of JSON input", 200 },
		{ "[]", NULL, "cannot unmarshal array into Go value", 200 },
		{ "{\"kind\":\"Pod\",\"apiVersion\":\"v1\"}", NULL, "no kind \"Pod\" is registered for version \"v1\"",
		  200 },
		{ "{}", NULL, "received invalid webhook response: webhook response was absent", 200 },
		{ "{\"response\":{\"allowed\":1}}", NULL, "AdmissionResponse.response.allowed of type bool", 200 },
		{ "oops", NULL, "an error on the server (\"oops\") has prevented the request from succeeding", 500 },
		{ "", NULL, "the server responded with the status code 302 but did not return", 302 },
		{ "", NULL, "the server is currently unable to handle the request", 503 },
		{ NULL, "dial tcp: no",
		  "failed to call webhook: Post \"https://a.hook.io/h?timeout=10s\": dial tcp: no", 0 },
	};
	struct rig *r = *state;

	config(r, false, "c", HOOK("a.hook.io", MAPS_RULE, ""));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		far.raw = rows[i].raw;
		far.fails = rows[i].fails;
		far.status = rows[i].status;
		expect_status(r, 500, "InternalError", rows[i].words,
			      &(struct ask){ .method = "POST", .path = MAPS, .body = MAP("a") });
	}
	expect(r, 200, "DELETE", CONFIGS "validatingwebhookconfigurations/c", NULL);
	config(r, false, "c", HOOK("a.hook.io", MAPS_RULE, ",\"failurePolicy\":\"Ignore\""));
	expect(r, 201, "POST", MAPS, MAP("a"));
	/* A refusal is no failure. */
	far.raw = far.fails = NULL;
	far.status = 200;
	far.response = "\"allowed\":false,\"status\":{\"reason\":\"NotFound\",\"code\":404}";
	expect_status(r, 404, "NotFound", "denied the request: NotFound",
		      &(struct ask){ .method = "POST", .path = MAPS, .body = MAP("b") });
}

/* Ownership that a patch breaks is what it was. */
static void managed_fields_are_kept(void **state)
{
	_cleanup_free_ char *patch = patch_response(
	    "[{\"op\":\"add\",\"path\":\"/metadata/managedFields\",\"value\":[{\"operation\":\"Dance\"}]}]");
	struct rig *r = *state;
	const struct val *o;

	config(r, true, "c", HOOK("a.hook.io", MAPS_RULE, ""));
	far.response = patch;
	o = expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"m\"},\"data\":{\"a\":\"1\"}}");
	assert_int_equal(val_len(val_get(o, F_metadata, F_managedFields)), 1);
	assert_val(val_get(val_at(val_get(o, F_metadata, F_managedFields), 0), F_operation), "Update");
}

static void dry_runs(void **state)
{
	struct rig *r = *state;

	/* As one that was stored before that was refused. */
	config(r, false, "c",
	       "{\"name\":\"a.hook.io\",\"clientConfig\":{\"url\":\"https://a.hook.io/"
	       "h\"},\"sideEffects\":\"NoneOnDryRun\","
	       "\"admissionReviewVersions\":[\"v3\",\"v1beta1\"],\"rules\":[" MAPS_RULE "]}");
	expect(r, 201, "POST", MAPS "?dryRun=All", MAP("a"));
	assert_int_equal(far.n, 1);
	assert_val(val_get(far.calls[0].review, F_apiVersion), "admission.k8s.io/v1beta1");
}

/* Namespaces that are not there, and those whose labels say no. */
static void selectors(void **state)
{
	struct rig *r = *state;

	config(r, false, "c",
	       HOOK("a.hook.io", MAPS_RULE, ",\"namespaceSelector\":{\"matchLabels\":{\"team\":\"x\"}}") "," HOOK(
		   "b.hook.io", RULE("\"*\"", "", "v1", "\"namespaces\",\"configmaps\""),
		   ",\"objectSelector\":{\"matchExpressions\":[{\"key\":\"on\",\"operator\":\"Exists\"}]}"));
	expect(r, 201, "POST", MAPS, MAP("a"));
	assert_int_equal(far.n, 0);
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"n\",\"labels\":{\"team\":\"x\"}}}");
	expect(r, 201, "POST", "/api/v1/namespaces/n/configmaps", MAP("a"));
	assert_int_equal(far.n, 1);
	/* The old object's labels count as well as the new one's. */
	expect(r, 201, "POST", MAPS, "{\"metadata\":{\"name\":\"l\",\"labels\":{\"on\":\"1\"}}}");
	expect(r, 200, "PUT", MAPS "/l", MAP("l"));
	expect(r, 200, "PUT", MAPS "/l", MAP("l"));
	assert_int_equal(far.n, 3);
	expect_status(
	    r, 404, "NotFound", "namespaces \"none\" not found",
	    &(struct ask){ .method = "POST", .path = "/api/v1/namespaces/none/configmaps", .body = MAP("x") });
}

#define CONDITIONS(list) ",\"matchConditions\":[" list "]"
#define CONDITION(name, text) "{\"name\":\"" name "\",\"expression\":\"" text "\"}"

static void conditions(void **state)
{
	struct rig *r = *state;

	static const char named[] = CONDITIONS(CONDITION("named", "object.metadata.name.startsWith('a')") "," CONDITION(
	    "who", "request.operation == 'CREATE' && request.userInfo.username == 'admin'"));
	static const char may[] = CONDITIONS(
	    CONDITION("may", "authorizer.group('').resource('secrets').check('get').allowed()") "," CONDITION(
		"may-also", "authorizer.requestResource.check('create').allowed()"));
	_cleanup_free_ char *hooks =
	    xasprintf(HOOK("a.hook.io", MAPS_RULE, "%s") "," HOOK("may.hook.io", MAPS_RULE, "%s") "," HOOK(
			  "not.hook.io", MAPS_RULE, CONDITIONS(CONDITION("no", "false"))),
		      named, may);

	config(r, false, "a", hooks);
	expect(r, 201, "POST", MAPS, MAP("b"));
	assert_int_equal(far.n, 1); /* may.hook.io */
	expect(r, 201, "POST", MAPS, MAP("a"));
	assert_int_equal(far.n, 3);
	assert_string_equal(far.calls[1].url, "https://a.hook.io/h?timeout=10s");
	/* What fails refuses, unless another condition says no, or failures may pass. */
	config(r, false, "b",
	       HOOK("b.hook.io", MAPS_RULE,
		    CONDITIONS(CONDITION("fails", "object.data.none == 'x'") "," CONDITION(
			"no", "object.metadata.name != 'c'"))));
	expect_status(
	    r, 403, "Forbidden",
	    "configmaps \"d\" is forbidden: expression 'object.data.none == 'x'' resulted in error: no such key",
	    &(struct ask){ .method = "POST", .path = MAPS, .body = MAP("d") });
	expect(r, 201, "POST", MAPS, MAP("c"));
	expect(r, 200, "DELETE", CONFIGS "validatingwebhookconfigurations/b", NULL);
	config(r, false, "b",
	       HOOK("b.hook.io", MAPS_RULE,
		    ",\"failurePolicy\":\"Ignore\"" CONDITIONS(CONDITION("fails", "object.data.none == 'x'"))));
	expect(r, 201, "POST", MAPS, MAP("d"));
}

/* --- conversions --- */

#define TOYS_V1 "/apis/example.com/v1/namespaces/default/scalers"
#define TOYS_V2 "/apis/example.com/v2/namespaces/default/scalers"

static struct webhook_conversion *toy_hook(void)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	return webhook_conversion_new(
	    json_decode(&a,
			SV("{\"webhook\":{\"clientConfig\":{\"url\":\"https://c.hook.io/convert\"},"
			   "\"conversionReviewVersions\":[\"v2\",\"v1\"]}}"),
			NULL, NULL));
}

/* Answers the last call as the toys' conversion does, or as `change` makes of it. */
static void toy_answer(struct call *k, void (*change)(struct arena *a, struct val *objects))
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct arena *a = &far.arena;
	const struct val *request = val_member(k->review, F_request);
	struct sv want = val_str(val_member_sv(request, SV("desiredAPIVersion")));
	struct val *list = val_new_list(a);

	VAL_EACH(val_member_sv(request, SV("objects")), o) {
		struct val *out = val_clone(a, o);

		val_set_str(a, out, F_apiVersion, want);
		val_push(a, list, out);
	}
	if (change)
		change(a, list);
	buf_printf(&b,
		   "{\"apiVersion\":\"apiextensions.k8s.io/"
		   "v1\",\"kind\":\"ConversionReview\",\"response\":{\"uid\":\"%.*s\","
		   "\"result\":{\"status\":\"Success\"},\"convertedObjects\":",
		   SV_ARG(val_get_str(request, F_uid)));
	json_encode(&b, list);
	buf_adds(&b, "}}");
	k->open = false;
	webhook_call_answer(k->c, 200, SV("application/json"), buf_sv(&b), NULL);
}

static void toy_rename(struct arena *a, struct val *objects)
{
	val_set_cstr(a, val_member_mut(val_at_mut(objects, 0), F_metadata), F_name, "other");
}

static void toy_lose(struct arena *a, struct val *objects)
{
	(void)a;
	val_list_remove(objects, 0);
}

static void toy_label(struct arena *a, struct val *objects)
{
	struct val *meta = val_member_mut(val_at_mut(objects, 0), F_metadata);

	val_set_str_sv(a, val_ensure_map(a, meta, F_labels), SV("shown"), SV("yes"));
	val_set_cstr(a, meta, F_resourceVersion, "1");
}

/* Answers calls until the request is. */
static struct answer *toy_get(struct rig *r, const char *path, void (*change)(struct arena *a, struct val *objects))
{
	size_t done = far.n;
	struct answer *a = api_start(r, &(struct ask){ .method = "GET", .path = path, .loop = true });

	for (int i = 0; i < 20 && !a->answers; i++) {
		rig_run(r, NS_PER_MS);
		for (; done < far.n; done++)
			toy_answer(&far.calls[done], change);
	}
	rig_run(r, NS_PER_MS);
	assert_int_equal(a->answers, 1);
	return a;
}

static void conversions(void **state)
{
	static const struct {
		void (*change)(struct arena *a, struct val *objects);
		const char *words;
	} lies[] = {
		{ toy_rename,
		  "conversion webhook for example.com/v1, Kind=Scaler returned invalid converted object at index "
		  "0: must have the same name: s != other" },
		{ toy_lose, "conversion webhook for example.com/v1, Kind=Scaler returned 0 objects, expected 1" },
	};
	struct rig *r = *state;
	struct webhook_conversion *c = toy_hook();
	struct kind_conversion how = { .convert = webhook_convert, .ctx = c, .waits = true };
	struct answer *a;

	assert_int_equal(apiserver_add_versions(r->server, toy_kind(), &how, NULL), 0);
	expect(r, 201, "POST", TOYS_V1, "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"minSize\":1}}");
	assert_int_equal(far.n, 0);
	far.hold = true;
	a = toy_get(r, TOYS_V2 "/s", toy_label);
	assert_int_equal(a->code, 200);
	assert_val(val_get(api_json(a), F_apiVersion), "example.com/v2");
	/* Labels are believed, all else of metadata is not. */
	assert_val(val_member_sv(val_get(api_json(a), F_metadata, F_labels), SV("shown")), "yes");
	assert_false(val_is(val_get(api_json(a), F_metadata, F_resourceVersion), "1"));
	answer_free(a);
	assert_int_equal(far.n, 1);
	assert_string_equal(far.calls[0].url, "https://c.hook.io/convert?timeout=30s");
	assert_val(val_get(far.calls[0].review, F_apiVersion), "apiextensions.k8s.io/v1");
	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		expect_type(r, 200, "PATCH", TOYS_V1 "/s", "application/merge-patch+json",
			    i ? "{\"spec\":{\"minSize\":2}}" : "{\"spec\":{\"minSize\":3}}");
		a = toy_get(r, TOYS_V2 "/s", lies[i].change);
		assert_int_equal(a->code, 500);
		assert_val(val_get(api_json(a), F_message), lies[i].words);
		answer_free(a);
	}
	rig_restart(r); /* what has the kind goes before what it converts with */
	webhook_conversion_unref(c);
}

/* --- as whom --- */

static void credentials(void **state)
{
	static const char users[] = "users:\n"
				    "- {name: a.ns.svc, user: {token: exact}}\n"
				    "- {name: 'a.ns.svc:8443', user: {token: port}}\n"
				    "- {name: '*.ns.svc', user: {username: jo, password: secret}}\n"
				    "- {name: 'hook.example.com:443', user: {token: url}}\n"
				    "- {name: '*', user: {token: all}}\n";
	static const struct {
		const char *host;
		int port;
		const char *wanted;
	} rows[] = {
		{ "a.ns.svc", 443, "Bearer exact" },	   { "a.ns.svc", 8443, "Bearer port" },
		{ "b.ns.svc", 443, "Basic am86c2VjcmV0" }, { "b.other.svc", 443, "Bearer all" },
		{ "hook.example.com", 443, "Bearer url" }, { "ns.svc", 443, "Bearer all" },
	};
	static const char *const bad[] = { "users: [{user: {}}]",
					   "users: [{name: a, user: {token: \"x\\ny\"}}]",
					   "users: [{name: a, user: {exec: {command: sh}}}]",
					   "users: [{name: a, user: {client-certificate-data: YQ==}}]",
					   "users: [{name: a, user: {client-key: /etc/shadow}}]",
					   "users: [{name: a, user: {tokenFile: /etc/shadow}}]" };
	struct rig *r = *state;
	struct webhook_credentials *c = webhook_credentials_new();

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(webhook_credentials_add(c, yaml_decode(&r->arena, sv_from(bad[i]), NULL), NULL, &err),
				 -1);
	}
	assert_null(webhook_credentials_for(c, SV("a.ns.svc"), 443));
	assert_int_equal(webhook_credentials_add(c, yaml_decode(&r->arena, sv_from(users), NULL), NULL, NULL), 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_sv(webhook_credentials_for(c, sv_from(rows[i].host), rows[i].port)->authorization,
			  rows[i].wanted);
	assert_null(webhook_credentials_for(NULL, SV("a.ns.svc"), 443));
	webhook_credentials_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(whom, setup, teardown),
		cmocka_unit_test_setup_teardown(collections_and_nothing_of_the_servers_own, setup, teardown),
		cmocka_unit_test_setup_teardown(another_version_of_the_same, setup, teardown),
		cmocka_unit_test_setup_teardown(a_scale_is_one, setup, teardown),
		cmocka_unit_test_setup_teardown(time_of_a_call, setup, teardown),
		cmocka_unit_test_setup_teardown(all_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(failures, setup, teardown),
		cmocka_unit_test_setup_teardown(managed_fields_are_kept, setup, teardown),
		cmocka_unit_test_setup_teardown(dry_runs, setup, teardown),
		cmocka_unit_test_setup_teardown(selectors, setup, teardown),
		cmocka_unit_test_setup_teardown(conditions, setup, teardown),
		cmocka_unit_test_setup_teardown(credentials, setup, teardown),
		cmocka_unit_test_setup_teardown(conversions, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
