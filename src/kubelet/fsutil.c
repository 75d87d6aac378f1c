#include "kubelet/fsutil.h"

#include "base/buf.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static bool fs_is_so(const char *path, struct sv content, mode_t mode)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct stat st;
	struct sv is;

	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 07777) == mode &&
	       st.st_size == (off_t)content.n && file_read(&a, path, content.n + 1, &is, NULL) == 0 &&
	       sv_eq(is, content);
}

int fs_write(const char *path, struct sv content, mode_t mode, struct err *err)
{
	_cleanup_free_ char *tmp = xasprintf("%s.XXXXXX", path);
	_cleanup_close_ int fd = -1;
	size_t at = 0;
	int saved;

	if (fs_is_so(path, content, mode))
		return 0;
	fd = mkostemp(tmp, O_CLOEXEC);
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
static void fs_unescape(char *s)
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

/* Calls fn for the mount points at or under path, in mount order. net: they are file servers'. */
static void each_mount(const char *path, void (*fn)(const char *at, bool net, void *ctx), void *ctx)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	size_t cap = 0, plen = strlen(path);
	_cleanup_free_ char *line = NULL;

	if (!f)
		return;
	while (getline(&line, &cap, f) > 0) {
		char *at = line, *end, *type;

		for (int i = 0; i < 4 && at; i++) /* id, parent, device, root */
			if ((at = strchr(at, ' ')))
				at++;
		if (!at || !(end = strchr(at, ' ')))
			continue;
		*end = '\0';
		fs_unescape(at);
		type = strstr(end + 1, " - ");
		if (!strncmp(at, path, plen) && (at[plen] == '/' || at[plen] == '\0'))
			fn(at, type && strncmp(type + 3, "nfs", 3) == 0, ctx);
	}
	fclose(f);
}

struct mount_list {
	VEC(char *) v;
	VEC(bool) net;
};

static void fs_collect(const char *at, bool net, void *ctx)
{
	struct mount_list *l = ctx;

	vec_push(&l->v, xstrdup(at));
	vec_push(&l->net, net);
}

