/* Answers that come in more than one form, and what every answer ends with. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/held.h"
#include "apiserver/inflight.h"
#include "base/board.h"

#include <stdlib.h>

void api_req_answered(struct api_req *q, int code)
{
	if (q->answered)
		return;
	q->answered = true;
	q->step_ns[STEP_ANSWERED] = env_mono_ns(q->server->env);
	work_tick(q->step_ns[STEP_ANSWERED], req_step_name(STEP_ANSWERED));
	req_passed(q, STEP_ANSWERED);
	metrics_count(q, code);
	metrics_inflight(q->server, q, -1);
	flow_release(q);
	inflight_drop(q);
	if (__builtin_expect(q->step_ns[STEP_ANSWERED] - q->start_ns > q->server->o.slow_request_ns, 0))
		slow_log_note(q, code);
}

bool accepts_gzip(const struct api_req *q)
{
	struct sv rest = http_header_get(q->http, "accept-encoding"), one, params;

	while (rest.n && sv_split(&rest, ',', &one))
		if (sv_is(media_type(sv_trim(one), &params), "gzip"))
			return !sv_starts(sv_trim(params), SV("q=0")) || sv_starts(sv_trim(params), SV("q=0."));
	return false;
}

static void answer_flat(struct api_req *q, int code, const char *content_type, struct http_source *src)
{
	struct buf b = BUF_INIT;
	struct http_chunk c;
	size_t n;

	while (src->next(src, &c)) {
		buf_addsv(&b, c.data);
		if (c.release)
			c.release(c.owner);
	}
	src->release(src);
	n = b.n;
	c = held_chunk(q, buf_detach(&b), n);
	q->sink->bytes(q, code, content_type, &c, 1);
}

void answer_source(struct api_req *q, int code, const char *content_type, struct http_source *src_take)
{
	if (q->sink->source && !q->pretty && !q->yaml)
		q->sink->source(q, code, content_type, src_take);
	else
		answer_flat(q, code, content_type, src_take);
}

static void document_done(void *owner)
{
	api_set_unref(owner);
}

void document_answer(struct api_req *q, const struct document *d, const char *content_type, bool immutable)
{
	/* The document lives as long as the kinds it is about. */
	struct http_chunk c = { .data = d->json, .release = document_done };
	struct sv etag = sv_from(d->etag), seen = q->http ? http_header_get(q->http, "if-none-match") : SV_NULL;

	api_req_header(q, SV("etag"), etag);
	api_req_header(q, SV("vary"), SV("Accept"));
	if (immutable)
		api_req_header(q, SV("cache-control"), SV("public, max-age=31536000, immutable"));
	if (seen.n && sv_find_sv(seen, etag) >= 0) {
		q->sink->bytes(q, 304, content_type, NULL, 0);
		return;
	}
	if (q->http && d->json.n > 4096 && !q->yaml && !q->pretty && accepts_gzip(q)) {
		api_req_header(q, SV("content-encoding"), SV("gzip"));
		c.data = d->gzip;
	}
	c.owner = (void *)(uintptr_t)api_set_ref(q->api);
	q->sink->bytes(q, 200, content_type, &c, 1);
}
