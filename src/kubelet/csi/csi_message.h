/* csi_message.h - what is said to drivers and their registrars, as protobuf: requests written, answers read. Pure.
 *
 * Numbers of fields are those of csi.proto of the CSI specification v1.11 and of pluginregistration/v1; they stand
 * where a message is written or read. Answers come from programs of strangers: what is malformed is refused by name,
 * what is missing has protobuf's defaults, and lists have bounds. Views are into the answer.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

/* Methods. */
#define CSI_REGISTRAR_INFO "/pluginregistration.Registration/GetInfo"
#define CSI_REGISTRAR_STATUS "/pluginregistration.Registration/NotifyRegistrationStatus"
#define CSI_NODE_INFO "/csi.v1.Node/NodeGetInfo"
#define CSI_NODE_CAPABILITIES "/csi.v1.Node/NodeGetCapabilities"
#define CSI_NODE_STAGE "/csi.v1.Node/NodeStageVolume"
#define CSI_NODE_UNSTAGE "/csi.v1.Node/NodeUnstageVolume"
#define CSI_NODE_PUBLISH "/csi.v1.Node/NodePublishVolume"
#define CSI_NODE_UNPUBLISH "/csi.v1.Node/NodeUnpublishVolume"
#define CSI_NODE_STATS "/csi.v1.Node/NodeGetVolumeStats"
#define CSI_NODE_EXPAND "/csi.v1.Node/NodeExpandVolume"

/* --- registration --- */

#define CSI_VERSIONS_MAX 64
struct csi_plugin_info {
	struct sv type, name, endpoint; /* type "CSIPlugin" */
	struct sv versions[CSI_VERSIONS_MAX];
	size_t n_versions;
};
int csi_get_plugin_info(struct sv message, struct csi_plugin_info *ret, struct err *err);
/* why NULL: it is registered. */
void csi_put_registered(struct buf *b, const char *why);

/* --- the node service --- */

#define CSI_TOPOLOGY_MAX 64 /* keys: labels of a Node */
struct csi_node_info {
	struct sv id;
	int64_t max_volumes;  /* 0: no limit is known */
	struct val *topology; /* key -> value, in the arena; may be empty */
};
int csi_get_node_info(struct arena *a, struct sv message, struct csi_node_info *ret, struct err *err);

enum csi_can {
	CSI_CAN_STAGE = 1 << 0,
	CSI_CAN_STATS = 1 << 1,
	CSI_CAN_EXPAND = 1 << 2,
	CSI_CAN_CONDITION = 1 << 3,
	CSI_CAN_SINGLE_NODE = 1 << 4, /* knows SINGLE_NODE_SINGLE_WRITER and SINGLE_NODE_MULTI_WRITER */
	CSI_CAN_GROUP = 1 << 5,	      /* VOLUME_MOUNT_GROUP: makes the files the group's itself */
};
int csi_get_capabilities(struct sv message, unsigned *ret, struct err *err);

/* How a volume is to be had. */
struct csi_capability {
	bool block;
	struct sv fs_type, group;	 /* group: a number as text, "": none */
	const struct val *mount_options; /* list of texts; NULL: none */
	struct sv access_mode;		 /* "ReadWriteOnce", ... */
	unsigned can;
};

/* What stage, publish and expand say of a volume. */
struct csi_mount {
	struct sv handle;
	const char *staging; /* NULL: it is not staged */
	const char *target;  /* of publish and expand */
	struct csi_capability cap;
	bool readonly;
	const struct val *attachment, *secrets, *context; /* maps of texts; NULL: empty */
	int64_t bytes;					  /* of expand */
};
void csi_put_stage(struct buf *b, const struct csi_mount *m);
void csi_put_publish(struct buf *b, const struct csi_mount *m);
void csi_put_expand(struct buf *b, const struct csi_mount *m);
void csi_put_unstage(struct buf *b, struct sv handle, const char *staging);
void csi_put_unpublish(struct buf *b, struct sv handle, const char *target);
void csi_put_stats(struct buf *b, struct sv handle, const char *path, const char *staging);

struct csi_stats {
	struct csi_usage {
		int64_t available, total, used; /* -1: not said */
	} bytes, inodes;
	bool abnormal, condition; /* condition: one was told */
	struct sv message;
};
int csi_get_stats(struct sv message, struct csi_stats *ret, struct err *err);
int64_t csi_get_expanded(struct sv message); /* bytes; 0: not said */
