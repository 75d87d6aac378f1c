/* join_token.h - the token that machines join with, made at the first start.
 *
 * The Secret in the cluster is what counts (client/bootstrap_token.h); DIR/server/node-token holds the text to copy, in
 * the form that pins the CA (DIR/server/agent-token leads there), and is written anew whenever it says something else.
 * Deleting the Secret revokes the token; the next start makes another one. The servers' token (apiserver_opts.
 * join_token_known) is in the file where no Secret was ever made, as it was given for nodes, too. The token
 * authenticates as system:bootstrap:<id> in system:bootstrappers:caravel:default-node-token, which may ask for a
 * certificate and nothing else.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "codec/doc.h"

struct apiserver;

#define JOIN_TOKEN_DESCRIPTION "machines join with this token; it is kept in server/node-token"

/* The Secret as it should be: one that is there, that of --token, or a new one; NULL with *err, and without when there
 * is to be none (apiserver_opts.join_token_known). *ret_text: for the file. */
struct val *join_token_secret(struct apiserver *s, struct arena *a, struct sv *ret_text, struct err *err);
int join_token_write(struct arena *a, const char *data_dir, struct sv text, struct err *err);
