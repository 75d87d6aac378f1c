/* servers_token.h - the token that servers know each other by, and how it becomes another.
 *
 *	/caravel/keys/cluster	what it opens (shared_keys.h)
 *	/caravel/keys/token	itself, for servers that were given an older one, and the hashes of those: sealed with
 *				a word made of the key of the cluster's CA, which every server has and nobody else
 *
 *	caravel token rotate --servers ─PUT─▶ any server ─▶ both of them, as one write ─▶ DIR/server/token
 *						    other servers see the second change ─▶ their DIR/server/token
 *
 * So at every moment one token is good. Ended between the write and its file a server has the newer one at its next
 * start, as one does that did not run meanwhile. Who has the older token and reads the store has neither: the keys are
 * sealed with the newer one. A server whose --token is an older one goes on with the newer, and says that the flag is
 * behind; a token that never was the servers' is refused as ever.
 *
 * The older one opens nothing from then on: a server that is asked for a place looks at the store first. Nodes that
 * join with --token are refused by a server that has not heard yet, for as long as a change takes to come.
 *
 * Where the store is a server's own the token seals its snapshots and is in DIR/server/token alone.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"

#define SERVERS_TOKEN_KEY "/caravel/keys/token"

struct store;
struct servers_token; /* opaque */

struct servers_token_opts {
	struct env *env;
	struct store *store; /* NULL: it is this server's own */
	const char *data_dir;
	const char *token; /* as it is now: that of the file, or --token's */
	bool nodes;	   /* nodes may join with it, too: it was given by --token */
};

/* Follows what others write from now on. */
struct servers_token *servers_token_new(const struct servers_token_opts *o, struct err *err);
struct servers_token *servers_token_free(struct servers_token *t); /* before the store is closed; NULL is fine */
/* Is it that? Never waits; any thread. */
bool servers_token_is(struct servers_token *t, struct sv id, struct sv secret);
/* Looks at the store, whether it is still what it was: -1 with ERR_UNAUTHORIZED when it had changed unheard. Blocks. */
int servers_token_fresh(struct servers_token *t, struct err *err);
/* As apiserver_opts.servers has it: {"old": ..., "new": ...}. Blocks. */
int servers_token_rotate(struct servers_token *t, struct arena *a, struct sv body, struct sv *ret, struct err *err);

/* For a start: what the store says, when the keys there are not opened by tried ("<id>.<secret>"). ca_key: of the data
 * directory, "": none. 1: *ret is the newer one, and tried was one of the older; 0: it is none of them, or there is
 * nothing. */
int servers_token_newer(struct store *s, struct arena *a, struct sv ca_key, struct sv tried, struct sv *ret,
			struct err *err);

/* The text that is sealed: a parser, for its tests. Views of a. */
#define SERVERS_TOKEN_OLDER 16
struct servers_token_note {
	struct sv token;
	struct sv older[SERVERS_TOKEN_OLDER]; /* SHA-256 in hex, the newest first */
	size_t n_older;
};
bool servers_token_note_parse(struct arena *a, struct sv text, struct servers_token_note *ret);
