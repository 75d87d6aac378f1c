/* Defaults come where something is absent, or null where null may not be. */
#include "object/structural/walks.h"

#include "codec/doc_items.h"

static bool is_null_wrongly(const struct snode *n, const struct val *v)
{
	return n && v->type == VAL_NULL && !(n->flags & SN_NULLABLE);
}

static bool nulls_drop(const struct val_iter *m, void *ctx)
{
	const struct snode *n = snode_member(ctx, m->key);

	if (is_null_wrongly(n, m->value) && !n->dflt)
		return true;
	walk_prune_nulls(n, m->value);
	return false;
}

void walk_prune_nulls(const struct snode *n, struct val *v)
{
	if (!n)
		return;
	if (val_type(v) == VAL_MAP)
		val_del_if(v, nulls_drop, (void *)(uintptr_t)n);
	for (size_t i = 0; val_type(v) == VAL_LIST && i < v->n; i++)
		walk_prune_nulls(n->items, &v->items[i]);
}

/* In place of a null: v keeps the name it has in its map. */
static void default_over(const struct snode *n, struct arena *a, struct val *v, struct budget *b)
{
	uint32_t name = v->sym;

	if (!is_null_wrongly(n, v) || !n->dflt || !budget_take(b, n->dflt_weight))
		return;
	*v = *val_clone_nodes(a, n->dflt);
	v->sym = name;
}

static void default_map(const struct snode *n, struct arena *a, struct val *v, struct budget *b)
{
	struct sprop_set there;

	sprop_set_init(&there, n);
	VAL_EACH_MEMBER(v, m) {
		ssize_t i = snode_find(n, m.key);
		const struct snode *of = i < 0 ? NULL : n->props[i].node;

		if (i >= 0)
			sprop_set_add(&there, (size_t)i);
		default_over(of ? of : n->additional, a, m.value, b);
		walk_default(of ? of : n->additional, a, m.value, b);
	}
	for (size_t i = 0; i < n->n_props; i++) {
		const struct snode *of = n->props[i].node;
		struct val *dflt;

		if (!of || !of->dflt || sprop_set_has(&there, i) || !budget_take(b, of->dflt_weight))
			continue;
		dflt = val_clone_nodes(a, of->dflt);
		walk_default(of, a, dflt, b);
		val_append_sv(a, v, n->props[i].name, dflt);
	}
	sprop_set_release(&there);
}

void walk_default(const struct snode *n, struct arena *a, struct val *v, struct budget *b)
{
	if (!n || !(n->flags & SN_DEFAULTS))
		return;
	if (val_type(v) == VAL_MAP) {
		default_map(n, a, v, b);
	} else if (val_type(v) == VAL_LIST) {
		for (size_t i = 0; i < v->n; i++) {
			if (n->items)
				default_over(n->items, a, &v->items[i], b);
			walk_default(n->items, a, &v->items[i], b);
		}
	}
}
