/* netip.h - addresses and prefixes as Go's package netip reads and writes them, with its words.
 *
 * Unlike base/ip.h this tells apart what was written as IPv4 and as IPv6, and explains what is wrong. Zones are
 * read, and not kept.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

struct netip {
	uint8_t b[16]; /* IPv4: the first four, the others zero */
	bool v6, zone;
};

struct netip_prefix {
	struct netip ip; /* host bits and all */
	uint8_t bits;
};

/* netip.ParseAddr: ParseAddr("1.2.3"): IPv4 address too short. ERR_INVALID; err may be NULL. */
bool netip_parse(struct sv s, struct netip *ret, struct err *err);
/* netip.ParsePrefix: netip.ParsePrefix("1.2.3.4"): no '/'. */
bool netip_prefix_parse(struct sv s, struct netip_prefix *ret, struct err *err);

struct netip_text {
	char s[52];
};
struct netip_text netip_text(const struct netip *ip); /* canonical: printf("%s", netip_text(&ip).s) */
struct netip_text netip_prefix_text(const struct netip_prefix *p);

bool netip_same(const struct netip *a, const struct netip *b);
bool netip_is_mapped(const struct netip *ip); /* IPv4 written as IPv6, "::ffff:1.2.3.4" */
bool netip_is_unspecified(const struct netip *ip);
bool netip_is_loopback(const struct netip *ip);
bool netip_is_link_local_unicast(const struct netip *ip);
bool netip_is_link_local_multicast(const struct netip *ip);
bool netip_is_multicast(const struct netip *ip);
bool netip_is_global_unicast(const struct netip *ip);

struct netip_prefix netip_masked(const struct netip_prefix *p); /* host bits cleared */
bool netip_has(const struct netip_prefix *p, const struct netip *ip);
