/* fieldset.c - see fieldset.h. */
#include "object/fieldset.h"

#include "codec/json.h"

#include <stdlib.h>

struct fset *fset_new(struct arena *a)
{
	return ARENA_NEW(a, struct fset);
}

bool fset_empty(const struct fset *s)
{
	return !s || s->n == 0;
}

void fset_reserve(struct arena *a, struct fset *s, size_t n)
{
	if (!n || s->cap)
		return;
	s->edges = arena_alloc(a, n * sizeof(*s->edges));
	s->cap = n;
}

void fset_add(struct arena *a, struct fset *s, struct sv text, bool member, const struct fset *sub)
{
	if (fset_empty(sub))
		sub = NULL;
	if (!member && !sub)
		return;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 4;
		struct fset_edge *p = ARENA_ARRAY(a, struct fset_edge, cap);

		if (s->n)
			memcpy(p, s->edges, s->n * sizeof(*p));
		s->edges = p;
		s->cap = cap;
	}
	s->edges[s->n++] = (struct fset_edge){ text, member, sub };
}

static int edge_cmp(const void *x, const void *y)
{
	return sv_cmp(((const struct fset_edge *)x)->text, ((const struct fset_edge *)y)->text);
}

#define SORT_PLAIN 16 /* edges: most nodes have fewer, many are in order already */

static void edges_sort(struct fset_edge *e, size_t n)
{
	if (n > SORT_PLAIN) {
		qsort(e, n, sizeof(*e), edge_cmp);
		return;
	}
	for (size_t i = 1; i < n; i++) {
		struct fset_edge it = e[i];
		size_t at = i;

		for (; at && sv_cmp(e[at - 1].text, it.text) > 0; at--)
			e[at] = e[at - 1];
		e[at] = it;
	}
}

void fset_seal(struct arena *a, struct fset *s)
{
	size_t out = 0;

	if (s->n < 2)
		return;
	edges_sort(s->edges, s->n);
	for (size_t i = 1; i < s->n; i++) {
		struct fset_edge *last = &s->edges[out], *e = &s->edges[i];

		if (sv_eq(last->text, e->text)) {
			last->member |= e->member;
			last->sub = fset_union(a, last->sub, e->sub);
		} else {
			s->edges[++out] = *e;
		}
	}
	s->n = out + 1;
}

bool fset_equal(const struct fset *x, const struct fset *y)
{
	if (x == y || (fset_empty(x) && fset_empty(y)))
		return true;
	if (fset_empty(x) || fset_empty(y) || x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++)
		if (!sv_eq(x->edges[i].text, y->edges[i].text) || x->edges[i].member != y->edges[i].member ||
		    !fset_equal(x->edges[i].sub, y->edges[i].sub))
			return false;
	return true;
}

const struct fset_edge *fset_find(const struct fset *s, struct sv text)
{
	struct fset_edge key = { .text = text };

	return fset_empty(s) ? NULL : bsearch(&key, s->edges, s->n, sizeof(key), edge_cmp);
}

/* The first edge from i on that is not before text. Found in as many steps as the distance has digits: a set of many
 * edges may meet one of few, again for each manager. */
static size_t fset_seek(const struct fset *s, size_t i, struct sv text)
{
	size_t low = i, step = 1, high;

	while (low < s->n && sv_cmp(s->edges[low].text, text) < 0) {
		i = low + 1; /* all up to here are before it */
		low += step;
		step *= 2;
	}
	high = MIN(low, s->n);
	while (i < high) {
		size_t mid = i + (high - i) / 2;

		if (sv_cmp(s->edges[mid].text, text) < 0)
			i = mid + 1;
		else
			high = mid;
	}
	return i;
}

enum set_op { OP_UNION, OP_INTERSECTION, OP_DIFFERENCE, OP_WITHOUT };

/* One merge for all four operations. An edge that is on one side only is kept or dropped
 * whole, so shared subtrees are never copied. */
