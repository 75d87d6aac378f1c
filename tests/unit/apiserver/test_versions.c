/* One resource in several versions: what one writes the other reads, whatever is stored; who owns what is the same by
 * all of them; and a conversion that takes its time holds up nobody but who asked for it. */
#include "harness.h"

#include "toy_versions.h"

#include "apiserver/storekey.h"
#include "object/api_set.h"
#include "store/store.h"

#define NS "/namespaces/default/scalers"
#define V1 "/apis/example.com/v1" NS
#define V2 "/apis/example.com/v2" NS
#define KEY "/registry/example.com/scalers/default/"
#define CORE "/api/v1/namespaces/default/events"
#define EVENTS "/apis/events.k8s.io/v1/namespaces/default/events"
#define MERGE "application/merge-patch+json"
#define APPLY "application/apply-patch+yaml"

/* What the conversion is to do, and did. */
static struct {
	bool waits, at_once, fails;
	const char *lies; /* "name", "uid", "version" */
	int legs, docs, cancelled;
	struct req_ticket *ticket;
} far;

static void cancelled(void *ctx)
{
	(void)ctx;
	far.cancelled++;
}

static char done[] = "done";

static int convert(const struct version_leg *leg, struct err *err)
{
	void *result;

	if (far.waits && !req_result(leg->q, &result)) {
		far.ticket = req_suspend(leg->q, "conversion", cancelled, NULL);
		if (far.at_once)
			assert_true(req_resume(TAKE(far.ticket), done, NULL));
		return REQ_LATER;
	}
	if (far.fails)
		return err_set(err, ERR_INTERNAL, "conversion webhook for %s failed: not today", leg->from->kind);
	far.legs++;
	far.docs += (int)leg->n;
	for (size_t i = 0; i < leg->n; i++) {
		struct val *v = toy_convert(leg->a, leg->docs[i], leg->from, leg->to);
		struct val *meta = val_member_mut(v, F_metadata);

		if (far.lies && !strcmp(far.lies, "name"))
			val_set_cstr(leg->a, meta, F_name, "other");
		else if (far.lies && !strcmp(far.lies, "uid"))
			val_del(meta, F_uid);
		else if (far.lies && !strcmp(far.lies, "version"))
			val_set_cstr(leg->a, v, F_apiVersion, "example.com/v7");
		else if (far.lies && !strcmp(far.lies, "finalizers"))
			val_push(leg->a, val_ensure_list(leg->a, meta, F_finalizers),
				 val_new_str(leg->a, SV("example.com/mine")));
		leg->out[i] = v;
	}
	return 0;
}

static struct api_kind *serve(struct rig *r, bool waits)
{
	struct api_kind *k = toy_kind();
	struct err err = ERR_INIT;
	struct kind_conversion how = { .hub = "v2", .convert = convert, .waits = waits };

	memset(&far, 0, sizeof(far));
	if (apiserver_add_versions(r->server, k, &how, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return k;
}

static void drop(struct rig *r, struct api_kind *k)
{
	apiserver_remove_kinds(r->server, &k, 1);
	api_kind_unref(k);
	assert_int_equal(req_waits_count(r->server), 0);
}

static int64_t num(const struct val *o, const char *name)
{
	return val_int_or(val_member_sv(val_member(o, F_spec), sv_from(name)), -1);
}

static const struct val *metrics(const struct val *o)
{
	return val_member_sv(val_member(o, F_spec), SV("metrics"));
}

static void same_object(const struct val *a, const struct val *b)
{
	assert_true(sv_eq(val_get_str(a, F_metadata, F_uid), val_get_str(b, F_metadata, F_uid)));
	assert_int_equal(rev_of(a), rev_of(b));
	assert_true(val_same(val_get(a, F_metadata, F_managedFields), val_get(b, F_metadata, F_managedFields)));
	assert_true(val_same(val_get(a, F_metadata, F_creationTimestamp), val_get(b, F_metadata, F_creationTimestamp)));
}

static const char *text(struct rig *r, const char *fmt, ...) _printf_(2, 3);
static const char *text(struct rig *r, const char *fmt, ...)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&b, fmt, ap);
	va_end(ap);
	return arena_strdup(&r->arena, buf_cstr(&b));
}

/* --- the store --- */

static void put_raw(struct rig *r, const char *key, const char *value)
{
	struct store_write w = { .key = sv_from(key), .value = sv_from(value), .expect_rev = STORE_ANY_REV };

	assert_int_equal(store_commit_wait(r->store, &w, NULL, NULL), 1);
	rig_run(r, NS_PER_MS);
}

struct found {
	struct rig *r;
	const struct val *doc;
};

static int found_one(const struct store_kv *kv, void *ctx)
{
	struct found *f = ctx;

	f->doc = json_decode(&f->r->arena, arena_sv(&f->r->arena, kv->value), NULL, NULL);
	return 0;
}

static const struct val *stored(struct rig *r, const char *key)
{
	struct found f = { .r = r };
	char end[128];
	int64_t rev;

	(void)snprintf(end, sizeof(end), "%s0", key);
	assert_int_equal(store_range(r->store, sv_from(key), sv_from(end), 0, 0, found_one, &f, &rev, NULL), 0);
	assert_non_null(f.doc);
	return f.doc;
}

#define STORED_AS(r, name, version) assert_val(val_member(stored((r), KEY name), F_apiVersion), "example.com/" version)

/* --- what one writes the other reads --- */

static const char in_v2[] =
    "{\"apiVersion\":\"example.com/v2\",\"kind\":\"Scaler\",\"metadata\":{\"name\":\"a\",\"labels\":{\"l\":\"1\"}},"
    "\"spec\":{\"min\":1,\"max\":5,\"metrics\":[{\"metricName\":\"cpu\",\"target\":50},"
    "{\"metricName\":\"queue\",\"target\":9}]}}";

