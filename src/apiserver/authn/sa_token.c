#include "apiserver/authn/sa_token.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/pki.h"
#include "apiserver/watchcache.h"
#include "apiserver/registry/strategy.h"
#include "base/buf.h"
#include "base/timefmt.h"
#include "codec/json.h"

#include <jwt.h>
#include <stdlib.h>

#define CLOCK_LEEWAY_NS (60 * NS_PER_SEC)
#define TOKEN_MAX ((size_t)16 * 1024)

DEFINE_CLEANUP(jwt_t *, jwt_freep, jwt_free)

struct sv sa_issuer(struct apiserver *s, struct arena *a)
{
	return arena_svf(a, "https://kubernetes.default.svc.%s", s->o.cluster_domain);
}

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
	char jti[37];

	for (size_t i = 0; i < r->n_audiences; i++)
		val_push(a, aud, val_new_str(a, r->audiences[i]));
	if (r->n_audiences == 0)
		val_push(a, aud, val_new_str(a, sa_issuer(s, a)));
	env_uuid(s->env, jti);
	val_set_sv(a, doc, SV("aud"), aud);
	val_set_sv(a, doc, SV("exp"), val_new_int(a, now_s + r->expiration_s));
	val_set_sv(a, doc, SV("iat"), val_new_int(a, now_s));
	val_set_sv(a, doc, SV("iss"), val_new_str(a, sa_issuer(s, a)));
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
	val_set_sv(a, doc, SV("kubernetes.io"), k);
	val_set_sv(a, doc, SV("nbf"), val_new_int(a, now_s));
	val_set_sv(a, doc, SV("sub"),
		   val_new_strf(a, "system:serviceaccount:%.*s:%.*s", SV_ARG(r->ns), SV_ARG(r->name)));
	return doc;
}

int sa_token_issue(struct apiserver *s, struct arena *a, const struct sa_token_request *r, struct sv *ret_token,
		   int64_t *ret_expires_ns, struct err *err)
{
	const struct pki *pki = s->pki;
	int64_t now_s = env_now_ns(s->env) / NS_PER_SEC;
	_cleanup_(buf_release) struct buf json = BUF_INIT;
	_cleanup_(jwt_freep) jwt_t *jwt = NULL;
	char *text;

	if (!pki)
		return err_set(err, ERR_INTERNAL, "this server has no key to sign service account tokens with");
	json_encode(&json, claims_doc(s, a, r, now_s));
	if (jwt_new(&jwt) || jwt_add_grants_json(jwt, buf_cstr(&json)) ||
	    jwt_add_header(jwt, "kid", arena_cstr(a, pki->sa_kid)) ||
	    jwt_set_alg(jwt, JWT_ALG_ES256, (const unsigned char *)pki->sa_key.p, (int)pki->sa_key.n))
		return err_set(err, ERR_INTERNAL, "cannot build a service account token");
	text = jwt_encode_str(jwt);
	if (!text)
		return err_set(err, ERR_INTERNAL, "cannot sign a service account token");
	*ret_token = arena_sv(a, sv_from(text));
	free(text);
	*ret_expires_ns = (now_s + r->expiration_s) * NS_PER_SEC;
	return 0;
}

/* --- verifying --- */

static int decode(const struct pki *pki, struct arena *a, struct sv token, const struct val **ret, struct err *err)
{
	_cleanup_(jwt_freep) jwt_t *jwt = NULL;
	char *json;
	int rc;

	if (token.n == 0 || token.n > TOKEN_MAX)
		return err_set(err, ERR_UNAUTHORIZED, "no token of a sensible size");
	if (jwt_decode(&jwt, arena_cstr(a, token), (const unsigned char *)pki->sa_public.p, (int)pki->sa_public.n))
		return err_set(err, ERR_UNAUTHORIZED, "signature or form is wrong");
	/* Whatever alg the header names has just been used with our public key: only the one we
	 * sign with may count, or "none" and HMAC with the public key as secret would pass. */
	if (jwt_get_alg(jwt) != JWT_ALG_ES256)
		return err_set(err, ERR_UNAUTHORIZED, "unexpected signature algorithm");
	json = jwt_get_grants_json(jwt, NULL);
	if (!json)
		return err_set(err, ERR_UNAUTHORIZED, "no claims");
	*ret = json_decode(a, arena_sv(a, sv_from(json)), NULL, err);
	rc = *ret ? 0 : -1;
	free(json);
	return rc;
}

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
static int check_exists(struct apiserver *s, const struct resource *r, struct sv ns, struct sv name, struct sv uid,
			struct err *err)
{
	_cleanup_obj_ struct obj *o = wc_get(s->wc, r, ns, name);
	int64_t end;

