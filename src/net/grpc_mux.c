/* A call is a stream of nghttp2's; the session's callbacks find it by the stream's user data. One that was cancelled or
 * has ended stays, dead, until nghttp2 lets go of its stream, as a callback of it may be under way. */
#include "net/grpc_mux.h"

#include "base/list.h"
#include "ev/limit.h"
#include "net/stream.h"

#include <nghttp2/nghttp2.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define CONN_WINDOW (16 * 1024 * 1024) /* of all calls together */

struct grpc_mux {
	struct ev_loop *loop;
	struct stream *stream;
	nghttp2_session *h2;
	struct grpc_mux_cb cb;
	void *ctx;
	struct tls_ctx *tls;
	char *authority;
	struct list calls; /* all whose streams are open, dead ones too */
	struct ev_timer *tick;
	int64_t ping_ns, ping_timeout_ns;
	int64_t heard_ns, ping_due_ns; /* ping_due_ns 0: no ping is under way */
	size_t message_max;
	struct err why; /* what went wrong up here */
	struct ev_pace pace;
	int64_t up_due_ns; /* by pace, as deadlines are */
	bool is_up;	   /* up() was called: the peer has said its first words */
	bool closing;	   /* by us: nothing is wrong */
};

struct grpc_call {
	struct list link;
	struct grpc_mux *m;
	struct grpc_call_cb cb;
	void *ctx;
	int32_t id;
	struct buf out; /* with prefixes */
	size_t sent;
	bool out_last; /* nothing comes behind what is in out */
	bool deferred;
	struct buf in;
	size_t owed; /* bytes whose window has not been given back */
	bool held, begun, dead;
	struct grpc_answer answer;
	int64_t deadline_ns; /* by pace; 0: none */
};

/* --- calls --- */

static void mux_call_free(struct grpc_call *c)
{
	list_del(&c->link);
	buf_release(&c->out);
	buf_release(&c->in);
	free(c->answer.message);
	free(c);
}

static void mux_call_end(struct grpc_call *c, int code, const char *message, bool by_peer)
{
	struct grpc_end e = { .code = code, .message = message ? message : "", .begun = c->begun, .by_peer = by_peer };

	if (c->dead)
		return;
	c->dead = true;
	c->cb.end(c, &e, c->ctx);
}

/* Its stream is of no use any more. */
static void mux_call_reset(struct grpc_call *c)
{
	if (c->id < 0)
		return;
	(void)nghttp2_submit_rst_stream(c->m->h2, NGHTTP2_FLAG_NONE, c->id, NGHTTP2_CANCEL);
	stream_want(c->m->stream);
}

static void mux_call_give_back(struct grpc_call *c)
{
	if (!c->owed)
		return;
	(void)nghttp2_session_consume_stream(c->m->h2, c->id, c->owed);
	c->owed = 0;
	stream_want(c->m->stream);
}

void grpc_call_hold(struct grpc_call *c, bool held)
{
	c->held = held;
	if (!held && !c->dead && c->id >= 0)
		mux_call_give_back(c);
}

void grpc_call_cancel(struct grpc_call *c)
{
	if (c->dead)
		return;
	c->dead = true;
	mux_call_reset(c);
}

static void mux_call_add(struct grpc_call *c, struct sv message)
{
	char prefix[GRPC_PREFIX_N];

	grpc_prefix(prefix, message.n);
	buf_add(&c->out, prefix, sizeof(prefix));
	buf_addsv(&c->out, message);
}

void grpc_call_send(struct grpc_call *c, struct sv message)
{
	if (c->dead || c->out_last || c->id < 0)
		return;
	if (c->sent == c->out.n) {
		buf_clear(&c->out);
		c->sent = 0;
	}
	mux_call_add(c, message);
	if (c->deferred) {
		c->deferred = false;
		(void)nghttp2_session_resume_data(c->m->h2, c->id);
	}
	stream_want(c->m->stream);
}

static ssize_t mux_read(nghttp2_session *s _unused_, int32_t id _unused_, uint8_t *out, size_t room, uint32_t *flags,
			nghttp2_data_source *source, void *user _unused_)
{
	struct grpc_call *c = source->ptr;
	struct sv piece = sv_sub(buf_sv(&c->out), c->sent, room);

	if (!piece.n && !c->out_last) {
		c->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	if (piece.n)
		memcpy(out, piece.p, piece.n);
	c->sent += piece.n;
	c->begun = true;
	if (c->sent == c->out.n && c->out_last)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)piece.n;
}

