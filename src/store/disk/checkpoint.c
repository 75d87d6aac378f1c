/* The checkpointer: applies frozen generations to the database, compacts and merges it, and sees to a full disk. The
 * only thread that changes the database.
 *
 * Generations come first, as writers may be waiting for their segments; a merge goes on between them, step by step. */
#include "base/arena.h"
#include "store/disk/disk-internal.h"

enum job { JOB_NONE, JOB_GIVE_BACK, JOB_APPLY, JOB_COMPACT, JOB_MERGE };

void disk_set_full(struct disk_store *s)
{
	if (!s->full)
		s->growth_upto = s->live_bytes + STEPS_GROWTH;
	s->full = s->tight = s->room_poke = true;
}

/* Lock held. Until when writes press, monotonic; 0: they do not. What they do not wait for is put off that long, as it
 * would take the processor from them; the end of the burst is time enough. */
static int64_t checkpoint_burst(const struct disk_store *s)
{
	int64_t until = s->filled_ns + BURST_NS;

	return s->filled_ns && !s->ckpt_stop && env_mono_ns(s->store.env) < until ? until : 0;
}

/* Lock held. */
static enum db_haste checkpoint_haste(const struct disk_store *s, int64_t burst)
{
	return s->tight ? DB_MERGE_TIGHT : burst ? DB_MERGE_LATE : DB_MERGE;
}

/* Lock held. */
static enum job checkpoint_next(const struct disk_store *s, int64_t burst)
{
	/* First, as the others may need the room. */
	if (s->db.owes && !db_is_held(&s->db))
		return JOB_GIVE_BACK;
	if (!list_empty(&s->frozen) && !s->apply_waits)
		return JOB_APPLY;
	if ((int64_t)s->meta.compact_rev < s->compact_want && (int64_t)s->meta.rev >= s->compact_want)
		return JOB_COMPACT;
	/* Where room counts, what was consumed is given back before more is written: whoever still reads it is waited
	 * for, or piece after piece takes half of the room that is left. */
	if (s->tight && db_is_held(&s->db))
		return JOB_NONE;
	/* Whoever closes does not wait for tidying up: it goes on at the next start. */
	if (s->ckpt_stop || s->merge_waits)
		return JOB_NONE;
	return db_wants_merge(&s->db, &s->meta, checkpoint_haste(s, burst)) ? JOB_MERGE : JOB_NONE;
}

/* After a burst: what freed records left behind goes back to the kernel. */
static void checkpoint_give_back(void)
{
	arena_trim();
}

/* 1: there is a new set, 0: nothing to publish, -1. Not under the lock. */
static int checkpoint_do(struct disk_store *s, enum job job, const struct gen *g, int64_t want, enum db_haste haste,
			 struct db_meta *meta, struct db_set **ret, struct err *err)
{
	switch (job) {
	case JOB_GIVE_BACK:
		db_give_back(&s->db);
		return 1;
	case JOB_APPLY:
		meta->rev = (uint64_t)gen_last_rev(g);
		meta->wal_seq = g->seq;
		meta->live = g->live;
		meta->live_bytes = g->live_bytes;
		return db_apply(&s->db, g, meta, ret, err) < 0 ? -1 : 1;
	case JOB_COMPACT:
		meta->compact_rev = MAX(meta->compact_rev, (uint64_t)want);
		return db_put_meta(&s->db, meta, ret, err) < 0 ? -1 : 1;
	case JOB_MERGE:
		return db_merge_step(&s->db, meta, haste, ret, err);
	case JOB_NONE:
		break;
	}
	return 0;
}

/* Lock held. A merge can wait until something has changed; without room it does so in silence. Writers that wait for
 * a segment and whoever compacts are not told: nothing that they asked for has failed. */
static void checkpoint_merge_failed(struct disk_store *s, struct err *err_take)
{
	s->merge_waits = true;
	if (err_no_room(err_take)) {
		/* In smaller pieces it may fit, or when it forgets what has been compacted since. */
		s->merge_waits = s->tight && s->db.merge_rev >= s->meta.compact_rev;
		s->tight = true;
		s->merge_room = reserve_room(s->db.dir);
		err_release(err_take);
	} else {
		err_move(&s->merge_err, err_take);
	}
}

/* Lock held. Merging has made no room for what waits: whoever waits for it is told. */
static void checkpoint_gives_up(struct disk_store *s)
{
	s->apply_waits = false;
	s->ckpt_fails++;
	pthread_cond_broadcast(&s->changed);
}

bool checkpoint_failed_since(const struct disk_store *s, uint64_t *fails, struct err *err)
{
	if (s->ckpt_fails == *fails)
		return false;
	*fails = s->ckpt_fails;
	if (!s->ckpt_err.reason)
		return false; /* it went on before anybody woke up: what is waited for may come yet */
	err_set(err, ERR_UNAVAILABLE, "%s", err_msg(&s->ckpt_err));
	if (err)
		err->errnum = s->ckpt_err.errnum;
	return true;
}

/* Lock held. The reserve's room is for what has to go on. */
static void checkpoint_failed(struct disk_store *s, enum job job, struct err *err_take)
{
	bool full = err_no_room(err_take);

	if (err_take->reason == ERR_INTERNAL && err_take->errnum)
		err_take->reason = ERR_UNAVAILABLE;
	if (job == JOB_MERGE) {
		checkpoint_merge_failed(s, err_take);
		return;
	}
	err_move(&s->ckpt_err, err_take);
	if (!full) {
		s->ckpt_fails++;
		return;
	}
	db_merge_stop(&s->db); /* its unfinished file takes room, too */
	disk_set_full(s);
	if (s->reserve.held) {
		reserve_give(&s->reserve);
		s->ckpt_poke = true;
	} else if (job == JOB_APPLY) {
		s->apply_waits = true;
	} else {
		checkpoint_gives_up(s);
	}
}

