/* Which names of spec.hard count which objects. */
#include "quota/quota.h"

#define OF_CLASS ".storageclass.storage.k8s.io/"

enum quota_kind quota_kind_of(const struct resource *r)
{
	if (r == RES(core_pods))
		return QUOTA_PODS;
	if (r == RES(core_services))
		return QUOTA_SERVICES;
	return r == RES(core_persistentvolumeclaims) ? QUOTA_CLAIMS : QUOTA_OBJECTS;
}

struct sv quota_count_name(struct arena *a, const struct resource *r)
{
	return *r->group ? arena_svf(a, "count/%s.%s", r->plural, r->group) : arena_svf(a, "count/%s", r->plural);
}

const char *quota_old_name(const struct resource *r)
{
	static const enum resource_id old[] = { R_core_configmaps,     R_core_secrets,
						R_core_resourcequotas, R_core_replicationcontrollers,
						R_core_services,       R_core_persistentvolumeclaims };

	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		if (r == &resource_all[old[i]])
			return r->plural;
	return NULL;
}

static bool names_pod(struct sv name)
{
	static const char *const plain[] = { "pods",
					     "cpu",
					     "memory",
					     "ephemeral-storage",
					     "requests.cpu",
					     "requests.memory",
					     "requests.ephemeral-storage",
					     "limits.cpu",
					     "limits.memory",
					     "limits.ephemeral-storage" };
	const struct sv requests = SV("requests.");

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		if (sv_is(name, plain[i]))
			return true;
	if (sv_starts(name, SV("hugepages-")) || sv_starts(name, SV("requests.hugepages-")))
		return true;
	/* Extended resources are limited by their requests alone. */
	return sv_starts(name, requests) && sv_find(name, '/') >= 0 &&
	       !memmem(name.p, name.n, "kubernetes.io/", strlen("kubernetes.io/"));
}

static bool ends(struct sv s, struct sv end)
{
	return s.n >= end.n && sv_eq(sv_sub(s, s.n - end.n, s.n), end);
}

bool quota_names(const struct resource *r, struct sv count, struct sv name)
{
	if (sv_eq(name, count) || (quota_old_name(r) && sv_is(name, quota_old_name(r))))
		return true;
	switch (quota_kind_of(r)) {
	case QUOTA_PODS:
		return names_pod(name);
	case QUOTA_SERVICES:
		return sv_is(name, "services.nodeports") || sv_is(name, "services.loadbalancers");
	case QUOTA_CLAIMS:
		return sv_is(name, "requests.storage") || ends(name, SV(OF_CLASS "requests.storage")) ||
		       ends(name, SV(OF_CLASS "persistentvolumeclaims"));
	case QUOTA_OBJECTS:
		break;
	}
	return false;
}
