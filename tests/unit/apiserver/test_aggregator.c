/* APIServices under virtual time: the network is this file, which answers what it likes. What goes over sockets is in
 * tests/e2e/test_aggregation.py. */
#include "harness.h"

#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/aggregator/spec.h"

#include "base/file.h"
#include "net/tls.h"

#include <stdio.h>
#include <unistd.h>

#define SERVICES "/apis/apiregistration.k8s.io/v1/apiservices"
#define NAME SERVICES "/v1.far.example.io"

static struct {
	int status;	  /* of its answer; 0: none */
	const char *body; /* NULL: a list of one */
	size_t asked;
	char url[200];
	size_t max;
	const char *openapi;  /* its index; NULL: 404 */
	const char *v2, *tag; /* its document of version 2, NULL: 404; and its tag */
	size_t v2_asked, v2_sent;
	bool hold;
	struct webhook_call *held;
} far;

static void far_say(struct webhook_call *c)
{
	struct err err = ERR_INIT;

	if (!far.status)
		err_set(&err, ERR_UNAVAILABLE, "dial tcp: no");
	webhook_call_answer(c, far.status, SV("text/plain"),
			    sv_from(far.body ? far.body
					     : "{\"kind\":\"APIResourceList\",\"resources\":[{\"name\":\"things\","
					       "\"kind\":\"Thing\",\"namespaced\":true,\"verbs\":[\"get\"]}]}"),
			    &err);
}

/* What it keeps in namespaces: things, which it deletes one by one or all at once; one may stay for its finalizer. */
#define HUNG ((size_t)100)
static struct {
	bool hang; /* no answer about namespaces comes, until hung_end(); other.example.io's do */
	struct webhook_call *calls[HUNG];
	size_t n, most, asked;
	char other[600]; /* paths that other.example.io was asked for */
} hung;

/* The time of all that hang is up. */
static void hung_end(void)
{
	while (hung.n) {
		struct err err = ERR_INIT;

		err_set(&err, ERR_TIMEOUT, "context deadline exceeded");
		webhook_call_answer(hung.calls[--hung.n], 0, SV(""), SV(""), &err);
	}
}

static struct {
	int n;		 /* of them */
	bool stay;	 /* the last one does */
	int status;	 /* of every answer; 0: as it should be */
	char asked[600]; /* "GET /apis/...;" of each */
} kept;

static void far_keeps(struct webhook_call *c, const struct webhook_sent *sent)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *path = strstr(sent->url, "/apis/"), *query = strchr(path, '?');
	size_t n = strlen(kept.asked);
	struct err err = ERR_INIT;

	if (strstr(path, "/other.example.io/")) {
		n = strlen(hung.other);
		(void)snprintf(hung.other + n, sizeof(hung.other) - n, "%.*s;", (int)(query - path), path);
		webhook_call_answer(c, 200, SV("application/json"), SV("{\"items\":[]}"), &err);
		return;
	}
	if (hung.hang) {
		hung.asked++;
		assert_true(hung.n < HUNG);
		hung.calls[hung.n++] = c;
		hung.most = MAX(hung.most, hung.n);
		return;
	}
	(void)snprintf(kept.asked + n, sizeof(kept.asked) - n, "%s %.*s;", sent->method, (int)(query - path), path);
	if (kept.status) {
		webhook_call_answer(c, kept.status, SV("application/json"), SV(""), &err);
		return;
	}
	if (strcmp(sent->method, "DELETE") == 0) {
		assert_non_null(strstr(query, "propagationPolicy=Background"));
		kept.n = strstr(path, "/things?") ? kept.stay : kept.n - 1;
	}
	buf_adds(&b, "{\"kind\":\"ThingList\",\"items\":[");
	for (int i = 0; i < kept.n; i++)
		buf_printf(&b, "%s{\"metadata\":{\"name\":\"t%d\"%s}}", i ? "," : "", i,
			   kept.stay ? ",\"deletionTimestamp\":\"x\",\"finalizers\":[\"example.io/wait\"]" : "");
	buf_adds(&b, "]}");
	webhook_call_answer(c, 200, SV("application/json"), buf_sv(&b), &err);
}

static void far_call(struct webhook_call *c, const struct webhook_sent *sent, void *ctx)
{
	(void)ctx;
	if (strstr(sent->url, "/openapi/v3")) {
		struct err err = ERR_INIT;

		webhook_call_answer(c, far.openapi ? 200 : 404, SV("application/json"),
				    sv_from(far.openapi ? far.openapi : ""), &err);
		return;
	}
	if (strstr(sent->url, "/openapi/v2")) {
		bool same = far.tag && sv_is(sent->tag, far.tag);

		far.v2_asked++;
		far.v2_sent += far.v2 && !same;
		webhook_call_answer_tagged(c,
					   same	    ? 304
					   : far.v2 ? 200
						    : 404,
					   SV("application/json"), sv_from(far.tag ? far.tag : ""),
					   sv_from(same || !far.v2 ? "" : far.v2));
		return;
	}
	if (strstr(sent->url, "/namespaces/")) {
		far_keeps(c, sent);
		return;
	}
	far.asked++;
	(void)snprintf(far.url, sizeof(far.url), "%s", sent->url);
	far.max = sent->answer_max;
	if (far.hold)
		far.held = c;
	else
		far_say(c);
}

static const struct webhook_network far_network = { .call = far_call };

static int setup(void **state)
{
	if (rig_setup(state))
		return -1;
	memset(&far, 0, sizeof(far));
	memset(&kept, 0, sizeof(kept));
	memset(&hung, 0, sizeof(hung));
	far.status = 200;
	webhook_set_network(((struct rig *)*state)->server, &far_network);
	return 0;
}

static void add(struct rig *r, const char *path, const char *body)
{
	(void)expect(r, 201, "POST", path, body);
}

static void add_service(struct rig *r)
{
	add(r, "/api/v1/namespaces/default/services",
	    "{\"metadata\":{\"name\":\"far\"},\"spec\":{\"ports\":[{\"name\":\"https\",\"port\":443}]}}");
}

