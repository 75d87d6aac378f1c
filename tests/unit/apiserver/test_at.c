/* ?at=: what there was, in every form; what is refused; what of now counts for then. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/encryption/encryption.h"
#include "apiserver/flow/flow-internal.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define DEP "/apis/apps/v1/namespaces/default/deployments"
#define CRDS "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#define FOOS "/apis/ex.com/%s/namespaces/default/foos"
#define TABLE "application/json;as=Table;v=v1;g=meta.k8s.io"

static const char *path(struct rig *r, const char *base, int64_t rev)
{
	return arena_printf(&r->arena, "%s%sat=%" PRId64, base, strchr(base, '?') ? "&" : "?", rev);
}

static const struct val *at(struct rig *r, int code, const char *base, int64_t rev)
{
	return expect(r, code, "GET", path(r, base, rev), NULL);
}

static void refuse(struct rig *r, int code, const char *reason, const char *part, const char *method, const char *p)
{
	expect_status(r, code, reason, part, &(struct ask){ .method = method, .path = p, .body = "{}" });
}

static int64_t make(struct rig *r, const char *name, const char *more)
{
	return rev_of(
	    expect(r, 201, "POST", CM, arena_printf(&r->arena, "{\"metadata\":{\"name\":\"%s\"%s}}", name, more)));
}

static int64_t merge(struct rig *r, const char *p, const char *body)
{
	return rev_of(expect_type(r, 200, "PATCH", p, "application/merge-patch+json", body));
}

static int64_t drop(struct rig *r, const char *p)
{
	expect(r, 200, "DELETE", p, NULL);
	return rev_of(expect(r, 200, "GET", CM, NULL));
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	int64_t rev = make(r, "c", "");

	refuse(r, 400, "BadRequest", "it is a revision, or a time like", "GET", CM "?at=");
	refuse(r, 400, "BadRequest", "it is a revision, or a time like", "GET", CM "/c?at=yesterday");
	refuse(r, 400, "BadRequest", "it is a revision, or a time like", "GET", CM "/c?at=-1");
	refuse(r, 400, "BadRequest", "it is a revision, or a time like", "GET", CM "/c?at=99999999999999999999");
	refuse(r, 400, "BadRequest", "it is a revision, or a time like", "GET", CM "/c?at=2026-13-01T00:00:00Z");
	refuse(r, 400, "BadRequest", "revisions begin at 1", "GET", CM "?at=0");
	refuse(r, 400, "BadRequest", "is in the future", "GET", path(r, CM, rev + 1));
	refuse(r, 400, "BadRequest", "is in the future", "GET", path(r, CM "/c", rev + 1000000));
	refuse(r, 400, "BadRequest", "is in the future", "GET", CM "?at=2200-01-01T00:00:00Z");
	refuse(r, 410, "Expired", "the history reaches back to revision 1 and to 2026-01-01T00:00:01Z", "GET",
	       CM "?at=2020-01-01T00:00:00Z");
	refuse(r, 410, "Expired", "--history DURATION keeps it for longer", "GET", CM "/c?at=2020-01-01T00:00:00Z");
	refuse(r, 410, "Expired", "is before what is kept", "GET", CM "/c?at=0001-01-01T00:00:00Z");
	refuse(r, 400, "BadRequest", "in the future", "GET", CM "/c?at=9999-12-31T23:59:59Z");
	refuse(r, 400, "BadRequest", "so that resourceVersion cannot", "GET", path(r, CM "?resourceVersion=1", rev));
	refuse(r, 400, "BadRequest", "cannot", "GET", path(r, CM "/c?resourceVersion=0", rev));
	refuse(r, 400, "BadRequest", "", "GET", path(r, CM "?resourceVersion=1&resourceVersionMatch=Exact", rev));
	refuse(r, 400, "BadRequest", "a watch tells what comes", "GET", path(r, CM "?watch=1", rev));
	refuse(r, 400, "BadRequest", "can be read, not written", "POST", path(r, CM, rev));
	refuse(r, 400, "BadRequest", "can be read, not written", "PUT", path(r, CM "/c", rev));
	refuse(r, 400, "BadRequest", "can be read, not written", "DELETE", path(r, CM "/c", rev));
	refuse(r, 400, "BadRequest", "can be read, not written", "DELETE", path(r, CM, rev));
	refuse(r, 400, "BadRequest", "only what is stored has a past", "GET",
	       path(r, "/api/v1/componentstatuses", rev));
	refuse(r, 400, "BadRequest", "only what is stored has a past", "GET",
	       path(r, "/api/v1/namespaces/default/pods/p/log", rev));
	/* Nothing of that was done. */
	assert_int_equal(rev_of(expect(r, 200, "GET", CM "/c", NULL)), rev);
}

