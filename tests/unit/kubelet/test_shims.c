/* Shims and their sockets, found by name. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/lost_execs.h"
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

#define EXEC(digit) "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde" #digit ".pid"

/* A shim with some children, whose numbers it writes into those files; it waits for the end of in. */
static pid_t fake_parent(int in[2], const char *socket, const char *bundle, const char *const *files, size_t n)
{
	_cleanup_(buf_release) struct buf script = BUF_INIT;
	pid_t pid;

	for (size_t i = 0; i < n; i++)
		buf_printf(&script, "sleep 1000 & echo $! > %s/.new; mv %s/.new %s/%s; ", bundle, bundle, bundle,
			   files[i]);
	buf_adds(&script, "read x");
	buf_cstr(&script);
	pid = fork();
	if (pid == 0) {
		dup2(in[0], 0);
		close(in[1]);
		execl("/bin/sh", "containerd-shim-runc-v2", "-c", script.p, "-namespace", "k8s.io", "-address", socket,
		      "-id", "sandbox", NULL);
		_exit(126);
	}
	assert_true(pid > 0);
	return pid;
}

/* Waits until it is there. */
static pid_t child_in(const char *bundle, const char *file)
{
	const char *path = arena_printf(&A, "%s/%s", bundle, file);
	struct sv text;
	int64_t pid;

	while (file_read(&A, path, 64, &text, NULL) < 0)
		usleep(1000);
	assert_true(sv_to_i64(sv_trim(text), &pid));
	return (pid_t)pid;
}

static char state_of(pid_t pid)
{
	struct sv text, word;

	if (file_read(&A, arena_printf(&A, "/proc/%d/stat", pid), 4096, &text, NULL) < 0)
		return 'X';
	while (sv_split(&text, ')', &word))
		;
	return word.n > 1 ? word.p[1] : 'X';
}

static bool ended(pid_t pid)
{
	char c = state_of(pid);

	return c == 'X' || c == 'Z';
}

/* What is run in a container for a call ends; its first process, a number that another has by now, and what another
 * containerd's shim has do not. */
static void test_lost_execs(void **state)
{
	static const char *const files[] = { "init.pid", EXEC(0), EXEC(1), "other.pid" }, *const foreign[] = { EXEC(
											      2) };
	char *dir = temp_dir(&A), *bundle = arena_printf(&A, "%s/bundle", dir);
	const char *ours = arena_printf(&A, "%s/containerd.sock", dir), *other = arena_printf(&A, "%s2", ours);
	pid_t shim, stranger, all[5];
	int in[2];

	(void)state;
	assert_int_equal(mkdir(bundle, 0700), 0);
	assert_int_equal(pipe(in), 0);
	shim = fake_parent(in, ours, bundle, files, ARRAY_LEN(files));
	for (size_t i = 0; i < ARRAY_LEN(files); i++)
		all[i] = child_in(bundle, files[i]);
	stranger = fake_parent(in, other, bundle, foreign, 1);
	all[4] = child_in(bundle, foreign[0]);
	assert_int_equal(file_write(arena_printf(&A, "%s/" EXEC(3), bundle), arena_svf(&A, "%d", all[0]), 0600, NULL),
			 0);
	assert_int_equal(file_write(arena_printf(&A, "%s/" EXEC(4), bundle), SV("-1"), 0600, NULL), 0);
	assert_int_equal(file_write(arena_printf(&A, "%s/" EXEC(5), bundle), arena_svf(&A, "%d", getpid()), 0600, NULL),
			 0);
	assert_int_equal(lost_execs_end(ours, arena_printf(&A, "%s/nosuch", dir)), 0);
	assert_int_equal(lost_execs_end(ours, dir), 2);
	while (!ended(all[1]) || !ended(all[2]))
		usleep(1000);
	assert_false(ended(all[0]) || ended(all[3]) || ended(all[4]));
	assert_int_equal(access(arena_printf(&A, "%s/" EXEC(0), bundle), F_OK), -1); /* nobody is looked for twice */
	assert_int_equal(lost_execs_end(ours, dir), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		(void)kill(all[i], SIGKILL);
	close(in[1]);
	assert_int_equal(signal_of(shim), 0);
	assert_int_equal(signal_of(stranger), 0);
	close(in[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dead_sockets), cmocka_unit_test(test_kill),
					    cmocka_unit_test(test_lost_execs) };
	int rc = cmocka_run_group_tests_name("kubelet/shims", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
