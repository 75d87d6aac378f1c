#include "cli/server_join.h"

#include "base/b64.h"
#include "base/buf.h"
#include "base/log.h"
#include "cli/join.h"
#include "cli/shared_keys.h"
#include "client/https.h"
#include "codec/json.h"
#include "net/http_client.h"
#include "net/tls.h"
#include "store/etcd/etcd.h"
#include "store/etcd/members.h"

#define SYS "server"
#define ASK_NS (40 * NS_PER_SEC)
#define ANSWER_MAX ((size_t)1 << 20)
#define TEXT_MAX 255

/* --- the one that is there --- */

/* Of what goes into lists with commas and equals signs. */
static bool join_text_good(struct sv s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || strchr(",=\"'\\", s.p[i]))
			return false;
	return s.n > 0 && s.n <= TEXT_MAX;
}

static void join_list(struct buf *b, struct sv name, struct sv url)
{
	if (b->n)
		buf_addc(b, ',');
	if (name.n)
		buf_printf(b, "%.*s=", SV_ARG(name));
	buf_addsv(b, url);
}

/* Of one that was added and has not come yet nobody knows the name, and only URLs are compared. */
static void join_members(struct arena *a, const struct etcd_members *l, uint64_t id, struct sv name,
			 struct buf *cluster, struct buf *clients)
{
	for (size_t i = 0; i < l->n; i++) {
		const struct etcd_member *m = &l->m[i];

		join_list(cluster,
			  m->id == id ? name
			  : m->name.n ? m->name
				      : arena_svf(a, "unknown-%016" PRIx64, m->id),
			  m->peer);
		if (m->client.n && !m->learner)
			join_list(clients, SV(""), m->client);
	}
}

int server_join_answer(struct store *etcd, struct arena *a, struct sv body, struct sv *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf cluster = BUF_INIT, clients = BUF_INIT, json = BUF_INIT;
	const struct val *asked = json_decode(a, body, NULL, NULL);
	struct sv name, peer, keys;
	struct etcd_members l;
	struct val *said;
	uint64_t id;

	if (!asked)
		return err_set(err, ERR_BAD_REQUEST, "what joins says its name and peerURL, as JSON");
	name = val_str(val_member_sv(asked, SV("name")));
	peer = val_str(val_member_sv(asked, SV("peerURL")));
	if (!join_text_good(name) || !join_text_good(peer) || !sv_starts(peer, SV("https://")))
		return err_set(
		    err, ERR_BAD_REQUEST,
		    "what joins says its name and peerURL (https://ADDRESS:PORT), both without commas, equals "
		    "signs, quotes and blanks");
	if (shared_keys_sealed(etcd, a, &keys, err) < 0 || etcd_members_join(etcd, a, peer, &l, &id, err) < 0)
		return -1;
	log_info(SYS, "another server joins", "member", "%.*s, %.*s", SV_ARG(name), SV_ARG(peer));
	join_members(a, &l, id, name, &cluster, &clients);
	said = val_new_map(a);
	val_set_str_sv(a, said, SV("keys"), b64_encode(a, keys));
	val_set_str_sv(a, said, SV("id"), arena_svf(a, "%016" PRIx64, id));
	val_set_str_sv(a, said, SV("cluster"), arena_sv(a, buf_sv(&cluster)));
	val_set_str_sv(a, said, SV("clients"), arena_sv(a, buf_sv(&clients)));
	json_encode(&json, said);
	*ret = arena_sv(a, buf_sv(&json));
	return 0;
}

/* --- the one that joins --- */

static int join_failed(struct arena *a, const struct server_join_opts *o, const struct http_response *r,
		       struct err *err)
{
	const struct val *status = json_decode(a, r->body, NULL, NULL);
	struct sv why = val_str(val_member_sv(status, SV("message")));

	if (r->status == 401 || r->status == 403)
		return err_set(
		    err, ERR_UNAUTHORIZED,
		    "%s does not take --token for a server's: it is that of DATA-DIR/server/token there, and "
		    "not one that nodes join with",
		    o->url);
	if (r->status == 404)
		return err_set(
		    err, ERR_INVALID,
		    "%s has no etcd of its own that another server could join: start it with --cluster-init; "
		    "with --datastore-endpoint each server is given that etcd and --token, and no --server",
		    o->url);
	return err_set(err, r->status >= 500 || r->status == 429 ? ERR_UNAVAILABLE : ERR_INVALID, "%s answers %d: %.*s",
		       o->url, r->status, SV_ARG(why));
}

static int join_ask(struct arena *a, const struct server_join_opts *o, const struct join_token *t, struct sv ca,
		    struct http_response *ret, struct err *err)
{
	const struct http_header headers[] = {
		{ SV("authorization"), arena_svf(a, "Bearer %.*s.%.*s", SV_ARG(t->id), SV_ARG(t->secret)) },
		{ SV("content-type"), SV("application/json") },
		{ SV("accept"), SV("*/*") },
		{ SV("user-agent"), SV("caravel") },
	};
	_cleanup_(buf_release) struct buf body = BUF_INIT;
	struct val *doc = val_new_map(a);
	struct http_endpoint ep = { 0 };
	struct http_pool *pool;
	struct sv prefix;
	char *host;
	bool tls;
	int rc;

