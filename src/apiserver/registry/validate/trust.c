/* trust.c - ClusterTrustBundle and PodCertificateRequest: whom the cluster trusts, and certificates for pods. */
#include "apiserver/registry/validate/kinds-internal.h"

#include "base/b64.h"
#include "base/timefmt.h"
#include "net/cert_check.h"
#include "net/tls.h"

#define BUNDLE_MAX (1024 * 1024)
#define UID_MAX 128
#define REQUEST_MAX (10 * 1024)
#define CHAIN_MAX (100 * 1024)
#define LIFE_MIN 3600
#define REFRESH_MARGIN_NS (INT64_C(600) * NS_PER_SEC)
#define CLOCKS_APART_NS (5 * 60 * NS_PER_SEC)

/* --- bundles --- */

struct trust_ctx {
	struct field_errs *fe;
	const struct fpath *at;
};

static void trust_say(const char *what, void *ctx)
{
	struct trust_ctx *c = ctx;

	fe_add(c->fe, FE_INVALID, c->at, val_new_str(c->fe->a, SV("<value omitted>")), "%s", what);
}

/* A bundle of a signer is named after it, so that whoever may write those of one cannot write another's. */
static void trust_name(struct field_errs *fe, struct sv name, struct sv signer)
{
	struct fpath meta_at = FPATH_ROOT(F_metadata), at = FPATH(&meta_at, F_name);
	const struct val *v = val_new_str(fe->a, name);
	char *prefix = arena_cstr(fe->a, signer);

	for (char *c = prefix; *c; c++)
		*c = *c == '/' ? ':' : *c;
	if (!signer.n) {
		if (sv_find(name, ':') >= 0)
			fe_invalid(fe, &at, v,
				   "ClusterTrustBundle without signer name must not have \":\" in its name");
		else
			fe_check(fe, &at, name, fmt_dns_subdomain);
		return;
	}
	if (!sv_starts(name, arena_svf(fe->a, "%s:", prefix)))
		fe_add(fe, FE_INVALID, &at, v,
		       "ClusterTrustBundle for signerName %.*s must be named with prefix %s:", SV_ARG(signer), prefix);
	else
		fe_check_as(fe, &at, name, sv_sub(name, signer.n + 1, name.n), fmt_dns_subdomain);
}

void validate_cluster_trust_bundle(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub)
{
	const struct val *spec = val_member(doc, F_spec), *was = val_member(old, F_spec);
	struct fpath at = FPATH_ROOT(F_spec), bundle_at = FPATH(&at, F_trustBundle),
		     signer_at = FPATH(&at, F_signerName);
	struct sv bundle = val_get_str(spec, F_trustBundle);
	struct trust_ctx c = { .fe = fe, .at = &bundle_at };

	(void)sub;
	trust_name(fe, val_get_str(doc, F_metadata, F_name), val_get_str(spec, F_signerName));
	if (val_get_str(spec, F_signerName).n)
		validate_signer_name(fe, spec, &at);
	if (was && !sv_eq(val_get_str(was, F_signerName), val_get_str(spec, F_signerName)))
		fe_invalid(fe, &signer_at, val_new_str(fe->a, val_get_str(spec, F_signerName)), "field is immutable");
	if (was && sv_eq(val_get_str(was, F_trustBundle), bundle))
		return;
	if (bundle.n > BUNDLE_MAX)
		fe_too_long(fe, &bundle_at, BUNDLE_MAX);
	else
		cert_anchors_check(bundle, trust_say, &c);
}

/* --- certificates for pods --- */

/* How v1beta1 shows a key as well: as such, with a signature over the pod's uid. */
static void pcr_old_key(struct field_errs *fe, const struct val *spec, const struct fpath *up)
{
	struct fpath key_at = FPATH(up, F_pkixPublicKey), proof_at = FPATH(up, F_proofOfPossession),
		     request_at = FPATH(up, F_stubPKCS10Request);
	struct sv key = SV(""), proof = SV("");
	_cleanup_(err_release) struct err why = ERR_INIT;

	(void)b64_decode(fe->a, val_get_str(spec, F_pkixPublicKey), &key);
	(void)b64_decode(fe->a, val_get_str(spec, F_proofOfPossession), &proof);
	if (val_get_str(spec, F_stubPKCS10Request).n)
		fe_forbidden(fe, &request_at, "may not be specified together with pkixPublicKey and proofOfPossession");
	if (key.n > REQUEST_MAX)
		fe_too_long(fe, &key_at, REQUEST_MAX);
	else if (proof.n > REQUEST_MAX)
		fe_too_long(fe, &proof_at, REQUEST_MAX);
	else if (cert_possession_check(key, proof, val_get_str(spec, F_podUID), &why) < 0)
		fe_add(fe, FE_INVALID, strstr(err_msg(&why), "proof") ? &proof_at : &key_at,
		       val_new_str(fe->a, SV("<value omitted>")), "%s", err_msg(&why));
}

