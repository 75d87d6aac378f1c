/* service_claims.h - who has which address and node port, as keys in the store, so that several servers on one store
 * give none of them twice.
 *
 *	/registry/ipaddresses/10.43.7.9		an IPAddress (networking.k8s.io/v1), which everybody sees
 *	/caravel/claims/nodeports/30080
 *		{"parentRef":{"group":"","resource":"services","namespace":"a","name":"b"}}
 *
 * A claim is made, and given up, in the same write as what it is for (store_write.also): a Service that is stored has
 * its claims, and none is left without it. What was written before there were claims, what another version wrote, or
 * somebody's hand, service_repair.c puts right: at the start, before the first write, and from time to time.
 *
 * IPAddresses are ours by the label ipaddress.kubernetes.io/managed-by, as upstream's; those of others reserve their
 * address. Claims of node ports are outside the root of objects: no watch cache hears of them (upstream's is one
 * bitmap, for which all Services of that type would contend). Before there were IPAddresses, addresses were claimed
 * beside the ports; the repair moves those.
 *
 * Addresses are claimed wherever they are from, ports only within the range of this server.
 */
#pragma once

#include "apiserver/registry/kinds/allocators.h"
#include "store/store.h"

#define CLAIMS_ROOT "/caravel/claims/"
#define LABEL_IP_FAMILY "ipaddress.kubernetes.io/ip-family"
#define LABEL_IP_MANAGED "ipaddress.kubernetes.io/managed-by"
#define IP_MANAGER "ipallocator.k8s.io"

#define CLAIMS_OLD CLAIMS_ROOT "ipaddresses/"
#define CLAIMS_PORTS CLAIMS_ROOT "nodeports/"

struct sv claim_store_key(struct arena *a, struct number n);
/* Of the Service ns/name. An IPAddress is a new one each time. */
struct sv claim_value(struct env *env, struct arena *a, struct number n, struct sv ns, struct sv name);

/* A claim as it is stored. */
struct claim {
	struct number n;
	bool in_range;	    /* of a port */
	bool old;	    /* an address in the old place */
	bool of_service;    /* ours for a Service; else somebody else's, who is respected */
	bool ours;	    /* an IPAddress with our label */
	bool labelled;	    /* and with the right family */
	struct sv ns, name; /* of the Service */
	const struct val *doc;
};
/* Views and arena. False: nothing this version knows. */
bool claim_parse(struct arena *a, const struct allocators *al, struct sv key, struct sv value, struct claim *ret);
/* Does svc (may be NULL) have the number of c, within the range or not? */
bool claim_is_shown(const struct claim *c, const struct val *svc);

/* The strategy's also() and also_refused(). */
const struct store_write *service_claims(struct api_req *q, const struct val *old, const struct val *doc,
					 size_t *ret_n);
void service_claim_refused(struct api_req *q, struct sv key, struct sv value, int64_t rev);
