/* Join tokens: their forms, and the CA that they pin. */
#include "unit.h"

#include "client/bootstrap_token.h"
#include "codec/json.h"

/* SHA-256 of "abc" (FIPS 180-2) */
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void test_forms(void **state)
{
	struct join_token t;

	(void)state;
	assert_int_equal(join_token_parse(SV("abc123.0123456789abcdef"), &t, NULL), 0);
	assert_sv(t.id, "abc123");
	assert_sv(t.secret, "0123456789abcdef");
	assert_sv(t.ca_hash, "");
	assert_int_equal(join_token_parse(SV("K10" ABC "::abc123.0123456789abcdef"), &t, NULL), 0);
	assert_sv(t.id, "abc123");
	assert_sv(t.secret, "0123456789abcdef");
	assert_sv(t.ca_hash, ABC);
}

static void test_bad_forms(void **state)
{
	static const char *const bad[] = {
		"",
		".",
		"::",
		"K10",
		"K10::",
		"abc123",
		"abc123.",
		".0123456789abcdef",
		"abc12.0123456789abcdef",
		"abc1234.0123456789abcdef",
		"abc123.0123456789abcde",
		"abc123.0123456789abcdef0",
		"ABC123.0123456789abcdef",
		"abc123.0123456789ABCDEF",
		"abc123.0123456789abcde\n",
		" abc123.0123456789abcdef",
		"abc12_.0123456789abcdef",
		"abc123.01234567.9abcdef",
		"K10abc123.0123456789abcdef",
		"K10::abc123.0123456789abcdef",
		"K10ba78::abc123.0123456789abcdef",
		"K10" ABC ":abc123.0123456789abcdef",
		"K10" ABC "::server:abc123.0123456789abcdef",
		"K10" ABC "::",
		"K10" ABC "0::abc123.0123456789abcdef",
		"k10" ABC "::abc123.0123456789abcdef",
		"K10BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD::abc123.0123456789abcdef",
		"secret",
		"K10" ABC "::server:password",
	};
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct join_token t;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		err_release(&err);
		if (join_token_parse(sv_from(bad[i]), &t, &err) == 0)
			fail_msg("'%s' is taken", bad[i]);
		/* a failure ends in logs: nothing of a secret is in it */
		assert_true(sv_find_sv(sv_from(err_msg(&err)), SV("0123456789")) < 0);
	}
	assert_int_equal(join_token_parse(sv_make("abc123.0123456789abcde\0", 23), &t, NULL), -1);
	assert_int_equal(join_token_parse(SV_NULL, &t, NULL), -1);
}

static void test_pinning(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv text = join_token_format(&a, SV("abc"), SV("abc123"), SV("0123456789abcdef"));
	struct join_token t;

	(void)state;
	assert_sv(text, "K10" ABC "::abc123.0123456789abcdef");
	assert_int_equal(join_token_parse(text, &t, NULL), 0);
	assert_int_equal(join_token_check_ca(&t, SV("abc"), NULL), 0);
	assert_int_equal(join_token_check_ca(&t, SV("abc\n"), &err), -1);
	assert_int_equal(err.reason, ERR_UNAUTHORIZED);
	assert_int_equal(join_token_check_ca(&t, SV(""), NULL), -1);
	assert_int_equal(join_token_check_ca(&t, SV_NULL, NULL), -1);
	/* The short form pins nothing, and does not pass for one that does. */
	assert_int_equal(join_token_parse(SV("abc123.0123456789abcdef"), &t, NULL), 0);
	assert_int_equal(join_token_check_ca(&t, SV("abc"), NULL), -1);
}

static struct obj *secret(struct arena *a, const char *data)
{
	struct err err = ERR_INIT;
	struct val *doc = json_decode(
	    a, arena_svf(a, "{\"metadata\":{\"name\":\"x\",\"namespace\":\"kube-system\"},\"data\":{%s}}", data), NULL,
	    &err);

	assert_non_null(doc);
	return obj_new(doc, 1);
}

static void test_ends(void **state)
{
	static const struct {
		const char *data;
		int64_t end;
	} cases[] = {
		{ "", INT64_MAX },
		{ "\"expiration\":\"\"", INT64_MAX },
		{ "\"expiration\":\"MjAyNi0wMS0wMVQwMDowMDowMFo=\"", INT64_C(1767225600) * NS_PER_SEC },
		{ "\"expiration\":\"bmV2ZXI=\"", INT64_MIN }, /* "never" */
		{ "\"expiration\":\"!\"", INT64_MIN },
	};
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_obj_ struct obj *o = secret(&a, cases[i].data);

		assert_int_equal(bootstrap_token_end(o), cases[i].end);
	}
}

/* Upstream's own examples. */
static void test_signature(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct join_token t = { .id = SV("joshua"), .secret = SV("my voice is my passcode") };

	(void)state;
	assert_sv(bootstrap_token_sign(&a, &t, SV("Hello from the other side. I must have called a thousand times.")),
		  "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..VShe2taLd-YTrmWuRkcL_8QTNDHYxQIEBsAYYiIj1_8");
	assert_sv(bootstrap_token_sign(&a, &t, SV("")),
		  "eyJhbGciOiJIUzI1NiIsImtpZCI6Impvc2h1YSJ9..7Ui1ALizW4jXphVUB7xUqC9vLYLL9RZeOFfVLoB7Tgk");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_signature), cmocka_unit_test(test_forms), cmocka_unit_test(test_bad_forms),
		cmocka_unit_test(test_pinning),	  cmocka_unit_test(test_ends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
