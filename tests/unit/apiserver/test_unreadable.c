/* What is stored and cannot be read: nobody is told that it is not there, nobody gets it, and it can be removed by who
 * says that he knows what he does. */
#include "harness.h"

#include "../../conformance/toy_transform.h"
#include "store/store.h"

#define MAPS "/api/v1/namespaces/default/configmaps"
#define KEY "/registry/configmaps/default/x"
#define UNSAFE "ignoreStoreReadErrorWithClusterBreakingPotential"
#define UNSAFE_BODY "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\",\"" UNSAFE "\":true%s}"

static void put_raw(struct rig *r, const char *key, const char *value)
{
	struct store_write w = { .key = sv_from(key), .value = sv_from(value), .expect_rev = STORE_ANY_REV };

	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, NS_PER_MS);
}

static void make(struct rig *r, const char *name)
{
	expect(r, 201, "POST", MAPS,
	       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"},\"data\":{\"k\":\"v\"}}", name));
}

/* The first warning of a list of path, "" when there is none; the list has n items. */
static const char *listed(struct rig *r, const char *path, size_t n)
{
	struct answer *a = api(r, "GET", path);
	const char *text;

	assert_int_equal(a->code, 200);
	assert_int_equal(val_len(val_get(api_json(a), F_items)), n);
	text = a->q.n_warnings ? arena_cstr(&r->arena, a->q.warnings[0]) : "";
	answer_free(a);
	return text;
}

static const char *text_of(struct rig *r, const char *path)
{
	struct answer *a = api(r, "GET", path);
	const char *text;

	assert_int_equal(a->code, 200);
	text = arena_cstr(&r->arena, buf_sv(&a->body));
	answer_free(a);
	return text;
}

#define assert_part(text, part)                                  \
	do {                                                     \
		const char *t_ = (text);                         \
		if (!strstr(t_, part))                           \
			fail_msg("'%s' is not in %s", part, t_); \
	} while (0)

static const char patch_type[] = "application/merge-patch+json", apply_type[] = "application/apply-patch+yaml";

/* Everything there is to do with the one object, but to remove it. */
static void expect_unreadable(struct rig *r)
{
	static const char doc[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}";
	static const char why[] = "the stored object " KEY " cannot be read and is set aside: ";
	static const struct ask table[] = {
		{ .method = "GET", .path = MAPS "/x" },
		{ .method = "PUT", .path = MAPS "/x", .body = doc },
		{ .method = "PATCH", .path = MAPS "/x", .body = "{\"data\":{\"a\":\"b\"}}", .type = patch_type },
		{ .method = "PATCH", .path = MAPS "/x?fieldManager=me", .body = doc, .type = apply_type },
		{ .method = "DELETE", .path = MAPS "/x" },
		{ .method = "DELETE", .path = MAPS "/x?gracePeriodSeconds=0" },
	};
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj *o = NULL;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		expect_status(r, 500, "InternalError", why, &table[i]);
	expect_status(r, 409, "AlreadyExists", why, &(struct ask){ .method = "POST", .path = MAPS, .body = doc });
	assert_int_equal(client_get(r->client, RES(core_configmaps), SV("default"), SV("x"), &o, &err), -1);
	assert_int_equal(err.reason, ERR_INTERNAL);
	assert_part(err_msg(&err), UNSAFE);
	/* Others of its name, and other names, are nobody's business. */
	expect(r, 404, "GET", "/api/v1/namespaces/kube-system/configmaps/x", NULL);
	expect(r, 404, "GET", MAPS "/y", NULL);
}

