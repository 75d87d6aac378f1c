/* Streams: sockets under uv_poll_t, and OpenSSL between them and the caller.
 *
 * Out: the caller's bytes wait in a list of 16 KiB nodes. Before the loop sleeps, each touched
 * stream is flushed: nodes are encrypted, a record each, into a buffer shared by the loop's
 * streams, and that goes to the kernel with one send(). What the kernel refuses is copied into
 * the stream's own `pend`, and nothing more is encrypted until it is gone; so an idle stream
 * owns no buffer at all, and a blocked one at most a batch.
 *
 * In: recv() into a shared buffer, from which OpenSSL reads through a BIO of ours. A stream
 * that is paused half-way keeps a copy of the rest.
 *
 * Callbacks may write, pause, close and abort at will: writing never flushes in place, and
 * closing only marks and lets libuv call back.
 */
#include "net/stream-internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 * 1024)
#define CIPHER_BATCH ((size_t)128 * 1024)
#define TURN_MAX ((size_t)128 * 1024)	 /* sent in one go before others get a turn */
#define BULK_NS (5 * NS_PER_MS)		 /* of a loop's turn for those with much to send: others come and go between */
#define CLOSE_STALL_NS (10 * NS_PER_SEC) /* a closing peer that takes nothing */
#define LINGER_NS (2 * NS_PER_SEC)	 /* a closed one that does not close */

static void stream_flush(struct stream *s);
static void stream_tls_in(struct stream *s);

/* --- what a loop's streams share --- */

static int64_t clock_ns(void)
{
	return (int64_t)uv_hrtime();
}

bool stream_turn_over(struct stream *s)
{
	struct stream_loop *sl = s->sl;
	int64_t now;

	if (sl->bulk_first) {
		sl->bulk_first = false;
		return false;
	}
	now = clock_ns();
	if (!sl->bulk_until_ns)
		sl->bulk_until_ns = now + BULK_NS;
	s->held = now >= sl->bulk_until_ns;
	return s->held;
}

/* Streams that have had a turn and are not done, in turn, until the time is over; something of one in any case. */
static void stream_loop_bulk(struct stream_loop *sl)
{
	struct stream *s;

	sl->bulk_first = true;
	while ((s = stream_bulk_take(sl))) {
		stream_flush(s);
		if (!sl->bulk_until_ns)
			sl->bulk_until_ns = clock_ns() + BULK_NS;
		else if (clock_ns() >= sl->bulk_until_ns)
			break;
	}
	sl->bulk_first = false;
}

static void stream_loop_before_poll(void *p)
{
	struct stream_loop *sl = p;
	struct list now;

	if (list_empty(&sl->dirty) && list_empty(&sl->bulk))
		return;
	sl->bulk_until_ns = 0;
	/* A stream touched while another is flushed gets its turn as well, but one that touches
	 * itself again waits for the next: moved over, the list cannot grow under us for ever. */
	for (int round = 0; round < 4 && !list_empty(&sl->dirty); round++) {
		list_init(&now);
		now.next = sl->dirty.next;
		now.prev = sl->dirty.prev;
		now.next->prev = &now;
		now.prev->next = &now;
		list_init(&sl->dirty);
		while (!list_empty(&now)) {
			struct stream *s = LIST_ENTRY(now.next, struct stream, dirty);

			list_del(&s->dirty);
			stream_flush(s);
		}
	}
	stream_loop_bulk(sl);
	/* Somebody is left: do not sleep. */
	if (!list_empty(&sl->dirty) || !list_empty(&sl->bulk))
		uv_async_send(&sl->loop->wake);
}

static void stream_loop_free(void *p)
{
	struct stream_loop *sl = p;

	while (!list_empty(&sl->all)) {
		LIST_EACH(&sl->all, it)
			stream_abort(LIST_ENTRY(it, struct stream, link));
		uv_run(&sl->loop->uv, UV_RUN_ONCE);
	}
	ev_timer_stop(sl->look);
	while (sl->spare) {
		struct out_node *n = sl->spare;

		sl->spare = n->next;
		free(n);
	}
	buf_release(&sl->cipher);
	strmap_release(&sl->owners);
	free(sl->rbuf);
	free(sl->plain);
	sl->loop->net.state = NULL;
	sl->loop->net.before_poll = NULL;
	free(sl);
}

