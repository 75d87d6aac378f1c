/* tls_secret.h - what Secrets hold for those who serve: certificates as HAProxy takes them, and single values. Asked by
 * who shows them (ingress/) and who says that they can be shown (controllers/gateway.c).
 */
#pragma once

#include "base/strmap.h"
#include "object/obj.h"

/* What certificates were found to be, by their Secret's version: looking at a key costs more than all else of a run. */
struct tls_checked {
	struct strmap known; /* "ns/name uid version" -> struct checked *, tls_secret.c */
	struct strmap used;  /* of this run: what is left for the next */
	size_t looked;	     /* how many were looked at so far */
};
void tls_checked_release(struct tls_checked *c);
void tls_checked_sweep(struct tls_checked *c); /* a run is over: what it did not ask for is forgotten */

/* A value of its data, "" when there is none. */
struct sv tls_secret_data(struct arena *a, const struct obj *secret, const char *key);
/* Chain and key of a kubernetes.io/tls Secret, as one text without empty lines. key: "ns/name"; c and secret may be
 * NULL. NULL, or why it is not shown: then *ret_pem is empty. */
const char *tls_secret_pem(struct arena *a, struct tls_checked *c, struct sv key, const struct obj *secret,
			   struct sv *ret_pem);
