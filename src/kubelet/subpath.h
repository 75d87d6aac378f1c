/* subpath.h - volumeMounts[].subPath without following a container's symbolic links out of the volume.
 *
 * The path is opened with openat2(RESOLVE_BENEATH) below the volume; missing directories are made one in the other,
 * each by the descriptor of the one before. What was opened is bind-mounted onto a place of ours, which the runtime
 * gets: exchanging a component afterwards, or in between, changes nothing outside. Undone by fs_unmount_under() when
 * the pod's volumes are torn down (host.c).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct kubelet;

/* *ret (arena) is that place: below volume-subpaths/ in the pod's directory, named by volume, container and the mount's
 * index in it, of the kind of what is mounted. What an earlier instance of the container had there goes first. A
 * blocking call, for tasks. */
int subpath_bind(struct kubelet *k, struct arena *a, struct sv uid, struct sv volume, struct sv container, int index,
		 const char *volume_path, struct sv sub, const char **ret, struct err *err);
/* The safe open, alone: a descriptor of what is there (O_PATH) or of the last directory made, for whom the volume's
 * mode says. sub may be "" (the volume itself), links that stay in the volume are followed; absolute or with "..":
 * ERR_INVALID. -1 with err. */
int subpath_open(const char *root, struct sv sub, struct err *err);
