/* One session: a tunnel to the client, a dialog with the backend, and between them one of three
 * transforms. The transforms only fill two buffers; pump() sends those and keeps the balance:
 *
 *	client --data--> transform --to_backend--> backend    read while the backend's queue is low
 *	client <--to_client-- transform <--data-- backend     read while the client's queue is low
 *
 * Answers that one end provokes for itself (pongs) are bounded too: an end that asks for many
 * and reads none is not read any more. */
#include "net/remotecommand.h"

#include "base/utf8.h"
#include "ev/limit.h"
#include "net/rc_core.h"
#include "net/ws.h"

#include <stdlib.h>

enum mode { TRANSLATE, PIPE, UNWRAP };

enum {
	QUEUE_HIGH = 256 * 1024,      /* stop reading the other end */
	QUEUE_OWN_HIGH = 1024 * 1024, /* stop reading this very end */
	ANSWER_MAX = 1024 * 1024,     /* of a backend that does not upgrade */
	WS_MESSAGE_MAX = 4 * 1024 * 1024,
	CONNECT_S = 30,
	PING_S = 5,
	REFUSAL_S = 10, /* for an answer that is no upgrade to come in whole */
	/* After the verdict the client reads on at its own pace: closing under it would make its
	 * kernel drop what it has not read yet. */
	LINGER_S = 300,
};

struct rc_session {
	enum mode mode;
	struct http_req *req; /* a reference */
	struct ev_loop *loop;
	struct rc_opts opts;
	struct http_tunnel *tunnel; /* NULL: not yet or no more */
	struct http_dialog *dialog; /* NULL: no more */
	bool answered;		    /* the client got a response head */
	bool connected;		    /* the backend answered 101 */
	bool tunnel_paused, dialog_paused;
	bool lingering; /* TRANSLATE: the verdict is told, the client's end is waited for */
	bool told;	/* done() was called */
	void *user;	/* of the request, while its on_gone() is ours */
	size_t tunnel_queued, dialog_queued;
	struct rc_core *core;		    /* TRANSLATE */
	struct ws ws;			    /* UNWRAP */
	struct http_header *accept_headers; /* UNWRAP: the answer to be given on 101 */
	size_t n_accept_headers;
	struct buf to_client, to_backend; /* PIPE, UNWRAP */
	int status;			  /* of an answer that is not 101 */
	struct sv content_type;
	struct buf answer;
	struct ev_timer *ping;
	struct ev_limit *limit;
	struct err why;
};

static void session_pump(struct rc_session *s);

/* --- life --- */

static struct rc_session *session_new(enum mode mode, struct http_req *r, const struct rc_opts *o)
{
	struct rc_session *s = xcalloc(1, sizeof(*s));

	s->mode = mode;
	s->req = http_req_ref(r);
	s->loop = http_req_loop(r);
	s->opts = *o;
	if (o->ret_session)
		*o->ret_session = s;
	s->answer.limit = ANSWER_MAX;
	ws_init(&s->ws, false, WS_MESSAGE_MAX);
	return s;
}

/* The request's part is over. Not later: a server that stops waits for its requests, not for what they were
 * connected to, and what done() uses may be gone soon. */
static void session_tell(struct rc_session *s)
{
	if (s->told)
		return;
	s->told = true;
	if (s->req->on_gone) {
		s->req->on_gone = NULL;
		s->req->user = s->user;
	}
	if (s->opts.done)
		s->opts.done(s->req, s->answered, s->why.reason != ERR_NONE ? &s->why : NULL, s->opts.ctx);
}

/* The client left before it was answered. */
static void client_gone(struct http_req *r)
{
	struct rc_session *s = r->user;

	if (s->why.reason == ERR_NONE)
		err_set(&s->why, ERR_UNAVAILABLE, "the client left");
	session_tell(s);
	http_dialog_close(s->dialog);
}

/* Until the backend has answered. */
static void session_wait(struct rc_session *s)
{
	s->user = s->req->user;
	s->req->user = s;
	s->req->on_gone = client_gone;
}

/* The request is about to be answered. */
static void session_answer(struct rc_session *s)
{
	s->answered = true;
	s->req->on_gone = NULL;
	s->req->user = s->user;
}