static void test_refused(void **state)
{
	static const struct {
		const char *more, *field;
	} others[] = {
		{ ",\"dryRun\":[\"All\"]", ".dryRun" },
		{ ",\"propagationPolicy\":\"Background\"", ".propagationPolicy" },
		{ ",\"orphanDependents\":false", ".orphanDependents" },
		{ ",\"gracePeriodSeconds\":0", ".gracePeriodSeconds" },
		{ ",\"preconditions\":{\"uid\":\"u\"}", ".preconditions" },
	};
	struct rig *r = *state;
	struct ask ask = { .method = "DELETE", .path = MAPS "/x" };
	struct answer *a;
	const char *body = arena_printf(&r->arena, UNSAFE_BODY, "");

	make(r, "good");
	make(r, "x");
	put_raw(r, KEY, "{\"apiVersion\":");
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		ask.body = arena_printf(&r->arena, UNSAFE_BODY, others[i].more);
		expect_status(r, 422, "Invalid",
			      arena_printf(&r->arena, "cannot be set together with %s", others[i].field), &ask);
	}
	ask.body = body;
	ask.path = MAPS;
	expect_status(r, 422, "Invalid", "is not allowed with DELETECOLLECTION", &ask);
	ask.path = MAPS "/good";
	expect_status(r, 422, "Invalid", "is exclusively used to delete corrupt object(s)", &ask);
	ask.path = MAPS "/none";
	expect_status(r, 404, "NotFound", "not found", &ask);

	/* Who may delete may not do that. */
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles",
	       "{\"metadata\":{\"name\":\"deleter\"},\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],"
	       "\"verbs\":[\"get\",\"delete\",\"deletecollection\"]}]}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"deleter\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\","
	       "\"kind\":\"ClusterRole\",\"name\":\"deleter\"},\"subjects\":[{\"kind\":\"User\",\"apiGroup\":"
	       "\"rbac.authorization.k8s.io\",\"name\":\"joe\"}]}");
	ask.user = "joe";
	ask.path = MAPS "/x";
	expect_status(r, 403, "Forbidden", "not permitted to do \"unsafe-delete-ignore-read-errors\"", &ask);
	ask.path = MAPS "/good";
	expect_status(r, 403, "Forbidden", "not permitted to do \"unsafe-delete-ignore-read-errors\"", &ask);
	expect_unreadable(r);
	expect_type(r, 200, "PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/deleter", patch_type,
		    "{\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],"
		    "\"verbs\":[\"delete\",\"unsafe-delete-ignore-read-errors\"]}]}");
	ask.path = MAPS "/x";
	a = api_ask(r, &ask);
	assert_int_equal(a->code, 200);
	answer_free(a);
	expect(r, 404, "GET", MAPS "/x", NULL);
	/* What may never be deleted may not be deleted unread. */
	put_raw(r, "/registry/namespaces/kube-system", "{");
	expect_status(r, 403, "Forbidden", "may not be deleted",
		      &(struct ask){ .method = "DELETE", .path = "/api/v1/namespaces/kube-system", .body = body });
}

/* Lists of the past leave out what they cannot read, and say so, whether it is so today or not. */
static void test_past(void **state)
{
	static const char warning[] = "1 stored object is set aside and missing from this list: " KEY;
	struct rig *r = *state;
	const char *then, *all, *one, *other, *page;
	struct answer *a;
	int64_t rev;

	make(r, "good");
	put_raw(r, KEY, "not json");
	make(r, "late");
	rev = rev_of(expect(r, 200, "GET", MAPS "/late", NULL));
	then = arena_printf(&r->arena, "at=%" PRId64, rev);
	all = arena_printf(&r->arena, "/api/v1/configmaps?%s", then);
	one = arena_printf(&r->arena, MAPS "?fieldSelector=metadata.name%%3Dx&%s", then);
	other = arena_printf(&r->arena, MAPS "?fieldSelector=metadata.name%%3Dgood&%s", then);
	page = arena_printf(&r->arena, MAPS "?limit=1&%s", then);
	/* The kind has changed since: it is the log that is read. */
	expect_type(r, 200, "PATCH", MAPS "/late", "application/merge-patch+json", "{\"data\":{\"k\":\"w\"}}");
	assert_string_equal(listed(r, arena_printf(&r->arena, MAPS "?%s", then), 2), warning);
	assert_string_equal(listed(r, all, 2), warning);
	assert_string_equal(listed(r, one, 0), warning);
	assert_string_equal(listed(r, other, 1), "");
	assert_string_equal(listed(r, arena_printf(&r->arena, "/api/v1/namespaces/kube-public/configmaps?%s", then), 0),
			    "");
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", page, NULL), F_items)), 1);
	/* By its name it is an error, as it is now. */
	a = api(r, "GET", arena_printf(&r->arena, MAPS "/x?%s", then));
	assert_int_equal(a->code, 500);
	answer_free(a);
	/* Written anew it is well, and was not then. */
	put_raw(
	    r, KEY,
	    "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\",\"namespace\":\"default\"}}");
	assert_string_equal(listed(r, MAPS, 3), "");
	assert_string_equal(listed(r, arena_printf(&r->arena, MAPS "?%s", then), 2), warning);
}

/* The watch ends without a change; whoever comes back to where it was is told to start over. */
static void ends(struct answer *w, bool by_error)
{
	assert_int_equal(stream_lines(w), by_error);
	if (by_error)
		assert_int_equal(val_get_int(stream_line(w, 0), 0, F_object, F_code), 410);
	answer_free(w);
}

