/* local_tree.h - a copy of a directory that somebody else fills, and may be filling right now.
 *
 * Files share their blocks where the file system can (reflink), else their bytes are copied, holes stay holes. Kept are
 * owners, modes, times, extended attributes (with them access lists and capabilities), links, FIFOs, devices and which
 * names are one file. Not: sockets, and what is mounted inside. The source is walked as base/tree.h walks: by
 * descriptor, through no link, at any depth.
 *
 * It is no moment's picture: a program that writes meanwhile is seen file by file, each as it was when it was read.
 * What vanishes before it is reached is not in the copy. Blocking; linear in what is there.
 */
#pragma once

#include "base/err.h"

/* from: an open directory. to: another one, empty, that nobody else knows. */
int local_tree_copy(int from, int to, struct err *err);
/* One file's bytes, at the same places; FICLONE where that can be. */
int local_copy_bytes(int from, int to, struct err *err);
