#include "cli/home_remote.h"

#include "base/file.h"
#include "base/log.h"
#include "base/retry.h"
#include "cli/tunnel.h"
#include "client/https.h"
#include "net/key.h"
#include "object/node_labels.h"

#include <stdlib.h>

#define SYS "agent"
#define CLOCK_OFF_NS (600 * NS_PER_SEC)
#define TEND_NS (60 * NS_PER_SEC)
#define LEARN_NS (300 * NS_PER_SEC)
#define TELL_AFTER_NS (10 * NS_PER_SEC)
#define ASK_NS (20 * NS_PER_MS)
#define DAY_NS ((int64_t)24 * 3600 * NS_PER_SEC)

static const struct retry_policy join_retry = { .first_ns = 100 * NS_PER_MS, .max_ns = 30 * NS_PER_SEC };
/* Each refused request is an object that stays for an hour. */
static const struct retry_policy refused_retry = { .first_ns = 30 * NS_PER_SEC, .max_ns = 900 * NS_PER_SEC };
static const struct retry_policy answer_retry = { .first_ns = 20 * NS_PER_MS, .max_ns = 5 * NS_PER_SEC };

/* --- joining --- */

static struct client *joiner(struct home_remote *h, const struct home_remote_opts *o, const struct join_token *t,
			     struct err *err)
{
	const struct client_https_opts c = {
		.server = o->join->server,
		.name = "caravel-agent",
		.ca_pem = h->id.ca,
		.token = arena_printf(&h->arena, "%.*s.%.*s", SV_ARG(t->id), SV_ARG(t->secret)),
		.timeout_ns = 15 * NS_PER_SEC,
	};

	return client_https_new(h->env, &c, err);
}

static bool clock_is_off(int64_t clock_ns)
{
	return clock_ns > CLOCK_OFF_NS || clock_ns < -CLOCK_OFF_NS;
}

/* What the server says of a token, and of a clock, in words that help. */
static int remote_explain(struct err *err, int64_t clock_ns)
{
	struct err was = ERR_INIT;

	err_move(&was, err);
	if (was.reason == ERR_UNAUTHORIZED)
		err_set(err, ERR_UNAUTHORIZED,
			"the server does not know the token, or it has expired: `caravel token create` on the server "
			"makes another (%s)",
			err_msg(&was));
	else if (clock_is_off(clock_ns))
		err_set(err, was.reason,
			"%s; this machine's clock is %lld s %s the server's, which may be why: set it, by NTP best",
			err_msg(&was), (long long)llabs(clock_ns / NS_PER_SEC), clock_ns > 0 ? "behind" : "ahead of");
	else
		err_move(err, &was);
	err_release(&was);
	return -1;
}

static int wait_for_cert(struct home_remote *h, const struct home_remote_opts *o, struct client *c, struct sv request,
			 struct err *err)
{
	int64_t began = env_mono_ns(h->env), told = began;
	const char *why = "";

	for (uint64_t i = 1;; i++) {
		int rc = identity_answer(c, &h->arena, request, &h->id.cert, &why, err);

		if (rc)
			return rc;
		if (env_mono_ns(h->env) - told > TELL_AFTER_NS) {
			told = env_mono_ns(h->env);
			log_warn(SYS, "waiting to be let in", "what", "%s", why);
		}
		if (!o->pause(retry_pause_ns(&answer_retry, i)))
			return 0;
	}
}

/* One try. 1, 0 as home_remote_join(); -1: ERR_UNAVAILABLE and ERR_TIMEOUT may pass. */
static int join_once(struct home_remote *h, const struct home_remote_opts *o, const struct join_token *t,
		     struct err *err)
{
	struct client *c;
	struct sv request;
	int64_t clock_ns = 0;
	int rc;

	if (join_fetch_ca(&h->arena, o->join, t, env_now_ns(h->env), &h->id.ca, &clock_ns, err) < 0)
		return -1;
	if (clock_is_off(clock_ns))
		log_warn(SYS, "this machine's clock differs from the server's", "seconds", "%lld",
			 (long long)(clock_ns / NS_PER_SEC));
	c = joiner(h, o, t, err);
	if (!c)
		return -1;
	rc = facts_fetch(c, &h->arena, &h->facts, err);
	if (rc == 0 && (facts_compare(o->said, &h->facts, err) < 0 || identity_key(&h->id, err) < 0))
		rc = -2; /* ours */
	if (rc == 0)
		rc = identity_request(c, &h->arena, &h->id, CERT_CLIENT, NULL, h->id.key, &request, err);
	rc = rc < 0 ? rc : wait_for_cert(h, o, c, request, err);
	client_free(c);
	if (rc == -1)
		return remote_explain(err, clock_ns);
	return rc <= 0 ? MAX(rc, -1) : identity_save(&h->id, err) < 0 ? -1 : 1;
}