static const struct fset *combine(struct arena *a, enum set_op op, const struct fset *x, const struct fset *y)
{
	struct fset *out;
	size_t i = 0, j = 0;

	if (fset_empty(x))
		return op == OP_UNION ? y : NULL;
	if (fset_empty(y))
		return op == OP_INTERSECTION ? NULL : x;
	if (x == y)
		return op == OP_UNION || op == OP_INTERSECTION ? x : NULL;
	out = fset_new(a);
	while (i < x->n || (j < y->n && op == OP_UNION)) {
		const struct fset_edge *l = i < x->n ? &x->edges[i] : NULL, *r = j < y->n ? &y->edges[j] : NULL;
		int c = !r ? -1 : !l ? 1 : sv_cmp(l->text, r->text);
		bool member = false;

		if (c < 0 && op == OP_INTERSECTION) {
			i = r ? fset_seek(x, i + 1, r->text) : x->n;
			continue;
		}
		if (c < 0) {
			fset_add(a, out, l->text, l->member, l->sub);
			i++;
			continue;
		}
		if (c > 0 && op != OP_UNION) {
			j = fset_seek(y, j + 1, l->text);
			continue;
		}
		if (c > 0) {
			fset_add(a, out, r->text, r->member, r->sub);
			j++;
			continue;
		}
		i++;
		j++;
		switch (op) {
		case OP_UNION:
			member = l->member || r->member;
			break;
		case OP_INTERSECTION:
			member = l->member && r->member;
			break;
		case OP_WITHOUT:
			if (r->member)
				continue;
			member = l->member;
			break;
		case OP_DIFFERENCE:
			member = l->member && !r->member;
			break;
		}
		fset_add(a, out, l->text, member, combine(a, op, l->sub, r->sub));
	}
	return out->n ? out : NULL;
}

const struct fset *fset_union(struct arena *a, const struct fset *x, const struct fset *y)
{
	return combine(a, OP_UNION, x, y);
}

const struct fset *fset_union_all(struct arena *a, const struct fset **sets, size_t n)
{
	if (!n)
		return NULL;
	for (; n > 1; n = (n + 1) / 2)
		for (size_t i = 0; i < (n + 1) / 2; i++)
			sets[i] = 2 * i + 1 < n ? fset_union(a, sets[2 * i], sets[2 * i + 1]) : sets[2 * i];
	return sets[0];
}

const struct fset *fset_intersection(struct arena *a, const struct fset *x, const struct fset *y)
{
	return combine(a, OP_INTERSECTION, x, y);
}

const struct fset *fset_difference(struct arena *a, const struct fset *x, const struct fset *y)
{
	return combine(a, OP_DIFFERENCE, x, y);
}

const struct fset *fset_without(struct arena *a, const struct fset *x, const struct fset *y)
{
	return combine(a, OP_WITHOUT, x, y);
}

struct sv fset_field_text(struct arena *a, struct sv name)
{
	char *p = arena_alloc(a, name.n + 3);

	p[0] = 'f';
	p[1] = ':';
	if (name.n)
		memcpy(p + 2, name.p, name.n);
	p[name.n + 2] = '\0';
	return sv_make(p, name.n + 2);
}

const struct fset *fset_of_path(struct arena *a, const char *dotted)
{
	const char *dot = strrchr(dotted, '.');
	struct fset *s = fset_new(a);

	fset_add(a, s, fset_field_text(a, sv_from(dot ? dot + 1 : dotted)), true, NULL);
	while (dot) {
		char *head = arena_strndup(a, dotted, (size_t)(dot - dotted));
		struct fset *up = fset_new(a);

		dot = strrchr(head, '.');
		fset_add(a, up, fset_field_text(a, sv_from(dot ? dot + 1 : head)), false, s);
		s = up;
		dotted = head;
	}
	return s;
}

/* --- fieldsV1 --- */

/* k: and v: carry JSON of a client's making; one spelling for each value makes them comparable. */
static struct sv canonical_json(struct arena *a, char kind, const struct val *v)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_addc(&b, kind);
	buf_addc(&b, ':');
	if (kind == 'k' && v->type == VAL_MAP) {
		size_t n = 0, len = val_len(v);
		struct val_iter *ms = ARENA_ARRAY(a, struct val_iter, len + 1);

		VAL_EACH_MEMBER(v, m)
			ms[n++] = m;
		qsort(ms, n, sizeof(*ms), val_iter_order);
		buf_addc(&b, '{');
		for (size_t i = 0; i < n; i++) {
			if (i)
				buf_addc(&b, ',');
			json_encode_str(&b, ms[i].key);
			buf_addc(&b, ':');
			json_encode(&b, ms[i].value);
		}
		buf_addc(&b, '}');
	} else {
		json_encode(&b, v);
	}
	return arena_sv(a, buf_sv(&b));
}

static bool read_edge(struct arena *a, struct sv key, struct sv *ret)
{
	const struct val *v;
	struct sv rest;
	int64_t i;

	if (key.n < 2 || key.p[1] != ':')
		return false;
	rest = sv_sub(key, 2, key.n);
	switch (key.p[0]) {
	case 'f':
		*ret = key;
		return true;
	case 'i':
		*ret = key;
		return sv_to_i64(rest, &i) && i >= 0;
	case 'k':
	case 'v':
		v = json_decode(a, rest, &(struct json_opts){ .max_depth = 64 }, NULL);
		if (!v || (key.p[0] == 'k' && v->type != VAL_MAP))
			return false;
		*ret = canonical_json(a, key.p[0], v);
		return true;
	default:
		return false;
	}
}

