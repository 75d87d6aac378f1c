/* Answers in protobuf: the same as in JSON, whatever is asked for; and who asks for what cannot be in it. */
#include "harness.h"

#include "object/served.h"

#include "codec/pbwire.h"
#include "object/api_kind.h"
#include "object/decode.h"
#include "object/protobuf.h"
#include "store/store.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define PROTO PROTOBUF_MEDIA_TYPE
#define PARTIAL(kind) PROTO ";as=" kind ";g=meta.k8s.io;v=v1"

static void put_cm(struct rig *r, const char *name, size_t bytes)
{
	_cleanup_free_ char *fill = xmalloc(bytes + 1);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	memset(fill, 'x', bytes);
	fill[bytes] = '\0';
	expect(r, 201, "POST", CM,
	       arena_printf(&a,
			    "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"b\":\"\",\"a\":\"1\"}},"
			    "\"data\":{\"b\":\"yes\",\"a\":\"%s\"}}",
			    name, fill));
}

/* A list's items do not say their type. */
static const char *typed_text(struct rig *r, const struct val *doc)
{
	struct sv kind = val_get_str(doc, F_kind);
	_cleanup_(err_release) struct err err = ERR_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct schema *s = protobuf_type(val_get_str(doc, F_apiVersion), kind);
	struct val *v = s ? decode_typed(&r->arena, s, doc, NULL, &err) : NULL;

	if (!v)
		fail_msg("%.*s: %s", SV_ARG(kind), s ? err_msg(&err) : "no type");
	empty_to_null(&r->arena, s, v);
	json_encode(&b, val_sorted(&r->arena, v));
	return arena_strdup(&r->arena, buf_cstr(&b));
}

static const struct val *read_body(struct rig *r, struct sv body)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v = protobuf_decode(&r->arena, arena_sv(&r->arena, body), SV("v1"), SV(""), NULL, &err);

	if (!v)
		fail_msg("%s", err_msg(&err));
	return v;
}

/* What is answered, which must be in protobuf. */
static const struct val *proto_answer(struct rig *r, int code, const struct ask *ask)
{
	struct ask in_proto = *ask;
	const struct val *v;
	struct answer *a;

	if (!ask->accept)
		in_proto.accept = PROTO;
	a = api_ask(r, &in_proto);
	if (a->code != code)
		fail_msg("%s %s: %d %.*s", ask->method, ask->path, a->code, SV_ARG(buf_sv(&a->body)));
	assert_string_equal(a->content_type, PROTO);
	v = read_body(r, buf_sv(&a->body));
	answer_free(a);
	return v;
}
#define proto(r, code, m, p, ...) proto_answer((r), (code), &(struct ask){ .method = (m), .path = (p), ##__VA_ARGS__ })

static void same_as_json(struct rig *r, const char *path)
{
	const struct val *v = proto(r, 200, "GET", path), *json = expect(r, 200, "GET", path, NULL);

	assert_string_equal(typed_text(r, v), typed_text(r, json));
}

/* Lists of every kind that there is: most are empty, those that a new server fills are not. */
static void test_every_kind(void **state)
{
	struct rig *r = *state;
	char path[200];
	size_t seen = 0;

	put_cm(r, "one", 10);
	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *res = &resource_all[i];

		if (!(res->verbs & 1 << VERB_LIST) || !resource_served(res))
			continue;
		(void)snprintf(path, sizeof(path), "%s%s/%s/%s", *res->group ? "/apis/" : "/api", res->group,
			       res->version, res->plural);
		same_as_json(r, path);
		seen++;
	}
	assert_true(seen > 40);
	same_as_json(r, CM "/one");
	same_as_json(r, "/api/v1/namespaces/default");
	same_as_json(r, "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin");
	same_as_json(r, "/apis");
	same_as_json(r, "/apis/apps");
	same_as_json(r, "/apis/apps/v1");
}

