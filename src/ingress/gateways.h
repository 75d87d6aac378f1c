/* gateways.h - the Gateways of the cluster, for a run: what is known of them, and what becomes of it in the model.
 *
 * Threads: runs alone, one at a time.
 */
#pragma once

#include "client/client.h"
#include "ingress/from_ingress.h"

struct ing_gateways;
struct informer_factory;

/* changed: what a run was told is no longer so. */
struct ing_gateways *ing_gateways_new(struct env *env, struct client *c, struct informer_factory *shared,
				      void (*changed)(void *ctx), void *ctx);
struct ing_gateways *ing_gateways_free(struct ing_gateways *g); /* no changed() comes after; NULL is fine */
/* False: it is not known yet what there is; in a moment it will be. *ret_after_ns: when to ask again, 0: no need. */
bool ing_gateways_known(struct ing_gateways *g, int64_t *ret_after_ns);
/* Adds them to *m, which has what Ingresses wish. */
void ing_gateways_add(struct ing_gateways *g, struct arena *a, const struct ing_source *s, struct ing_model *m);
