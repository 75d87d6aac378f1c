/* admission.h - in-tree admission: a fixed chain of small plugins, one file each.
 *
 * All mutating ones run in order, then the generic registry validates, then all validating ones; of a deletion only
 * these are asked. A plugin sees one operation on one object. Refusals are ERR_FORBIDDEN with upstream's text, but for
 * a namespace that is not there: ERR_NOT_FOUND.
 *
 * chain.c has the order, README.md what each does. Of what connects (exec, attach, port-forward, proxy) none of
 * upstream's plugins that are on by default says anything, so only webhooks are asked about it.
 *
 * Threads: the request's, on which nothing may block: who has to wait says REQ_LATER.
 */
#pragma once

#include "apiserver/api_req.h"
#include "base/buf.h"

struct delete_options;

enum admission_op { ADMIT_CREATE, ADMIT_UPDATE, ADMIT_DELETE, ADMIT_CONNECT };

struct admission {
	struct api_req *q;
	enum admission_op op;
	const struct resource *res;
	struct sv subresource, ns, name;  /* name "" where mutate() is asked before one was generated */
	struct val *doc;		  /* new object; NULL on delete; mutable in mutate() only */
	const struct val *old;		  /* NULL on create */
	const struct delete_options *del; /* of a deletion */
	bool generated;			  /* the name is the server's: the request gave none */
};

#define ON_CREATE (1u << ADMIT_CREATE)
#define ON_UPDATE (1u << ADMIT_UPDATE)
#define ON_DELETE (1u << ADMIT_DELETE)
#define ON_CONNECT (1u << ADMIT_CONNECT)
#define ON_SUBRESOURCES (1u << 8) /* of these operations, too */

/* Both say 0, -1 with err, or REQ_LATER after req_suspend() (steps.h): then that one is asked again, with another
 * struct of the same contents, and those before it are not. */
struct admission_plugin {
	const char *name;
	unsigned mutates; /* ON_... bits: when mutate() is asked */
	int (*mutate)(const struct admission *a, struct err *err);
	int (*validate)(const struct admission *a, struct err *err); /* asked about every operation */
	bool slow; /* it may ask others, or run programs: its time is measured by itself (chain.c) */
};
extern const struct admission_plugin *const admission_chain[]; /* NULL-terminated */

int admission_mutate(const struct admission *a, struct err *err);
/* NamespaceLifecycle is on, and of its questions the one that is asked again where the object is written: what is made
 * in a->ns finds a namespace that stays, *ret (of a's request). */
bool admission_asks_namespace(const struct admission *a);
int admission_namespace(const struct admission *a, struct obj **ret, struct err *err);
int admission_validate(const struct admission *a, struct err *err);
/* Both, for what is created through a subresource whose handler stores nothing itself (a token, an eviction, a
 * binding): doc is its body, the rest is q's. Then go(q, doc), or q has been failed. */
void admission_create_sub(struct api_req *q, struct val *doc, void (*go)(struct api_req *q, struct val *doc));
/* connect.c. Of what connects (exec, attach, port-forward, proxy) webhooks are asked, no other plugin has an opinion;
 * they see PodExecOptions and its like. Then go(q), or q has been failed. */
void admission_connect(struct api_req *q, void (*go)(struct api_req *q));

/* --- webhooks.c, webhooks_config.c --- */

int admission_webhooks_mutate(const struct admission *a, struct err *err);
int admission_webhooks_validate(const struct admission *a, struct err *err);
/* One of them has changed the object in its first round: there is to be a second, which this begins. */
bool admission_webhooks_again(const struct admission *a);
/* The configurations of the mutating or of the validating ones are others now. Any thread. */
void admission_webhooks_changed(struct apiserver *s, bool mutating);
struct hook_sets *hook_sets_new(void);
struct hook_sets *hook_sets_free(struct hook_sets *h);
void hook_metrics(struct apiserver *s, struct buf *b);
struct hook_counts *hook_counts_free(struct hook_counts *c);

/* --- policy/ --- */

int admission_policies_validate(const struct admission *a, struct err *err);
/* As admission_webhooks_again(); others: there will be a second round anyway. */
bool admission_policies_again(const struct admission *a, bool others);
/* Policies or bindings, of the mutating or of the validating ones, are others now. Any thread. */
void admission_policies_changed(struct apiserver *s, bool mutating);
struct policy_sets *policy_sets_new(void);
struct policy_sets *policy_sets_free(struct policy_sets *p);
