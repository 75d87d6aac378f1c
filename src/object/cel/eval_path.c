/* Paths: fields and indices of values, one step after the other.
 *
 * A step costs one; the variable at the beginning does, too. An optional goes on as one, and costs nothing where there
 * is nothing. Large documents are indexed when they are first asked, for as long as the run lasts.
 */
#include "object/cel/eval.h"

#include "base/double.h"

#include <stdlib.h>

/* --- members of large documents --- */

struct eval_index {
	const struct val *doc;
	struct val_index x;
};

#define EVAL_INDEX_FROM 64 /* child nodes */

static struct eval_index *eval_index_slot(struct eval_index *p, size_t cap, const struct val *doc)
{
	size_t at = ((uintptr_t)doc >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20 & (cap - 1);

	while (p[at].doc && p[at].doc != doc)
		at = (at + 1) & (cap - 1);
	return &p[at];
}

static const struct val *eval_doc_member(struct cel_eval *e, const struct val *doc, struct sv key)
{
	struct eval_index *slot;

	if (doc->n < EVAL_INDEX_FROM)
		return val_member_sv(doc, key);
	if (2 * (e->n_indices + 1) > e->indices_cap) {
		size_t cap = e->indices_cap ? 2 * e->indices_cap : 16;
		struct eval_index *p = xcalloc(cap, sizeof(*p));

		for (size_t i = 0; i < e->indices_cap; i++)
			if (e->indices[i].doc)
				*eval_index_slot(p, cap, e->indices[i].doc) = e->indices[i];
		free(e->indices);
		e->indices = p;
		e->indices_cap = cap;
	}
	slot = eval_index_slot(e->indices, e->indices_cap, doc);
	if (!slot->doc) {
		slot->doc = doc;
		slot->x = val_index_of(doc);
		e->n_indices++;
	}
	return val_index_get(&slot->x, key);
}

void eval_indices_release(struct cel_eval *e)
{
	for (size_t i = 0; i < e->indices_cap; i++)
		if (e->indices[i].doc)
			val_index_release(&e->indices[i].x);
	free(e->indices);
}

bool eval_member(struct cel_eval *e, const struct cel_value *m, const struct cel_value *key, struct cel_value *ret)
{
	const struct val *v;
	const struct cel_field *f;

	if (m->flags & CEL_V_LAZY) {
		int r = key->kind == CEL_STRING ? m->lazy->field(m->lazy, &e->call, cel_text(key), ret) : 1;

		if (r == CEL_LATER)
			eval_stop(e, CEL_WAITS, SV("waiting"));
		if (r < 0)
			*ret = eval_error(e, "%.*s", SV_ARG(r == CEL_LATER ? e->why : e->call.error));
		return r <= 0;
	}
	if (!(m->flags & CEL_V_DOC))
		return cel_map_find(e->arena, m, key, ret);
	if (key->kind != CEL_STRING)
		return false;
	if (m->kind == CEL_OBJECT) {
		f = cel_field_of(m->type, cel_text(key));
		v = f ? eval_doc_member(e, m->doc, f->key) : NULL;
		/* Of objects with properties a null is an absent member, as upstream has it; of maps it is null. */
		if (val_type(v) == VAL_NULL)
			return false;
		*ret = cel_from_doc(e->arena, v, f->type);
		return true;
	}
	v = eval_doc_member(e, m->doc, cel_text(key));
	if (v)
		*ret = cel_from_doc(e->arena, v, m->type ? m->type->params[1] : NULL);
	return v;
}

/* --- paths --- */

/* How an error names a key: strings as they are. */
static struct cel_value eval_no_key(struct cel_eval *e, const struct cel_value *key)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;

	switch (key->kind) {
	case CEL_STRING:
		return eval_error(e, "no such key: %.*s", SV_ARG(cel_text(key)));
	case CEL_INT:
		return eval_error(e, "no such key: %" PRId64, key->i);
	case CEL_UINT:
		return eval_error(e, "no such key: %" PRIu64, key->u);
	case CEL_BOOL:
		return eval_error(e, "no such key: %s", key->b ? "true" : "false");
	case CEL_DOUBLE:
		double_g(&text, key->d);
		return eval_error(e, "no such key: %s", buf_cstr(&text));
	default:
		return eval_error(e, "unsupported key type: %.*s", SV_ARG(cel_type_name_of(key)));
	}
}

