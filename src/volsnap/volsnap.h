/* volsnap.h - VolumeSnapshots: the words of their protocol, and questions that several components must answer alike.
 *
 * As external-snapshotter (v8) has them: the snapshot controller binds a VolumeSnapshot and a VolumeSnapshotContent;
 * the driver's side (a csi-snapshotter, or our provisioner of local-path) watches contents, takes, deletes, and says in
 * a content's status what there is. Pure: all answers follow from the objects.
 */
#pragma once

#include "base/arena.h"
#include "object/obj.h"

#define VOLSNAP_GROUP "snapshot.storage.k8s.io"

enum volsnap_kind { VOLSNAP_CLASSES, VOLSNAP_CONTENTS, VOLSNAP_SNAPSHOTS, _VOLSNAP_MAX };
extern const char *const volsnap_plurals[_VOLSNAP_MAX];
extern const char volsnap_crds_json[]; /* generated: for object/described.h */

/* Finalizers. Of a content: there are data. */
#define VOLSNAP_CONTENT_BOUND "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"
/* Of a snapshot: its content goes first; a volume may be being made of it. */
#define VOLSNAP_BOUND "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
#define VOLSNAP_AS_SOURCE "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection"
/* Of a claim: a snapshot of it is not ready yet. */
#define VOLSNAP_CLAIM_AS_SOURCE "snapshot.storage.kubernetes.io/pvc-as-source-protection"

/* Annotations of a content: its snapshot is being deleted; the driver was asked to take it, and has not answered; who
 * deletes it says so with this Secret; a volume of another mode may be made of it. */
#define ANN_VOLSNAP_BEING_DELETED "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
#define ANN_VOLSNAP_BEING_CREATED "snapshot.storage.kubernetes.io/volumesnapshot-being-created"
#define ANN_VOLSNAP_SECRET_NAME "snapshot.storage.kubernetes.io/deletion-secret-name"
#define ANN_VOLSNAP_SECRET_NS "snapshot.storage.kubernetes.io/deletion-secret-namespace"
#define ANN_VOLSNAP_MODE_CHANGE "snapshot.storage.kubernetes.io/allow-volume-mode-change"
/* Of a class: that of its driver. */
#define ANN_VOLSNAP_DEFAULT "snapshot.storage.kubernetes.io/is-default-class"
/* Label of a content: the node that has the data. */
#define LABEL_VOLSNAP_NODE "snapshot.storage.kubernetes.io/managed-by"

/* The content that is made for a snapshot of a claim. */
struct sv volsnap_content_name(struct arena *a, const struct obj *snapshot);
/* The content a snapshot names: that which it is bound to, or comes from, or will be made for it. */
struct sv volsnap_content_of(struct arena *a, const struct obj *snapshot);
/* Does the content point at the snapshot, with its uid? */
bool volsnap_points_back(const struct obj *content, const struct obj *snapshot);
/* Both point at each other: the one may be used for the other. */
bool volsnap_bound(const struct obj *snapshot, const struct obj *content);
bool volsnap_ready(const struct obj *snapshot_or_content); /* status.readyToUse */

/* The snapshot of its own namespace that a claim is to be filled from; "" where it is something else. */
struct sv volsnap_source_of(const struct obj *claim);

/* Is the content to be taken off the storage now, or just let go? As upstream's driver side: its snapshot is being
 * deleted, or it never had one. */
bool volsnap_goes(const struct val *content);

/* Of a content that is kept by nodes (local-path): which has it. By its label or, where its user says what is there
 * already, by the snapshotHandle NODE/NAME. "": it is not said. */
struct sv volsnap_node(const struct val *content);
