/* rate.h - how many datagrams of one address are answered: the thread is one for all, and what is dropped unread costs
 * it a thirtieth of what is answered.
 *
 * Counted by a hash of the address, seeded as all maps are: those who share a place share the bound, which is far above
 * what a Pod needs. This machine itself is not bounded. One thread.
 */
#pragma once

#include "base/ip.h"
#include "base/strmap.h"

#define DNS_RATE_PLACES 1024
#define DNS_RATE_NS (100 * NS_PER_MS)
#define DNS_RATE_MOST 2500 /* in that time: 25,000 a second */

/* All zero: nobody has asked. */
struct dns_rate {
	uint16_t counts[DNS_RATE_PLACES];
	int64_t window;
};

/* Whether one more of addr is to be answered, at now_ns (monotonic). */
static inline bool dns_rate_take(struct dns_rate *r, struct ip_addr addr, int64_t now_ns)
{
	int64_t window = now_ns / DNS_RATE_NS;
	uint16_t *count;

	if (window != r->window) {
		memset(r->counts, 0, sizeof(r->counts));
		r->window = window;
	}
	count = &r->counts[strmap_hash(sv_make((const char *)addr.b, sizeof(addr.b))) % DNS_RATE_PLACES];
	if (*count >= DNS_RATE_MOST)
		return false;
	++*count;
	return true;
}
