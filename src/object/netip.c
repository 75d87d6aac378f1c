#include "object/netip.h"

#include "base/go_quote.h"

#include <stdio.h>

/* What is being read, for the words. */
struct netip_reader {
	struct sv in;
	struct err *err;
};

static bool netip_say(const struct netip_reader *r, const char *what, struct sv at)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "ParseAddr(");
	go_quote(&b, r->in);
	buf_printf(&b, "): %s", what);
	if (at.n) {
		buf_adds(&b, " (at ");
		go_quote(&b, at);
		buf_addc(&b, ')');
	}
	err_set(r->err, ERR_INVALID, "%s", buf_cstr(&b));
	return false;
}

static bool netip_v4(const struct netip_reader *r, struct sv s, uint8_t ret[4])
{
	unsigned val = 0, digits = 0, pos = 0;

	if (s.n == 0)
		return netip_say(r, "IPv4 field must have at least one digit", SV_NULL);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9') {
			if (digits == 1 && val == 0)
				return netip_say(r, "IPv4 field has octet with leading zero", SV_NULL);
			val = val * 10 + (unsigned)(c - '0');
			digits++;
			if (val > 255)
				return netip_say(r, "IPv4 field has value >255", SV_NULL);
		} else if (c == '.') {
			if (i == 0 || i == s.n - 1 || s.p[i - 1] == '.')
				return netip_say(r, "IPv4 field must have at least one digit", sv_sub(s, i, s.n));
			if (pos == 3)
				return netip_say(r, "IPv4 address too long", SV_NULL);
			ret[pos++] = (uint8_t)val;
			val = digits = 0;
		} else {
			return netip_say(r, "unexpected character", sv_sub(s, i, s.n));
		}
	}
	if (pos < 3)
		return netip_say(r, "IPv4 address too short", SV_NULL);
	ret[3] = (uint8_t)val;
	return true;
}

/* One group of hexadecimal digits at the beginning of s; *ret_n digits. */
static bool netip_group(const struct netip_reader *r, struct sv s, unsigned *ret, size_t *ret_n)
{
	size_t n = 0;
	unsigned acc = 0;

	for (; n < s.n && hex_value(s.p[n]) >= 0; n++) {
		acc = acc << 4 | (unsigned)hex_value(s.p[n]);
		if (n > 3)
			return netip_say(r, "each group must have 4 or less digits", s);
	}
	if (n == 0)
		return netip_say(r, "each colon-separated field must have at least one digit", s);
	*ret = acc;
	*ret_n = n;
	return true;
}

static bool netip_v6(const struct netip_reader *r, struct netip *ret)
{
	ssize_t zone = sv_find(r->in, '%'), ellipsis = -1;
	struct sv s = zone < 0 ? r->in : sv_sub(r->in, 0, (size_t)zone);
	size_t i = 0;

	ret->zone = zone >= 0;
	if (zone >= 0 && (size_t)zone + 1 == r->in.n)
		return netip_say(r, "zone must be a non-empty string", SV_NULL);
	if (sv_starts(s, SV("::"))) {
		ellipsis = 0;
		s = sv_sub(s, 2, s.n);
		if (s.n == 0)
			return true;
	}
	while (i < 16) {
		unsigned group;
		size_t n;

		if (!netip_group(r, s, &group, &n))
			return false;
		if (n < s.n && s.p[n] == '.') {
			if (ellipsis < 0 && i != 12)
				return netip_say(
				    r, "embedded IPv4 address must replace the final 2 fields of the address", s);
			if (i + 4 > 16)
				return netip_say(
				    r, "too many hex fields to fit an embedded IPv4 at the end of the address", s);
			if (!netip_v4(r, s, ret->b + i))
				return false;
			s = SV("");
			i += 4;
			break;
		}
		ret->b[i] = (uint8_t)(group >> 8);
		ret->b[i + 1] = (uint8_t)group;
		i += 2;
		s = sv_sub(s, n, s.n);
		if (s.n == 0)
			break;
		if (s.p[0] != ':')
			return netip_say(r, "unexpected character, want colon", s);
		if (s.n == 1)
			return netip_say(r, "colon must be followed by more characters", s);
		s = sv_sub(s, 1, s.n);
		if (s.p[0] == ':') {
			if (ellipsis >= 0)
				return netip_say(r, "multiple :: in address", s);
			ellipsis = (ssize_t)i;
			s = sv_sub(s, 1, s.n);
			if (s.n == 0)
				break;
		}
	}
	if (s.n)
		return netip_say(r, "trailing garbage after address", s);
	if (i < 16) {
		size_t gap = 16 - i, from = (size_t)MAX(ellipsis, 0);

		if (ellipsis < 0)
			return netip_say(r, "address string too short", SV_NULL);
		memmove(ret->b + from + gap, ret->b + from, i - from);
		memset(ret->b + from, 0, gap);
	} else if (ellipsis >= 0) {
		return netip_say(r, "the :: must expand to at least one field of zeros", SV_NULL);
	}
	return true;
}

bool netip_parse(struct sv s, struct netip *ret, struct err *err)
{
	struct netip_reader r = { .in = s, .err = err };

	*ret = (struct netip){ 0 };
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '.')
			return netip_v4(&r, s, ret->b);
		if (s.p[i] == ':') {
			ret->v6 = true;
			return netip_v6(&r, ret);
		}
		if (s.p[i] == '%')
			return netip_say(&r, "missing IPv6 address", SV_NULL);
	}
	return netip_say(&r, "unable to parse IP", SV_NULL);
}

static bool netip_prefix_say(struct sv s, const char *what, struct sv about, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, "netip.ParsePrefix(");
	go_quote(&b, s);
	buf_printf(&b, "): %s", what);
	if (about.p)
		go_quote(&b, about);
	err_set(err, ERR_INVALID, "%s", buf_cstr(&b));
	return false;
}

