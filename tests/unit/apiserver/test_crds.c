/* CustomResourceDefinitions from their creation to their end: what is served of them, what their status says, who gets
 * which name, and that nothing of them is lost. */
#include "harness.h"

#include "apiserver/admission/admission.h"
#include "object/schema.h"

#include <stdio.h>

#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define FOOS "/apis/ex.com/v1/namespaces/default/foos"

static const char version_1[] =
    "{\"name\":\"v1\",\"served\":true,\"storage\":true,\"subresources\":{\"status\":{},\"scale\":{\"specReplicasPath\":"
    "\".spec.n\",\"statusReplicasPath\":\".status.n\",\"labelSelectorPath\":\".status.sel\"}},\"selectableFields\":[{"
    "\"jsonPath\":\".spec.colour\"}],\"additionalPrinterColumns\":[{\"name\":\"Colour\",\"type\":\"string\","
    "\"jsonPath\":"
    "\".spec.colour\"}],\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":"
    "\"object\","
    "\"properties\":{\"n\":{\"type\":\"integer\"},\"colour\":{\"type\":\"string\",\"default\":\"red\"}}},\"status\":{"
    "\"type\":\"object\",\"x-kubernetes-preserve-unknown-fields\":true}}}}}";

static const char *definition(struct rig *r, const char *plural, const char *kind, const char *names,
			      const char *versions)
{
	return arena_printf(
	    &r->arena,
	    "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":"
	    "{\"name\":\"%s.ex.com\"},\"spec\":{\"group\":\"ex.com\",\"scope\":\"Namespaced\",\"names\":{"
	    "\"plural\":\"%s\",\"kind\":\"%s\"%s},\"versions\":[%s]}}",
	    plural, plural, kind, names, versions);
}

static const struct val *condition(struct rig *r, const char *path, const char *type)
{
	VAL_EACH(val_get(expect(r, 200, "GET", path, NULL), F_status, F_conditions), c)
		if (val_is(val_member(c, F_type), type))
			return c;
	return NULL;
}

static void install(struct rig *r, const char *plural, const char *kind, const char *names, const char *versions)
{
	expect(r, 201, "POST", CRDS, definition(r, plural, kind, names, versions));
	rig_run(r, NS_PER_SEC);
}

