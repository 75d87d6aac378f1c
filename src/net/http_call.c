/* The blocking half of the HTTP client: one request and its response on a connection of its own,
 * with keep-alive through a pool. Sockets are non-blocking underneath so that one deadline
 * covers connect, handshake, request and response. */
#include "net/http_client.h"

#include "base/buf.h"
#include "base/list.h"
#include "net/http_wire.h"
#include "net/net-internal.h"
#include "net/sock.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IDLE_MAX = 32, IDLE_PER_ENDPOINT_MAX = 8, IDLE_S = 90, READ_N = 32 * 1024 };

struct http_pool {
	pthread_mutex_t lock;
	struct list idle; /* struct bconn, most recently used first */
	int n_idle;
	int stop_fd; /* -1: none */
};

/* A blocking connection. */
struct bconn {
	struct list link;
	int fd, stop_fd;
	SSL *ssl; /* NULL: plain */
	/* Where it leads, to find it again in the pool. */
	char *host, *server_name, *peer_name; /* owned; the names may be NULL */
	int port;
	struct tls_ctx *tls; /* a reference, or NULL */
	int64_t idle_since_ns;
};

static struct bconn *bconn_free(struct bconn *c)
{
	if (!c)
		return NULL;
	if (c->ssl) {
		SSL_set_quiet_shutdown(c->ssl, 1);
		SSL_free(c->ssl);
	}
	close_fdp(&c->fd);
	free(c->host);
	free(c->server_name);
	free(c->peer_name);
	tls_ctx_unref(c->tls);
	free(c);
	return NULL;
}
DEFINE_CLEANUP(struct bconn *, bconn_freep, bconn_free)

/* 1: they came; -1: the deadline did first, or who is told to give up. */
static int bconn_wait(const struct bconn *c, int events, int64_t deadline_ns, const char *doing, struct err *err)
{
	int r = sock_wait_or(c->fd, events, c->stop_fd, deadline_ns);

	if (r > 0)
		return 1;
	return err_set(err, r < 0 ? ERR_UNAVAILABLE : ERR_TIMEOUT, "%s '%s:%d': %s", doing, c->host, c->port,
		       r < 0 ? "given up" : "timed out");
}

/* After an SSL call that did not succeed: waits for what it wants. 1: try again; 0: orderly end;
 * -1: failure. */
static int ssl_wait(struct bconn *c, int r, int64_t deadline_ns, const char *doing, struct err *err)
{
	_cleanup_free_ char *what = NULL;

	switch (SSL_get_error(c->ssl, r)) {
	case SSL_ERROR_WANT_READ:
		return bconn_wait(c, POLLIN, deadline_ns, doing, err);
	case SSL_ERROR_WANT_WRITE:
		return bconn_wait(c, POLLOUT, deadline_ns, doing, err);
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		what = xasprintf("%s '%s:%d'", doing, c->host, c->port);
		if (errno != 0)
			return err_set(err, ERR_UNAVAILABLE, "%s: %s", what, strerror(errno));
		/* The verdict on the certificate explains a failed handshake, and nothing after it. */
		return tls_err(err, SSL_is_init_finished(c->ssl) ? NULL : c->ssl, ERR_UNAVAILABLE, what);
	}
}

static int bconn_handshake(struct bconn *c, const struct http_endpoint *ep, int64_t deadline_ns, struct err *err)
{
	int r;

	c->ssl = SSL_new(tls_ctx_ssl(ep->tls));
	BUG_ON(!c->ssl);
	if (tls_client_prepare(c->ssl, ep->tls, ep->server_name ? ep->server_name : ep->host, ep->peer_name, SV_NULL,
			       err) < 0)
		return -1;
	SSL_set_fd(c->ssl, c->fd);
	for (;;) {
		ERR_clear_error();
		errno = 0;
		r = SSL_connect(c->ssl);
		if (r == 1)
			return 0;
		r = ssl_wait(c, r, deadline_ns, "TLS handshake with", err);
		if (r == 0)
			return err_set(err, ERR_UNAVAILABLE, "TLS handshake with '%s:%d': connection closed", c->host,
				       c->port);
		if (r < 0)
			return -1;
	}
}