static struct rc_session *session_free(struct rc_session *s)
{
	ev_timer_stop(s->ping);
	ev_limit_stop(s->limit);
	rc_core_free(s->core);
	ws_release(&s->ws);
	buf_release(&s->to_client);
	buf_release(&s->to_backend);
	buf_release(&s->answer);
	err_release(&s->why);
	http_req_unref(s->req);
	free(s);
	return NULL;
}

/* The last of what each end's closed() does: these never come from inside another call, so nobody up the stack
 * uses s. */
static void session_end_if_alone(struct rc_session *s)
{
	if (s->tunnel || s->dialog)
		return;
	session_tell(s);
	session_free(s);
}

static void session_fail(struct rc_session *s, enum err_reason reason, const char *what)
{
	if (s->why.reason == ERR_NONE)
		err_set(&s->why, reason, "%s", what);
	if (s->dialog)
		http_dialog_close(s->dialog);
	if (s->tunnel)
		http_tunnel_close(s->tunnel);
}

static void limit_restart(struct rc_session *s, int64_t delay_ns, env_fn *fn)
{
	ev_limit_stop(s->limit);
	s->limit = ev_limit_start(s->loop, delay_ns, fn, s);
}

static int64_t session_patience_ns(const struct rc_session *s)
{
	return s->opts.connect_timeout_ns > 0 ? s->opts.connect_timeout_ns : CONNECT_S * NS_PER_SEC;
}

static void answer_late(void *ctx)
{
	struct rc_session *s = ctx;

	if (s->why.reason == ERR_NONE)
		err_set(&s->why, ERR_TIMEOUT, "the streaming server did not answer in time");
	if (s->dialog)
		http_dialog_close(s->dialog); /* its end tells the client */
}

static void linger_over(void *ctx)
{
	struct rc_session *s = ctx;

	if (s->tunnel)
		http_tunnel_close(s->tunnel);
}

/* Not to an end that has bytes of ours waiting: those ask as well, and what an end does not read must not grow. */
static void ping(void *ctx)
{
	struct rc_session *s = ctx;

	if (s->core && s->dialog_queued == 0)
		rc_core_ping(s->core);
	if (s->tunnel_queued == 0) {
		if (s->core)
			rc_core_ping_client(s->core);
		else
			ws_frame(&s->ws, &s->to_client, WS_PING, SV_NULL, 0);
	}
	session_pump(s);
}

static void ping_start(struct rc_session *s)
{
	int64_t every_ns = s->opts.ping_ns > 0 ? s->opts.ping_ns : PING_S * NS_PER_SEC;

	s->ping = ev_timer_start(s->loop, every_ns, every_ns, ping, s);
}

/* --- the two ends --- */

static void send_queued(struct rc_session *s, struct buf *to_client, struct buf *to_backend)
{
	if (to_client->n > 0 && s->tunnel)
		s->tunnel_queued = http_tunnel_write(s->tunnel, buf_sv(to_client));
	if (to_backend->n > 0 && s->dialog && s->connected)
		s->dialog_queued = http_dialog_write(s->dialog, buf_sv(to_backend));
	buf_clear(to_client);
	buf_clear(to_backend);
}

static void session_pump(struct rc_session *s)
{
	bool pause;

	send_queued(s, s->core ? &s->core->to_client : &s->to_client, s->core ? &s->core->to_backend : &s->to_backend);
	if (s->core && s->core->state >= RC_ENDED && s->dialog)
		http_dialog_close(s->dialog);
	if (s->core && s->limit && s->core->state == RC_RUNNING && rc_core_opened(s->core))
		s->limit = ev_limit_stop(s->limit);
	if (s->core && s->core->state == RC_ENDED && s->tunnel && !s->lingering) {
		s->lingering = true;
		limit_restart(s, LINGER_S * NS_PER_SEC, linger_over);
		/* Our end is closed behind the verdict, as upstream's: a client may see the last frames only then, as
		 * Python's does, which asks its socket and not its TLS. */
		http_tunnel_close_patiently(s->tunnel, LINGER_S * NS_PER_SEC);
	}
	if (s->core && s->core->state == RC_DONE && s->tunnel)
		http_tunnel_close(s->tunnel);

	pause =
	    s->dialog_queued > QUEUE_HIGH || s->tunnel_queued > QUEUE_OWN_HIGH || (s->core && rc_core_holds(s->core));
	if (s->tunnel && pause != s->tunnel_paused)
		http_tunnel_pause(s->tunnel, s->tunnel_paused = pause);
	pause = s->tunnel_queued > QUEUE_HIGH || s->dialog_queued > QUEUE_OWN_HIGH;
	if (s->dialog && pause != s->dialog_paused)
		http_dialog_pause(s->dialog, s->dialog_paused = pause);
}