/* Long enough that they are made while they are sent, in pages and whole. */
static void test_lists(void **state)
{
	static const char *const paths[] = { CM, CM "?limit=7", CM "?labelSelector=a%3D1", CM "?labelSelector=none" };
	struct rig *r = *state;
	struct answer *a;
	char name[16];

	for (int i = 0; i < 200; i++) {
		(void)snprintf(name, sizeof(name), "n%03d", i);
		put_cm(r, name, (size_t)i * 20);
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		const struct val *v = proto(r, 200, "GET", paths[i], .loop = true);

		if (i == 1) { /* the token has a time in it */
			assert_int_equal(val_len(val_get(v, F_items)), 7);
			assert_true(val_get_str(v, F_metadata, F_continue).n > 0);
			assert_int_equal(val_get_int(v, 0, F_metadata, F_remainingItemCount), 193);
			continue;
		}
		same_as_json(r, paths[i]);
	}
	a = api(r, "GET", CM, .accept = PROTO, .loop = true);
	assert_true(a->pieces > 5 && a->largest < 40000);
	answer_free(a);
}

static void test_metadata_alone(void **state)
{
	struct rig *r = *state;
	const struct val *v, *item;

	put_cm(r, "one", 10);
	put_cm(r, "two", 10);
	v = proto(r, 200, "GET", CM "/one", .accept = PARTIAL("PartialObjectMetadata") ",application/json");
	assert_val(val_get(v, F_kind), "PartialObjectMetadata");
	assert_val(val_get(v, F_apiVersion), "meta.k8s.io/v1");
	assert_val(val_get(v, F_metadata, F_name), "one");
	assert_null(val_get(v, F_data));
	v = proto(r, 200, "GET", CM, .accept = PARTIAL("PartialObjectMetadataList"));
	assert_val(val_get(v, F_kind), "PartialObjectMetadataList");
	assert_val(val_get(v, F_apiVersion), "meta.k8s.io/v1");
	assert_int_equal(val_len(val_get(v, F_items)), 2);
	assert_true(rev_of(v) > 0);
	item = val_at(val_get(v, F_items), 1);
	assert_val(val_get(item, F_metadata, F_name), "two");
	assert_true(val_len(val_get(item, F_metadata, F_managedFields)) == 1);
}

/* --- watches --- */

static const struct val *next_event(struct rig *r, struct sv *rest, const char *type)
{
	const unsigned char *p = (const unsigned char *)rest->p;
	struct sv event;
	size_t n;

	assert_true(rest->n > 4);
	n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	assert_true(rest->n >= 4 + n);
	event = sv_sub(*rest, 4, n);
	assert_true(pb_valid(event));
	*rest = sv_sub(*rest, 4 + n, rest->n);
	assert_sv(pb_get_sv(event, 1), type);
	return read_body(r, pb_get_sv(pb_get_sv(event, 2), 1));
}

static void test_watch(void **state)
{
	static const char *const accepts[] = { PROTO, PROTO ";stream=watch", PROTO ",application/json",
					       PARTIAL("PartialObjectMetadata") };
	struct rig *r = *state;
	struct answer *a[ARRAY_LEN(accepts)];

	put_cm(r, "before", 300);
	for (size_t i = 0; i < ARRAY_LEN(accepts); i++)
		a[i] = api(r, "GET",
			   CM "?watch=true&allowWatchBookmarks=true&sendInitialEvents=true"
			      "&resourceVersionMatch=NotOlderThan",
			   .accept = accepts[i]);
	put_cm(r, "later", 70000);
	expect(r, 200, "DELETE", CM "/before", NULL);
	rig_run(r, 90 * NS_PER_SEC);
	for (size_t i = 0; i < ARRAY_LEN(accepts); i++) {
		static const char *const types[] = { "ADDED", "BOOKMARK", "ADDED", "DELETED", "BOOKMARK" };
		static const char *const names[] = { "before", "", "later", "before", "" };
		struct sv rest = buf_sv(&a[i]->body);

		assert_string_equal(a[i]->content_type, PROTO ";stream=watch");
		for (size_t k = 0; k < ARRAY_LEN(types); k++) {
			const struct val *o = next_event(r, &rest, types[k]);
			const struct val *mark =
			    val_member_sv(val_get(o, F_metadata, F_annotations), SV("k8s.io/initial-events-end"));

			assert_val(val_get(o, F_kind), i == 3 ? "PartialObjectMetadata" : "ConfigMap");
			assert_val(val_get(o, F_metadata, F_name), names[k]);
			assert_true(rev_of(o) > 0);
			assert_int_equal(mark != NULL, k == 1);
		}
		assert_int_equal(rest.n, 0);
		answer_gone(a[i]);
	}
}