static bool may_pass(const struct err *err)
{
	return err->reason == ERR_UNAVAILABLE || err->reason == ERR_TIMEOUT || err->reason == ERR_SERVER_TIMEOUT ||
	       err->reason == ERR_TOO_MANY_REQUESTS || err->reason == ERR_INTERNAL;
}

static int join_new(struct home_remote *h, const struct home_remote_opts *o, struct err *err)
{
	struct join_token t;

	if (!o->join->server)
		return err_set(err, ERR_INVALID,
			       "--server URL says which cluster to join, as https://10.0.0.1:6443 (or the variable "
			       "CARAVEL_URL)");
	if (!o->join->token)
		return err_set(err, ERR_INVALID,
			       "--token says that this machine may join: it is in DATA-DIR/server/node-token on the "
			       "server (or the variable CARAVEL_TOKEN, or --token-file)");
	if (join_secret_parse(&h->arena, o->join, &t, err) < 0)
		return -1;
	for (uint64_t failures = 1;; failures++) {
		_cleanup_(err_release) struct err why = ERR_INIT;
		int64_t pause = retry_pause_ns(&join_retry, failures);
		int rc = join_once(h, o, &t, &why);

		if (rc >= 0)
			return rc;
		if (!may_pass(&why))
			return err_move(err, &why);
		log_warn(SYS, "cannot join yet, and tries again", "server", "%s in %.1f s: %s", o->join->server,
			 (double)pause / (double)NS_PER_SEC, err_msg(&why));
		if (!o->pause(pause))
			return 0;
	}
}

static int start_servers(struct home_remote *h, struct err *err)
{
	h->servers = servers_new(&(struct servers_opts){ .env = h->env,
							 .url = h->id.server,
							 .ca_pem = h->id.ca,
							 .cert_pem = h->id.cert,
							 .key_pem = h->id.key,
							 .spread = h->id.node_name,
							 .file = arena_printf(&h->arena, "%s/servers", h->id.dir) },
				 err);
	if (!h->servers)
		return -1;
	h->client = client_https_new(
	    h->env, &(struct client_https_opts){ .servers = h->servers, .name = "caravel-agent" }, err);
	return h->client ? 0 : -1;
}

/* As the cluster says now, else as it said last: a node runs its pods while no server answers. */
static int learn_facts(struct home_remote *h, const struct home_remote_opts *o, struct err *err)
{
	struct err why = ERR_INIT;

	for (uint64_t failures = 1;; failures++) {
		int64_t pause = retry_pause_ns(&join_retry, failures);

		if (facts_fetch(h->client, &h->arena, &h->facts, &why) == 0) {
			identity_keep_facts(&h->id, &h->facts);
			return facts_compare(o->said, &h->facts, err) < 0 ? -1 : 1;
		}
		if (why.reason == ERR_UNAUTHORIZED)
			return err_set(
			    err, ERR_UNAUTHORIZED,
			    "the cluster does not know this node's certificate any more (%s): if it is another "
			    "cluster now, remove '%s' and join again with --token",
			    err_msg(&why), h->id.dir);
		if (identity_recall_facts(&h->id, &h->facts, NULL) == 0) {
			log_warn(SYS, "no server says what holds in the cluster: going on with what one said last",
				 "error", "%s", err_msg(&why));
			err_release(&why);
			return 1;
		}
		log_warn(SYS, "no server says what holds in the cluster, and is asked again", "error", "in %.1f s: %s",
			 (double)pause / (double)NS_PER_SEC, err_msg(&why));
		err_release(&why);
		if (!o->pause(pause))
			return 0;
	}
}

/* --- the home --- */

static struct client *home_remote_client(void *ctx, _unused_ enum agent_as who, const char *name)
{
	struct home_remote *h = ctx; /* all are the node */

