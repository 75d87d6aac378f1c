/* URLs: of the server, of resources, of their options. */
#include "client/https-internal.h"

static bool url_has(struct sv s, const char *set)
{
	for (size_t i = 0; i < s.n; i++)
		if (strchr(set, s.p[i]) || (unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return true;
	return false;
}

int https_parse_url(struct arena *a, const char *url, bool *ret_tls, char **ret_host, int *ret_port,
		    struct sv *ret_prefix, struct err *err)
{
	struct sv s = sv_trim(sv_from(url)), host, port = SV_NULL;
	ssize_t at;
	int64_t n;

	*ret_tls = true;
	if (sv_starts(s, SV("https://"))) {
		s = sv_sub(s, 8, s.n);
	} else if (sv_starts(s, SV("http://"))) {
		*ret_tls = false;
		s = sv_sub(s, 7, s.n);
	} else if (sv_find_sv(s, SV("://")) >= 0) {
		return err_set(err, ERR_BAD_REQUEST, "server '%s': the scheme must be https or http", url ? url : "");
	}
	at = sv_find(s, '/');
	host = at < 0 ? s : sv_sub(s, 0, (size_t)at);
	*ret_prefix = at < 0 ? SV("") : sv_sub(s, (size_t)at, s.n);
	while (ret_prefix->n && ret_prefix->p[ret_prefix->n - 1] == '/')
		ret_prefix->n--;
	if (host.n && host.p[0] == '[') {
		at = sv_find(host, ']');
		if (at < 0)
			return err_set(err, ERR_BAD_REQUEST, "server '%s': the address misses its ]", url);
		port = sv_sub(host, (size_t)at + 1, host.n);
		if (port.n && port.p[0] != ':')
			return err_set(err, ERR_BAD_REQUEST, "server '%s': not a port after the address", url);
		host = sv_sub(host, 1, (size_t)at - 1);
	} else if ((at = sv_find(host, ':')) >= 0) {
		port = sv_sub(host, (size_t)at, host.n);
		host = sv_sub(host, 0, (size_t)at);
	}
	if (!host.n || url_has(host, "@?#%\\\"[]") || url_has(*ret_prefix, "?#\\\""))
		return err_set(err, ERR_BAD_REQUEST, "server '%s': not a URL of a host", url ? url : "");
	*ret_port = *ret_tls ? 443 : 80;
	if (port.n > 1) {
		if (!sv_to_i64(sv_sub(port, 1, port.n), &n) || n < 1 || n > 65535)
			return err_set(err, ERR_BAD_REQUEST, "server '%s': not a port", url);
		*ret_port = (int)n;
	}
	*ret_host = arena_cstr(a, host);
	*ret_prefix = arena_sv(a, *ret_prefix);
	return 0;
}

/* Everything but RFC 3986's unreserved characters and ':' (names of RBAC objects) is escaped. */
static void https_target_add_escaped(struct buf *b, struct sv s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    (c && strchr("-._~:", c))) {
			buf_addc(b, (char)c);
		} else {
			buf_addc(b, '%');
			buf_addc(b, hex[c >> 4]);
			buf_addc(b, hex[c & 15]);
		}
	}
}

/* A segment must stay one segment wherever it is decoded. */
static int add_segment(struct buf *b, const char *what, struct sv s, struct err *err)
{
	if (sv_is(s, ".") || sv_is(s, "..") || sv_find(s, '/') >= 0 || sv_find(s, '%') >= 0)
		return err_set(err, ERR_BAD_REQUEST,
			       "invalid %s \"%.*s\": may not be '.' or '..', or contain '/' or '%%'", what, SV_ARG(s));
	buf_addc(b, '/');
	https_target_add_escaped(b, s);
	return 0;
}

int https_path(struct https_client *h, const struct resource *r, struct sv ns, struct sv name, const char *sub,
	       struct buf *b, struct err *err)
{
	buf_addsv(b, h->prefix);
	if (*r->group)
		buf_printf(b, "/apis/%s/%s", r->group, r->version);
	else
		buf_printf(b, "/api/%s", r->version);
	if (r->namespaced && ns.n) {
		buf_adds(b, "/namespaces");
		if (add_segment(b, "namespace", ns, err) < 0)
			return -1;
	}
	buf_printf(b, "/%s", r->plural);
	if (name.n && add_segment(b, "resource name", name, err) < 0)
		return -1;
	if (sub && *sub)
		return add_segment(b, "subresource", sv_from(sub), err);
	return 0;
}

void https_query(struct buf *b, const char *key, struct sv value)
{
	buf_addc(b, b->n && memchr(b->p, '?', b->n) ? '&' : '?');
	buf_adds(b, key);
	buf_addc(b, '=');
	https_target_add_escaped(b, value);
}

void https_query_i64(struct buf *b, const char *key, int64_t value)
{
	https_query(b, key, SV(""));
	buf_addi64(b, value);
}
