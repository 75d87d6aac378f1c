#include "cli/servers_token.h"

#include "apiserver/bootstrap/join_token.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/shared_keys.h"
#include "client/bootstrap_token.h"
#include "codec/json.h"
#include "net/digest.h"
#include "net/sealed.h"
#include "store/store.h"

#include <pthread.h>
#include <stdlib.h>

#define SYS "server"
#define PEM_MAX ((size_t)64 << 10)

struct servers_token {
	struct servers_token_opts o;
	char *dir;
	struct store_watch *watch;
	pthread_mutex_t turn; /* held while the store is looked at and the file written; before lock */
	int64_t rev;	      /* under turn: of the note that was read; 0: there was none */

	pthread_mutex_t lock; /* guards these */
	pthread_cond_t idle;
	char *id, *secret;
	unsigned tasks;
	bool stopping;
};

/* --- the note --- */

bool servers_token_note_parse(struct arena *a, struct sv text, struct servers_token_note *ret)
{
	const struct val *v = json_decode(a, text, NULL, NULL);
	const struct val *older = val_member_sv(v, SV("older"));
	struct join_token t;

	*ret = (struct servers_token_note){ .token = val_str(val_member_sv(v, SV("token"))) };
	if (val_type(v) != VAL_MAP || join_token_parse(ret->token, &t, NULL) < 0 || t.ca_hash.n)
		return false;
	for (size_t i = 0; i < val_len(older) && ret->n_older < SERVERS_TOKEN_OLDER; i++) {
		struct sv one = val_str(val_at(older, i));

		if (!join_hash_good(one))
			return false;
		ret->older[ret->n_older++] = one;
	}
	return true;
}

static struct sv st_hash(struct arena *a, struct sv token)
{
	char hex[SHA256_HEX];

	sha256_hex(token, hex);
	return arena_sv(a, sv_from(hex));
}

/* token is the newest from now on, was the one before it. */
static void st_note_format(struct arena *a, const struct servers_token_note *n, struct sv token, struct sv was,
			   struct buf *b)
{
	struct val *doc = val_new_map(a), *older = val_new_list(a);

	val_push(a, older, val_new_str(a, st_hash(a, was)));
	for (size_t i = 0; i < n->n_older && i + 1 < SERVERS_TOKEN_OLDER; i++)
		val_push(a, older, val_new_str(a, n->older[i]));
	val_set_str_sv(a, doc, SV("token"), token);
	val_set_sv(a, doc, SV("older"), older);
	json_encode(b, doc);
}

static struct sv st_note_word(struct arena *a, struct sv ca_key)
{
	return st_hash(a, arena_svf(a, "%s\n%.*s", SERVERS_TOKEN_KEY, SV_ARG(ca_key)));
}

/* --- the store --- */

static int st_note_open(struct arena *a, struct sv ca_key, struct sv sealed, struct servers_token_note *ret,
			struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT;
	bool good;

	if (sealed_open(st_note_word(a, ca_key), SV(SERVERS_TOKEN_KEY), sealed, &text, err) < 0)
		return err_wrap(err, "the servers' token in the store ('%s')", SERVERS_TOKEN_KEY);
	good = servers_token_note_parse(a, arena_sv(a, buf_sv(&text)), ret);
	explicit_bzero(text.p, text.n);
	return good ? 0 : err_set(err, ERR_STORE_READ, "'%s' in the store says no token", SERVERS_TOKEN_KEY);
}

int servers_token_newer(struct store *s, struct arena *a, struct sv ca_key, struct sv tried, struct sv *ret,
			struct err *err)
{
	struct store_found f;
	struct servers_token_note n;
	struct err why = ERR_INIT;

	if (!ca_key.n)
		return 0;
	if (store_read(s, a, SV(SERVERS_TOKEN_KEY), &f, err) < 0)
		return -1;
	if (!f.rev)
		return 0;
	if (st_note_open(a, ca_key, f.value, &n, &why) < 0) {
		if (why.reason != ERR_UNAUTHORIZED) /* that is another cluster's key, which is told of */
			return err_move(err, &why);
		err_release(&why);
		return 0;
	}
	tried = st_hash(a, tried);
	for (size_t i = 0; i < n.n_older; i++)
		if (sv_eq(n.older[i], tried)) {
			*ret = n.token;
			return 1;
		}
	return 0;
}

