/* The chain of authorizers that counts, and asking it. */
#include "apiserver/authz/chain.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/metrics.h"
#include "apiserver/watched_file.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/authz/node.h"
#include "codec/json.h"

#include <stdlib.h>

struct authz_chains {
	struct apiserver *s;
	struct watched_file *chain; /* of struct authz_chain; of the flags, or of a file */
};

/* --- which one counts --- */

/* The flags as the document they stand for. */
static int chain_of_flags(const struct apiserver_authorization *o, struct buf *b, struct err *err)
{
	const char *file = o->webhook_config_file;
	bool hook = false;

	buf_adds(b, "{\"apiVersion\":\"apiserver.config.k8s.io/v1\",\"kind\":\"AuthorizationConfiguration\","
		    "\"authorizers\":[");
	for (size_t i = 0; o->modes && o->modes[i]; i++) {
		buf_adds(b, i ? ",{\"type\":" : "{\"type\":");
		json_encode_str(b, sv_from(o->modes[i]));
		buf_printf(b, ",\"name\":\"m%zu\"", i);
		if (strcmp(o->modes[i], "Webhook") == 0) {
			hook = true;
			if (!file || !*file)
				return err_set(err, ERR_INVALID,
					       "authorization-mode Webhook's authorization config file not passed");
			buf_printf(b,
				   ",\"webhook\":{\"timeout\":\"30s\",\"failurePolicy\":\"NoOpinion\","
				   "\"authorizedTTL\":\"%s\",\"unauthorizedTTL\":\"%s\",\"subjectAccessReviewVersion\":"
				   "\"%s\",\"connectionInfo\":{\"type\":\"KubeConfigFile\",\"kubeConfigFile\":",
				   o->webhook_allowed_ttl ? o->webhook_allowed_ttl : "5m",
				   o->webhook_denied_ttl ? o->webhook_denied_ttl : "30s",
				   o->webhook_version ? o->webhook_version : "v1beta1");
			json_encode_str(b, sv_from(file));
			buf_adds(b, "}}");
		}
		buf_addc(b, '}');
	}
	buf_adds(b, "]}");
	if (file && !hook)
		return err_set(err, ERR_INVALID,
			       "cannot specify --authorization-webhook-config-file without mode Webhook");
	return 0;
}

static struct authz_chain *chain_by_flags(const struct apiserver_authorization *o, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	struct authz_chain *c;

	if (chain_of_flags(o, &b, err) < 0)
		return NULL;
	c = authz_chain_parse(buf_sv(&b), err);
	if (!c)
		err_wrap(err, "--authorization-mode");
	return c;
}

static void *chain_made(void *ctx, struct sv text, struct err *err)
{
	(void)ctx;
	return authz_chain_parse(text, err);
}

static void *chain_kept(void *value)
{
	return authz_chain_ref(value);
}

static void *chain_left(void *value)
{
	return authz_chain_unref(value);
}

static void chain_looked(void *ctx, bool good)
{
	struct authz_chains *c = ctx;

	metrics_reloaded(c->s, API_METRIC(AUTHZ_RELOADS), API_METRIC(AUTHZ_RELOAD_TIME), good);
}

struct authz_chains *authz_chains_new(struct apiserver *s, struct err *err)
{
	const struct apiserver_authorization *o = &s->o.authorization;
	bool flags = (o->modes && o->modes[0]) || o->webhook_config_file;
	struct watched_file_opts f = { .area = "authz",
				       .what = "the authorization configuration",
				       .flag = "--authorization-config",
				       .path = o->config,
				       .max = AUTHZ_CONFIG_MAX,
				       .make = chain_made,
				       .ref = chain_kept,
				       .unref = chain_left,
				       .looked = chain_looked };
	struct authz_chain *by_flags;
	struct authz_chains *c;

	if (o->config && flags) {
		err_set(err, ERR_INVALID,
			"--authorization-config can not be specified when --authorization-mode or "
			"--authorization-webhook-* flags are defined");
		return NULL;
	}
	if (!o->config && !flags)
		return NULL;
	c = xcalloc(1, sizeof(*c));
	c->s = s;
	f.ctx = c;
	if (o->config)
		c->chain = watched_file_new(&f, err);
	else if ((by_flags = chain_by_flags(o, err)))
		c->chain = watched_file_fixed(&f, by_flags);
	return c->chain ? c : authz_chains_free(c);
}