	return client_https_new(h->env, &(struct client_https_opts){ .servers = h->servers, .name = name }, NULL);
}

static const char *serving_names(struct arena *a, const struct home_remote *h, const char *node_ips)
{
	return arena_printf(a, "%s %s", h->o->node_name, node_ips);
}

static int home_remote_serving(void *ctx, const char *node_ips, struct arena *a, struct sv *ret_cert,
			       struct sv *ret_key, struct err *err)
{
	struct home_remote *h = ctx;
	const char *names[] = { h->o->node_name, NULL };
	const struct cert_opts c = {
		.common_name = h->o->node_name,
		.dns_names = names,
		.not_after_ns = env_now_ns(h->env) + DAY_NS,
		.server = true,
	};

	pthread_mutex_lock(&h->lock);
	if (strcmp(h->id.serving_names, serving_names(a, h, node_ips)) == 0) {
		*ret_cert = arena_sv(a, h->id.serving_cert);
		*ret_key = arena_sv(a, h->id.serving_key);
		pthread_mutex_unlock(&h->lock);
		return 0;
	}
	pthread_mutex_unlock(&h->lock);
	/* Nobody believes it, until the cluster has signed one for a Node that is there. */
	return cert_make(a, &c, SV(""), SV(""), ret_cert, ret_key, err);
}

int home_remote_join(struct home_remote *h, const struct home_remote_opts *o, struct err *err)
{
	char hash[65];
	const char *why;
	uint64_t r;
	int rc;

	*h = (struct home_remote){ .env = o->env, .o = o->node };
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->idle, NULL);
	rc = identity_load(&h->id, &h->arena, o->node->data_dir, o->node->node_name, o->join->server,
			   env_now_ns(o->env), &why, err);
	if (rc < 0)
		return -1;
	/* Otherwise it would run its pods, of a cluster that has no word with it. */
	if (rc > 0 && o->join->server &&
	    join_check_same(&h->arena, o->join->server, h->id.ca, h->id.dir,
			    "give it --server of its own, or remove the directory and join the other one with --token",
			    err) < 0)
		return -1;
	if (rc == 0) {
		if (why)
			log_warn(SYS, "this node has to join again", "why", "%s", why);
		h->id.cert = SV("");
		h->id.serving_names = "";
		if (!o->join->token && why)
			return err_set(err, ERR_UNAUTHORIZED,
				       "this node cannot go on as the one that joined: %s; give it a --token", why);
		rc = join_new(h, o, err);
		if (rc <= 0)
			return rc;
		log_info(SYS, "joined", "server", "%s as node %s", h->id.server, h->id.node_name);
		facts_release(&h->facts);
	}
	if (start_servers(h, err) < 0)
		return -1;
	rc = learn_facts(h, o, err);
	if (rc <= 0)
		return rc;
	if (key_hash(h->id.key, hash, err) < 0)
		return -1;
	h->annotations[0] = arena_printf(&h->arena, NODE_KEY_ANNOTATION "=%s", hash);
	env_random(h->env, &r, sizeof(r));
	h->spread_milli = (int)(r % 1000);
	h->home = (struct agent_home){ .env = h->env,
				       .facts = &h->facts,
				       .client = home_remote_client,
				       .serving = home_remote_serving,
				       .node_annotations = h->annotations,
				       .ca_pem = h->id.ca,
				       .given_up = o->given_up,
				       .ctx = h };
	return 1;
}

/* --- tending --- */

static void forget_request(struct home_remote *h, enum cert_for what)
{
	free(h->certs[what].request);
	h->certs[what].request = NULL;
	h->certs[what].told = false;
}

/* Is the Node there, with the addresses that the certificate is to name? Whoever approves looks there. */
static bool node_has_addresses(struct home_remote *h)
{
	struct sv rest = sv_from(agent_node_ips(h->agent)), one;
	_cleanup_obj_ struct obj *o = NULL;

	if (client_get(h->client, RES(core_nodes), SV(""), sv_from(h->o->node_name), &o, NULL) < 0)
		return false;
	while (sv_split(&rest, ' ', &one)) {
		bool found = false;

		VAL_EACH(obj_get(o, F_status, F_addresses), ad)
			found = found || sv_eq(val_get_str(ad, F_address), one);
		if (!found)
			return false;
	}
	return true;
}