/* --- what this server has --- */

static struct sv st_now(struct servers_token *t, struct arena *a)
{
	struct sv now;

	pthread_mutex_lock(&t->lock);
	now = arena_svf(a, "%s.%s", t->id, t->secret);
	pthread_mutex_unlock(&t->lock);
	return now;
}

static void st_set(struct servers_token *t, const struct join_token *k)
{
	pthread_mutex_lock(&t->lock);
	if (t->secret)
		explicit_bzero(t->secret, strlen(t->secret));
	free(t->id);
	free(t->secret);
	t->id = xstrndup(k->id.p, k->id.n);
	t->secret = xstrndup(k->secret.p, k->secret.n);
	pthread_mutex_unlock(&t->lock);
}

bool servers_token_is(struct servers_token *t, struct sv id, struct sv secret)
{
	bool is;

	pthread_mutex_lock(&t->lock);
	is = sv_is(id, t->id) && secret_equal(secret, sv_from(t->secret));
	pthread_mutex_unlock(&t->lock);
	return is;
}

/* Whether nodes are given the servers' token, was until now: a cluster that has one of theirs keeps it in that file. */
static bool st_is_of_nodes(struct servers_token *t, struct arena *a, struct sv was)
{
	struct join_token k;
	struct sv text;

	return t->o.nodes && file_read(a, arena_printf(a, "%s/server/node-token", t->dir), PEM_MAX, &text, NULL) == 0 &&
	       join_token_parse(sv_trim(text), &k, NULL) == 0 &&
	       secret_equal(arena_svf(a, "%.*s.%.*s", SV_ARG(k.id), SV_ARG(k.secret)), was);
}

/* For the next start, and for whoever brings another server. */
static int st_write(struct servers_token *t, struct arena *a, const struct join_token *k, struct sv was,
		    struct err *err)
{
	struct sv ca, text;

	if (file_read(a, arena_printf(a, "%s/pki/ca.crt", t->dir), PEM_MAX, &ca, err) < 0)
		return -1;
	text = join_token_format(a, ca, k->id, k->secret);
	if (dir_make(arena_printf(a, "%s/server", t->dir), 0700, err) < 0 ||
	    file_write(arena_printf(a, "%s/server/token", t->dir), arena_svf(a, "%.*s\n", SV_ARG(text)), 0600, err) < 0)
		return -1;
	return st_is_of_nodes(t, a, was) ? join_token_write(a, t->dir, text, err) : 0;
}

/* The turn is held. A file that cannot be written is told of: the next start has the store's word. */
static void st_take(struct servers_token *t, struct arena *a, struct sv token)
{
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct sv was = st_now(t, a);
	struct join_token k;

	if (join_token_parse(token, &k, &err) < 0)
		return;
	st_set(t, &k);
	if (st_write(t, a, &k, was, &err) < 0)
		log_warn(SYS, "the servers' token cannot be written; the next start does", "error", "%s",
			 err_msg(&err));
}

static int st_ca_key(struct servers_token *t, struct arena *a, struct sv *ret, struct err *err)
{
	return file_read(a, arena_printf(a, "%s/pki/ca.key", t->dir), PEM_MAX, ret, err);
}

/* The turn is held. 1: it was another one. */
static int st_follow(struct servers_token *t, struct arena *a, struct err *err)
{
	struct store_found f;
	struct servers_token_note n;
	struct sv ca_key;

	if (store_read(t->o.store, a, SV(SERVERS_TOKEN_KEY), &f, err) < 0)
		return -1;
	if (f.rev == t->rev)
		return 0;
	if (!f.rev) {
		t->rev = 0;
		return 0;
	}
	if (st_ca_key(t, a, &ca_key, err) < 0 || st_note_open(a, ca_key, f.value, &n, err) < 0)
		return -1;
	t->rev = f.rev;
	if (secret_equal(n.token, st_now(t, a)))
		return 0;
	st_take(t, a, n.token);
	log_info(SYS, "the servers' token is another one now", "file", "%s/server/token", t->dir);
	return 1;
}