static void test_life(void **state)
{
	struct rig *r = *state;
	struct answer *w;
	const struct val *old;
	int64_t before, before_that;

	make(r, "good");
	make(r, "x");
	old = expect(r, 200, "GET", MAPS "/x", NULL);
	before = rev_of(old);
	w = api(r, "GET", arena_printf(&r->arena, MAPS "?watch=true&resourceVersion=%" PRId64, before));
	put_raw(r, KEY, "\x01 no object");

	/* A watcher that had it starts over: it is not gone. */
	rig_run(r, NS_PER_MS);
	ends(w, false);
	before_that = before;
	before = rev_of(expect(r, 200, "GET", MAPS, NULL));
	w = api(r, "GET", arena_printf(&r->arena, MAPS "?watch=true&resourceVersion=%" PRId64, before));
	expect_unreadable(r);
	assert_part(listed(r, MAPS, 1), "1 stored object is set aside and missing from this list: " KEY);
	assert_part(listed(r, MAPS "?fieldSelector=metadata.name=x", 0), KEY);
	assert_part(listed(r, "/api/v1/configmaps?limit=1", 1), KEY);
	assert_string_equal(listed(r, MAPS "?fieldSelector=metadata.name=good", 1), "");
	assert_string_equal(listed(r, "/api/v1/namespaces/kube-public/configmaps", 0), "");
	assert_part(text_of(r, "/readyz?verbose=true"), "set-aside ok: " KEY " cannot be read and is left alone");
	assert_string_equal(text_of(r, "/readyz"), "ok");
	assert_part(text_of(r, "/metrics"),
		    "caravel_storage_set_aside_objects{reason=\"unreadable\",resource=\"configmaps\"} 1\n");
	assert_part(text_of(r, "/metrics"),
		    "apiserver_storage_decode_errors_total{group=\"\",resource=\"configmaps\"} 1\n");

	/* Again unreadable is nothing new for anybody; the next start sees the same. */
	put_raw(r, KEY, "[]");
	rig_run(r, NS_PER_MS);
	assert_int_equal(stream_lines(w), 0);
	answer_gone(w);
	rig_restart(r);
	expect_unreadable(r);
	assert_part(listed(r, MAPS, 1), KEY);

	/* A watch that begins in the past hears of the same as one that was there. */
	w = api(r, "GET", arena_printf(&r->arena, MAPS "?watch=true&resourceVersion=%" PRId64, before_that));
	rig_run(r, NS_PER_SEC);
	ends(w, true);
	w = api(r, "GET", arena_printf(&r->arena, MAPS "?watch=true&resourceVersion=%" PRId64, before));
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(w), 0);

	/* It is removed unread, and the watcher, who never heard of it, hears nothing. */
	expect(r, 200, "DELETE", MAPS "/x", arena_printf(&r->arena, UNSAFE_BODY, ""));
	rig_run(r, NS_PER_MS);
	assert_int_equal(stream_lines(w), 0);
	expect(r, 404, "GET", MAPS "/x", NULL);
	assert_string_equal(listed(r, MAPS, 1), "");
	assert_null(strstr(text_of(r, "/readyz?verbose=true"), "set-aside"));
	make(r, "x");
	rig_run(r, NS_PER_MS);
	assert_int_equal(stream_lines(w), 1);
	assert_val(val_get(stream_line(w, 0), F_type), "ADDED");
	answer_gone(w);
}

/* Also what is JSON, but not this object; written anew by who can, it is there again. */
static void test_kinds_of_broken(void **state)
{
	static const char *const values[] = {
		"",
		"null",
		"[]",
		"\"x\"",
		"{}",
		"{\"metadata\":{}}",
		"{\"metadata\":{\"name\":\"x\"",
		"{\"metadata\":{\"name\":7,\"namespace\":\"default\"}}",
		"{\"metadata\":{\"name\":\"other\",\"namespace\":\"default\"}}",
		"{\"metadata\":{\"name\":\"x\",\"namespace\":\"elsewhere\"}}",
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		put_raw(r, KEY, values[i]);
		expect_unreadable(r);
		put_raw(r, KEY,
			"{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\",\"namespace\":"
			"\"default\",\"uid\":\"u\"},\"data\":{\"k\":\"v\"}}");
		assert_val(val_member_sv(val_get(expect(r, 200, "GET", MAPS "/x", NULL), F_data), SV("k")), "v");
		assert_string_equal(listed(r, MAPS, 1), "");
	}
	expect(r, 200, "DELETE", MAPS "/x", NULL);
}

/* One object, two resources: neither has it, and either removes it. */
static void test_view(void **state)
{
	static const char core[] = "/api/v1/namespaces/default/events",
			  other[] = "/apis/events.k8s.io/v1/namespaces/default/events";
	static const char *const path[] = { core, other };
	struct rig *r = *state;

	for (size_t i = 0; i < 2; i++) {
		put_raw(r, "/registry/events/default/e", "{");
		for (size_t k = 0; k < 2; k++) {
			expect_status(
			    r, 500, "InternalError", "/registry/events/default/e",
			    &(struct ask){ .method = "GET", .path = arena_printf(&r->arena, "%s/e", path[k]) });
			assert_part(listed(r, path[k], 0), "/registry/events/default/e");
		}
		expect(r, 200, "DELETE", arena_printf(&r->arena, "%s/e", path[i]),
		       arena_printf(&r->arena, UNSAFE_BODY, ""));
		for (size_t k = 0; k < 2; k++)
			expect(r, 404, "GET", arena_printf(&r->arena, "%s/e", path[k]), NULL);
	}
}

