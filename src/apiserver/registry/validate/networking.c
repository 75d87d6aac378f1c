/* networking.c - NetworkPolicy and Ingress. */
#include "apiserver/registry/validate/kinds-internal.h"

static void peer(struct field_errs *fe, const struct val *p, const struct fpath *at)
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
	else if (!fmt_cidr(val_get_str(block, F_cidr)))
		fe_invalid(fe, &cidr_at, val_member(block, F_cidr), FMT_CIDR_MSG);
	VAL_EACH(val_member(block, F_except), e) {
		struct fpath here = FPATH_AT(&ex_at, i++);

		if (!fmt_cidr(val_str(e)))
			fe_invalid(fe, &here, e, FMT_CIDR_MSG);
	}
}

static void policy_rules(struct field_errs *fe, const struct val *spec, const struct fpath *up, enum sym dir,
			 enum sym peers)
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
			else if (end->i < port->i)
				fe_invalid(fe, &end_at, end, "must be greater than or equal to `port`");
			else
				check_range(fe, end, &end_at, 1, 65535);
		}
		k = 0;
		VAL_EACH(val_member(r, peers), p) {
			struct fpath here = FPATH_AT(&peers_at, k++);

			peer(fe, p, &here);
		}
	}
}

void validate_network_policy(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *types = val_member(spec, F_policyTypes);
	struct fpath at = FPATH_ROOT(F_spec), sel_at = FPATH(&at, F_podSelector), types_at = FPATH(&at, F_policyTypes);
	size_t i = 0;

	(void)old;
	(void)sub;
	validate_label_selector(fe, val_member(spec, F_podSelector), &sel_at);
	policy_rules(fe, spec, &at, F_ingress, F_from);
	policy_rules(fe, spec, &at, F_egress, F_to);
	if (val_len(types) > 2)
		fe_invalid(fe, &types_at, types, "may not specify more than two policyTypes");
	VAL_EACH(types, t) {
		struct fpath here = FPATH_AT(&types_at, i++);

		CHECK_ONE_OF(fe, t, &here, "Egress", "Ingress");
	}
}

/* --- ingress --- */

static void backend(struct field_errs *fe, const struct val *b, const struct fpath *at)
{
	const struct val *svc = val_member(b, F_service), *res = val_member(b, F_resource),
			 *port = val_member(svc, F_port);
	struct fpath svc_at = FPATH(at, F_service), port_at = FPATH(&svc_at, F_port),
		     num_at = FPATH(&port_at, F_number);
	struct fpath pname_at = FPATH(&port_at, F_name);
	bool named = val_get_str(port, F_name).n, numbered = val_get_int(port, 0, F_number) != 0;

	if (svc && res)
		fe_add(fe, FE_INVALID, at, NULL, "cannot set both resource and service backends");
	if (!svc && !res)
		fe_required_why(fe, at, "resource or service backend is required");
	if (!svc)
		return;
	check_required_text(fe, svc, &svc_at, F_name, fmt_dns1035_label);
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
	static const char *const never[] = { "//", "/./", "/../", "%2f", "%2F" };
	struct fpath path_at = FPATH(at, F_path), backend_at = FPATH(at, F_backend);
	const struct val *path = val_member(p, F_path);
	struct sv s = val_str(path);

	if (val_is(val_member(p, F_pathType), "ImplementationSpecific") ? s.n && s.p[0] != '/'
									: s.n == 0 || s.p[0] != '/')
		fe_invalid(fe, &path_at, path ? path : val_new_str(fe->a, SV("")), "must be an absolute path");
	for (size_t i = 0; !val_is(val_member(p, F_pathType), "ImplementationSpecific") && i < ARRAY_LEN(never); i++)
		if (sv_find_sv(s, sv_from(never[i])) >= 0)
			fe_add(fe, FE_INVALID, &path_at, path, "must not contain '%s'", never[i]);
	backend(fe, val_member(p, F_backend), &backend_at);
}

void validate_ingress(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *dflt = val_member(spec, F_defaultBackend);
	struct fpath at = FPATH_ROOT(F_spec), rules_at = FPATH(&at, F_rules), dflt_at = FPATH(&at, F_defaultBackend);
	struct fpath class_at = FPATH(&at, F_ingressClassName);
	size_t i = 0;

	(void)old;
	if (is_sub(sub, "status"))
		return;
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
			fe_format(fe, &host_at, host, fmt_wildcard_subdomain(host));
		else if (host.n)
			fe_format(fe, &host_at, host, fmt_dns_subdomain(host));
		VAL_EACH(val_get(r, F_http, F_paths), p) {
			struct fpath here = FPATH_AT(&paths_at, k++);

			http_path(fe, p, &here);
		}
	}
}
