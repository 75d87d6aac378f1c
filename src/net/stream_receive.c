/* In: recv() into a buffer shared by the loop's streams, from which OpenSSL reads through a BIO of ours. A stream that
 * is paused half-way keeps a copy of the rest. */
#include "net/stream-internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>

static void stream_on_eof(struct stream *s)
{
	if (s->eof || s->closing)
		return;
	s->eof = true;
	if (s->shut)
		stream_close_now(s);
	else if (s->shutting)
		stream_touch(s);
	else if (!s->ready)
		stream_close_now(s);
	else if (s->broken)
		stream_fail_errno(s, s->broken, "sending");
	else if (s->cb->eof)
		s->cb->eof(s, s->ctx);
	else
		stream_close(s);
}

static void stream_tls_failed(struct stream *s)
{
	struct err e = ERR_INIT;

	(void)tls_err(&e, s->ready ? NULL : s->ssl, ERR_UNAVAILABLE, s->ready ? "TLS" : "TLS handshake");
	stream_send_cipher(s); /* the alert */
	stream_fail(s, &e);
}

/* Keeps input that nobody reads now; s->in points into rbuf or into an older copy. */
static void stream_save_input(struct stream *s)
{
	char *old = s->in.saved;

	s->in.saved = s->in.n ? xmemdup(s->in.p, s->in.n) : NULL;
	s->in.p = s->in.saved;
	free(old);
}

/* Feeds s->in to OpenSSL: handshake first, then records to data(). */
void stream_tls_in(struct stream *s)
{
	int r = 1;

	if (!s->ready) {
		ERR_clear_error();
		r = SSL_do_handshake(s->ssl);
		if (r == 1) {
			/* Our last flight goes first, whatever ready() does. */
			stream_send_cipher(s);
			if (s->closing)
				return;
			s->ready = true;
			s->limit = ev_limit_stop(s->limit);
			stream_dial_free(s);
			stream_touch(s);
			s->cb->ready(s, s->ctx);
		} else if (SSL_get_error(s->ssl, r) != SSL_ERROR_WANT_READ) {
			stream_tls_failed(s);
			return;
		}
	}
	while (r > 0 && !s->closing && !s->eof && (!s->paused || s->shutting)) {
		ERR_clear_error();
		r = SSL_read(s->ssl, s->sl->plain, (int)NODE_BYTES);
		if (r > 0) {
			if (!s->shutting)
				s->cb->data(s, sv_make(s->sl->plain, (size_t)r), s->ctx);
			continue;
		}
		switch (SSL_get_error(s->ssl, r)) {
		case SSL_ERROR_WANT_READ:
			break;
		case SSL_ERROR_ZERO_RETURN:
			stream_on_eof(s);
			break;
		default:
			stream_tls_failed(s);
			return;
		}
	}
	if (s->closing) {
		buf_clear(&s->sl->cipher);
		return;
	}
	stream_send_cipher(s);
	stream_save_input(s);
}

bool stream_receive(struct stream *s)
{
	struct stream_loop *sl = s->sl;

	for (int i = 0; i < 4; i++) {
		ssize_t r = recv(s->fd, sl->rbuf, STREAM_READ_BYTES, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				stream_fail_errno(s, errno, "receiving");
			return false;
		}
		if (r == 0) {
			stream_on_eof(s);
			return false;
		}
		if (s->ssl) {
			s->in.p = sl->rbuf;
			s->in.n = (size_t)r;
			stream_tls_in(s);
		} else if (!s->shutting) {
			s->cb->data(s, sv_make(sl->rbuf, (size_t)r), s->ctx);
		}
		if (s->closing || s->eof || s->paused || (size_t)r < STREAM_READ_BYTES)
			return false;
	}
	return true;
}

/* The poller says "error" and no more, in whatever words of its own: what it is the socket knows, and may have bytes
 * from before it. */
void stream_on_error(struct stream *s)
{
	socklen_t n = sizeof(int);
	int errnum = 0;

	/* Until there is no more, which says why: that consumes the socket's error. */
	while ((s->ready || s->ssl) && !s->closing && !s->in.saved && !s->paused && stream_receive(s))
		continue;
	if (s->closing)
		return;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0 || errnum == 0)
		errnum = ECONNRESET;
	stream_fail_errno(s, errnum, "connection");
}
