/* The directory of snapshots: what is its own, what is thinned out, what is left alone. */
#include "archive_kit.h"
#include "kill_calls.h"

#include "base/arena.h"
#include "snapshot/shelf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

static void touch(const char *dir, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);

	assert_true(fd >= 0);
	close(fd);
}

static bool there(const char *dir, const char *name)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);

	return access(path, F_OK) == 0;
}

static void clear(const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_free_ char *path = xasprintf("%s/%s", dir, e->d_name);

		if (e->d_name[0] != '.')
			unlink(path);
	}
	closedir(d);
	rmdir(dir);
}

static void test_names(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *path = shelf_path(&a, "/d", "caravel", INT64_C(1790000000) * NS_PER_SEC);

	assert_string_equal(path, "/d/caravel-20260921T141320Z.snapshot");
	assert_true(shelf_is_name(sv_from(path + 3), SV("caravel")));
	assert_false(shelf_is_name(sv_from(path + 3), SV("cara")));
	assert_false(shelf_is_name(SV("caravel-20260921T141320Z.snapshot.part"), SV("caravel")));
	assert_false(shelf_is_name(SV("caravel-2026x921T141320Z.snapshot"), SV("caravel")));
	assert_false(shelf_is_name(SV(".snapshot"), SV("caravel")));
}

static void test_prune(_unused_ void **state)
{
	char dir[] = "/tmp/shelf-XXXXXX";
	_cleanup_free_ char *busy = NULL;
	int fd;

	assert_non_null(mkdtemp(dir));
	for (int i = 0; i < 4; i++) {
		_cleanup_free_ char *name = xasprintf("caravel-2026092%dT141320Z.snapshot", i);

		touch(dir, name);
	}
	touch(dir, "mine.snapshot");
	touch(dir, "caravel-x.snapshot");
	touch(dir, "other-20200921T141320Z.snapshot");
	touch(dir, "caravel-20260101T141320Z.snapshot.part");
	touch(dir, "caravel-20260102T141320Z.snapshot.part");
	busy = xasprintf("%s/caravel-20260102T141320Z.snapshot.part", dir);
	fd = open(busy, O_RDONLY);
	assert_int_equal(flock(fd, LOCK_EX), 0);
	assert_int_equal(shelf_prune(dir, "caravel", 2, NULL, NULL, NULL), 0);
	assert_false(there(dir, "caravel-20260920T141320Z.snapshot"));
	assert_false(there(dir, "caravel-20260921T141320Z.snapshot"));
	assert_true(there(dir, "caravel-20260922T141320Z.snapshot"));
	assert_true(there(dir, "caravel-20260923T141320Z.snapshot"));
	assert_true(there(dir, "mine.snapshot"));
	assert_true(there(dir, "caravel-x.snapshot"));
	assert_true(there(dir, "other-20200921T141320Z.snapshot"));
	assert_false(there(dir, "caravel-20260101T141320Z.snapshot.part"));
	assert_true(there(dir, "caravel-20260102T141320Z.snapshot.part")); /* somebody writes it */
	close(fd);
	clear(dir);
	assert_int_equal(shelf_prune(dir, "caravel", 2, NULL, NULL, NULL), 0);
}

/* Under its name only when it is whole; two do not write one. */
static void test_write(_unused_ void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char dir[] = "/tmp/shelf-XXXXXX";
	struct shelf_out o, p;
	struct shelf_entry *e;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	size_t n;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(shelf_begin(&o, arena_printf(&a, "%s/x.snapshot", dir), NULL), 0);
	assert_int_equal(shelf_begin(&p, arena_printf(&a, "%s/x.snapshot", dir), NULL), -1);
	shelf_abort(&p);
	assert_int_equal(shelf_put("torn", 4, &o, NULL), 0);
	assert_false(there(dir, "x.snapshot"));
	shelf_abort(&o);
	assert_false(there(dir, "x.snapshot.part"));
	kit_archive(&b, 3, 10, true);
	assert_int_equal(shelf_begin(&o, arena_printf(&a, "%s/x.snapshot", dir), NULL), 0);
	assert_int_equal(shelf_put("torn", 4, &o, NULL), 0);
	assert_int_equal(shelf_rewind(&o, NULL), 0);
	assert_int_equal(shelf_put(b.p, b.n, &o, NULL), 0);
	assert_int_equal(shelf_end(&o, NULL), 0);
	shelf_abort(&o);
	touch(dir, "y.snapshot");
	assert_int_equal(shelf_list(&a, dir, &e, &n, NULL), 0);
	assert_int_equal(n, 2);
	assert_null(e[0].why);
	assert_int_equal(e[0].total.records, 3);
	assert_non_null(strstr(e[1].why, "empty"));
	clear(dir);
}

/* Saved over what is there: killed at every call, it is that or the new one, and what is left is taken away. */
static void test_killed(_unused_ void **state)
{
	_cleanup_(buf_release) struct buf old = BUF_INIT, new = BUF_INIT;
	const char name[] = "caravel-20260101T141320Z.snapshot";
	int olds = 0, news = 0;
	bool more = true;

	kit_archive(&old, 2, 10, true);
	kit_archive(&new, 5, 10, true);
	for (int n = 0; more; n++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		char dir[] = "/tmp/shelf-XXXXXX";
		struct shelf_entry *e;
		struct shelf_out o;
		const char *path;
		size_t found;
		int status;
		pid_t pid;

		assert_non_null(mkdtemp(dir));
		path = arena_printf(&a, "%s/%s", dir, name);
		assert_int_equal(shelf_begin(&o, path, NULL), 0);
		assert_int_equal(shelf_put(old.p, old.n, &o, NULL), 0);
		assert_int_equal(shelf_end(&o, NULL), 0);
		shelf_abort(&o);
		pid = fork();
		assert_true(pid >= 0);
		if (pid == 0) {
			kill_left = n;
			_exit(shelf_begin(&o, path, NULL) < 0 || shelf_put(new.p, new.n, &o, NULL) < 0 ||
			      shelf_end(&o, NULL) < 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		more = WIFSIGNALED(status);
		assert_true(more || status == 0);
		assert_int_equal(shelf_prune(dir, "caravel", 5, NULL, NULL, NULL), 0);
		assert_int_equal(shelf_list(&a, dir, &e, &found, NULL), 0);
		assert_int_equal(found, 1);
		assert_null(e[0].why);
		assert_true(e[0].total.records == 2 || e[0].total.records == 5);
		olds += e[0].total.records == 2;
		news += e[0].total.records == 5;
		assert_false(there(dir, "caravel-20260101T141320Z.snapshot.part"));
		clear(dir);
	}
	assert_true(olds >= 3);
	assert_true(news >= 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_prune),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_killed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
