/* token_file.h - static tokens (--token-auth-file), for those who ask for them: lines of upstream's form
 *
 *	TOKEN,USER,UID[,"GROUP1,GROUP2"]
 *
 * They never end. The file is looked at each minute (watched_file.h); while it is empty, or ends within a line where it
 * did not before, what was in it counts on. An empty token is an error, never a password that
 * everybody knows.
 */
#pragma once

#include "apiserver/authn.h"

struct token_file;

/* --- the file --- */

struct token_store; /* what counts of it */

struct token_store *token_store_new(const char *path, struct err *err);
struct token_store *token_store_free(struct token_store *s);
void token_store_reload(struct token_store *s); /* each minute, on a task; NULL is fine */
/* As token_file_find(). */
bool token_store_find(struct token_store *s, struct arena *a, struct sv token, struct user_info *ret);

/* --- its text --- */

struct token_file *token_file_parse(struct sv text, struct err *err);
struct token_file *token_file_free(struct token_file *f); /* gives back a reference */
/* NULL f: no. ret is arena-owned. All tokens are compared, each in constant time. */
bool token_file_find(const struct token_file *f, struct arena *a, struct sv token, struct user_info *ret);
