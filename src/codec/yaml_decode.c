/* YAML to documents, on libyaml's events. go-yaml is a port of libyaml, so its problem texts are
 * the ones users know; the line arithmetic of yaml.v2 is repeated with its off-by-ones. */
#include "codec/yaml.h"

#include "base/b64.h"
#include "base/budget.h"
#include "base/strmap.h"
#include "base/utf8.h"
#include "codec/doc_items.h"
#include "codec/json.h"
#include "codec/yaml_scalar.h"

#include <yaml.h>

/* What aliases and merges may copy in one document: nodes, and bytes of texts. Those are shared here, but written as
 * often as they stand there. */
#define ALIASING "error converting YAML to JSON: yaml: document contains excessive aliasing"
static const struct budget_limit alias_nodes_limit = { 1000000, ERR_BAD_REQUEST, ALIASING };
static const struct budget_limit alias_bytes_limit = { 8 * 1024 * 1024, ERR_BAD_REQUEST, ALIASING };

struct reader {
	yaml_parser_t parser;
	yaml_event_t event; /* the one to look at */
	bool have_event;
	struct arena *a;
	struct err *err;
	struct strmap anchors;	      /* struct val * */
	const struct yaml_opts *opts; /* may be NULL */
	struct budget alias_nodes, alias_bytes;
	unsigned depth;
};

static int read_node(struct reader *r, struct val *ret);

static int fail(struct reader *r, size_t line, const char *what)
{
	if (line)
		return err_set(r->err, ERR_BAD_REQUEST, "error converting YAML to JSON: yaml: line %zu: %s", line,
			       what);
	return err_set(r->err, ERR_BAD_REQUEST, "error converting YAML to JSON: yaml: %s", what);
}

/* Failures that upstream finds after parsing carry the node's own line. */
static int fail_here(struct reader *r, const char *what)
{
	return fail(r, r->event.start_mark.line + 1, what);
}

static int fail_parser(struct reader *r)
{
	const yaml_parser_t *p = &r->parser;
	size_t line = 0;

	if (p->problem_mark.line)
		line = p->problem_mark.line + (p->error == YAML_SCANNER_ERROR);
	else if (p->context_mark.line)
		line = p->context_mark.line;
	return fail(r, line, p->problem ? p->problem : "unknown problem parsing YAML content");
}

static int next_event(struct reader *r)
{
	if (r->have_event)
		yaml_event_delete(&r->event);
	r->have_event = false;
	if (!yaml_parser_parse(&r->parser, &r->event))
		return fail_parser(r);
	r->have_event = true;
	return 0;
}

static int pay_value(struct reader *r)
{
	return r->opts ? budget_spend(r->opts->values, 1, r->err) : 0;
}

/* Counts what v is made of. */
static int count_alias(struct reader *r, const struct val *v)
{
	if (budget_spend(&r->alias_nodes, 1, r->err) < 0 || (v->type != VAL_KEY && pay_value(r) < 0))
		return -1;
	if (v->type == VAL_LIST || v->type == VAL_MAP) {
		for (size_t i = 0; i < v->n; i++)
			if (count_alias(r, &v->items[i]) < 0)
				return -1;
	} else if (v->type == VAL_STR || v->type == VAL_KEY) {
		return budget_spend(&r->alias_bytes, v->n, r->err);
	}
	return 0;
}

/* A copy of what an anchor names. Copied, not shared: documents are trees, and may be changed. */
static int copy_shared(struct reader *r, const struct val *from, struct val *ret)
{
	if (count_alias(r, from) < 0)
		return -1;
	if (val_deeper_than(from, JSON_DEPTH_MAX - r->depth))
		return fail(r, 0, "exceeded max depth");
	*ret = *val_clone_nodes(r->a, from);
	return 0;
}

static struct sv event_sv(const yaml_char_t *s)
{
	return sv_from((const char *)s);
}

static int remember_anchor(struct reader *r, struct sv name, const struct val *v)
{
	struct val *copy;

	if (!name.n)
		return 0;
	copy = arena_alloc(r->a, sizeof(*copy));
	*copy = *v;
	copy->sym = 0;
	strmap_set(&r->anchors, name, copy);
	return 0;
}