/* Who may not read it now may not read what it was. */
static void test_rights(void **state)
{
	struct rig *r = *state;
	int64_t rev = make(r, "c", "");

	expect_status(r, 403, "Forbidden", "cannot get resource",
		      &(struct ask){ .method = "GET", .path = path(r, CM "/c", rev), .user = "eve" });
	expect_status(r, 403, "Forbidden", "cannot list resource",
		      &(struct ask){ .method = "GET", .path = path(r, CM, rev), .user = "eve" });
	/* Nor does he learn how far it reaches. */
	expect_status(r, 403, "Forbidden", "",
		      &(struct ask){ .method = "GET", .path = CM "?at=2020-01-01T00:00:00Z", .user = "eve" });
}

/* A namespace that was deleted and made anew: rights in it are of today's, and show nothing of the other one. */
static void test_another_namespace(void **state)
{
	const char *const all = "/api/v1/namespaces", *const one = "/api/v1/namespaces/t1";
	const char *const cms = "/api/v1/namespaces/t1/configmaps";
	struct rig *r = *state;
	int64_t before, then, gone, again;

	before = rev_of(expect(r, 200, "GET", CM, NULL));
	expect(r, 201, "POST", all, "{\"metadata\":{\"name\":\"t1\"}}");
	then = rev_of(expect(r, 201, "POST", cms, "{\"metadata\":{\"name\":\"c\"}}"));
	merge(r, one, "{\"metadata\":{\"labels\":{\"k\":\"1\"}}}");
	expect(r, 200, "DELETE", arena_printf(&r->arena, "%s/c", cms), NULL);
	/* It is the same one, and was changed since. */
	assert_int_equal(val_len(val_get(at(r, 200, cms, then), F_items)), 1);
	expect(r, 200, "DELETE", one, NULL);
	merge(r, one, "{\"metadata\":{\"finalizers\":null}}");
	expect(r, 200, "PUT", arena_printf(&r->arena, "%s/finalize", one),
	       "{\"metadata\":{\"name\":\"t1\"},\"spec\":{\"finalizers\":[]}}");
	expect(r, 404, "GET", one, NULL);
	gone = rev_of(expect(r, 200, "GET", CM, NULL));
	/* Nobody has a right in it now but who has it everywhere. */
	at(r, 200, arena_printf(&r->arena, "%s/c", cms), then);
	expect(r, 201, "POST", all, "{\"metadata\":{\"name\":\"t1\"}}");
	again = rev_of(expect(r, 201, "POST", cms, "{\"metadata\":{\"name\":\"c\"}}"));
	merge(r, arena_printf(&r->arena, "%s/c", cms), "{\"data\":{\"k\":\"2\"}}");
	refuse(r, 410, "Expired", "was another one", "GET", path(r, cms, then));
	refuse(r, 410, "Expired", "was another one", "GET", path(r, arena_printf(&r->arena, "%s/c", cms), then));
	refuse(r, 410, "Expired", "too old", "GET",
	       arena_printf(&r->arena, "%s?resourceVersionMatch=Exact&resourceVersion=%" PRId64, cms, then));
	assert_int_equal(val_len(val_get(at(r, 200, "/api/v1/configmaps", then), F_items)), 1);
	/* None was there then; and it is today's. */
	assert_int_equal(val_len(val_get(at(r, 200, cms, before), F_items)), 0);
	at(r, 404, arena_printf(&r->arena, "%s/c", cms), gone);
	assert_int_equal(rev_of(at(r, 200, arena_printf(&r->arena, "%s/c", cms), again)), again);
}

/* What nodes may read is what their Pods name today. */
static void test_nodes(void **state)
{
	const struct sv nodes = SV("system:nodes");
	struct rig *r = *state;
	int64_t rev;

	expect(r, 201, "POST", "/api/v1/nodes", "{\"metadata\":{\"name\":\"n\"}}");
	rev = rev_of(expect(r, 200, "GET", "/api/v1/nodes/n", NULL));
	expect_status(r, 403, "Forbidden", "nodes have no use for the past",
		      &(struct ask){ .method = "GET",
				     .path = path(r, "/api/v1/nodes/n", rev),
				     .user = "system:node:n",
				     .groups = &nodes,
				     .n_groups = 1 });
}

