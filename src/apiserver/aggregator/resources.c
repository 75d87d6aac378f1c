/* What another server says that it has, in the form of aggregated discovery. Of which group version it says that it is
 * does not count: the APIService says it, and a long one here would be repeated for each resource. */
#include "apiserver/aggregator/aggregator-internal.h"
#include "base/budget.h"
#include "codec/json.h"

static void list_kind(struct arena *a, struct val *to, const struct val *r, struct sv group, struct sv version)
{
	struct val *k = val_new_map(a);
	struct sv own_group = val_get_str(r, F_group), own_version = val_get_str(r, F_version);

	val_set_str(a, k, F_group, own_version.n ? own_group : group);
	val_set_str(a, k, F_version, own_version.n ? own_version : version);
	val_set_str(a, k, F_kind, val_get_str(r, F_kind));
	val_set(a, to, F_responseKind, k);
}

/* Lists of strings alone are taken over. */
static void list_strings(struct arena *a, struct val *to, const struct val *r, enum sym key)
{
	const struct val *from = val_member(r, key);
	struct val *out = val_new_list(a);

	VAL_EACH(from, one)
		if (val_type(one) == VAL_STR)
			val_push(a, out, one);
	if (val_len(out) || key == F_verbs)
		val_set(a, to, key, out);
}

static void list_resource_of(struct arena *a, struct val *list, const struct val *r, struct sv group, struct sv version)
{
	struct val *m = val_new_map(a);

	val_set_str(a, m, F_resource, val_get_str(r, F_name));
	list_kind(a, m, r, group, version);
	val_set_cstr(a, m, F_scope, val_get_bool(r, F_namespaced) ? "Namespaced" : "Cluster");
	val_set_str(a, m, F_singularResource, val_get_str(r, F_singularName));
	list_strings(a, m, r, F_verbs);
	list_strings(a, m, r, F_shortNames);
	list_strings(a, m, r, F_categories);
	val_push(a, list, m);
}

/* "pods/log" goes below "pods", which stands right before it as a rule. */
static void list_subresource(struct arena *a, struct val *list, size_t *hint, const struct val *r, struct sv parent,
			     struct sv sub, struct sv group, struct sv version)
{
	struct val *m = val_new_map(a), *to = val_at_mut(list, *hint);

	if (!to || !sv_eq(val_get_str(to, F_resource), parent)) {
		size_t i = 0;

		while (i < val_len(list) && !sv_eq(val_get_str(val_at(list, i), F_resource), parent))
			i++;
		to = val_at_mut(list, i);
		*hint = i;
	}
	if (!to)
		return;
	val_set_str(a, m, F_subresource, sub);
	list_kind(a, m, r, group, version);
	list_strings(a, m, r, F_verbs);
	val_push(a, val_ensure_list(a, to, F_subresources), m);
}

int agg_resources(struct sv body, struct sv group, struct sv version, struct buf *out, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct budget values = BUDGET(doc_values_limit);
	const struct json_opts o = { .values = &values };
	const struct val *list = json_decode(&a, body, &o, err), *resources = val_get(list, F_resources);
	struct val *made = val_new_list(&a);
	size_t hint = 0;

	if (!list)
		return -1;
	if (!val_is(val_member(list, F_kind), "APIResourceList") || val_len(resources) > AGG_RESOURCES_MAX)
		return err_set(err, ERR_BAD_REQUEST, "it is no APIResourceList, or too long a one");
	VAL_EACH(resources, r)
		if (val_get_str(r, F_name).n && sv_find(val_get_str(r, F_name), '/') < 0)
			list_resource_of(&a, made, r, group, version);
	VAL_EACH(resources, r) {
		struct sv name = val_get_str(r, F_name);
		ssize_t slash = sv_find(name, '/');

		if (slash > 0)
			list_subresource(&a, made, &hint, r, sv_sub(name, 0, (size_t)slash),
					 sv_sub(name, (size_t)slash + 1, name.n), group, version);
	}
	json_encode(out, made);
	return 0;
}
