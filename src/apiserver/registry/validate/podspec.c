/* podspec.c - PodSpec as it stands in pods and in templates. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"
#include "codec/val_index.h"
#include "object/quantity.h"
#include "pod/pod_resources.h"

void validate_tolerations(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(list, t) {
		struct fpath item = FPATH_AT(at, i++), key_at = FPATH(&item, F_key), op_at = FPATH(&item, F_operator);
		struct fpath effect_at = FPATH(&item, F_effect);
		const struct val *op = val_member(t, F_operator), *effect = val_member(t, F_effect);
		struct sv key = val_get_str(t, F_key), value = val_get_str(t, F_value);

		if (key.n)
			fe_check(fe, &key_at, key, fmt_qualified_name);
		else if (!val_is(op, "Exists"))
			fe_format(fe, &op_at, val_str(op),
				  "operator must be Exists when `key` is empty, which means \"match all values and all "
				  "keys\"");
		if (val_member(t, F_tolerationSeconds) && !val_is(effect, "NoExecute"))
			fe_format(fe, &effect_at, val_str(effect),
				  "effect must be 'NoExecute' when `tolerationSeconds` is set");
		if (val_str(op).n == 0 || val_is(op, "Equal"))
			fe_check(fe, &op_at, value, fmt_label_value);
		else if (!val_is(op, "Exists"))
			CHECK_ONE_OF(fe, op, &op_at, "Equal", "Exists");
		else if (value.n)
			fe_format(fe, &op_at, value, "value must be empty when `operator` is 'Exists'");
		if (val_str(effect).n)
			CHECK_ONE_OF(fe, effect, &effect_at, "NoSchedule", "PreferNoSchedule", "NoExecute");
	}
}

/* Keys whose values come from the pod itself: they refine a selector, so there has to be one. */
static void label_keys(struct field_errs *fe, const struct val *v, const struct fpath *up, enum sym name)
{
	const struct val *keys = val_member(v, name);
	struct fpath at = FPATH(up, name);
	size_t i = 0;

	if (!val_len(keys))
		return;
	if (!val_member(v, F_labelSelector)) {
		fe_forbidden(fe, &at, "must not be specified when labelSelector is not set");
		return;
	}
	VAL_EACH(keys, k) {
		struct fpath here = FPATH_AT(&at, i++);

		fe_check(fe, &here, val_str(k), fmt_qualified_name);
	}
}

/* The keys of matchLabelKeys that the selector has besides. One expression of each is the server's own, made of these
 * keys when a pod is created and behind all others (kinds/pod_conversions.c): so it takes two to be in both. Said of
 * the items of where. */
static void keys_selected_twice(struct field_errs *fe, const struct val *v, const struct fpath *where)
{
	const struct val *keys = val_member(v, F_matchLabelKeys), *sel = val_member(v, F_labelSelector);
	_cleanup_(strmap_release) struct strmap places = STRMAP_INIT, seen = STRMAP_INIT;
	uintptr_t n = 0;

	VAL_EACH(keys, k)
		strmap_set(&places, val_str(k), (void *)++n);
	VAL_EACH_MEMBER(val_member(sel, F_matchLabels), m)
		strmap_set(&seen, m.key, fe);
	VAL_EACH(n ? val_member(sel, F_matchExpressions) : NULL, e) {
		struct sv key = val_get_str(e, F_key);
		uintptr_t place = (uintptr_t)strmap_get(&places, key);
		bool again = strmap_set(&seen, key, fe) != NULL;

		if (!again || !place)
			continue;
		struct fpath here = FPATH_AT(where, place - 1);

		fe_add(fe, FE_INVALID, &here, val_member(e, F_key), "exists in both matchLabelKeys and labelSelector");
	}
}