static void pcr_spec(struct field_errs *fe, const struct val *spec, const struct fpath *at)
{
	static const enum sym names[] = { F_podName, F_serviceAccountName, F_nodeName },
			      uids[] = { F_podUID, F_serviceAccountUID, F_nodeUID };
	bool ours = sv_starts(val_get_str(spec, F_signerName), SV("kubernetes.io/"));
	const struct val *secs = val_member(spec, F_maxExpirationSeconds),
			 *notes = val_member(spec, F_unverifiedUserAnnotations);
	struct fpath secs_at = FPATH(at, F_maxExpirationSeconds), request_at = FPATH(at, F_stubPKCS10Request),
		     notes_at = FPATH(at, F_unverifiedUserAnnotations);
	struct sv request = val_get_str(spec, F_stubPKCS10Request), der = SV("");
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t most = ours ? 86400 : 7862400;

	validate_signer_name(fe, spec, at);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct fpath name_at = FPATH(at, names[i]), uid_at = FPATH(at, uids[i]);
		struct sv uid = val_str(val_member(spec, uids[i]));

		fe_check(fe, &name_at, val_str(val_member(spec, names[i])), fmt_dns_subdomain);
		if (!uid.n)
			fe_format(fe, &uid_at, uid, "must not be empty");
		else if (uid.n > UID_MAX)
			fe_too_long(fe, &uid_at, UID_MAX);
	}
	if (!is_set(secs))
		fe_required_why(fe, &secs_at, "must be set");
	else if (val_int_or(secs, 0) < LIFE_MIN || val_int_or(secs, 0) > most)
		fe_add(fe, FE_INVALID, &secs_at, secs, "must be in the range [%d, %" PRId64 "]", LIFE_MIN, most);
	(void)b64_decode(fe->a, request, &der);
	if (val_get_str(spec, F_pkixPublicKey).n || val_get_str(spec, F_proofOfPossession).n)
		pcr_old_key(fe, spec, at);
	else if (der.n > REQUEST_MAX)
		fe_too_long(fe, &request_at, REQUEST_MAX);
	else if (cert_request_check(der, &why) < 0)
		fe_add(fe, FE_INVALID, &request_at, val_new_str(fe->a, SV("<value omitted>")), "%s", err_msg(&why));
	validate_signer_annotations(fe, notes, &notes_at);
}

/* The one condition that decides; NULL: none does yet. */
static const char *pcr_decision(const struct val *doc)
{
	static const char *const final[] = { "Issued", "Denied", "Failed" };

	VAL_EACH(val_get(doc, F_status, F_conditions), c)
		for (size_t i = 0; i < ARRAY_LEN(final); i++)
			if (val_is(val_member(c, F_type), final[i]))
				return final[i];
	return NULL;
}

static void pcr_conditions(struct field_errs *fe, const struct val *list, const struct fpath *at)
{
	size_t i = 0;

	validate_conditions(fe, list, at, 0);
	if (val_len(list) > 1)
		fe_invalid(fe, at, list,
			   "There may be at most one condition with type \"Issued\", \"Denied\", or \"Failed\"");
	VAL_EACH(list, c) {
		struct fpath item = FPATH_AT(at, i++), type_at = FPATH(&item, F_type),
			     status_at = FPATH(&item, F_status);

		CHECK_ONE_OF(fe, val_member(c, F_type), &type_at, "Denied", "Failed", "Issued");
		CHECK_ONE_OF(fe, val_member(c, F_status), &status_at, "True");
	}
}

/* A time that has to be there, and what it has to be. */
static bool pcr_time(struct field_errs *fe, const struct val *status, const struct fpath *up, enum sym name,
		     int64_t *ret_ns)
{
	const struct val *v = val_member(status, name);
	struct fpath at = FPATH(up, name);

	if (v && time_parse(val_str(v), ret_ns))
		return true;
	fe_required_why(fe, &at, "must be present and consistent with the issued certificate");
	return false;
}

