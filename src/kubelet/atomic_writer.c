#include "kubelet/atomic_writer.h"

#include "kubelet/fsutil.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int check_path(struct sv path, struct err *err)
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

/* How many regular files stand below dir (they are ours alone). */
static size_t count_files(const char *dir)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	DIR *d = opendir(dir);
	size_t n = 0;

	if (!d)
		return 0;
	for (struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		n += e->d_type == DT_DIR ? count_files(arena_printf(&a, "%s/%s", dir, e->d_name)) : 1;
	}
	closedir(d);
	return n;
}

static bool same(struct arena *a, const char *data, const struct atomic_file *files, size_t n)
{
	if (count_files(data) != n)
		return false;
	for (size_t i = 0; i < n; i++) {
		const char *path = arena_printf(a, "%s/%.*s", data, SV_ARG(files[i].path));
		struct stat st;
		struct sv old;

		if (stat(path, &st) < 0 || (st.st_mode & 07777) != files[i].mode ||
		    (size_t)st.st_size != files[i].content.n ||
		    file_read(a, path, files[i].content.n + 1, &old, NULL) < 0 || !sv_eq(old, files[i].content))
			return false;
	}
	return true;
}

/* First component of a path: what stands in the volume's root. */
static struct sv head(struct sv path)
{
	ssize_t slash = sv_find(path, '/');

	return slash < 0 ? path : sv_sub(path, 0, (size_t)slash);
}

/* Removes links of keys that are gone, and generations that are not `keep`. */
static void sweep(struct arena *a, const char *dir, const char *keep, const struct atomic_file *files, size_t n)
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		const char *path = arena_printf(a, "%s/%s", dir, e->d_name);
		bool wanted = false;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") || !strcmp(e->d_name, "..data"))
			continue;
		if (!strncmp(e->d_name, "..", 2)) {
			if (strcmp(e->d_name, keep) != 0)
				tree_remove(path, NULL);
			continue;
		}
		for (size_t i = 0; i < n; i++)
			wanted |= sv_is(head(files[i].path), e->d_name);
		if (!wanted)
			unlink(path);
	}
	closedir(d);
}

int atomic_write(const char *dir, const struct atomic_file *files, size_t n, int64_t gid, int64_t now_ns,
		 bool *ret_changed, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *data = arena_printf(&a, "%s/..data", dir), *generation, *base;
	time_t t = (time_t)(now_ns / NS_PER_SEC);
	struct tm tm;
	char stamp[40];

	if (ret_changed)
		*ret_changed = false;
	for (size_t i = 0; i < n; i++)
		if (check_path(files[i].path, err) < 0)
			return -1;
	if (fs_mkdir_p(dir, 0755, err) < 0)
		return -1;
	if (access(data, F_OK) == 0 && same(&a, data, files, n))
		return 0;
	gmtime_r(&t, &tm);
	strftime(stamp, sizeof(stamp), "..%Y_%m_%d_%H_%M_%S", &tm);
	generation = arena_printf(&a, "%s/%s.XXXXXX", dir, stamp);
	if (!mkdtemp((char *)generation))
		return err_set_errno(err, errno, "making '%s'", generation);
	base = strrchr(generation, '/') + 1;
	if (chmod(generation, 0755) < 0)
		return err_set_errno(err, errno, "opening up '%s'", generation);
	for (size_t i = 0; i < n; i++) {
		const char *path = arena_printf(&a, "%s/%.*s", generation, SV_ARG(files[i].path));
		char *parent = arena_strdup(&a, path);

		*strrchr(parent, '/') = '\0';
		if (fs_mkdir_p(parent, 0755, err) < 0 || fs_write(path, files[i].content, files[i].mode, err) < 0)
			return -1;
		if (gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) < 0)
			return err_set_errno(err, errno, "giving '%s' to group %" PRId64, path, gid);
	}
	/* The swap. */
	unlink(arena_printf(&a, "%s/..data_tmp", dir));
	if (symlink(base, arena_printf(&a, "%s/..data_tmp", dir)) < 0 ||
	    rename(arena_printf(&a, "%s/..data_tmp", dir), data) < 0)
		return err_set_errno(err, errno, "swapping '%s'", data);
	for (size_t i = 0; i < n; i++) {
		struct sv h = head(files[i].path);
		const char *link = arena_printf(&a, "%s/%.*s", dir, SV_ARG(h));

		if (symlink(arena_printf(&a, "..data/%.*s", SV_ARG(h)), link) < 0 && errno != EEXIST)
			return err_set_errno(err, errno, "linking '%s'", link);
	}
	sweep(&a, dir, base, files, n);
	if (ret_changed)
		*ret_changed = true;
	return 0;
}
