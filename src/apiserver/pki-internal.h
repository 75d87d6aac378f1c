/* pki-internal.h - what pki.c, which keeps keys and certificates, has of pki_tls.c, which makes connections of them,
 * and both of pki_cert.c, which signs. */
#pragma once

#include "apiserver/pki.h"

#define DAY_NS (86400 * NS_PER_SEC)
#define CA_LIFE_NS (3650 * DAY_NS)
#define LEAF_LIFE_NS (365 * DAY_NS)

/* The present, which is never before anything was built: see pki.h. */
int64_t pki_clock_ns(struct pki *p);
/* A certificate by the cluster's CA of what *c says, and its key, in a. */
int pki_leaf(struct pki *p, struct arena *a, struct cert_opts *c, int64_t life_ns, struct sv *ret_cert,
	     struct sv *ret_key, struct err *err);
/* Adds one bundle of PEM behind the other; a file need not end in a new line. */
void pki_bundle(struct buf *b, struct sv first, struct sv then);
/* Ends copies that pki_name() made, keys first. */
void pki_drop_named(struct arena *a, const struct tls_named *named, size_t n);
