/* cluster_info.h - kube-public/cluster-info: where the cluster is and which CA it has, for machines that have a token
 * and nothing else. Everybody may read it (role kubeadm:bootstrap-signer-clusterinfo); the controller bootstrap-signer
 * signs it with the tokens (client/bootstrap_token.h).
 */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

struct apiserver;

/* The ConfigMap as this server would have it; NULL: it has no address that others could reach, or no CA. */
struct val *cluster_info_doc(struct apiserver *s, struct arena *a);
