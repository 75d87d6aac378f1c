/* The order of checks is that of Go's package, as the first that fails gives the words. */
#include "object/url.h"

#include "base/go_quote.h"
#include "object/netip.h"

enum url_part { URL_PATH, URL_HOST, URL_ZONE, URL_USER, URL_QUERY, URL_FRAGMENT };

static bool url_alnum(char c)
{
	return (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z') || (c >= '0' && c <= '9');
}

/* Must c be written as an escape in that part? NUL is in no list. */
static bool url_escapes(char c, enum url_part part)
{
	if (url_alnum(c))
		return false;
	if (!c)
		return true;
	if ((part == URL_HOST || part == URL_ZONE) && strchr("!$&'()*+,;=:[]<>\"", c))
		return false;
	if (strchr("-_.~", c))
		return false;
	if (strchr("$&+,/:;=?@", c)) {
		switch (part) {
		case URL_PATH:
			return c == '?';
		case URL_USER:
			return strchr("@/?:", c) != NULL;
		case URL_QUERY:
			return true;
		case URL_FRAGMENT:
			return false;
		default:
			return true;
		}
	}
	return !(part == URL_FRAGMENT && strchr("!()*", c));
}

static bool url_say(struct err *why, const char *what, struct sv about, const char *behind)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_adds(&b, what);
	go_quote(&b, about);
	buf_adds(&b, behind);
	err_set(why, ERR_INVALID, "%s", buf_cstr(&b));
	return false;
}

static bool url_unescape_ok(struct sv s, enum url_part part, struct err *why, bool *ret_plain)
{
	*ret_plain = true;
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '+')
			*ret_plain = *ret_plain && part != URL_QUERY;
		if (c != '%') {
			if ((part == URL_HOST || part == URL_ZONE) && !((unsigned char)c & 0x80) &&
			    url_escapes(c, part))
				return url_say(why, "invalid character ", sv_sub(s, i, 1), " in host name");
			continue;
		}
		*ret_plain = false;
		if (i + 2 >= s.n || hex_value(s.p[i + 1]) < 0 || hex_value(s.p[i + 2]) < 0)
			return url_say(why, "invalid URL escape ", sv_sub(s, i, 3), "");
		/* In a host, escapes are for what is not ASCII; in a zone, for what could stand in a host, and blanks.
		 */
		if (part == URL_HOST && hex_value(s.p[i + 1]) < 8 && !sv_eq(sv_sub(s, i, 3), SV("%25")))
			return url_say(why, "invalid URL escape ", sv_sub(s, i, 3), "");
		if (part == URL_ZONE) {
			char v = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));

			if (v != '%' && v != ' ' && url_escapes(v, URL_HOST))
				return url_say(why, "invalid URL escape ", sv_sub(s, i, 3), "");
		}
		i += 2;
	}
	return true;
}

static bool url_unescape(struct arena *a, struct sv s, enum url_part part, struct sv *ret, struct err *why)
{
	bool plain;
	size_t n = 0;
	char *out;

	if (!url_unescape_ok(s, part, why, &plain))
		return false;
	if (plain) {
		*ret = s.p ? s : SV("");
		return true;
	}
	out = arena_alloc(a, s.n);
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '%') {
			out[n++] = (char)(hex_value(s.p[i + 1]) << 4 | hex_value(s.p[i + 2]));
			i += 2;
		} else {
			out[n++] = s.p[i] == '+' && part == URL_QUERY ? ' ' : s.p[i];
		}
	}
	*ret = sv_make(out, n);
	return true;
}

static void url_escape(struct buf *b, struct sv s, enum url_part part)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == ' ' && part == URL_QUERY)
			buf_addc(b, '+');
		else if (url_escapes(s.p[i], part))
			buf_printf(b, "%%%02X", (unsigned char)s.p[i]);
		else
			buf_addc(b, s.p[i]);
	}
}

/* Up to the first c, and what is behind it; all of s when there is none. */
static struct sv url_cut(struct sv s, char c, struct sv *ret_rest)
{
	ssize_t at = sv_find(s, c);

	*ret_rest = at < 0 ? SV("") : sv_sub(s, (size_t)at + 1, s.n);
	return at < 0 ? s : sv_sub(s, 0, (size_t)at);
}

static ssize_t url_last(struct sv s, char c)
{
	for (size_t i = s.n; i > 0; i--)
		if (s.p[i - 1] == c)
			return (ssize_t)i - 1;
	return -1;
}

static bool url_port_ok(struct sv s)
{
	if (s.n > 0 && s.p[0] != ':')
		return false;
	for (size_t i = 1; i < s.n; i++)
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
	return true;
}

static bool url_plain(struct err *why, const char *words)
{
	err_set(why, ERR_INVALID, "%s", words);
	return false;
}

