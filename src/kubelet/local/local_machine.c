#include "kubelet/local/local_machine.h"

#include "base/buf.h"
#include "base/file.h"
#include "ev/ev.h"
#include "kubelet/fsutil.h"
#include "kubelet/local/project_quota.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define FORMAT_NS (60 * NS_PER_SEC)
#define MKFS "mkfs.ext4"
#define RESIZE_FS _IOW('f', 16, uint64_t) /* ext4's, to a number of blocks; no header of the kernel's has it */

static int image_possible(struct err *err)
{
	if (!file_is_program(MKFS))
		return err_set(err, ERR_UNAVAILABLE,
			       "there is no " MKFS " on this node: install the package e2fsprogs");
	if (access("/dev/loop-control", R_OK | W_OK) < 0)
		return err_set(err, ERR_UNAVAILABLE,
			       "there are no loop devices on this node: load the kernel's module loop");
	return 0;
}

/* 0, or -1 with what the program said. Its exit statuses up to `fine` are no failures. */
static int image_run(const char *const *argv, int fine, struct err *err)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT, said = BUF_INIT;
	int status = -1;

	if (child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 }, FORMAT_NS,
		      4096, &out, &said, &status, err) < 0)
		return err_wrap(err, "running %s", argv[0]);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > fine)
		return err_set(err, ERR_INTERNAL, "%s failed: %.*s", argv[0], SV_ARG(sv_trim(buf_sv(&said))));
	return 0;
}

/* Few inodes and a small journal: a volume holds data of one program, and every byte of it was asked for. */
static int image_format(const char *path, int block_bytes, int64_t journal_bytes, struct err *err)
{
	char journal[32], block[16];
	const char *argv[] = { MKFS,	"-q",  "-F",	"-m",  "0",
			       "-b",	block, "-I",	"256", "-i",
			       "16384", "-J",  journal, "-E",  "root_owner=0:0",
			       path,	NULL };

	(void)snprintf(block, sizeof(block), "%d", block_bytes);
	(void)snprintf(journal, sizeof(journal), "size=%lld", (long long)(journal_bytes >> 20));
	return image_run(argv, 0, err);
}

static uint32_t image_le32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* How large the file system says it is; on disk that may be said a moment late. -1: it cannot be read. */
static int64_t image_fs_bytes(int file)
{
	unsigned char sb[1024];
	uint64_t blocks;
	uint32_t log;

	if (pread(file, sb, sizeof(sb), 1024) != (ssize_t)sizeof(sb))
		return -1;
	blocks = image_le32(sb + 4) | (uint64_t)image_le32(sb + 0x150) << 32;
	log = image_le32(sb + 0x18);
	return log > 6 || blocks > (uint64_t)INT64_MAX >> (10 + log) ? -1 : (int64_t)(blocks << (10 + log));
}

/* One that nobody has mounted catches up with its file, where that could not be while it was in use. */
static void image_catch_up(int file)
{
	_cleanup_free_ char *path = xasprintf("/proc/%d/fd/%d", (int)getpid(), file);
	const char *check[] = { "e2fsck", "-f", "-p", path, NULL }, *grow[] = { "resize2fs", path, NULL };
	struct stat st;

	/* Else it stays as large as it was good enough so far: its own growing says what is wrong. */
	if (fstat(file, &st) == 0 && image_fs_bytes(file) + 4096 <= st.st_size && image_run(check, 1, NULL) == 0)
		(void)image_run(grow, 0, NULL);
}

