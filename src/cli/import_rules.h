/* import_rules.h - what of a running cluster is taken along, in which order, and what is changed of an object on its
 * way.
 *
 * Left out is what a cluster makes by itself: of its control plane (RBAC's defaults, APF's, kube-root-ca.crt), of its
 * controllers (what somebody owns, the endpoints of a Service with a selector), of its nodes; and what is over
 * (finished Jobs) or on its way out. Changed is what only the old cluster can know: uids, owners, the node of a Pod,
 * which volume a claim was bound to by uid.
 *
 * Pure; documents are JSON as a server sends it.
 */
#pragma once

#include "codec/doc.h"

/* Resources of lower rank are created first. -1: none of them is taken; how many there are is told. */
int import_rank(struct sv group, struct sv plural);
#define IMPORT_FOUND "endpoints that are found anew"
/* NULL: the object is taken; else why not, in words that stand behind a count. */
const char *import_left_out(struct sv group, struct sv plural, const struct val *o);
/* Is o a Service that finds its own endpoints? Those of that name are left out. */
bool import_selects(struct sv group, struct sv plural, const struct val *o);
/* As it is created. Changes o, whose maps are a's. */
void import_prepare(struct arena *a, struct sv group, struct sv plural, struct val *o);
/* The same of a record as an etcd or k3s has it stored: a class of k3s' provisioner becomes one of ours, for there is
 * nobody else who serves it. True: it did, and *value is in a. */
bool import_stored_class(struct arena *a, struct sv key, struct sv *value);
/* Is ns one of the cluster's own, which has parts of its own everywhere? */
bool import_own_namespace(struct sv ns);