static void test_life(void **state)
{
	static const struct {
		const char *type, *query;
	} types[] = { { "application/merge-patch+json", "" },
		      { "application/apply-patch+yaml", "?fieldManager=m&force=true" } };
	struct rig *r = *state;
	const struct val *v;
	struct answer *a;

	expect(r, 404, "GET", FOOS, NULL);
	install(r, "foos", "Foo", ",\"shortNames\":[\"fo\"]", version_1);
	assert_val(val_member(condition(r, CRDS "/foos.ex.com", "Established"), F_reason), "InitialNamesAccepted");
	assert_val(val_member(condition(r, CRDS "/foos.ex.com", "NamesAccepted"), F_message), "no conflicts found");
	v = expect(r, 200, "GET", CRDS "/foos.ex.com", NULL);
	assert_val(val_get(v, F_status, F_acceptedNames, F_listKind), "FooList");
	v = expect(
	    r, 201, "POST", FOOS,
	    "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},\"spec\":{\"n\":2,\"zz\":1},"
	    "\"status\":{\"n\":9}}");
	assert_val(val_member_sv(val_member(v, F_spec), SV("colour")), "red");
	assert_null(val_member_sv(val_member(v, F_spec), SV("zz")));
	assert_null(val_member(v, F_status));
	/* What the status endpoint takes, and what it leaves. */
	v = expect_type(r, 200, "PATCH", FOOS "/f/status", "application/merge-patch+json",
			"{\"spec\":{\"n\":7},\"status\":{\"n\":1,\"sel\":\"a=b\"}}");
	assert_int_equal(val_int_or(val_member_sv(val_member(v, F_spec), SV("n")), 0), 2);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), 1);
	/* Nothing of metadata: who may only say how an object is takes no finalizer and gives it no owner. */
	expect_type(r, 200, "PATCH", FOOS "/f", "application/merge-patch+json",
		    "{\"metadata\":{\"labels\":{\"l\":\"was\"},\"finalizers\":[\"ex.com/f\"]}}");
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		v = expect_type(r, 200, "PATCH", arena_printf(&r->arena, FOOS "/f/status%s", types[i].query),
				types[i].type,
				"{\"apiVersion\":\"ex.com/"
				"v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\",\"labels\":{\"l\":\"is\"},"
				"\"annotations\":{\"a\":\"b\"},\"finalizers\":[],\"ownerReferences\":[{\"apiVersion\":"
				"\"v1\",\"kind\":"
				"\"ConfigMap\",\"name\":\"c\",\"uid\":\"u\"}]},\"status\":{\"n\":1,\"sel\":\"a=b\"}}");
		assert_val(val_get(v, F_metadata, F_labels) ? val_member_sv(val_get(v, F_metadata, F_labels), SV("l"))
							    : NULL,
			   "was");
		assert_null(val_get(v, F_metadata, F_annotations));
		assert_null(val_get(v, F_metadata, F_ownerReferences));
		assert_int_equal(val_len(val_get(v, F_metadata, F_finalizers)), 1);
		assert_true(val_len(val_get(v, F_metadata, F_managedFields)) >= 2);
	}
	expect_type(r, 200, "PATCH", FOOS "/f", "application/merge-patch+json",
		    "{\"metadata\":{\"labels\":null,\"finalizers\":null}}");
	/* Scale is where the definition says. */
	v = expect(r, 200, "GET", FOOS "/f/scale", NULL);
	assert_int_equal(val_get_int(v, 0, F_spec, F_replicas), 2);
	assert_val(val_get(v, F_status, F_selector), "a=b");
	v = expect_type(r, 200, "PATCH", FOOS "/f/scale", "application/merge-patch+json",
			"{\"spec\":{\"replicas\":5}}");
	assert_int_equal(val_get_int(v, 0, F_spec, F_replicas), 5);
	v = expect(r, 200, "GET", FOOS "/f", NULL);
	assert_int_equal(val_int_or(val_member_sv(val_member(v, F_spec), SV("n")), 0), 5);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), 2);
	/* Fields that can be selected by, and others. */
	assert_int_equal(
	    val_len(val_member(expect(r, 200, "GET", FOOS "?fieldSelector=spec.colour%3Dred", NULL), F_items)), 1);
	assert_int_equal(
	    val_len(val_member(expect(r, 200, "GET", FOOS "?fieldSelector=spec.colour%3Dblue", NULL), F_items)), 0);
	expect(r, 400, "GET", FOOS "?fieldSelector=spec.n%3D5", NULL);
	a = api(r, "GET", FOOS, .accept = "application/json;as=Table;v=v1;g=meta.k8s.io");
	assert_val(val_at(val_member(val_at(val_member(a->json, F_rows), 0), F_cells), 1), "red");
	answer_free(a);
	/* It goes with its instances. */
	v = expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	assert_val(val_at(val_get(v, F_metadata, F_finalizers), 0), "customresourcecleanup.apiextensions.k8s.io");
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", CRDS "/foos.ex.com", NULL);
	expect(r, 404, "GET", FOOS "/f", NULL);
	install(r, "foos", "Foo", "", version_1);
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", FOOS, NULL), F_items)), 0);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	install(r, "foos", "Foo", "", version_1);
	expect_status(r, 422, "Invalid", "spec.n",
		      &(struct ask){ .method = "POST",
				     .path = FOOS,
				     .body =
					 "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},"
					 "\"spec\":{\"n\":\"two\"}}" });
	expect_status(r, 400, "BadRequest", "unknown field \"spec.zz\"",
		      &(struct ask){ .method = "POST",
				     .path = FOOS "?fieldValidation=Strict",
				     .body =
					 "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},"
					 "\"spec\":{\"zz\":1}}" });
	expect_status(
	    r, 422, "Invalid", "must be Foo",
	    &(struct ask){ .method = "POST",
			   .path = FOOS,
			   .body = "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Bar\",\"metadata\":{\"name\":\"f\"}}" });
	expect_status(
	    r, 400, "BadRequest", "does not match the expected API version",
	    &(struct ask){ .method = "POST",
			   .path = FOOS,
			   .body = "{\"apiVersion\":\"ex.com/v2\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"}}" });
	/* In no namespace, where it has to be in one. */
	expect(r, 404, "POST", "/apis/ex.com/v1/foos", "{\"metadata\":{\"name\":\"f\"}}");
	/* While it goes nothing new comes: an instance whose finalizer nobody takes holds it. */
	expect(r, 201, "POST", FOOS,
	       "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\",\"finalizers\":[\"ex.com/"
	       "x\"]}}");
	/* A short name is taken with a word. */
	a = api(
	    r, "POST", FOOS "?dryRun=All",
	    .body =
		"{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"g\",\"finalizers\":[\"x\"]}}");
	assert_int_equal(a->code, 201);
	assert_int_equal(a->q.n_warnings, 1);
	answer_free(a);
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	rig_run(r, NS_PER_SEC);
	expect(r, 405, "POST", FOOS, "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"g\"}}");
	expect(r, 200, "GET", CRDS "/foos.ex.com", NULL);
	expect_type(r, 200, "PATCH", FOOS "/f", "application/merge-patch+json", "{\"metadata\":{\"finalizers\":null}}");
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", CRDS "/foos.ex.com", NULL);
}

