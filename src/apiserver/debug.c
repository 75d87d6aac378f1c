/* Which page is asked for, and its answer. */
#include "apiserver/debug.h"
#include "apiserver/apiserver-internal.h"

#include <stdlib.h>

static const struct {
	const char *path;
	void (*make)(struct apiserver *s, struct debug_page *p);
} pages[] = {
	{ "/debug/locks", debug_locks }, { "/debug/queues", debug_queues },	{ "/debug/requests", debug_requests },
	{ "/debug/tasks", debug_tasks }, { "/debug/watchers", debug_watchers },
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