static void add_slice(struct rig *r, const char *port)
{
	_cleanup_free_ char *body = xasprintf(
	    "{\"metadata\":{\"name\":\"far\",\"labels\":{\"kubernetes.io/service-name\":\"far\"}},\"addressType\":"
	    "\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.9.9.9\"]}],\"ports\":[{\"name\":\"%s\",\"port\":8443}]}",
	    port);

	add(r, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", body);
}

static void add_far(struct rig *r)
{
	add(r, SERVICES,
	    "{\"metadata\":{\"name\":\"v1.far.example.io\"},\"spec\":{\"group\":\"far.example.io\",\"version\":\"v1\","
	    "\"groupPriorityMinimum\":19000,\"versionPriority\":10,\"service\":{\"namespace\":\"default\",\"name\":"
	    "\"far\"}}}");
}

static void condition(struct rig *r, const char *path, const char *status, const char *reason, const char *message)
{
	const struct val *c;

	rig_run(r, 2 * NS_PER_SEC);
	c = val_at(val_get(expect(r, 200, "GET", path, NULL), F_status, F_conditions), 0);
	assert_val(val_get(c, F_reason), reason);
	assert_val(val_get(c, F_status), status);
	assert_val(val_get(c, F_message), message);
}

static void what_is_missing(void **state)
{
	struct rig *r = *state;

	add_far(r);
	condition(r, NAME, "False", "ServiceNotFound", "service/far in \"default\" is not present");
	add_service(r);
	condition(r, NAME, "False", "EndpointsNotFound", "cannot find endpointslices for service/far in \"default\"");
	add_slice(r, "other");
	condition(r, NAME, "False", "MissingEndpoints",
		  "endpointslices for service/far in \"default\" have no addresses with port name \"https\"");
	assert_int_equal(far.asked, 0);
	(void)expect(r, 200, "DELETE", "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/far", NULL);
	add_slice(r, "https");
	condition(r, NAME, "True", "Passed", "all checks passed");
	assert_string_equal(far.url, "https://far.default.svc:443/apis/far.example.io/v1");
	assert_in_range(far.max, 1, 1 << 20);
}

/* The version of far.example.io in aggregated discovery. */
static const struct val *shown(struct rig *r)
{
	struct answer *a =
	    api(r, "GET", "/apis", .accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
	const struct val *group = NULL;

	assert_int_equal(a->code, 200);
	VAL_EACH(val_get(api_json(a), F_items), g)
		if (val_is(val_get(g, F_metadata, F_name), "far.example.io"))
			group = g;
	answer_free(a);
	return val_at(val_get(group, F_versions), 0);
}

static void one_that_fails(void **state)
{
	struct rig *r = *state;

	add_service(r);
	add_slice(r, "https");
	far.status = 503;
	add_far(r);
	condition(
	    r, NAME, "False", "FailedDiscoveryCheck",
	    "failing or missing response from https://far.default.svc:443/apis/far.example.io/v1: bad status from "
	    "https://far.default.svc:443/apis/far.example.io/v1: 503");
	assert_val(val_get(shown(r), F_freshness), "Stale");
	assert_null(val_get(shown(r), F_resources));
	far.status = 200;
	rig_run(r, 40 * NS_PER_SEC);
	condition(r, NAME, "True", "Passed", "all checks passed");
	assert_val(val_get(shown(r), F_freshness), "Current");
	assert_val(val_get(val_at(val_get(shown(r), F_resources), 0), F_resource), "things");
	far.status = 0;
	rig_run(r, 40 * NS_PER_SEC);
	assert_val(val_get(shown(r), F_freshness), "Stale");
	assert_val(val_get(val_at(val_get(shown(r), F_resources), 0), F_resource), "things");
	/* First by its priority, but for those that are higher. */
	assert_val(val_get(val_at(val_get(expect(r, 200, "GET", "/apis", NULL), F_groups), 0), F_name),
		   "far.example.io");
	(void)expect(r, 200, "DELETE", NAME, NULL);
	assert_null(shown(r));
}

/* What the index says of its document; NULL: nothing. */
static const char *document(struct rig *r, struct arena *a)
{
	const struct val *paths = val_get(expect(r, 200, "GET", "/openapi/v3", NULL), F_paths);
	const struct val *e = val_member_sv(paths, SV("apis/far.example.io/v1"));

	assert_non_null(val_member_sv(paths, SV("apis/apps/v1")));
	return e ? arena_cstr(a, val_str(val_member_sv(e, SV("serverRelativeURL")))) : NULL;
}

static void its_document_is_in_the_index(void **state)
{
	static const struct {
		const char *index, *url;
	} rows[] = {
		{ NULL, NULL },
		{ "[]", NULL },
		{ "{\"paths\":{\"apis/other/v1\":{\"serverRelativeURL\":\"/openapi/v3/apis/other/v1?hash=1\"}}}",
		  NULL },
		{ "{\"paths\":{\"apis/far.example.io/v1\":{\"serverRelativeURL\":7}}}", NULL },
		{ "{\"paths\":{\"apis/far.example.io/v1\":{\"serverRelativeURL\":\"/evil/path?hash=0aF9\"}}}",
		  "/openapi/v3/apis/far.example.io/v1?hash=0aF9" },
		{ "{\"paths\":{\"apis/far.example.io/v1\":{\"serverRelativeURL\":\"/x?hash=1\\\"2\"}}}",
		  "/openapi/v3/apis/far.example.io/v1" },
		{ "{\"paths\":{\"apis/far.example.io/v1\":{\"serverRelativeURL\":\"/x\"}}}",
		  "/openapi/v3/apis/far.example.io/v1" },
	};
	struct rig *r = *state;

	add_service(r);
	add_slice(r, "https");
	add_far(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *url;

		far.openapi = rows[i].index;
		rig_run(r, 40 * NS_PER_SEC);
		url = document(r, &a);
		assert_int_equal(url != NULL, rows[i].url != NULL);
		if (url)
			assert_string_equal(url, rows[i].url);
	}
}

#define FAR_V2(word)                                                                                                   \
	"{\"swagger\":\"2.0\",\"info\":{\"title\":\"Far\"},\"paths\":{\"/apis/far.example.io/\":{\"get\":{}},"         \
	"\"/apis/far.example.io/v1/things\":{\"get\":{\"description\":\"" word                                         \
	"\",\"parameters\":[{\"$ref\":\"#/parameters/limit\"}],\"responses\":{\"200\":{\"schema\":{\"$ref\":\"#/"      \
	"definitions/Thing\"}}}}},\"/api/v1/pods\":{\"get\":{\"description\":\"evil\"}}},\"definitions\":{\"Thing\":{" \
	"\"properties\":{\"metadata\":{\"$ref\":\"#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\"}}}," \
	"\"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta\":{\"description\":\"theirs\"},\"Unused\":{"                \
	"\"description\":"                                                                                             \
	"\"unused\"}},\"parameters\":{\"limit\":{\"name\":\"limit\",\"in\":\"query\",\"type\":\"integer\"}}}"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"

static const struct val *of_v2(const struct val *doc, const char *section, const char *name)
{
	return val_member_sv(val_member_sv(doc, sv_from(section)), sv_from(name));
}

static void its_document_of_version_2_is_in_ours(void **state)
{
	static const char proto[] = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
	struct rig *r = *state;
	const struct val *doc, *own;
	struct answer *a;
	size_t before;

	own = expect(r, 200, "GET", "/openapi/v2", NULL);
	add_service(r);
	add_slice(r, "https");
	far.v2 = FAR_V2("first words");
	far.tag = "\"1\"";
	add_far(r);
	rig_run(r, 40 * NS_PER_SEC);
	doc = expect(r, 200, "GET", "/openapi/v2", NULL);
	assert_non_null(of_v2(doc, "paths", "/apis/far.example.io/v1/things"));
	assert_null(of_v2(doc, "paths", "/apis/far.example.io/")); /* of the group: ours to say */
	/* Ours is what it was, theirs has another name, and what nothing of theirs needs is not there. */
	assert_true(val_equal(of_v2(doc, "paths", "/api/v1/pods"), of_v2(own, "paths", "/api/v1/pods")));
	assert_true(val_equal(of_v2(doc, "definitions", META), of_v2(own, "definitions", META)));
	assert_val(val_member(of_v2(doc, "definitions", META "_v2"), F_description), "theirs");
	assert_val(val_member_sv(val_member(val_member(of_v2(doc, "definitions", "Thing"), F_properties), F_metadata),
				 SV("$ref")),
		   "#/definitions/" META "_v2");
	assert_null(of_v2(doc, "definitions", "Unused"));
	assert_non_null(of_v2(doc, "parameters", "limit"));
	assert_int_equal(val_len(val_member_sv(doc, SV("definitions"))),
			 val_len(val_member_sv(own, SV("definitions"))) + 2);
	assert_val(val_get(doc, F_info, F_title), "Kubernetes");
	a = api(r, "GET", "/openapi/v2", .accept = proto);
	assert_int_equal(a->code, 200);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("first words")) >= 0);
	assert_true(sv_find_sv(buf_sv(&a->body), SV(META "_v2")) >= 0);
	answer_free(a);
	/* It is asked again, and is what it was. */
	before = far.v2_asked;
	rig_run(r, 200 * NS_PER_SEC);
	assert_true(far.v2_asked >= before + 2 && far.v2_asked <= before + 4);
	assert_int_equal(far.v2_sent, 1);
	/* Another one; then one that is none, and none at all for a while: what it said stays. */
	far.v2 = FAR_V2("other words");
	far.tag = "\"2\"";
	rig_run(r, 100 * NS_PER_SEC);
	a = api(r, "GET", "/openapi/v2");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("other words")) >= 0);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("first words")) < 0);
	answer_free(a);
	far.v2 = "{\"paths\":";
	far.tag = NULL;
	rig_run(r, 100 * NS_PER_SEC);
	far.status = 500;
	rig_run(r, 100 * NS_PER_SEC);
	a = api(r, "GET", "/openapi/v2");
	assert_true(sv_find_sv(buf_sv(&a->body), SV("other words")) >= 0);
	answer_free(a);
	/* It goes with its APIService. */
	(void)expect(r, 200, "DELETE", NAME, NULL);
	doc = expect(r, 200, "GET", "/openapi/v2", NULL);
	assert_true(val_equal(doc, own));
	a = api(r, "GET", "/openapi/v2", .accept = proto);
	assert_true(sv_find_sv(buf_sv(&a->body), SV("other words")) < 0);
	answer_free(a);
}