/* "[fe80::1%25eth0]:80" */
static bool url_ip_literal(struct arena *a, struct sv host, struct sv *ret, struct err *why)
{
	ssize_t end = url_last(host, ']'), zone;
	struct sv name, port, address, zone_text = SV("");
	struct netip ip;

	if (end < 0)
		return url_plain(why, "missing ']' in host");
	port = sv_sub(host, (size_t)end + 1, host.n);
	if (!url_port_ok(port))
		return url_say(why, "invalid port ", port, " after host");
	name = sv_sub(host, 1, (size_t)end - 1);
	zone = sv_find_sv(name, SV("%25"));
	if (!url_unescape(a, zone < 0 ? name : sv_sub(name, 0, (size_t)zone), URL_HOST, &address, why) ||
	    (zone >= 0 && !url_unescape(a, sv_sub(name, (size_t)zone, name.n), URL_ZONE, &zone_text, why)))
		return false;
	address = arena_svf(a, "%.*s%.*s", SV_ARG(address), SV_ARG(zone_text));
	if (!netip_parse(address, &ip, why)) {
		err_wrap(why, "invalid host");
		return false;
	}
	if (!ip.v6)
		return url_plain(why, "invalid IP-literal");
	*ret = arena_svf(a, "[%.*s]%.*s", SV_ARG(address), SV_ARG(port));
	return true;
}

static bool url_host(struct arena *a, struct sv host, struct sv *ret, struct err *why)
{
	ssize_t bracket = url_last(host, '['), colon = sv_find(host, ':');

	if (bracket > 0)
		return url_plain(why, "invalid IP-literal");
	if (bracket == 0)
		return url_ip_literal(a, host, ret, why);
	if (colon >= 0 && !url_port_ok(sv_sub(host, (size_t)colon, host.n)))
		return url_say(why, "invalid port ", sv_sub(host, (size_t)colon, host.n), " after host");
	return url_unescape(a, host, URL_HOST, ret, why);
}

static bool url_authority(struct arena *a, struct sv s, struct url *u, struct err *why)
{
	ssize_t at = url_last(s, '@');
	struct sv info, name, password;

	if (!url_host(a, at < 0 ? s : sv_sub(s, (size_t)at + 1, s.n), &u->host, why))
		return false;
	if (at < 0)
		return true;
	info = sv_sub(s, 0, (size_t)at);
	for (size_t i = 0; i < info.n; i++)
		if (!url_alnum(info.p[i]) && (!info.p[i] || !strchr("-._:~!$&'()*+,;=%@", info.p[i])))
			return url_plain(why, "net/url: invalid userinfo");
	name = url_cut(info, ':', &password);
	u->has_user = true;
	u->has_password = name.n < info.n;
	return url_unescape(a, name, URL_USER, &u->user, why) && url_unescape(a, password, URL_USER, &u->password, why);
}