static int remote_ask(struct home_remote *h, enum cert_for what, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct sv name;

	arena_reset(&h->certs[what].a);
	if (what == CERT_CLIENT) /* the key is who we are, and stays */
		h->certs[what].key = h->id.key;
	else if (key_new_ec(&h->certs[what].a, &h->certs[what].key, err) < 0)
		return -1;
	if (identity_request(h->client, &a, &h->id, what, agent_node_ips(h->agent), h->certs[what].key, &name, err) < 0)
		return -1;
	h->certs[what].names = serving_names(&h->certs[what].a, h, agent_node_ips(h->agent));
	h->certs[what].request = xstrndup(name.p, name.n);
	h->certs[what].since_ns = env_mono_ns(h->env);
	return 0;
}

static int take_client_cert(struct home_remote *h, struct sv cert, struct err *err)
{
	if (!cert_is_of(cert, h->id.key, h->id.ca))
		return err_set(err, ERR_INVALID, "what was signed is not for this node's key, or by another CA");
	if (servers_set_cert(h->servers, cert, h->id.key, err) < 0)
		return -1;
	h->id.cert = arena_sv(h->id.a, cert);
	log_info(SYS, "this node's certificate is renewed", "node", "%s", h->id.node_name);
	return identity_save(&h->id, err);
}

static int take_serving_cert(struct home_remote *h, struct sv cert, struct err *err)
{
	if (!cert_is_of(cert, h->certs[CERT_SERVING].key, h->id.ca))
		return err_set(err, ERR_INVALID,
			       "what was signed is not for the key it was asked for, or by another CA");
	pthread_mutex_lock(&h->lock);
	h->id.serving_cert = arena_sv(h->id.a, cert);
	h->id.serving_key = arena_sv(h->id.a, h->certs[CERT_SERVING].key);
	h->id.serving_names = arena_strdup(h->id.a, h->certs[CERT_SERVING].names);
	pthread_mutex_unlock(&h->lock);
	if (agent_serve_with(h->agent, h->id.serving_cert, h->id.serving_key, err) < 0)
		return -1;
	log_info(SYS, "the kubelet serves with a certificate of the cluster", "for", "%s", h->id.serving_names);
	return identity_save(&h->id, err);
}

/* How long until it wants to be looked at again. */
static int64_t tend_cert(struct home_remote *h, enum cert_for what)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	int64_t now = env_now_ns(h->env), renew, waited;
	const char *why = "";
	struct sv cert;
	int rc;

	renew = identity_renew_ns(what == CERT_CLIENT ? h->id.cert : h->id.serving_cert, h->spread_milli);
	if (what == CERT_SERVING) {
		const char *names = serving_names(&a, h, agent_node_ips(h->agent));

		if (strcmp(h->id.serving_names, names) != 0)
			renew = INT64_MIN;
		/* Whoever approves would wait for an address that this node has no more. */
		if (h->certs[what].request && strcmp(h->certs[what].names, names) != 0)
			forget_request(h, what);
	}
	if (!h->certs[what].request) {
		if (now < renew)
			return MIN(renew - now, TEND_NS);
		if (what == CERT_SERVING && !node_has_addresses(h))
			return 200 * NS_PER_MS;
		if (remote_ask(h, what, &err) < 0) {
			log_warn(SYS, "cannot ask for a certificate", "error", "%s", err_msg(&err));
			return 10 * NS_PER_SEC;
		}
		return ASK_NS;
	}
	rc = identity_answer(h->client, &a, sv_from(h->certs[what].request), &cert, &why, &err);
	waited = env_mono_ns(h->env) - h->certs[what].since_ns;
	if (rc > 0) {
		forget_request(h, what);
		h->certs[what].refused = 0;
		if ((what == CERT_CLIENT ? take_client_cert(h, cert, &err) : take_serving_cert(h, cert, &err)) == 0)
			return NS_PER_SEC;
	}
	if (rc == 0) {
		if (waited > TELL_AFTER_NS && !h->certs[what].told) {
			h->certs[what].told = true;
			log_warn(SYS,
				 what == CERT_CLIENT ? "this node's certificate is not renewed yet"
						     : "logs and exec do not reach this node yet",
				 "what", "%s", why);
		}
		return MIN(MAX(waited / 4, ASK_NS), 30 * NS_PER_SEC);
	}
	log_warn(SYS, "no certificate yet", "error", "%s", err_msg(&err));
	if (rc > 0 || (err.reason != ERR_FORBIDDEN && err.reason != ERR_NOT_FOUND))
		return 30 * NS_PER_SEC;
	forget_request(h, what); /* asked anew, after a pause */
	return retry_pause_ns(&refused_retry, ++h->certs[what].refused);
}