/* Not through a link, and not by a name twice. */
static int image_mount(int file, const char *at, struct err *err)
{
	_cleanup_close_ int dir = open(at, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), device = -1;
	char name[LOOP_NAME_BYTES], link[40];

	if (dir < 0)
		return err_set_errno(err, errno, "opening '%s' to mount its image", at);
	/* It may be mounted elsewhere still, by a container that outlived us: the same device, then. */
	if (loop_find(file, name)) {
		device = open(name, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (device < 0)
			return err_set_errno(err, errno, "opening '%s'", name);
	} else {
		image_catch_up(file);
		if (loop_attach(file, true, name, &device, err) < 0)
			return -1;
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir);
	if (mount(name, link, "ext4", 0, "discard") < 0)
		return err_set_errno(err, errno, "mounting the image of '%s'", at);
	return 0;
}

static int image_follow(int file, const char *at, struct err *err)
{
	_cleanup_close_ int root = open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), device = -1;
	char name[LOOP_NAME_BYTES];
	uint64_t bytes, blocks;
	struct statfs fs;
	struct stat st;

	if (root < 0 || fstat(file, &st) < 0 || fstatfs(root, &fs) < 0)
		return err_set_errno(err, errno, "looking at the image of '%s'", at);
	if (!loop_find(file, name))
		return err_set(err, ERR_UNAVAILABLE, "the image of '%s' is on no loop device", at);
	device = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (device < 0 || ioctl(device, BLKGETSIZE64, &bytes) < 0)
		return err_set_errno(err, errno, "asking '%s' for its size", name);
	if (bytes < (uint64_t)st.st_size && loop_follow_size(name, err) < 0)
		return -1;
	blocks = (uint64_t)st.st_size / (uint64_t)fs.f_bsize;
	if (image_fs_bytes(file) >= (int64_t)(blocks * (uint64_t)fs.f_bsize))
		return 0;
	/* Nothing when it has that size. Busy: another resize is under way, and comes to the same end. */
	if (ioctl(root, RESIZE_FS, &blocks) == 0 || errno == EBUSY)
		return 0;
	if (errno == EPERM)
		return err_set(
		    err, ERR_FORBIDDEN,
		    "the file system of '%s' cannot grow while it is mounted: the agent needs CAP_SYS_RESOURCE", at);
	return err_set_errno(err, errno, "growing the file system of '%s'", at);
}

static int image_freeze(int file, const char *at, struct err *err)
{
	_cleanup_close_ int fd = -1;
	char name[LOOP_NAME_BYTES];
	struct stat here, below;

	if (!at && !loop_find(file, name))
		return 0; /* nobody has it */
	fd = at ? open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : open(name, O_RDONLY | O_CLOEXEC);
	/* Never the file system of the machine that the image lies on. */
	if (at && (fstat(fd, &here) < 0 || fstat(file, &below) < 0 || here.st_dev == below.st_dev))
		return err_set(err, ERR_UNAVAILABLE, "the image of '%s' is not mounted", at);
	if (fd < 0 || (at ? ioctl(fd, FIFREEZE, 0) : fsync(fd)) < 0)
		return err_set_errno(err, errno, "holding still '%s'", at ? at : name);
	return 0;
}

static void image_thaw(const char *at)
{
	_cleanup_close_ int fd = fs_is_mountpoint(at) ? open(at, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (fd >= 0)
		(void)ioctl(fd, FITHAW, 0);
}

static int local_unmount(const char *at, struct err *err)
{
	return fs_unmount_under(at, NULL, err);
}

static int local_unmount_idle(const char *at, struct err *err)
{
	if (umount2(at, UMOUNT_NOFOLLOW) == 0)
		return 0;
	return errno == EBUSY ? err_set(err, ERR_CONFLICT, "'%s' is in use", at)
			      : err_set_errno(err, errno, "unmounting '%s'", at);
}

static int local_device(int file, char ret[LOOP_NAME_BYTES], struct err *err)
{
	if (!loop_find(file, ret))
		return loop_attach(file, false, ret, NULL, err);
	return loop_follow_size(ret, err);
}

static int local_device_drop(int file, struct err *err)
{
	char name[LOOP_NAME_BYTES];

	return loop_find(file, name) ? loop_detach(name, err) : 0;
}

/* As the node's pods are evicted where less than a tenth is free. */
static int64_t disk_spare(int fd)
{
	uint64_t all, available;
	struct statvfs fs;

	if (fstatvfs(fd, &fs) < 0 || __builtin_mul_overflow((uint64_t)fs.f_blocks, (uint64_t)fs.f_frsize, &all) ||
	    __builtin_mul_overflow((uint64_t)fs.f_bavail, (uint64_t)fs.f_frsize, &available))
		return INT64_MAX;
	return available > all / 10 ? (int64_t)MIN(available - all / 10, (uint64_t)INT64_MAX) : 0;
}

const struct local_machine local_machine_real = {
	.quota_there = project_quota_there,
	.project_of = project_of,
	.project_used = project_used,
	.project_set = project_set,
	.project_limit = project_limit,
	.image_possible = image_possible,
	.image_format = image_format,
	.mounted = fs_is_mountpoint,
	.image_mount = image_mount,
	.image_follow = image_follow,
	.used = fs_is_mounted_elsewhere,
	.freeze = image_freeze,
	.thaw = image_thaw,
	.unmount = local_unmount,
	.unmount_idle = local_unmount_idle,
	.spare = disk_spare,
	.device = local_device,
	.device_drop = local_device_drop,
};
