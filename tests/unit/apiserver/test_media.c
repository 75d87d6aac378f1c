/* What answers read like: the encodings that there are, made in pieces or at once, and one that is like protobuf. */
#include "harness.h"

#include "apiserver/apiserver-internal.h"
#include "apiserver/media.h"
#include "codec/pbwire.h"
#include "codec/yaml.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define TABLE "as=Table;v=v1;g=meta.k8s.io"

static void put(struct rig *r, const char *name, size_t bytes)
{
	_cleanup_free_ char *fill = xmalloc(bytes + 1);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	memset(fill, 'x', bytes);
	fill[bytes] = '\0';
	expect(r, 201, "POST", CM,
	       arena_printf(&a, "{\"metadata\":{\"name\":\"%s\"},\"data\":{\"b\":\"yes\",\"a\":\"%s\"}}", name, fill));
}

/* --- an encoding as protobuf is: lengths in front, an envelope around objects, frames around events ---
 *
 * An object's own bytes are its JSON here, in a message of one field. As upstream does it: answers and the objects of
 * events are "k8s\0" and Unknown { typeMeta 1, raw 2, contentEncoding 3, contentType 4 }; a list is one message in that
 * envelope, its items without any; an event is WatchEvent { type 1, object 2 { raw 1 } } behind four bytes of length.
 */

static int wire_made; /* objects that were encoded */

static bool wire_encode(struct buf *b, const struct media_form *form, const struct obj *o)
{
	assert_ptr_equal(form, &media_native);
	wire_made++;
	pb_sv(b, 1, obj_json(o));
	return !sv_is(obj_name(o), "unspeakable");
}

static void wire_make(struct buf *b, const struct val *doc, enum media_place place)
{
	_cleanup_(buf_release) struct buf json = BUF_INIT;

	(void)place;
	json_encode(&json, doc);
	pb_sv(b, 1, buf_sv(&json));
}

/* Tag and length of a field of n bytes that follow. */
static void wire_field(struct buf *b, uint32_t field, size_t n)
{
	pb_varint(b, field << 3 | PB_BYTES);
	pb_varint(b, n);
}

#define WIRE_END SV("\x1a\0\x22\0")

/* The envelope of raw bytes that follow. */
static void wire_envelope(struct buf *b, const struct val *doc, struct sv kind, size_t n)
{
	size_t m;

	buf_add(b, "k8s", 4);
	m = pb_open(b, 1);
	pb_sv(b, 1, val_get_str(doc, F_apiVersion));
	pb_sv(b, 2, kind);
	pb_close(b, m);
	wire_field(b, 2, n);
}

static struct sv wire_before(struct buf *b, struct media_part *p)
{
	_cleanup_(buf_release) struct buf envelope = BUF_INIT, raw = BUF_INIT;
	size_t n;

	buf_clear(b);
	if (p->place == MEDIA_ITEM) {
		wire_field(b, 2, p->body.n);
		return buf_sv(b);
	}
	wire_envelope(&envelope, p->doc, val_get_str(p->doc, F_kind), p->body.n);
	if (p->place == MEDIA_EVENT) {
		n = envelope.n + p->body.n + WIRE_END.n;
		wire_field(&raw, 1, n);
		pb_sv(b, 1, sv_from(media_event_name(p->event)));
		wire_field(b, 2, raw.n + n);
		buf_addsv(b, buf_sv(&raw));
	}
	buf_addsv(b, buf_sv(&envelope));
	return buf_sv(b);
}

static struct sv wire_behind(const struct media_part *p)
{
	return p->place == MEDIA_ITEM ? SV("") : WIRE_END;
}

static void wire_list_head(struct buf *b, const struct media_list *l)
{
	_cleanup_(buf_release) struct buf meta = BUF_INIT;
	size_t m = pb_open(&meta, 1);

	assert_true(l->bytes >= 0);
	assert_int_equal(val_len(val_member(l->doc, l->items)), 0);
	pb_sv(&meta, 2, val_get_str(l->doc, F_metadata, F_resourceVersion));
	pb_close(&meta, m);
	wire_envelope(b, l->doc, val_get_str(l->doc, F_kind), meta.n + (size_t)l->bytes);
	buf_addsv(b, buf_sv(&meta));
}

static void wire_list_tail(struct buf *b, const struct media_list *l)
{
	(void)l;
	buf_addsv(b, WIRE_END);
}