/* False with words: a colon comes first. No scheme at all is fine. */
static bool url_scheme(struct arena *a, struct sv *rest, struct url *u, struct err *why)
{
	for (size_t i = 0; i < rest->n; i++) {
		char c = rest->p[i];

		if (ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z')
			continue;
		if ((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.') {
			if (i == 0)
				return true;
			continue;
		}
		if (c != ':')
			return true;
		if (i == 0)
			return url_plain(why, "missing protocol scheme");
		u->scheme = arena_sv(a, sv_sub(*rest, 0, i));
		for (size_t k = 0; k < i; k++)
			((char *)u->scheme.p)[k] = ascii_lower(u->scheme.p[k]);
		*rest = sv_sub(*rest, i + 1, rest->n);
		return true;
	}
	return true;
}

static bool url_read(struct arena *a, struct sv s, bool request, struct url *u, struct err *why)
{
	struct sv rest = s, query, behind;

	*u = (struct url){ 0 };
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return url_plain(why, "net/url: invalid control character in URL");
	if (s.n == 0 && request)
		return url_plain(why, "empty url");
	if (sv_is(s, "*")) {
		u->path = s;
		return true;
	}
	if (!url_scheme(a, &rest, u, why))
		return false;
	s = url_cut(rest, '?', &query);
	u->force_query = s.n < rest.n && query.n == 0;
	u->query = query;
	rest = s;
	if (rest.n == 0 || rest.p[0] != '/') {
		if (u->scheme.n) {
			u->opaque = rest;
			return true;
		}
		if (request)
			return url_plain(why, "invalid URI for request");
		if (sv_find(url_cut(rest, '/', &behind), ':') >= 0)
			return url_plain(why, "first path segment in URL cannot contain colon");
	}
	if ((u->scheme.n || (!request && !sv_starts(rest, SV("///")))) && sv_starts(rest, SV("//"))) {
		ssize_t slash;

		rest = sv_sub(rest, 2, rest.n);
		slash = sv_find(rest, '/');
		if (!url_authority(a, slash < 0 ? rest : sv_sub(rest, 0, (size_t)slash), u, why))
			return false;
		rest = slash < 0 ? SV("") : sv_sub(rest, (size_t)slash, rest.n);
	} else if (u->scheme.n && rest.n && rest.p[0] == '/') {
		u->omit_host = true;
	}
	u->raw_path = rest;
	return url_unescape(a, rest, URL_PATH, &u->path, why);
}

static bool url_done(bool ok, struct sv text, struct err *why, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (ok)
		return true;
	buf_adds(&b, "parse ");
	go_quote(&b, text);
	err_set(err, ERR_INVALID, "%s: %s", buf_cstr(&b), err_msg(why));
	return false;
}

bool url_parse_request(struct arena *a, struct sv s, struct url *ret, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;

	return url_done(url_read(a, s, true, ret, &why), s, &why, err);
}

bool url_parse(struct arena *a, struct sv s, struct url *ret, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv fragment, text = url_cut(s, '#', &fragment);

	if (!url_done(url_read(a, text, false, ret, &why), text, &why, err))
		return false;
	ret->raw_fragment = fragment;
	return url_done(url_unescape(a, fragment, URL_FRAGMENT, &ret->fragment, &why), s, &why, err);
}

static struct sv url_host_part(struct sv host, struct sv *ret_port)
{
	ssize_t colon = url_last(host, ':');

	*ret_port = SV("");
	if (colon >= 0 && url_port_ok(sv_sub(host, (size_t)colon, host.n))) {
		*ret_port = sv_sub(host, (size_t)colon + 1, host.n);
		host = sv_sub(host, 0, (size_t)colon);
	}
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = sv_sub(host, 1, host.n - 2);
	return host;
}

struct sv url_hostname(const struct url *u)
{
	struct sv port;

	return url_host_part(u->host, &port);
}

struct sv url_port(const struct url *u)
{
	struct sv port;

	(void)url_host_part(u->host, &port);
	return port;
}

/* May the text stay as it was written? */
static bool url_encoded_ok(struct sv s, enum url_part part)
{
	for (size_t i = 0; i < s.n; i++)
		if (!s.p[i] || (!strchr("!$&'()*+,;=:@[]%", s.p[i]) && url_escapes(s.p[i], part)))
			return false;
	return true;
}

static struct sv url_escaped(struct arena *a, struct sv raw, struct sv text, enum url_part part)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (raw.n && url_encoded_ok(raw, part))
		return raw;
	if (sv_is(text, "*"))
		return text;
	url_escape(&b, text, part);
	return arena_sv(a, buf_sv(&b));
}

struct sv url_escaped_path(struct arena *a, const struct url *u)
{
	return url_escaped(a, u->raw_path, u->path, URL_PATH);
}

void url_write(struct arena *a, struct buf *b, const struct url *u)
{
	struct sv path = url_escaped_path(a, u), behind;
	bool slashes = u->host.n || u->path.n || u->has_user;

	if (u->scheme.n) {
		buf_addsv(b, u->scheme);
		buf_addc(b, ':');
	}
	if (u->opaque.n) {
		buf_addsv(b, u->opaque);
	} else {
		if ((u->scheme.n || u->host.n || u->has_user) && slashes &&
		    !(u->omit_host && u->host.n == 0 && !u->has_user))
			buf_adds(b, "//");
		if (u->has_user) {
			url_escape(b, u->user, URL_USER);
			if (u->has_password) {
				buf_addc(b, ':');
				url_escape(b, u->password, URL_USER);
			}
			buf_addc(b, '@');
		}
		url_escape(b, u->host, URL_HOST);
		if (path.n && path.p[0] != '/' && u->host.n)
			buf_addc(b, '/');
		if (b->n == 0 && sv_find(url_cut(path, '/', &behind), ':') >= 0)
			buf_adds(b, "./");
		buf_addsv(b, path);
	}
	if (u->force_query || u->query.n) {
		buf_addc(b, '?');
		buf_addsv(b, u->query);
	}
	if (u->fragment.n) {
		buf_addc(b, '#');
		buf_addsv(b, url_escaped(a, u->raw_fragment, u->fragment, URL_FRAGMENT));
	}
}

bool url_pairs_next(struct arena *a, struct url_pairs *q)
{
	while (q->rest.n) {
		struct sv pair = url_cut(q->rest, '&', &q->rest), value;
		struct sv key = url_cut(pair, '=', &value);

		if (pair.n && sv_find(pair, ';') < 0 && url_unescape(a, key, URL_QUERY, &q->key, NULL) &&
		    url_unescape(a, value, URL_QUERY, &q->value, NULL))
			return true;
	}
	return false;
}
