/* masters.h - which API servers there are, and where the Service `kubernetes` leads therefore.
 *
 * A server whose store is its own is the only one. On a shared store each holds a key with a lease of the store
 * (lease.h), which is upstream's, so that its servers on the same store count us and we them:
 *
 *	/registry/masterleases/ADDRESS	an Endpoints with that address and its port; goes 15 s after its server did
 *
 * Every five seconds each renews its own, and writes the endpoints of `kubernetes` from all when they say something
 * else. One that ends as planned (masters_leave()) takes its key and its endpoint away at once; one that gets another
 * address does so with the old one.
 *
 * Endpoints have all servers. The EndpointSlice has those of one port and family, as it can have no others: of what
 * most have, the lowest port and IPv4 first.
 *
 * That there is such a server at all is seen by a Lease in kube-system, apiserver-HASH with upstream's labels, renewed
 * every ten seconds. Those of others that ended an hour ago are deleted.
 *
 * Threads: masters_leave() may be called beside the timer's task; the rest is apiserver.c's.
 */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/ip.h"
#include "codec/doc.h"

struct apiserver;
struct masters; /* opaque */

#define MASTERS_KEYS "/registry/masterleases/"
#define MASTERS_MAX 64	    /* more are not looked at */
#define MASTERS_TTL_S 15    /* as upstream's */
#define MASTERS_LIFE_S 3600 /* of an apiserver-… Lease, as upstream's */

/* NULL: the store is nobody else's. */
struct masters *masters_new(struct apiserver *s);
/* When all else is there: the first time here and now, then by a timer. What fails is told in the log and tried again.
 */
void masters_start(struct masters *m);
/* NULL is fine. */
void masters_leave(struct masters *m);
void masters_stop(struct masters *m); /* its timer and what that runs */
struct masters *masters_free(struct masters *m);

/* --- for bootstrap.c and tests --- */

struct master {
	struct ip_addr ip;
	int port;
};
/* As a key with that value; own_port where it says none. False: it is no address. */
bool master_read(struct sv key, struct sv value, int own_port, struct master *ret);
/* The two objects, of at least one server. The list is sorted here, and its doubles go. */
struct val *masters_endpoints(struct arena *a, struct master *list, size_t n);
struct val *masters_slice(struct arena *a, struct master *list, size_t n);
/* Where this one is; false: it has no address that anybody could use. */
bool master_own(struct apiserver *s, struct master *ret);