/* What has to be free beside the reserve: the segments that are still to be made, and a table. Or the very next write
 * would find the disk full again. */
static uint64_t checkpoint_spare(const struct disk_store *s)
{
	uint64_t log = WAL_SLOTS * (uint64_t)WAL_SEGMENT;

	return log - MIN(log, wal_bytes(&s->wal)) + WAL_SEGMENT;
}

/* Lock held. Is there room again? If not, what deletions left is made into room at once, without
 * waiting for the next compaction: history is worth less than writing. */
static void checkpoint_look_for_room(struct disk_store *s)
{
	struct err why = ERR_INIT;

	err_release(&s->full_err);
	/* Refused writes ask for room all the time: what did not fit into this much is not tried in it again. */
	if (s->merge_waits && reserve_room(s->db.dir) > s->merge_room + ROOM_WORTH_BYTES)
		s->merge_waits = false;
	if (reserve_take(&s->reserve, s->db.dir, checkpoint_spare(s), &why) == 0) {
		s->full = s->tight = false;
		return;
	}
	why.reason = ERR_UNAVAILABLE;
	err_move(&s->full_err, &why);
	if (s->live_bytes + ROOM_WORTH_BYTES < s->meta.live_bytes) {
		s->freeze_wanted = true;
		pthread_cond_signal(&s->work);
	}
	if (s->meta.compact_rev < s->meta.rev && s->db.set->bytes > s->meta.live_bytes + ROOM_WORTH_BYTES) {
		s->compact_want = MAX(s->compact_want, (int64_t)s->meta.rev);
		s->compact_rev = MAX(s->compact_rev, (int64_t)s->meta.rev);
		s->expire = true;
		pthread_cond_signal(&s->work);
	}
}

static void checkpoint_done(struct disk_store *s, struct gen *g, const struct db_meta *meta)
{
	s->meta = *meta;
	s->merge_waits = s->apply_waits = false;
	s->ckpt_steps++;
	if (!g)
		return;
	s->tight = s->full;
	list_del(&g->link);
	s->wal.slots[g->slot].busy = false;
	gen_unref(g);
}

/* One job. Lock held, given up meanwhile. True: something has changed. */
static bool checkpoint_one(struct disk_store *s, enum job job, int64_t burst)
{
	struct gen *g = job == JOB_APPLY ? LIST_ENTRY(s->frozen.next, struct gen, link) : NULL;
	struct db_set *set = NULL, *old = NULL;
	struct db_meta meta = s->meta;
	int64_t want = s->compact_want;
	enum db_haste haste = checkpoint_haste(s, burst);
	struct err err = ERR_INIT;
	int r;

	pthread_mutex_unlock(&s->mu);
	r = checkpoint_do(s, job, g, want, haste, &meta, &set, &err);
	pthread_mutex_lock(&s->mu);
	if (job != JOB_GIVE_BACK)
		err_release(job == JOB_MERGE ? &s->merge_err : &s->ckpt_err);
	if (r < 0) {
		checkpoint_failed(s, job, &err);
	} else {
		if (set)
			db_set_swap(&s->db, set, &old);
		if (r > 0)
			checkpoint_done(s, g, &meta);
	}
	pthread_cond_broadcast(&s->changed);
	if (old) {
		pthread_mutex_unlock(&s->mu);
		db_set_unref(old);
		pthread_mutex_lock(&s->mu);
	}
	return r > 0;
}

/* Lock held. Waits for something to do; what waits for the end of a burst needs no other call. */
static void checkpoint_wait(struct disk_store *s, int64_t burst)
{
	if (burst && (s->burst || (!s->merge_waits && db_wants_merge(&s->db, &s->meta, DB_MERGE)))) {
		s->dozing = true;
		disk_wait_until(s, &s->ckpt_work, burst);
		s->dozing = false;
	} else {
		pthread_cond_wait(&s->ckpt_work, &s->mu);
	}
}

void checkpoint_main(void *ctx)
{
	struct disk_store *s = ctx;

	pthread_mutex_lock(&s->mu);
	for (;;) {
		bool failed = s->ckpt_err.reason != ERR_NONE;
		int64_t burst = checkpoint_burst(s);
		enum job job = checkpoint_next(s, burst);

		s->room_held = db_is_held(&s->db) && (s->db.owes || s->tight);
		if (job == JOB_GIVE_BACK) {
			(void)checkpoint_one(s, job, burst);
			/* What failed for want of room may go now. */
			s->ckpt_poke = s->ckpt_poke || failed;
			s->room_poke = s->room_poke || s->full;
			continue;
		}
		if (s->ckpt_stop && (job == JOB_NONE || failed))
			break;
		if (job != JOB_NONE && (!failed || s->ckpt_poke || s->apply_waits)) {
			s->burst = true;
			s->ckpt_poke = false;
			/* Only what has changed something may have made room: else this would go round and round. */
			if (checkpoint_one(s, job, burst) && s->full)
				s->room_poke = true;
			continue;
		}
		if (s->full && s->room_poke) {
			s->room_poke = false;
			checkpoint_look_for_room(s);
			pthread_cond_broadcast(&s->changed);
			continue;
		}
		if (s->apply_waits) {
			checkpoint_gives_up(s);
			continue;
		}
		if (job == JOB_NONE && s->burst && !burst && list_empty(&s->queue)) {
			s->burst = false;
			pthread_mutex_unlock(&s->mu);
			checkpoint_give_back();
			pthread_mutex_lock(&s->mu);
			continue; /* something may have come in */
		}
		checkpoint_wait(s, burst);
	}
	s->ckpt_gone = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}
