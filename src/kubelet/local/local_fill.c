/* A volume filled from another one, or from a snapshot.
 *
 *	image, device	file .new-NAME ─▶ copied, its source held still ─▶ renamed NAME ─▶ mounted
 *	directory	.filling-NAME ─▶ volume made ─▶ tree copied into it ─▶ .filling-NAME gone
 *
 * Killed in between, .new-NAME is begun anew, and what .filling-NAME stands beside is removed: by the next call, or the
 * next start. */
#include "kubelet/local/local_tree.h"
#include "kubelet/local/local_volume-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- the source --- */

/* What it is; -1 where it is not there. */
static int fill_form(const struct local_store *s, const struct local_source *from, enum local_form *ret,
		     struct err *err)
{
	_cleanup_(local_at_release) struct local_at src = { .dir = -1, .images = -1, .file = -1, .lock = -1 };
	_cleanup_close_ int fd = -1;

	if (from->snapshot) {
		fd = local_snapshot_open(s, from->snapshot, ret, err);
		return fd < 0 ? -1 : 0;
	}
	if (local_look(&src, s, from->volume, err) < 0)
		return -1;
	*ret = local_form_of(&src);
	return src.there || src.file >= 0
		   ? 0
		   : err_set(err, ERR_NOT_FOUND, "the source volume '%s' is not there", from->volume);
}

static int fill_check(const struct local_source *from, enum local_form form, const struct local_want *w,
		      struct err *err)
{
	const char *what = from->snapshot ? "snapshot" : "volume",
		   *name = from->snapshot ? from->snapshot : from->volume;

	if (w->bytes <= 0 || w->bytes > BYTES_MAX)
		return err_set(err, ERR_INVALID, "a volume of %" PRId64 " bytes cannot be made", w->bytes);
	if (w->block != (form == LOCAL_DEVICE))
		return err_set(err, ERR_INVALID, "%s '%s' is %s block device, and the new volume is to be %s", what,
			       name, form == LOCAL_DEVICE ? "a" : "no", w->block ? "one" : "a file system");
	if (form == LOCAL_FILE_SYSTEM && w->limit != LOCAL_AUTO && w->limit != LOCAL_IMAGE)
		return err_set(
		    err, ERR_INVALID,
		    "%s '%s' is an image, and so is what is made of it: its class cannot ask for enforcement "
		    "\"%s\"",
		    what, name, local_limit_names[w->limit]);
	return 0;
}

static int fill_copy(const struct local_store *s, const struct local_source *from, const struct local_want *w, int to,
		     struct err *err)
{
	_cleanup_close_ int fd = -1;
	enum local_form form;

	if (!from->snapshot)
		return local_copy_still(s, from->volume, w->block, to, err);
	fd = local_snapshot_open(s, from->snapshot, &form, err);
	return fd < 0 ? -1 : local_copy_file(s, fd, to, err);
}

/* --- files --- */

static int fill_file(const struct local_store *s, const struct local_source *from, const struct local_want *w,
		     struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *new = arena_printf(&a, UNFINISHED "%s", w->name);
	_cleanup_(local_at_release) struct local_at v;
	int in;

	if (local_look(&v, s, w->name, err) < 0 || (!w->block && local_images(&v, err) < 0))
		return -1;
	if (v.file < 0) { /* else it was finished before */
		in = w->block ? v.dir : v.images;
		if (local_begin_file(&v, in, new, err) < 0)
			return -1;
		if (fill_copy(s, from, w, v.file, err) < 0 ||
		    local_grow_file(&v, w->block ? local_device_bytes(w->bytes) : local_image_bytes(w->bytes), err) <
			0) {
			(void)unlinkat(in, new, 0);
			return -1;
		}
		if (local_finish_file(&v, in, new, err) < 0)
			return -1;
	}
	return w->block ? 0 : local_mount(&v, err);
}

/* --- directories --- */

static int fill_tree_copy(const struct local_store *s, const struct local_source *from, const struct local_want *w,
			  struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_close_ int to = -1, fd = -1;
	struct local_place place;
	enum local_form form;

	if (local_volume_ready(s, &a, w->name, &place, err) < 0)
		return -1;
	to = open(place.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (to < 0)
		return err_set_errno(err, errno, "opening '%s'", place.path);
	if (!from->snapshot) {
		if (local_copy_tree(s, from->volume, to, w->bytes, err) < 0)
			return -1;
	} else {
		fd = local_snapshot_open(s, from->snapshot, &form, err);
		if (fd < 0 || local_tree_copy(fd, to, w->bytes, s->machine->spare, err) < 0)
			return -1;
	}
	return syncfs(to) < 0 ? err_set_errno(err, errno, "syncing '%s'", place.path) : 0;
}

static int fill_tree(const struct local_store *s, const struct local_source *from, const struct local_want *w,
		     enum local_limit *ret_limit, struct err *why, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *marker = arena_printf(&a, FILLING "%s", w->name);
	_cleanup_close_ int dir = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	struct stat st;

	if (dir < 0)
		return err_set_errno(err, errno, "opening '%s'", s->dir);
	if (fstatat(dir, marker, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (local_volume_remove(s, w->name, err) < 0)
			return -1;
	} else if (fstatat(dir, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		return local_volume_make(s, w, ret_limit, why, err); /* it was finished before: only who holds it */
	}
	fd = openat(dir, marker, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fsync(dir) < 0)
		return err_set_errno(err, errno, "making '%s/%s'", s->dir, marker);
	if (local_volume_make(s, w, ret_limit, why, err) < 0 || fill_tree_copy(s, from, w, err) < 0) {
		if (local_volume_remove(s, w->name, NULL) == 0)
			(void)unlinkat(dir, marker, 0);
		return -1;
	}
	if (unlinkat(dir, marker, 0) < 0 || fsync(dir) < 0)
		return err_set_errno(err, errno, "finishing the volume '%s'", w->name);
	return 0;
}

int local_volume_fill(const struct local_store *s, const struct local_source *from, const struct local_want *w,
		      enum local_limit *ret_limit, struct err *why, struct err *err)
{
	enum local_form form;

	if (!local_name_ok(sv_from(w->name)))
		return err_set(err, ERR_INVALID, "'%s' cannot be the name of a volume", w->name);
	if (fill_form(s, from, &form, err) < 0 || fill_check(from, form, w, err) < 0)
		return -1;
	*ret_limit = LOCAL_IMAGE;
	return form == LOCAL_TREE ? fill_tree(s, from, w, ret_limit, why, err) : fill_file(s, from, w, err);
}
