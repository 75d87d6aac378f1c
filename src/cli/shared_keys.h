/* shared_keys.h - servers of one store have one cluster's keys: they are in it, sealed (net/sealed.h) with a token.
 *
 *	/caravel/keys/cluster	the CA and its key, the key of service accounts, the CAs of front proxies and of etcd:
 *				the files of pki.h that are not one server's own, as a JSON object by their names
 *
 * Before a server makes any it asks here:
 *
 *	none there	what its data directory has, and what is missing made: created in the store first, then
 *			written to files. Who was slower takes what is there
 *	there		files that are missing, and certificates that another server has renewed, are written; a CA
 *			or a key of service accounts that is another is refused, and nothing overwritten
 *
 * The token is --token's, or that of DIR/server/token, which a start writes for the next one and for whoever brings
 * another server. Where there is neither and no keys either it is made up. Of a token that opens the keys there is no
 * Secret in the cluster: everybody who reads the store would have it.
 *
 * Ended at any point, the next start comes to the same end: files are written after the store has what is in them,
 * but for the token, without which what is in the store would be lost.
 *
 * Blocking; for the start of a server, before its API server opens its pki.
 */
#pragma once

#include "base/arena.h"
#include "base/env.h"
#include "base/err.h"

#define SHARED_KEYS "/caravel/keys/cluster"

struct store;

struct shared_keys_opts {
	struct env *env;
	struct store *store;
	const char *data_dir; /* pki/ and server/token are there */
	const char *token;    /* as pasted; NULL: that of the file */
	bool etcd;	      /* the CA of an etcd of our own, too */
};

/* -1 names what is to be done. *ret_token: "<id>.<secret>" that is good now, which is a newer one than o->token when
 * that was rotated (servers_token.h); in a. */
int shared_keys_settle(const struct shared_keys_opts *o, struct arena *a, const char **ret_token, struct err *err);

/* Where the store is an etcd of our own it needs keys before it is there. o->store is not asked. */
int shared_keys_begin(const struct shared_keys_opts *o, struct err *err); /* of a first server: made, in files */
/* Of one that joins: those that a server has sent, as its store has them. */
int shared_keys_take(const struct shared_keys_opts *o, struct sv sealed, struct err *err);
/* As the store has them, to be sent; in a. */
int shared_keys_sealed(struct store *s, struct arena *a, struct sv *ret, struct err *err);
/* Of a server whose store nobody shares, by whose token snapshots are sealed: one that is in no Secret, made where
 * there is none yet, or where it is the one that nodes are given (o->token). */
int shared_keys_own(const struct shared_keys_opts *o, struct sv ca, struct err *err);
/* The text of DIR/server/token; in a. NULL: there is none. */
const char *shared_keys_file(const struct shared_keys_opts *o, struct arena *a);

/* --- the text that is sealed: a parser, for its tests --- */

/* The last two are there where the store is an etcd of the servers' own (etcd_member.h). */
enum shared_key { SK_CA_KEY, SK_CA_CERT, SK_SA_KEY, SK_FRONT_KEY, SK_FRONT_CERT, SK_ETCD_KEY, SK_ETCD_CERT, _SK_MAX };
#define SK_NEEDED SK_ETCD_KEY
struct shared_keys {
	struct sv pem[_SK_MAX]; /* "": there is none */
};
extern const char *const shared_key_names[_SK_MAX]; /* of files */
/* Views of a. False: it is no such text, or one is missing. */
bool shared_keys_parse(struct arena *a, struct sv text, struct shared_keys *ret);
