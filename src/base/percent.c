#include "base/percent.h"

#include <string.h>

static bool percent_plain(char c, const char *keep)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr(keep, c));
}

void percent_encode(struct buf *b, struct sv s, const char *keep)
{
	for (size_t i = 0; i < s.n; i++) {
		if (percent_plain(s.p[i], keep))
			buf_addc(b, s.p[i]);
		else
			buf_printf(b, "%%%02X", (unsigned char)s.p[i]);
	}
}

bool percent_segment_fine(struct sv s)
{
	return s.n && !sv_is(s, ".") && !sv_is(s, "..") && sv_find(s, '/') < 0 && sv_find(s, '%') < 0 &&
	       !memchr(s.p, '\0', s.n);
}
