/* PodTopologyLabels: a pod that comes to a node carries its zone and region, which its containers then can read. What
 * the pod says itself stays. */
#include "apiserver/admission/plugins.h"
#include "object/feature.h"

static int topology_mutate(const struct admission *a, struct err *err)
{
	static const char *const keys[] = { "topology.kubernetes.io/zone", "topology.kubernetes.io/region" };
	bool binding = sv_is(a->subresource, "binding");
	struct val *labels = NULL;
	struct obj *node;
	struct sv name;

	(void)err;
	if (!feature_on(FG_PodTopologyLabelsAdmission) || a->res != RES(core_pods) || (a->subresource.n && !binding) ||
	    !a->doc)
		return 0;
	if (binding && !val_is(val_get(a->doc, F_target, F_kind), "Node"))
		return 0;
	name = binding ? val_get_str(a->doc, F_target, F_name) : val_get_str(a->doc, F_spec, F_nodeName);
	node = name.n ? registry_peek(a->q, RES(core_nodes), SV(""), name) : NULL;
	for (size_t i = 0; node && i < ARRAY_LEN(keys); i++) {
		const struct val *v = val_member_sv(obj_get(node, F_metadata, F_labels), sv_from(keys[i]));

		if (!v)
			continue;
		if (!labels)
			labels = val_ensure_map(a->q->arena, val_ensure_map(a->q->arena, a->doc, F_metadata), F_labels);
		if (!val_member_sv(labels, sv_from(keys[i])))
			val_set_str_sv(a->q->arena, labels, sv_from(keys[i]), val_str(v));
	}
	return 0;
}

const struct admission_plugin admission_topology_labels = { .name = "PodTopologyLabels",
							    .mutates = ON_CREATE | ON_SUBRESOURCES,
							    .mutate = topology_mutate };
