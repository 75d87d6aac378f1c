/* Power lost at one exact call, where it would be hit by chance only (test_power.c): between a name and its sync, after
 * a failed sync whose bytes are on disk all the same, after something that was made and not synced. */
#include "power_disk.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_named_not_synced),
		cmocka_unit_test(test_failed_stays_failed),
		cmocka_unit_test(test_made_not_synced),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
