/* Lists: selectors, pages, revisions, forms. */
#include "harness.h"
#include "everything.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"

static void make(struct rig *r, int n)
{
	char body[160];

	for (int i = 0; i < n; i++) {
		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"c%02d\",\"labels\":{\"mod\":\"%d\"}}}", i,
			       i % 3);
		expect(r, 201, "POST", CM, body);
	}
}

static void test_plain(void **state)
{
	struct rig *r = *state;
	const struct val *l;

	make(r, 5);
	l = expect(r, 200, "GET", CM, NULL);
	assert_val(val_get(l, F_kind), "ConfigMapList");
	assert_val(val_get(l, F_apiVersion), "v1");
	assert_int_equal(val_len(val_get(l, F_items)), 5);
	assert_true(rev_of(l) > 0);
	assert_null(val_get(l, F_metadata, F_continue));
	/* The list says what its items are; they do not say it again. */
	assert_null(val_get(val_at(val_get(l, F_items), 0), F_kind));
	assert_val(val_get(val_at(val_get(l, F_items), 0), F_metadata, F_name), "c00");
	l = expect(r, 200, "GET", "/api/v1/configmaps", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 5);
	l = expect(r, 200, "GET", "/api/v1/namespaces/other/configmaps", NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 0);
}

static void test_order(void **state)
{
	/* Keys order as "namespace/name": '-' comes before '/'. */
	static const char *const names[] = { "a", "a-b", "a0" };
	static const char *const wanted[] = { "a-b", "a", "a0" };
	struct rig *r = *state;
	const struct val *l;
	char body[96], path[96];

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"%s\"}}", names[i]);
		expect(r, 201, "POST", "/api/v1/namespaces", body);
		(void)snprintf(path, sizeof(path), "/api/v1/namespaces/%s/configmaps", names[i]);
		expect(r, 201, "POST", path, "{\"metadata\":{\"name\":\"x\"}}");
	}
	l = expect(r, 200, "GET", "/api/v1/configmaps", NULL);
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++)
		assert_val(val_get(val_at(val_get(l, F_items), i), F_metadata, F_namespace), wanted[i]);
}

#define PCS "/apis/scheduling.k8s.io/v1/priorityclasses"

static void test_selectors(void **state)
{
	static const struct {
		const char *path;
		bool some;
	} nowhere[] = {
		{ PCS "?fieldSelector=metadata.namespace%3Dx", false },
		{ PCS "?fieldSelector=metadata.namespace%3D", true },
		{ PCS "?fieldSelector=metadata.namespace!%3Dx", true },
	};
	struct rig *r = *state;

	make(r, 9);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM "?labelSelector=mod%3D1", NULL), F_items)), 3);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM "?labelSelector=mod%20in%20(0,2)", NULL), F_items)),
			 6);
	assert_int_equal(
	    val_len(val_get(expect(r, 200, "GET", CM "?fieldSelector=metadata.name%3Dc04", NULL), F_items)), 1);
	assert_int_equal(
	    val_len(val_get(expect(r, 200, "GET", CM "?fieldSelector=metadata.name!%3Dc04", NULL), F_items)), 8);
	/* Of one field several: what they come to. */
	assert_int_equal(val_len(val_get(expect(r, 200, "GET",
						CM "?fieldSelector=metadata.name!%3Dc05,metadata.name!%3Dc04,"
						   "metadata.namespace!%3Dx,metadata.name!%3Dc05,metadata.name!%3Dc00",
						NULL),
					 F_items)),
			 6);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET",
						CM "?fieldSelector=metadata.name%3Dc04,metadata.name%3Dc04,"
						   "metadata.name!%3Dc05",
						NULL),
					 F_items)),
			 1);
	assert_int_equal(
	    val_len(val_get(expect(r, 200, "GET", CM "?fieldSelector=metadata.name%3Dc04,metadata.name%3Dc05", NULL),
			    F_items)),
	    0);
	/* What is in no namespace can be asked for one, but kinds with fields of their own take those only. */
	expect(r, 201, "POST", PCS, "{\"metadata\":{\"name\":\"p\"},\"value\":1}");
	for (size_t i = 0; i < ARRAY_LEN(nowhere); i++)
		assert_int_equal(val_len(val_get(expect(r, 200, "GET", nowhere[i].path, NULL), F_items)) > 0,
				 nowhere[i].some);
	expect_status(r, 400, "BadRequest", "field label not supported: metadata.namespace",
		      &(struct ask){ .method = "GET", .path = "/api/v1/nodes?fieldSelector=metadata.namespace%3Dx" });
	expect_status(r, 400, "BadRequest",
		      "\"spec.x\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"",
		      &(struct ask){ .method = "GET", .path = CM "?fieldSelector=spec.x%3D1" });
	expect_status(r, 400, "BadRequest", "",
		      &(struct ask){ .method = "GET", .path = CM "?labelSelector=a%20in%20(" });
	expect_status(r, 400, "BadRequest", "", &(struct ask){ .method = "GET", .path = CM "?fieldSelector=nonsense" });
}

