/* shelf.h - a directory with snapshots: written so that none is ever half there, listed, and thinned out.
 *
 * Of its own making are files NAME-YYYYMMDDTHHMMSSZ.snapshot; whatever else lies there is left alone. While one is
 * written it is FILE.part, which its writer has locked: one that nobody has is what a crash left, and goes when the
 * directory is thinned out.
 *
 * Blocking; any thread.
 */
#pragma once

#include "snapshot/archive.h"

#define SHELF_SUFFIX ".snapshot"
#define SHELF_MAX ((size_t)10000)

struct shelf_out {
	int fd; /* -1: none */
	char *path, *part;
};

/* Where the one of this time is to be, in a. */
const char *shelf_path(struct arena *a, const char *dir, const char *name, int64_t now_ns);
/* Opens PATH.part; its directory is there. */
int shelf_begin(struct shelf_out *o, const char *path, struct err *err);
int shelf_put(const void *p, size_t n, void *ctx, struct err *err); /* an archive_put_fn, ctx: the shelf_out */
int shelf_rewind(struct shelf_out *o, struct err *err);		    /* begins again */
int shelf_end(struct shelf_out *o, struct err *err);		    /* on disk, under its name */
void shelf_abort(struct shelf_out *o);				    /* nothing when it has ended; for _cleanup_ */

struct shelf_entry {
	const char *name;
	int64_t bytes;
	struct archive_head head;
	struct archive_total total;
	const char *why; /* it is none, or damaged: how; NULL: head and total are its */
};

/* May names of files begin so? */
bool shelf_name_good(const char *name);
/* Is it a name that a shelf gives? Of this name, not of one that begins with it. */
bool shelf_is_name(struct sv file, struct sv name);
/* All that end in SHELF_SUFFIX, by name; a directory that is not there has none. */
int shelf_list(struct arena *a, const char *dir, struct shelf_entry **ret, size_t *ret_n, struct err *err);
/* Removes all of `name` but the newest `keep`; said tells of each, before. */
int shelf_prune(const char *dir, const char *name, size_t keep, void (*said)(const char *file, void *ctx), void *ctx,
		struct err *err);
