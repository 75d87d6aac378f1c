/* Kinds that come and go while a server runs: they are served like the built-in ones, and what asks for one that is
 * gone is told so. */
#include "harness.h"

#include "object/api_set.h"

#include <stdio.h>

static const char widget_schema[] =
    "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\",\"properties\":{"
    "\"widgetSize\":{\"type\":\"integer\",\"default\":3},\"widgetColour\":{\"type\":\"string\"},"
    "\"widgetParts\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\",\"x-kubernetes-list-map-keys\":["
    "\"partName\"],\"items\":{\"type\":\"object\",\"required\":[\"partName\"],\"properties\":{\"partName\":{"
    "\"type\":\"string\"},\"partSize\":{\"type\":\"integer\"}}}}}},"
    "\"odd.one\":{\"type\":\"string\"},"
    "\"status\":{\"type\":\"object\",\"properties\":{\"widgetsMade\":{\"type\":\"integer\"}}}}}";

#define WIDGETS "/apis/example.com/v1/namespaces/default/widgets"

static struct api_kind *widget(void)
{
	static const char *const short_names[] = { "wd", NULL };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct api_kind *k =
	    api_kind_new(&(struct api_kind_def){ .group = "example.com",
						 .version = "v1",
						 .plural = "widgets",
						 .kind = "Widget",
						 .short_names = short_names,
						 .namespaced = true,
						 .status = true,
						 .schema = json_decode(&a, sv_from(widget_schema), NULL, NULL) },
			 NULL);

	assert_non_null(k);
	return k;
}

static struct api_kind *add(struct rig *r, struct api_kind *k)
{
	struct err err = ERR_INIT;

	if (apiserver_add_kinds(r->server, &k, 1, &err) < 0)
		fail_msg("%s", err_msg(&err));
	return k;
}

static void drop(struct rig *r, struct api_kind *k)
{
	apiserver_remove_kinds(r->server, &k, 1);
	api_kind_unref(k);
}

static const char body[] = "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w\"},"
			   "\"spec\":{\"widgetColour\":\"red\"},\"status\":{\"widgetsMade\":7}}";

static void test_served(void **state)
{
	struct rig *r = *state;
	struct api_kind *k;
	const struct val *v;
	struct answer *a;

	expect(r, 404, "GET", WIDGETS, NULL);
	k = add(r, widget());
	v = expect(r, 201, "POST", WIDGETS, body);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), 1);
	assert_int_equal(val_int_or(val_member_sv(val_member(v, F_spec), SV("widgetSize")), 0), 3);
	assert_null(val_member(v, F_status)); /* its own door */
	v = expect_type(r, 200, "PATCH", WIDGETS "/w/status", "application/merge-patch+json",
			"{\"status\":{\"widgetsMade\":9},\"spec\":{\"widgetColour\":\"blue\"},\"odd.one\":\"x\"}");
	assert_null(val_member_sv(v, SV("odd.one")));
	assert_int_equal(val_int_or(val_member_sv(val_member(v, F_status), SV("widgetsMade")), 0), 9);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), 1);
	v = expect_type(r, 200, "PATCH", WIDGETS "/w?fieldManager=m", "application/apply-patch+yaml",
			"apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  widgetParts:\n  - "
			"partName: a\n    partSize: 1\n");
	v = expect_type(
	    r, 200, "PATCH", WIDGETS "/w?fieldManager=n", "application/apply-patch+yaml",
	    "apiVersion: example.com/v1\nkind: Widget\nmetadata:\n  name: w\nspec:\n  widgetParts:\n  - partName: b\n");
	assert_int_equal(val_len(val_member_sv(val_member(v, F_spec), SV("widgetParts"))), 2);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), 3);
	expect_status(r, 400, "BadRequest", "unknown field \"spec.bogus\"",
		      &(struct ask){ .method = "POST",
				     .path = WIDGETS "?fieldValidation=Strict",
				     .body = "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"bogus\":1}}" });
	expect_status(r, 422, "Invalid", "partName",
		      &(struct ask){ .method = "POST",
				     .path = WIDGETS,
				     .body = "{\"metadata\":{\"name\":\"x\"},\"spec\":{\"widgetParts\":[{}]}}" });
	v = expect(r, 200, "GET", WIDGETS, NULL);
	assert_val(val_member(v, F_kind), "WidgetList");
	assert_int_equal(val_len(val_member(v, F_items)), 1);
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", "/apis/example.com/v1/widgets", NULL), F_items)), 1);
	a = api(r, "GET", WIDGETS, .accept = "application/json;as=Table;v=v1;g=meta.k8s.io");
	v = val_at(val_member(val_at(val_member(a->json, F_rows), 0), F_cells), 0);
	assert_val(v, "w");
	assert_int_equal(val_len(val_member(a->json, F_columnDefinitions)), 2);
	answer_free(a);
	/* What it is stored as says its group. */
	a = api(r, "GET", "/metrics");
	assert_non_null(strstr(buf_cstr(&a->body), "apiserver_storage_objects{resource=\"widgets.example.com\"} 1"));
	assert_non_null(strstr(buf_cstr(&a->body), "group=\"example.com\",resource=\"widgets\""));
	answer_free(a);
	expect(r, 200, "DELETE", WIDGETS "/w", NULL);
	expect(r, 404, "GET", WIDGETS "/w", NULL);
	drop(r, k);
	expect(r, 404, "GET", WIDGETS, NULL);
}

