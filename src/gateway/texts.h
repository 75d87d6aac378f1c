/* texts.h - what a text of a user may be, before it gets near another program: one answer for who says that a rule is
 * accepted (rules.c, listeners.c) and who serves it (ingress/check.h, of Ingresses, too).
 *
 * What passes is printable ASCII without blanks at its ends, so that it is one value on one line of a map file, and in
 * HAProxy's eyes never more than that.
 */
#pragma once

#include "base/base.h"

#define GW_TEXT_MAX 1024
#define GW_NAME_MAX 64

bool gw_is_host(struct sv s); /* a DNS name in lower case; "*." in front is fine */
bool gw_is_name(struct sv s); /* of a header: letters, digits, '-', '_' */
bool gw_is_text(struct sv s); /* printable, neither empty nor with blanks at its ends */
bool gw_is_url(struct sv s);  /* a text without blanks, quotes and '%' that begin no escape: a path or http(s):// */
