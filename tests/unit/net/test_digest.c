/* net/digest.h: the vectors of FIPS 180-2, and what no secret equals. */
#include "unit.h"

#include "net/digest.h"

static void names(void **state)
{
	char hex[SHA256_HEX];

	(void)state;
	sha256_hex(SV("abc"), hex);
	assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	sha256_hex(SV(""), hex);
	assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void secrets(void **state)
{
	(void)state;
	assert_true(secret_equal(SV("abc"), SV("abc")));
	assert_false(secret_equal(SV("abc"), SV("abd")));
	assert_false(secret_equal(SV("abc"), SV("abcd")));
	assert_false(secret_equal(SV("abc"), SV("")));
	assert_false(secret_equal(SV(""), SV("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names),
		cmocka_unit_test(secrets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
