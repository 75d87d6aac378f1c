/* pod_groups.c - Workload, PodGroup, CompositePodGroup: pods that are scheduled together, and groups of such groups. */
#include "apiserver/registry/validate/declared.h"

#define CLAIMS_MAX 4
#define TEMPLATES_MAX 8
#define PRIORITY_MAX 1000000000
#define DEPTH_MAX 8 /* of groups in groups: upstream's types have no bound */

static void groups_policy(struct field_errs *fe, const struct val *policy, const struct fpath *at, bool composite)
{
	enum sym count = composite ? F_minGroupCount : F_minCount;
	struct fpath gang_at = FPATH(at, F_gang), count_at = FPATH(&gang_at, count);
	const struct val *gang = val_member(policy, F_gang), *n = val_member(gang, count);

	DECLARED_UNION(fe, policy, at, F_basic, F_gang);
	if (gang && !n)
		fe_required(fe, &count_at);
	declared_range(fe, n, &count_at, 1, INT32_MAX);
}

static void groups_topology(struct field_errs *fe, const struct val *constraints, const struct fpath *up)
{
	const struct val *list = val_member(constraints, F_topology);
	struct fpath at = FPATH(up, F_topology);
	size_t i = 0;

	if (val_len(list) > 1) {
		fe_too_many(fe, &at, val_len(list), 1);
		return;
	}
	VAL_EACH(list, t) {
		struct fpath item = FPATH_AT(&at, i++);

		check_required_text(fe, t, &item, F_key, fmt_qualified_name);
	}
}

static void groups_claims(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	if (!declared_list(fe, list, at, CLAIMS_MAX))
		return;
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), name_at = FPATH(&item, F_resourceClaimName),
			     template_at = FPATH(&item, F_resourceClaimTemplateName);

		check_required_text(fe, c, &item, F_name, fmt_dns_label);
		DECLARED_UNION(fe, c, &item, F_resourceClaimName, F_resourceClaimTemplateName);
		check_text(fe, val_member(c, F_resourceClaimName), &name_at, fmt_dns_subdomain);
		check_text(fe, val_member(c, F_resourceClaimTemplateName), &template_at, fmt_dns_subdomain);
	}
}

/* What groups and their templates have in common. */
static void groups_common(struct field_errs *fe, const struct val *g, const struct fpath *at, bool composite)
{
	struct fpath policy_at = FPATH(at, F_schedulingPolicy), where_at = FPATH(at, F_schedulingConstraints),
		     claims_at = FPATH(at, F_resourceClaims), mode_at = FPATH(at, F_disruptionMode),
		     class_at = FPATH(at, F_priorityClassName), priority_at = FPATH(at, F_priority),
		     preempt_at = FPATH(at, F_preemptionPolicy);

	groups_policy(fe, val_member(g, F_schedulingPolicy), &policy_at, composite);
	groups_topology(fe, val_member(g, F_schedulingConstraints), &where_at);
	groups_claims(fe, val_member(g, F_resourceClaims), &claims_at);
	if (val_member(g, F_disruptionMode))
		DECLARED_UNION(fe, val_member(g, F_disruptionMode), &mode_at, F_single, F_all);
	if (val_get_str(g, F_priorityClassName).n)
		check_text(fe, val_member(g, F_priorityClassName), &class_at, fmt_dns_subdomain);
	declared_range(fe, val_member(g, F_priority), &priority_at, INT32_MIN, PRIORITY_MAX);
	CHECK_ONE_OF(fe, val_member(g, F_preemptionPolicy), &preempt_at, "Never", "PreemptLowerPriority");
}

static void groups_templates(struct field_errs *fe, const struct val *v, const struct val *was, const struct fpath *at,
			     bool update, unsigned depth);

static void groups_template_list(struct field_errs *fe, const struct val *v, const struct val *was,
				 const struct fpath *up, bool composite, bool update, unsigned depth)
{
	enum sym member = composite ? F_compositePodGroupTemplates : F_podGroupTemplates;
	const struct val *list = val_member(v, member), *before = val_member(was, member);
	_cleanup_(strmap_release) struct strmap had = STRMAP_INIT;
	struct fpath at = FPATH(up, member);
	size_t i = 0;

	if (!declared_list(fe, list, &at, TEMPLATES_MAX))
		return;
	if (update)
		declared_items_kept(fe, list, before, &at, false);
	index_by_name(&had, before);
	VAL_EACH(list, t) {
		struct fpath item = FPATH_AT(&at, i++);
		const struct val *old = strmap_get(&had, val_get_str(t, F_name));

		check_required_text(fe, t, &item, F_name, fmt_dns_label);
		groups_common(fe, t, &item, composite);
		if (composite && depth >= DEPTH_MAX)
			fe_add(fe, FE_TOO_MANY, &item, val_new_int(fe->a, (int64_t)depth + 1),
			       "must not be nested more than %d levels", DEPTH_MAX);
		else if (composite)
			groups_templates(fe, t, old, &item, update && old, depth + 1);
	}
}

