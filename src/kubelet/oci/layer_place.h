/* layer_place.h - where an entry of a layer goes: directories, and what stood there before. For layer_unpack.c.
 *
 * Everything is by descriptor below dir. A link on the way is followed as if dir were the root of the file system, also
 * where what it names is not there yet: 40 of them, as the kernel does it.
 */
#pragma once

#include "base/err.h"

#define LAYER_WHITEOUT ".wh."

struct layer_place {
	int dir;
	const int *below; /* the layers below, highest first */
	size_t n_below;
	uint64_t made; /* files, links, directories: also those that were only implied */
};

/* The directory that path's last part is in, open for reading (the caller's), the part in ret_name: "" for dir itself.
 * make: directories that are missing are made. */
int layer_place_above(struct layer_place *p, const char *path, bool make, char ret_name[NAME_MAX + 1], struct err *err);
/* The directory at/name, made unless there is one; what else stood there is removed. */
int layer_place_dir(struct layer_place *p, int at, const char *name, struct err *err);
/* Nothing has that name afterwards. */
int layer_place_clear(int at, const char *name, struct err *err);
/* name begins with LAYER_WHITEOUT: hides what is below, never what is of this layer, whichever comes first. */
int layer_place_whiteout(struct layer_place *p, int at, const char *name, struct err *err);
