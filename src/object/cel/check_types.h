/* check_types.h - which type may stand where which is wanted. For this folder alone.
 *
 * Type variables stand for what is not known yet: the letters of a function's declaration, elements of an empty list.
 * They are bound as arguments are looked at, and what was bound is undone when an overload does not fit.
 */
#pragma once

#include "object/cel/value.h"

#include "base/vec.h"

struct typing {
	struct arena *arena;
	VEC(const struct cel_type *) bound; /* of variable i, or NULL */
	struct {
		struct typing_undo {
			uint32_t var;
			const struct cel_type *was;
		} * p;
		size_t n, cap;
	} trail;
	size_t work; /* done so far; beyond a bound everything fits, and is looked at by the run */
};

void typing_release(struct typing *t);
const struct cel_type *typing_var(struct typing *t); /* a new variable */
/* Letters of a declaration replaced by variables; vars[26] is kept for one declaration, zeroed before. */
const struct cel_type *typing_fresh(struct typing *t, const struct cel_type *decl, const struct cel_type **vars);
/* Variables replaced by what they are bound to; free_to_dyn: those that are not by dyn. */
const struct cel_type *typing_subst(struct typing *t, const struct cel_type *type, bool free_to_dyn);
/* May a value of type `given` stand where `want` is wanted? Binds variables; undone when it may not. */
bool typing_fits(struct typing *t, const struct cel_type *given, const struct cel_type *want);
/* All of them, or nothing is bound. */
bool typing_fit_all(struct typing *t, const struct cel_type *const *given, const struct cel_type *const *want,
		    size_t n);
const struct cel_type *typing_general(const struct cel_type *a, const struct cel_type *b);
