/* logs.h - reading container logs in CRI's format.
 *
 *	2026-01-02T03:04:05.123456789Z stdout F a whole line
 *	2026-01-02T03:04:05.223456789Z stderr P the first part of a long ...
 *	2026-01-02T03:04:05.223456799Z stderr F ... one
 *
 * Written by the runtime, but what stands in it is the container's: lines that are not of this form are passed
 * over. A log that was rotated away (another file stands under its name) is read to its end first when followed.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

struct log_line {
	int64_t time_ns;
	struct sv time, text; /* views into the line */
	bool is_stderr, partial;
};
bool log_line_parse(struct sv line, struct log_line *ret); /* line without its newline */

struct log_opts {
	int64_t tail;	     /* last lines; -1: all */
	int64_t limit_bytes; /* of output; -1: none */
	int64_t since_ns;    /* wall clock; 0: all */
	bool timestamps;
	bool no_stdout, no_stderr;
};

struct log_reader;
/* root: the directory of all pods' logs; path: below it (beneath.h: no links, nothing but regular files). */
struct log_reader *log_reader_open(const char *root, const char *path, const struct log_opts *o, struct err *err);
enum log_more {
	LOG_END,  /* of what there is now */
	LOG_MORE, /* call again: max bytes were appended, or LOG_STEP_BYTES read without that */
	LOG_DONE, /* the limit is reached: nothing will follow */
};
#define LOG_STEP_BYTES (1 << 20)
/* Appends what there is, at most about max bytes. */
enum log_more log_reader_read(struct log_reader *r, struct buf *out, size_t max);
struct log_reader *log_reader_free(struct log_reader *r);

/* The last lines of a log without stamps, at most max bytes, for termination messages. */
void logs_tail_text(struct arena *a, const char *root, const char *path, int lines, size_t max, struct sv *ret);
