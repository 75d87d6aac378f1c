/* tokens: what a Secret of type kubernetes.io/service-account-token holds.
 *
 * Such a Secret names an account in an annotation and gets its CA, namespace and a token, again when one of them was
 * taken out or the CA changed. The token has no end of its own: it is good while the Secret holds it and the account is
 * that very one (apiserver/authn/sa_token.c). So a Secret whose account is gone, or is another of the same name, is
 * deleted. */
#include "base/b64.h"
#include "base/buf.h"
#include "client/workq.h"
#include "codec/json.h"
#include "codec/jws.h"
#include "controllers/controllers-internal.h"
#include "controllers/podutil.h"
#include "object/legacy_token.h"

#include <stdlib.h>

#define BY_ACCOUNT "account"

struct token_secrets {
	struct controller_ctx *ctx;
	struct informer *accounts, *secrets;
	struct workq *q;
	struct arena arena; /* of kid */
	struct sv kid;
};

static struct sv tokens_account_of(const struct obj *secret)
{
	return annotation_of(obj_root(secret), LEGACY_TOKEN_ACCOUNT);
}

/* --- the account --- */

static bool tokens_is_account(const struct obj *account, const struct obj *secret)
{
	struct sv uid = annotation_of(obj_root(secret), LEGACY_TOKEN_ACCOUNT_UID);

	return account && (!uid.n || sv_eq(uid, obj_uid(account)));
}

/* The account the Secret is of; NULL when there is none. The cache may lag behind one that was made just now, and what
 * it does not know is deleted: then the API server is asked. */
