/* name.h - domain names as they are on the wire: labels behind their lengths, an empty one at the end.
 *
 * A name is at most 255 bytes with the empty label, and never compressed here. "Lower" ones have no upper case ASCII,
 * so that equal names are equal bytes; who answers keeps the one that was asked beside it.
 */
#pragma once

#include "base/buf.h"
#include "base/ip.h"

#define DNS_NAME_MAX 255
#define DNS_LABEL_MAX 63

struct dns_name {
	uint8_t n; /* bytes, the empty label included; 0: no name */
	uint8_t b[DNS_NAME_MAX];
};

/* "a.b.example.", with or without the dot at the end; "." is the root. False: no name. Escapes (\.) are none. */
bool dns_name_parse(struct sv text, struct dns_name *ret);
void dns_name_lower(struct dns_name *n);
void dns_name_text(const struct dns_name *n, struct buf *to);	       /* with the dot at its end; odd bytes as \ddd */
bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);  /* as bytes */
bool dns_name_ieq(const struct dns_name *a, const struct dns_name *b); /* ASCII case folded */

/* Whether n is zone or below it, and how many bytes of n come before zone. Both are lower. */
bool dns_name_within(const struct dns_name *n, const struct dns_name *zone, size_t *ret_before);
/* head (whole labels without the empty one) before tail, which may be *ret. False: too long. */
bool dns_name_join(struct sv head, const struct dns_name *tail, struct dns_name *ret);

/* Cuts the first label off *rest (labels without the empty one). False: none is left. */
bool dns_label_next(struct sv *rest, struct sv *ret);
void dns_label_add(struct buf *b, struct sv label); /* of at most DNS_LABEL_MAX bytes */

/* "4.3.2.1.in-addr.arpa." of 1.2.3.4, nibbles below ip6.arpa. of IPv6 */
void dns_name_reverse(struct ip_addr a, struct dns_name *ret);
/* What a name below in-addr.arpa or ip6.arpa is about: one address (*ret of full length), or all that begin alike.
 * False: it is no such name. */
bool dns_name_reversed(const struct dns_name *n, struct ip_net *ret);