struct stream_loop *stream_loop_get(struct ev_loop *l)
{
	struct stream_loop *sl = l->net.state;

	if (sl)
		return sl;
	sl = xcalloc(1, sizeof(*sl));
	sl->loop = l;
	list_init(&sl->dirty);
	list_init(&sl->bulk);
	list_init(&sl->all);
	sl->rbuf = xmalloc(READ_BYTES);
	sl->plain = xmalloc(NODE_BYTES);
	l->net.state = sl;
	l->net.before_poll = stream_loop_before_poll;
	l->net.free = stream_loop_free;
	return sl;
}

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

static void stream_close_now(struct stream *s)
{
	if (s->closing)
		return;
	s->closing = true;
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

static void stream_fail_errno(struct stream *s, int errnum, const char *what)
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

/* --- sending --- */

/* One send() of n bytes. Returns what the kernel took; a failure has closed the stream. */
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
		stream_fail_errno(s, errno, "sending");
	return 0;
}

/* Sends what OpenSSL has just written; the rest becomes pend. */
static void stream_send_cipher(struct stream *s)
{
	struct buf *c = &s->sl->cipher;
	size_t done = 0;

	if (s->closing || c->n == 0) {
		buf_clear(c);
		return;
	}
	if (s->pend.n == 0)
		done = stream_send(s, c->p, c->n);
	if (!s->closing && done < c->n) {
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
	if (s->pend.n == 0)
		return true;
	s->pend.off += stream_send(s, s->pend.p + s->pend.off, s->pend.n - s->pend.off);
	if (s->closing || s->pend.off < s->pend.n)
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
			stream_fail_errno(s, errno, "sending");
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
	s->timer = ev_timer_stop(s->timer);
	s->timer =
	    ev_timer_start(s->sl->loop, s->patience_ns ? s->patience_ns : LINGER_NS, 0, stream_on_close_timer, s);
}

static void stream_flush(struct stream *s)
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

	while (!s->closing && stream_send_pend(s)) {
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
			if (!s->closing)
				stream_bulk(s);
			break;
		}
	}
	if (s->closing)
		return;
	if (s->ready && !s->out && !s->pend.n) {
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

	if (stream_closing(s) || !total)
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

	if (stream_closing(s) || chunk->data.n < NODE_BYTES / 2) {
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
	if (stream_closing(s) || s->wanted)
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

/* --- receiving --- */

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
static void stream_tls_in(struct stream *s)
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
			s->timer = ev_timer_stop(s->timer);
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

static void stream_receive(struct stream *s)
{
	struct stream_loop *sl = s->sl;

	for (int i = 0; i < 4; i++) {
		ssize_t r = recv(s->fd, sl->rbuf, READ_BYTES, 0);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				stream_fail_errno(s, errno, "receiving");
			return;
		}
		if (r == 0) {
			stream_on_eof(s);
			return;
		}
		if (s->ssl) {
			s->in.p = sl->rbuf;
			s->in.n = (size_t)r;
			stream_tls_in(s);
		} else if (!s->shutting) {
			s->cb->data(s, sv_make(sl->rbuf, (size_t)r), s->ctx);
		}
		if (s->closing || s->eof || s->paused || (size_t)r < READ_BYTES)
			return;
	}
}

/* The poller says "error" and no more, in whatever words of its own: what it is the socket knows, and may have bytes
 * from before it. */
static void stream_on_error(struct stream *s)
{
	socklen_t n = sizeof(int);
	int errnum = 0;

	if ((s->ready || s->ssl) && !s->in.saved && !s->paused)
		stream_receive(s); /* until there is no more, which says why: that consumes the socket's error */
	if (s->closing)
		return;
	if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &n) < 0 || errnum == 0)
		errnum = ECONNRESET;
	stream_fail_errno(s, errnum, "connection");
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
		stream_receive(s);
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
