/* kept.c - which fields an endpoint leaves alone: asked by who restores them and by who records ownership.
 *
 * The main endpoint of what has a status keeps that, a status endpoint keeps everything but the status and the
 * metadata, and that of a custom kind the metadata as well. What differs a kind's strategy says, with the whole of it.
 */
#include "apiserver/registry/registry.h"

static const char *const nothing[] = { NULL };
static const char *const status[] = { "status", NULL };
static const char *const spec[] = { "spec", NULL };

const char *const *kept_fields(const struct resource *r, struct sv sub)
{
	for (const struct kept_on *k = strategy_for(r)->kept; k && k->sub; k++)
		if (sv_is(sub, k->sub))
			return k->fields;
	if (sv_is(sub, "status"))
		return spec;
	return r->has_status ? status : nothing;
}

void keep_member(struct arena *a, struct val *to, const struct val *from, enum sym key)
{
	const struct val *v = val_member(from, key);

	/* The nodes of a published object are frozen: hooks change what they get in place. */
	if (v)
		val_set(a, to, key, val_clone_nodes(a, v));
	else
		val_del(to, key);
}

/* All of metadata but who owns what, which tells of this very change (upstream: a custom resource's status strategy;
 * a built-in kind's status endpoint lets labels, annotations and finalizers through). */
static void keep_metadata(struct arena *a, const struct val *old, struct val *doc)
{
	const struct val *owners = val_get(doc, F_metadata, F_managedFields);
	struct val *meta;

	keep_member(a, doc, old, F_metadata);
	meta = val_ensure_map(a, doc, F_metadata);
	if (owners)
		val_set(a, meta, F_managedFields, owners);
	else
		val_del(meta, F_managedFields);
}

/* The same of a late kind's fields, whose names need not be such that a dotted path could say them. */
static void keep_late(struct arena *a, const struct schema *s, const struct val *old, struct val *doc)
{
	keep_metadata(a, old, doc);
	for (size_t i = 0; !s->custom && i < s->n_fields; i++)
		if (schema_own_field(&s->fields[i]))
			keep_member(a, doc, old, s->fields[i].sym);
	if (!s->custom)
		return;
	/* What an object of a custom kind may have its type need not say: all of it, but for these, is the old one's.
	 */
	struct val *kept = val_new_map(a);

	VAL_EACH_MEMBER(doc, m)
		if (m.sym == F_apiVersion || m.sym == F_kind || m.sym == F_metadata || m.sym == F_status)
			val_set(a, kept, m.sym, m.value);
	VAL_EACH_MEMBER(old, m) {
		if (m.sym == F_apiVersion || m.sym == F_kind || m.sym == F_metadata || m.sym == F_status)
			continue;
		if (m.sym)
			val_set(a, kept, m.sym, val_clone_nodes(a, m.value));
		else
			val_set_sv(a, kept, m.key, val_clone_nodes(a, m.value));
	}
	kept->sym = doc->sym;
	*doc = *kept;
}

void kept_restore(struct arena *a, const struct resource *r, struct sv sub, const struct val *old, struct val *doc)
{
	/* What clients write of metadata; the rest is the server's on every endpoint. */
	static const enum sym metadata[] = { F_labels, F_annotations, F_finalizers, F_ownerReferences };
	struct val *meta = val_ensure_map(a, doc, F_metadata);
	const struct val *old_meta = val_member(old, F_metadata);

	if (resource_late(r) && sv_is(sub, "status")) {
		keep_late(a, r->schema, old, doc);
		return;
	}
	/* No built-in kind with a status endpoint has other members than these. */
	for (const char *const *f = kept_fields(r, sub); *f; f++) {
		struct sv path = sv_from(*f), part;

		(void)sv_split(&path, '.', &part);
		if (path.n && !sv_is(part, "metadata"))
			keep_member(a, val_ensure_map(a, doc, sym_find(part)), val_member(old, sym_find(part)),
				    sym_find(path));
		else if (!sv_is(part, "metadata"))
			keep_member(a, doc, old, sym_find(part));
		else if (path.n)
			keep_member(a, meta, old_meta, sym_find(path));
		else
			for (size_t i = 0; i < ARRAY_LEN(metadata); i++)
				keep_member(a, meta, old_meta, metadata[i]);
	}
}
