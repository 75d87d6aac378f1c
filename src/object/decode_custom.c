/* Which of the two ways of decoding a type has: by its fields, or, of a custom kind, by its structural schema. */
#include "object/structural.h"

/* Any members of any type, less what the schema does not have. */
static struct val *decode_custom(struct arena *a, const struct schema *s, const struct val *raw,
				 struct decode_report *report, struct err *err)
{
	struct val *doc = val_type(raw) == VAL_NULL ? val_new_map(a) : val_clone_nodes(a, raw);

	if (val_type(doc) != VAL_MAP) {
		err_set(err, ERR_BAD_REQUEST, "json: cannot unmarshal %s into Go value of type map[string]interface {}",
			val_type_name(val_type(doc)));
		return NULL;
	}
	if (report)
		report->has_empty = false;
	return structural_decode(s->custom, a, doc, report, err) < 0 ? NULL : doc;
}

struct val *decode_typed(struct arena *a, const struct schema *s, const struct val *raw, struct decode_report *report,
			 struct err *err)
{
	return s->custom ? decode_custom(a, s, raw, report, err) : decode_plain(a, s, raw, report, err);
}
