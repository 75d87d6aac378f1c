#include "dns/name.h"

#include <stdio.h>

bool dns_name_parse(struct sv text, struct dns_name *ret)
{
	struct sv rest = text, label;

	ret->n = 0;
	if (sv_is(text, ".")) {
		ret->b[ret->n++] = 0;
		return true;
	}
	if (text.n && text.p[text.n - 1] == '.')
		rest.n--;
	if (rest.n == 0 || rest.n > DNS_NAME_MAX - 2)
		return false;
	while (sv_split(&rest, '.', &label)) {
		if (label.n == 0 || label.n > DNS_LABEL_MAX || sv_find(label, '\\') >= 0)
			return false;
		ret->b[ret->n++] = (uint8_t)label.n;
		memcpy(ret->b + ret->n, label.p, label.n);
		ret->n = (uint8_t)(ret->n + label.n);
	}
	ret->b[ret->n++] = 0;
	return true;
}

void dns_name_lower(struct dns_name *n)
{
	/* A length is at most 63, and so never a letter. */
	for (size_t i = 0; i < n->n; i++)
		n->b[i] = (uint8_t)ascii_lower((char)n->b[i]);
}

void dns_name_text(const struct dns_name *n, struct buf *to)
{
	struct sv rest = sv_make((const char *)n->b, n->n ? n->n - 1u : 0), label;

	if (rest.n == 0)
		buf_addc(to, '.');
	while (dns_label_next(&rest, &label)) {
		for (size_t i = 0; i < label.n; i++) {
			uint8_t c = (uint8_t)label.p[i];

			if (c <= ' ' || c >= 0x7f || c == '.' || c == '\\' || c == '"')
				buf_printf(to, "\\%03u", c);
			else
				buf_addc(to, (char)c);
		}
		buf_addc(to, '.');
	}
}

bool dns_name_eq(const struct dns_name *a, const struct dns_name *b)
{
	return a->n == b->n && memcmp(a->b, b->b, a->n) == 0;
}

bool dns_name_ieq(const struct dns_name *a, const struct dns_name *b)
{
	return sv_ieq(sv_make((const char *)a->b, a->n), sv_make((const char *)b->b, b->n));
}

bool dns_name_within(const struct dns_name *n, const struct dns_name *zone, size_t *ret_before)
{
	size_t cut = (size_t)n->n - zone->n, at = 0;

	if (n->n < zone->n || memcmp(n->b + cut, zone->b, zone->n) != 0)
		return false;
	/* Equal bytes may begin within a label. */
	while (at < cut)
		at += 1u + n->b[at];
	*ret_before = cut;
	return at == cut;
}

bool dns_name_join(struct sv head, const struct dns_name *tail, struct dns_name *ret)
{
	if (head.n + tail->n > DNS_NAME_MAX)
		return false;
	memmove(ret->b + head.n, tail->b, tail->n);
	if (head.n)
		memcpy(ret->b, head.p, head.n);
	ret->n = (uint8_t)(head.n + tail->n);
	return true;
}

bool dns_label_next(struct sv *rest, struct sv *ret)
{
	size_t n;

	if (rest->n == 0)
		return false;
	n = (uint8_t)rest->p[0];
	*ret = sv_sub(*rest, 1, n);
	*rest = sv_sub(*rest, 1 + n, rest->n);
	return true;
}

void dns_label_add(struct buf *b, struct sv label)
{
	buf_addc(b, (char)label.n);
	buf_addsv(b, label);
}

/* --- names of addresses --- */

void dns_name_reverse(struct ip_addr a, struct dns_name *ret)
{
	char text[16 * 4 + 16];
	size_t n = 0;

	if (ip_is_v4(a)) {
		n = (size_t)snprintf(text, sizeof(text), "%u.%u.%u.%u.in-addr.arpa", a.b[15], a.b[14], a.b[13],
				     a.b[12]);
	} else {
		static const char hex[] = "0123456789abcdef";

		for (size_t i = 16; i-- > 0;) {
			text[n++] = hex[a.b[i] & 15];
			text[n++] = '.';
			text[n++] = hex[a.b[i] >> 4];
			text[n++] = '.';
		}
		memcpy(text + n, "ip6.arpa", 8);
		n += 8;
	}
	(void)dns_name_parse(sv_make(text, n), ret);
}

/* A number as it is written in a reverse name: one text for each. */
static bool name_octet(struct sv label, uint8_t *ret)
{
	uint64_t v;

	if (label.n > 3 || (label.n > 1 && label.p[0] == '0') || !sv_to_u64(label, &v) || v > 255)
		return false;
	*ret = (uint8_t)v;
	return true;
}

bool dns_name_reversed(const struct dns_name *n, struct ip_net *ret)
{
	static const struct dns_name v4 = { 14, "\7in-addr\4arpa" }, v6 = { 10, "\3ip6\4arpa" };
	struct sv labels[32], rest;
	size_t before, count = 0;
	bool is_v4 = dns_name_within(n, &v4, &before);

	if (!is_v4 && !dns_name_within(n, &v6, &before))
		return false;
	rest = sv_make((const char *)n->b, before);
	while (count < ARRAY_LEN(labels) && dns_label_next(&rest, &labels[count]))
		count++;
	if (rest.n || count > (is_v4 ? 4 : 32))
		return false;
	*ret = (struct ip_net){ .addr = is_v4 ? ip_v4(0) : IP_NONE };
	for (size_t i = 0; i < count; i++) {
		struct sv l = labels[count - 1 - i];
		int h = l.n == 1 ? hex_value(l.p[0]) : -1;

		if (is_v4) {
			if (!name_octet(l, &ret->addr.b[12 + i]))
				return false;
		} else {
			if (h < 0)
				return false;
			ret->addr.b[i / 2] |= (uint8_t)(i % 2 ? h : h << 4);
		}
	}
	ret->bits = (uint8_t)(is_v4 ? 96 + 8 * count : 4 * count);
	return true;
}
