#include "apiserver/authn.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/authz/node.h"
#include "apiserver/pki.h"
#include "apiserver/steps.h"
#include "apiserver/watchcache.h"
#include "apiserver/authn/bootstrap_token.h"
#include "apiserver/authn/front_proxy.h"
#include "apiserver/authn/sa_accounts.h"
#include "apiserver/authn/sa_token.h"
#include "apiserver/authn/token_cache.h"
#include "apiserver/authn/token_file.h"
#include "base/buf.h"
#include "base/strmap.h"
#include "object/annotation.h"
#include "object/node_labels.h"

#define INVALID_TOKEN "invalid bearer token"

static void set_user(struct arena *a, struct user_info *u, struct sv name, const struct sv *groups, size_t n)
{
	*u = (struct user_info){ .name = name, .groups = ARENA_ARRAY(a, struct sv, n + 1), .n_groups = n };
	for (size_t i = 0; i < n; i++)
		u->groups[i] = groups[i];
}

/* ["a" "b"], as Go prints what it quotes. */
static struct sv quoted_list(struct arena *a, const struct val *list, const struct sv *more, size_t n)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	buf_addc(&b, '[');
	if (val_type(list) == VAL_STR)
		buf_printf(&b, "\"%.*s\" ", SV_ARG(val_str(list)));
	VAL_EACH(list, v)
		buf_printf(&b, "\"%.*s\" ", SV_ARG(val_str(v)));
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "\"%.*s\" ", SV_ARG(more[i]));
	if (b.n > 1)
		b.n--;
	buf_addc(&b, ']');
	return arena_sv(a, buf_sv(&b));
}

/* The audiences asked for that the token has, into ret; -1 when there are none. */
static int common_audiences(struct arena *a, const struct sa_claims *c, const struct sa_accounts *own,
			    const struct sv *asked, size_t n, struct sv *ret, size_t *ret_n, struct err *err)
{
	/* Both lists are as long as their texts: whoever reviews and whoever asked for the token choose them. */
	_cleanup_(strmap_release) struct strmap have = STRMAP_INIT;

	for (size_t i = 0; i < own->n_audiences && c->legacy; i++)
		strmap_set(&have, own->audiences[i], ret);
	if (!c->legacy && val_type(c->audiences) == VAL_STR)
		strmap_set(&have, val_str(c->audiences), ret);
	VAL_EACH(c->legacy ? NULL : c->audiences, v)
		strmap_set(&have, val_str(v), ret);
	for (size_t i = 0; i < n; i++)
		if (strmap_has(&have, asked[i]))
			ret[(*ret_n)++] = asked[i];
	if (*ret_n)
		return 0;
	return err_set(
	    err, ERR_UNAUTHORIZED, "token audiences %.*s is invalid for the target audiences %.*s",
	    SV_ARG(quoted_list(a, c->legacy ? NULL : c->audiences, own->audiences, c->legacy ? own->n_audiences : 0)),
	    SV_ARG(quoted_list(a, NULL, asked, n)));
}

static int by_account(struct apiserver *s, struct arena *a, struct sv token, const struct sv *audiences,
		      size_t n_audiences, struct user_info *ret, struct sv *ret_audiences, size_t *ret_n,
		      struct err *err)
{
	const struct sa_accounts *own = sa_accounts_of(s);
	struct sa_claims c;
	int rc = sa_token_verify(s, a, token, &c, err);

	if (rc <= 0)
		return rc;
	if (!n_audiences) {
		audiences = own->audiences;
		n_audiences = own->n_audiences;
	}
	if (common_audiences(a, &c, own, audiences, n_audiences, ret_audiences, ret_n, err) < 0)
		return -1;
	sa_claims_user(a, &c, ret);
	ret->expires_ns = c.expires_ns;
	ret->stale_ns = c.stale_ns;
	if (c.generated)
		ret->warning = "Use tokens from the TokenRequest API or manually created secret-based tokens instead "
			       "of auto-generated secret-based tokens.";
	return 1;
}