static bool says(struct rig *r, const char *words)
{
	struct answer *a = api(r, "GET", "/openapi/v2");
	bool yes = a->code == 200 && sv_find_sv(buf_sv(&a->body), sv_from(words)) >= 0;

	answer_free(a);
	return yes;
}

/* Who asks while a part has changed gets the document there is; the next is made without anybody's asking. */
static void nobody_waits_for_the_next_document(void **state)
{
	struct rig *r = *state;
	struct aggregator *g = r->server->aggregator;
	const struct agg_doc *was;

	add_service(r);
	add_slice(r, "https");
	far.v2 = FAR_V2("first words");
	add_far(r);
	rig_run(r, 40 * NS_PER_SEC);
	assert_null(g->spec_docs[0]); /* nor is one made that nobody asks for */
	assert_true(says(r, "first words"));
	was = g->spec_docs[0];
	far.v2 = FAR_V2("other words");
	for (int i = 0; g->specs_at == g->spec_changes; i++) {
		assert_true(i < 10000);
		rig_run(r, 50 * NS_PER_MS);
	}
	assert_true(says(r, "first words"));
	assert_ptr_equal(g->spec_docs[0], was);
	rig_run(r, 200 * NS_PER_MS);
	assert_ptr_not_equal(g->spec_docs[0], was);
	assert_null(g->spec_docs[1]);
	assert_true(says(r, "other words"));
	/* The last part goes: there is nothing to make. */
	(void)expect(r, 200, "DELETE", NAME, NULL);
	assert_false(says(r, "other words"));
	assert_null(g->spec_docs[0]);
}