static int tokens_find_account(struct token_secrets *c, const struct obj *secret, struct obj **ret, struct err *err)
{
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct obj *o = informer_lookup(c->accounts, obj_ns(secret), tokens_account_of(secret));

	if (!tokens_is_account(o, secret)) {
		obj_unref(o);
		o = NULL;
		if (client_get(c->ctx->client, RES(core_serviceaccounts), obj_ns(secret), tokens_account_of(secret), &o,
			       &why) < 0 &&
		    why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
		if (!tokens_is_account(o, secret)) {
			obj_unref(o);
			o = NULL;
		}
	}
	*ret = o;
	return 0;
}

static int tokens_delete(struct token_secrets *c, const struct obj *secret, struct err *err)
{
	struct client_delete_opts o = CLIENT_DELETE_OPTS;
	_cleanup_(err_release) struct err why = ERR_INIT;

	o.precondition_uid = obj_uid(secret);
	if (client_delete(c->ctx->client, RES(core_secrets), obj_ns(secret), obj_name(secret), &o, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND && why.reason != ERR_CONFLICT)
		return err_move(err, &why);
	return 0;
}

/* --- the content --- */

static struct sv tokens_member(const struct obj *secret, const char *key)
{
	return val_str(val_member_sv(obj_get(secret, F_data), sv_from(key)));
}

static struct sv tokens_claims(struct arena *a, const struct obj *secret, const struct obj *account)
{
	struct val *doc = val_new_map(a);
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	val_set_str_sv(a, doc, SV("iss"), SV("kubernetes/serviceaccount"));
	val_set_str_sv(a, doc, SV("kubernetes.io/serviceaccount/namespace"), obj_ns(secret));
	val_set_str_sv(a, doc, SV("kubernetes.io/serviceaccount/secret.name"), obj_name(secret));
	val_set_str_sv(a, doc, SV("kubernetes.io/serviceaccount/service-account.name"), obj_name(account));
	val_set_str_sv(a, doc, SV("kubernetes.io/serviceaccount/service-account.uid"), obj_uid(account));
	val_set_str_sv(
	    a, doc, SV("sub"),
	    arena_svf(a, "system:serviceaccount:%.*s:%.*s", SV_ARG(obj_ns(account)), SV_ARG(obj_name(account))));
	json_encode(&b, doc);
	return arena_sv(a, buf_sv(&b));
}

static int tokens_fill(struct token_secrets *c, struct obj *secret, const struct obj *account, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err why = ERR_INIT;
	struct sv ca = b64_encode(&a, c->ctx->opts->root_ca_pem), token;
	bool needs_ca = ca.n && !sv_eq(tokens_member(secret, "ca.crt"), ca);
	bool needs_ns = !tokens_member(secret, "namespace").n, needs_token = !tokens_member(secret, "token").n;
	struct val *doc, *data;

	if (!needs_ca && !needs_ns && !needs_token)
		return 0;
	doc = obj_edit(&a, secret);
	data = val_ensure_map(&a, doc, F_data);
	if (needs_ca)
		val_set_str_sv(&a, data, SV("ca.crt"), ca);
	if (needs_ns)
		val_set_str_sv(&a, data, SV("namespace"), b64_encode(&a, obj_ns(secret)));
	if (needs_token) {
		if (jws_sign(&a, tokens_claims(&a, secret, account), c->ctx->opts->token_key_pem, c->kid, &token, err) <
		    0)
			return -1;
		val_set_str_sv(&a, data, SV("token"), b64_encode(&a, token));
	}
	annotation_set(&a, doc, LEGACY_TOKEN_ACCOUNT, obj_name(account));
	annotation_set(&a, doc, LEGACY_TOKEN_ACCOUNT_UID, obj_uid(account));
	if (client_update(c->ctx->client, RES(core_secrets), doc, NULL, NULL, &why) < 0 && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	return 0;
}

static int tokens_reconcile(void *ctx, struct sv key, struct reconcile_result *ret, struct err *err)
{
	struct token_secrets *c = ctx;
	_cleanup_obj_ struct obj *secret = NULL, *account = NULL;
	struct sv ns, name;

	(void)ret;
	workq_key_split(key, &ns, &name);
	secret = informer_lookup(c->secrets, ns, name);
	if (!secret || obj_deleting(secret))
		return 0;
	if (tokens_find_account(c, secret, &account, err) < 0)
		return -1;
	return account ? tokens_fill(c, secret, account, err) : tokens_delete(c, secret, err);
}

/* --- events --- */

static void tokens_secret_changed(struct obj *o, void *ctx)
{
	workq_add_obj(((struct token_secrets *)ctx)->q, obj_ns(o), obj_name(o));
}

static void tokens_secret_updated(struct obj *old, struct obj *now, void *ctx)
{
	(void)old;
	tokens_secret_changed(now, ctx);
}

static void tokens_by_account(const struct obj *o, struct index_keys *ret)
{
	index_keys_add_ref(ret, obj_ns(o), tokens_account_of(o));
}

static void tokens_account_changed(struct obj *account, void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct token_secrets *c = ctx;
	size_t n;
	struct obj **secrets = informer_by_ref(c->secrets, &a, BY_ACCOUNT, obj_ns(account), obj_name(account), &n);

	for (size_t i = 0; i < n; i++)
		tokens_secret_changed(secrets[i], c);
}

static void tokens_account_updated(struct obj *old, struct obj *now, void *ctx)
{
	if (!sv_eq(obj_uid(old), obj_uid(now)))
		tokens_account_changed(now, ctx);
}

static bool tokens_ready(void *ctx)
{
	struct token_secrets *c = ctx;

	return informer_synced(c->accounts) && informer_synced(c->secrets);
}

/* By which id the key is known to those who check: the API server's (authn/sa_token.c). */
static bool tokens_key_id(struct token_secrets *c, struct sv pem)
{
	_cleanup_(jws_keys_freep) struct jws_keys *k = jws_keys_pem_all(pem, NULL);

	if (k)
		c->kid = arena_sv(&c->arena, jws_keys_id(k));
	return k;
}

static void *tokens_start(struct controller_ctx *ctx)
{
	struct token_secrets *c = xcalloc(1, sizeof(*c));

	c->ctx = ctx;
	/* Without a key nothing is watched, and Secrets stay as they are. */
	if (!ctx->opts->token_key_pem.n || !tokens_key_id(c, ctx->opts->token_key_pem))
		return c;
	c->accounts = informer_get(ctx->informers, RES(core_serviceaccounts), NULL, NULL, NULL);
	c->secrets = informer_get(ctx->informers, RES(core_secrets), NULL, NULL, "type=" LEGACY_TOKEN_TYPE);
	c->q = workq_new(ctx->env, &(struct workq_opts){ .name = "serviceaccount-token-controller",
							 .workers = 1,
							 .reconcile = tokens_reconcile,
							 .ctx = c,
							 .ready = tokens_ready });
	(void)informer_add_index(c->secrets, BY_ACCOUNT, tokens_by_account);
	informer_add_handler(c->secrets,
			     &(struct informer_handler){ tokens_secret_changed, tokens_secret_updated, NULL }, c);
	informer_add_handler(
	    c->accounts,
	    &(struct informer_handler){ tokens_account_changed, tokens_account_updated, tokens_account_changed }, c);
	return c;
}

static void tokens_stop(void *controller)
{
	struct token_secrets *c = controller;

	workq_free(c->q);
	arena_release(&c->arena);
	free(c);
}

const struct controller_ops token_secrets_controller = { "serviceaccount-token-controller", NULL, tokens_start,
							 tokens_stop };
