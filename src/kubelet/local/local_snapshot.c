#include "kubelet/local/local_snapshot.h"

#include "base/tree.h"
#include "kubelet/beneath.h"
#include "kubelet/local/local_tree.h"
#include "kubelet/local/local_volume-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const form_names[_LOCAL_FORM_MAX] = { "tree", "image", "device" };

static const char *snapshot_file(struct arena *a, const char *name, enum local_form form)
{
	return arena_printf(a, "%s.%s", name, form_names[form]);
}

/* The directory of snapshots; -1 with errno. */
static int snapshots_dir(const struct local_store *s, bool make)
{
	_cleanup_close_ int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || (make && mkdirat(dir, SNAPSHOTS, 0700) < 0 && errno != EEXIST))
		return -1;
	return beneath_open(dir, SNAPSHOTS, O_RDONLY | O_DIRECTORY);
}

static int snapshot_open_in(int dir, const char *name, enum local_form *ret)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int fd = -1;

	for (int f = 0; f < _LOCAL_FORM_MAX && fd < 0; f++) {
		*ret = (enum local_form)f;
		fd = beneath_open(dir, snapshot_file(&a, name, *ret),
				  O_RDONLY | (*ret == LOCAL_TREE ? O_DIRECTORY : O_NONBLOCK));
		if (fd < 0 && errno != ENOENT)
			break;
	}
	return fd;
}

int local_snapshot_open(const struct local_store *s, const char *name, enum local_form *ret, struct err *err)
{
	_cleanup_close_ int dir = -1;
	int fd;

	if (!local_name_ok(sv_from(name)))
		return err_set(err, ERR_INVALID, "'%s' cannot be the name of a snapshot", name);
	dir = snapshots_dir(s, false);
	fd = dir < 0 ? -1 : snapshot_open_in(dir, name, ret);
	if (fd >= 0)
		return fd;
	if (errno == ENOENT)
		return err_set(err, ERR_NOT_FOUND, "there is no snapshot '%s' in '%s/" SNAPSHOTS "'", name, s->dir);
	return err_set_errno(err, errno, "opening the snapshot '%s'", name);
}

/* The other way from local_image_bytes(), which only grows: the most that an image of that size was made for. */
static int64_t snapshot_asked_bytes(int64_t image)
{
	int64_t low = 0, high = image / 4096;

	while (low < high) {
		int64_t mid = low + (high - low + 1) / 2;

		if (local_image_bytes(mid * 4096) <= image)
			low = mid;
		else
			high = mid - 1;
	}
	return low * 4096;
}

int local_snapshot_look(const struct local_store *s, const char *name, struct local_snapshot *ret, struct err *err)
{
	enum local_form form;
	_cleanup_close_ int fd = local_snapshot_open(s, name, &form, err);
	struct stat st;

	if (fd < 0)
		return -1;
	if (fstat(fd, &st) < 0)
		return err_set_errno(err, errno, "looking at the snapshot '%s'", name);
	*ret = (struct local_snapshot){ .taken_ns = st.st_ctim.tv_sec * NS_PER_SEC + st.st_ctim.tv_nsec,
					.bytes = form == LOCAL_TREE	     ? 0
						 : form == LOCAL_FILE_SYSTEM ? snapshot_asked_bytes(st.st_size)
									     : st.st_size,
					.block = form == LOCAL_DEVICE };
	return 0;
}

/* --- taken --- */

static int take_tree(const struct local_store *s, const char *volume, int64_t bytes, int dir, const char *new,
		     struct err *err)
{
	_cleanup_close_ int to = -1;

	if (mkdirat(dir, new, 0700) < 0)
		return err_set_errno(err, errno, "making '%s'", new);
	to = beneath_open(dir, new, O_RDONLY | O_DIRECTORY);
	if (to < 0)
		return err_set_errno(err, errno, "opening '%s'", new);
	if (local_copy_tree(s, volume, to, bytes, err) < 0)
		return -1;
	return syncfs(to) < 0 ? err_set_errno(err, errno, "syncing '%s'", new) : 0;
}

