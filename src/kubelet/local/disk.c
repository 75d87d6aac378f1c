#include "kubelet/local/disk.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "ev/ev.h"
#include "kubelet/fsutil.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define DISK_SYS "kubelet"
#define DISK_FS "ext4"		       /* where nobody says which */
#define DISK_NS (300 * NS_PER_SEC)     /* of a program: a large disk is made a file system on, or checked */
#define DISK_LOOK_NS (30 * NS_PER_SEC) /* of one that only looks */
#define DISK_SAID 4096
#define DISK_PARTS "unknown data, probably partitions"
#define DISK_NONE 2	  /* blkid's exit status: it found nothing */
#define DISK_REPAIRED 1	  /* fsck's: errors were corrected */
#define DISK_UNREPAIRED 4 /* and: they could not be */

/* --- programs --- */

/* Its exit status, and what it said in the arena; -1: it could not be run, or did not end in time. */
static int disk_run(struct arena *a, const char *const *argv, int64_t limit_ns, struct sv *ret_said, struct err *err)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT, said = BUF_INIT;
	int status = -1;

	*ret_said = SV("");
	if (child_run(&(struct child_opts){ .argv = argv, .stdin_fd = -1, .stdout_fd = -1, .stderr_fd = -1 }, limit_ns,
		      DISK_SAID, &out, &said, &status, err) < 0)
		return err_wrap(err, "running %s", argv[0]);
	*ret_said = arena_sv(a, out.n ? buf_sv(&out) : sv_trim(buf_sv(&said)));
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return err_set(err, ERR_UNAVAILABLE, "%s was ended by signal %d", argv[0], WTERMSIG(status));
}

/* --- what a device holds --- */

/* "": nothing. In the arena. */
static const char *disk_format(const struct disk_machine *m, struct arena *a, const char *device, int fd,
			       struct err *err)
{
	const char *argv[] = { m->blkid, "-p", "-s", "TYPE", "-s", "PTTYPE", "-o", "export", device, NULL };
	const char *type = "";
	char first[512];
	struct sv said, line, key;
	int rc;

	if (!file_is_program(m->blkid)) {
		(void)err_set(err, ERR_UNAVAILABLE, "there is no %s on this node: install the package util-linux",
			      m->blkid);
		return NULL;
	}
	rc = disk_run(a, argv, DISK_LOOK_NS, &said, err);
	if (rc < 0)
		return NULL;
	/* It also finds nothing where it cannot read. */
	if (rc == DISK_NONE && pread(fd, first, sizeof(first), 0) == (ssize_t)sizeof(first))
		return "";
	if (rc != 0) {
		(void)err_set(err, ERR_UNAVAILABLE, "failed to get disk format of disk %s: exit status %d %.*s", device,
			      rc, SV_ARG(said));
		return NULL;
	}
	while (sv_split(&said, '\n', &line)) {
		if (!sv_split(&line, '=', &key))
			continue;
		if (sv_is(key, "PTTYPE"))
			return DISK_PARTS;
		if (sv_is(key, "TYPE"))
			type = arena_cstr(a, line);
	}
	return *type ? type : DISK_PARTS; /* something it is, else it would have said so */
}

/* --- making it usable --- */

/* A part of a program's name. */
static bool disk_type_ok(const char *type)
{
	size_t n = strspn(type, "abcdefghijklmnopqrstuvwxyz0123456789_-");

	return n && !type[n] && n <= 32 && type[0] != '-';
}

static bool disk_option_ro(const char *options)
{
	struct sv rest = sv_from(options ? options : ""), one;

	while (sv_split(&rest, ',', &one))
		if (sv_is(one, "ro"))
			return true;
	return false;
}

static int disk_make(const struct disk_machine *m, struct arena *a, const struct disk_wish *w, const char *type,
		     struct err *err)
{
	const char *program = arena_printf(a, "%s%s", m->mkfs, type), *argv[5] = { program };
	size_t n = 1;
	struct sv said;
	int rc;

	if (!strcmp(type, "ext4") || !strcmp(type, "ext3")) {
		argv[n++] = "-F";
		argv[n++] = "-m0";
	} else if (!strcmp(type, "xfs")) {
		argv[n++] = "-f";
	}
	argv[n] = w->device;
	if (!file_is_program(program))
		return err_set(err, ERR_UNAVAILABLE,
			       "there is no %s on this node, which the blank disk %s needs: install it", program,
			       w->device);
	log_info(DISK_SYS, "a blank disk is given a file system", "disk", "%s: %s", w->device, type);
	rc = disk_run(a, argv, DISK_NS, &said, err);
	if (rc <= 0)
		return rc;
	return err_set(err, ERR_INTERNAL,
		       "format of disk \"%s\" failed: type:(\"%s\") target:(\"%s\") options:(\"%s\") errcode:(exit "
		       "status %d) output:(%.*s) ",
		       w->device, type, w->at, w->options ? w->options : "defaults", rc, SV_ARG(said));
}

