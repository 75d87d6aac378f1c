/* csrsigning: a certificate by the cluster's CA for every approved request to one of the signers of kubernetes.io. A
 * request that its signer's rules refuse (csr_rules.h) gets the condition Failed and never a certificate.
 *
 * It begins five minutes ago, for clocks that are behind, and ends when the request says, after a year at the latest,
 * or with the CA. Unlike what the API server makes for itself (apiserver/pki.h) it does not begin in 1970: kubelets
 * tell from the beginning and the end when to ask anew. */
#include "controllers/csr.h"

#include "base/b64.h"

#define LIFE_NS (365 * 86400 * NS_PER_SEC)
#define LIFE_MIN_NS (600 * NS_PER_SEC)
#define BACKDATE_NS (300 * NS_PER_SEC)
#define SHORT_NS (8 * 3600 * NS_PER_SEC) /* for what is shorter, five minutes would be much */

static int64_t signing_life(const struct obj *o)
{
	const struct val *asked = obj_get(o, F_spec, F_expirationSeconds);

	return asked ? MAX(LIFE_MIN_NS, MIN(LIFE_NS, val_int_or(asked, 0) * NS_PER_SEC)) : LIFE_NS;
}

static int signing_issue(struct csr_controller *c, struct arena *a, struct obj *o, struct err *err)
{
	const struct val *usages = obj_get(o, F_spec, F_usages);
	struct sv *words = ARENA_ARRAY(a, struct sv, val_len(usages) + 1), pem, cert;
	int64_t now = env_now_ns(c->ctx->env), life = signing_life(o);
	struct csr_sign_opts so = {
		.ca_cert = c->ctx->opts->signing_ca_pem,
		.ca_key = c->ctx->opts->signing_key_pem,
		.not_before_ns = MAX(0, now - BACKDATE_NS),
		/* By a clock that has not been set yet all would be over once it is. */
		.not_after_ns = MAX(now, CLOCK_FLOOR_NS) + life - (life < SHORT_NS ? 0 : BACKDATE_NS),
		.usages = words,
	};
	struct val *doc;

	VAL_EACH(usages, u)
		words[so.n_usages++] = val_str(u);
	if (!b64_decode(a, val_str(obj_get(o, F_spec, F_request)), &pem))
		return 0;
	if (csr_sign(a, pem, &so, &cert, err) < 0)
		return err_wrap(err, "signing request '%.*s'", SV_ARG(obj_name(o)));
	doc = obj_edit(a, o);
	val_set_str(a, val_ensure_map(a, doc, F_status), F_certificate, b64_encode(a, cert));
	return csr_write(c, doc, "status", err);
}

static bool signing_is_ours(struct sv signer)
{
	return sv_is(signer, SIGNER_CLIENT) || sv_is(signer, SIGNER_KUBELET_CLIENT) ||
	       sv_is(signer, SIGNER_KUBELET_SERVING) || sv_is(signer, SIGNER_LEGACY);
}

static int signing_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct csr_controller *c = ctx;
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *o = informer_lookup(c->requests, SV(""), key);
	struct sv signer = o ? val_str(obj_get(o, F_spec, F_signerName)) : SV("");
	const char *why;
	struct csr csr;

	(void)ret;
	if (!o || obj_deleting(o) || csr_issued(o) || !csr_condition(o, "Approved") || csr_condition(o, "Denied") ||
	    csr_condition(o, "Failed") || !signing_is_ours(signer) || !csr_of(&a, o, &csr))
		return 0;
	why = csr_not_for(&a, signer, &csr, obj_get(o, F_spec, F_usages));
	return why ? csr_decide(c, o, "status", "Failed", "SignerValidationFailure", why, err)
		   : signing_issue(c, &a, o, err);
}

static void *signing_start(struct controller_ctx *ctx)
{
	if (!ctx->opts->signing_key_pem.n)
		return NULL; /* whoever has the key signs elsewhere */
	return csr_controller_start(ctx, "csr-signing", false, signing_reconcile);
}

static void signing_stop(void *controller)
{
	if (controller)
		csr_controller_stop(controller);
}

const struct controller_ops csr_signing_controller = { "certificatesigningrequest-signing-controller",
						       "certificate-controller", signing_start, signing_stop };
