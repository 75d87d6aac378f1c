/* chain.h - an AuthorizationConfiguration (apiserver.config.k8s.io/v1, v1beta1), or --authorization-mode and its
 * like: who is asked about rights, and in which order.
 *
 *	system:masters ─yes─▶ allowed
 *	      │ else, one behind the other: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny
 *	      ▼
 *	allowed | denied | no opinion ─▶ the next; behind the last: no
 *
 * Without any of them there is no chain, Node and RBAC are asked as ever and requests take no step more. A chain is
 * looked at each minute when it is a file; a good one replaces what counted, a bad one is told in the log.
 *
 * A failure of a webhook is no opinion or a refusal, as its failurePolicy says. When nobody else allows the request it
 * fails with 500 and what went wrong, as upstream's.
 *
 * Threads: any. Chains are immutable but for what webhooks have answered, and reference-counted.
 */
#pragma once

#include "apiserver/authz.h"
#include "apiserver/webhook/ask.h"
#include "base/strmap.h"
#include "object/cel/cel.h"

#include <pthread.h>
#include <stdatomic.h>

#define AUTHZ_CONFIG_MAX ((size_t)1 << 20) /* bytes of the file */

enum authz_mode { AUTHZ_ALWAYS_ALLOW, AUTHZ_ALWAYS_DENY, AUTHZ_NODE, AUTHZ_RBAC, AUTHZ_WEBHOOK, _AUTHZ_MODE_MAX };

struct authz_condition {
	struct sv text;
	struct cel_program *program; /* of the variable `request`: what is asked, as a review's spec has it */
};

enum authz_says { AUTHZ_ALLOWS, AUTHZ_DENIES, AUTHZ_NO_OPINION, AUTHZ_LATER };

struct authz_hook {
	struct sv name;
	struct webhook_asker *asker;
	int64_t timeout_ns, allowed_ns, denied_ns; /* the last two: how long answers count; 0: once */
	bool deny_on_failure, v1beta1;
	struct authz_condition *conditions;
	size_t n_conditions;
	const struct cel_type *type; /* of `request` */
};

struct authz_link {
	enum authz_mode mode;
	struct authz_hook *hook; /* in the arena; NULL: none */
};

struct authz_chain {
	atomic_int refs;
	struct arena arena;
	struct authz_link *links;
	size_t n;
};

/* --- chain_config.c --- */

/* NULL with ERR_INVALID, in upstream's words. Reads the kubeconfigs that the text names. */
struct authz_chain *authz_chain_parse(struct sv text, struct err *err);
struct authz_chain *authz_chain_ref(struct authz_chain *c);
struct authz_chain *authz_chain_unref(struct authz_chain *c);
DEFINE_CLEANUP(struct authz_chain *, authz_chain_unrefp, authz_chain_unref)

/* --- webhook.c --- */

/* Asks h for q. *ret_reason: in q's arena. err: it failed; what it says counts all the same. */
enum authz_says authz_hook_ask(struct authz_hook *h, struct api_req *q, const struct authz_attrs *at,
			       struct sv *ret_reason, struct err *err);

/* What an answer says, its reason in a; AUTHZ_LATER with err: nothing that can be read. */
enum authz_says authz_hook_read(struct arena *a, struct sv body, struct sv *ret_reason, struct err *err);

/* --- chain.c --- */

struct authz_chains; /* the one that counts */
/* By the server's options. NULL without err: none was asked for. */
struct authz_chains *authz_chains_new(struct apiserver *s, struct err *err);
struct authz_chains *authz_chains_free(struct authz_chains *a);
void authz_chains_reload(struct authz_chains *a); /* each minute, on a task */
/* As authz_ask(). *ret_final: somebody of it has said no, so that nobody is asked behind it. */
int authz_chains_ask(struct authz_chains *a, struct api_req *q, const struct authz_attrs *at, bool *ret_final,
		     struct sv *ret_reason, struct err *err);
/* Whether it has one of that mode. */
bool authz_chains_has(struct authz_chains *a, enum authz_mode mode);