static void test_documents(void **state)
{
	struct rig *r = *state;
	const char *before = NULL, *paths[] = { "/apis", "/openapi/v2", "/openapi/v3" };
	struct answer *was[3], *now;
	struct api_kind *k;
	const struct val *v;

	(void)before;
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		was[i] = api(r, "GET", paths[i]);
	expect(r, 404, "GET", "/apis/example.com", NULL);
	k = add(r, widget());
	v = expect(r, 200, "GET", "/apis/example.com/v1", NULL);
	assert_int_equal(val_len(val_member(v, F_resources)), 2);
	v = val_at(val_member(v, F_resources), 0);
	assert_val(val_at(val_member(v, F_shortNames), 0), "wd");
	v = expect(r, 200, "GET", "/apis/example.com", NULL);
	assert_val(val_get(v, F_preferredVersion, F_groupVersion), "example.com/v1");
	now = api(r, "GET", "/apis", .accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
	assert_non_null(strstr(buf_cstr(&now->body), "\"resource\":\"widgets\""));
	answer_free(now);
	now = api(r, "GET", "/openapi/v3/apis/example.com/v1",
		  .accept = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf");
	assert_int_equal(now->code, 200);
	assert_string_equal(now->content_type, "application/com.github.proto-openapi.spec.v3.v1.0+protobuf");
	assert_true(sv_find_sv(buf_sv(&now->body), SV("com.example.v1.Widget")) >= 0);
	answer_free(now);
	v = expect(r, 200, "GET", "/openapi/v3/apis/example.com/v1", NULL);
	assert_non_null(val_get(v, F_components, F_schemas));
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		now = api(r, "GET", paths[i]);
		assert_non_null(strstr(buf_cstr(&now->body), "example.com"));
		assert_null(strstr(buf_cstr(&was[i]->body), "example.com"));
		answer_free(now);
	}
	drop(r, k);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		now = api(r, "GET", paths[i]);
		assert_string_equal(buf_cstr(&now->body), buf_cstr(&was[i]->body));
		answer_free(now);
		answer_free(was[i]);
	}
	expect(r, 404, "GET", "/apis/example.com/v1", NULL);
	expect(r, 404, "GET", "/openapi/v3/apis/example.com/v1", NULL);
}

