#include "unit.h"

#include "cli/server.h"
#include "ev/ev.h"

#include <sched.h>
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

static void ip(const char *line)
{
	struct sv rest = sv_from(line), word;
	const char *argv[16] = { "ip" };
	int status = -1;
	size_t n = 1;

	while (sv_split(&rest, ' ', &word))
		argv[n++] = arena_cstr(&A, word);
	assert_int_equal(
	    child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		      60 * NS_PER_SEC, 4096, NULL, NULL, &status, NULL),
	    0);
	assert_int_equal(status, 0);
}

/* The last one: it goes on in a network namespace of its own. */
static void test_node_ips(_unused_ void **state)
{
	const char *both = "10.42.0.0/16,fd00:42::/56", *found;

	if (unshare(CLONE_NEWNET) < 0)
		skip();
	assert_null(host_node_ips(&A, "192.0.2.9", NULL, both)); /* nothing but a loopback that is down */
	ip("link add under type veth peer name cvlfar");
	ip("link set under up");
	ip("link set cvlfar up");
	ip("address add 10.42.0.1/24 dev cvlfar"); /* a bridge of ours is no way to reach the machine */
	assert_null(host_node_ips(&A, "", NULL, both));
	ip("address add 192.0.2.1/24 dev under");
	ip("address add 2001:db8::1/64 dev under nodad");
	assert_string_equal(host_node_ips(&A, "", NULL, both), "192.0.2.1 2001:db8::1");
	assert_string_equal(host_node_ips(&A, "", NULL, "fd00:42::/56,10.42.0.0/16"), "2001:db8::1 192.0.2.1");
	assert_string_equal(host_node_ips(&A, "", NULL, "10.42.0.0/16"), "192.0.2.1");
	assert_string_equal(host_node_ips(&A, "", NULL, "fd00:42::/56"), "2001:db8::1");
	assert_string_equal(host_address(&A), "192.0.2.1");
	/* Another one comes, and the default route with it: what we said stays, for pods and peers know it. */
	ip("link add other type veth peer name cvlother");
	ip("link set other up");
	ip("link set cvlother up");
	ip("address add 198.51.100.1/24 dev other");
	ip("route add default via 198.51.100.2");
	assert_string_equal(host_node_ips(&A, "192.0.2.1 2001:db8::1", NULL, both), "192.0.2.1 2001:db8::1");
	found = host_node_ips(&A, "", "under", both);
	assert_string_equal(found, "192.0.2.1 2001:db8::1");
	/* The default route of IPv6 is by a link that has none, and the kernel would take one of a bridge of ours. */
	ip("address flush dev under scope global");
	ip("-6 address add fd00:42::1/64 dev cvlfar nodad");
	ip("-6 route add default dev under");
	assert_string_equal(host_node_ips(&A, found, NULL, both), "198.51.100.1");
	assert_null(host_node_ips(&A, "", NULL, "fd00:42::/56"));
	/* All of it goes. */
	ip("address flush dev under");
	assert_string_equal(host_node_ips(&A, found, NULL, both), "198.51.100.1");
	assert_null(host_node_ips(&A, found, "under", both));
	/* A link that is down is no way, either. */
	ip("link set other down");
	assert_null(host_node_ips(&A, "198.51.100.1", NULL, both));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_full_path), cmocka_unit_test(test_addresses),
					    cmocka_unit_test(test_names), cmocka_unit_test(test_node_ips) };
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	arena_release(&A);
	return failed;
}
