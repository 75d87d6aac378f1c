/* Requests and their response queues, what HTTP/1 and HTTP/2 have in common.
 *
 * A request is one piece of memory that starts with the public struct and ends with the first
 * bytes of its arena, and goes back to a list of its loop when done: a small GET allocates
 * nothing here. The connection holds one reference from the first header to the last byte of
 * the response; others come from http_req_ref().
 */
#include "net/http-internal.h"
#include "base/board.h"

#include <http_parser.h>
#include <stdlib.h>

#define SPARE_MAX 64

static struct http_rq *rq_of(const struct http_req *r)
{
	return (struct http_rq *)(uintptr_t)r;
}

const char *http_status_text(int status)
{
	switch (status) {
#define STATUS_CASE(num, name, text) \
	case num:                    \
		return #text;
		HTTP_STATUS_MAP(STATUS_CASE)
#undef STATUS_CASE
	default:
		return "";
	}
}

/* --- life --- */

struct http_rq *rq_new(struct http_conn *c)
{
	struct lane *ln = c->lane;
	struct http_rq *r;

	if (!list_empty(&ln->spare)) {
		r = LIST_ENTRY(ln->spare.next, struct http_rq, link);
		list_del(&r->link);
		ln->n_spare--;
	} else {
		r = xmalloc(sizeof(*r));
	}
	memset(r, 0, offsetof(struct http_rq, mem));
	r->arena.at = r->mem;
	r->arena.end = r->mem + sizeof(r->mem);
	arena_small(&r->arena);
	r->pub.arena = &r->arena;
	r->pub.server = ln->srv;
	r->pub.peer = &c->peer;
	r->pub.version = c->proto == PROTO_H2 ? 2 : 1;
	r->conn = c;
	r->body_expected = -1;
	atomic_store_explicit(&r->refs, 1, memory_order_relaxed);
	list_init(&r->stall);
	list_add_tail(&c->rqs, &r->link);
	c->n_rqs++;
	c->refs++;
	return r;
}

static void rq_pop_chunk(struct http_rq *r)
{
	struct rq_chunk *q = r->q;

	r->q = q->next;
	if (!r->q)
		r->q_tail = NULL;
	if (q == &r->first)
		r->first_used = false;
	else
		free(q);
}

static void rq_drop_source(struct http_rq *r)
{
	struct http_source *src = r->src;

	r->src = NULL;
	if (!src)
		return;
	r->conn->n_sources--;
	src->release(src);
}

static void rq_drop_queue(struct http_rq *r)
{
	while (r->q) {
		struct http_chunk c = r->q->c;

		rq_pop_chunk(r);
		if (c.release)
			c.release(c.owner);
	}
	r->queued = 0;
	rq_drop_source(r);
}

static void rq_free(void *p)
{
	struct http_rq *r = p;
	struct http_conn *c = r->conn;
	struct lane *ln = c->lane;

	rq_drop_queue(r);
	arena_release(&r->arena);
	if (r->counted)
		rq_body_done(r);
	free(r->body);
	if (ln->n_spare < SPARE_MAX) {
		list_add_head(&ln->spare, &r->link);
		ln->n_spare++;
	} else {
		free(r);
	}
	http_conn_unref(c); /* may take the lane with it */
}

struct http_req *http_req_ref(struct http_req *r)
{
	atomic_fetch_add(&rq_of(r)->refs, 1);
	return r;
}

struct http_req *http_req_unref(struct http_req *pub)
{
	struct http_rq *r = rq_of(pub);

	if (!pub || atomic_fetch_sub(&r->refs, 1) != 1)
		return NULL;
	/* What it holds belongs to its loop: the last one out elsewhere sends it home. */
	if (ev_loop_is_current(r->conn->lane->loop))
		rq_free(r);
	else
		ev_loop_post(r->conn->lane->loop, rq_free, r);
	return NULL;
}

void http_req_last(struct http_req *pub)
{
	struct http_conn *c = rq_of(pub)->conn;

	if (c->h2)
		c->ops->stop(c);
}

