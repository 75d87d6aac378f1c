/* token_file.h - static tokens (--token-auth-file), for those who ask for them: lines of upstream's form
 *
 *	TOKEN,USER,UID[,"GROUP1,GROUP2"]
 *
 * They never end and are read at start only. An empty token is an error, never a password that everybody knows.
 */
#pragma once

#include "apiserver/authn.h"

struct token_file;

struct token_file *token_file_read(const char *path, struct err *err);
/* The same of text. */
struct token_file *token_file_parse(struct sv text, struct err *err);
struct token_file *token_file_free(struct token_file *f);
/* NULL f: no. ret is arena-owned. All tokens are compared, each in constant time. */
bool token_file_find(const struct token_file *f, struct arena *a, struct sv token, struct user_info *ret);