static void test_watch(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = add(r, widget());
	struct answer *w, *late;
	const struct val *v;
	int64_t rev;

	v = expect(r, 201, "POST", WIDGETS, body);
	rev = rev_of(v);
	w = api(r, "GET", WIDGETS "?watch=true");
	expect_type(r, 200, "PATCH", WIDGETS "/w", "application/merge-patch+json",
		    "{\"spec\":{\"widgetColour\":\"blue\"}}");
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(w), 2);
	assert_val(val_member(stream_line(w, 1), F_type), "MODIFIED");
	drop(r, k);
	rig_run(r, NS_PER_SEC);
	assert_true(w->ended);
	assert_int_equal(stream_lines(w), 2); /* closed without a word: who starts over is told 404 */
	answer_gone(w);
	expect(r, 404, "GET", WIDGETS "/w", NULL);
	/* What is stored is there again, and changes of before are told from the log. */
	k = add(r, widget());
	assert_val(val_get(expect(r, 200, "GET", WIDGETS "/w", NULL), F_metadata, F_name), "w");
	{
		char path[128];

		snprintf(path, sizeof(path), WIDGETS "?watch=true&resourceVersion=%lld", (long long)rev);
		late = api(r, "GET", path);
	}
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(late), 1);
	assert_val(val_member(stream_line(late, 0), F_type), "MODIFIED");
	answer_gone(late);
	drop(r, k);
}

/* A server that goes while it serves one, and a watch of a kind that is dropped with it. */
static void test_restart(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = add(r, widget());

	expect(r, 201, "POST", WIDGETS, body);
	rig_restart(r);
	expect(r, 404, "GET", WIDGETS "/w", NULL);
	api_kind_unref(k);
	k = add(r, widget());
	expect(r, 200, "GET", WIDGETS "/w", NULL);
	api_kind_unref(k);
}

static void test_refused(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = add(r, widget()), *again = widget(), *both[2];
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(apiserver_add_kinds(r->server, &again, 1, &err), -1);
	assert_int_equal(err.reason, ERR_ALREADY_EXISTS);
	err_release(&err);
	/* Another version has the same keys, and all or none come. */
	both[0] = api_kind_new(
	    &(struct api_kind_def){ .group = "example.com", .version = "v1", .plural = "gadgets", .kind = "Gadget" },
	    NULL);
	both[1] = api_kind_new(
	    &(struct api_kind_def){ .group = "example.com", .version = "v2", .plural = "widgets", .kind = "Widget" },
	    NULL);
	assert_int_equal(apiserver_add_kinds(r->server, both, 2, &err), -1);
	assert_string_equal(err_msg(&err), "objects of another kind have the keys of example.com/widgets");
	expect(r, 404, "GET", "/apis/example.com/v1/gadgets", NULL);
	expect(r, 200, "GET", WIDGETS, NULL);
	api_kind_unref(both[0]);
	api_kind_unref(both[1]);
	api_kind_unref(again);
	drop(r, k);
	apiserver_remove_kinds(r->server, NULL, 0);
}

