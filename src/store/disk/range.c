/* Ranges: what the overlay knows, merged with what the tables say. */
#include "store/disk/disk-internal.h"

#include "base/strmap.h"
#include "store/store-internal.h"

#include <stdlib.h>

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

/* Lock held. A newer generation has the last word on its keys. */
static const struct rec *overlay_newest(const struct snap *sn, struct sv key, uint64_t hash)
{
	const struct rec *r = NULL;

	for (int i = 0; i < sn->n && !r; i++)
		r = recmap_get(&sn->gens[i]->keys, key, hash);
	return r;
}

/* Lock held. What the overlay has of [from, to), in order. */
static void seen_keys_collect(const struct snap *sn, struct sv from, struct sv to, int64_t rev, struct seen_key **ret,
			      size_t *ret_n)
{
	VEC(struct seen_key) all = VEC_INIT;

	if (!to.n) {
		const struct rec *r = overlay_newest(sn, from, strmap_hash(from));

		if (r)
			vec_push(&all, overlay_at(sn, r, rev));
	}
	for (int i = 0; to.n && i < sn->n; i++) {
		const struct gen *g = sn->gens[i];

		for (size_t k = 0; k < g->recs.n; k++) {
			const struct rec *r = g->recs.p[k];

			if (store_in_range(rec_key(r), from, to) && overlay_newest(sn, rec_key(r), r->key_hash) == r)
				vec_push(&all, overlay_at(sn, r, rev));
		}
	}
	if (all.n)
		qsort(all.p, all.n, sizeof(all.p[0]), seen_key_cmp);
	*ret = all.p;
	*ret_n = all.n;
}

struct range {
	struct disk_store *s;
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

/* Reports what the database has of a key whose versions after db_rev are in the overlay. */
static int range_find(struct range *q, struct sv key, uint64_t db_rev)
{
	struct wal_record h;
	struct store_kv kv;
	int got =
	    db_rev ? db_find(q->sn.set, key, MIN(db_rev, (uint64_t)q->rev), &q->sn.kv, &h, &kv.key, &kv.value, q->err)
		   : 0;

	if (got <= 0)
		return got;
	if (h.flags & WAL_TOMBSTONE)
		return 0;
	kv.create_rev = (int64_t)h.create_rev;
	kv.mod_rev = (int64_t)h.rev;
	kv.deleted = false;
	return range_report(q, &kv);
}

static int range_seen(struct range *q, const struct seen_key *k)
{
	struct store_kv kv;

	if (!k->rec)
		return range_find(q, k->key, k->db_rev);
	kv = rec_kv(k->rec);
	return range_report(q, &kv);
}

/* Behind the last version of the key the cursor is at; reports the one at q->rev unless the overlay has spoken. */
static int range_db_key(struct range *q, struct db_cursor *c, bool report)
{
	const struct table_iter *it = db_cursor_at(c);
	char key[STORE_KEY_MAX];
	size_t n = it->key.n;
	int r = 0;

	memcpy(key, it->key.p, n);
	do {
		if (report && it->h.rev <= (uint64_t)q->rev) {
			struct store_kv kv = { it->key, it->value, (int64_t)it->h.create_rev, (int64_t)it->h.rev,
					       false };

			report = false;
			r = it->h.flags & WAL_TOMBSTONE ? 0 : range_report(q, &kv);
		}
		if (db_cursor_next(c, q->err) < 0)
			return -1;
		it = db_cursor_at(c);
	} while (r == 0 && it && sv_eq(it->key, sv_make(key, n)));
	return r;
}

/* Merges overlay and database, both in key order; on a key in both the overlay decides. */
static int range_merge(struct range *q, struct sv from, struct sv to, const struct seen_key *seen, size_t n)
{
	struct db_cursor c;
	int r = 0;

	if (db_cursor_open(&c, q->sn.set, from, to, q->err) < 0)
		return -1;
	while (r == 0) {
		const struct table_iter *it = db_cursor_at(&c);
		bool in_db = it && store_in_range(it->key, from, to);
		int cmp = !in_db ? -1 : n ? sv_cmp(seen->key, it->key) : 1;

		if (!in_db && n == 0)
			break;
		if (cmp <= 0) {
			r = range_seen(q, seen++);
			n--;
		}
		if (cmp >= 0 && r == 0)
			r = range_db_key(q, &c, cmp > 0);
	}
	db_cursor_release(&c);
	return r < 0 ? -1 : 0;
}

/* A single key: no cursor is needed. */
static int range_one(struct range *q, struct sv key, const struct seen_key *seen, size_t n)
{
	return (n ? range_seen(q, seen) : key.n ? range_find(q, key, UINT64_MAX) : 0) < 0 ? -1 : 0;
}

int disk_range(struct store *store, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
	       void *ctx, int64_t *ret_rev, struct err *err)
{
	struct range q = { .s = DISK_STORE(store), .left = limit ? limit : SIZE_MAX, .fn = fn, .ctx = ctx, .err = err };
	struct seen_key *seen = NULL;
	size_t n = 0;
	int r;

	pthread_mutex_lock(&q.s->mu);
	/* First the snapshot: opening it may wait, and the store moves on meanwhile. */
	snap_open(q.s, true, &q.sn);
	q.rev = rev ? rev : q.sn.rev;
	r = store_check_read_rev(q.rev, q.sn.rev, q.sn.compact_rev, err);
	if (r == 0)
		seen_keys_collect(&q.sn, from, to, q.rev, &seen, &n);
	pthread_mutex_unlock(&q.s->mu);
	if (r == 0)
		r = to.n ? range_merge(&q, from, to, seen, n) : range_one(&q, from, seen, n);
	free(seen);
	snap_close(q.s, &q.sn);
	if (r == 0 && ret_rev)
		*ret_rev = q.rev;
	return r;
}
