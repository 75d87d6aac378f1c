/* patch_merge.c - JSON merge patch (RFC 7386). */
#include "object/patch.h"

/* Sets a member whichever way its key is stored. */
static struct val *set_member(struct arena *a, struct val *map, const struct val_iter *m, const struct val *v)
{
	return m->sym ? val_set(a, map, m->sym, v) : val_set_sv(a, map, m->key, v);
}

static const struct val *find_member(const struct val *map, const struct val_iter *m)
{
	return m->sym ? val_member(map, m->sym) : val_member_sv(map, m->key);
}

/* The RFC's MergePatch(Target, Patch). Depth is bounded by the decoder's limit on patch; a deeper
 * one than this is refused before it comes here (see patch_merge). */
static const struct val *merge(struct arena *a, const struct val *target, const struct val *patch)
{
	struct val *out;

	if (val_type(patch) != VAL_MAP)
		return patch;
	out = val_new_map(a);
	if (val_type(target) == VAL_MAP) {
		VAL_EACH_MEMBER(target, t) {
			const struct val *p = find_member(patch, &t);

			if (!p)
				set_member(a, out, &t, t.value);
			else if (p->type != VAL_NULL)
				set_member(a, out, &t, merge(a, t.value, p));
		}
	}
	VAL_EACH_MEMBER(patch, p) {
		if (p.value->type == VAL_NULL || find_member(out, &p))
			continue;
		set_member(a, out, &p, merge(a, NULL, p.value));
	}
	return out;
}

struct val *patch_merge(struct arena *a, const struct val *doc, const struct val *patch, struct err *err)
{
	const struct val *merged;
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
	merged = merge(a, doc, patch);
	out = val_new_null(a);
	*out = *merged;
	out->sym = 0;
	return out;
}
