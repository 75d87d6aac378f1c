/* A request for another server, passed on: whose it is goes along in headers, under the front proxy's certificate. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "apiserver/proxy.h"
#include "base/percent.h"
#include "object/feature.h"

static void forward_unavailable(struct api_req *q)
{
	answer_text(q, 503, "text/plain; charset=utf-8", SV("service unavailable\n"));
}

/* Nothing in it would end the header. */
static bool header_plain(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' ? s.p[i] != '\t' : s.p[i] == 0x7f)
			return false;
	return true;
}

/* As a part of a header's name: what may not be in one, and '%', as %XX. */
static struct sv header_key(struct arena *a, struct sv key)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	percent_encode(&b, key, "!#$&'*+-.^_`|~");
	return arena_sv(a, buf_sv(&b));
}

/* false: a name or value that no header can carry. */
static bool forward_headers(struct api_req *q, struct sv authority, struct http_header **ret, size_t *ret_n)
{
	const struct user_info *u = &q->user;
	size_t max = 3 + u->n_groups, n = 0;
	struct http_header *h;

	for (size_t i = 0; i < u->n_extra; i++)
		max += u->extra[i].n_values;
	h = ARENA_ARRAY(q->arena, struct http_header, max);
	h[n++] = (struct http_header){ SV("host"), authority };
	h[n++] = (struct http_header){ SV("x-remote-user"), u->name };
	if (u->uid.n && feature_on(FG_RemoteRequestHeaderUID))
		h[n++] = (struct http_header){ SV("x-remote-uid"), u->uid };
	for (size_t i = 0; i < u->n_groups; i++)
		h[n++] = (struct http_header){ SV("x-remote-group"), u->groups[i] };
	for (size_t i = 0; i < u->n_extra; i++) {
		struct sv key = header_key(q->arena, u->extra[i].key);
		struct sv name = arena_svf(q->arena, "x-remote-extra-%.*s", SV_ARG(key));

		for (size_t k = 0; k < u->extra[i].n_values; k++)
			h[n++] = (struct http_header){ name, u->extra[i].values[k] };
	}
	*ret = h;
	*ret_n = n;
	for (size_t i = 0; i < n; i++)
		if (!header_plain(h[i].value))
			return false;
	return true;
}

static void forward_release(void *p)
{
	agg_service_unref(p);
}

/* On q's own thread. */
static void forward_go(struct api_req *q, void *ctx)
{
	struct agg_service *e = ctx;
	struct http_endpoint ep;
	struct err err = ERR_INIT;
	struct proxy_how how = { .ep = &ep, .plain = true, .kept = q->server->aggregator->kept };

	if (webhook_endpoint(q->server, e->target, q->arena, &ep, &err) < 0) {
		err_release(&err);
		forward_unavailable(q);
		return;
	}
	if (!forward_headers(q, sv_from(webhook_target_authority(e->target)), &how.more, &how.n_more)) {
		answer_text(q, 503, "text/plain; charset=utf-8",
			    SV("error trying to reach service: net/http: invalid header field value\n"));
		return;
	}
	how.target = arena_printf(q->arena, "%.*s%s%.*s", SV_ARG(q->http->path), q->http->query.n ? "?" : "",
				  SV_ARG(q->http->query));
	proxy_pass(q, &how);
}

/* On the pool. */
static void forward_anchors(struct api_req *q, void *ctx)
{
	tls_system_load();
	api_req_post(q, forward_go, ctx);
}

/* "/apis/GROUP/VERSION[/...]", or the OpenAPI document of one. */
static bool forward_of(struct sv path, struct sv *ret_group, struct sv *ret_version)
{
	bool openapi = sv_starts(path, SV("/openapi/v3/apis/"));

	if (openapi)
		path = sv_sub(path, strlen("/openapi/v3"), path.n);
	if (!sv_starts(path, SV("/apis/")))
		return false;
	path = sv_sub(path, 6, path.n);
	if (!sv_split(&path, '/', ret_group) || !sv_split(&path, '/', ret_version))
		return false;
	return ret_group->n && ret_version->n && !(openapi && path.n);
}

