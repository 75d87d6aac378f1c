#include "base/tree.h"

#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOST_MAX 100	 /* a tree that is moved about that often while it is being removed stays for the next try */
#define NOT_EMPTY_MAX 16 /* the same for one that is filled at the same time */

/* Not through a link, and not into what is mounted there, even of the same file system. */
static int tree_open_dir(int dir, const char *name)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
				.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS };

	return (int)syscall(SYS_openat2, dir, name, &how, sizeof(how));
}

static int tree_push(struct tree_walk *w, int fd_take, const char *name, struct err *err)
{
	struct tree_level l = { .name = name ? xstrdup(name) : NULL };
	struct stat st;
	int saved;

	if (fstat(fd_take, &st) < 0 || !(l.d = fdopendir(fd_take))) {
		saved = errno;
		close(fd_take);
		free(l.name);
		return err_set_errno(err, saved, "reading directory '%s'", name ? name : "");
	}
	l.dev = st.st_dev;
	l.ino = st.st_ino;
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 16;
		w->levels = xrealloc(w->levels, w->cap * sizeof(*w->levels));
	}
	w->levels[w->n++] = l;
	if (w->n - w->first_open > TREE_OPEN_MAX) {
		struct tree_level *old = &w->levels[w->first_open++];

		old->at = telldir(old->d);
		closedir(old->d);
		old->d = NULL;
	}
	return 0;
}

static void tree_drop(struct tree_walk *w)
{
	struct tree_level *l = &w->levels[--w->n];

	if (l->d)
		closedir(l->d);
	free(l->name);
}

