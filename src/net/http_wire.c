#include "net/http_wire.h"

#include <ctype.h>
#include <stdlib.h>

/* --- requests --- */

/* No control characters, and no blank where a blank would separate. */
static bool wire_clean(struct sv s, bool blanks)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c < 0x20 && c != '\t') || c == 0x7f || (!blanks && (c == ' ' || c == '\t' || c == ':')))
			return false;
	}
	return true;
}

static void wire_add_line(struct buf *out, struct sv name, struct sv value)
{
	buf_addsv(out, name);
	buf_adds(out, ": ");
	buf_addsv(out, value);
	buf_adds(out, "\r\n");
}

static void add_host(struct buf *out, const struct http_endpoint *ep)
{
	const char *host = ep->server_name ? ep->server_name : ep->host;
	bool v6 = strchr(host, ':') != NULL;

	if (strncmp(ep->host, "unix:", 5) == 0 && !ep->server_name) {
		wire_add_line(out, SV("host"), SV("localhost"));
		return;
	}
	buf_printf(out, v6 ? "host: [%s]" : "host: %s", host);
	if (ep->port > 0 && ep->port != (ep->tls ? 443 : 80))
		buf_printf(out, ":%d", ep->port);
	buf_adds(out, "\r\n");
}

int http_wire_request(struct buf *out, const struct http_endpoint *ep, const char *method, const char *target,
		      const struct http_header *headers, size_t n_headers, struct sv body, struct err *err)
{
	bool has_host = false, has_length = false, has_agent = false;

	for (const char *p = target; *p; p++)
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return err_set(err, ERR_BAD_REQUEST, "request target has a blank or control character");
	if (!wire_clean(sv_from(method), false) || !*method || *target == '\0')
		return err_set(err, ERR_BAD_REQUEST, "request method or target is not valid");
	buf_printf(out, "%s %s HTTP/1.1\r\n", method, target);
	for (size_t i = 0; i < n_headers; i++) {
		if (headers[i].name.n == 0 || !wire_clean(headers[i].name, false) ||
		    !wire_clean(headers[i].value, true))
			return err_set(err, ERR_BAD_REQUEST, "request header '%.*s' is not valid",
				       SV_ARG(headers[i].name));
		has_host |= sv_ieq(headers[i].name, SV("host"));
		has_length |=
		    sv_ieq(headers[i].name, SV("content-length")) || sv_ieq(headers[i].name, SV("transfer-encoding"));
		has_agent |= sv_ieq(headers[i].name, SV("user-agent"));
		wire_add_line(out, headers[i].name, headers[i].value);
	}
	if (!has_host)
		add_host(out, ep);
	if (!has_agent)
		wire_add_line(out, SV("user-agent"), SV("caravel/" CARAVEL_VERSION));
	/* Methods that usually carry a body say so when it is empty. */
	if (!has_length &&
	    (body.n > 0 || strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0 || strcmp(method, "PATCH") == 0))
		buf_printf(out, "content-length: %zu\r\n", body.n);
	buf_adds(out, "\r\n");
	buf_addsv(out, body);
	return 0;
}

/* --- responses --- */

static struct http_wire *wire_of(http_parser *p)
{
	return CONTAINER_OF(p, struct http_wire, parser);
}

static bool interim(const http_parser *p)
{
	return p->status_code / 100 == 1 && p->status_code != 101;
}

#define INTERIM_LINE ((size_t)32) /* what one is charged beside its headers: about its first line */

static int on_message_begin(http_parser *p)
{
	struct http_wire *w = wire_of(p);

	buf_clear(&w->text);
	w->n_fields = 0;
	w->in_value = true;
	return 0;
}

static int text_add(struct http_wire *w, const char *at, size_t n)
{
	if (w->interim_bytes + w->text.n + n > HTTP_WIRE_HEAD_MAX) {
		w->too_large = true;
		return -1;
	}
	buf_add(&w->text, at, n);
	return 0;
}

/* The parser hands names and values over in pieces, wherever the input was cut. */
static int on_field(http_parser *p, const char *at, size_t n)
{
	struct http_wire *w = wire_of(p);

	if (w->in_value) {
		if (w->n_fields == HTTP_WIRE_HEADERS_MAX) {
			w->too_large = true;
			return -1;
		}
		w->n_fields++;
		memset(&w->fields[w->n_fields - 1], 0, sizeof(w->fields[0]));
		w->fields[w->n_fields - 1].name_at = (uint32_t)w->text.n;
		w->in_value = false;
	}
	if (text_add(w, at, n) < 0)
		return -1;
	w->fields[w->n_fields - 1].name_n += (uint32_t)n;
	return 0;
}

