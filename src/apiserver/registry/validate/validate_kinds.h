/* validate_kinds.h - the validation of built-in kinds that data cannot express.
 *
 * Pure functions on typed, defaulted documents: no clock, no store, no request. What the
 * schema's marks say (required and nonempty fields, closed enums, formats, immutable fields)
 * has been or will be checked by validate_typed(), metadata by validate_object_meta(); here is
 * the rest: relations between fields, conditional requirements, what an update may change.
 */
#pragma once

#include "object/validate.h"

/* doc is the object being written; old the stored one, NULL on create; subresource NULL for the
 * object itself, else "status", "ephemeralcontainers", ... */
typedef void validate_kind_fn(struct field_errs *fe, const struct val *doc, const struct val *old,
			      const char *subresource);

/* The rule for the name of an IPAddress (a name check as in strategy.h). */
const char *check_ip_name(struct sv name);

/* NULL: the kind has no rules beyond its schema, as no custom kind has. */
validate_kind_fn *validate_kind_for(const struct resource *r);

/* causes.c: of an update of an r that is refused, each cause as often as upstream names it. */
void causes_repeat(struct field_errs *fe, const struct resource *r);