/* Few objects may be much to look into: that is no work for a loop. To refer to them is. */
static void test_few_and_large(void **state)
{
	static const struct {
		const char *query, *accept;
		bool refers;
	} all[] = { { "", NULL, true },
		    { "?limit=2", NULL, true },
		    { "?labelSelector=a%3Db", NULL, false },
		    { "?fieldSelector=metadata.name%3Dc01", NULL, false },
		    { "", TABLE, false } };
	struct rig *r = *state;
	char *large = xcalloc(1, 1000001);

	memset(large, 'x', 1000000);
	for (int i = 0; i < 10; i++) {
		_cleanup_free_ char *json =
		    xasprintf("{\"metadata\":{\"name\":\"c0%d\"},\"data\":{\"k\":\"%s\"}}", i, large);

		expect(r, 201, "POST", CM, json);
	}
	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < ARRAY_LEN(all); i++) {
			struct answer *a;
			char path[128];

			(void)snprintf(path, sizeof(path), CM "%s", all[i].query);
			env_sim_hold(r->env, ENV_REQUESTS);
			a = api_start(
			    r, &(struct ask){ .method = "GET", .path = path, .accept = all[i].accept, .loop = true });
			if (a->answers != (all[i].refers || round))
				fail_msg("%s, round %d: %d", path, round, a->answers);
			env_sim_release(r->env, ENV_REQUESTS);
			rig_run(r, 0);
			assert_int_equal(a->code, 200);
			answer_free(a);
		}
		/* Some go, and others become small. */
		for (int i = 0; !round && i < 10; i++) {
			_cleanup_free_ char *path = xasprintf(CM "/c0%d", i);

			if (i % 2)
				expect(r, 200, "DELETE", path, NULL);
			else
				expect_type(r, 200, "PATCH", path, "application/merge-patch+json", "{\"data\":null}");
		}
	}
	free(large);
}

/* Walks all pages; returns the number of items and checks that none repeats. */
static int walk(struct rig *r, const char *query, int limit)
{
	struct sv cont = SV_NULL;
	char path[2048], last[64] = "";
	int total = 0, pages = 0;

	do {
		const struct val *l, *items;

		(void)snprintf(path, sizeof(path), "%s?limit=%d%s%s%.*s", CM, limit, query, cont.n ? "&continue=" : "",
			       SV_ARG(cont));
		l = expect(r, 200, "GET", path, NULL);
		items = val_get(l, F_items);
		assert_true(val_len(items) <= (size_t)limit);
		VAL_EACH(items, o) {
			char *name = arena_cstr(&r->arena, val_get_str(o, F_metadata, F_name));

			assert_true(strcmp(name, last) > 0);
			(void)snprintf(last, sizeof(last), "%s", name);
			total++;
		}
		cont = val_get_str(l, F_metadata, F_continue);
		assert_true(++pages < 100);
	} while (cont.n);
	return total;
}

static void test_pages(void **state)
{
	struct rig *r = *state;
	const struct val *l;
	char path[512];
	struct sv cont;

	make(r, 10);
	assert_int_equal(walk(r, "", 3), 10);
	assert_int_equal(walk(r, "", 10), 10);
	assert_int_equal(walk(r, "", 1), 10);
	assert_int_equal(walk(r, "&labelSelector=mod%3D0", 2), 4);
	l = expect(r, 200, "GET", CM "?limit=4", NULL);
	assert_int_equal(val_get_int(l, -1, F_metadata, F_remainingItemCount), 6);
	cont = val_get_str(l, F_metadata, F_continue);

	/* The next page belongs to the same moment, whatever happens in between. */
	expect(r, 200, "DELETE", CM "/c05", NULL);
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"c045\"}}");
	(void)snprintf(path, sizeof(path), CM "?limit=20&continue=%.*s", SV_ARG(cont));
	l = expect(r, 200, "GET", path, NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 6);
	assert_val(val_get(val_at(val_get(l, F_items), 1), F_metadata, F_name), "c05");
	expect_status(r, 400, "BadRequest", "continue key is not valid",
		      &(struct ask){ .method = "GET", .path = CM "?continue=!!" });
	expect_status(r, 400, "BadRequest", "continue key is not valid",
		      &(struct ask){ .method = "GET", .path = CM "?continue=e30" });
}

