/* csr_rules.h - what the signers of kubernetes.io ask of a request, beyond that it is one.
 *
 * Pure. Each says NULL, or what is wrong with it in upstream's words, in the arena or constant.
 *
 * A subject with two common names is refused everywhere: who reads such a certificate might take the other one.
 */
#pragma once

#include "net/csr.h"
#include "codec/doc.h"
#include "object/node_identity.h"

/* usages: the list in its spec. */
const char *csr_not_client(struct arena *a, const struct csr *csr, const struct val *usages);
const char *csr_not_kubelet_client(const struct csr *csr, const struct val *usages);
const char *csr_not_kubelet_serving(const struct csr *csr, const struct val *usages);
/* By the signer's name; of the legacy signer everything is right. */
const char *csr_not_for(struct arena *a, struct sv signer, const struct csr *csr, const struct val *usages);

/* The name that the request asks for which its node has not, by the Node's name and status.addresses: SV_NULL when it
 * has them all; of more than 32 it has none. server_cert: no node is given a name of the API server, whoever else has
 * it. */
struct sv csr_foreign_name(const struct csr *csr, const struct val *node, struct sv server_cert_pem);
/* Whether it asks for a name or an address of another node: its name, what is internal to the cluster. */
bool csr_names_other(const struct csr *csr, const struct val *other);
