/* Links that come and go are heard of. In a network namespace of its own, where nothing else changes. */
#include "unit.h"

#include "ev/ev.h"
#include "net/link_watch.h"

#include <poll.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

static _Atomic int told;

static void changed(void *ctx)
{
	(void)ctx;
	told++;
}

static void test_links(void **state)
{
	const char *const add[] = { "ip", "link", "add", "cvlunit", "type", "bridge", NULL };
	const char *const del[] = { "ip", "link", "delete", "cvlunit", NULL };
	struct env *env = env_real_new(1);
	struct fd_watch *w = link_watch_new(env, LINK_WATCH_ROUTES, changed, NULL);

	(void)state;
	assert_non_null(w);
	for (int i = 0; i < 2; i++) {
		int before = told, status = -1;

		assert_int_equal(
		    child_run(
			&(struct child_opts){ .argv = i ? del : add, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 },
			60 * NS_PER_SEC, 4096, NULL, NULL, &status, NULL),
		    0);
		assert_int_equal(status, 0);
		for (int j = 0; j < 6000 && told == before; j++)
			poll(NULL, 0, 10);
		assert_true(told > before);
	}
	fd_watch_free(w);
	/* Its end is an end, whatever happens at that moment. */
	for (int i = 0; i < 20; i++)
		fd_watch_free(link_watch_new(env, LINK_WATCH_ROUTES, changed, NULL));
	env_real_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_links) };

	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "SKIPPED: needs the right to make a network namespace\n");
		return 77;
	}
	return cmocka_run_group_tests_name("link_watch", tests, NULL, NULL);
}
