/* policy.h - admission policies in force: ValidatingAdmissionPolicy and MutatingAdmissionPolicy.
 *
 *	policies, bindings ─▶ policy_set ─▶ about it? ─▶ parameters ─▶ expressions ─▶ verdict
 *
 * A policy_set is all policies of one kind in the order of their names, each with its bindings. It is made anew by the
 * first request behind a change and is immutable; a policy that has not changed is compiled once and goes from one set
 * to the next. A request keeps the set that it began with.
 *
 * A run that has to wait, for an authorizer or the conversion of an object, ends with REQ_LATER and is begun anew when
 * the answer is there: answers and converted objects are remembered for the request, and nothing is told to the client
 * or the audit before the last run is over.
 *
 * Policies are asked about what webhooks are asked about (hook_event_init()): not about admission's own configuration,
 * reviews, and what the server does on its own.
 *
 * Threads: sets belong to all, a turn to its request. Words of refusals are upstream's.
 */
#pragma once

#include "policy/policy_compile.h"
#include "apiserver/admission/webhooks.h"
#include "apiserver/registry/registry.h"

#define POLICY_MESSAGE_MAX ((size_t)5 * 1024) /* of what a messageExpression makes */
#define POLICY_NOTE_MAX ((size_t)10 * 1024)   /* of an audit annotation */

/* Borrowed from the policy, as all its strings. */
struct policy_expr {
	struct sv text;
	struct cel_program *program; /* NULL: it does not compile, */
	struct sv broken;	     /* and why */
};

struct policy_rule {
	struct policy_expr expr, message; /* message.text may be "" */
	struct sv said, reason;		  /* "": none */
};

struct policy_named {
	struct sv name; /* of a variable, a condition, an annotation */
	struct policy_expr expr;
};

struct policy_mutation {
	bool patch; /* JSONPatch; else ApplyConfiguration */
	struct policy_expr expr;
};

struct policy {
	atomic_int refs;
	struct arena arena;
	struct obj *obj;
	struct sv name;
	struct hook_scope scope;
	bool ignore, again; /* failurePolicy, reinvocationPolicy */
	bool has_params;
	struct sv param_version, param_kind; /* "v1", "ConfigMap" */
	struct policy_named *conditions, *variables, *notes;
	size_t n_conditions, n_variables, n_notes;
	struct strmap by_name; /* of a variable: its number + 1 */
	struct policy_rule *rules;
	size_t n_rules;
	struct policy_mutation *mutations;
	size_t n_mutations;
};

enum policy_action { POLICY_DENY = 1, POLICY_WARN = 2, POLICY_AUDIT = 4 };

struct policy_binding {
	struct sv name;
	bool has_scope;
	struct hook_scope scope;
	const struct val *params; /* paramRef, or NULL */
	const struct val *action_names;
	unsigned actions; /* enum policy_action */
};

struct policy_bound {
	struct policy *policy; /* a reference */
	struct policy_binding *bindings;
	size_t n;
};

struct policy_set {
	atomic_int refs;
	unsigned made_of;
	struct arena arena;
	struct policy_bound *all; /* those that have a binding */
	size_t n;
};

/* --- policy_set.c --- */

/* The policies of now: a reference; NULL: none is bound. */
struct policy_set *policy_set_get(struct apiserver *s, bool mutating);
struct policy_set *policy_set_unref(struct policy_set *set);

/* --- policy_program.c --- */

struct policy *policy_new(struct obj *o, bool mutating);
struct policy *policy_unref(struct policy *p);

/* --- policy_turn.c: what a request's policies look at --- */

/* The object in a version that a policy's rules speak of. */
struct policy_form {
	const struct resource *as; /* NULL: as it was requested */
	const struct val *doc, *old;
	struct conversion there;
	const struct val *in[2];
	struct val *out[2];
	bool ready;
	struct val *request;
	struct policy_form *next;
};

struct policy_turn {
	struct policy_set *set;
	struct hook_event e;
	struct policy_form *forms;
	struct policy_params *params; /* policy_params.c: those found so far */
	struct hook_authz authz;
	bool mutating;
	/* Of the mutating ones: which are asked, and how far that has come. */
	bool second, changed, collected;
	bool *invoked, *wanted; /* by policy: IfNeeded and asked since the last change; to be asked again */
	struct policy_call *calls;
	size_t n_calls, room, at, mutation; /* the next call, and the next mutation of its policy */
	struct policy_fault *faults, **last_fault;
	struct conversion back;
	const struct val *back_in[1];
	struct val *back_out[1];
	struct val *patched; /* in the version of the call, on its way back */
	struct val *last;    /* the object as policies left it */
};

struct policy_turn *policy_turn_new(const struct admission *a, bool mutating); /* NULL: there is nothing to ask */
/* The same, asked again. */
void policy_turn_refresh(struct policy_turn *t, const struct admission *a);
/* 0 and *ret; -1; REQ_LATER. */
int policy_form_get(struct policy_turn *t, const struct resource *as, struct policy_form **ret, struct err *err);

/* --- policy_params.c --- */

/* -1: it takes parameters of a kind that there is not. */
int policy_params_known(const struct policy_turn *t, const struct policy *p, struct err *err);
/* The parameters that a binding names: *ret is in the request's arena, and has one NULL where the policy takes none.
 * -1: upstream refuses the binding, err says why; REQ_LATER. */
int policy_params(struct policy_turn *t, const struct policy *p, const struct policy_binding *b,
		  const struct val *const **ret, size_t *ret_n, struct err *err);

/* --- policy_run.c: expressions of one policy, with one parameter --- */

struct policy_run {
	struct policy_turn *turn;
	const struct policy *policy;
	struct arena *arena;
	struct cel_value vars[_POLICY_VAR_MAX];
	struct cel_lazy lazy; /* of `variables` */
	struct policy_made *made;
	uint64_t left;	     /* what variables may cost yet */
	size_t nested, need; /* variables under way; the one that is to be worked out first, + 1 */
};

/* -1: the namespace cannot be had. */
int policy_run_init(struct policy_run *r, struct policy_turn *t, const struct policy *p, const struct policy_form *form,
		    const struct val *params, struct err *err);

enum policy_ran {
	POLICY_VALUE,  /* *ret */
	POLICY_FAILED, /* *ret_why, in upstream's words */
	POLICY_SPENT,  /* the budget is used up; *ret_why */
	POLICY_WAITS,
};
enum policy_ran policy_eval(struct policy_run *r, const struct policy_expr *e, uint64_t *budget, struct cel_value *ret,
			    struct sv *ret_why);
/* 1: all conditions hold; 0: not; -1: that cannot be told, *ret_why; REQ_LATER. */
int policy_conditions_hold(struct policy_run *r, struct sv *ret_why);