static int disk_check(const struct disk_machine *m, struct arena *a, const char *device, struct err *err)
{
	const char *argv[] = { m->fsck, "-a", device, NULL };
	struct sv said;
	int rc;

	if (!file_is_program(m->fsck))
		return 0; /* as upstream: the mount says what is wrong */
	rc = disk_run(a, argv, DISK_NS, &said, err);
	if (rc < 0)
		return -1;
	if (rc == DISK_UNREPAIRED)
		return err_set(err, ERR_UNAVAILABLE,
			       "'fsck' found errors on device %s but could not correct them: %.*s", device,
			       SV_ARG(said));
	if (rc > DISK_REPAIRED)
		log_info(DISK_SYS, "fsck of a disk failed, it is mounted all the same", "disk", "%s: %.*s", device,
			 SV_ARG(said));
	return 0;
}

static int disk_mount_run(const struct disk_machine *m, struct arena *a, const char *const *argv, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct sv said;
	int rc;

	if (!file_is_program(m->mount))
		return err_set(err, ERR_UNAVAILABLE, "there is no %s on this node: install the package mount",
			       m->mount);
	rc = disk_run(a, argv, DISK_NS, &said, err);
	if (rc <= 0)
		return rc;
	for (size_t i = 1; argv[i]; i++)
		buf_printf(&b, " %s", argv[i]);
	return err_set(err, ERR_UNAVAILABLE,
		       "mount failed: exit status %d\nMounting command: %s\nMounting arguments:%s\nOutput: %.*s\n", rc,
		       argv[0], buf_cstr(&b), SV_ARG(said));
}

static int disk_mount(const struct disk_machine *m, struct arena *a, const struct disk_wish *w, const char *type,
		      int fd, struct err *err)
{
	bool ro = w->read_only || disk_option_ro(w->options);
	const char *options = arena_printf(a, "%s%s%sdefaults", w->read_only ? "ro," : "", w->options ? w->options : "",
					   w->options ? "," : "");
	const char *argv[] = { m->mount, "-t", type, "-o", options, w->device, w->at, NULL };
	const char *has = disk_format(m, a, w->device, fd, err);

	if (!has)
		return -1;
	if (!*has && ro)
		return err_set(err, ERR_INVALID,
			       "cannot mount unformatted disk %s as we are manipulating it in read-only mode",
			       w->device);
	if (!*has && disk_make(m, a, w, type, err) < 0)
		return -1;
	if (*has && !ro && strcmp(has, DISK_PARTS) != 0 && disk_check(m, a, w->device, err) < 0)
		return -1;
	if (fs_mkdir_p(w->at, 0750, err) < 0 || disk_mount_run(m, a, argv, err) < 0)
		return -1;
	return m->mounted(w->at) ? 0
				 : err_set(err, ERR_UNAVAILABLE, "%s says that it mounted %s, and it is not mounted",
					   m->mount, w->device);
}

/* It was mounted for one that only reads, and now somebody writes. */
static int disk_writable(const struct disk_machine *m, struct arena *a, const struct disk_wish *w, struct err *err)
{
	const char *argv[] = { m->mount, "-o", "remount,rw", w->at, NULL };

	if (w->read_only || disk_option_ro(w->options) || !m->read_only(w->at))
		return 0;
	return disk_mount_run(m, a, argv, err);
}

/* --- giving it, and taking it away --- */

