/* strategy.h - what is special about a kind, as a table of optional hooks.
 *
 * The generic registry (registry/generic.c) does everything the same way for every kind:
 * names, uid, generation, timestamps, decode, default, field ownership, validation, CAS,
 * finalizers, graceful deletion. Data in the api folder says most of what differs; a strategy says
 * the rest. One file per kind family, registered in registry/strategies.c.
 *
 * Hooks run where the request runs, must not block, and work on q->arena. `doc` is the typed,
 * defaulted document being written (changed in place), `old` the stored one.
 */
#pragma once

#include "apiserver/api_req.h"
#include "object/validate.h"

struct store_write;
struct versions;

struct strategy {
	const struct resource *res; /* set at registration */

	/* Rule for metadata.name; NULL: DNS subdomain. */
	const char *(*name_check)(struct sv name);
	bool create_on_update;	   /* PUT of a missing object creates it */
	bool unconditional_update; /* PUT without resourceVersion overwrites */
	/* metadata.generation: whether it is kept, and then whether from the first moment on (1); which fields count
	 * when they change, NULL-terminated dotted paths. NULL: all but metadata and status. */
	bool no_generation, late_generation;
	const char *const *counted;
	const char *deprecated;	 /* told whoever asks for the kind; NULL: nothing */
	bool status_on_create;	 /* may bring its status along (a kubelet's Node) */
	bool returns_deleted;	 /* DELETE answers with the object even when it went at once */
	bool map_selector;	 /* spec.selector is a map of labels */
	bool forgotten;		 /* it goes --event-ttl after its last write (event_ttl.c) */
	const char *scale_group; /* of its Scale, where that is not its own; NULL: it is */
	/* What a subresource leaves as it is, where that is not the usual (kept.c): dotted paths, NULL-terminated. A
	 * NULL sub ends the table. */
	const struct kept_on {
		const char *sub;
		const char *const *fields;
	} * kept;

	/* Conditional defaults, after the schema's own. */
	void (*set_defaults)(struct api_req *q, struct val *doc);
	/* Clear status, drop disabled fields, set computed ones. */
	void (*prepare_create)(struct api_req *q, struct val *doc);
	void (*prepare_update)(struct api_req *q, const struct val *old, struct val *doc);
	/* Puts back what a change through this subresource may not touch beyond kept_fields(). NULL: nothing. */
	void (*narrow)(struct arena *a, struct sv sub, const struct val *old, struct val *doc);
	/* Beyond schema and metadata; old NULL on create; sub NULL or "status", ... */
	void (*validate)(struct field_errs *fe, const struct val *doc, const struct val *old, const char *sub);
	/* Warning: headers for accepted but questionable input; may be NULL. */
	void (*warn)(struct api_req *q, const struct val *doc, const struct val *old);

	/* May q's user do this, beyond the right to the verb? Asked last, before anything is reserved; not of
	 * subresources and deletions. old NULL: create. May say REQ_LATER (steps.h), as the question that it asks of
	 * others (authz_ask()) may. */
	int (*permit)(struct api_req *q, const struct val *old, const struct val *doc, struct err *err);
	/* The same of a change of the status. */
	int (*permit_status)(struct api_req *q, const struct val *old, const struct val *doc, struct err *err);

	/* Side effects that must be undone when the commit fails (ClusterIP, node port). old NULL:
	 * create; doc NULL: delete. commit() runs after success, rollback() after failure; state
	 * between them in *state, which may outlive q (commit.h). reserve() may say REQ_LATER (steps.h) as long as it
	 * has reserved nothing. */
	int (*reserve)(struct api_req *q, const struct val *old, struct val *doc, void **state, struct err *err);
	void (*commit)(struct apiserver *s, void *state);
	void (*rollback)(struct apiserver *s, void *state);

	/* What is written with it (store_write.also), of every write, those through subresources and deletions
	 * included: in q->arena, NULL when there is none. old and doc as of reserve(). */
	const struct store_write *(*also)(struct api_req *q, const struct val *old, const struct val *doc,
					  size_t *ret_n);
	/* One of these did not hold: at its key is value of revision rev, or nothing (0). The write begins anew. */
	void (*also_refused)(struct api_req *q, struct sv key, struct sv value, int64_t rev);

