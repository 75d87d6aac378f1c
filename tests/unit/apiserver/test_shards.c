/* Parts of collections: lists, watches and deletecollection by shardSelector, behind its gate. */
#include "harness.h"

#include "object/cel/shard.h"
#include "object/feature.h"
#include "object/protobuf.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define FOOS "/apis/ex.com/v1/namespaces/default/foos"
#define FORM(kind) "application/json;as=" kind ";v=v1;g=meta.k8s.io"
#define PARTS 3

/* In a query; ends says where each part begins and ends. */
static const char *const ends[PARTS + 1] = { "0x0000000000000000", "0x5000000000000000", "0xb000000000000000",
					     "0x10000000000000000" };

static const char *words(struct rig *r, const char *field, int part)
{
	return arena_printf(&r->arena, "shardRange(object.metadata.%s, '%s', '%s')", field, ends[part], ends[part + 1]);
}

static const char *query(struct rig *r, const char *path, const char *field, int part)
{
	return arena_printf(&r->arena, "%s%cshardSelector=shardRange(object.metadata.%s,%%20'%s','%s')", path,
			    strchr(path, '?') ? '&' : '?', field, ends[part], ends[part + 1]);
}

static int part_of(struct sv value)
{
	uint64_t bounds[PARTS - 1] = { UINT64_C(0x5) << 60, UINT64_C(0xb) << 60 }, h = sv_hash(value);

	return (h >= bounds[0]) + (h >= bounds[1]);
}

static void make(struct rig *r, int n)
{
	for (int i = 0; i < n; i++)
		expect(r, 201, "POST", CM,
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"c%02d\",\"labels\":{\"mod\":\"%d\"}}}", i,
				    i % 2));
}

static int gate_on(void **state)
{
	assert_int_equal(features_set(SV("ShardedListAndWatch=true"), NULL), 0);
	return rig_setup(state);
}

static int gate_reset(void **state)
{
	features_reset();
	return rig_teardown(state);
}

/* Off, it is a parameter that nobody knows: right or wrong. */
static void test_off(void **state)
{
	struct rig *r = *state;
	const struct val *l;

	make(r, 5);
	l = expect(r, 200, "GET", query(r, CM, "uid", 0), NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 5);
	assert_null(val_get(l, F_metadata, F_shardInfo));
	l = expect(r, 200, "GET", CM "?shardSelector=nonsense", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 5);
}

static void test_refused(void **state)
{
	static const struct {
		const char *method, *path;
	} asks[] = { { "GET", CM "?shardSelector=f()" },
		     { "GET", CM "?watch=1&shardSelector=f()" },
		     { "GET", "/api/v1/configmaps?limit=1&shardSelector=f()" },
		     { "DELETE", CM "?shardSelector=f()" } };
	struct rig *r = *state;

	make(r, 2);
	for (size_t i = 0; i < ARRAY_LEN(asks); i++)
		expect_status(
		    r, 400, "BadRequest",
		    "invalid shard selector: unsupported function \"f\"; only shardRange() and || are allowed",
		    &(struct ask){ .method = asks[i].method, .path = asks[i].path });
	/* Nothing was deleted, and who says nothing asks for all. */
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM "?shardSelector=", NULL), F_items)), 2);
	expect_status(r, 400, "BadRequest", "empty shard selector is not allowed",
		      &(struct ask){ .method = "GET", .path = CM "?shardSelector=%20" });
}

/* Each object in one part; each list says which it is; l NULL: path is asked. Returns how many there are. */
static int count_part(struct rig *r, const char *path, int part, const char *accept, const char *items, bool bodies)
{
	struct answer *a = api(r, "GET", query(r, path, "uid", part), .accept = accept);
	const struct val *list = val_member_sv(a->json, sv_from(items));
	int n = (int)val_len(list);

	assert_int_equal(a->code, 200);
	assert_val(val_get(a->json, F_metadata, F_shardInfo, F_selector), words(r, "uid", part));
	VAL_EACH(list, o)
		if (bodies)
			assert_int_equal(part_of(val_get_str(o, F_metadata, F_uid)), part);
	answer_free(a);
	return n;
}

static void test_lists(void **state)
{
	static const struct {
		const char *accept, *items;
		bool bodies;
	} forms[] = { { NULL, "items", true },
		      { FORM("PartialObjectMetadataList"), "items", true },
		      { FORM("Table"), "rows", false } };
	struct rig *r = *state;
	char past[128];

	make(r, 40);
	(void)snprintf(past, sizeof(past), CM "?resourceVersionMatch=Exact&resourceVersion=%d",
		       (int)rev_of(expect(r, 200, "GET", CM, NULL)));
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		int n = 0, some = 0, of_past = 0;

		for (int part = 0; part < PARTS; part++) {
			n += count_part(r, CM, part, forms[i].accept, forms[i].items, forms[i].bodies);
			some += count_part(r, CM "?labelSelector=mod%3D1", part, forms[i].accept, forms[i].items,
					   forms[i].bodies);
			of_past += count_part(r, past, part, forms[i].accept, forms[i].items, forms[i].bodies);
		}
		assert_int_equal(n, 40 - (int)i);
		assert_int_equal(some, 20 - (int)i);
		assert_int_equal(of_past, 40); /* whatever went meanwhile */
		expect(r, 200, "DELETE", arena_printf(&r->arena, CM "/c0%d", (int)(2 * i + 1)), NULL);
	}
}

