/* HTTP to struct api_req and back.
 *
 * What is answered has been written already (media.h), an object as its own JSON by reference; only gzip comes on top
 * here. A request holds a reference on its http_req until it is answered; answers given on another thread hop to the
 * connection's loop first. */
#include "apiserver/aggregator/aggregator.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/browser.h"
#include "apiserver/flow/flow.h"
#include "apiserver/held.h"
#include "apiserver/media.h"
#include "apiserver/proxy.h"
#include "apiserver/ws_stream.h"
#include "base/board.h"
#include "net/ws.h"

#include <stdio.h>
#include <stdlib.h>

#define HEADERS_MAX 24

/* --- leaving the thread of the answer --- */

struct hop {
	struct api_req *q;
	void (*fn)(struct api_req *q, void *ctx);
	void *ctx;
};

/* An answer on its way. */
struct answer_hop {
	int code;
	const char *content_type;
	struct http_chunk *chunks; /* owned */
	size_t n;
	bool gzipped;
	struct http_source *src;
};

static bool here(struct api_req *q)
{
	return ev_loop_is_current(http_req_loop(q->http));
}

static struct hop hop_of(const void *copy)
{
	struct hop h;

	memcpy(&h, copy, sizeof(h));
	return h;
}

static void hop_run(struct http_req *r, void *copy)
{
	struct hop h = hop_of(copy);
	_cleanup_(work_leave) _unused_ int mark = api_req_work(h.q);

	(void)r;
	h.fn(h.q, h.ctx);
}

static void http_sink_post(struct api_req *q, void (*fn)(struct api_req *q, void *ctx), void *ctx)
{
	struct hop h = { q, fn, ctx };

	http_req_post_copy(q->http, hop_run, &h, sizeof(h));
}

/* --- answers --- */

static const char *header_text(struct arena *a, struct sv s)
{
	char *out = arena_alloc(a, 2 * s.n + 1);
	size_t n = 0;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			out[n++] = '\\';
		out[n++] = c < 0x20 || c == 0x7f ? ' ' : s.p[i];
	}
	out[n] = '\0';
	return out;
}

static size_t make_headers(struct api_req *q, struct http_header *h, const char *content_type)
{
	size_t n = 0;

	h[n++] = (struct http_header){ SV("audit-id"), audit_id(q) };
	h[n++] = (struct http_header){ SV("cache-control"), SV("no-cache, private") };
	if (*content_type)
		h[n++] = (struct http_header){ SV("content-type"), sv_from(content_type) };
	n += flow_headers(q, h + n);
	for (size_t i = 0; i < q->n_headers && n < HEADERS_MAX; i++) {
		if (sv_is(q->headers[i].name, "cache-control"))
			h[1].value = q->headers[i].value;
		else
			h[n++] = q->headers[i];
	}
	for (size_t i = 0; i < q->n_warnings && n < HEADERS_MAX; i++)
		h[n++] = (struct http_header){ SV("warning"), arena_svf(q->arena, "299 - \"%s\"",
									header_text(q->arena, q->warnings[i])) };
	return n;
}

static void release_chunks(const struct http_chunk *chunks, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (chunks[i].release)
			chunks[i].release(chunks[i].owner);
}

static struct http_chunk gzip_chunks(const struct api_req *q, const struct http_chunk *chunks, size_t n)
{
	_cleanup_(buf_release) struct buf flat = BUF_INIT;
	struct buf made = BUF_INIT;

	if (n > 1)
		for (size_t i = 0; i < n; i++)
			buf_addsv(&flat, chunks[i].data);
	gzip_bytes(&made, n > 1 ? buf_sv(&flat) : chunks[0].data);
	release_chunks(chunks, n);
	n = made.n;
	return held_chunk(q, buf_detach(&made), n);
}

static size_t gzip_headers(struct http_header *h, size_t n)
{
	h[n++] = (struct http_header){ SV("content-encoding"), SV("gzip") };
	h[n++] = (struct http_header){ SV("vary"), SV("Accept-Encoding") };
	return n;
}

static void respond(struct api_req *q, int code, const char *content_type, bool gzipped,
		    const struct http_chunk *chunks, size_t n_chunks)
{
	struct http_header headers[HEADERS_MAX + 2];
	struct http_req *r = q->http;
	int64_t bytes = 0;
	size_t n;

	for (size_t i = 0; i < n_chunks; i++)
		bytes += (int64_t)chunks[i].data.n;
	api_req_answered_bytes(q, code, bytes);
	n = make_headers(q, headers, content_type);
	if (gzipped)
		n = gzip_headers(headers, n);
	http_respond(r, code, headers, n, chunks, n_chunks);
	http_req_unref(r);
}

