#include "cli/server_store.h"

#include "base/file.h"
#include "base/log.h"
#include "base/repeat.h"
#include "cli/cluster_reset.h"
#include "cli/daemon.h"
#include "cli/etcd_others.h"
#include "cli/join.h"
#include "cli/server_join.h"
#include "cli/shared_keys.h"
#include "cli/to_etcd.h"
#include "store/store.h"

#include <stdlib.h>
#include <unistd.h>

#define PAUSE_NS NS_PER_SEC
#define FOLLOW_NS (60 * NS_PER_SEC)
#define PROMOTE_NS (250 * NS_PER_MS)
#define LISTEN_TRIES 12
#define PEM_MAX ((size_t)1 << 16)
#define TELL_TIMES 20 /* pauses between two lines of the log */

static bool passes(const struct err *err)
{
	return err->reason == ERR_UNAVAILABLE || err->reason == ERR_TIMEOUT || err->reason == ERR_TOO_MANY_REQUESTS;
}

/* After a failure that may pass: tells of it now and then. False, with *err: it will not, or we are to end. */
static bool wait_on(struct err *why, const char *what, unsigned *times, int64_t pause_ns, struct err *err)
{
	if (!passes(why)) {
		err_move(err, why);
		return false;
	}
	if ((*times)++ % TELL_TIMES == 0)
		log_warn("server", what, "error", "%s", err_msg(why));
	if (!daemon_pause(pause_ns)) {
		err_move(err, why);
		return false;
	}
	err_release(why);
	return true;
}

static int join_others(struct server_store *s, const struct server_opts *o, struct env *env, struct arena *a,
		       struct server_joined *ret, struct err *err)
{
	const struct server_join_opts j = {
		.env = env, .url = o->join_url, .token = o->token, .data_dir = o->node.data_dir, .id = &s->id
	};
	struct err why = ERR_INIT;
	unsigned times = 0;

	while (server_join(a, &j, ret, &why) < 0)
		if (!wait_on(&why, "cannot join yet, and tries again", &times, PAUSE_NS, err))
			return err_wrap(err, "joining by %s", o->join_url);
	return 0;
}

/* For others: another server of this machine that has just been killed may hold them for a moment. */
static int member_has_place(const struct etcd_member_opts *m, struct err *err)
{
	struct err why = ERR_INIT;

	for (int i = 0; etcd_member_can_listen(m, &why) < 0; i++) {
		if (why.reason != ERR_ALREADY_EXISTS || i == LISTEN_TRIES || !daemon_pause(PROMOTE_NS))
			return err_move(err, &why);
		err_release(&why);
	}
	return 0;
}

static bool has_database(struct arena *a, const char *data_dir)
{
	return access(arena_printf(a, "%s/db/manifest", data_dir), F_OK) == 0;
}

/* With data of a cluster --server is not asked for a place any more, so nobody would notice that it is another's. */
static int check_same(struct arena *a, const struct server_opts *o, struct err *err)
{
	const char *dir = o->node.data_dir;
	struct sv ca;

	if (!o->join_url || (!etcd_member_there(dir) && !has_database(a, dir)) ||
	    file_read(a, arena_printf(a, "%s/pki/ca.crt", dir), PEM_MAX, &ca, NULL) < 0)
		return 0;
	return join_check_same(a, o->join_url, ca, dir,
			       "go on with it without --server, or with that of a server of its own, or join the other "
			       "one with an empty --data-dir",
			       err);
}

/* What a member that has no data needs before it starts. */
static int member_begin(struct server_store *s, const struct server_opts *o, const struct etcd_member_opts *m,
			struct env *env, struct arena *a, struct server_joined *ret, struct err *err)
{
	const struct shared_keys_opts keys = {
		.env = env, .data_dir = o->node.data_dir, .token = o->token, .etcd = true
	};

	if (has_database(a, o->node.data_dir) && o->join_url)
		return err_set(
		    err, ERR_STORE_READ,
		    "'%s/db' has the objects of another cluster: join with an empty --data-dir, or start with "
		    "--cluster-init and let others join this one",
		    o->node.data_dir);
	if (member_has_place(m, err) < 0)
		return -1;
	if (o->join_url)
		return join_others(s, o, env, a, ret, err);
	return database_check(a, o, err) < 0 ? -1 : shared_keys_begin(&keys, err);
}

/* Whom it waits for, and what to do when they do not come. */
static void tell_others(const struct server_store *s, const struct server_opts *o, struct err *why)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	const char *silent = etcd_others_silent(&a, o->node.data_dir, s->id.name), *elsewhere = "";

	if (o->join_url)
		elsewhere = arena_printf(&a, "; when it was reset or restored elsewhere, remove '%s/etcd' to join that",
					 o->node.data_dir);
	if (*silent)
		err_wrap(why,
			 "no answer from %s. When most servers of the cluster are gone for good, or have got other "
			 "addresses, end this one and start it with --cluster-reset%s",
			 silent, elsewhere);
}

static int open_etcd(struct server_store *s, const struct server_opts *o, struct env *env, struct arena *a,
		     const struct datastore_opts *d, struct err *err)
{
	struct err why = ERR_INIT;
	unsigned times = 0;

	while (!(s->store = datastore_etcd(env, a, d, &why))) {
		if (passes(&why) && times % TELL_TIMES == 0 && !daemon_is_to_end())
			tell_others(s, o, &why);
		if (!wait_on(&why, "the etcd of this cluster does not answer yet: are enough of its servers up?",
			     &times, PAUSE_NS, err))
			return -1;
	}
	return 0;
}