/* Who has a name keeps it; who wants it waits, and gets it when it is free. */
static void test_conflicts(void **state)
{
	struct rig *r = *state;

	install(r, "foos", "Foo", ",\"shortNames\":[\"x\"]", version_1);
	install(r, "bars", "Foo", ",\"shortNames\":[\"x\"],\"singular\":\"bar\",\"listKind\":\"BarList\"", version_1);
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "NamesAccepted"), F_reason), "KindConflict");
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "NamesAccepted"), F_message),
		   "\"Foo\" is already in use");
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "Established"), F_reason), "NotAccepted");
	expect(r, 404, "GET", "/apis/ex.com/v1/bars", NULL);
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	rig_run(r, 10 * NS_PER_SEC);
	assert_val(val_member(condition(r, CRDS "/bars.ex.com", "Established"), F_status), "True");
	expect(r, 200, "GET", "/apis/ex.com/v1/bars", NULL);
}

/* Whoever may make a definition may say the name of a kind that is built in. It does not get it, is told so, and what
 * is stored under those keys is not its own to sweep, neither when it comes nor when it goes. */
static void test_built_in_names(void **state)
{
	static const char services[] = "/apis/apiregistration.k8s.io/v1/apiservices",
			  path[] = CRDS "/apiservices.apiregistration.k8s.io";
	struct rig *r = *state;
	_cleanup_free_ char *version = NULL;

	expect(r, 201, "POST", services,
	       "{\"metadata\":{\"name\":\"v1.far.ex.com\"},\"spec\":{\"group\":\"far.ex.com\",\"version\":\"v1\","
	       "\"groupPriorityMinimum\":1000,\"versionPriority\":10,\"service\":{\"namespace\":\"default\",\"name\":"
	       "\"far\"}}}");
	expect(r, 201, "POST", CRDS,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"apiservices.apiregistration.k8s.io\",\"annotations\":{"
			    "\"api-approved.kubernetes.io\":\"https://x.y\"}},\"spec\":{\"group\":"
			    "\"apiregistration.k8s.io\",\"scope\":\"Cluster\",\"names\":{\"plural\":\"apiservices\","
			    "\"kind\":\"FarService\"},\"versions\":[%s]}}",
			    version_1));
	rig_run(r, NS_PER_SEC);
	assert_val(val_member(condition(r, path, "NamesAccepted"), F_status), "False");
	assert_val(val_member(condition(r, path, "NamesAccepted"), F_reason), "PluralConflict");
	assert_val(val_member(condition(r, path, "NamesAccepted"), F_message), "\"apiservices\" is already in use");
	assert_val(val_member(condition(r, path, "Established"), F_reason), "NotAccepted");
	version = xstrdup(
	    arena_cstr(&r->arena, val_get_str(expect(r, 200, "GET", path, NULL), F_metadata, F_resourceVersion)));
	install(r, "foos", "Foo", "", version_1); /* it is looked at again, and not written again */
	assert_val(val_get(expect(r, 200, "GET", path, NULL), F_metadata, F_resourceVersion), version);
	expect(r, 200, "GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.far.ex.com", NULL);
	expect(r, 200, "DELETE", path, NULL);
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", path, NULL);
	expect(r, 200, "GET", "/apis/apiregistration.k8s.io/v1/apiservices/v1.far.ex.com", NULL);
}

