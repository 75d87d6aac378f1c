#include "apiserver/dial_address.h"

#include <arpa/inet.h>

static const unsigned char mapped[12] = { [10] = 0xff, [11] = 0xff };

/* IPv6 addresses that lead to an IPv4 one: where its four bytes are. */
static int dial_address_inner(const unsigned char a[16])
{
	static const unsigned char compatible[12] = { 0 }, nat64[12] = { 0, 0x64, 0xff, 0x9b };

	/* ::a.b.c.d, deprecated; :: and ::1 are addresses of their own */
	if (memcmp(a, compatible, sizeof(compatible)) == 0 && (a[12] || a[13] || a[14]))
		return 12;
	if (memcmp(a, nat64, sizeof(nat64)) == 0) /* RFC 6052: 64:ff9b::a.b.c.d */
		return 12;
	return a[0] == 0x20 && a[1] == 0x02 ? 2 : -1; /* RFC 3056: 2002:ab:cd:: */
}

/* Any address in one form: IPv4 as ::ffff:a.b.c.d, in whichever notation it came. */
static bool dial_address_parse(struct sv text, unsigned char ret[16])
{
	char buf[INET6_ADDRSTRLEN];
	int inner;

	if (text.n == 0 || text.n >= sizeof(buf) || memchr(text.p, '\0', text.n))
		return false;
	memcpy(buf, text.p, text.n);
	buf[text.n] = '\0';
	if (inet_pton(AF_INET, buf, ret + 12) == 1) {
		memcpy(ret, mapped, sizeof(mapped));
		return true;
	}
	if (inet_pton(AF_INET6, buf, ret) != 1)
		return false;
	inner = dial_address_inner(ret);
	if (inner >= 0) {
		memmove(ret + 12, ret + inner, 4);
		memcpy(ret, mapped, sizeof(mapped));
	}
	return true;
}

static bool is_v4(const unsigned char a[16])
{
	return memcmp(a, mapped, sizeof(mapped)) == 0;
}

static bool is_loopback(const unsigned char a[16])
{
	static const unsigned char v6[16] = { [15] = 1 };

	return is_v4(a) ? a[12] == 127 : memcmp(a, v6, sizeof(v6)) == 0;
}

/* Unspecified, multicast, broadcast or of the link: no address of one machine among others. */
static bool is_special(const unsigned char a[16])
{
	static const unsigned char v6_any[16] = { 0 };

	if (is_v4(a))
		return a[12] == 0 || (a[12] == 169 && a[13] == 254) || (a[12] >= 224 && a[12] < 240) ||
		       (a[12] & a[13] & a[14] & a[15]) == 255;
	return memcmp(a, v6_any, sizeof(v6_any)) == 0 || a[0] == 0xff || (a[0] == 0xfe && (a[1] & 0xc0) == 0x80);
}

static bool dial_address_same(const unsigned char a[16], const char *text)
{
	unsigned char b[16];

	return text && dial_address_parse(sv_from(text), b) && memcmp(a, b, sizeof(b)) == 0;
}

/* Where clouds answer a machine's questions about itself, beside 169.254.169.254: no pod and no node is there. */
static bool is_metadata(const unsigned char a[16])
{
	static const char *const known[] = { "fd00:ec2::254", "168.63.129.16", "192.0.0.192" };

	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (dial_address_same(a, known[i]))
			return true;
	return false;
}

int dial_allowed(enum dial_what what, struct sv address, int port, const struct dial_own *own, struct err *err)
{
	unsigned char a[16];

	if (port < 1 || port > UINT16_MAX)
		return err_set(err, ERR_BAD_REQUEST, "invalid port %d", port);
	if (!dial_address_parse(address, a) || is_special(a) || is_metadata(a))
		return err_set(err, ERR_BAD_REQUEST, "address not allowed");
	if (is_loopback(a) && what != DIAL_GIVEN &&
	    (what != DIAL_NODE || port == own->port || !dial_address_same(a, own->loopback_node)))
		return err_set(err, ERR_BAD_REQUEST, "address not allowed");
	if (is_loopback(a) && port == own->port)
		return err_set(err, ERR_BAD_REQUEST, "address not allowed");
	for (const char *const *o = own->addresses; o && *o && port == own->port; o++)
		if (dial_address_same(a, *o))
			return err_set(err, ERR_BAD_REQUEST, "address not allowed");
	return 0;
}