/* No key can have the pod's own value and another one. */
static void not_both_ways(struct field_errs *fe, const struct val *term, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap mismatch = STRMAP_INIT;
	struct fpath at = FPATH(up, F_matchLabelKeys);
	size_t i = 0;

	VAL_EACH(val_member(term, F_mismatchLabelKeys), k)
		strmap_set(&mismatch, val_str(k), fe);
	VAL_EACH(val_member(term, F_matchLabelKeys), k) {
		struct fpath here = FPATH_AT(&at, i++);

		if (strmap_has(&mismatch, val_str(k)))
			fe_invalid(fe, &here, k, "exists in both matchLabelKeys and mismatchLabelKeys");
	}
}

static void podspec_pod_term(struct field_errs *fe, const struct val *term, const struct fpath *at)
{
	struct fpath sel_at = FPATH(at, F_labelSelector), ns_sel_at = FPATH(at, F_namespaceSelector);
	struct fpath ns_at = FPATH_NAME(at, SV("namespace")), key_at = FPATH(at, F_topologyKey);

	validate_label_selector(fe, val_member(term, F_labelSelector), &sel_at);
	validate_label_selector(fe, val_member(term, F_namespaceSelector), &ns_sel_at);
	VAL_EACH(val_member(term, F_namespaces), n)
		check_text(fe, n, &ns_at, fmt_dns_label);
	label_keys(fe, term, at, F_matchLabelKeys);
	label_keys(fe, term, at, F_mismatchLabelKeys);
	keys_selected_twice(fe, term, at);
	not_both_ways(fe, term, at);
	if (val_get_str(term, F_topologyKey).n == 0)
		fe_required_why(fe, &key_at, "can not be empty");
	fe_check(fe, &key_at, val_get_str(term, F_topologyKey), fmt_qualified_name);
}

static void pod_affinity(struct field_errs *fe, const struct val *aff, const struct fpath *at)
{
	struct fpath req_at = FPATH(at, F_requiredDuringSchedulingIgnoredDuringExecution);
	struct fpath pref_at = FPATH(at, F_preferredDuringSchedulingIgnoredDuringExecution);
	size_t i = 0;

	VAL_EACH(val_member(aff, F_requiredDuringSchedulingIgnoredDuringExecution), t) {
		struct fpath item = FPATH_AT(&req_at, i++);

		podspec_pod_term(fe, t, &item);
	}
	i = 0;
	VAL_EACH(val_member(aff, F_preferredDuringSchedulingIgnoredDuringExecution), t) {
		struct fpath item = FPATH_AT(&pref_at, i++), w_at = FPATH(&item, F_weight),
			     term_at = FPATH(&item, F_podAffinityTerm);

		if (val_get_int(t, 0, F_weight) < 1 || val_get_int(t, 0, F_weight) > 100)
			fe_invalid(fe, &w_at, val_member(t, F_weight), "must be in the range 1-100");
		podspec_pod_term(fe, val_member(t, F_podAffinityTerm), &term_at);
	}
}

static void podspec_affinity(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *aff = val_member(spec, F_affinity), *node = val_member(aff, F_nodeAffinity);
	const struct val *req = val_member(node, F_requiredDuringSchedulingIgnoredDuringExecution);
	struct fpath at = FPATH(up, F_affinity), node_at = FPATH(&at, F_nodeAffinity);
	struct fpath req_at = FPATH(&node_at, F_requiredDuringSchedulingIgnoredDuringExecution);
	struct fpath pod_at = FPATH(&at, F_podAffinity);
	struct fpath anti_at = FPATH(&at, F_podAntiAffinity);
	struct fpath pref_at = FPATH(&node_at, F_preferredDuringSchedulingIgnoredDuringExecution);
	size_t i = 0;

	if (req)
		validate_node_selector(fe, req, &req_at);
	VAL_EACH(val_member(node, F_preferredDuringSchedulingIgnoredDuringExecution), t) {
		struct fpath item = FPATH_AT(&pref_at, i++), w_at = FPATH(&item, F_weight),
			     p_at = FPATH(&item, F_preference);

		if (val_get_int(t, 0, F_weight) < 1 || val_get_int(t, 0, F_weight) > 100)
			fe_invalid(fe, &w_at, val_member(t, F_weight), "must be in the range 1-100");
		validate_node_term(fe, val_member(t, F_preference), &p_at, false);
	}
	pod_affinity(fe, val_member(aff, F_podAffinity), &pod_at);
	pod_affinity(fe, val_member(aff, F_podAntiAffinity), &anti_at);
}

