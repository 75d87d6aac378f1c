#include "store/disk/dirlock.h"

#include "base/board.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int dirlock_open(const char *dir, const char *name, pid_t *ret_holder, struct err *err)
{
	_cleanup_free_ char *path = xasprintf("%s/%s", dir, name);
	_cleanup_close_ int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	char pid[24];
	ssize_t n;
	int ret;

	if (fd < 0)
		return err_set_errno(err, errno, "cannot open '%s'", path);
	if (file_lock(fd) < 0) {
		if (errno != EWOULDBLOCK)
			return err_set_errno(err, errno, "cannot lock '%s'", path);
		*ret_holder = file_holder(fd);
		return err_set(err, ERR_ALREADY_EXISTS, "data directory '%s' is in use by process %d", dir,
			       (int)*ret_holder);
	}
	/* The pid is for people; a full disk must not keep the store from opening. */
	n = snprintf(pid, sizeof(pid), "%d\n", (int)board_main_pid());
	if (ftruncate(fd, 0) == 0)
		n = pwrite(fd, pid, (size_t)n, 0);
	ret = fd;
	fd = -1;
	return ret;
}

int dirlock_take(const char *dir, struct err *err)
{
	pid_t holder;

	return dirlock_open(dir, "lock", &holder, err);
}

int dirlock_server(const char *data_dir, pid_t *ret_holder, struct err *err)
{
	pid_t holder;

	return dirlock_open(data_dir, DIRLOCK_SERVER, ret_holder ? ret_holder : &holder, err);
}
