/* percent.h - text as a part of a URL, a query or a header's name: %XX for what may not stand there (RFC 3986). */
#pragma once

#include "base/buf.h"

#define PERCENT_UNRESERVED "-._~"

/* Letters, digits and the bytes of keep are themselves; a NUL never is. */
void percent_encode(struct buf *b, struct sv s, const char *keep);

/* May it be one part of a path, whatever takes that apart: not "", ".", "..", nor anything with '/', '%' or NUL
 * (upstream's path segment names). As it is before it is encoded. */
bool percent_segment_fine(struct sv s);
