#include "apiserver/authn/sa_token.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/pki.h"
#include "apiserver/watchcache.h"
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_signer.h"
#include "apiserver/authn/token_use.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/registry/strategy.h"
#include "base/b64.h"
#include "base/buf.h"
#include "base/timefmt.h"
#include "codec/json.h"
#include "codec/jws.h"
#include "net/digest.h"
#include "object/legacy_token.h"

#define CLOCK_LEEWAY_NS (60 * NS_PER_SEC)
#define JWKS_AGE_S 3600 /* of keys that change with a restart */
#define LEGACY_ISSUER "kubernetes/serviceaccount"

/* --- issuing --- */

static struct val *named(struct arena *a, struct sv name, struct sv uid)
{
	struct val *m = val_new_map(a);

	val_set_str(a, m, F_name, name);
	val_set_str(a, m, F_uid, uid);
	return m;
}

static struct val *claims_doc(struct apiserver *s, struct arena *a, const struct sa_token_request *r, int64_t now_s)
{
	struct val *doc = val_new_map(a), *aud = val_new_list(a), *k = val_new_map(a);
	const struct sa_accounts *c = sa_accounts_of(s);
	char jti[37];

	for (size_t i = 0; i < r->n_audiences; i++)
		val_push(a, aud, val_new_str(a, r->audiences[i]));
	for (size_t i = 0; i < c->n_audiences && !r->n_audiences; i++)
		val_push(a, aud, val_new_str(a, c->audiences[i]));
	env_uuid(s->env, jti);
	val_set_sv(a, doc, SV("aud"), aud);
	val_set_sv(a, doc, SV("exp"), val_new_int(a, now_s + r->expiration_s));
	val_set_sv(a, doc, SV("iat"), val_new_int(a, now_s));
	val_set_sv(a, doc, SV("iss"), val_new_str(a, c->issuers[0]));
	val_set_sv(a, doc, SV("jti"), val_new_str(a, sv_from(jti)));
	val_set_sv(a, k, SV("namespace"), val_new_str(a, r->ns));
	if (r->node_name.n)
		val_set_sv(a, k, SV("node"), named(a, r->node_name, r->node_uid));
	if (sv_is(r->bound_kind, "Pod"))
		val_set_sv(a, k, SV("pod"), named(a, r->bound_name, r->bound_uid));
	else if (sv_is(r->bound_kind, "Secret"))
		val_set_sv(a, k, SV("secret"), named(a, r->bound_name, r->bound_uid));
	else if (sv_is(r->bound_kind, "Node"))
		val_set_sv(a, k, SV("node"), named(a, r->bound_name, r->bound_uid));
	val_set_sv(a, k, SV("serviceaccount"), named(a, r->name, r->uid));
	if (r->warn_after_s)
		val_set_sv(a, k, SV("warnafter"), val_new_int(a, now_s + r->warn_after_s));
	val_set_sv(a, doc, SV("kubernetes.io"), k);
	val_set_sv(a, doc, SV("nbf"), val_new_int(a, now_s));
	val_set_sv(a, doc, SV("sub"),
		   val_new_strf(a, "system:serviceaccount:%.*s:%.*s", SV_ARG(r->ns), SV_ARG(r->name)));
	return doc;
}

struct sv sa_token_claims(struct apiserver *s, struct arena *a, const struct sa_token_request *r,
			  int64_t *ret_expires_ns)
{
	int64_t now_s = env_now_ns(s->env) / NS_PER_SEC;
	_cleanup_(buf_release) struct buf json = BUF_INIT;

	json_encode(&json, claims_doc(s, a, r, now_s));
	*ret_expires_ns = (now_s + r->expiration_s) * NS_PER_SEC;
	return arena_sv(a, buf_sv(&json));
}

int sa_token_sign(struct api_req *q, struct sv claims, struct sv *ret_token, struct err *err)
{
	const struct pki *pki = q->server->pki;

	if (q->server->authz->signer)
		return sa_signer_sign(q->server->authz->signer, q, claims, ret_token, err);
	if (!pki)
		return err_set(err, ERR_INTERNAL, "this server has no key to sign service account tokens with");
	return jws_sign(q->arena, claims, pki->sa_key, pki->sa_kid, ret_token, err);
}

/* --- keys --- */

/* By which tokens are checked: the signer's as they are now, which *ret_keep holds, or those of files. */
static const struct jws_keys *sa_token_keys(struct apiserver *s, bool shown, struct signer_keys **ret_keep)
{
	struct sa_signer *g = s->authz ? s->authz->signer : NULL;

	*ret_keep = g ? sa_signer_keys(g) : NULL;
	if (!g)
		return s->pki->sa_public;
	return shown ? (*ret_keep)->shown : (*ret_keep)->all;
}

/* --- verifying --- */

