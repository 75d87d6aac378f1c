/* trust_bundles.h - what projected volumes show of ClusterTrustBundles (KEP-3257).
 *
 * A node may read all bundles, so there is one informer of them, begun by the first pod that asks: a node whose pods
 * use none holds none. When one comes, changes or goes, the volumes of all pods that show any are looked at again.
 *
 * Threads: any. Not to be called with k->lock or p->lock held.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

struct kubelet;
struct trust_bundles;

struct trust_bundles *trust_bundles_new(struct kubelet *k);
struct trust_bundles *trust_bundles_free(struct trust_bundles *t); /* no handler runs after */

/* The certificates that a clusterTrustBundle source selects, by name or by signer and labels: each once, as PEM in the
 * arena, "" when it is optional and there are none. Their order says nothing. ERR_UNAVAILABLE until the bundles are
 * known, ERR_NOT_FOUND when there are none. */
int trust_bundles_get(struct trust_bundles *t, struct arena *a, const struct val *src, struct sv *ret, struct err *err);
