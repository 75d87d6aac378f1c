/* What an applier no longer wants goes, as far as nobody else does; and objects in the versions of those who own them.
 */
#include "object/apply-internal.h"

int apply_as(const struct apply_opts *o, const struct schema *s, const struct val *doc, struct sv version,
	     struct apply_version *ret, struct err *err)
{
	struct sv is = val_get_str(doc, F_apiVersion);

	if (sv_eq(version, o->api_version) && (!o->versions || !is.n || sv_eq(is, version))) {
		*ret = (struct apply_version){ .schema = s, .doc = doc, .reset_fields = o->reset_fields };
		return 0;
	}
	return o->versions ? o->versions->as(o->versions->ctx, doc, version, ret, err) : APPLY_NO_VERSION;
}

struct pruning {
	struct arena *a;
	const struct apply_opts *o;
	const struct schema *schema;
	struct managers *ms;
	const struct val *merged, *pruned; /* in one version, whichever was the last */
};

static const struct fset *prune_named(struct arena *a, struct ftype t, const struct val *v)
{
	return typed_ensure_named(a, t, typed_fields(a, t, v));
}

/* On the way to what other managers own. */
static const struct val *prune_take(struct arena *a, const struct schema *s, const struct val *doc,
				    const struct fset *gone)
{
	return s->custom ? typed_remove_custom(a, ftype_root(s), doc, gone) : typed_remove(a, ftype_root(s), doc, gone);
}

/* Back comes what managers of this version own. */
static int prune_add_back(struct pruning *p, struct sv version, struct err *err)
{
	const struct fset **sets, *owned;
	struct apply_version merged, pruned;
	struct ftype t;
	size_t n = 0;
	int rc = apply_as(p->o, p->schema, p->merged, version, &merged, err);

	if (rc == 0)
		rc = apply_as(p->o, p->schema, p->pruned, version, &pruned, err);
	if (rc)
		return rc == APPLY_NO_VERSION ? 0 : rc;
	t = ftype_root(merged.schema);
	sets = ARENA_ARRAY(p->a, const struct fset *, p->ms->n + 1);
	for (size_t i = 0; i < p->ms->n; i++)
		if (sv_eq(p->ms->p[i].api_version, version))
			sets[n++] = p->ms->p[i].set;
	owned = typed_ensure_named(p->a, t, fset_union_all(p->a, sets, n));
	owned = fset_union(p->a, prune_named(p->a, t, pruned.doc), owned);
	p->merged = merged.doc;
	p->pruned =
	    prune_take(p->a, merged.schema, merged.doc, fset_difference(p->a, prune_named(p->a, t, merged.doc), owned));
	return 0;
}

/* Is everything that last names wanted, with each place on the way to it? Both are of this type. */
static bool prune_wants_all(struct ftype t, const struct fset *wanted, const struct fset *last)
{
	size_t k = 0;

	for (size_t i = 0; last && i < last->n; i++) {
		const struct fset_edge *e = &last->edges[i], *w;
		bool declared = false;
		struct ftype below = { .shape = SHAPE_LEAF };

		while (wanted && k < wanted->n && sv_cmp(wanted->edges[k].text, e->text) < 0)
			k++;
		if (!wanted || k == wanted->n || !sv_eq(wanted->edges[k].text, e->text))
			return false;
		w = &wanted->edges[k];
		if (e->sub || !w->member)
			below = ftype_edge(t, e->text, &declared);
		if (!(w->member || (declared && w->sub)) || !prune_wants_all(below, w->sub, e->sub))
			return false;
	}
	return true;
}

/* Nearly every configuration has at least what the one before had, and all managers write one version: then nothing
 * goes. What is found out below would come to that: of what last names, each place is owned, so that it is added back
 * with all on the way to it. */
static bool prune_has_none(const struct pruning *p, struct ftype t, const struct fset *wanted, const struct fset *last,
			   struct sv version)
{
	for (size_t i = 0; i < p->ms->n; i++)
		if (!sv_eq(p->ms->p[i].api_version, version))
			return false;
	return sv_eq(version, p->o->api_version) && prune_wants_all(t, wanted, last);
}

int apply_prune(struct arena *a, const struct schema *s, const struct val **merged, const struct fset *wanted,
		const struct fset *last, struct sv last_version, struct managers *ms, const struct apply_opts *o,
		struct err *err)
{
	struct pruning p = { .a = a, .o = o, .schema = s, .ms = ms };
	struct apply_version at, end;
	const struct fset *last_named, *gone;
	struct ftype t;
	int rc;

	if (fset_empty(last))
		return 0;
	rc = apply_as(o, s, *merged, last_version, &at, err);
	if (rc)
		return rc == APPLY_NO_VERSION ? 0 : rc;
	t = ftype_root(at.schema);
	if (at.doc == *merged && prune_has_none(&p, t, wanted, last, last_version))
		return 0;
	last_named = typed_ensure_named(a, t, last);
	p.merged = at.doc;
	p.pruned = prune_take(a, at.schema, at.doc, last_named);

	/* First what is owned in that version: without it there may be too little to convert. */
	rc = prune_add_back(&p, last_version, err);
	for (size_t i = 0; i < ms->n && rc == 0; i++) {
		bool before = sv_eq(ms->p[i].api_version, last_version);

		for (size_t k = 0; k < i && !before; k++)
			before = sv_eq(ms->p[i].api_version, ms->p[k].api_version);
		if (!before)
			rc = prune_add_back(&p, ms->p[i].api_version, err);
	}
	/* ... and what nobody owns, but the previous configuration did not have itself. */
	if (rc == 0)
		rc = apply_as(o, s, p.pruned, last_version, &end, err);
	if (rc)
		return rc;
	gone = fset_difference(a, prune_named(a, t, at.doc), prune_named(a, t, end.doc));
	p.pruned = typed_remove(a, t, at.doc, fset_intersection(a, gone, last_named));
	rc = apply_as(o, s, p.pruned, o->api_version, &end, err);
	if (rc == 0)
		*merged = end.doc;
	return rc;
}
