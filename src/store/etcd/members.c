#include "store/etcd/members.h"

#include "net/http_client.h"
#include "store/etcd/etcd-internal.h"

#include <stdio.h>

#define CLUSTER "/etcdserverpb.Cluster/"
#define ANSWER_NS (2 * NS_PER_SEC)
#define ANSWER_MAX ((size_t)64 << 10)
#define TRIES 3 /* to hear of one, before it counts as gone: others restart meanwhile */
#define TRIES_PAUSE_NS (2 * NS_PER_SEC)
#define COMING_S 60 /* for a learner, from being added to answering */

static int members_ask(struct store *s, const char *method, struct buf *request, struct buf *answer, struct err *err)
{
	return es_ask(ES(s), method, request, ES_READ_NS, answer, err);
}

static int members_take(struct arena *a, struct sv answer, bool added, struct etcd_members *ret, struct err *err)
{
	if (!etcd_members_read(answer, added, ret->m, &ret->n))
		return err_set(err, ERR_INTERNAL, "etcd: what it says of its members cannot be read");
	for (size_t i = 0; i < ret->n; i++) {
		ret->m[i].name = arena_sv(a, ret->m[i].name);
		ret->m[i].peer = arena_sv(a, ret->m[i].peer);
		ret->m[i].client = arena_sv(a, ret->m[i].client);
	}
	return 0;
}

int etcd_members_list(struct store *s, struct arena *a, struct etcd_members *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;

	if (members_ask(s, CLUSTER "MemberList", &request, &answer, err) < 0)
		return -1;
	return members_take(a, buf_sv(&answer), false, ret, err);
}

static void members_pause(struct es *es);

/* etcd lets none go but one that is away until the others have been connected for five seconds: also those that have
 * only just started. */
int etcd_members_remove(struct store *s, uint64_t id, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;
	struct err why = ERR_INIT;
	int tries = 0;

	for (;;) {
		etcd_member_id_write(&request, id);
		if (members_ask(s, CLUSTER "MemberRemove", &request, &answer, &why) == 0)
			return 0;
		if (!strstr(err_msg(&why), "unhealthy cluster") || ++tries > TRIES)
			break;
		err_release(&why);
		members_pause(ES(s));
	}
	if (!strstr(err_msg(&why), "member not found"))
		return err_move(err, &why);
	err_release(&why); /* it was asked twice, as the first answer was lost; or somebody else was faster */
	return 0;
}

int etcd_members_move(struct store *s, uint64_t id, struct sv peer, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;

	etcd_member_update_write(&request, id, peer);
	return members_ask(s, CLUSTER "MemberUpdate", &request, &answer, err);
}

/* As etcd_members_named() takes it. */
static struct sv member_shown(struct arena *a, const struct etcd_member *m)
{
	return m->name.n ? m->name : arena_svf(a, "%016" PRIx64, m->id);
}

static const struct etcd_member *members_at(const struct etcd_members *l, struct sv peer)
{
	for (size_t i = 0; i < l->n; i++)
		if (sv_eq(l->m[i].peer, peer))
			return &l->m[i];
	return NULL;
}

/* --- does it live? --- */

/* One that has not started yet has said no URL for clients; its members' says as much. */
bool etcd_members_answers(struct store *s, const struct etcd_member *m)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct link_endpoint e[LINK_ENDPOINTS_MAX]; /* its text, in which several may be: the first is asked */
	struct http_endpoint ep;
	struct http_response r;
	struct http_pool *pool;
	bool answers;
	size_t n;

	if (link_endpoints_read(m->client.n ? m->client : m->peer, e, &n, NULL) < 0)
		return false;
	ep = (struct http_endpoint){ .host = e->host, .port = e->port, .tls = e->tls ? ES(s)->tls : NULL };
	pool = http_pool_new();
	answers = (!e->tls || ep.tls) &&
		  http_call(pool, &a, &ep, "GET", "/version", NULL, 0, SV(""), ANSWER_NS, ANSWER_MAX, &r, NULL) == 0;
	http_pool_free(pool);
	link_endpoints_free(e, n);
	return answers;
}

struct pausing {
	struct es *es;
	struct ev_timer *timer;
	pthread_mutex_t mu;
	pthread_cond_t cond;
	bool over;
};

static void pausing_over(void *ctx)
{
	struct pausing *p = ctx;

	p->timer = ev_timer_stop(p->timer);
	pthread_mutex_lock(&p->mu);
	p->over = true;
	pthread_cond_signal(&p->cond); /* under the lock: p is the waiter's stack */
	pthread_mutex_unlock(&p->mu);
}

static void pausing_begin(void *ctx)
{
	struct pausing *p = ctx;

	p->timer = ev_timer_start(p->es->loop, TRIES_PAUSE_NS, 0, pausing_over, p);
}