/* One that nobody asked for since it was made goes when it is not true any more; who comes then waits. */
static void documents_are_made_for_who_asks(void **state)
{
	struct rig *r = *state;
	struct aggregator *g = r->server->aggregator;

	add_service(r);
	add_slice(r, "https");
	far.v2 = FAR_V2("first words");
	add_far(r);
	rig_run(r, 40 * NS_PER_SEC);
	assert_true(says(r, "first words"));
	far.v2 = FAR_V2("other words");
	rig_run(r, 400 * NS_PER_SEC);
	assert_non_null(g->spec_docs[0]);
	assert_int_equal(g->specs_at, g->spec_changes);
	far.v2 = FAR_V2("last words");
	rig_run(r, 400 * NS_PER_SEC);
	assert_null(g->spec_docs[0]);
	assert_true(says(r, "last words"));
}

static struct aggregator *changing; /* while its document is made, once */

static struct sv own_while_it_changes(struct apiserver *s, const struct api_set *api, struct arena *a, bool proto)
{
	struct aggregator *g = TAKE(changing);

	(void)s;
	(void)api;
	(void)a;
	assert_false(proto);
	if (g) {
		pthread_mutex_lock(&g->lock);
		agg_specs_changed(g);
		pthread_mutex_unlock(&g->lock);
	}
	return SV("{\"swagger\":\"2.0\",\"paths\":{},\"definitions\":{}}");
}

/* What changes while the first is made is in the next, which is made though nobody asks. */
static void a_change_while_the_first_document_is_made(void **state)
{
	struct rig *r = *state;
	struct aggregator *g = r->server->aggregator;
	const struct api_set *api;

	add_service(r);
	add_slice(r, "https");
	far.v2 = FAR_V2("first words");
	add_far(r);
	rig_run(r, 40 * NS_PER_SEC);
	api = api_current_get(r->server->api);
	changing = g;
	agg_doc_unref(agg_specs_get(g, api, false, own_while_it_changes));
	api_set_unref(api);
	assert_null(changing);
	assert_int_not_equal(g->specs_at, g->spec_changes);
	rig_run(r, 200 * NS_PER_MS);
	assert_non_null(g->spec_docs[0]);
	assert_int_equal(g->specs_at, g->spec_changes);
}

static void documents_of_several(void **state)
{
	static const char own[] =
	    "{\"swagger\":\"2.0\",\"paths\":{},\"definitions\":{\"A\":{\"x-kubernetes-group-version-kind\":[1],"
	    "\"type\":\"object\"},\"B\":{\"type\":\"string\"}},\"security\":[]}";
	static const char one[] =
	    "{\"paths\":{\"/apis/g/v1\":{\"a\":{\"$ref\":\"#/definitions/A\"},\"b\":{\"$ref\":\"#/definitions/B\"}"
	    "}},\"definitions\":{\"A\":{\"type\":\"object\"},\"B\":{\"type\":\"integer\"}}}";
	static const char two[] =
	    "{\"paths\":{\"/apis/g/v1\":{\"a\":\"twice\"},\"/apis/h/v1\":{\"b\":{\"$ref\":\"#/definitions/B\"}}},"
	    "\"definitions\":{\"B\":{\"type\":\"integer\"},\"C\":{\"type\":\"boolean\"}}}";
	const struct sv theirs[] = { sv_from(one), sv_from(two) };
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct spec_merged m;

	(void)state;
	agg_specs_merge(sv_from(own), theirs, 2, &m);
	agg_specs_join(sv_from(own), &m, &b);
	assert_string_equal(buf_cstr(&b), "{\"swagger\":\"2.0\",\"paths\":{\"/apis/g/v1\":{\"a\":{\"$ref\":\"#/"
					  "definitions/A\"},\"b\":{\"$ref\":\"#/definitions/"
					  "B_v2\"}},\"/apis/h/v1\":{\"b\":{\"$ref\":\"#/definitions/"
					  "B_v2\"}}},\"definitions\":{\"A\":{\"x-kubernetes-group-"
					  "version-kind\":[1],\"type\":\"object\"},\"B\":{\"type\":\"string\"},\"B_"
					  "v2\":{\"type\":\"integer\"},\"C\":{\"type\":"
					  "\"boolean\"}},\"security\":[]}");
	agg_spec_merged_release(&m);
}

