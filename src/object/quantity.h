/* quantity.h - resource.Quantity: exact decimal amounts with SI suffixes.
 *
 * Values are int64 thousandths where they fit (everything scheduling does) and text
 * otherwise; canonical text is what apimachinery would write ("1500m", "2Gi", "1e3" kept in
 * exponent form).
 */
#pragma once

#include "base/arena.h"
#include "base/base.h"
#include "codec/doc.h"

/* False on malformed text; else *ret in thousandths, rounded up, clamped to int64. */
bool quantity_milli(struct sv s, int64_t *ret);
/* Whole units, rounded up, clamped: bytes, counts. */
bool quantity_value(struct sv s, int64_t *ret);
/* Canonical form, in the arena; SV_NULL when malformed. Rounds up to thousandths as the API does. */
struct sv quantity_canonical(struct arena *a, struct sv s);
int quantity_cmp(struct sv a, struct sv b); /* malformed counts as 0 */
struct sv quantity_add(struct arena *a, struct sv x, struct sv y); /* keeps x's format */
struct sv quantity_from_milli(struct arena *a, int64_t milli);     /* decimal SI */
struct sv quantity_from_bytes(struct arena *a, int64_t bytes);     /* binary SI */

static inline int64_t quantity_milli_or(const struct val *v, int64_t or_else)
{
	int64_t m;

	if (val_type(v) == VAL_INT)
		return v->i > INT64_MAX / 1000 ? INT64_MAX : v->i * 1000;
	return quantity_milli(val_str(v), &m) ? m : or_else;
}