static void unwrap_message(enum ws_op op, struct sv payload, void *ctx)
{
	struct rc_session *s = ctx;

	switch (op) {
	case WS_BINARY:
	case WS_TEXT:
		buf_addsv(&s->to_backend, payload);
		break;
	case WS_PING:
		ws_frame(&s->ws, &s->to_client, WS_PONG, payload, 0);
		break;
	case WS_CLOSE:
		ws_close_frame(&s->ws, &s->to_client, 1000, SV_NULL, 0);
		break;
	default:
		break;
	}
}

static void tunnel_data(struct http_tunnel *t _unused_, struct sv bytes, void *ctx)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct rc_session *s = ctx;

	switch (s->mode) {
	case TRANSLATE:
		rc_core_client(s->core, bytes);
		break;
	case PIPE:
		buf_addsv(&s->to_backend, bytes);
		break;
	case UNWRAP:
		if (ws_feed(&s->ws, bytes, unwrap_message, s, &err) < 0)
			ws_close_frame(&s->ws, &s->to_client, err.reason == ERR_TOO_LARGE ? 1009 : 1002,
				       sv_from(err_msg(&err)), 0);
		break;
	}
	session_pump(s);
	if (s->mode == UNWRAP && s->ws.closing) {
		if (s->tunnel)
			http_tunnel_close(s->tunnel);
		if (s->dialog)
			http_dialog_close(s->dialog);
	}
}

static void tunnel_drain(struct http_tunnel *t _unused_, void *ctx)
{
	struct rc_session *s = ctx;

	s->tunnel_queued = 0;
	session_pump(s);
}

static void tunnel_closed(struct http_tunnel *t _unused_, void *ctx)
{
	struct rc_session *s = ctx;

	s->tunnel = NULL;
	s->tunnel_queued = 0;
	if (s->dialog)
		http_dialog_close(s->dialog);
	session_tell(s);
	session_end_if_alone(s);
}

static const struct http_tunnel_cb tunnel_cb = { tunnel_data, tunnel_drain, tunnel_closed };

/* The backend's own 101, less what belongs to a single hop's message, and less a subprotocol "": some servers answer
 * that to who named none, and some clients refuse it. */
static size_t session_passed_on(struct rc_session *s, const struct http_response *head, struct http_header **ret)
{
	struct http_header *h = ARENA_ARRAY(s->req->arena, struct http_header, head->n_headers + 1);
	size_t n = 0;

	for (size_t i = 0; i < head->n_headers; i++)
		if (!sv_is(head->headers[i].name, "date") && !sv_is(head->headers[i].name, "content-length") &&
		    !sv_is(head->headers[i].name, "transfer-encoding") &&
		    (!sv_is(head->headers[i].name, "sec-websocket-protocol") || head->headers[i].value.n > 0))
			h[n++] = (struct http_header){ arena_sv(s->req->arena, head->headers[i].name),
						       arena_sv(s->req->arena, head->headers[i].value) };
	*ret = h;
	return n;
}

static void dialog_head(struct http_dialog *d _unused_, const struct http_response *head, void *ctx)
{
	struct rc_session *s = ctx;
	struct http_header *h = s->accept_headers;
	size_t n = s->n_accept_headers;

	if (head->status != 101 || s->mode != TRANSLATE) /* else it must open the streams as well */
		s->limit = ev_limit_stop(s->limit);
	if (head->status != 101) {
		if (s->mode != TRANSLATE && head->status < 400) {
			err_set(&s->why, RC_NO_UPGRADE, "invalid upgrade response: status code %d", head->status);
			http_dialog_close(s->dialog);
			return;
		}
		limit_restart(s, MIN(REFUSAL_S * NS_PER_SEC, session_patience_ns(s)), answer_late);
		s->status = head->status;
		s->content_type = arena_sv(s->req->arena, http_response_header(head, "content-type"));
		return;
	}
	s->connected = true;
	if (s->mode != PIPE)
		ping_start(s);
	if (s->mode == TRANSLATE) {
		rc_core_start(s->core);
		session_pump(s);
		return;
	}
	if (s->mode == PIPE)
		n = session_passed_on(s, head, &h);
	session_answer(s);
	s->tunnel = http_upgrade(s->req, h, n, &tunnel_cb, s);
	if (!s->tunnel)
		session_fail(s, ERR_UNAVAILABLE, "the client left before its connection was upgraded");
}

