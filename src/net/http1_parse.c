#include "net/http1_parse.h"

#include <http_parser.h>

/* tchar of RFC 9110, and lower case in the same look-up. 0: not allowed in a name. */
static char h1_name_char(unsigned char c)
{
	if (c >= 'a' && c <= 'z')
		return (char)c;
	if (c >= 'A' && c <= 'Z')
		return (char)(c | 0x20);
	if (c >= '0' && c <= '9')
		return (char)c;
	return c && strchr("!#$%&'*+-.^_`|~", c) ? (char)c : 0;
}

ssize_t h1_scan(struct h1_scan *s, struct sv in)
{
	while (s->at < in.n) {
		const char *lf = memchr(in.p + s->at, '\n', in.n - s->at);
		size_t at;

		if (!lf)
			break;
		at = (size_t)(lf - in.p);
		/* Exactly one CR, right before it. */
		if (memchr(in.p + s->line, '\r', at - s->line) != lf - 1)
			return -1;
		/* A line that starts with white space continues the one before: obsolete, refused. */
		if (in.p[s->line] == ' ' || in.p[s->line] == '\t')
			return -1;
		if (at - 1 == s->line)
			return at + 1 > H1_HEAD_MAX ? -2 : (ssize_t)(at + 1);
		s->line = s->at = at + 1;
	}
	s->at = in.n;
	return in.n > H1_HEAD_MAX ? -2 : 0;
}

bool h1_split_target(struct sv target, struct sv *path, struct sv *query, struct sv *host)
{
	struct sv rest = target;
	ssize_t at;

	for (size_t i = 0; i < target.n; i++) {
		unsigned char c = (unsigned char)target.p[i];

		if (c <= ' ' || c == 0x7f || c == '#')
			return false;
	}
	if (sv_is(target, "*")) {
		*path = target;
		*query = SV_NULL;
		return true;
	}
	/* absolute-form: what clients send to proxies, and servers must accept */
	for (size_t i = 0; i < 2; i++) {
		struct sv scheme = i ? SV("https://") : SV("http://");

		if (!sv_ieq(sv_sub(rest, 0, scheme.n), scheme))
			continue;
		rest = sv_sub(rest, scheme.n, rest.n);
		at = sv_find(rest, '/');
		*host = at < 0 ? rest : sv_sub(rest, 0, (size_t)at);
		rest = at < 0 ? SV("/") : sv_sub(rest, (size_t)at, rest.n);
		break;
	}
	if (rest.n == 0 || rest.p[0] != '/')
		return false;
	at = sv_find(rest, '?');
	*path = at < 0 ? rest : sv_sub(rest, 0, (size_t)at);
	*query = at < 0 ? SV_NULL : sv_sub(rest, (size_t)at + 1, rest.n);
	return true;
}

struct h1_parse {
	struct arena *a;
	struct h1_head *h;
	size_t cap;
	bool keep_alive, chunked;
};

static int h1_on_url(http_parser *p, const char *at, size_t n)
{
	struct h1_parse *ps = p->data;

	ps->h->target = sv_make(at, n);
	return 0;
}

static int h1_on_field(http_parser *p, const char *at, size_t n)
{
	struct h1_parse *ps = p->data;
	struct h1_head *h = ps->h;
	char *name = (char *)(uintptr_t)at; /* h1_parse_head()'s own buffer */

	if (n == 0)
		return 1;
	for (size_t i = 0; i < n; i++) {
		name[i] = h1_name_char((unsigned char)name[i]);
		if (!name[i])
			return 1;
	}
	if (h->n_headers == ps->cap) {
		struct http_header *old = h->headers;

		ps->cap = ps->cap ? ps->cap * 2 : 8;
		h->headers = ARENA_ARRAY(ps->a, struct http_header, ps->cap);
		if (h->n_headers)
			memcpy(h->headers, old, h->n_headers * sizeof(*old));
	}
	h->headers[h->n_headers++].name = sv_make(at, n);
	return 0;
}

static int h1_on_value(http_parser *p, const char *at, size_t n)
{
	struct h1_parse *ps = p->data;

	if (ps->h->n_headers == 0)
		return 1;
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)at[i];

		if ((c < ' ' && c != '\t') || c == 0x7f)
			return 1;
	}
	ps->h->headers[ps->h->n_headers - 1].value = sv_trim(sv_make(at, n));
	return 0;
}

