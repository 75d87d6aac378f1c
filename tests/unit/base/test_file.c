#include "unit.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static char *temp_dir(struct arena *a)
{
	char *dir = arena_strdup(a, "/tmp/test_file.XXXXXX");

	assert_non_null(mkdtemp(dir));
	return dir;
}

static void test_read_and_write(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err missing = ERR_INIT, large = ERR_INIT;
	char *dir = temp_dir(&a), *path = arena_printf(&a, "%s/f", dir), *text = arena_alloc(&a, 10000);
	struct stat st;
	struct sv s;

	(void)state;
	memset(text, 'x', 10000);
	assert_int_equal(file_read(&a, path, 10000, &s, &missing), -1);
	assert_int_equal(missing.errnum, ENOENT);
	assert_int_equal(file_write(path, sv_make(text, 10000), 0640, NULL), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(file_read(&a, path, 10000, &s, NULL), 0);
	assert_true(sv_eq(s, sv_make(text, 10000)));
	assert_int_equal(s.p[s.n], '\0');
	assert_int_equal(file_read(&a, path, 9999, &s, &large), -1);
	assert_int_equal(large.reason, ERR_TOO_LARGE);
	assert_int_equal(file_write(path, SV("short"), 0600, NULL), 0);
	assert_int_equal(file_read(&a, path, 10000, &s, NULL), 0);
	assert_sv(s, "short");
	/* A size that fstat does not know. */
	assert_int_equal(file_read(&a, "/proc/self/status", 1 << 16, &s, NULL), 0);
	assert_true(s.n > 0 && sv_starts(s, SV("Name:")));
	assert_int_equal(tree_remove(dir, NULL), 0);
}

/* What may never answer is not waited for; who wants a pipe says so. */
static void test_no_files(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char *dir = temp_dir(&a), *fifo = arena_printf(&a, "%s/fifo", dir);
	const struct {
		const char *path, *why;
	} table[] = { { fifo, "it is a FIFO, and should be a regular file" },
		      { "/dev/zero", "it is a character device, and should be a regular file" },
		      { dir, "Is a directory" } };
	struct sv got;
	int p[2];

	(void)state;
	assert_int_equal(mkfifo(fifo, 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		assert_int_equal(file_read(&a, table[i].path, 100, &got, &err), -1);
		if (!strstr(err_msg(&err), table[i].why) || !strstr(err_msg(&err), table[i].path))
			fail_msg("%s", err_msg(&err));
	}
	assert_int_equal(file_read(&a, "/proc/self/cmdline", 4096, &got, NULL), 0);
	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "text", 4), 4);
	close(p[1]);
	assert_int_equal(file_read(&a, arena_printf(&a, "/dev/fd/%d", p[0]), 100, &got, NULL), -1);
	assert_int_equal(file_read_once(&a, arena_printf(&a, "/dev/fd/%d", p[0]), 100, &got, NULL), 0);
	assert_true(sv_is(got, "text"));
	close(p[0]);
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void test_several(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	char *dir = temp_dir(&a), *one = arena_printf(&a, "%s/one", dir), *two = arena_printf(&a, "%s/two", dir);
	struct file_out files[] = { { one, SV("1"), 0600 }, { two, SV(""), 0644 } };
	struct stat st;
	struct sv s;
	int left = 0;
	DIR *d;

	(void)state;
	assert_int_equal(file_write_several(files, 0, NULL), 0);
	assert_int_equal(file_write_several(files, 2, NULL), 0);
	assert_int_equal(file_read(&a, one, 100, &s, NULL), 0);
	assert_sv(s, "1");
	assert_int_equal(stat(two, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(st.st_size, 0);
	assert_int_equal(file_write_again(two, SV("22"), 0600, NULL), 0);
	assert_int_equal(file_read(&a, two, 100, &s, NULL), 0);
	assert_sv(s, "22");
	/* One that cannot be written leaves the others as they were, and nothing beside them. */
	files[0].data = SV("new");
	files[1].path = arena_printf(&a, "%s/none/two", dir);
	assert_int_equal(file_write_several(files, 2, &err), -1);
	assert_int_equal(err.errnum, ENOENT);
	assert_int_equal(file_read(&a, one, 100, &s, NULL), 0);
	assert_sv(s, "1");
	d = opendir(dir);
	while (readdir(d))
		left++;
	closedir(d);
	assert_int_equal(left, 4); /* with . and .. */
	assert_int_equal(tree_remove(dir, NULL), 0);
}

static void test_trees(void **state)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char *dir = temp_dir(&a), *kept = temp_dir(&a), *file = arena_printf(&a, "%s/f", kept);
	struct sv s;

	(void)state;
	assert_int_equal(dir_make(arena_printf(&a, "%s/a/b/c", dir), 0700, NULL), 0);
	assert_int_equal(dir_make(arena_printf(&a, "%s/a/b/c", dir), 0700, NULL), 0);
	assert_int_equal(file_write(file, SV("kept"), 0600, NULL), 0);
	assert_int_equal(symlink(kept, arena_printf(&a, "%s/a/link", dir)), 0);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(access(dir, F_OK), -1);
	assert_int_equal(tree_remove(dir, NULL), 0);
	assert_int_equal(file_read(&a, file, 100, &s, NULL), 0); /* links are not followed */
	assert_int_equal(tree_remove(kept, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_and_write),
		cmocka_unit_test(test_no_files),
		cmocka_unit_test(test_several),
		cmocka_unit_test(test_trees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
