/* services.c - Service: ports, addresses and the fields each type may or must have. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/strmap.h"

static bool headless(const struct val *spec)
{
	return val_is(val_member(spec, F_clusterIP), "None");
}

static void services_ports(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	_cleanup_(strmap_release) struct strmap names = STRMAP_INIT, numbers = STRMAP_INIT, nodes = STRMAP_INIT;
	const struct val *list = val_member(spec, F_ports), *type = val_member(spec, F_type);
	struct fpath at = FPATH(up, F_ports);
	size_t i = 0;

	if (val_len(list) == 0 && !headless(spec) && !val_is(type, "ExternalName"))
		fe_required(fe, &at);
	VAL_EACH(list, p) {
		struct fpath item = FPATH_AT(&at, i++), name_at = FPATH(&item, F_name), port_at = FPATH(&item, F_port);
		struct fpath target_at = FPATH(&item, F_targetPort), node_at = FPATH(&item, F_nodePort);
		struct fpath app_at = FPATH(&item, F_appProtocol);
		struct sv name = val_get_str(p, F_name), proto = val_get_str(p, F_protocol), id;
		const struct val *port = val_member(p, F_port), *node = val_member(p, F_nodePort);

		if (name.n == 0) {
			if (val_len(list) > 1)
				fe_required(fe, &name_at);
		} else {
			fe_check(fe, &name_at, name, fmt_dns_label);
			if (strmap_set(&names, name, fe))
				fe_duplicate(fe, &name_at, val_member(p, F_name));
		}
		if (val_int_or(port, 0) < 1 || val_int_or(port, 0) > 65535)
			fe_invalid(fe, &port_at, port ? port : val_new_int(fe->a, 0), MSG_PORT);
		if (val_is(type, "LoadBalancer") && val_int_or(port, 0) == 10250)
			fe_invalid(fe, &port_at, port,
				   "may not expose port 10250 externally since it is used by kubelet");
		check_port_or_name(fe, val_member(p, F_targetPort), &target_at);
		if (val_get_str(p, F_appProtocol).n)
			check_text(fe, val_member(p, F_appProtocol), &app_at, fmt_qualified_name);
		if (val_int_or(node, 0) && (val_is(type, "ClusterIP") || val_is(type, "ExternalName")))
			fe_add(fe, FE_FORBIDDEN, &node_at, NULL, "may not be used when `type` is '%.*s'",
			       SV_ARG(val_str(type)));
		if (val_int_or(node, 0)) {
			id = arena_svf(fe->a, "%.*s/%" PRId64, SV_ARG(proto), val_int_or(node, 0));
			if (strmap_set(&nodes, id, fe))
				fe_duplicate(fe, &node_at, node);
		}
		id = arena_svf(fe->a, "%.*s/%" PRId64, SV_ARG(proto), val_int_or(port, 0));
		if (strmap_set(&numbers, id, fe)) {
			struct val *dup = val_new_map(fe->a);

			if (val_member(p, F_protocol))
				val_set(fe->a, dup, F_protocol, val_member(p, F_protocol));
			val_set(fe->a, dup, F_port, port);
			fe_duplicate(fe, &item, dup);
		}
	}
}

static void services_texts(struct strmap *texts, const struct val *service)
{
	const struct val *spec = val_member(service, F_spec);

	old_texts_add(texts, val_member(spec, F_clusterIPs), SYM_NONE);
	old_texts_add(texts, val_member(spec, F_externalIPs), SYM_NONE);
	old_texts_add(texts, val_member(spec, F_loadBalancerSourceRanges), SYM_NONE);
	old_texts_add(texts, val_get(service, F_status, F_loadBalancer, F_ingress), F_ip);
}

static void addresses(struct field_errs *fe, const struct val *spec, const struct fpath *up, struct old_texts *before)
{
	const struct val *ips = val_member(spec, F_clusterIPs), *families = val_member(spec, F_ipFamilies);
	const struct val *first = val_at(ips, 0), *ip = val_member(spec, F_clusterIP);
	struct fpath at = FPATH(up, F_clusterIPs), fam_at = FPATH(up, F_ipFamilies);
	bool had_v4 = false, had_v6 = false;
	size_t i = 0;

	if (val_str(ip).n && !first)
		fe_required(fe, &at);
	else if (first && !val_str(ip).n)
		fe_invalid(fe, &at, ips, "must be empty when `clusterIP` is not specified");
	else if (first && !sv_eq(val_str(first), val_str(ip)))
		fe_invalid(fe, &at, ips, "first value must match `clusterIP`");
	if (val_len(ips) > 2)
		fe_invalid(fe, &at, ips, "may only hold up to 2 values");
	VAL_EACH(ips, v) {
		struct fpath here = FPATH_AT(&at, i++);
		const struct val *family = val_at(families, i - 1);
		bool v6;

		if (val_is(v, "None")) {
			if (val_len(ips) > 1)
				fe_invalid(fe, &here, v, "'None' must be the first and only value");
			continue;
		}
		if (val_str(v).n == 0)
			continue; /* to be allocated */
		if (!check_legacy_ip(fe, val_str(v), &here, before, &v6))
			continue;
		if (v6 ? had_v6 : had_v4)
			fe_invalid(fe, &at, ips, "may specify no more than one IP for each IP family");
		had_v6 |= v6;
		had_v4 |= !v6;
		if (family && !val_is(family, v6 ? "IPv6" : "IPv4"))
			fe_add(fe, FE_INVALID, &here, v, "expected an %.*s value as indicated by `ipFamilies[%zu]`",
			       SV_ARG(val_str(family)), i - 1);
	}
	if (val_len(families) > 2)
		fe_invalid(fe, &fam_at, families, "may only hold up to 2 values");
	i = 0;
	VAL_EACH(families, f) {
		struct fpath here = FPATH_AT(&fam_at, i++);

		CHECK_ONE_OF(fe, f, &here, "IPv4", "IPv6");
	}
	if (val_len(families) == 2 && val_equal(val_at(families, 0), val_at(families, 1))) {
		struct fpath here = FPATH_AT(&fam_at, 1);

		fe_duplicate(fe, &here, val_at(families, 1));
	}
}

