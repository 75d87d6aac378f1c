/* What a webhook makes of an object: its patch applied, and the outcome treated as what a client sends. */
#include "apiserver/admission/webhooks.h"
#include "apiserver/registry/registry.h"
#include "object/decode.h"
#include "object/patch.h"

/* A patch is about what the object says, not what it is. */
static bool patch_same_kind(const struct val *doc, const struct val *out)
{
	return val_same(val_member(doc, F_kind), val_member(out, F_kind)) &&
	       val_same(val_member(doc, F_apiVersion), val_member(out, F_apiVersion));
}

/* Ownership that nobody could read counts as none, and all that was known would be lost. */
static void patch_keep_managed(struct api_req *q, const struct val *doc, struct val *out)
{
	const struct val *was = val_get(doc, F_metadata, F_managedFields);
	const struct val *now = val_get(out, F_metadata, F_managedFields);
	struct val *meta = val_member_mut(out, F_metadata);

	if (val_type(meta) != VAL_MAP || val_same(was, now) || managed_valid(q->arena, now))
		return;
	if (was)
		val_set(q->arena, meta, F_managedFields, was);
	else
		val_del(meta, F_managedFields);
	api_req_warn(q, ".metadata.managedFields was in an invalid state after admission; this could be caused by an "
			"outdated mutating admission controller; please fix your requests");
}

struct val *hook_patched(struct api_req *q, const struct resource *r, const struct schema *s, const struct val *doc,
			 const struct val *patched, struct err *err)
{
	struct decode_report report = { .bare = true };
	struct val *out;

	if (!patch_same_kind(doc, patched)) {
		err_set(err, ERR_INTERNAL, "the patch changes the object's kind or apiVersion");
		return NULL;
	}
	out = decode_typed(q->arena, s, patched, &report, err);
	if (!out)
		return NULL;
	patch_keep_managed(q, doc, out);
	default_members(q->arena, s, out);
	if (s == r->schema && strategy_for(r)->set_defaults)
		strategy_for(r)->set_defaults(q, out);
	order_typed(q->arena, s, out);
	return out;
}

struct val *hook_patch(struct api_req *q, const struct resource *r, const struct schema *s, const struct val *doc,
		       const struct val *patch, struct err *err)
{
	struct err why = ERR_INIT;
	struct sv words = SV_NULL;
	struct val *out = patch_json_why(q->arena, doc, patch, &words, &why);

	if (out)
		out = hook_patched(q, r, s, doc, out, &why);
	if (!out) {
		if (words.n) {
			err_release(&why);
			err_set(&why, ERR_INTERNAL, "%.*s", SV_ARG(words));
		}
		(void)hook_internal(&why, err);
	}
	return out;
}
