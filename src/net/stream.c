/* Streams: sockets under uv_poll_t, and OpenSSL between them and the caller: how one comes to be and ends, and what it
 * waits for. Callbacks may write, pause, close and abort at will: writing never flushes in place, and closing only
 * marks and lets libuv call back.
 */
#include "net/stream-internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLOSE_STALL_NS (10 * NS_PER_SEC) /* a closing peer that takes nothing */
#define LINGER_NS (2 * NS_PER_SEC)	 /* a closed one that does not close */

/* --- life --- */

struct stream *stream_new(struct ev_loop *l, const struct stream_cb *cb, void *ctx)
{
	struct stream *s = xcalloc(1, sizeof(*s));

	s->sl = stream_loop_get(l);
	s->cb = cb;
	s->ctx = ctx;
	s->fd = -1;
	list_init(&s->dirty);
	stream_owner_init(s);
	list_add_tail(&s->sl->all, &s->link);
	return s;
}

void stream_finish(struct stream *s)
{
	s->cb->closed(s, s->err.reason ? &s->err : NULL, s->ctx);
	list_del(&s->link);
	stream_owner_release(s);
	stream_dial_free(s);
	SSL_free(s->ssl);
	free(s->in.saved);
	err_release(&s->err);
	free(s);
}

static void stream_on_handle_closed(uv_handle_t *h)
{
	stream_finish(h->data);
}

static void stream_finish_post(void *p)
{
	stream_finish(p);
}

void stream_close_now(struct stream *s)
{
	if (s->closing)
		return;
	s->closing = true;
	s->limit = ev_limit_stop(s->limit);
	s->timer = ev_timer_stop(s->timer);
	list_del(&s->dirty);
	stream_drop_out(s);
	if (s->dial && stream_dial_abort(s))
		return;
	if (s->polled) {
		uv_close((uv_handle_t *)&s->poll, stream_on_handle_closed);
		close(s->fd);
		s->fd = -1;
	} else {
		ev_loop_post(s->sl->loop, stream_finish_post, s);
	}
}

void stream_fail(struct stream *s, struct err *err)
{
	if (!s->closing && !s->err.reason)
		err_move(&s->err, err);
	else
		err_release(err);
	stream_close_now(s);
}

void stream_fail_errno(struct stream *s, int errnum, const char *what)
{
	struct err e = ERR_INIT;

	(void)err_set_errno(&e, errnum, "%s", what);
	e.reason = ERR_UNAVAILABLE;
	stream_fail(s, &e);
}

void stream_abort(struct stream *s)
{
	stream_close_now(s);
}

bool stream_closing(const struct stream *s)
{
	return s->closing || s->shutting;
}

void stream_touch(struct stream *s)
{
	if (!s->closing && s->dirty.next == &s->dirty)
		list_add_tail(&s->sl->dirty, &s->dirty);
}

static void stream_on_close_timer(void *p)
{
	struct stream *s = p;

	if (s->shut || s->sent == s->sent_seen)
		stream_close_now(s);
	s->sent_seen = s->sent;
}

void stream_linger(struct stream *s)
{
	s->timer = ev_timer_stop(s->timer);
	s->timer =
	    ev_timer_start(s->sl->loop, s->patience_ns ? s->patience_ns : LINGER_NS, 0, stream_on_close_timer, s);
}

void stream_close_patiently(struct stream *s, int64_t ns)
{
	s->patience_ns = ns;
	stream_close(s);
}

void stream_close(struct stream *s)
{
	if (s->closing || s->shutting)
		return;
	if (!s->ready) {
		stream_close_now(s);
		return;
	}
	s->shutting = true;
	s->wanted = false;
	s->timer = ev_timer_stop(s->timer);
	s->timer = s->patience_ns
		       ? ev_timer_start(s->sl->loop, s->patience_ns, s->patience_ns, stream_on_close_timer, s)
		       : ev_timer_start(s->sl->loop, CLOSE_STALL_NS, CLOSE_STALL_NS, stream_on_close_timer, s);
	s->sent_seen = s->sent;
	stream_touch(s);
}

/* --- polling --- */

static void stream_on_poll(uv_poll_t *h, int status, int events);