static const struct val *claim(const struct val *m, const char *name)
{
	return val_member_sv(m, sv_from(name));
}

static struct sv claim_str(const struct val *m, const char *name)
{
	return val_str(claim(m, name));
}

/* Is the object still the one the token was bound to? What is being deleted counts for a minute after its time: its
 * programs may need the token to end well, and a finalizer must not make it last. */
static int check_bound(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct sv uid,
		       struct err *err)
{
	_cleanup_obj_ struct obj *o = wc_get(s->wc, r, ns, name);
	bool account = r == RES(core_serviceaccounts), gone;
	int64_t end;

	if (!o && account)
		return err_set(err, ERR_UNAUTHORIZED, "serviceaccounts \"%.*s\" not found", SV_ARG(name));
	gone = !o || (time_parse(val_str(obj_get(o, F_metadata, F_deletionTimestamp)), &end) &&
		      env_now_ns(s->env) - end > CLOCK_LEEWAY_NS);
	if (gone && account)
		return err_set(err, ERR_UNAUTHORIZED, "service account %.*s/%.*s has been deleted", SV_ARG(ns),
			       SV_ARG(name));
	if (gone)
		return err_set(err, ERR_UNAUTHORIZED, "service account token has been invalidated");
	if (!sv_eq(obj_uid(o), uid) && account)
		return err_set(err, ERR_UNAUTHORIZED, "service account UID (%.*s) does not match claim (%.*s)",
			       SV_ARG(obj_uid(o)), SV_ARG(uid));
	if (!sv_eq(obj_uid(o), uid))
		return err_set(err, ERR_UNAUTHORIZED,
			       "%s UID (%.*s) does not match service account %s ref claim (%.*s)", r->singular,
			       SV_ARG(obj_uid(o)), r->singular, SV_ARG(uid));
	return 0;
}

/* Bound to what is named in the claims, for a time. */
static int verify_bound(struct apiserver *s, const struct val *doc, struct sa_claims *ret, struct err *err)
{
	const struct val *k, *x;
	int64_t now = env_now_ns(s->env), nbf;

	ret->expires_ns = val_int_or(claim(doc, "exp"), 0) * NS_PER_SEC;
	nbf = val_int_or(claim(doc, "nbf"), 0) * NS_PER_SEC;
	if (now >= ret->expires_ns)
		return err_set(err, ERR_UNAUTHORIZED, "service account token has expired");
	if (now + CLOCK_LEEWAY_NS < nbf)
		return err_set(err, ERR_UNAUTHORIZED, "service account token is not valid yet");
	k = claim(doc, "kubernetes.io");
	ret->ns = claim_str(k, "namespace");
	x = claim(k, "serviceaccount");
	ret->name = claim_str(x, "name");
	ret->uid = claim_str(x, "uid");
	ret->jti = claim_str(doc, "jti");
	ret->stale_ns = val_int_or(claim(k, "warnafter"), 0) * NS_PER_SEC;
	ret->audiences = claim(doc, "aud");
	x = claim(k, "pod");
	ret->pod_name = claim_str(x, "name");
	ret->pod_uid = claim_str(x, "uid");
	x = claim(k, "node");
	ret->node_name = claim_str(x, "name");
	ret->node_uid = claim_str(x, "uid");
	x = claim(k, "secret");
	ret->secret_name = claim_str(x, "name");
	ret->secret_uid = claim_str(x, "uid");
	if (check_bound(s, RES(core_serviceaccounts), ret->ns, ret->name, ret->uid, err) < 0)
		return -1;
	if (ret->pod_name.n && check_bound(s, RES(core_pods), ret->ns, ret->pod_name, ret->pod_uid, err) < 0)
		return -1;
	if (ret->secret_name.n &&
	    check_bound(s, RES(core_secrets), ret->ns, ret->secret_name, ret->secret_uid, err) < 0)
		return -1;
	/* A pod's token names its node as information; only a token bound to the node itself
	 * ends with it. */
	if (ret->node_name.n && !ret->pod_name.n &&
	    check_bound(s, RES(core_nodes), SV(""), ret->node_name, ret->node_uid, err) < 0)
		return -1;
	return 0;
}

