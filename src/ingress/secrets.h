/* secrets.h - the Secrets that Ingresses name, and only those: a node may read each by its name alone.
 *
 * A watch of one name for each, which is all that the node authorizer allows (apiserver/authz/node_ingress.h): one
 * watch of all that are certificates would show those of others. An agent's watch is a connection, so beyond the first
 * 256 Secrets are asked for in rounds instead, 64 a second of those that are known, 256 of new ones: a round begins 15
 * seconds after the one before, and not until that has reached all. On the server's own node, where a watch is none,
 * beyond the first 4096. Where nobody answers, a run waits for one of them, and goes on with what was known.
 *
 * A run asks for what it needs between ing_secrets_begin() and ing_secrets_end(); what it did not ask for is let go.
 *
 * Threads: one run at a time; changed() comes on any.
 */
#pragma once

#include "client/client.h"

struct ing_secrets;

/* changed: what a run was told of one that it asked for is no longer so. */
struct ing_secrets *ing_secrets_new(struct env *env, struct client *c, void (*changed)(void *ctx), void *ctx);
struct ing_secrets *ing_secrets_free(struct ing_secrets *s); /* no changed() comes after */
void ing_secrets_begin(struct ing_secrets *s);
/* Linked to the arena; NULL: it is not there, or that is not known yet. */
struct obj *ing_secrets_get(struct ing_secrets *s, struct arena *a, struct sv ns, struct sv name);
/* True: of some of them it is not known yet whether they are there; in a moment it will be. Whoever is told nothing for
 * two seconds does not wait any more. *ret_after_ns: when to run again for those that are asked for; 0: no need. */
bool ing_secrets_end(struct ing_secrets *s, int64_t *ret_after_ns);
