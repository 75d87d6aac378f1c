/* Places that a container changes while the kubelet looks: nothing hangs, and nothing outside changes. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/atomic_writer.h"
#include "kubelet/beneath.h"
#include "kubelet/logs.h"
#include "kubelet/subpath.h"
#include "kubelet/volumes/volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define EXCHANGE 2 /* RENAME_EXCHANGE */
#define ATTEMPTS 2000

static struct arena A;

static const char *at(const char *dir, const char *name)
{
	return arena_printf(&A, "%s/%s", dir, name);
}

static int open_dir(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void put(const char *path, const char *text)
{
	assert_int_equal(file_write_again(path, sv_from(text), 0600, NULL), 0);
}

/* --- what is no file --- */

/* A FIFO, a device, a link, a directory where a file should be: an error at once. */
static void test_no_files(void **state)
{
	char *dir = temp_dir(&A);
	int fd = open_dir(dir);
	static const char *const names[] = { "fifo", "dir", "link", "dangling", "null", "none", "up/../f" };
	struct log_opts all = { .tail = -1, .limit_bytes = -1 };

	(void)state;
	put(at(dir, "f"), "text");
	assert_int_equal(mkfifo(at(dir, "fifo"), 0600), 0);
	assert_int_equal(mkdir(at(dir, "dir"), 0700), 0);
	assert_int_equal(symlink("f", at(dir, "link")), 0);
	assert_int_equal(symlink("/etc/passwd", at(dir, "dangling")), 0);
	if (mknod(at(dir, "null"), S_IFCHR | 0600, makedev(1, 5)) < 0) /* endless zeros */
		assert_int_equal(errno, EPERM);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct sv s = SV("untouched");

		assert_int_equal(beneath_regular(fd, names[i], NULL, NULL), -1);
		assert_int_equal(beneath_read(&A, dir, names[i], 100, &s, NULL), -1);
		assert_int_equal(beneath_tail(&A, dir, names[i], 100, &s, NULL), -1);
		assert_sv(s, "untouched");
		assert_null(log_reader_open(dir, names[i], &all, NULL));
		logs_tail_text(&A, dir, names[i], 80, 2048, &s);
		assert_sv(s, "");
	}
	close(fd);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

/* Who holds a lease on a file makes open(2) say "again" for as long as that pleases. */
static void test_leased(void **state)
{
	char *dir = temp_dir(&A);
	int root = open_dir(dir), held;

	(void)state;
	put(at(dir, "f"), "text");
	held = open(at(dir, "f"), O_RDWR | O_CLOEXEC);
	assert_true(held >= 0);
	assert_true(signal(SIGIO, SIG_IGN) != SIG_ERR); /* of the kernel that asks for it back */
	if (fcntl(held, F_SETLEASE, F_WRLCK) == 0) {
		assert_int_equal(beneath_regular(root, "f", NULL, NULL), -1);
		assert_int_equal(errno, EAGAIN);
		assert_int_equal(fcntl(held, F_SETLEASE, F_UNLCK), 0);
	}
	close(held);
	held = beneath_regular(root, "f", NULL, NULL);
	assert_true(held >= 0);
	close(held);
	close(root);
}

static void test_bounded(void **state)
{
	char *dir = temp_dir(&A);
	struct sv s;

	(void)state;
	put(at(dir, "f"), "0123456789");
	assert_int_equal(beneath_read(&A, dir, at(dir, "f"), 10, &s, NULL), 0);
	assert_sv(s, "0123456789");
	assert_int_equal(beneath_read(&A, dir, "f", 9, &s, NULL), -1);
	assert_int_equal(beneath_tail(&A, dir, "f", 4, &s, NULL), 0);
	assert_sv(s, "6789"); /* the end counts */
	assert_int_equal(beneath_tail(&A, dir, "f", 100, &s, NULL), 0);
	assert_sv(s, "0123456789");
	/* A terabyte that takes no place: its end is read, nothing else. */
	assert_int_equal(truncate(at(dir, "f"), INT64_C(1) << 40), 0);
	assert_int_equal(beneath_tail(&A, dir, "f", 4096, &s, NULL), 0);
	assert_int_equal(s.n, 4096);
	logs_tail_text(&A, dir, "f", 80, 2048, &s);
	assert_sv(s, "");
	assert_int_equal(tree_remove(dir, NULL), 0);
}

/* Reading a log returns now and then, also when nothing of it is wanted. */
static void test_log_steps(void **state)
{
	char *dir = temp_dir(&A);
	struct log_opts all = { .tail = -1, .limit_bytes = -1 };
	_cleanup_(buf_release) struct buf text = BUF_INIT, out = BUF_INIT;
	struct log_reader *r;
	int steps = 0;

	(void)state;
	while (text.n < 4 * LOG_STEP_BYTES)
		buf_adds(&text, "this is no log line\n");
	put(at(dir, "0.log"), buf_cstr(&text));
	r = log_reader_open(dir, "0.log", &all, NULL);
	assert_non_null(r);
	while (log_reader_read(r, &out, 1 << 16) == LOG_MORE)
		steps++;
	assert_true(steps >= 4);
	assert_int_equal(out.n, 0);
	log_reader_free(r);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void *open_for_writing(void *ctx)
{
	int fd = open(ctx, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

	if (fd >= 0)
		close(fd);
	return NULL;
}

/* What stands where a runtime opens its logs goes, and who waits in it already is let go. */
static void test_clear_logs(void **state)
{
	char *dir = temp_dir(&A), *out = temp_dir(&A);
	const char *c = at(dir, "ns_pod_uid/c");
	struct stat st;
	pthread_t t;

	(void)state;
	assert_int_equal(dir_make(c, 0700, NULL), 0);
	put(at(c, "0.log"), "log");
	put(at(out, "0.log"), "outside");
	assert_int_equal(mkfifo(at(c, "1.log"), 0600), 0);
	assert_int_equal(symlink(at(out, "0.log"), at(c, "2.log")), 0);
	assert_int_equal(mkdir(at(c, "3.log"), 0700), 0);
	assert_int_equal(mkfifo(at(c, "other"), 0600), 0);
	assert_int_equal(symlink(out, at(dir, "ns_pod_uid/link")), 0); /* not gone into */
	assert_int_equal(mkfifo(at(out, "9.log"), 0600), 0);
	assert_int_equal(pthread_create(&t, NULL, open_for_writing, (void *)at(c, "1.log")), 0);
	assert_int_equal(beneath_clear_logs(dir), 3);
	/* It may have come to its open(2) only now: then it made a file. */
	pthread_join(t, NULL);
	assert_int_equal(lstat(at(c, "0.log"), &st), 0);
	assert_int_equal(access(at(c, "2.log"), F_OK), -1);
	assert_int_equal(lstat(at(c, "3.log.no-log"), &st), 0);
	assert_int_equal(lstat(at(c, "other"), &st), 0);
	assert_int_equal(lstat(at(out, "0.log"), &st), 0);
	assert_int_equal(lstat(at(out, "9.log"), &st), 0);
	assert_int_equal(beneath_clear_logs(dir), 0);
	assert_int_equal(beneath_clear_logs(at(dir, "none")), 0);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(tree_remove(out, NULL), 0);
}

static void test_making(void **state)
{
	char *dir = temp_dir(&A), *out = temp_dir(&A);
	struct stat st;
	int fd = beneath_dir_make(dir, at(dir, "a/b//c"), 0750, NULL);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(beneath_put(fd, "f", SV("x"), 0604, -1, NULL), 0);
	close(fd);
	assert_int_equal(stat(at(dir, "a/b/c/f"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	assert_int_equal(symlink(out, at(dir, "a/out")), 0);
	assert_int_equal(beneath_dir_make(dir, "a/out/new", 0750, NULL), -1);
	assert_int_equal(beneath_dir_make(dir, "../new", 0750, NULL), -1);
	assert_int_equal(beneath_write(dir, "a/out/f", SV("x"), 0600, NULL), -1);
	assert_int_equal(access(at(out, "new"), F_OK), -1);
	assert_int_equal(access(at(out, "f"), F_OK), -1);
	/* A link in the place of the file is replaced, not followed. */
	put(at(out, "kept"), "kept");
	assert_int_equal(symlink(at(out, "kept"), at(dir, "f")), 0);
	assert_int_equal(beneath_write(dir, "f", SV("new"), 0666, NULL), 0);
	assert_int_equal(stat(at(out, "kept"), &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(tree_remove(out, NULL), 0);
}

/* --- a rival that exchanges a directory and a link out of the volume --- */

struct rival {
	int dir;
	const char *x, *y;
	_Atomic bool stop;
};

static void *exchange(void *ctx)
{
	struct rival *r = ctx;

	while (!r->stop)
		(void)syscall(SYS_renameat2, r->dir, r->x, r->dir, r->y, EXCHANGE);
	return NULL;
}

static void outside_is_as_it_was(const char *out)
{
	struct stat st;
	int fd = open_dir(out), n = 0;
	DIR *d = fdopendir(fd);

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	assert_int_equal(n, 1);
	assert_int_equal(stat(out, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(at(out, "secret"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 6);
}

/* subPath "a/<i>": "a" is a directory of the volume, or a link to one outside, or the new directory is. */
static void test_subpath_race(void **state)
{
	char *dir = temp_dir(&A), *out = temp_dir(&A), *vol = arena_printf(&A, "%s/vol", dir);
	struct rival r = { .x = "new", .y = "b" };
	int made = 0;
	pthread_t t;

	(void)state;
	put(at(out, "secret"), "secret");
	assert_int_equal(mkdir(vol, 0777), 0);
	assert_int_equal(chmod(vol, 0777), 0);
	assert_int_equal(symlink(out, at(vol, "b")), 0);
	r.dir = open_dir(vol);
	assert_int_equal(pthread_create(&t, NULL, exchange, &r), 0);
	for (int i = 0; i < ATTEMPTS; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		int fd = subpath_open(vol, arena_svf(&a, "new/%d", i), NULL);

		made += fd >= 0;
		if (fd >= 0)
			close(fd);
		fd = subpath_open(vol, SV("new"), NULL);
		if (fd >= 0) {
			struct stat st, o;

			assert_int_equal(fstat(fd, &st), 0);
			assert_int_equal(stat(out, &o), 0);
			assert_false(st.st_ino == o.st_ino && st.st_dev == o.st_dev);
			close(fd);
		}
		/* So that it is made anew, which is when its mode is set. */
		(void)tree_remove_some(r.dir, "new", SIZE_MAX, NULL);
		(void)tree_remove_some(r.dir, "b", SIZE_MAX, NULL);
		(void)symlinkat(out, r.dir, "b");
	}
	r.stop = true;
	pthread_join(t, NULL);
	close(r.dir);
	assert_true(made > 0);
	outside_is_as_it_was(out);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(tree_remove(out, NULL), 0);
}

/* The generation being written, and ..data, become links out of the volume. */
static void test_writer_race(void **state)
{
	char *dir = temp_dir(&A), *out = temp_dir(&A);
	struct atomic_file files[] = { { SV("k"), SV("0"), 0666 }, { SV("d/e/f"), SV("2"), 0666 } };
	struct rival r = { .dir = open_dir(dir), .x = "..data", .y = "..2000" }, q = r;
	pthread_t t, u;
	int written = 0;

	(void)state;
	put(at(out, "secret"), "secret");
	assert_int_equal(symlink(out, at(dir, "..2000")), 0);
	assert_int_equal(symlink(out, at(dir, "d")), 0);
	q.x = "d";
	q.y = "..1970_01_01_00_00_00.0";
	assert_int_equal(pthread_create(&t, NULL, exchange, &r), 0);
	assert_int_equal(pthread_create(&u, NULL, exchange, &q), 0);
	for (int i = 0; i < ATTEMPTS / 4; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;

		files[0].content = arena_svf(&a, "%d", i);
		written += atomic_write(r.dir, files, 2, -1, 0, NULL, NULL) == 0;
		(void)symlinkat(out, r.dir, "..2000");
	}
	r.stop = q.stop = true;
	pthread_join(t, NULL);
	pthread_join(u, NULL);
	close(r.dir);
	assert_true(written > 0);
	outside_is_as_it_was(out);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(tree_remove(out, NULL), 0);
}

/* A container's log directory and a link to one outside: no rotation, reading or clearing takes place there. */
static void test_log_race(void **state)
{
	char *dir = temp_dir(&A), *out = temp_dir(&A);
	struct log_opts all = { .tail = -1, .limit_bytes = -1 };
	struct rival r = { .x = "c", .y = "b" };
	struct stat st;
	pthread_t t;

	(void)state;
	assert_int_equal(dir_make(at(dir, "p/c"), 0700, NULL), 0);
	put(at(dir, "p/c/0.log"), "2026-01-02T03:04:05Z stdout F mine\n");
	put(at(out, "0.log"), "2026-01-02T03:04:05Z stdout F secret\n");
	assert_int_equal(mkfifo(at(out, "1.log"), 0600), 0);
	assert_int_equal(symlink(out, at(dir, "p/b")), 0);
	r.dir = open_dir(at(dir, "p"));
	assert_int_equal(pthread_create(&t, NULL, exchange, &r), 0);
	for (int i = 0; i < ATTEMPTS; i++) {
		struct log_reader *l = log_reader_open(dir, "p/c/0.log", &all, NULL);
		_cleanup_(buf_release) struct buf b = BUF_INIT;

		(void)beneath_clear_logs(dir);
		if (!l)
			continue;
		(void)log_reader_read(l, &b, 100);
		assert_sv(buf_sv(&b), "mine\n");
		log_reader_free(l);
	}
	r.stop = true;
	pthread_join(t, NULL);
	close(r.dir);
	assert_int_equal(lstat(at(out, "1.log"), &st), 0);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(tree_remove(out, NULL), 0);
}

/* --- volumes --- */

static void test_memory_size(void **state)
{
	static const struct {
		const char *pod, *source;
		int64_t want;
	} cases[] = {
		{ "{'spec':{'containers':[{'name':'c'}]}}", "{'medium':'Memory'}", 1000 },
		{ "{'spec':{'containers':[{'name':'c'}]}}", "{'medium':'Memory','sizeLimit':'100'}", 100 },
		{ "{'spec':{'containers':[{'name':'c'}]}}", "{'medium':'Memory','sizeLimit':'5k'}", 1000 },
		{ "{'spec':{'containers':[{'name':'c','resources':{'limits':{'memory':'300'}}}]}}",
		  "{'medium':'Memory'}", 300 },
		{ "{'spec':{'containers':[{'name':'c','resources':{'limits':{'memory':'300'}}}]}}",
		  "{'medium':'Memory','sizeLimit':'400'}", 300 },
		{ "{'spec':{'containers':[{'name':'c','resources':{'limits':{'memory':'300'}}},{'name':'d'}]}}",
		  "{'medium':'Memory'}", 1000 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(emptydir_memory_bytes(doc(&A, cases[i].pod), doc(&A, cases[i].source), 1000),
				 cases[i].want);
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
		cmocka_unit_test(test_no_files),     cmocka_unit_test(test_leased),
		cmocka_unit_test(test_bounded),	     cmocka_unit_test(test_log_steps),
		cmocka_unit_test(test_clear_logs),   cmocka_unit_test(test_making),
		cmocka_unit_test(test_subpath_race), cmocka_unit_test(test_writer_race),
		cmocka_unit_test(test_log_race),     cmocka_unit_test(test_memory_size),
	};

	return cmocka_run_group_tests(tests, NULL, release);
}
