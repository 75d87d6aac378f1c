/* The embedded store's calls: open and close, ranges, and handing work to the two threads. */
#include "store/lmdb/lmdb-internal.h"

#include "store/lmdb/dirlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void gen_unref(struct gen *g)
{
	if (--g->refs == 0)
		gen_free(g);
}

int snap_open(struct lmdb_store *s, bool writer, struct snap *ret, struct err *err)
{
	MDB_txn **txn = &s->writer_txn;
	int rc;

	*ret = (struct snap){ .pool = -1 };
	while (!writer && ret->pool < 0) {
		for (int i = 0; i < DB_READERS && ret->pool < 0; i++)
			if (!s->txn_used[i])
				ret->pool = i;
		if (ret->pool < 0)
			pthread_cond_wait(&s->changed, &s->mu);
	}
	if (!writer)
		txn = &s->txns[ret->pool];
	rc = *txn ? mdb_txn_renew(*txn) : mdb_txn_begin(s->db.env, NULL, MDB_RDONLY, txn);
	if (rc)
		return db_err(&s->db, rc, err, "cannot read the database");
	if (!writer)
		s->txn_used[ret->pool] = true;
	ret->txn = *txn;
	if (s->active)
		ret->gens[ret->n++] = s->active;
	for (struct list *l = s->frozen.prev; l != &s->frozen; l = l->prev) {
		BUG_ON(ret->n == WAL_SLOTS);
		ret->gens[ret->n++] = LIST_ENTRY(l, struct gen, link);
	}
	for (int i = 0; i < ret->n; i++)
		ret->gens[i]->refs++;
	ret->rev = s->rev;
	ret->compact_rev = s->compact_rev;
	return 0;
}

void snap_close(struct lmdb_store *s, struct snap *sn)
{
	mdb_txn_reset(sn->txn);
	pthread_mutex_lock(&s->mu);
	for (int i = 0; i < sn->n; i++)
		gen_unref(sn->gens[i]);
	if (sn->pool >= 0) {
		s->txn_used[sn->pool] = false;
		pthread_cond_broadcast(&s->changed);
	}
	pthread_mutex_unlock(&s->mu);
}

/* What the overlay knows of one key: a record, or that the database's revision db_rev (or what
 * it replaced, if that is still too new) is it, or, with neither, that there is nothing. */
struct seen_key {
	struct sv key;
	const struct rec *rec;
	uint64_t db_rev;
};

static int seen_key_cmp(const void *a, const void *b)
{
	const struct seen_key *x = a, *y = b;

	return sv_cmp(x->key, y->key);
}

/* Lock held: the active generation's arrays move when it grows. */
static struct seen_key overlay_at(const struct snap *sn, const struct rec *newest, int64_t rev)
{
	const struct rec *r = newest;
	uint64_t at = r->head.rev;

	while (at > (uint64_t)rev) {
		at = r->head.prev_rev;
		r = NULL;
		for (int i = 0; i < sn->n && !r; i++)
			r = gen_rev(sn->gens[i], (int64_t)at);
		if (!r)
			return (struct seen_key){ rec_key(newest), NULL, at };
	}
	return (struct seen_key){ rec_key(newest), r->head.flags & WAL_TOMBSTONE ? NULL : r, 0 };
}

static void seen_keys_collect(const struct snap *sn, struct sv from, struct sv to, int64_t rev, struct seen_key **ret,
			      size_t *ret_n)
{
	VEC(struct seen_key) all = VEC_INIT;

	for (int i = 0; i < sn->n; i++) {
		size_t have = all.n;

		for (struct keyidx_node *n = keyidx_seek(&sn->gens[i]->keys, from);
		     n && store_in_range(n->key, from, to); n = n->next[0]) {
			struct seen_key k = { .key = n->key };

			/* A newer generation has the last word on its keys. */
			if (have == 0 || !bsearch(&k, all.p, have, sizeof(k), seen_key_cmp))
				vec_push(&all, overlay_at(sn, n->value, rev));
		}
		if (all.n > have && have > 0)
			qsort(all.p, all.n, sizeof(all.p[0]), seen_key_cmp);
	}
	*ret = all.p;
	*ret_n = all.n;
}