static struct bconn *bconn_new(const struct http_endpoint *ep, int stop_fd, int64_t deadline_ns, struct err *err)
{
	_cleanup_(bconn_freep) struct bconn *c = NULL;
	int fd = sock_connect_or(ep->host, ep->port, stop_fd, deadline_ns, err);

	if (fd < 0)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	list_init(&c->link);
	c->fd = fd;
	c->stop_fd = stop_fd;
	c->host = xstrdup(ep->host);
	c->server_name = ep->server_name ? xstrdup(ep->server_name) : NULL;
	c->peer_name = ep->peer_name ? xstrdup(ep->peer_name) : NULL;
	c->port = ep->port;
	if (ep->tls) {
		c->tls = tls_ctx_ref(ep->tls);
		if (bconn_handshake(c, ep, deadline_ns, err) < 0)
			return NULL;
	}
	return TAKE(c);
}

/* -1: broken (also when the peer closed it, which a pool's connection may be). */
static int bconn_write(struct bconn *c, struct sv bytes, int64_t deadline_ns, struct err *err)
{
	while (bytes.n > 0) {
		ssize_t n;

		if (c->ssl) {
			ERR_clear_error();
			errno = 0;
			n = SSL_write(c->ssl, bytes.p, (int)MIN(bytes.n, (size_t)INT_MAX));
			if (n <= 0) {
				int r = ssl_wait(c, (int)n, deadline_ns, "writing to", err);

				if (r == 0)
					return err_set(err, ERR_UNAVAILABLE, "writing to '%s:%d': connection closed",
						       c->host, c->port);
				if (r < 0)
					return -1;
				continue;
			}
		} else {
			n = send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0 && errno == EAGAIN) {
				if (bconn_wait(c, POLLOUT, deadline_ns, "writing to", err) < 0)
					return -1;
				continue;
			}
			if (n < 0)
				return err_set(err, ERR_UNAVAILABLE, "writing to '%s:%d': %s", c->host, c->port,
					       strerror(errno));
		}
		bytes = sv_sub(bytes, (size_t)n, bytes.n);
	}
	return 0;
}

/* Bytes read, 0 at the end, -1. */
static ssize_t bconn_read(struct bconn *c, char *p, size_t room, int64_t deadline_ns, struct err *err)
{
	for (;;) {
		ssize_t n;

		if (c->ssl) {
			int r;

			ERR_clear_error();
			errno = 0;
			n = SSL_read(c->ssl, p, (int)room);
			if (n > 0)
				return n;
			r = ssl_wait(c, (int)n, deadline_ns, "reading from", err);
			if (r <= 0)
				return r;
			continue;
		}
		n = recv(c->fd, p, room, 0);
		if (n >= 0)
			return n;
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return err_set(err, ERR_UNAVAILABLE, "reading from '%s:%d': %s", c->host, c->port,
				       strerror(errno));
		if (bconn_wait(c, POLLIN, deadline_ns, "reading from", err) < 0)
			return -1;
	}
}

/* --- the pool --- */

struct http_pool *http_pool_new(void)
{
	struct http_pool *p = xcalloc(1, sizeof(*p));

	pthread_mutex_init(&p->lock, NULL);
	list_init(&p->idle);
	p->stop_fd = -1;
	return p;
}

void http_pool_until(struct http_pool *p, int stop_fd)
{
	p->stop_fd = stop_fd;
}

struct http_pool *http_pool_free(struct http_pool *p)
{
	if (!p)
		return NULL;
	LIST_EACH(&p->idle, it)
		bconn_free(LIST_ENTRY(it, struct bconn, link));
	pthread_mutex_destroy(&p->lock);
	free(p);
	return NULL;
}

