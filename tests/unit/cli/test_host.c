#include "unit.h"

#include "cli/server.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena A;

/* A cluster's names are made of its data directory, so it must have one spelling, there or not. */
static void test_full_path(_unused_ void **state)
{
	char dir[] = "/tmp/caravel-host.XXXXXX", here[4096];

	assert_non_null(mkdtemp(dir));
	assert_int_equal(symlink(dir, arena_printf(&A, "%s/link", dir)), 0);
	assert_string_equal(full_path(&A, dir), dir);
	assert_string_equal(full_path(&A, arena_printf(&A, "%s/", dir)), dir);
	assert_string_equal(full_path(&A, arena_printf(&A, "%s/link/./link//gone/x/../y/", dir)),
			    arena_printf(&A, "%s/gone/y", dir));
	assert_string_equal(full_path(&A, "/"), "/");
	assert_string_equal(full_path(&A, "//.././"), "/");
	assert_non_null(getcwd(here, sizeof(here)));
	assert_string_equal(full_path(&A, "gone"), arena_printf(&A, "%s/gone", here));
	assert_int_equal(unlink(arena_printf(&A, "%s/link", dir)), 0);
	assert_int_equal(rmdir(dir), 0);
}

static void test_addresses(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;

	assert_true(host_has_address(&a, "127.0.0.1"));
	assert_false(host_has_address(&a, "127.0.0.1 "));
	assert_false(host_has_address(&a, "203.0.113.7"));
	assert_false(host_has_address(&a, "2001:db8::7"));
	assert_false(host_has_address(&a, ""));
}

static void test_names(_unused_ void **state)
{
	assert_string_equal(cluster_tag(&A, DEFAULT_DATA_DIR), "caravel");
	assert_string_equal(cluster_cgroup(&A, DEFAULT_DATA_DIR), "/caravel");
	assert_string_equal(cluster_dirs(&A, DEFAULT_DATA_DIR).kubelet_root, "/var/lib/kubelet");
	assert_string_not_equal(cluster_tag(&A, "/a"), cluster_tag(&A, "/b"));
	assert_string_equal(cluster_dirs(&A, "/a").log_dir, "/a/pod-logs");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_full_path), cmocka_unit_test(test_addresses),
					    cmocka_unit_test(test_names) };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	arena_release(&A);
	return failed;
}
