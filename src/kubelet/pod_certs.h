/* pod_certs.h - certificates of pods, which a signer gives them (KEP-4317).
 *
 * For each podCertificate source of a pod the node makes a key, and a PodCertificateRequest that shows it; somebody's
 * signer answers, and the key with the answered chain is what the volume shows. The key has never been anywhere else:
 * it is in this process's memory and in the volume, which is memory, too. An agent that starts anew asks anew.
 *
 *	nothing ──▶ asked ──▶ in use ──▶ in use, the next one asked ──▶ in use ...
 *	              └──────────▶ refused, for good ◀──────┘
 *
 * A certificate is renewed when its signer wanted (status.beginRefreshAt) and up to five minutes later, so that those
 * of many pods do not come at once. What is refused stays so while the pod lives: the signer has looked at it. A
 * request that somebody deletes before it is answered is made again, with the same key. Where none can be made it is
 * tried again after a second, and after up to five minutes; until then what kept it is the answer.
 *
 * Answers come by one informer of this node's requests, begun by the first pod that wants a certificate.
 *
 * Threads: pod_cert_get() from the pod's sync alone.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

struct kpod;
struct kubelet;
struct pod_certs;

struct pod_certs *pod_certs_new(struct kubelet *k);
struct pod_certs *pod_certs_free(struct pod_certs *c); /* no handler runs after */

/* Key (PKCS#8) and chain, both PEM in the arena, of the index-th source of a volume, src being its podCertificate.
 * Asks for what is wanted, and renews what is due; ERR_UNAVAILABLE until there is something, ERR_FORBIDDEN when it was
 * refused. The pod is kicked when there is news. */
int pod_cert_get(struct pod_certs *c, struct kpod *p, struct arena *a, const struct val *pod, struct sv volume,
		 size_t index, const struct val *src, struct sv *ret_key, struct sv *ret_chain, struct err *err);
