/* A pull is told to stop while there is room, and does not begin where there is none. */
#include "unit.h"

#include "ev/ev.h"
#include "kubelet/pull_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

#define DISK_MIB 40

static char dir[] = "/tmp/kubelet-unit.XXXXXX";

static void hog(size_t mib)
{
	_cleanup_free_ char *path = xasprintf("%s/hog", dir);
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 0), 0);
	if (mib)
		assert_int_equal(posix_fallocate(fd, 0, (off_t)mib << 20), 0);
}

static void assert_full(struct err *err)
{
	assert_int_equal(err->reason, ERR_TOO_LARGE);
	assert_non_null(strstr(err_msg(err), "1 MiB are free below"));
	assert_non_null(strstr(err_msg(err), dir));
	err_release(err);
}

static atomic_bool enough;

static bool given_up(void *ctx)
{
	(void)ctx;
	return enough;
}

static void test_told_to_stop(void **state)
{
	struct env *env = env_real_new(1);
	struct err err = ERR_INIT;
	struct pull_guard *g;
	struct pollfd p = { .events = POLLIN };

	(void)state;
	/* Nobody fills the disk: nobody is told, whenever it ends. */
	for (int i = 0; i < 20; i++) {
		g = pull_guard_begin(env, dir, NULL, NULL, &err);
		assert_non_null(g);
		assert_int_equal(pull_guard_end(g, &err), 0);
	}
	g = pull_guard_begin(env, dir, NULL, NULL, &err);
	assert_non_null(g);
	p.fd = pull_guard_stop_fd(g);
	assert_int_equal(poll(&p, 1, 0), 0);
	hog(DISK_MIB - 1);
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(pull_guard_end(g, &err), -1);
	assert_full(&err);
	assert_null(pull_guard_begin(env, dir, NULL, NULL, &err));
	assert_full(&err);
	hog(0);
	g = pull_guard_begin(env, dir, NULL, NULL, &err);
	assert_non_null(g);
	assert_int_equal(pull_guard_end(g, &err), 0);
	/* Who asked for the pull gives it up: that is not the disk's doing. */
	g = pull_guard_begin(env, dir, given_up, NULL, &err);
	assert_non_null(g);
	p.fd = pull_guard_stop_fd(g);
	assert_int_equal(poll(&p, 1, 0), 0);
	enough = true;
	assert_int_equal(poll(&p, 1, -1), 1);
	assert_int_equal(pull_guard_end(g, &err), 0);
	/* Where nothing can be told, nothing is refused. */
	assert_int_equal(pull_guard_room("/nonexistent", &err), 0);
	env_real_free(env);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_told_to_stop) };
	_cleanup_free_ char *opts = xasprintf("size=%dm", DISK_MIB);
	int rc;

	if (!mkdtemp(dir) || mount("kubelet-test", dir, "tmpfs", 0, opts) < 0) {
		fprintf(stderr, "SKIPPED: needs the right to mount a small file system\n");
		return 77;
	}
	rc = cmocka_run_group_tests_name("pull_guard", tests, NULL, NULL);
	(void)umount(dir);
	(void)rmdir(dir);
	return rc;
}
