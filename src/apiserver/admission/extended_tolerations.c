/* ExtendedResourceToleration: nodes with a rare device are tainted by its name, which who asks for the device
 * tolerates. */
#include "apiserver/admission/plugins.h"
#include "base/strmap.h"

#include <stdlib.h>

/* A name of somebody's domain: none of ours, nor a quota's. */
static bool extended_name(struct sv name)
{
	return sv_find(name, '/') > 0 && sv_find_sv(name, SV("kubernetes.io/")) < 0 &&
	       !sv_starts(name, SV("requests."));
}

static int extended_names(const struct admission *a, struct strmap *names)
{
	static const enum sym lists[] = { F_containers, F_initContainers };

	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		VAL_EACH(val_get(a->doc, F_spec, lists[i]), c)
			VAL_EACH_MEMBER(val_get(c, F_resources, F_requests), m)
				if (extended_name(m.key))
					(void)strmap_set(names, m.key, names);
	/* What is tolerated already. */
	VAL_EACH(val_get(a->doc, F_spec, F_tolerations), t)
		if (val_is(val_get(t, F_operator), "Exists") && val_is(val_get(t, F_effect), "NoSchedule"))
			(void)strmap_del(names, val_get_str(t, F_key));
	return (int)names->n;
}

static int extended_mutate(const struct admission *a, struct err *err)
{
	struct strmap names = STRMAP_INIT;
	struct arena *ar = a->q->arena;
	struct val *list;
	struct sv *sorted;
	size_t n = 0;

	(void)err;
	if (!admits_pod(a))
		return 0;
	if (extended_names(a, &names)) {
		sorted = ARENA_ARRAY(ar, struct sv, names.n);
		STRMAP_EACH(&names, e)
			sorted[n++] = arena_sv(ar, sv_make(e->key, e->key_n));
		qsort(sorted, n, sizeof(*sorted), sv_order);
		list = val_ensure_list(ar, val_ensure_map(ar, a->doc, F_spec), F_tolerations);
		for (size_t i = 0; i < n; i++) {
			struct val *t = val_new_map(ar);

			val_set_str(ar, t, F_key, sorted[i]);
			val_set_cstr(ar, t, F_operator, "Exists");
			val_set_cstr(ar, t, F_effect, "NoSchedule");
			val_push(ar, list, t);
		}
	}
	strmap_release(&names);
	return 0;
}

const struct admission_plugin admission_extended_tolerations = { .name = "ExtendedResourceToleration",
								 .mutates = ON_CREATE | ON_UPDATE,
								 .mutate = extended_mutate };