struct range {
	struct lmdb_store *s;
	struct snap sn;
	int64_t rev;
	size_t left; /* SIZE_MAX: no limit */
	store_each_fn *fn;
	void *ctx;
	struct err *err;
};

/* 1: stop, 0: go on. */
static int range_report(struct range *q, const struct store_kv *kv)
{
	if (q->fn(kv, q->ctx))
		return 1;
	return q->left != SIZE_MAX && --q->left == 0;
}

/* Reports the version current at q->rev, where db_rev is that or a later one. `must`: the
 * record cannot have been compacted away. */
static int range_db_rev(struct range *q, uint64_t db_rev, bool must)
{
	while (db_rev) {
		struct wal_record h;
		struct store_kv kv;
		int got = db_get_rev(&q->s->db, q->sn.txn, db_rev, &h, &kv.key, &kv.value, q->err);

		if (got < 0)
			return -1;
		if (got == 0 && (must || db_rev > (uint64_t)q->sn.compact_rev))
			return err_set(q->err, ERR_STORE_READ, "'%s' is corrupted: revision %" PRIu64 " is missing",
				       q->s->db.path, db_rev);
		if (got == 0)
			return 0; /* a tombstone, compacted */
		if (db_rev > (uint64_t)q->rev) {
			db_rev = h.prev_rev;
			must = false;
			continue;
		}
		if (h.flags & WAL_TOMBSTONE)
			return 0;
		kv.create_rev = (int64_t)h.create_rev;
		kv.mod_rev = (int64_t)h.rev;
		kv.deleted = false;
		return range_report(q, &kv);
	}
	return 0;
}

static int range_seen(struct range *q, const struct seen_key *k)
{
	struct store_kv kv;

	if (!k->rec)
		return range_db_rev(q, k->db_rev, false);
	kv = rec_kv(k->rec);
	return range_report(q, &kv);
}

static int range_db_key(struct range *q, MDB_val v)
{
	struct db_key k;

	if (v.mv_size != sizeof(k))
		return db_err(&q->s->db, MDB_CORRUPTED, q->err, "cannot read a key");
	memcpy(&k, v.mv_data, sizeof(k));
	if (!k.create_rev && k.mod_rev <= (uint64_t)q->rev)
		return 0;
	return range_db_rev(q, k.mod_rev, true);
}

/* Merges overlay and database, both in key order; on a key in both the overlay decides. */
static int range_merge(struct range *q, struct sv from, struct sv to, const struct seen_key *seen, size_t n)
{
	/* LMDB takes no empty key and none longer than any that can be in it. */
	MDB_val k = db_val(sv_sub(from, 0, STORE_KEY_MAX + 1)), v;
	MDB_cursor *c;
	int rc, r = 0;

	rc = mdb_cursor_open(q->sn.txn, q->s->db.keys, &c);
	if (rc)
		return db_err(&q->s->db, rc, q->err, "cannot read the database");
	rc = mdb_cursor_get(c, &k, &v, from.n ? MDB_SET_RANGE : MDB_FIRST);
	while (r == 0) {
		bool in_db = rc == 0 && store_in_range(db_sv(k), from, to);
		int cmp = !in_db ? -1 : n ? sv_cmp(seen->key, db_sv(k)) : 1;

		if (rc && rc != MDB_NOTFOUND) {
			r = db_err(&q->s->db, rc, q->err, "cannot read the database");
			break;
		}
		if (!in_db && n == 0)
			break;
		if (cmp <= 0) {
			r = range_seen(q, seen++);
			n--;
		} else {
			r = range_db_key(q, v);
		}
		if (cmp >= 0 && r == 0)
			rc = mdb_cursor_get(c, &k, &v, MDB_NEXT);
	}
	mdb_cursor_close(c);
	return r < 0 ? -1 : 0;
}

