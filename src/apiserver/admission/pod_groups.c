/* PodGroupWorkloadExists: a PodGroup that says after which template it was made says so of one that there is.
 * PodGroupProtection: nothing new belongs to a group that is going.
 *
 * Upstream's PodGroupProtection also gives each group a finalizer, which a controller of its own takes away; neither is
 * here. JobValidation has its name and, as upstream's, no rule yet. */
#include "apiserver/admission/plugins.h"
#include "object/feature.h"

static bool pod_group_is(const struct resource *r, const char *plural)
{
	return strcmp(r->group, "scheduling.k8s.io") == 0 && strcmp(r->plural, plural) == 0;
}

static int workload_validate(const struct admission *a, struct err *err)
{
	const struct val *ref = val_get(a->doc, F_spec, F_workloadRef);
	struct sv name = val_get_str(ref, F_workloadName), template = val_get_str(ref, F_templateName);
	struct obj *workload;

	if (!feature_on(FG_GenericWorkload) || !pod_group_is(a->res, "podgroups") || a->op != ADMIT_CREATE ||
	    a->subresource.n || !name.n)
		return 0;
	if (registry_find(a->q, RES(scheduling_workloads_v1beta1), a->ns, name, &workload, err) < 0)
		return -1;
	if (!workload)
		return admission_forbid(a, err, "PodGroup rejected: Workload \"%.*s\" not found", SV_ARG(name));
	VAL_EACH(obj_get(workload, F_spec, F_podGroupTemplates), t)
		if (sv_eq(val_get_str(t, F_name), template))
			return 0;
	return admission_forbid(a, err, "PodGroup rejected: PodGroupTemplate \"%.*s\" not found in Workload \"%.*s\"",
				SV_ARG(template), SV_ARG(name));
}

static int group_going(const struct admission *a, const struct resource *of, struct sv parent, struct err *err)
{
	struct obj *o = parent.n ? registry_peek(a->q, of, a->ns, parent) : NULL;

	if (!o)
		return parent.n ? registry_absent(a->q, of, a->ns, parent, err) : 0;
	if (!obj_deleting(o))
		return 0;
	return admission_forbid(a, err, "cannot create %s referencing %s \"%.*s\" because it is being deleted",
				a->res->kind, of->kind, SV_ARG(parent));
}

static int protection_validate(const struct admission *a, struct err *err)
{
	const struct val *spec = val_member(a->doc, F_spec);

	if (!feature_on(FG_GenericWorkload) || a->op != ADMIT_CREATE || a->subresource.n)
		return 0;
	if (a->res == RES(core_pods))
		return group_going(a, RES(scheduling_podgroups_v1beta1),
				   val_get_str(spec, F_schedulingGroup, F_podGroupName), err);
	if (!feature_on(FG_CompositePodGroup) ||
	    (!pod_group_is(a->res, "podgroups") && !pod_group_is(a->res, "compositepodgroups")))
		return 0;
	return group_going(a, RES(scheduling_compositepodgroups_v1alpha3),
			   val_get_str(spec, F_parentCompositePodGroupName), err);
}

const struct admission_plugin admission_pod_group_workload = { .name = "PodGroupWorkloadExists",
							       .validate = workload_validate };
const struct admission_plugin admission_pod_group_protection = { .name = "PodGroupProtection",
								 .validate = protection_validate };
