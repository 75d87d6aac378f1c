/* fsutil.h - what the node agent asks of file systems beyond base/file.h: quick writes, private trees, mounts.
 *
 * Blocking; for worker tasks. Paths are absolute. Errors name the path.
 */
#pragma once

#include "base/err.h"
#include "base/arena.h"
#include "base/file.h"

/* Through a temporary name and rename(2): readers see the old or the new content, never a part. Not
 * synced, unlike file_write(): what the agent writes it makes again after a crash. A file that is so already is left
 * alone: whoever watches it is not woken, and a full disk stops no node that begins as it ended. */
int fs_write(const char *path, struct sv content, mode_t mode, struct err *err);
int fs_mkdir_p(const char *path, mode_t mode,
	       struct err *err); /* parents too, with the same mode; fine when it exists */
/* Unmounts everything mounted at or under path, deepest first; *ret_n (may be NULL) counts them. */
int fs_unmount_under(const char *path, int *ret_n, struct err *err);
bool fs_is_mountpoint(const char *path);
/* Has any process of the machine the file system that is mounted at path at another place? That is how a container has
 * it. Copies of the mount itself, as each private set of mounts has them, do not count. Also true when it cannot be
 * said. */
bool fs_is_mounted_elsewhere(const char *path);
/* Does the file system that is mounted at path stand below that directory, too? */
bool fs_is_mounted_below(const char *path, const char *dir);
/* What is mounted at path is of that source, as "/dev/sdb"; in the arena. NULL: nothing is mounted there. */
const char *fs_mount_source(struct arena *a, const char *path);
/* File servers' (NFS) at or under path, deepest first. The table alone is asked. */
struct arena;
size_t fs_net_mounts(struct arena *a, const char *path, const char *const **ret);