/* Forbidden unless the type wants it. */
static void only_for(struct field_errs *fe, const struct val *spec, const struct fpath *up, enum sym name, bool wanted,
		     const char *msg)
{
	const struct val *v = val_member(spec, name);
	struct fpath at = FPATH(up, name);

	if (v && !wanted && (v->type != VAL_LIST || v->n) && (v->type != VAL_STR || v->n) &&
	    (v->type != VAL_INT || v->i))
		fe_forbidden(fe, &at, msg);
}

/* Who may come in, as a list; or, when there is none, as an annotation that is older than the field. */
static void source_ranges(struct field_errs *fe, const struct val *doc, const struct fpath *up,
			  struct old_texts *before)
{
	const struct val *list = val_get(doc, F_spec, F_loadBalancerSourceRanges);
	const struct sv key = SV("service.beta.kubernetes.io/load-balancer-source-ranges");
	const struct val *text = val_member_sv(val_get(doc, F_metadata, F_annotations), key);
	const struct val *was = val_member_sv(val_get(before->doc, F_metadata, F_annotations), key);
	bool lb = val_is(val_get(doc, F_spec, F_type), "LoadBalancer");
	struct fpath at = FPATH_NAME(up, SV("LoadBalancerSourceRanges")), meta_at = FPATH_ROOT(F_metadata),
		     anns_at = FPATH(&meta_at, F_annotations), ann_at = FPATH_KEY(&anns_at, key);
	struct sv all = sv_trim(val_str(text)), one;
	size_t i = 0;

	if (!lb && (val_len(list) || text))
		fe_forbidden(fe, val_len(list) ? &at : &ann_at, "may only be used when `type` is 'LoadBalancer'");
	VAL_EACH(list, r) {
		struct fpath here = FPATH_AT(&at, i++);

		(void)check_legacy_cidr(fe, sv_trim(val_str(r)), &here, before, NULL);
	}
	if (val_len(list) || !text || !all.n || (was && val_equal(text, was)))
		return;
	while (sv_split(&all, ',', &one))
		(void)check_legacy_cidr(fe, sv_trim(one), &ann_at, NULL, NULL);
}

