#include "unit.h"

#include "kubelet/kpod.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* Each state leads to the next and nowhere else. */
static void test_edges(void **state)
{
	(void)state;
	for (int from = 0; from < _POD_STATE_MAX; from++)
		for (int to = 0; to < _POD_STATE_MAX; to++)
			assert_int_equal(pod_state_may(from, to), to == from + 1);
	for (int from = 0; from < _TAKEN_MAX; from++)
		for (int to = 0; to < _TAKEN_MAX; to++)
			assert_int_equal(pod_taken_may(from, to), to > from);
}

static void test_set(void **state)
{
	char ns[] = "default", name[] = "p";
	struct kpod p = { .ns = ns, .name = name };

	(void)state;
	for (int to = POD_STOPPING; to < _POD_STATE_MAX; to++) {
		assert_true(pod_state_set(&p, to));
		assert_int_equal(p.state, to);
	}
	assert_true(pod_taken_set(&p, TAKEN_YES));
	assert_true(pod_taken_set(&p, TAKEN_NO));
	assert_int_equal(p.taken, TAKEN_NO);
}

/* Where tests run, an illegal edge ends the process; in a release it is refused, and nothing changes. */
static void refused(enum pod_state from, enum pod_state to)
{
	char ns[] = "default", name[] = "p";
	struct kpod p = { .ns = ns, .name = name, .state = from };
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		_exit(pod_state_set(&p, to) || p.state != from ? 1 : 0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
#ifdef CARAVEL_FAILPOINTS
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
#else
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
#endif
}

static void test_refused(void **state)
{
	(void)state;
	refused(POD_STOPPING, POD_SYNC);
	refused(POD_SYNC, POD_GONE);
	refused(POD_STOPPED, POD_STOPPED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edges),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests_name("kubelet/pod_state", tests, NULL, NULL);
}
