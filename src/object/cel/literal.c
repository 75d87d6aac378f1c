/* Strings and bytes as expressions write them: escapes, raw and triple-quoted ones. */
#include "object/cel/ast.h"

#include "base/utf8.h"

static size_t literal_put_rune(char *out, uint32_t r)
{
	if (r < 0x80) {
		out[0] = (char)r;
		return 1;
	}
	if (r < 0x800) {
		out[0] = (char)(0xc0 | (r >> 6));
		out[1] = (char)(0x80 | (r & 0x3f));
		return 2;
	}
	if (r < 0x10000) {
		out[0] = (char)(0xe0 | (r >> 12));
		out[1] = (char)(0x80 | ((r >> 6) & 0x3f));
		out[2] = (char)(0x80 | (r & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | (r >> 18));
	out[1] = (char)(0x80 | ((r >> 12) & 0x3f));
	out[2] = (char)(0x80 | ((r >> 6) & 0x3f));
	out[3] = (char)(0x80 | (r & 0x3f));
	return 4;
}

static bool literal_hex(struct sv s, size_t n, uint32_t *ret)
{
	*ret = 0;
	if (s.n < n)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (hex_value(s.p[i]) < 0)
			return false;
		*ret = *ret << 4 | (uint32_t)hex_value(s.p[i]);
	}
	return true;
}

/* The escape behind a backslash: how many bytes it has; 0: none. *byte: it is a byte, whatever the encoding. */
static size_t literal_escape(struct sv s, uint32_t *rune, bool *byte)
{
	static const char from[] = "abfnrtv\\'\"`?", to[] = "\a\b\f\n\r\t\v\\'\"`?";
	const char *simple = s.n && s.p[0] ? strchr(from, s.p[0]) : NULL;

	*byte = false;
	if (simple) {
		*rune = (unsigned char)to[simple - from];
		return 1;
	}
	if (!s.n)
		return 0;
	switch (s.p[0]) {
	case 'x':
	case 'X':
		*byte = true;
		return literal_hex(sv_sub(s, 1, 2), 2, rune) ? 3 : 0;
	case 'u':
		return literal_hex(sv_sub(s, 1, 4), 4, rune) ? 5 : 0;
	case 'U':
		return literal_hex(sv_sub(s, 1, 8), 8, rune) ? 9 : 0;
	default:
		if (s.n < 3 || s.p[0] < '0' || s.p[0] > '3' || s.p[1] < '0' || s.p[1] > '7' || s.p[2] < '0' ||
		    s.p[2] > '7')
			return 0;
		*byte = true;
		*rune = (uint32_t)((s.p[0] - '0') * 64 + (s.p[1] - '0') * 8 + (s.p[2] - '0'));
		return 3;
	}
}

bool cel_unquote(struct arena *a, struct sv s, struct cel_value *ret, const char **why)
{
	bool raw = false, bytes = false;
	size_t quote, n = 0;
	char *out;

	*why = "unable to unescape string";
	while (s.n && s.p[0] != '"' && s.p[0] != '\'') {
		raw = raw || s.p[0] == 'r' || s.p[0] == 'R';
		bytes = bytes || s.p[0] == 'b' || s.p[0] == 'B';
		s = sv_sub(s, 1, s.n);
	}
	quote = s.n >= 6 && s.p[0] == s.p[1] && s.p[0] == s.p[2] ? 3 : 1;
	if (s.n < 2 * quote)
		return false;
	s = sv_sub(s, quote, s.n - 2 * quote);
	out = arena_alloc(a, 4 * s.n + 1);
	for (size_t i = 0; i < s.n;) {
		uint32_t r;
		bool byte;
		size_t used;

		if (s.p[i] == '\r') { /* lines end with \n, however they were written */
			out[n++] = '\n';
			i += i + 1 < s.n && s.p[i + 1] == '\n' ? 2 : 1;
			continue;
		}
		if (raw || s.p[i] != '\\') {
			out[n++] = s.p[i++];
			continue;
		}
		used = literal_escape(sv_sub(s, i + 1, s.n), &r, &byte);
		if (used == 0 || (!byte && bytes && (s.p[i + 1] == 'u' || s.p[i + 1] == 'U')))
			return false;
		if (!byte && (r > 0x10ffff || (r >= 0xd800 && r < 0xe000)))
			return false;
		i += 1 + used;
		if (bytes)
			out[n++] = (char)r;
		else
			n += literal_put_rune(out + n, r);
	}
	*ret = bytes ? cel_bytes(sv_make(out, n)) : cel_string(sv_make(out, n));
	return true;
}