static int on_value(http_parser *p, const char *at, size_t n)
{
	struct http_wire *w = wire_of(p);

	if (!w->in_value)
		w->fields[w->n_fields - 1].value_at = (uint32_t)w->text.n;
	w->in_value = true;
	if (text_add(w, at, n) < 0)
		return -1;
	w->fields[w->n_fields - 1].value_n += (uint32_t)n;
	return 0;
}

static int on_headers_complete(http_parser *p)
{
	struct http_wire *w = wire_of(p);
	struct http_header *h;
	char *text;

	if (interim(p)) {
		w->interim_bytes += w->text.n + INTERIM_LINE;
		w->too_large = w->interim_bytes > HTTP_WIRE_HEAD_MAX;
		return w->too_large ? -1 : 0;
	}
	text = w->text.n ? memcpy(arena_alloc(&w->arena, w->text.n), w->text.p, w->text.n) : NULL;
	h = ARENA_ARRAY(&w->arena, struct http_header, w->n_fields + 1);
	for (size_t i = 0; i < w->n_fields; i++) {
		char *name = text + w->fields[i].name_at;

		for (size_t k = 0; k < w->fields[i].name_n; k++)
			name[k] = (char)tolower((unsigned char)name[k]);
		h[i].name = sv_make(name, w->fields[i].name_n);
		h[i].value = sv_trim(sv_make(text + w->fields[i].value_at, w->fields[i].value_n));
	}
	w->head = (struct http_response){ .status = (int)p->status_code, .headers = h, .n_headers = w->n_fields };
	w->has_head = true;
	if (w->on_head && w->on_head(&w->head, w->ctx) != 0) {
		w->stopped = true;
		return -1;
	}
	return w->head_method ? 1 : 0;
}

static int on_body(http_parser *p, const char *at, size_t n)
{
	struct http_wire *w = wire_of(p);

	if (w->on_data(sv_make(at, n), w->ctx) != 0) {
		w->stopped = true;
		return -1;
	}
	return 0;
}

static int on_message_complete(http_parser *p)
{
	struct http_wire *w = wire_of(p);

	if (interim(p))
		return 0;
	w->complete = true;
	w->upgraded = p->status_code == 101;
	w->keep_alive = http_should_keep_alive(p) != 0 && !w->upgraded;
	http_parser_pause(p, 1); /* whatever follows is not this response's */
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_message_begin,
	.on_header_field = on_field,
	.on_header_value = on_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

void http_wire_init(struct http_wire *w, const char *method,
		    int (*on_head)(const struct http_response *head, void *ctx),
		    int (*on_data)(struct sv bytes, void *ctx), void *ctx)
{
	*w = (struct http_wire){ .on_head = on_head, .on_data = on_data, .ctx = ctx };
	w->head_method = strcmp(method, "HEAD") == 0;
	w->fields = xcalloc(HTTP_WIRE_HEADERS_MAX, sizeof(w->fields[0]));
	http_parser_init(&w->parser, HTTP_RESPONSE);
}

void http_wire_release(struct http_wire *w)
{
	free(w->fields);
	buf_release(&w->text);
	arena_release(&w->arena);
}

ssize_t http_wire_feed(struct http_wire *w, struct sv bytes, struct err *err)
{
	size_t used;

	if (bytes.n == 0 || w->complete || w->stopped)
		return 0;
	w->began = true;
	used = http_parser_execute(&w->parser, &settings, bytes.p, bytes.n);
	if (w->complete || w->stopped)
		return (ssize_t)used;
	if (w->too_large)
		return err_set(err, ERR_UNAVAILABLE, "response headers are too large");
	if (HTTP_PARSER_ERRNO(&w->parser) != HPE_OK)
		return err_set(err, ERR_UNAVAILABLE, "malformed http response: %s",
			       http_errno_description(HTTP_PARSER_ERRNO(&w->parser)));
	return (ssize_t)used;
}

int http_wire_eof(struct http_wire *w, struct err *err)
{
	if (!w->complete && !w->stopped && w->has_head)
		http_parser_execute(&w->parser, &settings, NULL, 0);
	if (w->complete || w->stopped)
		return 0;
	return err_set(err, ERR_UNAVAILABLE,
		       w->began ? "unexpected end of the http response" : "connection closed before the http response");
}

struct sv http_response_header(const struct http_response *r, const char *lower_name)
{
	for (size_t i = 0; i < r->n_headers; i++)
		if (sv_is(r->headers[i].name, lower_name))
			return r->headers[i].value;
	return SV_NULL;
}
