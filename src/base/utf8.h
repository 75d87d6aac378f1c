/* utf8.h - well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF). */
#pragma once

#include "base/base.h"

bool utf8_valid(struct sv s);
