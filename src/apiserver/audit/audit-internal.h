/* audit-internal.h - shared by the files of audit/, nobody else. */
#pragma once

#include "apiserver/apiserver-internal.h"
#include "apiserver/audit/audit.h"

enum audit_level { LEVEL_NONE, LEVEL_METADATA, LEVEL_REQUEST, LEVEL_RESPONSE, _LEVEL_MAX };
enum audit_stage { STAGE_RECEIVED, STAGE_STARTED, STAGE_COMPLETE, STAGE_PANIC, _STAGE_MAX };

const char *audit_level_name(enum audit_level l);
const char *audit_stage_name(enum audit_stage s);

/* --- policy.c --- */

struct audit_policy; /* immutable */

struct audit_verdict {
	enum audit_level level;
	unsigned omit_stages; /* bits of enum audit_stage */
	bool omit_managed;
};

/* The document of a policy file; what it says is borrowed from the arena. NULL with what is wrong with it. */
struct audit_policy *audit_policy_parse(struct arena *a, struct sv text, struct err *err);
struct audit_policy *audit_policy_read(struct arena *a, const char *path, struct err *err);
/* u NULL: nobody who is known. */
struct audit_verdict audit_policy_ask(const struct audit_policy *p, const struct api_req *q, const struct user_info *u);

/* --- log_out.c: a file that is rotated, written a line at a time --- */

struct audit_log; /* opaque */
struct audit_log *audit_log_open(struct env *env, const struct audit_opts *o, struct err *err);
struct audit_log *audit_log_free(struct audit_log *l);
int audit_log_write(struct audit_log *l, struct sv lines, struct err *err);

/* --- hook_out.c: events to a program outside, in batches --- */

struct audit_hook; /* opaque */
struct audit;
/* lost: so many events could not be sent. */
typedef void audit_lost_fn(struct audit *a, size_t events, const struct err *why);
struct audit_hook *audit_hook_new(struct audit *a, const struct audit_opts *o, audit_lost_fn *lost, struct err *err);
/* json: an event without its end of line. -1: too many wait. */
int audit_hook_add(struct audit_hook *h, struct sv json, struct err *err);
/* One event by itself, tried once; why NULL: it was taken. On any thread, perhaps before this returns. */
typedef void audit_sent_fn(void *ctx, const struct err *why);
void audit_hook_send_now(struct audit_hook *h, struct sv json, audit_sent_fn *sent, void *ctx);
void audit_hook_stop(struct audit_hook *h);
struct audit_hook *audit_hook_free(struct audit_hook *h); /* stopped before; returns NULL */

/* --- event.c: a request as text --- */

/* What is needed of the request is copied: the last event of one that lasts is written when its texts may be gone. */
struct audit_event {
	struct audit_verdict verdict;
	struct sv id, uri, agent, verb, plural, group, version, ns, of, subresource;
	struct sv *ips;
	size_t n_ips;
	int64_t received_ns; /* wall clock */
	struct user_info user, as;
	struct sv constraint; /* "": none */
	bool has_as, lasts, begun;
	struct sv name, uid, rev; /* of the object, from the body */
	struct sv request, response, status;
	int code;
	bool cut;     /* objects were left out for their size */
	bool waiting; /* its first stage is on its way to a webhook that blocks */
};

void audit_event_fill(struct api_req *q, struct audit_event *e);
void audit_event_json(struct api_req *q, const struct audit_event *e, enum audit_stage stage, struct buf *b);
void audit_event_legacy(struct api_req *q, const struct audit_event *e, enum audit_stage stage, struct buf *b);

/* --- bodies.c --- */

/* Of what no step has decoded: a patch, options of a deletion, what is bound or reviewed. */
void audit_request_from_body(struct api_req *q);

struct audit {
	struct apiserver *s;
	struct audit_opts o;
	struct arena arena; /* of the policy */
	struct audit_policy *policy;
	struct audit_log *log;	 /* NULL: none */
	struct audit_hook *hook; /* the same */
	bool strict, batch;
	bool hook_blocks, hook_strict;
	atomic_uint_least64_t events, errors, hook_errors, rejected, levels[_LEVEL_MAX];
	pthread_mutex_t mu;
	pthread_cond_t idle;
	struct buf queue; /* guarded by mu, as are these */
	size_t queued;
	bool writing;
	int64_t told_ns; /* monotonic: when a failure was last told */
};