/* --- answers made while they are sent --- */

static void respond_source(struct api_req *q, int code, const char *content_type, struct http_source *src)
{
	struct http_header headers[HEADERS_MAX + 2];
	struct http_req *r = q->http;
	size_t n = make_headers(q, headers, content_type);

	api_req_answered_bytes(q, code, src->total);
	if (answer_gzips(q, code, src->total)) {
		src = gzip_source(src);
		n = gzip_headers(headers, n);
	}
	http_req_owner(r, sv_hash(q->user.name) | 1);
	http_respond_source(r, code, headers, n, src);
	http_req_unref(r);
}

static void source_hop(struct api_req *q, void *ctx)
{
	struct answer_hop *h = ctx;

	respond_source(q, h->code, h->content_type, h->src);
	free(h);
}

/* For an answer that goes when its audit event has gone. */
struct answer_hold {
	struct api_req *q;
	void (*fn)(struct api_req *q, void *ctx);
	struct answer_hop *h;
};

static void hold_over(void *ctx)
{
	struct answer_hold *hold = ctx;

	http_sink_post(hold->q, hold->fn, hold->h);
	free(hold);
}

/* The answer goes on q's own thread, later. */
static void answer_later(struct api_req *q, void (*fn)(struct api_req *q, void *ctx), struct answer_hop *h)
{
	struct answer_hold *hold;

	if (!audit_holds(q)) {
		http_sink_post(q, fn, h);
		return;
	}
	hold = xcalloc(1, sizeof(*hold));
	*hold = (struct answer_hold){ q, fn, h };
	audit_answer_held(q, h->code, hold_over, hold);
}

static void sink_source(struct api_req *q, int code, const char *content_type, struct http_source *src)
{
	struct answer_hop *h;

	if (here(q) && !audit_holds(q)) {
		respond_source(q, code, content_type, src);
		return;
	}
	h = xcalloc(1, sizeof(*h));
	h->code = code;
	h->content_type = content_type;
	h->src = src;
	answer_later(q, source_hop, h);
}

static void bytes_hop(struct api_req *q, void *ctx)
{
	struct answer_hop *h = ctx;

	respond(q, h->code, h->content_type, h->gzipped, h->chunks, h->n);
	free(h->chunks);
	free(h);
}

static void http_sink_bytes(struct api_req *q, int code, const char *content_type, const struct http_chunk *chunks,
			    size_t n)
{
	struct http_chunk made;
	bool gzipped = false;
	size_t total = 0;
	struct answer_hop *h;

	for (size_t i = 0; i < n; i++)
		total += chunks[i].data.n;
	if (total > MEDIA_GZIP_MIN && answer_gzips(q, code, (int64_t)total)) {
		/* That may be much work: done where the request is, before it goes back to its loop. */
		made = gzip_chunks(q, chunks, n);
		chunks = &made;
		n = 1;
		gzipped = true;
	}
	if (here(q) && !audit_holds(q)) {
		respond(q, code, content_type, gzipped, chunks, n);
		return;
	}
	h = xcalloc(1, sizeof(*h));
	h->code = code;
	h->content_type = content_type;
	h->chunks = xmemdup(chunks, n * sizeof(*chunks));
	h->n = n;
	h->gzipped = gzipped;
	answer_later(q, bytes_hop, h);
}

static void http_sink_failure(struct api_req *q, const struct err *err)
{
	if (err->retry_after_s)
		api_req_header(q, SV("retry-after"), arena_svf(q->arena, "%d", err->retry_after_s));
	answer_failure(q, err);
}

/* --- streaming --- */

static void gone(struct http_req *r)
{
	struct api_req *q = r->user;

	if (q->on_gone)
		q->on_gone(q);
}

static void gone_unanswered(struct http_req *r)
{
	req_client_gone(r->user);
}

static void drained(struct http_req *r)
{
	struct api_req *q = r->user;

	if (q->on_drain)
		q->on_drain(q);
}

static void gone_before(struct http_req *r, void *ctx)
{
	(void)ctx;
	gone(r);
}

static void sink_stream_head(struct api_req *q, int code, const struct http_header *headers, size_t n)
{
	api_req_answered(q, code);
	q->http->on_gone = gone;
	q->http->on_drain = drained;
	http_stream_begin(q->http, code, headers, n);
	if (http_req_gone(q->http)) /* on_gone came too early for us */
		http_req_post(q->http, gone_before, NULL);
}