int authn_token(struct apiserver *s, struct arena *a, struct sv token, const struct sv *audiences, size_t n_audiences,
		struct user_info *ret, struct sv **ret_audiences, size_t *ret_n, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	int rc;

	*ret_audiences = ARENA_ARRAY(a, struct sv, n_audiences ? n_audiences : s->authz->accounts->n_audiences);
	*ret_n = 0;
	if (token.n == 0 || !s->pki)
		return err_set(err, ERR_UNAUTHORIZED, INVALID_TOKEN), 0;
	/* These two have no audience: they are the cluster's own. */
	if (token_store_find(s->authz->static_tokens, a, token, ret))
		return 1;
	rc = bootstrap_token_verify(s, a, token, ret, NULL);
	if (rc == 0)
		rc = by_account(s, a, token, audiences, n_audiences, ret, *ret_audiences, ret_n, &why);
	if (rc > 0)
		return 1;
	if (why.reason == ERR_NONE)
		err_set(err, ERR_UNAUTHORIZED, INVALID_TOKEN);
	else
		err_set(err, ERR_UNAUTHORIZED, "[" INVALID_TOKEN ", %s]", err_msg(&why));
	return 0;
}

/* It should have been replaced, and lasts for those who do not. */
static void authn_note_stale(struct api_req *q)
{
	int64_t now = env_now_ns(q->server->env);

	if (!q->user.stale_ns || now < q->user.stale_ns)
		return;
	atomic_fetch_add(&q->server->authz->accounts->stale, 1);
	api_req_annotate(q, SV("authentication.k8s.io/stale-token"),
			 arena_svf(q->arena, "subject: %.*s, seconds after warning threshold: %" PRId64,
				   SV_ARG(q->user.name), (now - q->user.stale_ns) / NS_PER_SEC));
}

static int by_bearer(struct api_req *q, struct sv token, struct err *err)
{
	struct token_cache *cache = q->server->authz->tokens;
	int64_t now = env_mono_ns(q->server->env);
	struct err why = ERR_INIT;
	struct sv *audiences;
	size_t n;

	if (!token_cache_get(cache, q->arena, token, now, q->authn_since_ns, &q->user) ||
	    (q->user.expires_ns && env_now_ns(q->server->env) >= q->user.expires_ns)) {
		if (authn_token(q->server, q->arena, token, NULL, 0, &q->user, &audiences, &n, &why) != 1) {
			/* Why is for our log at most: a client learns no more than upstream tells it. */
			err_release(&why);
			return err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
		}
		/* Those are found by a look at a map, and one that was revoked lets nobody in any more. */
		if (!sv_starts(q->user.name, SV("system:bootstrap:")))
			token_cache_put(cache, token, now, &q->user);
	}
	if (q->user.warning)
		api_req_warn(q, "%s", q->user.warning);
	authn_note_stale(q);
	return 0;
}

/* A Node whose agent is known by its key (admission/node_key.c) is nobody else: not the machine that was deleted and
 * had the name before, nor one that asked for a certificate of that name before there was the Node. The annotation is
 * the node's own to write; so nobody else is that node, or writes it. */
static bool authn_is_another_machine(struct api_req *q, const struct http_peer *peer)
{
	struct sv node = node_identity(&q->user), known;
	_cleanup_obj_ struct obj *o = node.n ? wc_get(q->server->wc, RES(core_nodes), SV(""), node) : NULL;

	if (!o)
		return false;
	known = annotation_of(obj_root(o), NODE_KEY_ANNOTATION);
	return known.n && !sv_is(known, NODE_KEY_SERVER) && !sv_is(known, peer->key_hash);
}

static bool authn_has_certificate(const struct api_req *q)
{
	const struct http_peer *peer = q->http ? q->http->peer : NULL;

	return peer && (peer->bad_cert || (peer->has_cert && peer->common_name.n));
}

struct sv authn_bearer(const struct api_req *q)
{
	struct sv header = q->http ? http_header_get(q->http, "authorization") : SV("");

	/* Nothing behind "Bearer" is no credential, as upstream has it; as a token it is refused, too. */
	return header.n > 7 && sv_ieq(sv_sub(header, 0, 7), SV("bearer ")) ? sv_trim(sv_sub(header, 7, header.n))
									   : SV("");
}

