/* Out: the caller's bytes wait in a list of 16 KiB nodes. Flushed, they are encrypted, a record each, into a buffer
 * shared by the loop's streams, and that goes to the kernel with one send(). What the kernel refuses is copied into the
 * stream's own `pend`, and nothing more is encrypted until it is gone; so an idle stream owns no buffer at all, and a
 * blocked one at most a batch. */
#include "net/stream-internal.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CIPHER_BATCH ((size_t)128 * 1024)
#define TURN_MAX ((size_t)128 * 1024) /* sent in one go before others get a turn */

/* Sending failed. What the peer said before may still be here and say why, as the answer of a server that did not want
 * all of a request and has closed: who dialled is told that, and then the end. A client that is gone is not heard out.
 */
static void stream_break(struct stream *s, int errnum)
{
	if (!s->dialled || !s->ready || s->shutting || (errnum != EPIPE && errnum != ECONNRESET)) {
		stream_fail_errno(s, errnum, "sending");
		return;
	}
	s->broken = errnum;
	s->over = s->wanted = s->held = false;
	stream_drop_out(s);
}

/* One send() of n bytes. Returns what the kernel took; a failure has closed or broken the stream. */
static size_t stream_send(struct stream *s, const char *p, size_t n)
{
	ssize_t r;

	do
		r = send(s->fd, p, n, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r >= 0) {
		s->sent += (size_t)r;
		return (size_t)r;
	}
	if (errno != EAGAIN && errno != EWOULDBLOCK)
		stream_break(s, errno);
	return 0;
}

/* Sends what OpenSSL has just written; the rest becomes pend. */
void stream_send_cipher(struct stream *s)
{
	struct buf *c = &s->sl->cipher;
	size_t done = 0;

	if (s->closing || s->broken || c->n == 0) {
		buf_clear(c);
		return;
	}
	if (s->pend.n == 0)
		done = stream_send(s, c->p, c->n);
	if (!s->closing && !s->broken && done < c->n) {
		size_t had = s->pend.n - s->pend.off, rest = c->n - done;
		char *p = xmalloc(had + rest);

		if (had)
			memcpy(p, s->pend.p + s->pend.off, had);
		memcpy(p + had, c->p + done, rest);
		free(s->pend.p);
		s->pend.p = p;
		s->pend.off = 0;
		s->pend.n = had + rest;
	}
	buf_clear(c);
	/* One odd huge batch must not stay. */
	if (c->cap > 2 * CIPHER_BATCH)
		buf_release(c);
}

static bool stream_send_pend(struct stream *s) /* true: none left */
{
	size_t n;

	if (s->pend.n == 0)
		return true;
	n = stream_send(s, s->pend.p + s->pend.off, s->pend.n - s->pend.off);
	if (s->closing || s->broken)
		return false;
	s->pend.off += n;
	if (s->pend.off < s->pend.n)
		return false;
	free(s->pend.p);
	s->pend.p = NULL;
	s->pend.off = s->pend.n = 0;
	return true;
}

/* Encrypts a batch of the queue. */
static void stream_encrypt(struct stream *s)
{
	while (s->out && s->sl->cipher.n < CIPHER_BATCH) {
		struct out_node *o = s->out;
		int r;

		ERR_clear_error();
		r = SSL_write(s->ssl, o->p + o->off, (int)MIN(o->n - o->off, NODE_BYTES));
		if (r <= 0) {
			struct err e = ERR_INIT;

			(void)tls_err(&e, NULL, ERR_UNAVAILABLE, "encrypting");
			stream_fail(s, &e);
			return;
		}
		stream_sent(s, (size_t)r);
	}
}

static bool stream_send_plain(struct stream *s) /* true: the kernel took all it was offered */
{
	struct iovec iov[32];
	struct msghdr m = { .msg_iov = iov };
	size_t total = 0;
	ssize_t r;

	for (struct out_node *o = s->out; o && m.msg_iovlen < ARRAY_LEN(iov); o = o->next) {
		iov[m.msg_iovlen].iov_base = (void *)(uintptr_t)(o->p + o->off);
		iov[m.msg_iovlen++].iov_len = o->n - o->off;
		total += o->n - o->off;
	}
	do
		r = sendmsg(s->fd, &m, MSG_NOSIGNAL);
	while (r < 0 && errno == EINTR);
	if (r < 0) {
		if (errno != EAGAIN && errno != EWOULDBLOCK)
			stream_break(s, errno);
		return false;
	}
	s->sent += (size_t)r;
	stream_sent(s, (size_t)r);
	return (size_t)r == total;
}