static void sink_stream_begin(struct api_req *q, const char *content_type)
{
	struct http_header headers[HEADERS_MAX + 2];

	sink_stream_head(q, 200, headers, make_headers(q, headers, content_type));
}

static size_t sink_stream_write(struct api_req *q, const struct http_chunk *c)
{
	return http_stream_write(q->http, c);
}

static void sink_stream_end(struct api_req *q)
{
	struct http_req *r = q->http;

	q->on_gone = q->on_drain = NULL;
	http_stream_end(r);
	http_req_unref(r);
}

static const struct api_sink http_sink = {
	.bytes = http_sink_bytes,
	.source = sink_source,
	.failure = http_sink_failure,
	.stream_begin = sink_stream_begin,
	.stream_head = sink_stream_head,
	.stream_write = sink_stream_write,
	.stream_end = sink_stream_end,
	.post = http_sink_post,
	.on_loop = true,
};

/* For requests that ask for a WebSocket: the same, but for streams. Those that upgrade by themselves use neither. */
static const struct api_sink ws_sink = {
	.bytes = http_sink_bytes,
	.source = sink_source,
	.failure = http_sink_failure,
	.stream_begin = ws_stream_begin,
	.stream_write = ws_stream_write,
	.stream_event = ws_stream_event,
	.stream_end = ws_stream_end,
	.post = http_sink_post,
	.on_loop = true,
};

/* --- requests --- */

/* Media types are written in any case; parameters keep theirs. */
static struct sv lower_type(struct arena *a, struct sv header)
{
	char *p = arena_cstr(a, header);

	for (char *c = p; *c && *c != ';'; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c + ('a' - 'A'));
	return sv_make(p, header.n);
}

static void read_headers(struct api_req *q)
{
	for (size_t i = 0; i < q->http->n_headers; i++) {
		const struct http_header *h = &q->http->headers[i];

		switch (h->name.n) {
		case 6:
			if (sv_is(h->name, "accept"))
				q->accept = h->value;
			break;
		case 10:
			if (sv_is(h->name, "user-agent"))
				q->user_agent = h->value;
			break;
		case 12:
			if (sv_is(h->name, "content-type"))
				q->content_type = lower_type(q->arena, h->value);
			break;
		default:
			break;
		}
	}
}

_Static_assert(2 * sizeof(struct api_req) <= HTTP_REQ_MEM, "the rest is for headers and what is made of them");

static struct sv path_of(const struct http_req *r)
{
	return sv_find(r->path, '%') < 0 ? r->path : http_percent_decode(r->arena, r->path, false);
}

static struct api_req *request(struct http_req *r, void *ctx)
{
	struct api_req *q = ARENA_NEW(r->arena, struct api_req);

	q->server = ctx;
	q->arena = r->arena;
	q->sink = ws_is_upgrade(r) ? &ws_sink : &http_sink;
	q->http = http_req_ref(r);
	q->method = r->method;
	q->body = r->body;
	q->path = path_of(r);
	r->user = q;
	r->on_gone = gone_unanswered;
	read_headers(q);
	api_req_query(q, r->query);
	return q;
}

/* One of so many: clients that keep a connection for good never find another server. */
static bool is_last(const struct apiserver *s)
{
	if (s->o.goaway_chance <= 0)
		return false;
	return (double)env_random_below(s->env, 1U << 30) < s->o.goaway_chance * (1U << 30);
}

void apiserver_http(struct http_req *r, void *ctx)
{
	struct api_req *q;

	if (is_last(ctx))
		http_req_last(r);
	q = request(r, ctx);
	if (!q->server->browser || !browser_headers(q->server->browser, q)) {
		api_serve(q);
		return;
	}
	q->start_ns = env_mono_ns(q->server->env);
	metrics_inflight(q->server, q, 1);
	http_sink_bytes(q, 204, "", NULL, 0);
}

bool apiserver_http_streams(struct http_req *r, void *ctx)
{
	struct sv path;

	if (http_header_get(r, "upgrade").n)
		return false;
	path = path_of(r);
	return proxy_takes(path) || aggregator_takes(ctx, path);
}

void apiserver_http_too_large(struct http_req *r, void *ctx)
{
	struct api_req *q = request(r, ctx);
	struct err err = ERR_INIT;

	q->start_ns = env_mono_ns(q->server->env);
	metrics_inflight(q->server, q, 1);
	err_set(&err, ERR_TOO_LARGE, "Request entity too large: limit is 3145728");
	api_req_fail(q, &err);
}