static int has_vote(struct server_store *s, const struct server_opts *o, struct err *err)
{
	struct err why = ERR_INIT;
	unsigned times = 0;
	int rc;

	while ((rc = server_join_finish(s->store, o->node.data_dir, &s->id, &why)) <= 0) {
		if (rc == 0)
			err_set(&why, ERR_UNAVAILABLE, "it is not in sync with the others");
		if (!wait_on(&why, "this server's etcd has no vote yet", &times, PROMOTE_NS, err))
			return -1;
	}
	return 0;
}

/* --- who else is there --- */

struct followed {
	struct server_store *s;
	char *data_dir;
	struct repeat looking;
};

static void follow_look(void *ctx)
{
	struct followed *f = ctx;

	/* What fails now is asked again in a minute. */
	(void)server_join_follow(f->s->store, f->data_dir, &f->s->id, NULL);
}

static void follow_start(struct server_store *s, struct env *env, const char *data_dir)
{
	struct followed *f = xcalloc(1, sizeof(*f));

	f->s = s;
	f->data_dir = xstrdup(data_dir);
	s->followed = f;
	repeat_start(&f->looking, env, ENV_SLOW, FOLLOW_NS, follow_look, f);
}

void server_store_rest(struct server_store *s)
{
	struct followed *f = TAKE(s->followed);

	s->alone = !s->store || !store_healthy(s->store, NULL);
	if (!f)
		return;
	repeat_stop(&f->looking);
	free(f->data_dir);
	free(f);
}

/* A server without a place among the others has nothing to do, and would only be asked in vain. */
static void was_removed(void *ctx)
{
	struct server_store *s = ctx;

	atomic_store(&s->removed, true);
	(void)kill(getpid(), SIGTERM);
}

int server_store_removed(const struct server_opts *o, struct err *err)
{
	return err_set(
	    err, ERR_STORE_READ,
	    "this server was removed from its cluster, by 'caravel server remove' or as another one took its "
	    "place: the others know of what it has, and take nothing from it. To join them again remove "
	    "'%s/etcd' and start with --server and --token",
	    o->node.data_dir);
}

const char *server_store_address(const struct server_opts *o)
{
	return o->advertise_address ? o->advertise_address : "127.0.0.1";
}

static int open_own(struct server_store *s, struct env *env, struct arena *a, const struct server_opts *o,
		    struct err *err)
{
	const struct etcd_member_opts m = { .env = env,
					    .data_dir = o->node.data_dir,
					    .address = server_store_address(o),
					    .port = o->etcd_port,
					    .removed = was_removed,
					    .removed_ctx = s };
	bool there = etcd_member_there(o->node.data_dir);
	struct server_joined joined = { NULL, NULL };
	struct datastore_opts d = { .compact = o->datastore.compact, .kept = o->datastore.kept };

	if (etcd_member_check(err) < 0 || etcd_member_identify(a, &m, &s->id, err) < 0 ||
	    (!there && member_begin(s, o, &m, env, a, &joined, err) < 0) || to_etcd(&m, &s->id, err) < 0)
		return -1;
	s->member = etcd_member_start(&m, &s->id, joined.cluster, err);
	if (!s->member)
		return -1;
	etcd_member_datastore(a, &m, &s->id, joined.clients, joined.cluster != NULL, &d);
	if (open_etcd(s, o, env, a, &d, err) < 0)
		return -1;
	if (has_vote(s, o, err) < 0)
		return -1;
	cluster_reset_used(o->node.data_dir);
	follow_start(s, env, o->node.data_dir);
	return 0;
}

static int open_member(struct server_store *s, struct env *env, struct arena *a, const struct server_opts *o,
		       struct err *err)
{
	int rc = open_own(s, env, a, o, err);

	if (rc == 0 || !atomic_load(&s->removed))
		return rc;
	err_release(err);
	return server_store_removed(o, err);
}

int server_store_open(struct server_store *s, struct env *env, struct arena *a, struct server_opts *o, struct err *err)
{
	const char *db = arena_printf(a, "%s/db", o->node.data_dir);

	s->shared = true;
	if (o->datastore.endpoint)
		return (s->store = datastore_etcd(env, a, &o->datastore, err)) ? 0 : -1;
	if (check_same(a, o, err) < 0 || cluster_reset_finish(o->node.data_dir, err) < 0)
		return -1;
	to_etcd_forget(o->node.data_dir);
	if (!o->of_etcd && (o->cluster_init || o->join_url || etcd_member_there(o->node.data_dir)))
		return open_member(s, env, a, o, err);
	s->shared = false;
	/* Not before the process has its seed, by which maps find what is in them. */
	if (database_check(a, o, err) < 0)
		return -1;
	if (o->no_sync)
		store_disk_no_sync();
	s->store = store_disk_open(env, db, STORE_DISK_MAX, err);
	return s->store ? 0 : -1;
}

void server_store_end(struct server_store *s)
{
	s->member = etcd_member_stop(s->member, s->alone);
}
