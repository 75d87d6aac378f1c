/* sealed.h - a text that only those read who know a word: for what must lie where others look, as in a store.
 *
 *	"caravel sealed 1\n", log2 N, r, p, salt (16), check (16), nonce (12), AES-256-GCM of the text, tag (16)
 *
 * Key and check are scrypt's (RFC 7914) of word and salt; the check tells another word from a changed text. What
 * stands before the encrypted text is authenticated with it, as is what the text is (`what`, which is not stored):
 * nothing can be changed, nor one sealed text be put in the place of another. Costs are read from the text, so that a
 * later version may raise them, and bounded: no more than 256 MiB for whoever opens.
 *
 * A word that people choose is as good as they chose it. Blocking, a tenth of a second; no loop's work. Threads: any.
 */
#pragma once

#include "base/buf.h"
#include "base/env.h"
#include "base/err.h"

#define SEALED_TEXT_MAX ((size_t)4 << 20) /* bytes of a text */

/* Appends to b. */
int sealed_make(struct env *env, struct sv word, struct sv what, struct sv text, struct buf *b, struct err *err);
/* Appends the text to b. -1: ERR_UNAUTHORIZED: the word is another; ERR_INVALID: that is nothing that was sealed, or by
 * a later version, or it was changed by somebody who does not have the word. */
int sealed_open(struct sv word, struct sv what, struct sv sealed, struct buf *b, struct err *err);
