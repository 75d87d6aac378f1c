/* oas_format.h - the formats of text that an OpenAPI schema may name.
 *
 * Those that custom resources are validated by: apiextensions-apiserver's list (pkg/apiserver/validation/formats.go)
 * with the meaning of kube-openapi's strfmt. A format that is not among them is ignored. Dashes in a name count for
 * nothing: date-time is datetime.
 */
#pragma once

#include "base/base.h"

struct oas_format; /* opaque, constant */

const struct oas_format *oas_format_find(struct sv name); /* NULL: no such format */
bool oas_format_valid(const struct oas_format *f, struct sv text);
