/* fsutil.h - the few file operations the node agent repeats: whole-file reads and writes, directory trees.
 *
 * Blocking; for worker tasks. Paths are absolute. Errors name the path.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* Whole file, at most max bytes (ERR_TOO_LARGE beyond). An absent one is ERR_NOT_FOUND. */
int fs_read(struct arena *a, const char *path, size_t max, struct sv *ret, struct err *err);
/* Through a temporary name and rename(2): readers see the old or the new content, never a part. */
int fs_write(const char *path, struct sv content, mode_t mode, struct err *err);
int fs_mkdir_p(const char *path, mode_t mode, struct err *err); /* parents too; fine when it exists */
/* Deletes a tree without following symbolic links and without crossing into other file systems (a leftover
 * mount is an error, never emptied). Fine when it is absent. */
int fs_remove_tree(const char *path, struct err *err);
/* Unmounts everything mounted at or under path, deepest first; *ret_n (may be NULL) counts them. */
int fs_unmount_under(const char *path, int *ret_n, struct err *err);
bool fs_is_mountpoint(const char *path);
/* Bytes and inodes used below a directory (as du, one file system). */
int fs_usage(const char *path, uint64_t *ret_bytes, uint64_t *ret_inodes, struct err *err);