/* Opens the second deepest level again, by the ".." of the deepest. False: that is another directory now. */
static bool tree_reopen(struct tree_walk *w)
{
	struct tree_level *up = &w->levels[w->n - 2];
	int fd = openat(dirfd(w->levels[w->n - 1].d), "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd < 0)
		return false;
	if (fstat(fd, &st) < 0 || st.st_dev != up->dev || st.st_ino != up->ino || !(up->d = fdopendir(fd))) {
		close(fd);
		return false;
	}
	if (!w->rewind)
		seekdir(up->d, up->at);
	w->first_open = w->n - 2;
	return true;
}

int tree_walk_begin(struct tree_walk *w, int dir_take, bool rewind, struct err *err)
{
	*w = (struct tree_walk){ .rewind = rewind, .first_open = 1 };
	return tree_push(w, dir_take, NULL, err);
}

static enum tree_step tree_leave(struct tree_walk *w, struct tree_at *ret)
{
	struct tree_level *up = &w->levels[w->n - 2];

	if (!up->d && !tree_reopen(w)) {
		while (w->n > 1)
			tree_drop(w);
		w->first_open = 1;
		if (w->rewind)
			rewinddir(w->levels[0].d);
		return TREE_LOST;
	}
	w->left = TAKE(w->levels[w->n - 1].name);
	tree_drop(w);
	ret->dir = dirfd(up->d);
	ret->name = w->left;
	return TREE_LEAVE;
}

/* One entry; TREE_END: it vanished meanwhile, or is none of ours. */
static enum tree_step tree_entry(struct tree_walk *w, const struct dirent *e, struct tree_at *ret, struct err *err)
{
	int dir = dirfd(w->levels[w->n - 1].d), fd;

	if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
		return TREE_END;
	if (fstatat(dir, e->d_name, &ret->st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? TREE_END : err_set_errno(err, errno, "looking at '%s'", e->d_name);
	ret->dir = dir;
	ret->name = e->d_name;
	if (!S_ISDIR(ret->st.st_mode))
		return TREE_FILE;
	fd = tree_open_dir(dir, e->d_name);
	if (fd < 0 && errno == EXDEV)
		return TREE_MOUNT;
	if (fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == ELOOP
			   ? TREE_END
			   : err_set_errno(err, errno, "opening directory '%s'", e->d_name);
	return tree_push(w, fd, e->d_name, err) < 0 ? TREE_FAILED : TREE_ENTER;
}

enum tree_step tree_walk_next(struct tree_walk *w, struct tree_at *ret, struct err *err)
{
	free(TAKE(w->left));
	for (;;) {
		const struct dirent *e;
		enum tree_step step;

		errno = 0;
		e = readdir(w->levels[w->n - 1].d);
		if (!e && errno && errno != ENOENT) /* ENOENT: it was removed under us */
			return err_set_errno(err, errno, "reading a directory");
		if (!e)
			return w->n == 1 ? TREE_END : tree_leave(w, ret);
		step = tree_entry(w, e, ret, err);
		if (step != TREE_END)
			return step;
	}
}

int tree_walk_again(struct tree_walk *w, struct err *err)
{
	int fd = w->left ? tree_open_dir(dirfd(w->levels[w->n - 1].d), w->left) : -1;

	if (fd < 0)
		return err_set_errno(err, errno, "opening directory '%s' again", w->left ? w->left : "");
	return tree_push(w, fd, w->left, err);
}

void tree_walk_release(struct tree_walk *w)
{
	while (w->n)
		tree_drop(w);
	free(w->levels);
	free(w->left);
	*w = (struct tree_walk){ 0 };
}

/* --- removing --- */

/* 1: max is reached, 0: empty as far as could be seen. */
static int tree_empty(int fd_take, size_t max, size_t *done, struct err *err)
{
	struct tree_walk w;
	struct tree_at at;
	int rc, lost = 0, full = 0;

	if (tree_walk_begin(&w, fd_take, true, err) < 0)
		return -1;
	for (rc = 0; rc == 0;) {
		enum tree_step step = tree_walk_next(&w, &at, err);

		if (step == TREE_END)
			break;
		if (step == TREE_FAILED) {
			rc = -1;
		} else if (step == TREE_MOUNT) {
			rc = err_set(err, ERR_INTERNAL, "something is still mounted at '%s'", at.name);
		} else if (step == TREE_LOST) {
			if (++lost > LOST_MAX)
				rc = err_set(err, ERR_INTERNAL, "its directories are being moved");
		} else if (step != TREE_ENTER) {
			if (unlinkat(at.dir, at.name, step == TREE_LEAVE ? AT_REMOVEDIR : 0) == 0)
				rc = ++*done >= max;
			else if (step == TREE_LEAVE && errno == ENOTEMPTY && ++full <= NOT_EMPTY_MAX)
				rc = tree_walk_again(&w, err);
			else if (errno != ENOENT && errno != ENOTDIR && errno != EISDIR) /* exchanged: seen anew */
				rc = err_set_errno(err, errno, "removing '%s'", at.name);
		}
	}
	tree_walk_release(&w);
	return rc;
}

int tree_remove_some(int dir, const char *name, size_t max, struct err *err)
{
	size_t done = 0;

	for (int tries = 0;; tries++) {
		int fd = tree_open_dir(dir, name), rc;

		if (fd < 0 && errno == ENOENT)
			return 0;
		if (fd < 0 && errno == EXDEV)
			return err_set(err, ERR_INTERNAL, "removing '%s': something is still mounted there", name);
		if (fd < 0 && errno != ENOTDIR && errno != ELOOP)
			return err_set_errno(err, errno, "removing '%s'", name);
		if (fd < 0) {
			if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
				return 0;
		} else {
			rc = tree_empty(fd, max, &done, err);
			if (rc < 0)
				return err_wrap(err, "removing '%s'", name);
			if (rc > 0)
				return 1;
			if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
				return 0;
		}
		if ((errno != ENOTEMPTY && errno != ENOTDIR && errno != EISDIR) || tries > NOT_EMPTY_MAX)
			return err_set_errno(err, errno, "removing '%s'", name);
	}
}

int tree_remove(const char *path, struct err *err)
{
	_cleanup_free_ char *above = xstrdup(path);
	char *end = above + strlen(above), *slash;
	_cleanup_close_ int dir = -1;

	while (end > above + 1 && end[-1] == '/')
		*--end = '\0';
	slash = strrchr(above, '/');
	if (slash)
		*slash = '\0';
	dir = open(!slash ? "." : *above ? above : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "removing '%s'", path);
	return tree_remove_some(dir, slash ? slash + 1 : above, SIZE_MAX, err);
}

/* --- measuring --- */

int64_t tree_bytes(int dir_take)
{
	struct tree_walk w;
	struct tree_at at;
	enum tree_step step = TREE_FAILED;
	int64_t sum = 0;

	if (tree_walk_begin(&w, dir_take, false, NULL) == 0)
		while ((step = tree_walk_next(&w, &at, NULL)) > TREE_END)
			if (step == TREE_FILE || step == TREE_ENTER) /* each of a file's names has its share */
				sum += at.st.st_blocks * INT64_C(512) /
				       (step == TREE_FILE && at.st.st_nlink > 1 ? (int64_t)at.st.st_nlink : 1);
	tree_walk_release(&w);
	return step == TREE_FAILED ? -1 : sum;
}
