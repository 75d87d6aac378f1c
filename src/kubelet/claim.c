#include "kubelet/claim.h"

#include "base/board.h"
#include "base/buf.h"
#include "base/sysctl.h"
#include "kubelet/containerd.h"
#include "kubelet/fsutil.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX 16384

struct claim {
	char *data_dir, *path, *settings;
	char run[40];
	int fd;
};

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

static int write_text(int fd, struct sv text)
{
	return ftruncate(fd, 0) == 0 && pwrite(fd, text.p, text.n, 0) == (ssize_t)text.n ? 0 : -1;
}

/* The process, and in which network namespace it has its part of the kernel (base/sysctl.h). */
static void claim_say_who(struct buf *b)
{
	buf_printf(b, "pid %d netns %" PRIu64 "\n", (int)board_main_pid(), sysctl_netns());
}

int claim_take(const char *data_dir, struct claim **ret, pid_t *ret_holder, struct err *err)
{
	_cleanup_free_ char *path = NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct claim *c;
	char run[40];
	int fd;

	containerd_run_dir(data_dir, run);
	path = xasprintf("%s/" CLAIM_FILE, run);
	if (ret_holder)
		*ret_holder = 0;
	for (;;) {
		if (fs_mkdir_p(run, 0711, err) < 0)
			return -1;
		fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd < 0 && errno == ENOENT)
			continue; /* a cleanup took the directory away in between */
		if (fd < 0)
			return err_set_errno(err, errno, "opening '%s'", path);
		if (file_lock(fd) < 0) {
			int e = errno;
			pid_t holder = file_holder(fd);

			close(fd);
			if (e != EWOULDBLOCK)
				return err_set_errno(err, e, "locking '%s'", path);
			if (ret_holder)
				*ret_holder = holder;
			return err_set(err, ERR_ALREADY_EXISTS,
				       "process %d is running the node of '%s', or cleaning up after it", (int)holder,
				       data_dir);
		}
		if (same_file(fd, path))
			break;
		close(fd); /* locked what a cleanup has just deleted */
	}
	/* What the process before us wrote down is kept until there is something newer. */
	{
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv old = SV(""), first;

		(void)file_read(&a, path, TEXT_MAX, &old, NULL);
		(void)sv_split(&old, '\n', &first);
		claim_say_who(&b);
		buf_addsv(&b, old);
	}
	(void)write_text(fd, buf_sv(&b)); /* a full disk is no reason not to run */
	c = xcalloc(1, sizeof(*c));
	c->data_dir = xstrdup(data_dir);
	c->path = xstrdup(path);
	c->settings = xasprintf("%s/" CLAIM_SETTINGS, run);
	memcpy(c->run, run, sizeof(run));
	c->fd = fd;
	*ret = c;
	return 0;
}

static bool is_below(const char *data_dir, const char *dir)
{
	size_t n = strlen(data_dir);

	return !strncmp(dir, data_dir, n) && (dir[n] == '/' || dir[n] == '\0');
}

bool claim_owns(const char *data_dir, const char *dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv mark;

	return is_below(data_dir, dir) ||
	       (file_read(&a, arena_printf(&a, "%s/" CLAIM_MARK, dir), TEXT_MAX, &mark, NULL) == 0 &&
		sv_is(sv_trim(mark), data_dir));
}

static bool claim_is_empty(const char *dir)
{
	DIR *d = opendir(dir);
	int n = 0;

	if (!d)
		return false;
	while (n < 3 && readdir(d)) /* itself and its parent */
		n++;
	closedir(d);
	return n < 3;
}

static int use_dir(struct claim *c, const char *dir, mode_t mode, struct err *err)
{
	_cleanup_free_ char *mark = xasprintf("%s/" CLAIM_MARK, dir), *text = xasprintf("%s\n", c->data_dir);

	if (fs_mkdir_p(dir, mode, err) < 0)
		return -1;
	if (is_below(c->data_dir, dir) || !claim_is_empty(dir))
		return 0;
	return fs_write(mark, sv_from(text), 0644, err);
}

int claim_use(struct claim *c, const struct claim_dirs *d, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	_cleanup_free_ char *copy = xasprintf("%s/" CLAIM_FILE, c->data_dir);

	struct sv text;
	size_t dirs;

	claim_say_who(&b);
	dirs = b.n;
	buf_printf(&b, "data-dir %s\nkubelet-root %s\nlog-dir %s\n", c->data_dir, d->kubelet_root, d->log_dir);
	text = buf_sv(&b);
	if (write_text(c->fd, text) < 0)
		return err_set_errno(err, errno, "writing '%s'", c->path);
	if (fs_write(copy, sv_sub(text, dirs, text.n), 0600, err) < 0)
		return -1;
	return use_dir(c, d->kubelet_root, 0750, err) < 0 || use_dir(c, d->log_dir, 0755, err) < 0 ? -1 : 0;
}

static bool read_text(struct arena *a, const char *path, const char *data_dir, struct claim_dirs *ret)
{
	struct claim_dirs d = { NULL, NULL };
	bool same = false;
	struct sv text, line;

	if (file_read(a, path, TEXT_MAX, &text, NULL) < 0)
		return false;
	while (sv_split(&text, '\n', &line)) {
		struct sv key;

		if (!sv_split(&line, ' ', &key) || !line.n || line.p[0] != '/')
			continue;
		if (sv_is(key, "data-dir"))
			same = sv_is(line, data_dir);
		else if (sv_is(key, "kubelet-root"))
			d.kubelet_root = arena_cstr(a, line);
		else if (sv_is(key, "log-dir"))
			d.log_dir = arena_cstr(a, line);
	}
	if (!same || !d.kubelet_root || !d.log_dir)
		return false;
	*ret = d;
	return true;
}

void claim_read(struct arena *a, const char *data_dir, struct claim_dirs *ret)
{
	char run[40];

	containerd_run_dir(data_dir, run);
	if (!read_text(a, arena_printf(a, "%s/" CLAIM_FILE, run), data_dir, ret))
		(void)read_text(a, arena_printf(a, "%s/" CLAIM_FILE, data_dir), data_dir, ret);
}

const char *claim_settings(struct claim *c)
{
	return c->settings;
}

struct claim *claim_free(struct claim *c)
{
	if (!c)
		return NULL;
	close(c->fd);
	free(c->data_dir);
	free(c->path);
	free(c->settings);
	free(c);
	return NULL;
}

struct claim *claim_forget(struct claim *c)
{
	if (!c)
		return NULL;
	sysctls_no_heir(c->path, CLAIM_SETTINGS, CLAIM_ALL);
	rmdir(c->run);
	return claim_free(c);
}