	/* Graceful deletion: seconds to wait before the object may go; 0: delete now. `grace` is
	 * what the client asked for, -1: nothing. Changes doc (deletionGracePeriodSeconds is set
	 * by the caller). NULL: not graceful. */
	int64_t (*grace_period)(struct api_req *q, const struct val *obj, int64_t grace);
	/* Deletion has been marked in metadata, nothing is waited for by the object itself; may be NULL. */
	void (*deletion_marked)(struct arena *a, struct val *doc);
	/* Beyond its finalizers: may it go? NULL: yes. */
	bool (*finalized)(const struct val *doc);
	/* deleteOptions default: "Background" unless set. */
	const char *default_propagation;

	/* Subresources beyond status and scale: answers q itself. NULL name ends the table. */
	const struct sub_handler {
		const char *name;
		void (*serve)(struct api_req *q);
		bool streams;	 /* to its client or through it, which only its connection's loop does */
		bool connects;	 /* to a program: webhooks are asked about it first */
		bool any_method; /* HEAD and OPTIONS as well: whoever is behind it answers them */
	} * subs;

	/* Kinds that are not stored at all (TokenReview, SubjectAccessReview, Binding): answer q
	 * with the typed, defaulted body. 0: q is seen to; -1: it fails with err; REQ_LATER: asked again, with the same
	 * doc (steps.h). */
	int (*virtual_create)(struct api_req *q, struct val *doc, struct err *err);
	/* The same for GET and LIST of what is not stored (componentstatuses): answers q. */
	void (*virtual_read)(struct api_req *q);

	/* The versions that its objects are served and stored in (apiserver/versions.h), the same for all of them;
	 * NULL: this is the only one. */
	const struct versions *versions;

	/* Field selector labels the data cannot express (spec.host alias); "" : absent, false: no such label. */
	bool (*field_label)(const struct val *obj, struct sv label, struct sv *ret);

	/* One-time set-up and per-change observation (allocators, authz rules) on the store's thread;
	 * old or neu NULL on create and delete. */
	void (*observe)(struct apiserver *s, struct obj *old, struct obj *neu);
	/* What is stored at key cannot be had (set_aside.h): its bytes, and the last version that was readable or NULL.
	 * value SV_NULL: that is over. On the store's thread; before observe() hears that last is gone, after it hears
	 * what comes instead. */
	void (*unread)(struct apiserver *s, struct sv key, struct sv value, const struct obj *last);
};

const struct strategy *strategy_for(const struct resource *r); /* never NULL: a plain one otherwise */
/* Before the first strategy_for(), and on one thread: what it finds, by the id of the resource, for good. */
void strategies_are(const struct strategy *by_id);

/* --- for strategies that read or write other objects --- */

/* Newest cached version; a new reference linked to q->arena, or NULL: it is not there, or registry_absent() says why.
 */
struct obj *registry_peek(struct api_req *q, const struct resource *r, struct sv ns, struct sv name);
/* Of one that was NULL: 0, nothing of that name is stored; -1: something is, and cannot be had (set_aside.h). For who
 * decides something by that. */
int registry_absent(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, struct err *err);
/* Both: 0, and *ret_obj is it, or NULL as nothing of that name is stored; -1: something is, and cannot be had. */
int registry_find(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, struct obj **ret_obj,
		  struct err *err);
/* Calls fn for every cached object of r (in ns unless ""); borrowed; non-zero stops. -1: of those that are stored some
 * cannot be opened, so that fn was not told of all. Nothing is decided by the lack of one then; a caller that it means
 * nothing to says why. */
int registry_each(struct apiserver *s, const struct resource *r, struct sv ns, int (*fn)(struct obj *o, void *ctx),
		  void *ctx, struct err *err) __attribute__((warn_unused_result));
/* An update inside another request (binding a pod, scaling): reads the newest version, calls
 * change() on a private copy (typed), validates, commits with retries on conflict, then
 * done(). change() returns 0 to write, 1 to answer with what is there, -1 to fail with *err. */
void registry_update_async(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, const char *sub,
			   int (*change)(struct api_req *q, const struct val *old, struct val *doc, void *ctx,
					 struct err *err),
			   void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx), void *ctx);
/* A plain create inside another request or at start (bootstrap). */
void registry_create_async(struct api_req *q, const struct resource *r, struct sv ns, struct val *doc,
			   void (*done)(struct api_req *q, struct obj *o, struct err *err, void *ctx), void *ctx);