static void spread(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_topologySpreadConstraints);
	size_t i = 0;

	VAL_EACH(val_member(spec, F_topologySpreadConstraints), c) {
		struct fpath item = FPATH_AT(&at, i++), skew_at = FPATH(&item, F_maxSkew),
			     min_at = FPATH(&item, F_minDomains), topo_at = FPATH(&item, F_topologyKey);
		struct fpath when_at = FPATH(&item, F_whenUnsatisfiable), sel_at = FPATH(&item, F_labelSelector);
		const struct val *before, *min = val_member(c, F_minDomains),
					  *when = val_member(c, F_whenUnsatisfiable);
		struct sv id =
		    arena_svf(fe->a, "{%.*s, %.*s}", SV_ARG(val_get_str(c, F_topologyKey)), SV_ARG(val_str(when)));

		if (val_get_int(c, 0, F_maxSkew) <= 0)
			fe_invalid(fe, &skew_at, val_new_int(fe->a, val_get_int(c, 0, F_maxSkew)),
				   "must be greater than zero");
		CHECK_ONE_OF(fe, when, &when_at, "DoNotSchedule", "ScheduleAnyway");
		if (!val_get_str(c, F_topologyKey).n)
			fe_required_why(fe, &topo_at, "can not be empty");
		before = strmap_set(&seen, id, val_new_int(fe->a, (int64_t)i));
		if (before) { /* upstream blames the one that comes again later */
			struct fpath first = FPATH_AT(&at, before->i - 1),
				     twice_at = FPATH_NAME(&first, SV("{topologyKey, whenUnsatisfiable}"));

			fe_duplicate(fe, &twice_at, val_new_str(fe->a, id));
		}
		if (min && val_int_or(min, 1) <= 0)
			fe_invalid(fe, &min_at, min, "must be greater than zero");
		if (min && !val_is(when, "DoNotSchedule"))
			fe_invalid(fe, &min_at, min,
				   "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not ScheduleAnyway");
		validate_label_selector(fe, val_member(c, F_labelSelector), &sel_at);
		label_keys(fe, c, &item, F_matchLabelKeys);
		keys_selected_twice(fe, c, &item);
	}
}

/* The name inside is exactly this one, so nothing else may make one. */
static void host_name(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *name = val_member(spec, F_hostnameOverride);
	struct fpath at = FPATH(up, F_hostnameOverride);

	if (!name)
		return;
	check_text(fe, name, &at, fmt_dns_subdomain);
	if (val_str(name).n > 64)
		fe_too_long(fe, &at, 64);
	if (val_get_bool(spec, F_hostNetwork))
		fe_forbidden(fe, &at, "may not be specified when hostNetwork is true");
	if (val_get_bool(spec, F_setHostnameAsFQDN))
		fe_forbidden(fe, &at, "may not be specified when setHostnameAsFQDN is true");
}

static void podspec_addresses(struct strmap *texts, const struct val *spec)
{
	old_texts_add(texts, val_get(spec, F_dnsConfig, F_nameservers), SYM_NONE);
	old_texts_add(texts, val_member(spec, F_hostAliases), F_ip);
}