static int h1_on_head(http_parser *p)
{
	struct h1_parse *ps = p->data;

	ps->keep_alive = http_should_keep_alive(p) != 0;
	ps->chunked = (p->flags & F_CHUNKED) != 0;
	return 1; /* the body is not its business */
}

static const http_parser_settings h1_settings = {
	.on_url = h1_on_url,
	.on_header_field = h1_on_field,
	.on_header_value = h1_on_value,
	.on_headers_complete = h1_on_head,
};

/* True when a comma-separated header names the token. */
static bool h1_has_token(struct sv list, const char *token)
{
	struct sv item;

	while (sv_split(&list, ',', &item)) {
		if (sv_ieq(sv_trim(item), sv_from(token)))
			return true;
	}
	return false;
}

static int h1_check(struct h1_head *h, const char **why)
{
	size_t hosts = 0, lengths = 0, codings = 0;
	bool upgrade = false, connection_upgrade = false;

	h->content_length = -1;
	for (size_t i = 0; i < h->n_headers; i++) {
		const struct http_header *f = &h->headers[i];

		if (sv_is(f->name, "host")) {
			hosts++;
			if (!h->host.n) /* the absolute form's authority wins */
				h->host = f->value;
		} else if (sv_is(f->name, "content-length")) {
			lengths++;
			if (!f->value.n || f->value.p[0] == '-' || !sv_to_i64(f->value, &h->content_length)) {
				*why = "malformed Content-Length";
				return 400;
			}
		} else if (sv_is(f->name, "transfer-encoding")) {
			codings++;
			h->chunked = sv_ieq(f->value, SV("chunked"));
			if (!h->chunked) {
				*why = "unsupported transfer encoding";
				return 501;
			}
		} else if (sv_is(f->name, "expect")) {
			h->expect_continue = sv_ieq(f->value, SV("100-continue"));
			if (!h->expect_continue) {
				*why = "unknown expectation";
				return 417;
			}
		} else if (sv_is(f->name, "upgrade")) {
			upgrade = true;
		} else if (sv_is(f->name, "connection")) {
			connection_upgrade |= h1_has_token(f->value, "upgrade");
		}
	}
	h->upgrade = upgrade && connection_upgrade;
	if (hosts > 1 || (hosts == 0 && h->minor > 0)) {
		*why = hosts ? "too many Host headers" : "missing required Host header";
		return 400;
	}
	if (lengths > 1 || codings > 1 || (lengths && codings) || (codings && h->minor == 0)) {
		*why = "ambiguous body length";
		return 400;
	}
	return 0;
}

/* A method is any token (RFC 9110, 9.1); which of them is served is not for the parser to say. */
static bool h1_is_token(struct sv s)
{
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (!(c >= '0' && c <= '9') && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
		    (!c || !strchr("!#$%&'*+-.^_`|~", c)))
			return false;
	}
	return s.n > 0;
}

/* METHOD SP TARGET SP HTTP/d.d, with nothing to spare. False when it is not that. */
static bool h1_request_line(struct sv line, struct sv *ret_method, struct sv *ret_version)
{
	struct sv target;

	if (!sv_split(&line, ' ', ret_method) || !sv_split(&line, ' ', &target) || !h1_is_token(*ret_method) ||
	    !target.n || !line.p)
		return false;
	*ret_version = line;
	return line.n == 8 && sv_starts(line, SV("HTTP/")) && line.p[5] >= '0' && line.p[5] <= '9' &&
	       line.p[6] == '.' && line.p[7] >= '0' && line.p[7] <= '9';
}