	if (!o || !sv_eq(obj_uid(o), uid))
		return err_set(err, ERR_UNAUTHORIZED, "the %s '%.*s' the token is bound to is gone", r->singular,
			       SV_ARG(name));
	if (time_parse(val_str(obj_get(o, F_metadata, F_deletionTimestamp)), &end) &&
	    env_now_ns(s->env) - end > CLOCK_LEEWAY_NS)
		return err_set(err, ERR_UNAUTHORIZED, "the %s '%.*s' the token is bound to is being deleted",
			       r->singular, SV_ARG(name));
	return 0;
}

int sa_token_verify(struct apiserver *s, struct arena *a, struct sv token, struct sa_claims *ret, struct err *err)
{
	const struct val *doc = NULL, *k, *x;
	int64_t now = env_now_ns(s->env), nbf;

	*ret = (struct sa_claims){ 0 };
	if (decode(s->pki, a, token, &doc, err) < 0)
		return -1;
	if (!sv_eq(claim_str(doc, "iss"), sa_issuer(s, a)))
		return err_set(err, ERR_UNAUTHORIZED, "foreign issuer");
	ret->expires_ns = val_int_or(claim(doc, "exp"), 0) * NS_PER_SEC;
	nbf = val_int_or(claim(doc, "nbf"), 0) * NS_PER_SEC;
	if (now >= ret->expires_ns)
		return err_set(err, ERR_UNAUTHORIZED, "expired");
	if (now + CLOCK_LEEWAY_NS < nbf)
		return err_set(err, ERR_UNAUTHORIZED, "not valid yet");
	k = claim(doc, "kubernetes.io");
	ret->ns = claim_str(k, "namespace");
	x = claim(k, "serviceaccount");
	ret->name = claim_str(x, "name");
	ret->uid = claim_str(x, "uid");
	ret->jti = claim_str(doc, "jti");
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
	if (check_exists(s, RES(core_serviceaccounts), ret->ns, ret->name, ret->uid, err) < 0)
		return -1;
	if (ret->pod_name.n && check_exists(s, RES(core_pods), ret->ns, ret->pod_name, ret->pod_uid, err) < 0)
		return -1;
	if (ret->secret_name.n &&
	    check_exists(s, RES(core_secrets), ret->ns, ret->secret_name, ret->secret_uid, err) < 0)
		return -1;
	/* A pod's token names its node as information; only a token bound to the node itself
	 * ends with it. */
	if (ret->node_name.n && !ret->pod_name.n &&
	    check_exists(s, RES(core_nodes), SV(""), ret->node_name, ret->node_uid, err) < 0)
		return -1;
	return 0;
}

static void add_extra(struct arena *a, struct user_info *u, const char *key, struct sv value)
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
		add_extra(a, ret, "authentication.kubernetes.io/credential-id",
			  arena_svf(a, "JTI=%.*s", SV_ARG(c->jti)));
	add_extra(a, ret, "authentication.kubernetes.io/node-name", c->node_name);
	add_extra(a, ret, "authentication.kubernetes.io/node-uid", c->node_uid);
	add_extra(a, ret, "authentication.kubernetes.io/pod-name", c->pod_name);
	add_extra(a, ret, "authentication.kubernetes.io/pod-uid", c->pod_uid);
}

/* --- what others verify with --- */

static struct sv encode(struct arena *a, const struct val *doc)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	json_encode(&b, doc);
	return arena_sv(a, buf_sv(&b));
}

static void put(struct arena *a, struct val *m, const char *key, struct sv value)
{
	val_set_str_sv(a, m, sv_from(key), value);
}

struct sv sa_jwks(struct apiserver *s, struct arena *a)
{
	const struct pki *pki = s->pki;
	struct val *doc = val_new_map(a), *keys = val_new_list(a), *key = val_new_map(a);

	put(a, key, "use", SV("sig"));
	put(a, key, "kty", SV("EC"));
	put(a, key, "kid", pki->sa_kid);
	put(a, key, "crv", SV("P-256"));
	put(a, key, "alg", SV("ES256"));
	put(a, key, "x", pki->sa_x);
	put(a, key, "y", pki->sa_y);
	val_push(a, keys, key);
	val_set_sv(a, doc, SV("keys"), keys);
	return encode(a, doc);
}

static struct val *one(struct arena *a, const char *s)
{
	struct val *l = val_new_list(a);

	val_push(a, l, val_new_str(a, sv_from(s)));
	return l;
}

struct sv sa_openid_configuration(struct apiserver *s, struct arena *a)
{
	const struct apiserver_opts *o = &s->o;
	struct val *doc = val_new_map(a);

	put(a, doc, "issuer", sa_issuer(s, a));
	put(a, doc, "jwks_uri",
	    arena_svf(a, "https://%s:%d/openid/v1/jwks", o->advertise_address ? o->advertise_address : "127.0.0.1",
		      o->advertise_port));
	val_set_sv(a, doc, SV("response_types_supported"), one(a, "id_token"));
	val_set_sv(a, doc, SV("subject_types_supported"), one(a, "public"));
	val_set_sv(a, doc, SV("id_token_signing_alg_values_supported"), one(a, "ES256"));
	return encode(a, doc);
}