static void pcr_issued(struct field_errs *fe, const struct val *doc, const struct fpath *at)
{
	const struct val *status = val_member(doc, F_status);
	struct sv chain = val_get_str(status, F_certificateChain), der = SV(""), key = SV("");
	struct fpath chain_at = FPATH(at, F_certificateChain), from_at = FPATH(at, F_notBefore),
		     to_at = FPATH(at, F_notAfter), refresh_at = FPATH(at, F_beginRefreshAt);
	const struct val *omitted = val_new_str(fe->a, SV("<certificate chain omitted>"));
	_cleanup_(err_release) struct err why = ERR_INIT;
	int64_t from = 0, to = 0, said_from = 0, said_to = 0, refresh = 0,
		most = val_get_int(doc, 0, F_spec, F_maxExpirationSeconds);
	bool has_from, has_to;

	if (chain.n > CHAIN_MAX) {
		fe_too_long(fe, &chain_at, CHAIN_MAX);
		return;
	}
	(void)b64_decode(fe->a, val_get_str(doc, F_spec, F_stubPKCS10Request), &der);
	(void)b64_decode(fe->a, val_get_str(doc, F_spec, F_pkixPublicKey), &key);
	if (cert_chain_check(chain, &why) < 0 || cert_answer_check(chain, der, key, &from, &to, &why) < 0) {
		fe_add(fe, FE_INVALID, &chain_at, omitted, "%s", err_msg(&why));
		return;
	}
	if (to - from < LIFE_MIN * NS_PER_SEC)
		fe_invalid(fe, &chain_at, omitted, "leaf certificate lifetime must be >= 1 hour");
	if ((to - from) / NS_PER_SEC > most)
		fe_add(fe, FE_INVALID, &chain_at, omitted,
		       "leaf certificate lifetime must be <= spec.maxExpirationSeconds (%" PRId64 ")", most);
	has_from = pcr_time(fe, status, at, F_notBefore, &said_from);
	has_to = pcr_time(fe, status, at, F_notAfter, &said_to);
	if (has_from && said_from != from)
		fe_invalid(fe, &from_at, val_member(status, F_notBefore),
			   "must be set to the NotBefore time encoded in the leaf certificate");
	/* What has long begun may be over, and would be asked for again at once, for ever. */
	if (has_from && fe->now_ns && llabs(said_from - fe->now_ns) >= CLOCKS_APART_NS)
		fe_invalid(fe, &from_at, val_member(status, F_notBefore),
			   "must be set to within 5 minutes of kube-apiserver's current time");
	if (has_to && said_to != to)
		fe_invalid(fe, &to_at, val_member(status, F_notAfter),
			   "must be set to the NotAfter time encoded in the leaf certificate");
	if (!pcr_time(fe, status, at, F_beginRefreshAt, &refresh))
		return;
	if (refresh < from + REFRESH_MARGIN_NS)
		fe_invalid(fe, &refresh_at, val_member(status, F_beginRefreshAt),
			   "must be at least 10 minutes after status.notBefore");
	if (refresh > to - REFRESH_MARGIN_NS)
		fe_invalid(fe, &refresh_at, val_member(status, F_beginRefreshAt),
			   "must be at least 10 minutes before status.notAfter");
}

static void pcr_status(struct field_errs *fe, const struct val *doc, const struct val *old)
{
	static const enum sym given[] = { F_certificateChain, F_notBefore, F_beginRefreshAt, F_notAfter };
	struct fpath at = FPATH_ROOT(F_status), conditions_at = FPATH(&at, F_conditions);
	const struct val *status = val_member(doc, F_status);
	const char *decided = pcr_decision(doc);

	pcr_conditions(fe, val_member(status, F_conditions), &conditions_at);
	if (pcr_decision(old)) {
		if (!val_same(status, val_member(old, F_status)))
			fe_invalid(fe, &at, status,
				   "immutable after PodCertificateRequest is issued, denied, or failed");
		return;
	}
	if (decided && strcmp(decided, "Issued") == 0) {
		pcr_issued(fe, doc, &at);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(given); i++) {
		const struct val *v = val_member(status, given[i]);
		struct fpath here = FPATH(&at, given[i]);

		if (val_str(v).n)
			fe_invalid(fe, &here, v, "must be empty unless the PodCertificateRequest is issued");
	}
}

void validate_pod_certificate_request(struct field_errs *fe, const struct val *doc, const struct val *old,
				      const char *sub)
{
	struct fpath at = FPATH_ROOT(F_spec);

	if (is_sub(sub, "status"))
		pcr_status(fe, doc, old);
	else if (old)
		check_immutable(fe, doc, old, NULL, F_spec);
	else
		pcr_spec(fe, val_member(doc, F_spec), &at);
}
