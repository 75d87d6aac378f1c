/* utf8.h - well-formed UTF-8 (RFC 3629: no overlong forms, no surrogates, nothing beyond U+10FFFF). */
#pragma once

#include "base/base.h"

bool utf8_valid(struct sv s);
/* s with U+FFFD for every byte that belongs to no character, as Go reads it; out has room for 3 bytes for each of s.
 * Returns how many were written. */
size_t utf8_repair(struct sv s, char *out);
/* The beginning of s that has at most max bytes and does not end within a character. */
struct sv utf8_cut(struct sv s, size_t max);