static void dns(struct field_errs *fe, const struct val *spec, const struct fpath *up, struct old_texts *before)
{
	const struct val *cfg = val_member(spec, F_dnsConfig);
	struct fpath at = FPATH(up, F_dnsConfig), ns_at = FPATH(&at, F_nameservers), search_at = FPATH(&at, F_searches);
	struct fpath opt_at = FPATH(&at, F_options);
	size_t i = 0, len = 0;

	if (val_is(val_member(spec, F_dnsPolicy), "None") && val_len(val_member(cfg, F_nameservers)) == 0) {
		if (!cfg)
			fe_required_why(fe, &at, "must provide `dnsConfig` when `dnsPolicy` is None");
		else
			fe_required_why(fe, &ns_at,
					"must provide at least one DNS nameserver when `dnsPolicy` is None");
	}
	if (val_len(val_member(cfg, F_nameservers)) > 3)
		fe_invalid(fe, &ns_at, val_member(cfg, F_nameservers), "must not have more than 3 nameservers");
	VAL_EACH(val_member(cfg, F_nameservers), n) {
		struct fpath here = FPATH_AT(&ns_at, i++);

		(void)check_legacy_ip(fe, val_str(n), &here, before, NULL);
	}
	i = 0;
	VAL_EACH(val_member(cfg, F_searches), s)
		len += val_str(s).n + 1;
	if (val_len(val_member(cfg, F_searches)) > 32)
		fe_invalid(fe, &search_at, val_member(cfg, F_searches), "must not have more than 32 search paths");
	if (len > 2049)
		fe_invalid(fe, &search_at, val_member(cfg, F_searches),
			   "must not have more than 2048 characters (including spaces) in the search list");
	VAL_EACH(val_member(cfg, F_searches), s) {
		struct fpath here = FPATH_AT(&search_at, i++);
		struct sv name = val_str(s);

		/* A dot alone, a dot at the end and underscores are the resolver's business. */
		if (sv_ends(name, SV(".")))
			name.n--;
		if (name.n && sv_find(name, '_') < 0)
			fe_check(fe, &here, name, fmt_dns_subdomain);
	}
	i = 0;
	VAL_EACH(val_member(cfg, F_options), o) {
		struct fpath item = FPATH_AT(&opt_at, i++);

		if (val_get_str(o, F_name).n == 0)
			fe_required_why(fe, &item, "must not be empty");
	}
}

static void podspec_security(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *sc = val_member(spec, F_securityContext);
	struct fpath at = FPATH(up, F_securityContext), share_at = FPATH(&at, F_shareProcessNamespace);
	static const enum sym ids[] = { F_runAsUser, F_runAsGroup, F_fsGroup };
	struct fpath groups_at = FPATH(&at, F_supplementalGroups), sysctls_at = FPATH(&at, F_sysctls);
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	size_t i = 0;

	for (size_t k = 0; k < ARRAY_LEN(ids); k++) {
		struct fpath here = FPATH(&at, ids[k]);

		check_range(fe, val_member(sc, ids[k]), &here, 0, INT32_MAX);
	}
	VAL_EACH(val_member(sc, F_supplementalGroups), g) {
		struct fpath here = FPATH_AT(&groups_at, i++);

		check_range(fe, g, &here, 0, INT32_MAX);
	}
	i = 0;
	VAL_EACH(val_member(sc, F_sysctls), s) {
		struct fpath item = FPATH_AT(&sysctls_at, i++), name_at = FPATH(&item, F_name);

		if (val_get_str(s, F_name).n == 0)
			fe_required(fe, &name_at);
		else if (strmap_set(&seen, val_get_str(s, F_name), fe))
			fe_duplicate(fe, &name_at, val_member(s, F_name));
		else
			validate_sysctl(fe, spec, val_member(s, F_name), &name_at);
	}
	validate_pod_security(fe, spec, up);
	if (val_get_bool(spec, F_shareProcessNamespace) && val_get_bool(spec, F_hostPID))
		fe_invalid(fe, &share_at, val_member(spec, F_shareProcessNamespace),
			   "ShareProcessNamespace and HostPID cannot both be enabled");
}

static void gates(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath gate_at = FPATH(up, F_schedulingGates), ready_at = FPATH(up, F_readinessGates);
	size_t i = 0;

	VAL_EACH(val_member(spec, F_schedulingGates), g) {
		struct fpath item = FPATH_AT(&gate_at, i++);

		fe_check(fe, &item, val_get_str(g, F_name), fmt_qualified_name);
		if (strmap_set(&seen, val_get_str(g, F_name), fe))
			fe_duplicate(fe, &item, val_member(g, F_name));
	}
	i = 0;
	VAL_EACH(val_member(spec, F_readinessGates), g) {
		struct fpath item = FPATH_AT(&ready_at, i++), type_at = FPATH(&item, F_conditionType);

		fe_check(fe, &type_at, val_get_str(g, F_conditionType), fmt_qualified_name);
	}
}

