#include "base/ip.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

size_t ip_bytes(struct sv s, uint8_t ret[16])
{
	char text[INET6_ADDRSTRLEN];

	if (s.n == 0 || s.n >= sizeof(text) || memchr(s.p, '\0', s.n))
		return 0;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return inet_pton(AF_INET, text, ret) == 1 ? 4 : inet_pton(AF_INET6, text, ret) == 1 ? 16 : 0;
}

bool ip_parse(struct sv s, struct ip_addr *ret)
{
	uint8_t bytes[16];
	struct in_addr v4;
	struct in6_addr v6;

	switch (ip_bytes(s, bytes)) {
	case 4:
		memcpy(&v4, bytes, sizeof(v4));
		*ret = ip_v4(ntohl(v4.s_addr));
		return true;
	case 16:
		memcpy(&v6, bytes, sizeof(v6));
		if (ip_is_v4(ip_v6(&v6)))
			return false;
		*ret = ip_v6(&v6);
		return true;
	default:
		return false;
	}
}

struct ip_addr ip_of_sockaddr(const struct sockaddr *sa)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	switch (sa->sa_family) {
	case AF_INET:
		memcpy(&in, sa, sizeof(in));
		return ip_v4(ntohl(in.sin_addr.s_addr));
	case AF_INET6:
		memcpy(&in6, sa, sizeof(in6));
		return ip_v6(&in6.sin6_addr);
	default:
		return IP_NONE;
	}
}

/* By hand: inet_ntop() is printf. */
static struct ip_text ip_text_v4(const uint8_t b[4])
{
	struct ip_text t;
	char *to = t.s;

	for (int i = 0; i < 4; i++) {
		if (b[i] >= 100)
			*to++ = (char)('0' + b[i] / 100);
		if (b[i] >= 10)
			*to++ = (char)('0' + b[i] / 10 % 10);
		*to++ = (char)('0' + b[i] % 10);
		*to++ = i < 3 ? '.' : '\0';
	}
	return t;
}

struct ip_text ip_text(struct ip_addr a)
{
	struct ip_text t;

	if (ip_is_v4(a))
		return ip_text_v4(a.b + 12);
	if (!inet_ntop(AF_INET6, a.b, t.s, sizeof(t.s)))
		t.s[0] = '\0'; /* there is room for all */
	return t;
}

bool ip_is_loopback(struct ip_addr a)
{
	static const struct ip_addr one = { { [15] = 1 } };

	return ip_is_v4(a) ? a.b[12] == 127 : ip_eq(a, one);
}

bool ip_is_link_local(struct ip_addr a)
{
	return a.b[0] == 0xfe && (a.b[1] & 0xc0) == 0x80;
}

static uint64_t ip_half(struct ip_addr a, size_t at)
{
	uint64_t v = 0;

	for (size_t i = at; i < at + 8; i++)
		v = v << 8 | a.b[i];
	return v;
}

static struct ip_addr ip_of_halves(uint64_t high, uint64_t low)
{
	struct ip_addr a;

	for (size_t i = 8; i-- > 0; high >>= 8, low >>= 8) {
		a.b[i] = (uint8_t)high;
		a.b[i + 8] = (uint8_t)low;
	}
	return a;
}

struct ip_addr ip_add(struct ip_addr a, uint64_t n)
{
	uint64_t low = ip_half(a, 8) + n;

	return ip_of_halves(ip_half(a, 0) + (low < n), low);
}

bool ip_offset(struct ip_addr base, struct ip_addr a, uint64_t *ret)
{
	uint64_t low = ip_half(a, 8) - ip_half(base, 8);

	if (ip_half(a, 0) - ip_half(base, 0) != (ip_half(a, 8) < ip_half(base, 8)) || ip_cmp(a, base) < 0)
		return false;
	*ret = low;
	return true;
}

static struct ip_addr ip_masked(struct ip_addr a, unsigned bits)
{
	for (unsigned i = 0; i < sizeof(a.b); i++) {
		unsigned keep = bits > 8 * i ? MIN(bits - 8 * i, 8U) : 0;

		a.b[i] &= (uint8_t)(0xff00U >> keep);
	}
	return a;
}

bool ip_net_parse(struct sv s, struct ip_net *ret)
{
	struct ip_addr a;
	struct sv addr;
	uint64_t bits;
	unsigned all;

	if (!sv_split(&s, '/', &addr) || !ip_parse(addr, &a))
		return false;
	all = ip_is_v4(a) ? 32 : 128;
	bits = all;
	if (s.p && (!sv_to_u64(s, &bits) || bits > all))
		return false;
	bits += 128 - all;
	*ret = ip_net_of(a, (unsigned)bits);
	return true;
}

struct ip_net ip_net_of(struct ip_addr a, unsigned bits)
{
	return (struct ip_net){ ip_masked(a, bits), (uint8_t)bits };
}

bool ip_net_has(struct ip_net n, struct ip_addr a)
{
	return ip_eq(ip_masked(a, n.bits), n.addr);
}

bool ip_net_covers(struct ip_net outer, struct ip_net inner)
{
	return outer.bits <= inner.bits && ip_net_has(outer, inner.addr);
}

unsigned ip_net_len(struct ip_net n)
{
	return ip_is_v4(n.addr) ? n.bits - 96U : n.bits;
}

struct ip_net_text ip_net_text(struct ip_net n)
{
	struct ip_net_text t;

	(void)snprintf(t.s, sizeof(t.s), "%s/%u", ip_text(n.addr).s, ip_net_len(n));
	return t;
}

int ip_order(const void *x, const void *y)
{
	return ip_cmp(*(const struct ip_addr *)x, *(const struct ip_addr *)y);
}