/* Subresources are asked for by the object's name, too. */
static void test_subresources(void **state)
{
	static const char pod[] = "/api/v1/namespaces/default/pods/p";
	static const struct {
		const char *method, *sub, *body;
	} table[] = {
		{ "GET", "log", NULL },
		{ "GET", "status", NULL },
		{ "POST", "eviction",
		  "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"p\"}}" },
		{ "POST", "binding",
		  "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"p\"},\"target\":{\"name\":"
		  "\"n\"}}" },
	};
	struct rig *r = *state;

	put_raw(r, "/registry/pods/default/p", "{");
	put_raw(r, "/registry/deployments/default/d", "{");
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		expect_status(r, 500, "InternalError", "cannot be read",
			      &(struct ask){ .method = table[i].method,
					     .path = arena_printf(&r->arena, "%s/%s", pod, table[i].sub),
					     .body = table[i].body });
	expect_status(r, 500, "InternalError", "cannot be read",
		      &(struct ask){ .method = "GET", .path = "/apis/apps/v1/namespaces/default/deployments/d/scale" });
}

/* The server starts although what it needs itself is broken. */
static void test_start(void **state)
{
	struct rig *r = *state;

	put_raw(r, "/registry/namespaces/kube-system", "{");
	put_raw(r, "/registry/services/specs/default/kubernetes", "{");
	put_raw(r, "/registry/clusterroles/cluster-admin", "{");
	rig_restart(r);
	assert_true(apiserver_ready(r->server));
	expect_status(r, 500, "InternalError", "cannot be read",
		      &(struct ask){ .method = "GET", .path = "/api/v1/namespaces/kube-system" });
	expect(r, 200, "DELETE", "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin",
	       arena_printf(&r->arena, UNSAFE_BODY, ""));
	rig_restart(r);
	expect(r, 200, "GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/cluster-admin", NULL);
}

/* --- Services --- */

#define SERVICES "/api/v1/namespaces/default/services"
#define SERVICE_KEY "/registry/services/specs/default/a"

static const char svc[] = "{\"metadata\":{\"name\":\"%s\"},\"spec\":{\"type\":\"NodePort\",\"clusterIP\":\"%s\","
			  "\"ports\":[{\"port\":80,\"nodePort\":%d}]}}";

static const char *svc_text(struct rig *r, const char *name, const char *ip, int port)
{
	return arena_printf(&r->arena, svc, name, ip, port);
}

static void expect_held(struct rig *r)
{
	expect_status(
	    r, 422, "Invalid", "provided IP is already allocated",
	    &(struct ask){ .method = "POST", .path = SERVICES, .body = svc_text(r, "b", "10.43.0.77", 30099) });
	expect_status(
	    r, 422, "Invalid", "provided port is already allocated",
	    &(struct ask){ .method = "POST", .path = SERVICES, .body = svc_text(r, "b", "10.43.0.99", 30077) });
}

/* Nobody gets the address and the port of a Service that cannot be read, until it is gone. */
static void test_service_numbers(void **state)
{
	struct rig *r = *state;
	const char *unsafe = arena_printf(&r->arena, UNSAFE_BODY, "");
	const char *stored;

	expect(r, 201, "POST", SERVICES, svc_text(r, "a", "10.43.0.77", 30077));
	stored = text_of(r, SERVICES "/a");
	/* It broke under our eyes, with nothing left of it: what was known counts. */
	put_raw(r, SERVICE_KEY, "");
	expect_held(r);
	/* It was written anew, and is like any other. */
	put_raw(r, SERVICE_KEY, stored);
	expect_held(r);
	/* It is broken at the start, and one byte differs: what it seems to say counts. */
	put_raw(r, SERVICE_KEY, arena_printf(&r->arena, "[%s", stored));
	expect_held(r);
	rig_restart(r);
	expect_held(r);
	rig_restart(r);
	expect_held(r);
	expect(r, 200, "DELETE", SERVICES "/a", unsafe);
	expect(r, 201, "POST", SERVICES, svc_text(r, "b", "10.43.0.77", 30077));
	/* What belongs to b stays b's when another broken one that names it goes. */
	put_raw(r, SERVICE_KEY, "{10.43.0.77 30077");
	expect(r, 200, "DELETE", SERVICES "/a", unsafe);
	expect_status(
	    r, 422, "Invalid", "provided IP is already allocated",
	    &(struct ask){ .method = "POST", .path = SERVICES, .body = svc_text(r, "c", "10.43.0.77", 30099) });
	expect(r, 200, "DELETE", SERVICES "/b", NULL);
	expect(r, 201, "POST", SERVICES, svc_text(r, "c", "10.43.0.77", 30077));
}