int h1_parse_head(struct arena *a, char *head, size_t n, struct h1_head *ret, const char **ret_why)
{
	struct h1_parse ps = { .a = a, .h = ret };
	struct sv method, version;
	http_parser p;
	size_t done;
	int status;

	*ret = (struct h1_head){ .content_length = -1 };
	if (!h1_request_line(sv_sub(sv_make(head, n), 0, (size_t)MAX(sv_find(sv_make(head, n), '\r'), 0)), &method,
			     &version)) {
		*ret_why = "malformed request line";
		return 400;
	}
	if (!sv_is(version, "HTTP/1.1") && !sv_is(version, "HTTP/1.0")) {
		*ret_why = "unsupported protocol version";
		return 505;
	}
	http_parser_init(&p, HTTP_REQUEST);
	p.data = &ps;
	/* The parser has a list of methods of its own, so it is shown one that is on it. */
	(void)http_parser_execute(&p, &h1_settings, "GET", 3);
	done = method.n + http_parser_execute(&p, &h1_settings, head + method.n, n - method.n);
	if (HTTP_PARSER_ERRNO(&p) != HPE_OK || done != n) {
		*ret_why = "malformed request";
		return 400;
	}
	ret->minor = p.http_minor;
	ret->keep_alive = ps.keep_alive;
	ret->method = method;
	if (sv_is(method, "CONNECT") || !h1_split_target(ret->target, &ret->path, &ret->query, &ret->host)) {
		*ret_why = "malformed request target";
		return 400;
	}
	status = h1_check(ret, ret_why);
	if (status)
		return status;
	if (ps.chunked != ret->chunked) { /* our reading and the parser's must agree */
		*ret_why = "ambiguous body length";
		return 400;
	}
	return 0;
}

/* One byte outside of chunk data. 0, or -1 when it must not be there. */
static int h1_chunk_byte(struct h1_chunks *c, char b)
{
	int v;

	switch (c->state) {
	case H1C_SIZE:
		v = hex_value(b);
		if (v >= 0) {
			c->left = c->left << 4 | (unsigned int)v;
			return ++c->digits > 15 ? -1 : 0;
		}
		if (c->digits == 0)
			return -1;
		if (b == '\r')
			c->state = H1C_SIZE_LF;
		else if (b == ';')
			c->state = H1C_EXT;
		else
			return -1;
		return 0;
	case H1C_EXT:
		if (b == '\r')
			c->state = H1C_SIZE_LF;
		else if (((unsigned char)b < ' ' && b != '\t') || b == 0x7f)
			return -1;
		return ++c->extra > H1_TRAILER_MAX ? -1 : 0;
	case H1C_SIZE_LF:
		c->state = c->left ? H1C_DATA : H1C_TRAILER;
		c->digits = 0;
		return b == '\n' ? 0 : -1;
	case H1C_DATA_CR:
		c->state = H1C_DATA_LF;
		return b == '\r' ? 0 : -1;
	case H1C_DATA_LF:
		c->state = H1C_SIZE;
		return b == '\n' ? 0 : -1;
	case H1C_TRAILER: /* first byte of a trailer line, or of the empty one */
		if (b == '\r') {
			c->state = H1C_END_LF;
			return 0;
		}
		if (!h1_name_char((unsigned char)b))
			return -1;
		c->state = H1C_TRAILER_LINE;
		return ++c->extra > H1_TRAILER_MAX ? -1 : 0;
	case H1C_TRAILER_LINE:
		if (b == '\r')
			c->state = H1C_TRAILER_LF;
		else if (((unsigned char)b < ' ' && b != '\t') || b == 0x7f)
			return -1;
		return ++c->extra > H1_TRAILER_MAX ? -1 : 0;
	case H1C_TRAILER_LF:
		c->state = H1C_TRAILER;
		return b == '\n' ? 0 : -1;
	case H1C_END_LF:
		c->state = H1C_DONE;
		return b == '\n' ? 0 : -1;
	case H1C_DATA:
	case H1C_DONE:
		break;
	}
	return -1;
}

int h1_chunks_feed(struct h1_chunks *c, struct sv *in, struct sv *ret_data)
{
	*ret_data = SV_NULL;
	while (c->state != H1C_DONE) {
		if (in->n == 0)
			return 1;
		if (c->state == H1C_DATA) {
			size_t take = (size_t)MIN((uint64_t)in->n, c->left);

			*ret_data = sv_sub(*in, 0, take);
			*in = sv_sub(*in, take, in->n);
			c->left -= take;
			if (c->left == 0)
				c->state = H1C_DATA_CR;
			return 1;
		}
		if (h1_chunk_byte(c, in->p[0]) < 0)
			return -1;
		in->p++;
		in->n--;
	}
	return 0;
}
