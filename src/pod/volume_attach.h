/* volume_attach.h - what an attached volume is called in the status of a Node, as upstream's agents and controllers
 * write and read it: kubernetes.io/csi/DRIVER^HANDLE.
 *
 * The attach-detach controller writes volumesAttached, the node agent volumesInUse, and each looks for its own volumes
 * in the other's list: so both have to name them alike. The VolumeAttachment, by which the driver's attacher hears of
 * it, is called after a digest of the volume and the node. Pure.
 */
#pragma once

#include "base/arena.h"
#include "codec/doc.h"

char *volume_attach_unique(struct arena *a, struct sv driver, struct sv handle);
/* Takes it apart; false: it is none of a driver's. */
bool volume_attach_split(struct sv unique, struct sv *ret_driver, struct sv *ret_handle);
/* Of the VolumeAttachment; hex: net/digest.h's sha256_hex(), which this folder is below. */
char *volume_attach_name(struct arena *a, struct sv driver, struct sv handle, struct sv node,
			 void (*hex)(struct sv s, char ret[65]));
/* list: volumesInUse, whose items are names, or volumesAttached, whose items have one. NULL is empty. */
bool volume_attach_listed(const struct val *list, const char *unique);