static void test_watch_errors(void **state)
{
	struct rig *r = *state;
	const struct val *v;
	struct answer *a;
	struct sv rest;

	put_cm(r, "a", 1);
	rig_restart(r);
	assert_int_equal(store_compact(r->store, rev_of(expect(r, 200, "GET", CM, NULL)), NULL), 0);
	a = api(r, "GET", CM "?watch=true&resourceVersion=1", .accept = PROTO);
	assert_true(a->ended);
	rest = buf_sv(&a->body);
	v = next_event(r, &rest, "ERROR");
	assert_val(val_get(v, F_kind), "Status");
	assert_int_equal(val_get_int(v, 0, F_code), 410);
	answer_gone(a);
}

/* --- what went wrong, and writes --- */

static void test_status(void **state)
{
	struct rig *r = *state;
	const struct val *v;
	struct answer *a;

	put_cm(r, "one", 1);
	v = proto(r, 404, "GET", CM "/none");
	assert_val(val_get(v, F_kind), "Status");
	assert_val(val_get(v, F_reason), "NotFound");
	assert_int_equal(val_get_int(v, 0, F_code), 404);
	assert_val(val_get(v, F_details, F_name), "none");
	v = proto(r, 422, "POST", CM, .body = "{\"metadata\":{\"name\":\"A B\"}}");
	assert_val(val_get(val_at(val_get(v, F_details, F_causes), 0), F_field), "metadata.name");
	v = proto(r, 200, "DELETE", CM "/one");
	assert_val(val_get(v, F_status), "Success");
	a = api(r, "GET", CM, .accept = PROTO, .user = "nobody");
	assert_int_equal(a->code, 403);
	answer_free(a);
}

/* Bodies as client-go sends them, and answers as it wants them. */
static const struct val *write_in_proto(struct rig *r, int code, const char *method, const char *path, const char *json)
{
	const struct val *doc = json_decode(&r->arena, sv_from(json), NULL, NULL);
	struct sv version = val_get_str(doc, F_apiVersion), kind = val_get_str(doc, F_kind);
	const struct schema *s = protobuf_type(version, kind);
	_cleanup_(buf_release) struct buf raw = BUF_INIT, body = BUF_INIT;

	protobuf_write(&raw, s, decode_typed(&r->arena, s, doc, NULL, NULL));
	protobuf_envelope(&body, version, kind, raw.n);
	buf_addsv(&body, buf_sv(&raw));
	buf_addsv(&body, PROTOBUF_ENVELOPE_END);
	return proto(r, code, method, path, .accept = PROTO ",application/json", .type = PROTO, .body = body.p,
		     .body_n = body.n);
}

