/* seal.h - a few files encrypted with a token: who has the archive and not the token has nothing.
 *
 *	u32 form (1), u32 log2 of scrypt's N, 16 bytes salt, 16 bytes check, 12 bytes nonce, ciphertext, 16 bytes tag
 *
 * Scrypt makes 48 bytes of the secret: a key for AES-256-GCM, and the check, by which a wrong secret is told from a
 * changed text. `bound` is text that must be the same at opening (GCM's additional data). The plaintext is, of each
 * file, u32 bytes of name, u32 of contents, both.
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
