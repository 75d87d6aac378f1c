/* What is done to an object before anybody judges it. */
#include "object/structural/meta.h"

#include <stdlib.h>

/* Names and metadata of the object itself are none of its schema's: they are set aside, and put back when it was
 * pruned. */
struct own_meta {
	const struct val *kind, *api_version;
	struct val *metadata;
};

static int own_meta_take(struct own_meta *own, struct arena *a, struct val *doc, bool drop, struct unknown *u,
			 struct err *err)
{
	struct fpath at = FPATH_ROOT(F_metadata);
	const struct val *meta = val_member(doc, F_metadata), *kind = val_member(doc, F_kind);
	const struct val *api_version = val_member(doc, F_apiVersion);

	own->kind = kind ? val_clone_nodes(a, kind) : NULL;
	own->api_version = api_version ? val_clone_nodes(a, api_version) : NULL;
	if (!meta)
		return 0;
	own->metadata = meta_coerce(a, meta, drop, &at, u, err);
	return own->metadata ? 0 : -1;
}

static void own_meta_put(const struct own_meta *own, struct arena *a, struct val *doc)
{
	if (own->kind)
		val_set(a, doc, F_kind, own->kind);
	if (own->api_version)
		val_set(a, doc, F_apiVersion, own->api_version);
	if (own->metadata)
		val_set(a, doc, F_metadata, own->metadata);
}

static void tell_repeated(struct arena *a, struct decode_report *report)
{
	for (size_t i = 0; i < report->n_repeated && report->strict.n < STRICT_MAX; i++)
		vec_push(&report->strict, arena_svf(a, "duplicate field \"%.*s\"", SV_ARG(report->repeated[i])));
}

static int decode_by(const struct structural *s, struct arena *a, struct val *doc, bool drop,
		     struct decode_report *report, struct err *err)
{
	_cleanup_(unknown_release) struct unknown unknown = { .a = a };
	struct unknown *u = report ? &unknown : NULL;
	const struct snode *root = structural_tree(s)->root;
	struct own_meta own = { 0 };

	if (val_type(doc) != VAL_MAP)
		return 0;
	val_thaw(a, doc);
	if (report)
		tell_repeated(a, report);
	if (own_meta_take(&own, a, doc, drop, u, err) < 0)
		return -1;
	if (report)
		unknown_tell(u, report);
	walk_prune(root, a, doc, true, u);
	if (report)
		unknown_tell(u, report);
	walk_prune_nulls(root, doc);
	if (walk_coerce(root, a, doc, drop, u, err) < 0)
		return -1;
	if (report)
		unknown_tell(u, report);
	own_meta_put(&own, a, doc);
	return 0;
}

int structural_decode(const struct structural *s, struct arena *a, struct val *doc, struct decode_report *report,
		      struct err *err)
{
	return decode_by(s, a, doc, false, report, err);
}

static int default_by(const struct structural *s, struct arena *a, struct val *doc, struct err *err)
{
	static const struct budget_limit limit = {
		DOC_VALUES_MAX, ERR_TOO_LARGE,
		"Request entity too large: defaults of its schema make the object too large: make several objects of it"
	};
	const struct snode *root = structural_tree(s)->root;
	struct budget b = BUDGET(limit);

	if (root->flags & SN_DEFAULTS)
		val_thaw(a, doc);
	walk_default(root, a, doc, &b);
	return budget_over(&b) ? budget_refuse(&b, err) : 0;
}

int structural_default(const struct structural *s, struct arena *a, struct val *doc, struct err *err)
{
	return default_by(s, a, doc, err);
}

void structural_from_store(const struct structural *s, struct arena *a, struct val *doc)
{
	(void)decode_by(s, a, doc, true, NULL, NULL); /* it refuses nothing */
	(void)default_by(s, a, doc, NULL);
}