/* --- scalars --- */

static int decode_binary(struct reader *r, struct sv text, struct val *ret)
{
	struct sv s;

	if (!b64_decode(r->a, text, &s))
		return fail(r, 0, "!!binary value contains invalid base64 data");
	if (!utf8_valid(s)) /* a document holds text: this cannot become JSON */
		return fail(r, 0, "!!binary value is not valid UTF-8");
	*ret = val_make(VAL_STR, s.n);
	ret->s = s.p;
	return 0;
}

static int read_scalar(struct reader *r, struct val *ret)
{
	struct sv s = sv_make((const char *)r->event.data.scalar.value, r->event.data.scalar.length);
	struct sv tag = event_sv(r->event.data.scalar.tag);
	bool plain = r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE, resolve = plain;

	if (s.n > VAL_N_MAX)
		return fail_here(r, "scalar too long");
	if (sv_is(tag, YAML_STR_TAG) || sv_is(tag, "!"))
		resolve = false;
	else if (sv_is(tag, YAML_INT_TAG) || sv_is(tag, YAML_FLOAT_TAG) || sv_is(tag, YAML_BOOL_TAG) ||
		 sv_is(tag, YAML_NULL_TAG))
		resolve = true;
	if (sv_is(tag, "tag:yaml.org,2002:binary"))
		return decode_binary(r, s, ret);
	if (!resolve) {
		*ret = val_make(VAL_STR, s.n);
		ret->s = arena_sv(r->a, s).p;
		return 0;
	}
	if (!yaml_resolve(s, ret))
		return err_set(r->err, ERR_BAD_REQUEST, "error converting YAML to JSON: json: unsupported value: %s",
			       s.p[0] == '-'			? "-Inf"
			       : s.p[1] == 'n' || s.p[1] == 'N' ? "NaN"
								: "+Inf");
	if (ret->type == VAL_STR)
		ret->s = arena_sv(r->a, s).p;
	return 0;
}

/* --- containers --- */

/* A node that is no key. Aliases are paid for as they are copied. */
static int read_value(struct reader *r, struct val *ret)
{
	return r->event.type != YAML_ALIAS_EVENT && pay_value(r) < 0 ? -1 : read_node(r, ret);
}

static int read_list(struct reader *r, struct val *ret)
{
	*ret = val_make(VAL_LIST, 0);
	ret->items = NULL;
	for (;;) {
		struct val v;

		if (next_event(r) < 0)
			return -1;
		if (r->event.type == YAML_SEQUENCE_END_EVENT)
			return 0;
		if (read_value(r, &v) < 0)
			return -1;
		val_push(r->a, ret, &v);
	}
}

/* The text that a key becomes. */
static int key_text(struct reader *r, const struct val *key, struct sv *ret)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	switch (val_type(key)) {
	case VAL_STR:
		*ret = val_str(key);
		return 0;
	case VAL_BOOL:
	case VAL_INT:
	case VAL_FLOAT:
		json_encode(&b, key);
		*ret = arena_sv(r->a, buf_sv(&b));
		return 0;
	case VAL_NULL:
		return err_set(r->err, ERR_BAD_REQUEST,
			       "error converting YAML to JSON: unsupported map key of type: null");
	default:
		return fail_here(r, "invalid map key");
	}
}

/* Members of from that map does not have; their keys are in seen. */
static int merge_one(struct reader *r, struct val *map, const struct val *from, struct strmap *seen)
{
	struct val copy;

	if (val_type(from) != VAL_MAP)
		return fail(r, 0, "map merge requires map or sequence of maps as the value");
	VAL_EACH_MEMBER(from, m) {
		if (strmap_has(seen, m.key))
			continue;
		strmap_set(seen, m.key, r);
		if (copy_shared(r, m.value, &copy) < 0)
			return -1;
		val_append_sv(r->a, map, m.key, &copy);
	}
	return 0;
}

static int yaml_merge(struct reader *r, struct val *map, const struct val *value, struct strmap *seen)
{
	if (val_type(value) != VAL_LIST)
		return merge_one(r, map, value, seen);
	VAL_EACH(value, from) {
		if (merge_one(r, map, from, seen) < 0)
			return -1;
	}
	return 0;
}

