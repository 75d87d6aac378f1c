/* webhooks.h - admission webhooks: which are there, which are asked, what is said and heard. For webhooks*.c, and for
 * policy/, which shares what they know of a request.
 *
 *	configurations ─▶ struct hook_set ─▶ matches? ─▶ AdmissionReview ─▶ webhook.h ─▶ verdict ─▶ patch, refusal
 *
 * A hook_set is all webhooks of one kind, compiled, in the order in which they are asked: configurations by name, of
 * one as they stand. It is made anew by the first request behind a change, and is immutable. A request keeps the one
 * that it began with.
 *
 * Mutating ones are asked one after the other, each about what the others made of the object; validating ones all at
 * once, and of several refusals the first in order counts. Neither is asked about the configurations of admission
 * itself, so that a broken one can always be removed.
 */
#pragma once

#include "apiserver/admission/plugins.h"
#include "apiserver/versions.h"
#include "apiserver/webhook/webhook.h"
#include "object/cel/authz.h"
#include "object/selector.h"

#define HOOK_TIMEOUT_S 10
#define HOOK_ANSWER_MAX                                                                               \
	((size_t)8 * 1024 * 1024) /* of an AdmissionReview: a patch may bring a whole object, escaped \
				   */

struct hook_rule {
	unsigned operations; /* bits 1 << enum admission_op */
	const struct val *groups, *versions, *resources;
	const struct val *names; /* of objects; NULL or empty: any */
	enum { HOOK_ANY_SCOPE, HOOK_NAMESPACED, HOOK_CLUSTER } scope;
};

/* Which requests a webhook or a policy is about. */
struct hook_scope {
	struct hook_rule *rules, *except;
	size_t n_rules, n_except;
	bool any;					 /* it has no rules, and that means everything */
	bool equivalent;				 /* matchPolicy */
	const struct selector *of_namespace, *of_object; /* NULL: all */
	struct err wrong;				 /* a selector that cannot be read */
};

/* A webhook. Strings and documents are the set's. */
struct hook {
	struct sv name, config;
	struct webhook_target *target;
	struct hook_scope scope;
	struct hook_condition *conditions; /* webhooks_conditions.c */
	size_t n_conditions;
	bool ignore, again, dry; /* failurePolicy, reinvocationPolicy; takes dry runs */
	int timeout_s;
	const char *review; /* "admission.k8s.io/v1"; NULL: it takes no version that is known here */
};

struct hook_set {
	atomic_int refs;
	unsigned made_of; /* the change behind which it was made */
	struct arena arena;
	struct hook *hooks; /* those out of files first */
	size_t n, n_files;
};

/* The webhooks of now: a reference; NULL: there are none. */
struct hook_set *hook_set_get(struct apiserver *s, bool mutating);
bool hook_set_any(struct apiserver *s); /* of either kind */
struct hook_set *hook_set_unref(struct hook_set *h);

/* What they are asked about: of an admission, with what the subresource is of. */
struct hook_event {
	const struct admission *a;
	struct api_req *q;
	struct sv sub, ns, name;
	const struct val *doc, *old;	/* or NULL */
	struct sv kind[3], resource[3]; /* group, version, kind or plural: as it is asked */
	struct sv operation;
	struct obj *ns_obj; /* its namespace, once somebody looked */
	bool config;	    /* about admission itself: only those out of files are asked */
};
/* False: not for webhooks, as it is the server's own. */
bool hook_event_init(struct hook_event *e, const struct admission *a);

/* How one is asked: its rule may speak of another version. */
struct hook_match {
	const struct hook *hook;
	const struct resource *as; /* NULL: as it was requested */
};
/* Of a webhook, or of matchConstraints and matchResources; what it is made of stays borrowed. */
void hook_scope_compile(struct arena *a, const struct val *from, const struct val *rules, const struct val *except,
			struct hook_scope *ret);
/* 1: it is about the request, in the version *ret_as (NULL: as it is); 0: not; -1: that cannot be told. */
int hook_scope_matches(const struct hook_scope *s, struct hook_event *e, const struct resource **ret_as,
		       struct err *err);
/* 1: it is to be asked, as *ret says; 0: not; -1: that cannot be told, which refuses the request. */
int hook_matches(const struct hook *h, struct hook_event *e, struct hook_match *ret, struct err *err);

/* webhooks_conditions.c. Of documents in the version of m: 1: all conditions hold; 0; -1; or REQ_LATER, as an
 * expression may ask who may do what. */
