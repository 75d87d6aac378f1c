/* commit.h - a write on its way through the store, apart from the request that waits for it.
 *
 *	commit_new ─ filled in ─ commit_go ═▶ the store ═▶ SAID ─▶ fn(q, ctx): the request goes on with what was said
 *	                                        └──(q's deadline)─▶ LATE ─▶ fn(q, ctx): it fails
 *
 * The store answers when it can; a disk that hangs keeps its answer for as long as it likes. The request's time is the
 * same as everywhere (req_deadline_ns()), and is up meanwhile: 504, in upstream's words. Whether it was written its
 * client then does not know, as with any server that does not answer. What the store says later finds this here and not
 * the request, which may be gone: what was reserved for the write is kept or given back by it then, not before, since
 * until then the write may be there.
 *
 * Writes without a request behind them (those of a server that starts) have no deadline.
 *
 * Threads: whoever has the request makes one and lets it go; the store's thread answers, a timer gives up, one of both.
 * fn runs where a request goes on (req_go(), or api_req_post() when there is no work left).
 */
#pragma once

#include "apiserver/steps.h"
#include "apiserver/watchcache.h"
#include "base/list.h"
#include "store/store.h"

#include <stdatomic.h>

struct strategy;

/* The store's words, kept when they are gone. */
struct store_said {
	enum store_outcome outcome;
	int64_t rev;	 /* the write's, or of what is there */
	size_t which;	 /* of a mismatch: 0: its own; else that of also[which - 1] */
	bool there;	 /* of a mismatch: something is */
	struct sv value; /* of that; owned */
	struct err err;	 /* of a failure; moved out by who reads it */
};

/* What is held for a write until it is known whether it is there. */
struct reserved {
	const struct strategy *strat;
	void *state, *state_outside; /* of the strategy's reserve(), of the plug-in's (steps.h) */
	struct quota_turn *turn;     /* at the quotas of its namespace (admission/resource_quota.h); NULL: none */
	bool has, has_outside;
};

struct commit {
	/* Filled in between commit_new() and commit_go(). */
	struct pending_write pw;  /* built is this one's own reference */
	struct reserved reserved; /* left here when it is late; else who reads `said` takes it out */
	/* For fn: */
	struct store_said said;

	/* commit.c's own. */
	struct list link; /* among those that the store has; guarded by the server's lock */
	atomic_int refs;  /* the request's arena, the store */
	atomic_int state; /* enum commit_state */
	struct apiserver *s;
	struct api_req *q; /* until it goes on */
	req_fn *fn;
	void *ctx;
	int64_t until_ns;
};

/* Of a write to an object that is stored as res; let go with q's arena. */
struct commit *commit_new(struct api_req *q, const struct resource *res);
/* The caller has nothing to do with q any more. w's cookie is set here; its bytes are copied. */
void commit_go(struct commit *c, struct store_write *w, req_fn *fn, void *ctx);
/* The first thing fn does: 0, or -1 with err when the time was up. */
int commit_said(struct commit *c, struct err *err);
/* Ends a reservation, whether or not there is one: what was written has it from now on, or it is free. */
void reserved_end(struct apiserver *s, struct reserved *r, bool is_committed);

/* The server's end, behind the last write: no timer is left. */
void commits_stop(struct apiserver *s);
