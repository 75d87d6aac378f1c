/* atomic_writer.h - a directory of files that changes as a whole, for volumes made of ConfigMaps and the like.
 *
 *	key -> ..data/key			what containers open
 *	..data -> ..2026_01_02_03_04_05.123456	swapped by one rename(2)
 *	..2026_01_02_03_04_05.123456/key
 *
 * A reader that holds ..data open sees one consistent set; after the swap the old directory is deleted.
 * Keys may have directories ("a/b/c"); ".." in them is refused, and names beginning with ".." are ours.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct atomic_file {
	struct sv path, content;
	mode_t mode;
};

/* Makes the open directory hold exactly these files, each path once; *ret_changed (may be NULL) tells whether anything
 * was written. gid -1: left. By descriptor throughout: a container that can write there leads nothing outside. */
int atomic_write(int dir, const struct atomic_file *files, size_t n, int64_t gid, int64_t now_ns, bool *ret_changed,
		 struct err *err);
