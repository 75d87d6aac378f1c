#include "store/disk/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int reserve_take(struct reserve *r, const char *dir, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/reserve", dir);
	int e;

	if (r->held)
		return 0;
	if (r->fd < 0)
		r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->fd < 0)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	e = fallocate(r->fd, 0, 0, (off_t)RESERVE_BYTES) < 0 ? errno : 0;
	if (e == ENOSPC || e == EDQUOT || e == EFBIG) {
		(void)!ftruncate(r->fd, 0);
		return err_set_errno(
		    err, e, "the disk is full: only deletions are accepted until '%s' has its %" PRIu64 " bytes again",
		    path, RESERVE_BYTES);
	}
	r->held = true;
	return 0;
}

void reserve_give(struct reserve *r)
{
	if (r->held && ftruncate(r->fd, 0) == 0)
		r->held = false;
}

void reserve_release(struct reserve *r)
{
	close_fdp(&r->fd);
	r->fd = -1;
}

uint64_t reserve_bytes(const struct reserve *r)
{
	return r->held ? RESERVE_BYTES : 0;
}
