/* The checkpointer: applies frozen generations to the database and compacts it. The only thread
 * that writes to LMDB. */
#include "store/lmdb/lmdb-internal.h"

#include <malloc.h>

static int checkpoint_apply(struct lmdb_store *s, const struct gen *g, struct db_meta *meta, struct err *err)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->db.env, NULL, 0, &txn);

	if (rc)
		return db_err(&s->db, rc, err, "cannot apply the log");
	for (size_t i = 0; i < g->recs.n; i++) {
		const struct rec *r = g->recs.p[i];

		if (db_put_log(&s->db, txn, r->head.rev, &r->head, sizeof(r->head) + r->head.key_n + r->head.value_n,
			       err) < 0)
			goto fail;
	}
	/* Only the newest of each key, in key order: each page of the index is copied once. */
	for (struct keyidx_node *n = keyidx_seek(&g->keys, SV_NULL); n; n = n->next[0]) {
		const struct rec *r = n->value;
		struct db_key k = { r->head.rev, r->head.create_rev };

		if (db_put_key(&s->db, txn, n->key, &k, err) < 0)
			goto fail;
	}
	meta->rev = (uint64_t)gen_last_rev(g);
	meta->wal_seq = g->seq;
	meta->live = g->live;
	if (db_put_meta(&s->db, txn, meta, err) < 0)
		goto fail;
	rc = mdb_txn_commit(txn);
	return rc ? db_err(&s->db, rc, err, "cannot apply the log") : 0;
fail:
	mdb_txn_abort(txn);
	return -1;
}

/* One transaction's worth of compaction. */
static int checkpoint_compact(struct lmdb_store *s, int64_t want, struct db_meta *meta, struct err *err)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(s->db.env, NULL, 0, &txn);

	if (rc)
		return db_err(&s->db, rc, err, "cannot compact");
	meta->compact_rev = MAX(meta->compact_rev, (uint64_t)want);
	for (int i = 0; i < COMPACT_MAX && meta->compact_done < (uint64_t)want; i++) {
		if (db_compact_one(&s->db, txn, meta->compact_done + 1, err) < 0) {
			mdb_txn_abort(txn);
			return -1;
		}
		meta->compact_done++;
	}
	if (db_put_meta(&s->db, txn, meta, err) < 0) {
		mdb_txn_abort(txn);
		return -1;
	}
	rc = mdb_txn_commit(txn);
	return rc ? db_err(&s->db, rc, err, "cannot compact") : 0;
}

/* Lock held. */
static bool checkpoint_can_compact(const struct lmdb_store *s)
{
	return (int64_t)s->meta.compact_done < s->compact_want && (int64_t)s->meta.rev >= s->compact_want;
}

/* After a burst: freed records and dirty pages back to the kernel, and the map's pages out of
 * our resident set (they stay in the page cache). */
static void checkpoint_give_back(struct lmdb_store *s)
{
	db_trim(&s->db);
	(void)malloc_trim(0);
}

void checkpoint_main(void *ctx)
{
	struct lmdb_store *s = ctx;

	pthread_mutex_lock(&s->mu);
	for (;;) {
		bool work = !list_empty(&s->frozen) || checkpoint_can_compact(s);
		bool failed = s->ckpt_err.reason != ERR_NONE;
		struct err err = ERR_INIT;
		struct gen *g = NULL;
		struct db_meta meta;
		int r;

		if (s->ckpt_stop && (!work || failed))
			break;
		if (!work || (failed && !s->ckpt_poke)) {
			if (!work && s->burst && list_empty(&s->queue)) {
				s->burst = false;
				pthread_mutex_unlock(&s->mu);
				checkpoint_give_back(s);
				pthread_mutex_lock(&s->mu);
				continue; /* something may have come in */
			}
			pthread_cond_wait(&s->ckpt_work, &s->mu);
			continue;
		}
		s->burst = true;
		s->ckpt_poke = false;
		meta = s->meta;
		if (!list_empty(&s->frozen)) {
			g = LIST_ENTRY(s->frozen.next, struct gen, link);
			pthread_mutex_unlock(&s->mu);
			r = checkpoint_apply(s, g, &meta, &err);
		} else {
			int64_t want = s->compact_want;

			pthread_mutex_unlock(&s->mu);
			r = checkpoint_compact(s, want, &meta, &err);
		}
		pthread_mutex_lock(&s->mu);
		err_release(&s->ckpt_err);
		if (r < 0) {
			err_move(&s->ckpt_err, &err);
			s->ckpt_fails++;
		} else {
			s->meta = meta;
			if (g) {
				list_del(&g->link);
				s->wal.slots[g->slot].busy = false;
				gen_unref(g);
			}
		}
		pthread_cond_broadcast(&s->changed);
	}
	s->ckpt_gone = true;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->mu);
}