static struct store *inner; /* what the transformed one stands on: where other servers' writes come from */

static struct store *transformed_new(struct env *env)
{
	toy.at_once = toy.reads_only = true;
	toy.refuses = NULL;
	toy.as = ERR_NONE;
	inner = store_mem_new(env);
	return store_transformed(inner, &toy_transform);
}

static int transformed_setup(void **state)
{
	return rig_setup_on(state, transformed_new);
}

static void refuse(const char *key, enum err_reason as)
{
	toy.refuses = key;
	toy.as = as;
}

static const char hidden_why[] = "unable to transform key \"" KEY "\": no key for '" KEY "'";

/* Nobody gets x, its kind's lists and watches are refused; all else is served. */
static void expect_hidden(struct rig *r)
{
	static const char doc[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\"}}";
	static const struct ask table[] = {
		{ .method = "GET", .path = MAPS },
		{ .method = "GET", .path = "/api/v1/configmaps?limit=1" },
		{ .method = "GET", .path = MAPS "?resourceVersion=0" },
		{ .method = "GET", .path = MAPS "?fieldSelector=metadata.name=x" },
		{ .method = "GET", .path = MAPS "?watch=true" },
		{ .method = "GET", .path = MAPS "?watch=true&resourceVersion=1" },
		{ .method = "DELETE", .path = MAPS },
		{ .method = "GET", .path = MAPS "/x" },
		{ .method = "PUT", .path = MAPS "/x", .body = doc },
		{ .method = "PATCH", .path = MAPS "/x", .body = "{\"data\":{\"a\":\"b\"}}", .type = patch_type },
		{ .method = "DELETE", .path = MAPS "/x" },
	};
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj_list l;

	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		expect_status(r, 500, "InternalError", hidden_why, &table[i]);
	expect_status(r, 409, "AlreadyExists", hidden_why,
		      &(struct ask){ .method = "POST", .path = MAPS, .body = doc });
	assert_int_equal(client_list(r->client, RES(core_configmaps), SV(""), NULL, &l, &err), -1);
	assert_part(err_msg(&err), hidden_why);
	expect(r, 200, "GET", MAPS "/good", NULL);
	expect(r, 404, "GET", MAPS "/y", NULL);
	expect(r, 200, "GET", "/api/v1/namespaces", NULL);
}

/* A value that cannot be opened by what the server has is nothing that lists are silent about. It is looked at again
 * each minute: the configuration may have its key now. */
static void test_sealed(void **state)
{
	struct rig *r = *state;

	make(r, "good");
	make(r, "x");
	refuse(KEY, ERR_INTERNAL);
	rig_restart(r);
	expect_hidden(r);
	assert_part(text_of(r, "/readyz?verbose=true"), "set-aside ok: " KEY " cannot be opened and is left alone");
	rig_run(r, 61 * NS_PER_SEC);
	expect_hidden(r);
	refuse(NULL, ERR_NONE);
	rig_run(r, 61 * NS_PER_SEC);
	assert_string_equal(listed(r, MAPS, 2), "");
	expect(r, 200, "GET", MAPS "/x", NULL);
	/* It can be removed unread. */
	refuse(KEY, ERR_INTERNAL);
	rig_restart(r);
	expect_hidden(r);
	expect(r, 200, "DELETE", MAPS "/x", arena_printf(&r->arena, UNSAFE_BODY, ""));
	assert_string_equal(listed(r, MAPS, 1), "");
	expect(r, 404, "GET", MAPS "/x", NULL);
}

/* Nobody answered: nothing is missing, nothing is short, /readyz says so, and it is there as soon as somebody does. */
static void test_unanswered(void **state)
{
	static const enum err_reason reasons[] = { ERR_UNAVAILABLE, ERR_TIMEOUT };
	struct rig *r = *state;
	struct answer *a;

	make(r, "good");
	make(r, "x");
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		refuse(KEY, reasons[i]);
		rig_restart(r);
		assert_true(apiserver_ready(r->server));
		expect_hidden(r);
		a = api(r, "GET", "/readyz");
		assert_int_equal(a->code, 500);
		assert_part(arena_cstr(&r->arena, buf_sv(&a->body)), "[-]encrypted-storage failed: reason withheld");
		answer_free(a);
		a = api(r, "GET", "/readyz/encrypted-storage");
		assert_part(arena_cstr(&r->arena, buf_sv(&a->body)), "configmaps cannot be read yet: no key for");
		answer_free(a);
		assert_string_equal(text_of(r, "/livez"), "ok");
		rig_run(r, 5 * NS_PER_SEC);
		expect_hidden(r);
		refuse(NULL, ERR_NONE);
		rig_run(r, 2 * NS_PER_SEC);
		assert_string_equal(listed(r, MAPS, 2), "");
		expect(r, 200, "GET", MAPS "/x", NULL);
		assert_string_equal(text_of(r, "/readyz"), "ok");
	}
	/* Who had the key may also say that it is wrong, after all. */
	refuse(KEY, ERR_UNAVAILABLE);
	rig_restart(r);
	toy.as = ERR_INTERNAL;
	rig_run(r, 2 * NS_PER_SEC);
	assert_string_equal(text_of(r, "/readyz"), "ok");
	expect_hidden(r);
}

