/* Power lost at one exact call, where it would be hit by chance only (test_power.c): between a name and its sync, after
 * a failed sync whose bytes are on disk all the same, after something that was made and not synced. */
#include "power_disk.h"

#include "base/tree.h"
#include "store/disk/check.h"

static struct store *open_disk(const char *dir)
{
	struct err err = ERR_INIT;
	struct store *s = store_disk_open(&thread_env, dir, (size_t)1 << 30, &err);

	if (!s)
		fail_msg("%s", err_msg(&err));
	return s;
}

/* Nothing reaches the disk any more. */
static void lose_power(struct store *s)
{
	disk_arm(NULL, DIE, 1);
	store_close(s);
	disk.armed = false;
}

/* Whatever the power cut left has this, and goes on with the next revision. */
static void images_are(const char *dir, int64_t rev, const char *text)
{
	for (size_t i = 0; i < ARRAY_LEN(disk_images); i++) {
		struct store *s;
		char to[64];

		kit_mkdir(to);
		disk_image(dir, to, i);
		s = open_disk(to);
		assert_int_equal(now_rev(s), rev);
		assert_list(s, "", "z", 0, 0, text);
		assert_int_equal(put(s, "y", "1", 0), rev + 1);
		store_close(s);
		kit_rmdir(to);
	}
}

static void done_with(const char *dir)
{
	disk_forget();
	kit_rmdir(dir);
}

/* Killed when the manifest has its name, and the name is not on disk; the next process writes over the segment that
 * this manifest makes free. */
static void test_named_not_synced(void **state)
{
	struct store *s;
	char dir[64];

	(void)state;
	kit_mkdir(dir);
	disk_arm(dir, NONE, 0);
	s = open_disk(dir);
	assert_int_equal(put(s, "a", "1", 0), 2);
	disk_arm(NULL, DIE_NAMED, 0);
	store_close(s);
	disk.armed = false;
	assert_true(disk.named);
	images_are(dir, 2, "a=1@2/2 ");
	disk_arm(NULL, NONE, 0);
	s = open_disk(dir);
	assert_int_equal(put(s, "b", "1", 0), 3);
	lose_power(s);
	images_are(dir, 3, "a=1@2/2 b=1@3/3 ");
	done_with(dir);
}

/* The disk says that it failed, and has the bytes: who was told of the failure does not find the write there later. */
static void test_failed_stays_failed(void **state)
{
	(void)state;
	for (int first = 0; first < 2; first++) {
		struct store *s;
		char dir[64];

		kit_mkdir(dir);
		disk_arm(dir, NONE, 0);
		s = open_disk(dir);
		assert_int_equal(put(s, "a", "1", 0), 2);
		if (first) {
			store_close(s);
			s = open_disk(dir);
		}
		/* Of a group the second call, of a segment's first one the sixth: head and note come before. */
		disk_arm(NULL, FAIL_LATE, first ? 6 : 2);
		assert_int_equal(put(s, "b", "1", 0), -1);
		assert_true(disk.late);
		store_close(s);
		disk.armed = false;
		images_are(dir, 2, "a=1@2/2 ");
		done_with(dir);
	}
}

/* Each call of a first write fails once. The second attempt finds a file half made, and has to finish it. */
static void test_made_not_synced(void **state)
{
	(void)state;
	for (long at = 1; at <= 10; at++) {
		struct store *s;
		char dir[64];

		kit_mkdir(dir);
		disk_arm(dir, NONE, 0);
		s = open_disk(dir);
		disk_arm(NULL, FAIL_EIO, at);
		assert_int_equal(put(s, "a", "1", 0), -1);
		assert_int_equal(put(s, "a", "2", 0), 2);
		lose_power(s);
		images_are(dir, 2, "a=2@2/2 ");
		done_with(dir);
	}
}

static bool dir_is_synced(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	for (size_t i = 0; i < disk.dirs.n; i++)
		if (disk.dirs.p[i] == st.st_ino)
			return true;
	return false;
}

