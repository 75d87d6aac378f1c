#include "base/file.h"
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES 4096
#define LOCK_STEPS 1000 /* of 5 ms */

static int file_read_fd(struct arena *a, int fd, const char *path, size_t max, struct sv *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	ssize_t n;

	do { /* until the end, whatever fstat would say: files of /proc have size 0 */
		buf_reserve(&b, READ_BYTES);
		n = read(fd, b.p + b.n, READ_BYTES);
		if (n < 0 && errno != EINTR)
			return err_set_errno(err, errno, "cannot read '%s'", path);
		b.n += n > 0 ? (size_t)n : 0;
		if (b.n > max)
			return err_set(err, ERR_TOO_LARGE, "'%s' is larger than %zu bytes", path, max);
	} while (n != 0);
	*ret = arena_sv(a, sv_make(b.p, b.n));
	return 0;
}

static const char *file_kind(mode_t mode)
{
	return S_ISFIFO(mode)	? "a FIFO"
	       : S_ISSOCK(mode) ? "a socket"
	       : S_ISCHR(mode)	? "a character device"
	       : S_ISBLK(mode)	? "a block device"
				: "no regular file";
}

int file_read(struct arena *a, const char *path, size_t max, struct sv *ret, struct err *err)
{
	/* Nothing waits in open(), whatever it is; of a regular file the flags change nothing. */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "cannot read '%s'", path);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) /* which read() refuses in words */
		return err_set(err, ERR_INVALID, "cannot read '%s': it is %s, and should be a regular file", path,
			       file_kind(st.st_mode));
	return file_read_fd(a, fd, path, max, ret, err);
}

int file_read_once(struct arena *a, const char *path, size_t max, struct sv *ret, struct err *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

	if (fd < 0)
		return err_set_errno(err, errno, "cannot read '%s'", path);
	return file_read_fd(a, fd, path, max, ret, err);
}

pid_t file_holder(int fd)
{
	char text[64] = "";
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	const char *digits = n > 0 ? strpbrk(text, "0123456789\n") : NULL;

	return digits ? (pid_t)strtol(digits, NULL, 10) : 0;
}

int file_lock(int fd)
{
	static const struct timespec step = { .tv_nsec = 5 * NS_PER_MS };

	for (int i = 0;; i++) {
		pid_t holder;

		if (flock(fd, LOCK_EX | LOCK_NB) == 0)
			return 0;
		if (errno != EWOULDBLOCK)
			return -1;
		holder = file_holder(fd);
		if (i == LOCK_STEPS || holder <= 1 || kill(holder, 0) == 0 || errno != ESRCH) {
			errno = EWOULDBLOCK;
			return -1;
		}
		nanosleep(&step, NULL);
	}
}

static int file_write_all(int fd, struct sv data)
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

/* A file under way: complete, under a name of its own. */
struct staged {
	char *tmp; /* owned; NULL once it has its name */
	int fd;
};

static int stage(const struct file_out *f, struct staged *ret, struct err *err)
{
	ret->tmp = xasprintf("%s.XXXXXX", f->path);
	ret->fd = mkostemp(ret->tmp, O_CLOEXEC);
	if (ret->fd < 0 || fchmod(ret->fd, f->mode) < 0 || file_write_all(ret->fd, f->data) < 0)
		return err_set_errno(err, errno, "cannot write '%s'", f->path);
	return 0;
}

static void stage_end(struct staged *s)
{
	if (s->tmp && s->fd >= 0)
		unlink(s->tmp);
	if (s->fd >= 0)
		close(s->fd);
	free(s->tmp);
}

static int file_put(const struct file_out *files, size_t n, bool sync, struct err *err)
{
	struct staged *s = xcalloc(n, sizeof(*s));
	size_t staged = 0;
	int rc = 0;

	while (rc == 0 && staged < n) {
		rc = stage(&files[staged], &s[staged], err);
		staged++;
	}
	/* With every file's writing begun first, the file system's journal takes them together, and of the syncs only
	 * the first has much to wait for. */
	for (size_t i = 0; sync && n > 1 && rc == 0 && i < n; i++)
		(void)sync_file_range(s[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	for (size_t i = 0; sync && rc == 0 && i < n; i++)
		if (fsync(s[i].fd) < 0)
			rc = err_set_errno(err, errno, "cannot write '%s'", files[i].path);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		if (rename(s[i].tmp, files[i].path) < 0) {
			rc = err_set_errno(err, errno, "cannot write '%s'", files[i].path);
			break;
		}
		free(s[i].tmp);
		s[i].tmp = NULL;
	}
	if (sync && rc == 0 && n)
		sync_parent(files[0].path);
	while (staged)
		stage_end(&s[--staged]);
	free(s);
	return rc;
}

int file_write(const char *path, struct sv data, mode_t mode, struct err *err)
{
	return file_put(&(struct file_out){ path, data, mode }, 1, true, err);
}

int file_write_several(const struct file_out *files, size_t n, struct err *err)
{
	return file_put(files, n, true, err);
}

int file_write_again(const char *path, struct sv data, mode_t mode, struct err *err)
{
	return file_put(&(struct file_out){ path, data, mode }, 1, false, err);
}

bool file_is_program(const char *name)
{
	const char *path = getenv("PATH");
	struct sv rest = sv_from(path ? path : "/usr/sbin:/usr/bin:/sbin:/bin"), dir;

	if (strchr(name, '/'))
		return access(name, X_OK) == 0;
	while (sv_split(&rest, ':', &dir)) {
		_cleanup_free_ char *file = xasprintf("%.*s/%s", SV_ARG(dir), name);

		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
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
