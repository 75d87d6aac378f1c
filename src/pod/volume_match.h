/* volume_match.h - which PersistentVolume may a claim have?
 *
 * The binder asks before it binds, the scheduler for each node, the node agent before it mounts. Pure: all answers
 * follow from the two objects.
 */
#pragma once

#include "base/arena.h"
#include "object/obj.h"
#include "object/selector.h"
#include "pod/node_match.h"

/* Annotations of the volume protocol (storage.k8s.io, and the external provisioners'). */
#define ANN_BIND_COMPLETED "pv.kubernetes.io/bind-completed"	       /* claim: it was bound once */
#define ANN_BOUND_BY_CONTROLLER "pv.kubernetes.io/bound-by-controller" /* either: the binder chose, no user */
/* The class of k3s users' charts, and who makes its volumes (kubelet/local_path.h). */
#define LOCAL_PATH_CLASS "local-path"
#define LOCAL_PATH_PROVISIONER "caravel.io/local-path"

#define PROVISIONER_FINALIZER "external-provisioner.volume.kubernetes.io/finalizer" /* volume: its files are there */
#define ANN_PROVISIONED_BY "pv.kubernetes.io/provisioned-by"			    /* volume: who deletes it */
#define ANN_PROVISIONER "volume.kubernetes.io/storage-provisioner" /* claim: who is asked to make one */
#define ANN_PROVISIONER_BETA "volume.beta.kubernetes.io/storage-provisioner"
#define ANN_SELECTED_NODE "volume.kubernetes.io/selected-node" /* claim: where its first pod will be */
/* Claim: which node has the snapshot of local-path that it is to be filled from. */
#define ANN_SOURCE_NODE "local-path.caravel.io/source-node"
#define ANN_STORAGE_CLASS "volume.beta.kubernetes.io/storage-class"
#define NO_PROVISIONER "kubernetes.io/no-provisioner"

/* The name of its class, of a claim or a volume; "" is none. SV_NULL: not said, so a default may fill it in. */
struct sv storage_class_name(const struct obj *o);

/* What a claim asks for and what a volume has, in bytes; 0 when it is not said. */
int64_t claim_request_bytes(const struct obj *claim);
int64_t volume_capacity_bytes(const struct obj *volume);

/* spec.volumeMode of a claim or a volume, "Filesystem" when it is not said. */
struct sv volume_mode_of(const struct obj *o);

/* A hostPath that is the node's root, however it is spelled. ".." is refused elsewhere. */
bool volume_is_root(const struct val *spec);

/* The node that made the volume by the class local-path, and alone has it; "" where it is another kind of volume. */
struct sv local_path_node(const struct val *volume);

/* volume.spec.claimRef: is it this claim's? A reference without uid is a reservation by name. */
bool volume_is_for(const struct obj *volume, const struct obj *claim);
/* Such a reference, to this claim as it is. */
struct val *claim_reference(struct arena *a, const struct obj *claim);
/* Why the volume cannot serve the claim, in upstream's words; NULL: it can. */
const char *volume_misfit(const struct obj *volume, const struct obj *claim);
/* The nodes it can be used on (spec.nodeAffinity), to be asked with node_want_matches(); views into the volume. */
void volume_nodes(struct arena *a, const struct obj *volume, struct node_want *ret);
/* It names its volume, and the binder has completed that. */
bool claim_bound(const struct obj *claim);

/* Was the claim made for the pod, for a generic ephemeral volume? What else has its name is somebody's, and not the
 * pod's to use: -1 with upstream's words. */
int claim_made_for_pod(const struct obj *claim, const struct val *pod, struct err *err);

/* May the binder choose this volume for the claim? It is free or reserved for it, fits, and the claim's selector
 * (parsed, NULL: it has none) wants it. */
bool volume_can_serve(const struct obj *volume, const struct obj *claim, const struct selector *selector);
/* Of two that can: one that is reserved for the claim, then the smaller, then the first by name. */
int volume_rank_cmp(const struct obj *a, const struct obj *b, const struct obj *claim);
/* spec.selector, in the arena; NULL: it has none. */
const struct selector *claim_selector(struct arena *a, const struct obj *claim);