static void install_in(struct rig *r, const char *group, const char *plural, const char *kind, const char *version)
{
	expect(r, 201, "POST", CRDS,
	       arena_printf(&r->arena,
			    "{\"metadata\":{\"name\":\"%s.%s\",\"annotations\":{\"api-approved.kubernetes.io\":"
			    "\"https://x.y\"}},\"spec\":{\"group\":\"%s\",\"scope\":\"Namespaced\",\"names\":{"
			    "\"plural\":\"%s\",\"kind\":\"%s\"},\"versions\":[{\"name\":\"%s\",\"served\":true,"
			    "\"storage\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\","
			    "\"x-kubernetes-preserve-unknown-fields\":true}}}]}}",
			    plural, group, group, plural, kind, version));
	rig_run(r, NS_PER_SEC);
}

/* The same of a kind: whose version has a built-in one of that name is told that it is taken, and nobody else; what is
 * valid of another version's is not what is of the built-in one's. */
static void test_built_in_kinds(void **state)
{
	static const char taken[] = CRDS "/leasez.coordination.k8s.io", other[] = CRDS "/ingresses.networking.k8s.io";
	struct rig *r = *state;

	install_in(r, "coordination.k8s.io", "leasez", "Lease", "v1");
	assert_val(val_member(condition(r, taken, "NamesAccepted"), F_status), "False");
	assert_val(val_member(condition(r, taken, "NamesAccepted"), F_reason),
		   "ListKindConflict"); /* the last one is told */
	assert_val(val_member(condition(r, taken, "NamesAccepted"), F_message), "\"LeaseList\" is already in use");
	assert_val(val_member(condition(r, taken, "Established"), F_reason), "NotAccepted");
	install_in(r, "networking.k8s.io", "ingresses", "Ingress", "v1beta1");
	assert_val(val_member(condition(r, other, "NamesAccepted"), F_status), "True");
	expect(r, 201, "POST", "/apis/networking.k8s.io/v1beta1/namespaces/default/ingresses",
	       "{\"apiVersion\":\"networking.k8s.io/v1beta1\",\"kind\":\"Ingress\",\"metadata\":{\"name\":\"a\"},"
	       "\"spec\":{}}");
	expect(r, 422, "POST", "/apis/networking.k8s.io/v1/namespaces/default/ingresses",
	       "{\"apiVersion\":\"networking.k8s.io/v1\",\"kind\":\"Ingress\",\"metadata\":{\"name\":\"a\"},"
	       "\"spec\":{}}");
}

/* A definition that changes: its objects are there all the time, in the new form; also for the next server. */
static void test_change(void **state)
{
	struct rig *r = *state;
	const struct val *v;

	install(r, "foos", "Foo", "", version_1);
	expect(r, 201, "POST", FOOS, "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"}}");
	expect_type(
	    r, 200, "PATCH", CRDS "/foos.ex.com", "application/json-patch+json",
	    "[{\"op\":\"add\",\"path\":\"/spec/versions/1\",\"value\":{\"name\":\"v2\",\"served\":true,\"storage\":"
	    "false,\"deprecated\":true,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{"
	    "\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"string\"}}}}}}}}]");
	expect(r, 200, "GET", FOOS "/f", NULL); /* before it is followed, and after */
	rig_run(r, NS_PER_SEC);
	expect(r, 200, "GET", FOOS "/f", NULL);
	v = expect(r, 200, "GET", "/apis/ex.com/v2/namespaces/default/foos/f", NULL);
	assert_val(val_member(v, F_apiVersion), "ex.com/v2");
	expect_type(
	    r, 200, "PATCH", CRDS "/foos.ex.com", "application/json-patch+json",
	    "[{\"op\":\"replace\",\"path\":\"/spec/versions/0/storage\",\"value\":false},{\"op\":\"replace\",\"path\":"
	    "\"/spec/versions/1/storage\",\"value\":true}]");
	rig_run(r, NS_PER_SEC);
	v = expect(r, 200, "GET", CRDS "/foos.ex.com", NULL);
	assert_int_equal(val_len(val_get(v, F_status, F_storedVersions)), 2);
	expect_status(r, 422, "Invalid", "must appear in spec.versions",
		      &(struct ask){ .method = "PATCH",
				     .path = CRDS "/foos.ex.com",
				     .type = "application/json-patch+json",
				     .body = "[{\"op\":\"remove\",\"path\":\"/spec/versions/0\"}]" });
	rig_restart(r);
	v = expect(r, 200, "GET", FOOS "/f", NULL); /* served before it says that it is ready */
	assert_val(val_member(v, F_apiVersion), "ex.com/v1");
}

