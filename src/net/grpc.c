/* gRPC over nghttp2, one call at a time on a connection: a blocking caller takes a connection
 * out of the channel's pool, owns it for the call, and puts it back when it is still good. So
 * there is no thread of ours, no lock while a call runs, and no head-of-line blocking; a node
 * agent has a handful of connections to its runtime.
 *
 *	channel (mutex, idle list) -> conn (socket, nghttp2 session) -> call (one stream)
 *
 * What is on the wire is in grpc_wire.h. */
#include "net/grpc.h"

#include "base/buf.h"
#include "base/list.h"
#include "net/grpc_wire.h"
#include "net/sock.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	IDLE_MAX = 16,			/* connections kept for later calls */
	MESSAGE_MAX = 16 * 1024 * 1024, /* what kubelets allow a runtime to answer */
	WINDOW = 1024 * 1024,		/* flow control window of a stream and a connection */
};

#define RETRY_NS (50 * NS_PER_MS) /* between two tries of a server that does not listen yet */

struct grpc_channel {
	char *host; /* "unix:/path" or a name */
	int port;
	char *authority;
	size_t answer_max; /* bytes */
	bool wait_ready;   /* for a server that does not listen yet */
	bool say_codes;
	pthread_mutex_t lock; /* guards idle and n_idle */
	struct list idle;     /* struct conn, most recently used first */
	int n_idle;
};

struct conn {
	struct list link;
	int fd;
	nghttp2_session *session;
	struct call *call;  /* the one call under way, or NULL */
	const uint8_t *out; /* what nghttp2 wants sent and the socket has not taken yet */
	size_t out_n;
};

struct call {
	/* request */
	char prefix[GRPC_PREFIX_N];
	struct sv request;
	size_t sent; /* of prefix and request together */
	/* response */
	int32_t stream;
	struct buf in; /* an incomplete message, with its prefix */
	size_t answer_max;
	int (*message)(struct sv msg, void *ctx);
	void *ctx;
	struct grpc_answer answer;
	bool closed;	  /* the stream ended */
	bool stopped;	  /* message() wants no more */
	bool bad_message; /* compressed or too large */
	uint32_t h2_error;
};

/* --- nghttp2 callbacks --- */

