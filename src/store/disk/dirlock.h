/* dirlock.h - one process a data directory: flock(2) on dir/lock, which holds the pid. */
#pragma once

#include "base/err.h"

/* Returns the descriptor that holds the lock; closing it, or dying, gives it up. A lock held by
 * somebody else is ERR_ALREADY_EXISTS. */
int dirlock_take(const char *dir, struct err *err);
