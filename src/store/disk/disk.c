/* The embedded store's calls: open and close, and handing work to the two threads. */
#include "store/disk/disk-internal.h"

#include "store/disk/dirlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct rec *rec_of_write(const struct store_write *w)
{
	struct rec *r = rec_new(w->key, w->tombstone ? SV_NULL : w->value, w->tombstone);

	r->cookie = w->cookie;
	r->expect_rev = w->expect_rev;
	r->guard = w->guard;
	r->for_deletion = w->tombstone || w->for_deletion;
	return r;
}

static void disk_commit(struct store *store, const struct store_write *w, store_done_fn *done, void *ctx)
{
	struct disk_store *s = DISK_STORE(store);
	struct err why = ERR_INIT;
	struct list recs;
	struct rec *r;

	list_init(&recs);
	if (store_write_check(w, &why) < 0) {
		r = rec_new(SV_NULL, SV_NULL, false);
	} else {
		for (size_t i = 0; i < w->n_also; i++)
			list_add_tail(&recs, &rec_of_write(&w->also[i])->link);
		r = rec_of_write(w);
	}
	r->done = done;
	r->ctx = ctx;
	list_add_tail(&recs, &r->link);
	LIST_ENTRY(recs.next, struct rec, link)->n_also = why.reason ? 0 : (unsigned)w->n_also;
	pthread_mutex_lock(&s->mu);
	if (s->stopping && !why.reason)
		err_set(&why, ERR_UNAVAILABLE, "the store is closing");
	if (why.reason) {
		r->why = xmalloc(sizeof(why));
		*r->why = why;
	}
	LIST_EACH(&recs, l) {
		list_del(l);
		list_add_tail(&s->queue, l);
	}
	if (!s->gathering)
		pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mu);
}

static void disk_gather(struct store *store, bool on)
{
	struct disk_store *s = DISK_STORE(store);

	pthread_mutex_lock(&s->mu);
	s->gathering = on;
	if (!on)
		pthread_cond_signal(&s->work);
	pthread_mutex_unlock(&s->mu);
}

static int disk_watch(struct store *store, struct sv from, struct sv to, int64_t since, const struct store_watch_cb *cb,
		      void *ctx, struct store_watch **ret_watch, struct err *err)
{
	struct disk_store *s = DISK_STORE(store);
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

static void disk_unwatch(struct store *store, struct store_watch *w)
{
	watchers_remove(&DISK_STORE(store)->watchers, w);
}

static int disk_compact(struct store *store, int64_t rev, struct err *err)
{
	struct disk_store *s = DISK_STORE(store);
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
	while ((int64_t)s->meta.compact_rev < rev && r == 0) {
		if (checkpoint_failed_since(s, &fails, err))
			r = -1;
		else
			pthread_cond_wait(&s->changed, &s->mu);
	}
	pthread_mutex_unlock(&s->mu);
	return r;
}

/* Lock held. */
static bool disk_hangs(const struct disk_store *s, struct err *why)
{
	int64_t ns = s->round_ns ? env_mono_ns(s->store.env) - s->round_ns : 0;

	if (ns <= STORE_SLOW_NS)
		return false;
	err_set(why, ERR_UNAVAILABLE, "the disk has not answered a write for %" PRId64 " s", ns / NS_PER_SEC);
	if (why)
		why->errnum = ETIMEDOUT;
	return true;
}

static bool disk_healthy(struct store *store, struct err *why)
{
	struct disk_store *s = DISK_STORE(store);
	const struct err *e;

	pthread_mutex_lock(&s->mu);
	if (disk_hangs(s, why)) {
		pthread_mutex_unlock(&s->mu);
		return false;
	}
	e = s->wal_err.reason	  ? &s->wal_err
	    : s->ckpt_err.reason  ? &s->ckpt_err
	    : s->full		  ? &s->full_err
	    : s->merge_err.reason ? &s->merge_err
				  : NULL;
	if (e) {
		err_set(why, e->reason ? e->reason : ERR_UNAVAILABLE, "%s",
			e->reason ? err_msg(e) : "the disk is full");
		if (why)
			why->errnum = e == &s->full_err || err_no_room(e) ? ENOSPC : e->errnum;
		/* Whoever asks keeps asking: that is when to try again. */
		s->probe = s->wal_err.reason != ERR_NONE;
		s->ckpt_poke = s->room_poke = true;
		/* Of a damaged table only another generation may make a merge worth trying. */
		if (s->merge_err.reason && s->merge_err.reason != ERR_STORE_READ)
			s->merge_waits = false;
		pthread_cond_signal(&s->work);
		pthread_cond_signal(&s->ckpt_work);
	}
	pthread_mutex_unlock(&s->mu);
	return !e;
}

static void disk_stats(struct store *store, struct store_stats *ret)
{
	struct disk_store *s = DISK_STORE(store);

	pthread_mutex_lock(&s->mu);
	*ret = (struct store_stats){ .rev = s->rev, .compact_rev = s->compact_rev, .keys = s->live };
	ret->bytes = s->db.set->bytes + reserve_bytes(&s->reserve);
	pthread_mutex_unlock(&s->mu);
	ret->bytes += wal_bytes(&s->wal);
}

/* Frees what is there of a store, threads excluded. */
static void disk_free(struct disk_store *s)
{
	LIST_EACH(&s->frozen, l) {
		list_del(l);
		gen_free(LIST_ENTRY(l, struct gen, link));
	}
	watchers_release(&s->watchers);
	wal_release(&s->wal);
	free(s->damage_told);
	reserve_release(&s->reserve);
	db_close(&s->db);
	close_fdp(&s->lock_fd);
	err_release(&s->wal_err);
	err_release(&s->ckpt_err);
	err_release(&s->merge_err);
	err_release(&s->full_err);
	pthread_cond_destroy(&s->work);
	pthread_cond_destroy(&s->ckpt_work);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->mu);
	free(s);
}

