/* An object that has replicas, seen as a Scale: where they are is the same for all built-in kinds, and what their
 * definition says of custom ones (scale_custom.c). */
#include "apiserver/registry/registry.h"
#include "object/api_kind.h"

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

/* Where a custom kind says. -1: something else is there. */
static int scale_shown_custom(const struct api_scale *at, const struct val *o, struct scale_shown *ret, struct err *err)
{
	const struct val *n;

	if (custom_scale_value(o, at->replicas, VAL_INT, &n, err) < 0)
		return -1;
	ret->has_replicas = n != NULL;
	ret->replicas = val_int_or(n, 0);
	if (custom_scale_value(o, at->status_replicas, VAL_INT, &n, err) < 0)
		return -1;
	ret->status_replicas = val_int_or(n, 0);
	if (at->selector && *at->selector) {
		if (custom_scale_value(o, at->selector, VAL_STR, &n, err) < 0)
			return -1;
		ret->selector = val_str(n);
	}
	return 0;
}

int registry_scale_shown(struct arena *a, const struct resource *r, const struct val *o, struct scale_shown *ret,
			 struct err *err)
{
	const struct api_scale *at = resource_late(r) ? api_kind_scale(api_kind_of(r)) : NULL;

	*ret = (struct scale_shown){ .selector = SV("") };
	if (at)
		return scale_shown_custom(at, o, ret, err);
	ret->has_replicas = true;
	ret->replicas = val_get_int(o, 0, F_spec, F_replicas);
	ret->status_replicas = val_get_int(o, 0, F_status, F_replicas);
	ret->selector = selector_text(a, r, val_get(o, F_spec, F_selector));
	return 0;
}

struct val *registry_scale_view(struct arena *a, const struct val *o, const struct scale_shown *shown)
{
	static const enum sym from_meta[] = { F_name, F_namespace, F_uid, F_resourceVersion, F_creationTimestamp };
	struct val *scale = val_new_map(a), *m;

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
	if (shown->replicas)
		val_set_int(a, m, F_replicas, shown->replicas);
	val_set(a, scale, F_spec, m);
	m = val_new_map(a);
	val_set_int(a, m, F_replicas, shown->status_replicas);
	if (shown->selector.n)
		val_set_str(a, m, F_selector, shown->selector);
	val_set(a, scale, F_status, m);
	return scale;
}

const char *registry_scale_path(const struct resource *r)
{
	const struct api_scale *at = resource_late(r) ? api_kind_scale(api_kind_of(r)) : NULL;

	return at ? at->replicas : ".spec.replicas";
}

struct val *registry_scale_set(struct arena *a, const struct resource *r, struct val *doc, int64_t replicas)
{
	struct sv rest = sv_from(registry_scale_path(r)), part;
	struct val *at = doc;

	rest = sv_sub(rest, 1, rest.n);
	while (sv_split(&rest, '.', &part)) {
		struct val *next = val_member_sv_mut(at, part);

		if (!rest.n) {
			val_set_sv(a, at, part, val_new_int(a, replicas));
			return doc;
		}
		if (next && val_type(next) != VAL_MAP)
			return NULL;
		at = next ? next : val_set_sv(a, at, part, val_new_map(a));
	}
	return NULL;
}

struct val *registry_scale_of(struct arena *a, const struct resource *r, const struct val *o)
{
	_cleanup_(err_release) struct err none = ERR_INIT;
	struct scale_shown shown;

	(void)registry_scale_shown(a, r, o, &shown, &none);
	return registry_scale_view(a, o, &shown);
}
