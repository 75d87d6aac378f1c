/* apply_merge.c - putting a configuration into a live object, and taking paths out of one. */
#include "object/apply-internal.h"

#include "codec/doc_items.h"
#include "codec/val_index.h"

#include <stdlib.h>

const struct fset *typed_ensure_named(struct arena *a, struct ftype t, const struct fset *s)
{
	struct fset *out;

	if (fset_empty(s))
		return NULL;
	out = fset_new(a);
	fset_reserve(a, out, s->n);
	for (size_t i = 0; i < s->n; i++) {
		const struct fset_edge *e = &s->edges[i];
		bool declared = false;
		const struct fset *sub = NULL;

		if (e->sub)
			sub = typed_ensure_named(a, ftype_edge(t, e->text, &declared), e->sub);
		fset_add(a, out, e->text, e->member || declared, sub);
	}
	return out;
}

static const struct val *typed_merge_map(struct arena *a, struct ftype t, const struct val *base,
					 const struct val *over)
{
	_cleanup_(val_index_release) struct val_index in_base = val_index_of(base), in_over = val_index_of(over);
	struct val *out = val_new_map(a);

	VAL_EACH_MEMBER(base, m) {
		const struct val *o = val_index_member(&in_over, m.sym, m.key);

		val_append_member(a, out, m.sym, m.key, typed_merge(a, ftype_member(t, m.sym, m.key), m.value, o));
	}
	VAL_EACH_MEMBER(over, m)
		if (!val_index_member(&in_base, m.sym, m.key))
			val_append_member(a, out, m.sym, m.key, m.value);
	return out;
}

/* An item in the order of its list, with its partner's place in the other list. */
struct seat {
	const struct fpart *part;
	ssize_t twin; /* index in the other list or -1 */
	bool done;
};

static struct seat *seats(struct arena *a, const struct fparts *mine, const struct fparts *theirs)
{
	struct seat *out = ARENA_ARRAY(a, struct seat, mine->n + 1);

	/* Both are sorted by text; of equal items the first in list order counts. */
	for (size_t i = 0, j = 0; i < mine->n; i++) {
		while (j < theirs->n && sv_cmp(theirs->p[j].text, mine->p[i].text) < 0)
			j++;
		out[mine->p[i].index] = (struct seat){ .part = &mine->p[i], .twin = -1 };
		if (j < theirs->n && sv_eq(theirs->p[j].text, mine->p[i].text))
			out[mine->p[i].index].twin = (ssize_t)theirs->p[j].index;
	}
	return out;
}

/* The place in `over` of the first item at or after i that base has too; n when there is none. */
static size_t next_shared(const struct seat *over, size_t i, size_t n)
{
	while (i < n && over[i].twin < 0)
		i++;
	return i;
}

/* The merged order keeps over's order of the items it names; items that only the base has stay
 * in front of the shared item that they preceded. */
static const struct val *typed_merge_list(struct arena *a, struct ftype t, const struct val *base,
					  const struct val *over)
{
	struct fparts bp, op;
	struct seat *b, *o;
	struct val *out = val_new_list(a);
	size_t i = 0, j = 0, shared;

	fparts_of(a, t, base, false, &bp);
	fparts_of(a, t, over, false, &op);
	fparts_sort(&bp);
	fparts_sort(&op);
	b = seats(a, &bp, &op);
	o = seats(a, &op, &bp);
	shared = next_shared(o, 0, op.n);
	while (i < bp.n || j < op.n) {
		bool both = i < bp.n && j < op.n;

		if (both && sv_eq(b[i].part->text, o[j].part->text)) {
			val_push(a, out, typed_merge(a, o[j].part->type, b[i].part->v, o[j].part->v));
			o[j].done = true;
			i++;
			j++;
			shared = next_shared(o, shared + 1, op.n);
			continue;
		}
		if (both && b[i].twin >= 0 && shared < op.n && !sv_eq(o[shared].part->text, b[i].part->text)) {
			i++; /* shared, but its turn comes elsewhere */
			continue;
		}
		if (i < bp.n && b[i].twin < 0) {
			val_push(a, out, b[i++].part->v);
			continue;
		}
		if (i < bp.n && o[b[i].twin].done)
			i++;
		if (j < op.n) {
			const struct val *twin = o[j].twin >= 0 ? b[o[j].twin].part->v : NULL;

			val_push(a, out, twin ? typed_merge(a, o[j].part->type, twin, o[j].part->v) : o[j].part->v);
			o[j].done = true;
			if (j == shared)
				shared = next_shared(o, shared + 1, op.n);
			j++;
		} else if (i < bp.n && b[i].twin >= 0 && !o[b[i].twin].done) {
			i++;
		}
	}
	return out;
}

