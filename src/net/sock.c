#include "net/sock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

int64_t sock_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NS_PER_SEC + ts.tv_nsec;
}

int64_t sock_deadline(int64_t timeout_ns)
{
	int64_t at;

	if (timeout_ns <= 0 || __builtin_add_overflow(sock_now_ns(), timeout_ns, &at))
		return SOCK_NO_DEADLINE;
	return at;
}

int sock_wait_or(int fd, int events, int stop_fd, int64_t deadline_ns)
{
	for (;;) {
		/* poll() passes over a descriptor of -1. */
		struct pollfd p[2] = { { .fd = fd, .events = (short)events }, { .fd = stop_fd, .events = POLLIN } };
		int64_t left_ns = 0;
		int timeout_ms = -1, n;

		if (deadline_ns != SOCK_NO_DEADLINE) {
			left_ns = MAX(deadline_ns - sock_now_ns(), 0);
			/* Rounded up: waking early would spin until the deadline. */
			timeout_ms = (int)MIN((left_ns + NS_PER_MS - 1) / NS_PER_MS, 1000 * 1000);
		}
		n = poll(p, 2, timeout_ms);
		if (n > 0)
			return p[1].revents ? -1 : p[0].revents;
		if (n < 0 && errno != EINTR)
			return POLLERR;
		if (deadline_ns != SOCK_NO_DEADLINE && sock_now_ns() >= deadline_ns)
			return 0;
	}
}

int sock_wait(int fd, int events, int64_t deadline_ns)
{
	return sock_wait_or(fd, events, -1, deadline_ns);
}

/* The kernel repeats the first packet after 1, 3, 7, 15, 31 s: a new try meets a network that has come back earlier. */
#define CONNECT_MAX_NS (10 * NS_PER_SEC)

/* A peer that is gone, or an address of ours that is, is noticed while an answer is waited for, and so is a kept
 * connection that a partition has outlived: servers always read, so what they do not acknowledge for so long never
 * reached them. */
static void sock_watch_peer(int fd)
{
	const int one = 1, idle_s = 10, interval_s = 5, probes = 2;
	const unsigned unanswered_ms = 20000;

	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unanswered_ms, sizeof(unanswered_ms));
}

/* Connects one address. Returns the descriptor, or -1 with errno. */
static int connect_one(const struct sockaddr *addr, socklen_t n, int stop_fd, int64_t deadline_ns)
{
	int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, error = 0, events;
	socklen_t len = sizeof(error);

	if (fd < 0)
		return -1;
	if (addr->sa_family == AF_UNIX) {
		/* A unix socket connects at once unless the server's backlog is full, and then a
		 * non-blocking one would fail instead of waiting. Wait at most until the deadline. */
		if (deadline_ns != SOCK_NO_DEADLINE) {
			int64_t left_ns = MAX(deadline_ns - sock_now_ns(), NS_PER_MS);
			struct timeval tv = { .tv_sec = left_ns / NS_PER_SEC,
					      .tv_usec = left_ns % NS_PER_SEC / NS_PER_US };

			setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		}
		if (connect(fd, addr, n) < 0) {
			error = errno == EAGAIN ? ETIMEDOUT : errno;
			goto fail;
		}
		fcntl(fd, F_SETFL, O_NONBLOCK);
		return fd;
	}
	fcntl(fd, F_SETFL, O_NONBLOCK);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	sock_watch_peer(fd);
	deadline_ns = MIN(deadline_ns, sock_deadline(CONNECT_MAX_NS));
	if (connect(fd, addr, n) == 0)
		return fd;
	error = errno;
	if (error != EINPROGRESS)
		goto fail;
	events = sock_wait_or(fd, POLLOUT, stop_fd, deadline_ns);
	error = events < 0 ? ECANCELED : ETIMEDOUT;
	if (events <= 0)
		goto fail;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0)
		return fd;
fail:
	close(fd);
	errno = error;
	return -1;
}

static int fail_errno(struct err *err, int error, const char *host, int port)
{
	enum err_reason reason = error == ETIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE;

	if (port > 0)
		err_set(err, reason, "connecting to '%s:%d': %s", host, port, strerror(error));
	else
		err_set(err, reason, "connecting to '%s': %s", host, strerror(error));
	if (err)
		err->errnum = error;
	return -1;
}

static int connect_unix(const char *host, int64_t deadline_ns, struct err *err)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	const char *path = host + strlen("unix:");
	socklen_t n = sizeof(un);
	int fd;

	while (path[0] == '/' && path[1] == '/') /* unix:///path is the same place */
		path++;
	if (strlen(path) >= sizeof(un.sun_path))
		return err_set(err, ERR_UNAVAILABLE, "socket path '%s' is too long", path);
	memcpy(un.sun_path, path, strlen(path));
	if (path[0] == '@') { /* a name that no file has */
		un.sun_path[0] = '\0';
		n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
	}
	fd = connect_one((const struct sockaddr *)&un, n, -1, deadline_ns);
	return fd >= 0 ? fd : fail_errno(err, errno, host, 0);
}

int sock_connect_or(const char *host, int port, int stop_fd, int64_t deadline_ns, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV }, *list = NULL;
	char service[16];
	int fd = -1, r, error = ECONNREFUSED;

	if (strncmp(host, "unix:", 5) == 0)
		return connect_unix(host, deadline_ns, err);
	snprintf(service, sizeof(service), "%d", port);
	r = getaddrinfo(host, service, &hints, &list);
	if (r != 0)
		return err_set(err, ERR_UNAVAILABLE, "looking up '%s': %s", host, gai_strerror(r));
	for (struct addrinfo *a = list; a && fd < 0 && error != ECANCELED; a = a->ai_next) {
		fd = connect_one(a->ai_addr, a->ai_addrlen, stop_fd, deadline_ns);
		if (fd < 0)
			error = errno;
	}
	freeaddrinfo(list);
	return fd >= 0 ? fd : fail_errno(err, error, host, port);
}

int sock_connect(const char *host, int port, int64_t deadline_ns, struct err *err)
{
	return sock_connect_or(host, port, -1, deadline_ns, err);
}

int sock_bind_tcp(const char *address, int port, struct err *err)
{
	const int one = 1, zero = 0;
	bool all = strcmp(address, "::") == 0;
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	const struct sockaddr *sa = (struct sockaddr *)&in;
	socklen_t n = sizeof(in);
	int fd, e;

	if (inet_pton(AF_INET6, address, &in6.sin6_addr) == 1) {
		sa = (struct sockaddr *)&in6;
		n = sizeof(in6);
	} else if (inet_pton(AF_INET, address, &in.sin_addr) != 1) {
		return err_set(err, ERR_INVALID, "listening on '%s': not an address", address);
	}
	fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 && all)
		return sock_bind_tcp("0.0.0.0", port, err);
	if (fd < 0)
		return err_set_errno(err, errno, "listening on '%s'", address);
	/* Accepted sockets inherit these. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (sa->sa_family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, sa, n) == 0)
		return fd;
	e = errno;
	close(fd);
	if (all && e == EADDRNOTAVAIL) /* IPv6 is there, and turned off */
		return sock_bind_tcp("0.0.0.0", port, err);
	return err_set_errno(err, e, "listening on '%s' port %d", address, port);
}