int servers_token_fresh(struct servers_token *t, struct err *err)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	int rc;

	if (!t->o.store)
		return 0;
	pthread_mutex_lock(&t->turn);
	rc = st_follow(t, &a, err);
	pthread_mutex_unlock(&t->turn);
	return rc <= 0 ? rc
		       : err_set(err, ERR_UNAUTHORIZED,
				 "the servers' token is another one now: take that of DATA-DIR/server/token");
}

static void st_changed(void *ctx)
{
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	_cleanup_(err_release) struct err err = ERR_INIT;
	struct servers_token *t = ctx;

	pthread_mutex_lock(&t->turn);
	if (st_follow(t, &a, &err) < 0)
		log_warn(SYS, "the servers' token may have changed, and cannot be read", "error", "%s", err_msg(&err));
	pthread_mutex_unlock(&t->turn);
	pthread_mutex_lock(&t->lock);
	t->tasks--;
	pthread_cond_broadcast(&t->idle);
	pthread_mutex_unlock(&t->lock);
}

/* On the store's thread, which reads nothing. */
static void st_change(const struct store_change *c _unused_, void *ctx)
{
	struct servers_token *t = ctx;

	pthread_mutex_lock(&t->lock);
	if (!t->stopping) {
		t->tasks++;
		env_post(t->o.env, ENV_SLOW, st_changed, t);
	}
	pthread_mutex_unlock(&t->lock);
}

/* --- rotation --- */

/* A token of which there is a Secret would be everybody's who reads the store. */
static int st_is_free(struct servers_token *t, struct arena *a, const struct join_token *k, struct err *err)
{
	struct store_found f;
	struct sv key =
	    arena_svf(a, "/registry/secrets/" BOOTSTRAP_TOKEN_NS "/" BOOTSTRAP_TOKEN_PREFIX "%.*s", SV_ARG(k->id));

	if (store_read(t->o.store, a, key, &f, err) < 0)
		return -1;
	return f.rev
		   ? err_set(err, ERR_INVALID,
			     "the new token is one that machines join with, which is in a Secret of the cluster: take "
			     "one of another id, as 'caravel token generate' makes it")
		   : 0;
}

static int st_reseal(struct servers_token *t, struct arena *a, struct sv was, struct sv word, struct err *err)
{
	_cleanup_(buf_release) struct buf text = BUF_INIT, keys = BUF_INIT, told = BUF_INIT, note = BUF_INIT;
	struct store_found f, g;
	struct servers_token_note n = { .n_older = 0 };
	struct store_write w = { .key = SV(SHARED_KEYS) }, also = { .key = SV(SERVERS_TOKEN_KEY) };
	struct err why = ERR_INIT;
	struct sv ca_key;
	int64_t rev;
	int rc;

	if (st_ca_key(t, a, &ca_key, err) < 0 || store_read(t->o.store, a, SV(SHARED_KEYS), &f, err) < 0 ||
	    store_read(t->o.store, a, SV(SERVERS_TOKEN_KEY), &g, err) < 0 ||
	    (g.rev && st_note_open(a, ca_key, g.value, &n, err) < 0))
		return -1;
	if (!f.rev)
		return err_set(err, ERR_UNAVAILABLE, "the cluster's keys are not in the store yet");
	if (sealed_open(was, SV(SHARED_KEYS), f.value, &text, &why) < 0) {
		if (why.reason != ERR_UNAUTHORIZED)
			return err_move(err, &why);
		err_release(&why);
		return err_set(err, ERR_FORBIDDEN, "the old token is not that of this cluster's servers");
	}
	st_note_format(a, &n, word, was, &told);
	rc =
	    sealed_make(t->o.env, word, SV(SHARED_KEYS), buf_sv(&text), &keys, err) < 0 ||
		    sealed_make(t->o.env, st_note_word(a, ca_key), SV(SERVERS_TOKEN_KEY), buf_sv(&told), &note, err) < 0
		? -1
		: 0;
	explicit_bzero(text.p, text.n);
	explicit_bzero(told.p, told.n);
	if (rc < 0)
		return -1;
	w.expect_rev = f.rev;
	w.value = buf_sv(&keys);
	also.expect_rev = g.rev;
	also.value = buf_sv(&note);
	w.also = &also;
	w.n_also = 1;
	rc = store_commit_wait(t->o.store, &w, &rev, err);
	if (rc < 0)
		return err_wrap(err,
				"nobody knows whether the token is another now: 'DIR/server/token' of a server has "
				"it in a moment");
	return rc ? 0
		  : err_set(err, ERR_CONFLICT, "another server has written the cluster's keys meanwhile: try again");
}

