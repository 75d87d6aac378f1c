#include "gateway/texts.h"

#include "object/validate.h"

#include <strings.h>

#define PATH_MAX_BYTES 1024

bool gw_is_host(struct sv s)
{
	struct sv label;

	if (sv_starts(s, SV("*.")))
		s = sv_sub(s, 2, s.n);
	if (!s.n || s.n > 253)
		return false;
	while (sv_split(&s, '.', &label))
		if (fmt_dns_label(label))
			return false;
	return true;
}

bool gw_is_name(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && !(s.p[i] >= 'A' && s.p[i] <= 'Z') &&
		    !(s.p[i] >= '0' && s.p[i] <= '9') && s.p[i] != '-' && s.p[i] != '_')
			return false;
	return s.n && s.n <= GW_NAME_MAX;
}

#define KEPT(name) "filters do not change header " name ", which is of the connection and not of what is sent on it"

const char *gw_header_kept(struct sv name)
{
	static const struct {
		const char *name, *why; /* in lower case */
	} kept[] = {
		{ "connection", KEPT("Connection") },
		{ "content-length", KEPT("Content-Length") },
		{ "host", "filters do not change header Host: hostname of URLRewrite does" },
		{ "keep-alive", KEPT("Keep-Alive") },
		{ "proxy-connection", KEPT("Proxy-Connection") },
		{ "te", KEPT("TE") },
		{ "trailer", KEPT("Trailer") },
		{ "transfer-encoding", KEPT("Transfer-Encoding") },
		{ "upgrade", KEPT("Upgrade") },
	};

	if (!gw_is_name(name))
		return "names of headers are letters, digits, - and _, at most 64";
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (name.n == strlen(kept[i].name) && strncasecmp(name.p, kept[i].name, name.n) == 0)
			return kept[i].why;
	return NULL;
}

bool gw_is_text(struct sv s)
{
	if (!s.n || s.n > GW_TEXT_MAX || s.p[0] == ' ' || s.p[s.n - 1] == ' ')
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

bool gw_is_url(struct sv s)
{
	if (!gw_is_text(s) || !(s.p[0] == '/' || sv_starts(s, SV("http://")) || sv_starts(s, SV("https://"))))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (strchr(" \"'<>\\^`{|}", s.p[i]) ||
		    (s.p[i] == '%' && (i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)))
			return false;
	return true;
}

static bool text_alnum(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static bool text_escape(struct sv s, size_t i)
{
	return i + 2 < s.n && hex_value(s.p[i + 1]) >= 0 && hex_value(s.p[i + 2]) >= 0;
}

bool gw_path(struct arena *a, struct sv s, struct sv *ret)
{
	static const char hex[] = "0123456789ABCDEF";
	char *to;
	size_t n = 0;

	if (!s.n || s.n > PATH_MAX_BYTES || s.p[0] != '/')
		return false;
	to = arena_alloc(a, 3 * s.n + 1);
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c < ' ' || c == 0x7f)
			return false;
		if (c == '%' && text_escape(s, i)) {
			c = (unsigned char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
			i += 2;
			if (text_alnum((char)c) || (c && strchr("-._~", c))) { /* needless: HAProxy takes it out, too */
				to[n++] = (char)c;
				continue;
			}
		} else if (text_alnum((char)c) || strchr("/-._~!$&'()*+,;=:@", c)) {
			to[n++] = (char)c;
			continue;
		}
		to[n++] = '%';
		to[n++] = hex[c >> 4];
		to[n++] = hex[c & 15];
	}
	to[n] = '\0';
	*ret = sv_make(to, n);
	return true;
}