static void by_type(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	const struct val *type = val_member(spec, F_type), *policy = val_member(spec, F_externalTrafficPolicy);
	bool lb = val_is(type, "LoadBalancer"), np = val_is(type, "NodePort"), ext = val_is(type, "ExternalName");
	struct fpath name_at = FPATH(at, F_externalName), ip_at = FPATH(at, F_clusterIPs), ip0_at = FPATH_AT(&ip_at, 0);
	struct fpath fam_at = FPATH(at, F_ipFamilies), pol_at = FPATH(at, F_ipFamilyPolicy);
	struct fpath hc_at = FPATH(at, F_healthCheckNodePort);
	struct fpath alloc_at = FPATH(at, F_allocateLoadBalancerNodePorts), class_at = FPATH(at, F_loadBalancerClass);
	struct fpath etp_at = FPATH(at, F_externalTrafficPolicy), itp_at = FPATH(at, F_internalTrafficPolicy);

	if ((lb || np) && headless(spec))
		fe_add(fe, FE_INVALID, &ip0_at, val_member(spec, F_clusterIP),
		       "may not be set to 'None' for %s services", lb ? "LoadBalancer" : "NodePort");
	if (ext) {
		struct sv name = val_get_str(spec, F_externalName);

		if (val_len(val_member(spec, F_clusterIPs)))
			fe_forbidden(fe, &ip_at, "may not be set for ExternalName services");
		if (val_len(val_member(spec, F_ipFamilies)))
			fe_forbidden(fe, &fam_at, "may not be set for ExternalName services");
		if (val_member(spec, F_ipFamilyPolicy))
			fe_forbidden(fe, &pol_at, "may not be set for ExternalName services");
		if (sv_ends(name, SV(".")))
			name.n--;
		if (name.n)
			fe_check(fe, &name_at, name, fmt_dns_subdomain);
		else
			fe_required(fe, &name_at);
	}
	if (lb && !val_member(spec, F_allocateLoadBalancerNodePorts))
		fe_required(fe, &alloc_at);
	if (!lb && val_member(spec, F_allocateLoadBalancerNodePorts))
		fe_forbidden(fe, &alloc_at, "may only be used when `type` is 'LoadBalancer'");
	only_for(fe, spec, at, F_loadBalancerClass, lb, "may only be used when `type` is 'LoadBalancer'");
	if (lb)
		check_text(fe, val_member(spec, F_loadBalancerClass), &class_at, fmt_qualified_name);

	if ((lb || np) && val_str(policy).n == 0)
		fe_required(fe, &etp_at);
	if (!lb && !np && val_str(policy).n && val_len(val_member(spec, F_externalIPs)) == 0)
		fe_invalid(fe, &etp_at, policy, "may only be set for externally-accessible services");
	if (lb && val_is(policy, "Local"))
		check_range(fe, val_member(spec, F_healthCheckNodePort), &hc_at, 1, 65535);
	else if (val_get_int(spec, 0, F_healthCheckNodePort))
		fe_invalid(fe, &hc_at, val_member(spec, F_healthCheckNodePort),
			   "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'");
	if (!ext && !val_member(spec, F_internalTrafficPolicy))
		fe_required(fe, &itp_at);
}

static void services_affinity(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	const struct val *cfg = val_member(spec, F_sessionAffinityConfig);
	const struct val *timeout = val_get(cfg, F_clientIP, F_timeoutSeconds);
	struct fpath at = FPATH(up, F_sessionAffinityConfig), ip_at = FPATH(&at, F_clientIP);
	struct fpath time_at = FPATH(&ip_at, F_timeoutSeconds);

	if (val_is(val_member(spec, F_sessionAffinity), "ClientIP")) {
		if (!timeout)
			fe_required_why(fe, &at, "when session affinity type is ClientIP");
		else if (val_int_or(timeout, 0) < 1 || val_int_or(timeout, 0) > 86400)
			fe_invalid(fe, &time_at, timeout, "must be greater than 0 and less than 86400");
	} else if (cfg) {
		fe_forbidden(fe, &at, "must not be set when session affinity is None");
	}
}

static bool has_health_port(const struct val *spec)
{
	return val_is(val_member(spec, F_type), "LoadBalancer") &&
	       val_is(val_member(spec, F_externalTrafficPolicy), "Local") &&
	       val_get_int(spec, 0, F_healthCheckNodePort);
}

/* A list whose first stays. Whether its second may go is told where families and addresses are settled
 * (kinds/services_families.c). */
static void first_stays(struct field_errs *fe, const struct val *now, const struct val *old, const struct fpath *at)
{
	size_t n = val_len(now), n_old = val_len(old);

	for (size_t i = 0; i < n && i < n_old && (!i || n == n_old); i++) {
		struct fpath here = FPATH_AT(at, i);

		if (!val_equal(val_at(old, i), val_at(now, i)))
			fe_invalid(fe, &here, now, "may not change once set");
	}
}

