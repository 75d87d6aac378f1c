/* What authentication and authorization remember, made at the start and given back at the end. */
#include "apiserver/authz.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/authn/front_proxy.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/bootstrap/bootstrap.h"
#include "apiserver/watchcache.h"
#include "codec/json.h"

#include <stdlib.h>

struct load {
	struct rbac *rbac;
	const struct resource *r;
};

static int load_object(struct obj *o, void *ctx)
{
	const struct load *l = ctx;

	rbac_observe(l->rbac, l->r, NULL, o);
	return 0;
}

/* The rights of every node are those the program was built with, whatever becomes of the ClusterRole. */
static int authz_node_rules(struct authz *z, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const struct val *list = rbac_policy(&a, err);

	if (!list)
		return -1;
	VAL_EACH(list, o)
		if (val_is(val_get(o, F_kind), "ClusterRole") && val_is(val_get(o, F_metadata, F_name), "system:node"))
			z->node_rules = val_clone(&z->arena, val_get(o, F_rules));
	BUG_ON(!z->node_rules);
	return 0;
}

int authz_start(struct apiserver *s, struct err *err)
{
	const struct resource *const kinds[] = { RES(rbac_roles), RES(rbac_clusterroles), RES(rbac_rolebindings),
						 RES(rbac_clusterrolebindings) };
	struct err failed = ERR_INIT;

	s->authz = xcalloc(1, sizeof(*s->authz));
	s->authz->rbac = rbac_new();
	s->authz->nodes = node_graph_new();
	s->authz->ingress = node_ingress_new();
	if (!(s->authz->accounts = sa_accounts_new(s, err)))
		return -1;
	if (s->o.accounts.signing_endpoint &&
	    (!(s->authz->signer = sa_signer_new(s->env, s->o.accounts.signing_endpoint, err)) ||
	     sa_accounts_bound(s->authz->accounts, sa_signer_max_s(s->authz->signer), err) < 0))
		return -1;
	s->authz->tokens = token_cache_new();
	s->authz->uses = token_use_new();
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		wc_each(s->wc, kinds[i], SV(""), load_object, &(struct load){ s->authz->rbac, kinds[i] });
	if (s->o.token_auth_file && !(s->authz->static_tokens = token_store_new(s->o.token_auth_file, err)))
		return -1;
	front_proxy_check(s);
	s->authz->jwt = jwt_new(s, &failed);
	if (!failed.reason)
		s->authz->chains = authz_chains_new(s, &failed);
	if (!failed.reason)
		s->authz->token_hook = token_hook_new(s, &failed);
	if (failed.reason)
		return err_move(err, &failed);
	return authz_node_rules(s->authz, err);
}

void authz_free(struct apiserver *s)
{
	if (!s->authz)
		return;
	rbac_free(s->authz->rbac);
	node_graph_free(s->authz->nodes);
	node_ingress_free(s->authz->ingress);
	arena_release(&s->authz->arena);
	sa_accounts_free(s->authz->accounts);
	sa_signer_free(s->authz->signer);
	token_cache_free(s->authz->tokens);
	token_use_free(s->authz->uses);
	token_store_free(s->authz->static_tokens);
	jwt_free(s->authz->jwt);
	token_hook_free(s->authz->token_hook);
	authz_chains_free(s->authz->chains);
	free(s->authz);
	s->authz = NULL;
}
