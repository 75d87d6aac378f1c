/* What a volume holds now, copied, for whoever makes a volume or a snapshot of it. */
#include "kubelet/beneath.h"
#include "kubelet/local/local_tree.h"
#include "kubelet/local/local_volume-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum local_form local_form_of(const struct local_at *v)
{
	return v->file < 0 ? LOCAL_TREE : v->block ? LOCAL_DEVICE : LOCAL_FILE_SYSTEM;
}

/* The source, held still. Its lock is not kept: whoever starts its pod does not wait for the copy. */
int local_copy_still(const struct local_store *s, const char *from, bool block, int to, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(local_at_release) struct local_at src;
	const char *at = NULL;
	int rc;

	if (local_look(&src, s, from, err) < 0)
		return -1;
	if (src.file < 0 || src.block != block)
		return err_set(err, ERR_UNAVAILABLE, "volume '%s' was taken away meanwhile", from);
	if (!block) {
		at = local_path(&src, &a);
		if (!s->machine->mounted(at))
			at = NULL; /* nobody writes */
	}
	close_fdp(&src.lock);
	src.lock = -1;
	if ((at || block) && s->machine->freeze(src.file, at, err) < 0)
		return -1;
	rc = local_copy_bytes(src.file, to, err);
	if (at)
		s->machine->thaw(at);
	return rc;
}

int local_copy_tree(const struct local_store *s, const char *from, int to, struct err *err)
{
	_cleanup_(local_at_release) struct local_at src;
	_cleanup_close_ int dir = -1;

	if (local_look(&src, s, from, err) < 0)
		return -1;
	dir = beneath_open(src.dir, from, O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return err_set_errno(err, errno, "opening '%s/%s'", s->dir, from);
	return local_tree_copy(dir, to, err);
}
