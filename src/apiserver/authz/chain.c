/* The chain of authorizers that counts, and asking it. */
#include "apiserver/authz/chain.h"
#include "apiserver/apiserver-internal.h"
#include "apiserver/metrics.h"
#include "apiserver/authz/authz-internal.h"
#include "apiserver/authz/node.h"
#include "base/file.h"
#include "base/log.h"
#include "codec/json.h"

#include <stdlib.h>

struct authz_chains {
	struct apiserver *s;
	const char *path; /* NULL: by flags */
	pthread_mutex_t lock;
	struct authz_chain *chain; /* under the lock */
	struct buf text;	   /* of the file as it counts; the reloader's, */
	bool told;		   /* as is whether a wrong one was told of */
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

/* 1: the file is as it was. */
static int chains_read(struct authz_chains *c, struct authz_chain **ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv text;

	if (file_read(&a, c->path, AUTHZ_CONFIG_MAX, &text, err) < 0)
		return err_wrap(err, "--authorization-config");
	if (c->chain && sv_eq(text, buf_sv(&c->text)))
		return 1;
	*ret = authz_chain_parse(text, err);
	if (!*ret)
		return err_wrap(err, "--authorization-config '%s'", c->path);
	buf_clear(&c->text);
	buf_addsv(&c->text, text);
	return 0;
}

static int chains_by_flags(struct authz_chains *c, struct err *err)
{
	_cleanup_(buf_release) struct buf b = BUF_INIT;

	if (chain_of_flags(&c->s->o.authorization, &b, err) < 0)
		return -1;
	c->chain = authz_chain_parse(buf_sv(&b), err);
	return c->chain ? 0 : err_wrap(err, "--authorization-mode");
}

struct authz_chains *authz_chains_new(struct apiserver *s, struct err *err)
{
	const struct apiserver_authorization *o = &s->o.authorization;
	bool flags = (o->modes && o->modes[0]) || o->webhook_config_file;
	struct authz_chains *c;
	int rc;

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
	c->path = o->config;
	pthread_mutex_init(&c->lock, NULL);
	rc = c->path ? chains_read(c, &c->chain, err) : chains_by_flags(c, err);
	return rc < 0 ? authz_chains_free(c) : c;
}

struct authz_chains *authz_chains_free(struct authz_chains *c)
{
	if (!c)
		return NULL;
	authz_chain_unref(c->chain);
	buf_release(&c->text);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

void authz_chains_reload(struct authz_chains *c)
{
	struct authz_chain *now = NULL, *old;
	struct err err = ERR_INIT;
	int rc;

	if (!c || !c->path)
		return;
	rc = chains_read(c, &now, &err);
	if (rc < 0 && !c->told)
		log_warn("authz", "the authorization configuration is wrong: the one before counts on", "error", "%s",
			 err_msg(&err));
	err_release(&err);
	c->told = rc < 0;
	if (rc != 1)
		metrics_reloaded(c->s, API_METRIC(AUTHZ_RELOADS), API_METRIC(AUTHZ_RELOAD_TIME), rc == 0);
	if (rc)
		return;
	pthread_mutex_lock(&c->lock);
	old = c->chain;
	c->chain = now;
	pthread_mutex_unlock(&c->lock);
	authz_chain_unref(old);
	log_info("authz", "the authorization configuration has changed", "file", "%s", c->path);
}

static struct authz_chain *chains_now(struct authz_chains *c)
{
	struct authz_chain *chain;

	pthread_mutex_lock(&c->lock);
	chain = authz_chain_ref(c->chain);
	pthread_mutex_unlock(&c->lock);
	return chain;
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

static enum authz_says link_ask(struct authz_chain *c, const struct authz_link *l, struct api_req *q,
				const struct authz_attrs *at, struct sv *ret_reason, struct err *err)
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
		return authz_hook_ask(c, l->hook, q, at, ret_reason, err);
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

		says = link_ask(c, &c->links[i], q, at, &reason, &one);
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
