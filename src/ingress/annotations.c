#include "ingress/annotations.h"

#include "ingress/check.h"

#include <stdio.h>

#define RANGES_MAX 256

enum value_kind {
	KIND_BOOL,
	KIND_NUMBER,
	KIND_SECONDS, /* "60", "60s" */
	KIND_SIZE,    /* "8m"; 0 is any */
	KIND_VALUE,
	KIND_URL,
	KIND_TOKEN,
	KIND_HOST,
	KIND_PATH,
	KIND_NAME, /* of an object, with or without its namespace */
	KIND_RANGES,
	KIND_WORD, /* one of words, whose place counts */
	KIND_CODE, /* one of words, which are numbers */
	KIND_AS_IS /* read elsewhere */
};

struct row {
	const char *name;
	enum value_kind kind;
	size_t at;
	int64_t min, max;
	const char *words; /* "a b c" */
	bool protects;
};

#define AT(member) offsetof(struct ing_annotations, member)
#define NGINX "nginx.ingress.kubernetes.io/"
#define HAPROXY "haproxy.org/"
#define TRAEFIK "traefik.ingress.kubernetes.io/"
#define SECONDS_MAX 86400

static const struct row rows[] = {
	{ "kubernetes.io/ingress.class", KIND_VALUE, AT(class), 0, 0, NULL, false },
	{ NGINX "canary", KIND_BOOL, AT(canary), 0, 0, NULL, false },
	{ NGINX "canary-weight", KIND_NUMBER, AT(canary_weight), 0, 1000000, NULL, false },
	{ NGINX "canary-weight-total", KIND_NUMBER, AT(canary_weight_total), 1, 1000000, NULL, false },
	{ NGINX "canary-by-header", KIND_TOKEN, AT(canary_header), 0, 0, NULL, false },
	{ NGINX "canary-by-header-value", KIND_VALUE, AT(canary_header_value), 0, 0, NULL, false },
	{ NGINX "canary-by-cookie", KIND_TOKEN, AT(canary_cookie), 0, 0, NULL, false },
	{ NGINX "ssl-redirect", KIND_BOOL, AT(ssl_redirect), 0, 0, NULL, false },
	{ HAPROXY "ssl-redirect", KIND_BOOL, AT(ssl_redirect), 0, 0, NULL, false },
	{ NGINX "force-ssl-redirect", KIND_BOOL, AT(force_ssl_redirect), 0, 0, NULL, false },
	{ NGINX "permanent-redirect", KIND_URL, AT(permanent_redirect), 0, 0, NULL, false },
	{ NGINX "permanent-redirect-code", KIND_CODE, AT(permanent_code), 0, 999, "301 302 303 307 308", false },
	{ NGINX "temporal-redirect", KIND_URL, AT(temporal_redirect), 0, 0, NULL, false },
	{ NGINX "temporal-redirect-code", KIND_CODE, AT(temporal_code), 0, 999, "301 302 303 307 308", false },
	{ NGINX "app-root", KIND_PATH, AT(app_root), 0, 0, NULL, false },
	{ NGINX "rewrite-target", KIND_AS_IS, AT(rewrite_target), 0, 0, NULL, false },
	{ NGINX "upstream-vhost", KIND_HOST, AT(vhost), 0, 0, NULL, false },
	{ NGINX "x-forwarded-prefix", KIND_PATH, AT(prefix), 0, 0, NULL, false },
	{ NGINX "proxy-body-size", KIND_SIZE, AT(body_max), 0, 0, NULL, false },
	{ NGINX "proxy-read-timeout", KIND_SECONDS, AT(read_s), 1, SECONDS_MAX, NULL, false },
	{ NGINX "proxy-send-timeout", KIND_SECONDS, AT(send_s), 1, SECONDS_MAX, NULL, false },
	{ NGINX "proxy-connect-timeout", KIND_SECONDS, AT(connect_s), 1, 75, NULL, false },
	{ HAPROXY "timeout-server", KIND_SECONDS, AT(read_s), 1, SECONDS_MAX, NULL, false },
	{ HAPROXY "timeout-connect", KIND_SECONDS, AT(connect_s), 1, 75, NULL, false },
	{ NGINX "backend-protocol", KIND_WORD, AT(protocol), 0, 0, "HTTP HTTPS H2C GRPCS GRPC", false },
	{ NGINX "load-balance", KIND_WORD, AT(least_conn), 0, 0, "round_robin least_conn ewma", false },
	{ HAPROXY "load-balance", KIND_WORD, AT(least_conn), 0, 0, "roundrobin leastconn", false },
	{ NGINX "auth-type", KIND_WORD, AT(auth_basic), 0, 0, "none basic", true },
	{ NGINX "auth-secret", KIND_NAME, AT(auth_secret), 0, 0, NULL, true },
	{ NGINX "auth-secret-type", KIND_WORD, AT(auth_map), 0, 0, "auth-file auth-map", true },
	{ NGINX "auth-realm", KIND_VALUE, AT(auth_realm), 0, 0, NULL, false },
	{ HAPROXY "auth-type", KIND_WORD, AT(auth_basic), 0, 0, "none basic-auth", true },
	{ HAPROXY "auth-secret", KIND_NAME, AT(auth_secret), 0, 0, NULL, true },
	{ HAPROXY "auth-realm", KIND_VALUE, AT(auth_realm), 0, 0, NULL, false },
	{ NGINX "limit-rps", KIND_NUMBER, AT(rps), 0, 1000000, NULL, false },
	{ NGINX "limit-rpm", KIND_NUMBER, AT(rpm), 0, 1000000, NULL, false },
	{ NGINX "limit-connections", KIND_NUMBER, AT(connections), 0, 1000000, NULL, false },
	{ NGINX "limit-burst-multiplier", KIND_NUMBER, AT(burst), 1, 100, NULL, false },
	{ NGINX "whitelist-source-range", KIND_RANGES, AT(allow), 0, 0, NULL, true },
	{ NGINX "allowlist-source-range", KIND_RANGES, AT(allow), 0, 0, NULL, true },
	{ NGINX "denylist-source-range", KIND_RANGES, AT(deny), 0, 0, NULL, true },
	{ HAPROXY "allow-list", KIND_RANGES, AT(allow), 0, 0, NULL, true },
	{ HAPROXY "whitelist", KIND_RANGES, AT(allow), 0, 0, NULL, true },
	{ HAPROXY "deny-list", KIND_RANGES, AT(deny), 0, 0, NULL, true },
	{ NGINX "affinity", KIND_WORD, AT(sticky), 0, 0, "none cookie", false },
	{ NGINX "session-cookie-name", KIND_TOKEN, AT(cookie), 0, 0, NULL, false },
	{ NGINX "session-cookie-max-age", KIND_SECONDS, AT(cookie_s), 1, INT_MAX / 2, NULL, false },
	{ TRAEFIK "service.sticky.cookie", KIND_BOOL, AT(sticky), 0, 0, NULL, false },
	{ TRAEFIK "service.sticky.cookie.name", KIND_TOKEN, AT(cookie), 0, 0, NULL, false },
	{ NGINX "enable-cors", KIND_BOOL, AT(cors), 0, 0, NULL, false },
	{ NGINX "cors-allow-origin", KIND_VALUE, AT(cors_origin), 0, 0, NULL, false },
	{ NGINX "cors-allow-methods", KIND_VALUE, AT(cors_methods), 0, 0, NULL, false },
	{ NGINX "cors-allow-headers", KIND_VALUE, AT(cors_headers), 0, 0, NULL, false },
	{ NGINX "cors-expose-headers", KIND_VALUE, AT(cors_expose), 0, 0, NULL, false },
	{ NGINX "cors-allow-credentials", KIND_BOOL, AT(cors_credentials), 0, 0, NULL, false },
	{ NGINX "cors-max-age", KIND_SECONDS, AT(cors_age_s), 1, SECONDS_MAX, NULL, false },
};