/* The servers, by the endpoints of the Service `kubernetes`. */
static void learn_servers(struct home_remote *h)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *hosts[SERVERS_MAX + 1] = { NULL };
	_cleanup_obj_ struct obj *o = NULL;
	size_t n = 0;

	if (client_get(h->client, RES(core_endpoints), SV("default"), SV("kubernetes"), &o, NULL) < 0)
		return;
	VAL_EACH(obj_get(o, F_subsets), s)
		VAL_EACH(val_get(s, F_addresses), ad)
			VAL_EACH(val_get(s, F_ports), p) {
				struct sv ip = val_get_str(ad, F_ip);

				if (n < SERVERS_MAX && ip.n)
					hosts[n++] = arena_printf(&a, memchr(ip.p, ':', ip.n) ? "[%.*s]:%d" : "%.*s:%d",
								  SV_ARG(ip), (int)val_get_int(p, 0, F_port));
			}
	if (n && servers_learn(h->servers, hosts))
		tunnel_servers_changed(h->tunnel);
	h->learnt_ns = env_mono_ns(h->env);
}

static void remote_tend(void *ctx)
{
	struct home_remote *h = ctx;
	int64_t next;

	pthread_mutex_lock(&h->lock);
	h->timer = env_timer_cancel(h->env, h->timer);
	if (h->stopping) {
		h->running = false;
		pthread_cond_broadcast(&h->idle);
		pthread_mutex_unlock(&h->lock);
		return;
	}
	h->running = true;
	pthread_mutex_unlock(&h->lock);

	next = tend_cert(h, CERT_SERVING);
	next = MIN(next, tend_cert(h, CERT_CLIENT));
	if (!h->learnt_ns || env_mono_ns(h->env) - h->learnt_ns > LEARN_NS)
		learn_servers(h);

	pthread_mutex_lock(&h->lock);
	h->running = false;
	if (!h->stopping)
		h->timer = env_after(h->env, ENV_CONTROL, next, remote_tend, h);
	pthread_cond_broadcast(&h->idle);
	pthread_mutex_unlock(&h->lock);
}

void home_remote_tend(struct home_remote *h, struct agent *a)
{
	_cleanup_(err_release) struct err err = ERR_INIT;

	if (!h->facts.egress || strcmp(h->facts.egress, "disabled") != 0) {
		h->tunnel = tunnel_start(h->env, h->servers, h->o->node_name, agent_kubelet_port(a), &err);
		if (!h->tunnel)
			log_warn(SYS, "the server reaches this node by its address alone", "error", "%s",
				 err_msg(&err));
	}
	pthread_mutex_lock(&h->lock);
	h->agent = a;
	h->stopping = false;
	h->timer = env_after(h->env, ENV_CONTROL, 0, remote_tend, h);
	pthread_mutex_unlock(&h->lock);
}

void home_remote_rest(struct home_remote *h)
{
	/* Kept connections are not used again: they may be of an address that this machine has no more. */
	(void)servers_set_cert(h->servers, h->id.cert, h->id.key, NULL);
	pthread_mutex_lock(&h->lock);
	h->stopping = true;
	if (h->timer) {
		h->running = !env_timer_stop(h->env, h->timer); /* it waits for the lock, then sees stopping */
		h->timer = NULL;
	}
	while (h->running)
		pthread_cond_wait(&h->idle, &h->lock);
	h->agent = NULL;
	pthread_mutex_unlock(&h->lock);
	h->tunnel = tunnel_stop(h->tunnel);
}

void home_remote_release(struct home_remote *h)
{
	forget_request(h, CERT_CLIENT);
	forget_request(h, CERT_SERVING);
	arena_release(&h->certs[CERT_CLIENT].a);
	arena_release(&h->certs[CERT_SERVING].a);
	client_free(h->client);
	servers_unref(h->servers);
	facts_release(&h->facts);
	pthread_cond_destroy(&h->idle);
	pthread_mutex_destroy(&h->lock);
	arena_release(&h->arena);
}
