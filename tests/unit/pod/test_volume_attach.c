/* Names of attached volumes in the status of a Node. */
#include "unit.h"

#include "codec/json.h"
#include "pod/volume_attach.h"

static void test_there_and_back(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv driver, handle;
	char *unique = volume_attach_unique(&a, SV("d.io"), SV("vol^1/x"));

	(void)state;
	assert_string_equal(unique, "kubernetes.io/csi/d.io^vol^1/x");
	assert_true(volume_attach_split(sv_from(unique), &driver, &handle));
	assert_sv(driver, "d.io");
	assert_sv(handle, "vol^1/x");
}

static void hex_of(struct sv s, char ret[65])
{
	assert_sv(s, "vol^1d.ion1");
	memcpy(ret, "ab12", 5);
}

static void test_attachment(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	assert_string_equal(volume_attach_name(&a, SV("d.io"), SV("vol^1"), SV("n1"), hex_of), "csi-ab12");
}

static void test_of_no_driver(void **state)
{
	struct sv driver, handle;

	(void)state;
	assert_false(volume_attach_split(SV("kubernetes.io/nfs/a^b"), &driver, &handle));
	assert_false(volume_attach_split(SV("kubernetes.io/csi/d.io"), &driver, &handle));
	assert_false(volume_attach_split(SV("a^kubernetes.io/csi/"), &driver, &handle));
	assert_false(volume_attach_split(SV(""), &driver, &handle));
}

static void test_listed(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	(void)state;
	assert_true(volume_attach_listed(json_decode(&a, SV("[\"x\",\"y\"]"), NULL, NULL), "y"));
	assert_true(
	    volume_attach_listed(json_decode(&a, SV("[{\"name\":\"y\",\"devicePath\":\"\"}]"), NULL, NULL), "y"));
	assert_false(volume_attach_listed(json_decode(&a, SV("[\"x\",{\"name\":\"z\"}]"), NULL, NULL), "y"));
	assert_false(volume_attach_listed(NULL, "y"));
}

int main(void)
{
	static const struct CMUnitTest tests[] = { cmocka_unit_test(test_there_and_back),
						   cmocka_unit_test(test_attachment),
						   cmocka_unit_test(test_of_no_driver), cmocka_unit_test(test_listed) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
