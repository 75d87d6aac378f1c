/* func.h - how a library declares functions.
 *
 * A library is a constant table. Nothing of it is looked at before the first expression is compiled; then registry.c
 * reads all signatures once and sorts them by name.
 *
 *	static int sets_contains(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret);
 *
 *	static const struct cel_func sets_funcs[] = {
 *		{ "sets.contains", "(list<T>, list<T>) bool", CEL_V(1, 29), sets_contains, NULL, sets_est },
 *	};
 *	const struct cel_lib cel_lib_sets = { "ext.sets", sets_funcs, ARRAY_LEN(sets_funcs), { NULL } };
 *
 * Signatures. "RECEIVER.(ARGUMENTS) RESULT" for what is called as a member, "(ARGUMENTS) RESULT" for what is called by
 * its name; names may have dots ("sets.contains"). Types: bool int uint double string bytes timestamp duration dyn
 * null, list<T> map<K,V> optional<T> type<T>, a single capital letter for "any type, the same everywhere", names of
 * opaque types. Overloads are rows with the same name; their implementations may be one function, which looks at kinds.
 *
 * At run time arguments have the kinds that the signature says (of dyn and letters: any), a receiver is args[0].
 * Errors and what is not yet known never reach an implementation. A number is the exact kind: int is no double.
 *
 * Versions. An expression that is new compiles with functions whose `since` is at most the release before ours; stored
 * expressions with all. CEL_V(1, 0) is always there.
 */
#pragma once

#include "object/cel/value.h"

#define CEL_V(major, minor) ((uint16_t)((major) << 8 | (minor)))

/* What an implementation has to work with. */
struct cel_call {
	struct arena *arena;   /* of the run */
	void *ctx;	       /* struct cel_run's: the authorizer's side */
	struct sv error;       /* set by cel_fail() */
	struct cel_eval *eval; /* the run itself; for the engine */
};

#define CEL_LATER (-2) /* an answer must be waited for: the run ends, and is begun anew when it is there */

/* 0 and *ret, or -1 by cel_fail(), or CEL_LATER. */
typedef int cel_impl(struct cel_call *c, const struct cel_value *args, size_t n, struct cel_value *ret);

/* The words of an error that the expression sees; always -1. */
int cel_fail(struct cel_call *c, const char *fmt, ...) _printf_(2, 3);
/* "no such overload: NAME(TYPE, ...)" */
int cel_no_overload(struct cel_call *c, const char *name, const struct cel_value *args, size_t n);
/* Before work or memory that grows faster than the cost that is counted for it: pays units of cost; -1 when it is not
 * to be had, and the run ends. */
int cel_charge(struct cel_call *c, uint64_t units);
/* Before a call whose cost will be that much is made at all: -1 when the run does not have it, and it ends. */
int cel_afford(struct cel_call *c, uint64_t cost);

/* --- cost at run time: of a call that was made --- */

typedef uint64_t cel_cost_fn(struct cel_call *c, const struct cel_value *args, size_t n, const struct cel_value *ret);

uint64_t cel_mul_sat(uint64_t a, uint64_t b);
uint64_t cel_add_sat(uint64_t a, uint64_t b);
uint64_t cel_factor(uint64_t n, double factor);			      /* ceil(n * factor), saturating */
uint64_t cel_traverse(struct cel_call *c, const struct cel_value *v); /* trav(x) of the facts */
uint64_t cel_regex_cost(uint64_t runes, uint64_t pattern);	      /* re(x, p) */

/* str(args[0]), trav(args[0]) and re(args[0], args[1]). */
cel_cost_fn cel_cost_str0, cel_cost_trav0, cel_cost_re;

/* --- estimates, before there are values --- */

struct cel_range {
	uint64_t min, max; /* saturating; max CEL_SIZE_UNKNOWN: no bound */
};
#define CEL_RANGE(lo, hi) ((struct cel_range){ (lo), (hi) })
static const struct cel_range cel_range_unknown = { 0, CEL_SIZE_UNKNOWN };

/* One argument, receiver first. */
struct cel_est {
	const struct cel_type *type;
	struct cel_range size; /* of strings, bytes, lists, maps; {1, 1} for scalars */
	bool from_schema;      /* reached by a path: its type's bounds hold for it and its elements */
	struct cel_range elem; /* size of a list's elements, where from_schema or a literal tells; else unknown */
	const struct cel_value *literal; /* what it is, when it is a literal of the expression; else NULL */
};

struct cel_estimate {
	struct cel_range cost;
	struct cel_range size; /* of the result; preset to unknown */
	bool has_size;	       /* set when size was filled in */
};

typedef void cel_estimate_fn(const struct cel_est *args, size_t n, struct cel_estimate *ret);

struct cel_range cel_range_add(struct cel_range a, struct cel_range b);
struct cel_range cel_range_mul(struct cel_range a, struct cel_range b);
struct cel_range cel_range_union(struct cel_range a, struct cel_range b);
struct cel_range cel_range_factor(struct cel_range a, double factor); /* both ends ceil(x * factor) */
bool cel_est_elem(const struct cel_est *list, struct cel_est *ret); /* its elements as one argument; false: not known */

/* Estimates that match the cost functions above. */
cel_estimate_fn cel_est_str0, cel_est_trav0, cel_est_re;

/* --- tables --- */

struct cel_func {
	const char *name;
	const char *sig;
	uint16_t since;
	cel_impl *impl;
	cel_cost_fn *cost;	   /* NULL: 1 */
	cel_estimate_fn *estimate; /* NULL: 1, size of the result unknown */
};

struct cel_lib {
	const char *name;
	const struct cel_func *funcs;
	size_t n_funcs;
	const struct cel_opaque *opaques[8]; /* types it brings; NULL-terminated unless full */
};

/* Every library there is (lib_all.c): one that is not built in is not there. Functions of a library whose name begins
 * with '!' are only in environments that name it (cel.h). */
extern const struct cel_lib *const cel_libs[];
extern const size_t cel_n_libs;