int hook_conditions_hold(const struct hook_match *m, const struct hook_event *e, const struct val *doc,
			 const struct val *old, struct err *err);
void hook_conditions_compile(struct arena *a, const struct val *list, struct hook_condition **ret, size_t *ret_n);
void hook_conditions_release(struct hook_condition *c, size_t n);

/* What expressions know besides documents: the member `request` of an AdmissionReview, without the objects; and whom
 * `authorizer` asks, for q. */
struct val *hook_request(const struct resource *as, const struct hook_event *e);
struct hook_authz {
	struct cel_authz z;
	struct api_req *q;
};
void hook_authz_init(struct hook_authz *ha, struct api_req *q);
struct cel_value hook_request_resource(struct hook_authz *ha, const struct hook_event *e);

/* The AdmissionReview; doc and old in the version of m. */
void hook_review_write(struct buf *b, const struct hook_match *m, const struct hook_event *e, const struct val *doc,
		       const struct val *old, const char *uid);

/* What a webhook said. Documents are in the arena. */
struct hook_verdict {
	bool allowed;
	bool broken;		       /* with -1: its patch cannot be read, which no failure policy lets pass */
	const struct val *status;      /* of a refusal, or NULL */
	const struct val *patch;       /* a list of operations, or NULL */
	const struct val *warnings;    /* or NULL */
	const struct val *annotations; /* for the audit, or NULL */
};
/* -1: it is no answer, err says in upstream's words why. Safe for any bytes. */
int hook_review_read(struct arena *a, struct sv body, const char *review, const char *uid, bool mutating,
		     struct hook_verdict *ret, struct err *err);
/* The refusal as it is answered. Returns -1. */
int hook_refusal(const struct hook *h, const struct val *status, struct err *err);
/* `Internal error occurred: ...`. Takes why. Returns -1. */
int hook_internal(struct err *why, struct err *err);

/* Applies the patch to the document of resource r (or of the subresource): a new one, typed and defaulted; NULL with
 * err. */
struct val *hook_patch(struct api_req *q, const struct resource *r, const struct schema *s, const struct val *doc,
		       const struct val *patch, struct err *err);

/* The second half of it, for who patches in another way: patched becomes typed and defaulted. */
struct val *hook_patched(struct api_req *q, const struct resource *r, const struct schema *s, const struct val *doc,
			 const struct val *patched, struct err *err);

/* --- webhooks.c, webhooks_calls.c --- */

struct hook_slot {
	struct hook_batch *batch;
	struct webhook_call *call;
	struct webhook_answer *answer;
	char uid[37];
	int64_t began_ns, took_ns;
};

struct hook_batch {
	atomic_int refs;
	atomic_size_t left; /* calls that have not ended, and the one who makes them */
	struct env *env;
	struct req_ticket *ticket;
	size_t n;
	struct hook_slot slots[];
};

/* One webhook that is to be asked. */
struct hook_ask {
	struct hook_match m;
	size_t index;		     /* in the set */
	const struct val *doc, *old; /* in the version that it wants */
	struct conversion there, back;
	const struct val *in[2];
	struct val *out[2];
	struct val *patched; /* in that version, on its way back */
	bool converted, judged;
};

/* Where a request is in it; in its arena. */
struct hook_turn {
	struct hook_set *set;
	struct hook_event e;
	bool mutating, second, changed;
	size_t next;		/* of the set: those before it are done */
	bool *invoked, *wanted; /* by index: IfNeeded and asked since the last change; to be asked again */
	struct val *last;	/* the object as webhooks left it */
	struct hook_ask *asks;
	size_t room;
	size_t n_asks, ready, kept; /* of them the first `ready` have been looked at, and `kept` are asked */
	struct hook_batch *batch;
};

/* Asks all of t->asks. Returns REQ_LATER; when the step is asked again, t->batch has the answers. */
int hook_call_all(struct hook_turn *t);

/* --- webhooks_metrics.c --- */

/* A call of it has ended: 200, or the code of the refusal or failure, as upstream counts them. */
void hook_count(struct apiserver *s, const struct hook *h, bool mutating, struct sv operation, int code, bool refused,
		int64_t took_ns);
/* The request was refused for it: why is upstream's error_type, code that of its refusal or failure. */
void hook_count_refused(struct apiserver *s, const struct hook *h, bool mutating, struct sv operation, const char *why,
			int code);
void hook_count_open(struct apiserver *s, const struct hook *h, bool mutating); /* its failure was passed over */
