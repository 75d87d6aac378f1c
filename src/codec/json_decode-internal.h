/* json_decode-internal.h - the JSON decoder as its two files see it: json_decode.c reads, json_repeats.c below it says
 * and settles which members of a map repeat. */
#pragma once

#include "base/budget.h"
#include "codec/doc_items.h"
#include "codec/json.h"

struct json_frame {
	uint32_t start; /* index of the first child on the node stack */
	uint32_t sym;	/* of the container itself in its parent */
	uint32_t keys;	/* nodes on the stack that are keys, as it was opened */
	bool map;
};

struct json_decoder {
	const char *at, *end;
	struct arena *a;
	const struct json_opts *opts;
	struct err *err;
	bool own_text;	  /* the text is ours to write to */
	bool told_enough; /* of what repeats */
	uint32_t sym_end; /* symbols that came while this runs are text: a key is one sort of key throughout */

	struct budget merged; /* nodes that merging moved so far */

	size_t keys;	  /* nodes on the stack that are keys */
	size_t uncounted; /* depth of the outermost open fieldsV1, or 0 */
	bool too_many;	  /* values for the budget */

	struct val *nodes; /* scratch stack; on the heap once it outgrew the first array */
	size_t n, cap;
	struct val *heap;

	struct json_frame *frames; /* JSON_DEPTH_MAX, of which depth are in use */
	size_t depth;
};

/* Each member of v[0..n) once; how many nodes are left. tell: of what repeats, by the innermost open map. Too much to
 * merge is d->merged over its limit. */
size_t json_settle(struct json_decoder *d, struct val *v, size_t n, bool tell);
extern const struct budget_limit json_merge_limit;