/* Directories that are made on the way have names, too. */
static void test_parents_synced(void **state)
{
	char top[64], dir[96], middle[80];

	(void)state;
	kit_mkdir(top);
	snprintf(middle, sizeof(middle), "%s/a", top);
	snprintf(dir, sizeof(dir), "%s/db", middle);
	disk_arm(top, NONE, 0);
	store_close(open_disk(dir));
	disk.armed = false;
	assert_true(dir_is_synced(top));
	assert_true(dir_is_synced(middle));
	assert_true(dir_is_synced(dir));
	done_with(top);
}

/* What was cut short left files that nothing names: they go, once the log was found whole. */
static void test_leftovers_go(void **state)
{
	static const char *const names[] = { "t.999", "manifest.new" };
	char dir[64], path[96], kept[96];

	(void)state;
	kit_mkdir(dir);
	store_close(open_disk(dir));
	for (int i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		file_store(path, "x", 1);
	}
	/* As long as something is missing they may be what a repair needs. */
	snprintf(path, sizeof(path), "%s/wal.note", dir);
	snprintf(kept, sizeof(kept), "%s/kept", dir);
	assert_int_equal(rename(path, kept), 0);
	assert_null(store_disk_open(&thread_env, dir, (size_t)1 << 30, NULL));
	assert_int_equal(rename(kept, path), 0);
	for (int i = 0; i < 4; i++) {
		if (i == 2)
			store_close(open_disk(dir));
		snprintf(path, sizeof(path), "%s/%s", dir, names[i % 2]);
		assert_int_equal(access(path, F_OK), i < 2 ? 0 : -1);
	}
	kit_rmdir(dir);
}

/* Tables that were merged are removed when the manifest without them is on disk. */
static void test_merged_go_last(void **state)
{
	struct store *s;
	char dir[64];
	int64_t rev = 1;

	(void)state;
	kit_mkdir(dir);
	disk_arm(dir, NONE, 0);
	s = open_disk(dir);
	disk_arm(NULL, DIE_REMOVED, 0);
	for (int i = 0; i < 8; i++) {
		rev = put(s, "a", i == 7 ? "last" : "1", STORE_ANY_REV);
		assert_int_equal(rev, 2 + i);
		(void)store_compact(s, rev, NULL);
	}
	while (!disk_removed())
		nap();
	store_close(s);
	disk.armed = false;
	images_are(dir, 9, "a=last@2/9 ");
	done_with(dir);
}

static void hear(const char *line, void *ctx)
{
	(void)line, (void)ctx;
}

/* The old store's place is never empty: the new one comes into it in one step, when all of it is on disk, and stays. */
static void test_repaired(void **state)
{
	struct err err = ERR_INIT;
	char top[64], dir[80], path[96];
	char *kept = NULL, *list;
	struct store *s;

	(void)state;
	kit_mkdir(top);
	snprintf(dir, sizeof(dir), "%s/db", top);
	snprintf(path, sizeof(path), "%s/cluster", dir);
	s = open_disk(dir);
	put(s, "a", "1", 0);
	store_close(s);
	file_store(path, "whose", 5);
	disk_arm(top, NONE, 0);
	if (store_repair(&thread_env, dir, &kept, hear, NULL, &err) < 0)
		fail_msg("%s", err_msg(&err));
	assert_true(disk.exchanged);
	assert_false(disk.exchanged_early);
	assert_true(disk_all_synced());
	disk.armed = false;
	disk_forget();
	assert_int_equal(access(path, F_OK), 0);
	s = open_disk(dir);
	list = list_n(s, SV("a"), SV("b"), 0, 0);
	assert_memory_equal(list, "a=1@", 4);
	free(list);
	store_close(s);
	snprintf(path, sizeof(path), "%s/manifest", kept);
	assert_int_equal(access(path, F_OK), 0);
	free(kept);
	assert_int_equal(tree_remove(top, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_named_not_synced), cmocka_unit_test(test_failed_stays_failed),
		cmocka_unit_test(test_made_not_synced),	 cmocka_unit_test(test_parents_synced),
		cmocka_unit_test(test_leftovers_go),	 cmocka_unit_test(test_merged_go_last),
		cmocka_unit_test(test_repaired),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