static void services_update(struct field_errs *fe, const struct val *spec, const struct val *was,
			    const struct fpath *up)
{
	struct fpath hc_at = FPATH(up, F_healthCheckNodePort), class_at = FPATH(up, F_loadBalancerClass);
	struct fpath ips_at = FPATH(up, F_clusterIPs), first_at = FPATH_AT(&ips_at, 0),
		     families_at = FPATH(up, F_ipFamilies);
	const struct val *now_ips = val_member(spec, F_clusterIPs), *old_ips = val_member(was, F_clusterIPs);

	if (val_is(val_member(spec, F_type), "ExternalName") || val_is(val_member(was, F_type), "ExternalName"))
		return;
	if (!headless(spec) || !headless(was))
		first_stays(fe, now_ips, old_ips, &ips_at);
	if (val_len(old_ips) && !val_len(now_ips))
		fe_invalid(fe, &first_at, now_ips, "primary clusterIP can not be unset");
	if (!headless(spec) && !headless(was))
		first_stays(fe, val_member(spec, F_ipFamilies), val_member(was, F_ipFamilies), &families_at);
	if (val_is(val_member(was, F_type), "LoadBalancer") && val_is(val_member(spec, F_type), "LoadBalancer") &&
	    !val_equal(val_member(was, F_loadBalancerClass) ? val_member(was, F_loadBalancerClass) : &fe_null,
		       val_member(spec, F_loadBalancerClass) ? val_member(spec, F_loadBalancerClass) : &fe_null))
		fe_invalid(fe, &class_at, val_member(spec, F_loadBalancerClass), "may not change once set");
	if (has_health_port(was) && has_health_port(spec) &&
	    !val_same(val_member(was, F_healthCheckNodePort), val_member(spec, F_healthCheckNodePort)))
		fe_forbidden(fe, &hc_at, "field is immutable");
}

static void status(struct field_errs *fe, const struct val *doc, struct old_texts *before)
{
	struct fpath st_at = FPATH_ROOT(F_status), lb_at = FPATH(&st_at, F_loadBalancer), at = FPATH(&lb_at, F_ingress);
	const struct val *list = val_get(doc, F_status, F_loadBalancer, F_ingress);
	size_t i = 0;

	if (val_len(list) && !val_is(val_get(doc, F_spec, F_type), "LoadBalancer"))
		fe_forbidden(fe, &at, "may only be used when `spec.type` is \"LoadBalancer\"");
	VAL_EACH(list, e) {
		struct fpath item = FPATH_AT(&at, i++), ip_at = FPATH(&item, F_ip), host_at = FPATH(&item, F_hostname);
		struct fpath mode_at = FPATH(&item, F_ipMode);
		const struct val *ip = val_member(e, F_ip), *host = val_member(e, F_hostname);
		const struct val *mode = val_member(e, F_ipMode);

		if (val_str(ip).n)
			(void)check_legacy_ip(fe, val_str(ip), &ip_at, before, NULL);
		if (!val_str(ip).n && mode)
			fe_forbidden(fe, &mode_at, "may not be specified when `ip` is not set");
		else if (val_str(ip).n && !mode)
			fe_required_why(fe, &mode_at, "must be specified when `ip` is set");
		else
			CHECK_ONE_OF(fe, mode, &mode_at, "Proxy", "VIP");
		if (val_str(host).n == 0)
			continue;
		check_text(fe, host, &host_at, fmt_dns_subdomain);
		if (fmt_ip(val_str(host)))
			fe_invalid(fe, &host_at, host, "must be a DNS name, not an IP address");
	}
}

void validate_service(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *dist = val_member(spec, F_trafficDistribution);
	struct fpath at = FPATH_ROOT(F_spec), ext_at = FPATH(&at, F_externalIPs),
		     dist_at = FPATH(&at, F_trafficDistribution);
	_cleanup_(old_texts_release) struct old_texts before_texts = { .doc = old, .fill = services_texts };
	size_t i = 0;

	if (is_sub(sub, "status")) {
		status(fe, doc, &before_texts);
		return;
	}
	if (old && !val_is(val_member(spec, F_type), "ExternalName")) {
		/* Upstream looks at them before anything else, since addresses are given out by them. */
		size_t before = fe->list.n;

		addresses(fe, spec, &at, &before_texts);
		if (fe->list.n > before)
			return;
	}
	if (old)
		services_update(fe, spec, val_member(old, F_spec), &at);
	services_ports(fe, spec, &at);
	addresses(fe, spec, &at, &before_texts);
	services_affinity(fe, spec, &at);
	VAL_EACH(val_member(spec, F_externalIPs), ip) {
		struct fpath here = FPATH_AT(&ext_at, i++);

		if (check_legacy_ip(fe, val_str(ip), &here, &before_texts, NULL) && fmt_ip(val_str(ip)))
			check_text(fe, ip, &here, fmt_nonspecial_ip);
	}
	source_ranges(fe, doc, &at, &before_texts);
	by_type(fe, spec, &at);
	CHECK_ONE_OF(fe, dist, &dist_at, "PreferClose", "PreferSameNode", "PreferSameZone");
}
