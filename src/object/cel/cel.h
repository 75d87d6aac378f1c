/* cel.h - expressions: compile, estimate, run.
 *
 *	const struct cel_type *self = cel_type_openapi(a, schema, 0);
 *	struct cel_var vars[] = { { SV("self"), self } };
 *	struct cel_env env = { .vars = vars, .n_vars = 1, .release = CEL_V(1, 37) };
 *	struct cel_issues issues = CEL_ISSUES(a);
 *	struct cel_program *p = cel_compile(&env, SV("self.x > 1"), &issues);
 *	...
 *	struct cel_value in[] = { cel_from_doc(a, doc, self) }, out;
 *	struct cel_run run = { .arena = a, .vars = in, .limit = CEL_LIMIT_CALL, .budget = &budget };
 *	if (cel_eval(p, &run, &out) == CEL_DONE) ...
 *
 * Compiling. What is wrong is in issues: every error with its place, in cel-go's words and order. A program is one
 * block, immutable, counted (cel_program_ref/unref), a few hundred bytes for a usual rule; it keeps nothing of env,
 * types and text. Variables are numbers in it: a run gives the same number in the same order.
 *
 * Versions. env.release is ours. A new expression compiles with functions and syntax that the release before had; a
 * stored one (env.stored) with everything. See func.h.
 *
 * Cost. The estimate is what upstream's estimator says, the smallest and the largest. A run counts what upstream's
 * tracker counts: it ends when it has used more than limit, or than is left in *budget, from which it is taken off.
 *
 * Bounds. Text at most CEL_TEXT_MAX bytes, CEL_NODES_MAX nodes, nested CEL_DEPTH_MAX deep; a run is bounded by its
 * limit, in memory as well: what is made is paid for.
 *
 * Threads: programs and types belong to all, env, issues and a run to one thread. The table of functions is made under
 * a lock when the first expression is compiled.
 */
#pragma once

#include "object/cel/func.h"
#include "object/cel/value.h"

#include "base/err.h"

#define CEL_TEXT_MAX (100 * 1024)
#define CEL_NODES_MAX 100000
#define CEL_DEPTH_MAX 250

#define CEL_LIMIT_CALL UINT64_C(1000000)
#define CEL_BUDGET_OBJECT UINT64_C(10000000)
#define CEL_BUDGET_MATCH UINT64_C(2500000)
#define CEL_ESTIMATE_RULE UINT64_C(10000000)
#define CEL_ESTIMATE_TOTAL UINT64_C(100000000)

struct cel_var {
	struct sv name; /* may have dots: "authorizer.requestResource" */
	const struct cel_type *type;
};

struct cel_env {
	uint16_t release;
	bool stored; /* it is in the store already: all functions */
	const struct cel_var *vars;
	size_t n_vars;
	/* Types that literals name, "Object.spec{...}"; NULL: none. Found ones live as long as the compilation. */
	const struct cel_type *(*find_type)(void *ctx, struct sv name);
	void *find_ctx;
	const char *extra_lib; /* a library with '!' that is wanted: "!kubernetes.jsonpatch"; or NULL */
};

/* --- types of schemas --- */

enum {
	CEL_OAS_ROOT =
	    1, /* the schema of a whole resource: apiVersion, kind and metadata {name, generateName} are there */
};
/* Of an OpenAPI v3 schema document (structural: a CustomResourceDefinition's). NULL: values of it cannot be used in
 * rules (the property that has it does not exist for them). Keys and texts are borrowed from the schema. */
const struct cel_type *cel_type_openapi(struct arena *a, const struct val *schema, unsigned flags);
/* The same, where several stand in one environment: types with one name are one type. */
const struct cel_type *cel_type_openapi_named(struct arena *a, const struct val *schema, unsigned flags,
					      struct sv name);
struct schema;
/* Of a kind with tables (object/schema.h), whose names and texts must outlive the type. */
const struct cel_type *cel_type_schema(struct arena *a, const struct schema *schema);
/* A property's name as expressions write it, in the arena; SV_NULL when it cannot be written. */
struct sv cel_escape(struct arena *a, struct sv property);
bool cel_unescape(struct arena *a, struct sv name, struct sv *ret);

/* --- compiling --- */

struct cel_issue {
	uint32_t line, col; /* from 1, of code points; col as cel-go prints it */
	struct sv message;
};

struct cel_issues {
	struct arena *arena; /* where messages live */
	struct cel_issue *p; /* in the arena */
	size_t n, cap;
};
#define CEL_ISSUES(a) ((struct cel_issues){ .arena = (a) })

struct cel_program;

/* NULL when issues has some. The result is the caller's. */
struct cel_program *cel_compile(const struct cel_env *env, struct sv text, struct cel_issues *issues);
struct cel_program *cel_program_ref(struct cel_program *p);
struct cel_program *cel_program_unref(struct cel_program *p); /* NULL; NULL is fine */
DEFINE_CLEANUP(struct cel_program *, cel_program_unrefp, cel_program_unref)

/* All issues as cel-go prints them, with the line they are about and a mark below. In the arena. */
struct sv cel_issues_text(struct arena *a, const struct cel_issues *issues, struct sv text);

enum cel_kind cel_program_kind(const struct cel_program *p); /* of the result; CEL_DYN: not known before */
struct sv cel_program_type(const struct cel_program *p);     /* the same as errors write it: "list(string)" */
const struct cel_type *cel_program_result(const struct cel_program *p); /* without fields and bounds */
struct cel_range cel_program_cost(const struct cel_program *p);		/* the estimate */
bool cel_program_uses(const struct cel_program *p, size_t var);		/* is this variable in it at all? */
size_t cel_program_bytes(const struct cel_program *p);

/* --- running --- */

enum cel_outcome {
	CEL_DONE,	 /* *ret is the result */
	CEL_FAILED,	 /* run->error: the expression had an error */
	CEL_TOO_COSTLY,	 /* the limit or budget is used up; run->error in upstream's words */
	CEL_INTERRUPTED, /* the callback said so */
	CEL_WAITS,	 /* a function has to wait (CEL_LATER): run again from the beginning later */
};

struct cel_run {
	struct arena *arena;
	const struct cel_value *vars;	/* env.n_vars of them */
	uint64_t limit;			/* of this call; 0: none */
	uint64_t *budget;		/* what is left for several calls, or NULL */
	bool (*interrupted)(void *ctx); /* asked each 100 rounds of loops; or NULL */
	void *interrupted_ctx;
	void *ctx; /* for functions (struct cel_call) */

	uint64_t cost; /* out: what it came to */
	struct sv error;
};

enum cel_outcome cel_eval(const struct cel_program *p, struct cel_run *run, struct cel_value *ret);