/* As another server writes it. */
static void put_beneath(struct rig *r, const char *key, const char *value)
{
	char *sealed = arena_strdup(&r->arena, value), bit = toy_bit(sv_from(key));
	struct store_write w = { .key = sv_from(key), .expect_rev = STORE_ANY_REV };

	for (size_t i = 0; value[i]; i++)
		sealed[i] = (char)(value[i] ^ bit);
	w.value = sv_make(sealed, strlen(value));
	assert_int_equal(store_commit_wait(inner, &w, NULL, NULL), 1);
	rig_run(r, NS_PER_MS);
}

static const char x_anew[] = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"x\","
			     "\"namespace\":\"default\",\"uid\":\"u\"},\"data\":{\"k\":\"anew\"}}";

/* What another server wrote cannot be opened: a watcher ends, and never hears of a deletion; who comes back from where
 * it was hears of the change. */
static void test_hidden_meanwhile(void **state)
{
	struct rig *r = *state;
	struct answer *w;
	int64_t before;

	make(r, "good");
	make(r, "x");
	before = rev_of(expect(r, 200, "GET", MAPS "/x", NULL));
	w = api(r, "GET", arena_printf(&r->arena, MAPS "?watch=true&resourceVersion=%" PRId64, before));
	refuse(KEY, ERR_UNAVAILABLE);
	put_beneath(r, KEY, x_anew);
	assert_int_equal(stream_lines(w), 0);
	answer_gone(w);
	expect_hidden(r);
	refuse(NULL, ERR_NONE);
	rig_run(r, 2 * NS_PER_SEC);
	assert_val(val_member_sv(val_get(expect(r, 200, "GET", MAPS "/x", NULL), F_data), SV("k")), "anew");
	assert_string_equal(listed(r, MAPS, 2), "");
	w = api(r, "GET", arena_printf(&r->arena, MAPS "?watch=true&resourceVersion=%" PRId64, before));
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(w), 1);
	assert_val(val_get(stream_line(w, 0), F_type), "MODIFIED");
	/* Again, and then it is deleted, or written anew by who can. */
	refuse(KEY, ERR_UNAVAILABLE);
	put_beneath(r, KEY, x_anew);
	answer_gone(w);
	expect_hidden(r);
	put_raw(r, KEY, x_anew);
	assert_string_equal(listed(r, MAPS, 2), "");
	rig_run(r, 2 * NS_PER_SEC);
	assert_string_equal(text_of(r, "/readyz"), "ok");
	expect(r, 200, "DELETE", MAPS "/x", NULL);
	assert_string_equal(listed(r, MAPS, 1), "");
}

/* By rules that cannot be read nothing is let in. */
static void test_rules_hidden(void **state)
{
	static const char quota[] = "/registry/resourcequotas/default/q";
	struct rig *r = *state;
	struct val *doc = val_new_map(&r->arena);
	struct client *controller;
	struct err err = ERR_INIT;

	val_set_cstr(&r->arena, val_set_map(&r->arena, doc, F_metadata), F_name, "made");
	expect(r, 201, "POST", "/api/v1/namespaces/default/resourcequotas",
	       "{\"metadata\":{\"name\":\"q\"},\"spec\":{\"hard\":{\"count/configmaps\":\"0\"}}}");
	expect(r, 201, "POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
	       "{\"metadata\":{\"name\":\"m\"},\"roleRef\":{\"apiGroup\":\"rbac.authorization.k8s.io\",\"kind\":"
	       "\"ClusterRole\","
	       "\"name\":\"cluster-admin\"},\"subjects\":[{\"kind\":\"User\",\"name\":\"maker\",\"apiGroup\":"
	       "\"rbac.authorization.k8s.io\"}]}");
	refuse(quota, ERR_UNAVAILABLE);
	rig_restart(r);
	expect_status(r, 500, "InternalError", "nothing can be written as not all resourcequotas can be read",
		      &(struct ask){ .method = "POST", .path = MAPS, .body = "{\"metadata\":{\"name\":\"z\"}}" });
	/* Nor what a controller of this very process makes. */
	controller = apiserver_client(r->server, "maker", "maker", NULL);
	assert_int_equal(client_create(controller, RES(core_configmaps), SV("default"), doc, NULL, NULL, &err), -1);
	assert_part(err_msg(&err), "nothing can be written as not all resourcequotas can be read");
	client_free(controller);
	err_release(&err);
	refuse(NULL, ERR_NONE);
	rig_run(r, 2 * NS_PER_SEC);
	make(r, "z");
}

