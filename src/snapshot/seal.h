/* seal.h - a few files encrypted with a token: who has the archive and not the token has nothing. Whose token
 * that may be says keys.h.
 *
 * They are one text of net/sealed.h: of each file u32 bytes of name, u32 of contents, both. `bound` is what must be the
 * same at opening.
 *
 * Pure but for the environment's chance; any thread. Takes 32 MiB for a moment.
 */
#pragma once

#include "base/buf.h"
#include "snapshot/archive.h"

int seal_files(struct env *env, struct sv secret, struct sv bound, const struct archive_file *f, size_t n,
	       struct buf *out, struct err *err);
/* ERR_UNAUTHORIZED: another secret; ERR_INVALID: not as it was sealed. Contents are in a. */
int seal_open(struct arena *a, struct sv secret, struct sv bound, struct sv sealed, struct archive_file **ret,
	      size_t *ret_n, struct err *err);
