/* The columns of a resource: what their paths lead to in an object, and their definitions. */
#include "print/print.h"

#include <math.h>

#include "base/timefmt.h"
#include "codec/json.h"
#include "object/jsonpath.h"
#include "object/selector.h"

/* Follows ".a.b[0].c"; NULL when it leads nowhere. */
static const struct val *follow(const struct val *v, struct sv path)
{
	while (path.n && v) {
		size_t n = 1;

		if (path.p[0] == '[') {
			ssize_t end = sv_find(path, ']');
			int64_t at = -1;

			if (end < 0 || !sv_to_i64(sv_sub(path, 1, (size_t)end - 1), &at) || at < 0)
				return NULL;
			v = val_at(v, (size_t)at);
			path = sv_sub(path, (size_t)end + 1, path.n);
			continue;
		}
		while (n < path.n && path.p[n] != '.' && path.p[n] != '[')
			n++;
		v = val_member_sv(v, sv_sub(path, 1, n - 1));
		path = sv_sub(path, n, path.n);
	}
	return v;
}

/* as_text: a number stands for words (an int-or-string), and words it stays. */
static void print_add_value(struct buf *b, const struct column *c, const struct val *v, bool as_text)
{
	switch (val_type(v)) {
	case VAL_NULL:
		/* Numbers and booleans that Go prints from zero values. */
		if (*c->type == 'i' || *c->type == 'n')
			buf_addc(b, '0');
		else if (*c->type == 'b')
			buf_adds(b, "false");
		else
			buf_adds(b, "\"\"");
		return;
	case VAL_STR:
		json_encode_str(b, val_str(v));
		return;
	case VAL_INT:
	case VAL_FLOAT:
	case VAL_BOOL:
		if (as_text) {
			buf_addc(b, '"');
			json_encode(b, v);
			buf_addc(b, '"');
		} else {
			json_encode(b, v);
		}
		return;
	default: {
		_cleanup_(buf_release) struct buf text = BUF_INIT;

		json_encode(&text, v);
		json_encode_str(b, buf_sv(&text));
	}
	}
}

static void add_age(struct buf *b, const struct val *v, int64_t now_ns)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	int64_t at;

	if (!time_parse(val_str(v), &at))
		buf_adds(&text, "<unknown>");
	else
		duration_human(&text, now_ns - at);
	json_encode_str(b, buf_sv(&text));
}

static void add_containers(struct buf *b, const struct val *list, enum sym member)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	VAL_EACH(list, c) {
		if (text.n)
			buf_addc(&text, ',');
		buf_addsv(&text, val_get_str(c, member));
	}
	json_encode_str(b, buf_sv(&text));
}

static void add_labels(struct buf *b, const struct val *map)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	VAL_EACH_MEMBER(map, m) {
		if (text.n)
			buf_addc(&text, ',');
		buf_addsv(&text, m.key);
		buf_addc(&text, '=');
		buf_addsv(&text, val_str(m.value));
	}
	if (!text.n)
		buf_adds(&text, "<none>");
	json_encode_str(b, buf_sv(&text));
}

static void add_selector(struct buf *b, const struct val *v)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	const struct selector *s = v ? selector_from_label_selector(&a, v, NULL) : NULL;

	if (s)
		selector_format(&text, s);
	if (!text.n)
		buf_adds(&text, "<none>");
	json_encode_str(b, buf_sv(&text));
}

static void add_cell(struct buf *b, const struct column *c, const struct val *o, int64_t now_ns)
{
	struct sv path = sv_from(c->path), fn, alt = SV_NULL;
	ssize_t open = sv_find(path, '(');
	const struct val *v;

	if (open < 0) {
		print_add_value(b, c, follow(o, path), false);
		return;
	}
	fn = sv_sub(path, 0, (size_t)open);
	path = sv_sub(path, (size_t)open + 1, path.n - (size_t)open - 2);
	if (sv_is(fn, "or")) {
		ssize_t comma = sv_find(path, ',');

		if (comma >= 0) {
			alt = sv_sub(path, (size_t)comma + 1, path.n);
			path = sv_sub(path, 0, (size_t)comma);
		}
		v = follow(o, path);
		if (val_type(v) != VAL_NULL && !(val_type(v) == VAL_STR && !v->n))
			print_add_value(b, c, v, sv_starts(alt, SV("\"")));
		else
			buf_addsv(b, alt);
		return;
	}
	v = follow(o, path);
	if (sv_is(fn, "age"))
		add_age(b, v, now_ns);
	else if (sv_is(fn, "len"))
		buf_printf(b, "%zu", val_len(v));
	else if (sv_is(fn, "names"))
		add_containers(b, v, F_name);
	else if (sv_is(fn, "images"))
		add_containers(b, v, F_image);
	else if (sv_is(fn, "labels"))
		add_labels(b, v);
	else
		add_selector(b, v);
}