static void test_read_by_the_other(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	const struct val *two = expect(r, 201, "POST", V2, in_v2), *one = expect(r, 200, "GET", V1 "/a", NULL), *l;
	struct answer *a;

	assert_val(val_member(two, F_apiVersion), "example.com/v2");
	assert_int_equal(val_len(metrics(two)), 2);
	assert_val(val_member(one, F_apiVersion), "example.com/v1");
	same_object(one, two);
	assert_int_equal(num(one, "minSize"), 1);
	assert_int_equal(num(one, "maxSize"), 5);
	assert_int_equal(num(one, "targetCpu"), 50);
	assert_null(metrics(one));
	assert_non_null(val_member_sv(val_get(one, F_metadata, F_annotations), SV(TOY_METRICS)));
	STORED_AS(r, "a", "v1");
	assert_true(val_equal(two, expect(r, 200, "GET", V2 "/a", NULL)));
	l = expect(r, 200, "GET", V2 "?labelSelector=l%3D1&fieldSelector=metadata.name%3Da", NULL);
	assert_val(val_member(l, F_kind), "ScalerList");
	assert_val(val_member(l, F_apiVersion), "example.com/v2");
	assert_int_equal(val_len(metrics(val_at(val_member(l, F_items), 0))), 2);
	a = api(r, "GET", V2, .accept = "application/json;as=Table;v=v1;g=meta.k8s.io");
	assert_int_equal(val_len(val_member(a->json, F_rows)), 1);
	answer_free(a);
	a = api(r, "GET", V2 "/a", .accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io");
	assert_null(val_get(a->json, F_metadata, F_annotations));
	answer_free(a);
	/* Asked for twice, converted once. */
	far.legs = 0;
	expect(r, 200, "GET", V2 "/a", NULL);
	assert_int_equal(far.legs, 0);
	drop(r, k);
}

/* Each way to write, by each version. */
static void test_written_by_each(void **state)
{
	static const struct {
		const char *path, *type, *body;
		int64_t min, max, cpu, generation;
	} rows[] = {
		{ V1, MERGE, "{\"spec\":{\"minSize\":2}}", 2, 5, 50, 2 },
		{ V2, MERGE, "{\"spec\":{\"min\":3}}", 3, 5, 50, 3 },
		{ V1, "application/json-patch+json", "[{\"op\":\"replace\",\"path\":\"/spec/targetCpu\",\"value\":51}]",
		  3, 5, 51, 4 },
		{ V2, "application/json-patch+json",
		  "[{\"op\":\"replace\",\"path\":\"/spec/metrics/0/target\",\"value\":52}]", 3, 5, 52, 5 },
		{ V1, "application/strategic-merge-patch+json", "{\"spec\":{\"maxSize\":6}}", 3, 6, 52, 6 },
		{ V2, "application/strategic-merge-patch+json", "{\"spec\":{\"max\":7}}", 3, 7, 52, 7 },
		{ V1, APPLY,
		  "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Scaler\",\"metadata\":{\"name\":\"a\"},\"spec\":{"
		  "\"targetCpu\":53}}",
		  3, 7, 53, 8 },
		{ V2, APPLY,
		  "{\"apiVersion\":\"example.com/v2\",\"kind\":\"Scaler\",\"metadata\":{\"name\":\"a\"},\"spec\":{"
		  "\"metrics\":[{\"metricName\":\"cpu\",\"target\":54}]}}",
		  3, 7, 54, 9 },
		{ V1, MERGE, "{}", 3, 7, 54, 9 },
		{ V2, MERGE, "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}", 3, 7, 54, 9 },
	};
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	const struct val *one, *two, *v;

	expect(r, 201, "POST", V2, in_v2);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		expect_type(
		    r, 200, "PATCH",
		    text(r, "%s/a%s", rows[i].path, strcmp(rows[i].type, APPLY) ? "" : "?force=true&fieldManager=m"),
		    rows[i].type, rows[i].body);
		one = expect(r, 200, "GET", V1 "/a", NULL);
		two = expect(r, 200, "GET", V2 "/a", NULL);
		same_object(one, two);
		assert_int_equal(num(one, "minSize"), rows[i].min);
		assert_int_equal(num(two, "max"), rows[i].max);
		assert_int_equal(num(one, "targetCpu"), rows[i].cpu);
		assert_int_equal(val_len(metrics(two)), 2);
		assert_int_equal(val_get_int(one, 0, F_metadata, F_generation), rows[i].generation);
		STORED_AS(r, "a", "v1");
	}
	/* PUT, what it read. */
	{
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		json_encode(&b, two);
		v = expect(r, 200, "PUT", V2 "/a", buf_cstr(&b));
		assert_int_equal(rev_of(v), rev_of(two)); /* nothing has changed */
	}
	/* The status has a door in each. */
	v = expect_type(r, 200, "PATCH", V2 "/a/status", MERGE, "{\"status\":{\"sizeNow\":4},\"spec\":{\"min\":9}}");
	assert_int_equal(num(v, "min"), 3);
	one = expect(r, 200, "GET", V1 "/a/status", NULL);
	assert_int_equal(val_int_or(val_member_sv(val_member(one, F_status), SV("sizeNow")), 0), 4);
	assert_int_equal(val_get_int(one, 0, F_metadata, F_generation), 9);
	/* A dry run answers and leaves nothing. */
	v = expect_type(r, 200, "PATCH", V2 "/a?dryRun=All", MERGE, "{\"spec\":{\"min\":8}}");
	assert_int_equal(num(v, "min"), 8);
	assert_int_equal(num(expect(r, 200, "GET", V1 "/a", NULL), "minSize"), 3);
	expect_status(r, 409, "Conflict", "the object has been modified",
		      &(struct ask){ .method = "PATCH",
				     .path = V2 "/a",
				     .type = MERGE,
				     .body = "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":{\"min\":1}}" });
	v = expect(r, 200, "DELETE", V2 "/a?propagationPolicy=Foreground", NULL);
	assert_val(val_member(v, F_apiVersion), "example.com/v2");
	assert_int_equal(val_len(metrics(v)), 2);
	v = expect_type(r, 200, "PATCH", V2 "/a", MERGE, "{\"metadata\":{\"finalizers\":null}}");
	expect(r, 404, "GET", V1 "/a", NULL);
	expect(r, 201, "POST", V2, in_v2);
	v = expect(r, 200, "DELETE", V2, NULL);
	assert_val(val_member(v, F_apiVersion), "example.com/v2");
	assert_int_equal(val_len(metrics(val_at(val_member(v, F_items), 0))), 2);
	expect(r, 404, "GET", V1 "/a", NULL);
	drop(r, k);
}

static void test_watched_by_each(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	struct answer *one, *two, *late;
	int64_t rev = rev_of(expect(r, 201, "POST", V2, in_v2));
	const struct val *v;

	one = api(r, "GET", V1 "?watch=1");
	two = api(r, "GET",
		  V2 "?watch=1&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&"
		     "allowWatchBookmarks=true");
	expect_type(r, 200, "PATCH", V1 "/a", MERGE, "{\"spec\":{\"minSize\":2}}");
	expect(r, 200, "DELETE", V2 "/a", NULL);
	rig_run(r, NS_PER_SEC);
	late = api(r, "GET", text(r, V2 "?watch=1&resourceVersion=%lld", (long long)rev));
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(one), 3);
	assert_int_equal(stream_lines(two), 4);
	assert_int_equal(stream_lines(late), 2);
	assert_int_equal(num(val_member(stream_line(one, 1), F_object), "minSize"), 2);
	v = stream_line(two, 0);
	assert_val(val_member(v, F_type), "ADDED");
	assert_int_equal(val_len(metrics(val_member(v, F_object))), 2);
	v = stream_line(two, 1);
	assert_val(val_member(v, F_type), "BOOKMARK");
	assert_val(val_get(v, F_object, F_apiVersion), "example.com/v2");
	assert_int_equal(num(val_member(stream_line(two, 2), F_object), "min"), 2);
	v = stream_line(two, 3);
	assert_val(val_member(v, F_type), "DELETED");
	assert_int_equal(num(val_member(v, F_object), "min"), 2);
	assert_int_equal(rev_of(val_member(v, F_object)), rev_of(val_member(stream_line(one, 2), F_object)));
	assert_val(val_get(stream_line(late, 0), F_object, F_apiVersion), "example.com/v2");
	assert_val(val_member(stream_line(late, 1), F_type), "DELETED");
	answer_gone(late);
	/* From a revision that only the store's log has: filled anew, the ring is empty. */
	drop(r, k);
	rig_run(r, 0);
	assert_true(one->ended && two->ended);
	answer_gone(one);
	answer_gone(two);
	k = serve(r, false);
	late = api(r, "GET", text(r, V2 "?watch=1&resourceVersion=%lld", (long long)rev));
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(late), 2);
	assert_int_equal(num(val_member(stream_line(late, 0), F_object), "min"), 2);
	answer_gone(late);
	drop(r, k);
}