static void test_writes(void **state)
{
	struct rig *r = *state;
	const struct val *v;

	v = write_in_proto(
	    r, 201, "POST", "/apis/apps/v1/namespaces/default/deployments",
	    "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v1\",\"metadata\":{\"name\":\"d\"},\"spec\":{"
	    "\"replicas\":0,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},\"template\":{\"metadata\":{"
	    "\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"i\","
	    "\"resources\":{\"limits\":{\"cpu\":\"0.5\"}},\"livenessProbe\":{\"httpGet\":{\"port\":\"p\"}}}]}}}}");
	assert_int_equal(val_get_int(v, -1, F_spec, F_replicas), 0);
	assert_val(
	    val_get(val_at(val_get(v, F_spec, F_template, F_spec, F_containers), 0), F_resources, F_limits, F_cpu),
	    "500m");
	assert_val(val_get(v, F_spec, F_strategy, F_rollingUpdate, F_maxSurge), "25%");
	same_as_json(r, "/apis/apps/v1/namespaces/default/deployments/d");
	same_as_json(r, "/apis/apps/v1/namespaces/default/deployments/d/scale");
	v = write_in_proto(r, 200, "PUT", "/apis/apps/v1/namespaces/default/deployments/d/scale",
			   "{\"kind\":\"Scale\",\"apiVersion\":\"autoscaling/v1\",\"metadata\":{\"name\":\"d\","
			   "\"namespace\":\"default\"},\"spec\":{\"replicas\":3}}");
	assert_int_equal(val_get_int(v, -1, F_spec, F_replicas), 3);
	v = write_in_proto(r, 201, "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
			   "{\"kind\":\"SelfSubjectAccessReview\",\"apiVersion\":\"authorization.k8s.io/v1\",\"spec\":{"
			   "\"resourceAttributes\":{\"verb\":\"get\",\"resource\":\"pods\"}}}");
	assert_true(val_get_bool(v, F_status, F_allowed));
	v = write_in_proto(r, 201, "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews",
			   "{\"kind\":\"SelfSubjectReview\",\"apiVersion\":\"authentication.k8s.io/v1\"}");
	assert_true(val_get_str(v, F_status, F_userInfo, F_username).n > 0);
	v = write_in_proto(
	    r, 200, "DELETE", "/apis/apps/v1/namespaces/default/deployments/d",
	    "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"apps/v1\",\"propagationPolicy\":\"Background\"}");
	assert_val(val_get(v, F_kind), "Status");
	v = proto(r, 200, "PATCH", "/api/v1/namespaces/default", .type = "application/merge-patch+json",
		  .body = "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
	assert_val(val_member_sv(val_get(v, F_metadata, F_labels), SV("x")), "y");
}

/* Refused as what they say they are, and nothing is left behind. */
static void test_bad_bodies(void **state)
{
	static const struct {
		struct sv raw;
		const char *version, *kind, *words;
	} cases[] = {
		{ SV("\x0a\x7f"), "v1", "ConfigMap",
		  "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: the protobuf body cannot be read" },
		{ SV("\x08\x01"), "", "", "ConfigMap in version \"v1\" cannot be handled as a ConfigMap" },
		{ SV("\x0a\x7f"), "v1", "Pod", "Pod in version \"v1\" cannot be handled as a ConfigMap" },
		{ SV(""), "v1", "Nothing", "no kind \"Nothing\" is registered" },
		{ SV(""), "v1", "Pod", "unknown conversion" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		protobuf_envelope(&b, sv_from(cases[i].version), sv_from(cases[i].kind), cases[i].raw.n);
		buf_addsv(&b, cases[i].raw);
		buf_addsv(&b, PROTOBUF_ENVELOPE_END);
		expect_status(r, 400, "BadRequest", cases[i].words,
			      &(struct ask){ .method = "POST", .path = CM, .type = PROTO, .body = b.p, .body_n = b.n });
	}
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM, NULL), F_items)), 0);
}

/* --- who asks for what --- */

