/* projected_certificates.c - trust bundles and certificates of their own that pods get as files. */
#include "apiserver/registry/validate/kinds-internal.h"

#define SIGNER_PATH_MAX (253 + 63 + 1) /* a name, a namespace and the dot between them */

/* Each part between the dots of text; says what is wrong with the first that is. */
static size_t check_parts(struct field_errs *fe, struct sv text, const struct fpath *at, fmt_fn *fmt)
{
	struct sv rest = text, part;
	size_t n = 0;
	bool said = false;

	while (sv_split(&rest, '.', &part)) {
		const char *why = said ? NULL : fmt(part);

		if (why)
			fe_add(fe, FE_INVALID, at, val_new_str(fe->a, text), "validating label \"%.*s\": %s",
			       SV_ARG(part), why);
		said |= why != NULL;
		n++;
	}
	return n;
}

void validate_signer_name(struct field_errs *fe, const struct val *parent, const struct fpath *up)
{
	struct sv name = val_get_str(parent, F_signerName), path = name, domain = SV("");
	struct fpath at = FPATH(up, F_signerName);

	if (!name.n) {
		fe_required(fe, &at);
		return;
	}
	(void)sv_split(&path, '/', &domain);
	if (sv_find(name, '/') < 0 || sv_find(path, '/') >= 0) {
		fe_format(fe, &at, name,
			  "must be a fully qualified domain and path of the form \"example.com/signer-name\"");
		return;
	}
	if (domain.n > 253)
		fe_too_long(fe, &at, 253);
	if (check_parts(fe, domain, &at, fmt_dns_label) < 2)
		fe_format(fe, &at, domain, "should be a domain with at least two segments");
	(void)check_parts(fe, path, &at, fmt_dns_subdomain);
	if (path.n > SIGNER_PATH_MAX)
		fe_too_long(fe, &at, SIGNER_PATH_MAX);
}

/* Of a signer's bundle the name begins with the signer's, in which : stands for /. */
static void bundle_name(struct field_errs *fe, struct sv name, const struct fpath *at)
{
	struct sv last = name;
	const char *why;

	while (sv_find(last, ':') >= 0)
		last = sv_sub(last, (size_t)sv_find(last, ':') + 1, last.n);
	why = fmt_dns_subdomain(last);
	if (!name.n)
		fe_required_why(fe, at, "must be a valid object name");
	if (why)
		fe_add(fe, FE_INVALID, at, val_new_str(fe->a, name), "not a valid clustertrustbundlename: %s", why);
}

void validate_trust_bundle(struct field_errs *fe, const struct val *src, const struct fpath *up)
{
	const struct val *name = val_member(src, F_name), *signer = val_member(src, F_signerName),
			 *sel = val_member(src, F_labelSelector), *path = val_member(src, F_path);
	struct fpath at = FPATH_NAME(up, SV("clusterTrustBundlePEM")); /* upstream's name of it */
	struct fpath name_at = FPATH(&at, F_name), signer_at = FPATH(&at, F_signerName),
		     sel_at = FPATH(&at, F_labelSelector), path_at = FPATH(&at, F_path);

	if (name && signer) {
		fe_invalid(fe, &at, src, "only one of name and signerName may be used");
	} else if (name) {
		bundle_name(fe, val_str(name), &name_at);
		if (sel)
			fe_invalid(fe, &sel_at, sel, "labelSelector must be unset if name is specified");
	} else if (signer) {
		if (!val_str(signer).n)
			fe_required_why(fe, &signer_at, "must be a valid signer name");
		validate_signer_name(fe, src, &at);
		validate_label_selector(fe, sel, &sel_at);
	} else {
		fe_required_why(fe, &at, "either name or signerName must be specified");
	}
	if (!val_str(path).n)
		fe_required(fe, &path_at);
	else
		check_volume_path(fe, path, &path_at);
}

void validate_signer_annotations(struct field_errs *fe, const struct val *notes, const struct fpath *at)
{
	validate_annotations(fe, notes, at);
	VAL_EACH_MEMBER(notes, m) {
		struct fpath here = FPATH_KEY(at, m.key);

		if (sv_find(m.key, '/') < 0)
			fe_format(fe, &here, m.key, "key must be domain-prefixed");
	}
}

void validate_pod_certificate(struct field_errs *fe, const struct val *src, const struct fpath *up)
{
	static const enum sym files[] = { F_credentialBundlePath, F_keyPath, F_certificateChainPath };
	const struct val *secs = val_member(src, F_maxExpirationSeconds), *type = val_member(src, F_keyType);
	struct fpath at = FPATH(up, F_podCertificate), secs_at = FPATH(&at, F_maxExpirationSeconds),
		     type_at = FPATH(&at, F_keyType), notes_at = FPATH(&at, F_userAnnotations);
	int64_t max = sv_starts(val_get_str(src, F_signerName), SV("kubernetes.io/")) ? 86400 : 7862400;
	size_t n = 0;

	validate_signer_name(fe, src, &at);
	CHECK_ONE_OF(fe, type ? type : val_new_str(fe->a, SV("")), &type_at, "RSA3072", "RSA4096", "ECDSAP256",
		     "ECDSAP384", "ECDSAP521", "ED25519");
	if (secs && val_int_or(secs, 0) < 3600)
		fe_invalid(fe, &secs_at, secs, "if provided, maxExpirationSeconds must be >= 3600");
	if (secs && val_int_or(secs, 0) > max)
		fe_add(fe, FE_INVALID, &secs_at, secs, "if provided, maxExpirationSeconds must be <= %" PRId64, max);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		const struct val *path = val_member(src, files[i]);
		struct fpath path_at = FPATH(&at, files[i]);

		if (!val_str(path).n)
			continue;
		n++;
		check_volume_path(fe, path, &path_at);
	}
	if (!n)
		fe_required_why(fe, &at,
				"specify at least one of credentialBundlePath, keyPath, and certificateChainPath");
	validate_signer_annotations(fe, val_member(src, F_userAnnotations), &notes_at);
}
