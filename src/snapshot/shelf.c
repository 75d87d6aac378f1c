#include "snapshot/shelf.h"

#include "base/file.h"
#include "base/timefmt.h"
#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAMP_BYTES (sizeof("-20260102T030405Z") - 1)

const char *shelf_path(struct arena *a, const char *dir, const char *name, int64_t now_ns)
{
	char text[TIME_TEXT_MAX], stamp[TIME_TEXT_MAX];
	struct sv t = time_format(now_ns, false, text);
	size_t n = 0;

	for (size_t i = 0; i < t.n; i++)
		if (t.p[i] != '-' && t.p[i] != ':')
			stamp[n++] = t.p[i];
	stamp[n] = '\0';
	return arena_printf(a, "%s/%s-%s" SHELF_SUFFIX, dir, name, stamp);
}

static int shelf_sync_dir(const char *path, struct err *err)
{
	_cleanup_free_ char *dir = xstrdup(path);
	char *slash = strrchr(dir, '/');
	_cleanup_close_ int fd = -1;

	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) < 0 ? err_set_errno(err, errno, "cannot sync '%s'", slash ? dir : ".") : 0;
}

/* Is the open file still what the name leads to? Who had it locked before may have given it its own name since. */
static bool shelf_same(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int shelf_begin(struct shelf_out *o, const char *path, struct err *err)
{
	*o = (struct shelf_out){ .path = xstrdup(path), .part = xasprintf("%s.part", path) };
	o->fd = open(o->part, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (o->fd < 0)
		return err_set_errno(err, errno, "cannot write '%s'", o->part);
	if (flock(o->fd, LOCK_EX | LOCK_NB) < 0 || !shelf_same(o->fd, o->part)) {
		close(o->fd);
		o->fd = -1;
		return err_set(err, ERR_ALREADY_EXISTS, "somebody else is writing '%s' just now", o->part);
	}
	return shelf_rewind(o, err);
}

int shelf_rewind(struct shelf_out *o, struct err *err)
{
	if (ftruncate(o->fd, 0) < 0 || lseek(o->fd, 0, SEEK_SET) < 0)
		return err_set_errno(err, errno, "cannot write '%s'", o->part);
	return 0;
}

int shelf_put(const void *p, size_t n, void *ctx, struct err *err)
{
	struct shelf_out *o = ctx;

	while (n) {
		ssize_t w = write(o->fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return err_set_errno(err, errno, "cannot write '%s'", o->part);
		p = (const char *)p + w;
		n -= (size_t)w;
	}
	return 0;
}

int shelf_end(struct shelf_out *o, struct err *err)
{
	if (fsync(o->fd) < 0)
		return err_set_errno(err, errno, "cannot sync '%s'", o->part);
	if (rename(o->part, o->path) < 0)
		return err_set_errno(err, errno, "cannot rename '%s' to '%s'", o->part, o->path);
	close(o->fd);
	o->fd = -1;
	return shelf_sync_dir(o->path, err);
}

void shelf_abort(struct shelf_out *o)
{
	if (o->fd >= 0) {
		(void)unlink(o->part);
		close(o->fd);
	}
	o->fd = -1;
	free(TAKE(o->path));
	free(TAKE(o->part));
}

bool shelf_name_good(const char *name)
{
	return name && *name && *name != '.' && !strchr(name, '/');
}

bool shelf_is_name(struct sv file, struct sv name)
{
	struct sv stamp;

	if (!sv_starts(file, name) || !sv_ends(file, SV(SHELF_SUFFIX)) ||
	    file.n != name.n + STAMP_BYTES + strlen(SHELF_SUFFIX))
		return false;
	stamp = sv_sub(file, name.n, STAMP_BYTES);
	for (size_t i = 0; i < stamp.n; i++) {
		char want = "-ddddddddTddddddZ"[i], c = stamp.p[i];

		if (want == 'd' ? c < '0' || c > '9' : c != want)
			return false;
	}
	return true;
}

static void shelf_look(struct arena *a, const char *dir, struct shelf_entry *e)
{
	_cleanup_close_ int fd = open(arena_printf(a, "%s/%s", dir, e->name), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct err err = ERR_INIT;

	if (fd < 0) {
		e->why = arena_printf(a, "cannot open it: %s", strerror(errno));
		return;
	}
	e->bytes = lseek(fd, 0, SEEK_END);
	(void)lseek(fd, 0, SEEK_SET);
	if (archive_peek(a, fd, &e->head, &e->total, &err) < 0)
		e->why = arena_printf(a, "%s", err_msg(&err));
	err_release(&err);
}

static int shelf_order(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names in dir for which want says yes, sorted, in a. */
static int shelf_names(struct arena *a, const char *dir, bool (*want)(struct sv file, const char *name),
		       const char *name, const char ***ret, size_t *ret_n, struct err *err)
{
	DIR *d = opendir(dir);
	VEC(const char *) names = VEC_INIT;

	*ret_n = 0;
	if (!d && errno == ENOENT)
		return 0;
	if (!d)
		return err_set_errno(err, errno, "cannot read '%s'", dir);
	for (struct dirent *e; names.n < SHELF_MAX && (e = readdir(d));)
		if (want(sv_from(e->d_name), name))
			vec_push(&names, arena_printf(a, "%s", e->d_name));
	closedir(d);
	if (names.n)
		qsort(names.p, names.n, sizeof(names.p[0]), shelf_order);
	*ret = ARENA_ARRAY(a, const char *, names.n + 1);
	if (names.n)
		memcpy(*ret, names.p, names.n * sizeof(names.p[0]));
	*ret_n = names.n;
	vec_release(&names);
	return 0;
}

static bool shelf_any(struct sv file, _unused_ const char *name)
{
	return sv_ends(file, SV(SHELF_SUFFIX));
}

static bool shelf_own(struct sv file, const char *name)
{
	return shelf_is_name(file, sv_from(name));
}

static bool shelf_part(struct sv file, const char *name)
{
	return sv_ends(file, SV(".part")) && shelf_is_name(sv_sub(file, 0, file.n - 5), sv_from(name));
}

int shelf_list(struct arena *a, const char *dir, struct shelf_entry **ret, size_t *ret_n, struct err *err)
{
	const char **names = NULL;

	if (shelf_names(a, dir, shelf_any, NULL, &names, ret_n, err) < 0)
		return -1;
	*ret = ARENA_ARRAY(a, struct shelf_entry, *ret_n + 1);
	for (size_t i = 0; i < *ret_n; i++) {
		(*ret)[i] = (struct shelf_entry){ .name = names[i] };
		shelf_look(a, dir, &(*ret)[i]);
	}
	return 0;
}

/* What a crash left: nobody has it locked. */
static void shelf_sweep(struct arena *a, const char *dir, const char *name)
{
	const char **names = NULL;
	size_t n = 0;

	(void)shelf_names(a, dir, shelf_part, name, &names, &n, NULL);
	for (size_t i = 0; i < n; i++) {
		const char *path = arena_printf(a, "%s/%s", dir, names[i]);
		_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && shelf_same(fd, path))
			(void)unlink(path);
	}
}

int shelf_prune(const char *dir, const char *name, size_t keep, void (*said)(const char *file, void *ctx), void *ctx,
		struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char **names = NULL;
	size_t n = 0;
	int rc = 0;

	if (shelf_names(&a, dir, shelf_own, name, &names, &n, err) < 0)
		return -1;
	shelf_sweep(&a, dir, name);
	for (size_t i = 0; i + keep < n; i++) {
		const char *path = arena_printf(&a, "%s/%s", dir, names[i]);

		if (unlink(path) < 0 && errno != ENOENT) { /* the others go all the same */
			if (rc == 0)
				rc = err_set_errno(err, errno, "cannot remove '%s'", path);
			continue;
		}
		if (said)
			said(names[i], ctx);
	}
	return rc;
}
