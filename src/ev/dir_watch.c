/* What the events say is not read: many may be told as one. */
#include "ev/dir_watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define DIR_EVENTS (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)

struct dir_watch {
	void (*changed)(void *ctx);
	void *ctx;
	int fd, stop_fd;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running;
};

/* False: there is nothing to be heard any more. */
static bool dir_drain(int fd)
{
	char events[4096];
	ssize_t n;

	do
		n = read(fd, events, sizeof(events));
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 && errno == EAGAIN;
}

static void dir_thread(void *ctx)
{
	struct dir_watch *w = ctx;
	struct pollfd p[2] = { { .fd = w->stop_fd, .events = POLLIN }, { .fd = w->fd, .events = POLLIN } };

	for (bool ok = true; ok;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents)
			break;
		if (!p[1].revents)
			continue;
		ok = dir_drain(w->fd);
		w->changed(w->ctx);
	}
	pthread_mutex_lock(&w->lock);
	w->running = false;
	pthread_cond_broadcast(&w->ended);
	pthread_mutex_unlock(&w->lock);
}

struct dir_watch *dir_watch_new(struct env *e, const char *path, void (*changed)(void *ctx), void *ctx)
{
	struct dir_watch *w = xcalloc(1, sizeof(*w));

	w->changed = changed;
	w->ctx = ctx;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->ended, NULL);
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	w->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	w->running = w->stop_fd >= 0 && w->fd >= 0 && inotify_add_watch(w->fd, path, DIR_EVENTS) >= 0;
	if (!w->running)
		return dir_watch_free(w);
	if (env_thread(e, "dir", dir_thread, w) < 0) {
		w->running = false;
		return dir_watch_free(w);
	}
	return w;
}

struct dir_watch *dir_watch_free(struct dir_watch *w)
{
	if (!w)
		return NULL;
	if (w->stop_fd >= 0)
		(void)eventfd_write(w->stop_fd, 1);
	pthread_mutex_lock(&w->lock);
	while (w->running)
		pthread_cond_wait(&w->ended, &w->lock);
	pthread_mutex_unlock(&w->lock);
	if (w->fd >= 0)
		close(w->fd);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}