/* Who asks from inside names the resource itself. */
static void test_inside(void **state)
{
	struct rig *r = *state;
	struct api_kind *k = add(r, widget());
	const struct resource *res = api_kind_resource(k);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct obj_list l = { 0 };
	struct obj *o = NULL;
	struct val *doc = json_decode(&a, sv_from(body), NULL, NULL);

	assert_int_equal(client_create(r->client, res, SV("default"), doc, NULL, NULL, &err), 0);
	assert_int_equal(client_get(r->client, res, SV("default"), SV("w"), &o, &err), 0);
	obj_unref(o);
	assert_int_equal(client_list(r->client, res, SV("default"), NULL, &l, &err), 0);
	assert_int_equal(l.n, 1);
	obj_list_release(&l);
	apiserver_remove_kinds(r->server, &k, 1);
	assert_int_equal(client_create(r->client, res, SV("default"), doc, NULL, NULL, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_int_equal(client_get(r->client, res, SV("default"), SV("w"), &o, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	assert_int_equal(client_list(r->client, res, SV("default"), NULL, &l, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	api_kind_unref(k);
}

/* --- a store on which others write while a kind is read --- */

static struct store_ops busy_ops;
static int (*quiet_range)(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
			  void *ctx, int64_t *ret_rev, struct err *err);
static bool busy;

static void write_key(struct store *s, const char *name, const char *colour)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct store_write w = { .key = arena_svf(&a, "/registry/example.com/widgets/default/%s", name),
				 .expect_rev = STORE_ANY_REV,
				 .tombstone = !colour };
	struct err err = ERR_INIT;

	if (colour)
		w.value =
		    arena_svf(&a,
			      "{\"kind\":\"Widget\",\"apiVersion\":\"example.com/v1\",\"metadata\":{\"name\":\"%s\","
			      "\"namespace\":\"default\",\"uid\":\"u\"},\"spec\":{\"widgetColour\":\"%s\"}}",
			      name, colour);
	if (store_commit_wait(s, &w, NULL, &err) != 1)
		fail_msg("%s", err_msg(&err));
}

struct held {
	struct arena a;
	struct store_kv kv[8];
	size_t n;
};

static int hold(const struct store_kv *kv, void *ctx)
{
	struct held *h = ctx;
	struct store_kv *to = &h->kv[h->n++];

	assert_true(h->n <= ARRAY_LEN(h->kv));
	*to = *kv;
	to->key = arena_sv(&h->a, kv->key);
	to->value = arena_sv(&h->a, kv->value);
	return 0;
}

/* What is read is handed over after others have written more, as a disk would that takes its time. */
static int busy_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		      void *ctx, int64_t *ret_rev, struct err *err)
{
	struct held h = { 0 };
	int rc;

	if (!busy || !sv_starts(from, SV("/registry/example.com/widgets/")))
		return quiet_range(s, from, to, rev, limit, fn, ctx, ret_rev, err);
	write_key(s, "before", "blue"); /* told of before, and in what is read */
	rc = quiet_range(s, from, to, rev, limit, hold, &h, ret_rev, err);
	write_key(s, "fresh", "green");
	write_key(s, "changed", "green");
	write_key(s, "deleted", NULL);
	write_key(s, "short", "red");
	write_key(s, "short", NULL);
	for (size_t i = 0; i < h.n; i++)
		assert_int_equal(fn(&h.kv[i], ctx), 0);
	arena_release(&h.a);
	return rc;
}

static struct store *busy_new(struct env *env)
{
	struct store *s = store_mem_new(env);

	busy_ops = *s->ops;
	quiet_range = s->ops->range;
	busy_ops.range = busy_range;
	s->ops = &busy_ops;
	return s;
}

static int busy_setup(void **state)
{
	return rig_setup_on(state, busy_new);
}

static void test_filled_meanwhile(void **state)
{
	struct rig *r = *state;
	const char *names[] = { "before", "changed", "fresh" };
	struct api_kind *k;
	const struct val *v;
	struct answer *w;
	char path[128];
	int64_t rev;

	write_key(r->store, "before", "red");
	write_key(r->store, "changed", "red");
	write_key(r->store, "deleted", "red");
	busy = true;
	k = add(r, widget());
	busy = false;
	v = expect(r, 200, "GET", WIDGETS, NULL);
	assert_int_equal(val_len(val_member(v, F_items)), ARRAY_LEN(names));
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct val *o = val_at(val_member(v, F_items), i);

		assert_val(val_get(o, F_metadata, F_name), names[i]);
		assert_val(val_member_sv(val_member(o, F_spec), SV("widgetColour")), i ? "green" : "blue");
	}
	/* Told to a watch from the revision that was read, each once. */
	rev = rev_of(val_at(val_member(v, F_items), 0));
	snprintf(path, sizeof(path), WIDGETS "?watch=true&resourceVersion=%lld", (long long)rev);
	w = api(r, "GET", path);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(w), 5);
	assert_val(val_member(stream_line(w, 0), F_type), "ADDED");
	assert_val(val_member(stream_line(w, 1), F_type), "MODIFIED");
	assert_val(val_member(stream_line(w, 2), F_type), "DELETED");
	/* And it goes on following. */
	write_key(r->store, "later", "red");
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(w), 6);
	answer_gone(w);
	/* What cannot be read is set aside, and forgotten with the kind. */
	{
		struct store_write bad = { .key = SV("/registry/example.com/widgets/default/bad"),
					   .value = SV("{"),
					   .expect_rev = STORE_ANY_REV };

		assert_int_equal(store_commit_wait(r->store, &bad, NULL, NULL), 1);
	}
	expect(r, 500, "GET", WIDGETS "/bad", NULL);
	drop(r, k);
	k = add(r, widget());
	expect(r, 500, "GET", WIDGETS "/bad", NULL);
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", WIDGETS, NULL), F_items)), 4);
	drop(r, k);
}

/* --- a kind that is made anew while requests are under way --- */

/* What the next request finds behind its authorization, or behind another step: it has taken the kinds long ago. */
static struct {
	struct rig *r;
	enum req_step behind;
	struct api_kind *now;
	size_t times;
} swaps;

static void swap_kinds(struct api_req *q, enum req_step step, int64_t mono_ns, void *ctx)
{
	struct err err = ERR_INIT;
	struct api_kind *was = swaps.now, *next;
	struct kind_come come = { 0 };

	(void)mono_ns;
	(void)ctx;
	if (step != swaps.behind || !swaps.times || !q->res || strcmp(q->res->plural, "widgets") != 0)
		return;
	swaps.times--;
	come.kind = next = widget();
	if (apiserver_change_kinds(swaps.r->server,
				   &(struct kind_change){ .gone = &was, .n_gone = 1, .come = &come, .n_come = 1 },
				   &err) < 0)
		fail_msg("%s", err_msg(&err));
	swaps.now = next;
	api_kind_unref(was);
}

static int swap_setup(void **state)
{
	static const struct req_observer o = { .passed = swap_kinds };
	int rc = rig_setup(state);
	struct rig *r = *state;

	swaps.r = r;
	swaps.times = 0;
	req_set_observer(r->server, &o);
	swaps.now = add(r, widget());
	return rc;
}

static int swap_teardown(void **state)
{
	drop(*state, swaps.now);
	return rig_teardown(state);
}

static const struct val *swapped(struct rig *r, int code, const char *method, const char *path, const char *text)
{
	swaps.behind = STEP_AUTHORIZED;
	swaps.times = 1;
	return expect_type(r, code, method, path,
			   strcmp(method, "PATCH") == 0 ? "application/merge-patch+json" : "application/json", text);
}

static void make_widgets(struct rig *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		char text[160];

		snprintf(text, sizeof(text),
			 "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w%zu\","
			 "\"labels\":{\"odd\":\"%zu\"}},\"spec\":{}}",
			 i, i % 2);
		expect(r, 201, "POST", WIDGETS, text);
	}
}

