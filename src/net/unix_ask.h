/* unix_ask.h - one question to a program that listens on a Unix socket, and its whole answer.
 *
 * A connection for each question; the answer ends when the other side closes it. Blocking: for worker tasks.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* At most max bytes of an answer, all of it within timeout_ns: ERR_TIMEOUT, ERR_UNAVAILABLE (nobody listens). */
int unix_ask(struct arena *a, const char *path, struct sv text, size_t max, int64_t timeout_ns, struct sv *ret,
	     struct err *err);
