#include "apiserver/proxy.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/front_proxy.h"
#include "apiserver/flow/flow.h"
#include "apiserver/inflight.h"
#include "apiserver/proxy_links.h"
#include "apiserver/registry/kinds/kinds.h"
#include "apiserver/standing.h"
#include "apiserver/steps.h"
#include "net/remotecommand.h"

#include <stdlib.h>

#define CONNECT_TIMEOUT_NS (30 * NS_PER_SEC)
#define HIGH_WATER ((size_t)256 * 1024) /* bytes queued towards a slow client before we stop reading */

bool proxy_split_name(struct sv id, struct sv *ret_scheme, struct sv *ret_name, struct sv *ret_port)
{
	struct sv part[4];
	size_t n = 0;

	while (n < ARRAY_LEN(part) && sv_split(&id, ':', &part[n]))
		n++;
	*ret_scheme = n == 3 ? part[0] : SV("");
	*ret_name = part[n == 3];
	*ret_port = n == 3 ? part[2] : n == 2 ? part[1] : SV("");
	return n >= 1 && n <= 3 && ret_name->n &&
	       (ret_scheme->n == 0 || sv_is(*ret_scheme, "http") || sv_is(*ret_scheme, "https"));
}

/* Its memory, and with it the request's, is held by the exchange and by the timer while that may still fire. */
struct passage {
	atomic_int refs;
	struct api_req *q;
	struct http_req *http;	 /* a reference: the request, and its arena */
	struct env_timer *timer; /* to its deadline; NULL: it lasts. The request's loop's */
	struct http_dialog *dialog;
	struct standing *standing;
	struct err lost, why; /* the right to go on (401, 403); what ended it before there was an answer */
	struct proxy_from from;
	struct proxy_html html;
	bool streaming, rewriting, gone, paused, late;
	bool resting;		/* the client's body, until its server has taken what there is */
	bool malformed;		/* and it is none */
	bool plain, redirected; /* see struct proxy_how */
};

static void passage_unref(struct passage *p)
{
	struct http_req *http = p->http;

	if (atomic_fetch_sub(&p->refs, 1) != 1)
		return;
	proxy_html_release(&p->html);
	err_release(&p->lost);
	err_release(&p->why);
	free(p);
	http_req_unref(http);
}

/* --- there --- */

/* Behind ".../NAME/proxy", as sent. The parts are counted, as a name may be "proxy" itself. */
static struct sv path_behind(struct api_req *q)
{
	struct sv path = q->http->path;
	size_t parts = (q->group.n ? 3 : 2) + (q->ns.n ? 2 : 0) + 3; /* api v1 [namespaces NS] pods NAME proxy */

	for (; parts > 0; parts--) {
		while (path.n && path.p[0] == '/')
			path = sv_sub(path, 1, path.n);
		while (path.n && path.p[0] != '/')
			path = sv_sub(path, 1, path.n);
	}
	return path.p ? path : SV("");
}

/* What is between the client and us, or is said anew. */
static bool passed_on(struct sv name)
{
	static const char *const ours[] = { "authorization",
					    "connection",
					    "content-length",
					    "expect",
					    "host",
					    "http2-settings",
					    "keep-alive",
					    "proxy-connection",
					    "te",
					    "trailer",
					    "transfer-encoding",
					    "upgrade",
					    "x-forwarded-for",
					    "x-forwarded-uri" };
	static const char *const prefixes[] = { "impersonate-", "proxy-auth", "sec-websocket-", ":" };

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (sv_is(name, ours[i]))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
		if (sv_starts(name, sv_from(prefixes[i])))
			return false;
	return true;
}

static bool named_by_connection(const struct http_req *r, struct sv name)
{
	struct sv list = http_header_get(r, "connection"), one;

	while (list.n && sv_split(&list, ',', &one))
		if (sv_ieq(sv_trim(one), name))
			return true;
	return false;
}

static struct http_header *request_headers(struct api_req *q, const struct proxy_how *how, size_t *ret_n)
{
	const struct http_req *r = q->http;
	struct http_header *h = ARENA_ARRAY(q->arena, struct http_header, r->n_headers + 4 + how->n_more);
	bool host = r->host.n > 0;
	struct sv seen = http_header_get(r, "x-forwarded-for"), client = r->peer ? r->peer->address : SV("");
	ssize_t colon = -1;
	size_t n = 0;