static int lmdb_range(struct store *store, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
		      void *ctx, int64_t *ret_rev, struct err *err)
{
	struct range q = { .s = LMDB_STORE(store), .left = limit ? limit : SIZE_MAX, .fn = fn, .ctx = ctx, .err = err };
	struct seen_key *seen = NULL;
	size_t n = 0;
	int r;

	pthread_mutex_lock(&q.s->mu);
	/* First the snapshot: opening it may wait, and the store moves on meanwhile. */
	r = snap_open(q.s, false, &q.sn, err);
	if (r < 0) {
		pthread_mutex_unlock(&q.s->mu);
		return -1;
	}
	q.rev = rev ? rev : q.sn.rev;
	r = store_check_read_rev(q.rev, q.sn.rev, q.sn.compact_rev, err);
	if (r == 0)
		seen_keys_collect(&q.sn, from, to, q.rev, &seen, &n);
	pthread_mutex_unlock(&q.s->mu);
	if (r == 0)
		r = range_merge(&q, from, to, seen, n);
	free(seen);
	snap_close(q.s, &q.sn);
	if (r == 0 && ret_rev)
		*ret_rev = q.rev;
	return r;
}

static void lmdb_commit(struct store *store, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct lmdb_store *s = LMDB_STORE(store);
	struct err why = ERR_INIT;
	struct rec *r;

	if (store_write_check(w, &why) < 0)
		r = rec_new(SV_NULL, SV_NULL, false);
	else
		r = rec_new(w->key, w->tombstone ? SV_NULL : w->value, w->tombstone);
	r->done = done;
	r->ctx = ctx;
	r->cookie = w->cookie;
	r->expect_rev = w->expect_rev;
	pthread_mutex_lock(&s->mu);
	if (s->stopping && !why.reason)
		err_set(&why, ERR_UNAVAILABLE, "the store is closing");
	if (why.reason) {
		r->why = xmalloc(sizeof(why));
		*r->why = why;
	}
	list_add_tail(&s->queue, &r->link);
	if (!s->gathering)
		pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mu);
}

static void lmdb_gather(struct store *store, bool on)
{
	struct lmdb_store *s = LMDB_STORE(store);

	pthread_mutex_lock(&s->mu);
	s->gathering = on;
	if (!on)
		pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mu);
}

static int lmdb_watch(struct store *store, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		      void *ctx, struct store_watch **ret_watch, struct err *err)
{
	struct lmdb_store *s = LMDB_STORE(store);
	int r;

	pthread_mutex_lock(&s->mu);
	r = store_check_watch_rev(since, s->compact_rev, err);
	if (r == 0) {
		*ret_watch = watchers_add(&s->watchers, from, to, since, cb, ctx);
		pthread_cond_signal(&s->work);
	}
	pthread_mutex_unlock(&s->mu);
	return r;
}

static void lmdb_unwatch(struct store *store, struct store_watch *w)
{
	watchers_remove(&LMDB_STORE(store)->watchers, w);
}

static int lmdb_compact(struct store *store, int64_t rev, struct err *err)
{
	struct lmdb_store *s = LMDB_STORE(store);
	uint64_t fails;
	int r = 0;

	pthread_mutex_lock(&s->mu);
	if (rev > s->rev || rev < 0) {
		r = err_set(err, ERR_BAD_REQUEST, "cannot compact at revision %" PRId64 ", the store is at %" PRId64,
			    rev, s->rev);
		pthread_mutex_unlock(&s->mu);
		return r;
	}
	if (rev > s->compact_rev) {
		s->compact_rev = rev;
		s->expire = true;
	}
	s->compact_want = MAX(s->compact_want, rev);
	s->freeze_wanted = s->freeze_wanted || (int64_t)s->meta.rev < rev;
	s->ckpt_poke = true;
	pthread_cond_signal(&s->work);
	pthread_cond_signal(&s->ckpt_work);
	fails = s->ckpt_fails;
	while ((int64_t)s->meta.compact_done < rev && r == 0) {
		if (s->ckpt_fails != fails)
			r = err_set(err, ERR_UNAVAILABLE, "%s", err_msg(&s->ckpt_err));
		else
			pthread_cond_wait(&s->changed, &s->mu);
	}
	pthread_mutex_unlock(&s->mu);
	return r;
}

