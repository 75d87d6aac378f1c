/* An object that has replicas, seen as a Scale. */
#include "apiserver/registry/registry.h"

static struct sv selector_text(struct arena *a, const struct resource *r, const struct val *sel)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct selector *s;

	if (!sel)
		return SV("");
	s = strategy_for(r)->map_selector ? selector_from_map(a, sel) : selector_from_label_selector(a, sel, NULL);
	if (s)
		selector_format(&b, s);
	return arena_sv(a, buf_sv(&b));
}

struct val *registry_scale_of(struct arena *a, const struct resource *r, const struct val *o)
{
	static const enum sym from_meta[] = { F_name, F_namespace, F_uid, F_resourceVersion, F_creationTimestamp };
	struct val *scale = val_new_map(a), *m;
	struct sv sel = selector_text(a, r, val_get(o, F_spec, F_selector));

	val_set_cstr(a, scale, F_kind, "Scale");
	val_set_cstr(a, scale, F_apiVersion, "autoscaling/v1");
	m = val_new_map(a);
	for (size_t i = 0; i < ARRAY_LEN(from_meta); i++) {
		const struct val *v = val_get(o, F_metadata, from_meta[i]);

		if (v)
			val_set(a, m, from_meta[i], v);
	}
	val_set(a, scale, F_metadata, m);
	m = val_new_map(a);
	if (val_get_int(o, 0, F_spec, F_replicas))
		val_set_int(a, m, F_replicas, val_get_int(o, 0, F_spec, F_replicas));
	val_set(a, scale, F_spec, m);
	m = val_new_map(a);
	val_set_int(a, m, F_replicas, val_get_int(o, 0, F_status, F_replicas));
	if (sel.n)
		val_set_str(a, m, F_selector, sel);
	val_set(a, scale, F_status, m);
	return scale;
}
