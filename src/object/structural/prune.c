/* Pruning. Below x-kubernetes-preserve-unknown-fields unknown members stay, and what is known is pruned by its own
 * schema again. Where the schema ends (additionalProperties: true, an array without items) objects lose all their
 * members. */
#include "object/structural/walks.h"

#include "base/buf.h"
#include "codec/json.h"

#include <stdlib.h>

void unknown_release(struct unknown *u)
{
	free(u->paths.p);
	*u = (struct unknown){ .a = u->a };
}

void unknown_add(struct unknown *u, const struct fpath *at, const char *below)
{
	struct sv path;

	/* All are sorted before the first are said: so all are kept, as many as their texts may take. */
	if (!u || u->bytes > STRICT_BYTES_MAX)
		return;
	path = fpath_str(u->a, at);
	if (below)
		path = arena_svf(u->a, "%.*s.%s", SV_ARG(path), below);
	u->bytes += path.n + sizeof(path);
	vec_push(&u->paths, path);
}

void unknown_tell(struct unknown *u, struct decode_report *report)
{
	if (u->paths.n)
		qsort(u->paths.p, u->paths.n, sizeof(*u->paths.p), sv_order);
	for (size_t i = 0; i < u->paths.n && report->strict.n < STRICT_MAX; i++)
		vec_push(&report->strict, arena_svf(u->a, "unknown field \"%.*s\"", SV_ARG(u->paths.p[i])));
	unknown_release(u);
}

struct pruner {
	const struct snode *n; /* NULL: nothing is known here */
	struct arena *a;
	const struct fpath *at;
	struct unknown *u;
	bool embedded, keep;
};

static bool prune_is_meta(const struct val_iter *m)
{
	return m->sym == F_apiVersion || m->sym == F_kind || m->sym == F_metadata;
}

static void prune_value(const struct snode *n, struct arena *a, struct val *v, bool keep, bool embedded,
			const struct fpath *at, struct unknown *u);

static bool prune_preserves(const struct snode *n)
{
	return n && n->flags & SN_PRESERVE;
}

static bool prune_member(const struct val_iter *m, void *ctx)
{
	const struct pruner *p = ctx;
	const struct snode *known = p->n ? snode_property(p->n, m->key) : NULL;
	struct fpath at = FPATH_NAME(p->at, m->key);

	if (p->n && p->embedded && prune_is_meta(m))
		return false;
	if (known || (p->n && p->n->flags & SN_ADDITIONAL)) {
		known = known ? known : p->n->additional;
		prune_value(known, p->a, m->value, prune_preserves(known), known && known->flags & SN_EMBEDDED, &at,
			    p->u);
		return false;
	}
	if (p->keep)
		return false;
	if (p->at || !prune_is_meta(m))
		unknown_add(p->u, &at, NULL);
	return true;
}

/* keep: unknown members stay here. In the elements of an array that keeps they stay, too. */
static void prune_value(const struct snode *n, struct arena *a, struct val *v, bool keep, bool embedded,
			const struct fpath *at, struct unknown *u)
{
	struct pruner p = { .n = n, .a = a, .at = at, .u = u, .embedded = embedded, .keep = keep };

	if (val_type(v) == VAL_MAP) {
		if (n || !keep)
			val_del_if(v, prune_member, &p);
	} else if (val_type(v) == VAL_LIST) {
		const struct snode *items = n ? n->items : NULL;

		if (!items && keep)
			return;
		for (size_t i = 0; i < v->n; i++) {
			struct fpath item_at = FPATH_AT(at, i);

			prune_value(items, a, &v->items[i], keep || prune_preserves(items),
				    items && items->flags & SN_EMBEDDED, &item_at, u);
		}
	}
}

void walk_prune(const struct snode *n, struct arena *a, struct val *v, bool embedded, struct unknown *u)
{
	prune_value(n, a, v, prune_preserves(n), embedded, NULL, u);
}
