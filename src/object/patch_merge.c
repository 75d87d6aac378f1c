/* patch_merge.c - JSON merge patch (RFC 7386). */
#include "object/patch.h"

#include "codec/doc_items.h"
#include "codec/val_index.h"

/* The RFC's MergePatch(Target, Patch). Depth is bounded by the decoder's limit on patch; a deeper
 * one than this is refused before it comes here (see patch_merge). */
static const struct val *patch_merge_map(struct arena *a, const struct val *target, const struct val *patch)
{
	_cleanup_(val_index_release) struct val_index had = val_index_of(target), changes = val_index_of(patch);
	struct val *out;

	if (val_type(patch) != VAL_MAP)
		return patch;
	out = val_new_map(a);
	VAL_EACH_MEMBER(target, t) {
		const struct val *p = val_index_member(&changes, t.sym, t.key);

		if (!p)
			val_append_member(a, out, t.sym, t.key, t.value);
		else if (p->type != VAL_NULL)
			val_append_member(a, out, t.sym, t.key, patch_merge_map(a, t.value, p));
	}
	VAL_EACH_MEMBER(patch, p)
		if (p.value->type != VAL_NULL && !val_index_member(&had, p.sym, p.key))
			val_append_member(a, out, p.sym, p.key, patch_merge_map(a, NULL, p.value));
	return out;
}

struct val *patch_merge(struct arena *a, const struct val *doc, const struct val *patch, struct err *err)
{
	const struct val *merged;
	struct budget values = BUDGET(doc_values_limit);
	struct val *out;

	if (val_type(patch) != VAL_MAP && val_type(doc) == VAL_MAP) {
		err_set(err, ERR_BAD_REQUEST,
			"error decoding patch: json: cannot unmarshal %s into a merge patch, which must be an object",
			val_type_name(val_type(patch)));
		return NULL;
	}
	if (val_deeper_than(patch, PATCH_DEPTH_MAX)) {
		err_set(err, ERR_BAD_REQUEST, "error decoding patch: nested deeper than %d levels", PATCH_DEPTH_MAX);
		return NULL;
	}
	merged = patch_merge_map(a, doc, patch);
	out = val_new_null(a);
	*out = *merged;
	out->sym = 0;
	return val_count(&values, out, err) < 0 ? NULL : out;
}