static void test_discovery(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	const struct val *v = expect(r, 200, "GET", "/apis/example.com", NULL);
	struct answer *a;

	assert_val(val_get(v, F_preferredVersion, F_version), "v2");
	assert_int_equal(val_len(val_member(v, F_versions)), 2);
	assert_val(val_member(val_at(val_member(v, F_versions), 1), F_version), "v1");
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", "/apis/example.com/v2", NULL), F_resources)), 2);
	expect(r, 404, "GET", "/apis/example.com/v1beta1", NULL);
	expect(r, 404, "GET", "/apis/example.com/v1beta1" NS, NULL);
	expect(r, 200, "GET", "/openapi/v3/apis/example.com/v2", NULL);
	expect(r, 201, "POST", V2, in_v2);
	/* Counted once. */
	a = api(r, "GET", "/metrics");
	v = NULL;
	assert_non_null(strstr(buf_cstr(&a->body), "apiserver_storage_objects{resource=\"scalers.example.com\"} 1"));
	assert_null(strstr(strstr(buf_cstr(&a->body), "objects{resource=\"scalers.example.com\"} 1") + 1,
			   "objects{resource=\"scalers.example.com\"} 1"));
	answer_free(a);
	/* A version that is there already. */
	{
		struct api_kind *again = toy_kind();
		struct err err = ERR_INIT;

		assert_int_equal(apiserver_add_kinds(r->server, &again, 1, &err), -1);
		assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
		err_release(&err);
		api_kind_unref(again);
		again = toy_kind();
		assert_int_equal(
		    apiserver_add_versions(r->server, again, &(struct kind_conversion){ .hub = "v9" }, &err), -1);
		err_release(&err);
		api_kind_unref(again);
	}
	drop(r, k);
}

static void test_inside(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	const struct resource *two = api_kind_resource(api_kind_next(k));
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj_list l = { 0 };
	struct obj *o = NULL;

	expect(r, 201, "POST", V1, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"targetCpu\":7}}");
	assert_int_equal(client_get(r->client, two, SV("default"), SV("a"), &o, &err), 0);
	assert_int_equal(val_len(metrics(obj_root(o))), 1);
	obj_unref(o);
	assert_int_equal(client_list(r->client, two, SV("default"), NULL, &l, &err), 0);
	assert_int_equal(val_len(metrics(obj_root(l.items[0]))), 1);
	obj_list_release(&l);
	drop(r, k);
}

/* --- what is stored --- */

