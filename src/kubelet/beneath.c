#include "kubelet/beneath.h"

#include "base/buf.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* EAGAIN says that something was renamed at the same time and the kernel could not be sure. It says so, too, while a
 * container holds a lease on the file, for as long as that pleases: so not for ever. */
#define OPEN_TRIES 64

static int beneath_openat2(int dir, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RESOLVE_NO_MAGICLINKS | resolve };
	int fd, tries = 0;

	if (!(flags & O_PATH))
		how.flags |= O_NONBLOCK | O_NOCTTY;
	do
		fd = (int)syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof(how));
	while (fd < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < OPEN_TRIES)));
	return fd;
}

int beneath_follow(int dir, const char *path, int flags)
{
	return beneath_openat2(dir, path, flags, RESOLVE_BENEATH);
}

int beneath_in_root(int dir, const char *path, int flags)
{
	return beneath_openat2(dir, path, flags, RESOLVE_IN_ROOT);
}

int beneath_open(int dir, const char *path, int flags)
{
	return beneath_openat2(dir, path, flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* "/root/a/b" below "/root" is "a/b". */
static const char *beneath_part(const char *root, const char *path)
{
	size_t n = strlen(root);

	if (!strncmp(path, root, n) && (path[n] == '/' || path[n] == '\0'))
		path += n;
	while (*path == '/')
		path++;
	return path;
}

static int beneath_root(const char *root, struct err *err)
{
	int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd : err_set_errno(err, errno, "opening directory '%s'", root);
}

int beneath_dir(const char *root, const char *path, struct err *err)
{
	_cleanup_close_ int dir = beneath_root(root, err);
	int fd;

	if (dir < 0)
		return -1;
	fd = beneath_open(dir, beneath_part(root, path), O_RDONLY | O_DIRECTORY);
	return fd >= 0 ? fd : err_set_errno(err, errno, "opening directory '%s'", path);
}

int beneath_make(int dir, const char *path, mode_t mode, struct err *err)
{
	int at = beneath_open(dir, ".", O_RDONLY | O_DIRECTORY);
	struct sv rest = sv_from(path), part;
	int saved;

	while (at >= 0 && sv_split(&rest, '/', &part)) {
		char name[NAME_MAX + 1];
		int sub;

		if (!part.n || sv_is(part, "."))
			continue;
		if (part.n > NAME_MAX) {
			close(at);
			return err_set_errno(err, ENAMETOOLONG, "making directory '%s'", path);
		}
		memcpy(name, part.p, part.n);
		name[part.n] = '\0';
		sub = beneath_open(at, name, O_RDONLY | O_DIRECTORY);
		if (sub < 0 && errno == ENOENT && (mkdirat(at, name, mode) == 0 || errno == EEXIST))
			sub = beneath_open(at, name, O_RDONLY | O_DIRECTORY);
		saved = errno;
		close(at);
		errno = saved;
		at = sub;
	}
	return at >= 0 ? at : err_set_errno(err, errno, "making directory '%s'", path);
}

int beneath_dir_make(const char *root, const char *path, mode_t mode, struct err *err)
{
	_cleanup_close_ int dir = beneath_root(root, err);

	return dir < 0 ? -1 : beneath_make(dir, beneath_part(root, path), mode, err);
}

int beneath_regular(int dir, const char *path, struct stat *ret, struct err *err)
{
	int fd = beneath_open(dir, path, O_RDONLY), saved;
	struct stat st;

	if (fd < 0)
		return err_set_errno(err, errno, "opening '%s'", path);
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		if (ret)
			*ret = st;
		return fd;
	}
	saved = S_ISREG(st.st_mode) ? errno : EINVAL;
	close(fd);
	return err_set_errno(err, saved, "'%s' is no regular file", path);
}

int beneath_read_fd(struct arena *a, int fd, size_t max, struct sv *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	ssize_t n;

	do {
		buf_reserve(&b, 4096);
		n = read(fd, b.p + b.n, 4096);
		if (n < 0 && errno != EINTR)
			return err_set_errno(err, errno, "reading a file");
		b.n += n > 0 ? (size_t)n : 0;
		if (b.n > max)
			return err_set(err, ERR_TOO_LARGE, "it is larger than %zu bytes", max);
	} while (n != 0);
	*ret = arena_sv(a, buf_sv(&b));
	return 0;
}

static int beneath_file(const char *root, const char *path, struct stat *st, struct err *err)
{
	_cleanup_close_ int dir = beneath_root(root, err);

	return dir < 0 ? -1 : beneath_regular(dir, beneath_part(root, path), st, err);
}

int beneath_read(struct arena *a, const char *root, const char *path, size_t max, struct sv *ret, struct err *err)
{
	_cleanup_close_ int fd = beneath_file(root, path, NULL, err);

	if (fd < 0)
		return -1;
	return beneath_read_fd(a, fd, max, ret, err) < 0 ? err_wrap(err, "'%s'", path) : 0;
}

int beneath_tail(struct arena *a, const char *root, const char *path, size_t max, struct sv *ret, struct err *err)
{
	struct stat st;
	_cleanup_close_ int fd = beneath_file(root, path, &st, err);
	off_t from;
	size_t at = 0;
	char *p;

	if (fd < 0)
		return -1;
	from = st.st_size > (off_t)max ? st.st_size - (off_t)max : 0;
	p = arena_alloc(a, max + 1);
	while (at < max) {
		ssize_t n = pread(fd, p + at, max - at, from + (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_set_errno(err, errno, "reading '%s'", path);
		if (n == 0)
			break;
		at += (size_t)n;
	}
	*ret = sv_make(p, at);
	return 0;
}

int beneath_put(int dir, const char *name, struct sv content, mode_t mode, int64_t gid, struct err *err)
{
	static _Atomic unsigned count;
	char tmp[64];
	_cleanup_close_ int fd = -1;
	int saved;

	for (int tries = 0; fd < 0 && tries < 100; tries++) {
		(void)snprintf(tmp, sizeof(tmp), "..tmp.%d.%u", (int)getpid(), atomic_fetch_add(&count, 1));
		fd = openat(dir, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		if (fd < 0 && errno != EEXIST)
			break;
	}
	if (fd < 0)
		return err_set_errno(err, errno, "creating '%s'", name);
	while (content.n) {
		ssize_t n = write(fd, content.p, content.n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto fail;
		content = sv_sub(content, (size_t)n, content.n);
	}
	if ((gid < 0 || fchown(fd, (uid_t)-1, (gid_t)gid) == 0) && fchmod(fd, mode) == 0 &&
	    renameat(dir, tmp, dir, name) == 0)
		return 0;
fail:
	saved = errno;
	unlinkat(dir, tmp, 0);
	return err_set_errno(err, saved, "writing '%s'", name);
}

int beneath_write(const char *root, const char *path, struct sv content, mode_t mode, struct err *err)
{
	const char *part = beneath_part(root, path), *slash = strrchr(part, '/');
	_cleanup_free_ char *above = slash ? xstrndup(part, (size_t)(slash - part)) : xstrdup("");
	_cleanup_close_ int dir = beneath_dir(root, above, err);

	return dir < 0 ? -1 : beneath_put(dir, slash ? slash + 1 : part, content, mode, -1, err);
}

/* --- what is no log file --- */

static bool beneath_log_name(const char *name)
{
	const char *at = name;

	while (isdigit((unsigned char)*at))
		at++;
	return at > name && !strcmp(at, ".log");
}

int beneath_clear_log_dir(int dir)
{
	int copy = beneath_open(dir, ".", O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;

		if (!beneath_log_name(e->d_name) || fstatat(dir, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    S_ISREG(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode)) {
			char aside[sizeof(e->d_name) + 16];

			(void)snprintf(aside, sizeof(aside), "%s.no-log", e->d_name);
			n += renameat(dir, e->d_name, dir, aside) == 0;
			continue;
		}
		if (S_ISFIFO(st.st_mode)) { /* who waits for a reader in open(2) is let go */
			int fifo = beneath_open(dir, e->d_name, O_RDONLY);

			if (fifo >= 0)
				close(fifo);
		}
		n += unlinkat(dir, e->d_name, 0) == 0;
	}
	closedir(d);
	return n;
}

/* Calls itself once: log_dir's pods, then a pod's containers. */
static int beneath_clear_level(int dir, bool pods)
{
	int copy = beneath_open(dir, ".", O_RDONLY | O_DIRECTORY), n = 0;
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_close_ int sub = -1;

		if (e->d_name[0] == '.' || (sub = beneath_open(dir, e->d_name, O_RDONLY | O_DIRECTORY)) < 0)
			continue;
		n += pods ? beneath_clear_level(sub, false) : beneath_clear_log_dir(sub);
	}
	closedir(d);
	return n;
}

int beneath_clear_logs(const char *log_dir)
{
	_cleanup_close_ int dir = beneath_root(log_dir, NULL);

	return dir < 0 ? 0 : beneath_clear_level(dir, true);
}
