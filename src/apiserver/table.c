/* Objects as rows: meta.k8s.io/v1 Table, from the columns of the resource's schema.
 *
 * A column with a path is computed here; the cells of those without one come from the kind's
 * printer (strategy->print), in the order of these columns. */
#include "apiserver/apiserver-internal.h"
#include "apiserver/registry/strategy.h"
#include "base/timefmt.h"
#include "codec/json.h"
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
static void add_value(struct buf *b, const struct column *c, const struct val *v, bool as_text)
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
		add_value(b, c, follow(o, path), false);
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
			add_value(b, c, v, sv_starts(alt, SV("\"")));
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

void partial_encode(struct api_req *q, struct buf *b, const struct val *root)
{
	buf_printf(b, "{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"%s\",\"metadata\":", meta_version(q));
	json_encode(b, val_member(root, F_metadata));
	buf_addc(b, '}');
}

void table_row(struct api_req *q, struct buf *b, const struct resource *r, struct obj *o)
{
	struct sv include = SV("Metadata");
	const struct strategy *st = strategy_for(r);
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *root = obj_root(o);
	int64_t now = env_now_ns(q->server->env);
	struct val *printed = NULL;
	size_t k = 0;

	(void)api_req_param(q, "includeObject", &include);
	if (st->print) {
		printed = val_new_list(&a);
		st->print(&a, root, now, printed);
	}
	buf_adds(b, "{\"cells\":[");
	for (size_t i = 0; i < r->n_columns; i++) {
		const struct column *c = &r->columns[i];

		if (i)
			buf_addc(b, ',');
		if (c->path) {
			add_cell(b, c, root, now);
		} else {
			const struct val *cell = val_at(printed, k++);

			if (cell)
				json_encode(b, cell);
			else
				buf_adds(b, "\"<unknown>\"");
		}
	}
	if (!r->n_columns) {
		json_encode_str(b, obj_name(o));
		buf_addc(b, ',');
		json_encode_str(b, val_get_str(root, F_metadata, F_creationTimestamp));
	}
	buf_adds(b, "]");
	if (sv_is(include, "Object")) {
		buf_adds(b, ",\"object\":");
		buf_addsv(b, obj_json(o));
	} else if (!sv_is(include, "None")) {
		buf_adds(b, ",\"object\":");
		partial_encode(q, b, root);
	} else {
		buf_adds(b, ",\"object\":null");
	}
	buf_addc(b, '}');
}

static void add_definitions(struct buf *b, const struct resource *r)
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

void list_more(struct buf *b, struct sv cont, int64_t remaining)
{
	if (!cont.n)
		return;
	buf_printf(b, ",\"continue\":\"%.*s\"", SV_ARG(cont));
	if (remaining >= 0)
		buf_printf(b, ",\"remainingItemCount\":%" PRId64, remaining);
}

const char *meta_version(const struct api_req *q)
{
	return q->as_beta ? "meta.k8s.io/v1beta1" : "meta.k8s.io/v1";
}

void table_head(struct api_req *q, struct buf *b, const struct resource *r, int64_t rev, struct sv cont,
		int64_t remaining, bool with_columns)
{
	buf_printf(b, "{\"kind\":\"Table\",\"apiVersion\":\"%s\",\"metadata\":{", meta_version(q));
	if (rev)
		buf_printf(b, "\"resourceVersion\":\"%" PRId64 "\"", rev);
	list_more(b, cont, remaining);
	buf_adds(b, "},\"columnDefinitions\":");
	if (with_columns)
		add_definitions(b, r);
	else
		buf_adds(b, "null");
	buf_adds(b, ",\"rows\":[");
}

void table_encode(struct api_req *q, struct buf *b, const struct resource *r, struct obj *const *objs, size_t n,
		  int64_t rev, struct sv cont, int64_t remaining, bool with_columns)
{
	table_head(q, b, r, rev, cont, remaining, with_columns);
	for (size_t i = 0; i < n; i++) {
		if (i)
			buf_addc(b, ',');
		table_row(q, b, r, objs[i]);
	}
	buf_adds(b, TABLE_TAIL);
}
