/* CustomResourceDefinition: the names it does not say, the versions its objects were stored in, and its deletion, which
 * waits for its instances. What is served of it is crd/'s business. */
#include "apiserver/registry/kinds/kinds.h"

#include "apiserver/crd/crd.h"
#include "base/timefmt.h"

/* A status endpoint that leaves all metadata alone. */
static const struct kept_on status_alone[] = {
	{ "status", (const char *const[]){ "spec", "metadata", NULL } },
	{ NULL, NULL },
};

static void remember_version(struct api_req *q, struct val *doc);

static void crd_defaults(struct api_req *q, struct val *doc)
{
	struct val *names = val_get_mut(doc, F_spec, F_names);
	struct sv kind = val_get_str(names, F_kind);

	if (!val_len(val_get(doc, F_status, F_storedVersions)) && val_member(doc, F_status))
		remember_version(q, doc);
	if (!names || kind.n == 0)
		return;
	if (!val_get_str(names, F_singular).n) {
		char *lower = arena_cstr(q->arena, kind);

		for (char *c = lower; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c + ('a' - 'A'));
		val_set_cstr(q->arena, names, F_singular, lower);
	}
	if (!val_get_str(names, F_listKind).n)
		val_set_strf(q->arena, names, F_listKind, "%.*sList", SV_ARG(kind));
}

/* Objects are stored in one version, the first that says so; one that objects were stored in once is remembered until
 * all are rewritten. */
static void remember_version(struct api_req *q, struct val *doc)
{
	struct val *list = val_ensure_list(q->arena, val_ensure_map(q->arena, doc, F_status), F_storedVersions);

	VAL_EACH(val_get(doc, F_spec, F_versions), v) {
		bool known = !val_get_bool(v, F_storage);

		VAL_EACH(list, s)
			known = known || sv_eq(val_str(s), val_get_str(v, F_name));
		if (!known)
			val_push(q->arena, list, val_new_str(q->arena, val_get_str(v, F_name)));
		if (val_get_bool(v, F_storage))
			break;
	}
}

static bool cleaned_up(const struct val *doc)
{
	VAL_EACH(val_get(doc, F_metadata, F_finalizers), f)
		if (val_is(f, CRD_FINALIZER))
			return false;
	return true;
}

static void crd_update(struct api_req *q, const struct val *old, struct val *doc)
{
	if (!q->subresource.n)
		remember_version(q, doc);
	/* The server is done with its instances: both are said at once, or somebody would see the one without the
	 * other. */
	if (!q->trusted || q->subresource.n || cleaned_up(old) || !cleaned_up(doc) ||
	    !val_get_str(old, F_metadata, F_deletionTimestamp).n)
		return;
	if (crd_condition_is(doc, "Established", "True"))
		crd_condition(q->arena, doc, "Terminating", "False", "InstanceDeletionCompleted",
			      "removed all instances", env_now_ns(q->server->env));
	else
		crd_condition(q->arena, doc, "Terminating", "False", "NeverEstablished",
			      "resource was never established", env_now_ns(q->server->env));
}

/* Once it was deleted: does anything keep it? Before that its instances may. */
static bool crd_finalized(const struct val *doc)
{
	return val_get_str(doc, F_metadata, F_deletionTimestamp).n > 0;
}

static void crd_deletion_marked(struct arena *a, struct val *doc)
{
	struct val *meta = val_ensure_map(a, doc, F_metadata), *list = val_ensure_list(a, meta, F_finalizers);
	int64_t at = 0, generation = val_get_int(meta, 0, F_generation);
	bool kept = false;

	VAL_EACH(list, f)
		kept = kept || val_is(f, CRD_FINALIZER);
	if (!kept)
		val_push(a, list, val_new_str(a, SV(CRD_FINALIZER)));
	/* Upstream's own deletion of definitions, which counts no generation and no grace. */
	if (generation > 1)
		val_set_int(a, meta, F_generation, generation - 1);
	(void)val_del(meta, F_deletionGracePeriodSeconds);
	(void)time_parse(val_get_str(meta, F_deletionTimestamp), &at);
	crd_condition(a, doc, "Terminating", "True", "InstanceDeletionPending",
		      "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon", at);
}

const struct strategy crd_strategy = {
	.res = RES(apiextensions_customresourcedefinitions),
	.kept = status_alone,
	.prepare_create = remember_version,
	.prepare_update = crd_update,
	.set_defaults = crd_defaults,
	.finalized = crd_finalized,
	.deletion_marked = crd_deletion_marked,
	.observe = crds_observe,
};
