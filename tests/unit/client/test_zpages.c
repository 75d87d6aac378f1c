/* /statusz and /flagz: which form an Accept header gets. */
#include "unit.h"

#include "client/zpages.h"
#include "object/feature.h"

static const struct zpage_flag flags[] = { { "a", "[x,y]", false }, { "token", "secret-text", true } };
static const char *const paths[] = { "/healthz", "/statusz", NULL };
static const struct zpage_about about = { .component = "kube-thing",
					  .start_ns = INT64_C(1767225600) * 1000000000,
					  .now_ns = (INT64_C(1767225600) + 3661) * 1000000000,
					  .paths = paths,
					  .flags = flags,
					  .n_flags = ARRAY_LEN(flags) };

static void asks(enum zpage which, const char *accept, int code, const char *type, const char *part)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const char *got;

	assert_int_equal(zpage_make(which, &about, sv_from(accept), &b, &got), code);
	assert_string_equal(got, type);
	if (!strstr(buf_cstr(&b), part))
		fail_msg("%s: no '%s' in %s", accept, part, buf_cstr(&b));
	assert_null(strstr(buf_cstr(&b), "secret-text"));
}

#define TEXT "text/plain; charset=utf-8"
#define JSON "application/json"
#define OF(v, as) "application/json;v=" v ";g=config.k8s.io;as=" as

static void test_forms(void **state)
{
	(void)state;
	asks(ZPAGE_STATUS, "", 200, TEXT, "\nkube-thing statusz\nWarning: This endpoint");
	asks(ZPAGE_STATUS, "*/*", 200, TEXT,
	     "\nStarted: Thu Jan  1 00:00:00 UTC 2026\nUp: 1 hr 01 min 01 sec\nGo version: none\n");
	asks(ZPAGE_STATUS, "text/plain", 200, TEXT, "Emulation version: 1.37\nPaths: /healthz /statusz\n");
	asks(ZPAGE_STATUS, OF("v1beta1", "Statusz"), 200, JSON,
	     "{\"kind\":\"Statusz\",\"apiVersion\":\"config.k8s.io/v1beta1\",\"metadata\":{\"name\":\"kube-thing\"},"
	     "\"startTime\":\"2026-01-01T00:00:00Z\",\"uptimeSeconds\":3661,");
	asks(ZPAGE_STATUS, OF("v1alpha1", "Statusz"), 200, JSON, "config.k8s.io/v1alpha1");
	asks(ZPAGE_STATUS, "application/yaml;as=Statusz;g=config.k8s.io;v=v1beta1", 200, "application/yaml",
	     "kind: Statusz\n");
	asks(ZPAGE_FLAGS, "", 200, TEXT, "\na=[x,y]\ntoken=CLASSIFIED\n");
	asks(ZPAGE_FLAGS, OF("v1beta1", "Flagz"), 200, JSON, "\"flags\":{\"a\":\"[x,y]\",\"token\":\"CLASSIFIED\"}}");
	/* What is liked best, of what there is. */
	asks(ZPAGE_FLAGS, "text/html, " OF("v1beta1", "Flagz") ";q=0.5, text/plain;q=0.4", 200, JSON, "Flagz");
	asks(ZPAGE_FLAGS, OF("v1beta1", "Flagz") ";q=0.3, text/plain;q=0.4", 200, TEXT, "flags");
}

static void test_refused(void **state)
{
	static const char *const accepts[] = { "application/json",
					       OF("v1", "Statusz"),
					       OF("v1beta1", "Flagz"),
					       "application/json;v=v1beta1;as=Statusz",
					       "application/json;g=config.k8s.io;as=Statusz",
					       "image/png",
					       "application/cbor;v=v1beta1;g=config.k8s.io;as=Statusz",
					       "text/plain;q=0",
					       ";",
					       ",",
					       "application/json;v;g;as" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(accepts); i++)
		asks(ZPAGE_STATUS, accepts[i], 406, JSON, "only the following media types are accepted");
}

static void test_gates(void **state)
{
	enum zpage which;

	(void)state;
	assert_true(zpage_on(SV("/statusz"), &which) && which == ZPAGE_STATUS);
	assert_true(zpage_on(SV("/flagz"), &which) && which == ZPAGE_FLAGS);
	assert_false(zpage_on(SV("/statusz/"), &which));
	assert_int_equal(features_set(SV("ComponentStatusz=false,CBORServingAndStorage=true"), NULL), 0);
	assert_false(zpage_on(SV("/statusz"), &which));
	assert_true(zpage_on(SV("/flagz"), &which));
	asks(ZPAGE_FLAGS, "application/cbor;v=v1beta1;g=config.k8s.io;as=Flagz", 200, "application/cbor",
	     "\xd9\xd9\xf7");
	features_reset();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_gates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
