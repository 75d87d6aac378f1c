/* b64.h - base64 (RFC 4648, padded) to bytes: the data of Secrets. */
#pragma once

#include "base/arena.h"

bool b64_decode(struct arena *a, struct sv text, struct sv *ret); /* false when malformed */
