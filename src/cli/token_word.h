/* token_word.h - a token that a command is given: in a word, or in a file, which `ps` does not show.
 *
 * Every flag --X that takes a token has a --X-file beside it. Both at once are refused, as nobody could tell which of
 * them counts.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"

/* *token: what --FLAG said; from then on the one that counts, in a where it comes from file (NULL: none was named).
 * Also a pipe's, read to its end. */
int token_word(struct arena *a, const char *flag, const char **token, const char *file, struct err *err);
