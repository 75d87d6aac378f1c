/* node_restriction.h - the parts of NodeRestriction; only its own files include it. */
#pragma once

#include "apiserver/admission/plugins.h"

/* node_tokens.c: a TokenRequest of a node, for a service account: bound to a pod on it, for an audience it has. */
int node_restrict_token(const struct admission *a, struct sv node, struct err *err);
/* node_csr.c: a request for a certificate. */
int node_restrict_csr(const struct admission *a, struct sv node, struct err *err);
/* node_devices.c: the devices of a node, its own; a certificate for a pod that runs on it. */
int node_restrict_slice(const struct admission *a, struct sv node, struct err *err);
int node_restrict_pod_certificate(const struct admission *a, struct sv node, struct err *err);
/* node_volumes.c: a volume that the node has made of a directory of its own, or makes; the class of such volumes. */
int node_restrict_volume(const struct admission *a, struct sv node, struct err *err);
int node_restrict_class(const struct admission *a, struct sv node, struct err *err);
/* node_snapshots.c */
bool node_keeps_snapshots(const struct resource *r); /* is it the kind of these? */
int node_restrict_snapshot(const struct admission *a, struct sv node, struct err *err);
