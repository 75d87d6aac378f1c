#include "unit.h"

#include "base/lazylib.h"

#include <math.h>

static typeof(cbrt) *sym_cbrt;
static int (*sym_none)(void);

static void test_found(void **state)
{
	static const struct lazylib_sym syms[] = { { "cbrt", &sym_cbrt } };
	static struct lazylib lib = LAZYLIB("libm.so.6", syms);
	struct err err = ERR_INIT;

	(void)state;
	for (int i = 0; i < 2; i++) {
		assert_int_equal(lazylib_need(&lib, &err), 0);
		assert_true(sym_cbrt(27.0) > 2.99 && sym_cbrt(27.0) < 3.01);
	}
}

static void test_missing(void **state)
{
	static const struct lazylib_sym syms[] = { { "caravel_has_no_such_function", &sym_none } };
	static struct lazylib no_lib = LAZYLIB("libcaravel-none.so.1", syms), no_sym = LAZYLIB("libm.so.6", syms);
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(lazylib_need(&no_lib, &err), -1);
	assert_non_null(strstr(err_msg(&err), "libcaravel-none.so.1"));
	err_release(&err);
	assert_int_equal(lazylib_need(&no_sym, &err), -1);
	assert_string_equal(err_msg(&err), "'libm.so.6' has no function 'caravel_has_no_such_function'");
	err_release(&err);
	assert_null(sym_none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_found),
		cmocka_unit_test(test_missing),
	};

	return cmocka_run_group_tests_name("base/lazylib", tests, NULL, NULL);
}
