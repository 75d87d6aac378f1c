/* What everybody does with a request: options, headers and warnings, its failure, and small answers. */
#include "apiserver/apiserver-internal.h"
#include "base/board.h"

#include <stdarg.h>

#define ANNOTATIONS_MAX 64
#define ANNOTATION_BYTES_MAX ((size_t)4096)

static void kinds_drop(void *set)
{
	api_set_unref(set);
}

void api_req_take_late(struct api_req *q)
{
	q->api = api_current_get(q->server->api);
	if (q->api->n_late) /* the built-in ones are for ever */
		arena_defer(q->arena, kinds_drop, (void *)(uintptr_t)q->api);
}

bool api_req_kind_anew(struct api_req *q)
{
	const struct resource *now;

	api_req_take_kinds(q);
	now = api_find(q->api, sv_from(q->res->group), sv_from(q->res->version), sv_from(q->res->plural));
	if (!now || now == q->res)
		return false;
	q->res = now;
	if (q->sub)
		q->sub = resource_subresource(now, q->subresource);
	return true;
}

bool api_req_param(const struct api_req *q, const char *name, struct sv *ret)
{
	for (size_t i = 0; i < q->n_params; i++) {
		if (sv_is(q->params[i].name, name)) {
			*ret = q->params[i].value;
			return true;
		}
	}
	return false;
}

int err_bad_number(struct err *err, struct sv v)
{
	struct sv digits = v.n && (v.p[0] == '-' || v.p[0] == '+') ? sv_sub(v, 1, v.n) : v;
	bool number = digits.n > 0;

	for (size_t i = 0; i < digits.n; i++)
		number = number && digits.p[i] >= '0' && digits.p[i] <= '9';
	return err_set(err, ERR_BAD_REQUEST, "strconv.ParseInt: parsing \"%.*s\": %s", SV_ARG(v),
		       number ? "value out of range" : "invalid syntax");
}

int err_too_many(struct err *err)
{
	err_set(err, ERR_TOO_MANY_REQUESTS, "too many requests, please try again later.");
	err->retry_after_s = 1;
	return -1;
}

bool option_bool(struct api_req *q, const char *name)
{
	struct sv v;

	return api_req_param(q, name, &v) && http_query_true(v);
}

void api_req_header(struct api_req *q, struct sv name, struct sv value)
{
	struct http_header *more = arena_alloc(q->arena, (q->n_headers + 1) * sizeof(*more));

	if (q->n_headers)
		memcpy(more, q->headers, q->n_headers * sizeof(*more));
	more[q->n_headers++] = (struct http_header){ name, value };
	q->headers = more;
}

void api_req_warn(struct api_req *q, const char *fmt, ...)
{
	struct sv *more, text;
	va_list ap;

	/* Upstream sends at most 4 KiB of warnings; clients need no more than a screenful. */
	if (q->n_warnings >= 32)
		return;
	va_start(ap, fmt);
	text = sv_from(arena_vprintf(q->arena, fmt, ap));
	va_end(ap);
	/* A write that is tried again finds the same again. */
	for (size_t i = 0; i < q->n_warnings; i++)
		if (sv_eq(q->warnings[i], text))
			return;
	more = arena_alloc(q->arena, (q->n_warnings + 1) * sizeof(*more));
	if (q->n_warnings)
		memcpy(more, q->warnings, q->n_warnings * sizeof(*more));
	more[q->n_warnings++] = text;
	q->warnings = more;
}

void api_req_annotate(struct api_req *q, struct sv key, struct sv value)
{
	struct api_notes *more;
	size_t n = q->notes ? q->notes->n : 0;

	if (n >= ANNOTATIONS_MAX || key.n + value.n > ANNOTATION_BYTES_MAX)
		return;
	more = arena_alloc(q->arena, sizeof(*more) + (n + 1) * sizeof(more->at[0]));
	if (n)
		memcpy(more->at, q->notes->at, n * sizeof(more->at[0]));
	more->at[n] = (struct api_param){ .name = key, .value = value };
	more->n = n + 1;
	q->notes = more;
}

void api_req_fail(struct api_req *q, struct err *err)
{
	/* For the log: words about what a client sent, which others may not see, are in failures of the 400s. */
	if (err_code(err) >= 500)
		q->why = arena_sv(q->arena, sv_from(err_msg(err)));
	q->sink->failure(q, err);
	err_release(err);
}

void answer_text(struct api_req *q, int code, const char *content_type, struct sv text)
{
	q->sink->bytes(q, code, content_type, &(struct http_chunk){ .data = text }, 1);
}

void answer_page_not_found(struct api_req *q)
{
	answer_text(q, 404, "text/plain; charset=utf-8", SV("404 page not found\n"));
}

struct sv api_req_verb(const struct api_req *q)
{
	if (!q->resource_request)
		return q->method;
	if (q->verb == VERB_LIST)
		return SV("LIST");
	if (q->verb == VERB_WATCH)
		return SV("WATCH");
	return q->verb == VERB_DELETECOLLECTION ? SV("DELETECOLLECTION") : q->method;
}

struct sv api_req_url(struct api_req *q)
{
	struct sv ns = q->ns.n ? arena_svf(q->arena, "namespaces/%.*s/", SV_ARG(q->ns)) : SV("");

	if (q->path.n)
		return q->path;
	return arena_svf(q->arena, "%s%.*s/%.*s/%.*s%.*s%s%.*s%s%.*s", q->group.n ? "/apis/" : "/api", SV_ARG(q->group),
			 SV_ARG(q->version), SV_ARG(ns), SV_ARG(q->plural), q->name.n ? "/" : "", SV_ARG(q->name),
			 q->subresource.n ? "/" : "", SV_ARG(q->subresource));
}

/* Path and user, but no query: that may hold what is nobody's business. */
int api_req_work(const struct api_req *q)
{
	int mark = work_again(q, q->start_ns);

	if (mark >= 0)
		return mark;
	mark = work_enter("request", api_req_verb(q), q->path.n ? q->path : q->plural, q->user.name);

	/* Without its user it is to be written down again when he is known. */
	work_of(q, q->user.name.n ? q->start_ns : 0, q->body.n);
	return mark;
}