static bool leads_to(const struct bconn *c, const struct http_endpoint *ep)
{
	return c->port == ep->port && c->tls == ep->tls && strcmp(c->host, ep->host) == 0 &&
	       sv_eq(sv_from(c->server_name), sv_from(ep->server_name)) &&
	       sv_eq(sv_from(c->peer_name), sv_from(ep->peer_name));
}

/* A kept connection to ep that still looks alive, or NULL. */
static struct bconn *pool_take(struct http_pool *p, const struct http_endpoint *ep)
{
	for (;;) {
		struct bconn *c = NULL;

		pthread_mutex_lock(&p->lock);
		LIST_EACH(&p->idle, it) {
			if (!c && leads_to(LIST_ENTRY(it, struct bconn, link), ep)) {
				c = LIST_ENTRY(it, struct bconn, link);
				list_del(&c->link);
				p->n_idle--;
			}
		}
		pthread_mutex_unlock(&p->lock);
		if (!c)
			return NULL;
		/* Readable while idle means closed, or saying what nobody asked for. */
		if (sock_now_ns() - c->idle_since_ns < IDLE_S * NS_PER_SEC && sock_wait(c->fd, POLLIN, 0) == 0)
			return c;
		bconn_free(c);
	}
}

static void pool_put(struct http_pool *p, struct bconn *c)
{
	struct list drop;
	int64_t now = sock_now_ns();
	int same = 0;

	list_init(&drop);
	c->idle_since_ns = now;
	pthread_mutex_lock(&p->lock);
	list_add_head(&p->idle, &c->link);
	p->n_idle++;
	LIST_EACH(&p->idle, it) {
		struct bconn *k = LIST_ENTRY(it, struct bconn, link);
		bool twin = k->port == c->port && k->tls == c->tls && strcmp(k->host, c->host) == 0;

		same += twin;
		if (now - k->idle_since_ns >= IDLE_S * NS_PER_SEC || (twin && same > IDLE_PER_ENDPOINT_MAX)) {
			list_del(&k->link);
			list_add_tail(&drop, &k->link);
			p->n_idle--;
		}
	}
	if (p->n_idle > IDLE_MAX) {
		struct list *last = p->idle.prev;

		list_del(last);
		list_add_tail(&drop, last);
		p->n_idle--;
	}
	pthread_mutex_unlock(&p->lock);
	LIST_EACH(&drop, it)
		bconn_free(LIST_ENTRY(it, struct bconn, link));
}

/* --- calls --- */

/* One exchange on c; w is what came of a response, also after a failure. */
static int exchange(struct bconn *c, struct http_wire *w, struct sv request, int64_t deadline_ns,
		    int64_t body_deadline_ns, struct err *err)
{
	char piece[READ_N];
	size_t left = 0;

	if (bconn_write(c, request, deadline_ns, err) < 0)
		return -1;
	while (!w->complete && !w->stopped) {
		ssize_t n = bconn_read(c, piece, sizeof(piece), w->has_head ? body_deadline_ns : deadline_ns, err);
		ssize_t used;

		if (n < 0)
			return -1;
		if (n == 0) {
			w->keep_alive = false;
			return http_wire_eof(w, err);
		}
		used = http_wire_feed(w, sv_make(piece, (size_t)n), err);
		if (used < 0)
			return -1;
		left = (size_t)(n - used);
	}
	if (left > 0 || w->stopped)
		w->keep_alive = false; /* more than was asked for: not to be trusted again */
	return 0;
}

struct whole {
	struct buf body;
	bool too_large;
};

static int whole_data(struct sv bytes, void *ctx)
{
	struct whole *b = ctx;

	buf_addsv(&b->body, bytes);
	b->too_large = b->body.overflow;
	return b->too_large;
}

