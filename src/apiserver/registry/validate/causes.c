/* How often upstream names a cause of a refused update. Its functions overlap: the frame of all updates and the kind's
 * own rules both look at metadata, and the rules of some kinds look at the spec as of a new object and again as of a
 * changed one. The message says a thing once, the causes repeat it, and clients that compare Status objects see them.
 * Here each rule runs once, and what it found is repeated when, and only when, something is refused. */
#include "apiserver/registry/validate/validate_kinds.h"

enum {
	AGAIN_META = 1,	       /* the kind's rules look at metadata as of a new object */
	AGAIN_META_UPDATE = 2, /* and at what an update may change of it */
	AGAIN_SPEC = 4,	       /* the spec is looked at twice, but for what may not change */
};

static unsigned causes_again(const struct resource *r)
{
	static const struct {
		const struct resource *r;
		unsigned again;
	} kinds[] = {
		{ RES(core_configmaps), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_secrets), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_serviceaccounts), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_services), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_namespaces), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_nodes), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_persistentvolumes), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_persistentvolumeclaims), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(core_replicationcontrollers), AGAIN_META | AGAIN_META_UPDATE | AGAIN_SPEC },
		{ RES(core_limitranges), AGAIN_META },
		{ RES(certificates_certificatesigningrequests), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(apps_daemonsets), AGAIN_META | AGAIN_META_UPDATE | AGAIN_SPEC },
		{ RES(apps_replicasets), AGAIN_META | AGAIN_META_UPDATE | AGAIN_SPEC },
		{ RES(apps_statefulsets), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(apps_controllerrevisions), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(batch_jobs), AGAIN_META | AGAIN_META_UPDATE | AGAIN_SPEC },
		{ RES(networking_ingresses), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(rbac_roles), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(rbac_clusterroles), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(rbac_rolebindings), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(rbac_clusterrolebindings), AGAIN_META | AGAIN_META_UPDATE },
		{ RES(storage_volumeattachments), AGAIN_META },
		{ RES(discovery_endpointslices), AGAIN_META },
	};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (r == kinds[i].r)
			return kinds[i].again;
	return AGAIN_META_UPDATE;
}

static bool causes_below(const struct field_err *e, const char *field)
{
	return sv_starts(e->field, sv_from(field));
}

static bool causes_fixed(const struct field_err *e)
{
	return e->type == FE_INVALID && sv_is(e->detail, "field is immutable");
}

/* How often more a cause is named on an update. */
static unsigned causes_more(const struct field_err *e, unsigned again)
{
	static const char *const both[] = { "metadata.labels", "metadata.annotations", "metadata.ownerReferences",
					    "metadata.managedFields" };
	unsigned meta = !!(again & AGAIN_META), update = !!(again & AGAIN_META_UPDATE);

	if (causes_below(e, "spec"))
		return (again & AGAIN_SPEC) && !causes_fixed(e) && !sv_is(e->detail, "`selector` not auto-generated");
	if (!causes_below(e, "metadata."))
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(both); i++)
		if (causes_below(e, both[i]))
			return 1 + meta + update;
	if (causes_fixed(e) || (sv_is(e->field, "metadata.finalizers") && e->type == FE_FORBIDDEN) ||
	    sv_is(e->field, "metadata.resourceVersion"))
		return update;
	return meta;
}

void causes_repeat(struct field_errs *fe, const struct resource *r)
{
	unsigned again = causes_again(r);
	struct field_errs all;

	field_errs_init(&all, fe->a);
	for (size_t i = 0; i < fe->list.n; i++)
		for (unsigned k = causes_more(&fe->list.p[i], again) + 1; k > 0; k--)
			fe_again(&all, &fe->list.p[i]);
	*fe = all;
}
