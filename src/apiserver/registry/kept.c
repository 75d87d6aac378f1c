/* kept.c - which fields an endpoint leaves alone: one table, read by who restores them and by who records ownership.
 *
 * The main endpoint of what has a status keeps that, a status endpoint keeps everything but the status and the
 * metadata. Listed is what differs, with the whole of it: upstream's strategies say it kind by kind. */
#include "apiserver/registry/registry.h"

static const char *const nothing[] = { NULL };
static const char *const status[] = { "status", NULL };
static const char *const spec[] = { "spec", NULL };
static const char *const spec_metadata[] = { "spec", "metadata", NULL };
static const char *const status_metadata[] = { "status", "metadata", NULL };

static const struct {
	enum resource_id id;
	const char *sub;
	const char *const *fields;
} own[] = {
	/* Old kubelets sent no owners; they must not take them away. */
	{ R_core_pods, "status",
	  (const char *const[]){ "spec", "metadata.deletionTimestamp", "metadata.ownerReferences", NULL } },
	{ R_core_pods, "ephemeralcontainers", status_metadata },
	{ R_core_pods, "resize", status_metadata },
	/* Nothing there comes from the client: binding sets spec.nodeName and a condition together. */
	{ R_core_pods, "binding", nothing },
	{ R_apps_deployments, "status", (const char *const[]){ "spec", "metadata.labels", NULL } },
	{ R_storage_volumeattachments, "status", spec_metadata },
	{ R_apiextensions_customresourcedefinitions, "status", spec_metadata },
};

const char *const *kept_fields(const struct resource *r, struct sv sub)
{
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		if (r->id == own[i].id && sv_is(sub, own[i].sub))
			return own[i].fields;
	if (sv_is(sub, "status"))
		return spec;
	return r->has_status ? status : nothing;
}

static void keep(struct arena *a, struct val *to, const struct val *from, enum sym key)
{
	const struct val *v = val_member(from, key);

	/* The nodes of a published object are frozen: hooks change what they get in place. */
	if (v)
		val_set(a, to, key, val_clone_nodes(a, v));
	else
		val_del(to, key);
}

void kept_restore(struct arena *a, const struct resource *r, struct sv sub, const struct val *old, struct val *doc)
{
	/* What clients write of metadata; the rest is the server's on every endpoint. */
	static const enum sym metadata[] = { F_labels, F_annotations, F_finalizers, F_ownerReferences };
	struct val *meta = val_ensure_map(a, doc, F_metadata);
	const struct val *old_meta = val_member(old, F_metadata);

	/* No kind with a status endpoint has other members than these. */
	for (const char *const *f = kept_fields(r, sub); *f; f++) {
		struct sv path = sv_from(*f), part;

		(void)sv_split(&path, '.', &part);
		if (!sv_is(part, "metadata"))
			keep(a, doc, old, sym_find(part));
		else if (path.n)
			keep(a, meta, old_meta, sym_find(path));
		else
			for (size_t i = 0; i < ARRAY_LEN(metadata); i++)
				keep(a, meta, old_meta, metadata[i]);
	}
}