static void members_pause(struct es *es)
{
	struct pausing p = { .es = es, .mu = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER };

	ev_loop_post(es->loop, pausing_begin, &p);
	pthread_mutex_lock(&p.mu);
	while (!p.over)
		pthread_cond_wait(&p.cond, &p.mu);
	pthread_mutex_unlock(&p.mu);
	pthread_cond_destroy(&p.cond);
	pthread_mutex_destroy(&p.mu);
}

static bool members_gone(struct store *s, const struct etcd_member *m)
{
	for (int i = 0; i < TRIES; i++) {
		if (i)
			members_pause(ES(s));
		if (etcd_members_answers(s, m))
			return false;
	}
	return true;
}

/* --- joining --- */

static struct sv joining_key(struct arena *a, uint64_t id)
{
	return arena_svf(a, ETCD_JOINING "%016" PRIx64, id);
}

/* Its minute begins. Without that it has none, which harms nobody who is quick. */
static void joining_begin(struct store *s, uint64_t id, struct sv peer)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct store_write w = { .key = joining_key(&a, id), .value = peer, .expect_rev = STORE_ANY_REV };
	int64_t rev;

	if (store_lease_grant(s, 0, COMING_S, &w.lease, NULL) == 0)
		(void)store_commit_wait(s, &w, &rev, NULL);
}

static int joining_one(const struct store_kv *kv _unused_, void *ctx)
{
	*(bool *)ctx = true;
	return 1;
}

static int joining_awaited(struct store *s, uint64_t id, bool *ret, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int64_t rev;

	*ret = false;
	return store_range(s, joining_key(&a, id), SV(""), 0, 1, joining_one, ret, &rev, err);
}

/* ret: the learner there is, NULL when there is none; and whether its minute runs. */
static int members_coming(struct store *s, struct arena *a, struct etcd_members *l, const struct etcd_member **ret,
			  bool *ret_awaited, struct err *err)
{
	*ret = NULL;
	*ret_awaited = false;
	if (etcd_members_list(s, a, l, err) < 0)
		return -1;
	for (size_t i = 0; i < l->n; i++)
		if (l->m[i].learner)
			*ret = &l->m[i];
	return *ret ? joining_awaited(s, (*ret)->id, ret_awaited, err) : 0;
}

/* The learner there is makes room, when it is none that comes. */
static int members_make_room(struct store *s, struct arena *a, struct etcd_members *l, struct err *err)
{
	const struct etcd_member *m;
	bool awaited;

	if (members_coming(s, a, l, &m, &awaited, err) < 0)
		return -1;
	if (m && !awaited && members_gone(s, m)) {
		uint64_t gone = m->id;

		/* That took seconds, and its minute is noted only after it was added: is it still so? */
		if (members_coming(s, a, l, &m, &awaited, err) < 0)
			return -1;
		if (m && !awaited && m->id == gone)
			return etcd_members_remove(s, gone, err);
	}
	if (!m)
		return 0;
	return err_set(err, ERR_UNAVAILABLE, "another server is joining, at %.*s, and one comes after the other: %s",
		       SV_ARG(m->peer),
		       awaited ? "its place is given away when it has not come within a minute" : "it has no vote yet");
}

/* Who comes from there has nothing of what that one knew, and must not answer in its name. */
static int members_make_place(struct store *s, const struct etcd_member *at, struct err *err)
{
	if (at->name.n ? !members_gone(s, at) : etcd_members_answers(s, at))
		return err_set(err, ERR_CONFLICT,
			       "the member '%.*s' of this cluster runs at %.*s: is that address the joining machine's "
			       "(--advertise-address)? If it is to take that one's place, end that one first",
			       SV_ARG(at->name.n ? at->name : SV("that joins")), SV_ARG(at->peer));
	if (etcd_members_remove(s, at->id, err) < 0)
		return err_wrap(err, "removing the member that was at %.*s", SV_ARG(at->peer));
	return 0;
}

/* etcd adds none while a member is away, or was within some seconds: whose turn it is, and to do what. */
static int members_unhealthy(struct store *s, struct arena *a, struct etcd_members *l, struct err *err)
{
	const struct etcd_member *m;

	if (etcd_members_list(s, a, l, err) < 0)
		return -1;
	for (size_t i = 0; i < l->n; i++) {
		m = &l->m[i];
		if (m->learner || etcd_members_answers(s, m))
			continue;
		return err_set(err, ERR_UNAVAILABLE,
			       "etcdserver: unhealthy cluster: the server '%.*s' at %.*s is down, and none joins "
			       "meanwhile: start it, or, if it will not come back, take it away by 'caravel server "
			       "remove %.*s'",
			       SV_ARG(member_shown(a, m)), SV_ARG(m->peer), SV_ARG(member_shown(a, m)));
	}
	return err_set(err, ERR_UNAVAILABLE,
		       "etcdserver: unhealthy cluster: its servers have not all been connected for five seconds yet");
}

