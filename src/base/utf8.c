#include "base/utf8.h"

#include <string.h>

/* Length of the valid UTF-8 sequence at p, or 0. */
static size_t sequence_len(const unsigned char *p, const unsigned char *end)
{
	size_t left = (size_t)(end - p);

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || left < 2 || (p[1] & 0xc0) != 0x80)
		return 0;
	if (p[0] < 0xe0)
		return 2;
	if (left < 3 || (p[2] & 0xc0) != 0x80)
		return 0;
	if (p[0] < 0xf0) {
		if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f))
			return 0; /* overlong, surrogate */
		return 3;
	}
	if (left < 4 || (p[3] & 0xc0) != 0x80 || p[0] > 0xf4)
		return 0;
	if ((p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
		return 0; /* overlong, beyond U+10FFFF */
	return 4;
}

bool utf8_valid(struct sv s)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;

	while (p < end) {
		size_t len = sequence_len(p, end);

		if (!len)
			return false;
		p += len;
	}
	return true;
}

size_t utf8_repair(struct sv s, char *out)
{
	const unsigned char *p = (const unsigned char *)s.p, *end = p + s.n;
	char *w = out;

	while (p < end) {
		size_t len = sequence_len(p, end);

		memcpy(w, len ? (const char *)p : "\xef\xbf\xbd", len ? len : 3);
		w += len ? len : 3;
		p += len ? len : 1;
	}
	return (size_t)(w - out);
}

struct sv utf8_cut(struct sv s, size_t max)
{
	size_t n = max;

	if (s.n <= max)
		return s;
	/* The last character that begins before the end: all of it is in, or nothing. What is none is cut anywhere. */
	for (size_t back = 1; back <= 3 && back <= max; back++) {
		unsigned char c = (unsigned char)s.p[max - back];

		if ((c & 0xc0) == 0x80)
			continue;
		if (sequence_len((const unsigned char *)s.p + max - back, (const unsigned char *)s.p + s.n) > back)
			n = max - back;
		break;
	}
	return sv_make(s.p, n);
}
