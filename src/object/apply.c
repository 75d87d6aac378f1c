/* apply.c - who owns which field: metadata.managedFields, updates and server-side apply.
 *
 * An entry of managedFields is one manager: its name, the operation (Apply or Update), the
 * subresource, and for Update the version it wrote. Its field set says what it owns.
 *
 * Update (create, replace, classic patch): what the request changed goes to the manager and
 * is taken from all others.
 *
 * Apply: the configuration is merged into the live object and its paths become the manager's
 * set. What the manager's previous configuration had and this one lacks is pruned: taken out
 * with all below it, after which everything that somebody owns is added back, and so is
 * everything that the previous configuration did not have itself. What differs from the live
 * object and is owned by others is a conflict, or with force taken from them.
 *
 * A manager's paths are those of the version it wrote. What a request does to them is found out in
 * that version: both the object as it was and as it becomes are seen in it (struct apply_versions).
 * What is owned in a version that there is no more is dropped.
 */
#include "object/apply.h"

#include "base/buf.h"
#include "codec/doc_items.h"
#include "object/apply-internal.h"

#include <stdlib.h>

/* --- what nobody owns --- */

#define FIELD(name)                                                  \
	{                                                            \
		{ "f:" name, sizeof("f:" name) - 1 }, .member = true \
	}

/* Identity and bookkeeping: the same in every object of a name, or the server's own. Sealed as
 * they stand, in order of text: every write subtracts them. */
static struct fset_edge never_owned_metadata[] = {
	FIELD("creationTimestamp"), FIELD("deletionGracePeriodSeconds"),
	FIELD("deletionTimestamp"), FIELD("generation"),
	FIELD("managedFields"),	    FIELD("name"),
	FIELD("namespace"),	    FIELD("resourceVersion"),
	FIELD("selfLink"),	    FIELD("uid"),
};
static const struct fset never_owned_below = { never_owned_metadata, ARRAY_LEN(never_owned_metadata),
					       ARRAY_LEN(never_owned_metadata) };
static struct fset_edge never_owned_root[] = {
	FIELD("apiVersion"),
	FIELD("kind"),
	{ { "f:metadata", sizeof("f:metadata") - 1 }, .member = true, .sub = &never_owned_below },
};
static const struct fset never_owned = { never_owned_root, ARRAY_LEN(never_owned_root), ARRAY_LEN(never_owned_root) };

#undef FIELD

static const struct fset *reset_set(struct arena *a, const char *const *fields)
{
	const struct fset *s = NULL;

	for (size_t i = 0; fields && fields[i]; i++)
		s = fset_union(a, s, fset_of_path(a, fields[i]));
	return s;
}

static struct comparison compare_without(struct arena *a, struct ftype t, const struct val *was, const struct val *now,
					 const struct fset *reset)
{
	struct comparison c = typed_compare(a, t, was, now);

	c.added = fset_without(a, c.added, reset);
	c.removed = fset_without(a, c.removed, reset);
	c.modified = fset_without(a, c.modified, reset);
	return c;
}

/* --- other versions --- */

/* Sets m->seen for all managers; those of versions that there are none of lose what they own. own: in the request's. */
static int managers_compare(struct arena *a, const struct schema *s, const struct val *was, const struct val *now,
			    const struct comparison *own, struct managers *ms, const struct apply_opts *o,
			    struct err *err)
{
	for (size_t i = 0; i < ms->n; i++) {
		struct manager *m = &ms->p[i];
		struct apply_version before, after;
		struct comparison *c;
		int rc;

		m->seen = sv_eq(m->api_version, o->api_version) ? own : NULL;
		for (size_t k = 0; k < i && !m->seen; k++)
			if (ms->p[k].set && sv_eq(ms->p[k].api_version, m->api_version))
				m->seen = ms->p[k].seen;
		if (m->seen || fset_empty(m->set))
			continue;
		rc = apply_as(o, s, was, m->api_version, &before, err);
		if (rc == 0)
			rc = apply_as(o, s, now, m->api_version, &after, err);
		if (rc == APPLY_NO_VERSION) {
			m->set = NULL;
			continue;
		}
		if (rc)
			return rc;
		c = ARENA_NEW(a, struct comparison);
		*c = compare_without(a, ftype_root(after.schema), before.doc, after.doc,
				     reset_set(a, after.reset_fields));
		m->seen = c;
	}
	return 0;
}