static void test_one(void **state)
{
	struct rig *r = *state;
	int64_t before = rev_of(expect(r, 200, "GET", CM, NULL)), a = make(r, "c", ""), b, gone, c;
	const struct val *o;

	b = merge(r, CM "/c", "{\"data\":{\"k\":\"2\"}}");
	gone = drop(r, CM "/c");
	c = make(r, "c", ",\"labels\":{\"again\":\"1\"}");
	at(r, 404, CM "/c", before);
	o = at(r, 200, CM "/c", a);
	assert_int_equal(rev_of(o), a);
	assert_null(val_get(o, F_data));
	o = at(r, 200, CM "/c", b);
	assert_val(val_member_sv(val_get(o, F_data), SV("k")), "2");
	assert_int_equal(rev_of(at(r, 200, CM "/c", gone - 1)), b);
	at(r, 404, CM "/c", gone);
	assert_int_equal(rev_of(at(r, 200, CM "/c", c)), c);
	assert_int_equal(rev_of(at(r, 200, CM "/c/", c)), c);
}

static void test_times(void **state)
{
	struct rig *r = *state;
	int64_t a = make(r, "c", ""), b;

	rig_run(r, 10 * NS_PER_SEC); /* 00:00:10 */
	b = merge(r, CM "/c", "{\"data\":{\"k\":\"2\"}}");
	rig_run(r, 10 * NS_PER_SEC);
	assert_int_equal(rev_of(expect(r, 200, "GET", CM "/c?at=2026-01-01T00:00:10Z", NULL)), a);
	assert_int_equal(rev_of(expect(r, 200, "GET", CM "/c?at=2026-01-01T00:00:10.9Z", NULL)), a);
	assert_int_equal(rev_of(expect(r, 200, "GET", CM "/c?at=2026-01-01T00:00:11Z", NULL)), b);
	assert_int_equal(rev_of(expect(r, 200, "GET", CM "/c?at=2026-01-01T02:00:10%2B02:00", NULL)), a);
	assert_int_equal(rev_of(expect(r, 200, "GET", CM "/c?at=2026-01-01T00:00:20Z", NULL)), b);
	refuse(r, 400, "BadRequest", "2026-01-01T00:00:21Z is in the future", "GET", CM "/c?at=2026-01-01T00:00:21Z");
	assert_int_equal(rev_of(expect(r, 200, "GET", CM "?at=2026-01-01T00:00:10Z", NULL)), a);
}

static const char *names(struct rig *r, const struct val *list)
{
	struct buf b = BUF_INIT;

	VAL_EACH(val_get(list, F_items), o)
		buf_printf(&b, "%.*s@%" PRId64 " ", SV_ARG(val_get_str(o, F_metadata, F_name)), rev_of(o));
	buf_addc(&b, '\0');
	arena_defer(&r->arena, free, b.p);
	return b.p;
}