static void test_lost_page(void **state)
{
	struct rig *r = *state;
	const struct val *l;
	struct answer *a;
	char path[1024];
	struct sv cont;

	make(r, 6);
	l = expect(r, 200, "GET", CM "?limit=2", NULL);
	cont = val_get_str(l, F_metadata, F_continue);
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"late\"}}");
	rig_run(r, 11 * 60 * NS_PER_SEC); /* compaction */
	(void)snprintf(path, sizeof(path), CM "?limit=2&continue=%.*s", SV_ARG(cont));
	a = api(r, "GET", path);
	assert_int_equal(a->code, 410);
	assert_val(val_get(a->json, F_reason), "Expired");
	cont = val_get_str(a->json, F_metadata, F_continue);
	assert_true(cont.n > 0);
	/* The token offered goes on from the same key, at today's state. */
	(void)snprintf(path, sizeof(path), CM "?continue=%.*s", SV_ARG(cont));
	l = expect(r, 200, "GET", path, NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 5);
	answer_free(a);
}

static void test_revisions(void **state)
{
	struct rig *r = *state;
	const struct val *l;
	char path[256];
	int64_t then;

	make(r, 3);
	then = rev_of(expect(r, 200, "GET", CM, NULL));
	expect(r, 200, "DELETE", CM "/c00", NULL);
	(void)snprintf(path, sizeof(path), CM "?resourceVersion=%d&resourceVersionMatch=Exact", (int)then);
	l = expect(r, 200, "GET", path, NULL);
	assert_int_equal(val_len(val_get(l, F_items)), 3);
	assert_int_equal(rev_of(l), then);
	(void)snprintf(path, sizeof(path), CM "?resourceVersion=%d&resourceVersionMatch=NotOlderThan", (int)then);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", path, NULL), F_items)), 2);
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM "?resourceVersion=0", NULL), F_items)), 2);
	expect_status(r, 504, "Timeout", "Too large resource version: 999999, current: ",
		      &(struct ask){ .method = "GET", .path = CM "?resourceVersion=999999" });
	expect_status(r, 400, "BadRequest", "resourceVersion: Invalid value: \"x\"",
		      &(struct ask){ .method = "GET", .path = CM "?resourceVersion=x" });
	expect_status(r, 422, "Invalid", "resourceVersionMatch is forbidden unless resourceVersion is provided",
		      &(struct ask){ .method = "GET", .path = CM "?resourceVersionMatch=Exact" });
	expect_status(r, 422, "Invalid", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
		      &(struct ask){ .method = "GET", .path = CM "?resourceVersionMatch=Exact&resourceVersion=0" });
}

/* The text of a list, whatever has happened to some of what was in it, to names between them, or to another namespace.
 */
static void test_past_as_it_was(void **state)
{
	_cleanup_(buf_release) struct buf was = BUF_INIT, then_path = BUF_INIT;
	struct rig *r = *state;
	struct answer *a;
	char path[64], body[96];

	make(r, 40);
	a = api(r, "GET", CM);
	buf_addsv(&was, buf_sv(&a->body));
	buf_printf(&then_path, CM "?resourceVersionMatch=Exact&resourceVersion=%d", (int)rev_of(api_json(a)));
	answer_free(a);
	for (int i = 0; i < 40; i++) {
		(void)snprintf(path, sizeof(path), CM "/c%02d", i);
		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"c%02d-a\"}}", i);
		if (i % 3 == 0)
			expect_type(r, 200, "PATCH", path, "application/merge-patch+json",
				    "{\"data\":{\"changed\":\"1\"}}");
		if (i % 5 == 0)
			expect(r, 200, "DELETE", path, NULL);
		if (i % 7 == 0)
			expect(r, 201, "POST", CM, body);
	}
	a = api(r, "GET", buf_cstr(&then_path));
	assert_sv(buf_sv(&a->body), buf_cstr(&was));
	answer_free(a);
	buf_adds(&then_path, "&labelSelector=nobody");
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", buf_cstr(&then_path), NULL), F_items)), 0);
}

