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
int dir_make(const char *path, mode_t mode, struct err *err); /* with parents; there already is fine */
/* Removes a tree without following links or crossing into other mounts. Missing is fine. */
int tree_remove(const char *path, struct err *err);
