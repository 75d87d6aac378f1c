/* etcd.h - a store that is an etcd cluster (v3 API, 3.4 and later), shared with whoever else uses it.
 *
 * What differs from an embedded store, and store.h allows:
 *
 *	one revision	writes that are one (`also`) have one revision together
 *	order		writes in flight at once have no order, but those of one key
 *	others		write, too: how new the store is only it can say (store_sync())
 *	doubt		a write whose answer was lost is made again, as the same transaction (README.md), and
 *			told when that is answered: after later ones, perhaps
 *	size		etcd's own limits count, too: ERR_TOO_LARGE
 *
 * If nobody raised them those are 1.5 MiB a request and 128 operations a transaction. A write that nobody answers in
 * time fails with ERR_TIMEOUT or ERR_UNAVAILABLE, and may have been made all the same.
 *
 * Threads of its own: one for the network, one for callbacks (the store's thread of store.h).
 */
#pragma once

#include "store/store.h"

struct store_etcd_opts {
	const char *endpoints; /* link.h; "http://10.0.0.1:2379,http://10.0.0.2:2379" */
	/* PEM; "": those of the system are not asked, there are none: http only. */
	struct sv ca_pem, cert_pem, key_pem;
	int64_t wait_ns;    /* how long to wait for a first answer, and for how far history goes back; 0: 30 s */
	bool (*ends)(void); /* asked each second meanwhile: true is as if that time were up; NULL: never */
	int64_t compact_ns; /* history is kept for so long: one of those on the cluster forgets older one; 0: nobody of
			       us */
	int patience; /* all limits of time are so many times as long; 0: once. For tests, where a member may be kept
			 from running for seconds, and shall not be left for that */
};

/* Members that have come since it was opened: those of the list that are not known are, too. s is such a store itself.
 * Any thread. */
int store_etcd_more(struct store *s, struct sv endpoints, struct err *err);
/* Blocks until somebody has answered. */
struct store *store_etcd_open(struct env *env, const struct store_etcd_opts *o, struct err *err);