static void disk_stop_checkpointer(struct disk_store *s)
{
	pthread_mutex_lock(&s->mu);
	s->ckpt_stop = s->ckpt_poke = true;
	pthread_cond_signal(&s->ckpt_work);
	while (!s->ckpt_gone)
		pthread_cond_wait(&s->changed, &s->mu);
	pthread_mutex_unlock(&s->mu);
}

static void disk_close(struct store *store)
{
	struct disk_store *s = DISK_STORE(store);
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
	disk_stop_checkpointer(s);
	disk_free(s);
}

static const struct store_ops disk_ops = {
	.name = "disk",
	.range = disk_range,
	.commit = disk_commit,
	.gather = disk_gather,
	.watch = disk_watch,
	.unwatch = disk_unwatch,
	.changes = disk_changes,
	.compact = disk_compact,
	.healthy = disk_healthy,
	.stats = disk_stats,
	.close = disk_close,
};

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
			if (table_sync_parent(path, err) < 0)
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
	struct disk_store *s = ctx;
	struct gen *g = gen_new(slot, seq, s->rev, s->live, s->live_bytes);

	list_add_tail(&s->frozen, &g->link);
}

/* How large the version is that this record replaces. */
static int replay_prev_bytes(struct disk_store *s, const struct wal_record *h, struct sv key, size_t *ret,
			     struct err *err)
{
	struct table_hold hold = { 0 };
	struct wal_record prev;
	struct sv k, v;
	int got;

	*ret = 0;
	for (struct list *l = s->frozen.prev; l != &s->frozen; l = l->prev) {
		const struct rec *r = gen_rev(LIST_ENTRY(l, struct gen, link), (int64_t)h->prev_rev);

		if (r) {
			*ret = rec_disk_bytes(r);
			return 0;
		}
	}
	got = db_find(s->db.set, key, h->prev_rev, &hold, &prev, &k, &v, err);
	if (got > 0)
		*ret = wal_record_bytes(&prev);
	table_hold_release(&hold);
	return got < 0 ? -1 : 0;
}