static void test_accept(void **state)
{
#define TABLE "as=Table;v=v1;g=meta.k8s.io"
	static const struct {
		const char *path, *accept, *type;
	} cases[] = {
		/* client-go, typed */
		{ CM, PROTO ",application/json", PROTO },
		{ CM "/one", PROTO ",application/json", PROTO },
		/* its metadata client, and informers of it */
		{ CM,
		  PARTIAL("PartialObjectMetadataList") ",application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v="
						       "v1,application/json",
		  PROTO },
		/* kubectl: Tables have no message */
		{ CM, "application/json;" TABLE ",application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
		  "application/json" },
		{ CM, PROTO ";" TABLE ",application/json;" TABLE, "application/json" },
		{ CM, PROTO ";" TABLE "," PROTO, PROTO },
		/* others */
		{ CM, "application/json, " PROTO, "application/json" },
		{ CM, "application/json;q=0.5, " PROTO ";q=0.9", PROTO },
		{ CM, "*/*", "application/json" },
		{ CM, "application/json, */*", "application/json" },
		{ "/apis", PROTO, PROTO },
		{ "/api", PROTO, PROTO },
		{ "/apis", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
		  "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" },
		{ "/apis", PROTO ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList," PROTO,
		  PROTO ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList" },
		{ "/apis", PROTO ";g=apidiscovery.k8s.io;v=v9;as=APIGroupDiscoveryList," PROTO, PROTO },
	};
	struct rig *r = *state;

	put_cm(r, "one", 1);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer *a = api(r, "GET", cases[i].path, .accept = cases[i].accept);

		assert_int_equal(a->code, 200);
		assert_string_equal(a->content_type, cases[i].type);
		if (sv_starts(sv_from(a->content_type), SV(PROTO)))
			(void)read_body(r, buf_sv(&a->body));
		answer_free(a);
	}
	expect_status(r, 406, "NotAcceptable", "application/json, application/yaml, " PROTO,
		      &(struct ask){ .method = "GET", .path = CM, .accept = PROTO ";" TABLE });
}

/* Kinds made at run time have no numbers: whole they are JSON, their metadata has. */
static void test_late_kind(void **state)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	struct rig *r = *state;
	struct api_kind *k = api_kind_new(
	    &(struct api_kind_def){ .group = "example.com",
				    .version = "v1",
				    .plural = "widgets",
				    .kind = "Widget",
				    .namespaced = true,
				    .schema = json_decode(&tmp,
							  SV("{\"type\":\"object\",\"properties\":{\"spec\":{"
							     "\"type\":\"object\"}}}"),
							  NULL, NULL) },
	    NULL);
	struct err err = ERR_INIT;
	struct answer *a;
	const struct val *v;

#define WIDGETS "/apis/example.com/v1/namespaces/default/widgets"
	assert_non_null(k);
	assert_int_equal(apiserver_add_kinds(r->server, &k, 1, &err), 0);
	expect(r, 201, "POST", WIDGETS,
	       "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\"}}");
	a = api(r, "GET", WIDGETS, .accept = PROTO ",application/json");
	assert_string_equal(a->content_type, "application/json");
	answer_free(a);
	a = api(r, "GET", WIDGETS "/w", .accept = PROTO);
	assert_int_equal(a->code, 406);
	answer_free(a);
	a = api(r, "GET", WIDGETS "?watch=true", .accept = PROTO);
	assert_int_equal(a->code, 406);
	answer_free(a);
	v = proto(r, 200, "GET", WIDGETS, .accept = PARTIAL("PartialObjectMetadataList"));
	assert_val(val_get(val_at(val_get(v, F_items), 0), F_metadata, F_name), "w");
	a = api(r, "POST", WIDGETS, .type = PROTO, .body = "k8s", .body_n = 4);
	assert_true(a->code == 400 || a->code == 415);
	answer_free(a);
	apiserver_remove_kinds(r->server, &k, 1);
	api_kind_unref(k);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_every_kind), T(test_lists),  T(test_metadata_alone), T(test_watch),	T(test_watch_errors),
		T(test_status),	    T(test_writes), T(test_accept),	    T(test_bad_bodies), T(test_late_kind),
	};

	return cmocka_run_group_tests_name("apiserver/protobuf", tests, NULL, NULL);
}