static void groups_templates(struct field_errs *fe, const struct val *v, const struct val *was, const struct fpath *at,
			     bool update, unsigned depth)
{
	groups_template_list(fe, v, was, at, false, update, depth);
	groups_template_list(fe, v, was, at, true, update, depth);
}

void validate_workload(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec),
			 *owner = val_member(spec, F_controllerRef);
	struct fpath at = FPATH_ROOT(F_spec), owner_at = FPATH(&at, F_controllerRef),
		     group_at = FPATH(&owner_at, F_apiGroup);

	(void)sub;
	if (owner) {
		if (val_get_str(owner, F_apiGroup).n)
			check_text(fe, val_member(owner, F_apiGroup), &group_at, fmt_dns_subdomain);
		check_required_text(fe, owner, &owner_at, F_kind, fmt_path_segment);
		check_required_text(fe, owner, &owner_at, F_name, fmt_path_segment);
	}
	if (old)
		declared_update(fe, owner, val_member(was, F_controllerRef), &owner_at,
				DECLARED_NO_UNSET | DECLARED_NO_MODIFY);
	if (val_member(spec, F_compositePodGroupTemplates) || !val_len(val_member(spec, F_podGroupTemplates)))
		DECLARED_UNION(fe, spec, &at, F_podGroupTemplates, F_compositePodGroupTemplates);
	groups_templates(fe, spec, was, &at, old != NULL, 0);
}

static void groups_reference(struct field_errs *fe, const struct val *ref, const struct fpath *at)
{
	check_required_text(fe, ref, at, F_workloadName, fmt_dns_subdomain);
	check_required_text(fe, ref, at, F_templateName, fmt_dns_label);
}

static void groups_claim_statuses(struct field_errs *fe, const struct val *doc)
{
	struct fpath st_at = FPATH_ROOT(F_status), at = FPATH(&st_at, F_resourceClaimStatuses),
		     conditions_at = FPATH(&st_at, F_conditions);
	const struct val *list = val_get(doc, F_status, F_resourceClaimStatuses);
	_cleanup_(strmap_release) struct strmap claims = STRMAP_INIT;
	size_t i = 0;

	validate_conditions(fe, val_get(doc, F_status, F_conditions), &conditions_at, 0);
	if (!declared_list(fe, list, &at, CLAIMS_MAX))
		return;
	index_by_name(&claims, val_get(doc, F_spec, F_resourceClaims));
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name),
			     claim_at = FPATH(&item, F_resourceClaimName);

		if (!strmap_has(&claims, val_get_str(c, F_name)))
			fe_format(fe, &name_at, val_get_str(c, F_name),
				  "must match the name of an entry in `spec.resourceClaims`");
		check_text(fe, val_member(c, F_resourceClaimName), &claim_at, fmt_dns_subdomain);
	}
}

static void groups_kind(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub,
			bool composite)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec),
			 *ref = val_member(spec, F_workloadRef),
			 *parent = val_member(spec, F_parentCompositePodGroupName);
	struct fpath at = FPATH_ROOT(F_spec), ref_at = FPATH(&at, F_workloadRef),
		     parent_at = FPATH(&at, F_parentCompositePodGroupName), policy_at = FPATH(&at, F_schedulingPolicy),
		     gang_at = FPATH(&policy_at, F_gang);

	if (is_sub(sub, "status")) {
		groups_claim_statuses(fe, doc);
		return;
	}
	if (is_set(ref))
		groups_reference(fe, ref, &ref_at);
	else if (composite)
		fe_required(fe, &ref_at);
	else if (parent)
		fe_required_why(fe, &ref_at, "must be specified when `parentCompositePodGroupName` is specified");
	check_text(fe, parent, &parent_at, fmt_dns_subdomain);
	groups_common(fe, spec, &at, composite);
	if (!old)
		return;
	declared_update(fe, val_get(spec, F_schedulingPolicy, F_gang), val_get(was, F_schedulingPolicy, F_gang),
			&gang_at, DECLARED_NO_SET | DECLARED_NO_UNSET);
	check_immutable(fe, spec, was, &at, F_schedulingConstraints);
}

void validate_pod_group(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	groups_kind(fe, doc, old, sub, false);
}

void validate_composite_pod_group(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	groups_kind(fe, doc, old, sub, true);
}