bool http_req_gone(const struct http_req *r)
{
	return atomic_load_explicit(&rq_of(r)->gone, memory_order_relaxed);
}

void http_req_owner(struct http_req *r, uint64_t id)
{
	struct http_conn *c = rq_of(r)->conn;

	if (c->s)
		stream_belongs(c->s, id);
}

struct ev_loop *http_req_loop(const struct http_req *r)
{
	return rq_of(r)->conn->lane->loop;
}

/* All of its answer is there: what it was made of goes, for its reader may take his time. The caller holds a reference,
 * and is the last one but the connection. */
void rq_shed(struct http_rq *r)
{
	if (r->state != RQ_FINISHING || r->src || atomic_load(&r->refs) != 2 || r->conn->proto == PROTO_TUNNEL)
		return;
	rq_body_drop(r);
	if (!r->arena.head)
		return;
	for (struct rq_chunk *q = r->q; q; q = q->next) {
		struct http_chunk *c = &q->c;

		if (c->release)
			continue;
		c->owner = xmemdup(c->data.p, c->data.n);
		c->data.p = c->owner;
		c->release = free;
	}
	r->pub.method = r->pub.target = r->pub.path = r->pub.query = r->pub.host = SV_NULL;
	r->pub.headers = NULL;
	r->pub.n_headers = r->headers_cap = 0;
	r->pub.user = NULL;
	arena_release(&r->arena);
}

static void rq_leave(struct http_rq *r)
{
	r->state = RQ_DONE;
	list_del(&r->link);
	list_del(&r->stall);
	r->conn->n_rqs--;
	rq_drop_queue(r);
}

void rq_done(struct http_rq *r)
{
	if (r->state == RQ_DONE)
		return;
	rq_leave(r);
	http_req_unref(&r->pub);
}

void rq_peer_gone(struct http_rq *r)
{
	enum rq_state was = r->state;

	if (was == RQ_DONE)
		return;
	atomic_store(&r->gone, true);
	rq_leave(r);
	/* A handler that has ended its response has nothing left to be told. */
	if ((was == RQ_HANDLING || was == RQ_STREAMING) && r->pub.on_gone)
		r->pub.on_gone(&r->pub);
	http_req_unref(&r->pub);
}

/* --- the way in --- */

void rq_header_add(struct http_rq *r, struct sv name, struct sv value)
{
	if (r->pub.n_headers == r->headers_cap) {
		struct http_header *old = r->pub.headers;

		r->headers_cap = r->headers_cap ? r->headers_cap * 2 : 4;
		r->pub.headers = arena_alloc(&r->arena, r->headers_cap * sizeof(*old));
		if (old)
			memcpy(r->pub.headers, old, r->pub.n_headers * sizeof(*old));
	}
	r->pub.headers[r->pub.n_headers++] = (struct http_header){ name, value };
}

static void rq_too_many(struct http_rq *r)
{
	const struct http_header headers[] = { { SV("content-type"), SV("text/plain; charset=utf-8") },
					       { SV("retry-after"), SV("1") } };
	const struct http_chunk text = { .data = SV("Too many requests, please try again later.") };

	http_respond(&r->pub, 429, headers, ARRAY_LEN(headers), &text, 1);
}

void rq_dispatch(struct http_rq *r)
{
	const struct http_server_opts *o = &r->conn->lane->srv->o;

	r->state = RQ_HANDLING;
	rq_body_done(r);
	/* What is made of a body takes room; of the others most take little, and some stay for hours. */
	r->arena.small = r->pub.body.n == 0;
	http_req_ref(&r->pub);
	if (r->bad_status == 429)
		rq_too_many(r);
	else if (r->bad_status)
		http_respond_text(&r->pub, r->bad_status, "text/plain; charset=utf-8",
				  sv_from(http_status_text(r->bad_status)));
	else
		o->handler(&r->pub, o->ctx);
	rq_shed(r);
	http_req_unref(&r->pub);
}