static void wire_frame(struct buf *b, size_t n)
{
	const char head[] = { (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n };

	buf_add(b, head, sizeof(head));
}

static bool wire_serves(const struct resource *r, const struct media_form *form)
{
	return form == &media_native && (!r || strcmp(r->plural, "secrets") != 0);
}

static const char *const wire_types[] = { "application/x-wire", NULL };
static const struct media wire = {
	.name = "application/x-wire",
	.types = wire_types,
	.content_type = "application/x-wire",
	.stream_type = "application/x-wire;stream=watch",
	.binary = true,
	.serves = wire_serves,
	.encode = wire_encode,
	.make = wire_make,
	.before = wire_before,
	.behind = wire_behind,
	.lists_docs = true,
	.list_head = wire_list_head,
	.list_tail = wire_list_tail,
	.frame = wire_frame,
};

static int wire_setup(void **state)
{
	int rc = rig_setup(state);
	struct rig *r = *state;

	media_add(r->server, &wire);
	wire_made = 0;
	return rc;
}

/* --- reading it --- */

/* The next field, which must be this one. */
static struct sv pb_bytes(struct sv *rest, uint32_t field)
{
	struct pb_reader rd = pb_reader(*rest);
	struct pb_field f;

	assert_true(pb_next(&rd, &f));
	assert_int_equal(f.no, field);
	assert_int_equal(f.wire, PB_BYTES);
	*rest = sv_sub(*rest, (size_t)((const char *)rd.at - rest->p), rest->n);
	return f.bytes;
}

/* What is in an envelope, which is all there is. */
static struct sv enveloped(struct sv bytes, const char *version, const char *kind)
{
	struct sv type, raw;

	assert_true(sv_starts(bytes, sv_make("k8s", 4)));
	bytes = sv_sub(bytes, 4, bytes.n);
	type = pb_bytes(&bytes, 1);
	assert_sv(pb_bytes(&type, 1), version);
	assert_sv(pb_bytes(&type, 2), kind);
	raw = pb_bytes(&bytes, 2);
	assert_true(sv_eq(bytes, WIRE_END));
	return raw;
}

static const struct val *json_of(struct rig *r, struct sv message)
{
	const struct val *v = json_decode(&r->arena, arena_sv(&r->arena, pb_bytes(&message, 1)), NULL, NULL);

	assert_non_null(v);
	assert_int_equal(message.n, 0);
	return v;
}

/* The next event's object, as bytes in its envelope. */
static struct sv next_event(struct sv *rest, const char *type)
{
	const unsigned char *p = (const unsigned char *)rest->p;
	struct sv event, object, raw;
	size_t n;

	assert_true(rest->n > 4);
	n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
	assert_true(rest->n >= 4 + n);
	event = sv_sub(*rest, 4, n);
	*rest = sv_sub(*rest, 4 + n, rest->n);
	assert_sv(pb_bytes(&event, 1), type);
	object = pb_bytes(&event, 2);
	assert_int_equal(event.n, 0);
	raw = pb_bytes(&object, 1);
	assert_int_equal(object.n, 0);
	return raw;
}

/* --- tests of it --- */

static void test_wire_single(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	put(r, "one", 10);
	a = api(r, "GET", CM "/one", .accept = wire.name);
	assert_int_equal(a->code, 200);
	assert_string_equal(a->content_type, wire.content_type);
	assert_val(val_get(json_of(r, enveloped(buf_sv(&a->body), "v1", "ConfigMap")), F_metadata, F_name), "one");
	answer_free(a);
	/* What is no stored object is made for the occasion: what went wrong, too. */
	a = api(r, "POST", CM, .body = "{\"metadata\":{\"name\":\"two\"}}", .accept = wire.name);
	assert_int_equal(a->code, 201);
	(void)enveloped(buf_sv(&a->body), "v1", "ConfigMap");
	answer_free(a);
	a = api(r, "DELETE", CM "/two", .accept = wire.name);
	assert_val(val_get(json_of(r, enveloped(buf_sv(&a->body), "v1", "Status")), F_status), "Success");
	answer_free(a);
	put(r, "unspeakable", 1);
	for (int i = 0; i < 2; i++) {
		const struct val *status;

		a = api(r, "GET", i ? CM : CM "/unspeakable", .accept = wire.name);
		assert_int_equal(a->code, 500);
		status = json_of(r, enveloped(buf_sv(&a->body), "v1", "Status"));
		assert_val(val_get(status, F_reason), "InternalError");
		assert_true(sv_find_sv(val_get_str(status, F_message), SV("cannot be encoded as application/x-wire")) >=
			    0);
		answer_free(a);
	}
	/* JSON is as it was. */
	assert_int_equal(val_len(val_get(expect(r, 200, "GET", CM, NULL), F_items)), 2);
}

static void test_wire_picked(void **state)
{
	static const struct {
		const char *path, *accept, *type;
	} cases[] = {
		{ CM, "application/x-wire,application/json", "application/x-wire" },
		{ CM, "application/x-wire;q=0.1,application/yaml;q=0.2", "application/yaml" },
		{ CM, "application/x-wire;" TABLE ",application/json", "application/json" },
		{ "/api/v1/secrets", "application/x-wire,application/json", "application/json" },
		{ CM, "*/*", "application/json" },
		{ CM "?pretty=true", "application/x-wire", "application/x-wire" },
	};
	struct rig *r = *state;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct answer *a = api(r, "GET", cases[i].path, .accept = cases[i].accept);

		assert_int_equal(a->code, 200);
		assert_string_equal(a->content_type, cases[i].type);
		answer_free(a);
	}
	expect_status(r, 406, "NotAcceptable",
		      "media types are accepted: application/json, application/yaml, "
		      "application/vnd.kubernetes.protobuf, application/x-wire",
		      &(struct ask){ .method = "GET", .path = "/api/v1/secrets", .accept = "application/x-wire" });
}

