#include "packets.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTS 3000
#define STREAM_BYTES ((size_t)1 << 30)

double packets_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static void packets_fail(const char *what)
{
	(void)fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static int packets_dial(const char *address, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)inet_pton(AF_INET, address, &to.sin_addr);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		packets_fail(address);
	return fd;
}

pid_t packets_serve(int port)
{
	struct sockaddr_in on = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	static char mem[1 << 18];
	pid_t pid;

	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&on, sizeof(on)) < 0 || listen(fd, 1024) < 0)
		packets_fail("listening");
	pid = fork();
	if (pid) {
		close(fd);
		return pid;
	}
	(void)close(STDIN_FILENO); /* whoever reads what the parent says is to see its end */
	(void)close(STDOUT_FILENO);
	(void)close(STDERR_FILENO);
	for (;;) {
		int c = accept(fd, NULL, NULL);

		while (read(c, mem, sizeof(mem)) > 0)
			;
		close(c);
	}
}

static int packets_cmp(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The median time until a connection is there, in microseconds. */
static double packets_first_us(const char *address, int port, double *ret_per_s)
{
	static double took[CONNECTS];
	double began = packets_now_ms();

	for (size_t i = 0; i < CONNECTS; i++) {
		struct linger at_once = { .l_onoff = 1 };
		double from = packets_now_ms();
		int fd = packets_dial(address, port);

		took[i] = (packets_now_ms() - from) * 1e3;
		(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
		close(fd);
	}
	*ret_per_s = CONNECTS / (packets_now_ms() - began) * 1e3;
	qsort(took, CONNECTS, sizeof(*took), packets_cmp);
	return took[CONNECTS / 2];
}

static double packets_gbit(const char *address, int port)
{
	static char mem[1 << 18];
	int fd = packets_dial(address, port);
	double began = packets_now_ms();
	size_t left = STREAM_BYTES;
	char end;

	while (left) {
		ssize_t n = write(fd, mem, MIN(left, sizeof(mem)));

		if (n <= 0)
			packets_fail("writing");
		left -= (size_t)n;
	}
	(void)shutdown(fd, SHUT_WR);
	if (read(fd, &end, 1) < 0) /* the server has read all */
		packets_fail("reading");
	close(fd);
	return (double)STREAM_BYTES * 8 / 1e6 / (packets_now_ms() - began);
}

struct packets_took packets_measure(const char *address, int port)
{
	struct packets_took t;

	t.first_us = packets_first_us(address, port, &t.per_s);
	t.gbit = packets_gbit(address, port);
	return t;
}