void rq_refuse_body(struct http_rq *r, int status)
{
	const struct http_server_opts *o = &r->conn->lane->srv->o;

	r->state = RQ_HANDLING;
	r->refused = true;
	rq_body_drop(r);
	if (status == 429) {
		rq_too_many(r);
	} else if (!o->too_large) {
		http_respond_text(&r->pub, status, "text/plain; charset=utf-8", SV("Request Entity Too Large"));
	} else {
		http_req_ref(&r->pub);
		o->too_large(&r->pub, o->ctx);
		http_req_unref(&r->pub);
	}
}

/* --- what was asked --- */

struct sv http_header_get(const struct http_req *r, const char *lower_name)
{
	struct sv want = sv_from(lower_name);

	for (size_t i = 0; i < r->n_headers; i++) {
		if (sv_eq(r->headers[i].name, want))
			return r->headers[i].value;
	}
	return SV_NULL;
}

struct sv http_percent_decode(struct arena *a, struct sv s, bool plus_is_space)
{
	size_t n = 0;
	char *out;

	if (sv_find(s, '%') < 0 && (!plus_is_space || sv_find(s, '+') < 0))
		return s.p ? s : SV("");
	out = arena_alloc(a, s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		int hi = -1, lo = -1;

		if (s.p[i] == '%' && i + 2 < s.n) {
			hi = hex_value(s.p[i + 1]);
			lo = hex_value(s.p[i + 2]);
		}
		if (hi >= 0 && lo >= 0) {
			out[n++] = (char)(hi << 4 | lo);
			i += 2;
		} else {
			out[n++] = plus_is_space && s.p[i] == '+' ? ' ' : s.p[i];
		}
	}
	out[n] = '\0';
	return sv_make(out, n);
}

bool http_query_get(const struct http_req *r, const char *name, struct sv *ret)
{
	struct sv rest = r->query, pair;

	while (sv_split(&rest, '&', &pair)) {
		struct sv value = pair, key;

		if (!sv_split(&value, '=', &key))
			continue;
		if (!sv_eq(http_percent_decode(r->arena, key, true), sv_from(name)))
			continue;
		*ret = http_percent_decode(r->arena, value, true);
		return true;
	}
	return false;
}

bool http_query_true(struct sv value)
{
	return !sv_is(value, "0") && !sv_ieq(value, SV("false"));
}

bool http_query_flag(const struct http_req *r, const char *name)
{
	struct sv v;

	return http_query_get(r, name, &v) && http_query_true(v);
}

/* --- the way out --- */

static void rq_enqueue(struct http_rq *r, const struct http_chunk *c)
{
	struct rq_chunk *q;

	if (c->data.n == 0 || r->no_body) {
		if (c->release)
			c->release(c->owner);
		return;
	}
	if (!r->first_used) {
		q = &r->first;
		r->first_used = true;
	} else {
		q = xmalloc(sizeof(*q));
	}
	*q = (struct rq_chunk){ .c = *c };
	if (r->q_tail)
		r->q_tail->next = q;
	else
		r->q = q;
	r->q_tail = q;
	r->queued += c->data.n;
}

/* A piece of an answer that is made while it is sent. */
static void rq_make(struct http_rq *r, size_t want)
{
	_cleanup_(work_leave) _unused_ int mark = work_enter("answer", r->pub.method, r->pub.path, SV(""));

	while (r->src && r->queued < want) {
		struct http_chunk c = { 0 };

		if (r->src->next(r->src, &c))
			rq_enqueue(r, &c);
		else
			rq_drop_source(r);
	}
}

void rq_fill(struct http_rq *r, size_t want)
{
	if (r->src && r->queued < want)
		rq_make(r, want);
}

void rq_consume(struct http_rq *r, size_t n)
{
	struct rq_chunk *q = r->q;

	r->moved = true;
	q->off += n;
	r->queued -= n;
	if (q->off == q->c.data.n) {
		struct http_chunk c = q->c;

		rq_pop_chunk(r);
		if (c.release)
			c.release(c.owner);
	}
}

struct http_chunk rq_take_chunk(struct http_rq *r)
{
	struct http_chunk c = r->q->c;

	r->moved = true;
	r->queued -= c.data.n;
	rq_pop_chunk(r);
	return c;
}

