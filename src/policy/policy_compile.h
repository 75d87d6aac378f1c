/* policy_compile.h - expressions of admission policies: what they know, and what they must give.
 *
 *	struct policy_compiler c;
 *	policy_compiler_init(&c, arena, spec, mutating);
 *	p = policy_compile(&c, POLICY_VARIABLE, stored, text, &why);	each variable, in order
 *	policy_compiler_add(&c, name, p);
 *	p = policy_compile(&c, POLICY_RULE, stored, text, &why);	then all else
 *	policy_compiler_release(&c);
 *
 * The same for the rules of the kind, which refuse what does not compile, and for the policies in force. Variables of a
 * run always have the numbers of enum policy_var; what an expression may not use has no name for it.
 */
#pragma once

#include "base/strmap.h"
#include "object/cel/cel.h"

enum policy_var {
	POLICY_VAR_OBJECT,
	POLICY_VAR_OLD,
	POLICY_VAR_REQUEST,
	POLICY_VAR_PARAMS,
	POLICY_VAR_NAMESPACE,
	POLICY_VAR_VARIABLES,
	POLICY_VAR_AUTHORIZER,
	POLICY_VAR_RESOURCE,
	_POLICY_VAR_MAX
};

enum policy_use {
	POLICY_CONDITION, /* bool; without variables */
	POLICY_VARIABLE,  /* anything */
	POLICY_RULE,	  /* bool */
	POLICY_MESSAGE,	  /* string; without authorizer */
	POLICY_NOTE,	  /* string or null */
	POLICY_APPLY,	  /* Object */
	POLICY_PATCH,	  /* list(JSONPatch) */
};

struct policy_compiler {
	struct arena *arena;
	bool params, mutating;
	struct strmap variables; /* name to const struct cel_type *; the first of a name */
	/* Of policy_compile_check(): of which kinds object and oldObject, and params are; types in them by their names.
	 */
	const struct cel_type *object_type, *params_type;
	struct strmap types;
};

void policy_compiler_init(struct policy_compiler *c, struct arena *a, const struct val *spec, bool mutating);
void policy_compiler_release(struct policy_compiler *c);
/* p NULL: it does not compile, and is of any type for those behind it. */
void policy_compiler_add(struct policy_compiler *c, struct sv name, const struct cel_program *p);
/* A reference, or NULL and in upstream's words why not. */
struct cel_program *policy_compile(struct policy_compiler *c, enum policy_use use, bool stored, struct sv text,
				   struct sv *ret_why);
/* Of a policy's variable, rule or message, with these types instead of any: object, and params if params is not NULL.
 * What is wrong is told as the expression's own error, and what it gives does not matter. */
void policy_compiler_types(struct policy_compiler *c, const struct cel_type *object, const struct cel_type *params);
struct cel_program *policy_compile_check(struct policy_compiler *c, struct sv text, struct sv *ret_why);
/* matchConditions of a webhook. */
struct cel_program *policy_compile_hook(struct arena *a, bool stored, struct sv text, struct sv *ret_why);

/* Types of the variables request and namespaceObject. */
const struct cel_type *policy_request_type(void);
const struct cel_type *policy_namespace_type(void);
/* Object, Object.spec, ... and JSONPatch, by their names; NULL. */
const struct cel_type *policy_mutation_type(struct arena *a, struct sv name);
/* Any of these types, by its name; NULL. */
const struct cel_type *policy_named_type(struct arena *a, struct sv name);
