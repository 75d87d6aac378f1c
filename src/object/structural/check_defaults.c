/* Defaults when a CustomResourceDefinition is written. Each is looked at where it stands: it must have nothing that its
 * schema does not know, and be what its schema allows, rules included. */
#include "object/structural/judge.h"
#include "object/structural/meta.h"
#include "object/structural/rules.h"

struct defaults_walk {
	struct field_errs *fe;
	struct arena *a;
};

/* Pruned it is what it was? As in a definition: of an embedded resource metadata counts as known. */
static void default_known(struct defaults_walk *w, const struct snode *n, const struct val *dflt,
			  const struct fpath *at)
{
	struct val *copy = val_clone(w->a, dflt);

	walk_prune(n, w->a, copy, n->flags & SN_EMBEDDED, NULL);
	if (!val_equal(copy, dflt))
		fe_invalid(w->fe, at, dflt, "must not have unknown fields");
}

/* True: nothing is wrong with its metadata. */
static bool default_meta(struct defaults_walk *w, const struct snode *n, const struct val *dflt, const struct fpath *at)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	size_t before = w->fe->list.n;

	if (walk_coerce(n, w->a, val_clone(w->a, dflt), false, NULL, &err) < 0) {
		fe_add(w->fe, FE_INVALID, at, dflt, "%s", err_msg(&err));
		return false;
	}
	meta_check(n, w->fe, dflt, at);
	return w->fe->list.n == before;
}

/* As an object that stays as it is, and as one that comes: rules with an optional oldSelf tell the two apart. */
static void default_rules(struct defaults_walk *w, const struct snode *n, const struct val *dflt,
			  const struct fpath *at)
{
	struct structural *s = structural_new(w->a, n->src, NULL);
	size_t before = w->fe->list.n;

	if (!s)
		return;
	rules_check(s, w->fe, dflt, dflt, NULL, at);
	if (w->fe->list.n == before)
		rules_check(s, w->fe, dflt, NULL, NULL, at);
	structural_release(s);
}

static void default_check(struct defaults_walk *w, const struct snode *n, const struct val *dflt,
			  const struct fpath *at)
{
	size_t before;

	default_known(w, n, dflt, at);
	if (!default_meta(w, n, dflt, at))
		return;
	before = w->fe->list.n;
	judge_root(w->fe, n, dflt, NULL, at);
	if (w->fe->list.n == before && n->flags & SN_RULES)
		default_rules(w, n, dflt, at);
}

static void defaults_of(struct defaults_walk *w, const struct snode *n, const struct fpath *at)
{
	struct fpath dflt_at = FPATH(at, F_default), items_at = FPATH(at, F_items), props_at = FPATH(at, F_properties);
	const struct val *dflt = val_member(n->src, F_default);

	if (!(n->flags & SN_DEFAULTS))
		return;
	if (val_type(dflt) != VAL_NULL)
		default_check(w, n, dflt, &dflt_at);
	if (n->items)
		defaults_of(w, n->items, &items_at);
	VAL_EACH_MEMBER(val_member(n->src, F_properties), p) {
		struct fpath p_at = FPATH_KEY(&props_at, p.key);

		defaults_of(w, snode_property(n, p.key), &p_at);
	}
}

void structural_check_defaults(struct field_errs *fe, const struct val *openapi, const struct fpath *at)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(structural_releasep) struct structural *s = structural_new(&a, openapi, NULL);
	struct defaults_walk w = { .fe = fe, .a = &a };

	if (s)
		defaults_of(&w, structural_tree(s)->root, at);
}
