/* local_snapshot.h - what a volume held at one time, kept beside the volumes: DIR/.snapshots.
 *
 *	NAME.image   the image of a volume that has one
 *	NAME.device  the contents of a block device
 *	NAME.tree    a directory, for a volume that is one
 *	.new-...     not finished, or half removed: gone at the next start
 *
 * A snapshot is finished when it has its name; nobody writes into it from then on. Every call may be repeated, and may
 * come after one that was killed at any point. Names as volumes have them. Blocking; for worker tasks.
 */
#pragma once

#include "kubelet/local/local_volume.h"

struct local_snapshot {
	int64_t taken_ns; /* wall clock: when it was finished */
	int64_t bytes;	  /* what a volume made of it needs at least, as volumes are asked for; 0: it is not known */
	bool block;	  /* of a block device */
};

/* Takes it, or goes on; fine when it is finished already, and then the volume may be gone. bytes: what the volume may
 * hold, 0: it is not known; of a directory no much more is taken, whatever is written meanwhile. */
int local_snapshot_take(const struct local_store *s, const char *volume, int64_t bytes, const char *name,
			struct local_snapshot *ret, struct err *err);
/* ERR_NOT_FOUND: it is not there, or was never finished. */
int local_snapshot_look(const struct local_store *s, const char *name, struct local_snapshot *ret, struct err *err);
/* Gone; fine when it is not there. */
int local_snapshot_remove(const struct local_store *s, const char *name, struct err *err);
