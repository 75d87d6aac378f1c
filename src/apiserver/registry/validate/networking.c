/* networking.c - NetworkPolicy, Ingress and IngressClass. */
#include "apiserver/registry/validate/kinds-internal.h"

#define CONTROLLER_MAX 250

/* Is cidr really smaller than whole, and inside of it? */
static bool strict_subset(struct sv whole, struct sv cidr)
{
	uint8_t x[16], y[16];
	bool x6, y6;
	int x_bits, y_bits;

	if (!fmt_cidr_parts(whole, x, &x6, &x_bits) || !fmt_cidr_parts(cidr, y, &y6, &y_bits))
		return true; /* said elsewhere */
	if (x6 != y6 || y_bits <= x_bits)
		return false;
	for (int i = 0; i < x_bits; i++)
		if ((x[i / 8] ^ y[i / 8]) & (0x80 >> (i % 8)))
			return false;
	return true;
}

/* Of all rules, whichever it was in. */
static void policy_networks(struct strmap *texts, const struct val *policy)
{
	static const enum sym dirs[] = { F_ingress, F_egress }, peers[] = { F_from, F_to };

	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		VAL_EACH(val_get(policy, F_spec, dirs[i]), r)
			VAL_EACH(val_member(r, peers[i]), p) {
				strmap_set(texts, val_get_str(p, F_ipBlock, F_cidr), texts);
				old_texts_add(texts, val_get(p, F_ipBlock, F_except), SYM_NONE);
			}
}

static void peer(struct field_errs *fe, const struct val *p, const struct fpath *at, struct old_texts *before)
{
	const struct val *block = val_member(p, F_ipBlock), *pods = val_member(p, F_podSelector);
	const struct val *ns = val_member(p, F_namespaceSelector);
	struct fpath pod_at = FPATH(at, F_podSelector), ns_at = FPATH(at, F_namespaceSelector);
	struct fpath block_at = FPATH(at, F_ipBlock), cidr_at = FPATH(&block_at, F_cidr),
		     ex_at = FPATH(&block_at, F_except);
	size_t i = 0;

	if (!block && !pods && !ns) {
		fe_required_why(fe, at, "must specify a peer");
		return;
	}
	validate_label_selector(fe, pods, &pod_at);
	validate_label_selector(fe, ns, &ns_at);
	if (!block)
		return;
	if (pods || ns)
		fe_forbidden(fe, at, "may not specify both ipBlock and another peer");
	if (val_get_str(block, F_cidr).n == 0)
		fe_required(fe, &cidr_at);
	else
		(void)check_legacy_cidr(fe, val_get_str(block, F_cidr), &cidr_at, before, NULL);
	VAL_EACH(val_member(block, F_except), e) {
		struct fpath here = FPATH_AT(&ex_at, i++);

		if (check_legacy_cidr(fe, val_str(e), &here, before, NULL) &&
		    !strict_subset(val_get_str(block, F_cidr), val_str(e)))
			fe_add(fe, FE_INVALID, &here, e, "must be a strict subset of `cidr`");
	}
}

static void policy_rules(struct field_errs *fe, const struct val *spec, const struct fpath *up, enum sym dir,
			 enum sym peers, struct old_texts *before)
{
	struct fpath at = FPATH(up, dir);
	size_t i = 0;

	VAL_EACH(val_member(spec, dir), r) {
		struct fpath item = FPATH_AT(&at, i++), ports_at = FPATH(&item, F_ports),
			     peers_at = FPATH(&item, peers);
		size_t k = 0;

		VAL_EACH(val_member(r, F_ports), p) {
			struct fpath here = FPATH_AT(&ports_at, k++), port_at = FPATH(&here, F_port);
			struct fpath end_at = FPATH(&here, F_endPort);
			const struct val *port = val_member(p, F_port), *end = val_member(p, F_endPort);

			check_port_or_name(fe, port, &port_at);
			if (!end)
				continue;
			if (val_type(port) != VAL_INT)
				fe_invalid(fe, &end_at, end,
					   port ? "may not be specified when `port` is non-numeric"
						: "may not be specified when `port` is not specified");
			else if (end->i < port->i) /* upstream shows the port */
				fe_invalid(fe, &end_at, port, "must be greater than or equal to `port`");
			else
				check_range(fe, end, &end_at, 1, 65535);
		}
		k = 0;
		VAL_EACH(val_member(r, peers), p) {
			struct fpath here = FPATH_AT(&peers_at, k++);

			peer(fe, p, &here, before);
		}
	}
}