static void test_read_while_swapped(void **state)
{
	struct rig *r = *state;
	const struct val *v;
	struct answer *w;
	char path[256];

	make_widgets(r, 7);
	v = swapped(r, 200, "GET", WIDGETS "/w3", NULL);
	assert_int_equal(val_int_or(val_member_sv(val_member(v, F_spec), SV("widgetSize")), 0), 3);
	(void)swapped(r, 404, "GET", WIDGETS "/none", NULL);
	(void)swapped(r, 200, "GET", WIDGETS "/w3/status", NULL);
	v = swapped(r, 200, "GET", WIDGETS, NULL);
	assert_int_equal(val_len(val_member(v, F_items)), 7);
	assert_true(rev_of(v) >= rev_of(val_at(val_member(v, F_items), 6)));
	v = swapped(r, 200, "GET", "/apis/example.com/v1/widgets?labelSelector=odd%3D1", NULL);
	assert_int_equal(val_len(val_member(v, F_items)), 3);
	v = swapped(r, 200, "GET", WIDGETS "?fieldSelector=metadata.name%3Dw2", NULL);
	assert_int_equal(val_len(val_member(v, F_items)), 1);
	/* In pieces, of which each meets another change. */
	v = swapped(r, 200, "GET", WIDGETS "?limit=4", NULL);
	assert_int_equal(val_len(val_member(v, F_items)), 4);
	assert_int_equal(val_get_int(v, 0, F_metadata, F_remainingItemCount), 3);
	snprintf(path, sizeof(path), WIDGETS "?limit=4&continue=%.*s",
		 SV_ARG(val_str(val_get(v, F_metadata, F_continue))));
	v = swapped(r, 200, "GET", path, NULL);
	assert_int_equal(val_len(val_member(v, F_items)), 3);
	/* A watch is one of the new kind. */
	swaps.times = 1;
	w = api(r, "GET", WIDGETS "?watch=true");
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(w), 7);
	expect(r, 200, "DELETE", WIDGETS "/w6", NULL);
	rig_run(r, NS_PER_SEC);
	assert_int_equal(stream_lines(w), 8);
	answer_gone(w);
}

