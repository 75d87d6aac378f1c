/* check.h - what a text of a user may be, before it gets near another program.
 *
 * One question for each kind of text, asked when an Ingress is read; a text that is not right is refused with an Event
 * and has no effect. What passes is printable ASCII without blanks at its ends, so that it is one value on one line of
 * a map file, and in HAProxy's eyes never more than that. What Gateways have, too, is answered by gateway/texts.h.
 */
#pragma once

#include "base/arena.h"

#define ING_VALUE_MAX 1024

bool ing_is_host(struct sv s); /* a DNS name in lower case; "*." in front is fine */
/* A name of a header, a cookie, a user: letters, digits, '-', '_'; at most 64. */
bool ing_is_token(struct sv s);
bool ing_is_user(struct sv s);	/* the same and '.', '@' */
bool ing_is_value(struct sv s); /* printable, neither empty nor with blanks at its ends */
bool ing_is_url(struct sv s);	/* a value without blanks, quotes and '%' that begin no escape: a path or http(s):// */
/* A password's hash that crypt(3) of Debian knows, or htpasswd's own ($apr1$), and that costs no more than a request
 * may: MD5, SHA-256 and SHA-512 with the usual rounds, bcrypt up to cost 10. NULL, or why not. */
const char *ing_hash_refused(struct sv s);
bool ing_hash_is_apr1(struct sv s); /* crypt(3) does not know it: apr1.h */
bool ing_path(struct arena *a, struct sv s, struct sv *ret);
