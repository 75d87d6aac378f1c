#include "kubelet/fsutil.h"

#include "base/buf.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

int fs_write(const char *path, struct sv content, mode_t mode, struct err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = mkostemp(tmp, O_CLOEXEC);
	size_t at = 0;
	int saved;

	if (fd < 0)
		return err_set_errno(err, errno, "creating '%s'", path);
	while (at < content.n) {
		ssize_t n = write(fd, content.p + at, content.n - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			goto fail;
		at += (size_t)n;
	}
	if (fchmod(fd, mode) < 0 || rename(tmp, path) < 0)
		goto fail;
	return 0;
fail:
	saved = errno;
	unlink(tmp);
	return err_set_errno(err, saved, "writing '%s'", path);
}

int fs_mkdir_p(const char *path, mode_t mode, struct err *err)
{
	_cleanup_free_ char *p = xstrdup(path);

	for (char *slash = p + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(p, mode) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "creating directory '%s'", p);
		*slash = '/';
	}
	if (mkdir(p, mode) < 0 && errno != EEXIST)
		return err_set_errno(err, errno, "creating directory '%s'", p);
	return 0;
}

/* /proc/self/mountinfo writes space, tab, newline and backslash of a path as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] >= '0' && s[2] <= '7' && s[3] >= '0' &&
		    s[3] <= '7') {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* Calls fn for the mount points at or under path, in mount order. */
static void each_mount(const char *path, void (*fn)(const char *at, void *ctx), void *ctx)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	size_t cap = 0, plen = strlen(path);
	_cleanup_free_ char *line = NULL;

	if (!f)
		return;
	while (getline(&line, &cap, f) > 0) {
		char *at = line, *end;

		for (int i = 0; i < 4 && at; i++) /* id, parent, device, root */
			if ((at = strchr(at, ' ')))
				at++;
		if (!at || !(end = strchr(at, ' ')))
			continue;
		*end = '\0';
		unescape(at);
		if (!strncmp(at, path, plen) && (at[plen] == '/' || at[plen] == '\0'))
			fn(at, ctx);
	}
	fclose(f);
}

struct mount_list {
	VEC(char *) v;
};

static void collect(const char *at, void *ctx)
{
	struct mount_list *l = ctx;

	vec_push(&l->v, xstrdup(at));
}

int fs_unmount_under(const char *path, int *ret_n, struct err *err)
{
	struct mount_list l = { VEC_INIT };
	int rc = 0, n = 0;

	each_mount(path, collect, &l);
	/* Later mounts stand on earlier ones, so the reverse order is deepest first. */
	for (size_t i = l.v.n; i-- > 0;) {
		if (umount2(l.v.p[i], UMOUNT_NOFOLLOW | MNT_DETACH) == 0)
			n++;
		else if (errno != EINVAL && errno != ENOENT && rc == 0)
			rc = err_set_errno(err, errno, "unmounting '%s'", l.v.p[i]);
		free(l.v.p[i]);
	}
	vec_release(&l.v);
	if (ret_n)
		*ret_n = n;
	return rc;
}

struct exact {
	const char *path;
	bool found;
};

static void match(const char *at, void *ctx)
{
	struct exact *e = ctx;

	e->found |= !strcmp(at, e->path);
}

bool fs_is_mountpoint(const char *path)
{
	struct exact e = { .path = path };

	each_mount(path, match, &e);
	return e.found;
}

/* Deeper than that nobody counts: each level is an open directory. */
#define DEPTH_MAX 256

static int64_t bytes_below(int fd_take, dev_t dev, int depth)
{
	DIR *d = fdopendir(fd_take);
	int64_t sum = 0;

	if (!d) {
		close(fd_take);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));) {
		struct stat st;
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != dev)
			continue;
		sum += st.st_blocks * 512;
		if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
			continue;
		/* Whoever writes there may put a link in its place meanwhile. */
		sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub >= 0)
			sum += bytes_below(sub, dev, depth + 1);
	}
	closedir(d);
	return sum;
}

int64_t fs_tree_bytes(const char *path)
{
	int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0)
		return -1;
	if (fstat(dir, &st) < 0) {
		close(dir);
		return -1;
	}
	return bytes_below(dir, st.st_dev, 0);
}
