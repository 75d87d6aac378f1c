/* rbac.c - roles and bindings. */
#include "apiserver/registry/validate/kinds-internal.h"

#define RBAC "rbac.authorization.k8s.io"

static void rules(struct field_errs *fe, const struct val *doc, bool namespaced)
{
	struct fpath at = FPATH_ROOT(F_rules);
	size_t i = 0;

	VAL_EACH(val_member(doc, F_rules), r) {
		struct fpath item = FPATH_AT(&at, i++), urls_at = FPATH(&item, F_nonResourceURLs);
		struct fpath groups_at = FPATH(&item, F_apiGroups), res_at = FPATH(&item, F_resources),
			     verbs_at = FPATH(&item, F_verbs);
		const struct val *urls = val_member(r, F_nonResourceURLs);

		if (!val_len(val_member(r, F_verbs)))
			fe_required_why(fe, &verbs_at, "verbs must contain at least one value");
		if (val_len(urls)) {
			if (namespaced)
				fe_invalid(fe, &urls_at, urls, "namespaced rules cannot apply to non-resource URLs");
			if (val_len(val_member(r, F_apiGroups)) || val_len(val_member(r, F_resources)) ||
			    val_len(val_member(r, F_resourceNames)))
				fe_invalid(fe, &urls_at, urls,
					   "rules cannot apply to both regular resources and non-resource URLs");
			continue;
		}
		if (val_len(val_member(r, F_apiGroups)) == 0)
			fe_required_why(fe, &groups_at, "resource rules must supply at least one api group");
		if (val_len(val_member(r, F_resources)) == 0)
			fe_required_why(fe, &res_at, "resource rules must supply at least one resource");
	}
}

void validate_role(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	(void)old;
	(void)sub;
	rules(fe, doc, true);
}

void validate_cluster_role(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	struct fpath agg_at = FPATH_ROOT(F_aggregationRule), at = FPATH(&agg_at, F_clusterRoleSelectors);
	const struct val *agg = val_member(doc, F_aggregationRule),
			 *selectors = val_member(agg, F_clusterRoleSelectors);
	size_t i = 0;

	(void)old;
	(void)sub;
	rules(fe, doc, false);
	if (agg && !val_len(selectors))
		fe_required_why(fe, &at, "at least one clusterRoleSelector required if aggregationRule is non-nil");
	VAL_EACH(selectors, s) {
		struct fpath item = FPATH_AT(&at, i++);
		size_t before = fe->list.n;

		validate_label_selector(fe, s, &item);
		if (fe->list.n != before)
			fe_invalid(fe, &item, &fe_null, "invalid label selector.");
	}
}

static void subjects(struct field_errs *fe, const struct val *doc, bool need_namespace)
{
	struct fpath at = FPATH_ROOT(F_subjects);
	size_t i = 0;

	VAL_EACH(val_member(doc, F_subjects), s) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name),
			     group_at = FPATH(&item, F_apiGroup);
		struct fpath kind_at = FPATH(&item, F_kind), ns_at = FPATH(&item, F_namespace);
		const struct val *kind = val_member(s, F_kind), *group = val_member(s, F_apiGroup);
		const struct val *none = val_new_str(fe->a, SV(""));

		if (val_is(kind, "ServiceAccount")) {
			if (val_get_str(s, F_name).n)
				check_text(fe, val_member(s, F_name), &name_at, fmt_dns_subdomain);
			if (val_str(group).n)
				CHECK_ONE_OF(fe, group, &group_at, "");
			if (need_namespace && val_get_str(s, F_namespace).n == 0)
				fe_required(fe, &ns_at);
		} else if (val_is(kind, "User") || val_is(kind, "Group")) {
			CHECK_ONE_OF(fe, group ? group : none, &group_at, RBAC);
		} else {
			CHECK_ONE_OF(fe, kind ? kind : none, &kind_at, "ServiceAccount", "User", "Group");
		}
	}
}

static void binding(struct field_errs *fe, const struct val *doc, const struct val *old, bool cluster)
{
	const struct val *ref = val_member(doc, F_roleRef), *none = val_new_str(fe->a, SV(""));
	struct fpath at = FPATH_ROOT(F_roleRef), group_at = FPATH(&at, F_apiGroup), kind_at = FPATH(&at, F_kind);
	struct fpath name_at = FPATH(&at, F_name);
	const struct val *group = val_member(ref, F_apiGroup), *kind = val_member(ref, F_kind);

	CHECK_ONE_OF(fe, group ? group : none, &group_at, RBAC);
	if (cluster)
		CHECK_ONE_OF(fe, kind ? kind : none, &kind_at, "ClusterRole");
	else
		CHECK_ONE_OF(fe, kind ? kind : none, &kind_at, "Role", "ClusterRole");
	if (val_get_str(ref, F_name).n)
		check_text(fe, val_member(ref, F_name), &name_at, fmt_path_segment);
	subjects(fe, doc, cluster);
	if (old && !val_equal(ref ? ref : &fe_null, val_member(old, F_roleRef) ? val_member(old, F_roleRef) : &fe_null))
		fe_invalid(fe, &at, ref, "cannot change roleRef");
}

void validate_role_binding(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	(void)sub;
	binding(fe, doc, old, false);
}

void validate_cluster_role_binding(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	(void)sub;
	binding(fe, doc, old, true);
}
