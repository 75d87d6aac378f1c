#include "kubelet/volume_group.h"

#include "base/log.h"
#include "base/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GROUP_FILE 0660
#define GROUP_DIR (0110 | S_ISGID) /* beside that of files */

static mode_t group_mode(const struct stat *st)
{
	return (st->st_mode & 07777) | GROUP_FILE | (S_ISDIR(st->st_mode) ? GROUP_DIR : 0);
}

static bool group_is_so(const struct stat *st, int64_t group)
{
	return st->st_gid == (gid_t)group && (st->st_mode & 07777) == group_mode(st);
}

/* What could not be given to the group. Upstream goes on behind it, and so do we: a pod whose other files are readable
 * is better than none, and a server of files that squashes root, or a file that nobody may change, refuses for good. */
struct group_passed {
	size_t n;
	int error; /* of the first */
	char *name;
};

/* -1: it says something of the volume rather than of one file. */
static int group_failed(struct group_passed *p, const char *what, const char *name, struct err *err)
{
	int e = errno;

	switch (e) {
	case ENOENT: /* others work in the volume: removed, or another thing by now */
	case ELOOP:
	case ENXIO:
		return 0;
	case EPERM:
	case EACCES:
	case EROFS:
	case EOPNOTSUPP:
		if (p->n++ == 0) {
			p->error = e;
			p->name = xstrdup(name);
		}
		return 0;
	default:
		return err_set_errno(err, e, "%s '%s'", what, name);
	}
}

/* A link belongs to the group, and what it leads to is not touched. */
static int group_one(int dir, const char *name, const struct stat *st, int64_t group, struct group_passed *passed,
		     struct err *err)
{
	if (!group_is_so(st, group) && fchownat(dir, name, (uid_t)-1, (gid_t)group, AT_SYMLINK_NOFOLLOW) < 0 &&
	    group_failed(passed, "changing the group of", name, err) < 0)
		return -1;
	if ((S_ISREG(st->st_mode) || S_ISDIR(st->st_mode)) && !group_is_so(st, group)) {
		_cleanup_close_ int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
		struct stat now;

		if (fd < 0)
			return group_failed(passed, "opening", name, err);
		if (fstat(fd, &now) == 0 && (S_ISREG(now.st_mode) || S_ISDIR(now.st_mode)) &&
		    fchmod(fd, group_mode(&now)) < 0)
			return group_failed(passed, "setting the mode of", name, err);
	}
	return 0;
}

static int group_below(int root, int64_t group, struct group_passed *passed, struct err *err)
{
	struct tree_walk w;
	struct tree_at at;
	enum tree_step step;
	int dup_fd = fcntl(root, F_DUPFD_CLOEXEC, 3), rc = 0;

	if (dup_fd < 0)
		return err_set_errno(err, errno, "duplicating a descriptor");
	if (tree_walk_begin(&w, dup_fd, false, err) < 0)
		return -1;
	while (rc == 0 && (step = tree_walk_next(&w, &at, err)) != TREE_END) {
		if (step == TREE_FAILED)
			rc = -1;
		else if (step == TREE_FILE || step == TREE_ENTER)
			rc = group_one(at.dir, at.name, &at.st, group, passed, err);
	}
	tree_walk_release(&w);
	return rc;
}

/* The root last: until it is so, nothing says that all is. */
static int group_all(int root, const char *path, const struct stat *st, int64_t group, struct group_passed *passed,
		     struct err *err)
{
	if (group_below(root, group, passed, err) < 0)
		return -1;
	if (fchown(root, (uid_t)-1, (gid_t)group) < 0 && group_failed(passed, "changing the group of", path, err) < 0)
		return -1;
	return fchmod(root, group_mode(st)) < 0 ? group_failed(passed, "setting the mode of", path, err) : 0;
}

int volume_group_set(const struct val *pod, const char *path, int64_t group, struct err *err)
{
	bool root_says = val_is(val_get(pod, F_spec, F_securityContext, F_fsGroupChangePolicy), "OnRootMismatch");
	_cleanup_close_ int root = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct group_passed passed = { 0 };
	struct stat st;
	int rc;

	if (root < 0 || fstat(root, &st) < 0)
		return err_set_errno(err, errno, "opening '%s'", path);
	if (root_says && group_is_so(&st, group))
		return 0;
	rc = group_all(root, path, &st, group, &passed, err);
	if (rc == 0 && passed.n) /* one line for all: a volume may have a million */
		log_warn("kubelet", "files of a volume could not be given to the pod's group", "volume",
			 "%s: refused %zu times, first of '%s': %s", path, passed.n, passed.name,
			 strerror(passed.error));
	free(passed.name);
	return rc;
}
