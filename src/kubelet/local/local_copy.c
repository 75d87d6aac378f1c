/* Clones: a file like that of another volume, which is held still while it is read. */
#include "kubelet/local/local_volume-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_BYTES ((size_t)1 << 20)

/* Of a file that may change its mind about where its holes are: what is read is what is written, at the same place. */
static int local_copy(int from, int to, struct err *err)
{
	_cleanup_free_ char *buf = NULL;
	off_t at = 0, end;
	struct stat st;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	if (fstat(from, &st) < 0 || ftruncate(to, st.st_size) < 0)
		return err_set_errno(err, errno, "copying a volume");
	buf = xmalloc(COPY_BYTES);
	while (at < st.st_size && (at = lseek(from, at, SEEK_DATA)) >= 0) {
		end = lseek(from, at, SEEK_HOLE);
		if (end < 0 || end > st.st_size)
			end = st.st_size;
		while (at < end) {
			ssize_t n = pread(from, buf, (size_t)MIN((off_t)COPY_BYTES, end - at), at);

			if (n <= 0 || pwrite(to, buf, (size_t)n, at) != n)
				return err_set_errno(err, n == 0 ? EIO : errno, "copying a volume");
			at += n;
		}
	}
	return at >= 0 || errno == ENXIO
		   ? 0
		   : err_set_errno(err, errno, "copying a volume"); /* ENXIO: only a hole is left */
}

/* The source, held still. Its lock is not kept: whoever starts its pod does not wait for the copy. */
static int local_copy_still(const struct local_store *s, const char *from, bool block, int to, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(local_at_release) struct local_at src;
	const char *at = NULL;
	int rc;

	if (local_look(&src, s, from, err) < 0)
		return -1;
	if (src.file < 0 || src.block != block)
		return err_set(
		    err, ERR_INVALID,
		    "volume '%s' cannot be cloned into one like that: only images into images and block devices "
		    "into block devices",
		    from);
	if (!block) {
		at = local_path(&src, &a);
		if (!s->machine->mounted(at))
			at = NULL; /* nobody writes */
	}
	close_fdp(&src.lock);
	src.lock = -1;
	if ((at || block) && s->machine->freeze(src.file, at, err) < 0)
		return -1;
	rc = local_copy(src.file, to, err);
	if (at)
		s->machine->thaw(at);
	return rc;
}

int local_volume_clone(const struct local_store *s, const char *from, const struct local_want *w, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *new = arena_printf(&a, UNFINISHED "%s", w->name);
	_cleanup_(local_at_release) struct local_at v;
	int in;

	if (w->bytes <= 0 || w->bytes > BYTES_MAX)
		return err_set(err, ERR_INVALID, "a volume of %" PRId64 " bytes cannot be made", w->bytes);
	if (local_look(&v, s, w->name, err) < 0 || (!w->block && local_images(&v, err) < 0))
		return -1;
	if (v.file < 0) { /* else it was finished before */
		in = w->block ? v.dir : v.images;
		if (local_begin_file(&v, in, new, err) < 0)
			return -1;
		if (local_copy_still(s, from, w->block, v.file, err) < 0 ||
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
