#include "object/annotation.h"

struct sv annotation_of(const struct val *doc, const char *name)
{
	return val_str(val_member_sv(val_get(doc, F_metadata, F_annotations), sv_from(name)));
}

void annotation_set(struct arena *a, struct val *doc, const char *name, struct sv value)
{
	val_set_str_sv(a, val_ensure_map(a, val_ensure_map(a, doc, F_metadata), F_annotations), sv_from(name), value);
}
