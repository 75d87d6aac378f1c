/* registry.h - all functions by name, their signatures read. For this folder alone.
 *
 * Made when the first expression is compiled, under a lock, and never changed after.
 */
#pragma once

#include "object/cel/func.h"

#define CEL_ARGS_MAX 4

struct cel_overload {
	const struct cel_func *f;
	const struct cel_lib *lib;
	bool member;
	uint8_t n_args; /* receiver included */
	const struct cel_type *args[CEL_ARGS_MAX], *result;
};

/* The overloads of a name, in the order of the tables; n 0: there is no such function. */
const struct cel_overload *cel_functions(struct sv name, size_t *n);
/* A library's own type, or a plain one, by its name; NULL. */
const struct cel_type *cel_named_type(struct sv name);
