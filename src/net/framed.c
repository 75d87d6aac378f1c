#include "net/framed.h"

#include "ev/ev-internal.h"
#include "ev/limit.h"
#include "net/sock.h"
#include "net/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define ACCEPTS_A_TURN 32
#define LOOK_NS NS_PER_SEC
#define QUEUED_MAX ((size_t)256 * 1024) /* that a peer does not take */

/* Whole messages at the front of b; *ret_n: bytes of the first one with its length. False: not all of it is there. */
static bool framed_whole(struct sv b, struct sv *ret)
{
	size_t n;

	if (b.n < 2)
		return false;
	n = (size_t)(uint8_t)b.p[0] << 8 | (uint8_t)b.p[1];
	*ret = sv_sub(b, 2, n);
	return ret->n == n;
}

static void framed_write(struct stream *s, struct sv bytes)
{
	const char head[2] = { (char)(bytes.n >> 8), (char)bytes.n };

	(void)stream_write(s, sv_make(head, 2));
	(void)stream_write(s, bytes);
}

/* --- the server --- */

struct framed_conn {
	struct framed_server *srv;
	struct stream *s;
	struct framed_peer peer;
	struct buf in;
	size_t asked; /* not answered yet */
	int64_t last_ns;
	bool eof, feeding, counts; /* counts: among the server's */
};

struct framed_server {
	struct framed_server_opts o;
	uv_poll_t accept;
	int fd;
	struct framed_conn **conns; /* max_conns places; NULL: free */
	size_t n_conns, refs;	    /* refs: connections whose streams are not closed, and the server itself */
	uint64_t next_id;
	struct ev_timer *look;
	bool closed;
};

static void framed_unref(struct framed_server *s)
{
	if (--s->refs)
		return;
	free(s->conns);
	free(s);
}

/* It has its place no more; the stream may live on for a moment. */
static void framed_leave(struct framed_conn *c)
{
	struct framed_server *s = c->srv;

	if (!c->counts)
		return;
	c->counts = false;
	s->conns[c->peer.id % s->o.max_conns] = NULL;
	if (--s->n_conns == 0)
		s->look = ev_timer_stop(s->look);
}

static void framed_abort(struct framed_conn *c)
{
	framed_leave(c);
	stream_abort(c->s);
}

static struct framed_conn *framed_find(struct framed_server *s, const struct framed_peer *to)
{
	struct framed_conn *c = s->conns[to->id % s->o.max_conns];

	return c && c->peer.id == to->id ? c : NULL;
}

/* Hands over whole messages, as many as may be under way. */
static void framed_feed(struct framed_conn *c)
{
	struct framed_server *s = c->srv;
	size_t used = 0;
	struct sv one;

	if (c->feeding)
		return; /* an answer that came at once; the loop below goes on */
	c->feeding = true;
	while (c->counts && c->asked < s->o.max_asked && stream_queued(c->s) <= STREAM_QUEUE_MAX &&
	       framed_whole(sv_sub(buf_sv(&c->in), used, c->in.n), &one)) {
		used += 2 + one.n;
		c->asked++;
		c->last_ns = ev_loop_now_ns(s->o.loop);
		s->o.asked(s->o.ctx, &c->peer, one);
	}
	c->feeding = false;
	buf_drop_front(&c->in, used);
	if (!c->counts)
		return;
	if (c->eof && c->asked == 0) {
		framed_leave(c);
		stream_close(c->s);
		return;
	}
	/* More than one whole message is never kept: whoever is not read any more waits. */
	stream_pause(c->s, framed_whole(buf_sv(&c->in), &one));
}

static void framed_on_ready(struct stream *st, void *ctx)
{
	(void)st; /* the peer speaks first */
	(void)ctx;
}

static void framed_on_data(struct stream *st, struct sv bytes, void *ctx)
{
	struct framed_conn *c = ctx;

	(void)st;
	if (!c->counts)
		return;
	buf_addsv(&c->in, bytes);
	framed_feed(c);
}

static void framed_on_eof(struct stream *st, void *ctx)
{
	struct framed_conn *c = ctx;

	(void)st;
	c->eof = true;
	framed_feed(c);
}

static void framed_on_drain(struct stream *st, void *ctx)
{
	(void)st;
	framed_feed(ctx);
}

