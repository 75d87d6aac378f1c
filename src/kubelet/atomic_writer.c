#include "kubelet/atomic_writer.h"

#include "base/strmap.h"
#include "base/tree.h"
#include "kubelet/beneath.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DATA "..data"

static int aw_check_path(struct sv path, struct err *err)
{
	struct sv rest = path, part;

	if (!path.n || path.p[0] == '/' || path.n > 4096)
		return err_set(err, ERR_INVALID, "invalid path: must not be empty or absolute: '%.*s'", SV_ARG(path));
	while (sv_split(&rest, '/', &part)) {
		if (sv_is(part, "..") || !part.n || part.n > 255 || memchr(part.p, 0, part.n))
			return err_set(err, ERR_INVALID, "invalid path: '%.*s'", SV_ARG(path));
	}
	if (sv_starts(path, SV("..")))
		return err_set(err, ERR_INVALID, "invalid path: must not start with '..': '%.*s'", SV_ARG(path));
	return 0;
}

/* How many files stand below the directory. */
static size_t aw_count_files(int dir)
{
	struct tree_walk w;
	struct tree_at at;
	enum tree_step step = TREE_FAILED;
	size_t n = 0;

	if (tree_walk_begin(&w, beneath_open(dir, ".", O_RDONLY | O_DIRECTORY), false, NULL) == 0)
		while ((step = tree_walk_next(&w, &at, NULL)) > TREE_END)
			n += step == TREE_FILE;
	tree_walk_release(&w);
	return n;
}

/* The generation that ..data names; -1: none. */
static int aw_current(int dir)
{
	char name[NAME_MAX + 1];
	ssize_t n = readlinkat(dir, DATA, name, sizeof(name) - 1);

	if (n <= 2)
		return -1;
	name[n] = '\0';
	return strncmp(name, "..", 2) == 0 && !strchr(name, '/') ? beneath_open(dir, name, O_RDONLY | O_DIRECTORY) : -1;
}

static bool aw_same(int dir, const struct atomic_file *files, size_t n)
{
	_cleanup_close_ int data = aw_current(dir);

	if (data < 0 || aw_count_files(data) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct stat st;
		_cleanup_close_ int fd = beneath_regular(data, arena_cstr(&a, files[i].path), &st, NULL);
		struct sv old;

		if (fd < 0 || (st.st_mode & 07777) != files[i].mode || (size_t)st.st_size != files[i].content.n ||
		    beneath_read_fd(&a, fd, files[i].content.n + 1, &old, NULL) < 0 || !sv_eq(old, files[i].content))
			return false;
	}
	return true;
}

/* First component of a path: what stands in the volume's root. */
static struct sv aw_head(struct sv path)
{
	ssize_t slash = sv_find(path, '/');

	return slash < 0 ? path : sv_sub(path, 0, (size_t)slash);
}

/* Removes links of keys that are gone, and generations that are not `keep`. */
static void aw_sweep(int dir, const char *keep, const struct atomic_file *files, size_t n)
{
	int copy = beneath_open(dir, ".", O_RDONLY | O_DIRECTORY);
	DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
	struct strmap heads = STRMAP_INIT;

	if (!d) {
		if (copy >= 0)
			close(copy);
		return;
	}
	for (size_t i = 0; i < n; i++)
		strmap_set(&heads, aw_head(files[i].path), (void *)files);
	for (struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, DATA))
			continue;
		if (!strncmp(e->d_name, "..", 2)) {
			if (strcmp(e->d_name, keep) != 0)
				(void)tree_remove_some(dir, e->d_name, SIZE_MAX, NULL);
		} else if (!strmap_has(&heads, sv_from(e->d_name))) {
			unlinkat(dir, e->d_name, 0);
		}
	}
	strmap_release(&heads);
	closedir(d);
}

/* A new, empty generation; its name in stamp. */
static int aw_generation(int dir, int64_t now_ns, char stamp[64], struct err *err)
{
	time_t t = (time_t)(now_ns / NS_PER_SEC);
	struct tm tm;
	int fd = -1;

	gmtime_r(&t, &tm);
	for (unsigned i = 0; fd < 0 && i < 10000; i++) {
		char date[40];

		strftime(date, sizeof(date), "..%Y_%m_%d_%H_%M_%S", &tm);
		(void)snprintf(stamp, 64, "%s.%u", date, (unsigned)(now_ns % NS_PER_SEC / 1000) + i);
		if (mkdirat(dir, stamp, 0700) == 0)
			fd = beneath_open(dir, stamp, O_RDONLY | O_DIRECTORY);
		else if (errno != EEXIST)
			break;
	}
	if (fd >= 0 && fchmod(fd, 0755) < 0) {
		close(fd);
		fd = -1;
	}
	return fd >= 0 ? fd : err_set_errno(err, errno, "making '%s'", stamp);
}

static int aw_fill(int gen, const struct atomic_file *files, size_t n, int64_t gid, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		char *path = arena_cstr(&a, files[i].path), *slash = strrchr(path, '/');
		_cleanup_close_ int parent = -1;

		if (slash)
			*slash = '\0';
		parent = beneath_make(gen, slash ? path : "", 0755, err);
		if (parent < 0 ||
		    beneath_put(parent, slash ? slash + 1 : path, files[i].content, files[i].mode, gid, err) < 0)
			return -1;
	}
	return 0;
}

int atomic_write(int dir, const struct atomic_file *files, size_t n, int64_t gid, int64_t now_ns, bool *ret_changed,
		 struct err *err)
{
	_cleanup_close_ int gen = -1;
	char stamp[64];

	if (ret_changed)
		*ret_changed = false;
	for (size_t i = 0; i < n; i++)
		if (aw_check_path(files[i].path, err) < 0)
			return -1;
	if (aw_same(dir, files, n))
		return 0;
	gen = aw_generation(dir, now_ns, stamp, err);
	if (gen < 0 || aw_fill(gen, files, n, gid, err) < 0)
		return -1;
	/* The swap. */
	unlinkat(dir, "..data_tmp", 0);
	if (symlinkat(stamp, dir, "..data_tmp") < 0 || renameat(dir, "..data_tmp", dir, DATA) < 0)
		return err_set_errno(err, errno, "swapping '" DATA "'");
	for (size_t i = 0; i < n; i++) {
		_cleanup_(arena_release) struct arena a = ARENA_INIT;
		struct sv h = aw_head(files[i].path);

		if (symlinkat(arena_printf(&a, DATA "/%.*s", SV_ARG(h)), dir, arena_cstr(&a, h)) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "linking '%.*s'", SV_ARG(h));
	}
	aw_sweep(dir, stamp, files, n);
	if (ret_changed)
		*ret_changed = true;
	return 0;
}
