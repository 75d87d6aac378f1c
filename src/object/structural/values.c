/* Validation of values: a walk along schema and object together, and along the old object where it correlates.
 *
 * Errors are added at the end of one row. A schema that is an alternative leaves its errors there, and they are kept or
 * cut off by whoever chooses; an old value equal to the new one takes back what was said of it. Upstream counts, beside
 * errors, how many checks of a schema applied and did well (verdict.matches): among alternatives that all fail the one
 * with most of them has its errors shown, so the counts are upstream's to the letter. */
#include "object/structural/judge.h"
#include "object/structural/lists.h"

#include <stdlib.h>

/* --- alternatives --- */

/* Of several schemas that v fails, the errors of the one that fits best, in errs[from, to). */
struct best {
	size_t from, matches;
	bool any;
};

/* The errors since from are those of one more failed alternative. */
static void best_keep(struct judge *j, struct best *best, size_t from, size_t matches)
{
	size_t n = j->errs.n - from;

	if (best->any && matches <= best->matches) {
		j->errs.n = from;
		return;
	}
	memmove(&j->errs.p[best->from], &j->errs.p[from], n * sizeof(*j->errs.p));
	j->errs.n = best->from + n;
	best->any = true;
	best->matches = matches;
}

/* The last error goes in front of those since from. */
static void say_first(struct judge *j, size_t from)
{
	struct field_err last = j->errs.p[j->errs.n - 1];

	memmove(&j->errs.p[from + 1], &j->errs.p[from], (j->errs.n - 1 - from) * sizeof(last));
	j->errs.p[from] = last;
}

static size_t judge_any(struct judge *j, const struct sjunctor *any, const struct val *v, const struct fpath *at)
{
	struct best best = { .from = j->errs.n };

	for (size_t i = 0; i < any->n && !judge_over(j); i++) {
		size_t from = j->errs.n;
		struct verdict got = judge_value(j, any->of[i], v, NULL, at);

		if (j->errs.n == from) {
			j->errs.n = best.from;
			return got.matches;
		}
		best_keep(j, &best, from, got.matches);
	}
	if (!any->n)
		return 0;
	judge_whole(j, at, "must validate at least one schema (anyOf)");
	say_first(j, best.from);
	return best.matches;
}

static size_t judge_one(struct judge *j, const struct sjunctor *one, const struct val *v, const struct fpath *at)
{
	struct best best = { .from = j->errs.n };
	size_t valid = 0, matches = 0;

	for (size_t i = 0; i < one->n && !judge_over(j); i++) {
		size_t from = j->errs.n;
		struct verdict got = judge_value(j, one->of[i], v, NULL, at);

		if (j->errs.n == from && valid++ == 0)
			matches = got.matches;
		if (valid)
			j->errs.n = best.from;
		else
			best_keep(j, &best, from, got.matches);
	}
	if (!one->n || valid == 1)
		return matches;
	if (valid)
		judge_whole(j, at, "must validate one and only one schema (oneOf). Found %zu valid alternatives",
			    valid);
	else
		judge_whole(j, at, "must validate one and only one schema (oneOf). Found none valid");
	say_first(j, best.from);
	return valid ? 0 : best.matches;
}

static size_t judge_all(struct judge *j, const struct sjunctor *all, const struct val *v, const struct fpath *at)
{
	size_t valid = 0, matches = 0;

	for (size_t i = 0; i < all->n && !judge_over(j); i++) {
		size_t from = j->errs.n;

		matches += judge_value(j, all->of[i], v, NULL, at).matches;
		valid += j->errs.n == from;
	}
	if (valid != all->n)
		judge_whole(j, at, "must validate all the schemas (allOf)%s", valid ? "" : ". None validated");
	return matches;
}

static void judge_never(struct judge *j, const struct snode *never, const struct val *v, const struct fpath *at)
{
	size_t from = j->errs.n;

	(void)judge_value(j, never, v, NULL, at);
	if (j->errs.n == from)
		judge_whole(j, at, "must not validate the schema (not)");
	else
		j->errs.n = from;
}

static size_t judge_junctors(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	size_t matches = 1;

	if (!b)
		return matches;
	matches += judge_any(j, &b->any, v, at);
	matches += judge_one(j, &b->one, v, at);
	matches += judge_all(j, &b->all, v, at);
	if (b->never)
		judge_never(j, b->never, v, at);
	return matches;
}

/* --- lists --- */

