/* steps.h - the way of a request: named steps, and any of them may take its time.
 *
 *	received ─ authenticated ─ admitted ─ authorized ─ decoded ─ mutated ─ validated ─ committed ─ answered
 *
 * Who is asked at a step (an authenticator, an authorizer, an admission plug-in, a reservation, a conversion, a read of
 * history) says 0: done, -1 with err: refused, or REQ_LATER:
 *
 *	t = req_suspend(q, "webhook x", cancel, call);	the request waits, its thread does not
 *	call->ticket = t;
 *	start(call);
 *	return REQ_LATER;
 *
 *	req_resume(call->ticket, answer, free);		whoever answers, on any thread
 *
 * It is asked again when the ticket is resumed, and then finds the answer in req_result(). So a plug-in is plain code
 * that is called once more, nothing of the request runs while it waits, and those asked before it are not asked again.
 *
 * How a wait ends, whichever comes first, the others being harmless from then on:
 *
 *	resumed			the step is asked again
 *	deadline		504 Timeout, in upstream's words
 *	the client went		nobody reads the answer
 *	the server stops	503
 *
 * But for the first the waiting step's cancel() runs, then what the request holds is given back: seats of its priority
 * level, reservations, counters. What was given to the store stays committed, and is waited for as long as the deadline
 * allows (registry/commit.h). The deadline is the request's own (the
 * parameter `timeout`, within upstream's bounds); what lasts by nature (watch, logs, exec and its like) has none.
 *
 * Threads: a request runs on one at a time. A resumed one goes on where its kind of work is done: req_go(). cancel()
 * runs there, too, never at once with the step and never after a resume that counted.
 *
 * The times of the steps are in q->step_ns. Small reads from memory are not worth the clock: of them only the first and
 * the last step are noted, unless they wait or somebody looks on (struct req_observer).
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct admission;
struct api_req;
struct apiserver;
struct authz_attrs;
struct user_info;
struct val;

/* Named by what is true behind it. */
enum req_step {
	STEP_RECEIVED,	    /* all of it is there, and what it asks for is known */
	STEP_AUTHENTICATED, /* who asks, and as whom */
	STEP_ADMITTED,	    /* its priority level has a seat for it */
	STEP_AUTHORIZED,
	STEP_DECODED,	/* the body is a document; a patch has been applied */
	STEP_MUTATED,	/* defaults, owners, mutating admission */
	STEP_VALIDATED, /* and validating admission */
	STEP_COMMITTED, /* durable */
	STEP_ANSWERED,	/* handed to the transport; of a stream its beginning */
	_STEP_MAX
};
const char *req_step_name(enum req_step step); /* "received", ... */

/* What a step or a plug-in returns when it waits; 1 is taken by produce() and its like. */
#define REQ_LATER 2

struct req_ticket;

/* --- for who has to wait --- */

/* q waits from when its step has returned REQ_LATER, which it now must. what: for people, constant. cancel (may be
 * NULL) runs when the wait ends without the ticket, which whoever holds it then resumes in vain or gives back. One at a
 * time for a request. */
struct req_ticket *req_suspend(struct api_req *q, const char *what, void (*cancel)(void *ctx), void *ctx);
/* The wait ends by then although the request could wait longer: 429. From the step that waits. */
void req_wait_at_most(struct req_ticket *t, int64_t until_ns);
/* The wait is over; result goes to req_result() and is released with the request (release may be NULL). From any
 * thread, also before the step has returned; of several the first counts. False: it came too late, the result has been
 * released, and the request may be gone. */
bool req_resume(struct req_ticket *t_take, void *result_take, void (*release)(void *result));
/* For who holds a ticket besides the one that resumes it, or gives it up without. */
struct req_ticket *req_ticket_ref(struct req_ticket *t);
struct req_ticket *req_ticket_unref(struct req_ticket *t);
/* True when this step waited and is asked again: *ret is what it was resumed with. Once for each resume. */
bool req_result(struct api_req *q, void **ret);

/* When q must be answered, monotonic; INT64_MAX: it may last. */
int64_t req_deadline_ns(struct api_req *q);
/* How long it may take by that parameter, or else by --request-timeout, which bounds it. */
int64_t req_allotted_ns(const struct api_req *q);
/* -1: the 504 of what has taken that long, where nothing of our own was at work on it. */
int req_out_of_time(struct err *err);
/* -1: its parameter `timeout` is no duration, which upstream refuses before it looks at who asks. What has no deadline
 * may say there what it likes. */
int req_check_timeout(struct api_req *q, struct err *err);
bool req_lasts(const struct api_req *q); /* by nature: watch, logs, exec and its like */

/* --- for who drives a request along its steps --- */

typedef void req_fn(struct api_req *q, void *ctx);

/* The last thing a driver does after REQ_LATER. False: fn(q, ctx) will go on, perhaps it does already: q is not the
 * caller's any more. True: it was resumed meanwhile, the caller goes on as fn would. */