void validate_network_policy(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *types = val_member(spec, F_policyTypes);
	struct fpath at = FPATH_ROOT(F_spec), sel_at = FPATH(&at, F_podSelector), types_at = FPATH(&at, F_policyTypes);
	_cleanup_(old_texts_release) struct old_texts before = { .doc = old, .fill = policy_networks };
	size_t i = 0;

	(void)sub;
	validate_label_selector(fe, val_member(spec, F_podSelector), &sel_at);
	policy_rules(fe, spec, &at, F_ingress, F_from, &before);
	policy_rules(fe, spec, &at, F_egress, F_to, &before);
	if (val_len(types) > 2)
		fe_invalid(fe, &types_at, types, "may not specify more than two policyTypes");
	VAL_EACH(types, t) {
		struct fpath here = FPATH_AT(&types_at, i++);

		CHECK_ONE_OF(fe, t, &here, "Ingress", "Egress");
	}
}

/* --- ingress --- */

/* A typed reference: its group may be left out, kind and name may not. */
static void object_ref(struct field_errs *fe, const struct val *ref, const struct fpath *at)
{
	static const enum sym parts[] = { F_kind, F_name };
	const struct val *group = val_member(ref, F_apiGroup);
	struct fpath group_at = FPATH(at, F_apiGroup);

	check_text(fe, group, &group_at, fmt_dns_subdomain);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
		struct fpath here = FPATH(at, parts[i]);
		struct sv s = val_get_str(ref, parts[i]);

		if (!s.n)
			fe_required_why(fe, &here, parts[i] == F_kind ? "kind is required" : "name is required");
		else
			fe_check(fe, &here, s, fmt_path_segment);
	}
}

void validate_ingress_class(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *par = val_member(spec, F_parameters),
			 *scope = val_member(par, F_scope);
	struct fpath at = FPATH_ROOT(F_spec), ctl_at = FPATH(&at, F_controller), par_at = FPATH(&at, F_parameters);
	struct fpath scope_at = FPATH(&par_at, F_scope), ns_at = FPATH(&par_at, F_namespace);
	bool has_ns = val_get_str(par, F_namespace).n;

	(void)sub;
	if (val_get_str(spec, F_controller).n > CONTROLLER_MAX)
		fe_too_long(fe, &ctl_at, CONTROLLER_MAX);
	check_domain_path(fe, val_member(spec, F_controller), &ctl_at);
	if (old)
		check_immutable(fe, spec, val_member(old, F_spec), &at, F_controller);
	if (!par)
		return;
	object_ref(fe, par, &par_at);
	CHECK_ONE_OF(fe, scope, &scope_at, "Cluster", "Namespace");
	if (val_is(scope, "Namespace") && !has_ns)
		fe_required_why(fe, &ns_at, "`parameters.scope` is set to 'Namespace'");
	if (val_is(scope, "Cluster") && has_ns)
		fe_forbidden(fe, &ns_at, "`parameters.scope` is set to 'Cluster'");
}

static void backend(struct field_errs *fe, const struct val *b, const struct fpath *at)
{
	const struct val *svc = val_member(b, F_service), *res = val_member(b, F_resource),
			 *port = val_member(svc, F_port);
	struct fpath svc_at = FPATH(at, F_service), port_at = FPATH(&svc_at, F_port),
		     num_at = FPATH(&port_at, F_number);
	struct fpath pname_at = FPATH(&port_at, F_name), res_at = FPATH(at, F_resource);
	bool named = val_get_str(port, F_name).n, numbered = val_get_int(port, 0, F_number) != 0;

	if (svc && res)
		fe_add(fe, FE_INVALID, at, NULL, "cannot set both resource and service backends");
	if (res)
		object_ref(fe, res, &res_at);
	if (!svc && !res)
		fe_required_why(fe, at, "resource or service backend is required");
	if (!svc)
		return;
	check_required_text(fe, svc, &svc_at, F_name, fmt_dns_label);
	if (named && numbered)
		fe_invalid(fe, &port_at, port, "cannot set both port name & port number");
	else if (named)
		check_text(fe, val_member(port, F_name), &pname_at, fmt_port_name);
	else if (numbered)
		check_range(fe, val_member(port, F_number), &num_at, 1, 65535);
	else
		fe_required_why(fe, &port_at, "port name or number is required");
}

static void http_path(struct field_errs *fe, const struct val *p, const struct fpath *at)
{
	static const char *const never[] = { "//", "/./", "/../", "%2f", "%2F" }, *const never_last[] = { "/..", "/." };
	struct fpath path_at = FPATH(at, F_path), backend_at = FPATH(at, F_backend);
	const struct val *path = val_member(p, F_path);
	struct sv s = val_str(path);

	if (val_is(val_member(p, F_pathType), "ImplementationSpecific") ? s.n && s.p[0] != '/'
									: s.n == 0 || s.p[0] != '/')
		fe_invalid(fe, &path_at, path ? path : val_new_str(fe->a, SV("")), "must be an absolute path");
	for (size_t i = 0; !val_is(val_member(p, F_pathType), "ImplementationSpecific") && i < ARRAY_LEN(never); i++)
		if (sv_find_sv(s, sv_from(never[i])) >= 0)
			fe_add(fe, FE_INVALID, &path_at, path, "must not contain '%s'", never[i]);
	for (size_t i = 0; !val_is(val_member(p, F_pathType), "ImplementationSpecific") && i < ARRAY_LEN(never_last);
	     i++)
		if (sv_ends(s, sv_from(never_last[i])))
			fe_add(fe, FE_INVALID, &path_at, path, "cannot end with '%s'", never_last[i]);
	backend(fe, val_member(p, F_backend), &backend_at);
}