#define RAW_KIND(version, kind, name, spec)                                                    \
	"{\"apiVersion\":\"" version "\",\"kind\":\"" kind "\",\"metadata\":{\"name\":\"" name \
	"\",\"namespace\":\"default\",\"uid\":\"u\"},\"spec\":{" spec "}}"
#define RAW(version, name, spec) RAW_KIND(version, "Scaler", name, spec)

static void test_stored_in_another(void **state)
{
	struct rig *r = *state;
	struct api_kind *k;
	const struct val *v;
	int64_t rev;

	put_raw(r, KEY "served", RAW("example.com/v2", "served", "\"min\":1,\"metrics\":[{\"metricName\":\"q\"}]"));
	put_raw(r, KEY "unserved", RAW("example.com/v1beta1", "unserved", "\"size\":3"));
	k = serve(r, false);
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", V1, NULL), F_items)), 2);
	v = expect(r, 200, "GET", V1 "/served", NULL);
	assert_int_equal(num(v, "minSize"), 1);
	assert_int_equal(num(expect(r, 200, "GET", V1 "/unserved", NULL), "maxSize"), 3);
	assert_int_equal(num(expect(r, 200, "GET", V2 "/unserved", NULL), "max"), 3);
	/* And what another server writes while this one runs. */
	put_raw(r, KEY "late", RAW("example.com/v1beta1", "late", "\"size\":4"));
	v = expect(r, 200, "GET", V2 "/late", NULL);
	assert_int_equal(num(v, "max"), 4);
	rev = rev_of(v);
	STORED_AS(r, "late", "v1beta1");
	/* A write that changes nothing writes the storage version, once. */
	v = expect_type(r, 200, "PATCH", V2 "/late", MERGE, "{}");
	assert_true(rev_of(v) > rev);
	STORED_AS(r, "late", "v1");
	assert_int_equal(rev_of(expect_type(r, 200, "PATCH", V1 "/late", MERGE, "{}")), rev_of(v));
	v = expect_type(r, 200, "PATCH", V1 "/served", MERGE, "{}");
	STORED_AS(r, "served", "v1");
	assert_int_equal(num(expect(r, 200, "GET", V2 "/served", NULL), "min"), 1);
	expect(r, 200, "DELETE", V1 "/unserved", NULL);
	drop(r, k);
}

static void set_aside(struct rig *r, const char *path, const char *key)
{
	struct answer *a;

	expect_status(r, 500, "InternalError", key, &(struct ask){ .method = "GET", .path = path });
	expect_status(r, 500, "InternalError", key,
		      &(struct ask){ .method = "PATCH", .path = path, .type = MERGE, .body = "{}" });
	a = api(r, "GET", "/readyz?verbose");
	assert_non_null(strstr(buf_cstr(&a->body), key));
	answer_free(a);
}

/* Of no version that there is, or of none that can be converted. */
static void test_stored_unreadable(void **state)
{
	static const char *const texts[] = {
		RAW("example.com/v3", "x", ""),
		RAW("v1", "x", ""),
		RAW("other.com/v1", "x", ""),
		RAW("example.com", "x", ""),
		"{\"kind\":\"Scaler\",\"metadata\":{\"name\":\"x\",\"namespace\":\"default\"}}",
		RAW_KIND("example.com/v1", "Other", "x", ""),
		RAW_KIND("example.com/v1", "", "x", ""),
	};
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);

	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		put_raw(r, KEY "x", RAW("example.com/v1", "x", ""));
		expect(r, 200, "GET", V2 "/x", NULL);
		put_raw(r, KEY "x", texts[i]);
		set_aside(r, V1 "/x", KEY "x");
		set_aside(r, V2 "/x", KEY "x");
		assert_int_equal(val_len(val_member(expect(r, 200, "GET", V2, NULL), F_items)), 0);
	}
	put_raw(r, KEY "x", RAW("example.com/v2", "x", ""));
	expect(r, 200, "GET", V1 "/x", NULL);
	far.fails = true;
	put_raw(r, KEY "x", RAW("example.com/v2", "x", "\"min\":1"));
	set_aside(r, V2 "/x", KEY "x");
	far.fails = false;
	expect(r, 200, "DELETE", V2 "/x?ignoreStoreReadErrorWithClusterBreakingPotential=true", NULL);
	expect(r, 404, "GET", V1 "/x", NULL);
	/* Kinds of one version are asked the same. */
	put_raw(
	    r, "/registry/configmaps/default/c",
	    "{\"apiVersion\":\"v2\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"c\",\"namespace\":\"default\"}}");
	set_aside(r, "/api/v1/namespaces/default/configmaps/c", "/registry/configmaps/default/c");
	drop(r, k);
}

static void test_stored_events(void **state)
{
	struct rig *r = *state;
	const struct val *v;

	put_raw(
	    r, "/registry/events/default/e",
	    "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"e\",\"namespace\":"
	    "\"default\",\"uid\":\"u\"},\"note\":\"n\",\"regarding\":{\"name\":\"p\"},\"reportingController\":\"c\"}");
	v = expect(r, 200, "GET", CORE "/e", NULL);
	assert_val(val_member(v, F_message), "n");
	v = expect(r, 200, "GET", CORE "?fieldSelector=involvedObject.name%3Dp,reportingComponent%3Dc", NULL);
	assert_int_equal(val_len(val_member(v, F_items)), 1);
	v = expect(r, 200, "GET", EVENTS "?fieldSelector=regarding.name%3Dp,reportingController%3Dc", NULL);
	assert_val(val_member(val_at(val_member(v, F_items), 0), F_note), "n");
	expect_status(r, 400, "BadRequest", "field label not supported: involvedObject.name",
		      &(struct ask){ .method = "GET", .path = EVENTS "?fieldSelector=involvedObject.name%3Dp" });
	expect_type(r, 200, "PATCH", EVENTS "/e", MERGE, "{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	assert_val(val_member(stored(r, "/registry/events/default/e"), F_apiVersion), "v1");
	put_raw(
	    r, "/registry/events/default/e",
	    "{\"apiVersion\":\"events.k8s.io/v1beta1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"e\",\"namespace\":"
	    "\"default\"}}");
	set_aside(r, EVENTS "/e", "/registry/events/default/e");
}

/* --- who owns what --- */

static const struct val *owner(const struct val *o, const char *manager)
{
	VAL_EACH(val_get(o, F_metadata, F_managedFields), m)
		if (val_is(val_member(m, F_manager), manager))
			return m;
	return NULL;
}

static bool owns(struct rig *r, const struct val *o, const char *manager, const char *field)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct val *m = owner(o, manager);

	(void)r;
	if (m)
		json_encode(&b, val_member(m, F_fieldsV1));
	return m && strstr(buf_cstr(&b), field);
}

