/* NamespaceLifecycle: nothing is made in a namespace that does not exist or is going away, and
 * the namespaces the system needs cannot be deleted. */
#include "apiserver/admission/plugins.h"
#include "apiserver/set_aside.h"

static bool immortal(struct sv ns)
{
	return sv_is(ns, "default") || sv_is(ns, "kube-system") || sv_is(ns, "kube-public");
}

static int forbid_creation(const struct admission *a, struct err *err)
{
	(void)admission_forbid(a, err, "unable to create new content in namespace %.*s because it is being terminated",
			       SV_ARG(a->ns));
	return err_add_cause(err, "NamespaceTerminating", SV("metadata.namespace"),
			     "namespace %.*s is being terminated", SV_ARG(a->ns));
}

int admission_namespace(const struct admission *a, struct obj **ret, struct err *err)
{
	struct obj *ns = registry_peek(a->q, RES(core_namespaces), SV(""), a->ns);

	if (!ns)
		return set_aside_error(a->q->server, RES(core_namespaces), SV(""), a->ns, err);
	*ret = ns;
	/* A review asks about a namespace, it puts nothing into it. */
	if (!obj_deleting(ns) || a->res == RES(authorization_localsubjectaccessreviews))
		return 0;
	return forbid_creation(a, err);
}

static int namespace_lifecycle_validate(const struct admission *a, struct err *err)
{
	struct obj *ns;

	if (a->op == ADMIT_DELETE && a->res == RES(core_namespaces) && immortal(a->name)) {
		err_set(err, ERR_FORBIDDEN, "namespaces \"%.*s\" is forbidden: this namespace may not be deleted",
			SV_ARG(a->name));
		return err_set_object(err, SV(""), SV("namespaces"), a->name);
	}
	if (a->op != ADMIT_CREATE || !a->res->namespaced)
		return 0;
	return admission_namespace(a, &ns, err);
}

const struct admission_plugin admission_namespace_lifecycle = { .name = "NamespaceLifecycle",
								/* first: a body for nowhere is not looked at */
								.mutates = ON_CREATE,
								.mutate = namespace_lifecycle_validate,
								.validate = namespace_lifecycle_validate };