	if (https_parse_url(a, o->url, &tls, &host, &ep.port, &prefix, err) < 0)
		return -1;
	val_set_str_sv(a, doc, SV("name"), sv_from(o->id->name));
	val_set_str_sv(a, doc, SV("peerURL"), sv_from(o->id->peer));
	json_encode(&body, doc);
	ep.host = host;
	ep.tls = tls_client_ctx(&(struct tls_client_opts){ .ca_pem = ca }, err);
	if (!ep.tls)
		return -1;
	pool = http_pool_new();
	rc = http_call(pool, a, &ep, "POST", arena_printf(a, "%.*s/v1-caravel/members", SV_ARG(prefix)), headers,
		       ARRAY_LEN(headers), buf_sv(&body), ASK_NS, ANSWER_MAX, ret, err);
	http_pool_free(pool);
	tls_ctx_unref(ep.tls);
	return rc;
}

int server_join(struct arena *a, const struct server_join_opts *o, struct server_joined *ret, struct err *err)
{
	const struct shared_keys_opts keys = {
		.env = o->env, .data_dir = o->data_dir, .token = o->token, .etcd = true
	};
	const struct join_opts j = { .server = o->url, .token = o->token, .of_server = true };
	const struct val *said;
	struct http_response r;
	struct join_token t;
	struct sv ca, sealed, cluster, clients;
	int64_t ahead;

	if (join_secret_parse(a, &j, &t, err) < 0)
		return err_wrap(err, "--token");
	if (join_fetch_ca(a, &j, &t, env_now_ns(o->env), &ca, &ahead, err) < 0 || join_ask(a, o, &t, ca, &r, err) < 0)
		return -1;
	if (r.status != 200)
		return join_failed(a, o, &r, err);
	said = json_decode(a, r.body, NULL, NULL);
	cluster = val_str(val_member_sv(said, SV("cluster")));
	clients = val_str(val_member_sv(said, SV("clients")));
	if (!b64_decode(a, val_str(val_member_sv(said, SV("keys"))), &sealed) || !cluster.n || !clients.n)
		return err_set(err, ERR_INTERNAL, "%s answers with nothing that a server can join with", o->url);
	if (shared_keys_take(&keys, sealed, err) < 0)
		return -1;
	ret->cluster = arena_cstr(a, cluster);
	ret->clients = arena_cstr(a, clients);
	etcd_member_note_clients(o->data_dir, clients);
	return 0;
}

static void join_clients(const struct etcd_members *l, const struct etcd_member_id *id, struct buf *b)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->m[i].client.n && (!l->m[i].learner || sv_is(l->m[i].peer, id->peer)))
			join_list(b, SV(""), l->m[i].client);
}

int server_join_follow(struct store *etcd, const char *data_dir, const struct etcd_member_id *id, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf clients = BUF_INIT;
	struct etcd_members l;

	if (etcd_members_list(etcd, &a, &l, err) < 0)
		return -1;
	join_clients(&l, id, &clients);
	if (!clients.n)
		return 0;
	etcd_member_note_clients(data_dir, buf_sv(&clients));
	return store_etcd_more(etcd, buf_sv(&clients), err);
}

int server_join_finish(struct store *etcd, const char *data_dir, const struct etcd_member_id *id, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf clients = BUF_INIT;
	const struct etcd_member *own = NULL;
	struct etcd_members l;

	if (etcd_members_list(etcd, &a, &l, err) < 0)
		return -1;
	for (size_t i = 0; i < l.n; i++) { /* who says another name there has this one's place */
		if (sv_is(l.m[i].name, id->name) || (!own && !l.m[i].name.n && sv_is(l.m[i].peer, id->peer)))
			own = &l.m[i];
	}
	join_clients(&l, id, &clients);
	if (!own)
		return err_set(
		    err, ERR_STORE_READ,
		    "this server is no member of its cluster any more: it was removed, or another one has its "
		    "place. Remove '%s/etcd' and start with --server and --token to join again",
		    data_dir);
	if (own->learner) {
		int rc = etcd_members_promote(etcd, own->id, err);

		if (rc <= 0)
			return rc;
		log_info(SYS, "has a vote among the servers", "member", "%s", id->name);
	}
	if (!sv_is(own->peer, id->peer)) {
		if (etcd_members_move(etcd, own->id, sv_from(id->peer), err) < 0)
			return err_wrap(err, "telling the other members of this one's address");
		log_info(SYS, "this member has another address", "is", "%s, and was %.*s", id->peer, SV_ARG(own->peer));
	}
	etcd_member_note_clients(data_dir, buf_sv(&clients));
	return 1;
}