static ssize_t on_read_request(nghttp2_session *session _unused_, int32_t stream _unused_, uint8_t *out, size_t room,
			       uint32_t *flags, nghttp2_data_source *source, void *user _unused_)
{
	struct call *call = source->ptr;
	size_t n = 0;

	if (call->sent < GRPC_PREFIX_N) {
		n = MIN(GRPC_PREFIX_N - call->sent, room);
		memcpy(out, call->prefix + call->sent, n);
		call->sent += n;
	}
	if (call->sent >= GRPC_PREFIX_N && n < room) {
		struct sv piece = sv_sub(call->request, call->sent - GRPC_PREFIX_N, room - n);

		if (piece.n)
			memcpy(out + n, piece.p, piece.n);
		call->sent += piece.n;
		n += piece.n;
	}
	if (call->sent == GRPC_PREFIX_N + call->request.n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static struct call *call_of(const struct conn *c, int32_t stream)
{
	return c->call && c->call->stream == stream ? c->call : NULL;
}

static int on_header(nghttp2_session *session _unused_, const nghttp2_frame *frame, const uint8_t *name, size_t name_n,
		     const uint8_t *value, size_t value_n, uint8_t flags _unused_, void *user)
{
	struct call *call = call_of(user, frame->hd.stream_id);

	if (call)
		grpc_answer_header(&call->answer, sv_make((const char *)name, name_n),
				   sv_make((const char *)value, value_n));
	return 0;
}

/* Hands out the whole messages in call->in. */
static void messages_take(struct call *call)
{
	size_t at = 0;

	while (!call->stopped && !call->bad_message && call->in.n - at >= GRPC_PREFIX_N) {
		ssize_t n = grpc_first(sv_make(call->in.p + at, call->in.n - at), call->answer_max);

		call->bad_message = n == -2;
		if (n < 0)
			break;
		if (call->message(sv_make(call->in.p + at + GRPC_PREFIX_N, (size_t)n), call->ctx) != 0)
			call->stopped = true;
		at += GRPC_PREFIX_N + (size_t)n;
	}
	buf_drop_front(&call->in, at);
}

static int grpc_on_data(nghttp2_session *session _unused_, uint8_t flags _unused_, int32_t stream, const uint8_t *data,
			size_t n, void *user)
{
	struct call *call = call_of(user, stream);

	/* An answer that is not gRPC (a proxy's error page) is not looked at. */
	if (!call || call->stopped || call->bad_message || call->answer.http_status != 200)
		return 0;
	buf_add(&call->in, data, n);
	messages_take(call);
	return 0;
}

static int on_stream_close(nghttp2_session *session _unused_, int32_t stream, uint32_t error, void *user)
{
	struct call *call = call_of(user, stream);

	if (call) {
		call->closed = true;
		call->h2_error = error;
	}
	return 0;
}

/* --- connections --- */

static struct conn *conn_free(struct conn *c)
{
	if (!c)
		return NULL;
	nghttp2_session_del(c->session);
	close(c->fd);
	free(c);
	return NULL;
}

static struct conn *conn_new(const struct grpc_channel *ch, int stop_fd, int64_t deadline_ns, struct err *err)
{
	static const nghttp2_settings_entry settings[] = {
		{ NGHTTP2_SETTINGS_ENABLE_PUSH, 0 },
		{ NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
	};
	nghttp2_session_callbacks *cbs;
	int fd = sock_connect_or(ch->host, ch->port, stop_fd, deadline_ns, err);
	struct conn *c;

	if (fd < 0)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->fd = fd;
	list_init(&c->link);
	BUG_ON(nghttp2_session_callbacks_new(&cbs) != 0);
	nghttp2_session_callbacks_set_on_header_callback(cbs, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cbs, grpc_on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(cbs, on_stream_close);
	BUG_ON(nghttp2_session_client_new(&c->session, cbs, c) != 0);
	nghttp2_session_callbacks_del(cbs);
	nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(c->session, NGHTTP2_FLAG_NONE, 0, WINDOW);
	return c;
}

/* The same; where it was asked for, a server that does not listen yet is tried again until the deadline. */
static struct conn *conn_new_ready(const struct grpc_channel *ch, int stop_fd, int64_t deadline_ns, struct err *err)
{
	struct pollfd stop = { .fd = stop_fd, .events = POLLIN };

	for (;;) {
		struct err why = ERR_INIT;
		struct conn *c = conn_new(ch, stop_fd, deadline_ns, &why);

		if (c)
			return c;
		if (!ch->wait_ready || why.reason != ERR_UNAVAILABLE || sock_now_ns() + RETRY_NS >= deadline_ns ||
		    poll(&stop, 1, RETRY_NS / NS_PER_MS) > 0) {
			err_move(err, &why);
			return NULL;
		}
		err_release(&why);
	}
}

/* Sends what the socket takes. -1: the connection is broken. */
static int conn_send(struct conn *c)
{
	for (;;) {
		ssize_t n;

		if (c->out_n == 0) {
			n = nghttp2_session_mem_send(c->session, &c->out);
			if (n <= 0)
				return (int)n;
			c->out_n = (size_t)n;
		}
		n = send(c->fd, c->out, c->out_n, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		c->out += n;
		c->out_n -= (size_t)n;
	}
}

/* Reads what has come. -1: the connection is broken or at its end. */
static int conn_recv(struct conn *c)
{
	uint8_t piece[16 * 1024];

	for (;;) {
		ssize_t n = recv(c->fd, piece, sizeof(piece), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 0 : -1;
		if (n == 0 || nghttp2_session_mem_recv(c->session, piece, (size_t)n) < 0)
			return -1;
		if (c->call && c->call->closed)
			return 0; /* this call needs no more: leave the rest to the next turn */
	}
}

/* A connection for a call: an idle one that still lives, or a new one. */
static struct conn *conn_take(struct grpc_channel *ch, int stop_fd, int64_t deadline_ns, bool fresh, bool *ret_kept,
			      struct err *err)
{
	*ret_kept = false;
	while (!fresh) {
		struct conn *c;

		pthread_mutex_lock(&ch->lock);
		c = list_empty(&ch->idle) ? NULL : LIST_ENTRY(ch->idle.next, struct conn, link);
		if (c) {
			list_del(&c->link);
			ch->n_idle--;
		}
		pthread_mutex_unlock(&ch->lock);
		if (!c)
			break;
		/* What came while it was idle: pings to answer, or its end. */
		if (conn_recv(c) == 0 && conn_send(c) == 0 && nghttp2_session_check_request_allowed(c->session)) {
			*ret_kept = true;
			return c;
		}
		conn_free(c);
	}
	return conn_new_ready(ch, stop_fd, deadline_ns, err);
}

static void conn_put(struct grpc_channel *ch, struct conn *c)
{
	bool keep;

	c->call = NULL;
	keep = conn_send(c) == 0 && nghttp2_session_check_request_allowed(c->session);
	pthread_mutex_lock(&ch->lock);
	keep = keep && ch->n_idle < IDLE_MAX;
	if (keep) {
		list_add_head(&ch->idle, &c->link);
		ch->n_idle++;
	}
	pthread_mutex_unlock(&ch->lock);
	if (!keep)
		conn_free(c);
}

/* --- calls --- */

static void call_release(struct call *call)
{
	buf_release(&call->in);
	free(call->answer.message);
}

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){ .name = (uint8_t *)(uintptr_t)name, /* nghttp2 copies both */
			     .value = (uint8_t *)(uintptr_t)value,
			     .namelen = strlen(name),
			     .valuelen = strlen(value) };
}

static int call_submit(struct grpc_channel *ch, struct conn *c, struct call *call, const char *method,
		       int64_t deadline_ns)
{
	nghttp2_data_provider body = { .source.ptr = call, .read_callback = on_read_request };
	char timeout[GRPC_TIMEOUT_TEXT];
	nghttp2_nv h[9];
	size_t n = 0;

	h[n++] = nv(":method", "POST");
	h[n++] = nv(":scheme", "http");
	h[n++] = nv(":path", method);
	h[n++] = nv(":authority", ch->authority);
	h[n++] = nv("te", "trailers");
	h[n++] = nv("content-type", "application/grpc");
	h[n++] = nv("user-agent", "grpc-caravel/" CARAVEL_VERSION);
	if (deadline_ns != SOCK_NO_DEADLINE) {
		grpc_timeout_text(timeout, deadline_ns - sock_now_ns());
		h[n++] = nv("grpc-timeout", timeout);
	}
	call->stream = nghttp2_submit_request(c->session, NULL, h, n, &body, NULL);
	c->call = call;
	return call->stream < 0 ? -1 : 0;
}

enum outcome { CALL_ENDED, CALL_STOPPED, CALL_DEADLINE, CALL_BROKEN };

/* Moves bytes both ways until the stream ends or the caller has enough. */
static enum outcome grpc_call_run(struct conn *c, struct call *call, int64_t deadline_ns, int stop_fd)
{
	while (!call->closed) {
		int events;

		if (call->stopped || call->bad_message)
			return CALL_STOPPED;
		if (conn_send(c) < 0)
			return CALL_BROKEN;
		events = sock_wait_or(c->fd, POLLIN | (c->out_n ? POLLOUT : 0), stop_fd, deadline_ns);
		if (events < 0)
			return CALL_STOPPED;
		if (events == 0)
			return CALL_DEADLINE;
		if (events & (POLLIN | POLLHUP | POLLERR) && conn_recv(c) < 0 && !call->closed)
			return CALL_BROKEN;
	}
	return call->stopped || call->bad_message ? CALL_STOPPED : CALL_ENDED;
}

static enum err_reason grpc_reason_of(int status)
{
	switch (status) {
	case GRPC_DEADLINE_EXCEEDED:
		return ERR_TIMEOUT;
	case GRPC_NOT_FOUND:
		return ERR_NOT_FOUND;
	case GRPC_ALREADY_EXISTS:
		return ERR_ALREADY_EXISTS;
	case GRPC_UNIMPLEMENTED:
		return ERR_METHOD_NOT_ALLOWED;
	case GRPC_UNAVAILABLE:
		return ERR_UNAVAILABLE;
	default:
		return ERR_INTERNAL;
	}
}

const char *grpc_code_name(const struct err *err)
{
	return err->reason == ERR_TIMEOUT	       ? "DeadlineExceeded"
	       : err->reason == ERR_UNAVAILABLE	       ? "Unavailable"
	       : err->reason == ERR_NOT_FOUND	       ? "NotFound"
	       : err->reason == ERR_ALREADY_EXISTS     ? "AlreadyExists"
	       : err->reason == ERR_METHOD_NOT_ALLOWED ? "Unimplemented"
	       : err->reason == ERR_TOO_LARGE	       ? "ResourceExhausted"
						       : "Unknown";
}

/* As it is in the answer, where there was one. */
static const char *call_code_name(int status, const struct err *err)
{
	static const char *const names[] = { [GRPC_CANCELLED] = "Canceled",
					     [GRPC_INVALID_ARGUMENT] = "InvalidArgument",
					     [7] = "PermissionDenied",
					     [GRPC_RESOURCE_EXHAUSTED] = "ResourceExhausted",
					     [GRPC_FAILED_PRECONDITION] = "FailedPrecondition",
					     [10] = "Aborted",
					     [GRPC_OUT_OF_RANGE] = "OutOfRange",
					     [GRPC_INTERNAL] = "Internal",
					     [15] = "DataLoss",
					     [GRPC_UNAUTHENTICATED] = "Unauthenticated" };

	return status > 0 && (size_t)status < ARRAY_LEN(names) && names[status] ? names[status] : grpc_code_name(err);
}

/* A failure in Go's words. */
static int call_say_code(const struct call *call, struct err *why, struct err *err)
{
	int status = call ? call->answer.status : -1;
	const char *text =
	    call && call->answer.status > 0 ? call->answer.message ? call->answer.message : "" : err_msg(why);

	(void)err_set(err, why->reason, "rpc error: code = %s desc = %s", call_code_name(status, why), text);
	err_release(why);
	return -1;
}

/* The verdict on a stream that ended. */
static int call_status(const struct call *call, const char *method, struct err *err)
{
	if (call->answer.status == GRPC_OK)
		return 0;
	if (call->answer.status > 0) {
		if (call->answer.message && *call->answer.message)
			return err_set(err, grpc_reason_of(call->answer.status), "%s", call->answer.message);
		return err_set(err, grpc_reason_of(call->answer.status), "'%s' failed with grpc status %d", method,
			       call->answer.status);
	}
	if (call->h2_error == NGHTTP2_REFUSED_STREAM)
		return err_set(err, ERR_UNAVAILABLE, "'%s' was refused by the server", method);
	if (call->h2_error != NGHTTP2_NO_ERROR)
		return err_set(err, ERR_INTERNAL, "'%s' was reset: %s", method, nghttp2_http2_strerror(call->h2_error));
	/* No grpc-status: something in between answered, and its HTTP status is all there is. */
	switch (grpc_code_of_http(call->answer.http_status)) {
	case GRPC_UNIMPLEMENTED:
		return err_set(err, ERR_METHOD_NOT_ALLOWED, "'%s' is not served there (http status 404)", method);
	case GRPC_UNAVAILABLE:
		return err_set(err, ERR_UNAVAILABLE, "'%s' failed with http status %d", method,
			       call->answer.http_status);
	default:
		return err_set(err, ERR_INTERNAL, "'%s' ended without a grpc status (http status %d)", method,
			       call->answer.http_status);
	}
}

/* May this call be sent again on another connection? Only when the server cannot have begun it:
 * it said so, or the request did not leave whole. */
static bool call_unprocessed(const struct call *call, enum outcome o)
{
	if (o == CALL_ENDED)
		return call->answer.status < 0 && call->h2_error == NGHTTP2_REFUSED_STREAM;
	return o == CALL_BROKEN && call->sent < GRPC_PREFIX_N + call->request.n;
}

static int call_do(struct grpc_channel *ch, const char *method, struct sv request, int64_t deadline_ns,
		   int (*message)(struct sv msg, void *ctx), void *ctx, int stop_fd, struct err *err)
{
	struct err why = ERR_INIT;

	if (request.n > MESSAGE_MAX)
		return err_set(err, ERR_TOO_LARGE, "request of '%s' is longer than %d bytes", method, MESSAGE_MAX);
	for (bool again = false;; again = true) {
		_cleanup_(call_release) struct call call = {
			.request = request,
			.answer_max = ch->answer_max,
			.message = message,
			.ctx = ctx,
			.answer = { .status = -1 },
		};
		enum outcome o;
		bool kept;
		struct conn *c = conn_take(ch, stop_fd, deadline_ns, again, &kept, &why);

		if (!c)
			return ch->say_codes ? call_say_code(NULL, &why, err) : err_move(err, &why);
		grpc_prefix(call.prefix, request.n);
		o = call_submit(ch, c, &call, method, deadline_ns) < 0 ? CALL_BROKEN
								       : grpc_call_run(c, &call, deadline_ns, stop_fd);
		if (o == CALL_ENDED) {
			conn_put(ch, c);
		} else {
			/* Closing cancels: the server sees the end of the connection. */
			c->call = NULL;
			conn_free(c);
		}
		if (kept && !again && call_unprocessed(&call, o))
			continue;
		if (call.bad_message)
			return err_set(err, ERR_INTERNAL, "'%s' answered a message that is compressed or too large",
				       method);
		switch (o) {
		case CALL_ENDED:
			if (call_status(&call, method, &why) == 0)
				return 0;
			return ch->say_codes ? call_say_code(&call, &why, err) : err_move(err, &why);
		case CALL_STOPPED:
			return 0;
		case CALL_DEADLINE:
			if (ch->say_codes)
				return err_set(err, ERR_TIMEOUT,
					       "rpc error: code = DeadlineExceeded desc = context deadline exceeded");
			return err_set(err, ERR_TIMEOUT, "deadline exceeded while calling '%s'", method);
		case CALL_BROKEN:
			if (ch->say_codes)
				return err_set(err, ERR_UNAVAILABLE,
					       "rpc error: code = Unavailable desc = error reading from server: EOF");
			return err_set(err, ERR_UNAVAILABLE, "connection to '%s' broke while calling '%s'",
				       ch->authority, method);
		}
	}
}

/* --- the interface --- */

struct grpc_channel *grpc_channel_new(const char *target)
{
	struct grpc_channel *ch = xcalloc(1, sizeof(*ch));
	const char *colon = strrchr(target, ':');

	list_init(&ch->idle);
	pthread_mutex_init(&ch->lock, NULL);
	ch->answer_max = MESSAGE_MAX;
	if (strncmp(target, "unix:", 5) == 0) {
		ch->host = xstrdup(target);
		ch->authority = xstrdup("localhost");
		return ch;
	}
	ch->authority = xstrdup(target);
	ch->port = colon ? atoi(colon + 1) : 0;
	if (colon && target[0] == '[' && colon[-1] == ']') /* "[::1]:2379" */
		ch->host = xstrndup(target + 1, (size_t)(colon - target) - 2);
	else
		ch->host = xstrndup(target, colon ? (size_t)(colon - target) : strlen(target));
	return ch;
}

void grpc_channel_outside(struct grpc_channel *ch, size_t answer_max, bool wait_ready)
{
	ch->answer_max = MIN(answer_max, (size_t)MESSAGE_MAX);
	ch->wait_ready = wait_ready;
}

void grpc_channel_say_codes(struct grpc_channel *ch)
{
	ch->say_codes = true;
}

struct grpc_channel *grpc_channel_free(struct grpc_channel *ch)
{
	if (!ch)
		return NULL;
	LIST_EACH(&ch->idle, it)
		conn_free(LIST_ENTRY(it, struct conn, link));
	pthread_mutex_destroy(&ch->lock);
	free(ch->host);
	free(ch->authority);
	free(ch);
	return NULL;
}

struct unary {
	struct arena *arena;
	struct sv response;
	int n;
};

static int unary_message(struct sv msg, void *ctx)
{
	struct unary *u = ctx;

	if (u->n++ == 0)
		u->response = arena_sv(u->arena, msg);
	return 0;
}

int grpc_call(struct grpc_channel *ch, struct arena *a, const char *method, struct sv request, int64_t timeout_ns,
	      struct sv *ret_response, struct err *err)
{
	return grpc_call_until(ch, a, method, request, timeout_ns, -1, ret_response, err);
}

int grpc_call_until(struct grpc_channel *ch, struct arena *a, const char *method, struct sv request, int64_t timeout_ns,
		    int stop_fd, struct sv *ret_response, struct err *err)
{
	struct unary u = { .arena = a };

	if (call_do(ch, method, request, sock_deadline(timeout_ns), unary_message, &u, stop_fd, err) < 0)
		return -1;
	if (u.n == 0 && stop_fd >= 0)
		return err_set(err, ERR_UNAVAILABLE, "'%s' was given up", method);
	if (u.n != 1)
		return err_set(err, ERR_INTERNAL, "'%s' answered %d messages instead of one", method, u.n);
	*ret_response = u.response;
	return 0;
}

int grpc_call_stream(struct grpc_channel *ch, const char *method, struct sv request,
		     int (*message)(struct sv msg, void *ctx), void *ctx, int stop_fd, struct err *err)
{
	return call_do(ch, method, request, SOCK_NO_DEADLINE, message, ctx, stop_fd, err);
}