/* Who decides by what there is is told that not all of it can be seen. */
static void test_judges_hidden(void **state)
{
#define BUDGETS "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
#define EVICT "/api/v1/namespaces/default/pods/p/eviction"
	static const char eviction[] =
	    "{\"apiVersion\":\"policy/v1\",\"kind\":\"Eviction\",\"metadata\":{\"name\":\"p\"}}";
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/pods",
	       "{\"metadata\":{\"name\":\"p\",\"labels\":{\"a\":\"b\"}},\"spec\":{\"nodeName\":\"n\",\"containers\":[{"
	       "\"name\":\"c\","
	       "\"image\":\"x\"}]}}");
	expect_type(r, 200, "PATCH", "/api/v1/namespaces/default/pods/p/status", "application/merge-patch+json",
		    "{\"status\":{\"phase\":\"Running\",\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}");
	expect(r, 201, "POST", BUDGETS,
	       "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"minAvailable\":1,\"selector\":{\"matchLabels\":{\"a\":\"b\"}"
	       "}}}");
	expect(r, 429, "POST", EVICT, eviction);
	refuse("/registry/poddisruptionbudgets/default/b", ERR_INTERNAL);
	rig_restart(r);
	expect_status(r, 500, "InternalError", "unable to transform key",
		      &(struct ask){ .method = "POST", .path = EVICT, .body = eviction });
	expect(r, 200, "GET", "/api/v1/namespaces/default/pods/p", NULL);
}

/* What is judged, or gets a default, by objects of which some cannot be opened is refused; nothing else is. */
static void test_defaults_hidden(void **state)
{
#define CLAIMS(ns) "/api/v1/namespaces/" ns "/persistentvolumeclaims"
#define CLAIM(more)                                                                                  \
	"{\"metadata\":{\"generateName\":\"c\"},\"spec\":{\"accessModes\":[\"ReadWriteOnce\"]," more \
	"\"resources\":{\"requests\":{\"storage\":\"1Gi\"}}}}"
#define POD(more)                                                                                                   \
	"{\"metadata\":{\"generateName\":\"p\"},\"spec\":{" more "\"containers\":[{\"name\":\"c\",\"image\":\"x\"}" \
	"]}}"
	static const char pods[] = "/api/v1/namespaces/default/pods";
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces", "{\"metadata\":{\"name\":\"team\"}}");
	expect(r, 201, "POST", "/api/v1/namespaces/default/limitranges",
	       "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"limits\":[{\"type\":\"PersistentVolumeClaim\",\"max\":{"
	       "\"storage\":\"2Gi\"}}]}}");
	expect(r, 201, "POST", "/apis/storage.k8s.io/v1/storageclasses",
	       "{\"metadata\":{\"name\":\"s\"},\"provisioner\":\"a.b/c\"}");
	expect(r, 201, "POST", "/apis/scheduling.k8s.io/v1/priorityclasses",
	       "{\"metadata\":{\"name\":\"high\"},\"value\":7}");
	refuse("/registry/limitranges/default/l", ERR_INTERNAL);
	rig_restart(r);
	expect_status(r, 500, "InternalError", "not all limitranges can be read",
		      &(struct ask){ .method = "POST", .path = CLAIMS("default"), .body = CLAIM("") });
	expect_status(r, 500, "InternalError", "not all limitranges can be read",
		      &(struct ask){ .method = "POST", .path = pods, .body = POD("") });
	expect(r, 201, "POST", CLAIMS("team"), CLAIM(""));
	make(r, "any");
	refuse("/registry/storageclasses/s", ERR_INTERNAL);
	rig_restart(r);
	expect_status(r, 500, "InternalError", "not all storageclasses can be read",
		      &(struct ask){ .method = "POST", .path = CLAIMS("team"), .body = CLAIM("") });
	expect(r, 201, "POST", CLAIMS("team"), CLAIM("\"storageClassName\":\"s\","));
	expect(r, 201, "POST", pods, POD(""));
	refuse("/registry/priorityclasses/high", ERR_INTERNAL);
	rig_restart(r);
	expect_status(r, 500, "InternalError", "not all priorityclasses can be read",
		      &(struct ask){ .method = "POST", .path = pods, .body = POD("") });
	expect_status(r, 500, "InternalError", "/registry/priorityclasses/high",
		      &(struct ask){ .method = "POST", .path = pods, .body = POD("\"priorityClassName\":\"high\",") });
	expect(r, 201, "POST", pods, POD("\"priorityClassName\":\"system-node-critical\","));
	make(r, "other");
	/* Of what a write names nobody says that it is not there. */
	refuse("/registry/serviceaccounts/default/default", ERR_INTERNAL);
	rig_restart(r);
	expect_status(r, 500, "InternalError", "unable to transform key \"/registry/serviceaccounts/default/default\"",
		      &(struct ask){ .method = "POST", .path = pods, .body = POD("") });
	refuse("/registry/namespaces/team", ERR_INTERNAL);
	rig_restart(r);
	expect_status(r, 500, "InternalError", "unable to transform key \"/registry/namespaces/team\"",
		      &(struct ask){ .method = "POST", .path = CLAIMS("team"), .body = CLAIM("") });
	expect(r, 404, "POST", CLAIMS("nowhere"), CLAIM(""));
}

