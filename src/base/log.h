/* log.h - structured log lines, one line each, on standard error.
 *
 *	log_info("kubelet", "pod started", "pod", "%s/%s", ns, name);
 *
 * prints
 *
 *	2026-01-02T03:04:05.678Z INFO kubelet "pod started" pod="default/web-0"
 *
 * A line is: subsystem, message, then one key with a printf-formatted value, or with log_kv()
 * any number of key and value pairs. Values are escaped: no control character reaches the
 * terminal. Libraries (base to client) never log above debug; a function either logs or
 * returns errors, never both. Thread-safe: a line is one write(2).
 *
 * Which lines there are is a level for all and, for subsystems that a pattern names, one of their own.
 */
#pragma once

#include "base/base.h"

enum log_level { LVL_ERROR, LVL_WARN, LVL_INFO, LVL_DEBUG, LVL_TRACE };

/* key, value pairs of C strings, closed by NULL: log_kv(LVL_INFO, "server", "listening", "address", a, NULL) */
void log_kv(enum log_level lvl, const char *sys, const char *msg, ...) __attribute__((sentinel));
void log_f(enum log_level lvl, const char *sys, const char *msg, const char *key, const char *fmt, ...) _printf_(5, 6);

#define log_error(sys, msg, key, ...) log_f(LVL_ERROR, sys, msg, key, __VA_ARGS__)
#define log_warn(sys, msg, key, ...) log_f(LVL_WARN, sys, msg, key, __VA_ARGS__)
#define log_info(sys, msg, key, ...) log_f(LVL_INFO, sys, msg, key, __VA_ARGS__)
#define log_debug(sys, msg, key, ...)                                 \
	do {                                                          \
		if (log_enabled(LVL_DEBUG))                           \
			log_f(LVL_DEBUG, sys, msg, key, __VA_ARGS__); \
	} while (0)

void log_set_level(enum log_level lvl); /* default LVL_INFO */
bool log_enabled(enum log_level lvl);	/* by some subsystem at least */

/* Upstream's verbosity: 0 to 3 is LVL_INFO, from 4 on LVL_DEBUG, from 8 on LVL_TRACE. Any thread, at any time. */
void log_set_verbosity(int v);
int log_verbosity(void); /* as it was set last; 0 */
/* Subsystems that log at levels of their own: "PATTERN=N,...", patterns with * and ?, the first that fits counts; "":
 * none. False: it is none, or there are too many. Any thread, at any time. */
bool log_set_vmodule(struct sv text);

/* Lines as JSON objects with upstream's members ts (ms), v, msg, logger, instead of text. Before the first thread. */
enum log_format { LOG_TEXT, LOG_JSON };
void log_set_format(enum log_format f);

/* Where lines go instead of standard error (the simulator's event log); NULL restores it. The
 * sink gets the line without its time stamp and may be called from any thread. */
void log_set_sink(void (*sink)(struct sv line, void *ctx), void *ctx);