bool netip_prefix_parse(struct sv s, struct netip_prefix *ret, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	ssize_t slash = -1;
	struct sv bits;
	uint64_t n;

	for (size_t i = 0; i < s.n; i++)
		slash = s.p[i] == '/' ? (ssize_t)i : slash;
	if (slash < 0)
		return netip_prefix_say(s, "no '/'", SV_NULL, err);
	if (!netip_parse(sv_sub(s, 0, (size_t)slash), &ret->ip, &why))
		return netip_prefix_say(s, err_msg(&why), SV_NULL, err);
	if (ret->ip.zone)
		return netip_prefix_say(s, "IPv6 zones cannot be present in a prefix", SV_NULL, err);
	bits = sv_sub(s, (size_t)slash + 1, s.n);
	if ((bits.n > 1 && (bits.p[0] < '1' || bits.p[0] > '9')) || !sv_to_u64(bits, &n))
		return netip_prefix_say(s, "bad bits after slash: ", bits.p ? bits : SV(""), err);
	if (n > (ret->ip.v6 ? 128 : 32))
		return netip_prefix_say(s, "prefix length out of range", SV_NULL, err);
	ret->bits = (uint8_t)n;
	return true;
}

static unsigned netip_u16(const struct netip *ip, int i)
{
	return (unsigned)ip->b[2 * i] << 8 | ip->b[2 * i + 1];
}

struct netip_text netip_text(const struct netip *ip)
{
	struct netip_text t;
	int from = -1, to = -1, at = 0;

	if (!ip->v6) {
		(void)snprintf(t.s, sizeof(t.s), "%u.%u.%u.%u", ip->b[0], ip->b[1], ip->b[2], ip->b[3]);
		return t;
	}
	if (netip_is_mapped(ip)) {
		(void)snprintf(t.s, sizeof(t.s), "::ffff:%u.%u.%u.%u", ip->b[12], ip->b[13], ip->b[14], ip->b[15]);
		return t;
	}
	for (int i = 0; i < 8; i++) { /* the first of the longest rows of zeros, when it is more than one */
		int j = i;

		while (j < 8 && netip_u16(ip, j) == 0)
			j++;
		if (j - i >= 2 && j - i > to - from) {
			from = i;
			to = j;
		}
	}
	t.s[0] = '\0';
	for (int i = 0; i < 8; i++) {
		if (i == from) {
			at += snprintf(t.s + at, sizeof(t.s) - (size_t)at, "::");
			i = to;
			if (i >= 8)
				break;
		} else if (i > 0) {
			at += snprintf(t.s + at, sizeof(t.s) - (size_t)at, ":");
		}
		at += snprintf(t.s + at, sizeof(t.s) - (size_t)at, "%x", netip_u16(ip, i));
	}
	return t;
}

struct netip_text netip_prefix_text(const struct netip_prefix *p)
{
	struct netip_text t = netip_text(&p->ip);
	size_t n = strlen(t.s);

	(void)snprintf(t.s + n, sizeof(t.s) - n, "/%u", p->bits);
	return t;
}

bool netip_same(const struct netip *a, const struct netip *b)
{
	return a->v6 == b->v6 && memcmp(a->b, b->b, sizeof(a->b)) == 0;
}

bool netip_is_mapped(const struct netip *ip)
{
	static const uint8_t head[12] = { [10] = 0xff, [11] = 0xff };

	return ip->v6 && memcmp(ip->b, head, sizeof(head)) == 0;
}

bool netip_is_unspecified(const struct netip *ip)
{
	static const uint8_t zero[16];

	return memcmp(ip->b, zero, sizeof(zero)) == 0;
}

bool netip_is_loopback(const struct netip *ip)
{
	static const uint8_t one[16] = { [15] = 1 };

	return ip->v6 ? memcmp(ip->b, one, sizeof(one)) == 0 : ip->b[0] == 127;
}

bool netip_is_link_local_unicast(const struct netip *ip)
{
	return ip->v6 ? ip->b[0] == 0xfe && (ip->b[1] & 0xc0) == 0x80 : ip->b[0] == 169 && ip->b[1] == 254;
}

bool netip_is_link_local_multicast(const struct netip *ip)
{
	return ip->v6 ? ip->b[0] == 0xff && (ip->b[1] & 0x0f) == 2 : ip->b[0] == 224 && ip->b[1] == 0 && ip->b[2] == 0;
}

bool netip_is_multicast(const struct netip *ip)
{
	return ip->v6 ? ip->b[0] == 0xff : (ip->b[0] & 0xf0) == 0xe0;
}

bool netip_is_global_unicast(const struct netip *ip)
{
	static const uint8_t broadcast[4] = { 255, 255, 255, 255 };

	return !netip_is_unspecified(ip) && (ip->v6 || memcmp(ip->b, broadcast, 4) != 0) && !netip_is_loopback(ip) &&
	       !netip_is_multicast(ip) && !netip_is_link_local_unicast(ip);
}

struct netip_prefix netip_masked(const struct netip_prefix *p)
{
	struct netip_prefix m = *p;

	for (unsigned i = 0; i < sizeof(m.ip.b); i++) {
		unsigned keep = p->bits > 8 * i ? MIN(p->bits - 8 * i, 8U) : 0;

		m.ip.b[i] &= (uint8_t)(0xff00U >> keep);
	}
	return m;
}

bool netip_has(const struct netip_prefix *p, const struct netip *ip)
{
	struct netip_prefix x = { .ip = *ip, .bits = p->bits }, a = netip_masked(p), b = netip_masked(&x);

	return netip_same(&a.ip, &b.ip);
}