/* The store's history may be on a disk: the thread of the request is back before it is read, also when the client has
 * gone meanwhile or there are many. */
static void test_past_later(void **state)
{
	struct rig *r = *state;
	struct answer *a[20];
	char path[256];
	int64_t then;

	make(r, 3);
	then = rev_of(expect(r, 200, "GET", CM, NULL));
	expect(r, 200, "DELETE", CM "/c00", NULL);
	(void)snprintf(path, sizeof(path), CM "?resourceVersion=%d&resourceVersionMatch=Exact", (int)then);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		a[i] = api_start(r, &(struct ask){ .method = "GET", .path = path, .loop = true });
		assert_int_equal(a[i]->answers, 0);
	}
	expect(r, 200, "DELETE", CM "/c01", NULL);
	rig_run(r, 0);
	for (size_t i = 0; i < ARRAY_LEN(a); i++) {
		assert_int_equal(a[i]->code, 200);
		assert_int_equal(val_len(val_get(api_json(a[i]), F_items)), 3);
		answer_free(a[i]);
	}
	/* What memory has is answered at once. */
	a[0] = api_start(r, &(struct ask){ .method = "GET", .path = CM, .loop = true });
	assert_int_equal(a[0]->answers, 1);
	answer_free(a[0]);
}

static const struct store_ops *whole_ops;

static int range_breaks(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
			void *ctx, int64_t *ret_rev, struct err *err)
{
	(void)limit;
	(void)whole_ops->range(s, from, to, rev, 2, fn, ctx, ret_rev, err);
	return err_set(err, ERR_STORE_READ, "the disk gives no more");
}

/* History ends in the middle: what had been read of it goes (only a leak checker sees that it does). */
static void test_past_breaks(void **state)
{
	struct rig *r = *state;
	struct store_ops ops = *r->store->ops;
	char path[256];
	int64_t then;

	make(r, 3);
	then = rev_of(expect(r, 200, "GET", CM, NULL));
	expect(r, 200, "DELETE", CM "/c00", NULL);
	(void)snprintf(path, sizeof(path), CM "?resourceVersion=%d&resourceVersionMatch=Exact", (int)then);
	whole_ops = r->store->ops;
	ops.range = range_breaks;
	r->store->ops = &ops;
	expect(r, 500, "GET", path, NULL);
	r->store->ops = whole_ops;
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", path, NULL), F_items)), 3);
}

#define PARTIAL(list, v) "application/json;as=PartialObjectMetadata" list ";v=" v ";g=meta.k8s.io"

