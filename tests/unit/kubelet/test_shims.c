/* Sockets of shims that died before anybody knew them. */
#include "kit.h"

#include "kubelet/shims.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
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
	assert_int_equal(unlink(foreign), 0);
	shims_tidy();
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_dead_sockets) };
	int rc = cmocka_run_group_tests_name("kubelet/shims", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