	for (size_t i = 0; i < r->n_headers; i++)
		if (passed_on(r->headers[i].name) && !front_proxy_header(q->server, r->headers[i].name) &&
		    !named_by_connection(r, r->headers[i].name) &&
		    (how->plain || !sv_is(r->headers[i].name, "accept-encoding"))) /* pages are read on their way */
			h[n++] = r->headers[i];
	for (size_t i = 0; i < how->n_more; i++) {
		host = host && !sv_is(how->more[i].name, "host");
		h[n++] = how->more[i];
	}
	if (host)
		h[n++] = (struct http_header){ SV("host"), r->host };
	h[n++] = (struct http_header){ SV("x-forwarded-uri"), r->path };
	for (size_t i = 0; i < client.n; i++)
		if (client.p[i] == ':')
			colon = (ssize_t)i;
	if (colon > 0) {
		client = sv_sub(client, 0, (size_t)colon);
		h[n++] = (struct http_header){
			SV("x-forwarded-for"),
			seen.n ? arena_svf(q->arena, "%.*s, %.*s", SV_ARG(seen), SV_ARG(client)) : client,
		};
	}
	*ret_n = n;
	return h;
}

/* --- and back --- */

static void release_text(void *p)
{
	free(p);
}

static void send(struct passage *p, struct sv bytes)
{
	struct http_chunk c;

	if (p->gone || bytes.n == 0)
		return;
	c.owner = xmemdup(bytes.p, bytes.n);
	c.data = sv_make(c.owner, bytes.n);
	c.release = release_text;
	if (p->q->sink->stream_write(p->q, &c) > HIGH_WATER && p->dialog) {
		p->paused = true;
		http_dialog_pause(p->dialog, true);
	}
}

static bool returned(struct sv name)
{
	static const char *const ours[] = {
		"connection", "content-length",	   "date",    "keep-alive",	 "proxy-authenticate",
		"trailer",    "transfer-encoding", "upgrade", "proxy-connection"
	};

	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		if (sv_is(name, ours[i]))
			return false;
	/* What says who somebody is goes to servers, never back. */
	if (sv_starts(name, SV("impersonate-")) || sv_starts(name, SV("x-remote-")))
		return false;
	/* Who may read an answer from another site is the API server's to say, not a pod's. */
	return !sv_starts(name, SV("access-control-"));
}

/* Its end says so, if nothing of an answer has come. */
static void proxy_revoked(struct api_req *q, struct err *why)
{
	struct passage *p = q->stream;

	if (p->lost.reason)
		err_release(why);
	else
		err_move(&p->lost, why);
	if (p->dialog)
		http_dialog_close(p->dialog);
}

static void proxy_on_head(struct http_dialog *d, const struct http_response *head, void *ctx)
{
	struct passage *p = ctx;
	struct api_req *q = p->q;
	struct http_header *h = ARENA_ARRAY(q->arena, struct http_header, head->n_headers + 1);
	struct sv params, type = media_type(http_response_header(head, "content-type"), &params);
	size_t n = 0;

	if (head->status < 200) { /* an upgrade nobody asked for */
		http_dialog_close(d);
		return;
	}
	if (p->plain && head->status >= 300 && head->status <= 399 && http_response_header(head, "location").n) {
		p->redirected = true;
		http_dialog_close(d);
		return;
	}
	for (size_t i = 0; i < head->n_headers; i++) {
		struct sv value = head->headers[i].value;

		if (!returned(head->headers[i].name))
			continue;
		if (sv_is(head->headers[i].name, "location") && !p->plain)
			value = proxy_link(q->arena, &p->from, value);
		h[n++] = (struct http_header){ arena_sv(q->arena, head->headers[i].name), arena_sv(q->arena, value) };
	}
	p->streaming = true;
	p->rewriting =
	    !p->plain && sv_ieq(type, SV("text/html")) && http_response_header(head, "content-encoding").n == 0;
	q->sink->stream_head(q, head->status, h, n);
}

static void proxy_on_data(struct http_dialog *d, struct sv bytes, void *ctx)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct passage *p = ctx;

	(void)d;
	if (!p->rewriting) {
		send(p, bytes);
		return;
	}
	proxy_html_feed(&p->html, bytes, &out);
	send(p, buf_sv(&out));
}

static void proxy_on_drain(struct api_req *q)
{
	struct passage *p = q->stream;

	if (p->paused && p->dialog) {
		p->paused = false;
		http_dialog_pause(p->dialog, false);
	}
}

/* --- the client's body, as it comes --- */

static void proxy_up_data(struct http_req *r, struct sv bytes, void *ctx)
{
	struct passage *p = ctx;

	if (!p->dialog || http_dialog_body(p->dialog, bytes) <= HTTP_DIALOG_QUEUE_MAX)
		return;
	p->resting = true;
	http_body_pause(r, true);
}

