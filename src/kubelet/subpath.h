/* subpath.h - volumeMounts[].subPath without following a container's symbolic links out of the volume.
 *
 * The path is opened with openat2(RESOLVE_BENEATH) below the volume; missing directories are made one in the other,
 * each by the descriptor of the one before. What was opened is bind-mounted onto a place of ours, which the runtime
 * gets: exchanging a component afterwards, or in between, changes nothing outside. Undone by fs_unmount_under() at the
 * pod's teardown.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct kubelet;

int subpath_bind(struct kubelet *k, struct arena *a, struct sv uid, struct sv volume, struct sv container, int index,
		 const char *volume_path, struct sv sub, const char **ret, struct err *err);
/* The safe open, alone: O_PATH descriptor, missing directories made. -1 with err. */
int subpath_open(const char *root, struct sv sub, struct err *err);
