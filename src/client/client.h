/* client.h - how every component talks to the API: get, list, write, watch.
 *
 * Two transports behind one table: in-process (apiserver_client(): a function call on shared
 * immutable objects) and HTTPS (client/https.h). The component's code cannot tell. The
 * simulator wraps one that delays and drops.
 *
 * Calls look blocking and must run as tasks of the env (never on a network loop's thread).
 * Objects come back as references to published, immutable objects.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/keep.h"
#include "object/obj.h"
#include "object/schema.h"

struct client;

enum patch_type { PATCH_JSON, PATCH_MERGE, PATCH_STRATEGIC, PATCH_APPLY };

struct client_list_opts {
	const char *label_selector, *field_selector; /* NULL: none */
	int64_t resource_version;		     /* 0: anything fresh (consistent); -1: any cached */
	/* What the caller reads of the objects, NULL: all (object/keep.h). A transport that makes objects itself leaves
	 * out the rest, and their JSON; in-process they are shared as they are. Borrowed for the call. */
	struct keep *keep;
};

struct client_write_opts {
	const char *subresource;   /* NULL: the object itself */
	const char *field_manager; /* NULL: the client's name */
	bool force;		   /* PATCH_APPLY */
	bool dry_run;
};

struct client_delete_opts {
	const char *propagation;    /* "Background", "Foreground", "Orphan"; NULL: the kind's default */
	int64_t grace_seconds;	    /* -1: the object's own */
	struct sv precondition_uid; /* "": none */
	int64_t precondition_rev;   /* 0: none */
};
#define CLIENT_DELETE_OPTS ((struct client_delete_opts){ .grace_seconds = -1 })

/* A list: references to shared objects, and the revision it was read at. */
struct obj_list {
	struct obj **items; /* owned references */
	size_t n;
	int64_t rev;
	size_t missing; /* of the namespace, which are stored but not handed out; told in-process only */
};
void obj_list_release(struct obj_list *l); /* for _cleanup_ */

enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK };

/* Callbacks of one watch come one at a time and in order, as tasks of the client's class. */
struct client_watch_cb {
	/* o is borrowed (take obj_ref to keep). For WATCH_DELETED it is the last version, with
	 * the deletion's resourceVersion. For a bookmark only obj_rev(o) means something. */
	void (*event)(enum watch_type t, struct obj *o, void *ctx);
	/* Once, last, unless client_unwatch() came first: ERR_EXPIRED means list again. The handle
	 * still has to be released with client_unwatch(), which may be called from here. */
	void (*end)(const struct err *why, void *ctx);
};
struct client_watch; /* opaque */

struct client_ops {
	int (*get)(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
		   struct err *err);
	int (*list)(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		    struct obj_list *ret, struct err *err);
	int (*create)(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
		      const struct client_write_opts *o, struct obj **ret, struct err *err);
	int (*update)(struct client *c, const struct resource *r, struct sv ns, struct sv name, const struct val *doc,
		      const struct client_write_opts *o, struct obj **ret, struct err *err);
	int (*patch)(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		     const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err);
	int (*del)(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		   const struct client_delete_opts *o, struct err *err);
	int (*watch)(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		     const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err);
	int (*get_doc)(struct client *c, struct arena *a, const char *target, const struct val **ret, struct err *err);
	void (*unwatch)(struct client *c,
			struct client_watch *
			    w); /* no callback starts after it returns; waits for one under way unless called from it */
	void (*free)(struct client *c);
};

/* Embedded first in a transport's own struct. */
struct client {
	const struct client_ops *ops;
	struct env *env;
	const char *name; /* who calls: field manager, user agent, and (in-process) the identity below */
	/* In which the callbacks of its watches come, and what its owner's informers, events and elections do;
	 * the owner's to set before any of them. As made: ENV_CONTROL. */
	enum env_class class;
	bool here; /* calls and watches are functions of this process: they take no connections */
	/* Asked before each write, whatever thread makes it; false refuses it (ERR_UNAVAILABLE). For work that only an
	 * elected leader may do (leader.h). NULL: any time. The owner's to set before the first call. */
	bool (*may_write)(void *ctx);
	void *may_write_ctx;
};

/* ns "" : cluster-scoped, or all namespaces for list and watch. ret may be NULL. All return 0 or -1. */
int client_get(struct client *c, const struct resource *r, struct sv ns, struct sv name, struct obj **ret,
	       struct err *err);
int client_list(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		struct obj_list *ret, struct err *err); /* o may be NULL */
int client_create(struct client *c, const struct resource *r, struct sv ns, const struct val *doc,
		  const struct client_write_opts *o, struct obj **ret, struct err *err); /* o may be NULL */
/* A create on a subresource of an object: pods/eviction, pods/binding, serviceaccounts/token. */
int client_create_sub(struct client *c, const struct resource *r, struct sv ns, struct sv name, const char *subresource,
		      const struct val *doc, struct obj **ret, struct err *err);
/* metadata.resourceVersion of doc, when set, must still be current (ERR_CONFLICT). */
int client_update(struct client *c, const struct resource *r, const struct val *doc, const struct client_write_opts *o,
		  struct obj **ret, struct err *err);
int client_update_status(struct client *c, const struct resource *r, const struct val *doc, struct obj **ret,
			 struct err *err);
int client_patch(struct client *c, const struct resource *r, struct sv ns, struct sv name, enum patch_type t,
		 const struct val *patch, const struct client_write_opts *o, struct obj **ret, struct err *err);
int client_delete(struct client *c, const struct resource *r, struct sv ns, struct sv name,
		  const struct client_delete_opts *o, struct err *err); /* o may be NULL */
/* Whatever a GET of this path and query answers, as a document: subresources, and what other servers of the cluster
 * answer (custom.metrics.k8s.io). target is percent-encoded; a name in it that is '.' or '..', or has '/' or '%', is
 * refused whoever wrote it (upstream's path segment names). It lives as long as a. */
int client_get_doc(struct client *c, struct arena *a, const char *target, const struct val **ret, struct err *err);
/* Waits for nobody: it may be called under a lock that the callbacks take. */
int client_watch(struct client *c, const struct resource *r, struct sv ns, const struct client_list_opts *o,
		 const struct client_watch_cb *cb, void *ctx, struct client_watch **ret, struct err *err);
void client_unwatch(struct client *c, struct client_watch *w);
struct client *client_free(struct client *c);