static void list_unique(struct judge *j, const struct val *v, const struct fpath *at)
{
	size_t n = val_len(v), *repeated = ARENA_ARRAY(j->a, size_t, n + 1);
	const struct val **elements = ARENA_ARRAY(j->a, const struct val *, n + 1);
	static const struct val nothing = { .type = VAL_STR, .s = "" };

	for (size_t i = 0; i < n; i++)
		elements[i] = val_at(v, i);
	if (lists_repeated(j->a, elements, n, repeated))
		judge_say(j, FE_INVALID, at, &nothing, "shouldn't contain duplicates");
}

static void list_bounds(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	int64_t n = (int64_t)val_len(v);

	if (b->flags & SB_MIN_ITEMS && n < b->min_items)
		judge_say(j, FE_INVALID, at, val_new_int(j->a, n), "should have at least %" PRId64 " items",
			  b->min_items);
	if (b->flags & SB_MAX_ITEMS && n > b->max_items)
		judge_add(j, FE_TOO_MANY, at, val_new_int(j->a, n), "must have at most %" PRId64 " items",
			  b->max_items);
	if (b->flags & SB_UNIQUE)
		list_unique(j, v, at);
}

static struct verdict judge_list(struct judge *j, const struct snode *n, const struct val *v, const struct val *old,
				 const struct fpath *at)
{
	struct old_children was = old_children_of(n, n->items ? old : NULL);
	struct verdict all = { .matches = 2 };
	size_t i = 0;

	VAL_EACH(v, e) {
		struct fpath item_at = FPATH_AT(at, i++);
		struct verdict got;

		if (!n->items || judge_over(j))
			break;
		got = judge_value(j, n->items, e, old_element(&was, e), &item_at);
		all.matches += got.matches;
		all.differs |= got.differs;
	}
	old_children_release(&was);
	if (n->bounds)
		list_bounds(j, n->bounds, v, at);
	return all;
}

/* --- objects --- */

static bool object_bounds(struct judge *j, const struct sbounds *b, const struct val *v, const struct fpath *at)
{
	int64_t n = (int64_t)val_len(v);

	if (b->flags & SB_MIN_PROPERTIES && n < b->min_properties)
		judge_say(j, FE_INVALID, at, val_new_int(j->a, n), "should have at least %" PRId64 " properties",
			  b->min_properties);
	else if (b->flags & SB_MAX_PROPERTIES && n > b->max_properties)
		judge_add(j, FE_TOO_MANY, at, val_new_int(j->a, n), "must have at most %" PRId64 " items",
			  b->max_properties);
	else
		return true;
	return false;
}

struct object_walk {
	struct judge *j;
	const struct snode *n;
	const struct old_children *was;
	struct sprop_set *there;
	const struct fpath *at;
	struct verdict all;
};

/* Old kind and apiVersion are not what a client wrote: both objects were converted to one version. */
static const struct val *object_old(const struct object_walk *w, const struct val_iter *m, const struct snode *of)
{
	if (!w->at && (m->sym == F_kind || m->sym == F_apiVersion))
		return NULL;
	return old_member(w->was, m->key, of);
}

static void object_member(struct object_walk *w, const struct val_iter *m, const struct snode *of)
{
	struct fpath at = FPATH_NAME(w->at, m->key);
	struct verdict got = judge_value(w->j, of, m->value, object_old(w, m, of), &at);

	w->all.matches += got.matches;
	w->all.differs |= got.differs;
}

/* Upstream looks at additional members first, then at properties, then at what is missing. */
static void object_members(struct object_walk *w, const struct val *v, bool properties)
{
	static const char closed[] = "is a forbidden property";

	VAL_EACH_MEMBER(v, m) {
		ssize_t i = snode_find(w->n, m.key);
		const struct snode *of = i < 0 ? NULL : w->n->props[i].node;
		struct fpath at = FPATH_NAME(w->at, m.key);

		w->j->steps++;
		if (judge_over(w->j))
			return;
		if (i >= 0)
			sprop_set_add(w->there, (size_t)i);
		if (of && properties)
			object_member(w, &m, of);
		else if (!of && !properties && w->n->additional)
			object_member(w, &m, w->n->additional);
		else if (!of && !properties && w->n->flags & SN_CLOSED)
			judge_add(w->j, FE_INVALID, w->at, val_new_str_ref(w->j->a, m.key), "%.*s in body %s",
				  SV_ARG(fpath_str(w->j->a, &at)), closed);
	}
}

static void object_required(struct object_walk *w)
{
	const struct sbounds *b = w->n->bounds;

	for (size_t i = 0; b && i < b->n_required; i++) {
		struct fpath at = FPATH_NAME(w->at, w->n->props[b->required[i]].name);

		w->j->steps++;
		if (!sprop_set_has(w->there, b->required[i]))
			judge_add(w->j, FE_REQUIRED, &at, NULL, NULL);
	}
}

