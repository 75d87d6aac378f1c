/* registry.h - the verbs on stored resources; shared by the files of registry/.
 *
 * Reads answer at once from the watch cache. A write is one struct write_op that walks the steps of write.c: what a
 * verb makes of its request is produce(), all else is the same for all. Each step may wait (steps.h), and any thread
 * may go on with it then; between its steps the op is nobody else's.
 */
#pragma once

#include "apiserver/admission/admission.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/registry/commit.h"
#include "apiserver/registry/selection.h"
#include "apiserver/registry/strategy.h"
#include "apiserver/set_aside.h"
#include "apiserver/watchcache.h"
#include "base/vec.h"
#include "object/apply.h"

#define OBJECT_BYTES_MAX ((size_t)1536 * 1024) /* of its JSON, as etcd's request limit */
#define WRITE_ATTEMPTS 5 /* of one that names no version, while others are faster; and more until its time is up, */
#define WRITE_AGAIN_BYTES ((size_t)32 * 1024 * 1024) /* while all that it has tried keeps less than this */
#define ALSO_ATTEMPTS 100 /* while others take what was to be written with it; each one knows of one more */
#define GENERATE_NAME_ATTEMPTS 8
#define WRITE_BOUNDS 3 /* the fence, the namespace, the definition */

struct write_op {
	struct api_req *q;
	struct arena *a;
	const struct resource *res;
	const struct strategy *strat;
	struct sv ns, name;
	struct sv sub;	       /* "" or the subresource whose strategy applies */
	struct sv managed_sub; /* named in managedFields instead of sub (scale), or "" */

	/* Makes op->doc (typed, defaulted) out of op->old. 0: go on; 1: nothing to do, answer
	 * with old; -1: fail. May set tombstone. */
	int (*produce)(struct write_op *op, struct err *err);
	/* The same, once admission has let it pass; NULL: what is usual. */
	int (*settle)(struct write_op *op, struct err *err);
	/* Exactly once: o (borrowed; NULL on failure) or err. NULL: answers the request. */
	void (*done)(struct write_op *op, struct obj *o, struct err *err);
	void *ctx, *ctx2;

	struct obj *old;   /* linked to the arena; NULL: does not exist. In the version of res, as doc is */
	struct obj *fresh; /* newer than the cache: what the store said when a race was lost */
	struct val *doc;
	bool must_exist; /* 404 without old */
	bool may_create; /* produce() may be called without old */
	bool creating;	 /* this attempt makes the object */
	bool tombstone;	 /* this attempt removes it */
	bool retry;	 /* a lost race is tried again */
	bool generated_name;
	bool raw;     /* doc is written as it is: no strategy, no validation, no ownership; admitted if a deletion */
	bool applied; /* doc already carries its managedFields (apply) */
	bool unowned; /* what it changes stays whose it was: of a binding nobody becomes the owner */
	struct sv base_name; /* generateName's prefix */
	int code;	     /* of the answer */
	int attempt, also_attempt;
	unsigned at;	    /* the step of write.c */
	struct obj *answer; /* instead of old; linked to the arena */
	int64_t want_rev;   /* the client's own resourceVersion, 0: none */

	struct write_versions *versions; /* write_versions.c; NULL: res has one version */

	const struct val *stored; /* doc in the form of its storage */
	struct reserved reserved; /* for this attempt, until the commit has it */
	struct commit *commit;	  /* of this attempt */
	bool ordered, completed;  /* doc is in its type's order; and has what Go writes although it is zero */
	bool thawed;		  /* and no part of it is another object's: nothing was put in since val_thaw() */
	const struct delete_options *del;
	const struct store_write *also; /* what is written with it; arena. First the strategy's, then the quotas' */
	size_t n_also_own;		/* the strategy's */
	struct store_write *charges;	/* the quotas' */
	size_t n_charges;
	struct store_write bounds[WRITE_BOUNDS]; /* what must be there with it, unchanged (write_bound.c) */
	size_t n_bounds;
	VEC(struct obj *) quotas; /* as the store said they are, when it refused one; linked to the arena */
};

void write_run(struct write_op *op); /* write.c */

/* write_bound.c: what an object is made in, and of. Both must be there when it is written, and not on their way out:
 * asked at the door (a body for nowhere is not looked at), and once more as the last thing before the commit, for which
 * it is a condition. */
int write_open(const struct resource *r, struct err *err); /* at the door: its definition is not going */
int write_bound(struct write_op *op, struct err *err);	   /* fills op->bounds, or refuses as at the door */

