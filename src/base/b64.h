/* b64.h - base64 (RFC 4648): the standard alphabet with padding (section 4), as JSON carries bytes, and the
 * URL alphabet without padding (section 5), as tokens do.
 *
 * Decoding is strict, as Go's encoding/base64 is: no byte outside the alphabet, padding where it belongs and
 * nothing behind it. Line breaks (CR, LF) are passed over. What is decoded into an arena is NUL-terminated.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"

void b64_add(struct buf *b, struct sv bytes);
struct sv b64_encode(struct arena *a, struct sv bytes);
struct sv b64url_encode(struct arena *a, struct sv bytes);

/* The index of the first byte that cannot be there (text.n when it ends too early), or -1: all is well. */
ssize_t b64_check(struct sv text);
bool b64_decode(struct arena *a, struct sv text, struct sv *ret);    /* false when malformed */
bool b64url_decode(struct arena *a, struct sv text, struct sv *ret); /* padding may be there or not */
/* The one spelling that b64url_encode() makes: no padding, no line breaks, no bits left over. */
bool b64url_decode_exact(struct arena *a, struct sv text, struct sv *ret);
