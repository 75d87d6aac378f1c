/* selection.h - label, field and shard selectors of a list, watch or deletecollection, ready to match.
 *
 * Field labels are resolved when the selection is made: metadata.name and metadata.namespace
 * everywhere, the resource's selectable_fields, and the few old names that mean another field
 * (spec.host). Anything else is ERR_BAD_REQUEST, as upstream. Of a resource in several versions the labels are those of
 * the one that is asked for, and what is matched are objects of the storage version. Arena-owned; immutable after.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "object/cel/shard.h"
#include "object/obj.h"
#include "object/schema.h"
#include "object/selector.h"

/* All that is said about one field the same way: it has the value, or none of them. */
struct selection_term {
	struct sv label;   /* the storage version's */
	struct sv *values; /* sorted; one, unless negated */
	size_t n_values;
	enum sym path[8]; /* SYM_NONE-terminated; empty: asked of the strategy */
	uint8_t kind;	  /* enum field_kind of the field: what absence reads as */
	bool negated;
};

struct selection {
	const struct resource *res;    /* the storage version */
	const struct selector *labels; /* NULL: everything */
	struct selection_term *terms;
	size_t n_terms;
	bool nothing;	       /* one field is to have two values */
	struct sv pinned_name; /* metadata.name=x, or SV_NULL */
	struct sv pinned_node; /* spec.nodeName=x, or SV_NULL */
	struct sv pinned_ns;
	const struct shards *shards; /* NULL: all of it */
};

/* What a client says; NULL texts or empty ones select everything. */
struct selection_words {
	struct sv labels, fields, shard;
	const struct field_selector *parsed; /* of fields, as long as what is made of it; NULL: it is parsed again */
};

/* *ret is NULL when everything is selected. */
int selection_make(struct arena *a, const struct resource *r, const struct selection_words *w,
		   const struct selection **ret, struct err *err);
/* The words of q, views of it; a shard only with the gate ShardedListAndWatch on. */
struct api_req;
struct selection_words selection_words(const struct api_req *q);
bool selection_matches(const struct selection *s, const struct obj *o);