static nghttp2_nv mux_nv(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name, /* nghttp2 copies both */
			     .value = (uint8_t *)(uintptr_t)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value) };
}

/* What could not even begin: told from the loop, like every other failure. */
static void mux_call_refused(void *ctx)
{
	struct grpc_call *c = ctx;

	mux_call_end(c, GRPC_UNAVAILABLE, "the connection is ending", false);
	mux_call_free(c);
}

struct grpc_call *grpc_mux_call(struct grpc_mux *m, const struct grpc_call_opts *o, struct sv request,
				const struct grpc_call_cb *cb, void *ctx)
{
	struct grpc_call *c = xcalloc(1, sizeof(*c));
	nghttp2_data_provider body = { .source.ptr = c, .read_callback = mux_read };
	char timeout[GRPC_TIMEOUT_TEXT];
	nghttp2_nv h[10];
	size_t n = 0;

	c->m = m;
	c->cb = *cb;
	c->ctx = ctx;
	c->answer.status = -1;
	c->out_last = !o->streams;
	mux_call_add(c, request);
	h[n++] = mux_nv(":method", "POST");
	h[n++] = mux_nv(":scheme", m->tls ? "https" : "http");
	h[n++] = mux_nv(":path", o->method);
	h[n++] = mux_nv(":authority", m->authority);
	h[n++] = mux_nv("te", "trailers");
	h[n++] = mux_nv("content-type", "application/grpc");
	h[n++] = mux_nv("user-agent", "grpc-caravel/" CARAVEL_VERSION);
	if (o->header)
		h[n++] = mux_nv(o->header, o->header_value);
	if (o->timeout_ns > 0) {
		c->deadline_ns = ev_pace_due(&m->pace, ev_loop_now_ns(m->loop), o->timeout_ns);
		grpc_timeout_text(timeout, o->timeout_ns);
		h[n++] = mux_nv("grpc-timeout", timeout);
	}
	c->id = m->closing || m->why.reason ? -1 : nghttp2_submit_request(m->h2, NULL, h, n, &body, c);
	if (c->id < 0) {
		list_init(&c->link);
		ev_loop_post(m->loop, mux_call_refused, c);
		return c;
	}
	list_add_tail(&m->calls, &c->link);
	stream_want(m->stream);
	return c;
}

/* Hands out the whole messages in c->in. */
static void mux_messages(struct grpc_call *c)
{
	size_t at = 0;

	while (!c->dead) {
		ssize_t n = grpc_first(sv_make(c->in.p + at, c->in.n - at), c->m->message_max);

		if (n == -1)
			break;
		if (n < 0) {
			mux_call_end(c, GRPC_RESOURCE_EXHAUSTED, "a message is compressed or too large", false);
			mux_call_reset(c);
			break;
		}
		c->cb.message(c, sv_make(c->in.p + at + GRPC_PREFIX_N, (size_t)n), c->ctx);
		at += GRPC_PREFIX_N + (size_t)n;
	}
	buf_drop_front(&c->in, MIN(at, c->in.n));
	if (c->in.n == 0 && c->in.cap > 64 * 1024)
		buf_release(&c->in);
}

/* --- nghttp2's callbacks --- */

static int mux_on_header(nghttp2_session *s, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
			 const uint8_t *value, size_t value_n, uint8_t flags _unused_, void *user _unused_)
{
	struct grpc_call *c = nghttp2_session_get_stream_user_data(s, frame->hd.stream_id);

	if (c)
		grpc_answer_header(&c->answer, sv_make((const char *)name, name_n),
				   sv_make((const char *)value, value_n));
	return 0;
}

static int mux_on_data(nghttp2_session *s, uint8_t flags _unused_, int32_t id, const uint8_t *data, size_t n,
		       void *user)
{
	struct grpc_call *c = nghttp2_session_get_stream_user_data(s, id);
	struct grpc_mux *m = user;

	(void)nghttp2_session_consume_connection(s, n);
	stream_want(m->stream);
	if (!c || c->dead || c->answer.http_status != 200) {
		(void)nghttp2_session_consume_stream(s, id, n);
		return 0;
	}
	c->owed += n;
	buf_add(&c->in, data, n);
	mux_messages(c);
	if (!c->dead && !c->held)
		mux_call_give_back(c);
	return 0;
}

