/* api_req.h - one request on its way through the pipeline, whatever brought it.
 *
 *	request info ─ authn ─ impersonation ─ priority level ─ authz ─ route ─▶ discovery, health, ...
 *	                                                           └─▶ resource verb (registry/)
 *	     decode ─ default ─ admission ─ strategy ─ validate ─ store commit ─▶ encode
 *
 * Each of these is a step that may wait (steps.h).
 *
 * A request is answered exactly once, through its sink: the HTTP adapter (http_adapter.c),
 * the in-process client (local.c) or a test's recorder. Any failure becomes a Status object
 * (status.h). Everything hangs on req->arena.
 *
 * Threads: one at a time. Its own is that of its sink (a connection's loop, the thread that waits for it in this
 * process); what is no small read runs on the pool meanwhile. While a store commit is in flight the request belongs to
 * whoever ends that (registry/commit.h), the store or its deadline, and only sends it on; sinks that need their own
 * thread hop there themselves.
 */
#pragma once

#include "apiserver/apiserver.h"
#include "apiserver/run_queue.h"
#include "apiserver/steps.h"
#include "base/arena.h"
#include "object/api_set.h"
#include "object/obj.h"
#include "object/schema.h"

/* Who is asking. Strings live in the request's arena. */
struct user_info {
	struct sv name, uid;
	struct sv *groups;
	size_t n_groups;
	struct extra_info {
		struct sv key;
		struct sv *values;
		size_t n_values;
	} * extra;
	size_t n_extra;
	const char *warning; /* what whoever comes with this credential is told each time, constant; NULL: nothing */
	int64_t stale_ns;    /* wall clock: from then on its token should have been replaced; 0: not to be */
	int64_t expires_ns;  /* wall clock: what proved it is good until then; 0: no end is known */
};
/* All of it, into the arena. */
void user_copy(struct arena *a, struct user_info *to, const struct user_info *from);
bool user_in_group(const struct user_info *u, struct sv group);
/* With whom u shares what one user has of the server: service accounts of a namespace are one, for who may make one may
 * make a thousand. Those of kube-system, the cluster's own, each are their own. A view of u's name. */
struct sv user_share(const struct user_info *u);
/* Adds a value to what u brings under key, in the arena of both; u->extra is u's alone, made by this or NULL. */
void user_add_extra(struct arena *a, struct user_info *u, struct sv key, struct sv value);
/* Adds system:authenticated, for which there is room in groups, unless u is anonymous or a group says already whether
 * he is. */
void user_is_authenticated(struct user_info *u);

struct api_req;
struct media;
struct media_form;

/* Where the answer goes. */
struct api_sink {
	/* A complete answer: status code and one object. `o` is borrowed; NULL: use doc. NULL: the sink wants bytes();
	 * use answer_object(), answer_doc(). */
	void (*object)(struct api_req *q, int code, struct obj *o, const struct val *doc);
	/* A complete answer of bytes (metrics, openapi, logs, /version); body lives until release runs. content_type
	 * "": none. */
	void (*bytes)(struct api_req *q, int code, const char *content_type, const struct http_chunk *chunks, size_t n);
	/* A complete answer that is made while it is sent; NULL: the sink wants bytes(). Use answer_source(). On the
	 * request's own thread. */
	void (*source)(struct api_req *q, int code, const char *content_type, struct http_source *src_take);
	/* A failure; sinks render Status themselves (or keep the err: in-process). */
	void (*failure)(struct api_req *q, const struct err *err);

	/* A streamed answer: watch, logs. NULL when the sink cannot stream. Whoever begins ends it,
	 * exactly once, also after q->on_gone ran. write returns the bytes not yet taken by the
	 * peer, as http_stream_write(). On the request's own thread only. */
	void (*stream_begin)(struct api_req *q, const char *content_type);
	/* The same with a head that is somebody else's: status and headers as they are. NULL: only over HTTP. */
	void (*stream_head)(struct api_req *q, int code, const struct http_header *headers, size_t n);
	size_t (*stream_write)(struct api_req *q, const struct http_chunk *c);
	/* One event of a watch, whole, for a transport that parts messages itself. NULL: stream_write() and what the
	 * encoding parts events by. */
	size_t (*stream_event)(struct api_req *q, bool binary, const struct http_chunk *chunks, size_t n);
	void (*stream_end)(struct api_req *q);

	/* Runs fn(q, ctx) on the request's own thread, later: whoever posts has nothing to do with q any more. NULL: it
	 * has none, the pool will do. */
	void (*post)(struct api_req *q, void (*fn)(struct api_req *q, void *ctx), void *ctx);
	/* That thread is a network loop: what is no small read from memory goes to the pool. */
	bool on_loop;
};

/* One query parameter, decoded. */
struct api_param {
	struct sv name, value;
};

/* What is noted of a request beside its answer, by key. */
struct api_notes {
	size_t n;
	struct api_param at[];
};

struct api_req {
	struct apiserver *server;
	struct arena *arena;
	const struct api_sink *sink;
	struct http_req *http; /* NULL in-process */

	/* The kinds that there were when it came: all that it looks up, it finds in there. Whoever makes a request that
	 * does not come through api_serve() takes them himself (api_req_take_kinds()) or knows built-in kinds only. */
	const struct api_set *api;

	/* Request info: parsed from path and query, or given in-process. */
	enum verb verb; /* for resource requests */
	bool resource_request;
	bool trusted;		    /* in-process: may skip strict decoding, never admission or authz */
	struct sv fence_key;	    /* what it writes is refused unless this key is at */
	int64_t fence_rev;	    /* (fence.h); 0: no such key */
	const struct resource *res; /* NULL: unknown resource, or a non-resource path */
	struct sv group, version, plural, ns, name, subresource;
	const struct subresource *sub; /* when subresource is known */
	struct sv path;		       /* decoded, for non-resource requests and error texts */
	struct sv method;
	struct sv query; /* as it came, of who has no transport; for who passes it on */