/* The claims a token of a Secret must have, and what is said where one is missing. */
static int legacy_claims(struct arena *a, const struct val *doc, struct sa_claims *ret, struct err *err)
{
	const struct {
		struct sv *to;
		const char *claim, *name;
	} needed[] = {
		{ &ret->ns, "kubernetes.io/serviceaccount/namespace", "namespace" },
		{ &ret->secret_name, "kubernetes.io/serviceaccount/secret.name", "secretName" },
		{ &ret->name, "kubernetes.io/serviceaccount/service-account.name", "serviceAccountName" },
		{ &ret->uid, "kubernetes.io/serviceaccount/service-account.uid", "serviceAccountUID" },
	};

	ret->legacy = true;
	if (!claim_str(doc, "sub").n)
		return err_set(err, ERR_UNAUTHORIZED, "sub claim is missing");
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		*needed[i].to = claim_str(doc, needed[i].claim);
		if (!needed[i].to->n)
			return err_set(err, ERR_UNAUTHORIZED, "%s claim is missing", needed[i].name);
	}
	if (!sv_eq(claim_str(doc, "sub"),
		   arena_svf(a, "system:serviceaccount:%.*s:%.*s", SV_ARG(ret->ns), SV_ARG(ret->name))))
		return err_set(err, ERR_UNAUTHORIZED, "sub claim is invalid");
	return 0;
}

/* The token of a Secret has no end of its own: it is as good as the Secret that holds it, byte for byte, and the
 * account. Neither has to be gone for that, to be on the way is enough. That it was used is noted, also of one that is
 * marked as invalid: who removes the mark shall see whether anybody needs it. */
static int verify_legacy(struct apiserver *s, struct arena *a, struct sv token, const struct val *doc,
			 struct sa_claims *ret, struct err *err)
{
	_cleanup_obj_ struct obj *secret = NULL, *account = NULL;

	if (legacy_claims(a, doc, ret, err) < 0)
		return -1;
	if (!sa_accounts_of(s)->lookup)
		return 0;
	secret = wc_get(s->wc, RES(core_secrets), ret->ns, ret->secret_name);
	if (!secret || obj_deleting(secret))
		return err_set(err, ERR_UNAUTHORIZED, "Token has been invalidated");
	if (!secret_equal(b64_encode(a, token), val_str(val_member_sv(obj_get(secret, F_data), SV("token")))))
		return err_set(err, ERR_UNAUTHORIZED, "Token does not match server's copy");
	account = wc_get(s->wc, RES(core_serviceaccounts), ret->ns, ret->name);
	if (!account)
		return err_set(err, ERR_UNAUTHORIZED, "serviceaccounts \"%.*s\" not found", SV_ARG(ret->name));
	if (obj_deleting(account))
		return err_set(err, ERR_UNAUTHORIZED, "ServiceAccount %.*s/%.*s has been deleted", SV_ARG(ret->ns),
			       SV_ARG(ret->name));
	if (!sv_eq(obj_uid(account), ret->uid))
		return err_set(err, ERR_UNAUTHORIZED, "ServiceAccount UID (%.*s) does not match claim (%.*s)",
			       SV_ARG(obj_uid(account)), SV_ARG(ret->uid));
	token_use_note(s, secret);
	if (val_str(val_member_sv(obj_labels(secret), SV(LEGACY_TOKEN_INVALID_SINCE))).n)
		return err_set(
		    err, ERR_UNAUTHORIZED,
		    "the token in secret %.*s/%.*s for service account %.*s/%.*s has been marked invalid. Use "
		    "tokens from the TokenRequest API or manually created secret-based tokens, or remove the "
		    "'%s' label from the secret to temporarily allow use of this token",
		    SV_ARG(ret->ns), SV_ARG(ret->secret_name), SV_ARG(ret->ns), SV_ARG(ret->name),
		    LEGACY_TOKEN_INVALID_SINCE);
	ret->generated = legacy_token_generated(obj_root(account), ret->secret_name);
	return 0;
}

int sa_token_verify(struct apiserver *s, struct arena *a, struct sv token, struct sa_claims *ret, struct err *err)
{
	_cleanup_(signer_keys_unrefp) struct signer_keys *keep = NULL;
	const struct val *doc;
	struct sv issuer;
	int rc;

	*ret = (struct sa_claims){ 0 };
	if (jws_verify(a, token, sa_token_keys(s, false, &keep), PKI_TOKEN_ALGS, &doc, NULL) < 0)
		return 0;
	issuer = claim_str(doc, "iss");
	if (sv_is(issuer, LEGACY_ISSUER))
		rc = verify_legacy(s, a, token, doc, ret, err);
	else if (sa_accounts_issue(sa_accounts_of(s), issuer))
		rc = verify_bound(s, doc, ret, err);
	else
		return 0;
	return rc < 0 ? -1 : 1;
}

/* Who the token says has issued it is ours: whom to ask, nothing else. */
static bool sa_token_claims_ours(struct apiserver *s, struct arena *a, struct sv token)
{
	struct sv rest = token, header, claims, issuer;

	if (token.n > JWS_TOKEN_MAX || !sv_split(&rest, '.', &header) || !sv_split(&rest, '.', &claims))
		return false;
	issuer = claim_str(jws_header_peek(a, claims), "iss");
	return sv_is(issuer, LEGACY_ISSUER) || sa_accounts_issue(sa_accounts_of(s), issuer);
}

