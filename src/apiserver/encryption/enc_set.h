/* enc_set.h - a configuration as it counts: entries, by which path of the store each is found, programs that keep keys.
 *
 * Immutable but for what its programs know; counted, as a read may be under way while another takes its place.
 */
#pragma once

#include "apiserver/encryption/encryption-internal.h"
#include "apiserver/encryption/kms.h"

#include <stdatomic.h>

struct enc_set {
	atomic_int refs;
	struct arena arena;
	struct enc_rules rules;
	struct strmap by_path; /* of built-in resources' store paths: struct enc_path */
};

/* of: what programs are told and asked by; its name, endpoint and timeout are each provider's. */
struct enc_set *enc_set_new(struct sv text, const struct kms_opts *of, struct err *err);
struct enc_set *enc_set_ref(struct enc_set *s);
struct enc_set *enc_set_unref(struct enc_set *s); /* NULL is fine; returns NULL */
DEFINE_CLEANUP(struct enc_set *, enc_set_unrefp, enc_set_unref)

/* The entry of a store key; NULL: it is stored as it is. */
const struct enc_rule *enc_set_rule(const struct enc_set *s, struct sv key);
/* The i-th program of all entries; NULL: there are no more. */
struct kms *enc_set_kms(const struct enc_set *s, size_t i);

#define ENC_MARK "k8s:enc:" /* all prefixes begin with it */

/* value is of k by its prefix, which more keys may have. */
bool enc_key_is_of(const struct enc_key *k, struct sv value);
/* Such a value, opened. May ask a program. */
int enc_key_open(const struct enc_key *k, struct sv key, struct sv value, struct buf *b, struct err *err);
/* value is what k makes of something to be stored under key. Asks no program. */
bool enc_key_wrote(const struct enc_key *k, struct sv key, struct sv value);
