/* jsonpath.h - paths of printer columns, as CustomResourceDefinitions write them: ".status.conditions[0].type".
 *
 * The part of kubectl's JSONPath (client-go's util/jsonpath) that may stand between its braces and begins with a dot:
 *
 *	.a  ['a']  ['a','b']		members; a backslash takes the dot behind it for part of the name
 *	[2]  [-1]  [0,2]  [1:3]  [::2]	elements
 *	.*  [*]  ..a			all of them, and what is below at any depth
 *	[?(@.type=="Ready")]		elements for which it holds: == != < <= > >=; a path alone: leads somewhere
 *
 * Only the first value that a path leads to is ever asked for: that is all a cell shows.
 *
 * Memory: a path lies in its maker's arena, immutable. Threads: any.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

struct jsonpath; /* opaque */

#define JSONPATH_BYTES_MAX 4096	  /* longer ones are refused */
#define JSONPATH_STEPS_MAX 100000 /* values that one evaluation looks at; what is behind is not found */

/* NULL: ERR_BAD_REQUEST, it is no path. */
struct jsonpath *jsonpath_parse(struct arena *a, struct sv text, struct err *err);
/* The first value, a view into doc. NULL: it leads nowhere, or a filter compares what cannot be compared. */
const struct val *jsonpath_first(const struct jsonpath *p, const struct val *doc);