static int st_rotate(struct servers_token *t, struct arena *a, const struct join_token *old,
		     const struct join_token *next, struct err *err)
{
	struct sv was = arena_svf(a, "%.*s.%.*s", SV_ARG(old->id), SV_ARG(old->secret)),
		  word = arena_svf(a, "%.*s.%.*s", SV_ARG(next->id), SV_ARG(next->secret));

	if (!t->o.store) {
		if (!secret_equal(was, st_now(t, a)))
			return err_set(err, ERR_FORBIDDEN, "the old token is not that of this server");
		return st_write(t, a, next, was, err) < 0 ? -1 : (st_set(t, next), 0);
	}
	if (st_is_free(t, a, next, err) < 0 || st_reseal(t, a, was, word, err) < 0)
		return -1;
	st_take(t, a, word);
	return 0;
}

int servers_token_rotate(struct servers_token *t, struct arena *a, struct sv body, struct sv *ret, struct err *err)
{
	const struct val *asked = json_decode(a, body, NULL, NULL);
	struct join_token old, next;
	int rc;

	if (join_token_parse(val_str(val_member_sv(asked, SV("old"))), &old, NULL) < 0 ||
	    join_token_parse(val_str(val_member_sv(asked, SV("new"))), &next, NULL) < 0)
		return err_set(err, ERR_BAD_REQUEST, "who rotates the token says the old and the new one, as JSON");
	if (sv_eq(old.id, next.id))
		return err_set(err, ERR_INVALID, "the new token has the id of the old one: take another");
	pthread_mutex_lock(&t->turn);
	rc = st_rotate(t, a, &old, &next, err);
	pthread_mutex_unlock(&t->turn);
	if (rc < 0)
		return -1;
	log_info(SYS, "the servers' token is rotated", "file", "%s/server/token", t->dir);
	*ret = SV("{}");
	return 0;
}

/* --- life --- */

static int st_watch(struct servers_token *t, struct err *err)
{
	static const struct store_watch_cb cb = { .change = st_change };
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	struct store_found f;

	if (store_read(t->o.store, &a, SV(SERVERS_TOKEN_KEY), &f, err) < 0)
		return -1;
	t->rev = f.rev; /* what the start has gone by */
	return store_watch(t->o.store, SV(SERVERS_TOKEN_KEY), SV(""), f.at, &cb, t, &t->watch, err);
}

struct servers_token *servers_token_new(const struct servers_token_opts *o, struct err *err)
{
	struct servers_token *t;
	struct join_token k;

	if (!o->token || join_token_parse(sv_trim(sv_from(o->token)), &k, err) < 0)
		return o->token ? NULL : (err_set(err, ERR_NOT_FOUND, "there is no token of servers"), NULL);
	t = xcalloc(1, sizeof(*t));
	t->o = *o;
	t->dir = xstrdup(o->data_dir);
	pthread_mutex_init(&t->turn, NULL);
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->idle, NULL);
	st_set(t, &k);
	if (o->store && st_watch(t, err) < 0)
		return servers_token_free(t);
	return t;
}

struct servers_token *servers_token_free(struct servers_token *t)
{
	if (!t)
		return NULL;
	if (t->watch)
		store_unwatch(t->o.store, t->watch);
	pthread_mutex_lock(&t->lock);
	t->stopping = true;
	while (t->tasks)
		pthread_cond_wait(&t->idle, &t->lock);
	pthread_mutex_unlock(&t->lock);
	explicit_bzero(t->secret, strlen(t->secret));
	free(t->id);
	free(t->secret);
	free(t->dir);
	pthread_cond_destroy(&t->idle);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->turn);
	free(t);
	return NULL;
}
