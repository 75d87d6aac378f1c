/* LimitPodHardAntiAffinityTopology: a pod may keep others off its node, not off whole zones. */
#include "apiserver/admission/plugins.h"

#define HOSTNAME "kubernetes.io/hostname"

static int anti_affinity_validate(const struct admission *a, struct err *err)
{
	if (!admits_pod(a) || (a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE))
		return 0;
	VAL_EACH(
	    val_get(a->doc, F_spec, F_affinity, F_podAntiAffinity, F_requiredDuringSchedulingIgnoredDuringExecution),
	    term)
		if (!val_is(val_get(term, F_topologyKey), HOSTNAME))
			return admission_forbid(
			    a, err,
			    "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey %.*s but "
			    "only key " HOSTNAME " is allowed",
			    SV_ARG(val_get_str(term, F_topologyKey)));
	return 0;
}

const struct admission_plugin admission_anti_affinity = { .name = "LimitPodHardAntiAffinityTopology",
							  .validate = anti_affinity_validate };
