#include "apiserver/authn/sa_accounts.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/sa_signer.h"
#include "apiserver/authz/authz-internal.h"
#include "base/log.h"
#include "base/timefmt.h"

#include <stdlib.h>

static bool accounts_have(const struct sv *list, size_t n, struct sv one)
{
	for (size_t i = 0; i < n; i++)
		if (sv_eq(list[i], one))
			return true;
	return false;
}

static void accounts_copy(struct arena *a, const char *const *list, struct sv **ret, size_t *ret_n)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	*ret = ARENA_ARRAY(a, struct sv, n + 1);
	for (*ret_n = 0; *ret_n < n; ++*ret_n)
		(*ret)[*ret_n] = sv_from(list[*ret_n]);
}

/* With a scheme and more behind it. */
static bool accounts_url(struct sv url)
{
	ssize_t colon = sv_find(url, ':');

	for (ssize_t i = 0; i < colon; i++) {
		char c = url.p[i] | 0x20;

		if (!(c >= 'a' && c <= 'z') && (i == 0 || !strchr("0123456789+-.", url.p[i])))
			return false;
	}
	return colon > 0 && (size_t)colon + 1 < url.n && sv_find(url, ' ') < 0;
}

static int accounts_issuers(struct sa_accounts *c, const struct apiserver *s, struct err *err)
{
	accounts_copy(&c->arena, s->o.accounts.issuers, &c->issuers, &c->n_issuers);
	for (size_t i = 0; i < c->n_issuers; i++) {
		struct sv one = c->issuers[i];

		if (!one.n)
			return err_set(err, ERR_INVALID, "service-account-issuer should not be an empty string");
		if (sv_find(one, ':') >= 0 && !accounts_url(one))
			return err_set(err, ERR_INVALID,
				       "service-account-issuer \"%.*s\" contained a ':' but was not a valid URL",
				       SV_ARG(one));
		if (accounts_have(c->issuers, i, one))
			return err_set(err, ERR_INVALID, "service-account-issuer \"%.*s\" is already specified",
				       SV_ARG(one));
	}
	if (!c->n_issuers)
		c->issuers[c->n_issuers++] =
		    arena_svf(&c->arena, "https://kubernetes.default.svc.%s", s->o.cluster_domain);
	return 0;
}

static int accounts_life(struct sa_accounts *c, const char *text, struct err *err)
{
	int64_t ns = 0;

	if (!text)
		return 0;
	if (!duration_parse(sv_from(text), &ns))
		return err_set(err, ERR_INVALID, "--service-account-max-token-expiration: '%s' is no time", text);
	c->max_s = ns / NS_PER_SEC;
	if (c->max_s && (c->max_s < 3600 || c->max_s > INT64_C(1) << 32))
		return err_set(err, ERR_INVALID,
			       "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
	if (c->max_s && c->extend && c->max_s < SA_EXTENDED_S)
		log_warn("authn", "tokens of Pods last longer than others may", "flag",
			 "--service-account-max-token-expiration is less than the year that "
			 "--service-account-extend-token-expiration gives them");
	return 0;
}

static int accounts_jwks(struct sa_accounts *c, const char *uri, struct err *err)
{
	if (!uri || !*uri)
		return 0;
	c->jwks_uri = sv_from(uri);
	if (!accounts_url(c->jwks_uri))
		return err_set(err, ERR_INVALID, "service-account-jwks-uri must be a valid URL: '%s'", uri);
	if (!sv_starts(c->jwks_uri, SV("https://")))
		return err_set(err, ERR_INVALID, "service-account-jwks-uri requires https scheme, parsed as: %s", uri);
	return 0;
}

struct sa_accounts *sa_accounts_new(struct apiserver *s, struct err *err)
{
	const struct apiserver_accounts *o = &s->o.accounts;
	struct sa_accounts *c = xcalloc(1, sizeof(*c));

	c->extended_s = SA_EXTENDED_S;
	c->extend = !o->no_extension;
	c->lookup = !o->no_lookup;
	accounts_copy(&c->arena, o->audiences, &c->audiences, &c->n_audiences);
	if (sa_signer_check(o, err) < 0 || accounts_issuers(c, s, err) < 0 ||
	    accounts_life(c, o->max_expiration, err) < 0 || accounts_jwks(c, o->jwks_uri, err) < 0)
		return sa_accounts_free(c);
	if (!c->n_audiences) {
		c->audiences = c->issuers;
		c->n_audiences = c->n_issuers;
	}
	return c;
}

int sa_accounts_bound(struct sa_accounts *c, int64_t max_s, struct err *err)
{
	_cleanup_(buf_release) struct buf asked = BUF_INIT, most = BUF_INIT;

	if (c->max_s > max_s) {
		duration_format(&asked, c->max_s * NS_PER_SEC);
		duration_format(&most, max_s * NS_PER_SEC);
		return err_set(err, ERR_INVALID,
			       "service-account-max-token-expiration cannot be set longer than the token expiration "
			       "supported by service-account-signing-endpoint: %.*s > %.*s",
			       SV_ARG(buf_sv(&asked)), SV_ARG(buf_sv(&most)));
	}
	if (!c->max_s)
		c->max_s = max_s;
	c->extended_s = MIN(c->extended_s, max_s);
	return 0;
}

struct sa_accounts *sa_accounts_free(struct sa_accounts *c)
{
	if (c)
		arena_release(&c->arena);
	free(c);
	return NULL;
}

bool sa_accounts_issue(const struct sa_accounts *c, struct sv issuer)
{
	return accounts_have(c->issuers, c->n_issuers, issuer);
}

bool sa_accounts_hear(const struct sa_accounts *c, struct sv audience)
{
	return accounts_have(c->audiences, c->n_audiences, audience);
}

const struct sa_accounts *sa_accounts_of(const struct apiserver *s)
{
	return s->authz->accounts;
}