static void dialog_data(struct http_dialog *d _unused_, struct sv bytes, void *ctx)
{
	struct rc_session *s = ctx;

	if (s->status) {
		buf_addsv(&s->answer, bytes);
		if (s->answer.overflow && s->dialog)
			http_dialog_close(s->dialog);
		return;
	}
	switch (s->mode) {
	case TRANSLATE:
		rc_core_backend(s->core, bytes);
		break;
	case PIPE:
		buf_addsv(&s->to_client, bytes);
		break;
	case UNWRAP:
		ws_frame(&s->ws, &s->to_client, WS_BINARY, bytes, 0);
		break;
	}
	session_pump(s);
}

static void dialog_drain(struct http_dialog *d _unused_, void *ctx)
{
	struct rc_session *s = ctx;

	s->dialog_queued = 0;
	session_pump(s);
}

/* TRANSLATE: tells the client what came instead of a connection. */
static void translate_refused(struct rc_session *s)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv body = sv_trim(buf_sv(&s->answer));

	if (s->core->version >= 4 && sv_starts(body, SV("{")) && sv_find_sv(body, SV("\"Status\"")) > 0) {
		rc_core_fail_status(s->core, body);
		return;
	}
	err_set(&err, ERR_INTERNAL, "unable to upgrade connection: %.*s", SV_ARG(utf8_cut(body, 4096)));
	rc_core_backend_end(s->core, &err);
}

static void translate_ended(struct rc_session *s)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (s->why.reason == ERR_NONE) {
		rc_core_backend_end(s->core, NULL);
		return;
	}
	if (s->opts.unreached && !s->connected)
		(void)s->opts.unreached(&err, &s->why);
	rc_core_backend_end(s->core, err.reason != ERR_NONE ? &err : &s->why);
}

static void dialog_closed(struct http_dialog *d _unused_, const struct err *err, void *ctx)
{
	struct rc_session *s = ctx;

	s->dialog = NULL;
	s->dialog_queued = 0;
	s->ping = ev_timer_stop(s->ping);
	if (s->status)
		s->limit = ev_limit_stop(s->limit);
	if (err && s->why.reason == ERR_NONE && !(s->core && s->core->state >= RC_ENDED))
		err_copy(&s->why, err);
	if (s->mode == TRANSLATE) {
		if (s->status)
			translate_refused(s);
		else
			translate_ended(s);
		session_pump(s);
	} else if (s->tunnel) {
		if (s->mode == UNWRAP && !s->ws.closing)
			ws_close_frame(&s->ws, &s->to_client, 1000, SV_NULL, 0);
		session_pump(s);
		http_tunnel_close(s->tunnel);
	} else if (s->status && s->why.reason == ERR_NONE && !s->answered) {
		const struct http_header type = { SV("content-type"),
						  s->content_type.n ? s->content_type : SV("text/plain") };
		const struct http_chunk body = { .data = arena_sv(s->req->arena, buf_sv(&s->answer)) };

		session_answer(s);
		http_respond(s->req, s->status, &type, 1, &body, 1);
	}
	session_end_if_alone(s);
}

static const struct http_dialog_cb dialog_cb = { dialog_head, dialog_data, dialog_drain, dialog_closed };

