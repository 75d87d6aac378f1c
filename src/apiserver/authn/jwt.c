/* Tokens of other issuers: which configuration counts, and what it says of a token. */
#include "apiserver/authn/jwt.h"
#include "apiserver/metrics.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/jwt_keys.h"
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_token.h"
#include "apiserver/steps.h"
#include "apiserver/watched_file.h"
#include "base/b64.h"
#include "base/file.h"
#include "codec/json.h"
#include "codec/jws.h"

#include <stdlib.h>

#define ALGS_OF_FILES (JWS_ANY & ~JWS_EDDSA) /* all of upstream's */

struct jwt {
	struct apiserver *s;
	struct watched_file *config; /* of struct jwt_config; of the flags, or of a file */
};

/* --- flags --- */

static void flags_member(struct buf *b, const char *name, const char *value)
{
	buf_printf(b, "\"%s\":", name);
	json_encode_str(b, sv_from(value ? value : ""));
}

static int flags_required(struct buf *b, const char *const *list, struct err *err)
{
	for (size_t i = 0; list && list[i]; i++) {
		struct sv value = sv_from(list[i]), claim;

		if (!sv_split(&value, '=', &claim) || !claim.n || !value.p)
			return err_set(err, ERR_INVALID, "--oidc-required-claim is CLAIM=VALUE, not '%s'", list[i]);
		buf_adds(b, i ? ",{\"claim\":" : "{\"claim\":");
		json_encode_str(b, claim);
		buf_adds(b, ",\"requiredValue\":");
		json_encode_str(b, value);
		buf_addc(b, '}');
	}
	return 0;
}

static int flags_algs(const char *const *list, unsigned *ret, struct err *err)
{
	static const struct {
		const char *name;
		unsigned alg;
	} names[] = { { "RS256", JWS_RS256 }, { "RS384", JWS_RS384 }, { "RS512", JWS_RS512 },
		      { "ES256", JWS_ES256 }, { "ES384", JWS_ES384 }, { "ES512", JWS_ES512 },
		      { "PS256", JWS_PS256 }, { "PS384", JWS_PS384 }, { "PS512", JWS_PS512 } };

	*ret = list && list[0] ? 0 : JWS_RS256;
	for (; list && *list; list++) {
		unsigned found = 0;

		for (size_t i = 0; i < ARRAY_LEN(names); i++)
			if (strcmp(names[i].name, *list) == 0)
				found = names[i].alg;
		if (!found)
			return err_set(err, ERR_INVALID, "oidc: unsupported signing alg: \"%s\"", *list);
		*ret |= found;
	}
	return 0;
}

/* The flags as the document they stand for. */
static int flags_document(const struct apiserver_oidc *o, struct arena *a, struct buf *b, struct err *err)
{
	const char *claim = o->username_claim && *o->username_claim ? o->username_claim : "sub", *prefix;
	struct sv ca = SV("");

	if (!o->client_id || !*o->client_id)
		return err_set(err, ERR_INVALID,
			       "oidc-issuer-url and oidc-client-id must be specified together when any "
			       "oidc-* flags are set");
	if (o->ca_file && *o->ca_file && file_read(a, o->ca_file, JWT_CONFIG_MAX, &ca, err) < 0)
		return err_wrap(err, "--oidc-ca-file");
	prefix = o->username_prefix;
	if (!prefix || !*prefix)
		prefix = strcmp(claim, "email") == 0 ? "" : arena_printf(a, "%s#", o->issuer_url);
	else if (strcmp(prefix, "-") == 0)
		prefix = "";
	buf_adds(b, "{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"AuthenticationConfiguration\",\"jwt\":[{"
		    "\"issuer\":{");
	flags_member(b, "url", o->issuer_url);
	flags_member((buf_addc(b, ','), b), "certificateAuthority", arena_cstr(a, ca));
	buf_adds(b, ",\"audiences\":[");
	json_encode_str(b, sv_from(o->client_id));
	buf_adds(b, "]},\"claimMappings\":{\"username\":{");
	flags_member(b, "claim", claim);
	flags_member((buf_addc(b, ','), b), "prefix", prefix);
	buf_addc(b, '}');
	if (o->groups_claim && *o->groups_claim) {
		buf_adds(b, ",\"groups\":{");
		flags_member(b, "claim", o->groups_claim);
		flags_member((buf_addc(b, ','), b), "prefix", o->groups_prefix);
		buf_addc(b, '}');
	}
	buf_adds(b, "},\"claimValidationRules\":[");
	if (flags_required(b, o->required_claims, err) < 0)
		return -1;
	buf_adds(b, "]}]}");
	return 0;
}

static struct jwt_config *jwt_by_flags(struct jwt *j, const struct sa_accounts *own, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct jwt_config *c;
	unsigned algs;

	if (flags_algs(j->s->o.oidc.signing_algs, &algs, err) < 0 || flags_document(&j->s->o.oidc, &a, &b, err) < 0)
		return NULL;
	c = jwt_config_parse(buf_sv(&b), own->issuers, own->n_issuers, algs, err);
	if (!c)
		err_wrap(err, "--oidc-*");
	return c;
}

/* --- files --- */