static int take_file(const struct local_store *s, const char *volume, bool block, int dir, const char *new,
		     struct err *err)
{
	_cleanup_close_ int to = openat(dir, new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (to < 0)
		return err_set_errno(err, errno, "making '%s'", new);
	if (local_copy_still(s, volume, block, to, err) < 0)
		return -1;
	return fsync(to) < 0 ? err_set_errno(err, errno, "syncing '%s'", new) : 0;
}

static int snapshot_form(const struct local_store *s, const char *volume, enum local_form *ret, struct err *err)
{
	_cleanup_(local_at_release) struct local_at v;

	if (local_look(&v, s, volume, err) < 0)
		return -1;
	if (!v.there && v.file < 0)
		return err_set(err, ERR_NOT_FOUND, "the volume '%s' is not there", volume);
	*ret = local_form_of(&v);
	return 0;
}

int local_snapshot_take(const struct local_store *s, const char *volume, int64_t bytes, const char *name,
			struct local_snapshot *ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	_cleanup_close_ int dir = -1;
	const char *file, *new;
	enum local_form form;
	int rc;

	if (local_snapshot_look(s, name, ret, &why) == 0)
		return 0;
	if (why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	if (snapshot_form(s, volume, &form, err) < 0)
		return -1;
	dir = snapshots_dir(s, true);
	if (dir < 0)
		return err_set_errno(err, errno, "making '%s/" SNAPSHOTS "'", s->dir);
	file = snapshot_file(&a, name, form);
	new = arena_printf(&a, UNFINISHED "%s", file);
	if (tree_remove_some(dir, new, SIZE_MAX, err) < 0)
		return -1;
	rc = form == LOCAL_TREE ? take_tree(s, volume, bytes, dir, new, err)
				: take_file(s, volume, form == LOCAL_DEVICE, dir, new, err);
	if (rc < 0) {
		(void)tree_remove_some(dir, new, SIZE_MAX, NULL);
		return -1;
	}
	if (renameat(dir, new, dir, file) < 0 || fsync(dir) < 0)
		return err_set_errno(err, errno, "finishing the snapshot '%s'", name);
	return local_snapshot_look(s, name, ret, err);
}

/* --- taken away --- */

/* Under another name first: half of one must not look like one. */
int local_snapshot_remove(const struct local_store *s, const char *name, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int dir = -1;

	if (!local_name_ok(sv_from(name)))
		return err_set(err, ERR_INVALID, "'%s' cannot be the name of a snapshot", name);
	dir = snapshots_dir(s, false);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_set_errno(err, errno, "opening '%s/" SNAPSHOTS "'", s->dir);
	for (int f = 0; f < _LOCAL_FORM_MAX; f++) {
		const char *file = snapshot_file(&a, name, (enum local_form)f);
		const char *going = arena_printf(&a, UNFINISHED "%s", file);

		if (tree_remove_some(dir, going, SIZE_MAX, err) < 0)
			return -1;
		if (renameat(dir, file, dir, going) < 0) {
			if (errno == ENOENT)
				continue;
			return err_set_errno(err, errno, "removing the snapshot '%s'", name);
		}
		if (fsync(dir) < 0)
			return err_set_errno(err, errno, "removing the snapshot '%s'", name);
		if (tree_remove_some(dir, going, SIZE_MAX, err) < 0)
			return -1;
	}
	return 0;
}

void local_snapshots_mend(int above)
{
	int dir = above < 0 ? -1 : beneath_open(above, SNAPSHOTS, O_RDONLY | O_DIRECTORY);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);

	for (struct dirent *e; d && (e = readdir(d));)
		if (sv_starts(sv_from(e->d_name), SV(UNFINISHED)))
			(void)tree_remove_some(dir, e->d_name, SIZE_MAX, NULL);
	if (d)
		closedir(d);
	else
		close_fdp(&dir);
}
