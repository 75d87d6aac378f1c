/* The store's thread: turns the queue into groups, and groups into answers.
 *
 * A round: take what is queued; look at the store as of now (a snapshot); let one lagging watch
 * catch up a bit; decide each write; append and sync those that apply; publish; tell watches;
 * answer. Nothing of a group is visible to anybody before its sync.
 */
#include "ev/watchdog.h"
#include "store/disk/disk-internal.h"

#include <stdlib.h>

/* What a key is at some moment: rec when it is in the overlay, else in the database. */
struct ver {
	int64_t mod_rev;    /* 0: there is nothing, not even a tombstone */
	int64_t create_rev; /* 0: not live */
	size_t bytes;	    /* of its record, when it is live */
	const struct rec *rec;
	bool in_group; /* not durable yet */
};

struct group_entry {
	struct rec *rec;
	enum store_outcome outcome; /* of one beside another that is passed over: STORE_MISMATCH */
	struct ver before;
	size_t which;  /* of a mismatch, as in struct store_result; */
	struct sv key; /* and whose `before` is then. "": rec's */
};

struct group {
	struct group_entry *e; /* room for all that was taken */
	size_t n, applied;
	struct keyidx keys; /* newest applied record of each key in this group */
	int64_t next_rev;
	uint64_t live, live_bytes;
	struct err err; /* why the group failed */
	bool refused;	/* something, for want of room */
};

static void ver_of_rec(const struct rec *r, bool in_group, struct ver *ret)
{
	*ret = (struct ver){ (int64_t)r->head.rev, (int64_t)r->head.create_rev,
			     r->head.create_rev ? rec_disk_bytes(r) : 0, r, in_group };
}

static int ver_find(struct snap *sn, const struct keyidx *group, struct sv key, struct ver *ret, struct err *err)
{
	const struct rec *r = keyidx_get(group, key);
	struct wal_record h;
	struct sv k, v;
	int got;

	*ret = (struct ver){ 0 };
	if (r) {
		ver_of_rec(r, true, ret);
		return 0;
	}
	for (int i = 0; i < sn->n; i++) {
		r = keyidx_get(&sn->gens[i]->keys, key);
		if (r) {
			ver_of_rec(r, false, ret);
			return 0;
		}
	}
	got = db_find(sn->set, key, UINT64_MAX, &sn->look, &h, &k, &v, err);
	if (got > 0)
		*ret = (struct ver){ .mod_rev = (int64_t)h.rev,
				     .create_rev = (int64_t)h.create_rev,
				     .bytes = h.create_rev ? wal_record_bytes(&h) : 0 };
	return got < 0 ? -1 : 0;
}

/* The live version of key that is revision rev, 1, or 0 when there is none (any more). */
static int rev_load(const struct snap *sn, struct sv key, int64_t rev, struct table_hold *hold, struct store_kv *ret,
		    struct err *err)
{
	struct wal_record h;
	int got;

	for (int i = 0; i < sn->n; i++) {
		const struct rec *r = gen_rev(sn->gens[i], rev);

		if (r) {
			*ret = rec_kv(r);
			return !ret->deleted;
		}
	}
	/* By its revision first: by its key it stands behind all newer versions, and each block of them would be read.
	 */
	got = db_find_rev(sn->set, (uint64_t)rev, hold, &h, &ret->key, &ret->value, NULL);
	if (got <= 0)
		got = db_find(sn->set, key, (uint64_t)rev, hold, &h, &ret->key, &ret->value, err);
	if (got <= 0 || h.rev != (uint64_t)rev)
		return MIN(got, 0);
	ret->create_rev = (int64_t)h.create_rev;
	ret->mod_rev = rev;
	ret->deleted = h.flags & WAL_TOMBSTONE;
	return !ret->deleted;
}

/* The live version v stands for, in *buf, or NULL. An unreadable one is NULL, too: it is the
 * replaced version, and its replacement must be reported either way. */
static const struct store_kv *ver_kv(struct snap *sn, struct sv key, const struct ver *v, struct store_kv *buf)
{
	if (!v->create_rev)
		return NULL;
	if (v->rec) {
		*buf = rec_kv(v->rec);
		return buf;
	}
	return rev_load(sn, key, v->mod_rev, &sn->prev, buf, NULL) > 0 ? buf : NULL;
}

/* On a full disk: a step towards a deletion may make its value somewhat longer, and all of them together, or whoever
 * has many objects that are being deleted could write until not even a deletion fits. */