/* 1: it is there; 0: once more, when there is room. */
static int members_add(struct store *s, struct arena *a, struct sv peer, struct etcd_members *ret, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;
	struct err why = ERR_INIT;

	etcd_member_add_write(&request, peer, true);
	if (members_ask(s, CLUSTER "MemberAdd", &request, &answer, &why) == 0)
		return members_take(a, buf_sv(&answer), true, ret, err) < 0 ? -1 : 1;
	if (strstr(err_msg(&why), "too many learner")) {
		err_release(&why);
		return members_make_room(s, a, ret, err) < 0 ? -1 : 0;
	}
	if (strstr(err_msg(&why), "unhealthy cluster")) {
		err_release(&why);
		return members_unhealthy(s, a, ret, err);
	}
	if (strstr(err_msg(&why), "member not found")) {
		/* Ids are made of the URL and the second: this one was another one's in the same second. */
		err_release(&why);
		members_pause(ES(s));
		return 0;
	}
	if (!strstr(err_msg(&why), "Peer URLs already exists"))
		return err_move(err, &why);
	err_release(&why); /* it was asked twice, as the first answer was lost */
	return etcd_members_list(s, a, ret, err) < 0 ? -1 : 1;
}

int etcd_members_join(struct store *s, struct arena *a, struct sv peer, struct etcd_members *ret, uint64_t *ret_id,
		      struct err *err)
{
	const struct etcd_member *at;
	int rc;

	if (etcd_members_list(s, a, ret, err) < 0)
		return -1;
	at = members_at(ret, peer);
	if (at && members_make_place(s, at, err) < 0)
		return -1;
	rc = members_add(s, a, peer, ret, err);
	if (rc == 0)
		rc = members_add(s, a, peer, ret, err);
	if (rc < 0)
		return -1;
	at = rc ? members_at(ret, peer) : NULL;
	if (!at)
		return err_set(err, ERR_UNAVAILABLE, "another server was faster: one comes after the other");
	*ret_id = at->id;
	joining_begin(s, at->id, peer);
	return 0;
}

int etcd_members_promote(struct store *s, uint64_t id, struct err *err)
{
	_cleanup_(buf_release) struct buf request = BUF_INIT, answer = BUF_INIT;
	struct err why = ERR_INIT;
	int rc = 1;

	etcd_member_id_write(&request, id);
	if (members_ask(s, CLUSTER "MemberPromote", &request, &answer, &why) == 0)
		return 1;
	if (strstr(err_msg(&why), "in sync with leader"))
		rc = 0;
	else if (!strstr(err_msg(&why), "can only promote a learner member"))
		return err_move(err, &why);
	err_release(&why);
	return rc;
}

/* --- going --- */

/* "cp-1-3f2a91c4" is the member, "cp-1" its host. */
static bool member_is_named(const struct etcd_member *m, struct sv name)
{
	char id[17];

	(void)snprintf(id, sizeof(id), "%016" PRIx64, m->id);
	if (!name.n)
		return false;
	if (sv_eq(m->name, name) || sv_is(name, id))
		return true;
	return m->name.n == name.n + 9 && sv_starts(m->name, name) && m->name.p[name.n] == '-';
}

const struct etcd_member *etcd_members_named(const struct etcd_members *l, struct sv name, struct err *err)
{
	const struct etcd_member *found = NULL;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++)
		if (member_is_named(&l->m[i], name)) {
			found = &l->m[i];
			n++;
		}
	if (n == 1)
		return found;
	if (n)
		err_set(err, ERR_CONFLICT, "%zu members are of the host '%.*s': name one by all of its name", n,
			SV_ARG(name));
	else
		err_set(err, ERR_NOT_FOUND, "no member of this cluster is called '%.*s'", SV_ARG(name));
	return NULL;
}

int etcd_members_may_go(struct store *s, const struct etcd_members *l, uint64_t id, struct err *err)
{
	size_t stay = 0, answer = 0;
	bool votes = false;

	for (size_t i = 0; i < l->n; i++) {
		if (l->m[i].id == id)
			votes = !l->m[i].learner;
		else if (!l->m[i].learner && ++stay)
			answer += etcd_members_answers(s, &l->m[i]);
	}
	if (!votes || (stay && answer > stay / 2))
		return 0;
	if (!stay)
		return err_set(err, ERR_CONFLICT, "it is the only member that has the objects of this cluster");
	return err_set(err, ERR_CONFLICT,
		       "%zu of the %zu members that would be left answer, which is no majority, and nothing could be "
		       "written any more: start the others first, or remove those that will not come back",
		       answer, stay);
}
