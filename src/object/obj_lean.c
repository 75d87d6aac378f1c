/* The same block without the JSON text: what of it are strings lies behind the nodes. Elements of a list often say what
 * the one before said (the conditions of an endpoint, the protocol of a port): that is there once. */
#include "object/obj-internal.h"

#include "codec/doc_items.h"

#include <stdlib.h>

struct lean {
	size_t nodes, strings; /* bytes */
	char *next_nodes, *next_string;
};

static bool lean_has_text(const struct val *v)
{
	return v->type == VAL_STR || v->type == VAL_KEY || v->type == VAL_RAW;
}

static bool lean_has_items(const struct val *v)
{
	return v->type == VAL_LIST || v->type == VAL_MAP;
}

/* Equal to the byte, members in the same order: v may stand for it. */
static bool lean_same(const struct val *a, const struct val *b)
{
	if (a->type != b->type || a->sym != b->sym || a->n != b->n)
		return false;
	if (lean_has_text(a))
		return a->n == 0 || memcmp(a->s, b->s, a->n) == 0;
	if (!lean_has_items(a))
		return a->type == VAL_FLOAT ? a->d == b->d : a->type == VAL_BOOL ? a->b == b->b : a->i == b->i;
	for (size_t i = 0; i < a->n; i++)
		if (!lean_same(&a->items[i], &b->items[i]))
			return false;
	return true;
}

/* What the list item before has, in the same place: elements of lists repeat each other. NULL: nothing of use. */
static const struct val *lean_twin(const struct val *before, size_t i, const struct val *v)
{
	const struct val *t = before && lean_has_items(before) && i < before->n ? &before->items[i] : NULL;

	return t && (lean_has_text(v) || lean_has_items(v)) && lean_same(t, v) ? t : NULL;
}

static void lean_measure(struct lean *l, const struct val *v, const struct val *before)
{
	if (lean_has_text(v))
		l->strings += v->n;
	if (!lean_has_items(v))
		return;
	if (v->n)
		l->nodes += sizeof(struct val_items) + v->n * sizeof(struct val);
	for (size_t i = 0; i < v->n; i++)
		if (!lean_twin(before, i, &v->items[i]))
			lean_measure(l, &v->items[i], v->type == VAL_LIST && i ? &v->items[i - 1] : NULL);
}

/* to_before: what was made of before. */
static void lean_place(struct lean *l, struct val *to, const struct val *from, const struct val *before,
		       const struct val *to_before)
{
	struct val_items *it;

	*to = *from;
	if (lean_has_text(from)) {
		to->s = l->next_string;
		if (from->n)
			memcpy(l->next_string, from->s, from->n);
		l->next_string += from->n;
	}
	if (!lean_has_items(from))
		return;
	to->items = NULL;
	if (!from->n)
		return;
	it = (struct val_items *)(void *)l->next_nodes;
	l->next_nodes += sizeof(*it) + from->n * sizeof(struct val);
	it->cap = from->n;
	it->frozen = 1;
	it->kept = val_kept(from) & VAL_KEPT_MAX;
	to->items = it->v;
	for (size_t i = 0; i < from->n; i++) {
		bool list = from->type == VAL_LIST && i;

		if (lean_twin(before, i, &from->items[i]))
			to->items[i] = to_before->items[i];
		else
			lean_place(l, &to->items[i], &from->items[i], list ? &from->items[i - 1] : NULL,
				   list ? &to->items[i - 1] : NULL);
	}
}

struct obj *obj_new_lean(const struct val *root)
{
	struct lean l = { 0 };
	struct val top = *root;
	struct obj *o;
	size_t bytes;

	top.sym = 0;
	lean_measure(&l, &top, NULL);
	bytes = sizeof(*o) + l.nodes + l.strings + 1;
	BUG_ON(bytes > UINT32_MAX);
	o = xmalloc(bytes);
	atomic_init(&o->refs, 1);
	atomic_init(&o->views, NULL);
	o->json_at = (uint32_t)bytes - 1;
	o->bytes = (uint32_t)bytes;
	atomic_init(&o->message_bytes, 0);
	l.next_nodes = (char *)(o + 1);
	l.next_string = (char *)(o + 1) + l.nodes;
	lean_place(&l, &o->root, &top, NULL, NULL);
	((char *)o)[bytes - 1] = '\0';
	o->meta = val_member(&o->root, F_metadata);
	if (!sv_to_i64(val_get_str(o->meta, F_resourceVersion), &o->rev))
		o->rev = 0;
	return o;
}
