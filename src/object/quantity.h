/* quantity.h - resource.Quantity: exact decimal amounts with SI suffixes.
 *
 * Arithmetic is exact at any size, finer than a nano rounded away from zero. Canonical text is
 * what apimachinery would write: the family of the suffix is kept ("1.5" is "1500m", "1024Ki" is
 * "1Mi", "1e3" stays). Text longer than 256 bytes or with an exponent beyond 4096 is malformed.
 * Malformed text never aborts: "" and nonsense count as absent, as each function says.
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "codec/doc.h"

/* False on malformed text; else *ret in thousandths, rounded up, clamped to int64. */
bool quantity_milli(struct sv s, int64_t *ret);
/* Whole units, rounded up, clamped: bytes, counts. */
bool quantity_value(struct sv s, int64_t *ret);
/* Canonical form, in the arena; SV_NULL when malformed. Rounds up to thousandths, as
 * the API does to every amount of a resource list (requests, limits, capacity). */
struct sv quantity_canonical(struct arena *a, struct sv s);
/* The same without rounding: for amounts that are not in a resource list. Finest is a nano. */
struct sv quantity_text(struct arena *a, struct sv s);
int quantity_cmp(struct sv a, struct sv b); /* malformed counts as 0 */
/* Keeps x's format. A sum that would be malformed for its length is the larger of the two. */
struct sv quantity_add(struct arena *a, struct sv x, struct sv y);
struct sv quantity_from_milli(struct arena *a, int64_t milli); /* decimal SI */
struct sv quantity_from_bytes(struct arena *a, int64_t bytes); /* binary SI */

struct sv quantity_sub(struct arena *a, struct sv x, struct sv y);
int quantity_sign(struct sv s); /* -1, 0, 1 */
/* How upstream holds it: an integer times a power of ten, unless it is too large or too fine for that. What is written
 * "1.0" is 10 tenths there, and no integer. */
bool quantity_amount(struct sv s, int64_t *ret_value, int *ret_exp);
double quantity_float(struct sv s);    /* near to it; infinite when it is too large */
const char *quantity_why(struct sv s); /* of malformed text: upstream's words */

static inline int64_t quantity_milli_or(const struct val *v, int64_t or_else)
{
	int64_t m;

	if (val_type(v) == VAL_INT)
		return __builtin_mul_overflow(v->i, INT64_C(1000), &m) ? (v->i < 0 ? INT64_MIN : INT64_MAX) : m;
	return quantity_milli(val_str(v), &m) ? m : or_else;
}