/* What the request changes or removes is the manager's no more. */
static void manager_loses(struct arena *a, struct manager *m)
{
	if (!m->seen)
		return;
	m->set = fset_difference(a, m->set, fset_union(a, m->seen->added, m->seen->modified));
	m->set = fset_difference(a, m->set, m->seen->removed);
}

/* A map with room for one member more, of nodes shared with the n at from. */
static struct val *map_of(struct arena *a, const struct val *from, size_t n)
{
	struct val *map = val_new_map(a);

	map->items = val_items_new(a, n + 1);
	memcpy(map->items, from, n * sizeof(*from));
	map->n = n & VAL_N_MAX;
	return map;
}

/* doc without metadata.managedFields, sharing everything else. */
static const struct val *without_managed(struct arena *a, const struct val *doc)
{
	const struct val *meta = val_member(doc, F_metadata), *gone = val_member(meta, F_managedFields);
	struct val *out, *copy;
	size_t at;

	if (!gone)
		return doc;
	at = (size_t)(gone - meta->items);
	copy = map_of(a, meta->items, meta->n);
	memmove(copy->items + at, copy->items + at + 1, (meta->n - at - 1) * sizeof(*copy));
	copy->n = (meta->n - 1u) & VAL_N_MAX;
	copy->sym = F_metadata;
	out = map_of(a, doc->items, doc->n);
	out->items[meta - doc->items] = *copy;
	out->sym = doc->sym;
	return out;
}

/* --- update --- */

/* A client that sends [{}] asks to forget all managers. */
static bool is_reset(const struct val *list)
{
	return val_len(list) == 1 && val_len(val_at(list, 0)) == 0;
}

static void read_live_or_new(struct arena *a, const struct val *old, const struct val *neu, const struct apply_opts *o,
			     struct managers *ret)
{
	const struct val *theirs = val_get(neu, F_metadata, F_managedFields);

	if (o->subresource.n == 0) {
		*ret = (struct managers){ 0 };
		if (is_reset(theirs))
			return;
		/* Clients that do not know the field leave it out; that does not delete it. */
		if (managers_read(a, theirs, ret) && ret->n)
			return;
	}
	if (!managers_read(a, val_get(old, F_metadata, F_managedFields), ret))
		*ret = (struct managers){ 0 };
}

/* Has a list of the object's own an item that lacks its key (the secrets of a ServiceAccount)? Nobody can tell which
 * that is: upstream tracks nothing of such an object. */
static bool has_keyless(const struct schema *s, const struct val *doc)
{
	for (size_t i = 0; i < s->n_fields; i++) {
		const struct field *f = &s->fields[i];
		const struct val *list = f->topology == TOPO_MAP ? val_member(doc, f->sym) : NULL;

		for (size_t k = 0; k < val_len(list); k++) {
			_cleanup_(arena_release) struct arena tmp = ARENA_INIT;
			_cleanup_(err_release) struct err why = ERR_INIT;
			struct sv text;

			if (fpart_keys_text(&tmp, f, val_at(list, k), true, &text, &why) < 0)
				return true;
		}
	}
	return false;
}

/* Of a new object of a form that is known: *neu gets its only entry. */
static bool update_known(struct arena *a, const struct known_form *form, const struct manager *self,
			 const struct val *now, struct val *neu)
{
	struct managers ms = { 0 };
	struct manager *mine;
	struct sv text;

	if (!known_find(a, form, &text))
		return false;
	*neu = *now;
	mine = managers_add(a, &ms, *self);
	mine->text = text;
	managers_write(a, &ms, neu);
	return true;
}

static void update_keep(struct arena *a, const struct known_form *form, struct manager *mine)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	fset_to_json(&b, mine->set);
	mine->text = arena_sv(a, buf_sv(&b));
	known_keep(form, mine->text);
}