/* Pages of a part: no count of the rest, as with any selector, and the part said on each. */
static void test_pages(void **state)
{
	struct rig *r = *state;
	int n = 0;

	make(r, 40);
	for (int part = 0; part < PARTS; part++) {
		struct sv cont = SV_NULL;
		int last_n = 0;

		do {
			const char *path =
			    arena_printf(&r->arena, CM "?limit=3%s%.*s", cont.n ? "&continue=" : "", SV_ARG(cont));
			const struct val *l = expect(r, 200, "GET", query(r, path, "uid", part), NULL);

			last_n = (int)val_len(val_get(l, F_items));
			assert_true(last_n > 0 && last_n <= 3);
			n += last_n;
			VAL_EACH(val_get(l, F_items), o)
				assert_int_equal(part_of(val_get_str(o, F_metadata, F_uid)), part);
			assert_val(val_get(l, F_metadata, F_shardInfo, F_selector), words(r, "uid", part));
			assert_null(val_get(l, F_metadata, F_remainingItemCount));
			cont = val_get_str(l, F_metadata, F_continue);
		} while (cont.n);
	}
	assert_int_equal(n, 40);
}

static void test_namespaces(void **state)
{
	struct rig *r = *state;
	int n = 0, whole = 0;

	for (int i = 0; i < 9; i++) {
		expect(r, 201, "POST", "/api/v1/namespaces",
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"n%d\"}}", i));
		expect(r, 201, "POST", arena_printf(&r->arena, "/api/v1/namespaces/n%d/configmaps", i),
		       "{\"metadata\":{\"name\":\"x\"}}");
	}
	for (int part = 0; part < PARTS; part++) {
		const struct val *l = expect(r, 200, "GET", query(r, "/api/v1/configmaps", "namespace", part), NULL);

		VAL_EACH(val_get(l, F_items), o)
			assert_int_equal(part_of(val_get_str(o, F_metadata, F_namespace)), part);
		n += (int)val_len(val_get(l, F_items));
		/* What is in no namespace has "", whose hash begins with cbf. */
		l = expect(r, 200, "GET", query(r, "/api/v1/namespaces", "namespace", part), NULL);
		assert_int_equal(val_len(val_get(l, F_items)) > 0, part == 2);
		whole += (int)val_len(val_get(l, F_items));
	}
	assert_int_equal(n, (int)val_len(val_get(expect(r, 200, "GET", "/api/v1/configmaps", NULL), F_items)));
	assert_int_equal(whole, (int)val_len(val_get(expect(r, 200, "GET", "/api/v1/namespaces", NULL), F_items)));
}

/* Several ranges are one selector, told as it was understood. */
static void test_several_ranges(void **state)
{
	struct rig *r = *state;
	const struct val *l;

	make(r, 30);
	l = expect(r, 200, "GET",
		   CM "?shardSelector=shardRange(object.metadata.uid,'0xb000000000000000','0x10000000000000000')%7C%7C"
		      "(shardRange(object.metadata.uid,'0x0000000000000000','0x5000000000000000'))",
		   NULL);
	assert_val(val_get(l, F_metadata, F_shardInfo, F_selector),
		   arena_printf(&r->arena, "%s || %s", words(r, "uid", 2), words(r, "uid", 0)));
	VAL_EACH(val_get(l, F_items), o)
		assert_int_not_equal(part_of(val_get_str(o, F_metadata, F_uid)), 1);
	assert_int_equal(val_len(val_get(l, F_items)) + (size_t)count_part(r, CM, 1, NULL, "items", true), 30);
}

static void test_protobuf(void **state)
{
	struct rig *r = *state;
	int n = 0;

	make(r, 20);
	for (int part = 0; part < PARTS; part++) {
		_cleanup_(err_release) struct err err = ERR_INIT;
		struct answer *a = api(r, "GET", query(r, CM, "uid", part), .accept = PROTOBUF_MEDIA_TYPE);
		const struct val *l =
		    protobuf_decode(&r->arena, arena_sv(&r->arena, buf_sv(&a->body)), SV("v1"), SV(""), NULL, &err);

		assert_non_null(l);
		assert_val(val_get(l, F_metadata, F_shardInfo, F_selector), words(r, "uid", part));
		n += (int)val_len(val_get(l, F_items));
		answer_free(a);
	}
	assert_int_equal(n, 20);
}

