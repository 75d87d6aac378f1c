/* Outgoing streams: resolve (libuv's resolver threads, for names only), then one address after
 * the other. libuv wants a handle closed before its memory is used for the next socket, so
 * a failed attempt continues in its close callback. */
#include "net/http_client.h"
#include "net/stream-internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct stream_dial {
	struct stream *s;
	uv_getaddrinfo_t req;
	bool resolving; /* req is in flight */
	bool between;	/* the last attempt's handle is being closed */
	struct addrinfo *list, *next;
	struct sockaddr_storage single; /* an address that needed no resolver */
	socklen_t single_n;
	bool single_used;
	struct sv where; /* for messages; owned */
	int (*may_dial)(const char *address, int port, void *ctx, struct err *err);
	void *may_ctx;
	struct err refused; /* what it said of an address */

	const struct http_via *via; /* NULL: none */
	char *via_name;
	bool by_via;		/* the address had its chance */
	struct ev_timer *again; /* for via: of the address, then of the next try */
	struct err via_err;
};

#define DIRECT_NS (2 * NS_PER_SEC)    /* of an address, where there is another way */
#define VIA_AGAIN_NS (50 * NS_PER_MS) /* until the far side keeps another connection */

static void dial_next(struct stream *s);
static void dial_by_via(struct stream *s);
static void dial_on_attempt_closed(uv_handle_t *h);

void stream_dial_free(struct stream *s)
{
	struct stream_dial *d = s->dial;

	if (!d)
		return;
	s->dial = NULL;
	ev_timer_stop(d->again);
	err_release(&d->via_err);
	err_release(&d->refused);
	free(d->via_name);
	uv_freeaddrinfo(d->list);
	free((char *)(uintptr_t)d->where.p);
	free(d);
}

bool stream_dial_abort(struct stream *s)
{
	struct stream_dial *d = s->dial;

	d->again = ev_timer_stop(d->again);
	if (d->resolving)
		(void)uv_cancel((uv_req_t *)&d->req); /* either way its callback comes */
	return d->resolving || d->between;
}

static void dial_fail(struct stream *s, int errnum)
{
	struct err e = ERR_INIT;

	if (s->dial->via && !s->dial->by_via) {
		dial_by_via(s);
		return;
	}
	if (s->dial->refused.reason) {
		err_move(&e, &s->dial->refused);
		stream_fail(s, &e);
		return;
	}
	(void)err_set_errno(&e, errnum, "connecting to %.*s", SV_ARG(s->dial->where));
	e.reason = ERR_UNAVAILABLE;
	stream_fail(s, &e);
}

static void dial_on_timeout(void *p)
{
	struct stream *s = p;
	struct err e = ERR_INIT;

	if (s->dial->via_err.reason)
		err_move(&e, &s->dial->via_err);
	else
		(void)err_set(&e, ERR_TIMEOUT, "connecting to %.*s: timed out", SV_ARG(s->dial->where));
	stream_fail(s, &e);
}

static void dial_on_again(void *p)
{
	dial_by_via(p);
}

/* By the other way, until the time is up. */
static void dial_by_via(struct stream *s)
{
	struct stream_dial *d = s->dial;
	int fd;

	d->by_via = true;
	d->again = ev_timer_stop(d->again);
	err_release(&d->via_err);
	fd = d->via->dial(d->via->ctx, d->via_name, &d->via_err);
	if (fd >= 0)
		stream_poll_start(s, fd);
	else
		d->again = ev_timer_start(s->sl->loop, VIA_AGAIN_NS, 0, dial_on_again, s);
}

/* The address has had its time. */
static void dial_on_direct(void *p)
{
	struct stream *s = p;
	struct stream_dial *d = s->dial;

	d->again = ev_timer_stop(d->again);
	if (d->by_via || d->between || d->resolving || !s->polled)
		return; /* what is under way ends, and goes on from there */
	d->next = NULL;
	d->single_used = true;
	d->between = true;
	uv_close((uv_handle_t *)&s->poll, dial_on_attempt_closed);
	close(s->fd);
	s->fd = -1;
}

static void dial_on_attempt_closed(uv_handle_t *h)
{
	struct stream *s = h->data;

	s->dial->between = false;
	s->polled = false;
	if (s->closing)
		stream_finish(s);
	else
		dial_next(s);
}

void stream_dial_event(struct stream *s)
{
	socklen_t n = sizeof(int);
	int e = 0;

	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
		e = errno;
	if (e == 0) {
		s->dial->again = ev_timer_stop(s->dial->again);
		/* The time limit also covers the handshake; without TLS it ends here. */
		if (!s->ssl)
			s->limit = ev_limit_stop(s->limit);
		stream_connected(s);
		return;
	}
	if (!s->dial->next && !(s->dial->via && !s->dial->by_via)) {
		dial_fail(s, e);
		return;
	}
	s->dial->between = true;
	uv_close((uv_handle_t *)&s->poll, dial_on_attempt_closed);
	close(s->fd);
	s->fd = -1;
}

