/* Calls on kept connections.
 *
 *	call: WAITING ──a connection is free, or there may be another──▶ SENT ──whole answer──▶ done()
 *	                     ▲                                            │
 *	                     └── the kept connection was closed already ──┘ (once)
 *
 * A call that ends early leaves its connection to be aborted: what would still come on it is nobody's. */
#include "net/http_keep.h"

#include "base/buf.h"
#include "base/list.h"
#include "ev/limit.h"
#include "net/http_place.h"
#include "net/http_wire.h"
#include "net/stream.h"

#include <stdlib.h>

struct keep_conn;

struct http_keep {
	struct ev_loop *loop;
	struct list conns;   /* all; those that rest first, most recently used before others */
	struct list waiting; /* calls without a connection */
	struct list busy;    /* calls with one */
	size_t n_conns, n_idle;
	struct ev_timer *sweep; /* while connections rest */
	bool closing, emptying;
	void (*emptied)(void *ctx);
	void *emptied_ctx;
};

struct keep_conn {
	struct list link;
	struct http_keep *k;
	struct stream *stream;
	struct http_place place;
	struct http_keep_call *call; /* NULL: it rests, or is being closed */
	struct http_wire wire;
	bool ready, used, closing; /* used: it has brought an answer before */
	struct err why;
	int64_t idle_since_ns;
};

struct http_keep_call {
	struct list link;
	struct http_keep *k;
	struct keep_conn *conn;
	struct http_place place;
	char *method;
	struct buf request, body;
	size_t max_body;
	struct ev_timer *refused; /* what cannot be written is told from the loop */
	struct ev_limit *limit;
	bool sent, again, too_large;
	void (*done)(const struct http_response *r, const struct err *err, bool sent, void *ctx);
	void *ctx;
};

static void keep_next(struct http_keep *k);

/* --- calls --- */

static void keep_call_free(struct http_keep_call *c)
{
	list_del(&c->link);
	ev_timer_stop(c->refused);
	ev_limit_stop(c->limit);
	http_place_release(&c->place);
	buf_release(&c->request);
	buf_release(&c->body);
	free(c->method);
	free(c);
}

/* Nothing of the call is touched behind this. */
static void keep_call_done(struct http_keep_call *c, const struct http_response *r, const struct err *err)
{
	void (*done)(const struct http_response *, const struct err *, bool, void *) = c->done;
	struct http_response whole = { 0 };
	void *ctx = c->ctx;
	struct buf body = c->body;
	bool sent = c->sent;

	c->body = BUF_INIT;
	if (r) {
		whole = *r;
		whole.body = buf_sv(&body);
	}
	keep_call_free(c);
	done(r ? &whole : NULL, err, sent, ctx);
	buf_release(&body);
}

static void keep_conn_drop(struct keep_conn *n)
{
	if (n->closing)
		return;
	n->closing = true;
	if (!n->call)
		n->k->n_idle--;
	n->call = NULL;
	stream_abort(n->stream);
}

/* The call ends before its connection has said all. */
static void keep_call_end(struct http_keep_call *c, enum err_reason reason, const char *why)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct keep_conn *n = c->conn;

	err_set(&err, reason, "%s", why);
	if (n)
		keep_conn_drop(n);
	keep_call_done(c, NULL, &err);
}

static void keep_call_late(void *ctx)
{
	keep_call_end(ctx, ERR_TIMEOUT, "context deadline exceeded");
}

void http_keep_cancel(struct http_keep_call *c)
{
	if (c->conn)
		keep_conn_drop(c->conn);
	keep_call_free(c);
}

/* --- connections --- */

static int keep_on_data(struct sv bytes, void *ctx)
{
	struct keep_conn *n = ctx;
	struct http_keep_call *c = n->call;

	if (!c)
		return 1;
	if (bytes.n > c->max_body - c->body.n) {
		c->too_large = true;
		return 1;
	}
	buf_addsv(&c->body, bytes);
	return 0;
}

static void keep_conn_send(struct keep_conn *n)
{
	http_wire_init(&n->wire, n->call->method, NULL, keep_on_data, n);
	n->call->sent = true;
	stream_write(n->stream, buf_sv(&n->call->request));
}

static void keep_on_ready(struct stream *s, void *ctx)
{
	struct keep_conn *n = ctx;

	(void)s;
	n->ready = true;
	if (n->call)
		keep_conn_send(n);
}

