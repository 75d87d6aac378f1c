/* free_port.h - ports for whoever listens a moment later, and perhaps once more: a program that is started, a server
 * that is told its port. Only for tests. Who can listen at once takes port 0 instead. */
#pragma once

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Below those that the kernel gives to whoever connects, and those of Services. */
#define FREE_PORT_FROM 11000
#define FREE_PORTS 19000

static inline bool free_port_binds(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool binds = bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0;

	close(fd);
	return binds;
}

/* By a name that the kernel keeps as long as this process lives: other tests take another port. */
static inline bool free_port_claim(int port)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int n = snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "caravel-test-port-%d", port);
	socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);

	if (bind(fd, (struct sockaddr *)&a, size) == 0)
		return true;
	close(fd);
	return false;
}

/* Of 127.0.0.1, and nobody's until this process ends. */
static inline int free_port(void)
{
	static unsigned at;

	if (!at)
		at = (unsigned)getpid();
	for (;;) {
		int port = FREE_PORT_FROM + (int)((at += 7919) % FREE_PORTS);

		if (free_port_binds(port) && free_port_claim(port))
			return port;
	}
}