/* The same key again: an error, unless somebody is there to be told of it. */
static int repeated(struct reader *r, size_t line, struct sv name)
{
	if (!r->opts || !r->opts->duplicate)
		return err_set(r->err, ERR_BAD_REQUEST,
			       "error converting YAML to JSON: yaml: unmarshal errors:\n"
			       "  line %zu: key \"%.*s\" already set in map",
			       line, SV_ARG(name));
	r->opts->duplicate(arena_svf(r->a, "line %zu: key \"%.*s\" already set in map", line, SV_ARG(name)),
			   r->opts->ctx);
	return 0;
}

/* The value of that name; what is below fieldsV1 is not paid for. */
static int read_member(struct reader *r, struct sv name, struct val *ret)
{
	struct budget *b = r->opts && sv_eq(name, sym_name(F_fieldsV1)) ? r->opts->values : NULL;
	size_t before = b ? b->used : 0;

	if (read_value(r, ret) < 0)
		return -1;
	if (b)
		b->used = before + 1;
	return 0;
}

static int read_members(struct reader *r, struct val *ret, struct strmap *seen)
{
	struct val merged = val_make(VAL_NULL, 0);
	bool have_merge = false;

	for (;;) {
		struct val key, value;
		struct sv name;
		size_t line;
		bool plain_merge;
		void **slot; /* where in ret's nodes the value of that name is, and one */

		if (next_event(r) < 0)
			return -1;
		if (r->event.type == YAML_MAPPING_END_EVENT)
			break;
		line = r->event.start_mark.line + 1;
		plain_merge = r->event.type == YAML_SCALAR_EVENT &&
			      r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
			      sv_is(event_sv(r->event.data.scalar.value), "<<");
		if (read_node(r, &key) < 0 || key_text(r, &key, &name) < 0)
			return -1;
		if (next_event(r) < 0 || read_member(r, name, &value) < 0)
			return -1;
		if (plain_merge) {
			merged = value;
			have_merge = true;
			continue;
		}
		slot = strmap_slot(seen, name);
		if (*slot) {
			struct val *was = &ret->items[(uintptr_t)*slot - 1];

			if (repeated(r, line, name) < 0)
				return -1;
			value.sym = was->sym;
			*was = value;
			continue;
		}
		val_append_sv(r->a, ret, name, &value);
		*slot = (void *)(uintptr_t)ret->n;
	}
	return have_merge ? yaml_merge(r, ret, &merged, seen) : 0;
}

static int read_map(struct reader *r, struct val *ret)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;

	*ret = val_make(VAL_MAP, 0);
	ret->items = NULL;
	return read_members(r, ret, &seen);
}

/* The node that the current event begins; afterwards the current event is its last. */
static int read_node(struct reader *r, struct val *ret)
{
	struct sv anchor = SV_NULL;
	const struct val *target;
	int result;

	switch (r->event.type) {
	case YAML_ALIAS_EVENT:
		target = strmap_get(&r->anchors, event_sv(r->event.data.alias.anchor));
		if (!target)
			return err_set(r->err, ERR_BAD_REQUEST,
				       "error converting YAML to JSON: yaml: unknown anchor '%s' referenced",
				       (const char *)r->event.data.alias.anchor);
		return copy_shared(r, target, ret);
	case YAML_SCALAR_EVENT:
		if (read_scalar(r, ret) < 0)
			return -1;
		return remember_anchor(r, event_sv(r->event.data.scalar.anchor), ret);
	case YAML_SEQUENCE_START_EVENT:
		anchor = event_sv(r->event.data.sequence_start.anchor);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event_sv(r->event.data.mapping_start.anchor);
		break;
	default:
		return fail_here(r, "unexpected event");
	}
	if (r->depth >= JSON_DEPTH_MAX)
		return fail(r, 0, "exceeded max depth");
	if (anchor.n)
		anchor = arena_sv(r->a, anchor);
	r->depth++;
	result = r->event.type == YAML_MAPPING_START_EVENT ? read_map(r, ret) : read_list(r, ret);
	r->depth--;
	return result < 0 ? -1 : remember_anchor(r, anchor, ret);
}

