#include "unit.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/quarantine.h"

#include <stdio.h>

static struct sv list_of(struct arena *a, const char *dir)
{
	struct sv text = SV("");

	(void)file_read(a, arena_printf(a, "%s/quarantine", dir), 4096, &text, NULL);
	return text;
}

static void test_list(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char dir[] = "/tmp/caravel-quarantine-XXXXXX";
	struct sv key;

	(void)state;
	assert_non_null(mkdtemp(dir));
	quarantine_load(dir);
	assert_int_equal(quarantine_count(), 0);
	assert_false(quarantine_has(SV("")));
	assert_int_equal(quarantine_add(dir, SV("/registry/a"), NULL), 0);
	assert_int_equal(quarantine_add(dir, SV("reconcile deployment default/web"), NULL), 0);
	assert_int_equal(quarantine_add(dir, SV("/registry/a"), NULL), 0); /* twice is once */
	assert_false(quarantine_has(SV("/registry/a")));		   /* the next start's */
	quarantine_load(dir);
	assert_int_equal(quarantine_count(), 2);
	assert_true(quarantine_has(SV("/registry/a")));
	assert_true(quarantine_has(SV("reconcile deployment default/web")));
	assert_false(quarantine_has(SV("/registry/")));
	assert_false(quarantine_has(SV("/registry/aa")));
	quarantine_drop(SV("/registry/b"));
	quarantine_drop(SV("/registry/a"));
	assert_false(quarantine_has(SV("/registry/a")));
	assert_true(quarantine_at(0, &key));
	assert_sv(key, "reconcile deployment default/web");
	assert_false(quarantine_at(1, &key));
	assert_sv(list_of(&a, dir), "reconcile deployment default/web\n");
	quarantine_load("/nonexistent");
	assert_int_equal(quarantine_count(), 0);
	assert_int_equal(quarantine_add("/nonexistent", SV("x"), NULL), -1);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_list) };

	return cmocka_run_group_tests_name("base/quarantine", tests, NULL, NULL);
}