/* A cell of a custom kind: what the first value of its path says in the column's type, null where it cannot. */
static void add_custom(struct buf *b, const struct column *c, const struct val *o, int64_t now_ns)
{
	const struct val *v = jsonpath_first(c->json, o);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	enum val_type t = val_type(v);
	int64_t at;

	if (v && strcmp(c->type, "string") == 0) {
		if (t == VAL_NULL)
			buf_adds(&text, "<no value>");
		else if (t == VAL_MAP || t == VAL_LIST)
			json_encode(&text, val_sorted(&a, v));
		else
			buf_addsv(&text, val_go_text(&a, v));
		json_encode_str(b, buf_sv(&text));
	} else if (strcmp(c->type, "integer") == 0 && (t == VAL_INT || (t == VAL_FLOAT && fabs(v->d) < 9e18))) {
		buf_addi64(b, t == VAL_INT ? v->i : (int64_t)v->d);
	} else if ((strcmp(c->type, "number") == 0 && (t == VAL_INT || t == VAL_FLOAT)) ||
		   (strcmp(c->type, "boolean") == 0 && t == VAL_BOOL)) {
		json_encode(b, v);
	} else if (strcmp(c->type, "date") == 0 && t == VAL_STR) {
		if (!val_str(v).n)
			buf_adds(&text, "<unknown>");
		else if (!time_parse(val_str(v), &at))
			buf_adds(&text, "<invalid>");
		else
			duration_human(&text, now_ns - at);
		json_encode_str(b, buf_sv(&text));
	} else {
		buf_adds(b, "null");
	}
}

void print_cells(struct buf *b, const struct resource *r, const struct val *obj, int64_t now_ns)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	print_fn *printer = printer_for(r);
	struct val *printed = NULL;
	size_t k = 0;

	if (printer) {
		printed = val_new_list(&a);
		printer(&a, obj, now_ns, printed);
	}
	buf_addc(b, '[');
	for (size_t i = 0; i < r->n_columns; i++) {
		const struct column *c = &r->columns[i];

		if (i)
			buf_addc(b, ',');
		if (c->json) {
			add_custom(b, c, obj, now_ns);
		} else if (c->path) {
			add_cell(b, c, obj, now_ns);
		} else {
			const struct val *cell = val_at(printed, k++);

			if (cell)
				json_encode(b, cell);
			else
				buf_adds(b, "\"<unknown>\"");
		}
	}
	if (!r->n_columns) {
		json_encode_str(b, val_get_str(obj, F_metadata, F_name));
		buf_addc(b, ',');
		json_encode_str(b, val_get_str(obj, F_metadata, F_creationTimestamp));
	}
	buf_addc(b, ']');
}

void print_columns(struct buf *b, const struct resource *r)
{
	/* What upstream shows of a resource that has no columns of its own. */
	static const struct column plain[] = {
		{ .name = "Name", .type = "string", .format = "name", .doc = "" },
		{ .name = "Created At", .type = "date", .format = "", .doc = "" },
	};
	const struct column *c = r->n_columns ? r->columns : plain;
	size_t n = r->n_columns ? r->n_columns : ARRAY_LEN(plain);

	buf_addc(b, '[');
	for (size_t i = 0; i < n; i++) {
		buf_adds(b, i ? ",{\"name\":" : "{\"name\":");
		json_encode_str(b, sv_from(c[i].name));
		buf_printf(b, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", c[i].type,
			   c[i].format ? c[i].format : "");
		json_encode_str(b, sv_from(c[i].doc));
		buf_printf(b, ",\"priority\":%d}", c[i].priority);
	}
	buf_addc(b, ']');
}