static int mux_on_frame(nghttp2_session *s _unused_, const nghttp2_frame *frame, void *user)
{
	struct grpc_mux *m = user;

	if (frame->hd.type == NGHTTP2_SETTINGS && !(frame->hd.flags & NGHTTP2_FLAG_ACK) && !m->is_up) {
		m->is_up = true;
		m->cb.up(m, m->ctx);
	}
	if (frame->hd.type == NGHTTP2_PING && frame->hd.flags & NGHTTP2_FLAG_ACK)
		m->ping_due_ns = 0;
	if (frame->hd.type == NGHTTP2_GOAWAY && !m->why.reason) {
		err_set(&m->why, ERR_UNAVAILABLE, "%s says that it takes no more calls", m->authority);
		stream_abort(m->stream);
	}
	return 0;
}

static int mux_on_stream_close(nghttp2_session *s, int32_t id, uint32_t error, void *user _unused_)
{
	struct grpc_call *c = nghttp2_session_get_stream_user_data(s, id);

	if (!c)
		return 0;
	nghttp2_session_set_stream_user_data(s, id, NULL);
	if (c->answer.status >= 0) {
		mux_call_end(c, c->answer.status, c->answer.message, true);
	} else if (error == NGHTTP2_REFUSED_STREAM) {
		c->begun = false;
		mux_call_end(c, GRPC_UNAVAILABLE, "the call was refused", false);
	} else if (error != NGHTTP2_NO_ERROR) {
		mux_call_end(c, GRPC_UNAVAILABLE, nghttp2_http2_strerror(error), false);
	} else {
		mux_call_end(c, grpc_code_of_http(c->answer.http_status), "the answer has no grpc status", false);
	}
	mux_call_free(c);
	return 0;
}

/* --- the connection --- */

static void mux_ping(struct grpc_mux *m, int64_t now)
{
	int64_t due_ns = m->is_up ? m->ping_due_ns : m->up_due_ns;

	if (due_ns && m->pace.ns >= due_ns) {
		if (!m->why.reason)
			err_set(&m->why, ERR_UNAVAILABLE, "%s does not answer", m->authority);
		stream_abort(m->stream);
	} else if (m->is_up && !m->ping_due_ns && m->ping_ns && !list_empty(&m->calls) &&
		   now - m->heard_ns >= m->ping_ns) {
		m->ping_due_ns = ev_pace_due(&m->pace, now, m->ping_timeout_ns);
		(void)nghttp2_submit_ping(m->h2, NGHTTP2_FLAG_NONE, NULL);
		stream_want(m->stream);
	}
}

static void mux_tick(void *ctx)
{
	struct grpc_mux *m = ctx;
	int64_t now = ev_loop_now_ns(m->loop);

	ev_pace_step(&m->pace, now);
	for (struct list *it = m->calls.next; it != &m->calls; it = it->next) {
		struct grpc_call *c = LIST_ENTRY(it, struct grpc_call, link);

		if (c->dead || !c->deadline_ns || m->pace.ns < c->deadline_ns)
			continue;
		mux_call_reset(c);
		mux_call_end(c, GRPC_DEADLINE_EXCEEDED, "deadline exceeded", false);
	}
	mux_ping(m, now);
}

static void mux_pull(struct stream *s, void *ctx)
{
	struct grpc_mux *m = ctx;
	const uint8_t *p;
	ssize_t n = 0;

	while (stream_queued(s) < STREAM_QUEUE_MAX && (n = nghttp2_session_mem_send(m->h2, &p)) > 0)
		stream_write(s, sv_make((const char *)p, (size_t)n));
	if (n < 0)
		stream_abort(s);
	else if (stream_queued(s) >= STREAM_QUEUE_MAX)
		stream_want(s);
}

static void mux_ready(struct stream *s, void *ctx)
{
	struct grpc_mux *m = ctx;

	m->heard_ns = ev_loop_now_ns(m->loop);
	stream_want(s);
}

