/* ip.h - addresses of the network as values, both families alike.
 *
 * An address is 128 bits in network order; one of IPv4 is the mapped one (::ffff:10.42.0.1), so that there is one
 * order, one comparison and one arithmetic. All zero is no address: IP_NONE. Nobody is reached at "::" and "0.0.0.0"
 * either, whoever reads them says what they mean to him.
 *
 * Bytes alone: no padding in what holds them, and they may be compared and hashed as bytes.
 */
#pragma once

#include "base/base.h"

struct ip_addr {
	uint8_t b[16];
};

#define IP_NONE ((struct ip_addr){ { 0 } })

static inline struct ip_addr ip_v4(uint32_t host_order)
{
	return (struct ip_addr){ { [10] = 0xff,
				   [11] = 0xff,
				   [12] = (uint8_t)(host_order >> 24),
				   [13] = (uint8_t)(host_order >> 16),
				   [14] = (uint8_t)(host_order >> 8),
				   [15] = (uint8_t)host_order } };
}

/* The same from a kernel's or a socket's bytes. */
static inline struct ip_addr ip_v6(const void *bytes16)
{
	struct ip_addr a;

	memcpy(a.b, bytes16, sizeof(a.b));
	return a;
}

static inline bool ip_is_none(struct ip_addr a)
{
	return memcmp(a.b, IP_NONE.b, sizeof(a.b)) == 0;
}

static inline bool ip_is_v4(struct ip_addr a)
{
	return memcmp(a.b, ip_v4(0).b, 12) == 0;
}

/* Its last 32 bits, in host order: of an IPv4 address all. */
static inline uint32_t ip_low(struct ip_addr a)
{
	return (uint32_t)a.b[12] << 24 | (uint32_t)a.b[13] << 16 | (uint32_t)a.b[14] << 8 | a.b[15];
}

static inline int ip_cmp(struct ip_addr a, struct ip_addr b)
{
	return memcmp(a.b, b.b, sizeof(a.b));
}
int ip_order(const void *x, const void *y); /* the same of two struct ip_addr, for qsort() and bsearch() */

static inline bool ip_eq(struct ip_addr a, struct ip_addr b)
{
	return ip_cmp(a, b) == 0;
}

/* The bytes of an address, IPv4 or IPv6: how many, 4 or 16; 0: it is none. */
size_t ip_bytes(struct sv s, uint8_t ret[16]);
/* "10.42.0.1", "fd00::1". False for anything else, zones ("%eth0") and mapped addresses written as IPv6 included: those
 * would be two texts for one address. */
bool ip_parse(struct sv s, struct ip_addr *ret);

/* Whose address a socket's is; IP_NONE of other families than the two. */
struct sockaddr;
struct ip_addr ip_of_sockaddr(const struct sockaddr *sa);

struct ip_text {
	char s[46];
};
struct ip_text ip_text(struct ip_addr a); /* for printf("%s", ip_text(a).s); IP_NONE is "::" */

bool ip_is_loopback(struct ip_addr a);	 /* 127.0.0.0/8, ::1 */
bool ip_is_link_local(struct ip_addr a); /* fe80::/10 */

/* a + n; beyond the last address it begins anew. */
struct ip_addr ip_add(struct ip_addr a, uint64_t n);
/* How far a is behind base; false: it is before it, or further away than *ret can say. */
bool ip_offset(struct ip_addr base, struct ip_addr a, uint64_t *ret);

/* A range of addresses that begin alike. */
struct ip_net {
	struct ip_addr addr; /* the first one */
	uint8_t bits;	     /* of 128: an IPv4 /16 has 112 */
};

/* "10.42.0.0/16", "fd00::/48"; without a length the one address. Host bits are cleared. */
bool ip_net_parse(struct sv s, struct ip_net *ret);
/* The range of that length (of 128) that an address is in. */
struct ip_net ip_net_of(struct ip_addr a, unsigned bits);
bool ip_net_has(struct ip_net n, struct ip_addr a);
bool ip_net_covers(struct ip_net outer, struct ip_net inner);
unsigned ip_net_len(struct ip_net n); /* as people write it: of 32 or 128 */
struct ip_net_text {
	char s[50];
};
struct ip_net_text ip_net_text(struct ip_net n); /* "10.42.0.0/16", as ip_text() */