/* What is referred to in circles, or to nothing, ends; what is too much is refused. */
static void documents_are_bounded(void **state)
{
	static const char circle[] =
	    "{\"paths\":{\"/apis/g/v1/x\":{\"$ref\":\"#/definitions/A\"},\"/apis/g/v11/y\":{}},\"definitions\":{"
	    "\"A\":{\"$ref\":\"#/definitions/B\"},\"B\":{\"$ref\":\"#/definitions/A\",\"c\":{\"$ref\":\"#/"
	    "definitions/none\"}}}}";
	_cleanup_(buf_release) struct buf b = BUF_INIT, out = BUF_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(agg_spec_cut(sv_from(circle), SV("g"), SV("v1"), &out, &err), 0);
	assert_string_equal(
	    buf_cstr(&out),
	    "{\"paths\":{\"/apis/g/v1/x\":{\"$ref\":\"#/definitions/A\"}},\"definitions\":{\"A\":{\"$ref\":\"#/"
	    "definitions/B\"},\"B\":{\"$ref\":\"#/definitions/A\",\"c\":{\"$ref\":\"#/definitions/none\"}}},"
	    "\"parameters\":{},\"responses\":{}}");
	buf_clear(&out);
	assert_int_equal(agg_spec_cut(SV("{\"paths\":{}}"), SV("g"), SV("v1"), &out, &err), 0);
	assert_int_equal(out.n, 0);
	assert_int_equal(agg_spec_cut(SV("nothing"), SV("g"), SV("v1"), &out, &err), -1);
	err_release(&err);
	buf_adds(&b, "{\"paths\":{\"/apis/g/v1/x\":{\"a\":[0");
	for (size_t i = 0; i < AGG_SPEC_VALUES_MAX; i++)
		buf_adds(&b, ",0");
	buf_adds(&b, "]}}}");
	assert_int_equal(agg_spec_cut(buf_sv(&b), SV("g"), SV("v1"), &out, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
	err_release(&err);
	buf_clear(&b);
	buf_adds(&b, "{\"paths\":{\"/apis/g/v1/x\":{\"a\":\"");
	for (size_t i = 0; i < AGG_SPEC_MAX; i++)
		buf_addc(&b, 'x');
	buf_adds(&b, "\"}}}");
	buf_clear(&out);
	assert_int_equal(agg_spec_cut(buf_sv(&b), SV("g"), SV("v1"), &out, &err), -1);
	assert_int_equal(err.reason, ERR_TOO_LARGE);
}

static void asked_once_at_a_time(void **state)
{
	struct rig *r = *state;
	size_t before;

	add_service(r);
	add_slice(r, "https");
	far.hold = true;
	add_far(r);
	rig_run(r, 60 * NS_PER_SEC);
	assert_int_equal(far.asked, 1);
	(void)expect(r, 200, "GET", "/apis", NULL); /* which waits for nobody */
	(void)expect(r, 200, "DELETE", NAME, NULL);
	far.hold = false;
	far_say(far.held); /* of one that is gone */
	add_far(r);
	condition(r, NAME, "True", "Passed", "all checks passed");
	before = far.asked;
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(far.asked, before);
	rig_run(r, 30 * NS_PER_SEC);
	assert_int_equal(far.asked, before + 1);
}

static void built_in_ones(void **state)
{
	struct rig *r = *state;

	condition(r, SERVICES "/v1.", "True", "Local", "Local APIServices are always available");
	(void)expect(r, 200, "DELETE", SERVICES "/v1.batch", NULL);
	add(r, SERVICES,
	    "{\"metadata\":{\"name\":\"v1.batch\"},\"spec\":{\"group\":\"batch\",\"version\":\"v1\","
	    "\"groupPriorityMinimum\":19000,\"versionPriority\":10,\"service\":{\"namespace\":\"default\",\"name\":"
	    "\"far\"}}}");
	condition(r, SERVICES "/v1.batch", "False", "BuiltIn", "this server answers for batch/v1 itself");
	assert_val(val_get(expect(r, 200, "GET", "/apis/batch/v1/jobs", NULL), F_kind), "JobList");
	assert_int_equal(far.asked, 0);
	rig_restart(r);
	webhook_set_network(r->server, &far_network);
	condition(r, SERVICES "/v1.batch", "False", "BuiltIn", "this server answers for batch/v1 itself");
}

/* It was another server's, and loses its Service. */
static void one_that_comes_home(void **state)
{
	struct rig *r = *state;

	add_far(r);
	condition(r, NAME, "False", "ServiceNotFound", "service/far in \"default\" is not present");
	(void)expect_type(r, 200, "PATCH", NAME, "application/merge-patch+json", "{\"spec\":{\"service\":null}}");
	condition(r, NAME, "True", "Local", "Local APIServices are always available");
	assert_null(shown(r));
}

static void write_pair(const struct rig *r, const char *name)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct cert_opts c = { .common_name = name,
			       .client = true,
			       .not_after_ns = env_now_ns(r->env) + 86400 * NS_PER_SEC };
	struct sv cert, key;

	assert_int_equal(cert_make(&a, &c, SV(""), SV(""), &cert, &key, NULL), 0);
	assert_int_equal(file_write(r->server->o.proxy_cert_file, cert, 0600, NULL), 0);
	assert_int_equal(file_write(r->server->o.proxy_key_file, key, 0600, NULL), 0);
}

/* Files that are renewed are followed; what is no pair is not. */
static void the_certificate_is_renewed(void **state)
{
	char dir[] = "/tmp/caravel-front-XXXXXX", cert[64], key[64];
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct rig *r = *state;
	const struct agg_service *was;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(cert, sizeof(cert), "%s/tls.crt", dir);
	(void)snprintf(key, sizeof(key), "%s/tls.key", dir);
	r->server->o.proxy_cert_file = cert;
	r->server->o.proxy_key_file = key;
	assert_int_equal(aggregator_check(r->server, &err), -1);
	assert_non_null(strstr(err_msg(&err), "--proxy-client-cert-file"));
	write_pair(r, "one");
	assert_int_equal(aggregator_check(r->server, NULL), 0);
	add_service(r);
	add_slice(r, "https");
	add_far(r);
	condition(r, NAME, "True", "Passed", "all checks passed");
	was = r->server->aggregator->list.p[0];
	rig_run(r, 60 * NS_PER_SEC);
	assert_ptr_equal(r->server->aggregator->list.p[0], was);
	assert_int_equal(file_write(key, SV("none"), 0600, NULL), 0);
	rig_run(r, 60 * NS_PER_SEC);
	assert_ptr_equal(r->server->aggregator->list.p[0], was);
	write_pair(r, "two");
	rig_run(r, 60 * NS_PER_SEC);
	assert_ptr_not_equal(r->server->aggregator->list.p[0], was);
	assert_val(val_get(shown(r), F_freshness), "Current");
	assert_val(val_get(val_at(val_get(shown(r), F_resources), 0), F_resource), "things");
	r->server->o.proxy_cert_file = r->server->o.proxy_key_file = NULL;
	(void)unlink(cert);
	(void)unlink(key);
	(void)rmdir(dir);
}

#define THINGS(verbs)                                                                                               \
	"{\"kind\":\"APIResourceList\",\"resources\":[{\"name\":\"things\",\"kind\":\"Thing\",\"namespaced\":true," \
	"\"verbs\":[" verbs "]},{\"name\":\"wholes\",\"kind\":\"Whole\",\"namespaced\":false,\"verbs\":[\"list\","  \
	"\"delete\"]},{\"name\":\"../evil\",\"kind\":\"Evil\",\"namespaced\":true,\"verbs\":[\"list\",\"delete\"]}]}"

/* Asked until it is done. */
static struct foreign_left emptied(struct rig *r)
{
	struct foreign_left l = { 0 };

	while (!apiserver_empty_foreign(r->server, SV("ns"), NULL, &l))
		rig_run(r, NS_PER_SEC / 100);
	return l;
}

static void what_it_keeps_in_a_namespace_goes(void **state)
{
	static const struct {
		const char *list;
		int status, n;
		bool stay;
		size_t remaining, failures;
		const char *asked;
	} rows[] = {
		{ THINGS("\"list\",\"delete\",\"deletecollection\""), 0, 0, false, 0, 0, "GET L;" },
		{ THINGS("\"list\",\"delete\",\"deletecollection\""), 0, 3, false, 0, 0, "GET L;DELETE L;GET L;" },
		{ THINGS("\"list\",\"delete\""), 0, 2, false, 0, 0, "GET L;DELETE L/t0;DELETE L/t1;GET L;" },
		{ THINGS("\"list\",\"deletecollection\""), 0, 1, true, 1, 0, "GET L;DELETE L;GET L;" },
		{ THINGS("\"list\",\"delete\""), 0, 1, true, 1, 0, "GET L;GET L;" }, /* it goes already */
		{ THINGS("\"list\",\"delete\""), 500, 1, false, 0, 1, "GET L;" },
		{ THINGS("\"list\",\"delete\""), 404, 1, false, 0, 0, "GET L;" },
		{ THINGS("\"get\",\"list\""), 0, 1, false, 0, 0, "" },
		{ THINGS("\"get\",\"delete\""), 0, 1, false, 0, 0, "" },
	};
	struct rig *r = *state;
	struct foreign_left l = emptied(r);

	assert_int_equal(l.n_undiscovered, 0); /* nobody else serves anything */
	add_service(r);
	add_slice(r, "https");
	add_far(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_(buf_release) struct buf asked = BUF_INIT;

		far.body = rows[i].list;
		rig_run(r, 40 * NS_PER_SEC);
		kept.n = rows[i].n;
		kept.stay = rows[i].stay;
		kept.status = rows[i].status;
		kept.asked[0] = '\0';
		l = emptied(r);
		for (const char *p = rows[i].asked; *p; p++)
			if (*p == 'L' && p[1] != 'E')
				buf_adds(&asked, "/apis/far.example.io/v1/namespaces/ns/things");
			else
				buf_addc(&asked, *p);
		assert_string_equal(kept.asked, asked.n ? buf_cstr(&asked) : "");
		assert_int_equal(l.remaining, rows[i].remaining);
		assert_int_equal(l.failures, rows[i].failures);
		assert_int_equal(l.n_undiscovered, 0);
		if (l.remaining) {
			assert_sv(buf_sv(&l.kinds), "things.far.example.io has 1 resource instances");
			assert_int_equal((uintptr_t)strmap_get(&l.finalizers, SV("example.io/wait")), 1);
		}
		if (l.failures)
			assert_non_null(
			    strstr(buf_cstr(&l.failure), "bad status from https://far.default.svc:443/apis/"));
		foreign_left_release(&l);
	}
}

/* Of one that does not answer: whether something of it may be there is known from before, or is not. */
static void what_it_keeps_while_it_is_away(void **state)
{
	struct rig *r = *state;
	struct foreign_left l;

	add_service(r);
	add_slice(r, "https");
	far.status = 503;
	add_far(r);
	rig_run(r, 2 * NS_PER_SEC);
	l = emptied(r);
	assert_sv(buf_sv(&l.undiscovered), "far.example.io/v1: the server is currently unable to handle the request");
	foreign_left_release(&l);
	far.status = 200;
	far.body = THINGS("\"list\",\"delete\"");
	rig_run(r, 40 * NS_PER_SEC);
	far.status = 503;
	rig_run(r, 40 * NS_PER_SEC);
	l = emptied(r);
	assert_sv(buf_sv(&l.undiscovered), "far.example.io/v1: stale GroupVersion discovery: far.example.io/v1");
	foreign_left_release(&l);
	far.status = 200;
	far.body = THINGS("\"get\",\"list\"");
	rig_run(r, 40 * NS_PER_SEC);
	far.status = 503;
	rig_run(r, 40 * NS_PER_SEC);
	l = emptied(r);
	assert_int_equal(l.n_undiscovered, 0); /* nothing that could be left */
	assert_string_equal(kept.asked, "");
	foreign_left_release(&l);
}

/* An outcome that nobody fetches, and one that is under way when the server ends. */
static void what_nobody_asks_for_again(void **state)
{
	struct foreign_left l = { 0 };
	struct rig *r = *state;

	add_service(r);
	add_slice(r, "https");
	far.body = THINGS("\"list\",\"delete\"");
	add_far(r);
	rig_run(r, 2 * NS_PER_SEC);
	assert_false(apiserver_empty_foreign(r->server, SV("one"), NULL, &l));
	rig_run(r, 400 * NS_PER_SEC);
	assert_false(apiserver_empty_foreign(r->server, SV("two"), NULL, &l));
	assert_false(apiserver_empty_foreign(r->server, SV("one"), NULL, &l)); /* that was dropped */
	rig_run(r, NS_PER_SEC);
	assert_false(apiserver_empty_foreign(r->server, SV("three"), NULL, &l)); /* and that is not run */
}

/* Two of the same server, and one of another. */
static void add_two_and_another(struct rig *r)
{
	static const char *const rows[][3] = {
		{ "v2", "far.example.io", "far" },
		{ "v1", "other.example.io", "other" },
	};

	add_service(r);
	add_slice(r, "https");
	add(r, "/api/v1/namespaces/default/services",
	    "{\"metadata\":{\"name\":\"other\"},\"spec\":{\"ports\":[{\"name\":\"https\",\"port\":443}]}}");
	add(r, "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
	    "{\"metadata\":{\"name\":\"other\",\"labels\":{\"kubernetes.io/service-name\":\"other\"}},\"addressType\":"
	    "\"IPv4\",\"endpoints\":[{\"addresses\":[\"10.9.9.8\"]}],\"ports\":[{\"name\":\"https\",\"port\":8443}]}");
	far.body = THINGS("\"list\",\"delete\"");
	add_far(r);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		_cleanup_free_ char *body =
		    xasprintf("{\"metadata\":{\"name\":\"%s.%s\"},\"spec\":{\"group\":\"%s\",\"version\":\"%s\","
			      "\"groupPriorityMinimum\":19000,\"versionPriority\":10,\"service\":{\"namespace\":"
			      "\"default\",\"name\":\"%s\"}}}",
			      rows[i][0], rows[i][1], rows[i][1], rows[i][0], rows[i][2]);

		add(r, SERVICES, body);
	}
	rig_run(r, 40 * NS_PER_SEC);
}

