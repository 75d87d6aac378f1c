/* addresses.c - ServiceCIDR and IPAddress: where Services get their addresses from, and which are taken. */
#include "apiserver/registry/validate/kinds-internal.h"

#include <arpa/inet.h>

static const struct val *canonical_ip(struct arena *a, const uint8_t raw[16], bool v6, const char *tail)
{
	char text[INET6_ADDRSTRLEN];

	if (!inet_ntop(v6 ? AF_INET6 : AF_INET, raw, text, sizeof(text)))
		text[0] = '\0';
	return val_new_str(a, sv_from(arena_printf(a, "%s%s", text, tail)));
}

/* The text that names its network and nothing else: lower case, shortest, no bits behind the prefix. */
static void cidr(struct field_errs *fe, const struct val *v, const struct fpath *at, bool *ret_v6)
{
	const struct val *want;
	uint8_t raw[16];
	int bits;

	if (!check_legacy_cidr(fe, val_str(v), at, NULL, ret_v6) || !fmt_cidr_parts(val_str(v), raw, ret_v6, &bits))
		return;
	want = canonical_ip(fe->a, raw, *ret_v6, arena_printf(fe->a, "/%d", bits));
	if (!val_equal(want, v))
		fe_add(fe, FE_INVALID, at, v, "must be in canonical form (\"%.*s\")", SV_ARG(val_str(want)));
}

void check_interface_address(struct field_errs *fe, const struct val *v, const struct fpath *at)
{
	const struct val *want;
	uint8_t raw[16];
	bool v6;
	int bits;

	if (!fmt_cidr_parts(val_str(v), raw, &v6, &bits)) {
		fe_invalid(fe, at, v, "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
		return;
	}
	want = canonical_ip(fe->a, raw, v6, arena_printf(fe->a, "/%d", bits));
	if (!val_equal(want, v))
		fe_add(fe, FE_INVALID, at, v, "must be in canonical form (\"%.*s\")", SV_ARG(val_str(want)));
}

void validate_service_cidr(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *list = val_get(doc, F_spec, F_cidrs), *was = val_get(old, F_spec, F_cidrs);
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, F_cidrs);
	bool v6[2] = { false, false };
	size_t i = 0;

	if (is_sub(sub, "status"))
		return;
	if (!val_len(list))
		fe_required_why(fe, &at, "at least one CIDR required");
	else if (val_len(list) > 2)
		fe_invalid(fe, &at, list, "may only hold up to 2 values");
	VAL_EACH(list, c) {
		struct fpath here = FPATH_AT(&at, i);

		if (i < 2)
			cidr(fe, c, &here, &v6[i]);
		i++;
	}
	if (val_len(list) == 2 && v6[0] == v6[1])
		fe_invalid(fe, &at, list, "may specify no more than one IP for each IP family");
	/* A second family may join; what is there stays. */
	if (old && !val_equal(list, was) &&
	    !(val_len(was) == 1 && val_len(list) == 2 && val_equal(val_at(list, 0), val_at(was, 0))))
		fe_invalid(fe, &at, list, "field is immutable");
}

/* IPAddresses are named by their address, so there is one text for each. */
const char *check_ip_name(struct sv name)
{
	static const char msg[] = "must be a valid IP address in canonical form, (e.g. 10.9.8.7 or 2001:db8::ffff)";
	char text[INET6_ADDRSTRLEN];
	uint8_t raw[16];
	bool v6;

	if (!fmt_ip_bytes(name, raw, &v6) || !inet_ntop(v6 ? AF_INET6 : AF_INET, raw, text, sizeof(text)) ||
	    !sv_is(name, text))
		return msg;
	return NULL;
}

void validate_ip_address(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	static const enum sym parts[] = { F_resource, F_name };
	const struct val *ref = val_get(doc, F_spec, F_parentRef);
	struct fpath spec_at = FPATH_ROOT(F_spec), at = FPATH(&spec_at, F_parentRef), group_at = FPATH(&at, F_group),
		     ns_at = FPATH(&at, F_namespace);

	(void)old; /* immutable by the schema */
	(void)sub;
	if (!ref) {
		fe_required(fe, &at);
		return;
	}
	if (val_get_str(ref, F_group).n)
		check_text(fe, val_member(ref, F_group), &group_at, fmt_dns_subdomain);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		check_required_text(fe, ref, &at, parts[i], fmt_path_segment);
	if (val_get_str(ref, F_namespace).n)
		check_text(fe, val_member(ref, F_namespace), &ns_at, fmt_path_segment);
}