static void test_written_while_swapped(void **state)
{
	static const enum req_step steps[] = { STEP_AUTHORIZED, STEP_MUTATED, STEP_VALIDATED };
	struct rig *r = *state;

	make_widgets(r, 3);
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		char text[64];
		const struct val *v;

		swaps.behind = steps[i];
		swaps.times = 1;
		snprintf(text, sizeof(text), "{\"spec\":{\"widgetSize\":%zu}}", i + 10);
		v = expect_type(r, 200, "PATCH", WIDGETS "/w0", "application/merge-patch+json", text);
		assert_int_equal(val_get_int(v, 0, F_metadata, F_generation), i + 2);
		v = expect(r, 200, "GET", WIDGETS "/w0", NULL);
		assert_int_equal(val_int_or(val_member_sv(val_member(v, F_spec), SV("widgetSize")), 0), i + 10);
	}
	(void)swapped(r, 409, "POST", WIDGETS,
		      "{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\",\"metadata\":{\"name\":\"w0\"}}");
	(void)swapped(r, 200, "PATCH", WIDGETS "/w0/status", "{\"status\":{\"widgetsMade\":4}}");
	(void)swapped(r, 200, "DELETE", WIDGETS "/w1", NULL);
	expect(r, 404, "GET", WIDGETS "/w1", NULL);
	(void)swapped(r, 200, "DELETE", WIDGETS, NULL);
	assert_int_equal(val_len(val_member(expect(r, 200, "GET", WIDGETS, NULL), F_items)), 0);
}

/* Who asks from inside has its kind longer than one request: the garbage collector looks for owners by it. */
static void test_inside_while_swapped(void **state)
{
	struct rig *r = *state;
	struct api_kind *mine = api_kind_ref(swaps.now);
	const struct resource *res = api_kind_resource(mine);
	struct client_delete_opts opts = CLIENT_DELETE_OPTS;
	struct err err = ERR_INIT;
	struct obj_list l = { 0 };
	struct obj *o = NULL;

	make_widgets(r, 3);
	(void)swapped(r, 200, "GET", WIDGETS "/w0", NULL);
	assert_ptr_not_equal(mine, swaps.now);
	assert_int_equal(client_get(r->client, res, SV("default"), SV("w1"), &o, &err), 0);
	obj_unref(o);
	assert_int_equal(client_list(r->client, res, SV("default"), NULL, &l, &err), 0);
	assert_int_equal(l.n, 3);
	obj_list_release(&l);
	assert_int_equal(client_delete(r->client, res, SV("default"), SV("w1"), &opts, &err), 0);
	assert_int_equal(client_get(r->client, res, SV("default"), SV("w1"), &o, &err), -1);
	assert_int_equal(err.reason, ERR_NOT_FOUND);
	err_release(&err);
	api_kind_unref(mine);
}

/* --- a kind that is made anew with another storage version, while somebody writes that --- */

static const char *foreign; /* what w becomes while the new kind is filled: the old one hears of it, too */

static int foreign_range(struct store *s, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
			 void *ctx, int64_t *ret_rev, struct err *err)
{
	struct store_write w = { .key = SV("/registry/example.com/widgets/default/w"), .expect_rev = STORE_ANY_REV };

	if (foreign && sv_starts(from, SV("/registry/example.com/widgets/"))) {
		w.value = sv_from(foreign);
		foreign = NULL;
		assert_int_equal(store_commit_wait(s, &w, NULL, NULL), 1);
	}
	return quiet_range(s, from, to, rev, limit, fn, ctx, ret_rev, err);
}

static struct store *foreign_new(struct env *env)
{
	struct store *s = busy_new(env);

	busy_ops.range = foreign_range;
	return s;
}

static int foreign_setup(void **state)
{
	return rig_setup_on(state, foreign_new);
}

