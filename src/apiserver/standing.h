/* standing.h - requests that stand for long: watches, followed logs, exec, attach, port-forward, proxied streams.
 *
 * Who was let in for one question may go on hearing answers for hours, so the question is asked again: is the
 * credential still good (not expired, what it is bound to still there), and is the request still allowed? Every
 * thirty seconds a sweep picks those for which the answer can have changed: a change of RBAC, the deletion of
 * something that tokens are bound to or a change of a Secret that is a token, the end of the credential itself, and for
 * nodes, whose rights follow their pods, any change. The first sweep takes every request once, as it may have been let
 * in by what was remembered (token_cache.h). While nothing changes, nothing is evaluated.
 *
 *	sweep (a task) ─due─▶ posted to the request's thread ─▶ authenticated, authorized anew ─no─▶ revoke(q, why)
 *
 * That may wait (steps.h), while the stream goes on; whoever does not answer within thirty seconds is asked again.
 *
 * Whoever loses the right, loses the stream within a minute.
 *
 * Threads: begin and end on the request's thread, where revoke and release run, too. standing_observe() from the
 * store's thread.
 */
#pragma once

#include "apiserver/api_req.h"

struct standing;

struct standing_opts {
	/* Ends the stream; consumes why (401 or 403). On the request's thread, at most once, never after
	 * standing_end().
	 */
	void (*revoke)(struct api_req *q, struct err *why);
	/* A further right the stream needs; may be NULL. */
	int (*also)(struct api_req *q, struct err *err);
	/* After standing_end(), when q is not used here any more: at once or later on the request's thread. */
	void (*release)(struct api_req *q);
};

struct standing *standing_begin(struct api_req *q, const struct standing_opts *o);
/* All that stand, under a lock: fn only looks. */
void standing_each(struct apiserver *s, void (*fn)(const struct api_req *q, void *ctx), void *ctx);
/* Takes st out; NULL is fine. q stays valid until o->release() has been called. Returns NULL. */
struct standing *standing_end(struct standing *st);
