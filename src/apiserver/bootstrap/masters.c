/* This server's key and Lease, and the endpoints of all. One task at a time looks after them, under m->turn; what it
 * asks for waits for the store, so masters_leave() waits for it at most that long. */
#include "apiserver/bootstrap/masters.h"
#include "apiserver/apiserver-internal.h"
#include "base/log.h"
#include "base/repeat.h"
#include "base/timefmt.h"
#include "base/vec.h"
#include "client/client.h"
#include "codec/json.h"
#include "net/digest.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define RENEW_NS (5 * NS_PER_SEC)
#define LEASE_TURNS 2  /* so many renewals of the key for one of the Lease */
#define SWEEP_TURNS 60 /* for one look at those of others */
#define IDENTITY_LABEL "apiserver.kubernetes.io/identity"
#define IDENTITY "kube-apiserver"

struct masters {
	struct apiserver *s;
	struct env *env;
	struct client *client;
	char name[64];	 /* of the Lease */
	char holder[96]; /* of this process */
	char host[256];

	pthread_mutex_t turn; /* held while one works; guards these */
	int64_t lease;	      /* the store's; 0: none */
	struct master at;     /* that the key says */
	uint64_t turns;
	bool left, told;

	struct repeat turning;
};

/* --- the key --- */

bool master_own(struct apiserver *s, struct master *ret)
{
	const struct apiserver_opts *o = &s->o;
	const char *where = o->find_address ? o->find_address(o->find_ctx) : o->advertise_address;

	*ret = (struct master){ .port = o->advertise_port };
	return where && *where && ip_parse(sv_from(where), &ret->ip);
}

static struct sv master_key(struct arena *a, const struct master *m)
{
	return arena_svf(a, "%s%s", MASTERS_KEYS, ip_text(m->ip).s);
}

static int master_put(struct masters *m, const struct master *at, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(buf_release) struct buf value = BUF_INIT;
	struct store_write w = { .key = master_key(&a, at), .expect_rev = STORE_ANY_REV, .lease = m->lease };
	struct master one = *at;
	int64_t rev;

	json_encode(&value, masters_endpoints(&a, &one, 1));
	w.value = buf_sv(&value);
	return store_commit_wait(m->s->store, &w, &rev, err) < 0 ? -1 : 0;
}

/* Its key goes with it; what the store does not take runs out. */
static int master_drop(struct masters *m)
{
	int rc = m->lease ? store_lease_revoke(m->s->store, m->lease, NULL) : 0;

	m->lease = 0;
	return rc;
}

static bool master_same(const struct master *x, const struct master *y)
{
	return x->port == y->port && memcmp(&x->ip, &y->ip, sizeof(x->ip)) == 0;
}