static size_t ask_all(struct rig *r, size_t n, size_t *ret_failures)
{
	size_t done = 0;

	for (size_t i = 0; i < n; i++) {
		_cleanup_(foreign_left_release) struct foreign_left l = { 0 };
		char ns[24];

		(void)snprintf(ns, sizeof(ns), "n%zu", i);
		done += apiserver_empty_foreign(r->server, sv_from(ns), NULL, &l);
		*ret_failures += l.failures > 0;
	}
	return done;
}

static void one_that_hangs_holds_two(void **state)
{
	struct rig *r = *state;
	size_t failures = 0;

	add_two_and_another(r);
	hung.hang = true;
	assert_int_equal(ask_all(r, 10, &failures), 0);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(hung.n, 2);
	/* Nothing of theirs keeps a thread: all else goes on, and is answered. */
	(void)expect(r, 200, "GET", NAME, NULL);
	hung_end();
	rig_run(r, NS_PER_SEC);
	/* After the first time that is up nobody asks it, in no version; the other was asked in each namespace. */
	assert_int_equal(hung.most, 2);
	assert_int_equal(hung.asked, 2);
	for (size_t i = 0; i < 10; i++) {
		char path[100];

		(void)snprintf(path, sizeof(path), "/apis/other.example.io/v1/namespaces/n%zu/things;", i);
		assert_non_null(strstr(hung.other, path));
	}
	assert_int_equal(ask_all(r, 10, &failures), 10);
	assert_int_equal(failures, 10); /* none of them is empty for all that is known */
	/* Later it is asked again, and by then it answers. */
	hung.hang = false;
	rig_run(r, 40 * NS_PER_SEC);
	failures = 0;
	assert_int_equal(ask_all(r, 10, &failures), 0);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(ask_all(r, 10, &failures), 10);
	assert_int_equal(failures, 0);
}