static void test_wire_list(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	struct sv raw, meta;
	char name[16];

	for (int round = 0; round < 2; round++) {
		a = api(r, "GET", CM, .accept = wire.name);
		assert_string_equal(a->content_type, wire.content_type);
		raw = enveloped(buf_sv(&a->body), "v1", "ConfigMapList");
		meta = pb_bytes(&raw, 1);
		assert_true(pb_bytes(&meta, 2).n > 0);
		for (int i = 0; round && i < 300; i++) {
			(void)snprintf(name, sizeof(name), "n%03d", i);
			assert_val(val_get(json_of(r, pb_bytes(&raw, 2)), F_metadata, F_name), name);
		}
		assert_int_equal(raw.n, 0);
		answer_free(a);
		for (int i = 0; !round && i < 300; i++) {
			(void)snprintf(name, sizeof(name), "n%03d", i);
			put(r, name, (size_t)i);
		}
	}
	/* For the sum of their lengths, and when they are sent. */
	assert_int_equal(wire_made, 600);
}

static void test_wire_watch(void **state)
{
	enum { WATCHERS = 100 };
	struct rig *r = *state;
	struct answer *a[WATCHERS];

	put(r, "before", 300);
	wire_made = 0;
	for (size_t i = 0; i < WATCHERS; i++)
		a[i] = api(r, "GET", CM "?watch=true&allowWatchBookmarks=true", .accept = wire.name);
	put(r, "later", 70000);
	expect(r, 200, "DELETE", CM "/before", NULL);
	rig_run(r, 90 * NS_PER_SEC);
	for (size_t i = 0; i < WATCHERS; i++) {
		struct sv rest = buf_sv(&a[i]->body);
		const struct val *o;

		assert_string_equal(a[i]->content_type, wire.stream_type);
		o = json_of(r, enveloped(next_event(&rest, "ADDED"), "v1", "ConfigMap"));
		assert_val(val_get(o, F_metadata, F_name), "before");
		(void)next_event(&rest, "BOOKMARK"); /* that was all that there is */
		o = json_of(r, enveloped(next_event(&rest, "ADDED"), "v1", "ConfigMap"));
		assert_val(val_get(o, F_metadata, F_name), "later");
		o = json_of(r, enveloped(next_event(&rest, "DELETED"), "v1", "ConfigMap"));
		assert_val(val_get(o, F_metadata, F_name), "before");
		o = json_of(r, enveloped(next_event(&rest, "BOOKMARK"), "v1", "ConfigMap"));
		assert_true(rev_of(o) > 0);
		answer_gone(a[i]);
	}
	/* Each version of an object once, however many watch. */
	assert_int_equal(wire_made, 3);
}

static void test_wire_watch_errors(void **state)
{
	struct rig *r = *state;
	struct answer *a;
	struct sv rest;

	a = api(r, "GET", CM "?watch=true", .accept = wire.name);
	put(r, "unspeakable", 1);
	rest = buf_sv(&a->body);
	assert_val(val_get(json_of(r, enveloped(next_event(&rest, "ERROR"), "v1", "Status")), F_reason),
		   "InternalError");
	answer_gone(a);
}

