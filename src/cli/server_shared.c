/* What a server has in common with others of its store: keys, token, what holds for all, encryption. Of a store of its
 * own that is only what it keeps for itself. */
#include "cli/server-internal.h"

#include "apiserver/encryption/encryption.h"
#include "base/log.h"
#include "cli/cidrs.h"
#include "cli/server_join.h"
#include "cli/server_members.h"
#include "cli/shared_keys.h"

static bool keys_are_shared(const struct server *s)
{
	return s->opened.shared && !s->o.of_etcd; /* upstream's names have keys by files */
}

static int settle_cidrs(struct server *s, bool fresh, struct err *err)
{
	struct server_opts *o = &s->o;
	struct cidrs c = { o->facts.cluster_cidr, o->facts.service_cidr };
	int fd = cidrs_settle(&s->arena, o->node.data_dir, fresh, !o->disable_agent, &c, err);

	if (fd == CIDRS_FAILED)
		return -1;
	s->cidr_hold = fd;
	o->facts.cluster_cidr = c.cluster;
	o->facts.service_cidr = c.service;
	if (!o->facts.cluster_dns)
		o->facts.cluster_dns = cidrs_tenth(&s->arena, o->facts.service_cidr);
	return 0;
}

int server_shared_facts(struct server *s, struct err *err)
{
	struct store_stats stats;
	bool fresh;

	store_stats(s->store, &stats);
	fresh = stats.rev <= 1;
	if (keys_are_shared(s) && server_facts_settle(&s->o, &s->arena, s->store, &fresh, err) < 0)
		return -1;
	return settle_cidrs(s, fresh, err);
}

static int encrypt_store(struct server *s, struct err *err)
{
	if (!s->o.encryption_config)
		return 0;
	s->encryption = encryption_read(s->env, s->o.encryption_config, s->o.encryption_reload, err);
	if (!s->encryption)
		return -1;
	encryption_stored_in(s->encryption, s->store);
	s->store = store_transformed(s->store, encryption_transform(s->encryption));
	return 0;
}

static struct shared_keys_opts shared_keys(const struct server *s)
{
	return (struct shared_keys_opts){ .env = s->env,
					  .store = s->opened.store,
					  .data_dir = s->o.node.data_dir,
					  .token = s->o.token,
					  .etcd = s->opened.member != NULL };
}

/* With the other servers of the store, before anything is written. */
static int agree_encryption(struct server *s, struct err *err)
{
	if (!keys_are_shared(s))
		return 0;
	s->agreed = encryption_agreed_new(
	    &(struct encryption_agreed_opts){
		.env = s->env,
		.store = s->opened.store,
		.e = s->encryption,
		.who = arena_printf(
		    &s->arena, "the server %s port %d",
		    s->o.advertise_address ? s->o.advertise_address : host_own_name(&s->arena, "localhost"), s->o.port),
		.data_dir = s->o.node.data_dir },
	    err);
	return s->agreed ? 0 : -1;
}

static int settle_keys(struct server *s, const struct shared_keys_opts *k, struct err *err)
{
	struct servers_token_opts t = {
		.env = s->env, .store = k->store, .data_dir = k->data_dir, .nodes = k->token != NULL
	};

	if (shared_keys_settle(k, &s->arena, &t.token, err) < 0)
		return -1;
	if (s->o.token) /* it may be an older one */
		s->o.token = t.token;
	s->token = servers_token_new(&t, err);
	return s->token ? 0 : -1;
}

int server_shared_open(struct server *s, struct err *err)
{
	int rc = server_store_open(&s->opened, s->env, &s->arena, &s->o, err);
	struct shared_keys_opts k;

	s->store = s->opened.store;
	if (rc < 0)
		return -1;
	k = shared_keys(s);
	if (keys_are_shared(s) && settle_keys(s, &k, err) < 0)
		return -1;
	return encrypt_store(s, err) < 0 ? -1 : agree_encryption(s, err);
}

/* For snapshots alone, so nobody who waits for the server waits for it. A start without room for it is a start:
 * snapshots say what they lack. */
void server_shared_token(struct server *s)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	const struct shared_keys_opts keys = shared_keys(s);

	if (s->opened.shared)
		return;
	if (shared_keys_own(&keys, apiserver_ca_pem(s->api), &err) == 0)
		s->token = servers_token_new(
		    &(struct servers_token_opts){
			.env = s->env, .data_dir = s->o.node.data_dir, .token = shared_keys_file(&keys, &s->arena) },
		    &err);
	if (!s->token)
		log_warn("server", "the token that seals snapshots cannot be kept", "error", "%s", err_msg(&err));
}

/* --- what other servers and nodes ask --- */

static bool known_token(void *ctx, struct sv id, struct sv secret)
{
	return servers_token_is(ctx, id, secret);
}

static int servers(void *ctx, struct arena *a, const struct servers_asked *q, struct sv *ret, struct err *err)
{
	struct server *s = ctx;
	struct servers_token *token = atomic_load(&s->token);

	if (q->what == SERVERS_TOKEN)
		return token ? servers_token_rotate(token, a, q->body, ret, err)
			     : err_set(err, ERR_UNAVAILABLE, "this server has no token yet: try again in a moment");
	if (!s->opened.member)
		return err_set(err, ERR_NOT_FOUND, "this server has no etcd of its own");
	switch (q->what) {
	case SERVERS_JOIN:
		return servers_token_fresh(token, err) < 0 ? -1
							   : server_join_answer(s->opened.store, a, q->body, ret, err);
	case SERVERS_REMOVE:
		return server_members_remove(s->opened.store, a, q->name, ret, err);
	case SERVERS_LIST:
	case SERVERS_TOKEN:
		break;
	}
	return server_members_list(s->opened.store, a, s->opened.id.name, ret, err);
}

void server_shared_api(struct server *s, struct apiserver_opts *ret)
{
	const struct server_opts *o = &s->o;

	/* With --server it is there to bring this one, and nodes have another. */
	ret->join_token = o->join_url ? NULL : o->token;
	ret->join_token_known = o->token && keys_are_shared(s);
	ret->known_token = s->token && (s->opened.member || o->token) ? known_token : NULL;
	ret->known_token_ctx = s->token;
	ret->known_token_servers = s->opened.member != NULL;
	ret->servers = o->of_etcd ? NULL : servers;
	ret->servers_ctx = s;
}
