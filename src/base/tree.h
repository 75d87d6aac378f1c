/* tree.h - directory trees that somebody else made: walking, measuring, removing.
 *
 * Whoever filled the tree chose its depth and may be changing it right now. So a walk has no recursion and no path:
 * it holds descriptors of the deepest TREE_OPEN_MAX directories and of the root, comes back to the others by ".." and
 * goes on only when that is the directory it came from. Depth costs memory for a name a level, nothing else. Links
 * are not followed and what is mounted inside is not entered, whatever is put where meanwhile.
 *
 * Blocking; for worker tasks. Time is linear in the number of entries.
 */
#pragma once

#include "base/err.h"

#include <dirent.h>
#include <sys/stat.h>

#define TREE_OPEN_MAX 32

enum tree_step {
	TREE_FAILED = -1, /* err is set */
	TREE_END,
	TREE_FILE,  /* anything but a directory */
	TREE_ENTER, /* a directory: its contents come next */
	TREE_LEAVE, /* the same, after its contents */
	TREE_MOUNT, /* a directory where something is mounted: passed over */
	TREE_LOST,  /* the directory above the last ones is another now: goes on in the root */
};

/* Where the walk is; valid until the next step. dir and name are there for the *at() calls. */
struct tree_at {
	int dir;
	const char *name;
	struct stat st; /* not of TREE_LEAVE and TREE_LOST */
};

struct tree_walk {
	struct tree_level {
		dev_t dev;
		ino_t ino;
		DIR *d;	    /* NULL: closed to save its descriptor */
		long at;    /* where its reading goes on */
		char *name; /* in the directory above; NULL for the root */
	} * levels;
	size_t n, cap;
	size_t first_open; /* besides the root */
	char *left;	   /* name of TREE_LEAVE */
	bool rewind;
};

/* dir_take: a descriptor of the root that can be read (taken, also on failure). rewind: entries are being removed, so
 * a directory that is come back to is read from its beginning. */
int tree_walk_begin(struct tree_walk *w, int dir_take, bool rewind, struct err *err);
enum tree_step tree_walk_next(struct tree_walk *w, struct tree_at *ret, struct err *err);
/* After TREE_LEAVE: the directory just left is not empty after all; once more into it. */
int tree_walk_again(struct tree_walk *w, struct err *err);
void tree_walk_release(struct tree_walk *w);

/* Deletes a tree without following symbolic links and without crossing into other file systems (a leftover
 * mount is an error, never emptied). Fine when it is absent. */
int tree_remove(const char *path, struct err *err);
/* The same for an entry of a directory, in pieces: at most max entries of it are removed. Returns 1 when there are
 * more (call again), 0 when it is gone. */
int tree_remove_some(int dir, const char *name, size_t max, struct err *err);
/* Bytes on disk of everything below the directory (taken); a file with several names counts once; -1: it cannot be
 * read. */
int64_t tree_bytes(int dir_take);
