#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int file_read(struct arena *a, const char *path, size_t max, struct sv *ret, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	size_t n = 0, room;
	char *p;

	if (fd < 0)
		return err_set_errno(err, errno, "cannot read '%s'", path);
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot read '%s'", path);
	if (st.st_size > 0 && (uintmax_t)st.st_size > max)
		return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", path, max);
	/* Files of /proc have size 0: read until the end, whatever fstat said. */
	room = st.st_size > 0 ? (size_t)st.st_size : MIN(max, (size_t)65536);
	p = arena_alloc(a, room + 1);
	while (n < room) {
		ssize_t k = read(fd, p + n, room - n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return err_set_errno(err, errno, "cannot read '%s'", path);
		if (k == 0)
			break;
		n += (size_t)k;
	}
	p[n] = '\0';
	*ret = sv_make(p, n);
	return 0;
}

static int write_all(int fd, struct sv data)
{
	while (data.n) {
		ssize_t k = write(fd, data.p, data.n);

		if (k < 0 && errno == EINTR)
			continue;
		if (k < 0)
			return -1;
		data = sv_sub(data, (size_t)k, data.n);
	}
	return 0;
}

static void sync_parent(const char *path)
{
	_cleanup_free_ char *dir = xstrdup(path);
	_cleanup_close_ int fd = -1;
	char *slash = strrchr(dir, '/');

	if (slash)
		*slash = '\0';
	fd = open(slash ? (dir[0] ? dir : "/") : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		(void)fsync(fd);
}

int file_write(const char *path, struct sv data, mode_t mode, struct err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = mkostemp(tmp, O_CLOEXEC);

	if (fd < 0)
		return err_set_errno(err, errno, "cannot write '%s'", path);
	if (fchmod(fd, mode) < 0 || write_all(fd, data) < 0 || fsync(fd) < 0 || rename(tmp, path) < 0) {
		int e = errno;

		unlink(tmp);
		return err_set_errno(err, e, "cannot write '%s'", path);
	}
	sync_parent(path);
	return 0;
}

int dir_make(const char *path, mode_t mode, struct err *err)
{
	_cleanup_free_ char *p = xstrdup(path);

	for (char *at = p + 1;; at++) {
		char c = *at;

		if (c != '/' && c != '\0')
			continue;
		*at = '\0';
		if (mkdir(p, c ? 0755 : mode) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "cannot make the directory '%s'", p);
		*at = c;
		if (!c)
			return 0;
	}
}

static int remove_below(int dirfd, dev_t dev)
{
	DIR *d = fdopendir(dirfd);
	struct dirent *e;
	int rc = 0;

	if (!d) {
		close(dirfd);
		return -1;
	}
	while ((e = readdir(d))) {
		struct stat st;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (fstatat(dirfd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			int fd;

			if (st.st_dev != dev) {
				errno = EBUSY;
				rc = -1;
				continue;
			}
			fd = openat(dirfd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (fd < 0 || remove_below(fd, dev) < 0 || unlinkat(dirfd, e->d_name, AT_REMOVEDIR) < 0)
				rc = -1;
		} else if (unlinkat(dirfd, e->d_name, 0) < 0) {
			rc = -1;
		}
	}
	closedir(d);
	return rc;
}

int tree_remove(const char *path, struct err *err)
{
	struct stat st;
	int fd;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "cannot remove '%s'", path);
	if (!S_ISDIR(st.st_mode))
		return unlink(path) < 0 ? err_set_errno(err, errno, "cannot remove '%s'", path) : 0;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || remove_below(fd, st.st_dev) < 0 || rmdir(path) < 0)
		return err_set_errno(err, errno, "cannot remove '%s'", path);
	return 0;
}
