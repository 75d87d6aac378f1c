/* api_req.h - one request on its way through the pipeline, whatever brought it.
 *
 *	request info ─ authn ─ impersonation ─ priority level ─ authz ─ route ─▶ discovery, health, ...
 *	                                                           └─▶ resource verb (registry/)
 *	     decode ─ default ─ admission ─ strategy ─ validate ─ store commit ─▶ encode
 *
 * A request is answered exactly once, through its sink: the HTTP adapter (http_adapter.c),
 * the in-process client (local.c) or a test's recorder. Any failure becomes a Status object
 * (status.h). Everything hangs on req->arena.
 *
 * Threads: one at a time. While a store commit is in flight the request belongs to the
 * store's completion; sinks that need their own thread hop there themselves.
 */
#pragma once

#include "apiserver/apiserver.h"
#include "base/arena.h"
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
	} *extra;
	size_t n_extra;
};
bool user_in_group(const struct user_info *u, struct sv group);

struct api_req;

/* Where the answer goes. */
struct api_sink {
	/* A complete answer: status code and one object. `o` is borrowed; NULL: use doc. */
	void (*object)(struct api_req *q, int code, struct obj *o, const struct val *doc);
	/* A complete answer of bytes (metrics, openapi, logs, /version); body lives until release runs. */
	void (*bytes)(struct api_req *q, int code, const char *content_type, const struct http_chunk *chunks, size_t n);
	/* A failure; sinks render Status themselves (or keep the err: in-process). */
	void (*failure)(struct api_req *q, const struct err *err);
};

struct api_req {
	struct apiserver *server;
	struct arena *arena;
	const struct api_sink *sink;
	struct http_req *http; /* NULL in-process */

	/* Request info: parsed from path and query, or given in-process. */
	enum verb verb;		 /* for resource requests */
	bool resource_request;
	const struct resource *res; /* NULL: unknown resource, or a non-resource path */
	struct sv group, version, plural, ns, name, subresource;
	const struct subresource *sub; /* when subresource is known */
	struct sv path;		 /* decoded, for non-resource requests and error texts */
	struct sv method;

	/* Negotiated. */
	struct sv content_type, accept;
	struct sv body;		  /* bytes, or */
	const struct val *body_doc; /* an already decoded body (in-process) */
	bool trusted;		  /* in-process: may skip strict decoding, never admission or authz */

	struct user_info user;
	struct sv user_agent;

	/* Parsed options common to verbs. */
	struct sv field_manager, field_validation; /* "Ignore", "Warn", "Strict" */
	bool dry_run, force;

	/* Warning: headers collected on the way (arena). */
	struct sv *warnings;
	size_t n_warnings;

	void *user_data; /* the sink's */
};

void api_req_warn(struct api_req *q, const char *fmt, ...) _printf_(2, 3);
/* A query parameter, decoded; false when absent. Works in-process too (options set there). */
bool api_req_param(struct api_req *q, const char *name, struct sv *ret);
/* Answers with the failure and releases err. Always use it last. */
void api_req_fail(struct api_req *q, struct err *err);

/* Runs q through the whole pipeline; the answer comes through q->sink, possibly before this
 * returns. */
void api_serve(struct api_req *q);