void stream_update(struct stream *s)
{
	int want = 0;

	if (s->closing || !s->polled)
		return;
	if (!s->connected) {
		want = UV_WRITABLE;
	} else {
		/* Until the handshake is over we always listen; after stream_close() too, for the end. */
		if (!s->eof && (!s->paused || !s->ready || s->shutting))
			want |= UV_READABLE;
		/* A queue that has its turn before the loop sleeps needs no event. */
		if (s->pend.n || ((s->out || s->wanted) && s->ready && list_empty(&s->dirty)))
			want |= UV_WRITABLE;
	}
	if (want == s->polling)
		return;
	s->polling = want;
	if (want)
		BUG_ON(uv_poll_start(&s->poll, want, stream_on_poll) != 0);
	else
		uv_poll_stop(&s->poll);
}

static void stream_on_poll(uv_poll_t *h, int status, int events)
{
	struct stream *s = h->data;

	ev_loop_busy(s->sl->loop);
	if (s->closing)
		return;
	if (!s->connected) {
		stream_dial_event(s);
		return;
	}
	if (status < 0) {
		stream_on_error(s);
		return;
	}
	if (!s->ready && !s->ssl) {
		/* data() never comes before ready() */
		s->ready = true;
		s->cb->ready(s, s->ctx);
	}
	/* With saved input the stream is, or just was, paused: its turn comes with the flush. */
	if (!s->closing && (events & UV_READABLE) && !s->in.saved)
		(void)stream_receive(s);
	if (!s->closing && (events & UV_WRITABLE)) {
		if (!s->wanted)
			stream_flush(s);
		else if (list_empty(&s->dirty)) /* it had its turn, and the kernel took no more: so it is much */
			stream_bulk(s);
	}
	stream_update(s);
}

void stream_pause(struct stream *s, bool paused)
{
	if (s->closing || s->paused == paused)
		return;
	s->paused = paused;
	if (!paused && s->in.saved)
		stream_touch(s);
	stream_update(s);
}

void stream_poll_start(struct stream *s, int fd)
{
	int r;

	s->fd = fd;
	s->polling = 0;
	r = uv_poll_init(&s->sl->loop->uv, &s->poll, fd);
	if (r < 0) {
		close(fd);
		s->fd = -1;
		stream_fail_errno(s, -r, "watching a socket");
		return;
	}
	s->poll.data = s;
	s->polled = true;
	stream_update(s);
}

void stream_connected(struct stream *s)
{
	s->connected = true;
	stream_peer_watch(s);
	if (s->ssl) {
		stream_tls_in(s); /* a client speaks first */
	} else {
		stream_dial_free(s);
		stream_touch(s); /* ready() comes from there */
	}
	stream_update(s);
}

struct stream *stream_accept(struct ev_loop *l, int fd, struct tls_ctx *tls, const struct stream_cb *cb, void *ctx)
{
	struct stream *s = stream_new(l, cb, ctx);

	if (tls) {
		if (stream_tls_start(s, tls) < 0) {
			close(fd);
			stream_close_now(s);
			return s;
		}
		SSL_set_accept_state(s->ssl);
	}
	s->connected = true;
	stream_poll_start(s, fd);
	if (!s->closing)
		stream_peer_watch(s);
	if (!tls)
		stream_touch(s);
	return s;
}

/* --- answers --- */

struct ev_loop *stream_loop(const struct stream *s)
{
	return s->sl->loop;
}

void *stream_ssl(const struct stream *s)
{
	return s->ssl;
}

struct sv stream_alpn(const struct stream *s)
{
	const unsigned char *p = NULL;
	unsigned int n = 0;

	if (s->ssl)
		SSL_get0_alpn_selected(s->ssl, &p, &n);
	return sv_make((const char *)p, n);
}

struct sv stream_peer_address(const struct stream *s, struct arena *a)
{
	struct sockaddr_storage ss = { 0 };
	socklen_t n = sizeof(ss);
	char text[INET6_ADDRSTRLEN];

	if (s->fd < 0 || getpeername(s->fd, (struct sockaddr *)&ss, &n) < 0)
		return SV_NULL;
	if (ss.ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;

		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
		return arena_svf(a, "%s:%u", text, ntohs(in->sin_port));
	}
	if (ss.ss_family == AF_INET6) {
		const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&ss;

		/* A dual-stack socket's IPv4 peers look as they do elsewhere. */
		if (IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) {
			inet_ntop(AF_INET, in->sin6_addr.s6_addr + 12, text, sizeof(text));
			return arena_svf(a, "%s:%u", text, ntohs(in->sin6_port));
		}
		inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof(text));
		return arena_svf(a, "[%s]:%u", text, ntohs(in->sin6_port));
	}
	return SV("@");
}
