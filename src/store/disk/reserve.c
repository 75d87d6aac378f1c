#include "store/disk/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

uint64_t reserve_room(const char *dir)
{
	struct statvfs st;

	return statvfs(dir, &st) < 0 ? UINT64_MAX : (uint64_t)st.f_bfree * st.f_frsize;
}

int reserve_take(struct reserve *r, const char *dir, uint64_t spare, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/reserve", dir);
	struct stat st;
	uint64_t room;
	int e;

	if (r->held)
		return 0;
	if (r->fd < 0)
		r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (r->fd < 0)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	/* What it has of an earlier run it keeps. */
	if (fstat(r->fd, &st) < 0)
		return err_set_errno(err, errno, "cannot stat '%s'", path);
	room = reserve_room(dir);
	do
		e = room != UINT64_MAX && room + (uint64_t)st.st_blocks * 512 < RESERVE_BYTES + spare ? ENOSPC
		    : fallocate(r->fd, 0, 0, (off_t)RESERVE_BYTES) < 0				      ? errno
												      : 0;
	while (e == EINTR);
	if (e == ENOSPC || e == EDQUOT || e == EFBIG) {
		(void)!ftruncate(r->fd, 0);
		return err_set_errno(err, e,
				     "the disk is full: only deletions are accepted until %" PRIu64
				     " bytes are free beside '%s' again",
				     RESERVE_BYTES + spare, path);
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