static void hosts(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(list, h) {
		struct fpath here = FPATH_AT(at, i++);
		struct sv s = val_str(h);

		fe_check(fe, &here, s, sv_find(s, '*') >= 0 ? fmt_wildcard_subdomain : fmt_dns_subdomain);
	}
}

static void ingress_addresses(struct strmap *texts, const struct val *ingress)
{
	old_texts_add(texts, val_get(ingress, F_status, F_loadBalancer, F_ingress), F_ip);
}

static void ingress_status(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	_cleanup_(old_texts_release) struct old_texts before = { .doc = old, .fill = ingress_addresses };
	struct fpath st_at = FPATH_ROOT(F_status), lb_at = FPATH(&st_at, F_loadBalancer), at = FPATH(&lb_at, F_ingress);
	size_t i = 0;

	VAL_EACH(val_get(doc, F_status, F_loadBalancer, F_ingress), in) {
		struct fpath item = FPATH_AT(&at, i++), ip_at = FPATH(&item, F_ip), host_at = FPATH(&item, F_hostname);
		struct sv ip = val_get_str(in, F_ip), host = val_get_str(in, F_hostname);

		if (ip.n)
			(void)check_legacy_ip(fe, ip, &ip_at, &before, NULL);
		if (!host.n)
			continue;
		fe_check(fe, &host_at, host, fmt_dns_subdomain);
		if (fmt_ip(host))
			fe_invalid(fe, &host_at, val_member(in, F_hostname), "must be a DNS name, not an IP address");
	}
}

void validate_ingress(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *dflt = val_member(spec, F_defaultBackend);
	struct fpath at = FPATH_ROOT(F_spec), rules_at = FPATH(&at, F_rules), dflt_at = FPATH(&at, F_defaultBackend);
	struct fpath class_at = FPATH(&at, F_ingressClassName);
	const struct val *class = val_member(spec, F_ingressClassName);
	const struct val *annotation =
	    val_member_sv(val_get(doc, F_metadata, F_annotations), SV("kubernetes.io/ingress.class"));
	struct fpath meta_at = FPATH_ROOT(F_metadata), anns_at = FPATH(&meta_at, F_annotations),
		     ann_at = FPATH_NAME(&anns_at, SV("kubernetes.io/ingress.class"));
	size_t i = 0;

	if (is_sub(sub, "status")) {
		ingress_status(fe, doc, old);
		return;
	}
	if (!old && annotation && class && !sv_eq(val_str(annotation), val_str(class)))
		fe_invalid(fe, &ann_at, annotation, "must match `ingressClassName` when both are specified");
	VAL_EACH(val_member(spec, F_tls), t) {
		struct fpath tls_at = FPATH(&at, F_tls), item = FPATH_AT(&tls_at, i++),
			     hosts_at = FPATH(&item, F_hosts);

		hosts(fe, val_member(t, F_hosts), &hosts_at);
	}
	i = 0;
	if (val_len(val_member(spec, F_rules)) == 0 && !dflt)
		fe_invalid(fe, &at, val_member(spec, F_rules) ? val_member(spec, F_rules) : val_new_list(fe->a),
			   "either `defaultBackend` or `rules` must be specified");
	if (dflt)
		backend(fe, dflt, &dflt_at);
	check_text(fe, val_member(spec, F_ingressClassName), &class_at, fmt_dns_subdomain);
	VAL_EACH(val_member(spec, F_rules), r) {
		struct fpath item = FPATH_AT(&rules_at, i++), host_at = FPATH(&item, F_host),
			     http_at = FPATH(&item, F_http);
		struct fpath paths_at = FPATH(&http_at, F_paths);
		struct sv host = val_get_str(r, F_host);
		size_t k = 0;

		if (fmt_ip(host))
			fe_format(fe, &host_at, host, "must be a DNS name, not an IP address");
		else if (sv_find(host, '*') >= 0)
			fe_check(fe, &host_at, host, fmt_wildcard_subdomain);
		else if (host.n)
			fe_check(fe, &host_at, host, fmt_dns_subdomain);
		VAL_EACH(val_get(r, F_http, F_paths), p) {
			struct fpath here = FPATH_AT(&paths_at, k++);

			http_path(fe, p, &here);
		}
	}
}