/* Names below these are meant for an ingress controller; who writes one waits for an effect. */
static const char *const prefixes[] = { NGINX, HAPROXY, TRAEFIK };

/* Those of other controllers, of which no row speaks: only what protects is told. */
static const char *const foreign[] = {
	"ingress.kubernetes.io/",     "nginx.org/",	   "nginx.com/", "konghq.com/", "haproxy-ingress.github.io/",
	"alb.ingress.kubernetes.io/", "projectcontour.io/"
};

/* Parts of names that say who may come in. Middlewares, plugins and policies are objects that are not read here: any of
 * them may be one that asks for a password. */
static const char *const protecting[] = { "auth",	"jwt",	    "oidc",	   "whitelist", "allowlist",
					  "allow-list", "denylist", "deny-list",   "blacklist", "middlewares",
					  "plugins",	"policies", "tls.options", "client-ca", "inbound-cidrs" };

/* --- values --- */

static bool parse_bool(struct sv s, int *ret)
{
	*ret = sv_is(s, "true");
	return *ret || sv_is(s, "false");
}

static bool parse_seconds(struct sv s, int64_t *ret)
{
	if (s.n > 1 && s.p[s.n - 1] == 's')
		s.n--;
	return sv_to_i64(s, ret);
}

static bool parse_size(struct sv s, int64_t *ret)
{
	int shift = 0;

	if (s.n > 1) {
		char unit = s.p[s.n - 1];

		shift = unit == 'k' || unit == 'K'   ? 10
			: unit == 'm' || unit == 'M' ? 20
			: unit == 'g' || unit == 'G' ? 30
						     : 0;
		s.n -= shift != 0;
	}
	if (!sv_to_i64(s, ret) || *ret < 0 || *ret > INT64_C(1) << 20 << (30 - shift))
		return false;
	*ret <<= shift;
	return true;
}

