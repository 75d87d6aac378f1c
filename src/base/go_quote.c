#include "base/go_quote.h"

#include "base/utf8.h"

static bool go_quote_prints(uint32_t c)
{
	static const struct {
		uint32_t from, to;
	} none[] = {
		{ 0x0, 0x1f },	    { 0x7f, 0xa0 },	{ 0xad, 0xad },	      { 0x61c, 0x61c },
		{ 0x1680, 0x1680 }, { 0x180e, 0x180e }, { 0x2000, 0x200f },   { 0x2028, 0x202f },
		{ 0x205f, 0x206f }, { 0x3000, 0x3000 }, { 0xd800, 0xf8ff },   { 0xfeff, 0xfeff },
		{ 0xfff0, 0xfffb }, { 0xfffe, 0xffff }, { 0xe0000, 0xe00ff }, { 0xf0000, 0x10ffff },
	};

	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (c >= none[i].from && c <= none[i].to)
			return false;
	return true;
}

static void go_quote_char(struct buf *b, uint32_t c, struct sv as_is, const char *kept)
{
	static const char named[] = "\a\b\f\n\r\t\v\"\\", names[] = "abfnrtv\"\\";
	const char *at = c > 0 && c < 0x80 ? strchr(named, (char)c) : NULL;

	if (at && strchr(kept, (char)c))
		buf_addsv(b, as_is);
	else if (at)
		buf_printf(b, "\\%c", names[at - named]);
	else if (go_quote_prints(c))
		buf_addsv(b, as_is);
	else if (c < 0x80)
		buf_printf(b, "\\x%02x", c);
	else
		buf_printf(b, c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
}

static void go_quote_text(struct buf *b, struct sv s, const char *kept)
{
	for (size_t i = 0; i < s.n;) {
		unsigned char c = (unsigned char)s.p[i];
		size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		struct sv one = sv_sub(s, i, n);
		uint32_t code = n == 1 ? c : c & (0x7fu >> n);

		if (one.n < n || !utf8_valid(one)) {
			buf_printf(b, "\\x%02x", c);
			i++;
			continue;
		}
		for (size_t k = 1; k < n; k++)
			code = code << 6 | ((unsigned char)one.p[k] & 0x3f);
		go_quote_char(b, code, one, kept);
		i += n;
	}
}

void go_quote(struct buf *b, struct sv s)
{
	buf_addc(b, '"');
	go_quote_text(b, s, "");
	buf_addc(b, '"');
}

void go_quote_bare(struct buf *b, struct sv s)
{
	go_quote_text(b, s, "\n\t\"\\");
}