struct val *managed_update(struct arena *a, const struct schema *s, const struct val *old, struct val *neu,
			   const struct apply_opts *o, struct err *err)
{
	struct ftype t = ftype_root(s);
	struct managers ms;
	struct manager self = {
		.name = o->manager, .subresource = o->subresource, .api_version = o->api_version, .time_ns = o->now_ns
	};
	struct known_form form;
	bool formed;
	struct val empty = { .type = VAL_MAP };
	const struct fset *touched;
	const struct val *was, *now = without_managed(a, neu);
	struct comparison c;
	struct manager *mine;

	read_live_or_new(a, old, neu, o, &ms);
	/* An object that nobody tracks stays so, until someone applies to it. */
	if ((ms.n == 0 && old) || has_keyless(s, now)) {
		*neu = *now;
		return neu;
	}
	formed = !old && ms.n == 0 && known_form(&form, s, now, o->reset_fields);
	if (formed && update_known(a, &form, &self, now, neu))
		return neu;
	was = old ? without_managed(a, old) : &empty;
	c = compare_without(a, t, was, now, reset_set(a, o->reset_fields));
	if (managers_compare(a, s, was, now, &c, &ms, o, err) != 0)
		return NULL;
	*neu = *now;
	touched = fset_union(a, c.added, c.modified);
	for (size_t i = 0; i < ms.n; i++)
		manager_loses(a, &ms.p[i]);
	touched = fset_difference(a, touched, &never_owned);
	if (!fset_empty(touched)) {
		mine = managers_find(&ms, &self);
		if (!mine)
			mine = managers_add(a, &ms, self);
		mine->set = fset_union(a, mine->set, touched);
		mine->api_version = o->api_version;
		mine->time_ns = o->now_ns;
		if (formed)
			update_keep(a, &form, mine);
	}
	managers_cap(a, &ms);
	managers_write(a, &ms, neu);
	return neu;
}

/* --- apply --- */

struct conflict_ctx {
	struct arena *a;
	struct err *err;
	struct buf *text;
	const char *who;
	size_t n;
};

static void one_conflict(struct sv path, void *ctx)
{
	struct conflict_ctx *c = ctx;

	c->n++;
	err_add_cause(c->err, "FieldManagerConflict", path, "conflict with %s", c->who);
	buf_printf(c->text, "\n- %.*s", SV_ARG(path));
}

static const char *manager_text(struct arena *a, const struct manager *m)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_printf(&b, "\"%.*s\"", SV_ARG(m->name));
	if (m->subresource.n)
		buf_printf(&b, " with subresource \"%.*s\"", SV_ARG(m->subresource));
	if (!m->applied)
		buf_printf(&b, " using %.*s", SV_ARG(m->api_version));
	return arena_strdup(a, buf_cstr(&b));
}

static int managers_by_name(const void *x, const void *y)
{
	const struct manager *a = x, *b = y;
	int c = sv_cmp(a->name, b->name);

	return c ? c : managers_order(x, y);
}

/* Fails with 409 and a cause for each field that changes and is another manager's. */
static int refuse_conflicts(struct arena *a, struct managers *ms, const struct manager *self,
			    const struct fset *allowed, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	struct err found = ERR_INIT;
	struct conflict_ctx ctx = { .a = a, .err = &found, .text = &text };

	qsort(ms->p, ms->n, sizeof(*ms->p), managers_by_name);
	for (size_t i = 0; i < ms->n; i++) {
		const struct comparison *c = ms->p[i].seen;
		const struct fset *hit = NULL;

		if (c && !managers_same(&ms->p[i], self))
			hit = fset_intersection(a, ms->p[i].set, fset_union(a, c->added, c->modified));
		hit = fset_difference(a, hit, allowed);
		if (fset_empty(hit))
			continue;
		ctx.who = manager_text(a, &ms->p[i]);
		buf_printf(&text, "%sconflicts with %s:", text.n ? "\n" : "", ctx.who);
		fset_each(a, hit, one_conflict, &ctx);
	}
	if (ctx.n == 0)
		return 0;
	if (err) {
		/* Causes first: err_set() refuses an err that already has a reason. */
		if (ctx.n == 1)
			err_set(&found, ERR_CONFLICT, "Apply failed with 1 conflict: %s: %s", found.causes[0].message,
				found.causes[0].field);
		else
			err_set(&found, ERR_CONFLICT, "Apply failed with %zu conflicts: %s", ctx.n, buf_cstr(&text));
	}
	err_move(err, &found);
	return -1;
}

static int check_config(const struct val *config, const struct apply_opts *o, struct err *err)
{
	struct sv version = val_get_str(config, F_apiVersion);

	if (!sv_eq(version, o->api_version))
		return err_set(
		    err, ERR_BAD_REQUEST,
		    "Incorrect version specified in apply patch. Specified patch version: %.*s, expected: %.*s",
		    SV_ARG(version), SV_ARG(o->api_version));
	if (val_get(config, F_metadata, F_managedFields))
		return err_set(err, ERR_BAD_REQUEST, "metadata.managedFields must be nil");
	return 0;
}

