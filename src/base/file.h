/* file.h - whole small files: keys, kubeconfigs, manifests.
 *
 * Writing is atomic: a temporary file beside the target, synced, renamed, directory synced;
 * a crash leaves the old file or the new one.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

#include <sys/types.h>

/* Errors carry errno (err->errnum ENOENT for a missing file). At most max bytes. */
int file_read(struct arena *a, const char *path, size_t max, struct sv *ret, struct err *err);
int file_write(const char *path, struct sv data, mode_t mode, struct err *err);
/* With parents (mode 0755); fine when it exists. */
int dir_make(const char *path, mode_t mode, struct err *err);
/* Deletes a tree without following symbolic links and without crossing into other file systems (a leftover
 * mount is an error, never emptied). Fine when it is absent. */
int tree_remove(const char *path, struct err *err);
