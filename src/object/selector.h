/* selector.h - label selectors and field selectors, parsed once, matched often. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/doc.h"

struct selector; /* immutable, arena-owned; NULL and the empty one match everything */

/* "a=b,c!=d,e in (f,g),!h,i" (labels.Parse). NULL on failure: ERR_BAD_REQUEST, upstream's text. */
const struct selector *selector_parse(struct arena *a, struct sv text, struct err *err);
/* metav1.LabelSelector. A NULL or absent one matches nothing; an empty one everything. */
const struct selector *selector_from_label_selector(struct arena *a, const struct val *ls, struct err *err);
/* A plain map: every pair must match (Service.spec.selector). */
const struct selector *selector_from_map(struct arena *a, const struct val *map);
bool selector_matches(const struct selector *s, const struct val *labels);
bool selector_empty(const struct selector *s); /* matches everything */
void selector_format(struct buf *b, const struct selector *s);
/* As a list of {key, operator: In, NotIn, Exists or DoesNotExist, values}, in the arena; what these cannot say is left
 * out. */
struct val *selector_requirements(struct arena *a, const struct selector *s);

/* Field selectors: "metadata.name=x,status.phase!=Running". */
struct field_term {
	struct sv label, value;
	bool negated;
};
struct field_selector {
	struct field_term *terms;
	size_t n;
};
struct field_selector *field_selector_parse(struct arena *a, struct sv text, struct err *err);
