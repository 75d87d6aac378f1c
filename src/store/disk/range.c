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

typedef VEC(struct seen_key) seen_keys;

struct overlay overlay_of(const struct snap *sn)
{
	struct overlay o = { .n = sn->n };

	for (int i = 0; i < sn->n; i++)
		o.gens[i] = (struct overlay_gen){ sn->gens[i]->base_rev, sn->gens[i]->recs.p, sn->gens[i]->recs.n };
	return o;
}

void overlay_keep(struct overlay *o)
{
	if (!o->n || !o->gens[0].n)
		return;
	o->copy = xmalloc(o->gens[0].n * sizeof(*o->copy));
	memcpy(o->copy, o->gens[0].recs, o->gens[0].n * sizeof(*o->copy));
	o->gens[0].recs = o->copy;
}

const struct rec *overlay_rev(const struct overlay *o, int64_t rev)
{
	for (int i = 0; i < o->n; i++) {
		const struct overlay_gen *g = &o->gens[i];

		if (rev > g->base_rev && rev <= g->base_rev + (int64_t)g->n)
			return g->recs[rev - g->base_rev - 1];
	}
	return NULL;
}

/* The version of newest's key at rev. */
static struct seen_key overlay_at(const struct overlay *o, const struct rec *newest, int64_t rev)
{
	const struct rec *r = newest;
	uint64_t at = r->head.rev;

	while (at > (uint64_t)rev) {
		at = r->head.prev_rev;
		r = overlay_rev(o, (int64_t)at);
		if (!r)
			return (struct seen_key){ rec_key(newest), NULL, at };
	}
	return (struct seen_key){ rec_key(newest), r->head.flags & WAL_TOMBSTONE ? NULL : r, 0 };
}

/* What the overlay knows of one key. Lock held. */
static bool overlay_find(const struct snap *sn, const struct overlay *o, struct sv key, int64_t rev,
			 struct seen_key *ret)
{
	uint64_t hash = strmap_hash(key);
	const struct rec *newest = NULL;

	/* A newer generation has the last word on its keys. */
	for (int i = 0; i < sn->n && !newest; i++)
		newest = recmap_get(&sn->gens[i]->keys, key, hash);
	if (newest)
		*ret = overlay_at(o, newest, rev);
	return newest;
}

/* And of all in [from, to), in order. Not under the lock: it looks at each record there is. */
static void overlay_collect(const struct overlay *o, struct sv from, struct sv to, int64_t rev, seen_keys *ret)
{
	gen_recs in = VEC_INIT;

	for (int i = 0; i < o->n; i++)
		for (size_t k = 0; k < o->gens[i].n; k++)
			if (store_in_range(rec_key(o->gens[i].recs[k]), from, to))
				vec_push(&in, o->gens[i].recs[k]);
	if (in.n)
		qsort(in.p, in.n, sizeof(in.p[0]), rec_order);
	for (size_t i = 0; i < in.n; i++)
		if (i == 0 || !sv_eq(rec_key(in.p[i]), rec_key(in.p[i - 1])))
			vec_push(ret, overlay_at(o, in.p[i], rev));
	vec_release(&in);
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
	struct store_kv kv = { .deleted = false }; /* all of it: who reports looks at `why`, too */
	int got =
	    db_rev ? db_find(q->sn.set, key, MIN(db_rev, (uint64_t)q->rev), &q->sn.kv, &h, &kv.key, &kv.value, q->err)
		   : 0;

	if (got <= 0)
		return got;
	if (h.flags & WAL_TOMBSTONE)
		return 0;
	kv.create_rev = (int64_t)h.create_rev;
	kv.mod_rev = (int64_t)h.rev;
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
			struct store_kv kv = { .key = it->key,
					       .value = it->value,
					       .create_rev = (int64_t)it->h.create_rev,
					       .mod_rev = (int64_t)it->h.rev };

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
static int range_one(struct range *q, struct sv key, const struct seen_key *seen)
{
	return (seen ? range_seen(q, seen) : key.n ? range_find(q, key, UINT64_MAX) : 0) < 0 ? -1 : 0;
}

static int range_many(struct range *q, const struct overlay *o, struct sv from, struct sv to)
{
	seen_keys seen = VEC_INIT;
	int r;

	overlay_collect(o, from, to, q->rev, &seen);
	r = range_merge(q, from, to, seen.p, seen.n);
	vec_release(&seen);
	return r;
}

int disk_range(struct store *store, struct sv from, struct sv to, int64_t rev, size_t limit, store_each_fn *fn,
	       void *ctx, int64_t *ret_rev, struct err *err)
{
	struct range q = { .s = DISK_STORE(store), .left = limit ? limit : SIZE_MAX, .fn = fn, .ctx = ctx, .err = err };
	struct overlay o;
	struct seen_key one;
	bool seen = false;
	int r;

	pthread_mutex_lock(&q.s->mu);
	/* First the snapshot: opening it may wait, and the store moves on meanwhile. */
	snap_open(q.s, true, &q.sn);
	q.rev = rev ? rev : q.sn.rev;
	r = store_check_read_rev(q.rev, q.sn.rev, q.sn.compact_rev, err);
	o = overlay_of(&q.sn);
	if (r == 0 && to.n)
		overlay_keep(&o);
	else if (r == 0)
		seen = overlay_find(&q.sn, &o, from, q.rev, &one);
	pthread_mutex_unlock(&q.s->mu);
	if (r == 0)
		r = to.n ? range_many(&q, &o, from, to) : range_one(&q, from, seen ? &one : NULL);
	free(o.copy);
	snap_close(q.s, &q.sn);
	if (r == 0 && ret_rev)
		*ret_rev = q.rev;
	return r;
}
