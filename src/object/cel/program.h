/* program.h - what an expression is compiled to: a block of nodes of 16 bytes. For this folder alone.
 *
 * A node names its parts by number: kids[a..a+n) are nodes. Constants, overloads and texts are in the same block. What
 * upstream's planner works out beforehand is done here too, as costs depend on it: literals of constants are constants,
 * `x in [constants]` is free, paths of fields count once for their variable and once for each step.
 */
#pragma once

#include "object/cel/cel.h"
#include "object/cel/registry.h"

#include <stdatomic.h>

enum cel_op {
	OP_CONST, /* a: constant */
	OP_VAR,	  /* a: slot */
	OP_FIELD, /* kid; b: constant, the name */
	OP_HAS,
	OP_OPT_FIELD,
	OP_INDEX, /* kids: container, index */
	OP_OPT_INDEX,
	OP_AND, /* two or more kids */
	OP_OR,
	OP_COND,
	OP_NOT,
	OP_NOT_FALSE, /* the condition of loops: true unless false */
	OP_EQ,
	OP_NE,
	OP_IN,
	OP_IN_SET, /* in a list of plain constants */
	OP_CALL,   /* b: first overload, m: how many */
	OP_LIST,   /* b: constant, bools: which are optional; or NONE */
	OP_MAP,
	OP_STRUCT, /* b: constant, the type; kids: name, value; m: 1 when b+1 says which are optional */
	OP_FOLD,   /* kids: range, init, condition, step, result; b: slot of the result, then of the variables */
	OP_BIND,   /* kids: value, result; b: slot */
	OP_APPEND, /* in a fold's step: accu + [kid]; b: slot */
	OP_INSERT  /* in a fold's step: key and value, or an entry, into the map in slot b */
};

enum {
	NODE_BARE = 1, /* OP_VAR: within a path that is not counted by itself */
	NODE_BASE = 2, /* a path that begins at something computed: one more */
	NODE_TWO = 4,  /* OP_FOLD: two variables */
	NODE_KEY = 8,  /* OP_INDEX: the index is a variable or path, which counts for itself */
	NODE_FREE = 16 /* OP_APPEND: a list of a constant, which costs nothing to make */
};

#define NODE_NONE UINT32_MAX

struct cel_node {
	uint8_t op, flags;
	uint16_t m;
	uint32_t n, a, b;
};

struct cel_program {
	atomic_int refs;
	uint8_t kind;
	uint32_t root, n_vars, n_slots;
	struct cel_range cost;
	uint64_t uses; /* variables, one bit each; the last for all from 63 on */
	size_t bytes;
	const struct cel_type *result;
	struct sv type_text;
	const struct cel_node *nodes;
	const uint32_t *kids;
	const struct cel_value *consts;
	const struct cel_overload *const *overloads;
};
