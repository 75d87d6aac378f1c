/* What the messages say is not read: whoever is told looks for himself. */
#include "net/link_watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

struct link_watch {
	void (*changed)(void *ctx);
	void *ctx;
	int fd, stop_fd;
	pthread_mutex_t lock;
	pthread_cond_t ended;
	bool running;
};

/* Takes all that is there; false: the socket is of no more use. Lost messages (ENOBUFS) were changes, too. */
static bool links_drain(int fd)
{
	char buf[8192];
	ssize_t n;

	do
		n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
	while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
	return n < 0 && errno == EAGAIN;
}

static void links_thread(void *ctx)
{
	struct link_watch *w = ctx;
	struct pollfd p[2] = { { .fd = w->stop_fd, .events = POLLIN }, { .fd = w->fd, .events = POLLIN } };

	for (bool ok = true; ok;) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			break;
		if (p[0].revents)
			break;
		if (!p[1].revents)
			continue;
		ok = links_drain(w->fd);
		w->changed(w->ctx);
	}
	pthread_mutex_lock(&w->lock);
	w->running = false;
	pthread_cond_broadcast(&w->ended);
	pthread_mutex_unlock(&w->lock);
}

struct link_watch *link_watch_new(struct env *e, unsigned of, void (*changed)(void *ctx), void *ctx)
{
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	struct link_watch *w = xcalloc(1, sizeof(*w));

	if (of & LINK_WATCH_ROUTES)
		sa.nl_groups |= RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	w->changed = changed;
	w->ctx = ctx;
	pthread_mutex_init(&w->lock, NULL);
	pthread_cond_init(&w->ended, NULL);
	w->stop_fd = eventfd(0, EFD_CLOEXEC);
	w->fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	w->running = w->stop_fd >= 0 && w->fd >= 0 && bind(w->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
	if (!w->running)
		return link_watch_free(w);
	if (env_thread(e, "links", links_thread, w) < 0) {
		w->running = false;
		return link_watch_free(w);
	}
	return w;
}

struct link_watch *link_watch_free(struct link_watch *w)
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
