#include "ev/fd_watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fd_watch {
	const struct fd_watch_ops *ops;
	void (*changed)(void *ctx);
	void *ctx;
	int fd, stop_fd;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running;
};

static void fd_thread(void *ctx)
{
	struct fd_watch *w = ctx;
	struct pollfd p[2] = { { .fd = w->stop_fd, .events = POLLIN }, { .fd = w->fd, .events = POLLIN } };

	for (bool ok = true; ok;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents)
			break;
		if (!p[1].revents)
			continue;
		ok = w->ops->drain(w->fd);
		w->changed(w->ctx);
	}
	pthread_mutex_lock(&w->lock);
	w->running = false;
	pthread_cond_broadcast(&w->ended);
	pthread_mutex_unlock(&w->lock);
}

struct fd_watch *fd_watch_new(struct env *e, const struct fd_watch_ops *ops, int fd_take, void (*changed)(void *ctx),
			      void *ctx)
{
	struct fd_watch *w;

	if (fd_take < 0)
		return NULL;
	w = xcalloc(1, sizeof(*w));
	w->ops = ops;
	w->changed = changed;
	w->ctx = ctx;
	w->fd = fd_take;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->ended, NULL);
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	w->running = w->stop_fd >= 0;
	if (w->running && env_thread(e, ops->name, fd_thread, w) == 0)
		return w;
	w->running = false;
	return fd_watch_free(w);
}

struct fd_watch *fd_watch_free(struct fd_watch *w)
{
	if (!w)
		return NULL;
	if (w->stop_fd >= 0)
		(void)eventfd_write(w->stop_fd, 1);
	pthread_mutex_lock(&w->lock);
	while (w->running)
		pthread_cond_wait(&w->ended, &w->lock);
	pthread_mutex_unlock(&w->lock);
	close(w->fd);
	if (w->stop_fd >= 0)
		close(w->stop_fd);
	pthread_cond_destroy(&w->ended);
	pthread_mutex_destroy(&w->lock);
	free(w);
	return NULL;
}
