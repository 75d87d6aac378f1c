/* Copies of directories that somebody else fills; snapshots, and volumes made of them, below a directory of the test,
 * on a machine that is made up. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/local/local_snapshot.h"
#include "kubelet/local/local_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define MIB ((int64_t)1 << 20)

static struct arena A;
static bool images, frozen, fail_copy;

static bool no_quota(_unused_ int dir)
{
	return false;
}

static uint32_t no_project(_unused_ int dir)
{
	return 0;
}

static int image_possible(struct err *err)
{
	return images ? 0 : err_set(err, ERR_UNAVAILABLE, "there is no mkfs.ext4 on this node");
}

static int image_format(_unused_ const char *path, _unused_ int block, _unused_ int64_t journal,
			_unused_ struct err *err)
{
	return 0;
}

static bool mounted(_unused_ const char *at)
{
	return images;
}

static int image_mount(_unused_ int file, _unused_ const char *at, _unused_ struct err *err)
{
	return 0;
}

static int freeze(_unused_ int file, _unused_ const char *at, struct err *err)
{
	assert_false(frozen);
	if (fail_copy)
		return err_set(err, ERR_UNAVAILABLE, "not now");
	frozen = at != NULL;
	return 0;
}

static void thaw(_unused_ const char *at)
{
	frozen = false;
}

static int unmount(_unused_ const char *at, _unused_ struct err *err)
{
	images = false;
	return 0;
}

static int device_drop(_unused_ int file, _unused_ struct err *err)
{
	return 0;
}

static const struct local_machine machine = { .quota_there = no_quota,
					      .project_of = no_project,
					      .image_possible = image_possible,
					      .image_format = image_format,
					      .mounted = mounted,
					      .image_mount = image_mount,
					      .image_follow = image_mount,
					      .freeze = freeze,
					      .thaw = thaw,
					      .unmount = unmount,
					      .device_drop = device_drop };
static struct local_store S;

static int set_up(_unused_ void **state)
{
	images = frozen = fail_copy = false;
	S = (struct local_store){ temp_dir(&A), &machine };
	return 0;
}

static int tear_down(_unused_ void **state)
{
	arena_reset(&A);
	return 0;
}

static const char *at(const char *name)
{
	return arena_printf(&A, "%s/%s", S.dir, name);
}

static bool there(const char *name)
{
	return faccessat(AT_FDCWD, at(name), F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void put(const char *name, const char *text)
{
	assert_int_equal(file_write_again(at(name), sv_from(text), 0600, NULL), 0);
}

static const char *text_of(const char *name)
{
	struct sv text;

	return file_read(&A, at(name), 1 << 16, &text, NULL) < 0 ? NULL : arena_cstr(&A, text);
}

static int dir_of(const char *name)
{
	int fd = open(at(name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static int copy(const char *from, const char *to, struct err *err)
{
	_cleanup_close_ int source = dir_of(from), target;

	assert_int_equal(mkdir(at(to), 0700), 0);
	target = dir_of(to);
	return local_tree_copy(source, target, err);
}

/* --- copies of directories --- */

