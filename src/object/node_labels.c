#include "object/node_labels.h"

static bool labels_in_domain(struct sv domain, struct sv of)
{
	return sv_eq(domain, of) || (domain.n > of.n && sv_ends(domain, of) && domain.p[domain.n - of.n - 1] == '.');
}

bool node_label_reserved(struct sv key)
{
	static const char *const allowed[] = {
		"kubernetes.io/hostname",
		"kubernetes.io/arch",
		"kubernetes.io/os",
		"beta.kubernetes.io/arch",
		"beta.kubernetes.io/os",
		"beta.kubernetes.io/instance-type",
		"failure-domain.beta.kubernetes.io/region",
		"failure-domain.beta.kubernetes.io/zone",
		"node.kubernetes.io/instance-type",
		"topology.kubernetes.io/region",
		"topology.kubernetes.io/zone",
	};
	ssize_t slash = sv_find(key, '/');
	struct sv domain = slash < 0 ? SV("") : sv_sub(key, 0, (size_t)slash);

	if (labels_in_domain(domain, SV("node-restriction.kubernetes.io")))
		return true;
	if (!labels_in_domain(domain, SV("kubernetes.io")) && !labels_in_domain(domain, SV("k8s.io")))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
		if (sv_is(key, allowed[i]))
			return false;
	return !labels_in_domain(domain, SV("kubelet.kubernetes.io")) &&
	       !labels_in_domain(domain, SV("node.kubernetes.io"));
}
