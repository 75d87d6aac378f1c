/* What the events say is not read: many may be told as one. */
#include "ev/dir_watch.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

#define DIR_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

static bool dir_drain(int fd)
{
	char events[4096];
	ssize_t n;

	do
		n = read(fd, events, sizeof(events));
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 && errno == EAGAIN;
}

struct fd_watch *dir_watch_new(struct env *e, const char *path, void (*changed)(void *ctx), void *ctx)
{
	static const struct fd_watch_ops ops = { "dir", dir_drain };
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd >= 0 && inotify_add_watch(fd, path, DIR_EVENTS) < 0) {
		close(fd);
		return NULL;
	}
	return fd_watch_new(e, &ops, fd, changed, ctx);
}
