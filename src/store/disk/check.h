/* check.h - looks at a store's files while no server uses them, and saves what can be read of damaged ones. */
#pragma once

#include "base/env.h"
#include "base/err.h"

typedef void store_say_fn(const char *line, void *ctx);

/* Reads everything and tells each damage, with file and offset. 0: all is whole; 1: it is not; -1: it could not be
 * looked at, as while a server runs. Changes nothing. */
int store_check(const char *dir, store_say_fn *say, void *ctx, struct err *err);

/* Moves dir to *ret_kept (caller frees) and makes a new store in its place of all that can be read there: of each key
 * the newest version found. Tells what is lost, or may be older than it was. Revisions go on far above any that was
 * given out, and history is forgotten: clients list again. */
int store_repair(struct env *env, const char *dir, char **ret_kept, store_say_fn *say, void *ctx, struct err *err);
