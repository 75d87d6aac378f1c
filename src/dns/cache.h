/* cache.h - what upstream servers said, for as long as that holds, and a while longer for when nobody answers.
 *
 * Bounded in bytes: what was not asked for the longest goes first. One thread.
 */
#pragma once

#include "dns/wire.h"

struct dns_cache;

/* Under what a message is kept. */
struct dns_key {
	struct dns_name name; /* lower */
	uint16_t type;
	bool cd, want_dnssec;
};
#define DNS_KEY_MAX (DNS_NAME_MAX + 3)
struct sv dns_key_bytes(const struct dns_key *k, char tmp[DNS_KEY_MAX]); /* equal ones have equal bytes */

enum dns_cached {
	DNS_CACHE_NONE,
	DNS_CACHE_FRESH,
	DNS_CACHE_STALE, /* to be given only when nobody says anything newer (RFC 8767) */
};

struct dns_cache *dns_cache_new(size_t max_bytes);
struct dns_cache *dns_cache_free(struct dns_cache *c);
/* Keeps a reference of m for life_s, and stale_s longer. */
void dns_cache_put(struct dns_cache *c, const struct dns_key *k, struct dns_msg *m, uint32_t life_s, uint32_t stale_s,
		   int64_t now_ns);
/* *ret is borrowed until the next call. */
enum dns_cached dns_cache_get(struct dns_cache *c, const struct dns_key *k, int64_t now_ns, struct dns_msg **ret,
			      uint32_t *ret_age_s);
size_t dns_cache_bytes(const struct dns_cache *c);
size_t dns_cache_count(const struct dns_cache *c);
