/* ast.h - the tree of one expression while it is compiled; lives in the compilation's arena. For this folder alone.
 *
 * Macros are expanded by the parser, as upstream's are: checks, estimates and costs are those of what they stand for. A
 * comprehension is one node with its parts; names of its variables are resolved by the checker.
 */
#pragma once

#include "object/cel/cel.h"

enum ast_kind { AST_CONST, AST_IDENT, AST_SELECT, AST_CALL, AST_LIST, AST_MAP, AST_STRUCT, AST_FOLD };

struct ast_fold {
	struct ast *range, *init, *cond, *step, *result;
	struct sv var, var2, accu; /* var2 empty: one variable */
	bool bind;		   /* not a loop: accu stands for init in result */
	/* The checker's: where they are while it runs. */
	uint32_t var_slot, var2_slot, accu_slot;
};

struct ast {
	uint8_t kind;	 /* enum ast_kind */
	bool test_only;	 /* select: has() */
	bool member;	 /* call: target is the receiver */
	uint16_t depth;	 /* levels of nodes, this one included; set by ast_done() */
	uint32_t weight; /* nodes of the whole tree below; what a macro repeats counts again */
	uint32_t pos;	 /* code points from the beginning */
	uint32_t n;	 /* args; of maps and structs: of entries, each a key (or field name) and a value */
	struct sv name;	 /* identifier, field, function, type of a struct */
	struct ast *target;
	struct ast **args;
	const bool *optional;	/* of elements or entries: written with ?; NULL: none is */
	struct cel_value value; /* AST_CONST */
	struct ast_fold *fold;
	/* The checker's. */
	const struct cel_type *type;
	const struct cel_overload *const *overloads; /* those that fit */
	uint32_t n_overloads;
	uint32_t slot; /* identifier that is a variable */
};

/* What all phases of one compilation share. */
struct cel_compile {
	struct arena *arena; /* of the compilation */
	const struct cel_env *env;
	struct cel_issues *issues;
	struct sv text;
	uint32_t n_nodes;
	uint32_t n_slots; /* variables of env, then those of comprehensions */
	bool too_large;
	bool no_macros; /* their names are those of any function */
};

/* The name of the variable that comprehensions gather their result in: nobody can write it. */
#define AST_ACCU SV("@result")

struct ast *ast_new(struct cel_compile *c, enum ast_kind kind, uint32_t pos);
/* Its parts are all there: notes depth and weight, and refuses too much of either. Returns e. */
struct ast *ast_done(struct cel_compile *c, struct ast *e);
struct ast *ast_call(struct cel_compile *c, uint32_t pos, const char *name, size_t n, struct ast *const *args);
struct ast *ast_ident(struct cel_compile *c, uint32_t pos, struct sv name);
struct ast *ast_const(struct cel_compile *c, uint32_t pos, struct cel_value v);

/* parse.c: NULL when there were errors. */
struct ast *cel_parse(struct cel_compile *c);
/* macros.c: what the call stands for, NULL when it is no macro; *bad set when it is a wrong one. */
struct ast *cel_macro(struct cel_compile *c, struct ast *call, bool *bad);

/* issues.c */
void cel_issue(struct cel_compile *c, uint32_t pos, const char *fmt, ...) _printf_(3, 4);

/* literal.c: of a token's text, quotes included. False: *why. */
bool cel_unquote(struct arena *a, struct sv token, struct cel_value *ret, const char **why);

/* check.c: types, overloads and slots of all nodes. */
void cel_check(struct cel_compile *c, struct ast *e);
/* cost.c */
struct cel_range cel_cost(struct cel_compile *c, struct ast *e);
/* emit.c */
struct cel_program *cel_emit(struct cel_compile *c, struct ast *e, struct cel_range cost);
