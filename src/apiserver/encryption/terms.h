/* terms.h - what a configuration writes and reads, as other servers of the store may know it: without its keys, and
 * comparable.
 *
 *	[{"resources": ["secrets", "*.apps"], "keys": ["k8s:enc:aescbc:v1:key2:5f3a...", "identity"]}]
 *
 * A key is its prefix in the store and 16 digits of a hash of it with a word that all servers know and nobody else: the
 * same key under the same name is the same text. One that a program keeps is its prefix alone.
 *
 * Two go together when each reads what the other one writes, of every kind. So a key is rotated as on one server:
 * behind the first on all of them, then before it on one after the other.
 *
 * Pure.
 */
#pragma once

#include "apiserver/encryption/encryption.h"

struct enc_set;

/* Appends to b. set NULL: nothing is encrypted. */
void enc_terms_format(const struct enc_set *set, struct sv word, struct buf *b);
/* ours goes with that of the server `whose`. -1: ERR_CONFLICT names a kind, the key and whose it is; ERR_INVALID:
 * theirs cannot be read. */
int enc_terms_agree(struct sv ours, struct sv theirs, struct sv whose, struct err *err);
