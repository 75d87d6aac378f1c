#include "controllers/csr_rules.h"

#include "base/ip.h"
#include "controllers/podutil.h"

#define NAMES_MAX 32

/* These, and with RSA or without: encipherment of keys. */
static bool csr_usages_are(const struct val *usages, const char *auth)
{
	VAL_EACH(usages, u)
		if (!val_is(u, auth) && !val_is(u, "digital signature") && !val_is(u, "key encipherment"))
			return false;
	return list_has_text(usages, sv_from(auth)) && list_has_text(usages, SV("digital signature"));
}

static bool csr_of_nodes(const struct csr *csr)
{
	return csr->n_organizations == 1 && sv_is(csr->organizations[0], "system:nodes");
}

static const char *csr_not_one_name(const struct csr *csr)
{
	return csr->n_common_names > 1 ? "subject has more than one common name" : NULL;
}

static const char *csr_not_a_node(const struct csr *csr)
{
	if (!node_of_user(csr->common_name).n)
		return "subject common name does not begin with " NODE_USER_PREFIX;
	return csr_not_one_name(csr);
}

const char *csr_not_client(struct arena *a, const struct csr *csr, const struct val *usages)
{
	VAL_EACH(usages, u)
		if (!val_is(u, "client auth") && !val_is(u, "digital signature") && !val_is(u, "key encipherment"))
			return arena_printf(a, "invalid usage for client certificate: %.*s", SV_ARG(val_str(u)));
	if (!list_has_text(usages, SV("client auth")))
		return "missing required usage for client certificate: client auth";
	return csr_not_one_name(csr);
}

const char *csr_not_kubelet_client(const struct csr *csr, const struct val *usages)
{
	const char *why;

	if (!csr_of_nodes(csr))
		return "subject organization is not system:nodes";
	if (csr->n_dns_names)
		return "DNS subjectAltNames are not allowed";
	if (csr->n_emails)
		return "Email subjectAltNames are not allowed";
	if (csr->n_ips)
		return "IP subjectAltNames are not allowed";
	if (csr->n_uris)
		return "URI subjectAltNames are not allowed";
	why = csr_not_a_node(csr);
	if (!why && !csr_usages_are(usages, "client auth"))
		why = "usages did not match [client auth digital signature key encipherment]";
	return why;
}

const char *csr_not_kubelet_serving(const struct csr *csr, const struct val *usages)
{
	if (!csr_of_nodes(csr))
		return "subject organization is not system:nodes";
	if (!csr->n_dns_names && !csr->n_ips)
		return "DNS or IP subjectAltName is required";
	if (csr->n_emails)
		return "Email subjectAltNames are not allowed";
	if (csr->n_uris)
		return "URI subjectAltNames are not allowed";
	if (!csr_usages_are(usages, "server auth"))
		return "usages did not match [digital signature key encipherment server auth]";
	return csr_not_a_node(csr);
}

const char *csr_not_for(struct arena *a, struct sv signer, const struct csr *csr, const struct val *usages)
{
	if (sv_is(signer, SIGNER_CLIENT))
		return csr_not_client(a, csr, usages);
	if (sv_is(signer, SIGNER_KUBELET_CLIENT))
		return csr_not_kubelet_client(csr, usages);
	return sv_is(signer, SIGNER_KUBELET_SERVING) ? csr_not_kubelet_serving(csr, usages) : NULL;
}

/* Addresses in their one spelling: a Node may write its own differently. */
static bool csr_same_ip(struct sv x, struct sv y)
{
	struct ip_addr a, b;

	return ip_parse(x, &a) && ip_parse(y, &b) && ip_eq(a, b);
}

/* public: ExternalIPs count, too, which nodes behind one router share. */
static bool csr_node_has(const struct val *node, struct sv name, bool ip, bool public)
{
	if (!ip && sv_ieq(name, val_get_str(node, F_metadata, F_name)))
		return true;
	VAL_EACH(val_get(node, F_status, F_addresses), ad) {
		struct sv address = val_get_str(ad, F_address);
		bool is_ip = sv_ends(val_get_str(ad, F_type), SV("IP"));

		if (!public && sv_starts(val_get_str(ad, F_type), SV("External")))
			continue;
		if (is_ip == ip && (ip ? csr_same_ip(name, address) : sv_ieq(name, address)))
			return true;
	}
	return false;
}

static bool csr_has_star(struct sv name)
{
	return sv_find(name, '*') >= 0;
}

struct sv csr_foreign_name(const struct csr *csr, const struct val *node, struct sv server_cert_pem)
{
	/* Each costs a look at all that its Node has. */
	if (csr->n_dns_names > NAMES_MAX || csr->n_ips > NAMES_MAX)
		return SV("more than 32 names");
	for (size_t i = 0; i < csr->n_dns_names; i++)
		if (csr_has_star(csr->dns_names[i]) || !csr_node_has(node, csr->dns_names[i], false, true) ||
		    cert_names_it(server_cert_pem, csr->dns_names[i]))
			return csr->dns_names[i];
	for (size_t i = 0; i < csr->n_ips; i++)
		if (!csr_node_has(node, csr->ips[i], true, true) || cert_names_it(server_cert_pem, csr->ips[i]))
			return csr->ips[i];
	return SV_NULL;
}

bool csr_names_other(const struct csr *csr, const struct val *other)
{
	for (size_t i = 0; i < MIN(csr->n_dns_names, (size_t)NAMES_MAX); i++)
		if (csr_node_has(other, csr->dns_names[i], false, false))
			return true;
	for (size_t i = 0; i < MIN(csr->n_ips, (size_t)NAMES_MAX); i++)
		if (csr_node_has(other, csr->ips[i], true, false))
			return true;
	return false;
}
