/* watched_file.h - what files say, looked at again while the server runs.
 *
 *	         ┌─ as it was ────────────────────────────── 0
 *	look ─▶ read ─▶ make ─▶ another value counts, told ── 1
 *	         └───────┴─ wrong: the one before counts on ── -1, told once
 *
 * A value is its owner's: immutable, counted, made of the whole text. The first look is watched_file_new()'s, and what
 * is wrong then is the caller's to tell; later ones are told here, the only place of these files that logs. An error is
 * told when it comes, and again when it has become another one or was gone meanwhile. Of the text only a digest is
 * kept, and the text that make() saw is wiped.
 *
 * Counted (`looked`) is every look that found another text than counts, by whether it was of use: a file that stays
 * wrong counts each time, as upstream's automatic reloads do.
 *
 * Threads: watched_file_get() any; watched_file_look() one at a time, on a task: the server's minute (apiserver.c), or
 * its owner's own timer (encryption/). read, make and looked run in there, without a lock.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct watched_file; /* opaque */

/* Strings are borrowed for its life. */
struct watched_file_opts {
	const char *area, *what; /* for the log: "authn", "the file of tokens" */
	const char *flag;	 /* stands in front of what is wrong, with the path; NULL: nothing does */
	const char *path;	 /* the file, of at most max bytes, or: */
	size_t max;
	/* Several files as one text, in the arena. */
	int (*read)(void *ctx, struct arena *a, struct sv *ret, struct err *err);
	void *(*make)(void *ctx, struct sv text, struct err *err); /* NULL: it is wrong */
	void *(*ref)(void *value);
	void *(*unref)(void *value);
	void (*looked)(void *ctx, bool good); /* NULL: nobody counts */
	void *ctx;
};

/* NULL: the file cannot be read, or is wrong. */
struct watched_file *watched_file_new(const struct watched_file_opts *o, struct err *err);
/* A value that no file is of: looks find nothing. Of the options only ref and unref matter. */
struct watched_file *watched_file_fixed(const struct watched_file_opts *o, void *value_take);
struct watched_file *watched_file_free(struct watched_file *w); /* NULL is fine; returns NULL */

void *watched_file_get(struct watched_file *w); /* what counts; a reference is the caller's */
int watched_file_look(struct watched_file *w);	/* NULL is fine */