static int read_document(struct reader *r, struct val *ret)
{
	*ret = val_make(VAL_NULL, 0);
	ret->i = 0;
	do {
		if (next_event(r) < 0)
			return -1;
		if (r->event.type == YAML_STREAM_END_EVENT)
			return 0; /* nothing but comments */
	} while (r->event.type != YAML_DOCUMENT_START_EVENT);
	if (next_event(r) < 0 || read_value(r, ret) < 0)
		return -1;
	if (next_event(r) < 0) /* an error right behind the root belongs to it */
		return -1;
	if (!r->opts || !r->opts->alone)
		return 0;
	if (next_event(r) < 0)
		return -1;
	return r->event.type == YAML_STREAM_END_EVENT
		   ? 0
		   : fail_here(r, "a second document begins, and there may be one only");
}

static bool note_repeat(struct sv path, void *ctx)
{
	(void)path;
	*(bool *)ctx = true;
	return false;
}

struct val *yaml_decode(struct arena *a, struct sv text, struct err *err)
{
	return yaml_decode_opts(a, text, NULL, err);
}

struct val *yaml_decode_opts(struct arena *a, struct sv text, const struct yaml_opts *opts, struct err *err)
{
	struct reader r = { .a = a,
			    .err = err,
			    .opts = opts,
			    .alias_nodes = BUDGET(alias_nodes_limit),
			    .alias_bytes = BUDGET(alias_bytes_limit) };
	struct sv start = sv_trim(text);
	struct val root, *out = NULL;

	if (text.n > VAL_N_MAX) {
		err_set(err, ERR_BAD_REQUEST, "YAML text of %zu bytes is too long", text.n);
		return NULL;
	}
	/* JSON is YAML, and most of what starts like it is; flow style that is not falls through. */
	if (start.n && (start.p[0] == '{' || start.p[0] == '[')) {
		struct json_opts json = { .duplicate = note_repeat, .values = opts ? opts->values : NULL };
		size_t before = json.values ? json.values->used : 0;
		bool repeats = false;

		json.ctx = &repeats;
		out = json_decode(a, start, &json, NULL);
		if (out && !repeats)
			return out;
		out = NULL;
		if (budget_over(json.values)) {
			(void)budget_refuse(json.values, err);
			return NULL;
		}
		if (json.values)
			json.values->used = before;
	}
	/* A parser that is told the encoding takes the mark for a column, and what begins left of it for the next
	 * document. */
	if (sv_starts(text, SV("\xef\xbb\xbf")))
		text = sv_sub(text, 3, text.n);
	BUG_ON(!yaml_parser_initialize(&r.parser));
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)(text.n ? text.p : ""), text.n);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	if (read_document(&r, &root) == 0) {
		out = arena_alloc(a, sizeof(*out));
		*out = root;
		out->sym = 0;
	}
	if (r.have_event)
		yaml_event_delete(&r.event);
	yaml_parser_delete(&r.parser);
	strmap_release(&r.anchors);
	return out;
}

/* --- streams of documents --- */

static bool only_comment(struct sv s)
{
	s = sv_trim(s);
	return s.n == 0 || s.p[0] == '#';
}

/* Cuts one line, with its end, off *rest. */
static struct sv next_line(struct sv *rest)
{
	ssize_t nl = sv_find(*rest, '\n');
	size_t n = nl < 0 ? rest->n : (size_t)nl + 1;
	struct sv line = sv_make(rest->p, n);

	*rest = sv_make(rest->p + n, rest->n - n);
	return line;
}

bool yaml_next_document(struct sv *rest, struct sv *ret_doc)
{
	while (rest->n) {
		const char *start = rest->p;
		size_t n = 0;
		bool content = false;

		while (rest->n) {
			struct sv line = next_line(rest);

			if (sv_starts(line, SV("---")) && only_comment(sv_sub(line, 3, line.n - 3))) {
				if (content)
					break;
				start = rest->p; /* a separator before any content begins the document */
				n = 0;
				continue;
			}
			n += line.n;
			content |= !only_comment(line) && !sv_is(line, "\xef\xbb\xbf");
		}
		if (content) {
			*ret_doc = sv_make(start, n);
			return true;
		}
	}
	return false;
}