static void dial(struct rc_session *s, const struct rc_backend *b, const struct http_header *more, size_t n_more)
{
	struct http_header *h = ARENA_ARRAY(s->req->arena, struct http_header, b->n_headers + n_more);
	int64_t timeout_ns = session_patience_ns(s);

	if (n_more)
		memcpy(h, more, n_more * sizeof(*h));
	if (b->n_headers)
		memcpy(h + n_more, b->headers, b->n_headers * sizeof(*h));
	limit_restart(s, 2 * timeout_ns, answer_late);
	s->dialog = http_dial(s->loop, &b->endpoint, b->method ? b->method : "POST", b->target, h,
			      b->n_headers + n_more, SV_NULL, timeout_ns, &dialog_cb, s);
}

/* --- the three entries --- */

int rc_translate(struct http_req *r, const struct rc_backend *b, const struct rc_opts *o, struct err *err)
{
	struct http_header *accept,
	    more[3] = { { SV("connection"), SV("Upgrade") }, { SV("upgrade"), SV("SPDY/3.1") } };
	const char *protocol;
	struct rc_session *s;
	size_t n;

	if (ws_accept(r, rc_subprotocols, &protocol, &accept, &n, err) < 0)
		return -1;
	s = session_new(TRANSLATE, r, o);
	s->core = rc_core_new(protocol, o->want_stdin, o->want_stdout, o->want_stderr, o->tty);
	s->tunnel = http_upgrade(r, accept, n, &tunnel_cb, s);
	if (!s->tunnel) {
		if (o->ret_session)
			*o->ret_session = NULL;
		session_free(s);
		return err_set(err, ERR_UNAVAILABLE, "the connection cannot be upgraded");
	}
	s->answered = true;
	more[2] = (struct http_header){ SV("x-stream-protocol-version"), sv_from(rc_core_backend_protocol(s->core)) };
	dial(s, b, more, ARRAY_LEN(more));
	session_pump(s);
	return 0;
}

bool rc_is_upgrade(const struct http_req *r)
{
	struct sv list = http_header_get(r, "connection"), member;

	if (r->version != 1 || http_header_get(r, "upgrade").n == 0)
		return false;
	while (sv_split(&list, ',', &member))
		if (sv_ieq(sv_trim(member), SV("upgrade")))
			return true;
	return false;
}

int rc_pipe(struct http_req *r, const struct rc_backend *b, const struct rc_opts *o, struct err *err)
{
	struct http_header *more;
	struct rc_session *s;
	size_t n = 0;

	if (!rc_is_upgrade(r))
		return err_set(err, ERR_BAD_REQUEST, "the request is not an upgrade");
	more = ARENA_ARRAY(r->arena, struct http_header, r->n_headers + 1);
	more[n++] = (struct http_header){ SV("connection"), SV("Upgrade") };
	for (size_t i = 0; i < r->n_headers; i++)
		if (sv_is(r->headers[i].name, "upgrade") || sv_is(r->headers[i].name, "x-stream-protocol-version") ||
		    sv_starts(r->headers[i].name, SV("sec-websocket-")))
			more[n++] = r->headers[i];
	s = session_new(PIPE, r, o);
	session_wait(s);
	dial(s, b, more, n);
	return 0;
}

int rc_unwrap(struct http_req *r, const struct rc_backend *b, const struct rc_opts *o, struct err *err)
{
	static const char *const offers[] = { "SPDY/3.1+portforward.k8s.io", NULL };
	const struct http_header more[] = {
		{ SV("connection"), SV("Upgrade") },
		{ SV("upgrade"), SV("SPDY/3.1") },
		{ SV("x-stream-protocol-version"), SV("portforward.k8s.io") },
	};
	struct http_header *accept;
	const char *protocol;
	struct rc_session *s;
	size_t n;

	if (ws_accept(r, offers, &protocol, &accept, &n, err) < 0)
		return -1;
	s = session_new(UNWRAP, r, o);
	session_wait(s);
	s->accept_headers = accept;
	s->n_accept_headers = n;
	dial(s, b, more, ARRAY_LEN(more));
	return 0;
}

void rc_revoke(struct rc_session *s, const struct err *why)
{
	if (s->why.reason == ERR_NONE)
		err_copy(&s->why, why);
	if (s->mode == TRANSLATE) {
		rc_core_backend_end(s->core, &s->why); /* the verdict; then as at any end */
		session_pump(s);
	} else {
		if (s->tunnel)
			http_tunnel_close(s->tunnel);
		if (s->dialog)
			http_dialog_close(s->dialog);
	}
}