static bool group_takes_step(const struct snap *sn, const struct group *g, const struct rec *r, const struct ver *was)
{
	size_t bytes = rec_disk_bytes(r);

	return r->for_deletion && was->create_rev &&
	       (bytes <= was->bytes ||
		(bytes <= was->bytes + DELETION_GROWTH && g->live_bytes + (bytes - was->bytes) <= sn->growth_upto));
}

/* May e's record be written? A failure has its reason in rec->why. */
static void group_judge(struct snap *sn, struct group *g, struct group_entry *e)
{
	struct rec *r = e->rec;
	bool tombstone = r->head.flags & WAL_TOMBSTONE;

	e->outcome = STORE_FAILED;
	if (r->why)
		return;
	r->why = xcalloc(1, sizeof(*r->why));
	if (ver_find(sn, &g->keys, rec_key(r), &e->before, r->why) < 0)
		return;
	free(r->why);
	r->why = NULL;
	if (!store_write_applies(r->expect_rev, tombstone, e->before.create_rev ? e->before.mod_rev : 0)) {
		e->outcome = STORE_MISMATCH;
		return;
	}
	if (sn->full && !tombstone && !group_takes_step(sn, g, r, &e->before)) {
		r->why = xcalloc(1, sizeof(*r->why));
		err_set(r->why, ERR_UNAVAILABLE,
			"no space left on device: only deletions are accepted until there is room "
			"for data again");
		r->why->retry_after_s = RETRY_AFTER_S;
		g->refused = true;
		return;
	}
	e->outcome = STORE_OK;
}

/* e's record is the next one of the group. */
static void group_add(struct group *g, struct group_entry *e)
{
	struct rec *r = e->rec;
	bool tombstone = r->head.flags & WAL_TOMBSTONE, live = e->before.create_rev != 0;

	r->head.rev = (uint64_t)g->next_rev++;
	r->head.prev_rev = (uint64_t)e->before.mod_rev;
	r->head.create_rev = tombstone ? 0 : live ? (uint64_t)e->before.create_rev : r->head.rev;
	wal_record_seal(&r->head, r->data_crc);
	keyidx_put(&g->keys, rec_key(r), r);
	r->prev_bytes = e->before.bytes;
	g->live += (uint64_t)!tombstone - (uint64_t)live;
	g->live_bytes += (tombstone ? 0 : rec_disk_bytes(r)) - r->prev_bytes;
	g->applied++;
}

static bool entry_is_void(const struct group_entry *e)
{
	return e->outcome == STORE_MISMATCH &&
	       store_write_is_void(e->rec->expect_rev, e->rec->head.flags & WAL_TOMBSTONE,
				   e->before.create_rev ? e->before.mod_rev : 0);
}

/* One of the n - 1 entries beside own's does not hold: none does. */
static void group_drop(struct group_entry *first, size_t n, size_t i)
{
	struct group_entry *own = &first[n - 1], *e = &first[i];

	own->outcome = e->outcome;
	own->before = e->before;
	own->which = i + 1;
	own->key = rec_key(e->rec);
	own->rec->why = TAKE(e->rec->why);
}

/* One write: the records from r on. Returns its last one. */
static struct rec *group_decide(struct snap *sn, struct group *g, struct rec *r)
{
	size_t n = r->n_also + 1;
	struct group_entry *first = &g->e[g->n], *own = &first[n - 1];

	for (size_t i = 0; i < n; i++) {
		first[i] = (struct group_entry){ .rec = r, .outcome = STORE_MISMATCH };
		if (i + 1 < n)
			r = LIST_ENTRY(r->link.next, struct rec, link);
	}
	g->n += n;
	group_judge(sn, g, own);
	for (size_t i = 0; i + 1 < n && own->outcome == STORE_OK; i++) {
		group_judge(sn, g, &first[i]);
		if (first[i].outcome != STORE_OK && !entry_is_void(&first[i]))
			group_drop(first, n, i);
	}
	for (size_t i = 0; i < n; i++) {
		if (own->outcome != STORE_OK)
			first[i].outcome = i + 1 < n ? STORE_MISMATCH : own->outcome;
		else if (first[i].outcome == STORE_OK)
			group_add(g, &first[i]);
	}
	return r;
}

/* Ends the current segment and hands its generation to the checkpointer. Lock held. */
static void writer_freeze(struct disk_store *s)
{
	if (!s->active)
		return;
	list_add_tail(&s->frozen, &s->active->link);
	s->active = NULL;
	s->wal.cur = -1;
	pthread_cond_signal(&s->ckpt_work);
}