#define CONFIG(version, spec)                    \
	"{\"apiVersion\":\"example.com/" version \
	"\",\"kind\":\"Scaler\",\"metadata\":{\"name\":\"a\"},\"spec\":{" spec "}}"

static void test_owners(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	const struct val *v;

	expect_type(
	    r, 201, "PATCH", V2 "/a?fieldManager=two", APPLY,
	    CONFIG("v2", "\"min\":1,\"metrics\":[{\"metricName\":\"cpu\",\"target\":5},{\"metricName\":\"q\"}]"));
	/* The same field by its other name is somebody's. */
	expect_status(r, 409, "Conflict", "conflict with \"two\": .spec.min",
		      &(struct ask){ .method = "PATCH",
				     .path = V1 "/a?fieldManager=one",
				     .type = APPLY,
				     .body = CONFIG("v1", "\"minSize\":2") });
	expect_status(r, 409, "Conflict", ".spec.metrics[metricName=\"cpu\"].target",
		      &(struct ask){ .method = "PATCH",
				     .path = V1 "/a?fieldManager=one",
				     .type = APPLY,
				     .body = CONFIG("v1", "\"targetCpu\":6") });
	/* What is the same is shared, what is new is the applier's. */
	v = expect_type(r, 200, "PATCH", V1 "/a?fieldManager=one", APPLY, CONFIG("v1", "\"minSize\":1,\"maxSize\":8"));
	assert_true(owns(r, v, "one", "f:minSize") && owns(r, v, "one", "f:maxSize"));
	assert_true(owns(r, v, "two", "f:min") && !owns(r, v, "two", "f:max\""));
	assert_val(val_member(owner(v, "two"), F_apiVersion), "example.com/v2");
	/* An update takes what it changes from both. */
	v = expect_type(r, 200, "PATCH", V2 "/a?fieldManager=three", MERGE, "{\"spec\":{\"min\":3}}");
	assert_false(owns(r, v, "one", "f:minSize") || owns(r, v, "two", "f:min\""));
	assert_true(owns(r, v, "one", "f:maxSize") && owns(r, v, "three", "f:min\""));
	v = expect_type(r, 200, "PATCH", V1 "/a?fieldManager=three", MERGE, "{\"spec\":{\"targetCpu\":9}}");
	assert_false(owns(r, v, "two", "cpu\\\"}\":{\".\":{},\"f:metricName\":{},\"f:target"));
	/* Forced, by the other version. */
	v = expect_type(r, 200, "PATCH", V2 "/a?fieldManager=two&force=true", APPLY, CONFIG("v2", "\"max\":9"));
	assert_int_equal(num(v, "max"), 9);
	assert_false(owns(r, v, "one", "f:maxSize"));
	/* And it no longer wants its metric, which nobody else has. */
	assert_int_equal(val_len(metrics(v)), 1);
	drop(r, k);
}

/* An applier that goes from one version to the other: what it leaves out in the new one is taken out. */
static void test_prune_across(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	const struct val *v;

	expect_type(r, 201, "PATCH", V1 "/a?fieldManager=m", APPLY,
		    CONFIG("v1", "\"minSize\":1,\"maxSize\":5,\"targetCpu\":50"));
	expect_type(r, 200, "PATCH", V2 "/a?fieldManager=other", APPLY,
		    CONFIG("v2", "\"metrics\":[{\"metricName\":\"q\",\"target\":1}]"));
	v = expect_type(r, 200, "PATCH", V2 "/a?fieldManager=m", APPLY, CONFIG("v2", "\"max\":5"));
	assert_int_equal(num(v, "max"), 5);
	assert_int_equal(num(v, "min"), -1);
	assert_int_equal(val_len(metrics(v)), 1);
	assert_val(val_member_sv(val_at(metrics(v), 0), SV("metricName")), "q");
	assert_val(val_member(owner(v, "m"), F_apiVersion), "example.com/v2");
	assert_int_equal(val_len(val_get(v, F_metadata, F_managedFields)), 2);
	drop(r, k);
}

/* What is owned in a version that there is not is nobody's. */
static void test_owner_of_no_version(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	const struct val *v;

	expect(r, 201, "POST", V1 "?fieldManager=m", "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"minSize\":1}}");
	v = expect_type(
	    r, 200, "PATCH", V1 "/a?fieldManager=m", MERGE,
	    "{\"metadata\":{\"managedFields\":[{\"manager\":\"old\",\"operation\":\"Update\",\"apiVersion\":"
	    "\"example.com/v9\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{\"f:ancient\":{}}}},"
	    "{\"manager\":\"beta\",\"operation\":\"Update\",\"apiVersion\":\"example.com/v1beta1\",\"fieldsType\":"
	    "\"FieldsV1\",\"fieldsV1\":{\"f:spec\":{\"f:minSize\":{}}}}]}}");
	assert_null(owner(v, "old"));
	assert_true(owns(r, v, "beta", "f:minSize"));
	expect_status(r, 409, "Conflict", "conflict with \"beta\" using example.com/v1beta1: .spec.minSize",
		      &(struct ask){ .method = "PATCH",
				     .path = V2 "/a?fieldManager=two",
				     .type = APPLY,
				     .body = CONFIG("v2", "\"min\":2") });
	drop(r, k);
}

