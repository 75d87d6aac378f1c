#include "fake_http.h"

#include "base/base.h"
#include "base/buf.h"

#include <ctype.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNS = 16 };

struct conn {
	int fd, number, requests;
	bool tunnel;
	struct buf in;
};

struct fake_http {
	int listener, port, wake[2], left[2];
	atomic_int accepted;
	pthread_t thread;
	struct conn conns[CONNS];
};

static void drop(struct conn *c)
{
	close(c->fd);
	buf_release(&c->in);
	*c = (struct conn){ .fd = -1 };
}

static void say(const struct conn *c, struct sv bytes)
{
	while (bytes.n > 0) {
		ssize_t n = send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL);

		if (n < 0)
			return;
		bytes = sv_sub(bytes, (size_t)n, bytes.n);
	}
}

static void say_body(const struct conn *c, struct sv body)
{
	struct buf b = BUF_INIT;

	buf_printf(&b, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", body.n);
	buf_addsv(&b, body);
	say(c, buf_sv(&b));
	buf_release(&b);
}

static void answer(struct fake_http *f, struct conn *c, struct sv head, struct sv body)
{
	struct sv rest = head, method, target;
	struct buf b = BUF_INIT;

	sv_split(&rest, ' ', &method);
	sv_split(&rest, ' ', &target);
	c->requests++;
	if (sv_is(target, "/hello")) {
		say_body(c, SV("hello"));
	} else if (sv_is(target, "/chunked")) {
		say(c, SV("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n"));
		say(c, SV("3\r\nllo\r\n0\r\n\r\n"));
	} else if (sv_is(target, "/number")) {
		buf_addi64(&b, c->number);
		say_body(c, buf_sv(&b));
	} else if (sv_is(target, "/echo")) {
		say_body(c, body);
	} else if (sv_is(target, "/headers")) {
		say_body(c, head);
	} else if (sv_is(target, "/big")) {
		for (int i = 0; i < 100000; i++)
			buf_addc(&b, 'x');
		say_body(c, buf_sv(&b));
	} else if (sv_is(target, "/cut")) {
		say(c, SV("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"));
		drop(c);
	} else if (sv_is(target, "/eof")) {
		say(c, SV("HTTP/1.1 200 OK\r\n\r\nto the end"));
		drop(c);
	} else if (sv_is(target, "/leave")) {
		say_body(c, SV("bye"));
		drop(c);
		if (write(f->left[1], "x", 1) != 1)
			abort();
	} else if (sv_is(target, "/deaf")) {
		if (c->requests > 1)
			drop(c);
		else
			say_body(c, SV("first"));
	} else if (sv_is(target, "/tunnel")) {
		c->tunnel = true;
		say(c, SV("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: loud\r\n\r\nUPGRADED"));
	} else if (!sv_is(target, "/hang")) {
		say(c, SV("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone"));
	}
	buf_release(&b);
}

static void serve(struct fake_http *f, struct conn *c)
{
	char piece[65536];
	ssize_t n = recv(c->fd, piece, sizeof(piece), 0), end;

	if (n <= 0) {
		drop(c);
		return;
	}
	if (c->tunnel) {
		for (ssize_t i = 0; i < n; i++)
			piece[i] = (char)toupper((unsigned char)piece[i]);
		say(c, sv_make(piece, (size_t)n));
		return;
	}
	buf_add(&c->in, piece, (size_t)n);
	while (c->fd >= 0 && (end = sv_find_sv(buf_sv(&c->in), SV("\r\n\r\n"))) >= 0) {
		struct sv all = buf_sv(&c->in), head = sv_sub(all, 0, (size_t)end);
		ssize_t at = sv_find_sv(head, SV("content-length: "));
		size_t body_n = at < 0 ? 0 : (size_t)atoi(head.p + at + 16), whole = (size_t)end + 4 + body_n;

		if (all.n < whole)
			return;
		answer(f, c, head, sv_sub(all, (size_t)end + 4, body_n));
		if (c->fd >= 0)
			buf_drop_front(&c->in, whole);
	}
}

static void *run(void *arg)
{
	struct fake_http *f = arg;

	for (;;) {
		struct pollfd p[CONNS + 2] = { { .fd = f->wake[0], .events = POLLIN },
					       { .fd = f->listener, .events = POLLIN } };

		for (size_t i = 0; i < CONNS; i++)
			p[i + 2] = (struct pollfd){ .fd = f->conns[i].fd, .events = POLLIN };
		poll(p, CONNS + 2, -1);
		if (p[0].revents)
			return NULL;
		for (size_t i = 0; i < CONNS; i++)
			if (p[i + 2].fd >= 0 && p[i + 2].revents)
				serve(f, &f->conns[i]);
		for (size_t i = 0; p[1].revents && i < CONNS; i++) {
			if (f->conns[i].fd >= 0)
				continue;
			f->conns[i] = (struct conn){ .fd = accept(f->listener, NULL, NULL),
						     .number = atomic_fetch_add(&f->accepted, 1) + 1 };
			break;
		}
	}
}

struct fake_http *fake_http_start(void)
{
	struct fake_http *f = xcalloc(1, sizeof(*f));
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(in);

	for (size_t i = 0; i < CONNS; i++)
		f->conns[i].fd = -1;
	f->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(f->listener, (struct sockaddr *)&in, len) < 0 || listen(f->listener, 16) < 0 ||
	    getsockname(f->listener, (struct sockaddr *)&in, &len) < 0 || pipe(f->wake) < 0 || pipe(f->left) < 0 ||
	    pthread_create(&f->thread, NULL, run, f) != 0)
		abort();
	f->port = ntohs(in.sin_port);
	return f;
}

struct fake_http *fake_http_stop(struct fake_http *f)
{
	close(f->wake[1]);
	pthread_join(f->thread, NULL);
	for (size_t i = 0; i < CONNS; i++)
		if (f->conns[i].fd >= 0)
			drop(&f->conns[i]);
	close(f->wake[0]);
	close(f->left[0]);
	close(f->left[1]);
	close(f->listener);
	free(f);
	return NULL;
}

int fake_http_port(const struct fake_http *f)
{
	return f->port;
}

int fake_http_accepted(const struct fake_http *f)
{
	return atomic_load(&f->accepted);
}

void fake_http_wait_left(struct fake_http *f)
{
	char c;

	if (read(f->left[0], &c, 1) != 1)
		abort();
}