/* --- what goes while something is made in it --- */

/* The next request to make a Foo or a ConfigMap waits in admission; and what happens right before it is stored. */
static struct {
	struct rig *r;
	bool hold;
	struct req_ticket *held;
	const char *key, *from, *to; /* a key that is written then, its value with `from` exchanged */
} door;

static int door_validate(const struct admission *a, struct err *err, void *ctx)
{
	void *got;

	(void)err;
	(void)ctx;
	if (req_result(a->q, &got) || !door.hold || a->op != ADMIT_CREATE)
		return 0;
	if (strcmp(a->res->plural, "foos") != 0 && strcmp(a->res->plural, "configmaps") != 0)
		return 0;
	door.hold = false;
	door.held = req_suspend(a->q, "door", NULL, NULL);
	return REQ_LATER;
}

static int door_value(const struct store_kv *kv, void *ctx)
{
	struct buf *b = ctx;

	buf_add(b, kv->value.p, kv->value.n);
	return 1;
}

static int door_commit(struct api_req *q, struct err *err, void *ctx)
{
	_cleanup_(buf_release) struct buf was = BUF_INIT, now = BUF_INIT;
	struct store_write w = { .key = sv_from(door.key), .expect_rev = STORE_ANY_REV };
	const char *at;

	(void)ctx;
	(void)err;
	if (!door.key || !q->res || strcmp(q->res->plural, "namespaces") == 0)
		return 0;
	door.key = NULL;
	assert_int_equal(store_range(door.r->store, w.key, SV(""), 0, 1, door_value, &was, NULL, NULL), 0);
	at = strstr(buf_cstr(&was), door.from);
	assert_non_null(at);
	buf_add(&now, buf_cstr(&was), (size_t)(at - buf_cstr(&was)));
	buf_adds(&now, door.to);
	buf_adds(&now, at + strlen(door.from));
	w.value = buf_sv(&now);
	assert_int_equal(store_commit_wait(door.r->store, &w, NULL, NULL), 1);
	return 0;
}

static int door_setup(void **state)
{
	static const struct req_plugins p = { .validate = door_validate, .commit = door_commit };
	int rc = rig_setup(state);

	memset(&door, 0, sizeof(door));
	door.r = *state;
	req_set_plugins(door.r->server, &p);
	return rc;
}

static struct answer *held(struct rig *r, const char *path, const char *text)
{
	struct answer *a;

	door.hold = true;
	a = api_start(r, &(struct ask){ .method = "POST", .path = path, .body = text });
	rig_run(r, NS_PER_SEC);
	assert_non_null(door.held);
	return a;
}

static void let_in(struct rig *r, struct answer *a, int code, const char *words)
{
	assert_true(req_resume(door.held, NULL, NULL));
	door.held = NULL;
	rig_run(r, NS_PER_SEC);
	assert_int_equal(a->code, code);
	if (words)
		assert_non_null(strstr(buf_cstr(&a->body), words));
	answer_free(a);
}

#define A_FOO "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"%s}}"
#define A_MAP "{\"metadata\":{\"name\":\"m\"}}"

static const char *foo(struct rig *r, const char *more)
{
	return arena_printf(&r->arena, A_FOO, more);
}

static int any_key(const struct store_kv *kv, void *ctx)
{
	(void)kv;
	++*(size_t *)ctx;
	return 0;
}

static size_t foos_stored(struct rig *r)
{
	size_t n = 0;

	assert_int_equal(store_range(r->store, SV("/registry/ex.com/foos/"), SV("/registry/ex.com/foos0"), 0, 0,
				     any_key, &n, NULL, NULL),
			 0);
	return n;
}

