/* NamespaceExists: nothing is asked for in a namespace that is not there, deletions included. AlwaysDeny: nothing is
 * asked for at all. */
#include "apiserver/admission/plugins.h"
#include "apiserver/set_aside.h"

static int exists_validate(const struct admission *a, struct err *err)
{
	if (!a->res->namespaced || !a->ns.n || a->op == ADMIT_CONNECT ||
	    registry_peek(a->q, RES(core_namespaces), SV(""), a->ns))
		return 0;
	return set_aside_error(a->q->server, RES(core_namespaces), SV(""), a->ns, err);
}

static int deny(const struct admission *a, struct err *err)
{
	return admission_forbid(a, err, "admission control is denying all modifications");
}

const struct admission_plugin admission_namespace_exists = { .name = "NamespaceExists", .validate = exists_validate };
const struct admission_plugin admission_always_deny = {
	.name = "AlwaysDeny",
	.mutates = ON_CREATE | ON_UPDATE | ON_DELETE | ON_CONNECT | ON_SUBRESOURCES,
	.mutate = deny,
	.validate = deny,
};