/* A token of ours whose key was not known: looked at again when the keys have been fetched. */
static int authn_ask_signer(struct api_req *q, struct token_question *t, struct user_info *ret)
{
	_cleanup_(err_release) struct err why = ERR_INIT; /* for a review, as any other token of ours */
	int rc = sa_token_refresh(q, t->token);
	struct sv *audiences;
	size_t n;

	if (rc)
		return rc;
	if (authn_token(q->server, q->arena, t->token, t->audiences, t->n_audiences, ret, &audiences, &n, &why) != 1)
		return 1;
	t->ret_n = MIN(n, t->n_audiences);
	if (t->ret_n)
		memcpy(t->ret_audiences, audiences, t->ret_n * sizeof(*audiences));
	return 0;
}

int authn_ask_outside(struct api_req *q, struct token_question *t, struct user_info *ret, struct err *err)
{
	struct authz *z = q->server->authz;
	int rc = authn_ask_signer(q, t, ret);

	if (rc == 0 || rc == REQ_LATER)
		return rc;
	rc = z->jwt ? jwt_ask(z->jwt, q, t, ret, err) : 1;

	/* What an issuer refuses somebody else may know all the same, as upstream asks all. */
	if (rc == 0 || rc == REQ_LATER || !z->token_hook)
		return rc;
	err_release(err);
	return token_hook_ask(z->token_hook, q, t, ret, err);
}

int authn_outside(struct api_req *q, struct err *err)
{
	struct authz *z = q->server->authz;
	struct token_question t = { .token = authn_bearer(q) };
	int rc;

	/* A certificate that is not good is not made up for by a token. */
	if ((!z->signer && !z->jwt && !z->token_hook) || !t.token.n || authn_has_certificate(q))
		return 1;
	rc = authn_ask_outside(q, &t, &q->user, err);
	if (rc == 0)
		token_cache_put(z->tokens, t.token, env_mono_ns(q->server->env), &q->user);
	return rc;
}

int authn_request(struct api_req *q, struct err *err)
{
	static const struct sv unauthenticated = { "system:unauthenticated", sizeof("system:unauthenticated") - 1 };
	const struct http_peer *peer = q->http ? q->http->peer : NULL;
	struct sv token;

	if (!q->http)
		return 0; /* in-process: the client was made with its identity */
	if (front_proxy_user(q) == 0)
		return 0;
	if (peer && peer->bad_cert)
		return err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
	/* One that names nobody is none. */
	if (peer && peer->has_cert && peer->common_name.n) {
		/* A connection lives on behind the end of what opened it. */
		if (env_now_ns(q->server->env) >= peer->not_after_ns)
			return err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
		if (peer->n_uids > 1)
			return err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
		set_user(q->arena, &q->user, peer->common_name, peer->organizations, peer->n_organizations);
		user_is_authenticated(&q->user);
		q->user.expires_ns = peer->not_after_ns;
		q->user.uid = arena_sv(q->arena, peer->uid);
		if (*peer->cert_hash)
			user_add_extra(q->arena, &q->user, SV("authentication.kubernetes.io/credential-id"),
				       arena_svf(q->arena, "X509SHA256=%s", peer->cert_hash));
		if (user_in_group(&q->user, SV(KUBELET_CLIENT_GROUP)))
			return err_set(err, ERR_UNAUTHORIZED, "Unauthorized"); /* for kubelets only */
		if (authn_is_another_machine(q, peer))
			return err_set(
			    err, ERR_UNAUTHORIZED,
			    "Unauthorized: the Node of that name is another machine, or this one has lost its "
			    "key (annotation " NODE_KEY_ANNOTATION ")");
		return 0;
	}
	token = authn_bearer(q);
	if (token.n)
		return by_bearer(q, token, err);
	if (!jwt_allows_anonymous(q->server->authz->jwt, q->path, q->server->o.anonymous_auth))
		return err_set(err, ERR_UNAUTHORIZED, "Unauthorized");
	set_user(q->arena, &q->user, SV("system:anonymous"), &unauthenticated, 1);
	return 0;
}
