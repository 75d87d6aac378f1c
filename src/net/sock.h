/* sock.h - sockets for blocking callers with deadlines, and what servers listen on; only files of src/net include it.
 *
 * Every descriptor is non-blocking and close-on-exec. Deadlines are instants of sock_now_ns();
 * SOCK_NO_DEADLINE waits for ever. All but sock_bind_tcp() is for worker threads, never for a loop.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

#define SOCK_NO_DEADLINE INT64_MAX

int64_t sock_now_ns(void);		   /* monotonic */
int64_t sock_deadline(int64_t timeout_ns); /* from now; timeout_ns <= 0: none */

/* Connects to a name or address and port, or to "unix:/path" ("unix:@name": of no file). Tries each address of a name,
 * for ten seconds at most. A connection on which the peer acknowledges nothing for 20 s breaks, also while nothing is
 * sent. Returns the descriptor, or -1: ERR_TIMEOUT, ERR_UNAVAILABLE. */
int sock_connect(const char *host, int port, int64_t deadline_ns, struct err *err);
/* The same, given up with ERR_UNAVAILABLE as soon as stop_fd (-1: none) can be read. */
int sock_connect_or(const char *host, int port, int stop_fd, int64_t deadline_ns, struct err *err);

/* A socket at an address as text and a port (0: a free one), to be listened on: one of "::" takes IPv4, too, and that
 * alone where the kernel has no IPv6. -1 with err->errnum, ERR_INVALID of what is no address. */
int sock_bind_tcp(const char *address, int port, struct err *err);

/* Waits for POLLIN or POLLOUT. Returns the events that came (with POLLHUP and POLLERR), or 0 at
 * the deadline. */
int sock_wait(int fd, int events, int64_t deadline_ns);
/* The same; -1 as soon as stop_fd (-1: none) can be read. */
int sock_wait_or(int fd, int events, int stop_fd, int64_t deadline_ns);