static void test_forms(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	const struct val *cols, *row;

	make(r, 2);
	a = api(r, "GET", CM, .accept = TABLE);
	assert_val(val_get(a->json, F_kind), "Table");
	assert_val(val_get(a->json, F_apiVersion), "meta.k8s.io/v1");
	cols = val_get(a->json, F_columnDefinitions);
	assert_val(val_get(val_at(cols, 0), F_name), "Name");
	assert_val(val_get(val_at(cols, 0), F_format), "name");
	row = val_at(val_get(a->json, F_rows), 1);
	assert_int_equal(val_len(val_get(row, F_cells)), val_len(cols));
	assert_val(val_at(val_get(row, F_cells), 0), "c01");
	assert_val(val_get(row, F_object, F_kind), "PartialObjectMetadata");
	answer_free(a);
	a = api(r, "GET", CM "?includeObject=None", .accept = TABLE);
	row = val_at(val_get(a->json, F_rows), 0);
	assert_non_null(val_get(row, F_object)); /* there, and null */
	assert_int_equal(val_type(val_get(row, F_object)), VAL_NULL);
	assert_int_equal(val_at(val_get(row, F_cells), 1)->type, VAL_INT);
	answer_free(a);
	a = api(r, "GET", CM "?includeObject=Object", .accept = TABLE);
	assert_val(val_get(val_at(val_get(a->json, F_rows), 0), F_object, F_kind), "ConfigMap");
	answer_free(a);
	a = api(r, "GET", CM, .accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
	assert_val(val_get(a->json, F_kind), "PartialObjectMetadataList");
	assert_null(val_get(val_at(val_get(a->json, F_items), 0), F_data));
	answer_free(a);
	expect_status(r, 400, "BadRequest", "strconv.ParseInt: parsing \"x\": invalid syntax",
		      &(struct ask){ .method = "GET", .path = CM "?limit=x" });
	expect_status(r, 400, "BadRequest", "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
		      &(struct ask){ .method = "GET", .path = CM "?limit=99999999999999999999" });
	expect_status(r, 400, "BadRequest", "strconv.ParseInt: parsing \"1.5\": invalid syntax",
		      &(struct ask){ .method = "DELETE", .path = CM "/c00?gracePeriodSeconds=1.5" });
	expect_status(r, 400, "BadRequest", "strconv.ParseInt: parsing \"-\": invalid syntax",
		      &(struct ask){ .method = "GET", .path = CM "?watch=1&timeoutSeconds=-" });
	/* One object's metadata and a list's have names of their own. */
	expect_status(r, 406, "NotAcceptable",
		      "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)",
		      &(struct ask){ .method = "GET", .path = CM, .accept = PARTIAL("", "v1") ",application/json" });
	expect_status(
	    r, 406, "NotAcceptable",
	    "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)",
	    &(struct ask){ .method = "GET", .path = CM "/c00", .accept = PARTIAL("List", "v1beta1") });
	expect_status(r, 406, "NotAcceptable", "is a list (*rbac.ClusterRoleList)",
		      &(struct ask){ .method = "GET",
				     .path = "/apis/rbac.authorization.k8s.io/v1/clusterroles",
				     .accept = PARTIAL("", "v1") });
	expect_status(
	    r, 406, "NotAcceptable", "is a list (*core.EventList)",
	    &(struct ask){ .method = "GET", .path = "/apis/events.k8s.io/v1/events", .accept = PARTIAL("", "v1") });
	a = api(r, "GET", CM "/c00", .accept = PARTIAL("", "v1"));
	assert_val(val_get(a->json, F_kind), "PartialObjectMetadata");
	answer_free(a);
	expect_status(r, 406, "NotAcceptable", "406: Not Acceptable",
		      &(struct ask){ .method = "GET", .path = CM, .accept = "text/html" });
	/* No watch can be in YAML, not even when there was something else to fall back on. */
	expect_status(r, 406, "NotAcceptable",
		      "only the following media types are accepted: application/json;stream=watch",
		      &(struct ask){ .method = "GET",
				     .path = CM "?watch=1&timeoutSeconds=1",
				     .accept = "application/yaml,application/json;q=0.5" });
	expect_status(r, 406, "NotAcceptable", "406: Not Acceptable",
		      &(struct ask){ .method = "GET", .path = CM, .accept = "application/*" });
	expect_status(
	    r, 406, "NotAcceptable", "only the following media types are accepted",
	    &(struct ask){ .method = "GET", .path = CM, .accept = "application/json;as=Nope;g=meta.k8s.io;v=v1" });
	a = api(r, "GET", CM "/c01", .accept = "application/json;q=0.1,application/yaml");
	assert_string_equal(a->content_type, "application/yaml");
	answer_free(a);
	a = api(r, "GET", CM, .accept = "application/json;as=Table;v=v1beta1;g=meta.k8s.io");
	assert_val(val_get(a->json, F_apiVersion), "meta.k8s.io/v1beta1");
	answer_free(a);
	a = api(r, "GET", CM, .accept = "application/vnd.kubernetes.protobuf,application/json");
	assert_int_equal(a->code, 200);
	answer_free(a);
}

/* As clients in other languages write a boolean: Python's says watch=False of every list. */
static void test_flags(void **state)
{
	static const char *const no[] = { "false", "False", "0" };
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(no); i++) {
		char path[256];
		struct answer *a;

		(void)snprintf(path, sizeof(path), CM "?watch=%s&pretty=%s", no[i], no[i]);
		a = api(r, "GET", path);
		assert_int_equal(a->code, 200);
		assert_val(val_get(a->json, F_kind), "ConfigMapList");
		assert_true(sv_starts(buf_sv(&a->body), SV("{\"kind\"")));
		answer_free(a);
	}
	for (size_t i = 0; i < 2; i++) {
		struct answer *a = api(r, "GET", i ? CM "?pretty=True" : CM "?pretty=true");

		assert_true(sv_starts(buf_sv(&a->body), SV("{\n  \"kind\"")));
		answer_free(a);
	}
}

