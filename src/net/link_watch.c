/* What the messages say is not read: whoever is told looks for himself. */
#include "net/link_watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

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

struct fd_watch *link_watch_new(struct env *e, unsigned of, void (*changed)(void *ctx), void *ctx)
{
	static const struct fd_watch_ops ops = { "links", links_drain };
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK,
				  .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (of & LINK_WATCH_ROUTES)
		sa.nl_groups |= RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE;
	if (fd >= 0 && bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
		close(fd);
		return NULL;
	}
	return fd_watch_new(e, &ops, fd, changed, ctx);
}
