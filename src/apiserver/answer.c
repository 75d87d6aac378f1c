/* Answers that come in more than one form, and what every answer ends with. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/flow/flow.h"
#include "apiserver/held.h"
#include "apiserver/inflight.h"
#include "apiserver/media.h"
#include "apiserver/metrics.h"
#include "apiserver/watchcache.h"
#include "base/board.h"

#include <stdlib.h>

void api_req_answered(struct api_req *q, int code)
{
	api_req_answered_bytes(q, code, -1);
}

void api_req_answered_bytes(struct api_req *q, int code, int64_t bytes)
{
	if (q->answered)
		return;
	q->answered = true;
	q->step_ns[STEP_ANSWERED] = env_mono_ns(q->server->env);
	work_tick(q->step_ns[STEP_ANSWERED], req_step_name(STEP_ANSWERED));
	req_passed(q, STEP_ANSWERED);
	if (q->audit)
		audit_answered(q, code);
	request_count(q, code, bytes);
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

bool answer_gzips(const struct api_req *q, int code, int64_t bytes)
{
	if ((bytes >= 0 && bytes <= (int64_t)MEDIA_GZIP_MIN) || code != 200 || !q->http || !accepts_gzip(q))
		return false;
	for (size_t i = 0; i < q->n_headers; i++)
		if (sv_is(q->headers[i].name, "content-encoding"))
			return false; /* it is already: a document */
	return true;
}

/* --- one object --- */

struct object_answer {
	int code;
	struct obj *o; /* the arena's */
	bool read;     /* it has been on its loop so far */
};

static void object_write(struct api_req *q, int code, struct obj *o)
{
	struct http_chunk chunks[MEDIA_CHUNKS];
	struct err err = ERR_INIT;
	int n;

	if (q->res)
		wc_work(q->server->wc, q->res, o);
	n = media_object(q, o, chunks, &err);
	if (n < 0)
		api_req_fail(q, &err);
	else
		q->sink->bytes(q, code, media_of(q)->content_type, chunks, (size_t)n);
}

static void object_pooled(struct api_req *q, void *ctx)
{
	struct object_answer *a = ctx;
	struct err err = ERR_INIT;

	if (a->read && held_room(q, &err) < 0)
		api_req_fail(q, &err);
	else
		object_write(q, a->code, a->o);
}

/* What a write answers is told in any case; a read may be refused. */
static void object_later(struct api_req *q, int code, struct obj *o)
{
	struct object_answer *a = ARENA_NEW(q->arena, struct object_answer);
	struct err err = ERR_INIT;

	*a = (struct object_answer){ .code = code, .o = obj_link(q->arena, obj_ref(o)), .read = !q->pooled };
	q->pooled = true;
	if (req_pool(q, object_pooled, a, !a->read))
		return;
	(void)err_too_many(&err);
	api_req_fail(q, &err);
}

void answer_object(struct api_req *q, int code, struct obj *o)
{
	size_t n = obj_json(o).n;

	if (q->audit)
		audit_response(q, o, NULL);
	if (q->sink->object) {
		q->sink->object(q, code, o, NULL);
	} else if (n > MEDIA_POOL_MIN && q->sink->on_loop && (media_of(q)->make || answer_gzips(q, code, (int64_t)n))) {
		object_later(q, code, o);
	} else {
		object_write(q, code, o);
	}
}

void answer_doc(struct api_req *q, int code, const struct val *doc)
{
	struct http_chunk chunks[MEDIA_CHUNKS];

	if (q->audit)
		audit_response(q, NULL, doc);
	if (q->sink->object)
		q->sink->object(q, code, NULL, doc);
	else
		q->sink->bytes(q, code, media_of(q)->content_type, chunks, (size_t)media_doc(q, doc, chunks));
}

void answer_failure(struct api_req *q, const struct err *err)
{
	struct err why = ERR_INIT;

	/* What fails before anything is negotiated is told as asked for, too. */
	if (!q->media && negotiate_accept(q, &why) < 0)
		err_release(&why);
	answer_doc(q, err_code(err), status_failure(q->arena, err));
}

/* --- what is made while it is sent --- */

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
	if (q->audit && audit_wants_response(q))
		audit_response_bytes(q, buf_sv(&b));
	n = b.n;
	c = held_chunk(q, buf_detach(&b), n);
	q->sink->bytes(q, code, content_type, &c, 1);
}

void answer_source(struct api_req *q, int code, const char *content_type, struct http_source *src_take)
{
	if (q->sink->source && !(q->audit && audit_wants_response(q)))
		q->sink->source(q, code, content_type, src_take);
	else
		answer_flat(q, code, content_type, src_take);
}

/* --- documents --- */

static void document_done(void *owner)
{
	api_set_unref(owner);
}

void document_answer(struct api_req *q, const struct document *d, const char *content_type, bool immutable)
{
	/* The document lives as long as the kinds it is about. */
	struct http_chunk c = { .release = document_done };
	bool zipped = q->http && d->bytes > 4096 && accepts_gzip(q);
	size_t json_type_n = strlen(media_json.content_type);
	struct sv etag = sv_from(d->etag), seen = q->http ? http_header_get(q->http, "if-none-match") : SV_NULL;

	api_req_header(q, SV("etag"), etag);
	api_req_header(q, SV("vary"), SV("Accept"));
	if (immutable)
		api_req_header(q, SV("cache-control"), SV("public, max-age=31536000, immutable"));
	if (seen.n && sv_find_sv(seen, etag) >= 0) {
		q->sink->bytes(q, 304, content_type, NULL, 0);
		return;
	}
	/* Parameters stay as they are. */
	if (media_of(q)->make && strncmp(content_type, media_json.content_type, json_type_n) == 0) {
		struct http_chunk made[MEDIA_CHUNKS];

		content_type = arena_printf(q->arena, "%s%s", media_of(q)->content_type, content_type + json_type_n);
		q->sink->bytes(q, 200, content_type, made, (size_t)media_text(q, document_text(q->arena, d), made));
		return;
	}
	if (d->hold) {
		c.owner = d->hold(d->owner);
		c.release = d->let_go;
	} else {
		c.owner = (void *)(uintptr_t)api_set_ref(q->api);
	}
	if (!zipped && !d->json.p) {
		answer_source(q, 200, content_type, gunzip_source(d->gzip, d->bytes, c.release, c.owner));
		return;
	}
	if (zipped)
		api_req_header(q, SV("content-encoding"), SV("gzip"));
	c.data = zipped ? d->gzip : d->json;
	q->sink->bytes(q, 200, content_type, &c, 1);
}
