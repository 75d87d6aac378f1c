#include "cli/join.h"

#include "base/timefmt.h"
#include "client/https.h"
#include "net/digest.h"
#include "net/http_client.h"
#include "net/key.h"
#include "net/tls.h"

#include <stdio.h>

#define FETCH_TIMEOUT_NS (10 * NS_PER_SEC)
#define SAME_TIMEOUT_NS (3 * NS_PER_SEC) /* a start may wait for it in vain */
#define CA_MAX ((size_t)256 * 1024)
#define HASH_PREFIX SV("sha256:")

/* --- the token --- */

/* k3s's form has a user before the secret, who is nobody here: the id says whose it is. */
static struct sv join_without_user(struct arena *a, struct sv text)
{
	ssize_t colons = sv_find_sv(text, SV("::")), colon;
	struct sv rest = colons < 0 ? text : sv_sub(text, (size_t)colons + 2, text.n);

	colon = sv_starts(text, SV("K10")) ? sv_find(rest, ':') : -1;
	if (colons < 0 || colon < 0)
		return text;
	return arena_svf(a, "%.*s::%.*s", SV_ARG(sv_sub(text, 0, (size_t)colons)),
			 SV_ARG(sv_sub(rest, (size_t)colon + 1, rest.n)));
}

static int join_check_hash(const char *text, struct err *err)
{
	struct sv s = sv_from(text);

	return sv_starts(s, HASH_PREFIX) && join_hash_good(sv_sub(s, HASH_PREFIX.n, s.n))
		   ? 0
		   : err_set(err, ERR_INVALID,
			     "--discovery-token-ca-cert-hash takes sha256: and 64 hex digits, not '%s'", text);
}

int join_secret_parse(struct arena *a, const struct join_opts *o, struct join_token *ret, struct err *err)
{
	for (const char *const *h = o->ca_hashes; h && *h; h++)
		if (join_check_hash(*h, err) < 0)
			return -1;
	if (join_token_parse(join_without_user(a, sv_trim(sv_from(o->token))), ret, err) < 0)
		return -1;
	if (!ret->ca_hash.n && !(o->ca_hashes && o->ca_hashes[0]) && !o->insecure)
		return err_set(
		    err, ERR_INVALID,
		    o->of_server
			? "this short token does not say which server to believe: take the one that begins "
			  "with K10, from DATA-DIR/server/token on one of the servers"
			: "this short token does not say which server to believe: take the one that begins "
			  "with K10, from DATA-DIR/server/node-token on the server or `caravel token create`, or add "
			  "--discovery-token-ca-cert-hash; --insecure-join believes whoever answers");
	return 0;
}

/* --- the CA --- */

static int join_check_ca(const struct join_opts *o, const struct join_token *t, struct sv pem, struct err *err)
{
	char hash[SHA256_HEX];

	if (key_hash(pem, hash, err) < 0)
		return err_wrap(err, "what the server gave as its CA");
	if (t->ca_hash.n && join_token_check_ca(t, pem, err) < 0)
		return -1;
	for (const char *const *h = o->ca_hashes; h && *h; h++)
		if (sv_is(sv_sub(sv_from(*h), HASH_PREFIX.n, strlen(*h)), hash))
			return 0;
	if (o->ca_hashes && o->ca_hashes[0])
		return err_set(err, ERR_UNAUTHORIZED,
			       "the public key of the server's CA (sha256:%s) is none of those that "
			       "--discovery-token-ca-cert-hash names: this is another cluster, or somebody in between",
			       hash);
	return 0;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT", as servers write it (RFC 9110). */
static bool join_http_date(struct arena *a, struct sv s, int64_t *ret_ns)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	int day, year, hour, minute, second;
	char month[4];
	const char *m;

	if (sscanf(arena_cstr(a, s), "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT", &day, month, &year, &hour,
		   &minute, &second) != 6)
		return false;
	m = strlen(month) == 3 ? strstr(months, month) : NULL;
	return m && (m - months) % 3 == 0 &&
	       time_parse(sv_from(arena_printf(a, "%04d-%02d-%02dT%02d:%02d:%02dZ", year, (int)(m - months) / 3 + 1,
					       day, hour, minute, second)),
			  ret_ns);
}

/* What the server says its CA is, unproved. */
static int join_ask_ca(struct arena *a, const char *server, int64_t timeout_ns, struct http_response *ret,
		       struct err *err)
{
	const struct http_header headers[] = { { SV("accept"), SV("*/*") }, { SV("user-agent"), SV("caravel") } };
	struct http_endpoint ep = { 0 };
	struct http_pool *pool;
	struct sv prefix;
	char *host;
	bool tls;
	int rc;

	if (https_parse_url(a, server, &tls, &host, &ep.port, &prefix, err) < 0)
		return -1;
	if (!tls)
		return err_set(err, ERR_INVALID, "--server takes a URL that begins with https://, not '%s'", server);
	ep.host = host;
	ep.tls = tls_client_ctx(&(struct tls_client_opts){ .insecure = true }, err);
	if (!ep.tls)
		return -1;
	pool = http_pool_new();
	rc = http_call(pool, a, &ep, "GET", arena_printf(a, "%.*s/cacerts", SV_ARG(prefix)), headers,
		       ARRAY_LEN(headers), SV(""), timeout_ns, CA_MAX, ret, err);
	http_pool_free(pool);
	tls_ctx_unref(ep.tls);
	if (rc < 0)
		return -1;
	if (ret->status >= 500)
		return err_set(err, ERR_UNAVAILABLE, "%s answers %d", server, ret->status);
	if (ret->status != 200)
		return err_set(err, ERR_INVALID,
			       "%s answers %d when it is asked for its CA: is that the address of a Caravel server?",
			       server, ret->status);
	return 0;
}

int join_fetch_ca(struct arena *a, const struct join_opts *o, const struct join_token *t, int64_t now_ns,
		  struct sv *ret_pem, int64_t *ret_clock_ns, struct err *err)
{
	struct http_response r;
	int64_t theirs;

	if (join_ask_ca(a, o->server, FETCH_TIMEOUT_NS, &r, err) < 0)
		return -1;
	*ret_clock_ns = join_http_date(a, http_response_header(&r, "date"), &theirs) ? theirs - now_ns : 0;
	*ret_pem = arena_sv(a, r.body);
	return join_check_ca(o, t, *ret_pem, err);
}

int join_check_same(struct arena *a, const char *server, struct sv ca_pem, const char *dir, const char *todo,
		    struct err *err)
{
	char ours[SHA256_HEX], theirs[SHA256_HEX];
	struct http_response r;

	if (key_hash(ca_pem, ours, NULL) < 0 || join_ask_ca(a, server, SAME_TIMEOUT_NS, &r, NULL) < 0 ||
	    key_hash(r.body, theirs, NULL) < 0)
		return 0;
	if (sv_eq(sv_trim(r.body), sv_trim(ca_pem)) || strcmp(ours, theirs) == 0)
		return 0;
	return err_set(
	    err, ERR_INVALID,
	    "'%s' is of the cluster whose CA has the key sha256:%s, and %s is a server of another one, whose "
	    "CA has sha256:%s: %s",
	    dir, ours, server, theirs, todo);
}