int apply_check(struct arena *a, const struct schema *s, const struct val *config, struct err *err)
{
	/* "default/web; apps/v1, Kind=Deployment", or "default/web; /v1, Kind=Pod" in the core group */
	struct sv ns = val_get_str(config, F_metadata, F_namespace), name = val_get_str(config, F_metadata, F_name);
	struct sv av = val_get_str(config, F_apiVersion);

	if (typed_check(a, s, config, err) == 0)
		return 0;
	return err_wrap(err, "failed to create typed patch object (%.*s/%.*s; %s%.*s, Kind=%.*s)", SV_ARG(ns),
			SV_ARG(name), sv_find(av, '/') < 0 ? "/" : "", SV_ARG(av), SV_ARG(val_get_str(config, F_kind)));
}

/* What a merge gives shares its nodes with the live object and with the configuration, which is applied again should
 * somebody write in between: those that are written to become the document's own. */
static struct val *apply_own(struct arena *a, const struct val *merged)
{
	struct val *out = map_of(a, merged->items, merged->n), *meta = val_member_mut(out, F_metadata), *own;

	if (val_type(meta) == VAL_MAP) {
		own = map_of(a, meta->items, meta->n);
		own->sym = meta->sym;
		*meta = *own;
	}
	return out;
}

struct val *managed_apply(struct arena *a, const struct schema *s, const struct val *live, const struct val *config,
			  const struct apply_opts *o, struct err *err)
{
	struct ftype t = ftype_root(s);
	struct managers ms = { 0 };
	struct manager self = {
		.name = o->manager, .subresource = o->subresource, .api_version = o->api_version, .applied = true
	};
	struct val empty = { .type = VAL_MAP };
	const struct fset *reset = reset_set(a, o->reset_fields), *never = &never_owned, *last, *mine_set;
	const struct val *base, *merged;
	struct sv last_version;
	struct budget values = BUDGET(doc_values_limit);
	struct comparison c;
	struct manager *mine;
	struct val *out;
	bool changed, kubectl = sv_is(o->manager, "kubectl");

	if (check_config(config, o, err) < 0 || apply_check(a, s, config, err) < 0)
		return NULL;
	mine_set = fset_without(a, typed_fields(a, t, config), reset);
	base = live ? without_managed(a, live) : &empty;
	if (live && !managers_read(a, val_get(live, F_metadata, F_managedFields), &ms))
		ms = (struct managers){ 0 };
	if (live && ms.n == 0) {
		/* Nobody was tracked so far: what is there is somebody's, not the applier's. */
		c = compare_without(a, t, &empty, base, reset);
		managers_add(a, &ms,
			     (struct manager){ .name = SV("before-first-apply"),
					       .subresource = o->subresource,
					       .api_version = o->api_version,
					       .time_ns = o->now_ns,
					       .set = fset_difference(a, fset_union(a, c.added, c.modified), never) });
	}
	mine = managers_find(&ms, &self);
	if (!mine)
		mine = managers_add(a, &ms, self);
	last = mine->set;
	last_version = mine->api_version;
	mine->set = mine_set;
	mine->api_version = o->api_version;

	merged = typed_merge(a, t, base, config);
	if (apply_prune(a, s, &merged, mine_set, last, last_version, &ms, o, err) != 0)
		return NULL;
	if (!s->custom) /* of a kind made at run time null is a value where its definition says so, as in a create */
		merged = typed_drop_nulls(a, t, merged);

	c = compare_without(a, t, base, merged, reset);
	if (managers_compare(a, s, base, merged, &c, &ms, o, err) != 0)
		return NULL;
	if (!o->force &&
	    refuse_conflicts(a, &ms, &self, kubectl && live ? kubectl_may_take(a, t, base) : NULL, err) < 0)
		return NULL;
	mine = managers_find(&ms, &self); /* the check reorders them */
	for (size_t i = 0; i < ms.n; i++)
		if (&ms.p[i] != mine)
			manager_loses(a, &ms.p[i]);

	mine->set = fset_difference(a, mine_set, never);
	changed = !val_equal(base, merged) || !fset_equal(mine->set, last);
	if (changed || !mine->time_ns)
		mine->time_ns = o->now_ns;

	out = apply_own(a, merged);
	if (kubectl)
		kubectl_renew(a, config, out);
	managers_write(a, &ms, out);
	return val_count(&values, out, err) < 0 ? NULL : out;
}