struct authz_chains *authz_chains_free(struct authz_chains *c)
{
	if (c)
		watched_file_free(c->chain);
	free(c);
	return NULL;
}

void authz_chains_reload(struct authz_chains *c)
{
	if (c)
		(void)watched_file_look(c->chain);
}

static struct authz_chain *chains_now(struct authz_chains *c)
{
	return watched_file_get(c->chain);
}

bool authz_chains_has(struct authz_chains *c, enum authz_mode mode)
{
	_cleanup_(authz_chain_unrefp) struct authz_chain *chain = chains_now(c);

	for (size_t i = 0; i < chain->n; i++)
		if (chain->links[i].mode == mode)
			return true;
	return false;
}

/* --- asking --- */

static enum authz_says link_ask(const struct authz_link *l, struct api_req *q, const struct authz_attrs *at,
				struct sv *ret_reason, struct err *err)
{
	struct sv node;

	*ret_reason = SV("");
	switch (l->mode) {
	case AUTHZ_ALWAYS_ALLOW:
		return AUTHZ_ALLOWS;
	case AUTHZ_ALWAYS_DENY:
		*ret_reason = SV("Everything is forbidden.");
		return AUTHZ_NO_OPINION;
	case AUTHZ_NODE:
		node = node_identity(at->user);
		return node.p && node_allowed(q->server, node, at, q->arena, ret_reason) ? AUTHZ_ALLOWS
											 : AUTHZ_NO_OPINION;
	case AUTHZ_RBAC:
		return rbac_allowed(q->server->authz->rbac, at, at->explain ? q->arena : NULL, ret_reason)
			   ? AUTHZ_ALLOWS
			   : AUTHZ_NO_OPINION;
	case AUTHZ_WEBHOOK:
		return authz_hook_ask(l->hook, q, at, ret_reason, err);
	default:
		return AUTHZ_NO_OPINION;
	}
}

/* Another failure, behind those before it. */
static void chain_failed(struct err *all, struct err *one)
{
	if (one->reason && !all->reason)
		err_set(all, ERR_INTERNAL, "%s", err_msg(one));
	else if (one->reason)
		err_wrap(all, "%s", err_msg(one));
	err_release(one);
}

int authz_chains_ask(struct authz_chains *a, struct api_req *q, const struct authz_attrs *at, bool *ret_final,
		     struct sv *ret_reason, struct err *err)
{
	_cleanup_(authz_chain_unrefp) struct authz_chain *c = NULL;
	_cleanup_(err_release) struct err failed = ERR_INIT;
	enum authz_says says = AUTHZ_NO_OPINION;
	struct sv reasons = SV("");

	*ret_reason = SV("");
	*ret_final = false;
	if (user_in_group(at->user, SV("system:masters")))
		return 0;
	c = chains_now(a);
	for (size_t i = 0; i < c->n && says == AUTHZ_NO_OPINION; i++) {
		struct err one = ERR_INIT;
		struct sv reason;

		says = link_ask(&c->links[i], q, at, &reason, &one);
		chain_failed(&failed, &one);
		if (says != AUTHZ_NO_OPINION)
			reasons = reason;
		else if (reason.n)
			reasons =
			    reasons.n ? arena_svf(q->arena, "%.*s\n%.*s", SV_ARG(reasons), SV_ARG(reason)) : reason;
	}
	if (says == AUTHZ_LATER)
		return REQ_LATER;
	*ret_reason = reasons;
	*ret_final = says == AUTHZ_DENIES;
	if (says == AUTHZ_ALLOWS)
		return 0;
	/* A review tells them apart. */
	if (says == AUTHZ_DENIES && at->explain && !failed.reason)
		return err_set(err, ERR_FORBIDDEN, "%.*s", SV_ARG(reasons));
	return failed.reason ? err_set(err, ERR_INTERNAL, "%s", err_msg(&failed)) : 1;
}