static bool parse_word(struct sv s, const char *words, int *ret)
{
	struct sv rest = sv_from(words), word;

	for (int i = 0; sv_split(&rest, ' ', &word); i++)
		if (sv_eq(word, s)) {
			*ret = i;
			return true;
		}
	return false;
}

bool ing_nets_parse(struct arena *a, struct sv s, struct ing_nets *ret)
{
	struct ip_net nets[RANGES_MAX];
	size_t n = 0;
	struct sv one;

	while (sv_split(&s, ',', &one)) {
		if (n == RANGES_MAX || !ip_net_parse(sv_trim(one), &nets[n]))
			return false;
		n++;
	}
	*ret = (struct ing_nets){ ARENA_ARRAY(a, struct ip_net, n), n };
	memcpy(ret->p, nets, n * sizeof(*nets));
	return n > 0;
}

static bool row_number(const struct row *r, void *to, int64_t v)
{
	if (v < r->min || v > r->max)
		return false;
	*(int *)to = (int)v;
	return true;
}

/* Fills the member of a row. False: the value is none of its kind. */
static bool row_read(struct arena *a, const struct row *r, struct sv s, struct ing_annotations *ret)
{
	void *to = (char *)ret + r->at;
	struct sv *text = to;
	int64_t v = 0;
	bool ok = true;
	int place;

	switch (r->kind) {
	case KIND_BOOL:
		return parse_bool(s, to);
	case KIND_NUMBER:
		return sv_to_i64(s, &v) && row_number(r, to, v);
	case KIND_SECONDS:
		return parse_seconds(s, &v) && row_number(r, to, v);
	case KIND_SIZE:
		ok = parse_size(s, &v);
		if (ok)
			*(int64_t *)to = v;
		return ok;
	case KIND_WORD:
		return parse_word(s, r->words, to);
	case KIND_CODE:
		return parse_word(s, r->words, &place) && sv_to_i64(s, &v) && row_number(r, to, v);
	case KIND_RANGES:
		return ing_nets_parse(a, s, to);
	case KIND_PATH:
		return ing_path(a, s, text) && text->n <= ING_VALUE_MAX;
	case KIND_VALUE:
		ok = ing_is_value(s);
		break;
	case KIND_URL:
		ok = ing_is_url(s);
		break;
	case KIND_TOKEN:
		ok = ing_is_token(s);
		break;
	case KIND_HOST:
		ok = ing_is_host(s) && s.p[0] != '*';
		break;
	case KIND_NAME:
		ok = ing_is_value(s) && s.n <= 253 * 2;
		break;
	case KIND_AS_IS:
		break;
	}
	if (ok)
		*text = s;
	return ok;
}

static const struct row *row_of(struct sv name)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (sv_is(name, rows[i].name))
			return &rows[i];
	return NULL;
}

/* What follows one of the prefixes, NULL: none of them is there. */
static const char *row_behind(struct sv name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sv_starts(name, sv_from(list[i])))
			return name.p + strlen(list[i]);
	return NULL;
}