static bool dial_may(struct stream_dial *d, const struct sockaddr *sa)
{
	char text[INET6_ADDRSTRLEN] = "";
	int port = 0;

	if (!d->may_dial)
		return true;
	if (sa->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, sa, sizeof(in));
		(void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
		port = ntohs(in.sin_port);
	} else if (sa->sa_family == AF_INET6) {
		struct sockaddr_in6 in6;

		memcpy(&in6, sa, sizeof(in6));
		(void)inet_ntop(AF_INET6, &in6.sin6_addr, text, sizeof(text));
		port = ntohs(in6.sin6_port);
	}
	err_release(&d->refused);
	return d->may_dial(text, port, d->may_ctx, &d->refused) == 0;
}

static void dial_next(struct stream *s)
{
	struct stream_dial *d = s->dial;
	const struct sockaddr *sa;
	socklen_t n;
	int fd, e = ECONNREFUSED;
	const int one = 1;

	for (;;) {
		if (d->next) {
			sa = d->next->ai_addr;
			n = d->next->ai_addrlen;
			d->next = d->next->ai_next;
		} else if (d->single_n && !d->single_used) {
			d->single_used = true;
			sa = (const struct sockaddr *)&d->single;
			n = d->single_n;
		} else {
			dial_fail(s, e);
			return;
		}
		if (!dial_may(d, sa))
			continue;
		fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (fd < 0) {
			e = errno;
			continue;
		}
		if (sa->sa_family != AF_UNIX)
			(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(fd, sa, n) == 0 || errno == EINPROGRESS) {
			stream_poll_start(s, fd); /* writable: connected, or failed */
			return;
		}
		e = errno;
		close(fd);
	}
}

static void dial_on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
	struct stream_dial *d = req->data;
	struct stream *s = d->s;

	ev_loop_busy(s->sl->loop);
	d->resolving = false;
	d->list = list;
	if (s->closing) {
		stream_finish(s);
		return;
	}
	if (status < 0) {
		struct err e = ERR_INIT;

		(void)err_set(&e, ERR_UNAVAILABLE, "resolving %.*s: %s", SV_ARG(d->where), uv_strerror(status));
		stream_fail(s, &e);
		return;
	}
	d->next = list;
	dial_next(s);
}

static bool dial_set_address(struct stream_dial *d, const char *host, int port)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&d->single;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&d->single;
	struct sockaddr_un *un = (struct sockaddr_un *)&d->single;

	if (strncmp(host, "unix:", 5) == 0) {
		size_t n = strlen(host + 5);

		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, host + 5, MIN(n, sizeof(un->sun_path) - 1));
		d->single_n = sizeof(*un);
		return true;
	}
	if (inet_pton(AF_INET, host, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
		d->single_n = sizeof(*in);
		return true;
	}
	if (inet_pton(AF_INET6, host, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		d->single_n = sizeof(*in6);
		return true;
	}
	return false;
}

struct stream *stream_connect(struct ev_loop *l, const struct stream_target *t, int64_t timeout_ns,
			      const struct stream_cb *cb, void *ctx)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct stream *s = stream_new(l, cb, ctx);
	struct stream_dial *d = xcalloc(1, sizeof(*d));
	char service[16];
	int r;

	s->dialled = true;
	s->dial = d;
	d->s = s;
	d->req.data = d;
	d->may_dial = t->may_dial;
	d->may_ctx = t->may_ctx;
	if (strncmp(t->host, "unix:", 5) == 0)
		d->where.p = xstrdup(t->host);
	else
		d->where.p = xasprintf(strchr(t->host, ':') ? "[%s]:%d" : "%s:%d", t->host, t->port);
	d->where.n = strlen(d->where.p);
	if (timeout_ns > 0)
		s->limit = ev_limit_start(l, timeout_ns, dial_on_timeout, s);
	if (t->tls) {
		if (stream_tls_start(s, t->tls) < 0 ||
		    tls_client_prepare(s->ssl, t->tls, t->server_name ? t->server_name : t->host, t->peer_name, t->alpn,
				       &s->err) < 0) {
			stream_abort(s);
			return s;
		}
	}
	if (t->via && t->peer_name) {
		d->via = t->via;
		d->via_name = xstrdup(t->peer_name);
		if (d->via->when == VIA_ONLY) {
			dial_by_via(s);
			return s;
		}
		if (d->via->when == VIA_FIRST) {
			int fd = d->via->dial(d->via->ctx, d->via_name, NULL);

			if (fd >= 0) {
				d->by_via = true;
				stream_poll_start(s, fd);
				return s;
			}
		}
		d->again = ev_timer_start(l, DIRECT_NS, 0, dial_on_direct, s);
	}
	if (dial_set_address(d, t->host, t->port)) {
		dial_next(s);
		return s;
	}
	(void)snprintf(service, sizeof(service), "%d", t->port);
	d->resolving = true;
	r = uv_getaddrinfo(&l->uv, &d->req, dial_on_resolved, t->host, service, &hints);
	if (r < 0) {
		d->resolving = false;
		dial_fail(s, -r);
	}
	return s;
}
