/* secret.h - what Secrets hold for Ingresses: certificates as HAProxy takes them, and single values. */
#pragma once

#include "base/strmap.h"
#include "object/obj.h"

/* What certificates were found to be, by their Secret's version: looking at a key costs more than all else of a run. */
struct ing_checked {
	struct strmap known; /* "ns/name uid version" -> struct checked *, secret.c */
	struct strmap used;  /* of this run: what is left for the next */
};
void ing_checked_release(struct ing_checked *c);
void ing_checked_sweep(struct ing_checked *c); /* a run is over: what it did not ask for is forgotten */

/* A value of its data, "" when there is none. */
struct sv ing_secret_data(struct arena *a, const struct obj *secret, const char *key);
/* Chain and key of a kubernetes.io/tls Secret, as one text without empty lines. key: "ns/name"; c and secret may be
 * NULL. NULL, or why it is not shown: then *ret_pem is empty. */
const char *ing_tls_secret(struct arena *a, struct ing_checked *c, struct sv key, const struct obj *secret,
			   struct sv *ret_pem);