static void *jwt_made(void *ctx, struct sv text, struct err *err)
{
	struct jwt *j = ctx;
	const struct sa_accounts *own = sa_accounts_of(j->s);
	struct jwt_config *c = jwt_config_parse(text, own->issuers, own->n_issuers, ALGS_OF_FILES, err);

	if (!c || !c->anonymous_set || j->s->o.anonymous_auth)
		return c;
	err_set(err, ERR_INVALID,
		"--anonymous-auth flag cannot be set when anonymous field is configured in authentication "
		"configuration file");
	return jwt_config_unref(c);
}

static void *jwt_kept(void *value)
{
	return jwt_config_ref(value);
}

static void *jwt_left(void *value)
{
	return jwt_config_unref(value);
}

static void jwt_looked(void *ctx, bool good)
{
	struct jwt *j = ctx;

	metrics_reloaded(j->s, API_METRIC(AUTHN_RELOADS), API_METRIC(AUTHN_RELOAD_TIME), good);
}

struct jwt *jwt_new(struct apiserver *s, struct err *err)
{
	const struct apiserver_oidc *o = &s->o.oidc;
	struct jwt *j;
	struct watched_file_opts f = { .area = "authn",
				       .what = "the authentication configuration",
				       .flag = "--authentication-config",
				       .path = s->o.authentication_config,
				       .max = JWT_CONFIG_MAX,
				       .make = jwt_made,
				       .ref = jwt_kept,
				       .unref = jwt_left,
				       .looked = jwt_looked };
	struct jwt_config *c;

	if (f.path && o->issuer_url) {
		err_set(err, ERR_INVALID, "authentication-config file and oidc-* flags are mutually exclusive");
		return NULL;
	}
	if (!f.path && !o->issuer_url)
		return NULL;
	j = xcalloc(1, sizeof(*j));
	j->s = s;
	f.ctx = j;
	if (f.path)
		j->config = watched_file_new(&f, err);
	else if ((c = jwt_by_flags(j, sa_accounts_of(s), err)))
		j->config = watched_file_fixed(&f, c);
	return j->config ? j : jwt_free(j);
}

struct jwt *jwt_free(struct jwt *j)
{
	if (j)
		watched_file_free(j->config);
	free(j);
	return NULL;
}

void jwt_reload(struct jwt *j)
{
	if (j)
		(void)watched_file_look(j->config);
}

/* --- questions --- */

static struct jwt_config *jwt_config_now(struct jwt *j)
{
	return watched_file_get(j->config);
}

bool jwt_allows_anonymous(struct jwt *j, struct sv path, bool otherwise)
{
	_cleanup_(jwt_config_unrefp) struct jwt_config *c = j ? jwt_config_now(j) : NULL;

	if (!c || !c->anonymous_set)
		return otherwise;
	if (!c->anonymous || !c->n_anonymous_paths)
		return c->anonymous;
	for (size_t i = 0; i < c->n_anonymous_paths; i++)
		if (sv_eq(path, c->anonymous_paths[i]))
			return true;
	return false;
}

/* Who the token says has signed it: whom to ask, nothing else. */
static const struct jwt_issuer *jwt_issuer_of(const struct jwt_config *c, struct arena *a, struct sv token)
{
	struct budget values = BUDGET(doc_values_limit);
	struct sv rest = token, header, claims, json, url;
	const struct val *doc;

	if (token.n > JWS_TOKEN_MAX || !sv_split(&rest, '.', &header) || !sv_split(&rest, '.', &claims) ||
	    !b64url_decode_exact(a, claims, &json))
		return NULL;
	doc = json_decode(a, json, &(struct json_opts){ .values = &values }, NULL);
	url = val_str(val_member_sv(doc, SV("iss")));
	for (size_t i = 0; url.n && i < c->n_issuers; i++)
		if (sv_eq(c->issuers[i].url, url))
			return &c->issuers[i];
	return NULL;
}

/* A token of another issuer is for the API server; who asks for others is told it is none. */
static bool jwt_audiences(struct api_req *q, struct token_question *t)
{
	const struct sa_accounts *own = sa_accounts_of(q->server);

	if (!t->n_audiences)
		return true;
	t->ret_n = 0;
	for (size_t i = 0; i < t->n_audiences; i++)
		if (sa_accounts_hear(own, t->audiences[i]))
			t->ret_audiences[t->ret_n++] = t->audiences[i];
	return t->ret_n > 0;
}

int jwt_ask(struct jwt *j, struct api_req *q, struct token_question *t, struct user_info *ret, struct err *err)
{
	_cleanup_(jwt_config_unrefp) struct jwt_config *c = jwt_config_now(j);
	const struct jwt_issuer *is = jwt_issuer_of(c, q->arena, t->token);
	struct user_info found;
	const struct val *claims;
	int64_t expires;
	int rc;

	if (!is || !jwt_audiences(q, t))
		return 1;
	rc = jwt_keys_verify(is->keys, q, t->token, is->algs, &claims, err);
	if (rc < 0)
		return err_wrap(err, "oidc: verify token");
	if (rc)
		return rc;
	if (jwt_check(is, q->arena, claims, env_now_ns(q->server->env), &expires, err) < 0 ||
	    jwt_user(is, q->arena, claims, &found, err) < 0)
		return -1;
	/* Keys of extra are the configuration's, which may end before q does. */
	user_copy(q->arena, ret, &found);
	ret->groups = ARENA_ARRAY(q->arena, struct sv, found.n_groups + 1);
	if (found.n_groups)
		memcpy(ret->groups, found.groups, found.n_groups * sizeof(*ret->groups));
	user_is_authenticated(ret);
	ret->expires_ns = expires;
	return 0;
}
