/* patch.h - the patch types of the API, each a pure function on documents.
 *
 * All return a new document in the arena (sharing untouched parts with doc, which is not
 * changed), or NULL with *err set as upstream would answer (400 for malformed patches, 422
 * for a JSON patch that does not apply, or copies more than 3 MB). What a patch may cost is
 * counted: one whose operations or elements multiply with what is there is refused with 413, and so is
 * what would have more values than a document may have (DOC_VALUES_MAX).
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"
#include "object/schema.h"

#define JSON_PATCH_MAX_OPS 10000 /* upstream's limit */
#define PATCH_DEPTH_MAX 1000	 /* the patches walk recursively */

struct val *patch_json(struct arena *a, const struct val *doc, const struct val *patch, struct err *err); /* RFC 6902 */
/* The same for who tells what upstream's library says of an operation that does not apply: *ret_why, when it is that.
 */
struct val *patch_json_why(struct arena *a, const struct val *doc, const struct val *patch, struct sv *ret_why,
			   struct err *err);
struct val *patch_merge(struct arena *a, const struct val *doc, const struct val *patch,
			struct err *err); /* RFC 7386 */
/* Strategic merge patch with $patch, $retainKeys, $setElementOrder, $deleteFromPrimitiveList. */
struct val *patch_strategic(struct arena *a, const struct schema *s, const struct val *doc, const struct val *patch,
			    struct err *err);