static void test_lists(void **state)
{
	struct rig *r = *state;
	int64_t a = make(r, "a", ",\"labels\":{\"k\":\"1\"}"), b = make(r, "b", ""), then, b2;
	const struct val *l;
	struct answer *t;

	then = b;
	drop(r, CM "/a");
	b2 = merge(r, CM "/b", "{\"metadata\":{\"labels\":{\"k\":\"1\"}}}");
	make(r, "c", ",\"labels\":{\"k\":\"1\"}");
	l = at(r, 200, CM, then);
	assert_int_equal(rev_of(l), then);
	assert_string_equal(names(r, l), arena_printf(&r->arena, "a@%" PRId64 " b@%" PRId64 " ", a, b));
	assert_string_equal(names(r, at(r, 200, CM "?labelSelector=k%3D1", then)),
			    arena_printf(&r->arena, "a@%" PRId64 " ", a));
	assert_string_equal(names(r, at(r, 200, CM "?fieldSelector=metadata.name%3Db", then)),
			    arena_printf(&r->arena, "b@%" PRId64 " ", b));
	assert_string_equal(names(r, at(r, 200, CM "?labelSelector=k%3D1", b2)),
			    arena_printf(&r->arena, "b@%" PRId64 " ", b2));
	assert_int_equal(val_len(val_get(at(r, 200, "/api/v1/configmaps", a), F_items)), 1);
	assert_int_equal(val_len(val_get(at(r, 200, "/api/v1/namespaces/other/configmaps", a), F_items)), 0);
	/* As rows, as metadata, and in protobuf. */
	t = api(r, "GET", path(r, CM, then), .accept = TABLE);
	assert_int_equal(t->code, 200);
	assert_int_equal(val_len(val_member_sv(t->json, SV("rows"))), 2);
	answer_free(t);
	t = api(r, "GET", path(r, CM "/a", then), .accept = TABLE);
	assert_int_equal(val_len(val_member_sv(t->json, SV("rows"))), 1);
	answer_free(t);
	t = api(r, "GET", path(r, CM, then),
		.accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io");
	assert_val(val_get(t->json, F_kind), "PartialObjectMetadataList");
	assert_int_equal(val_len(val_get(t->json, F_items)), 2);
	answer_free(t);
	t = api(r, "GET", path(r, CM, then), .accept = "application/vnd.kubernetes.protobuf");
	assert_int_equal(t->code, 200);
	assert_true(sv_starts(buf_sv(&t->body), sv_make("k8s\0", 4)));
	answer_free(t);
	/* From a loop the disk is read on the pool. */
	t = api(r, "GET", path(r, CM "/a", then), .loop = true);
	assert_true(t->q.pooled);
	rig_run(r, 0);
	assert_int_equal(t->code, 200);
	answer_free(t);
}

static void test_pages(void **state)
{
	struct rig *r = *state;
	char name[16];
	const struct val *l;
	struct sv cont;
	int64_t then;
	int seen = 0;

	for (int i = 0; i < 25; i++) {
		(void)snprintf(name, sizeof(name), "c%02d", i);
		make(r, name, "");
	}
	then = rev_of(expect(r, 200, "GET", CM, NULL));
	for (int i = 0; i < 25; i += 2) {
		(void)snprintf(name, sizeof(name), "/c%02d", i);
		drop(r, arena_printf(&r->arena, CM "%s", name));
	}
	l = at(r, 200, CM "?limit=10", then);
	assert_int_equal(val_get_int(l, 0, F_metadata, F_remainingItemCount), 15);
	for (;;) {
		const char *p;

		assert_int_equal(rev_of(l), then);
		VAL_EACH(val_get(l, F_items), o) {
			(void)snprintf(name, sizeof(name), "c%02d", seen++);
			assert_val(val_get(o, F_metadata, F_name), name);
		}
		cont = val_get_str(l, F_metadata, F_continue);
		if (!cont.n)
			break;
		/* With the moment or without: the token says it. */
		p = arena_printf(&r->arena, CM "?limit=10&continue=%.*s", SV_ARG(cont));
		refuse(r, 400, "BadRequest", "the continue token is of revision", "GET", path(r, p, then - 1));
		l = seen == 10 ? at(r, 200, p, then) : expect(r, 200, "GET", p, NULL);
	}
	assert_int_equal(seen, 25);
}

/* A page of the past costs the whole kind, and takes seats for it. */
static void test_seats(void **state)
{
	static char large[100 * 1024];
	struct rig *r = *state;
	struct api_param p[] = { { SV("limit"), SV("1") }, { SV("at"), SV("1") } };
	struct api_req q = { .server = r->server,
			     .res = RES(core_configmaps),
			     .verb = VERB_LIST,
			     .resource_request = true,
			     .params = p,
			     .n_params = 1 };
	struct flow_level l = { .width_max = FLOW_WIDTH_MAX };

	memset(large, 'x', sizeof(large) - 1);
	for (int i = 0; i < 6; i++)
		expect(r, 201, "POST", CM,
		       arena_printf(&r->arena, "{\"metadata\":{\"name\":\"c%d\"},\"data\":{\"k\":\"%s\"}}", i, large));
	assert_in_range(flow_width(&q, &l), 1, 3);
	q.n_params = 2;
	assert_in_range(flow_width(&q, &l), 6, FLOW_WIDTH_MAX);
}

static void test_subresources(void **state)
{
	static const char web[] =
	    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":2,\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
	    "\"template\":{\"metadata\":{\"labels\":{\"a\":\"b\"}},\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":"
	    "\"i\"}]}}}}";
	struct rig *r = *state;
	int64_t a = rev_of(expect(r, 201, "POST", DEP, web)), b;
	struct answer *t;

	b = merge(r, DEP "/web/scale", "{\"spec\":{\"replicas\":7}}");
	(void)b;
	merge(r, DEP "/web/status", "{\"status\":{\"replicas\":3}}");
	assert_int_equal(val_get_int(at(r, 200, DEP "/web/scale", a), 0, F_spec, F_replicas), 2);
	assert_int_equal(val_get_int(at(r, 200, DEP "/web/scale", a + 1), 0, F_spec, F_replicas), 7);
	assert_null(val_get(at(r, 200, DEP "/web/status", a), F_status, F_replicas));
	assert_int_equal(val_get_int(at(r, 200, DEP "/web/status", a + 2), 0, F_status, F_replicas), 3);
	refuse(r, 404, "NotFound", "deployments/scale.apps \"web\" not found", "GET", path(r, DEP "/web/scale", a - 1));
	refuse(r, 404, "NotFound", "deployments.apps \"web\" not found", "GET", path(r, DEP "/web/status", a - 1));
	t = api(r, "GET", path(r, DEP "/web/scale", a), .accept = TABLE);
	assert_int_equal(val_len(val_member_sv(t->json, SV("rows"))), 1);
	answer_free(t);
}

static void test_compacted(void **state)
{
	struct rig *r = *state;
	int64_t a = make(r, "c", ""), b = merge(r, CM "/c", "{\"data\":{\"k\":\"2\"}}");

	make(r, "d", "");
	assert_int_equal(store_compact(r->store, b, NULL), 0);
	refuse(r, 410, "Expired",
	       arena_printf(&r->arena,
			    "at: revision %" PRId64
			    " is before what is kept: the history reaches back to revision %" PRId64,
			    a, b),
	       "GET", path(r, CM "/c", a));
	refuse(r, 410, "Expired", "is before what is kept", "GET", path(r, CM, a));
	assert_int_equal(rev_of(at(r, 200, CM "/c", b)), b);
	assert_int_equal(rev_of(at(r, 200, CM, b)), b);
}

/* --- kinds that have changed since --- */

static const char *definition(struct rig *r, const char *versions)
{
	return arena_printf(&r->arena,
			    "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\","
			    "\"metadata\":{\"name\":\"foos.ex.com\"},\"spec\":{\"group\":\"ex.com\",\"scope\":"
			    "\"Namespaced\",\"names\":{\"plural\":\"foos\",\"kind\":\"Foo\"},\"versions\":[%s]}}",
			    versions);
}

#define VERSION(name, storage, fields)                                                                              \
	"{\"name\":\"" name "\",\"served\":true,\"storage\":" storage ",\"schema\":{\"openAPIV3Schema\":{\"type\":" \
	"\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{" fields "}}}}}}"

static void define(struct rig *r, bool first, const char *versions)
{
	if (first)
		expect(r, 201, "POST", CRDS, definition(r, versions));
	else
		expect_type(r, 200, "PATCH", CRDS "/foos.ex.com", "application/merge-patch+json",
			    definition(r, versions));
	rig_run(r, NS_PER_SEC);
}

static void test_definitions(void **state)
{
	static const char foo[] = "{\"apiVersion\":\"ex.com/v1\",\"kind\":\"Foo\",\"metadata\":{\"name\":\"f\"},"
				  "\"spec\":{\"a\":1,\"b\":2}}";
	struct rig *r = *state;
	const struct val *o;
	const char *v1 = arena_printf(&r->arena, FOOS, "v1"), *v2 = arena_printf(&r->arena, FOOS, "v2");
	const char *f1 = arena_printf(&r->arena, "%s/f", v1), *f2 = arena_printf(&r->arena, "%s/f", v2);
	int64_t a, b;

	define(r, true, VERSION("v1", "true", "\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}"));
	a = rev_of(expect(r, 201, "POST", v1, foo));
	/* Another storage version: the old one is read by what it is called, and shown as asked. */
	define(r, false,
	       VERSION("v1", "false", "\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}") "," VERSION(
		   "v2", "true", "\"a\":{\"type\":\"integer\"},\"b\":{\"type\":\"integer\"}"));
	b = merge(r, f2, "{\"spec\":{\"a\":5}}");
	o = at(r, 200, f2, a);
	assert_val(val_get(o, F_apiVersion), "ex.com/v2");
	assert_int_equal(val_int_or(val_member_sv(val_member(o, F_spec), SV("a")), 0), 1);
	o = at(r, 200, f1, b);
	assert_val(val_get(o, F_apiVersion), "ex.com/v1");
	assert_int_equal(val_int_or(val_member_sv(val_member(o, F_spec), SV("a")), 0), 5);
	assert_int_equal(val_len(val_get(at(r, 200, v1, a), F_items)), 1);
	/* Without the version in which it was: an error by name, and missing from lists, which say so. */
	expect_type(r, 200, "PATCH", CRDS "/foos.ex.com/status", "application/merge-patch+json",
		    "{\"status\":{\"storedVersions\":[\"v2\"]}}");
	define(r, false, VERSION("v2", "true", "\"a\":{\"type\":\"integer\"}"));
	refuse(r, 500, "InternalError", "what foos \"f\" was at revision", "GET", path(r, f2, a));
	assert_int_equal(val_len(val_get(at(r, 200, v2, a), F_items)), 0);
	at(r, 200, f2, b);
	/* And without the kind there is nothing to ask. */
	expect(r, 200, "DELETE", CRDS "/foos.ex.com", NULL);
	rig_run(r, 10 * NS_PER_SEC);
	expect(r, 404, "GET", path(r, f2, b), NULL);
}

/* --- keys that have changed since --- */

#define KEYS(name, key)                                                                                              \
	"apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: [{resources: [secrets], " \
	"providers: [{aesgcm: {keys: [{name: " name ", secret: " key "}]}}]}]\n"
#define KEY_1 KEYS("one", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
#define KEY_2 KEYS("two", "HxwdHhsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=")
#define SECRETS "/api/v1/namespaces/default/secrets"

static struct {
	struct encryption *e;
	struct store_transform t;
	struct store *inner;
} keys;

static void keys_in(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct store_transform *real = encryption_transform(keys.e);

	(void)t;
	real->in(real, key, value, done, ctx);
}

static void keys_out(struct store_transform *t, struct sv key, struct sv value, store_value_fn *done, void *ctx)
{
	struct store_transform *real = encryption_transform(keys.e);

	(void)t;
	real->out(real, key, value, done, ctx);
}

static void keys_are(struct rig *r, struct env *env, const char *config)
{
	struct err err = ERR_INIT;

	encryption_free(keys.e);
	keys.e = encryption_parse(env, sv_from(config), &err);
	if (!keys.e)
		fail_msg("%s", err_msg(&err));
	encryption_stored_in(keys.e, keys.inner);
	if (r)
		r->encryption = keys.e;
}

static struct store *keys_make(struct env *env)
{
	keys.t = (struct store_transform){ .in = keys_in, .out = keys_out };
	keys.inner = store_mem_new(env);
	keys_are(NULL, env, KEY_1);
	return store_transformed(keys.inner, &keys.t);
}

static int keys_setup(void **state)
{
	return rig_setup_on(state, keys_make);
}

static int keys_teardown(void **state)
{
	int rc = rig_teardown(state);

	keys.e = encryption_free(keys.e);
	return rc;
}

static void test_keys(void **state)
{
	static const char secret[] = "{\"metadata\":{\"name\":\"s\"},\"stringData\":{\"k\":\"plain\"}}";
	struct rig *r = *state;
	int64_t a = rev_of(expect(r, 201, "POST", SECRETS, secret)), b;

	merge(r, SECRETS "/s", "{\"stringData\":{\"k\":\"other\"}}");
	assert_val(val_member_sv(val_get(at(r, 200, SECRETS "/s", a), F_data), SV("k")), "cGxhaW4=");
	/* All of it is written anew with another key, and the first one is thrown away. */
	expect(r, 200, "DELETE", SECRETS "/s", NULL);
	rig_stop(r);
	keys_are(r, r->env, KEY_2);
	rig_start(r);
	b = rev_of(expect(r, 201, "POST", SECRETS, secret));
	refuse(r, 500, "InternalError", "unable to transform key \"/registry/secrets/default/s\"", "GET",
	       path(r, SECRETS "/s", a));
	refuse(r, 500, "InternalError", "unable to transform key \"/registry/secrets/default/s\"", "GET",
	       path(r, SECRETS, a));
	at(r, 200, SECRETS "/s", b);
}

int main(void)
{
#define ON_RIG(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		ON_RIG(test_refused),
		ON_RIG(test_rights),
		ON_RIG(test_another_namespace),
		ON_RIG(test_nodes),
		ON_RIG(test_one),
		ON_RIG(test_times),
		ON_RIG(test_lists),
		ON_RIG(test_pages),
		ON_RIG(test_seats),
		ON_RIG(test_subresources),
		ON_RIG(test_compacted),
		ON_RIG(test_definitions),
		cmocka_unit_test_setup_teardown(test_keys, keys_setup, keys_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