static void framed_on_closed(struct stream *st, const struct err *err, void *ctx)
{
	struct framed_conn *c = ctx;
	struct framed_server *s = c->srv;

	(void)st;
	(void)err; /* a peer that went away is nobody's failure */
	framed_leave(c);
	buf_release(&c->in);
	free(c);
	framed_unref(s);
}

static const struct stream_cb framed_cb = { .ready = framed_on_ready,
					    .data = framed_on_data,
					    .eof = framed_on_eof,
					    .drain = framed_on_drain,
					    .closed = framed_on_closed };

void framed_send(struct framed_server *s, const struct framed_peer *to, struct sv bytes)
{
	struct framed_conn *c = framed_find(s, to);

	if (!c)
		return;
	c->asked--;
	c->last_ns = ev_loop_now_ns(s->o.loop);
	if (stream_queued(c->s) > QUEUED_MAX) {
		framed_abort(c);
		return;
	}
	framed_write(c->s, bytes);
	framed_feed(c);
}

void framed_drop(struct framed_server *s, const struct framed_peer *to)
{
	struct framed_conn *c = framed_find(s, to);

	if (c)
		framed_abort(c);
}

static void framed_look(void *p)
{
	struct framed_server *s = p;
	int64_t now = ev_loop_now_ns(s->o.loop);

	for (size_t i = 0; i < s->o.max_conns; i++)
		if (s->conns[i] && s->conns[i]->asked == 0 && now - s->conns[i]->last_ns >= s->o.idle_ns)
			framed_abort(s->conns[i]);
}

/* A place for one more of addr: a free one, or that of who rests the longest. */
static bool framed_admit(struct framed_server *s, struct ip_addr addr)
{
	struct framed_conn *oldest = NULL;
	size_t same = 0;

	for (size_t i = 0; i < s->o.max_conns; i++) {
		struct framed_conn *c = s->conns[i];

		if (!c)
			continue;
		same += ip_eq(c->peer.addr, addr);
		if (c->asked == 0 && (!oldest || c->last_ns < oldest->last_ns))
			oldest = c;
	}
	if (same >= s->o.max_peer_conns)
		return false;
	if (s->n_conns < s->o.max_conns)
		return true;
	if (oldest)
		framed_abort(oldest);
	return oldest != NULL;
}

static void framed_adopt(struct framed_server *s, int fd, struct ip_addr addr)
{
	struct framed_conn *c = xcalloc(1, sizeof(*c));

	do {
		c->peer.id = s->next_id++;
	} while (s->conns[c->peer.id % s->o.max_conns]);
	s->conns[c->peer.id % s->o.max_conns] = c;
	c->peer.addr = addr;
	c->srv = s;
	c->counts = true;
	c->last_ns = ev_loop_now_ns(s->o.loop);
	if (s->n_conns++ == 0)
		s->look = ev_timer_start(s->o.loop, LOOK_NS, LOOK_NS, framed_look, s);
	s->refs++;
	c->s = stream_accept(s->o.loop, fd, NULL, &framed_cb, c);
}

static bool framed_allowed(struct framed_server *s, int fd, struct ip_addr from)
{
	struct sockaddr_in6 local = { 0 };
	socklen_t n = sizeof(local);

	return !s->o.allowed || (getsockname(fd, (struct sockaddr *)&local, &n) == 0 &&
				 s->o.allowed(s->o.ctx, from, ip_of_sockaddr((struct sockaddr *)&local)));
}

static void framed_on_accept(uv_poll_t *h, int status, int events)
{
	struct framed_server *s = h->data;

	ev_loop_busy(s->o.loop);
	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPTS_A_TURN && !s->closed; i++) {
		struct sockaddr_in6 sa = { 0 };
		socklen_t n = sizeof(sa);
		int fd = accept4(s->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct ip_addr addr;

		if (fd < 0)
			return;
		addr = ip_of_sockaddr((struct sockaddr *)&sa);
		if (!framed_allowed(s, fd, addr) || !framed_admit(s, addr)) {
			close(fd);
			continue;
		}
		framed_adopt(s, fd, addr);
	}
}

static int framed_bind(const char *address, int port, struct err *err)
{
	int fd = sock_bind_tcp(address, port, err), e;

	if (fd < 0 || listen(fd, 64) == 0)
		return fd;
	e = errno;
	close(fd);
	return err_set_errno(err, e, "listening on '%s' port %d", address, port);
}

