/* pod_cert.h - what the agent remembers of one certificate of a pod (pod_certs.h has what becomes of it).
 *
 * It holds private keys: they are wiped when they are let go.
 */
#pragma once

#include "base/base.h"

struct pod_cert {
	char *of;			  /* volume/index of the source; owned, as all texts here */
	char *key, *chain;		  /* in use, PEM; NULL: none yet */
	int64_t refresh_ns, not_after_ns; /* wall clock */
	char *asked, *asked_key;	  /* the name of a request that waits, and the key it shows; NULL: none */
	int64_t asked_rev;		  /* what its creation was answered with */
	char *refused;			  /* why; NULL: it is not */
	bool told_overdue, told_expired;
};

struct pod_cert *pod_cert_new(const char *of);
void pod_cert_free(struct pod_cert *it);
void pod_cert_forget_request(struct pod_cert *it);
/* The chain is for the key of the request that waits: they are what is in use from here on. */
void pod_cert_take(struct pod_cert *it, struct sv chain);