static void claims(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap seen = STRMAP_INIT;
	struct fpath at = FPATH(up, F_resourceClaims);
	size_t i = 0;

	VAL_EACH(val_member(spec, F_resourceClaims), c) {
		const struct val *name = val_member(c, F_resourceClaimName),
				 *tmpl = val_member(c, F_resourceClaimTemplateName);
		struct fpath item = FPATH_AT(&at, i++), here = FPATH(&item, F_name),
			     name_at = FPATH(&item, F_resourceClaimName),
			     tmpl_at = FPATH(&item, F_resourceClaimTemplateName);

		check_required_text(fe, c, &item, F_name, fmt_dns_label);
		if (strmap_set(&seen, val_get_str(c, F_name), fe))
			fe_duplicate(fe, &here, val_member(c, F_name));
		if (name && tmpl)
			fe_add(fe, FE_INVALID, &item, NULL,
			       "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
		else if (!name && !tmpl)
			fe_add(fe, FE_INVALID, &item, NULL,
			       "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
		check_text(fe, name, &name_at, fmt_dns_subdomain);
		check_text(fe, tmpl, &tmpl_at, fmt_dns_subdomain);
	}
}

/* What the containers ask for together must be in what the pod asks for, and none may be allowed more than all. */
static void pod_covers_containers(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *requests = val_get(spec, F_resources, F_requests),
			 *limits = val_get(spec, F_resources, F_limits);
	_cleanup_(res_list_release) struct res_list sum = RES_LIST_INIT, most = RES_LIST_INIT;
	_cleanup_(val_index_release) struct val_index of_pod = val_index_of(limits);
	struct fpath req_at = FPATH(at, F_requests), lim_at = FPATH(at, F_limits), c_at = FPATH(at, F_containers);
	size_t i = 0;

	pod_requests(spec, RES_CONTAINERS_ONLY, &sum);
	pod_limits(spec, RES_CONTAINERS_ONLY, &most);
	VAL_EACH_MEMBER(requests, m) {
		struct fpath here = FPATH_KEY(&req_at, m.key);

		if (pod_level_resource(m.key) && res_list_get(&sum, m.key) > res_amount(m.key, m.value))
			fe_add(fe, FE_INVALID, &here, m.value,
			       "must be greater than or equal to aggregate container requests of %.*s",
			       SV_ARG(res_text(fe->a, m.key, res_list_get(&sum, m.key))));
	}
	VAL_EACH_MEMBER(limits, m) {
		struct fpath here = FPATH_KEY(&lim_at, m.key);

		if (sv_starts(m.key, SV("hugepages-")) && res_list_get(&most, m.key) > res_amount(m.key, m.value))
			fe_add(fe, FE_INVALID, &here, m.value,
			       "must be greater than or equal to aggregate container limits of %.*s",
			       SV_ARG(res_text(fe->a, m.key, res_list_get(&most, m.key))));
	}
	VAL_EACH(val_member(spec, F_containers), c) {
		struct fpath item = FPATH_AT(&c_at, i++);

		VAL_EACH_MEMBER(val_get(c, F_resources, F_limits), m) {
			const struct val *all = val_index_get(&of_pod, m.key);
			struct fpath key_at = FPATH_KEY(&item, m.key), here = FPATH(&key_at, F_limits);

			if (all && quantity_cmp(val_str(m.value), val_str(all)) > 0)
				fe_add(fe, FE_INVALID, &here, m.value,
				       "must be less than or equal to pod limits of %.*s", SV_ARG(val_str(all)));
		}
	}
}

/* Of the pod as a whole there are cpu, memory and huge pages. */
static void pod_resources(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	static const enum sym lists[] = { F_limits, F_requests };
	static const char *const known[] = { "cpu", "hugepages-", "memory", NULL };
	const struct val *res = val_member(spec, F_resources);
	struct fpath at = FPATH(up, F_resources), claims_at = FPATH(&at, F_claims);

	if (!res)
		return;
	if (val_len(val_member(res, F_claims)))
		fe_forbidden(fe, &claims_at, "claims may not be set for Resources at pod-level");
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		struct fpath list_at = FPATH(&at, lists[i]);

		VAL_EACH_MEMBER(val_member(res, lists[i]), m) {
			struct fpath here = FPATH_KEY(&list_at, m.key);

			if (!pod_level_resource(m.key))
				fe_not_supported(fe, &here, val_new_str(fe->a, m.key), known);
		}
	}
	validate_requirements(fe, res, &at);
	pod_covers_containers(fe, spec, &at);
}

void validate_pod_spec(struct field_errs *fe, const struct val *spec, const struct val *was, const struct fpath *at,
		       enum pod_place place)
{
	_cleanup_(old_texts_release) struct old_texts before = { .doc = was, .fill = podspec_addresses };
	struct pod_ctx pc = { .spec = spec, .volumes = val_member(spec, F_volumes), .place = place };
	struct fpath dl_at = FPATH(at, F_activeDeadlineSeconds), tol_at = FPATH(at, F_tolerations);
	struct fpath alias_at = FPATH(at, F_hostAliases), over_at = FPATH(at, F_overhead);
	size_t i = 0;

	index_by_name(&pc.volumes_by_name, pc.volumes);
	index_by_name(&pc.claims_by_name, val_member(spec, F_resourceClaims));
	index_by_name(&pc.targets_by_name, val_member(spec, F_containers));
	index_by_name(&pc.targets_by_name, val_member(spec, F_initContainers));
	validate_volumes(fe, &pc, at);
	validate_containers(fe, &pc, at);
	strmap_release(&pc.volumes_by_name);
	strmap_release(&pc.claims_by_name);
	strmap_release(&pc.targets_by_name);
	dns(fe, spec, at, &before);
	host_name(fe, spec, at);
	podspec_security(fe, spec, at);
	podspec_affinity(fe, spec, at);
	check_range(fe, val_member(spec, F_activeDeadlineSeconds), &dl_at, 1, INT32_MAX);
	validate_tolerations(fe, val_member(spec, F_tolerations), &tol_at);
	VAL_EACH(val_member(spec, F_hostAliases), h) {
		struct fpath item = FPATH_AT(&alias_at, i++), ip_at = FPATH(&item, F_ip),
			     names_at = FPATH(&item, F_hostnames);
		size_t k = 0;

		(void)check_legacy_ip(fe, val_get_str(h, F_ip), &ip_at, &before, NULL);
		VAL_EACH(val_member(h, F_hostnames), n) {
			struct fpath here = FPATH_AT(&names_at, k++);

			check_text(fe, n, &here, fmt_dns_subdomain);
		}
	}
	gates(fe, spec, at);
	spread(fe, spec, at);
	claims(fe, spec, at);
	pod_resources(fe, spec, at);
	validate_resource_list(fe, val_member(spec, F_overhead), &over_at);
}

/* Upstream reports a template's labels and annotations without the metadata they stand in. */
void validate_pod_template(struct field_errs *fe, const struct val *tmpl, const struct val *was, const struct fpath *at,
			   enum pod_place place)
{
	struct fpath labels_at = FPATH(at, F_labels), ann_at = FPATH(at, F_annotations), spec_at = FPATH(at, F_spec);
	struct fpath eph_at = FPATH(&spec_at, F_ephemeralContainers);

	validate_labels(fe, val_get(tmpl, F_metadata, F_labels), &labels_at);
	validate_annotations(fe, val_get(tmpl, F_metadata, F_annotations), &ann_at);
	validate_pod_annotations(fe, val_get(tmpl, F_metadata, F_annotations), val_member(tmpl, F_spec), &ann_at);
	validate_pod_spec(fe, val_member(tmpl, F_spec), val_member(was, F_spec), &spec_at, place);
	if (val_len(val_get(tmpl, F_spec, F_ephemeralContainers)))
		fe_forbidden(fe, &eph_at, "ephemeral containers not allowed in pod template");
}
