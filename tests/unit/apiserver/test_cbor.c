/* CBOR while its feature is on, and as if it did not exist while it is off. */
#include "harness.h"

#include "codec/cbor.h"
#include "object/feature.h"

#include <stdio.h>

#define CM "/api/v1/namespaces/default/configmaps"
#define CBOR CBOR_MEDIA_TYPE
#define TABLE "as=Table;v=v1;g=meta.k8s.io"

static int cbor_setup(void **state)
{
	assert_int_equal(features_set(SV("CBORServingAndStorage=true"), NULL), 0);
	return rig_setup(state);
}

static int cbor_teardown(void **state)
{
	features_reset();
	return rig_teardown(state);
}

static const struct val *read_item(struct rig *r, struct sv bytes)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct val *v;

	assert_true(sv_starts(bytes, CBOR_SELF));
	v = cbor_decode(&r->arena, arena_sv(&r->arena, bytes), NULL, &err);
	if (!v)
		fail_msg("%s", err_msg(&err));
	return v;
}

static const char *sorted_text(struct rig *r, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, val_sorted(&r->arena, v));
	return arena_strdup(&r->arena, buf_cstr(&b));
}

/* All that can be read is the same in it. */
static void test_reads(void **state)
{
	static const char *const paths[] = { CM, CM "/one", CM "/none", "/api/v1/namespaces", "/apis", CM "?limit=1" };
	static const char *const forms[] = { "", (";" TABLE), ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io" };
	struct rig *r = *state;

	expect(r, 201, "POST", CM,
	       "{\"metadata\":{\"name\":\"one\"},\"data\":{\"a\":\"b\"},\"binaryData\":{\"x\":\"AAE=\"}}");
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"two\"}}");
	for (size_t i = 0; i < ARRAY_LEN(paths) * ARRAY_LEN(forms); i++) {
		const char *path = paths[i % ARRAY_LEN(paths)], *form = forms[i / ARRAY_LEN(paths)];
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct answer *as_json = api(r, "GET", path, .accept = arena_printf(&a, "application/json%s", form));
		struct answer *as_cbor = api(r, "GET", path, .accept = arena_printf(&a, CBOR "%s", form));

		if (i % ARRAY_LEN(paths) == 5) /* a token has a time in it */
			assert_int_equal(as_cbor->code, 200);
		assert_int_equal(as_cbor->code, as_json->code);
		if (as_json->code != 406) {
			assert_string_equal(as_cbor->content_type, CBOR);
			if (i % ARRAY_LEN(paths) != 5)
				assert_string_equal(sorted_text(r, read_item(r, buf_sv(&as_cbor->body))),
						    sorted_text(r, api_json(as_json)));
		}
		answer_free(as_json);
		answer_free(as_cbor);
	}
}

static void test_watch(void **state)
{
	static const char *const accepts[] = { CBOR, "application/cbor-seq," CBOR };
	struct rig *r = *state;

	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"one\"}}");
	for (size_t i = 0; i < ARRAY_LEN(accepts); i++) {
		struct answer *a = api(r, "GET", CM "?watch=true", .accept = accepts[i]);
		const struct val *e;

		assert_string_equal(a->content_type, "application/cbor-seq");
		e = read_item(r, buf_sv(&a->body));
		assert_val(val_get(e, F_type), "ADDED");
		assert_val(val_get(e, F_object, F_metadata, F_name), "one");
		assert_val(val_get(e, F_object, F_kind), "ConfigMap");
		answer_gone(a);
	}
}

static struct answer *ask_cbor(struct rig *r, const char *method, const char *path, const char *type, const char *json)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct answer *a;

	buf_addsv(&b, CBOR_SELF);
	cbor_encode(&b, json_decode(&r->arena, sv_from(json), NULL, NULL));
	a = api_ask(r, &(struct ask){
			   .method = method, .path = path, .type = type, .body = b.p, .body_n = b.n, .accept = CBOR });
	return a;
}

static void test_writes(void **state)
{
	struct rig *r = *state;
	struct answer *a;

	a = ask_cbor(r, "POST", CM, CBOR,
		     "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"c\"},"
		     "\"data\":{\"k\":\"v\"}}");
	assert_int_equal(a->code, 201);
	assert_val(val_get(read_item(r, buf_sv(&a->body)), F_metadata, F_name), "c");
	answer_free(a);
	a = ask_cbor(
	    r, "PATCH", CM "/c?fieldManager=m", "application/apply-patch+cbor",
	    "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"c\"},\"data\":{\"l\":\"w\"}}");
	if (a->code != 200)
		fail_msg("%.*s", SV_ARG(buf_sv(&a->body)));
	assert_int_equal(a->code, 200);
	assert_val(val_member_sv(val_get(read_item(r, buf_sv(&a->body)), F_data), SV("l")), "w");
	answer_free(a);
	a = ask_cbor(r, "POST", CM "?fieldValidation=Strict", CBOR,
		     "{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"d\"},\"wrong\":1}");
	assert_int_equal(a->code, 400);
	answer_free(a);
	expect_status(r, 400, "BadRequest", "cbor: unexpected EOF",
		      &(struct ask){ .method = "POST",
				     .path = CM,
				     .type = CBOR,
				     .body = "\xa1\x41"
					     "a",
				     .body_n = 3 });
	expect_status(r, 400, "BadRequest", "duplicate map key",
		      &(struct ask){ .method = "POST",
				     .path = CM,
				     .type = CBOR,
				     .body = "\xa2\x41"
					     "a\x01\x41"
					     "a\x02",
				     .body_n = 7 });
	a = ask_cbor(r, "DELETE", CM "/c", CBOR, "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\"}");
	assert_int_equal(a->code, 200);
	answer_free(a);
	expect(r, 404, "GET", CM "/c", NULL);
}

static void test_off(void **state)
{
	struct rig *r = *state;

	expect_status(r, 406, "NotAcceptable", "application/vnd.kubernetes.protobuf",
		      &(struct ask){ .method = "GET", .path = CM, .accept = CBOR });
	expect_status(r, 415, "UnsupportedMediaType", "application/vnd.kubernetes.protobuf",
		      &(struct ask){ .method = "POST", .path = CM, .type = CBOR, .body = "\xa0", .body_n = 1 });
	expect(r, 201, "POST", CM, "{\"metadata\":{\"name\":\"one\"}}");
	expect_status(r, 415, "UnsupportedMediaType", "application/apply-patch+yaml",
		      &(struct ask){ .method = "PATCH",
				     .path = CM "/one?fieldManager=m",
				     .type = "application/apply-patch+cbor",
				     .body = "\xa0",
				     .body_n = 1 });
	expect_status(
	    r, 415, "UnsupportedMediaType", "accepted media types",
	    &(struct ask){ .method = "DELETE", .path = CM "/one", .type = CBOR, .body = "\xa0", .body_n = 1 });
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, cbor_setup, cbor_teardown)
	const struct CMUnitTest tests[] = {
		T(test_reads),
		T(test_watch),
		T(test_writes),
		cmocka_unit_test_setup_teardown(test_off, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests_name("apiserver/cbor", tests, NULL, NULL);
}
