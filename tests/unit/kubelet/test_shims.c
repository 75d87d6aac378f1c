/* Shims and their sockets, found by name. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/shims.h"

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct arena A;

static int bound(const char *path, bool listening)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(at.sun_path));
	memcpy(at.sun_path, path, strlen(path) + 1);
	assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
	if (listening)
		assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* Ours go when nobody listens; one that lives stays, and so does what another containerd left. */
static void test_dead_sockets(void **state)
{
	char *bundles = temp_dir(&A);
	const char *ours = arena_printf(&A, "%s/containerd.sock", bundles), *dead, *alive, *foreign;
	int fds[3];

	(void)state;
	if ((mkdir("/run/containerd", 0711) < 0 && errno != EEXIST) ||
	    (mkdir("/run/containerd/s", 0711) < 0 && errno != EEXIST) || access("/run/containerd/s", W_OK) < 0) {
		print_message("# SKIP may not write to /run\n");
		skip();
	}
	dead = shims_socket(&A, ours, SV("dead"));
	alive = shims_socket(&A, ours, SV("alive"));
	foreign = shims_socket(&A, arena_printf(&A, "%s/other.sock", bundles), SV("dead"));
	fds[0] = bound(dead, false);
	fds[1] = bound(alive, true);
	fds[2] = bound(foreign, false);
	close(fds[0]);
	close(fds[2]);
	assert_int_equal(mkdir(arena_printf(&A, "%s/dead", bundles), 0700), 0);
	assert_int_equal(mkdir(arena_printf(&A, "%s/alive", bundles), 0700), 0);
	assert_int_equal(mkdir(arena_printf(&A, "%s/none", bundles), 0700), 0);
	assert_int_equal(shims_drop_dead(ours, bundles), 1);
	assert_int_equal(access(dead, F_OK), -1);
	assert_int_equal(access(alive, F_OK), 0);
	assert_int_equal(access(foreign, F_OK), 0);
	assert_int_equal(shims_drop_dead(ours, arena_printf(&A, "%s/nosuch", bundles)), 0);
	close(fds[1]);
	assert_int_equal(shims_drop_dead(ours, bundles), 1);
	shims_tidy((int64_t)time(NULL) * NS_PER_SEC); /* it may be about to listen */
	assert_int_equal(access(foreign, F_OK), 0);
	fds[1] = bound(alive, true);
	shims_tidy(((int64_t)time(NULL) + 100) * NS_PER_SEC);
	assert_int_equal(access(foreign, F_OK), -1);
	assert_int_equal(access(alive, F_OK), 0);
	close(fds[1]);
	assert_int_equal(unlink(alive), 0);
	shims_tidy((int64_t)time(NULL) * NS_PER_SEC);
}

/* A shell under a shim's name, which waits for the end of in. */
static pid_t fake_shim(int in[2], const char *socket, const char *id, const char *action)
{
	pid_t pid = fork();

	if (pid == 0) {
		dup2(in[0], 0);
		close(in[1]);
		execl("/bin/sh", "containerd-shim-runc-v2", "-c", "read x", "-namespace", "k8s.io", "-address", socket,
		      "-id", id, action, NULL);
		_exit(126);
	}
	assert_true(pid > 0);
	/* found by its command line, which is ours until the exec */
	for (struct sv cmd = SV(""); sv_find_sv(cmd, sv_from(socket)) < 0;) {
		assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
		assert_int_equal(file_read(&A, arena_printf(&A, "/proc/%d/cmdline", pid), 4096, &cmd, NULL), 0);
	}
	return pid;
}

static int signal_of(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

/* What containerd called to end a shim's containers is left to do so: killed, it would leave them behind. */
static void test_kill(void **state)
{
	const char *ours = arena_printf(&A, "%s/containerd.sock", temp_dir(&A)), *other = arena_printf(&A, "%s2", ours);
	const struct rt_sandbox keep = { .id = SV("kept") };
	pid_t lost, kept, starts, deletes, foreign;
	int in[2];

	(void)state;
	assert_int_equal(pipe(in), 0);
	lost = fake_shim(in, ours, "lost", NULL);
	kept = fake_shim(in, ours, "kept", NULL);
	starts = fake_shim(in, ours, "lost", "start");
	deletes = fake_shim(in, ours, "lost", "delete");
	foreign = fake_shim(in, other, "lost", NULL);
	assert_int_equal(shims_kill(ours, &keep, 1, true), 2);
	assert_int_equal(signal_of(lost), SIGKILL);
	assert_int_equal(signal_of(starts), SIGKILL);
	assert_int_equal(shims_kill(ours, &keep, 1, true), 0);
	assert_int_equal(shims_kill(ours, NULL, 0, false), 2);
	assert_int_equal(signal_of(deletes), SIGKILL);
	assert_int_equal(signal_of(kept), SIGKILL);
	close(in[1]);
	assert_int_equal(signal_of(foreign), 0);
	close(in[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dead_sockets), cmocka_unit_test(test_kill) };
	int rc = cmocka_run_group_tests_name("kubelet/shims", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