/* By descriptor, and not through a link: the way there may be a container's (its own mounts come back to us). */
static int fs_unmount(const char *path, bool net)
{
	struct open_how how = { .flags = O_PATH | O_NOFOLLOW | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	/* Opening asks a file server, which may not answer; out of the tree it goes without. */
	_cleanup_close_ int fd = net ? -1 : (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
	char link[40];

	if (fd < 0)
		return umount2(path, UMOUNT_NOFOLLOW | MNT_DETACH); /* e.g. a file system that went away */
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return umount2(link, MNT_DETACH);
}

int fs_unmount_under(const char *path, int *ret_n, struct err *err)
{
	struct mount_list l = { VEC_INIT, VEC_INIT };
	int rc = 0, n = 0;

	each_mount(path, fs_collect, &l);
	/* Later mounts stand on earlier ones, so the reverse order is deepest first. */
	for (size_t i = l.v.n; i-- > 0;) {
		if (fs_unmount(l.v.p[i], l.net.p[i]) == 0)
			n++;
		else if (errno != EINVAL && errno != ENOENT && rc == 0)
			rc = err_set_errno(err, errno, "unmounting '%s'", l.v.p[i]);
		free(l.v.p[i]);
	}
	vec_release(&l.v);
	vec_release(&l.net);
	if (ret_n)
		*ret_n = n;
	return rc;
}

struct exact {
	const char *path;
	bool found;
};

static void match(const char *at, _unused_ bool net, void *ctx)
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

/* A line of mountinfo, which it is cut into. */
struct mount_line {
	dev_t dev;
	char *at, *source; /* source NULL: none is said */
};

static bool mount_line(char *line, struct mount_line *ret)
{
	unsigned major, minor;
	int at = 0;
	char *end, *rest;

	if (sscanf(line, "%*d %*d %u:%u %*s %n", &major, &minor, &at) != 2 || !at || !(end = strchr(line + at, ' ')))
		return false;
	*end = '\0';
	*ret = (struct mount_line){ makedev(major, minor), line + at, NULL };
	fs_unescape(ret->at);
	rest = strstr(end + 1, " - ");
	rest = rest ? strchr(rest + 3, ' ') : NULL; /* behind the type */
	end = rest ? strchr(rest + 1, ' ') : NULL;
	if (!end)
		return true;
	*end = '\0';
	ret->source = rest + 1;
	fs_unescape(ret->source);
	return true;
}

/* In one set of mounts. A copy of the whole tree may stand anywhere (/host of a pod that has all of it), so it is the
 * end of the name that says that a mount is ours. */
static bool mounted_elsewhere_in(FILE *f, dev_t dev, const char *path)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0, plen = strlen(path), n;
	bool found = false;

	while (!found && getline(&line, &cap, f) > 0) {
		struct mount_line m;

		if (!mount_line(line, &m) || m.dev != dev)
			continue;
		n = strlen(m.at);
		found = n < plen || strcmp(m.at + n - plen, path) != 0;
	}
	return found;
}

/* What a process sees of mounts: of its set those below its root. Hundreds of processes share one. */
struct mount_view {
	ino_t set, root;
};

bool fs_is_mounted_elsewhere(const char *path)
{
	VEC(struct mount_view) seen = VEC_INIT;
	struct stat fs, set, root;
	struct mount_view view;
	bool found = false;
	DIR *d;

	if (stat(path, &fs) < 0 || !(d = opendir("/proc")))
		return true;
	for (struct dirent *e; !found && (e = readdir(d));) {
		char name[64];
		size_t i = 0;
		FILE *f;

		if (e->d_name[0] < '1' || e->d_name[0] > '9')
			continue;
		(void)snprintf(name, sizeof(name), "/proc/%.20s/ns/mnt", e->d_name);
		if (stat(name, &set) < 0)
			continue;
		(void)snprintf(name, sizeof(name), "/proc/%.20s/root", e->d_name);
		if (stat(name, &root) < 0)
			continue;
		while (i < seen.n && (seen.p[i].set != set.st_ino || seen.p[i].root != root.st_ino))
			i++;
		(void)snprintf(name, sizeof(name), "/proc/%.20s/mountinfo", e->d_name);
		if (i < seen.n || !(f = fopen(name, "re")))
			continue; /* it has just ended */
		view = (struct mount_view){ set.st_ino, root.st_ino };
		vec_push(&seen, view);
		found = mounted_elsewhere_in(f, fs.st_dev, path);
		fclose(f);
	}
	closedir(d);
	vec_release(&seen);
	return found;
}

/* Of several mounts at one place the last is what one sees. */
static bool mount_at(FILE *f, const char *path, struct arena *a, dev_t *ret_dev, const char **ret_source)
{
	_cleanup_free_ char *line = NULL;
	size_t cap = 0;
	bool found = false;

	while (getline(&line, &cap, f) > 0) {
		struct mount_line m;

		if (!mount_line(line, &m) || strcmp(m.at, path) != 0)
			continue;
		found = true;
		*ret_dev = m.dev;
		if (a)
			*ret_source = arena_strdup(a, m.source ? m.source : "");
	}
	return found;
}

const char *fs_mount_source(struct arena *a, const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	const char *source = NULL;
	dev_t dev;

	if (!f)
		return NULL;
	(void)mount_at(f, path, a, &dev, &source);
	fclose(f);
	return source;
}

bool fs_is_mounted_below(const char *path, const char *dir)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	_cleanup_free_ char *line = NULL;
	size_t cap = 0, n = strlen(dir);
	bool found = false;
	dev_t dev;

	if (!f)
		return true; /* it cannot be said */
	if (mount_at(f, path, NULL, &dev, NULL)) {
		rewind(f);
		while (!found && getline(&line, &cap, f) > 0) {
			struct mount_line m;

			found = mount_line(line, &m) && m.dev == dev && strncmp(m.at, dir, n) == 0 && m.at[n] == '/';
		}
	}
	fclose(f);
	return found;
}

size_t fs_net_mounts(struct arena *a, const char *path, const char *const **ret)
{
	struct mount_list l = { VEC_INIT, VEC_INIT };
	const char **list;
	size_t n = 0;

	each_mount(path, fs_collect, &l);
	list = ARENA_ARRAY(a, const char *, l.v.n);
	for (size_t i = l.v.n; i-- > 0;) {
		if (l.net.p[i])
			list[n++] = arena_strdup(a, l.v.p[i]);
		free(l.v.p[i]);
	}
	vec_release(&l.v);
	vec_release(&l.net);
	*ret = list;
	return n;
}
