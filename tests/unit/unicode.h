/* unicode.h - text from all of Unicode, for whoever encodes and decodes: every character once, and random ones. */
#pragma once

#include "base/base.h"

#define UNICODE_END UINT32_C(0x110000)

static inline bool unicode_is_char(uint32_t c)
{
	return c < UNICODE_END && (c < 0xd800 || c > 0xdfff);
}

/* Returns the bytes written, up to 4. */
static inline size_t utf8_put(char *to, uint32_t c)
{
	if (c < 0x80) {
		to[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		to[0] = (char)(0xc0 | (c >> 6));
		to[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		to[0] = (char)(0xe0 | (c >> 12));
		to[1] = (char)(0x80 | ((c >> 6) & 0x3f));
		to[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	to[0] = (char)(0xf0 | (c >> 18));
	to[1] = (char)(0x80 | ((c >> 12) & 0x3f));
	to[2] = (char)(0x80 | ((c >> 6) & 0x3f));
	to[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

static inline uint32_t unicode_random(uint64_t *rng)
{
	*rng = *rng * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (uint32_t)(*rng >> 33);
}

/* One of any plane; half of them from where formats have their own meanings: ASCII, Latin-1, general punctuation,
 * the byte order mark and the last characters of planes. */
static inline uint32_t unicode_char(uint64_t *rng)
{
	static const uint32_t from[] = { 0, 0x80, 0x2000, 0xfef0, 0xfff0 }, n[] = { 0x80, 0x80, 0x70, 0x10, 0x10 };
	uint32_t r = unicode_random(rng), k = unicode_random(rng) % ARRAY_LEN(from), c;

	if (r & 1)
		return from[k] + (r >> 1) % n[k];
	do
		c = ((r = unicode_random(rng)) % 17) << 16 | (unicode_random(rng) & 0xffff);
	while (!unicode_is_char(c));
	return c;
}

/* Up to max bytes (at least 4) into to; the length. */
static inline size_t unicode_text(uint64_t *rng, char *to, size_t max)
{
	size_t want = unicode_random(rng) % (max - 3), n = 0;

	while (n < want)
		n += utf8_put(to + n, unicode_char(rng));
	return n;
}
