/* A name is one machine's: whoever comes with a bootstrap token and asks for the certificate of a Node that is there
 * must have that Node's key. Without this, everybody with a token could become any node, and two machines of one name
 * would take turns. k3s keeps a password of each node for it; here the key itself is known, for its agent writes the
 * hash down on its Node.
 *
 * Certificates that were given out for the name before are not taken, either (authn/authn.c).
 *
 * Refused right at the creation and not by whoever approves, so that the machine which asks is told at once. A Node
 * without the annotation is an upstream kubelet's, of which nothing is known: as upstream, it may. */
#include "apiserver/admission/plugins.h"
#include "base/b64.h"
#include "net/csr.h"
#include "net/key.h"
#include "object/annotation.h"
#include "object/node_identity.h"
#include "object/node_labels.h"

#define BOOTSTRAPPERS SV("system:bootstrappers")

static int node_key_validate(const struct admission *a, struct err *err)
{
	struct sv pem, name, known;
	struct csr csr;
	struct obj *node;
	char hash[65];

	if (a->op != ADMIT_CREATE || a->res != RES(certificates_certificatesigningrequests) || a->subresource.n ||
	    !user_in_group(&a->q->user, BOOTSTRAPPERS) ||
	    !val_is(val_get(a->doc, F_spec, F_signerName), SIGNER_KUBELET_CLIENT))
		return 0;
	/* What cannot be read is refused by validation, in its words. */
	if (!b64_decode(a->q->arena, val_get_str(a->doc, F_spec, F_request), &pem) ||
	    csr_parse(a->q->arena, pem, &csr, NULL) < 0 || key_hash(pem, hash, NULL) < 0)
		return 0;
	name = node_of_user(csr.common_name);
	if (!name.p)
		return 0;
	node = registry_peek(a->q, RES(core_nodes), SV(""), name);
	known = annotation_of(obj_root(node), NODE_KEY_ANNOTATION);
	if (!known.n || sv_is(known, hash))
		return 0;
	return admission_forbid(
	    a, err,
	    "node \"%.*s\" is in the cluster already, and is another machine or has lost its key: join "
	    "with another --node-name, or, when the one that is there is gone for good, delete it "
	    "first (kubectl delete node %.*s)",
	    SV_ARG(name), SV_ARG(name));
}

const struct admission_plugin admission_node_key = { .name = "NodeKey", .validate = node_key_validate };
