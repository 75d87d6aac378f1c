/* node_identity.h - the words by which the API knows a node: its user, and the signers of the certificates that say so.
 */
#pragma once

#include "base/base.h"

#define NODE_USER_PREFIX "system:node:"

#define SIGNER_CLIENT "kubernetes.io/kube-apiserver-client"
#define SIGNER_KUBELET_CLIENT "kubernetes.io/kube-apiserver-client-kubelet"
#define SIGNER_KUBELET_SERVING "kubernetes.io/kubelet-serving"
#define SIGNER_LEGACY "kubernetes.io/legacy-unknown"

/* The name behind the prefix, "" when nothing is there; SV_NULL: no node's. Whoever has that name is one only if he is
 * in the group system:nodes, too. */
static inline struct sv node_of_user(struct sv user)
{
	return sv_starts(user, SV(NODE_USER_PREFIX)) ? sv_sub(user, sizeof(NODE_USER_PREFIX) - 1, user.n) : SV_NULL;
}
