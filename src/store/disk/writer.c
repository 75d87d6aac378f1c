/* The store's thread: turns the queue into groups, and groups into answers.
 *
 * A round: take what is queued; look at the store as of now (a snapshot); let one lagging watch
 * catch up a bit; decide each write; append and sync those that apply; publish; tell watches;
 * answer. Nothing of a group is visible to anybody before its sync.
 */
#include "base/log.h"
#include "ev/watchdog.h"
#include "store/disk/group.h"

#include <stdlib.h>
#include <string.h>

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
	if (s->active)
		s->filled_ns = s->wrote_ns;
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
	if (err_no_room(&g->err)) {
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

		if (!e->rec->done) /* one beside another: nobody asks what is there, which would be read for it */
			continue;
		if (e->outcome == STORE_OK)
			r.rev = (int64_t)e->rec->head.rev;
		else if (e->outcome == STORE_MISMATCH)
			r.current = ver_kv(sn, e->which ? e->key : rec_key(e->rec), &e->before, &buf);
		else
			r.err = e->rec->why ? e->rec->why : &g->err;
		r.which = e->which;
		e->rec->done(&r, e->rec->ctx);
	}
	/* Only now: a mismatch may show a version of the same group. Those applied live on. */
	for (size_t i = 0; i < g->n; i++)
		if (g->e[i].outcome != STORE_OK)
			rec_free(g->e[i].rec);
}

/* Its watch ends as if the past had been forgotten, and comes back with a list: nobody else would say that the disk is
 * damaged, and the next start refuses it. Each time for another place of it. */
static void writer_tell_damage(struct disk_store *s, const struct err *why)
{
	const char *text = err_msg(why);

	if (s->damage_told && strcmp(s->damage_told, text) == 0)
		return;
	free(s->damage_told);
	s->damage_told = xstrdup(text);
	log_error("store", "what is stored is damaged", "why", "%s", text); /* which says what to do */
}

/* Shows a lagging watch the next portion of the past. */
static void writer_catch_up(struct disk_store *s, struct snap *sn)
{
	struct store_watch *w = watchers_take_lagging(&s->watchers);
	struct overlay o = overlay_of(sn); /* which only this thread changes */
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
		struct err err = ERR_INIT;
		int64_t prev_rev;

		upto++;
		if (snap_change(sn, &o, upto, &c.kv, &prev_rev, &err) < 0) {
			writer_tell_damage(s, &err);
			watchers_break(&s->watchers, w, &err);
			err_release(&err);
			return;
		}
		bytes += c.kv.value.n;
		if (!store_in_range(c.kv.key, w->from, w->to))
			continue;
		if (prev_rev && w->cb->wants_prev &&
		    ver_at_rev(sn, &o, c.kv.key, prev_rev, &sn->prev, &prev_buf, NULL) > 0)
			c.prev = &prev_buf;
		bytes += c.prev ? c.prev->value.n : 0;
		w->cb->change(&c, w->ctx);
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
	while (err_no_room(&g->err) && group_may_fit(s, sn)) {
		recmap_release(&g->keys);
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
	recmap_release(&g->keys);
	err_release(&g->err);
}

/* Moves a group's worth from the queue to taken, and no part of a write; lock held. Returns how many records. */
static size_t writer_take(struct disk_store *s, struct list *taken)
{
	size_t bytes = 0, n = 0, guards = 0, whole = 0;

	list_init(taken);
	while ((n < whole || (n - guards < GROUP_MAX && bytes < GROUP_BYTES)) && !list_empty(&s->queue)) {
		struct rec *r = LIST_ENTRY(s->queue.next, struct rec, link);

		if (n == whole)
			whole += r->n_also + 1;
		n++;
		guards += r->guard;
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

/* Nothing to do. Memory is given back rather than kept in a large overlay, but not between two groups of one burst:
 * whoever has many writes under way comes back for the next ones. Lock held. */
static void writer_idle(struct disk_store *s)
{
	bool large = s->active && s->active->bytes > GEN_IDLE_BYTES && list_empty(&s->frozen);

	if (large && env_mono_ns(s->store.env) < s->wrote_ns + PAUSE_NS) {
		disk_wait_until(s, &s->work, s->wrote_ns + PAUSE_NS);
		return;
	}
	if (large)
		writer_freeze(s);
	if (s->burst && !s->dozing)
		pthread_cond_signal(&s->ckpt_work);
	pthread_cond_wait(&s->work, &s->mu);
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
		int64_t now;

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
			writer_idle(s);
			continue;
		}
		s->expire = s->probe = false;
		list_init(&taken);
		if (writer_has_writes(s))
			n = writer_take(s, &taken);
		snap_open(s, false, &sn);
		now = env_mono_ns(s->store.env);
		s->round_ns = n ? now : 0;
		s->wrote_ns = n ? now : s->wrote_ns;
		pthread_mutex_unlock(&s->mu);
		run_begin(RUN_STORE, NULL, now);
		writer_round(s, &sn, &taken, n, expire, probe);
		snap_close(s, &sn);
		run_end(env_mono_ns(s->store.env));
		pthread_mutex_lock(&s->mu);
		s->round_ns = 0;
	}
	writer_freeze(s);
	s->writer_gone = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}