/* One that no row knows. True: it was to keep somebody out; one that is switched off was not. */
static bool row_unknown_protects(const char *rest, struct sv name, struct sv value)
{
	static const char *const off[] = { "false", "off", "none", "" };
	struct sv part = { rest, (size_t)(name.p + name.n - rest) };

	for (size_t i = 0; i < ARRAY_LEN(off); i++)
		if (sv_is(value, off[i]))
			return false;
	for (size_t i = 0; i < ARRAY_LEN(protecting); i++)
		if (sv_find_sv(part, sv_from(protecting[i])) >= 0)
			return true;
	return false;
}

static void row_unknown(struct sv name, struct sv value, struct ing_annotations *ret,
			void (*say)(void *ctx, struct sv name, const char *why), void *ctx)
{
	const char *ours = row_behind(name, prefixes, ARRAY_LEN(prefixes));
	const char *rest = ours ? ours : row_behind(name, foreign, ARRAY_LEN(foreign));

	if (rest && row_unknown_protects(rest, name, value)) {
		ret->refused = true;
		say(ctx, name, "it is not one that is known here, and as it protects, nobody is let in");
	} else if (ours) {
		say(ctx, name, "it is not one that is known here");
	}
}

void ing_annotations_read(struct arena *a, const struct val *ingress, struct ing_annotations *ret,
			  void (*say)(void *ctx, struct sv name, const char *why), void *ctx)
{
	*ret = (struct ing_annotations){
		.canary_weight_total = 100,
		.ssl_redirect = -1,
		.body_max = 0,
		.burst = 5,
		.cors_credentials = 1,
		.cors_age_s = 1728000,
		.cors_origin = SV("*"),
		.cors_methods = SV("GET, PUT, POST, DELETE, PATCH, OPTIONS"),
		.cors_headers =
		    SV("DNT,Keep-Alive,User-Agent,X-Requested-With,If-Modified-Since,Cache-Control,Content-Type,"
		       "Range,Authorization"),
		.auth_realm = SV("Authentication Required"),
		.cookie = SV("INGRESSCOOKIE"),
		.permanent_code = 301,
		.temporal_code = 302,
	};
	VAL_EACH_MEMBER(val_get(ingress, F_metadata, F_annotations), m) {
		const struct row *r = row_of(m.key);

		if (!r) {
			row_unknown(m.key, val_str(m.value), ret, say, ctx);
			continue;
		}
		if (row_read(a, r, val_str(m.value), ret))
			continue;
		ret->refused |= r->protects;
		say(ctx, m.key,
		    r->protects ? "its value is not valid, and as it protects, nobody is let in"
				: "its value is not valid");
	}
}

/* --- rewrite-target --- */

bool ing_path_is_pattern(struct sv path)
{
	for (size_t i = 0; i < path.n; i++)
		if (strchr("()[]{}*+?|^$\\", path.p[i]))
			return true;
	return false;
}

const char *ing_rewrite_read(struct sv path, struct sv target, struct sv *ret_path, struct sv *ret_to, size_t *ret_cut)
{
	static const struct {
		const char *tail;
		char group;
		bool slash; /* the group begins behind the path's '/' */
	} forms[] = {
		{ "(/|$)(.*)", '2', true },
		{ "/(.*)", '1', true },
	};
	ssize_t dollar = sv_find(target, '$');
	char group = 0;

	*ret_path = path;
	*ret_to = target;
	*ret_cut = SIZE_MAX;
	for (size_t i = 0; i < ARRAY_LEN(forms); i++)
		if (sv_ends(path, sv_from(forms[i].tail))) {
			*ret_path = sv_sub(path, 0, path.n - strlen(forms[i].tail));
			group = forms[i].group;
			break;
		}
	if (ing_path_is_pattern(*ret_path))
		return "of regular expressions, paths may end in (/|$)(.*) or /(.*), and no others are understood";
	if (dollar >= 0) {
		if ((size_t)dollar + 2 != target.n || !group || target.p[dollar + 1] != group)
			return "rewrite-target may have the last group of its path, and only at its end";
		*ret_to = sv_sub(target, 0, (size_t)dollar);
		*ret_cut = ret_path->n + 1;
	}
	if (!ret_to->n || ret_to->p[0] != '/' || !ing_is_url(*ret_to) || sv_find(*ret_to, '?') >= 0 ||
	    sv_find(*ret_to, '#') >= 0)
		return "rewrite-target is no path";
	return NULL;
}