/* A definition waits for instances that cannot be opened, and for their finalizers. */
static void test_instances_hidden(void **state)
{
#define WIDGETS "/apis/example.com/v1/namespaces/default/widgets"
	static const char crd[] = "{\"metadata\":{\"name\":\"widgets.example.com\"},\"spec\":{\"group\":\"example."
				  "com\",\"scope\":\"Namespaced\",\"names\":{"
				  "\"plural\":\"widgets\",\"kind\":\"Widget\"},\"versions\":[{\"name\":\"v1\","
				  "\"served\":true,\"storage\":true,\"schema\":{"
				  "\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}";
#define DEFINITIONS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
	struct rig *r = *state;

	expect(r, 201, "POST", DEFINITIONS, crd);
	rig_run(r, NS_PER_SEC);
	expect(r, 201, "POST", WIDGETS,
	       "{\"apiVersion\":\"example.com/"
	       "v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\",\"finalizers\":[\"a.b/c\"]}}");
	refuse("/registry/example.com/widgets/default/w", ERR_UNAVAILABLE);
	rig_restart(r);
	rig_run(r, NS_PER_SEC);
	expect(r, 200, "DELETE", DEFINITIONS "/widgets.example.com", NULL);
	rig_run(r, 10 * NS_PER_SEC);
	assert_part(text_of(r, DEFINITIONS "/widgets.example.com"), "InstanceDeletionFailed");
	refuse(NULL, ERR_NONE);
	rig_run(r, 60 * NS_PER_SEC);
	assert_part(text_of(r, WIDGETS "/w"), "deletionTimestamp");
	expect_type(r, 200, "PATCH", WIDGETS "/w", "application/merge-patch+json",
		    "{\"metadata\":{\"finalizers\":null}}");
	rig_run(r, 60 * NS_PER_SEC);
	expect(r, 404, "GET", DEFINITIONS "/widgets.example.com", NULL);
}

/* Nobody is given the address of a Service that cannot be opened, whoever asks for one. */
static void test_service_hidden(void **state)
{
	struct rig *r = *state;

	expect(r, 201, "POST", SERVICES, svc_text(r, "a", "10.43.0.77", 30077));
	refuse(SERVICE_KEY, ERR_UNAVAILABLE);
	rig_restart(r);
	expect_status(
	    r, 500, "InternalError", "no Service can be written as not all can be read",
	    &(struct ask){ .method = "POST", .path = SERVICES, .body = svc_text(r, "b", "10.43.0.77", 30077) });
	make(r, "served");
	rig_run(r, 200 * NS_PER_SEC);
	refuse(NULL, ERR_NONE);
	rig_run(r, 2 * NS_PER_SEC);
	expect_held(r);
	expect(r, 200, "GET", SERVICES "/a", NULL);
}

/* What a cluster starts with cannot be written: the server is there, says so, and writes it as soon as it can. */
static void test_start_unwritten(void **state)
{
	static const char role[] = "/apis/rbac.authorization.k8s.io/v1/clusterroles/edit";
	struct rig *r = *state;
	struct answer *a;

	expect(r, 200, "DELETE", role, NULL);
	refuse("/registry/clusterroles/edit", ERR_INTERNAL);
	toy.reads_only = false;
	rig_restart(r);
	assert_true(apiserver_ready(r->server));
	expect(r, 404, "GET", role, NULL);
	make(r, "served");
	a = api(r, "GET", "/readyz");
	assert_int_equal(a->code, 500);
	assert_part(arena_cstr(&r->arena, buf_sv(&a->body)),
		    "[-]poststarthook/rbac/bootstrap-roles failed: reason withheld");
	answer_free(a);
	rig_run(r, 5 * NS_PER_SEC);
	expect(r, 404, "GET", role, NULL);
	refuse(NULL, ERR_NONE);
	rig_run(r, 2 * NS_PER_SEC);
	expect(r, 200, "GET", role, NULL);
	assert_string_equal(text_of(r, "/readyz"), "ok");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_past, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_life, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_kinds_of_broken, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_view, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_subresources, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_start, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_service_numbers, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_sealed, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_unanswered, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_hidden_meanwhile, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_rules_hidden, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_judges_hidden, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_defaults_hidden, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_instances_hidden, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_service_hidden, transformed_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_start_unwritten, transformed_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