static struct http_response response_copy(struct arena *a, const struct http_response *r, struct sv body)
{
	struct http_response out = { .status = r->status, .n_headers = r->n_headers };

	out.headers = ARENA_ARRAY(a, struct http_header, r->n_headers + 1);
	for (size_t i = 0; i < r->n_headers; i++)
		out.headers[i] =
		    (struct http_header){ arena_sv(a, r->headers[i].name), arena_sv(a, r->headers[i].value) };
	out.body = arena_sv(a, body);
	return out;
}

int http_call(struct http_pool *p, struct arena *a, const struct http_endpoint *ep, const char *method,
	      const char *target, const struct http_header *headers, size_t n_headers, struct sv body,
	      int64_t timeout_ns, size_t max_body, struct http_response *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT;
	int64_t deadline_ns = sock_deadline(timeout_ns);

	if (http_wire_request(&request, ep, method, target, headers, n_headers, body, err) < 0)
		return -1;
	for (bool again = false;; again = true) {
		_cleanup_(err_release) struct err failed = ERR_INIT;
		_cleanup_(bconn_freep) struct bconn *c = again ? NULL : pool_take(p, ep);
		_cleanup_(http_wire_release) struct http_wire w;
		struct whole whole = { .body.limit = max_body + 1 }; /* 0 would mean no limit */
		bool kept = c != NULL;
		int r = -1;

		http_wire_init(&w, method, NULL, whole_data, &whole);
		if (!c)
			c = bconn_new(ep, p->stop_fd, deadline_ns, &failed);
		if (c)
			r = exchange(c, &w, buf_sv(&request), deadline_ns, deadline_ns, &failed);
		if (r == 0 && (whole.too_large || whole.body.n > max_body))
			r = err_set(&failed, ERR_TOO_LARGE, "response of '%s:%d' is longer than %zu bytes", ep->host,
				    ep->port, max_body);
		else if (r == 0)
			*ret = response_copy(a, &w.head, buf_sv(&whole.body));
		buf_release(&whole.body);
		if (r == 0) {
			if (w.keep_alive)
				pool_put(p, TAKE(c));
			return 0;
		}
		/* The server may close a kept connection just when it is used again: nothing was
		 * answered, so the request goes out once more on a new one. */
		if (!kept || w.began || failed.reason != ERR_UNAVAILABLE)
			return err_move(err, &failed);
	}
}

struct streaming {
	int (*head)(const struct http_response *head, void *ctx);
	int (*data)(struct sv bytes, void *ctx);
	void *ctx;
};

static int streaming_head(const struct http_response *head, void *ctx)
{
	struct streaming *s = ctx;

	return s->head ? s->head(head, s->ctx) : 0;
}

static int streaming_data(struct sv bytes, void *ctx)
{
	struct streaming *s = ctx;

	return s->data(bytes, s->ctx);
}

int http_call_stream(struct arena *a, const struct http_endpoint *ep, const char *method, const char *target,
		     const struct http_header *headers, size_t n_headers, struct sv body, int64_t connect_timeout_ns,
		     int (*head)(const struct http_response *head, void *ctx), int (*data)(struct sv bytes, void *ctx),
		     void *ctx, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT;
	_cleanup_(bconn_freep) struct bconn *c = NULL;
	_cleanup_(http_wire_release) struct http_wire w = { 0 };
	struct streaming s = { head, data, ctx };
	int64_t deadline_ns = sock_deadline(connect_timeout_ns);

	(void)a; /* the head lives in the exchange's own arena, until the end of the call */
	if (http_wire_request(&request, ep, method, target, headers, n_headers, body, err) < 0)
		return -1;
	c = bconn_new(ep, -1, deadline_ns, err);
	if (!c)
		return -1;
	http_wire_init(&w, method, streaming_head, streaming_data, &s);
	return exchange(c, &w, buf_sv(&request), deadline_ns, SOCK_NO_DEADLINE, err);
}