static void mux_data(struct stream *s, struct sv bytes, void *ctx)
{
	struct grpc_mux *m = ctx;

	m->heard_ns = ev_loop_now_ns(m->loop);
	if (nghttp2_session_mem_recv(m->h2, (const uint8_t *)bytes.p, bytes.n) < 0) {
		if (!m->why.reason)
			err_set(&m->why, ERR_UNAVAILABLE, "%s does not speak HTTP/2", m->authority);
		stream_abort(s);
		return;
	}
	stream_want(s);
}

static void mux_closed(struct stream *s _unused_, const struct err *err, void *ctx)
{
	struct grpc_mux *m = ctx;

	if (!m->closing && !m->why.reason) {
		if (err)
			err_copy(&m->why, err);
		else
			err_set(&m->why, ERR_UNAVAILABLE, "%s has ended the connection", m->authority);
	}
	m->closing = true;
	ev_timer_stop(m->tick);
	while (!list_empty(&m->calls)) {
		struct grpc_call *c = LIST_ENTRY(m->calls.next, struct grpc_call, link);

		nghttp2_session_set_stream_user_data(m->h2, c->id, NULL);
		mux_call_end(c, GRPC_UNAVAILABLE, m->why.reason ? err_msg(&m->why) : "the connection was closed",
			     false);
		mux_call_free(c);
	}
	m->cb.down(m, m->why.reason ? &m->why : NULL, m->ctx);
	nghttp2_session_del(m->h2);
	tls_ctx_unref(m->tls);
	free(m->authority);
	err_release(&m->why);
	free(m);
}

static nghttp2_session_callbacks *mux_callbacks;
static nghttp2_option *mux_option;

static void mux_once(void)
{
	nghttp2_session_callbacks *cb;

	BUG_ON(nghttp2_session_callbacks_new(&cb) != 0);
	nghttp2_session_callbacks_set_on_header_callback(cb, mux_on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, mux_on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, mux_on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, mux_on_stream_close);
	mux_callbacks = cb;
	BUG_ON(nghttp2_option_new(&mux_option) != 0);
	nghttp2_option_set_no_auto_window_update(mux_option, 1);
	nghttp2_option_set_no_closed_streams(mux_option, 1);
	nghttp2_option_set_peer_max_concurrent_streams(mux_option, 100);
}

struct grpc_mux *grpc_mux_open(struct ev_loop *l, const struct grpc_mux_opts *o, const struct grpc_mux_cb *cb,
			       void *ctx)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	static const struct stream_cb scb = {
		.ready = mux_ready, .data = mux_data, .pull = mux_pull, .closed = mux_closed
	};
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, GRPC_MUX_WINDOW },
	};
	struct stream_target t = { .host = o->host, .port = o->port, .tls = o->tls, .alpn = SV("\002h2") };
	struct grpc_mux *m = xcalloc(1, sizeof(*m));

	pthread_once(&once, mux_once);
	m->loop = l;
	m->cb = *cb;
	m->ctx = ctx;
	m->tls = o->tls ? tls_ctx_ref(o->tls) : NULL;
	if (strncmp(o->host, "unix:", 5) == 0)
		m->authority = xstrdup("localhost");
	else
		m->authority = xasprintf(strchr(o->host, ':') ? "[%s]:%d" : "%s:%d", o->host, o->port);
	m->ping_ns = o->ping_ns;
	m->ping_timeout_ns = o->ping_timeout_ns;
	m->message_max = o->message_max;
	ev_pace_init(&m->pace, ev_loop_now_ns(l));
	m->up_due_ns = ev_pace_due(&m->pace, m->pace.seen_ns, o->connect_timeout_ns);
	list_init(&m->calls);
	BUG_ON(nghttp2_session_client_new2(&m->h2, mux_callbacks, m, mux_option) != 0);
	(void)nghttp2_submit_settings(m->h2, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	(void)nghttp2_session_set_local_window_size(m->h2, NGHTTP2_FLAG_NONE, 0, CONN_WINDOW);
	m->stream = stream_connect(l, &t, o->connect_timeout_ns, &scb, m);
	m->tick = ev_timer_start(l, EV_PACE_NS, EV_PACE_NS, mux_tick, m);
	return m;
}

void grpc_mux_close(struct grpc_mux *m)
{
	if (m->closing || m->why.reason)
		return;
	m->closing = true;
	stream_abort(m->stream);
}