/* Nothing outside is read through what lies inside, and nothing there keeps us waiting. */
static void test_tree_hostile(_unused_ void **state)
{
	struct stat st;
	char target[64];
	ssize_t n;

	put("secret", "secret");
	assert_int_equal(mkdir(at("v"), 0777), 0);
	assert_int_equal(symlink("../secret", at("v/file")), 0);
	assert_int_equal(symlink("..", at("v/up")), 0);
	assert_int_equal(symlink("/etc", at("v/etc")), 0);
	assert_int_equal(mkfifo(at("v/fifo"), 0640), 0);
	assert_int_equal(copy("v", "c", NULL), 0);
	n = readlink(at("c/file"), target, sizeof(target));
	assert_true(n == 9 && memcmp(target, "../secret", 9) == 0);
	assert_int_equal(lstat(at("c/up"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(at("c/etc"), &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(lstat(at("c/fifo"), &st), 0);
	assert_true(S_ISFIFO(st.st_mode) && (st.st_mode & 07777) == 0640);
}

static void test_tree_same(_unused_ void **state)
{
	const struct timespec then[] = { { 1000000000, 0 }, { 1000000001, 500 } };
	struct stat a, b;
	char value[8];
	int fd;

	assert_int_equal(mkdir(at("v"), 0777), 0);
	assert_int_equal(mkdir(at("v/d"), 0700), 0);
	put("v/d/one", "text");
	assert_int_equal(link(at("v/d/one"), at("v/two")), 0);
	assert_int_equal(link(at("v/d/one"), at("v/d/three")), 0);
	fd = open(at("v/sparse"), O_WRONLY | O_CREAT | O_CLOEXEC, 04751);
	assert_int_equal(pwrite(fd, "end", 3, 64 * MIB), 3);
	assert_int_equal(fchmod(fd, 04751), 0);
	close(fd);
	assert_int_equal(chmod(at("v/d"), 02755), 0);
	assert_int_equal(utimensat(AT_FDCWD, at("v/d"), then, 0), 0);
	assert_int_equal(utimensat(AT_FDCWD, at("v/sparse"), then, 0), 0);
	if (getuid() == 0)
		assert_int_equal(chown(at("v/two"), 1000, 2000), 0);
	(void)setxattr(at("v/two"), "user.x", "y", 1, 0);
	assert_int_equal(copy("v", "c", NULL), 0);

	assert_string_equal(text_of("c/two"), "text");
	assert_int_equal(stat(at("c/two"), &a), 0);
	assert_int_equal(stat(at("c/d/three"), &b), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_equal(a.st_nlink, 3);
	assert_int_equal(stat(at("v/two"), &b), 0);
	assert_true(a.st_uid == b.st_uid && a.st_gid == b.st_gid && a.st_mode == b.st_mode && a.st_ino != b.st_ino);
	assert_int_equal(getxattr(at("c/two"), "user.x", value, sizeof(value)),
			 getxattr(at("v/two"), "user.x", value, sizeof(value)));
	assert_int_equal(stat(at("c/sparse"), &a), 0);
	assert_int_equal(a.st_size, 64 * MIB + 3);
	assert_true(a.st_blocks < 2048);
	assert_int_equal(a.st_mode & 07777, 04751);
	assert_int_equal(stat(at("c/d"), &a), 0);
	assert_true((a.st_mode & 07777) == 02755 && a.st_mtim.tv_sec == 1000000001);
	assert_false(there("c/.caravel-links"));
}

/* No recursion, and no path: as deep as one likes. */
static void test_tree_deep(_unused_ void **state)
{
	int fd, next;

	assert_int_equal(mkdir(at("v"), 0777), 0);
	fd = dir_of("v");
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(fd, "d", 0700), 0);
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		close(fd);
		fd = next;
	}
	close(openat(fd, "bottom", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	close(fd);
	assert_int_equal(copy("v", "c", NULL), 0);
	fd = dir_of("c");
	for (int i = 0; i < 3000; i++) {
		next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		assert_true(next >= 0);
		close(fd);
		fd = next;
	}
	assert_int_equal(faccessat(fd, "bottom", F_OK, 0), 0);
	close(fd);
}

/* --- snapshots --- */

static void make(const char *name, enum local_limit limit, bool block)
{
	struct local_want w = { .name = name, .bytes = 10 * MIB, .block = block, .limit = limit };

	assert_int_equal(local_volume_make(&S, &w, &limit, NULL, NULL), 0);
}

static int take(const char *volume, struct local_snapshot *ret, struct err *err)
{
	return local_snapshot_take(&S, volume, "snapshot-1", ret, err);
}

static int fill_as(const char *snapshot, bool block, enum local_limit limit, struct err *err)
{
	struct local_want w = { .name = "pvc-2", .bytes = 12 * MIB, .block = block, .limit = limit };
	struct local_source source = { .snapshot = snapshot };

	return local_volume_fill(&S, &source, &w, &limit, NULL, err);
}

static void fill_refused(const char *snapshot, bool block, enum local_limit limit, const char *words)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	assert_int_equal(fill_as(snapshot, block, limit, &err), -1);
	assert_non_null(strstr(err_msg(&err), words));
	assert_false(there("pvc-2") || there(".images/pvc-2") || there(".filling-pvc-2"));
}

static void test_refusals(_unused_ void **state)
{
	struct local_snapshot is;

	assert_int_equal(local_snapshot_take(&S, "pvc-1", "../x", &is, NULL), -1);
	assert_int_equal(local_snapshot_take(&S, "pvc-1", "a/b", &is, NULL), -1);
	assert_int_equal(local_snapshot_take(&S, "pvc-1", ".new-x", &is, NULL), -1);
	assert_int_equal(local_snapshot_remove(&S, "../v", NULL), -1);
	assert_int_equal(local_snapshot_look(&S, "snapshot-1", &is, NULL), -1);
	assert_int_equal(take("pvc-1", &is, NULL), -1); /* there is no such volume */
	assert_false(there(".snapshots/snapshot-1.tree"));
	fill_refused("snapshot-1", false, LOCAL_AUTO, "there is no snapshot");
	make("pvc-1", LOCAL_NONE, false);
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	fill_refused("snapshot-1", true, LOCAL_AUTO, "is no block device");
	fill_refused("snapshot-1", false, LOCAL_IMAGE, "mkfs.ext4"); /* and what was begun is gone */
	assert_int_equal(local_snapshot_remove(&S, "snapshot-1", NULL), 0);
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
	make("pvc-1", LOCAL_NONE, true);
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	fill_refused("snapshot-1", false, LOCAL_NONE, "is a block device");
}

/* What the volume holds later, and whether it is there at all, is nothing to it. */
static void test_directory(_unused_ void **state)
{
	struct local_snapshot is, again;

	make("pvc-1", LOCAL_NONE, false);
	put("pvc-1/data", "then");
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	assert_true(is.taken_ns > 0 && is.bytes == 0 && !is.block);
	put("pvc-1/data", "now");
	assert_int_equal(take("pvc-1", &again, NULL), 0);
	assert_true(again.taken_ns == is.taken_ns);
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
	assert_int_equal(take("pvc-1", &again, NULL), 0);
	assert_int_equal(fill_as("snapshot-1", false, LOCAL_NONE, NULL), 0);
	assert_string_equal(text_of("pvc-2/data"), "then");
	put("pvc-2/data", "mine");
	assert_int_equal(fill_as("snapshot-1", false, LOCAL_NONE, NULL), 0); /* once more: it is whole */
	assert_string_equal(text_of("pvc-2/data"), "mine");
	assert_string_equal(text_of(".snapshots/snapshot-1.tree/data"), "then");
	assert_int_equal(local_snapshot_remove(&S, "snapshot-1", NULL), 0);
	assert_int_equal(local_snapshot_remove(&S, "snapshot-1", NULL), 0);
	assert_false(there(".snapshots/snapshot-1.tree"));
}

static void test_device(_unused_ void **state)
{
	struct local_snapshot is;
	struct stat st;

	make("pvc-1", LOCAL_NONE, true);
	put("pvc-1", "head");
	assert_int_equal(truncate(at("pvc-1"), 10 * MIB), 0);
	fail_copy = true;
	assert_int_equal(take("pvc-1", &is, NULL), -1);
	assert_false(there(".snapshots/snapshot-1.device") || there(".snapshots/.new-snapshot-1.device"));
	fail_copy = false;
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	assert_true(is.block && is.bytes == 10 * MIB);
	assert_int_equal(fill_as("snapshot-1", true, LOCAL_AUTO, NULL), 0);
	assert_int_equal(stat(at("pvc-2"), &st), 0);
	assert_int_equal(st.st_size, 12 * MIB);
}

/* An image, held still while it is copied; its size leads back to what was asked for. */
static void test_image(_unused_ void **state)
{
	struct local_snapshot is;
	struct stat st;

	images = true;
	make("pvc-1", LOCAL_IMAGE, false);
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	assert_false(frozen || is.block);
	assert_int_equal(is.bytes, 10 * MIB);
	fill_refused("snapshot-1", false, LOCAL_NONE, "its class cannot ask for enforcement");
	assert_int_equal(fill_as("snapshot-1", false, LOCAL_AUTO, NULL), 0);
	assert_int_equal(stat(at(".images/pvc-2"), &st), 0);
	assert_int_equal(st.st_size, local_image_bytes(12 * MIB));
	for (int64_t asked = 1; asked < 1 << 20; asked = asked * 2 + 4096) {
		assert_int_equal(truncate(at(".snapshots/snapshot-1.image"), local_image_bytes(asked * MIB)), 0);
		assert_int_equal(local_snapshot_look(&S, "snapshot-1", &is, NULL), 0);
		assert_int_equal(is.bytes, asked * MIB);
	}
}

/* Killed in between: what is half there is never used, and gone after the next start or call. */
static void test_killed(_unused_ void **state)
{
	struct local_snapshot is;

	make("pvc-1", LOCAL_NONE, false);
	put("pvc-1/data", "text");
	/* While it was taken, or taken away. */
	assert_int_equal(mkdir(at(".snapshots"), 0700), 0);
	assert_int_equal(mkdir(at(".snapshots/.new-snapshot-1.tree"), 0700), 0);
	put(".snapshots/.new-snapshot-1.tree/half", "x");
	assert_int_equal(local_snapshot_look(&S, "snapshot-1", &is, NULL), -1);
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	assert_false(there(".snapshots/snapshot-1.tree/half"));
	assert_int_equal(mkdir(at(".snapshots/.new-other.tree"), 0700), 0);
	put(".snapshots/.new-other.tree/half", "x");
	/* While a volume was filled. */
	make("pvc-2", LOCAL_NONE, false);
	put("pvc-2/half", "x");
	put(".filling-pvc-2", "");
	assert_int_equal(fill_as("snapshot-1", false, LOCAL_NONE, NULL), 0);
	assert_false(there("pvc-2/half") || there(".filling-pvc-2"));
	assert_string_equal(text_of("pvc-2/data"), "text");
	make("pvc-3", LOCAL_NONE, false);
	put("pvc-3/half", "x");
	put(".filling-pvc-3", "");
	assert_int_equal(local_store_mend(&S, NULL), 0);
	assert_false(there("pvc-3") || there(".filling-pvc-3") || there(".snapshots/.new-other.tree"));
	assert_true(there("pvc-2/data") && there(".snapshots/snapshot-1.tree/data"));
}

/* Of a claim: the same, without a snapshot in between. */
static void test_clone_of_directory(_unused_ void **state)
{
	struct local_want w = { .name = "pvc-2", .bytes = 12 * MIB, .limit = LOCAL_AUTO };
	struct local_source source = { .volume = "pvc-1" };
	_cleanup_(err_release) struct err why = ERR_INIT;
	enum local_limit limit;

	make("pvc-1", LOCAL_NONE, false);
	put("pvc-1/data", "text");
	assert_int_equal(local_volume_fill(&S, &source, &w, &limit, &why, NULL), 0);
	assert_int_equal(limit, LOCAL_NONE);
	assert_int_equal(why.reason, ERR_UNAVAILABLE); /* nobody holds its size, as of a new one */
	assert_string_equal(text_of("pvc-2/data"), "text");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		T(test_tree_hostile), T(test_tree_same), T(test_tree_deep),
		T(test_refusals),     T(test_directory), T(test_device),
		T(test_image),	      T(test_killed),	 T(test_clone_of_directory),
	};
	int rc = cmocka_run_group_tests_name("kubelet/local_snapshot", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