static void test_every_kind_lists(void **state)
{
	struct rig *r = *state;
	char path[256];

	for (size_t i = 0; i < resource_count; i++) {
		const struct resource *res = &resource_all[i];
		struct answer *a;

		if (!(res->verbs & (1u << VERB_LIST)) || !(res->verbs & (1u << VERB_WATCH)))
			continue;
		(void)snprintf(path, sizeof(path), "%s%s/%s/%s", *res->group ? "/apis/" : "/api", res->group,
			       res->version, res->plural);
		a = api(r, "GET", path);
		assert_int_equal(a->code, 200);
		assert_val(val_get(a->json, F_kind), res->list_kind);
		answer_free(a);
		a = api(r, "GET", path, .accept = TABLE);
		assert_int_equal(a->code, 200);
		VAL_EACH(val_get(a->json, F_rows), row)
			assert_int_equal(val_len(val_get(row, F_cells)),
					 val_len(val_get(a->json, F_columnDefinitions)));
		answer_free(a);
	}
}

/* What STATUS says of a pod, and READY. */
static void test_rows_of_pods(void **state)
{
#define POD(name, inits)                                                             \
	"{\"metadata\":{\"name\":\"" name "\"},\"spec\":{\"initContainers\":[" inits \
	"],\"containers\":[{\"name\":\"c\","                                         \
	"\"image\":\"i\"}]}}"
#define I1 "{\"name\":\"i\",\"image\":\"i\"}"
#define SIDE "{\"name\":\"s\",\"image\":\"i\",\"restartPolicy\":\"Always\"}"
#define DONE "{\"terminated\":{\"exitCode\":0,\"reason\":\"Completed\"}}"
#define SAID(name, state, more) "{\"name\":\"" name "\",\"image\":\"i\",\"imageID\":\"i\",\"state\":" state more "}"
	static const struct {
		const char *name, *pod, *status, *ready, *says;
	} rows[] = {
		{ "a", POD("a", I1), "{}", "0/1", "Pending" }, /* nobody has it yet */
		{ "b", POD("b", I1 "," SIDE),
		  "{\"initContainerStatuses\":[" SAID("i", "{\"waiting\":{\"reason\":\"PodInitializing\"}}", "") "]}",
		  "0/2", "Init:0/2" },
		{ "d", POD("d", I1 "," SIDE),
		  "{\"initContainerStatuses\":[" SAID("i", DONE, "") "," SAID("s", "{\"running\":{}}", "") "]}", "0/2",
		  "Init:1/2" },
		{ "e", POD("e", I1),
		  "{\"initContainerStatuses\":[" SAID("i", "{\"waiting\":{\"reason\":\"CrashLoopBackOff\"}}", "") "]}",
		  "0/1", "Init:CrashLoopBackOff" },
		{ "f", POD("f", I1),
		  "{\"initContainerStatuses\":[" SAID("i", "{\"terminated\":{\"exitCode\":3}}", "") "]}", "0/1",
		  "Init:ExitCode:3" },
		{ "g", POD("g", SIDE),
		  "{\"phase\":\"Running\",\"initContainerStatuses\":[" SAID(
		      "s", "{\"running\":{}}",
		      ",\"started\":true,\"ready\":true") "],"
							  "\"containerStatuses\":[" SAID("c", "{\"running\":{}}",
											 ",\"ready\":true") "]}",
		  "2/2", "Running" },
		{ "h", POD("h", ""),
		  "{\"phase\":\"Running\",\"containerStatuses\":[" SAID(
		      "c", "{\"waiting\":{\"reason\":\"ImagePullBackOff\"}}", "") "]}",
		  "0/1", "ImagePullBackOff" },
	};
	struct rig *r = *state;

	expect(r, 201, "POST", "/api/v1/namespaces/default/serviceaccounts", "{\"metadata\":{\"name\":\"default\"}}");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *path = arena_printf(&r->arena, "/api/v1/namespaces/default/pods/%s", rows[i].name);
		const struct val *cells;
		struct answer *a;

		expect(r, 201, "POST", "/api/v1/namespaces/default/pods", rows[i].pod);
		expect_type(r, 200, "PATCH", arena_printf(&r->arena, "%s/status", path), "application/merge-patch+json",
			    arena_printf(&r->arena, "{\"status\":%s}", rows[i].status));
		a = api(r, "GET",
			arena_printf(&r->arena, "/api/v1/namespaces/default/pods?fieldSelector=metadata.name=%s",
				     rows[i].name),
			.accept = TABLE);
		cells = val_get(val_at(val_get(a->json, F_rows), 0), F_cells);
		assert_val(val_at(cells, 1), rows[i].ready);
		assert_val(val_at(cells, 2), rows[i].says);
		answer_free(a);
	}
}

