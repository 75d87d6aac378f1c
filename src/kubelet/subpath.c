#include "kubelet/subpath.h"

#include "base/vec.h"
#include "kubelet/beneath.h"
#include "kubelet/kubelet-internal.h"
#include "kubelet/pod_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

struct subpath {
	struct arena *a;
	VEC(struct sv) parts;
};

/* The path of the first n parts. */
static const char *subpath_prefix(struct subpath *s, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(&b, '/');
		buf_addsv(&b, s->parts.p[i]);
	}
	return n ? arena_strdup(s->a, buf_cstr(&b)) : ".";
}

/* How many parts are there already, with the directory that they lead to. Halving: the work is not the square of the
 * depth. */
static size_t subpath_existing(struct subpath *s, int root, int *ret)
{
	size_t low = 0, high = s->parts.n; /* the first low are there, high are not */
	int best = beneath_follow(root, ".", O_RDONLY | O_DIRECTORY);

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;
		int fd = beneath_follow(root, subpath_prefix(s, mid), O_RDONLY | O_DIRECTORY);

		if (fd < 0) {
			high = mid;
			continue;
		}
		close(best);
		best = fd;
		low = mid;
	}
	*ret = best;
	return low;
}

/* As we made it a moment ago? Whoever may write to the volume could have put something else there meanwhile. */
static bool subpath_fresh(const struct stat *st)
{
	return st->st_uid == geteuid() && st->st_nlink <= 2 && !(st->st_mode & 077);
}

/* Makes a directory and opens it; what somebody else made there first is taken as it is. */
static int subpath_step(int at, const char *name, mode_t mode)
{
	bool made = mkdirat(at, name, 0700) == 0;
	struct stat st;
	int fd;

	if (!made && errno != EEXIST)
		return -1;
	fd = beneath_open(at, name, O_RDONLY | O_DIRECTORY);
	/* Who may write to the volume may write there: chmod, as mkdir is subject to the umask. */
	if (fd >= 0 && made && fstat(fd, &st) == 0 && subpath_fresh(&st) && fchmod(fd, mode) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static int subpath_make(struct subpath *s, int root, mode_t mode)
{
	int at, next;
	size_t have = subpath_existing(s, root, &at);

	for (size_t i = have; at >= 0 && i < s->parts.n; i++) {
		next = subpath_step(at, arena_cstr(s->a, s->parts.p[i]), mode);
		if (next < 0) {
			int saved = errno;

			close(at);
			errno = saved;
			return -1;
		}
		close(at);
		at = next;
	}
	return at;
}

int subpath_open(const char *root, struct sv sub, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct subpath s = { .a = &a, .parts = VEC_INIT };
	struct sv rest = sub, part;
	struct stat st;
	int fd;

	if (dir < 0)
		return err_set_errno(err, errno, "opening volume '%s'", root);
	if (fstat(dir, &st) < 0)
		return err_set_errno(err, errno, "looking at volume '%s'", root);
	if (sub.n && sub.p[0] == '/')
		return err_set(err, ERR_INVALID, "subPath '%.*s' is absolute", SV_ARG(sub));
	while (sv_split(&rest, '/', &part)) {
		if (sv_is(part, "..")) {
			vec_release(&s.parts);
			return err_set(err, ERR_INVALID, "subPath '%.*s' contains '..'", SV_ARG(sub));
		}
		if (part.n && !sv_is(part, "."))
			vec_push(&s.parts, part);
	}
	fd = beneath_follow(dir, subpath_prefix(&s, s.parts.n), O_PATH);
	if (fd < 0 && errno == ENOENT)
		fd = subpath_make(&s, dir, st.st_mode & 07777);
	if (fd < 0)
		err_set_errno(err, errno, "subPath '%.*s' leaves its volume or cannot be made", SV_ARG(sub));
	vec_release(&s.parts);
	return fd;
}

/* The place of ours for a mount, of the kind of what is mounted. */
static int subpath_target(int at, const char *name, bool dir, struct err *err)
{
	int fd = -1;

	if (dir ? mkdirat(at, name, 0750) == 0 || errno == EEXIST
		: (fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640)) >= 0) {
		if (fd >= 0)
			close(fd);
		fd = beneath_open(at, name, O_PATH);
	}
	return fd >= 0 ? fd : err_set_errno(err, errno, "making the mount point '%s'", name);
}

int subpath_bind(struct kubelet *k, struct arena *a, struct sv uid, struct sv volume, struct sv container, int index,
		 const char *volume_path, struct sv sub, const char **ret, struct err *err)
{
	const char *dir =
	    arena_printf(a, "%s/volume-subpaths/%.*s/%.*s", pod_dir(k, a, uid), SV_ARG(volume), SV_ARG(container));
	const char *name = arena_printf(a, "%d", index), *to = arena_printf(a, "%s/%s", dir, name);
	_cleanup_close_ int fd = subpath_open(volume_path, sub, err);
	_cleanup_close_ int at = -1, target = -1;
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "looking at subPath '%.*s'", SV_ARG(sub));
	at = beneath_dir_make(k->root_dir, dir, 0750, err);
	if (at < 0)
		return -1;
	umount2(to, MNT_DETACH | UMOUNT_NOFOLLOW); /* an earlier instance's */
	target = subpath_target(at, name, S_ISDIR(st.st_mode), err);
	if (target < 0)
		return -1;
	if (mount(arena_printf(a, "/proc/self/fd/%d", fd), arena_printf(a, "/proc/self/fd/%d", target), NULL,
		  MS_BIND | MS_REC, NULL) < 0)
		return err_set_errno(err, errno, "binding subPath '%.*s'", SV_ARG(sub));
	*ret = to;
	return 0;
}