/* Of one version, or of two, of which v2 is stored. */
static struct api_kind *widget_versions(bool two, bool custom)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct api_kind_def d = { .group = "example.com",
				  .version = two ? "v2" : "v1",
				  .plural = "widgets",
				  .kind = "Widget",
				  .namespaced = true,
				  .custom = custom,
				  .schema = json_decode(&a, sv_from(widget_schema), NULL, NULL) };
	struct api_kind *k = api_kind_new(&d, NULL);

	assert_non_null(k);
	d.version = "v1";
	if (two)
		assert_non_null(api_kind_add_version(k, &d, NULL));
	return k;
}

static void test_overtaken(void **state)
{
	struct rig *r = *state;

	for (int custom = 0; custom < 2; custom++) {
		struct api_kind *was = add(r, widget_versions(false, custom)), *next = widget_versions(true, custom);
		struct kind_come come = { .kind = next };
		struct err err = ERR_INIT;
		struct answer *w, *m;
		const struct val *v;

		expect(r, 201, "POST", WIDGETS, body);
		w = api(r, "GET", WIDGETS "?watch=true");
		rig_run(r, NS_PER_SEC);
		assert_int_equal(stream_lines(w), 1);
		foreign = "{\"kind\":\"Widget\",\"apiVersion\":\"example.com/v2\",\"metadata\":{\"name\":\"w\","
			  "\"namespace\":\"default\",\"uid\":\"u\"},\"spec\":{\"widgetColour\":\"blue\"}}";
		if (apiserver_change_kinds(
			r->server, &(struct kind_change){ .gone = &was, .n_gone = 1, .come = &come, .n_come = 1 },
			&err) < 0)
			fail_msg("%s", err_msg(&err));
		rig_run(r, NS_PER_SEC);
		/* It ends; where only names differ it is told the change before, and never of a deletion. */
		assert_true(w->ended);
		assert_int_equal(stream_lines(w), custom ? 2 : 1);
		if (custom) {
			v = stream_line(w, 1);
			assert_val(val_member(v, F_type), "MODIFIED");
			assert_val(val_get(v, F_object, F_apiVersion), "example.com/v1");
			assert_val(val_member_sv(val_get(v, F_object, F_spec), SV("widgetColour")), "blue");
		}
		answer_gone(w);
		v = expect(r, 200, "GET", WIDGETS "/w", NULL);
		assert_val(val_member(v, F_apiVersion), "example.com/v1");
		assert_val(val_member_sv(val_member(v, F_spec), SV("widgetColour")), "blue");
		assert_int_equal(val_len(val_member(expect(r, 200, "GET", WIDGETS, NULL), F_items)), 1);
		m = api(r, "GET", "/metrics");
		assert_null(strstr(buf_cstr(&m->body), "caravel_storage_set_aside_objects{"));
		answer_free(m);
		/* Who has the old one reads the same, or is told to ask again: not that it is gone. */
		{
			const struct resource *old = api_kind_resource(was);
			struct obj_list l = { 0 };
			struct obj *o = NULL;

			if (!custom) {
				assert_int_equal(client_get(r->client, old, SV("default"), SV("w"), &o, &err), -1);
				assert_int_equal(err.reason, ERR_UNAVAILABLE);
				err_release(&err);
				assert_int_equal(client_list(r->client, old, SV("default"), NULL, &l, &err), -1);
				assert_int_equal(err.reason, ERR_UNAVAILABLE);
				err_release(&err);
				goto next;
			}
			assert_int_equal(client_get(r->client, old, SV("default"), SV("w"), &o, &err), 0);
			obj_unref(o);
			assert_int_equal(client_list(r->client, old, SV("default"), NULL, &l, &err), 0);
			assert_int_equal(l.n, 1);
			obj_list_release(&l);
		}
	next:
		expect(r, 200, "DELETE", WIDGETS "/w", NULL);
		api_kind_unref(was);
		drop(r, next);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_served, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_documents, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_watch, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_restart, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_refused, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_inside, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_filled_meanwhile, busy_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_overtaken, foreign_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(test_read_while_swapped, swap_setup, swap_teardown),
		cmocka_unit_test_setup_teardown(test_written_while_swapped, swap_setup, swap_teardown),
		cmocka_unit_test_setup_teardown(test_inside_while_swapped, swap_setup, swap_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
