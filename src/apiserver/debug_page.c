/* The text of a page under /debug, as lines or as JSON. */
#include "apiserver/debug.h"
#include "base/timefmt.h"
#include "base/utf8.h"
#include "codec/json.h"

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

/* As JSON writes it, or without quotes where nothing would be hidden by that. A path may be any bytes. */
void debug_text(struct debug_page *p, const char *name, struct sv v)
{
	_cleanup_free_ char *repaired = NULL;
	bool plain = !p->json;

	if (!v.n)
		return;
	if (!utf8_valid(v)) {
		repaired = xmalloc(3 * v.n);
		v = sv_make(repaired, utf8_repair(v, repaired));
	}
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

/* A JSON object of texts and numbers, as a row is written. */
static void debug_line(struct debug_page *p, struct sv line)
{
	_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
	const struct val *doc = json_decode(&tmp, line, NULL, NULL);

	buf_addc(&p->b, ' ');
	VAL_EACH_MEMBER(doc, m) {
		const char *name = arena_cstr(&tmp, m.key);

		if (val_type(m.value) == VAL_INT)
			debug_number(p, name, m.value->i);
		else
			debug_text(p, name, val_str(m.value));
	}
	buf_addc(&p->b, '\n');
}

void debug_lines(struct debug_page *p, const char *name, struct sv lines)
{
	bool whole = lines.n < DEBUG_LINES_BYTES;
	struct sv line;

	debug_table(p, name);
	while (sv_split(&lines, '\n', &line)) {
		if (!line.n)
			continue;
		if (p->json)
			buf_printf(&p->b, "%s%.*s", p->rows ? "," : "", SV_ARG(line));
		else
			debug_line(p, line);
		p->rows++;
	}
	p->more = !whole;
	debug_table_end(p);
}
