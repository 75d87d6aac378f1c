/* texts.h - what a text of a user may be, before it gets near another program: one answer for who says that a rule is
 * accepted (rules.c, listeners.c) and who serves it (ingress/check.h, of Ingresses, too).
 *
 * What passes is printable ASCII without blanks at its ends, so that it is one value on one line of a map file, and in
 * HAProxy's eyes never more than that.
 */
#pragma once

#include "base/arena.h"

#define GW_TEXT_MAX 1024
#define GW_NAME_MAX 64

bool gw_is_host(struct sv s); /* a DNS name in lower case; "*." in front is fine */
bool gw_is_name(struct sv s); /* of a header: letters, digits, '-', '_' */
/* Why a filter may not change, add or remove the header of this name, in upper or lower case; NULL: it may. Not what
 * says where a message ends or how a connection goes on: two programs behind each other would read it differently. */
const char *gw_header_kept(struct sv name);
bool gw_is_text(struct sv s); /* printable, neither empty nor with blanks at its ends */
/* The path of a rule as a request spells it: what is no path character is percent-encoded. False: it does not begin
 * with '/', has control characters, or is too long. */
bool gw_path(struct arena *a, struct sv s, struct sv *ret);
bool gw_is_url(struct sv s); /* a text without blanks, quotes and '%' that begin no escape: a path or http(s):// */