static void proxy_up_drain(struct http_dialog *d, void *ctx)
{
	struct passage *p = ctx;

	(void)d;
	if (!p->resting)
		return;
	p->resting = false;
	http_body_pause(p->http, false);
}

static void proxy_up_end(struct http_req *r, bool whole, void *ctx)
{
	struct passage *p = ctx;

	(void)r;
	if (!p->dialog)
		return;
	p->malformed = !whole;
	if (whole)
		http_dialog_body_end(p->dialog);
	else
		http_dialog_close(p->dialog);
}

static const struct http_body_cb proxy_up_cb = { .data = proxy_up_data, .end = proxy_up_end };

/* --- its end --- */

static void proxy_on_gone(struct api_req *q)
{
	struct passage *p = q->stream;

	p->gone = true;
	if (p->dialog)
		http_dialog_close(p->dialog);
}

/* The client leaves before there is an answer. */
static void gone_early(struct http_req *r)
{
	proxy_on_gone(r->user);
}

/* --- its time --- */

/* All that the request may take: the shorter bound of changes is that of what is stored here. */
static int64_t passage_deadline_ns(const struct api_req *q)
{
	return req_lasts(q) ? INT64_MAX : q->start_ns + req_allotted_ns(q);
}

static void passage_late(struct http_req *r, void *ctx)
{
	struct passage *p = ctx;

	(void)r;
	if (p->dialog) { /* its end answers */
		p->late = true;
		http_dialog_close(p->dialog);
	}
	passage_unref(p);
}

/* On a thread of the timers, which holds a reference. */
static void passage_time_is_up(void *ctx)
{
	struct passage *p = ctx;

	http_req_post(p->http, passage_late, p);
}

static void passage_clock_start(struct passage *p)
{
	struct env *env = p->q->server->env;
	int64_t until = passage_deadline_ns(p->q);

	if (until == INT64_MAX)
		return;
	atomic_fetch_add(&p->refs, 1);
	p->timer = env_after(env, ENV_TIMERS, until - env_mono_ns(env), passage_time_is_up, p);
}

static void passage_clock_stop(struct passage *p)
{
	if (p->timer && env_timer_stop(p->q->server->env, p->timer))
		passage_unref(p);
	p->timer = NULL;
}

/* Nothing of an answer has come, or none that is passed on. */
static void passage_failed(struct passage *p)
{
	struct api_req *q = p->q;
	const char *text = p->why.reason ? err_msg(&p->why) : "the connection was closed";
	struct err err = ERR_INIT;

	q->http->on_gone = NULL;
	if (p->lost.reason) {
		api_req_fail(q, &p->lost);
	} else if (p->redirected) {
		answer_text(q, 502, "text/plain; charset=utf-8",
			    SV("the backend attempted to redirect this request, which is not permitted"));
	} else if (p->malformed) {
		answer_text(q, 400, "text/plain; charset=utf-8", SV("400 Bad Request: malformed chunked body"));
	} else if (p->late) {
		(void)req_out_of_time(&err);
		api_req_fail(q, &err);
	} else if (p->plain) {
		answer_text(q, 503, "text/plain; charset=utf-8",
			    arena_svf(q->arena, "error trying to reach service: %s\n", text));
	} else {
		err_set(&err, ERR_UNAVAILABLE, "error trying to reach service: %s", text);
		api_req_fail(q, &err);
	}
}

/* Nobody looks at whether it may go on any more. */
static void passage_released(struct api_req *q)
{
	struct passage *p = q->stream;

	if (p->streaming)
		q->sink->stream_end(q);
	else
		passage_failed(p);
	passage_unref(p);
}

static void proxy_on_closed(struct http_dialog *d, const struct err *why, void *ctx)
{
	_cleanup_(buf_release) struct buf out = BUF_INIT;
	struct passage *p = ctx;
	struct api_req *q = p->q;

	(void)d;
	p->dialog = NULL;
	http_body_leave(p->http);
	passage_clock_stop(p);
	if (p->rewriting)
		proxy_html_end(&p->html, &out);
	if (p->streaming)
		send(p, buf_sv(&out));
	q->on_gone = q->on_drain = NULL;
	if (why)
		err_copy(&p->why, why);
	/* An answer that was cut must not look whole. */
	if (p->streaming && (why || p->late || p->malformed) && !p->gone)
		http_stream_abort(q->http);
	standing_end(p->standing);
	passage_unref(p);
}