static int replay_record(const struct wal_record *h, struct sv key, struct sv value, void *ctx, struct err *err)
{
	struct disk_store *s = ctx;
	struct gen *g = LIST_ENTRY(s->frozen.prev, struct gen, link);
	bool tombstone = h->flags & WAL_TOMBSTONE;
	/* A tombstone buries a live key, and a live key's new version keeps its creation. */
	bool was_live = h->create_rev != h->rev;
	size_t prev = 0;
	struct rec *r;

	if (was_live && replay_prev_bytes(s, h, key, &prev, err) < 0)
		return -1;
	r = rec_new(key, value, tombstone);
	r->head = *h;
	r->prev_bytes = prev;
	s->live += (uint64_t)!tombstone - (uint64_t)was_live;
	s->live_bytes += (tombstone ? 0 : rec_disk_bytes(r)) - prev;
	gen_add(g, r);
	g->live = s->live;
	g->live_bytes = s->live_bytes;
	s->rev++;
	return 0;
}

static int disk_first(const struct db_meta *meta, void *ctx, struct err *err)
{
	struct disk_store *s = ctx;

	wal_init(&s->wal, s->db.dir, meta->store_id);
	s->wal.last_seq = meta->wal_seq;
	return wal_note_open(&s->wal, true, err);
}

static int disk_load(struct disk_store *s, const char *dir, size_t max_bytes, struct err *err)
{
	uint64_t rev;

	if (make_dirs(dir, err) < 0)
		return -1;
	s->lock_fd = dirlock_take(dir, err);
	if (s->lock_fd < 0)
		return -1;
	if (db_open(&s->db, s->store.env, dir, max_bytes, disk_first, s, &s->meta, err) < 0)
		return -1;
	s->rev = (int64_t)s->meta.rev;
	s->live = s->meta.live;
	s->live_bytes = s->meta.live_bytes;
	s->compact_rev = s->compact_want = (int64_t)s->meta.compact_rev;
	if (!s->wal.dir) {
		wal_init(&s->wal, dir, s->meta.store_id);
		if (wal_note_open(&s->wal, false, err) < 0)
			return -1;
	}
	rev = s->meta.rev;
	if (wal_replay(&s->wal, s->meta.wal_seq, &rev, replay_segment, replay_record, s, err) < 0)
		return -1;
	db_sweep(&s->db);
	/* Without one the store works as well, until the disk is full. */
	if (reserve_take(&s->reserve, dir, 0, &s->full_err) < 0)
		disk_set_full(s);
	return 0;
}

static int no_sync(int fd)
{
	(void)fd;
	return 0;
}

void store_disk_no_sync(void)
{
	wal_io.fdatasync = wal_io.fsync = no_sync;
	table_io.fdatasync = table_io.fsync = no_sync;
}

struct store *store_disk_open(struct env *env, const char *dir, size_t max_bytes, struct err *err)
{
	struct disk_store *s = xcalloc(1, sizeof(*s));
	pthread_condattr_t mono;

	s->store.ops = &disk_ops;
	s->store.env = env;
	s->lock_fd = -1;
	pthread_mutex_init(&s->mu, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&s->work, &mono);
	pthread_cond_init(&s->ckpt_work, &mono);
	pthread_cond_init(&s->changed, NULL);
	pthread_condattr_destroy(&mono);
	watchers_init(&s->watchers);
	list_init(&s->queue);
	list_init(&s->frozen);
	for (int i = 0; i < WAL_SLOTS; i++)
		s->wal.slots[i].fd = -1;
	s->wal.note_fd = s->reserve.fd = -1;
	if (disk_load(s, dir, max_bytes, err) < 0) {
		disk_free(s);
		return NULL;
	}
	if (env_thread(env, "store-ckpt", checkpoint_main, s) < 0) {
		err_set(err, ERR_INTERNAL, "cannot start a thread for the store");
		disk_free(s);
		return NULL;
	}
	if (env_thread(env, "store", writer_main, s) < 0) {
		err_set(err, ERR_INTERNAL, "cannot start a thread for the store");
		disk_stop_checkpointer(s);
		disk_free(s);
		return NULL;
	}
	return &s->store;
}
