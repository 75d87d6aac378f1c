/* Who inherits the host's settings: a node, and no directory that is only called like one's. */
#include "unit.h"

#include "base/file.h"
#include "base/sysctl.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct arena A;
static char dir[] = "/tmp/caravel-sysctl-XXXXXX";

static const char *path(const char *name)
{
	return arena_printf(&A, "%s/%s", dir, name);
}

static void put(const char *name, const char *text)
{
	struct err err = ERR_INIT;

	if (file_write(path(name), sv_from(text), 0600, &err) < 0)
		fail_msg("%s", err_msg(&err));
}

static bool hand_over(void)
{
	struct sysctls s;
	bool done;

	sysctls_init(&s, path("run-1/settings"));
	done = sysctl_hand_over(&s, path("run-*/node"));
	sysctls_release(&s);
	return done;
}

static void test_heirs(_unused_ void **state)
{
	struct err err = ERR_INIT;
	struct sv text;

	assert_int_equal(mkdir(path("run-0-foreign"), 0700), 0);
	assert_int_equal(mkdir(path("run-1"), 0700), 0);
	assert_int_equal(mkdir(path("run-2"), 0700), 0);
	put("run-1/node", "pid 1\n");
	put("run-1/settings", "net/ipv4/ip_forward 0\n");
	assert_false(hand_over()); /* neither to itself nor to strangers */
	assert_int_equal(access(path("run-0-foreign/settings"), F_OK), -1);
	assert_int_equal(access(path("run-2/settings"), F_OK), -1);
	assert_int_equal(access(path("run-1/settings"), F_OK), 0);

	/* in another network namespace; not yet known in which */
	put("run-2/node", "pid 2 netns 1\n");
	assert_false(hand_over());
	put("run-2/node", "");
	assert_false(hand_over());
	put("run-2/node", arena_printf(&A, "pid 2 netns %" PRIu64 "\n", sysctl_netns()));
	put("run-2/settings", "net/bridge/bridge-nf-call-iptables 0\n");
	assert_true(hand_over());
	assert_int_equal(access(path("run-0-foreign/settings"), F_OK), -1);
	assert_int_equal(access(path("run-1/settings"), F_OK), -1);
	assert_int_equal(file_read(&A, path("run-2/settings"), 4096, &text, &err), 0);
	assert_sv(text, "net/bridge/bridge-nf-call-iptables 0\nnet/ipv4/ip_forward 0\n");
}

/* Who goes keeps nothing of what he was handed last, whatever its name, and is handed nothing afterwards. */
static void test_no_heir(_unused_ void **state)
{
	const char *own = arena_printf(&A, "pid 3 netns %" PRIu64 "\n", sysctl_netns());
	struct err err = ERR_INIT;
	struct sv text;

	assert_int_equal(mkdir(path("end-1"), 0700), 0);
	assert_int_equal(mkdir(path("end-2"), 0700), 0);
	put("end-1/node", own);
	put("end-1/settings-network", "net/ipv4/no_such_setting 0\n");
	put("end-1/settings-network.ranges", "1 2\n");
	put("end-2/node", own);
	sysctls_no_heir(path("end-1/node"), "settings", path("end-*/node"));
	assert_int_equal(access(path("end-1/node"), F_OK), -1);
	assert_int_equal(access(path("end-1/settings-network"), F_OK), -1);
	assert_int_equal(access(path("end-1/settings-network.ranges"), F_OK), 0);
	assert_int_equal(file_read(&A, path("end-2/settings-network"), 4096, &text, &err), 0);
	assert_sv(text, "net/ipv4/no_such_setting 0\n");

	sysctls_no_heir(path("end-2/node"), "settings", path("end-*/node"));
	assert_int_equal(access(path("end-2/settings-network"), F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_heirs), cmocka_unit_test(test_no_heir) };
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	tree_remove(dir, NULL);
	arena_release(&A);
	return failed;
}
