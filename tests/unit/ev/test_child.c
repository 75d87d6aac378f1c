/* Child processes. */
#include "unit.h"

#include "ev/ev.h"

#include <pthread.h>
#include <stdatomic.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTS(...)                                                                                                    \
	{                                                                                                            \
		.argv = (const char *const[]){ __VA_ARGS__, NULL }, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 \
	}

static void test_run_captures(void **state)
{
	struct child_opts o = OPTS("sh", "-c", "printf out; printf err >&2; exit 3");
	_cleanup_(buf_release) struct buf out = BUF_INIT, errout = BUF_INIT;
	int status = 0;

	(void)state;
	assert_int_equal(child_run(&o, 30 * NS_PER_SEC, 1024, &out, &errout, &status, NULL), 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 3);
	assert_sv(buf_sv(&out), "out");
	assert_sv(buf_sv(&errout), "err");
}

static void test_run_bounds_output(void **state)
{
	struct child_opts o =
	    OPTS("sh", "-c", "i=0; while [ $i -lt 5000 ]; do echo 0123456789abcdef0123456789; i=$((i+1)); done");
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	int status = 0;

	(void)state;
	assert_int_equal(child_run(&o, 30 * NS_PER_SEC, 100, &out, NULL, &status, NULL), 0);
	assert_int_equal(status, 0);
	assert_int_equal(out.n, 100);
}

static void test_run_times_out(void **state)
{
	struct child_opts o = OPTS("sleep", "1000");
	_cleanup_(err_release) struct err err = ERR_INIT;
	int status = 0;

	(void)state;
	assert_int_equal(child_run(&o, 10 * NS_PER_MS, 100, NULL, NULL, &status, &err), -1);
	assert_int_equal(err.reason, ERR_TIMEOUT);
	assert_true(WIFSIGNALED(status));
}

static void test_run_environment_and_directory(void **state)
{
	struct child_opts o = OPTS("/bin/sh", "-c", "echo $X; pwd; cat");
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	int status = 0;

	(void)state;
	o.envp = (const char *const[]){ "X=hello", NULL };
	o.cwd = "/";
	o.new_session = true;
	o.die_with_parent = true; /* goes through the keeper thread */
	assert_int_equal(child_run(&o, 30 * NS_PER_SEC, 100, &out, NULL, &status, NULL), 0);
	assert_sv(buf_sv(&out), "hello\n/\n");
}

static void test_missing_program(void **state)
{
	struct child_opts o = OPTS("/nonexistent/program");
	_cleanup_(err_release) struct err err = ERR_INIT;
	int status = 0;

	(void)state;
	assert_int_equal(child_run(&o, NS_PER_SEC, 100, NULL, NULL, &status, &err), -1);
	assert_string_equal(err.msg, "starting '/nonexistent/program': No such file or directory");
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int ended, last_status;

static void on_exit_status(int status, void *ctx)
{
	(void)ctx;
	pthread_mutex_lock(&lock);
	ended++;
	last_status = status;
	pthread_cond_signal(&cond);
	pthread_mutex_unlock(&lock);
}

static void test_start_and_kill(void **state)
{
	struct child_opts o = OPTS("sleep", "1000");
	struct env *e = env_real_new(2);
	struct child *c;

	(void)state;
	o.die_with_parent = true;
	c = child_start(e, &o, on_exit_status, NULL, NULL);
	assert_non_null(c);
	assert_true(child_pid(c) > 1);
	assert_int_equal(child_kill(c, SIGTERM), 0);
	pthread_mutex_lock(&lock);
	while (ended < 1)
		pthread_cond_wait(&cond, &lock);
	assert_true(WIFSIGNALED(last_status));
	assert_int_equal(WTERMSIG(last_status), SIGTERM);
	pthread_mutex_unlock(&lock);
	assert_int_equal(child_kill(c, SIGTERM), -1); /* collected: never somebody else's pid */
	assert_null(child_free(c));
	assert_null(child_free(NULL));
	env_real_free(e);
}

static void test_many(void **state)
{
	struct child_opts o = OPTS("true");
	struct env *e = env_real_new(2);
	struct child *c[20];

	(void)state;
	pthread_mutex_lock(&lock);
	ended = 0;
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < ARRAY_LEN(c); i++) {
		c[i] = child_start(e, &o, on_exit_status, NULL, NULL);
		assert_non_null(c[i]);
	}
	pthread_mutex_lock(&lock);
	while (ended < (int)ARRAY_LEN(c))
		pthread_cond_wait(&cond, &lock);
	assert_int_equal(last_status, 0);
	pthread_mutex_unlock(&lock);
	for (size_t i = 0; i < ARRAY_LEN(c); i++)
		child_free(c[i]);
	env_real_free(e);
}

struct detached {
	atomic_int called, left;
};

static void on_detached_exit(_unused_ int status, void *ctx)
{
	atomic_fetch_add(&((struct detached *)ctx)->called, 1);
}

/* Either it is told of the end, or it is told that it will not be. */
static void test_detach(_unused_ void **state)
{
	struct child_opts o = OPTS("true");
	struct env *e = env_real_new(2);
	struct detached d = { 0 };

	for (int i = 0; i < 50; i++) {
		struct child *c = child_start(e, &o, on_detached_exit, &d, NULL);

		assert_non_null(c);
		if (i % 2)
			usleep(1000);
		if (child_detach(c))
			d.left++;
		else
			child_free(c);
	}
	env_real_free(e);
	assert_int_equal(d.called + d.left, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_captures),
		cmocka_unit_test(test_run_bounds_output),
		cmocka_unit_test(test_run_times_out),
		cmocka_unit_test(test_run_environment_and_directory),
		cmocka_unit_test(test_missing_program),
		cmocka_unit_test(test_start_and_kill),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_detach),
	};

	return cmocka_run_group_tests_name("ev/child", tests, NULL, NULL);
}
