/* CertificateApproval, CertificateSigning: whoever decides about a request, or answers it, has the right to its signer.
 * ClusterTrustBundleAttest: nor does who has no right to a signer say whom to trust in its name.
 * CertificateSubjectRestriction: nobody becomes system:masters, or the API server to kubelets, by a
 * request.
 *
 * The right is one to the verbs approve and sign on the resource signers, (and attest), by the signer's name or by its
 * domain with a star behind the slash, for all of its signers. The stored object's name counts, whatever the new one
 * says. */
#include "apiserver/admission/plugins.h"
#include "apiserver/authz.h"
#include "apiserver/pki.h"
#include "base/b64.h"
#include "net/csr.h"
#include "object/node_identity.h"

static bool certs_is(const struct admission *a, enum admission_op op, const char *sub)
{
	return a->res == RES(certificates_certificatesigningrequests) && a->op == op && sv_is(a->subresource, sub);
}

/* 0: he has it, 1: he has not; -1 and REQ_LATER as authz_ask() says. */
static int certs_may(struct api_req *q, const char *verb, struct sv signer)
{
	struct sv domain, rest = signer, reason;
	struct authz_attrs at = {
		.user = &q->user,
		.verb = sv_from(verb),
		.resource_request = true,
		.group = SV("certificates.k8s.io"),
		.version = SV("*"),
		.resource = SV("signers"),
		.name = signer,
	};
	int rc = authz_ask(q, &at, &reason, NULL);

	/* Who refuses the signer is not asked about its domain, nor who cannot say. */
	if (rc != 1)
		return rc;
	(void)sv_split(&rest, '/', &domain);
	at.name = arena_svf(q->arena, "%.*s/*", SV_ARG(domain));
	return authz_ask(q, &at, &reason, NULL);
}

static int certs_require(const struct admission *a, const char *verb, struct err *err)
{
	struct sv signer = val_get_str(a->old, F_spec, F_signerName);
	int rc = certs_may(a->q, verb, signer);

	if (rc == 0 || rc == REQ_LATER)
		return rc;
	return admission_forbid(a, err, "user not permitted to %s requests with signerName \"%.*s\"", verb,
				SV_ARG(signer));
}

static int certs_approve(const struct admission *a, struct err *err)
{
	return certs_is(a, ADMIT_UPDATE, "approval") ? certs_require(a, "approve", err) : 0;
}

static int certs_sign(const struct admission *a, struct err *err)
{
	if (!certs_is(a, ADMIT_UPDATE, "status") ||
	    (val_same(val_get(a->old, F_status, F_certificate), val_get(a->doc, F_status, F_certificate)) &&
	     val_same(val_get(a->old, F_status, F_conditions), val_get(a->doc, F_status, F_conditions))))
		return 0;
	return certs_require(a, "sign", err);
}

/* What says nothing else than before may be touched: garbage is collected, objects are migrated. */
static int certs_attest(const struct admission *a, struct err *err)
{
	static const enum sym said[] = { F_labels, F_annotations };
	struct sv signer = val_get_str(a->doc, F_spec, F_signerName);
	bool same = a->op == ADMIT_UPDATE;
	int rc;

	if (strcmp(a->res->group, "certificates.k8s.io") != 0 || strcmp(a->res->plural, "clustertrustbundles") != 0 ||
	    (a->op != ADMIT_CREATE && a->op != ADMIT_UPDATE) || !signer.n)
		return 0;
	same = same && val_same(val_get(a->doc, F_spec), val_get(a->old, F_spec));
	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		same = same && val_same(val_get(a->doc, F_metadata, said[i]), val_get(a->old, F_metadata, said[i]));
	if (same)
		return 0;
	rc = certs_may(a->q, "attest", signer);
	if (rc == 0 || rc == REQ_LATER)
		return rc;
	return admission_forbid(a, err, "user not permitted to attest for signerName \"%.*s\"", SV_ARG(signer));
}

static int certs_subject(const struct admission *a, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	/* Those who may do everything here, and on every kubelet (pki.h). */
	static const char *const reserved[] = { "system:masters", KUBELET_CLIENT_GROUP };
	struct csr csr;
	struct sv pem;

	if (!certs_is(a, ADMIT_CREATE, "") || !val_is(val_get(a->doc, F_spec, F_signerName), SIGNER_CLIENT))
		return 0;
	if (!b64_decode(a->q->arena, val_get_str(a->doc, F_spec, F_request), &pem) ||
	    csr_parse(a->q->arena, pem, &csr, &why) < 0)
		return admission_forbid(a, err, "failed to parse CSR: %s", err_msg(&why));
	for (size_t i = 0; i < csr.n_organizations; i++)
		for (size_t k = 0; k < ARRAY_LEN(reserved); k++)
			if (sv_is(csr.organizations[i], reserved[k]))
				return admission_forbid(a, err,
							"use of " SIGNER_CLIENT " signer with %s group is not allowed",
							reserved[k]);
	return 0;
}

const struct admission_plugin admission_certificate_approval = {
	.name = "CertificateApproval",
	.validate = certs_approve,
};
const struct admission_plugin admission_certificate_signing = {
	.name = "CertificateSigning",
	.validate = certs_sign,
};
const struct admission_plugin admission_bundle_attest = {
	.name = "ClusterTrustBundleAttest",
	.validate = certs_attest,
};
const struct admission_plugin admission_certificate_subject = {
	.name = "CertificateSubjectRestriction",
	.validate = certs_subject,
};
