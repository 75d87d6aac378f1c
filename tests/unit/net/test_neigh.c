/* Neighbours are forgotten, those of one link and of these addresses. In a network namespace of its own. */
#include "unit.h"

#include "ev/ev.h"
#include "net/neigh.h"

#include <sched.h>
#include <stdio.h>

/* Words of `ip`, NULL at the end; its output. */
static struct buf ip_says(const char *const *words)
{
	const char *argv[16] = { "ip" };
	struct buf out = BUF_INIT;
	int status = -1;

	for (size_t i = 0; words[i]; i++)
		argv[i + 1] = words[i];
	assert_int_equal(
	    child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
		      60 * NS_PER_SEC, 65536, &out, NULL, &status, NULL),
	    0);
	assert_int_equal(status, 0);
	return out;
}

#define IP(...)                                                                        \
	do {                                                                           \
		struct buf said = ip_says((const char *const[]){ __VA_ARGS__, NULL }); \
		buf_release(&said);                                                    \
	} while (0)

static bool known(const char *link, const char *address)
{
	_cleanup_(buf_release) struct buf said =
	    ip_says((const char *const[]){ "neigh", "show", "dev", link, address, NULL });

	return strstr(buf_cstr(&said), "lladdr") != NULL;
}

static void test_forgotten(_unused_ void **state)
{
	static const char *const links[] = { "cvla", "cvlb" }, *const all[] = { "10.9.0.2", "10.9.0.3", "fd09::2" };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct ip_addr ips[3];

	for (size_t l = 0; l < 2; l++) {
		IP("link", "add", links[l], "type", "bridge");
		IP("link", "set", links[l], "up");
		for (size_t i = 0; i < 3; i++)
			IP("neigh", "add", all[i], "lladdr", "02:00:00:00:00:01", "nud", i ? "reachable" : "stale",
			   "dev", links[l]);
	}
	assert_true(ip_parse(SV("10.9.0.2"), &ips[0]) && ip_parse(SV("fd09::2"), &ips[1]) &&
		    ip_parse(SV("10.9.0.77"), &ips[2]));
	assert_int_equal(neigh_forget("cvla", ips, 3, &err), 0); /* one of them is nobody's */
	assert_false(known("cvla", "10.9.0.2"));
	assert_false(known("cvla", "fd09::2"));
	assert_true(known("cvla", "10.9.0.3"));
	for (size_t i = 0; i < 3; i++)
		assert_true(known("cvlb", all[i]));
	assert_int_equal(neigh_forget("cvla", ips, 3, &err), 0);
	assert_int_equal(neigh_forget("nosuchlink", ips, 3, &err), 0);
	assert_int_equal(neigh_forget("cvlb", ips, 0, &err), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_forgotten) };

	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "SKIPPED: needs the right to make a network namespace\n");
		return 77;
	}
	return cmocka_run_group_tests_name("neigh", tests, NULL, NULL);
}
