#include "kubelet/oci/layer_place.h"

#include "base/tree.h"
#include "kubelet/beneath.h"
#include "kubelet/oci/layer_unpack.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#define LINKS_MAX 40
#define REMOVE_PIECE 1000

/* Parts of path in out, joined by '/': without empty ones, "." and ".." (which ends at the root). False: it does not
 * fit. */
static bool place_clean(struct sv path, char out[PATH_MAX], size_t *n)
{
	struct sv part;

	while (sv_split(&path, '/', &part)) {
		if (!part.n || sv_is(part, "."))
			continue;
		if (sv_is(part, "..")) {
			while (*n && out[*n - 1] != '/')
				--*n;
			*n -= *n > 0;
			continue;
		}
		if (*n + part.n + 2 > PATH_MAX)
			return false;
		if (*n)
			out[(*n)++] = '/';
		memcpy(out + *n, part.p, part.n);
		*n += part.n;
	}
	out[*n] = '\0';
	return true;
}

static bool place_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

static int place_opaque(int fd, struct err *err)
{
	return fsetxattr(fd, LAYER_OPAQUE, "y", 1, 0) == 0 ? 0
							   : err_set_errno(err, errno, "marking a directory as opaque");
}

int layer_place_clear(int at, const char *name, struct err *err)
{
	int rc;

	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_set_errno(err, errno, "replacing '%s'", name);
	while ((rc = tree_remove_some(at, name, REMOVE_PIECE, err)) > 0)
		;
	return rc;
}

/* Who owned path in the layers below, and with what mode. */
static void place_as_below(const struct layer_place *p, int fd, const char *path)
{
	for (size_t i = 0; i < p->n_below; i++) {
		_cleanup_close_ int b = beneath_in_root(p->below[i], path, O_PATH | O_DIRECTORY);
		struct stat st;

		if (b < 0 || fstat(b, &st) < 0)
			continue;
		if (fchown(fd, st.st_uid, st.st_gid) == 0)
			(void)fchmod(fd, st.st_mode & 07777);
		return;
	}
}

int layer_place_dir(struct layer_place *p, int at, const char *name, struct err *err)
{
	bool opaque = false;
	struct stat st;
	int fd;

	if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode)) {
		opaque = place_is_whiteout(&st);
		if (layer_place_clear(at, name, err) < 0)
			return -1;
	}
	if (mkdirat(at, name, 0755) == 0)
		p->made++;
	else if (errno != EEXIST)
		return err_set_errno(err, errno, "making directory '%s'", name);
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_set_errno(err, errno, "opening directory '%s'", name);
	if (opaque && place_opaque(fd, err) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* One step down from *at by the part of path that ends at `end`: 1 done, 0 a link, whose words are in link; -1. */
static int place_step(struct layer_place *p, int *at, const char *path, const char *part, bool make,
		      char link[PATH_MAX], struct err *err)
{
	bool there;
	struct stat st;
	ssize_t n;
	int fd;

	there = fstatat(*at, part, &st, AT_SYMLINK_NOFOLLOW) == 0;
	if (there && S_ISLNK(st.st_mode)) {
		n = readlinkat(*at, part, link, PATH_MAX - 1);
		if (n < 0)
			return err_set_errno(err, errno, "reading link '%s'", part);
		link[n] = '\0';
		return 0;
	}
	if (there && !S_ISDIR(st.st_mode) && !place_is_whiteout(&st))
		return err_set_errno(err, ENOTDIR, "'%s'", path);
	if (!make && (!there || !S_ISDIR(st.st_mode)))
		return err_set_errno(err, ENOENT, "'%s'", path);
	fd = layer_place_dir(p, *at, part, err);
	if (fd < 0)
		return -1;
	if (!there || !S_ISDIR(st.st_mode))
		place_as_below(p, fd, path);
	close(*at);
	*at = fd;
	return 1;
}

/* The directory of a clean path, by steps from dir. A link is put into the path in its place, and all begins again. */
static int place_walk(struct layer_place *p, char path[PATH_MAX], bool make, struct err *err)
{
	char link[PATH_MAX], next[PATH_MAX];
	int links = 0, at = -1, rc = 1;

	for (size_t from = 0, to; rc >= 0;) {
		if (at < 0 && (at = beneath_open(p->dir, ".", O_RDONLY | O_DIRECTORY)) < 0)
			return err_set_errno(err, errno, "opening a layer");
		if (!path[from])
			return at;
		for (to = from; path[to] && path[to] != '/';)
			to++;
		bool last = !path[to];

		path[to] = '\0';
		if (to - from > NAME_MAX)
			rc = err_set_errno(err, ENAMETOOLONG, "'%.100s'", path + from);
		else
			rc = place_step(p, &at, path, path + from, make, link, err);
		if (rc > 0) {
			if (!last)
				path[to] = '/';
			from = to + !last;
		} else if (rc == 0) {
			size_t n = 0;

			close(at);
			at = -1;
			if (++links > LINKS_MAX)
				return err_set_errno(err, ELOOP, "'%s'", path);
			if (!place_clean(sv_make(path, *link == '/' ? 0 : from), next, &n) ||
			    !place_clean(sv_from(link), next, &n) ||
			    (!last && !place_clean(sv_from(path + to + 1), next, &n)))
				return err_set_errno(err, ENAMETOOLONG, "'%.100s'", path);
			memcpy(path, next, n + 1);
			from = 0;
		}
	}
	close(at);
	return -1;
}

int layer_place_above(struct layer_place *p, const char *path, bool make, char ret_name[NAME_MAX + 1], struct err *err)
{
	char clean[PATH_MAX];
	size_t n = 0, cut;
	int fd;

	if (!place_clean(sv_from(path), clean, &n))
		return err_set(err, ERR_INVALID, "it has an entry whose name has more than %d bytes", PATH_MAX);
	for (cut = n; cut && clean[cut - 1] != '/';)
		cut--;
	if (n - cut > NAME_MAX)
		return err_set_errno(err, ENAMETOOLONG, "'%.100s'", clean + cut);
	memcpy(ret_name, clean + cut, n - cut + 1);
	clean[cut ? cut - 1 : 0] = '\0';
	/* Mostly it is there, and one call tells. */
	fd = beneath_in_root(p->dir, clean, O_RDONLY | O_DIRECTORY);
	return fd >= 0 ? fd : place_walk(p, clean, make, err);
}

int layer_place_whiteout(struct layer_place *p, int at, const char *name, struct err *err)
{
	const char *what = name + strlen(LAYER_WHITEOUT);
	_cleanup_close_ int dir = -1;
	struct stat st;

	if (!strcmp(what, ".wh..opq"))
		return place_opaque(at, err);
	if (!strncmp(what, LAYER_WHITEOUT, strlen(LAYER_WHITEOUT)))
		return 0; /* notes of aufs to itself */
	if (!*what || !strcmp(what, ".") || !strcmp(what, ".."))
		return err_set(err, ERR_INVALID, "it has '%s', which hides nothing that could be named", name);
	if (fstatat(at, what, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		p->made++;
		return mknodat(at, what, S_IFCHR, makedev(0, 0)) == 0 ? 0
								      : err_set_errno(err, errno, "hiding '%s'", what);
	}
	if (!S_ISDIR(st.st_mode))
		return 0; /* what is of this layer hides what is below by itself */
	dir = openat(at, what, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return dir < 0 ? err_set_errno(err, errno, "opening directory '%s'", what) : place_opaque(dir, err);
}
