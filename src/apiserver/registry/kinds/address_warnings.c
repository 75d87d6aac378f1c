/* Warning headers for IPv6 addresses that are right but not written as RFC 5952 has it: there are many texts for one
 * address, and whoever compares texts takes them for different ones. */
#include "apiserver/registry/kinds/kinds.h"

#include <arpa/inet.h>

static bool shortest(const uint8_t b[16], char ret[INET6_ADDRSTRLEN])
{
	return inet_ntop(AF_INET6, b, ret, INET6_ADDRSTRLEN) != NULL;
}

void warn_of_ip(struct api_req *q, const struct fpath *at, struct sv ip)
{
	char want[INET6_ADDRSTRLEN];
	uint8_t b[16];
	bool v6;

	if (fmt_ip_bytes(ip, b, &v6) && v6 && shortest(b, want) && !sv_is(ip, want))
		api_req_warn(q, "%.*s: IPv6 address \"%.*s\" should be in RFC 5952 canonical format (\"%s\")",
			     SV_ARG(fpath_str(q->arena, at)), SV_ARG(ip), want);
}

void warn_of_cidr(struct api_req *q, const struct fpath *at, struct sv cidr)
{
	char want[INET6_ADDRSTRLEN];
	uint8_t b[16];
	struct sv text;
	bool v6;
	int bits;

	if (!fmt_cidr_parts(cidr, b, &v6, &bits) || !v6 || !shortest(b, want))
		return;
	text = arena_svf(q->arena, "%s/%d", want, bits);
	if (!sv_eq(cidr, text))
		api_req_warn(q, "%.*s: IPv6 CIDR value \"%.*s\" should be in RFC 5952 canonical format (\"%.*s\")",
			     SV_ARG(fpath_str(q->arena, at)), SV_ARG(cidr), SV_ARG(text));
}

static void ips(struct api_req *q, const struct val *list, const struct fpath *at, enum sym name)
{
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath item = FPATH_AT(at, i++), here = FPATH(&item, name);

		if (name == SYM_NONE)
			warn_of_ip(q, &item, val_str(v));
		else
			warn_of_ip(q, &here, val_str(val_member(v, name)));
	}
}

static void cidrs(struct api_req *q, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	VAL_EACH(list, v) {
		struct fpath here = FPATH_AT(at, i++);

		warn_of_cidr(q, &here, sv_trim(val_str(v)));
	}
}

void warn_of_service_addresses(struct api_req *q, const struct val *spec)
{
	struct fpath at = FPATH_ROOT(F_spec), own_at = FPATH(&at, F_clusterIPs),
		     external_at = FPATH(&at, F_externalIPs), lb_at = FPATH(&at, F_loadBalancerIP),
		     ranges_at = FPATH(&at, F_loadBalancerSourceRanges);

	ips(q, val_member(spec, F_clusterIPs), &own_at, SYM_NONE);
	ips(q, val_member(spec, F_externalIPs), &external_at, SYM_NONE);
	warn_of_ip(q, &lb_at, val_get_str(spec, F_loadBalancerIP));
	cidrs(q, val_member(spec, F_loadBalancerSourceRanges), &ranges_at);
}

void warn_of_pod_addresses(struct api_req *q, const struct val *spec, const struct fpath *at)
{
	struct fpath dns_at = FPATH(at, F_dnsConfig), servers_at = FPATH(&dns_at, F_nameservers),
		     aliases_at = FPATH(at, F_hostAliases);

	ips(q, val_get(spec, F_dnsConfig, F_nameservers), &servers_at, SYM_NONE);
	ips(q, val_member(spec, F_hostAliases), &aliases_at, F_ip);
}

void networkpolicy_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	static const enum sym dirs[] = { F_ingress, F_egress }, peers[] = { F_from, F_to };
	struct fpath spec_at = FPATH_ROOT(F_spec);

	(void)old;
	for (size_t i = 0; !q->trusted && i < ARRAY_LEN(dirs); i++) {
		struct fpath dir_at = FPATH(&spec_at, dirs[i]);
		size_t r = 0;

		VAL_EACH(val_get(doc, F_spec, dirs[i]), rule) {
			struct fpath rule_at = FPATH_AT(&dir_at, r++), peers_at = FPATH(&rule_at, peers[i]);
			size_t p = 0;

			VAL_EACH(val_member(rule, peers[i]), peer) {
				struct fpath peer_at = FPATH_AT(&peers_at, p++), block_at = FPATH(&peer_at, F_ipBlock),
					     cidr_at = FPATH(&block_at, F_cidr), not_at = FPATH(&block_at, F_except);

				warn_of_cidr(q, &cidr_at, val_get_str(peer, F_ipBlock, F_cidr));
				cidrs(q, val_get(peer, F_ipBlock, F_except), &not_at);
			}
		}
	}
}

void endpointslice_warn(struct api_req *q, const struct val *doc, const struct val *old)
{
	struct fpath at = FPATH_ROOT(F_endpoints);
	size_t i = 0;

	(void)old;
	if (q->trusted || !val_is(val_get(doc, F_addressType), "IPv6"))
		return;
	VAL_EACH(val_get(doc, F_endpoints), e) {
		struct fpath item = FPATH_AT(&at, i++), addresses_at = FPATH(&item, F_addresses);

		ips(q, val_member(e, F_addresses), &addresses_at, SYM_NONE);
	}
}
