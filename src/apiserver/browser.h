/* browser.h - what browsers ask of a server before a page may use it: CORS and HSTS headers, by the flags
 * --cors-allowed-origins and --strict-transport-security-directives.
 *
 * Nothing of it is there unless one of them is given. An origin is allowed when one of the expressions matches it, as
 * upstream's; the question before a request (OPTIONS) is answered here, as nobody has shown who he is yet.
 *
 * Threads: any.
 */
#pragma once

#include "apiserver/api_req.h"

struct browser; /* opaque, immutable */

/* Lists are NULL-terminated, or NULL. *ret is NULL where both have nothing. -1: an expression is none. */
int browser_new(const char *const *cors, const char *const *hsts, struct browser **ret, struct err *err);
struct browser *browser_free(struct browser *b); /* NULL is fine */
/* Adds headers to q's answer. True: that was all that was asked, and 204 is the answer. */
bool browser_headers(const struct browser *b, struct api_req *q);