static void each_in_order(const struct val *list, size_t n, const char *label)
{
	struct sv last = SV("");

	assert_int_equal(val_len(val_get(list, F_items)), n);
	VAL_EACH(val_get(list, F_items), o) {
		assert_val(val_member_sv(val_get(o, F_metadata, F_labels), SV("l")), label);
		assert_true(sv_cmp(last, val_get_str(o, F_metadata, F_name)) < 0);
		last = val_get_str(o, F_metadata, F_name);
	}
}

/* Selecting from many objects is done in pieces: others have their turn between, and what changes meanwhile does not
 * show. */
static void test_selected_in_pieces(void **state)
{
	enum { N = 12000, RARE = 10 };
	struct rig *r = *state;
	const struct val *l;
	struct answer *a;
	char body[160];
	int64_t rev;

	for (int i = 0; i < N; i++) {
		(void)snprintf(body, sizeof(body), "{\"metadata\":{\"name\":\"c%05d\",\"labels\":{\"l\":\"%s\"}}}", i,
			       i % RARE ? "common" : "rare");
		expect(r, 201, "POST", CM, body);
		arena_reset(&r->arena);
	}
	rev = rev_of(expect(r, 200, "GET", CM "?limit=1", NULL));
	a = api_start(r, &(struct ask){ .method = "GET", .path = CM "?labelSelector=l%3Drare" });
	assert_int_equal(a->answers, 0);
	expect(r, 200, "DELETE", CM "/c11990", NULL);
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"c99999\",\"labels\":{\"l\":\"rare\"}}}");
	for (int i = 0; i < 100 && !a->answers; i++)
		rig_run(r, NS_PER_MS);
	l = api_json(a);
	assert_true(rev_of(l) == rev);
	each_in_order(l, N / RARE, "rare");
	answer_free(a);
	each_in_order(expect(r, 200, "GET", CM "?labelSelector=l%3Drare", NULL), N / RARE, "rare");
	/* Cut off in the pieces, and in what comes before them. */
	l = expect(r, 200, "GET", CM "?labelSelector=l%3Drare&limit=700", NULL);
	each_in_order(l, 700, "rare");
	assert_true(val_get_str(l, F_metadata, F_continue).n > 0);
	l = expect(r, 200, "GET",
		   arena_printf(&r->arena, CM "?labelSelector=l%%3Drare&limit=700&continue=%.*s",
				SV_ARG(val_get_str(l, F_metadata, F_continue))),
		   NULL);
	each_in_order(l, N / RARE - 700, "rare");
	assert_int_equal(val_get_str(l, F_metadata, F_continue).n, 0);
	each_in_order(expect(r, 200, "GET", CM "?labelSelector=l%3Dcommon&limit=20", NULL), 20, "common");
	/* As many as there are, and one fewer. */
	l = expect(r, 200, "GET", CM "?labelSelector=l%3Drare&limit=1200", NULL);
	assert_int_equal(val_get_str(l, F_metadata, F_continue).n, 0);
	l = expect(r, 200, "GET", CM "?labelSelector=l%3Drare&limit=1199", NULL);
	assert_true(val_get_str(l, F_metadata, F_continue).n > 0);
	each_in_order(expect(r, 200, "GET", CM "?labelSelector=l%3Dnone", NULL), 0, "");
	/* A collection goes in portions, and has one answer. */
	expect(r, 200, "DELETE", CM "?labelSelector=l%3Drare", NULL);
	each_in_order(expect(r, 200, "GET", CM "?labelSelector=l%3Drare", NULL), 0, "");
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM, NULL), F_items)), N - N / RARE);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_plain),	      T(test_order),
		T(test_selectors),    T(test_few_and_large),
		T(test_pages),	      T(test_lost_page),
		T(test_revisions),    T(test_past_as_it_was),
		T(test_past_later),   T(test_forms),
		T(test_flags),	      T(test_every_kind_lists),
		T(test_rows_of_pods), T(test_selected_in_pieces),
		T(test_past_breaks),
	};

	everything_on();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