/* Everything is sent: now our end of the connection. */
static void stream_shut(struct stream *s)
{
	if (!s->shut) {
		s->shut = true;
		if (s->ssl) {
			ERR_clear_error();
			(void)SSL_shutdown(s->ssl);
			stream_send_cipher(s);
			if (s->closing)
				return;
		}
	}
	if (s->pend.n)
		return;
	if (s->eof) {
		stream_close_now(s);
		return;
	}
	/* Closing now, with bytes of the peer unread, would make the kernel reset the connection
	 * and throw away what we sent. */
	(void)shutdown(s->fd, SHUT_WR);
	stream_linger(s);
}

void stream_flush(struct stream *s)
{
	size_t start = (size_t)s->sent;

	if (s->closing || !s->connected)
		return;
	s->held = false;
	if (!s->ready && !s->ssl) {
		s->ready = true;
		s->cb->ready(s, s->ctx);
	}
	/* Input that was left while paused. */
	if (s->in.saved && !s->paused && !s->closing)
		stream_tls_in(s);

	while (!s->closing && !s->broken && stream_send_pend(s)) {
		if (!s->ready)
			break;
		if (s->wanted && s->queued < STREAM_QUEUE_MAX && !s->shutting) {
			s->wanted = false;
			s->cb->pull(s, s->ctx);
			if (s->closing)
				break;
		}
		if (!s->out) {
			if (s->held)
				stream_bulk(s);
			break;
		}
		if (!s->ssl) {
			if (!stream_send_plain(s))
				break;
		} else {
			stream_encrypt(s);
			stream_send_cipher(s);
		}
		if (s->held || (size_t)s->sent - start > TURN_MAX) {
			if (!s->closing && !s->broken)
				stream_bulk(s);
			break;
		}
	}
	if (s->broken && s->shutting)
		stream_close_now(s);
	if (s->closing)
		return;
	if (s->ready && !s->broken && !s->out && !s->pend.n) {
		if (s->over) {
			s->over = false;
			if (s->cb->drain)
				s->cb->drain(s, s->ctx);
		}
		if (s->shutting && !s->out && !s->closing && !(s->shut && s->timer))
			stream_shut(s);
	}
	stream_update(s);
}

size_t stream_queued(const struct stream *s)
{
	return s->queued + (s->pend.n - s->pend.off);
}

uint64_t stream_sent_bytes(const struct stream *s)
{
	return s->sent;
}

static void stream_wrote(struct stream *s, size_t n)
{
	s->queued += n;
	if (stream_queued(s) > STREAM_QUEUE_MAX) /* as its writers are told: with what is encrypted */
		s->over = true;
	/* While pend blocks, the event that frees it also flushes us. */
	if (!s->pend.n)
		stream_touch(s);
}

size_t stream_write(struct stream *s, struct sv bytes)
{
	size_t total = bytes.n;

	if (stream_closing(s) || s->broken || !total)
		return stream_queued(s);
	while (bytes.n) {
		struct out_node *o = s->out_tail;
		size_t take;

		if (!o || o->n == o->cap || !o->cap) {
			o = stream_node_new(s->sl);
			stream_push_node(s, o);
		}
		take = MIN(bytes.n, o->cap - o->n);
		memcpy(o->data + o->n, bytes.p, take);
		o->n += take;
		bytes.p += take;
		bytes.n -= take;
	}
	stream_wrote(s, total);
	return stream_queued(s);
}

size_t stream_write_chunk(struct stream *s, const struct http_chunk *chunk)
{
	struct out_node *o;

	if (stream_closing(s) || s->broken || chunk->data.n < NODE_BYTES / 2) {
		stream_write(s, chunk->data);
		if (chunk->release)
			chunk->release(chunk->owner);
		return stream_queued(s);
	}
	o = xcalloc(1, sizeof(*o));
	o->p = chunk->data.p;
	o->n = chunk->data.n;
	o->release = chunk->release;
	o->owner = chunk->owner;
	stream_push_node(s, o);
	stream_wrote(s, chunk->data.n);
	return stream_queued(s);
}

void stream_want(struct stream *s)
{
	if (stream_closing(s) || s->broken || s->wanted)
		return;
	s->wanted = true;
	if (!s->pend.n)
		stream_touch(s);
}

void stream_send_now(struct stream *s)
{
	if (s->closing || list_empty(&s->dirty) || !list_empty(&s->owner->streams))
		return; /* nothing to send, or more than has its turn now */
	list_del(&s->dirty);
	stream_flush(s);
}
