/* local_tree.h - a copy of a directory that somebody else fills, and may be filling right now.
 *
 * Files share their blocks where the file system can (reflink), else their bytes are copied, holes stay holes. Kept are
 * owners, modes, times, extended attributes (with them access lists and capabilities), links, FIFOs, devices and which
 * names are one file. Not: sockets, and what is mounted inside. The source is walked as base/tree.h walks: by
 * descriptor, through no link, at any depth.
 *
 * It is no moment's picture: a program that writes meanwhile is seen file by file, each as it was when it was read.
 * What vanishes before it is reached is not in the copy. Blocking; linear in what is there.
 *
 * What is written while it is copied does not make it larger than what was there at its beginning, or what the volume
 * may hold, and an eighth: a copy that comes to more fails. Nor does one take the last tenth of its disk.
 */
#pragma once

#include "base/err.h"

struct local_budget {
	int64_t bytes, entries; /* that may still be copied */
	/* What the disk has left for copies; NULL: that is not asked. */
	int64_t (*spare)(int fd);
	int64_t unasked; /* copied since */
};

/* from: an open directory. to: another one, empty, that nobody else knows. bytes: what the volume may hold; 0: it is
 * not known. spare: as in a budget. */
int local_tree_copy(int from, int to, int64_t bytes, int64_t (*spare)(int fd), struct err *err);
/* One file's bytes, at the same places; FICLONE where that can be, which takes nothing. */
int local_copy_bytes(int from, int to, struct local_budget *b, struct err *err);
