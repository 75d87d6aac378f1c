/* resource_names.c - names of resources: those that are known, and how others look. */
#include "apiserver/registry/validate/kinds-internal.h"

/* Counted, not measured. */
static const char *const counted[] = {
	"pods",	      "resourcequotas",		"services",	      "replicationcontrollers", "secrets",
	"configmaps", "persistentvolumeclaims", "services.nodeports", "services.loadbalancers"
};
static const char *const measured[] = { "cpu",
					"memory",
					"ephemeral-storage",
					"requests.cpu",
					"requests.memory",
					"requests.storage",
					"requests.ephemeral-storage",
					"limits.cpu",
					"limits.memory",
					"limits.ephemeral-storage" };

bool quota_counts(struct sv name)
{
	return IN(name, counted);
}

bool quota_resource(struct sv name)
{
	return IN(name, counted) || IN(name, measured) || sv_starts(name, SV("hugepages-")) ||
	       sv_starts(name, SV("requests.hugepages-"));
}

void check_resource_name(struct field_errs *fe, const struct fpath *at, struct sv name)
{
	if (fmt_qualified_name(name))
		fe_check(fe, at, name, fmt_qualified_name);
	else if (sv_find(name, '/') < 0 && !quota_resource(name) && !sv_is(name, "storage"))
		fe_format(fe, at, name, "must be a standard resource type or fully qualified");
}