/* Starts another segment, waiting for the checkpointer to free one; not while it fails. */
static int writer_rotate(struct disk_store *s, struct err *err)
{
	uint64_t salt = env_random_u64(s->store.env), fails;
	int slot;

	pthread_mutex_lock(&s->mu);
	writer_freeze(s);
	fails = s->ckpt_fails;
	/* What a full disk has left is for tables: those of the generations that wait make a segment free. */
	while ((slot = wal_free_slot(&s->wal, !s->full || list_empty(&s->frozen))) < 0) {
		if (checkpoint_failed_since(s, &fails, err)) {
			pthread_mutex_unlock(&s->mu);
			return -1;
		}
		s->ckpt_poke = true;
		pthread_cond_signal(&s->ckpt_work);
		pthread_cond_wait(&s->changed, &s->mu);
	}
	s->wal.slots[slot].busy = true;
	pthread_mutex_unlock(&s->mu);

	if (wal_begin(&s->wal, slot, (uint64_t)s->rev, salt, err) < 0) {
		if (err->reason == ERR_INTERNAL)
			err->reason = ERR_UNAVAILABLE;
		pthread_mutex_lock(&s->mu);
		s->wal.slots[slot].busy = false;
		pthread_mutex_unlock(&s->mu);
		return -1;
	}
	pthread_mutex_lock(&s->mu);
	s->active = gen_new(slot, s->wal.seq, s->rev, s->live, s->live_bytes);
	pthread_mutex_unlock(&s->mu);
	return 0;
}

/* Makes the group durable. With no record in it, it is a probe of the disk. */
static int writer_append(struct disk_store *s, struct group *g, struct err *err)
{
	_cleanup_(free_charp) char *mem = xmalloc((g->n + 2) * sizeof(struct iovec));
	struct iovec *iov = (struct iovec *)(void *)mem;
	size_t bytes = 0;
	bool used;
	int n = 1;

	for (size_t i = 0; i < g->n; i++) {
		struct rec *r = g->e[i].rec;

		if (g->e[i].outcome != STORE_OK)
			continue;
		iov[n] = (struct iovec){ &r->head, rec_disk_bytes(r) };
		bytes += iov[n++].iov_len;
	}
	if (!wal_fits(&s->wal, bytes) && writer_rotate(s, err) < 0)
		return -1;
	if (wal_append(&s->wal, iov, n - 1, (uint64_t)s->rev + 1, (uint32_t)g->applied, &used, err) == 0)
		return 0;

	pthread_mutex_lock(&s->mu);
	if (used) {
		writer_freeze(s);
	} else {
		s->wal.slots[s->active->slot].busy = false;
		gen_unref(TAKE(s->active));
	}
	pthread_mutex_unlock(&s->mu);
	return -1;
}

static void group_publish(struct disk_store *s, struct group *g)
{
	pthread_mutex_lock(&s->mu);
	for (size_t i = 0; i < g->n; i++)
		if (g->e[i].outcome == STORE_OK)
			gen_add(s->active, g->e[i].rec);
	s->active->live = s->live = g->live;
	s->active->live_bytes = s->live_bytes = g->live_bytes;
	if (s->full)
		s->growth_upto = MIN(s->growth_upto, s->live_bytes + STEPS_GROWTH);
	s->rev = g->next_rev - 1;
	err_release(&s->wal_err);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}

/* Nothing of the group happened; what had been decided by looking at it is void, too. */
static void group_fail(struct disk_store *s, struct group *g)
{
	for (size_t i = 0; i < g->n; i++)
		if (g->e[i].outcome == STORE_OK || (g->e[i].outcome == STORE_MISMATCH && g->e[i].before.in_group))
			g->e[i].outcome = STORE_FAILED;
	pthread_mutex_lock(&s->mu);
	if (disk_is_full(&g->err)) {
		/* What is left is for deletions, and they need it now. */
		disk_set_full(s);
		reserve_give(&s->reserve);
		pthread_cond_signal(&s->ckpt_work);
	}
	err_release(&s->wal_err);
	err_copy(&s->wal_err, &g->err);
	pthread_mutex_unlock(&s->mu);
	g->err.retry_after_s = RETRY_AFTER_S;
}