static bool lmdb_healthy(struct store *store, struct err *why)
{
	struct lmdb_store *s = LMDB_STORE(store);
	const struct err *e;

	pthread_mutex_lock(&s->mu);
	e = s->wal_err.reason ? &s->wal_err : s->ckpt_err.reason ? &s->ckpt_err : NULL;
	if (e) {
		err_set(why, e->reason, "%s", err_msg(e));
		/* Whoever asks keeps asking: that is when to try again. */
		s->probe = s->wal_err.reason != ERR_NONE;
		s->ckpt_poke = true;
		pthread_cond_signal(&s->work);
		pthread_cond_signal(&s->ckpt_work);
	}
	pthread_mutex_unlock(&s->mu);
	return !e;
}

static void lmdb_stats(struct store *store, struct store_stats *ret)
{
	struct lmdb_store *s = LMDB_STORE(store);

	pthread_mutex_lock(&s->mu);
	*ret = (struct store_stats){ .rev = s->rev, .compact_rev = s->compact_rev, .keys = s->live };
	pthread_mutex_unlock(&s->mu);
	ret->bytes = db_bytes(&s->db) + wal_bytes(&s->wal);
}

/* Frees what is there of a store, threads excluded. */
static void lmdb_free(struct lmdb_store *s)
{
	for (int i = 0; i < DB_READERS; i++)
		if (s->txns[i])
			mdb_txn_abort(s->txns[i]);
	if (s->writer_txn)
		mdb_txn_abort(s->writer_txn);
	LIST_EACH(&s->frozen, l) {
		list_del(l);
		gen_free(LIST_ENTRY(l, struct gen, link));
	}
	watchers_release(&s->watchers);
	wal_release(&s->wal);
	db_close(&s->db);
	close_fdp(&s->lock_fd);
	err_release(&s->wal_err);
	err_release(&s->ckpt_err);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->ckpt_work);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

static void lmdb_stop_checkpointer(struct lmdb_store *s)
{
	pthread_mutex_lock(&s->mu);
	s->ckpt_stop = s->ckpt_poke = true;
	pthread_cond_signal(&s->ckpt_work);
	while (!s->ckpt_gone)
		pthread_cond_wait(&s->changed, &s->mu);
	pthread_mutex_unlock(&s->mu);
}

static void lmdb_close(struct store *store)
{
	struct lmdb_store *s = LMDB_STORE(store);
	_cleanup_(err_release) struct err why = ERR_INIT;

	pthread_mutex_lock(&s->mu);
	s->stopping = true;
	pthread_cond_signal(&s->work);
	while (!s->writer_gone)
		pthread_cond_wait(&s->changed, &s->mu);
	pthread_mutex_unlock(&s->mu);
	err_set(&why, ERR_UNAVAILABLE, "the store is closing");
	watchers_end(&s->watchers, &why);
	/* What cannot be applied now is replayed from the log next time. */
	lmdb_stop_checkpointer(s);
	lmdb_free(s);
}

static const struct store_ops lmdb_ops = {
	.name = "lmdb",
	.range = lmdb_range,
	.commit = lmdb_commit,
	.gather = lmdb_gather,
	.watch = lmdb_watch,
	.unwatch = lmdb_unwatch,
	.compact = lmdb_compact,
	.healthy = lmdb_healthy,
	.stats = lmdb_stats,
	.close = lmdb_close,
};