/* One that answers each question shortly before it is too late, and keeps much. */
static void one_that_is_slow_has_a_minute(void **state)
{
	struct rig *r = *state;
	struct foreign_left l = { 0 };
	struct err err = ERR_INIT;
	size_t answers = 0;

	add_two_and_another(r);
	hung.hang = true;
	assert_false(apiserver_empty_foreign(r->server, SV("ns"), NULL, &l));
	for (rig_run(r, NS_PER_SEC); hung.n; rig_run(r, NS_PER_SEC)) {
		rig_run(r, 3 * NS_PER_SEC);
		assert_int_equal(hung.n, 1);
		hung.n = 0;
		webhook_call_answer(hung.calls[0], 200, SV("application/json"),
				    SV("{\"items\":[{\"metadata\":{\"name\":\"a\"}},{\"metadata\":{\"name\":\"b\"}},"
				       "{\"metadata\":{\"name\":\"c\"}},{\"metadata\":{\"name\":\"d\"}},"
				       "{\"metadata\":{\"name\":\"e\"}},{\"metadata\":{\"name\":\"f\"}},"
				       "{\"metadata\":{\"name\":\"g\"}},{\"metadata\":{\"name\":\"h\"}},"
				       "{\"metadata\":{\"name\":\"i\"}},{\"metadata\":{\"name\":\"j\"}},"
				       "{\"metadata\":{\"name\":\"k\"}},{\"metadata\":{\"name\":\"l\"}},"
				       "{\"metadata\":{\"name\":\"m\"}},{\"metadata\":{\"name\":\"n\"}},"
				       "{\"metadata\":{\"name\":\"o\"}},{\"metadata\":{\"name\":\"p\"}}]}"),
				    &err);
		answers++;
	}
	assert_int_equal(answers, 15); /* four seconds each */
	assert_true(apiserver_empty_foreign(r->server, SV("ns"), NULL, &l));
	assert_int_equal(l.failures, 1);
	assert_non_null(strstr(buf_cstr(&l.failure), "in the time allotted"));
	foreign_left_release(&l);
}

/* Two wait for answers when the server ends, others for their turn; the answers come before the end, or behind it. */
static void the_end_comes_while_one_hangs(void **state)
{
	struct rig *r = *state;
	size_t failures = 0;

	add_two_and_another(r);
	hung.hang = true;
	assert_int_equal(ask_all(r, 5, &failures), 0);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(hung.n, 2);
	aggregator_stop(r->server);
	hung_end();
	assert_int_equal(ask_all(r, 7, &failures), 0);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(hung.asked, 2); /* nothing more is asked */
	assert_string_equal(hung.other, "");
}

static void the_end_comes_before_the_answers_are_heard(void **state)
{
	struct rig *r = *state;
	size_t failures = 0;

	add_two_and_another(r);
	hung.hang = true;
	assert_int_equal(ask_all(r, 5, &failures), 0);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(hung.n, 2);
	hung_end(); /* their tasks are posted, and run behind the end */
}

/* Nothing of what it says is repeated for each of its resources. */
static void a_list_that_would_grow(void **state)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT, out = BUF_INIT;

	(void)state;
	buf_adds(&b, "{\"kind\":\"APIResourceList\",\"groupVersion\":\"");
	for (size_t i = 0; i < 100000; i++)
		buf_addc(&b, 'g');
	buf_adds(&b, "/v1\",\"resources\":[");
	for (size_t i = 0; i < AGG_RESOURCES_MAX; i++)
		buf_printf(&b, "%s{\"name\":\"r%zu\"}", i ? "," : "", i);
	buf_adds(&b, "]}");
	assert_int_equal(agg_resources(buf_sv(&b), SV("g"), SV("v1"), &out, NULL), 0);
	assert_in_range(out.n, AGG_RESOURCES_MAX, AGG_RESOURCES_MAX * 300);
	assert_int_equal(agg_resources(SV("{\"kind\":\"Pod\"}"), SV("g"), SV("v1"), &out, NULL), -1);
}