/* A transport that parts messages itself gets no frames. */
static void test_wire_messages(void **state)
{
	struct rig *r = *state;
	struct answer *a = api_ask(
	    r, &(struct ask){ .method = "GET", .path = CM "?watch=true", .accept = wire.name, .messages = true });
	struct sv rest;

	put(r, "a", 1);
	assert_int_equal(a->messages, 1);
	assert_true(a->binary);
	rest = buf_sv(&a->body);
	assert_sv(pb_bytes(&rest, 1), "ADDED");
	rest = pb_bytes(&rest, 2);
	(void)enveloped(pb_bytes(&rest, 1), "v1", "ConfigMap");
	answer_gone(a);
	a = api_ask(r, &(struct ask){ .method = "GET", .path = CM "?watch=true", .messages = true });
	assert_int_equal(a->messages, 1);
	assert_false(a->binary);
	assert_val(val_get(stream_line(a, 0), F_type), "ADDED");
	answer_gone(a);
}

/* --- the usual ones --- */

/* What a whole answer of JSON reads like in the others. */
static void as_pretty(struct buf *b, struct arena *a, struct sv json)
{
	json_encode_indent(b, json_decode(a, json, NULL, NULL), 2);
}

static void as_yaml(struct buf *b, struct arena *a, struct sv json)
{
	yaml_encode(b, val_sorted(a, json_decode(a, json, NULL, NULL)));
}

/* Lists are made in pieces, and read as if they had been made at once. */
static void test_whole(void **state)
{
	static const char *const paths[] = {
		CM, CM "?limit=2", CM "?labelSelector=none", CM "/c3", CM "/none", "/api/v1/componentstatuses", "/apis",
	};
	static const char *const as[] = { "", (";" TABLE), ";as=Table;v=v1beta1;g=meta.k8s.io",
					  ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" };
	static const struct {
		const char *type;
		bool pretty;
		void (*make)(struct buf *b, struct arena *a, struct sv json);
	} encodings[] = { { "application/json", true, as_pretty }, { "application/yaml", false, as_yaml } };
	struct rig *r = *state;
	char name[16];

	for (int i = 0; i < 30; i++) {
		(void)snprintf(name, sizeof(name), "c%d", i);
		put(r, name, (size_t)i * 500);
	}
	for (size_t i = 0; i < ARRAY_LEN(paths) * ARRAY_LEN(as) * ARRAY_LEN(encodings); i++) {
		const char *path = paths[i % ARRAY_LEN(paths)], *form = as[i / ARRAY_LEN(paths) % ARRAY_LEN(as)];
		size_t k = i / ARRAY_LEN(paths) / ARRAY_LEN(as);
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		_cleanup_(buf_release) struct buf want = BUF_INIT;
		const char *sep = strchr(path, '?') ? "&" : "?";
		struct answer *plain, *got;

		plain = api(r, "GET", path, .accept = arena_printf(&a, "application/json%s", form));
		got =
		    api(r, "GET", arena_printf(&a, "%s%spretty=%s", path, sep, encodings[k].pretty ? "true" : "false"),
			.accept = arena_printf(&a, "%s%s", encodings[k].type, form));
		assert_int_equal(got->code, plain->code);
		if (plain->code == 200) { /* failures are the sink's */
			encodings[k].make(&want, &a, buf_sv(&plain->body));
			assert_string_equal(buf_cstr(&got->body), buf_cstr(&want));
			assert_string_equal(got->content_type, encodings[k].type);
		}
		answer_free(plain);
		answer_free(got);
	}
}

/* What nests too deep to be read again with a Table's row around it is told nevertheless. */
static void test_deep(void **state)
{
	enum { DEPTH = 507 };
	struct rig *r = *state;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct answer *a;

	buf_adds(&b, "{\"metadata\":{\"name\":\"deep\"},\"revision\":1,\"data\":");
	for (int i = 0; i < DEPTH; i++)
		buf_adds(&b, "{\"a\":");
	buf_addc(&b, '1');
	for (int i = 0; i < DEPTH; i++)
		buf_addc(&b, '}');
	buf_addc(&b, '}');
	expect(r, 201, "POST", "/apis/apps/v1/namespaces/default/controllerrevisions", buf_cstr(&b));
	for (int i = 0; i < 4; i++) {
		a = api(r, "GET",
			i & 1
			    ? "/apis/apps/v1/controllerrevisions?includeObject=Object&pretty=1"
			    : "/apis/apps/v1/namespaces/default/controllerrevisions/deep?includeObject=Object&pretty=1",
			.accept = i & 2 ? "application/yaml;" TABLE : "application/json;" TABLE);
		assert_int_equal(a->code, 200);
		answer_free(a);
	}
}

/* Long answers are made a piece at a time, whatever they are made in; short ones at once. */
static void test_pieces(void **state)
{
	static const char *const accepts[] = { "application/json", "application/yaml", "application/json;" TABLE,
					       "application/yaml;" TABLE };
	struct rig *r = *state;
	char name[16], path[256];

	for (int i = 0; i < 100; i++) {
		(void)snprintf(name, sizeof(name), "c%03d", i);
		put(r, name, 10000);
	}
	for (size_t i = 0; i < 2 * ARRAY_LEN(accepts); i++) {
		struct answer *a;

		(void)snprintf(path, sizeof(path), CM "?includeObject=Object&pretty=%s", i & 1 ? "true" : "false");
		a = api_start(r,
			      &(struct ask){ .method = "GET", .path = path, .accept = accepts[i / 2], .loop = true });
		assert_int_equal(a->answers, 1);
		assert_true(a->body.n > 1000000);
		assert_true(a->pieces > 30);
		assert_true(a->largest < 200000);
		answer_free(a);
		(void)snprintf(path, sizeof(path), CM "?limit=3&pretty=%s", i & 1 ? "true" : "false");
		a = api_start(r,
			      &(struct ask){ .method = "GET", .path = path, .accept = accepts[i / 2], .loop = true });
		assert_int_equal(a->answers, 1);
		assert_true(a->body.n > 100);
		answer_free(a);
	}
}

/* What is made of one large object is not made on a loop; what goes out as it is, is. */
static void test_large(void **state)
{
	const struct http_header gzip[] = { { SV("accept-encoding"), SV("gzip") }, { SV(""), SV("") } };
	static const struct {
		const char *path, *accept;
		bool gzips, pooled;
	} cases[] = {
		{ CM "/large", "application/json", false, false },
		{ CM "/large", "application/json", true, true },
		{ CM "/large?pretty=true", "application/json", false, true },
		{ CM "/large", "application/yaml", false, true },
		{ CM "/large", "application/json;" TABLE, false, false },
		{ CM "/large", "application/yaml;" TABLE, false, true },
		{ CM "/small", "application/json", true, false },
		{ CM "/small?pretty=true", "application/json", false, false },
		{ CM "/small", "application/yaml", true, false },
	};
	struct rig *r = *state;
	struct answer *a;

	put(r, "large", 200000);
	put(r, "small", 2000);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		a = api_start(r, &(struct ask){ .method = "GET",
						.path = cases[i].path,
						.accept = cases[i].accept,
						.cert_user = "admin",
						.cert_group = "system:masters",
						.headers = cases[i].gzips ? gzip : NULL,
						.loop = true });
		assert_int_equal(a->answers, cases[i].pooled ? 0 : 1);
		rig_run(r, 0);
		assert_int_equal(a->answers, 1);
		assert_int_equal(a->code, 200);
		answer_free(a);
	}
	/* So is what a write answers with. */
	a = api_start(r, &(struct ask){ .method = "PATCH",
					.path = CM "/large?pretty=true",
					.type = "application/merge-patch+json",
					.body = "{\"data\":{\"b\":\"no\"}}",
					.loop = true });
	rig_run(r, 0);
	assert_int_equal(a->code, 200);
	assert_true(sv_starts(buf_sv(&a->body), SV("{\n  \"kind\": \"ConfigMap\"")));
	answer_free(a);
}

