/* debug.h - /debug: what the server is doing just now, for who looks for the reason of something.
 *
 *	/debug/requests   not answered yet, and those that stand (watches, logs, exec)
 *	/debug/watchers   those of the watch cache, with their queues
 *	/debug/tasks      classes of work, and what each thread does
 *	/debug/queues     the reconcile queues of controllers, scheduler and kubelet
 *	/debug/locks      those that somebody had to wait for (base/lock.h)
 *
 * As text, a line for each, or JSON (?format=json). Names, paths and times: no contents of objects, no queries. What is
 * shown is bounded (DEBUG_ROWS_MAX), and says when it was. Whose business this is RBAC says (the non-resource URL), and
 * nobody's by default but system:masters; --profiling=false turns it off for all.
 *
 * All is answered on the thread that brought the question: also when every thread of the pool hangs.
 */
#pragma once

#include "apiserver/api_req.h"
#include "base/buf.h"

#define DEBUG_ROWS_MAX 2000

/* A page: tables of rows of named values. */
struct debug_page {
	struct buf b;
	bool json;
	bool row_begun;	     /* the next value is not the row's first */
	size_t tables, rows; /* rows: of the table */
	bool more;	     /* some were left out of it */
};

void debug_table(struct debug_page *p, const char *name);
void debug_table_end(struct debug_page *p);
/* False: the table is full, there is no row. */
bool debug_row(struct debug_page *p);
void debug_row_end(struct debug_page *p);
void debug_text(struct debug_page *p, const char *name, struct sv v); /* left out when it is empty */
void debug_number(struct debug_page *p, const char *name, int64_t v);
void debug_time(struct debug_page *p, const char *name, int64_t ns); /* JSON: seconds */

/* A table that somebody else has written: lines of JSON objects of texts and whole numbers, at most
 * DEBUG_LINES_BYTES. */
#define DEBUG_LINES_BYTES ((size_t)1 << 20)
void debug_lines(struct debug_page *p, const char *name, struct sv lines);

/* The pages. */
void debug_requests(struct apiserver *s, struct debug_page *p);
void debug_tasks(struct apiserver *s, struct debug_page *p);
void debug_watchers(struct apiserver *s, struct debug_page *p);
void debug_queues(struct apiserver *s, struct debug_page *p);
void debug_locks(struct apiserver *s, struct debug_page *p);