static struct verdict judge_object(struct judge *j, const struct snode *n, const struct val *v, const struct val *old,
				   const struct fpath *at)
{
	struct old_children was;
	struct sprop_set there;
	struct object_walk w = { .j = j, .n = n, .was = &was, .there = &there, .at = at, .all = { .matches = 1 } };

	if (n->bounds && !object_bounds(j, n->bounds, v, at))
		return w.all;
	was = old_children_of(n, old);
	sprop_set_init(&there, n);
	if (n->flags & SN_ADDITIONAL)
		object_members(&w, v, false);
	object_members(&w, v, true);
	object_required(&w);
	sprop_set_release(&there);
	old_children_release(&was);
	return w.all;
}

/* --- values --- */

static struct verdict judge_all_of(struct judge *j, const struct snode *n, const struct val *v, const struct val *old,
				   const struct fpath *at)
{
	const struct sbounds *b = n->bounds;
	struct verdict got = { 0 }, below = { 0 };

	got.matches = judge_type(j, n, v, at);
	if (val_type(v) == VAL_NULL) {
		if (b && b->one_of_values)
			judge_enum(j, b, v, at);
		return got;
	}
	got.matches += n->type != ST_ANY || (b && b->format_name.n);
	got.matches += 1 + judge_junctors(j, b, v, at);
	if (v->type == VAL_STR)
		got.matches += judge_text(j, b, v, at);
	else if (v->type == VAL_INT || v->type == VAL_FLOAT)
		got.matches += judge_number(j, b, v, at);
	else if (v->type == VAL_LIST)
		below = judge_list(j, n, v, old, at);
	if (b && b->one_of_values)
		judge_enum(j, b, v, at);
	if (v->type == VAL_MAP)
		below = judge_object(j, n, v, old, at);
	got.matches += 2 + below.matches;
	got.differs = below.differs;
	return got;
}

struct verdict judge_value(struct judge *j, const struct snode *n, const struct val *v, const struct val *old,
			   const struct fpath *at)
{
	size_t from = j->errs.n;
	struct verdict got = { 0 };

	j->steps++;
	if (judge_over(j))
		return got;
	got = judge_all_of(j, n, v, old, at);
	if (j->errs.n == from || !old || got.differs)
		return got;
	got.differs = !correlated_equal(n, v, old, &j->steps);
	if (!got.differs)
		j->errs.n = from;
	return got;
}

/* --- the whole --- */

/* The field of an error below prefix. */
static struct sv judge_field(struct arena *a, struct sv prefix, struct sv field)
{
	if (!prefix.n)
		return field;
	return sv_is(field, "<nil>") ? prefix : arena_svf(a, "%.*s.%.*s", SV_ARG(prefix), SV_ARG(field));
}

static void judge_tell(struct judge *j, struct field_errs *fe, const struct fpath *prefix)
{
	_cleanup_(strmap_release) struct strmap said = STRMAP_INIT;
	struct sv before = prefix ? fpath_str(fe->a, prefix) : SV_NULL;
	size_t unsaid = 0;

	for (size_t i = 0; i < j->errs.n; i++) {
		struct field_err e = j->errs.p[i];

		if (!e.field.p) {
			unsaid++;
			continue;
		}
		if (strmap_set(&said, arena_svf(j->a, "%d %.*s %.*s", (int)e.type, SV_ARG(e.field), SV_ARG(e.detail)),
			       fe))
			continue;
		e.field = judge_field(fe->a, before, e.field);
		fe_again(fe, &e);
	}
	fe->bytes += j->bytes;
	fe->unsaid += unsaid;
}

void judge_root(struct field_errs *fe, const struct snode *n, const struct val *doc, const struct val *old,
		const struct fpath *prefix)
{
	struct judge j = { .a = fe->a };

	(void)judge_value(&j, n, doc, old, NULL);
	if (judge_over(&j)) {
		j.errs.n = j.bytes = 0;
		judge_add(&j, FE_INVALID, NULL, NULL,
			  "too much work: with the alternatives of its schema the object takes more than %zu steps to "
			  "validate; "
			  "make several smaller objects of it",
			  STRUCTURAL_STEPS_MAX);
	}
	judge_tell(&j, fe, prefix);
	free(j.errs.p);
}

void structural_validate(const struct structural *s, struct field_errs *fe, const struct val *doc,
			 const struct val *old)
{
	judge_root(fe, structural_tree(s)->root, doc, old, NULL);
}
