/* crash.h - what is left of a process that dies: a note on the board, and from it a report in a file.
 *
 * A handler for the signals of faults writes the note (base/board.h): signal, address, stack, the words of BUG_ON().
 * It calls only what is async-signal-safe and works with a stack that has overflowed, on threads that called
 * crash_thread(). Then the process dies as it would have without, but leaves no core dump: in a server's memory are
 * Secrets and keys. One without a supervisor, which is for debuggers, leaves what the system's limits allow.
 *
 * The report is written by the supervisor, who is well; without one by the handler itself. It holds names of
 * objects, paths and users, never contents.
 */
#pragma once

#include "base/board.h"

#define CRASH_REPORTS_KEPT 20

/* For the whole process. dir (borrowed until the process ends): where the handler itself writes the report; NULL: a
 * supervisor does. */
void crash_install(const char *dir);
/* The calling thread can report an overflow of its stack from now on. For a thread that calls nothing, other faults
 * are reported all the same. */
void crash_thread(void);

/* Writes dir/<UTC time>-<pid>.txt (0600) from a board. how: the last line, what is known from outside; NULL: nothing.
 * The file's path is left in ret_path ("" when it cannot be written). Async-signal-safe. */
#define CRASH_PATH_MAX 512
void crash_report(const struct board *b, const char *dir, pid_t pid, int64_t now_ns, const char *how,
		  char ret_path[CRASH_PATH_MAX]);
/* Deletes all but the newest CRASH_REPORTS_KEPT reports of dir. */
void crash_prune(const char *dir);