/* One watch a part: every change is in one of them, and one that leaves the labels is DELETED there. */
static void watch_all(struct rig *r, const char *query_more)
{
	static const char *const types[] = { "ADDED", "MODIFIED", "DELETED", "ADDED", "DELETED" };
	struct answer *w[PARTS];
	size_t seen = 0;

	for (int part = 0; part < PARTS; part++) {
		w[part] = api(
		    r, "GET",
		    query(r, arena_printf(&r->arena, CM "?watch=1&labelSelector=l%%3Dx%s", query_more), "uid", part));
		assert_true(w[part]->streaming);
	}
	for (int i = 0; i < 12; i++) {
		const char *path = arena_printf(&r->arena, CM "/w%02d", i);

		expect(r, 201, "POST", CM,
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"w%02d\",\"labels\":{\"l\":\"x\"}}}", i));
		expect_type(r, 200, "PATCH", path, "application/merge-patch+json", "{\"data\":{\"a\":\"b\"}}");
		expect_type(r, 200, "PATCH", path, "application/merge-patch+json",
			    "{\"metadata\":{\"labels\":{\"l\":\"y\"}}}");
		expect_type(r, 200, "PATCH", path, "application/merge-patch+json",
			    "{\"metadata\":{\"labels\":{\"l\":\"x\"}}}");
		expect(r, 200, "DELETE", path, NULL);
	}
	rig_run(r, 0);
	for (int part = 0; part < PARTS; part++) {
		size_t n = stream_lines(w[part]);

		for (size_t i = 0; i < n; i++) {
			const struct val *e = stream_line(w[part], i);

			assert_val(val_get(e, F_type), types[i % ARRAY_LEN(types)]);
			assert_int_equal(part_of(val_get_str(e, F_object, F_metadata, F_uid)), part);
		}
		assert_int_equal(n % ARRAY_LEN(types), 0);
		seen += n;
		answer_gone(w[part]);
	}
	assert_int_equal(seen, 12 * ARRAY_LEN(types));
}

static void test_watches(void **state)
{
	watch_all(*state, "");
	/* The same words of labels with and without a part are not the same watch. */
	watch_all(*state, "&timeoutSeconds=1000");
}

/* What there is at first: the part of it; then a bookmark, in each. */
static void test_watch_list(void **state)
{
	struct rig *r = *state;
	size_t n = 0;

	make(r, 20);
	for (int part = 0; part < PARTS; part++) {
		struct answer *a = api(r, "GET",
				       query(r,
					     CM "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&"
						"allowWatchBookmarks=true",
					     "uid", part));
		size_t lines = stream_lines(a);
		const struct val *end = stream_line(a, lines - 1);

		for (size_t i = 0; i + 1 < lines; i++)
			assert_int_equal(part_of(val_get_str(stream_line(a, i), F_object, F_metadata, F_uid)), part);
		assert_val(val_get(end, F_type), "BOOKMARK");
		assert_val(
		    val_member_sv(val_get(end, F_object, F_metadata, F_annotations), SV("k8s.io/initial-events-end")),
		    "true");
		n += lines - 1;
		answer_gone(a);
	}
	assert_int_equal(n, 20);
}

static void test_deletecollection(void **state)
{
	struct rig *r = *state;
	const struct val *l;
	int gone;

	make(r, 30);
	l = expect(r, 200, "DELETE", query(r, CM, "uid", 1), NULL);
	assert_val(val_get(l, F_metadata, F_shardInfo, F_selector), words(r, "uid", 1));
	gone = (int)val_len(val_get(l, F_items));
	assert_true(gone > 0);
	assert_int_equal(count_part(r, CM, 1, NULL, "items", true), 0);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM, NULL), F_items)), 30 - (size_t)gone);
}

static void test_custom(void **state)
{
	struct rig *r = *state;
	int n = 0;

	expect(r, 201, "POST", CRDS,
	       "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\",\"metadata\":{"
	       "\"name\":\"foos.ex.com\"},\"spec\":{\"group\":\"ex.com\",\"scope\":\"Namespaced\",\"names\":{"
	       "\"plural\":\"foos\",\"kind\":\"Foo\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
	       "\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}},{\"name\":\"v2\",\"served\":true,\"storage\":"
	       "false,\"schema\":{\"openAPIV3Schema\":{\"type\":\"object\"}}}]}}");
	rig_run(r, NS_PER_SEC);
	for (int i = 0; i < 12; i++)
		expect(r, 201, "POST", FOOS,
		       arena_printf(&r->arena,
				    "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f%02d\"}}",
				    i));
	for (int part = 0; part < PARTS; part++) {
		int one = count_part(r, FOOS, part, NULL, "items", true);

		/* The other version has the same parts. */
		assert_int_equal(count_part(r, "/apis/ex.com/v2/foos", part, NULL, "items", true), one);
		n += one;
	}
	assert_int_equal(n, 12);
}

int main(void)
{
#define ON(f) cmocka_unit_test_setup_teardown(f, gate_on, gate_reset)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_off, rig_setup, rig_teardown),
		ON(test_refused),
		ON(test_lists),
		ON(test_pages),
		ON(test_namespaces),
		ON(test_several_ranges),
		ON(test_protobuf),
		ON(test_watches),
		ON(test_watch_list),
		ON(test_deletecollection),
		ON(test_custom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