static void test_event_owners(void **state)
{
	struct rig *r = *state;
	const struct val *v;

	expect(r, 201, "POST", CORE "?fieldManager=core",
	       "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"namespace\":\"default\"},\"message\":\"m\","
	       "\"count\":1,"
	       "\"type\":\"Normal\"}");
	expect_status(
	    r, 409, "Conflict", "conflict with \"core\" using v1: .count",
	    &(struct ask){ .method = "PATCH",
			   .path = EVENTS "/e?fieldManager=new",
			   .type = APPLY,
			   .body =
			       "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"metadata\":{\"name\":\"e\"},"
			       "\"deprecatedCount\":2}" });
	v = expect_type(r, 200, "PATCH", CORE "/e?fieldManager=other", MERGE, "{\"count\":3}");
	assert_false(owns(r, v, "core", "f:count"));
	assert_true(owns(r, v, "core", "f:message"));
	v = expect(r, 200, "GET", EVENTS "/e", NULL);
	assert_int_equal(val_get_int(v, 0, F_deprecatedCount), 3);
	assert_val(val_member(owner(v, "other"), F_apiVersion), "v1");
	/* A write in one version leaves what others own in the other. */
	v = expect_type(r, 200, "PATCH", EVENTS "/e?fieldManager=label", MERGE,
			"{\"metadata\":{\"labels\":{\"a\":\"b\"}}}");
	assert_true(owns(r, v, "core", "f:message") && owns(r, v, "core", "f:involvedObject"));
	assert_true(owns(r, v, "other", "f:count") && owns(r, v, "label", "f:a"));
	v = expect_type(r, 200, "PATCH", CORE "/e?fieldManager=other", MERGE, "{\"count\":4}");
	assert_true(owns(r, v, "core", "f:message") && owns(r, v, "label", "f:a"));
}

/* --- a conversion that says later --- */

static void resume(struct rig *r)
{
	assert_non_null(far.ticket);
	assert_true(req_resume(TAKE(far.ticket), done, NULL));
	rig_run(r, 0);
}

/* Until nobody waits any more; how often somebody did. */
static int resume_all(struct rig *r)
{
	int n = 0;

	for (; far.ticket; n++)
		resume(r);
	return n;
}

static struct answer *start(struct rig *r, const char *method, const char *path, const char *type, const char *body)
{
	struct answer *a =
	    api_start(r, &(struct ask){ .method = method, .path = path, .type = type, .body = body, .loop = true });

	rig_run(r, 0);
	return a;
}

static void test_slow_each_verb(void **state)
{
	static const struct {
		const char *method, *path, *type, *body;
		int code, waits;
	} rows[] = {
		{ "POST", V2, NULL, in_v2, 201, 2 },	/* to what is stored, and back */
		{ "GET", V2 "/a", NULL, NULL, 200, 0 }, /* that is what it is by now */
		{ "PATCH", V1 "/a", MERGE, "{\"spec\":{\"minSize\":4}}", 200,
		  2 }, /* as its owner sees it, before and after */
		{ "GET", V2 "/a", NULL, NULL, 200, 1 },
		{ "GET", V1 "/a", NULL, NULL, 200, 0 },
		{ "PATCH", V2 "/a", MERGE, "{\"spec\":{\"min\":5}}", 200,
		  4 }, /* two for the manager of v1, two to store */
		{ "PATCH", V1 "/a/status", MERGE, "{\"status\":{\"sizeNow\":4}}", 200, 2 },
		{ "GET", V2, NULL, NULL, 200, 1 },
		{ "GET", V2 "?limit=1", NULL, NULL, 200, 0 },
		{ "PATCH", V2 "/a?fieldManager=x", APPLY, CONFIG("v2", "\"max\":5"), 200, 4 },
		{ "DELETE", V2 "/a", NULL, NULL, 200, 0 },
	};
	struct rig *r = *state;
	struct api_kind *k = serve(r, true);

	far.waits = true;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct answer *a = start(r, rows[i].method, rows[i].path, rows[i].type, rows[i].body);
		int n = resume_all(r);

		if (a->code != rows[i].code || n != rows[i].waits)
			print_error("%s %s: waited %d times; %d %s\n", rows[i].method, rows[i].path, n, a->code,
				    buf_cstr(&a->body));
		assert_int_equal(n, rows[i].waits);
		assert_int_equal(a->answers, 1);
		assert_int_equal(a->code, rows[i].code);
		answer_free(a);
	}
	expect(r, 404, "GET", V1 "/a", NULL);
	/* Resumed before it has returned. */
	far.at_once = true;
	expect(r, 201, "POST", V2, in_v2);
	expect(r, 200, "DELETE", V2, NULL);
	drop(r, k);
}

