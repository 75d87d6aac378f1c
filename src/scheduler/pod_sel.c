/* Which Pods a term of affinity, or a spread constraint, speaks about. */
#include "codec/json.h"
#include "scheduler/cache.h"

void pod_sel_init(struct arena *a, struct pod_sel *sel, struct sv src)
{
	const struct val *doc = json_decode(a, src, NULL, NULL), *list, *by_ns;
	struct sv *names;

	BUG_ON(!doc);
	list = val_get(doc, F_namespaces);
	by_ns = val_get(doc, F_namespaceSelector);
	names = ARENA_ARRAY(a, struct sv, val_len(list));
	*sel = (struct pod_sel){ .src = src, .namespaces = names };
	VAL_EACH(list, n)
		names[sel->n++] = val_str(n);
	if (by_ns)
		sel->by_ns = selector_from_label_selector(a, by_ns, NULL);
	sel->labels = selector_from_label_selector(a, val_get(doc, F_labelSelector), NULL);
	if (!sel->labels) /* malformed: validation refuses it; matches nothing here */
		sel->labels = selector_from_label_selector(a, NULL, NULL);
}

bool pod_sel_matches(const struct pod_sel *sel, const struct cache_ns *ns, const struct val *labels)
{
	bool in = false;

	for (size_t i = 0; i < sel->n && !in; i++)
		in = sv_is(sel->namespaces[i], ns->name);
	if (!in && sel->by_ns)
		in = selector_empty(sel->by_ns) || (ns->obj && selector_matches(sel->by_ns, obj_labels(ns->obj)));
	return in && selector_matches(sel->labels, labels);
}