static void keep_sweep(void *ctx)
{
	struct http_keep *k = ctx;
	int64_t now = ev_loop_now_ns(k->loop);

	LIST_EACH(&k->conns, it) {
		struct keep_conn *n = LIST_ENTRY(it, struct keep_conn, link);

		if (!n->call && !n->closing && now - n->idle_since_ns >= KEEP_IDLE_NS)
			keep_conn_drop(n);
	}
	if (k->n_idle == 0)
		k->sweep = ev_timer_stop(k->sweep);
}

static void keep_conn_rest(struct keep_conn *n)
{
	struct http_keep *k = n->k;

	http_wire_release(&n->wire);
	n->used = true;
	n->idle_since_ns = ev_loop_now_ns(k->loop);
	list_del(&n->link);
	list_add_head(&k->conns, &n->link);
	k->n_idle++;
	if (!k->sweep)
		k->sweep = ev_timer_start(k->loop, KEEP_IDLE_NS / 3, KEEP_IDLE_NS / 3, keep_sweep, k);
	if (k->n_idle <= KEEP_IDLE_MAX)
		return;
	for (struct list *it = k->conns.prev; it != &k->conns; it = it->prev) {
		struct keep_conn *old = LIST_ENTRY(it, struct keep_conn, link);

		if (!old->call && !old->closing) {
			keep_conn_drop(old);
			return;
		}
	}
}

/* The whole answer is there; `clean`: and nothing else. */
static void keep_answered(struct keep_conn *n, bool clean)
{
	struct http_keep_call *c = n->call;
	struct http_response head = n->wire.head;
	struct http_wire wire = n->wire; /* holds the head until done() has seen it */
	struct http_keep *k = n->k;

	n->wire = (struct http_wire){ 0 };
	n->call = NULL;
	c->conn = NULL;
	if (clean && wire.keep_alive && !wire.upgraded && !n->closing) {
		keep_conn_rest(n);
	} else if (!n->closing) {
		k->n_idle++; /* as keep_conn_drop() counts it */
		keep_conn_drop(n);
	}
	keep_call_done(c, &head, NULL);
	http_wire_release(&wire);
	keep_next(k);
}

static void keep_on_bytes(struct stream *s, struct sv bytes, void *ctx)
{
	struct keep_conn *n = ctx;
	struct http_keep_call *c = n->call;
	ssize_t used;

	(void)s;
	if (n->closing)
		return;
	if (!c || !c->sent) { /* it says what nobody asked for */
		if (!c)
			keep_conn_drop(n);
		return;
	}
	used = http_wire_feed(&n->wire, bytes, &n->why);
	if (n->wire.complete && used >= 0) {
		keep_answered(n, (size_t)used == bytes.n);
		return;
	}
	if (c->too_large) {
		_cleanup_free_ char *why = xasprintf("the answer is longer than %zu bytes", c->max_body);

		keep_call_end(c, ERR_TOO_LARGE, why);
	} else if (used < 0) {
		_cleanup_(err_release) struct err err = ERR_INIT;

		err_move(&err, &n->why);
		keep_conn_drop(n);
		keep_call_done(c, NULL, &err);
	}
}

static void keep_conn_free(struct keep_conn *n)
{
	struct http_keep *k = n->k;

	list_del(&n->link);
	k->n_conns--;
	http_wire_release(&n->wire);
	http_place_release(&n->place);
	err_release(&n->why);
	free(n);
}

static void keep_emptied(struct http_keep *k)
{
	void (*emptied)(void *) = k->emptied;
	void *ctx = k->emptied_ctx;

	if (!k->closing || k->n_conns || k->emptying)
		return;
	k->emptying = true;
	ev_timer_stop(k->sweep);
	free(k);
	emptied(ctx);
}

static void keep_on_closed(struct stream *s, const struct err *err, void *ctx)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct keep_conn *n = ctx;
	struct http_keep *k = n->k;
	struct http_keep_call *c = n->call;

	(void)s;
	if (!n->closing && !c)
		k->n_idle--;
	n->closing = true;
	if (c && !err && n->ready && http_wire_eof(&n->wire, &why) == 0) {
		keep_answered(n, false);
		c = NULL;
	}
	if (c) {
		bool again = n->used && !n->wire.began && !c->again && !k->closing;

		if (err && why.reason == ERR_NONE)
			err_copy(&why, err);
		n->call = NULL;
		c->conn = NULL;
		if (again) {
			c->again = true;
			c->sent = false;
			list_del(&c->link);
			list_add_head(&k->waiting, &c->link);
		} else {
			keep_call_done(c, NULL, &why);
		}
	}
	keep_conn_free(n);
	if (k->closing)
		keep_emptied(k);
	else
		keep_next(k);
}