/* What is compressed already, as kept documents are, is not compressed again. */
static void test_gzips(void **state)
{
	struct http_header wants = { SV("accept-encoding"), SV("deflate, gzip;q=0.5") };
	struct http_header is[] = { { SV("etag"), SV("x") }, { SV("content-encoding"), SV("gzip") } };
	struct http_req http = { .headers = &wants, .n_headers = 1 };
	struct api_req q = { .http = &http, .headers = is };

	(void)state;
	for (q.n_headers = 0; q.n_headers < 3; q.n_headers++)
		assert_int_equal(answer_gzips(&q, 200, 1 << 20), q.n_headers < 2);
	q.n_headers = 0;
	assert_true(answer_gzips(&q, 200, -1));
	assert_false(answer_gzips(&q, 200, MEDIA_GZIP_MIN));
	assert_false(answer_gzips(&q, 404, 1 << 20));
	q.http = NULL;
	assert_false(answer_gzips(&q, 200, 1 << 20));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, rig_setup, rig_teardown)
#define W(f) cmocka_unit_test_setup_teardown(f, wire_setup, rig_teardown)
	const struct CMUnitTest tests[] = {
		T(test_whole),
		T(test_deep),
		T(test_pieces),
		T(test_large),
		cmocka_unit_test(test_gzips),
		W(test_wire_single),
		W(test_wire_picked),
		W(test_wire_list),
		W(test_wire_watch),
		W(test_wire_messages),
		W(test_wire_watch_errors),
	};

	return cmocka_run_group_tests_name("apiserver/media", tests, NULL, NULL);
}
