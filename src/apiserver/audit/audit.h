/* audit.h - who asked for what, and what became of it: an event a stage, as the policy says, into a file.
 *
 *	authenticated ──policy──▶ level None: nothing more of this request costs anything
 *	      │
 *	      ├▶ RequestReceived ── … ── answered ─▶ ResponseComplete
 *	      └▶ RequestReceived ── … ── head sent ─▶ ResponseStarted ── the end ─▶ ResponseComplete    what lasts
 *	not authenticated ─▶ ResponseStarted, with what was attempted
 *
 * A server has an audit when it was given a policy; without one each hook is a test of s->audit, and for a request that
 * the policy passes over one of q->audit. Events are text of audit.k8s.io/v1, a line each. Those of level Metadata hold
 * no byte of a body.
 *
 * The mode says how the file is written, and the webhook's how it is asked. `blocking`: before the answer goes; a slow
 * disk is felt then, as asked for. `blocking-strict`: and what cannot be noted when it is received is refused. `batch`:
 * by a task, through a bounded queue; what finds no room is counted. An event that could not be written is counted
 * (apiserver_audit_error_total) and told in the log; the request goes on, but for the strict mode. For a webhook that
 * blocks, a request waits for one attempt at each of its events, of five seconds at most, and holds no thread: at the
 * first step, and with its answer. What lasts does not wait at its end.
 *
 * There is no stage Panic: a fault ends the process, and its crash report names the request (ARCHITECTURE.md).
 *
 * Words, rules and metrics are upstream's (staging/src/k8s.io/apiserver/pkg/audit).
 *
 * Threads: hooks on the request's own; the file has a lock.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct api_req;
struct apiserver;
struct audit; /* opaque; one a server */
struct obj;
struct val;

struct audit_opts {
	const char *policy_file;		  /* NULL: no audit */
	const char *log_path;			  /* "-": standard output; NULL: events go nowhere */
	const char *log_format;			  /* "json" (NULL), "legacy" */
	const char *log_mode;			  /* "blocking" (NULL), "blocking-strict", "batch" */
	int max_age, max_backup;		  /* of rotated files: days, how many; 0: kept */
	int max_size;				  /* MB; 0: 100 */
	bool compress;				  /* rotated files */
	const char *hook_config;		  /* a kubeconfig: whom events are sent to, and as whom; NULL: nobody */
	const char *hook_mode;			  /* "batch" (NULL), "blocking", "blocking-strict" */
	const char *hook_backoff, *hook_max_wait; /* durations; NULL: 10s, 30s */
	int hook_batch_size, hook_buffer_size;	  /* events a call, events that wait; 0: 400, 10000 */
	bool truncate, hook_truncate;		  /* events above so many bytes lose their objects */
	int truncate_event_size, hook_event_size; /* 0: 102400 */
	int hook_batch_bytes;			  /* a batch is not larger; 0: 10485760 */
	bool hook_no_throttle;			  /* batches are sent as they come; else: */
	int hook_burst;				  /* so many at once; 0: 15 */
	const char *hook_qps;			  /* and so many a second; NULL: 10 */
	int batch_size;				  /* events in the queue; 0: 10000 */
};

/* Reads the policy and opens the file. 0 and *ret NULL: there is none. Options are borrowed for the server's life. */
int audit_new(struct apiserver *s, const struct audit_opts *o, struct audit **ret, struct err *err);
/* Before webhooks are stopped: what is queued for one is sent, once; nothing is sent any more. */
void audit_stop(struct audit *a);
/* What is queued for the file is written first. Returns NULL. */
struct audit *audit_free(struct audit *a);
void audit_metrics(struct apiserver *s, struct buf *b);

/* --- hooks; only where q->server->audit --- */

/* It is known who asks. -1: it cannot be noted, and shall be refused for that; REQ_LATER. */
int audit_received(struct api_req *q, struct err *err);
/* Nobody who is known. */
void audit_unknown(struct api_req *q);

/* --- only where q->audit --- */

/* Whom it is made as, when that is another user than who came: told by what q->user was. */
void audit_impersonated(struct api_req *q);
/* By which constrained right he may be that (impersonate.c): a verb, constant or in the arena. */
void audit_constraint(struct api_req *q, struct sv verb);
void audit_request(struct api_req *q, const struct val *doc);		      /* what the body is, decoded */
void audit_response(struct api_req *q, struct obj *o, const struct val *doc); /* either; borrowed */
void audit_response_bytes(struct api_req *q, struct sv json);		      /* of a list */
void audit_failure(struct api_req *q, const struct err *err);
bool audit_wants_response(const struct api_req *q);
void audit_answered(struct api_req *q, int code);
/* audit_received() has said REQ_LATER, and is asked again. */
bool audit_waits(const struct api_req *q);
/* Whether q's answer has to wait until its event has been sent. Then this does, instead of audit_answered(), and calls
 * done() once: on any thread, perhaps before it returns. */
bool audit_holds(const struct api_req *q);
void audit_answer_held(struct api_req *q, int code, void (*done)(void *ctx), void *ctx);

/* Of any request: its event's, else the one that its client gave it, else a new one. */
struct sv audit_id(const struct api_req *q);