/* The time of the request is up, its client goes, the server stops: nothing is written, nobody is asked again. */
static void test_slow_ends(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, true);
	struct answer *a, *b;

	expect(r, 201, "POST", V1, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"minSize\":1}}");
	far.waits = true;
	a = start(r, "GET", V2 "/a?timeout=5s", NULL, NULL);
	b = start(r, "GET", V1 "/a", NULL, NULL); /* nobody else waits */
	assert_int_equal(b->answers, 1);
	answer_free(b);
	rig_run(r, 6 * NS_PER_SEC);
	assert_int_equal(a->code, 504);
	assert_int_equal(far.cancelled, 1);
	assert_false(req_resume(TAKE(far.ticket), done, NULL));
	answer_free(a);
	a = start(r, "PATCH", V2 "/a", MERGE, "{\"spec\":{\"min\":2}}");
	resume(r); /* what is there is converted; now what is to be stored */
	assert_int_equal(a->answers, 0);
	req_client_gone(&a->q);
	rig_run(r, 0);
	assert_int_equal(a->code, 504);
	assert_int_equal(far.cancelled, 2);
	assert_false(req_resume(TAKE(far.ticket), done, NULL));
	answer_free(a);
	assert_int_equal(num(expect(r, 200, "GET", V1 "/a", NULL), "minSize"), 1);
	expect_type(r, 200, "PATCH", V1 "/a", MERGE, "{\"spec\":{\"minSize\":3}}"); /* no view of it yet */
	a = start(r, "GET", V2, NULL, NULL);
	req_ticket_unref(TAKE(far.ticket));
	b = start(r, "GET", V2 "/a", NULL, NULL);
	req_ticket_unref(TAKE(far.ticket));
	apiserver_shutdown(r->server);
	rig_run(r, 0);
	assert_int_equal(a->code, 503);
	assert_int_equal(b->code, 503);
	answer_free(a);
	answer_free(b);
	api_kind_unref(k);
	rig_restart(r);
}

static void make_many(struct rig *r, int n)
{
	for (int i = 0; i < n; i++)
		expect(r, 201, "POST", V1,
		       text(r, "{\"metadata\":{\"name\":\"m%04d\"},\"spec\":{\"minSize\":%d}}", i, i));
}

/* Many are asked about at once, in bounded batches. */
static void test_slow_list(void **state)
{
	enum { MANY = 1203 };
	struct rig *r = *state;
	struct api_kind *k = serve(r, true);
	const struct val *l;
	struct answer *a;

	make_many(r, MANY);
	far.waits = true;
	a = start(r, "GET", V2, NULL, NULL);
	assert_int_equal(resume_all(r), 3);
	assert_int_equal(far.docs, MANY);
	l = val_member(api_json(a), F_items);
	assert_int_equal(val_len(l), MANY);
	assert_int_equal(num(val_at(l, MANY - 1), "min"), MANY - 1);
	answer_free(a);
	far.waits = false;
	expect_type(r, 200, "PATCH", V1 "/m0007", MERGE, "{\"spec\":{\"minSize\":9}}");
	far.fails = true;
	expect_status(r, 500, "InternalError", "conversion webhook for Scaler failed: not today",
		      &(struct ask){ .method = "GET", .path = V2 });
	far.fails = false;
	far.docs = 0;
	expect(r, 200, "GET", V2, NULL);
	assert_int_equal(far.docs, 1); /* the others are what they were */
	drop(r, k);
}

/* Events come in order, however long they take, and everything that ends a watch ends the wait. */
static void test_slow_watch(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = serve(r, true);
	struct answer *w, *one;

	make_many(r, 100);
	far.waits = true;
	one = start(r, "GET", V1 "?watch=1", NULL, NULL);
	w = start(r, "GET", V2 "?watch=1", NULL, NULL);
	assert_int_equal(stream_lines(one), 100);
	assert_int_equal(stream_lines(w), 0);
	resume(r);
	assert_int_equal(stream_lines(w), 64);
	expect(r, 200, "DELETE", V1 "/m0007", NULL);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(one), 101);
	assert_int_equal(stream_lines(w), 64);
	assert_int_equal(resume_all(r), 2);
	assert_int_equal(stream_lines(w), 101);
	for (size_t i = 0; i < 101; i++) {
		const struct val *e = stream_line(w, i);

		assert_true(val_equal(val_member(e, F_type), val_member(stream_line(one, i), F_type)));
		assert_int_equal(num(val_member(e, F_object), "min"), i < 100 ? (int)i : 7);
		assert_int_equal(rev_of(val_member(e, F_object)), rev_of(val_member(stream_line(one, i), F_object)));
	}
	/* Too late: an error, and the end. */
	expect_type(r, 200, "PATCH", V1 "/m0001", MERGE, "{\"spec\":{\"minSize\":77}}");
	rig_run(r, 31 * NS_PER_SEC);
	assert_true(w->ended);
	assert_val(val_member(stream_line(w, 101), F_type), "ERROR");
	assert_int_equal(val_get_int(stream_line(w, 101), 0, F_object, F_code), 504);
	assert_int_equal(far.cancelled, 1);
	assert_false(req_resume(TAKE(far.ticket), done, NULL));
	answer_free(w);
	/* Refused. */
	w = start(r, "GET", V2 "?watch=1&fieldSelector=metadata.name%3Dm0001", NULL, NULL);
	far.fails = true;
	resume(r);
	assert_true(w->ended);
	assert_val(val_get(stream_line(w, 0), F_object, F_message), "conversion webhook for Scaler failed: not today");
	answer_free(w);
	far.fails = false;
	/* The client goes meanwhile. */
	w = start(r, "GET", V2 "?watch=1&fieldSelector=metadata.name%3Dm0001", NULL, NULL);
	assert_non_null(far.ticket);
	answer_gone(w);
	assert_int_equal(far.cancelled, 2);
	assert_int_equal(req_waits_count(r->server), 0);
	assert_false(req_resume(TAKE(far.ticket), done, NULL));
	/* The kind goes meanwhile. */
	w = start(r, "GET", V2 "?watch=1&fieldSelector=metadata.name%3Dm0001", NULL, NULL);
	apiserver_remove_kinds(r->server, &k, 1);
	rig_run(r, 0);
	assert_false(w->ended);
	resume(r);
	assert_true(w->ended);
	assert_int_equal(stream_lines(w), 1);
	answer_free(w);
	assert_true(one->ended);
	answer_free(one);
	api_kind_unref(k);
	/* The server goes meanwhile. */
	k = serve(r, true);
	far.waits = true;
	w = start(r, "GET", V2 "?watch=1&fieldSelector=metadata.name%3Dm0001", NULL, NULL);
	req_ticket_unref(TAKE(far.ticket));
	apiserver_shutdown(r->server);
	rig_run(r, 0);
	assert_true(w->ended);
	answer_free(w);
	api_kind_unref(k);
	rig_restart(r);
}