static void group_answer(struct disk_store *s, struct snap *sn, struct group *g)
{
	struct store_kv buf;

	for (size_t i = 0; i < g->n && g->applied; i++) {
		struct group_entry *e = &g->e[i];

		if (e->outcome == STORE_OK) {
			struct store_change c = { .kv = rec_kv(e->rec), .cookie = e->rec->cookie };

			if (watchers_want_prev(&s->watchers, c.kv.key))
				c.prev = ver_kv(sn, c.kv.key, &e->before, &buf);
			watchers_change(&s->watchers, &c);
		}
	}
	if (g->applied)
		watchers_progress(&s->watchers, s->rev);
	for (size_t i = 0; i < g->n; i++) {
		struct group_entry *e = &g->e[i];
		struct store_result r = { .outcome = e->outcome };

		if (e->outcome == STORE_OK)
			r.rev = (int64_t)e->rec->head.rev;
		else if (e->outcome == STORE_MISMATCH)
			r.current = ver_kv(sn, e->which ? e->key : rec_key(e->rec), &e->before, &buf);
		else
			r.err = e->rec->why ? e->rec->why : &g->err;
		r.which = e->which;
		if (e->rec->done)
			e->rec->done(&r, e->rec->ctx);
	}
	/* Only now: a mismatch may show a version of the same group. Those applied live on. */
	for (size_t i = 0; i < g->n; i++)
		if (g->e[i].outcome != STORE_OK)
			rec_free(g->e[i].rec);
}

/* Shows a lagging watch the next portion of the past. */
static void writer_catch_up(struct disk_store *s, struct snap *sn)
{
	struct store_watch *w = watchers_take_lagging(&s->watchers);
	struct store_kv prev_buf;
	int64_t upto, last;
	size_t bytes = 0;

	if (!w)
		return;
	if (w->since < sn->compact_rev) {
		watchers_give_up(&s->watchers, w, sn->compact_rev);
		return;
	}
	upto = MAX(MIN(w->since, sn->rev), STORE_FIRST_REV);
	last = MIN(sn->rev, upto + CATCH_UP_MAX);
	while (upto < last && bytes < CATCH_UP_BYTES) {
		struct store_change c = { 0 };
		struct wal_record h;
		struct sv key, value;
		const struct rec *r = NULL;
		struct err err = ERR_INIT;
		int64_t prev_rev;

		upto++;
		for (int i = 0; i < sn->n && !r; i++)
			r = gen_rev(sn->gens[i], upto);
		if (r) {
			c.kv = rec_kv(r);
			prev_rev = (int64_t)r->head.prev_rev;
		} else if (db_find_rev(sn->set, (uint64_t)upto, &sn->kv, &h, &key, &value, &err) > 0) {
			c.kv = (struct store_kv){ key, value, (int64_t)h.create_rev, (int64_t)h.rev,
						  h.flags & WAL_TOMBSTONE };
			prev_rev = (int64_t)h.prev_rev;
		} else {
			/* A change that cannot be read must not be skipped in silence. */
			if (!err.reason)
				err_set(&err, ERR_STORE_READ, "revision %" PRId64 " is missing", upto);
			watchers_break(&s->watchers, w, &err);
			err_release(&err);
			return;
		}
		bytes += c.kv.value.n;
		if (!store_in_range(c.kv.key, w->from, w->to))
			continue;
		if (prev_rev && w->cb->wants_prev && rev_load(sn, c.kv.key, prev_rev, &sn->prev, &prev_buf, NULL) > 0)
			c.prev = &prev_buf;
		bytes += c.prev ? c.prev->value.n : 0;
		w->cb->change(&c, w->ctx);
		if (w->cb->enough && w->cb->enough(w->ctx)) {
			watchers_park(&s->watchers, w);
			return;
		}
	}
	watchers_give_back(&s->watchers, w, upto, upto == sn->rev);
}

/* By the time of the next write there may be some. */
static void writer_ask_for_room(struct disk_store *s)
{
	pthread_mutex_lock(&s->mu);
	s->room_poke = true;
	pthread_cond_signal(&s->ckpt_work);
	pthread_mutex_unlock(&s->mu);
}

/* Decides about the records as of now. */
static void group_form(struct disk_store *s, struct snap *sn, struct group *g, struct list *taken)
{
	g->n = g->applied = 0;
	g->refused = false;
	g->keys = (struct keyidx){ 0 };
	g->next_rev = s->rev + 1;
	g->live = s->live;
	g->live_bytes = s->live_bytes;
	g->err = ERR_INIT;
	for (struct list *l = taken->next; l != taken; l = l->next)
		l = &group_decide(sn, g, LIST_ENTRY(l, struct rec, link))->link;
}