static void test_made_while_it_goes(void **state)
{
	static const char *const going = "create not allowed while custom resource definition is terminating";
	struct rig *r = *state;
	struct answer *a;

	install(r, "foos", "Foo", "", version_1);
	/* Gone before it comes to the commit; gone, and there again. */
	a = held(r, FOOS, foo(r, ""));
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", CRDS "/foos.ex.com", NULL);
	let_in(r, a, 405, going);
	install(r, "foos", "Foo", "", version_1);
	assert_int_equal(foos_stored(r), 0);
	a = held(r, FOOS, foo(r, ""));
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	rig_run(r, 10 * NS_PER_SEC);
	install(r, "foos", "Foo", "", version_1);
	let_in(r, a, 405, going);
	assert_int_equal(foos_stored(r), 0);
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", FOOS, NULL), F_items)), 0);

	/* On its way out, held by an instance: no verb makes another one. */
	expect(r, 201, "POST", FOOS, foo(r, ",\"finalizers\":[\"ex.com/x\"]"));
	expect_type(r, 200, "PATCH", CRDS "/foos.ex.com", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":[\"ex.com/mine\"]}}");
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	for (int i = 0; i < 2; i++) {
		const char *dry = i ? "?fieldManager=m&dryRun=All" : "?fieldManager=m";

		expect_status(r, 405, "MethodNotAllowed", going,
			      &(struct ask){ .method = "PATCH",
					     .path = arena_printf(&r->arena, FOOS "/g%s", dry),
					     .type = "application/apply-patch+yaml",
					     .body = "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{"
						     "\"name\":\"g\"}}" });
		expect_status(r, 405, "MethodNotAllowed", going,
			      &(struct ask){ .method = "POST",
					     .path = arena_printf(&r->arena, FOOS "%s", dry),
					     .body = foo(r, "") });
	}
	/* What is there may be applied. */
	expect_type(r, 200, "PATCH", FOOS "/f?fieldManager=m", "application/apply-patch+yaml",
		    "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},\"spec\":{\"n\":3}}");
	/* Its instances have gone, and others keep it: it stays closed. */
	expect_type(r, 200, "PATCH", FOOS "/f", "application/merge-patch+json", "{\"metadata\":{\"finalizers\":null}}");
	rig_run(r, 10 * NS_PER_SEC);
	assert_val(val_member(condition(r, CRDS "/foos.ex.com", "Terminating"), F_reason), "InstanceDeletionCompleted");
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CRDS "/foos.ex.com", NULL), F_metadata, F_finalizers)),
			 1);
	expect(r, 405, "POST", FOOS, foo(r, ""));
	expect_type(r, 200, "PATCH", CRDS "/foos.ex.com", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	rig_run(r, NS_PER_SEC);
	expect(r, 404, "GET", FOOS, NULL);
}