/* The place in a list that a number stands for; false and *ret the error. */
static bool eval_place(struct cel_eval *e, const struct cel_value *i, int64_t *at, struct cel_value *ret)
{
	if (i->kind == CEL_INT)
		*at = i->i;
	else if (i->kind == CEL_UINT && i->u <= INT64_MAX)
		*at = (int64_t)i->u;
	else if (i->kind == CEL_DOUBLE && i->d >= -9e18 && i->d <= 9e18 && (double)(int64_t)i->d == i->d)
		*at = (int64_t)i->d;
	else {
		*ret = eval_error(e, "unsupported index type '%.*s' in list", SV_ARG(cel_type_name_of(i)));
		return false;
	}
	return true;
}

enum eval_found { FOUND, ABSENT, BROKEN };

/* What v has under the key. ABSENT: *ret is the error that says so. */
static enum eval_found eval_get(struct cel_eval *e, const struct cel_value *v, const struct cel_value *key,
				struct cel_value *ret)
{
	int64_t at;

	switch (v->kind) {
	case CEL_MAP:
	case CEL_OBJECT:
		if (eval_member(e, v, key, ret))
			return eval_bad(ret) ? BROKEN : FOUND;
		break;
	case CEL_LIST:
		if (!eval_place(e, key, &at, ret))
			return BROKEN;
		if (at >= 0 && at < (int64_t)v->n) {
			*ret = cel_at(e->arena, v, (size_t)at);
			return FOUND;
		}
		*ret = eval_error(e, "index out of bounds: %" PRId64, at);
		return ABSENT;
	default:
		break;
	}
	*ret = eval_no_key(e, key);
	return ABSENT;
}

/* One step of a path; an optional goes on as one. */
static void eval_step(struct cel_eval *e, const struct cel_value *of, const struct cel_value *key, bool optional,
		      uint64_t cost, struct cel_value *ret)
{
	struct cel_value v;
	enum eval_found found;
	bool opt = optional || of->kind == CEL_OPTIONAL;

	if (of->kind == CEL_OPTIONAL) {
		if (!of->items) {
			*ret = cel_none();
			return;
		}
		of = of->items;
	}
	found = eval_get(e, of, key, &v);
	if (!opt || found != ABSENT)
		eval_pay(e, cost);
	if (!opt || found == BROKEN)
		*ret = v;
	else
		*ret = found == ABSENT ? cel_none() : v.kind == CEL_OPTIONAL ? v : cel_some(e->arena, v);
}

void eval_field(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value of;

	eval_part(e, n, 0, &of);
	if (n->flags & NODE_BASE)
		eval_pay(e, 1);
	if (eval_bad(&of))
		*ret = of;
	else
		eval_step(e, &of, &e->p->consts[n->b], n->op == OP_OPT_FIELD, 1, ret);
}

void eval_index(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value of, key;

	eval_part(e, n, 0, &of);
	if (n->flags & NODE_BASE)
		eval_pay(e, 1);
	if (eval_bad(&of)) {
		*ret = of;
		return;
	}
	eval_part(e, n, 1, &key);
	if (eval_bad(&key))
		*ret = key;
	else
		eval_step(e, &of, &key, n->op == OP_OPT_INDEX, n->flags & NODE_KEY ? 0 : 1, ret);
}

void eval_has(struct cel_eval *e, const struct cel_node *n, struct cel_value *ret)
{
	struct cel_value of, v;
	enum eval_found found;

	eval_part(e, n, 0, &of);
	eval_pay(e, 1);
	if (of.kind == CEL_OPTIONAL) {
		if (!of.items) {
			*ret = cel_bool(false);
			return;
		}
		of = *of.items;
	}
	if (eval_bad(&of)) {
		*ret = of;
		return;
	}
	found = eval_get(e, &of, &e->p->consts[n->b], &v);
	if (found == BROKEN)
		*ret = v;
	else
		*ret = cel_bool(found == FOUND);
}