/* Where conversions wait, what is stored in another version is converted for who asks. */
static void test_slow_stored(void **state)
{
	struct rig *r = *state;
	struct api_kind *k;
	const struct val *v;

	put_raw(r, KEY "two", RAW("example.com/v2", "two", "\"min\":1"));
	put_raw(r, KEY "beta", RAW("example.com/v1beta1", "beta", "\"size\":3"));
	k = serve(r, true);
	far.waits = far.at_once = true;
	put_raw(r, KEY "none", RAW("example.com/v3", "none", ""));
	v = val_member(expect(r, 200, "GET", V1, NULL), F_items);
	assert_int_equal(val_len(v), 2);
	assert_int_equal(num(val_at(v, 0), "maxSize"), 3);
	assert_int_equal(num(val_at(v, 1), "minSize"), 1);
	set_aside(r, V1 "/none", KEY "none");
	far.legs = 0;
	expect(r, 200, "GET", V2 "/two", NULL);
	assert_int_equal(far.legs, 0); /* it is one */
	STORED_AS(r, "two", "v2");
	expect_type(r, 200, "PATCH", V2 "/two", MERGE, "{}");
	STORED_AS(r, "two", "v1");
	expect_type(r, 200, "PATCH", V1 "/beta", MERGE, "{}");
	STORED_AS(r, "beta", "v1");
	assert_int_equal(num(expect(r, 200, "GET", V2 "/beta", NULL), "max"), 3);
	far.waits = false;
	drop(r, k);
}

/* What a conversion says is not believed. */
static void test_lies(void **state)
{
	static const char *const lies[] = { "name", "uid", "version" };
	struct rig *r = *state;
	struct api_kind *k = serve(r, true);

	for (size_t i = 0; i < ARRAY_LEN(lies); i++) {
		expect(r, 201, "POST", V1, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"minSize\":1}}");
		far.lies = lies[i];
		expect_status(r, 500, "InternalError", "conversion of Scaler",
			      &(struct ask){ .method = "GET", .path = V2 "/a" });
		expect_status(r, 500, "InternalError", "conversion of Scaler",
			      &(struct ask){ .method = "POST",
					     .path = V2,
					     .body = "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"min\":1}}" });
		far.lies = NULL;
		expect(r, 404, "GET", V1 "/b", NULL);
		expect(r, 200, "DELETE", V1 "/a", NULL);
	}
	/* The rest of metadata is the object's. */
	far.lies = "finalizers";
	expect(r, 201, "POST", V2, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"min\":1}}");
	assert_null(val_get(expect(r, 200, "GET", V2 "/a", NULL), F_metadata, F_finalizers));
	expect(r, 200, "DELETE", V2 "/a", NULL);
	expect(r, 404, "GET", V1 "/a", NULL);
	drop(r, k);
}

/* Much to convert is nothing for a loop, and after that it is there. */
static void test_large(void **state)
{
	enum { BYTES = 100000 };
	struct rig *r = *state;
	struct api_kind *k = serve(r, false);
	char *note = arena_alloc(&r->arena, BYTES + 1);
	struct answer *a;

	memset(note, 'x', BYTES);
	note[BYTES] = '\0';
	expect(r, 201, "POST", V1, text(r, "{\"metadata\":{\"name\":\"a\",\"annotations\":{\"n\":\"%s\"}}}", note));
	for (int i = 0; i < 2; i++) {
		a = api_start(r, &(struct ask){ .method = "GET", .path = V2 "/a", .loop = true });
		assert_int_equal(a->answers, i);
		rig_run(r, 0);
		assert_int_equal(a->code, 200);
		assert_true(a->body.n > BYTES);
		answer_free(a);
	}
	expect(r, 200, "DELETE", V1 "/a", NULL);
	drop(r, k);
}

/* Versions that differ in their names alone. */
static void test_renamed(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = api_kind_new(
	    &(struct api_kind_def){
		.group = "example.com", .version = "v1", .plural = "scalers", .kind = "Scaler", .namespaced = true },
	    NULL);
	struct api_kind_def beta = {
		.group = "example.com", .version = "v1beta1", .plural = "scalers", .kind = "Scaler", .namespaced = true
	};
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v;

	assert_non_null(api_kind_add_version(k, &beta, NULL));
	beta.plural = "others";
	assert_null(api_kind_add_version(k, &beta, &err));
	err_release(&err);
	assert_int_equal(apiserver_add_kinds(r->server, &k, 1, &err), 0);
	expect(r, 201, "POST", "/apis/example.com/v1beta1" NS,
	       "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"anything\":{\"at\":\"all\"}}}");
	v = expect(r, 200, "GET", V1 "/a", NULL);
	assert_val(val_member_sv(val_member_sv(val_member(v, F_spec), SV("anything")), SV("at")), "all");
	STORED_AS(r, "a", "v1");
	drop(r, k);
}

#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(test_read_by_the_other),
		T(test_written_by_each),
		T(test_watched_by_each),
		T(test_discovery),
		T(test_inside),
		T(test_stored_in_another),
		T(test_stored_unreadable),
		T(test_stored_events),
		T(test_owners),
		T(test_prune_across),
		T(test_owner_of_no_version),
		T(test_event_owners),
		T(test_slow_each_verb),
		T(test_slow_ends),
		T(test_slow_list),
		T(test_slow_watch),
		T(test_slow_stored),
		T(test_lies),
		T(test_renamed),
		T(test_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
