#include "apiserver/debug.h"
#include "apiserver/apiserver-internal.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <stdlib.h>

/* --- tables --- */

void debug_table(struct debug_page *p, const char *name)
{
	if (p->json)
		buf_printf(&p->b, "%s\"%s\":[", p->tables ? "," : "", name);
	else
		buf_printf(&p->b, "%s%s\n", p->tables ? "\n" : "", name);
	p->tables++;
	p->rows = 0;
	p->more = false;
}

void debug_table_end(struct debug_page *p)
{
	if (p->json)
		buf_printf(&p->b, "]%s", p->more ? ",\"truncated\":true" : "");
	else if (p->more)
		buf_printf(&p->b, "  ... and more\n");
}

bool debug_row(struct debug_page *p)
{
	if (p->rows == DEBUG_ROWS_MAX) {
		p->more = true;
		return false;
	}
	buf_adds(&p->b, p->json ? p->rows ? ",{" : "{" : " ");
	p->rows++;
	p->row_begun = false;
	return true;
}

void debug_row_end(struct debug_page *p)
{
	buf_adds(&p->b, p->json ? "}" : "\n");
}

static void debug_name(struct debug_page *p, const char *name)
{
	if (p->json)
		buf_printf(&p->b, "%s\"%s\":", p->row_begun ? "," : "", name);
	else
		buf_printf(&p->b, " %s=", name);
	p->row_begun = true;
}

/* As JSON writes it, or without quotes where nothing would be hidden by that. */
void debug_text(struct debug_page *p, const char *name, struct sv v)
{
	bool plain = !p->json;

	if (!v.n)
		return;
	debug_name(p, name);
	for (size_t i = 0; i < v.n && plain; i++)
		plain = (unsigned char)v.p[i] > 0x20 && (unsigned char)v.p[i] < 0x7f && v.p[i] != '"' && v.p[i] != '\\';
	if (plain)
		buf_addsv(&p->b, v);
	else
		json_encode_str(&p->b, v);
}

void debug_number(struct debug_page *p, const char *name, int64_t v)
{
	debug_name(p, name);
	buf_printf(&p->b, "%" PRId64, v);
}

void debug_time(struct debug_page *p, const char *name, int64_t ns)
{
	int64_t ms = MAX(ns, 0) / NS_PER_MS;

	debug_name(p, name);
	if (p->json)
		buf_printf(&p->b, "%" PRId64 ".%03d", ms / 1000, (int)(ms % 1000));
	else
		duration_format(&p->b, ms * NS_PER_MS);
}

/* --- pages --- */

static const struct {
	const char *path;
	void (*make)(struct apiserver *s, struct debug_page *p);
} pages[] = {
	{ "/debug/queues", debug_queues },
	{ "/debug/requests", debug_requests },
	{ "/debug/tasks", debug_tasks },
};

static void debug_index(struct apiserver *s, struct debug_page *p)
{
	(void)s;
	debug_table(p, "paths");
	for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
		(void)debug_row(p);
		debug_text(p, "path", sv_from(pages[i].path));
		debug_row_end(p);
	}
	debug_table_end(p);
}

static void debug_answer(struct api_req *q, bool json, void (*make)(struct apiserver *s, struct debug_page *p))
{
	struct debug_page p = { .json = json };
	struct http_chunk c;
	size_t n;
	char *text;

	if (json)
		buf_addc(&p.b, '{');
	make(q->server, &p);
	if (json)
		buf_adds(&p.b, "}\n");
	n = p.b.n;
	text = buf_detach(&p.b);
	c = (struct http_chunk){ .data = sv_make(text, n), .release = free, .owner = text };
	q->sink->bytes(q, 200, json ? "application/json" : "text/plain; charset=utf-8", &c, 1);
}

bool debug_serve(struct api_req *q)
{
	bool index = sv_is(q->path, "/debug") || sv_is(q->path, "/debug/");
	void (*make)(struct apiserver * s, struct debug_page * p) = index ? debug_index : NULL;
	struct sv format = SV("text");
	struct err err = ERR_INIT;

	for (size_t i = 0; i < ARRAY_LEN(pages); i++)
		if (sv_is(q->path, pages[i].path))
			make = pages[i].make;
	if (!make || !q->server->o.profiling)
		return false;
	(void)api_req_param(q, "format", &format);
	if (sv_is(format, "json") || sv_is(format, "text")) {
		debug_answer(q, sv_is(format, "json"), make);
	} else {
		err_set(&err, ERR_BAD_REQUEST, "format: Invalid value: \"%.*s\": must be json or text", SV_ARG(format));
		api_req_fail(q, &err);
	}
	return true;
}
