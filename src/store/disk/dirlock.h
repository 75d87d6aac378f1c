/* dirlock.h - one process a directory: flock(2) on a file in it, which holds the pid. Each returns the descriptor that
 * holds the lock; closing it, or dying, gives it up. Forked children hold it with us. A lock held by somebody else is
 * ERR_ALREADY_EXISTS.
 */
#pragma once

#include "base/err.h"

#include <sys/types.h>

/* Of a database: DIR/lock. */
int dirlock_take(const char *dir, struct err *err);
#define DIRLOCK_SERVER "server.lock"
/* Of a data directory, wherever its objects are: DIR/server.lock, which a restore leaves where it is. For who serves
 * from it, or changes it as a whole. *ret_holder (may be NULL): who has it. */
int dirlock_server(const char *data_dir, pid_t *ret_holder, struct err *err);