bool req_park(struct api_req *q, req_fn *fn, void *ctx);
/* The first thing fn does: 0: ask the same step again; -1: the wait ended otherwise, cancel() has run, fail with err.
 */
int req_woken(struct api_req *q, struct err *err);
/* A step of its own, for who has no walk of steps: fn is asked, and when it says REQ_LATER, again after the wait. 0: it
 * has seen to q; -1: q fails with err, also when the wait ended otherwise. q and its arena may be gone on return. */
void req_ask(struct api_req *q, int (*fn)(struct api_req *q, void *ctx, struct err *err), void *ctx);
/* It asks for a change: other words and bounds for its time. */
bool req_mutating(const struct api_req *q);
/* -1 with err when q's time is up or its client has gone: nobody would read the answer. */
int req_over(struct api_req *q, struct err *err);
/* The failure of one whose time is up. Returns -1. */
int req_late(struct api_req *q, struct err *err);
/* Copies of q are on their way for it: when its client goes, their waits end, too. */
void req_has_parts(struct api_req *q);
/* req_passed(q, step), api_req.h: the step is behind q. This is it for requests whose steps are timed. */
void req_note(struct api_req *q, enum req_step step);
/* Runs fn(q, ctx) where work of q's kind is done, never on a network loop nor on the store's thread: on the pool
 * (run_queue.h), or on the thread of who waits for q in this process. Only at the very end of a server, when the pool
 * has stopped, it runs on the thread that calls: what is left then ends with 503 and does no work. */
void req_go(struct api_req *q, req_fn *fn, void *ctx);
/* Runs fn(q, ctx) on q's own thread (struct api_sink), later; on the pool when it has none. */
void api_req_post(struct api_req *q, req_fn *fn, void *ctx);
/* To the pool; false: q's user has too much there already, fn will not run. must: it has begun, it is taken anyway. */
bool req_pool(struct api_req *q, req_fn *fn, void *ctx, bool must);
/* The transport: q's client has gone. On q's own thread. */
void req_client_gone(struct api_req *q);

/* --- seams --- */

struct token_question {
	struct sv token;
	const struct sv *audiences;
	size_t n_audiences;
	struct sv *ret_audiences; /* room for as many: those of them that it is for */
	size_t ret_n;
};

/* Asked behind what is built in; any may be NULL, any may say REQ_LATER. What asks other processes hangs in here. */
struct req_plugins {
	/* About credentials that nothing built in knows: fills q->user. 1: not known here either. */
	int (*authenticate)(struct api_req *q, struct err *err, void *ctx);
	/* The same about a token that a TokenReview shows: for these audiences, none of which means the API's own. 1:
	 * not known here either, and *err may say why. */
	int (*review)(struct api_req *q, struct token_question *t, struct user_info *ret, struct err *err, void *ctx);
	/* About what nothing built in allows: that q may go on, or what it brings up on its way (a review, whom it
	 * impersonates, the right to grant others). at is good for this call, strings of it as long as q. 0: it may;
	 * 1: no opinion, which is a no; for both *ret_reason (arena) may say why. Asked once for the same attributes
	 * at one step, however often that is asked again. */
	int (*authorize)(struct api_req *q, const struct authz_attrs *at, struct sv *ret_reason, struct err *err,
			 void *ctx);
	int (*mutate)(const struct admission *a, struct err *err, void *ctx);
	int (*validate)(const struct admission *a, struct err *err, void *ctx);
	/* Before the strategy's own. Whoever answered 0 is told how it ended, for each time, with what it left in
	 * *state: perhaps when the request is long gone (registry/commit.h). */
	int (*reserve)(struct api_req *q, const struct val *old, const struct val *doc, void **state, struct err *err,
		       void *ctx);
	void (*reserved)(struct apiserver *s, void *state, bool committed, void *ctx);
	int (*convert)(struct api_req *q, struct val *doc, struct err *err, void *ctx); /* to what is stored */
	int (*commit)(struct api_req *q, struct err *err, void *ctx);  /* last, before the store has it */
	int (*history)(struct api_req *q, struct err *err, void *ctx); /* before the past is read */
	void *ctx;
};
/* Sees every step of every request, on the request's thread; q is borrowed. For audit. */
struct req_observer {
	void (*passed)(struct api_req *q, enum req_step step, int64_t mono_ns, void *ctx);
	void *ctx;
};
/* Before the first request; borrowed for the server's life. NULL: none. */
void req_set_plugins(struct apiserver *s, const struct req_plugins *p);
void req_set_observer(struct apiserver *s, const struct req_observer *o);

/* --- the server's life: steps.c --- */

struct req_waits *req_waits_new(struct apiserver *s);
/* All that wait end with 503, as does what comes to wait from now on. */
void req_waits_stop(struct req_waits *w);
struct req_waits *req_waits_free(struct req_waits *w);
size_t req_waits_count(const struct apiserver *s);
