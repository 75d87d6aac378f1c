#include "fake_registry.h"

#include "base/buf.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct fake_registry {
	const struct fake_answer *rows;
	size_t n;
	bool *cut; /* rows that broke off once */
	int fd, port, hung[16], n_hung;
	struct buf heard;
	pthread_t thread;
};

static void send_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return;
		p += w;
		n -= (size_t)w;
	}
}

static const struct fake_answer *find(struct fake_registry *f, const char *head, size_t *ret_i)
{
	const char *path = strchr(head, ' ');

	for (size_t i = 0; path && i < f->n; i++)
		if (!strncmp(path + 1, f->rows[i].path, strlen(f->rows[i].path))) {
			*ret_i = i;
			return &f->rows[i];
		}
	return NULL;
}

/* True: the connection stays open. */
static bool answer(struct fake_registry *f, int fd, const char *head)
{
	const char *range = strstr(head, "Range: bytes="), *auth = strstr(head, "Authorization: ");
	size_t i = 0, from = range ? strtoul(range + 13, NULL, 10) : 0, n, sent;
	const struct fake_answer *r = find(f, head, &i);
	_cleanup_free_ char *out = NULL;

	if (!r) {
		send_all(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", 64);
		return false;
	}
	if (r->hang)
		return true;
	if (r->authorization && (!auth || strncmp(auth + 15, r->authorization, strlen(r->authorization)) != 0)) {
		out = xasprintf("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: %s\r\nContent-Length: 0\r\nConnection: "
				"close\r\n\r\n",
				r->challenge);
		send_all(fd, out, strlen(out));
		return false;
	}
	n = r->n ? r->n : r->body ? strlen(r->body) : 0;
	from = MIN(from, n);
	if (r->endless) {
		out = xasprintf("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
		send_all(fd, out, strlen(out));
		for (size_t k = 0; k < r->endless; k++)
			send_all(fd, r->body, n);
		return false;
	}
	out = xasprintf("HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n", r->status ? r->status : 200,
			n - from);
	if (from) {
		free(out);
		out = xasprintf(
		    "HTTP/1.1 206 X\r\nContent-Length: %zu\r\nContent-Range: bytes %zu-%zu/%zu\r\nConnection: "
		    "close\r\n",
		    n - from, from, n - 1, n);
	}
	send_all(fd, out, strlen(out));
	if (r->more)
		send_all(fd, r->more, strlen(r->more));
	send_all(fd, "\r\n", 2);
	sent = r->cut && !f->cut[i] ? MIN(r->cut, n - from) : n - from;
	f->cut[i] = true;
	if (r->body)
		send_all(fd, r->body + from, sent);
	return false;
}

static void *serve(void *ctx)
{
	struct fake_registry *f = ctx;

	for (;;) {
		int fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
		char head[8192] = "";
		size_t n = 0;
		ssize_t r;

		if (fd < 0)
			return NULL;
		while (n < sizeof(head) - 1 && !strstr(head, "\r\n\r\n") &&
		       (r = recv(fd, head + n, sizeof(head) - 1 - n, 0)) > 0) {
			n += (size_t)r;
			head[n] = '\0';
		}
		buf_adds(&f->heard, head);
		if (!n || !answer(f, fd, head))
			close(fd);
		else if (f->n_hung < (int)ARRAY_LEN(f->hung))
			f->hung[f->n_hung++] = fd;
	}
}

struct fake_registry *fake_registry_start(const struct fake_answer *rows, size_t n)
{
	struct fake_registry *f = xcalloc(1, sizeof(*f));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	f->rows = rows;
	f->n = n;
	f->cut = xcalloc(n + 1, sizeof(*f->cut));
	f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (f->fd < 0 || bind(f->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(f->fd, 64) < 0 ||
	    getsockname(f->fd, (struct sockaddr *)&a, &len) < 0 || pthread_create(&f->thread, NULL, serve, f) != 0)
		abort();
	f->port = ntohs(a.sin_port);
	return f;
}

struct fake_registry *fake_registry_stop(struct fake_registry *f)
{
	(void)shutdown(f->fd, SHUT_RDWR);
	(void)pthread_join(f->thread, NULL);
	close(f->fd);
	for (int i = 0; i < f->n_hung; i++)
		close(f->hung[i]);
	buf_release(&f->heard);
	free(f->cut);
	free(f);
	return NULL;
}

int fake_registry_port(const struct fake_registry *f)
{
	return f->port;
}

const char *fake_registry_heard(struct fake_registry *f)
{
	return buf_cstr(&f->heard);
}
