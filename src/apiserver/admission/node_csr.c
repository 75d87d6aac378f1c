/* Requests for certificates of a node: for its own name. What else they may be, their signers check. */
#include "apiserver/admission/node_restriction.h"
#include "base/b64.h"
#include "net/csr.h"
#include "object/node_identity.h"

int node_restrict_csr(const struct admission *a, struct sv node, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv signer = val_get_str(a->doc, F_spec, F_signerName), pem;
	struct csr csr;

	if (a->op != ADMIT_CREATE || (!sv_is(signer, SIGNER_KUBELET_SERVING) && !sv_is(signer, SIGNER_KUBELET_CLIENT)))
		return 0;
	if (!b64_decode(a->q->arena, val_get_str(a->doc, F_spec, F_request), &pem))
		pem = SV("");
	if (csr_parse(a->q->arena, pem, &csr, &why) < 0)
		return admission_forbid(a, err, "unable to parse csr: %s", err_msg(&why));
	if (csr.n_common_names != 1 ||
	    !sv_eq(csr.common_name, arena_svf(a->q->arena, NODE_USER_PREFIX "%.*s", SV_ARG(node))))
		return admission_forbid(a, err, "can only create a node CSR with CN=" NODE_USER_PREFIX "%.*s",
					SV_ARG(node));
	return 0;
}
