/* What a volume holds now, copied, for whoever makes a volume or a snapshot of it. */
#include "kubelet/beneath.h"
#include "kubelet/local/local_tree.h"
#include "kubelet/local/local_volume-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum local_form local_form_of(const struct local_at *v)
{
	return v->file < 0 ? LOCAL_TREE : v->block ? LOCAL_DEVICE : LOCAL_FILE_SYSTEM;
}

/* So much is copied while its writers wait: some seconds, which probes of a pod bear. */
#define STILL_BYTES ((int64_t)1 << 30)
/* So often a device is read from its beginning. */
#define DEVICE_TRIES 3
#define COMPARE_BYTES ((size_t)1 << 20)

int local_copy_file(const struct local_store *s, int from, int to, struct err *err)
{
	struct local_budget b = { .bytes = INT64_MAX, .spare = s->machine->spare };

	return local_copy_bytes(from, to, &b, err);
}

/* Is it a moment's work, as where blocks can be shared, or little? */
static int copy_is_short(int from, int to, const char *name, struct err *err)
{
	struct stat st;

	if (fstat(from, &st) < 0)
		return err_set_errno(err, errno, "looking at volume '%s'", name);
	if ((int64_t)st.st_blocks * 512 <= STILL_BYTES || ioctl(to, FICLONE, from) == 0)
		return 0;
	return err_set(err, ERR_UNAVAILABLE,
		       "volume '%s' is in use, and its %" PRId64
		       " MiB would have to be copied while its programs wait: "
		       "it is copied when no pod uses it; with local storage on a file system that shares blocks (XFS, "
		       "btrfs) at any time",
		       name, (int64_t)st.st_blocks * 512 >> 20);
}

static int copy_frozen(const struct local_store *s, int from, const char *at, int to, struct err *err)
{
	int rc;

	if (s->machine->freeze(from, at, err) < 0)
		return -1;
	rc = local_copy_file(s, from, to, err);
	s->machine->thaw(at);
	return rc;
}

/* Of one that a pod has the lock is given back: whoever starts another one does not wait for the copy. Of one that none
 * has it is kept, so that none gets it while it is still for long. */
static int copy_image(struct local_at *src, int to, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *at = local_path(src, &a);

	if (local_mount(src, err) < 0)
		return -1;
	if (src->s->machine->used(at)) {
		close_fdp(&src->lock);
		src->lock = -1;
		if (copy_is_short(src->file, to, src->name, err) < 0)
			return -1;
	}
	return copy_frozen(src->s, src->file, at, to, err);
}

/* The next place at or behind it where a file has data; its end when only a hole is left. */
static off_t next_data(int fd, off_t at, off_t end)
{
	off_t next = lseek(fd, at, SEEK_DATA);

	return next >= 0 ? MIN(next, end) : errno == ENXIO ? end : at;
}

/* Does the copy hold what the source holds now? 1, 0, -1. Where both have holes nothing is read. */
static int copy_agrees(int from, int to, struct err *err)
{
	_cleanup_free_ char *a = xmalloc(COMPARE_BYTES), *b = xmalloc(COMPARE_BYTES);
	struct stat is, copied;
	off_t at = 0;

	if (fstat(from, &is) < 0 || fstat(to, &copied) < 0)
		return err_set_errno(err, errno, "comparing a volume and its copy");
	while (at < is.st_size && is.st_size == copied.st_size) {
		size_t want;
		ssize_t n;

		at = MIN(next_data(from, at, is.st_size), next_data(to, at, is.st_size));
		want = (size_t)MIN((off_t)COMPARE_BYTES, is.st_size - at);
		n = pread(from, a, want, at);
		if (n < 0 || pread(to, b, want, at) != n)
			return err_set_errno(err, n < 0 ? errno : EIO, "comparing a volume and its copy");
		if ((size_t)n < want || memcmp(a, b, want) != 0)
			return 0;
		at += (off_t)want;
	}
	return is.st_size == copied.st_size;
}

/* Who has a device open writes to it, and cannot be made to wait: the copy is of one moment when a second reading finds
 * all as the first did, which is how it was between the two. What the device's cache has is written out before each. */
static int copy_device(const struct local_at *src, int to, struct err *err)
{
	const struct local_store *s = src->s;
	int rc = 0;

	for (int i = 0; i < DEVICE_TRIES && rc == 0; i++) {
		if (s->machine->freeze(src->file, NULL, err) < 0)
			return -1;
		if (ioctl(to, FICLONE, src->file) == 0)
			return 0;
		if (ftruncate(to, 0) < 0)
			return err_set_errno(err, errno, "copying volume '%s'", src->name);
		if (local_copy_file(s, src->file, to, err) < 0 || s->machine->freeze(src->file, NULL, err) < 0)
			return -1;
		rc = copy_agrees(src->file, to, err);
	}
	if (rc)
		return MIN(rc, 0);
	return err_set(err, ERR_UNAVAILABLE,
		       "volume '%s' is a block device that is written to while it is copied, and would be of no one "
		       "moment: it is copied when its pods do not write; with local storage on a file system that "
		       "shares blocks (XFS, btrfs) at any time",
		       src->name);
}

/* The source, held still, or looked at until it was. */
int local_copy_still(const struct local_store *s, const char *from, bool block, int to, struct err *err)
{
	_cleanup_(local_at_release) struct local_at src;

	if (local_look(&src, s, from, err) < 0)
		return -1;
	if (src.file < 0 || src.block != block)
		return err_set(err, ERR_UNAVAILABLE, "volume '%s' was taken away meanwhile", from);
	if (!block)
		return copy_image(&src, to, err);
	close_fdp(&src.lock);
	src.lock = -1;
	return copy_device(&src, to, err);
}

int local_copy_tree(const struct local_store *s, const char *from, int to, int64_t bytes, struct err *err)
{
	_cleanup_(local_at_release) struct local_at src;
	_cleanup_close_ int dir = -1;

	if (local_look(&src, s, from, err) < 0)
		return -1;
	dir = beneath_open(src.dir, from, O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return err_set_errno(err, errno, "opening '%s/%s'", s->dir, from);
	return local_tree_copy(dir, to, bytes, s->machine->spare, err);
}