/* A part that another server may take for a step up, and so for another namespace than the one that was asked about. */
static bool forward_climbs(struct sv path)
{
	struct sv part;

	while (sv_split(&path, '/', &part)) {
		ssize_t parameters = sv_find(part, ';');

		part = parameters < 0 ? part : sv_sub(part, 0, (size_t)parameters);
		if (sv_is(part, ".") || sv_is(part, ".."))
			return true;
	}
	return false;
}

bool aggregator_takes(struct apiserver *s, struct sv path)
{
	struct agg_service *e = NULL;
	struct sv group, version;
	bool available;

	if (atomic_load(&s->aggregator->n_remote) && forward_of(path, &group, &version))
		e = agg_find(s->aggregator, group, version, &available);
	agg_service_unref(e);
	return e != NULL;
}

/* Its server went between its head and now, and whoever has its group version instead has no body of it. */
static bool forward_lost(struct api_req *q)
{
	if (!q->http || !q->http->body_streams || !sv_starts(q->path, SV("/apis/")))
		return false;
	forward_unavailable(q);
	return true;
}

/* --- of this process: there is no connection to pass on, so the answer is taken whole --- */

static void fetch_answer_free(void *p)
{
	webhook_answer_free(p);
}

static void fetch_done(struct webhook_answer *answer_take, void *ctx)
{
	(void)req_resume(ctx, answer_take, fetch_answer_free);
}

/* Asks, and then answers with what came. */
static int fetch_step(struct api_req *q, void *ctx, struct err *err)
{
	struct agg_service *e = ctx;
	struct webhook_call_opts o = {
		.target = e->target, .timeout_ns = AGG_TIMEOUT_NS, .answer_max = AGG_ITEMS_MAX, .done = fetch_done
	};
	_cleanup_(buf_release) struct buf path = BUF_INIT;
	struct http_header *headers;
	void *result;

	if (req_result(q, &result)) {
		const struct webhook_answer *a = result;

		if (a->err.reason != ERR_NONE)
			return err_set(err, a->status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "%s", err_msg(&a->err));
		answer_text(q, a->status, "application/json", arena_sv(q->arena, buf_sv(&a->body)));
		return 0;
	}
	if (!forward_headers(q, sv_from(webhook_target_authority(e->target)), &headers, &o.n_headers))
		return err_set(err, ERR_UNAVAILABLE, "the user's name is none that a header can carry");
	o.headers = headers + 1; /* the call says by itself whom it is to */
	o.n_headers--;
	percent_encode(&path, q->path, PERCENT_UNRESERVED "/*");
	o.get = arena_printf(q->arena, "%s%s%.*s", buf_cstr(&path), q->query.n ? "?" : "", SV_ARG(q->query));
	o.ctx = req_suspend(q, "another API server", NULL, NULL);
	webhook_call_unref(webhook_call(q->server, &o));
	return REQ_LATER;
}

/* Reads alone: what is written has its own way (client/foreign.h). */
static void forward_local(struct api_req *q, struct agg_service *e, bool available)
{
	struct err err = ERR_INIT;

	if (!available || !sv_is(q->method, "GET")) {
		err_set(&err, ERR_UNAVAILABLE, "the server is currently unable to handle the request");
		api_req_fail(q, &err);
	} else {
		req_ask(q, fetch_step, e);
	}
}

bool aggregator_serve(struct api_req *q)
{
	struct aggregator *g = q->server->aggregator;
	struct agg_service *e;
	struct sv group, version;
	bool available = false;

	if (!atomic_load(&g->n_remote) || (!q->http && !q->path.n) || !forward_of(q->path, &group, &version))
		return forward_lost(q);
	e = agg_find(g, group, version, &available);
	if (!e)
		return forward_lost(q);
	arena_defer(q->arena, forward_release, e);
	if (forward_climbs(q->path))
		answer_text(q, 404, "text/plain; charset=utf-8", SV("404 page not found\n"));
	else if (!q->http)
		forward_local(q, e, available);
	else if (!available)
		forward_unavailable(q);
	else if (webhook_target_waits(e->target))
		(void)req_pool(q, forward_anchors, e, true);
	else
		api_req_post(q, forward_go, e);
	return true;
}