int sa_token_refresh(struct api_req *q, struct sv token)
{
	struct sa_signer *g = q->server->authz->signer;

	return g && sa_token_claims_ours(q->server, q->arena, token) ? sa_signer_refresh(g, q, token) : 1;
}

static void sa_token_add_extra(struct arena *a, struct user_info *u, const char *key, struct sv value)
{
	struct extra_info *e;

	if (value.n == 0)
		return;
	e = &u->extra[u->n_extra++];
	e->key = sv_from(key);
	e->values = ARENA_NEW(a, struct sv);
	e->values[0] = value;
	e->n_values = 1;
}

void sa_claims_user(struct arena *a, const struct sa_claims *c, struct user_info *ret)
{
	*ret = (struct user_info){
		.name = arena_svf(a, "system:serviceaccount:%.*s:%.*s", SV_ARG(c->ns), SV_ARG(c->name)),
		.uid = c->uid,
		.groups = ARENA_ARRAY(a, struct sv, 3),
		.n_groups = 3,
		.extra = ARENA_ARRAY(a, struct extra_info, 5),
	};
	ret->groups[0] = SV("system:serviceaccounts");
	ret->groups[1] = arena_svf(a, "system:serviceaccounts:%.*s", SV_ARG(c->ns));
	ret->groups[2] = SV("system:authenticated");
	if (c->jti.n)
		sa_token_add_extra(a, ret, "authentication.kubernetes.io/credential-id",
				   arena_svf(a, "JTI=%.*s", SV_ARG(c->jti)));
	sa_token_add_extra(a, ret, "authentication.kubernetes.io/node-name", c->node_name);
	sa_token_add_extra(a, ret, "authentication.kubernetes.io/node-uid", c->node_uid);
	sa_token_add_extra(a, ret, "authentication.kubernetes.io/pod-name", c->pod_name);
	sa_token_add_extra(a, ret, "authentication.kubernetes.io/pod-uid", c->pod_uid);
}

/* --- what others verify with --- */

static struct sv sa_token_encode(struct arena *a, const struct val *doc)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, doc);
	return arena_sv(a, buf_sv(&b));
}

static void sa_token_put(struct arena *a, struct val *m, const char *key, struct sv value)
{
	val_set_str_sv(a, m, sv_from(key), value);
}

struct sv sa_jwks(struct apiserver *s, struct arena *a)
{
	_cleanup_(signer_keys_unrefp) struct signer_keys *keep = NULL;
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	const struct jws_keys *keys = sa_token_keys(s, true, &keep);

	if (!keys)
		return SV("{\"keys\":[]}");
	jws_keys_write(keys, &b);
	return arena_sv(a, buf_sv(&b));
}

int64_t sa_jwks_age_s(struct apiserver *s)
{
	return s->authz && s->authz->signer ? sa_signer_age_s(s->authz->signer) : JWKS_AGE_S;
}

static struct val *sa_token_one(struct arena *a, const char *s)
{
	struct val *l = val_new_list(a);

	val_push(a, l, val_new_str(a, sv_from(s)));
	return l;
}

/* In the order of their names, as upstream sorts them. */
static struct val *sa_token_algs(struct arena *a, unsigned algs)
{
	static const enum jws_alg sorted[] = { JWS_ES256, JWS_ES384, JWS_ES512, JWS_RS256 };
	struct val *l = val_new_list(a);

	for (size_t i = 0; i < ARRAY_LEN(sorted); i++)
		if (algs & sorted[i])
			val_push(a, l, val_new_str(a, sv_from(jws_alg_name(sorted[i]))));
	return l;
}

struct sv sa_openid_configuration(struct apiserver *s, struct arena *a)
{
	const struct sa_accounts *c = sa_accounts_of(s);
	const struct apiserver_opts *o = &s->o;
	_cleanup_(signer_keys_unrefp) struct signer_keys *keep = NULL;
	const struct jws_keys *keys = sa_token_keys(s, true, &keep);
	struct val *doc = val_new_map(a);

	if (!sv_starts(c->issuers[0], SV("https://")))
		return SV("");
	sa_token_put(a, doc, "issuer", c->issuers[0]);
	sa_token_put(a, doc, "jwks_uri",
		     c->jwks_uri.n
			 ? c->jwks_uri
			 : arena_svf(a, "https://%s:%d/openid/v1/jwks",
				     o->advertise_address ? o->advertise_address : "127.0.0.1", o->advertise_port));
	val_set_sv(a, doc, SV("response_types_supported"), sa_token_one(a, "id_token"));
	val_set_sv(a, doc, SV("subject_types_supported"), sa_token_one(a, "public"));
	val_set_sv(a, doc, SV("id_token_signing_alg_values_supported"),
		   sa_token_algs(a, keys ? jws_keys_algs(keys) : 0));
	return sa_token_encode(a, doc);
}