/* write_versions.c: what is there, and what is written, of a resource in several versions. Steps of the write for which
 * op->versions is set, and which may say REQ_LATER. */
void write_versions_new(struct write_op *op);		      /* when it has several */
int write_versions_old(struct write_op *op, struct err *err); /* op->old becomes one of op->res */
int write_versions_stored(struct write_op *op,
			  struct err *err); /* op->stored becomes what is stored, doc what is read */
bool write_versions_stale(
    const struct write_op *op); /* old's text is of another version, or of a key that writes no more */
/* As others' versions see the object, for struct apply_opts. */
const struct apply_versions *write_versions_owners(struct write_op *op);
/* One of managed_update() and managed_apply() has failed for the reason that it has to wait. */
bool write_versions_waits(const struct write_op *op);

/* kept.c: what an endpoint leaves as it is (sub "": the main one). Dotted paths, NULL-terminated; nobody can own
 * them through it either. */
const char *const *kept_fields(const struct resource *r, struct sv sub);
/* That member of to as from has it, a copy; gone when from has none. */
void keep_member(struct arena *a, struct val *to, const struct val *from, enum sym key);
/* Puts them back as they are in old. */
void kept_restore(struct arena *a, const struct resource *r, struct sv sub, const struct val *old, struct val *doc);

/* create_finish.c, update_finish.c: make op->doc what is committed. The first expects nothing there, the second goes by
 * op->old. _begin: all until it is recorded who owns what, _owned: and until mutating admission is asked, _prepare:
 * what comes behind it, validation included. */
int create_begin(struct write_op *op, struct err *err);
void create_owned(struct write_op *op);
int create_prepare(struct write_op *op, struct err *err);
int update_begin(struct write_op *op, struct err *err);
int update_prepare(struct write_op *op, struct err *err);
/* 1: nothing has changed. May set tombstone. */
int update_settle(struct write_op *op);
/* op->doc is what old is, but for resourceVersion, which the new one may lack. */
bool update_is_none(struct write_op *op, const struct val *old);

/* body.c: the request's body as a typed document of the schema (not defaulted); checks
 * apiVersion and kind (own or absent) and, by fieldValidation, unknown and duplicate fields. */
struct val *body_typed(struct api_req *q, const struct schema *s, struct sv api_version, struct sv kind,
		       struct err *err);
struct val *typed_from_raw(struct api_req *q, const struct schema *s, const struct val *raw, struct sv api_version,
			   struct sv kind, bool strict, struct err *err);
bool body_is_cbor(struct sv type); /* while its feature is on */
/* 415. Returns -1. custom: of a kind that has no messages of protobuf. */
int err_body_type(bool custom, struct err *err);
/* Any JSON value. What is there twice, or is no member of an operation, is noted in q and judged with what the patch
 * makes (typed_from_raw()); of an apply configuration by body_judge_applied(), once it could be applied. */
struct val *body_patch(struct api_req *q, bool yaml, struct err *err);
int body_judge_applied(struct api_req *q, struct err *err);

/* write_steps.c */
struct write_op *write_op_new(struct api_req *q, const struct resource *r, struct sv ns, struct sv name);
/* Ends the op with its failure; err is released. */
void write_fail(struct write_op *op, struct err *err);
int write_defaults(struct write_op *op, struct err *err); /* the schema's and the kind's */
/* Makes doc what decoding makes of a text, after hooks took members away and put others in. */
void write_complete(struct write_op *op);
int write_managed(struct write_op *op, const struct val *old, struct err *err);
int write_validate(struct write_op *op, const struct val *old, struct err *err);
/* May say REQ_LATER. */
int write_admit(struct write_op *op, bool mutate, enum admission_op kind, struct err *err);
void write_finish(struct write_op *op, struct obj *o, struct err *err); /* calls done */
void apply_opts_of(struct write_op *op, struct apply_opts *ret);
/* A request of the server's own, made without request info: strategies and admission find what it
 * is about in q as in a client's. */
void registry_adopt(struct api_req *q, const struct resource *r, struct sv ns, struct sv name, enum verb verb);
struct sv resource_gv(struct arena *a, const struct resource *r); /* "apps/v1" */

/* No finalizer is left, and its kind waits for nothing else. */
bool object_finalized(const struct resource *r, const struct val *doc);

/* get.c: goes on with o, which is out of the cache, in the version that q asks for, or fails q. then() has it for the
 * call alone. */
void registry_read(struct api_req *q, struct obj *o_take, void (*then)(struct api_req *q, struct obj *o));

