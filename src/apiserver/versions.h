/* versions.h - one resource in several versions.
 *
 *	v1beta1 ─┐          ┌─ the storage version: what is written, and what the watch cache holds
 *	v1 ──────┼── hub ───┤
 *	v2 ──────┘          └─ stored text of any of them: it says which, and is converted when it is read
 *
 * There is one tree of objects, one history and one key in the store, whatever version somebody writes, reads or
 * watches. What is served in another version is a view: made on the way out, and kept with the object (obj_view.h)
 * until that goes, so that a thousand watchers convert an object once.
 *
 * A conversion goes from a version to the hub or from the hub to a version; from one version to another it is two. The
 * function that makes it may fail, and where `waits` is set it may say REQ_LATER (steps.h), being asked by a request
 * that can wait. What it returns is not trusted: name, namespace and uid must be those of what it was given, all of
 * metadata but labels and annotations is taken from there, and the rest is decoded by the type of its version.
 *
 * The storage version is the form that everything inside works on: observers, selectors (whose labels are translated,
 * struct version_label), the keys of the store. Of kinds whose conversions wait nothing can be converted where nobody
 * may wait, on the store's thread: there an object stays in the version its text has until somebody asks for it. For
 * them selectors look at metadata only.
 *
 * A resource of one version has no struct versions. That it has none is one test of a pointer, and all it pays.
 *
 * Threads: a struct versions is immutable and lives as long as its resources. Its function is called by any thread.
 */
#pragma once

#include "apiserver/registry/strategy.h"
#include "object/obj.h"

/* One leg, given to the function. It fills out with documents in a (kind and apiVersion of `to` among them), or says
 * why not. */
struct version_leg {
	struct api_req *q; /* NULL: nobody can wait; only where `waits` is not set */
	struct arena *a;
	const struct resource *from, *to; /* one of them is the hub */
	const struct val *const *docs;
	size_t n;
	const struct val **out;
	void *ctx; /* struct versions */
};
/* 0, -1 or REQ_LATER: as every step that waits, it is then asked again, for the same. */
typedef int version_fn(const struct version_leg *leg, struct err *err);

struct version_label {
	const char *label, *stored; /* a field selector's label, and the storage version's for the same field */
};
struct version {
	const struct resource *res;
	const struct version_label *labels; /* NULL-terminated; those not in it are the same. NULL: all are */
};

struct versions {
	const struct resource *storage, *hub;
	const struct version *all; /* served or not */
	size_t n;
	version_fn *convert; /* NULL: they differ in their names alone */
	void *ctx;
	bool waits;
};

/* How the versions of a kind that comes at run time are converted (apiserver_add_versions()). */
struct kind_conversion {
	const char *hub; /* its version; NULL: the storage version */
	version_fn *convert;
	void *ctx; /* outlives the kind; or, with these, is kept by it as long as somebody may ask it */
	void (*ref)(void *ctx);
	void (*unref)(void *ctx);
	bool waits;
};

/* NULL: r has one version. */
static inline const struct versions *versions_of(const struct resource *r)
{
	return strategy_for(r)->versions;
}
/* Of those the one that a document says it is of; NULL: of none, or it does not say. */
const struct resource *versions_form(const struct versions *v, const struct val *doc);
const struct resource *versions_named(const struct versions *v,
				      struct sv api_version); /* the same by "group/version" */
/* Does doc say that it is an r? */
bool version_is(const struct resource *r, const struct val *doc);
/* What the storage version of r calls that label. */
struct sv version_stored_label(const struct resource *r, struct sv label);

/* A conversion on its way: n documents at once, as whoever is asked far away wants them. */
struct conversion {
	struct api_req *q; /* as in struct version_leg */
	struct arena *a;   /* of the results, which may share texts with docs */
	const struct versions *of;
	const struct resource *from, *to;
	const struct val *const *docs;
	size_t n;
	struct val **out; /* [n], filled when it is done: typed documents of `to` whose nodes are the caller's */
	/* ours: what is half way, in the hub's form */
	const struct val *const *half;
};
/* 0: done; -1: it cannot be; REQ_LATER: call it again. Changes nothing of docs. */
int conversion_run(struct conversion *c, struct err *err);

/* --- objects --- */

/* o was made of a text in another version than the storage version, so that a write that changes nothing changes it. */
void version_note_stale(struct obj *o);
bool version_is_stale(const struct resource *r, struct obj *o);

/* Objects out of the watch cache, made views of a version. A batch at a time: there may be many. */
struct views {
	struct api_req *q; /* NULL: nobody can wait */
	const struct resource *res;
	struct obj **objs; /* the caller's references, exchanged in place */
	size_t n;
	/* ours */
	size_t at; /* those before it are done */
	size_t *which, n_which;
	struct arena tmp;
	struct conversion c;
	bool busy;
};

#define VIEWS_BATCH ((size_t)500)	     /* converted at once */
#define VIEWS_LOOP_BYTES ((size_t)64 * 1024) /* of objects: more is not converted on a network loop */

/* Are objects out of the cache not what r shows already? */
static inline bool views_needed(const struct resource *r)
{
	const struct versions *v = versions_of(r);

	return v && (v->waits || v->storage != r);
}
void views_init(struct views *v, struct api_req *q, const struct resource *r, struct obj **objs, size_t n);
/* 0: all are done; 1: a batch is, and there are more: others have their turn; -1; REQ_LATER: call it again. */
int views_make(struct views *v, struct err *err);
void views_release(struct views *v); /* but not the objects */
/* All of it for a request, which goes on with fn on a thread of its kind, the pool's if it is much: err NULL, or why
 * not. v is in q's arena. */
typedef void views_fn(struct api_req *q, struct views *v, struct err *err, void *ctx);
void views_then(struct views *v, views_fn *fn, void *ctx);