/* The root of a place is a folder: without the slash, relative links of its page would lead beside the proxy. */
static bool redirect_to_folder(struct api_req *q)
{
	struct sv query = q->http->query;
	struct http_header h = { SV("location"), arena_svf(q->arena, "%.*s/%s%.*s", SV_ARG(q->http->path),
							   query.n ? "?" : "", SV_ARG(query)) };

	if (!sv_is(q->method, "GET") && !sv_is(q->method, "HEAD"))
		return false;
	q->sink->stream_head(q, 301, &h, 1);
	q->sink->stream_end(q);
	return true;
}

static struct http_dialog *passage_dial(struct passage *p, const struct http_endpoint *to, const char *target,
					const struct http_header *h, size_t n)
{
	static const struct http_dialog_cb cb = {
		.head = proxy_on_head, .data = proxy_on_data, .drain = proxy_up_drain, .closed = proxy_on_closed
	};
	struct ev_loop *loop = http_req_loop(p->http);
	const char *method = arena_cstr(p->q->arena, p->q->method);

	if (!p->http->body_streams)
		return http_dial(loop, to, method, target, h, n, p->q->body, CONNECT_TIMEOUT_NS, &cb, p);
	http_body_start(p->http, &proxy_up_cb, p);
	return http_dial_upload(loop, to, method, target, h, n, p->http->body_length, CONNECT_TIMEOUT_NS, &cb, p);
}

void proxy_pass(struct api_req *q, const struct proxy_how *how)
{
	struct http_header *h;
	struct err err = ERR_INIT;
	struct passage *p;
	const struct http_endpoint *ep = how->ep;
	struct http_endpoint to = *ep;
	struct sv behind = SV("/");
	const char *target = how->target;
	size_t n;

	if (!q->http) {
		err_set(&err, ERR_METHOD_NOT_ALLOWED, "a proxy is reached over HTTP only");
		api_req_fail(q, &err);
		return;
	}
	if (!target) {
		behind = path_behind(q);
		target = arena_printf(q->arena, "%.*s%s%.*s", SV_ARG(behind.n ? behind : SV("/")),
				      q->http->query.n ? "?" : "", SV_ARG(q->http->query));
	}
	h = request_headers(q, how, &n);
	if (rc_is_upgrade(q->http)) {
		stream_pipe(q, ep, target, h, n, how->plain, how->create_to_upgrade);
		return;
	}
	if (behind.n == 0 && redirect_to_folder(q))
		return;
	if (req_lasts(q))
		flow_release(q); /* what another serves for long holds no seat here */
	p = xcalloc(1, sizeof(*p));
	atomic_init(&p->refs, 1);
	p->q = q;
	p->http = http_req_ref(q->http);
	p->plain = how->plain;
	p->from = (struct proxy_from){
		.prefix = sv_sub(q->http->path, 0, q->http->path.n - MIN(behind.n, q->http->path.n)),
		.backend = arena_svf(q->arena, strchr(ep->host, ':') ? "[%s]:%d" : "%s:%d", ep->host, ep->port),
		.host = q->http->host,
	};
	proxy_html_init(&p->html, &p->from);
	q->stream = p;
	q->on_gone = proxy_on_gone;
	q->on_drain = proxy_on_drain;
	q->http->on_gone = gone_early;
	inflight_add(q);
	inflight_waits(q, "its backend");
	to.kept = how->kept;
	/* From here on: what a client sends may last as long as what it is sent. */
	atomic_fetch_add(&p->refs, 1);
	p->standing =
	    standing_begin(q, &(struct standing_opts){ .revoke = proxy_revoked, .release = passage_released });
	p->dialog = passage_dial(p, &to, target, h, n);
	passage_clock_start(p);
	if (http_req_gone(q->http)) /* before anybody was to be told */
		proxy_on_gone(q);
}

void proxy_serve(struct api_req *q, const struct http_endpoint *ep, bool create_to_upgrade)
{
	proxy_pass(q, &(struct proxy_how){ .ep = ep, .create_to_upgrade = create_to_upgrade });
}

bool proxy_takes(struct sv path)
{
	struct sv part[7] = { SV("") };
	size_t n = 0;

	if (path.n && path.p[0] == '/')
		path = sv_sub(path, 1, path.n);
	while (n < ARRAY_LEN(part) && sv_split(&path, '/', &part[n]))
		n++;
	if (!sv_is(part[0], "api") || !sv_is(part[1], "v1"))
		return false;
	if (sv_is(part[2], "nodes"))
		return sv_is(part[4], "proxy");
	return sv_is(part[2], "namespaces") && (sv_is(part[4], "pods") || sv_is(part[4], "services")) &&
	       sv_is(part[6], "proxy");
}