/* --- who waits is woken --- */

static struct {
	struct strmap keys; /* key -> how often */
	size_t n;
} heard;

static void hear(void *ctx, struct sv key)
{
	void **slot = strmap_slot(&heard.keys, key);

	assert_null(ctx);
	*slot = (void *)((uintptr_t)*slot + 1);
	heard.n++;
}

static bool ask_of_thing(struct rig *r, struct foreign_waker *w, size_t i, int *ret_status)
{
	struct foreign_answer ans = { 0 };
	char name[24];
	bool told;

	(void)snprintf(name, sizeof(name), "t%zu", i);
	told = apiserver_ask_foreign(r->server,
				     &(struct foreign_question){ .account = "tester",
								 .method = "GET",
								 .group = "far.example.io",
								 .version = "v1",
								 .plural = "things",
								 .namespaced = true,
								 .ns = SV("ns"),
								 .name = sv_from(name),
								 .who = { w, sv_from(name) } },
				     &ans);
	*ret_status = ans.status;
	buf_release(&ans.body);
	return told;
}

static void hung_say(size_t n)
{
	struct err err = ERR_INIT;

	for (; n && hung.n; n--)
		webhook_call_answer(hung.calls[--hung.n], 200, SV("application/json"), SV("{}"), &err);
}

/* Of seventy that ask each is woken once: by its answer, or because there is room for its question now. Whoever is
 * forgotten is not. */
static void who_waits_is_woken(void **state)
{
	struct foreign_waker w = { .wake = hear };
	struct foreign_left l = { 0 };
	struct rig *r = *state;
	int status;

	memset(&heard, 0, sizeof(heard));
	add_two_and_another(r);
	hung.hang = true;
	for (int again = 0; again < 3; again++) /* who comes by meanwhile waits once */
		for (size_t i = 0; i < 70; i++)
			assert_false(ask_of_thing(r, &w, i, &status));
	assert_int_equal(hung.n, 64);
	rig_run(r, 3 * NS_PER_SEC);
	assert_int_equal(heard.n, 0);
	hung_say(1);
	rig_run(r, NS_PER_MS);
	assert_int_equal(heard.n, 2); /* whose answer it was, and one who had no room */
	hung_say(HUNG);
	rig_run(r, NS_PER_MS);
	assert_int_equal(heard.n, 70);
	for (size_t i = 0; i < 70; i++) {
		char name[24];

		(void)snprintf(name, sizeof(name), "t%zu", i);
		assert_int_equal((uintptr_t)strmap_get(&heard.keys, sv_from(name)), 1);
		assert_int_equal(ask_of_thing(r, &w, i, &status), i < 64);
		assert_int_equal(status, i < 64 ? 200 : 0);
	}
	assert_int_equal(hung.n, 6);
	assert_false(apiserver_empty_foreign(r->server, SV("one"), &(struct foreign_wake){ &w, SV("one") }, &l));
	rig_run(r, NS_PER_MS);
	hung_say(2);
	rig_run(r, NS_PER_MS);
	apiserver_forget_foreign(r->server, &w);
	heard.n = 0;
	hung_say(HUNG);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(heard.n, 0);
	assert_false(ask_of_thing(r, &w, 100, &status)); /* and what it asks now it is not woken for */
	hung_end();
	rig_run(r, NS_PER_SEC);
	assert_int_equal(heard.n, 0);
	strmap_release(&heard.keys);
}

/* Who is woken and has no question any more wakes nobody: the others are woken all the same. */
static void who_is_woken_may_not_come(void **state)
{
	struct foreign_waker w = { .wake = hear };
	struct rig *r = *state;
	int status;

	memset(&heard, 0, sizeof(heard));
	add_two_and_another(r);
	hung.hang = true;
	for (size_t i = 0; i < 400; i++)
		assert_false(ask_of_thing(r, &w, i, &status));
	assert_int_equal(hung.n, 64);
	hung_say(HUNG);
	rig_run(r, NS_PER_MS);
	assert_true(heard.n < 400);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(heard.n, 400);
	apiserver_forget_foreign(r->server, &w);
	hung_end();
	strmap_release(&heard.keys);
}

static void a_namespace_that_is_emptied_wakes(void **state)
{
	struct foreign_waker w = { .wake = hear };
	struct foreign_left l = { 0 };
	struct rig *r = *state;

	memset(&heard, 0, sizeof(heard));
	add_two_and_another(r);
	assert_false(apiserver_empty_foreign(r->server, SV("one"), &(struct foreign_wake){ &w, SV("key") }, &l));
	assert_false(apiserver_empty_foreign(r->server, SV("one"), &(struct foreign_wake){ &w, SV("key") }, &l));
	assert_int_equal(heard.n, 0);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(heard.n, 1);
	assert_true(strmap_has(&heard.keys, SV("key")));
	assert_true(apiserver_empty_foreign(r->server, SV("one"), &(struct foreign_wake){ &w, SV("key") }, &l));
	foreign_left_release(&l);
	apiserver_forget_foreign(r->server, &w);
	strmap_release(&heard.keys);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_missing, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(one_that_fails, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(its_document_is_in_the_index, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(its_document_of_version_2_is_in_ours, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(nobody_waits_for_the_next_document, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(documents_are_made_for_who_asks, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_change_while_the_first_document_is_made, setup, rig_teardown),
		cmocka_unit_test(documents_of_several),
		cmocka_unit_test(documents_are_bounded),
		cmocka_unit_test_setup_teardown(asked_once_at_a_time, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(built_in_ones, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(one_that_comes_home, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(the_certificate_is_renewed, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(what_it_keeps_in_a_namespace_goes, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(what_it_keeps_while_it_is_away, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(what_nobody_asks_for_again, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(one_that_hangs_holds_two, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(one_that_is_slow_has_a_minute, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(the_end_comes_while_one_hangs, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(who_waits_is_woken, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(who_is_woken_may_not_come, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(a_namespace_that_is_emptied_wakes, setup, rig_teardown),
		cmocka_unit_test_setup_teardown(the_end_comes_before_the_answers_are_heard, setup, rig_teardown),
		cmocka_unit_test(a_list_that_would_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