static void group_write(struct disk_store *s, struct group *g)
{
	if (writer_append(s, g, &g->err) == 0)
		group_publish(s, g);
	else
		group_fail(s, g);
}

/* The disk was full: is there, for deletions, more room now? As long as merging makes some there is, and looking at the
 * store afresh lets it go on. */
static bool group_may_fit(struct disk_store *s, struct snap *sn)
{
	bool may;

	pthread_mutex_lock(&s->mu);
	may = !sn->full || s->ckpt_steps != sn->steps;
	pthread_mutex_unlock(&s->mu);
	if (!may)
		return false;
	snap_close(s, sn);
	pthread_mutex_lock(&s->mu);
	snap_open(s, false, sn);
	pthread_mutex_unlock(&s->mu);
	return true;
}

/* One round over the records in `taken`. Not under the lock. */
static void writer_round(struct disk_store *s, struct snap *sn, struct list *taken, size_t n, bool expire, bool probe)
{
	_cleanup_(free_charp) char *entries = xmalloc((n ? n : 1) * sizeof(struct group_entry));
	struct group group = { .e = (struct group_entry *)(void *)entries }, *g = &group;

	if (expire)
		watchers_expire(&s->watchers, sn->compact_rev);
	writer_catch_up(s, sn);
	group_form(s, sn, g, taken);
	if (g->applied || probe)
		group_write(s, g);
	/* The reserve has just been given up, for deletions: those of this very group are the first. And what a merge
	 * consumed is not given back while this round's snapshot may read it. */
	while (disk_is_full(&g->err) && group_may_fit(s, sn)) {
		keyidx_release(&g->keys);
		err_release(&g->err);
		sn->full = true;
		group_form(s, sn, g, taken);
		if (g->applied)
			group_write(s, g);
	}
	if (g->err.reason)
		g->applied = 0;
	if (g->refused)
		writer_ask_for_room(s);
	group_answer(s, sn, g);
	keyidx_release(&g->keys);
	err_release(&g->err);
}

/* Moves a group's worth from the queue to taken, and no part of a write; lock held. Returns how many records. */
static size_t writer_take(struct disk_store *s, struct list *taken)
{
	size_t bytes = 0, n = 0, whole = 0;

	list_init(taken);
	while ((n < whole || (n < GROUP_MAX && bytes < GROUP_BYTES)) && !list_empty(&s->queue)) {
		struct rec *r = LIST_ENTRY(s->queue.next, struct rec, link);

		if (n == whole)
			whole += r->n_also + 1;
		n++;
		bytes += rec_disk_bytes(r);
		list_del(&r->link);
		list_add_tail(taken, &r->link);
	}
	return n;
}

/* Lock held. */
static bool writer_has_writes(const struct disk_store *s)
{
	return !list_empty(&s->queue) && (!s->gathering || s->stopping);
}

void writer_main(void *ctx)
{
	struct disk_store *s = ctx;

	pthread_mutex_lock(&s->mu);
	for (;;) {
		bool expire = s->expire, probe = s->probe && s->wal_err.reason != ERR_NONE;
		struct list taken;
		struct snap sn;
		size_t n = 0;

		if (s->freeze_wanted) {
			s->freeze_wanted = false;
			writer_freeze(s);
		}
		if (s->stopping && list_empty(&s->queue))
			break;
		/* Deletions are room only once they are in tables: soon, and in tables that still fit. */
		if (s->full && s->active && s->active->bytes > GEN_FULL_BYTES && list_empty(&s->frozen))
			writer_freeze(s);
		if (!writer_has_writes(s) && !expire && !probe && !watchers_lagging(&s->watchers)) {
			/* Nothing to do: give memory back rather than keep a large overlay. */
			if (s->active && s->active->bytes > GEN_IDLE_BYTES && list_empty(&s->frozen))
				writer_freeze(s);
			if (s->burst)
				pthread_cond_signal(&s->ckpt_work);
			pthread_cond_wait(&s->work, &s->mu);
			continue;
		}
		s->expire = s->probe = false;
		list_init(&taken);
		if (writer_has_writes(s))
			n = writer_take(s, &taken);
		snap_open(s, false, &sn);
		pthread_mutex_unlock(&s->mu);
		run_begin(RUN_STORE, NULL, env_mono_ns(s->store.env));
		writer_round(s, &sn, &taken, n, expire, probe);
		snap_close(s, &sn);
		run_end(env_mono_ns(s->store.env));
		pthread_mutex_lock(&s->mu);
	}
	writer_freeze(s);
	s->writer_gone = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}