static const struct stream_cb keep_stream_cb = {
	.ready = keep_on_ready,
	.data = keep_on_bytes,
	.closed = keep_on_closed,
};

/* A connection for c: one that rests, else a new one; NULL: there are as many as may be. */
static struct keep_conn *keep_conn_for(struct http_keep *k, struct http_keep_call *c)
{
	struct http_endpoint ep = http_place_endpoint(&c->place);
	struct stream_target t = { .host = ep.host,
				   .port = ep.port,
				   .tls = ep.tls,
				   .server_name = ep.server_name,
				   .peer_name = ep.peer_name,
				   .may_dial = ep.may_dial,
				   .may_ctx = ep.may_ctx };
	struct keep_conn *n;
	size_t same = 0;

	LIST_EACH(&k->conns, it) {
		n = LIST_ENTRY(it, struct keep_conn, link);
		if (n->closing || !http_place_leads_to(&n->place, &ep))
			continue;
		if (!n->call && !c->again) {
			k->n_idle--;
			return n;
		}
		same++;
	}
	if (same >= KEEP_PEER_MAX)
		return NULL;
	n = xcalloc(1, sizeof(*n));
	n->k = k;
	http_place_init(&n->place, &ep);
	t.via = n->place.via.dial ? &n->place.via : NULL;
	n->call = c; /* before the stream: it may call back as soon as the loop turns */
	list_add_tail(&k->conns, &n->link);
	k->n_conns++;
	n->stream = stream_connect(k->loop, &t, 0, &keep_stream_cb, n);
	return n;
}

/* Those that wait and can go. */
static void keep_next(struct http_keep *k)
{
	if (k->closing)
		return;
	LIST_EACH(&k->waiting, it) {
		struct http_keep_call *c = LIST_ENTRY(it, struct http_keep_call, link);
		struct keep_conn *n = keep_conn_for(k, c);

		if (!n)
			continue;
		n->call = c;
		c->conn = n;
		list_del(&c->link);
		list_add_tail(&k->busy, &c->link);
		if (n->ready)
			keep_conn_send(n);
	}
}

/* --- the whole --- */

struct http_keep *http_keep_new(struct ev_loop *l)
{
	struct http_keep *k = xcalloc(1, sizeof(*k));

	k->loop = l;
	list_init(&k->conns);
	list_init(&k->waiting);
	list_init(&k->busy);
	return k;
}

static void keep_call_refused(void *ctx)
{
	keep_call_end(ctx, ERR_BAD_REQUEST,
		      "the request cannot be written: its address, path or a header is not valid");
}

struct http_keep_call *http_keep_call(struct http_keep *k, const struct http_keep_opts *o)
{
	struct http_keep_call *c = xcalloc(1, sizeof(*c));

	c->k = k;
	c->method = xstrdup(o->method);
	c->max_body = o->max_body;
	c->done = o->done;
	c->ctx = o->ctx;
	http_place_init(&c->place, o->ep);
	list_add_tail(&k->waiting, &c->link);
	if (k->closing ||
	    http_wire_request(&c->request, o->ep, o->method, o->target, o->headers, o->n_headers, o->body, NULL) < 0) {
		list_del(&c->link);
		list_add_tail(&k->busy, &c->link);
		c->refused = ev_timer_start(k->loop, 0, 0, keep_call_refused, c);
		return c;
	}
	c->limit = ev_limit_start(k->loop, o->timeout_ns, keep_call_late, c);
	keep_next(k);
	return c;
}

void http_keep_close(struct http_keep *k, void (*emptied)(void *ctx), void *ctx)
{
	static const char why[] = "the server is shutting down";

	k->closing = true;
	k->emptied = emptied;
	k->emptied_ctx = ctx;
	while (!list_empty(&k->waiting))
		keep_call_end(LIST_ENTRY(k->waiting.next, struct http_keep_call, link), ERR_UNAVAILABLE, why);
	while (!list_empty(&k->busy))
		keep_call_end(LIST_ENTRY(k->busy.next, struct http_keep_call, link), ERR_UNAVAILABLE, why);
	LIST_EACH(&k->conns, it)
		keep_conn_drop(LIST_ENTRY(it, struct keep_conn, link));
	keep_emptied(k);
}