/* The device, held against others: -2 when somebody else does. Never a link's way to wait. */
static int disk_open(const struct disk_machine *m, const char *device, struct err *err)
{
	int fd = open(device, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return err_set_errno(err, errno, "opening the device '%s'", device);
	if (!m->is_device(fd)) {
		close(fd);
		return err_set(err, ERR_INVALID, "only directory and block device are supported");
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return fd;
	if (errno == EWOULDBLOCK) {
		close(fd);
		return -2;
	}
	(void)err_set_errno(err, errno, "locking the device '%s'", device);
	close(fd);
	return -1;
}

/* Mounted, whoever has it already. */
static int disk_there(const struct disk_machine *m, struct arena *a, const struct disk_wish *w, int fd, struct err *err)
{
	const char *type = w->fs_type && *w->fs_type ? w->fs_type : DISK_FS;
	struct err why = ERR_INIT;
	int rc;

	if (m->mounted(w->at))
		return disk_writable(m, a, w, err);
	rc = disk_type_ok(type) ? disk_mount(m, a, w, type, fd, &why)
				: err_set(&why, ERR_INVALID, "there is no such type of a file system");
	if (rc < 0) {
		(void)rmdir(w->at);
		(void)err_set(err, why.reason, "local: failed to mount device %s at %s (fstype: %s), error %s",
			      w->device, w->at, type, err_msg(&why));
	}
	err_release(&why);
	return rc;
}

int disk_give(const struct disk_machine *m, const struct disk_wish *w, const char *pods, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int fd = -1;

	if (m->mounted(w->to))
		return 0;
	fd = disk_open(m, w->device, err);
	if (fd < 0)
		return fd == -2 ? 1 : -1;
	if (disk_there(m, &a, w, fd, err) < 0)
		return -1;
	if (!w->read_only && !m->used(w->at, pods) && w->first(w->at, w->ctx, err) < 0)
		return -1;
	return fs_mkdir_p(w->to, 0750, err) < 0 ? -1 : m->bind(w->at, w->to, w->read_only, err);
}

static int disk_leave(const struct disk_machine *m, struct arena *a, const char *at, const char *pods, struct err *err)
{
	const char *source = m->source(a, at);
	/* One that went away is no reason to keep its mount. */
	_cleanup_close_ int fd = source ? disk_open(m, source, NULL) : -1;

	if (fd == -2)
		return 1;
	if (m->used(at, pods))
		return 0; /* a pod came meanwhile */
	if (m->unmount(at, err) < 0)
		return -1;
	(void)rmdir(at); /* never what is in it */
	return 0;
}

int disks_sweep(const struct disk_machine *m, const char *mounts, const char *pods, struct err *err)
{
	DIR *d = opendir(mounts);
	int rc = 0;

	if (!d)
		return 0; /* no disk was ever mounted */
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		const char *at = arena_printf(&a, "%s/%s", mounts, e->d_name);
		struct err why = ERR_INIT;
		int one = 0;

		if (e->d_name[0] == '.')
			continue;
		if (m->mounted(at) && !m->used(at, pods))
			one = disk_leave(m, &a, at, pods, &why);
		if (one < 0 && rc >= 0)
			rc = err_move(err, &why);
		err_release(&why);
		rc = one > 0 && rc == 0 ? 1 : rc;
	}
	closedir(d);
	return rc;
}

/* --- the real machine --- */

static bool disk_is_device(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISBLK(st.st_mode);
}

static bool disk_read_only(const char *at)
{
	struct statvfs fs;

	return statvfs(at, &fs) == 0 && (fs.f_flag & ST_RDONLY);
}

/* The other options of the mount are as they were: both numbers are the kernel's. */
static int disk_bind_ro(const char *to)
{
	const unsigned long kept = ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_NOATIME | ST_NODIRATIME;
	struct statvfs fs;

	if (statvfs(to, &fs) < 0)
		return -1;
	return mount(
	    NULL, to, NULL,
	    MS_BIND | MS_REMOUNT | MS_RDONLY | (fs.f_flag & kept) | (fs.f_flag & ST_RELATIME ? MS_RELATIME : 0), NULL);
}

static int disk_bind(const char *from, const char *to, bool read_only, struct err *err)
{
	if (mount(from, to, NULL, MS_BIND, NULL) < 0)
		return err_set_errno(err, errno, "binding '%s' at '%s'", from, to);
	if (!read_only || disk_bind_ro(to) == 0)
		return 0;
	(void)err_set_errno(err, errno, "making '%s' read-only", to);
	(void)umount2(to, MNT_DETACH | UMOUNT_NOFOLLOW);
	return -1;
}

/* What still has it keeps it for as long as it likes, and no pod waits for that. */
static int disk_unmount(const char *at, struct err *err)
{
	if (umount2(at, UMOUNT_NOFOLLOW) == 0 || errno == EINVAL || errno == ENOENT)
		return 0;
	return umount2(at, UMOUNT_NOFOLLOW | MNT_DETACH) == 0 ? 0 : err_set_errno(err, errno, "unmounting '%s'", at);
}

const struct disk_machine disk_machine_real = {
	.blkid = "blkid",
	.fsck = "fsck",
	.mount = "mount",
	.mkfs = "mkfs.",
	.is_device = disk_is_device,
	.mounted = fs_is_mountpoint,
	.read_only = disk_read_only,
	.used = fs_is_mounted_below,
	.bind = disk_bind,
	.unmount = disk_unmount,
	.source = fs_mount_source,
};