struct framed_server *framed_listen(const struct framed_server_opts *o, struct err *err)
{
	struct framed_server *s;
	int fd = framed_bind("::", o->port, err), r;

	if (fd < 0)
		return NULL;
	s = xcalloc(1, sizeof(*s));
	s->o = *o;
	s->fd = fd;
	s->refs = 1;
	s->conns = xcalloc(o->max_conns, sizeof(struct framed_conn *));
	r = uv_poll_init(ev_loop_uv(o->loop), &s->accept, fd);
	if (r < 0) {
		(void)err_set_errno(err, -r, "watching for connections");
		close(fd);
		free(s->conns);
		free(s);
		return NULL;
	}
	s->accept.data = s;
	return s;
}

void framed_begin(struct framed_server *s)
{
	BUG_ON(uv_poll_start(&s->accept, UV_READABLE, framed_on_accept) != 0);
}

static void framed_on_gone(uv_handle_t *h)
{
	framed_unref(h->data);
}

struct framed_server *framed_close(struct framed_server *s)
{
	if (!s)
		return NULL;
	s->closed = true;
	uv_poll_stop(&s->accept);
	close(s->fd);
	for (size_t i = 0; i < s->o.max_conns; i++)
		if (s->conns[i])
			framed_abort(s->conns[i]);
	uv_close((uv_handle_t *)&s->accept, framed_on_gone);
	return NULL;
}

/* --- calls --- */

struct framed_call {
	struct stream *s;
	struct ev_limit *limit;
	struct buf in, out;
	void (*got)(struct sv bytes, void *ctx); /* NULL: it was called, or nobody waits any more */
	void *ctx;
	bool ended, closed; /* the memory goes with the later of the two */
};

static void framed_call_gone(struct framed_call *c)
{
	if (!c->ended || !c->closed)
		return;
	buf_release(&c->in);
	buf_release(&c->out);
	free(c);
}

static void framed_call_tell(struct framed_call *c, struct sv bytes)
{
	void (*got)(struct sv bytes, void *ctx) = TAKE(c->got);

	c->limit = ev_limit_stop(c->limit);
	if (got)
		got(bytes, c->ctx);
}

static void framed_call_ready(struct stream *st, void *ctx)
{
	struct framed_call *c = ctx;

	framed_write(st, buf_sv(&c->out));
}

static void framed_call_data(struct stream *st, struct sv bytes, void *ctx)
{
	struct framed_call *c = ctx;
	struct sv one;

	if (!c->got)
		return;
	buf_addsv(&c->in, bytes);
	if (!framed_whole(buf_sv(&c->in), &one))
		return;
	stream_abort(st); /* closed() comes later: c is there until then */
	framed_call_tell(c, one);
}

static void framed_call_closed(struct stream *st, const struct err *err, void *ctx)
{
	struct framed_call *c = ctx;

	(void)st;
	(void)err;
	framed_call_tell(c, SV_NULL);
	c->closed = true;
	framed_call_gone(c);
}

static void framed_call_timeout(void *p)
{
	struct framed_call *c = p;

	stream_abort(c->s);
	framed_call_tell(c, SV_NULL);
}

struct framed_call *framed_call(struct ev_loop *l, struct ip_addr addr, uint16_t port, struct sv bytes,
				int64_t timeout_ns, void (*got)(struct sv bytes, void *ctx), void *ctx)
{
	static const struct stream_cb cb = { .ready = framed_call_ready,
					     .data = framed_call_data,
					     .closed = framed_call_closed };
	struct framed_call *c = xcalloc(1, sizeof(*c));
	const struct ip_text text = ip_text(addr);

	c->got = got;
	c->ctx = ctx;
	buf_addsv(&c->out, bytes);
	c->limit = ev_limit_start(l, timeout_ns, framed_call_timeout, c);
	c->s = stream_connect(l, &(struct stream_target){ .host = text.s, .port = port }, 0, &cb, c);
	return c;
}

struct framed_call *framed_end(struct framed_call *c)
{
	if (!c)
		return NULL;
	c->got = NULL;
	c->limit = ev_limit_stop(c->limit);
	c->ended = true;
	if (!c->closed)
		stream_abort(c->s);
	framed_call_gone(c);
	return NULL;
}
