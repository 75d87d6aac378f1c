/* service_claims.h - who has which address and node port, as keys in the store, so that several servers on one store
 * give none of them twice.
 *
 *	/caravel/claims/ipaddresses/10.43.7.9
 *	/caravel/claims/nodeports/30080
 *
 * each with
 *
 *	{"parentRef":{"group":"","resource":"services","namespace":"a","name":"b"}}
 *
 * A claim is made, and given up, in the same write as what it is for (store_write.also): a Service that is stored has
 * its claims, and none is left without it. What was written before there were claims, what another version wrote, or
 * somebody's hand, service_repair.c puts right: at the start, before the first write, and from time to time.
 *
 * The value is the spec of an IPAddress (networking.k8s.io/v1), the name its name: those objects can take its place.
 * Claims are outside the root of objects: no watch cache hears of them, and nobody but the store knows them all.
 *
 * Only numbers within the ranges of this server are claimed.
 */
#pragma once

#include "apiserver/registry/kinds/allocators.h"
#include "store/store.h"

#define CLAIMS_ROOT "/caravel/claims/"

/* Which of its kind; "ipaddresses", "nodeports". */
const char *claim_kind_name(enum number_kind kind);
struct sv claim_store_key(struct arena *a, const struct allocators *al, struct number n);
struct sv claim_value(struct arena *a, struct sv ns, struct sv name);

/* A claim as it is stored. */
struct claim {
	enum number_kind kind;
	struct sv text; /* the address or port */
	bool in_range;
	struct number n;    /* if so */
	bool of_service;    /* else somebody else's, who is respected */
	struct sv ns, name; /* of the Service */
};
/* Views and arena. False: nothing this version knows. */
bool claim_parse(struct arena *a, const struct allocators *al, struct sv key, struct sv value, struct claim *ret);
/* Does svc (may be NULL) have the number of c, within the ranges or not? */
bool claim_is_shown(const struct claim *c, const struct val *svc);

/* The strategy's also() and also_refused(). */
const struct store_write *service_claims(struct api_req *q, const struct val *old, const struct val *doc,
					 size_t *ret_n);
void service_claim_refused(struct api_req *q, struct sv key, struct sv value, int64_t rev);
