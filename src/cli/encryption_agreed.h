/* encryption_agreed.h - servers of one store can read what each of them writes, or the one that cannot does not start.
 *
 *	/caravel/keys/encryption/ID	of each server that runs, with a lease: {"server": WHO, "terms": TEXT}
 *
 * The terms are what its EncryptionConfiguration writes and reads (apiserver/encryption/terms.h).
 *
 * A server writes its own, then looks at those of the others: of two that come at once at least one sees the other. The
 * same before a file that has changed counts; refused, its own says again what it was. It is gone with the server,
 * fifteen seconds after a sudden end, so what is compared is servers that run: of one that is back with an old file the
 * values themselves say which key it lacks.
 *
 * Blocking, but for the renewals, which are the env's.
 */
#pragma once

#include "base/env.h"
#include "base/err.h"

struct encryption;
/* Each server's are said below it, with a lease. */
#define ENCRYPTION_AGREED_KEYS "/caravel/keys/encryption/"

struct store;
struct encryption_agreed; /* opaque */

struct encryption_agreed_opts {
	struct env *env;
	struct store *store;  /* below encryption */
	struct encryption *e; /* NULL: nothing is encrypted */
	const char *who;      /* this server, for people and the same at each start */
	const char *data_dir; /* its pki/ca.key, which all servers have, makes hashes that say nothing to others */
};

/* NULL: it does not go with another server's, or that cannot be known. */
struct encryption_agreed *encryption_agreed_new(const struct encryption_agreed_opts *o, struct err *err);
/* Before the store is closed. NULL is fine. */
struct encryption_agreed *encryption_agreed_free(struct encryption_agreed *g);