/* Verbs. Each answers q. */
void registry_get(struct api_req *q);
void registry_list(struct api_req *q);
void registry_watch(struct api_req *q);
void registry_create(struct api_req *q);
void registry_update(struct api_req *q);
void registry_patch(struct api_req *q);
void registry_delete(struct api_req *q);
void registry_deletecollection(struct api_req *q);
void registry_scale(struct api_req *q);
void registry_serve(struct api_req *q); /* generic.c: by verb and subresource */
/* A read from memory that takes no time, or what must stay on its loop as it streams: all else is for the pool. */
bool registry_is_small(struct api_req *q);

/* scale_custom.c: what an object of a custom kind has at a path of its scale subresource; NULL: nothing. -1: something
 * of another type, in upstream's words. */
int custom_scale_value(const struct val *o, const char *path, enum val_type want, const struct val **ret,
		       struct err *err);
/* The rules of scale for such an object; sub as of a strategy's validate(). */
void custom_scale_validate(struct field_errs *fe, const struct resource *r, const struct val *doc, const char *sub);

/* list_body.c: answers with a list in the form the client asked for. Takes the references. */
void list_answer(struct api_req *q, const struct resource *r, struct obj **objs, size_t n, int64_t rev, struct sv cont,
		 int64_t remaining);
struct objpick;
void list_answer_pick(struct api_req *q, const struct resource *r, struct objpick *objs_take, int64_t rev,
		      struct sv cont, int64_t remaining);
/* list.c: judges how resourceVersion, its match, continue and sendInitialEvents go together, for a list or a watch:
 * everything that is wrong is in *err. limit and timeoutSeconds are 0 where nothing is said. */
int list_options_check(struct api_req *q, bool watch, int64_t *ret_limit, int64_t *ret_seconds, struct err *err);

/* revision.c */
/* "" is 0; false unless a decimal number. */
bool list_rev_parse(struct sv s, int64_t *ret);
int err_bad_rev(struct err *err, struct sv s);
/* Runs fn again (on q's thread) when the cache has reached rev; after 3 s fail() says 504, and takes what err holds. */
void wait_for_rev(struct api_req *q, int64_t rev, void (*fn)(struct api_req *q),
		  void (*fail)(struct api_req *q, struct err *err));

/* fresh.c: a step. Where others write to the store, too, it waits until the cache has everything that anybody was
 * answered before; but for reads that say which revision is enough. */
int registry_fresh(struct api_req *q, struct err *err);

/* delete.c */
struct delete_options {
	int64_t grace;	    /* -1: not given */
	struct sv policy;   /* "Background", ...; "" not given */
	int orphan;	    /* orphanDependents: -1 not given, 0, 1 */
	struct sv uid, rev; /* preconditions */
	bool dry_run;
	bool unsafe; /* ignoreStoreReadErrorWithClusterBreakingPotential */
};
int delete_options_read(struct api_req *q, struct delete_options *ret, struct err *err);
/* 409 unless o is the one that was meant; "" is any. */
int delete_preconditions(const struct resource *r, const struct obj *o, struct sv uid, struct sv rev, struct err *err);
void delete_start(struct write_op *op, const struct delete_options *o);

/* delete_unread.c: removes an object that is set aside, without looking at it. Answers q. */
void delete_unread(struct api_req *q, const struct delete_options *o);

/* scale_view.c: what a Scale shows of an object. -1: something else is where a custom kind has it. */
struct scale_shown {
	int64_t replicas, status_replicas;
	struct sv selector;
	bool has_replicas;
};
int registry_scale_shown(struct arena *a, const struct resource *r, const struct val *o, struct scale_shown *ret,
			 struct err *err);
struct val *registry_scale_view(struct arena *a, const struct val *o, const struct scale_shown *shown);
const char *registry_scale_path(const struct resource *r); /* where replicas are, ".spec.replicas" */
/* Puts them there; NULL: something stands in the way. */
struct val *registry_scale_set(struct arena *a, const struct resource *r, struct val *doc, int64_t replicas);
/* The object o of r as a Scale, as far as it can be seen as one. */
struct val *registry_scale_of(struct arena *a, const struct resource *r, const struct val *o);

/* update.c, patch.c: also of the scale subresource */
int update_check_name(struct api_req *q, const struct val *doc, struct err *err); /* against the URL's */
int patch_media(struct api_req *q, enum patch_type *ret, bool *ret_yaml, struct err *err);
struct val *patch_document(struct api_req *q, const struct schema *s, enum patch_type type, const struct val *live,
			   const struct val *patch, struct err *err);