static const struct fset *fset_read_node(struct arena *a, const struct val *v, bool *ret_member)
{
	struct fset *s = fset_new(a);

	*ret_member = false;
	VAL_EACH_MEMBER(v, m) {
		const struct fset *sub = NULL;
		bool member = true;
		struct sv text;

		if (sv_is(m.key, ".")) {
			*ret_member = true;
			continue;
		}
		if (!read_edge(a, m.key, &text))
			continue;
		/* {} below an edge: the path itself, and nothing under it. */
		if (val_len(m.value))
			sub = fset_read_node(a, m.value, &member);
		fset_add(a, s, arena_sv(a, text), member, sub);
	}
	fset_seal(a, s);
	return s;
}

/* Paths of our schemas are a few dozen deep at most; recursion over sets relies on this. */
#define FIELDS_DEPTH_MAX 200

static bool depth_ok(const struct val *v, int levels)
{
	if (levels == 0)
		return false;
	if (val_type(v) != VAL_MAP)
		return val_type(v) != VAL_LIST;
	VAL_EACH_MEMBER(v, m) {
		if (!depth_ok(m.value, levels - 1))
			return false;
	}
	return true;
}

const struct fset *fset_from_json(struct arena *a, const struct val *v, struct err *err)
{
	bool member;

	if (val_type(v) == VAL_RAW) {
		v = json_decode(a, val_raw(v), &(struct json_opts){ .max_depth = FIELDS_DEPTH_MAX }, err);
		if (!v)
			return NULL;
	}
	if (val_type(v) != VAL_MAP || !depth_ok(v, FIELDS_DEPTH_MAX)) {
		err_set(err, ERR_BAD_REQUEST, "fieldsV1 is not a tree of objects");
		return NULL;
	}
	return fset_read_node(a, v, &member);
}

static void write_node(struct buf *b, const struct fset *s, bool member)
{
	bool first = true;

	buf_addc(b, '{');
	if (member) {
		buf_adds(b, "\".\":{}");
		first = false;
	}
	for (size_t i = 0; s && i < s->n; i++) {
		const struct fset_edge *e = &s->edges[i];

		if (!first)
			buf_addc(b, ',');
		first = false;
		json_encode_str(b, e->text);
		buf_addc(b, ':');
		if (fset_empty(e->sub))
			buf_adds(b, "{}");
		else
			write_node(b, e->sub, e->member);
	}
	buf_addc(b, '}');
}

void fset_to_json(struct buf *b, const struct fset *s)
{
	write_node(b, s, false);
}

/* --- paths for people --- */

void fset_path_element(struct arena *a, struct buf *b, struct sv text)
{
	struct sv rest = sv_sub(text, 2, text.n);
	const struct val *keys;
	bool first = true;

	switch (text.p[0]) {
	case 'f':
		buf_addc(b, '.');
		buf_addsv(b, rest);
		return;
	case 'i':
		buf_printf(b, "[%.*s]", SV_ARG(rest));
		return;
	case 'v':
		buf_printf(b, "[=%.*s]", SV_ARG(rest));
		return;
	default:
		keys = json_decode(a, rest, NULL, NULL);
		buf_addc(b, '[');
		VAL_EACH_MEMBER(keys, m) {
			if (!first)
				buf_addc(b, ',');
			first = false;
			buf_addsv(b, m.key);
			buf_addc(b, '=');
			json_encode(b, m.value);
		}
		buf_addc(b, ']');
	}
}

static void each(struct arena *a, const struct fset *s, struct buf *path, void (*fn)(struct sv, void *), void *ctx)
{
	size_t mark = path->n;

	for (int below = 0; s && below <= 1; below++) {
		for (size_t i = 0; i < s->n; i++) {
			const struct fset_edge *e = &s->edges[i];

			if (below ? !e->sub : !e->member)
				continue;
			fset_path_element(a, path, e->text);
			if (below)
				each(a, e->sub, path, fn, ctx);
			else
				fn(buf_sv(path), ctx);
			path->n = mark;
		}
	}
}

void fset_each(struct arena *a, const struct fset *s, void (*fn)(struct sv path, void *ctx), void *ctx)
{
	_cleanup_(buf_release) struct buf path = BUF_INIT;

	each(a, s, &path, fn, ctx);
}
