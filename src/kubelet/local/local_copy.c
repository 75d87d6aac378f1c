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

/* The source, held still. */
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
	return s->machine->freeze(src.file, NULL, err) < 0 ? -1 : local_copy_file(s, src.file, to, err);
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
