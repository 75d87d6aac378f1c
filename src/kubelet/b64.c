#include "kubelet/b64.h"

static int digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool b64_decode(struct arena *a, struct sv text, struct sv *ret)
{
	char *out = arena_alloc(a, text.n / 4 * 3 + 1);
	size_t n = 0;

	if (text.n % 4)
		return false;
	for (size_t i = 0; i < text.n; i += 4) {
		bool last = i + 4 == text.n;
		int pad = last ? (text.p[i + 3] == '=') + (text.p[i + 2] == '=' && text.p[i + 3] == '=') : 0;
		uint32_t v = 0;

		for (int j = 0; j < 4; j++) {
			int d = j >= 4 - pad ? 0 : digit(text.p[i + (size_t)j]);

			if (d < 0)
				return false;
			v = v << 6 | (uint32_t)d;
		}
		for (int j = 0; j < 3 - pad; j++)
			out[n++] = (char)(v >> (16 - 8 * j));
	}
	out[n] = '\0';
	*ret = sv_make(out, n);
	return true;
}
