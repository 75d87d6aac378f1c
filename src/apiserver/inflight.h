/* inflight.h - requests that are not answered yet and have left the thread that brought them: for people (debug.h).
 *
 * What is answered where it came in, small reads from memory, is never here: while it runs the board shows it
 * (base/board.h), and putting it in would cost more than what it asks for.
 *
 * Threads: add, drop and the notes by whoever the request belongs to at that moment; inflight_each() by anybody.
 */
#pragma once

#include "apiserver/api_req.h"

struct inflight_set;
struct inflight; /* in the request's arena */

struct inflight_set *inflight_new(void);
struct inflight_set *inflight_free(struct inflight_set *set);
/* From now on q is seen; done before, or of what is only a part of a request (a copy, a write of the server's own),
 * nothing. */
void inflight_add(struct api_req *q);
void inflight_drop(struct api_req *q);
/* step is behind it; it waits for what (constant, NULL: for nothing any more). Of one that is not seen: nothing. */
void inflight_step(struct api_req *q, enum req_step step);
void inflight_waits(struct api_req *q, const char *what);

/* As it was when it was added: views are good for the call. */
struct inflight_look {
	const void *q;		   /* to be compared */
	struct sv verb, url, user; /* the URL without its query */
	int64_t start_ns;
	size_t bytes;
	enum req_step step;
	const char *waits; /* or NULL */
};
void inflight_each(struct apiserver *s, void (*fn)(const struct inflight_look *l, void *ctx), void *ctx);