const struct val *typed_merge(struct arena *a, struct ftype t, const struct val *base, const struct val *over)
{
	if (!over)
		return base;
	if (!ftype_is_container(t, base))
		return over;
	/* Naming an empty container, or null, takes nothing out of a live one. */
	if (!ftype_is_container(t, over))
		return over->type == base->type || over->type == VAL_NULL ? base : over;
	return ftype_is_list(t) ? typed_merge_list(a, t, base, over) : typed_merge_map(a, t, base, over);
}

/* map: what a map that loses all becomes, VAL_NULL or VAL_MAP. */
static const struct val *remove_walk(struct arena *a, struct ftype t, const struct val *v, const struct fset *gone,
				     enum val_type map)
{
	struct fparts ps;
	struct val *out;

	if (fset_empty(gone) || !ftype_is_container(t, v))
		return v;
	fparts_of(a, t, v, false, &ps);
	out = ftype_is_list(t) ? val_new_list(a) : val_new_map(a);
	for (size_t i = 0; i < ps.n; i++) {
		const struct fset_edge *e = fset_find(gone, ps.p[i].text);
		const struct val *rest = ps.p[i].v;

		if (e && e->member)
			continue;
		if (e && e->sub)
			rest = ftype_is_container(ps.p[i].type, rest) ? remove_walk(a, ps.p[i].type, rest, e->sub, map)
								      : rest;
		if (ftype_is_list(t))
			val_push(a, out, rest);
		else
			val_append_member(a, out, ps.p[i].sym, ps.p[i].key, rest);
	}
	return out->n || (!ftype_is_list(t) && map == VAL_MAP) ? out : val_new_null(a);
}

const struct val *typed_remove(struct arena *a, struct ftype t, const struct val *v, const struct fset *gone)
{
	return remove_walk(a, t, v, gone, VAL_NULL);
}

const struct val *typed_remove_custom(struct arena *a, struct ftype t, const struct val *v, const struct fset *gone)
{
	return remove_walk(a, t, v, gone, VAL_MAP);
}

static bool has_null(const struct val *v)
{
	for (size_t i = 0; (v->type == VAL_MAP || v->type == VAL_LIST) && i < v->n; i++)
		if (v->items[i].type == VAL_NULL || has_null(&v->items[i]))
			return true;
	return false;
}

static const struct val *drop_nulls(struct arena *a, struct ftype t, const struct val *v)
{
	struct fparts ps;
	struct val *out;

	if (!ftype_is_container(t, v))
		return v;
	fparts_of(a, t, v, false, &ps);
	out = ftype_is_list(t) ? val_new_list(a) : val_new_map(a);
	for (size_t i = 0; i < ps.n; i++) {
		if (ps.p[i].v->type == VAL_NULL && t.shape != SHAPE_DEDUCED)
			continue;
		if (ftype_is_list(t))
			val_push(a, out, drop_nulls(a, ps.p[i].type, ps.p[i].v));
		else
			val_append_member(a, out, ps.p[i].sym, ps.p[i].key, drop_nulls(a, ps.p[i].type, ps.p[i].v));
	}
	return out;
}

const struct val *typed_drop_nulls(struct arena *a, struct ftype t, const struct val *v)
{
	return has_null(v) ? drop_nulls(a, t, v) : v; /* hardly any has one: nothing is built anew */
}
