/* pod_cert.h - what the agent remembers of one certificate of a pod (pod_certs.h has what becomes of it).
 *
 * It holds private keys: they are wiped when they are let go (what a sync copies for itself goes with its arena).
 */
#pragma once

#include "base/retry.h"

struct pod_cert {
	char *key, *chain;		  /* in use, PEM; NULL: none yet */
	int64_t refresh_ns, not_after_ns; /* wall clock */
	char *asked, *asked_uid;	  /* a request that waits; NULL: none */
	char *asked_key, *asked_stub;	  /* the key, and what shows it: of that one, or of the next; NULL: none */
	int64_t asked_rev;		  /* what its creation was answered with */
	struct retry failed;		  /* to ask, of the monotonic clock */
	char *failed_why;		  /* NULL: it did not fail last */
	char *refused;			  /* why, for good; NULL: it is not */
	bool told_overdue, told_expired;
};

void pod_cert_free(void *it);
void pod_cert_forget_request(struct pod_cert *it); /* the key stays, for another one */
void pod_cert_forget_key(struct pod_cert *it);
/* The chain is for the key of the request that waits: they are what is in use from here on. */
void pod_cert_take(struct pod_cert *it, struct sv chain);
