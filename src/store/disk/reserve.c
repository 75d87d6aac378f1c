#include "store/disk/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

uint64_t reserve_room(const char *dir)
{
	struct statvfs st;

	return statvfs(dir, &st) < 0 ? UINT64_MAX : (uint64_t)st.f_bfree * st.f_frsize;
}

static bool reserve_is_full(int e)
{
	return e == ENOSPC || e == EDQUOT || e == EFBIG;
}

static char *reserve_file(const struct reserve *r, int i)
{
	return xasprintf("%s/reserve.%d", r->dir, i);
}

static void reserve_give_files(const struct reserve *r)
{
	for (int i = 0; i < RESERVE_FILES; i++) {
		_cleanup_free_ char *path = reserve_file(r, i);

		(void)unlink(path);
	}
}

/* A file system may have room for data and none for files. */
static int reserve_take_files(const struct reserve *r, unsigned spare, struct err *err)
{
	struct statvfs st;
	fsfilcnt_t have = 0;
	int e = 0;

	if (statvfs(r->dir, &st) < 0 || !st.f_files)
		return 0;
	for (int i = 0; i < RESERVE_FILES; i++) {
		_cleanup_free_ char *path = reserve_file(r, i);

		have += access(path, F_OK) == 0;
	}
	if (st.f_ffree + have < RESERVE_FILES + spare)
		e = ENOSPC;
	for (int i = 0; !e && i < RESERVE_FILES; i++) {
		_cleanup_free_ char *path = reserve_file(r, i);

		if (mknod(path, S_IFREG | 0600, 0) < 0 && errno != EEXIST)
			e = errno;
	}
	if (!e)
		return 0;
	reserve_give_files(r);
	if (!reserve_is_full(e))
		return err_set_errno(err, e, "cannot make files in '%s'", r->dir);
	return err_set_errno(err, e,
			     "the disk takes no more files (inodes): only deletions are accepted until %u can be made "
			     "in '%s' again",
			     RESERVE_FILES + spare, r->dir);
}

/* Room for data. */
static int reserve_take_bytes(const struct reserve *r, uint64_t spare, struct err *err)
{
	struct stat st;
	uint64_t room;
	int e;

	/* What it has of an earlier run it keeps. */
	if (fstat(r->fd, &st) < 0)
		return err_set_errno(err, errno, "cannot stat '%s/reserve'", r->dir);
	room = reserve_room(r->dir);
	do
		e = room != UINT64_MAX && room + (uint64_t)st.st_blocks * 512 < RESERVE_BYTES + spare ? ENOSPC
		    : fallocate(r->fd, 0, 0, (off_t)RESERVE_BYTES) < 0				      ? errno
												      : 0;
	while (e == EINTR);
	if (!reserve_is_full(e))
		return 0;
	(void)!ftruncate(r->fd, 0);
	return err_set_errno(err, e,
			     "the disk is full: only deletions are accepted until %" PRIu64
			     " bytes are free beside '%s/reserve' again",
			     RESERVE_BYTES + spare, r->dir);
}

int reserve_take(struct reserve *r, const char *dir, uint64_t spare, struct err *err)
{
	if (r->held)
		return 0;
	if (!r->dir)
		r->dir = xstrdup(dir);
	if (reserve_take_files(r, spare ? RESERVE_FILES : 0, err) < 0)
		return -1;
	if (r->fd < 0) {
		_cleanup_free_ char *path = xasprintf("%s/reserve", dir);

		r->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (r->fd < 0) {
			err_set_errno(err, errno, "cannot open '%s'", path);
			reserve_give_files(r);
			return -1;
		}
	}
	if (reserve_take_bytes(r, spare, err) < 0) {
		reserve_give_files(r);
		return -1;
	}
	r->held = true;
	return 0;
}

void reserve_give(struct reserve *r)
{
	if (!r->held)
		return;
	reserve_give_files(r);
	if (ftruncate(r->fd, 0) == 0)
		r->held = false;
}

void reserve_release(struct reserve *r)
{
	close_fdp(&r->fd);
	r->fd = -1;
	free(r->dir);
	r->dir = NULL;
}

uint64_t reserve_bytes(const struct reserve *r)
{
	return r->held ? RESERVE_BYTES : 0;
}
