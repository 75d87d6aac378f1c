/* Trees that somebody else made: deep, wide, and changing while they are walked. */
#include "unit.h"

#include "base/file.h"
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEPTH 100000
#define EXCHANGE 2 /* RENAME_EXCHANGE */

static struct arena A;

/* In memory, where there is such a place: a hundred thousand directories are quickly made there. */
static char *temp_dir(void)
{
	const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	char *dir = arena_printf(&A, "%s/test_tree.XXXXXX", base);

	assert_non_null(mkdtemp(dir));
	return dir;
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void put(int dir, const char *name, size_t n)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	char block[4096] = { 1 };

	assert_true(fd >= 0);
	for (; n; n -= MIN(n, sizeof(block)))
		assert_true(write(fd, block, MIN(n, sizeof(block))) > 0);
	close(fd);
}

/* Directories in one another; a file in the last one. */
static void dig(const char *path, int depth, size_t bytes)
{
	int fd = open_dir(path);

	for (int i = 0; i < depth; i++) {
		int sub;

		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		sub = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(sub >= 0);
		close(fd);
		fd = sub;
	}
	put(fd, "f", bytes);
	close(fd);
}

/* Neither the stack nor descriptors grow with the depth, and no path is too long. */
static void test_deep(void **state)
{
	char *dir = temp_dir();
	struct rlimit few = { 100, 100 }, before;
	int64_t empty;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few.rlim_max = before.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	empty = tree_bytes(open_dir(dir));
	assert_true(empty >= 0);
	dig(dir, DEPTH, 1 << 20);
	assert_true(tree_bytes(open_dir(dir)) - empty >= 1 << 20);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* More levels than are held open, several subtrees in each: every entry is met exactly once. */
static void test_each_once(void **state)
{
	char *dir = temp_dir();
	int fd = open_dir(dir), dirs = 0, files = 0, left = 0;
	struct tree_walk w;
	struct tree_at at;
	enum tree_step step;

	(void)state;
	for (int i = 0; i < 3 * TREE_OPEN_MAX; i++) {
		int sub;

		for (int j = 0; j < 3; j++) {
			char name[16];

			snprintf(name, sizeof(name), "f%d", j);
			put(fd, name, 1);
			snprintf(name, sizeof(name), "e%d", j);
			assert_int_equal(mkdirat(fd, name, 0700), 0);
		}
		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		sub = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = sub;
	}
	close(fd);
	assert_int_equal(tree_walk_begin(&w, open_dir(dir), false, NULL), 0);
	while ((step = tree_walk_next(&w, &at, NULL)) != TREE_END) {
		dirs += step == TREE_ENTER;
		left += step == TREE_LEAVE;
		files += step == TREE_FILE;
		assert_true(step == TREE_ENTER || step == TREE_LEAVE || step == TREE_FILE);
	}
	tree_walk_release(&w);
	assert_int_equal(dirs, 4 * 3 * TREE_OPEN_MAX);
	assert_int_equal(left, dirs);
	assert_int_equal(files, 3 * 3 * TREE_OPEN_MAX);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void test_bytes(void **state)
{
	char *dir = temp_dir();
	int fd = open_dir(dir);
	int64_t one;

	(void)state;
	put(fd, "f", 1 << 20);
	one = tree_bytes(open_dir(dir));
	assert_true(one >= 1 << 20);
	assert_int_equal(linkat(fd, "f", fd, "g", 0), 0); /* another name costs nothing */
	assert_true(tree_bytes(open_dir(dir)) <= one);
	assert_int_equal(symlinkat("/usr", fd, "link"), 0);
	assert_true(tree_bytes(open_dir(dir)) < one + (1 << 16));
	close(fd);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void test_in_pieces(void **state)
{
	char *dir = temp_dir(), *sub = arena_printf(&A, "%s/sub", dir);
	int fd = open_dir(dir), in, calls = 1, rc;

	(void)state;
	assert_int_equal(mkdir(sub, 0700), 0);
	in = open_dir(sub);
	for (int i = 0; i < 1000; i++) {
		char name[16];

		snprintf(name, sizeof(name), "%d", i);
		put(in, name, 0);
	}
	close(in);
	while ((rc = tree_remove_some(fd, "sub", 100, NULL)) == 1)
		calls++;
	assert_int_equal(rc, 0);
	assert_in_range(calls, 10, 11);
	assert_int_equal(tree_remove_some(fd, "sub", 100, NULL), 0); /* gone is fine */
	assert_int_equal(symlinkat("/etc", fd, "link"), 0);
	assert_int_equal(tree_remove_some(fd, "link", 100, NULL), 0);
	assert_int_equal(access("/etc/passwd", F_OK), 0);
	close(fd);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

/* --- somebody exchanges things meanwhile --- */

struct rival {
	int dir;
	_Atomic bool stop;
};

static void *exchange(void *ctx)
{
	struct rival *r = ctx;

	while (!r->stop)
		(void)syscall(SYS_renameat2, r->dir, "a", r->dir, "b", EXCHANGE);
	return NULL;
}

/* A directory becomes a link to one outside and back all the time: what is outside stays. */
static void test_exchanged(void **state)
{
	char *out = temp_dir(), *dir = temp_dir();
	struct rival r = { .dir = open_dir(dir) };
	int outside = open_dir(out);
	pthread_t t;

	(void)state;
	put(outside, "kept", 1);
	assert_int_equal(pthread_create(&t, NULL, exchange, &r), 0);
	for (int i = 0; i < 300; i++) {
		(void)mkdirat(r.dir, "a", 0700);
		assert_true(symlinkat(out, r.dir, "b") == 0 || errno == EEXIST);
		(void)mkdirat(r.dir, "a/x", 0700);
		(void)tree_bytes(open_dir(dir));
		(void)tree_remove_some(r.dir, i & 1 ? "a" : "b", SIZE_MAX, NULL);
		assert_int_equal(faccessat(outside, "kept", F_OK, 0), 0);
	}
	r.stop = true;
	pthread_join(t, NULL);
	(void)unlinkat(outside, "x", AT_REMOVEDIR); /* mkdirat() above went through the link */
	close(r.dir);
	close(outside);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(access(arena_printf(&A, "%s/kept", out), F_OK), 0);
	assert_int_equal(tree_remove(out, NULL), 0);
}

/* The walk is deep down when a directory far above it moves elsewhere: it does not go on in what is there now. */
static void test_moved(void **state)
{
	char *dir = temp_dir(), *other = temp_dir();
	struct tree_walk w;
	struct tree_at at;
	enum tree_step step;
	int depth = 0, lost = 0, fd = open_dir(dir);

	(void)state;
	dig(dir, 2 * TREE_OPEN_MAX, 1);
	put(fd, "last", 1);
	assert_int_equal(tree_walk_begin(&w, fd, false, NULL), 0);
	while ((step = tree_walk_next(&w, &at, NULL)) != TREE_END) {
		assert_int_not_equal(step, TREE_FAILED);
		depth += step == TREE_ENTER;
		if (step == TREE_ENTER && depth == 2 * TREE_OPEN_MAX) /* the third level gets another parent */
			assert_int_equal(rename(arena_printf(&A, "%s/d/d/d", dir), arena_printf(&A, "%s/d", other)), 0);
		lost += step == TREE_LOST;
	}
	assert_int_equal(lost, 1);
	tree_walk_release(&w);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(tree_remove(other, NULL), 0);
}

static int release(void **state)
{
	(void)state;
	arena_release(&A);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deep),	  cmocka_unit_test(test_each_once), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_in_pieces), cmocka_unit_test(test_exchanged), cmocka_unit_test(test_moved),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
