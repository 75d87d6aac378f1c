/* token_use.h - when the token of a Secret was last used: a label of that Secret.
 *
 * Noting it is a write, at most one a day for each Secret, and nobody waits for it: the request that the token came
 * with goes on. While it is under way, further uses of the token change nothing; of different Secrets few are written
 * at once, and what finds no room is written at a later use. What fails is forgotten the same way.
 *
 * Threads: any.
 */
#pragma once

#include "apiserver/apiserver.h"
#include "object/obj.h"

struct token_use;

struct token_use *token_use_new(void);
struct token_use *token_use_free(struct token_use *u); /* when no write is under way */
void token_use_note(struct apiserver *s, const struct obj *secret);
