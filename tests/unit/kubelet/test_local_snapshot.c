/* Copies of directories that somebody else fills; snapshots, and volumes made of them, below a directory of the test,
 * on a machine that is made up. */
#include "kit.h"

#include "base/file.h"
#include "kubelet/local/local_snapshot.h"
#include "kubelet/local/local_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define MIB ((int64_t)1 << 20)

static struct arena A;
static bool images, used, frozen, fail_copy, waits;
static int writes; /* so often a device's program writes on when its cache is written out */

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

static bool in_use(_unused_ const char *at)
{
	return used;
}

static int freeze(int file, const char *at, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("/proc/self/fd/%d", file);
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_false(frozen);
	if (!at && writes > 0) {
		writes--;
		assert_int_equal(pwrite(file, &writes, sizeof(writes), 0), sizeof(writes));
		assert_int_equal(pwrite(file, &writes, sizeof(writes), 9 * MIB), sizeof(writes));
	}
	waits = at && flock(fd, LOCK_EX | LOCK_NB) < 0;
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

static int64_t spare_bytes;

static int64_t spare_of(_unused_ int fd)
{
	return spare_bytes;
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
					      .used = in_use,
					      .freeze = freeze,
					      .thaw = thaw,
					      .unmount = unmount,
					      .spare = spare_of,
					      .device_drop = device_drop };
static struct local_store S;

static int set_up(_unused_ void **state)
{
	images = used = frozen = fail_copy = waits = false;
	writes = 0;
	spare_bytes = INT64_MAX;
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
	return local_tree_copy(source, target, MIB, spare_of, err);
}

static void make(const char *name, enum local_limit limit, bool block)
{
	struct local_want w = { .name = name, .bytes = 10 * MIB, .block = block, .limit = limit };

	assert_int_equal(local_volume_make(&S, &w, &limit, NULL, NULL), 0);
}

static int take(const char *volume, struct local_snapshot *ret, struct err *err)
{
	return local_snapshot_take(&S, volume, 10 * MIB, "snapshot-1", ret, err);
}

/* Copies are no work here, and of one moment. */
static bool blocks_are_shared(void)
{
	_cleanup_close_ int from = -1, to = -1;
	bool shared;

	put("share-from", "text");
	put("share-to", "");
	from = open(at("share-from"), O_RDONLY | O_CLOEXEC);
	to = open(at("share-to"), O_RDWR | O_CLOEXEC);
	shared = ioctl(to, FICLONE, from) == 0;
	assert_int_equal(unlink(at("share-from")), 0);
	assert_int_equal(unlink(at("share-to")), 0);
	return shared;
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
	assert_false(there("c/.caravel-links-0"));
}

/* Names of ours are the volume's as well, in any order, with and without links. */
static void test_tree_our_names(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct stat a, b;

	assert_int_equal(mkdir(at("v"), 0777), 0);
	assert_int_equal(mkdir(at("v/.caravel-links"), 0755), 0);
	put("v/.caravel-links/x", "kept");
	for (int i = 0; i < 6; i++)
		put(arena_printf(&A, "v/.caravel-links-%d", i), "kept");
	assert_int_equal(copy("v", "c", NULL), 0);
	put("v/a", "text");
	assert_int_equal(link(at("v/a"), at("v/b")), 0);
	for (int i = 6; i < 40; i++)
		assert_int_equal(mkdir(at(arena_printf(&A, "v/.caravel-links-%d", i)), 0755), 0);
	if (copy("v", "d", &err) < 0)
		fail_msg("%s", err_msg(&err));
	for (int i = 0; i < 6; i++) {
		assert_string_equal(text_of(arena_printf(&A, "c/.caravel-links-%d", i)), "kept");
		assert_string_equal(text_of(arena_printf(&A, "d/.caravel-links-%d", i)), "kept");
	}
	assert_string_equal(text_of("c/.caravel-links/x"), "kept");
	assert_string_equal(text_of("d/.caravel-links/x"), "kept");
	assert_true(there("d/.caravel-links-39"));
	assert_false(there("c/.caravel-links-6") || there("d/.caravel-links-40"));
	assert_int_equal(rmdir(at("d/.caravel-links-39")), 0); /* nothing of ours is in it */
	assert_int_equal(stat(at("d/a"), &a), 0);
	assert_int_equal(stat(at("d/b"), &b), 0);
	assert_true(a.st_ino == b.st_ino && a.st_nlink == 2);
}

/* A copy of a volume that grows while it is copied: no more than there was, or may be, and an eighth. Here by a file
 * that was larger when it was read than when it was looked at, which a budget of its own stands for. */
static void test_bounded(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_budget b = { .bytes = 3 };
	int from, to;

	put("f", "text");
	from = open(at("f"), O_RDONLY | O_CLOEXEC);
	to = open(at("t"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (local_copy_bytes(from, to, &b, &err) == 0)
		b.bytes = -1; /* it shares its blocks: that takes nothing */
	assert_true(b.bytes < 0);
	close(from);
	close(to);
}

/* Nor the last of the disk. */
static void test_disk_nearly_full(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_snapshot is;

	make("pvc-1", LOCAL_NONE, false);
	put("pvc-1/data", "text");
	spare_bytes = MIB;
	assert_int_equal(take("pvc-1", &is, &err), -1);
	assert_non_null(strstr(err_msg(&err), "leaves a tenth of it free"));
	assert_false(there(".snapshots/snapshot-1.tree") || there(".snapshots/.new-snapshot-1.tree"));
	spare_bytes = INT64_MAX;
	assert_int_equal(take("pvc-1", &is, NULL), 0);
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

	assert_int_equal(local_snapshot_take(&S, "pvc-1", 0, "../x", &is, NULL), -1);
	assert_int_equal(local_snapshot_take(&S, "pvc-1", 0, "a/b", &is, NULL), -1);
	assert_int_equal(local_snapshot_take(&S, "pvc-1", 0, ".new-x", &is, NULL), -1);
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

/* A program that writes to its device cannot be made to wait: a copy is of one moment, or is none. */
static void test_device_written(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_snapshot is;
	int fd, said[2];

	make("pvc-1", LOCAL_NONE, true);
	if (blocks_are_shared())
		skip();
	writes = INT_MAX;
	assert_int_equal(take("pvc-1", &is, &err), -1);
	assert_non_null(strstr(err_msg(&err), "when its pods do not write"));
	assert_false(there(".snapshots/snapshot-1.device") || there(".snapshots/.new-snapshot-1.device"));
	assert_int_equal(INT_MAX - writes, 6);
	writes = 4;
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	assert_int_equal(writes, 0);
	fd = open(at(".snapshots/snapshot-1.device"), O_RDONLY | O_CLOEXEC);
	assert_int_equal(pread(fd, &said[0], sizeof(int), 0), sizeof(int));
	assert_int_equal(pread(fd, &said[1], sizeof(int), 9 * MIB), sizeof(int));
	close(fd);
	assert_true(said[0] == 0 && said[1] == 0);
}

/* What was never written takes no room in the copy. */
static void test_device_holes(_unused_ void **state)
{
	struct local_snapshot is;
	struct stat st;

	make("pvc-1", LOCAL_NONE, true);
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	assert_int_equal(stat(at(".snapshots/snapshot-1.device"), &st), 0);
	assert_true(st.st_size == 10 * MIB && st.st_blocks == 0);
}

/* An image, held still while it is copied; its size leads back to what was asked for. */
static void test_image(_unused_ void **state)
{
	struct local_snapshot is;
	struct stat st;

	images = true;
	make("pvc-1", LOCAL_IMAGE, false);
	used = true;
	assert_int_equal(take("pvc-1", &is, NULL), 0);
	assert_false(frozen || waits || is.block);
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

/* One that a pod has is not still for minutes; one that none has is mounted all the same, and whoever starts a pod with
 * it waits. */
static void test_large_image(_unused_ void **state)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_snapshot is;
	int fd;

	images = used = true;
	make("pvc-1", LOCAL_IMAGE, false);
	fd = open(at(".images/pvc-1"), O_RDWR | O_CLOEXEC);
	if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 1100 * MIB) < 0) {
		close(fd);
		skip();
	}
	close(fd);
	if (!blocks_are_shared()) {
		assert_int_equal(take("pvc-1", &is, &err), -1);
		assert_non_null(strstr(err_msg(&err), "it is copied when no pod uses it"));
		assert_false(frozen || there(".snapshots/snapshot-1.image") ||
			     there(".snapshots/.new-snapshot-1.image"));
		used = false;
		assert_int_equal(take("pvc-1", &is, NULL), 0);
		assert_true(waits && images && !frozen);
	}
}

/* What a container does: its own set of mounts, in which the volume stands elsewhere. to NULL: it only has a copy of
 * all mounts, as many a service of the machine. -1: that cannot be done here. */
static pid_t container(const char *from, const char *to)
{
	int ready[2];
	char said = 0;
	pid_t pid;

	assert_int_equal(pipe(ready), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
		    (!to || mount(from, to, NULL, MS_BIND, NULL) == 0))
			said = 1;
		(void)!write(ready[1], &said, 1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(ready[0], &said, 1), 1);
	close(ready[0]);
	close(ready[1]);
	if (said)
		return pid;
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	return -1;
}

static void container_ends(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* On a real machine, with a real file system in it. */
static void test_large_image_real(_unused_ void **state)
{
	struct local_want w = { .name = "pvc-1", .bytes = 1200 * MIB, .limit = LOCAL_IMAGE };
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct local_machine real = local_machine_real;
	struct local_snapshot is;
	enum local_limit got;
	pid_t pod, other;
	int fd;

	real.spare = NULL;
	S.machine = &real;
	assert_int_equal(mkdir(at("mnt"), 0700), 0);
	if (geteuid() != 0 || local_volume_make(&S, &w, &got, NULL, &err) < 0) {
		print_message("%s\n", err_msg(&err));
		(void)local_volume_remove(&S, "pvc-1", NULL);
		skip();
	}
	put("pvc-1/data", "text");
	fd = open(at(".images/pvc-1"), O_RDWR | O_CLOEXEC);
	assert_int_equal(fallocate(fd, 0, 0, 1100 * MIB), 0);
	close(fd);
	other = container(NULL, NULL);
	assert_false(real.used(at("pvc-1")));
	pod = container(at("pvc-1"), at("mnt"));
	assert_true(pod < 0 || real.used(at("pvc-1")));
	if (pod > 0 && !blocks_are_shared()) {
		assert_int_equal(take("pvc-1", &is, &err), -1);
		assert_non_null(strstr(err_msg(&err), "is in use"));
		container_ends(pod);
		pod = -1;
		assert_int_equal(take("pvc-1", &is, &err), 0);
	}
	if (pod > 0)
		container_ends(pod);
	if (other > 0)
		container_ends(other);
	assert_true(local_machine_real.mounted(at("pvc-1")));
	put("pvc-1/data", "it is not frozen");
	assert_int_equal(local_volume_remove(&S, "pvc-1", NULL), 0);
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
		T(test_tree_hostile), T(test_tree_same),
		T(test_tree_deep),    T(test_tree_our_names),
		T(test_bounded),      T(test_disk_nearly_full),
		T(test_large_image),  T(test_large_image_real),
		T(test_refusals),     T(test_directory),
		T(test_device),	      T(test_device_written),
		T(test_device_holes), T(test_image),
		T(test_killed),	      T(test_clone_of_directory),
	};
	int rc = cmocka_run_group_tests_name("kubelet/local_snapshot", tests, NULL, NULL);

	arena_release(&A);
	return rc;
}
