/* check.h - what a text of a user may be, before it gets near another program.
 *
 * One question for each kind of text, asked when an Ingress is read; a text that is not right is refused with an Event
 * and has no effect. What passes is printable ASCII without blanks at its ends, so that it is one value on one line of
 * a map file, and in HAProxy's eyes never more than that. What Gateways have, too, is answered by gateway/texts.h.
 */
#pragma once

#include "base/arena.h"

#define ING_VALUE_MAX 1024

/* What HAProxy reads, by the place where it stands. Who writes a text there asks, whoever judged it before; what may
 * not stand there is left out, and counted. */
enum ing_place {
	ING_PLACE_KEY,	  /* of a map: printable, no blanks */
	ING_PLACE_VALUE,  /* of a map: printable, no blanks at its ends; of any length */
	ING_PLACE_HOST,	  /* of a list of certificates */
	ING_PLACE_NAME,	  /* in the configuration: of a header that is looked at, a cookie, */
	ING_PLACE_HEADER, /* a header that is changed, */
	ING_PLACE_USER,	  /* a user, */
	ING_PLACE_HASH,	  /* a password's hash in quotes, */
	ING_PLACE_SERVER, /* another server's DNS name */
	ING_PLACE_PEM,	  /* of a file, or behind a command, which an empty line ends */
};
bool ing_may_write(enum ing_place place, struct sv s);

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