static int master_renew(struct masters *m, struct err *err)
{
	struct err why = ERR_INIT;
	struct master at;

	if (!master_own(m->s, &at)) {
		(void)master_drop(m);
		return 0;
	}
	if (m->lease && !master_same(&at, &m->at))
		(void)master_drop(m);
	if (m->lease && store_lease_keepalive(m->s->store, m->lease, NULL, &why) == 0)
		return 0;
	if (m->lease && why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	err_release(&why);
	m->lease = 0;
	if (store_lease_grant(m->s->store, 0, MASTERS_TTL_S, &m->lease, err) < 0)
		return -1;
	m->at = at;
	if (master_put(m, &at, err) == 0)
		return 0;
	(void)master_drop(m);
	return -1;
}

/* --- the endpoints --- */

struct masters_found {
	VEC(struct master) list;
	int own_port;
};

static int masters_found_one(const struct store_kv *kv, void *ctx)
{
	struct masters_found *f = ctx;
	struct master m;

	if (master_read(kv->key, kv->value, f->own_port, &m))
		vec_push(&f->list, m);
	return f->list.n == MASTERS_MAX;
}

/* As it is wanted, with what is not ours to say (labels, uid) left as it is. */
static int masters_write(struct masters *m, const struct resource *r, struct arena *a, const struct val *wanted,
			 enum sym which, struct err *err)
{
	_cleanup_obj_ struct obj *have = NULL;
	struct err why = ERR_INIT;
	struct val *doc;

	if (client_get(m->client, r, SV("default"), SV("kubernetes"), &have, &why) < 0) {
		if (why.reason != ERR_NOT_FOUND)
			return err_move(err, &why);
		err_release(&why);
		return client_create(m->client, r, SV("default"), wanted, NULL, NULL, err);
	}
	if (val_equal(obj_get(have, which), val_member(wanted, which)) &&
	    (which == F_subsets || val_equal(obj_get(have, F_ports), val_member(wanted, F_ports))))
		return 0;
	/* Another family is another slice. */
	if (which == F_endpoints && !val_equal(obj_get(have, F_addressType), val_member(wanted, F_addressType)))
		return client_delete(m->client, r, SV("default"), SV("kubernetes"), NULL, err) < 0
			   ? -1
			   : client_create(m->client, r, SV("default"), wanted, NULL, NULL, err);
	doc = obj_edit(a, have);
	val_set(a, doc, which, val_member(wanted, which));
	if (which == F_endpoints)
		val_set(a, doc, F_ports, val_member(wanted, F_ports));
	return client_update(m->client, r, doc, NULL, NULL, err);
}

/* Two servers write the same, so whoever is slower has nothing to do. None there at all: whoever comes next says it. */
static int masters_say(struct masters *m, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct masters_found f = { .list = VEC_INIT, .own_port = m->s->o.advertise_port };
	struct err why = ERR_INIT;
	int64_t rev;
	int rc = store_range(m->s->store, SV(MASTERS_KEYS), SV("/registry/masterleases0"), 0, 0, masters_found_one, &f,
			     &rev, err);

	if (rc == 0 && f.list.n)
		rc = masters_write(m, RES(core_endpoints), &a, masters_endpoints(&a, f.list.p, f.list.n), F_subsets,
				   &why) < 0 ||
			     masters_write(m, RES(discovery_endpointslices), &a, masters_slice(&a, f.list.p, f.list.n),
					   F_endpoints, &why) < 0
			 ? -1
			 : 0;
	vec_release(&f.list);
	if (why.reason == ERR_CONFLICT || why.reason == ERR_ALREADY_EXISTS) /* another was faster: looked at again */
		rc = 0;
	else if (why.reason != ERR_NONE)
		return err_move(err, &why);
	err_release(&why);
	return rc;
}

/* --- the Lease --- */

static int masters_lease(struct masters *m, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_obj_ struct obj *have = NULL;
	struct val *doc, *meta, *labels, *spec;
	struct err why = ERR_INIT;
	char now[TIME_TEXT_MAX];

	if (client_get(m->client, RES(coordination_leases), SV("kube-system"), sv_from(m->name), &have, &why) < 0 &&
	    why.reason != ERR_NOT_FOUND)
		return err_move(err, &why);
	err_release(&why);
	doc = have ? obj_edit(&a, have) : val_new_map(&a);
	val_set_cstr(&a, doc, F_kind, "Lease");
	val_set_cstr(&a, doc, F_apiVersion, "coordination.k8s.io/v1");
	meta = val_ensure_map(&a, doc, F_metadata);
	val_set_cstr(&a, meta, F_name, m->name);
	val_set_cstr(&a, meta, F_namespace, "kube-system");
	labels = val_ensure_map(&a, meta, F_labels);
	val_set_str_sv(&a, labels, SV(IDENTITY_LABEL), SV(IDENTITY));
	val_set_str_sv(&a, labels, SV("kubernetes.io/hostname"), sv_from(m->host));
	spec = val_ensure_map(&a, doc, F_spec);
	val_set_cstr(&a, spec, F_holderIdentity, m->holder);
	val_set_int(&a, spec, F_leaseDurationSeconds, MASTERS_LIFE_S);
	time_format(env_now_ns(m->env), true, now);
	val_set_cstr(&a, spec, F_renewTime, now);
	if (have)
		return client_update(m->client, RES(coordination_leases), doc, NULL, NULL, err);
	return client_create(m->client, RES(coordination_leases), SV("kube-system"), doc, NULL, NULL, err);
}

static void masters_sweep(struct masters *m)
{
	const struct client_list_opts o = { .label_selector = IDENTITY_LABEL "=" IDENTITY, .resource_version = -1 };
	_cleanup_(obj_list_release) struct obj_list l = { 0 };
	int64_t now = env_now_ns(m->env), at;

	if (client_list(m->client, RES(coordination_leases), SV("kube-system"), &o, &l, NULL) < 0)
		return;
	for (size_t i = 0; i < l.n; i++) {
		struct client_delete_opts as_seen = CLIENT_DELETE_OPTS;
		int64_t s = val_get_int(obj_root(l.items[i]), MASTERS_LIFE_S, F_spec, F_leaseDurationSeconds);

		if (!time_parse(val_str(obj_get(l.items[i], F_spec, F_renewTime)), &at) ||
		    (now - at) / NS_PER_SEC <= MAX(s, 0))
			continue;
		as_seen.precondition_rev = obj_rev(l.items[i]);
		(void)client_delete(m->client, RES(coordination_leases), SV("kube-system"), obj_name(l.items[i]),
				    &as_seen, NULL);
	}
}

/* --- turns --- */

/* Every one is tried, whatever became of the others; the first failure is told, once until all went well. A store that
 * does not answer is not asked: each question would hold a thread, and the end, for its time. */
static void masters_turn(void *ctx)
{
	struct masters *m = ctx;
	struct err first = ERR_INIT, err = ERR_INIT;

	pthread_mutex_lock(&m->turn);
	if (!m->left && store_healthy(m->s->store, NULL) && master_renew(m, &first) == 0) {
		if (masters_say(m, &err) < 0 && first.reason == ERR_NONE)
			err_move(&first, &err);
		err_release(&err);
		if (m->turns % LEASE_TURNS == 0 && masters_lease(m, &err) < 0 && first.reason == ERR_NONE)
			err_move(&first, &err);
		err_release(&err);
		if (m->turns++ % SWEEP_TURNS == 0)
			masters_sweep(m);
	}
	if (!m->left) {
		if (first.reason != ERR_NONE && !m->told)
			log_warn("apiserver", "other servers and clients may not hear of this one; tried again",
				 "error", "%s", err_msg(&first));
		m->told = first.reason != ERR_NONE;
		err_release(&first);
	}
	pthread_mutex_unlock(&m->turn);
}

void masters_start(struct masters *m)
{
	if (!m)
		return;
	masters_turn(m);
	repeat_start(&m->turning, m->env, ENV_CONTROL, RENEW_NS, masters_turn, m);
}

/* A store that does not answer is waited for once at most, and not at all when that is known: then the key runs out. */
void masters_leave(struct masters *m)
{
	if (!m || !store_healthy(m->s->store, NULL)) /* a turn under way may wait for it */
		return;
	pthread_mutex_lock(&m->turn);
	if (!m->left && m->turns && master_drop(m) == 0 && masters_say(m, NULL) == 0)
		(void)client_delete(m->client, RES(coordination_leases), SV("kube-system"), sv_from(m->name), NULL,
				    NULL);
	m->left = true;
	pthread_mutex_unlock(&m->turn);
}

/* Upstream's name is made of the host's alone; two servers of one host are two here. */
static void masters_name(struct masters *m)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	char hex[SHA256_HEX], text[27];
	struct master at;

	(void)snprintf(m->host, sizeof(m->host), "localhost");
	(void)gethostname(m->host, sizeof(m->host) - 1);
	(void)master_own(m->s, &at);
	sha256_hex(arena_svf(&a, "%s\n%s\n%d", m->host, ip_text(at.ip).s, at.port), hex);
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		text[i] = digits[((hex[2 * i] & 15) + (hex[2 * i + 1] & 15) * 16) % 32];
	text[sizeof(text) - 1] = '\0';
	(void)snprintf(m->name, sizeof(m->name), "apiserver-%s", text);
	(void)snprintf(m->holder, sizeof(m->holder), "%s_%016" PRIx64, m->name, env_random_u64(m->env));
}

struct masters *masters_new(struct apiserver *s)
{
	static const char *const group[] = { "system:masters", NULL };
	struct masters *m;

	if (!store_shared(s->store))
		return NULL;
	m = xcalloc(1, sizeof(*m));
	m->s = s;
	m->env = s->env;
	m->client = apiserver_client(s, IDENTITY, "system:apiserver", group);
	pthread_mutex_init(&m->turn, NULL);
	masters_name(m);
	return m;
}

struct masters *masters_free(struct masters *m)
{
	if (!m)
		return NULL;
	client_free(m->client);
	pthread_mutex_destroy(&m->turn);
	free(m);
	return NULL;
}

void masters_stop(struct masters *m)
{
	if (m)
		repeat_stop(&m->turning);
}