	struct api_param *params;
	size_t n_params;
	const struct field_selector *fields; /* of fieldSelector, once it was asked about (arena); NULL: not parsed */

	/* Negotiated. */
	struct sv content_type, accept;
	const struct media *media;     /* what the answer is written in; NULL: JSON (media.h) */
	const struct media_form *form; /* and what is told of objects; NULL: themselves */
	struct sv shard;	       /* of a list: by which shard selector it is a part of the whole; SV_NULL: none */
	struct sv body;		       /* bytes, or */
	const struct val *body_doc;    /* an already decoded body (in-process) */

	struct user_info user;
	int64_t authn_since_ns; /* monotonic: what is remembered of a credential counts only when found since; 0: any */
	struct sv user_agent;

	/* Parsed options common to verbs. */
	struct sv field_manager, field_validation; /* "Ignore", "Warn", "Strict" */
	bool dry_run, force;
	bool options_ok;	/* the ones above were parsed and checked */
	bool has_empty;		/* of the body as decoded: see struct decode_report */
	bool patch_strict_yaml; /* what follows has line numbers, as YAML's reader words it */

	/* What strict validation says of a patch itself (arena): judged together with its result. */
	struct sv *patch_strict;
	size_t n_patch_strict;

	/* Warning: headers collected on the way (arena). */
	struct sv *warnings;
	size_t n_warnings;

	struct api_notes *notes;   /* for the audit (arena), or NULL */
	struct audit_event *audit; /* audit/; NULL: nothing is noted of it */

	struct sv why; /* with which words it failed, where that is the server's doing: 500 and above (arena) */

	/* More headers of the answer (arena); the transport may ignore them. */
	struct http_header *headers;
	size_t n_headers;

	/* Set by whoever streams: the peer left (then stream_end() is still due); queue drained. */
	void (*on_gone)(struct api_req *q);
	void (*on_drain)(struct api_req *q);
	void *stream; /* the streamer's own */

	/* Kept by the pipeline. */
	int64_t start_ns;	  /* monotonic */
	struct flow_ticket *flow; /* seats held in a priority level, or asked for; or NULL */
	bool answered;
	bool timed;  /* its steps are worth the clock, or somebody looks on */
	bool pooled; /* what it does from now on runs on the pool */
	uint8_t at;  /* the pipeline's place */

	/* Kept by the steps (steps.h). */
	enum req_step step;	    /* the last that is behind it */
	int64_t step_ns[_STEP_MAX]; /* monotonic, when it was passed for the last time; 0: not noted */
	struct req_ticket *wait;    /* what it waits with, or NULL */
	int64_t until_ns;	    /* monotonic: it must be answered by then; 0: by what it is */
	struct inflight *inflight;  /* where it is seen (inflight.h), or NULL */
	struct api_req *served;	    /* itself, when api_serve() was given it: it will be answered, and no copy of it */
	unsigned asked;		    /* of several that one step asks, how many have answered; 0 between steps */
	bool has_result;
	bool parts;			/* req_has_parts() */
	struct admission_clock *clock;	/* admission/chain.c: since when it is asked; NULL: never yet */
	struct hook_turn *hooks;	/* admission/webhooks.c: how far it has asked webhooks; NULL between steps */
	struct policy_turn *policies;	/* admission/policy/: how far it has asked policies; NULL between steps */
	struct authz_verdict *verdicts; /* that this step was told before it waited (authz.h) */
	void *result;
	struct run_item run;
	req_fn *run_fn;
	void *run_ctx;

	void *user_data; /* the sink's */
};

/* What a step was told when it waited is not for the one that is asked next. */
static inline void req_forget(struct api_req *q)
{
	q->has_result = false;
	q->verdicts = NULL;
}

static inline void req_passed(struct api_req *q, enum req_step step)
{
	q->step = step;
	req_forget(q);
	if (q->timed)
		req_note(q, step);
}

void api_req_warn(struct api_req *q, const char *fmt, ...) _printf_(2, 3);
/* For the audit of q; views in the arena. What is beyond a bound is left out. */
void api_req_annotate(struct api_req *q, struct sv key, struct sv value);
void api_req_header(struct api_req *q, struct sv name, struct sv value); /* views in the arena or constant */
/* A query parameter, decoded; false when absent. Works in-process too (options set there). */
bool api_req_param(const struct api_req *q, const char *name, struct sv *ret);
/* A parameter that is no number, in the words that upstream has for all of them. Returns -1. */
int err_bad_number(struct err *err, struct sv v);
/* 429, to be tried again in a second. Returns -1. */
int err_too_many(struct err *err);
/* Answers with the failure and releases err. Always use it last. */
void api_req_fail(struct api_req *q, struct err *err);

/* Every sink calls this first when it is given an answer: frees the priority level's seats
 * and counts. code is the HTTP status. */
void api_req_answered(struct api_req *q, int code);
/* The same where it is known how many bytes the body has. */
void api_req_answered_bytes(struct api_req *q, int code, int64_t bytes);

/* Runs q through the whole pipeline; the answer comes through q->sink, possibly before this
 * returns. */
void api_serve(struct api_req *q);
/* What it does, for people: the method, but LIST, WATCH and DELETECOLLECTION, as metrics have it. Constant, or as long
 * as q. */
struct sv api_req_verb(const struct api_req *q);
/* Its URL without the query, for people; of one from this process the one that it would have. In the arena. */
struct sv api_req_url(struct api_req *q);
/* The calling thread works on q: the mark for work_leave() (base/board.h). */
int api_req_work(const struct api_req *q);