/* A directory just made is there after a power cut only when its parent is synced. */
static int sync_parent(const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_free_ char *parent = slash ? xstrndup(path, MAX((size_t)(slash - path), (size_t)1)) : xstrdup(".");
	_cleanup_close_ int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return err_set_errno(err, errno, "cannot sync '%s'", parent);
	return 0;
}

/* mkdir -p, for us only. */
static int make_dirs(const char *dir, struct err *err)
{
	_cleanup_free_ char *path = xstrdup(dir);

	for (char *p = path + 1; *path; p++) {
		char c = *p;

		if (c != '/' && c != '\0')
			continue;
		*p = '\0';
		if (mkdir(path, 0700) == 0) {
			if (sync_parent(path, err) < 0)
				return -1;
		} else if (errno != EEXIST) {
			return err_set_errno(err, errno, "cannot make directory '%s'", path);
		}
		*p = c;
		if (!c)
			break;
	}
	return 0;
}

static void replay_segment(int slot, uint64_t seq, void *ctx)
{
	struct lmdb_store *s = ctx;
	struct gen *g = gen_new(slot, seq, s->rev, s->live);

	list_add_tail(&s->frozen, &g->link);
}

static int replay_record(const struct wal_record *h, struct sv key, struct sv value, void *ctx,
			 _unused_ struct err *err)
{
	struct lmdb_store *s = ctx;
	struct gen *g = LIST_ENTRY(s->frozen.prev, struct gen, link);
	struct rec *r = rec_new(key, value, h->flags & WAL_TOMBSTONE);
	/* A tombstone buries a live key, and a live key's new version keeps its creation. */
	bool was_live = h->create_rev != h->rev;

	r->head = *h;
	s->live += (uint64_t) !(h->flags & WAL_TOMBSTONE) - (uint64_t)was_live;
	gen_add(g, r);
	g->live = s->live;
	s->rev++;
	return 0;
}

static int lmdb_load(struct lmdb_store *s, const char *dir, size_t map_size, struct err *err)
{
	uint64_t rev;

	if (make_dirs(dir, err) < 0)
		return -1;
	s->lock_fd = dirlock_take(dir, err);
	if (s->lock_fd < 0)
		return -1;
	if (db_open(&s->db, dir, map_size, env_random_u64(s->env), &s->meta, err) < 0)
		return -1;
	s->rev = (int64_t)s->meta.rev;
	s->live = s->meta.live;
	s->compact_rev = s->compact_want = (int64_t)s->meta.compact_rev;
	wal_init(&s->wal, dir, s->meta.store_id);
	rev = s->meta.rev;
	return wal_replay(&s->wal, s->meta.wal_seq, &rev, replay_segment, replay_record, s, err);
}

struct store *store_lmdb_open(struct env *env, const char *dir, size_t map_size, struct err *err)
{
	struct lmdb_store *s = xcalloc(1, sizeof(*s));

	s->store.ops = &lmdb_ops;
	s->env = env;
	s->lock_fd = -1;
	pthread_mutex_init(&s->mu, NULL);
	pthread_cond_init(&s->work, NULL);
	pthread_cond_init(&s->ckpt_work, NULL);
	pthread_cond_init(&s->changed, NULL);
	watchers_init(&s->watchers);
	list_init(&s->queue);
	list_init(&s->frozen);
	for (int i = 0; i < WAL_SLOTS; i++)
		s->wal.slots[i].fd = -1;
	if (lmdb_load(s, dir, map_size, err) < 0) {
		lmdb_free(s);
		return NULL;
	}
	if (env_thread(env, "store-ckpt", checkpoint_main, s) < 0) {
		err_set(err, ERR_INTERNAL, "cannot start a thread for the store");
		lmdb_free(s);
		return NULL;
	}
	if (env_thread(env, "store", writer_main, s) < 0) {
		err_set(err, ERR_INTERNAL, "cannot start a thread for the store");
		lmdb_stop_checkpointer(s);
		lmdb_free(s);
		return NULL;
	}
	return &s->store;
}