/* What lies there of a definition that went without its instances is nobody's. */
static void test_left_over(void **state)
{
	struct rig *r = *state;
	struct store_write w = { .key = SV("/registry/ex.com/foos/default/old"),
				 .value = SV("{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{"
					     "\"name\":\"old\",\"namespace\":\"default\",\"uid\":\"u\"}}") };

	install(r, "foos", "Foo", "", version_1);
	expect(r, 201, "POST", FOOS, foo(r, ",\"finalizers\":[\"ex.com/x\"]"));
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	expect_type(r, 200, "PATCH", CRDS "/foos.ex.com", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	rig_run(r, NS_PER_SEC);
	expect(r, 404, "GET", CRDS "/foos.ex.com", NULL);
	assert_int_equal(foos_stored(r), 0);
	/* By a server that ended just then. */
	for (int i = 0; i < 450; i++) {
		w.key = arena_svf(&r->arena, "/registry/ex.com/foos/default/old%d", i);
		assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	}
	install(r, "foos", "Foo", "", version_1);
	assert_int_equal(foos_stored(r), 0);
	expect(r, 201, "POST", FOOS, foo(r, ""));
	rig_restart(r);
	expect(r, 200, "GET", FOOS "/f", NULL);
	assert_int_equal(foos_stored(r), 1);
}

static void test_namespace_goes(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"away\"}}");
	a = held(r, "/api/v1/namespaces/away/configmaps", A_MAP);
	expect(r, 200, "DELETE", "/api/v1/namespaces/away", NULL);
	let_in(r, a, 403, "unable to create new content in namespace away because it is being terminated");
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"gone\"}}");
	a = held(r, "/api/v1/namespaces/gone/configmaps", A_MAP);
	expect(r, 200, "DELETE", "/api/v1/namespaces/gone", NULL);
	expect(r, 200, "PUT", "/api/v1/namespaces/gone/finalize",
	       "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"gone\"},\"spec\":{}}");
	expect(r, 404, "GET", "/api/v1/namespaces/gone", NULL);
	let_in(r, a, 404, "namespaces \\\"gone\\\" not found");
	expect(r, 404, "GET", "/api/v1/namespaces/gone/configmaps/m", NULL);

	/* Right behind the last look. One that only changes is no reason. */
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"late\"}}");
	door.key = "/registry/namespaces/late";
	door.from = "\"name\":\"late\"";
	door.to = "\"labels\":{\"a\":\"b\"},\"name\":\"late\"";
	expect(r, 201, "POST", "/api/v1/namespaces/late/configmaps", A_MAP);
	door.key = "/registry/namespaces/late";
	door.to = "\"deletionTimestamp\":\"2026-01-01T00:00:00Z\",\"name\":\"late\"";
	expect(r, 403, "POST", "/api/v1/namespaces/late/configmaps", "{\"metadata\":{\"name\":\"n\"}}");
	expect(r, 404, "GET", "/api/v1/namespaces/late/configmaps/n", NULL);
	expect(r, 200, "GET", "/api/v1/namespaces/late/configmaps/m", NULL);
}

#define BAR_SCHEMA                                                                                                    \
	"\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\","         \
	"\"properties\":{"                                                                                            \
	"\"a\":{\"type\":\"integer\"},\"d\":{\"type\":\"string\",\"default\":\"dd\"},\"m\":{\"type\":\"object\","     \
	"\"additionalProperties\":{\"type\":\"object\",\"properties\":{\"x\":{\"type\":\"integer\"},\"y\":{\"type\":" \
	"\"string\","                                                                                                 \
	"\"default\":\"yy\"}}}}}}}}}"

/* The same configuration again takes nothing away, whichever version others write: also no place that is named as {}
 * and has nothing but defaults. */
static void test_applied_again(void **state)
{
	static const char *const specs[] = { "{}", "{\"a\":1,\"m\":{\"k\":{}}}", "{\"m\":{\"k\":{\"x\":1}}}" };
	struct rig *r = *state;

	install(r, "bars", "Bar", "",
		"{\"name\":\"v1\",\"served\":true,\"storage\":true," BAR_SCHEMA
		"},{\"name\":\"v2\",\"served\":true,\"storage\":false," BAR_SCHEMA "}");
	for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
		const char *path = arena_printf(&r->arena, "/namespaces/default/bars/b%zu", i);
		const char *apply = arena_printf(&r->arena, "/apis/ex.com/v1%s?fieldManager=m1&force=true", path);
		const char *config =
		    arena_printf(&r->arena,
				 "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Bar\",\"metadata\":{\"name\":"
				 "\"b%zu\"},\"spec\":%s}",
				 i, specs[i]);
		const struct val *first =
		    val_member(expect_type(r, 201, "PATCH", apply, "application/apply-patch+yaml", config), F_spec);

		assert_non_null(first);
		expect_type(r, 200, "PATCH", arena_printf(&r->arena, "/apis/ex.com/v2%s?fieldManager=other", path),
			    "application/merge-patch+json", "{\"metadata\":{\"annotations\":{\"zz\":\"1\"}}}");
		assert_true(val_equal(
		    first,
		    val_member(expect_type(r, 200, "PATCH", apply, "application/apply-patch+yaml", config), F_spec)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_life, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_conflicts, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_built_in_names, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_built_in_kinds, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_change, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_applied_again, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_made_while_it_goes, door_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_left_over, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_namespace_goes, door_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("crds", tests, NULL, NULL);
}
