/* How the daemon is ended: asked to once it serves, and not before, for then it would take containers with it. */
#include "kit.h"

#include "base/file.h"
#include "ev/ev.h"
#include "kubelet/containerd.h"
#include "kubelet/fsutil.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define ASKED 7 /* its exit status when it was asked */

static struct arena A;

static char *run_dir(const char *data_dir)
{
	char run[40];

	containerd_run_dir(data_dir, run);
	return arena_strdup(&A, run);
}

/* A shell that looks like data_dir's daemon to whoever reads its command line, and says when it is up. */
static pid_t fake_daemon(const char *data_dir)
{
	const char *config = arena_printf(&A, "%s/containerd/config.toml", data_dir);
	const char *script = arena_printf(&A, "trap 'exit %d' TERM; echo up; while :; do sleep 1; done", ASKED);
	int up[2];
	char c;
	pid_t pid;

	assert_int_equal(fs_mkdir_p(arena_printf(&A, "%s/containerd", data_dir), 0700, NULL), 0);
	assert_int_equal(pipe(up), 0);
	pid = fork();
	if (pid == 0) {
		setsid(); /* with its sleep */
		dup2(up[1], 1);
		close(up[0]);
		execl("/bin/sh", "sh", "-c", script, "containerd", "--config", config, NULL);
		_exit(126);
	}
	assert_true(pid > 0);
	close(up[1]);
	assert_int_equal(read(up[0], &c, 1), 1);
	close(up[0]);
	assert_int_equal(fs_write(arena_printf(&A, "%s/containerd/pid", data_dir),
				  sv_from(arena_printf(&A, "%d\n", pid)), 0600, NULL),
			 0);
	return pid;
}

enum serving { NO_SOCKET, DEAD_SOCKET, SERVES };

static void check_stale(enum serving how, int wanted_exit, int wanted_signal)
{
	const char *data_dir = temp_dir(&A), *run = run_dir(data_dir);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), status;
	pid_t pid = fake_daemon(data_dir);

	if (mkdir(run, 0700) < 0 && errno != EEXIST) {
		kill(-pid, SIGKILL);
		waitpid(pid, &status, 0);
		close(fd);
		print_message("# SKIP may not write to /run\n");
		skip();
	}
	snprintf(at.sun_path, sizeof(at.sun_path), "%s/containerd.sock", run);
	if (how != NO_SOCKET)
		assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	if (how == SERVES)
		assert_int_equal(listen(fd, 1), 0);
	assert_true(containerd_stop_stale(data_dir, NULL));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	kill(-pid, SIGKILL);
	assert_int_equal(WIFEXITED(status) ? WEXITSTATUS(status) : -1, wanted_exit);
	assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, wanted_signal);
	assert_false(containerd_stop_stale(data_dir, NULL));
	close(fd);
	unlink(at.sun_path);
	rmdir(run);
}

static void test_stale_one_that_serves_is_asked(void **state)
{
	(void)state;
	check_stale(SERVES, ASKED, 0);
}

static void test_stale_one_that_starts_is_killed(void **state)
{
	(void)state;
	check_stale(NO_SOCKET, -1, SIGKILL);
	check_stale(DEAD_SOCKET, -1, SIGKILL);
}

/* Nobody wrote down its pid: this program, which is found by its command line. Ends with it. */
static pid_t fake_stray(const char *data_dir)
{
	const char *config = arena_printf(&A, "%s/containerd/config.toml", data_dir);
	int up[2];
	char c;
	pid_t pid;

	assert_int_equal(pipe(up), 0);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		dup2(up[1], 1);
		close(up[0]);
		execl("/proc/self/exe", "containerd", "--config", config, NULL);
		_exit(126);
	}
	assert_true(pid > 0);
	close(up[1]);
	assert_int_equal(read(up[0], &c, 1), 1);
	close(up[0]);
	return pid;
}

static void be_stray(void)
{
	(void)!write(1, "u", 1);
	for (;;)
		pause();
}

static void test_all_stale_ones_are_stopped(void **state)
{
	const char *data_dir = temp_dir(&A);
	pid_t pids[3];
	int status;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		pids[i] = fake_stray(data_dir);
	assert_true(containerd_stop_stale(data_dir, NULL));
	for (size_t i = 0; i < ARRAY_LEN(pids); i++)
		/* On a busy machine one that was killed is not gone at once; one that was not would never be. */
		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
	assert_false(containerd_stop_stale(data_dir, NULL));
	assert_int_equal(tree_remove(data_dir, NULL), 0);
}

/* --- our own, given up while it starts --- */

static const char *up_file;

static bool is_up(void)
{
	return access(up_file, F_OK) == 0;
}

static void check_own(bool pid_not_written)
{
	const char *data_dir = temp_dir(&A), *run = run_dir(data_dir);
	const char *binary = arena_printf(&A, "%s/containerd.sh", data_dir),
		   *asked = arena_printf(&A, "%s/asked", data_dir);
	struct env *env = env_real_new(2);
	struct err err = ERR_INIT;

	up_file = arena_printf(&A, "%s/up", data_dir);
	assert_int_equal(fs_write(binary,
				  sv_from(arena_printf(&A,
						       "#!/bin/sh\ntrap 'echo yes > %s; exit' TERM\necho yes > %s\n"
						       "while :; do sleep 0.1; done\n",
						       asked, up_file)),
				  0755, NULL),
			 0);
	if (mkdir(run, 0711) < 0 && errno != EEXIST) {
		env_real_free(env);
		print_message("# SKIP may not write to /run\n");
		skip();
	}
	if (pid_not_written)
		assert_int_equal(fs_mkdir_p(arena_printf(&A, "%s/containerd/pid/x", data_dir), 0700, NULL), 0);
	assert_null(containerd_start(&(struct containerd_opts){ .env = env,
								.data_dir = data_dir,
								.binary = binary,
								.cni_bin_dir = data_dir,
								.sandbox_image = "none",
								.given_up = is_up },
				     &err));
	assert_non_null(strstr(err_msg(&err), "ended while it waited"));
	err_release(&err);
	assert_int_equal(access(asked, F_OK), -1);
	env_real_free(env);
	assert_int_equal(tree_remove(run, NULL), 0);
	assert_int_equal(tree_remove(data_dir, NULL), 0);
}

static void test_own_one_that_starts_is_killed(void **state)
{
	(void)state;
	check_own(false);
}

/* As on a full disk: it was started, and is the one that is waited for and ended. */
static void test_own_one_without_its_pid(void **state)
{
	(void)state;
	check_own(true);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--config") == 0)
		be_stray();
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_stale_one_that_serves_is_asked),
					    cmocka_unit_test(test_stale_one_that_starts_is_killed),
					    cmocka_unit_test(test_all_stale_ones_are_stopped),
					    cmocka_unit_test(test_own_one_that_starts_is_killed),
					    cmocka_unit_test(test_own_one_without_its_pid) };
	int rc = cmocka_run_group_tests_name("kubelet/containerd", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