void rq_check_drain(struct http_rq *r)
{
	if (!r->over || r->queued || r->state != RQ_STREAMING || stream_queued(r->conn->s) > STREAM_QUEUE_MAX)
		return;
	r->over = false;
	if (r->pub.on_drain)
		r->pub.on_drain(&r->pub);
}

static void release_all(const struct http_chunk *body, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (body[i].release)
			body[i].release(body[i].owner);
	}
}

static void rq_start(struct http_rq *r, int status)
{
	if (status == 204 || status == 304 || sv_is(r->pub.method, "HEAD"))
		r->no_body = true;
}

/* Sends the headers; the body, as far as it is there, is queued. */
static void rq_respond(struct http_rq *r, int status, const struct http_header *headers, size_t n_headers,
		       int64_t total)
{
	r->state = RQ_FINISHING;
	r->conn->ops->respond(r, status, headers, n_headers, total, r->q || r->src);
	http_rq_limit(r);
	stream_want(r->conn->s);
}

void http_respond(struct http_req *pub, int status, const struct http_header *headers, size_t n_headers,
		  const struct http_chunk *body, size_t n_body)
{
	struct http_rq *r = rq_of(pub);
	size_t total = 0;

	if (r->state != RQ_HANDLING) {
		release_all(body, n_body);
		return;
	}
	rq_start(r, status);
	for (size_t i = 0; i < n_body; i++) {
		total += body[i].data.n;
		rq_enqueue(r, &body[i]);
	}
	rq_respond(r, status, headers, n_headers, (int64_t)total);
}

void http_respond_source(struct http_req *pub, int status, const struct http_header *headers, size_t n_headers,
			 struct http_source *body_take)
{
	struct http_rq *r = rq_of(pub);
	int64_t total = body_take->total;

	if (r->state != RQ_HANDLING) {
		body_take->release(body_take);
		return;
	}
	rq_start(r, status);
	r->src = body_take;
	r->conn->n_sources++;
	if (r->no_body)
		rq_drop_source(r);
	rq_respond(r, status, headers, n_headers, total);
}

void http_respond_text(struct http_req *r, int status, const char *content_type, struct sv body)
{
	const struct http_header h = { SV("content-type"), sv_from(content_type) };
	struct http_chunk c = { .data = arena_sv(r->arena, body) };

	http_respond(r, status, &h, 1, &c, 1);
}

void http_stream_begin(struct http_req *pub, int status, const struct http_header *headers, size_t n_headers)
{
	struct http_rq *r = rq_of(pub);

	if (r->state != RQ_HANDLING)
		return;
	rq_start(r, status);
	if (!r->pub.body_streams)
		rq_body_drop(r);
	r->state = RQ_STREAMING;
	r->conn->ops->respond(r, status, headers, n_headers, -1, true);
	stream_want(r->conn->s);
}

size_t http_stream_write(struct http_req *pub, const struct http_chunk *c)
{
	struct http_rq *r = rq_of(pub);
	size_t queued;

	if (r->state != RQ_STREAMING) {
		release_all(c, 1);
		return 0;
	}
	rq_enqueue(r, c);
	queued = r->queued;
	if (r->conn->ops->resume)
		r->conn->ops->resume(r);
	else
		queued += stream_queued(r->conn->s);
	stream_want(r->conn->s);
	if (queued > STREAM_QUEUE_MAX)
		r->over = true;
	return queued;
}

void http_stream_end(struct http_req *pub)
{
	struct http_rq *r = rq_of(pub);

	if (r->state != RQ_STREAMING)
		return;
	r->state = RQ_FINISHING;
	http_rq_limit(r);
	if (r->conn->ops->resume)
		r->conn->ops->resume(r);
	stream_want(r->conn->s);
}

void http_stream_abort(struct http_req *pub)
{
	struct http_rq *r = rq_of(pub);

	if (r->state != RQ_STREAMING)
		return;
	r->state = RQ_FINISHING;
	http_rq_limit(r);
	r->torn = true;
	if (r->conn->ops->resume)
		r->conn->ops->resume(r);
	stream_want(r->conn->s);
}
