/* crd.h - CustomResourceDefinitions become kinds that are served, and their status says so.
 *
 * One struct crds a server. It hears of every change of a definition on the store's thread, and follows in a task of
 * ENV_CONTROL, of which one runs at a time. Behaviour, reasons and messages are those of apiextensions-apiserver's
 * controllers (naming, establishing, finalizing, non-structural schemas, API approval).
 *
 * Life: crds_start() once the watch cache is filled and before the server is ready, crds_stop() before it goes.
 */
#pragma once

#include "apiserver/apiserver.h"
#include "apiserver/versions.h"
#include "object/obj.h"

struct crds; /* opaque */

#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

struct crds *crds_new(struct apiserver *s); /* before the watch cache is filled: it hears of what there is */
/* Serves what is established already, without a write; the rest is done by a task. ERR_STORE_READ: the store is damaged
 * where the objects of one are. A kind that is served as if it had never been defined would be wrong data; so the
 * server does not begin, as it does not for a built-in kind. */
int crds_start(struct apiserver *s, struct err *err);
void crds_stop(struct apiserver *s); /* no task runs any more, none begins */
void crds_free(struct apiserver *s); /* what was not started is fine */
/* A definition has changed (old or now NULL: came, went). The store's thread. */
void crds_observe(struct apiserver *s, struct obj *old, struct obj *now);

/* --- crd_names.c --- */

/* The names that a group's definitions have been given, of resources and of kinds; and by whom they were asked. */
struct crd_names;
struct crd_names *crd_names_new(void);
struct crd_names *crd_names_free(struct crd_names *n); /* NULL is fine */
void crd_names_add(struct crd_names *n, const struct val *crd);
/* The plural of crd is taken, where a built-in kind has it in one of its versions, or has the keys in the store that
 * are those of crd. Upstream gives it the name and serves the built-in kind: what says so here can be told from what is
 * served. So can a kind of that name in one of its versions, which crd_settle() knows itself: it is taken for crd
 * alone, not for others of its group. */
void crd_names_built_in(struct crd_names *n, const struct val *crd);

/* What crd's status ought to be: its own document with another status, in a. NULL: it is as it ought to be. Names that
 * are accepted are added to n. served: it is to be served under the names in *ret_names. */
struct val *crd_settle(struct arena *a, struct crd_names *n, const struct val *crd, int64_t now_ns, bool *ret_served,
		       const struct val **ret_names);
/* Sets a condition in a document under construction, by upstream's rule: its time changes with its status. */
void crd_condition(struct arena *a, struct val *crd, const char *type, const char *status, const char *reason,
		   const char *message, int64_t now_ns);
bool crd_condition_is(const struct val *crd, const char *type, const char *status);

/* --- crd_kind.c --- */

/* Of a definition that is kept by the kind, under these names (an acceptedNames). All versions, the storage version
 * first. NULL with err: it cannot be served. */
struct api_kind *crd_kind_new(struct obj *crd, const struct val *names, struct err *err);
/* --- crd_sweep.c --- */

/* Deletes what is stored under the keys of r, which are that kind's or were until now, and is not of the definition
 * `name` as it is now: all, when there is none; else what is older than that. Waits for the store. */
int crd_sweep(struct apiserver *s, const char *name, const struct resource *r, struct err *err);

/* --- crd_drain.c --- */

/* A step of removing a definition that is on its way out and has the finalizer: with k (NULL: it was never served) its
 * instances are asked to go. 1: there is more to do, soon. 0: done, or it is for others to do something first. */
int crd_drain(struct apiserver *s, struct client *c, const struct obj *crd, const struct api_kind *k, struct err *err);
