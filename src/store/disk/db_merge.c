/* Merging: several tables into as few as possible, and of each key only what can still be asked for. */
#include "store/disk/db-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RUN_MAX 8				    /* ages of one size before they are merged */
#define RUN_LATE 32				    /* the same while writes press */
#define CLASS_BYTES (WAL_SEGMENT + WAL_SEGMENT / 4) /* of the smallest size; each next is RUN_MAX times that */
#define PART_BYTES ((uint64_t)32 << 20)
#define TIGHT_BYTES ((uint64_t)4 << 20) /* consumed before a commit, when room counts */
#define PART_BYTES_LEAST ((uint64_t)64 << 10)
#define STEP_BYTES ((size_t)1 << 20)
#define TABLE_GIVE_FROM UINT64_C(4096)	/* the head stays */
#define SLACK_BYTES ((uint64_t)4 << 20) /* garbage that is not worth the work */

struct db_merge {
	struct db_cursor c;
	struct db_set *inputs;
	uint64_t compact_rev;
	bool bottom;	     /* nothing older lies below: a tombstone has nothing left to hide */
	bool full;	     /* all there was */
	bool late;	     /* begun although writes press: it goes on while they do */
	struct buf key;	     /* the one it is at */
	bool floor;	     /* of that key, what the compaction keeps has passed */
	bool open;	     /* out is */
	uint64_t part_bytes; /* how large out may become */
	uint64_t consumed;   /* of the inputs, since the last commit */
	struct table_out out;
	struct table_head head;
};

struct db_age {
	uint64_t age, bytes;
};
typedef VEC(struct db_age) db_ages;

static void merge_ages(const struct db_set *s, db_ages *ret)
{
	for (size_t i = 0; i < s->n; i++) {
		struct db_age a = { s->p[i].age, 0 };

		if (!ret->n || vec_last(ret).age != a.age)
			vec_push(ret, a);
		vec_last(ret).bytes += db_part_bytes(&s->p[i]);
	}
}

/* Free on the disk; 0: nobody knows. */
static uint64_t merge_room(const struct db *d)
{
	struct statvfs st;

	return statvfs(d->dir, &st) < 0 ? 0 : (uint64_t)st.f_bavail * st.f_frsize;
}

/* About how much of what is not live nobody may ask for any more: the share of revisions that the compaction has passed
 * since all was merged. The rest is history that is to be kept, and may be many times what is live. */
static uint64_t merge_garbage(const struct db *d, const struct db_meta *m)
{
	uint64_t dead = d->set->bytes > m->live_bytes ? d->set->bytes - m->live_bytes : 0;
	uint64_t passed = m->compact_rev - m->full_rev, all = m->rev - m->full_rev;

	return passed >= all ? dead : (uint64_t)((double)dead * ((double)passed / (double)all));
}

static bool merge_wants_all(const struct db *d, const struct db_meta *m, bool tight)
{
	uint64_t bytes = d->set->bytes, live = m->live_bytes, garbage;

	if (m->compact_rev <= m->full_rev || !d->set->n)
		return false;
	garbage = merge_garbage(d, m);
	/* Before garbage has taken the room that collecting it needs. */
	return tight ? bytes > live + MIN(live / 8, merge_room(d) / 4) + SLACK_BYTES / 4
		     : garbage > live + SLACK_BYTES && garbage > (bytes - garbage) / 2;
}

/* How many ages, from the newest, to merge; 0: none. */
static size_t merge_pick(const struct db *d, const struct db_meta *m, enum db_haste how, bool *ret_full)
{
	size_t n = 0, run = 0, most = how == DB_MERGE_LATE ? RUN_LATE : RUN_MAX;
	db_ages ages = VEC_INIT;
	uint64_t limit = CLASS_BYTES;

	merge_ages(d->set, &ages);
	*ret_full = merge_wants_all(d, m, how == DB_MERGE_TIGHT);
	if (*ret_full)
		n = ages.n;
	while (n == 0 && run < ages.n) {
		while (run < ages.n && ages.p[run].bytes <= limit)
			run++;
		if (run >= most)
			n = run;
		limit *= RUN_MAX;
	}
	vec_release(&ages);
	return n;
}

bool db_wants_merge(const struct db *d, const struct db_meta *meta, enum db_haste how)
{
	bool full;

	return (d->merge && (d->merge->late || how != DB_MERGE_LATE)) || merge_pick(d, meta, how, &full) > 0;
}

static int merge_begin(struct db *d, const struct db_meta *meta, enum db_haste how, struct err *err)
{
	struct db_merge *m;
	db_parts in = VEC_INIT;
	size_t left;
	bool full;

	left = merge_pick(d, meta, how, &full);
	if (!left)
		return 0;
	m = xcalloc(1, sizeof(*m));
	m->full = full;
	m->late = how == DB_MERGE_LATE;
	m->compact_rev = d->merge_rev = meta->compact_rev;
	m->out.fd = -1;
	m->head =
	    (struct table_head){ .store_id = d->store_id, .first_rev = UINT64_MAX, .hist_rev = meta->compact_rev };
	for (size_t i = 0; i < d->set->n; i++) {
		struct db_part *p = &d->set->p[i];

		if (i && p->age != d->set->p[i - 1].age && --left == 0)
			break;
		vec_push(&in, *p);
		m->head.first_rev = MIN(m->head.first_rev, p->t->head.first_rev);
		m->head.last_rev = MAX(m->head.last_rev, p->t->head.last_rev);
		m->head.wal_seq = MAX(m->head.wal_seq, p->t->head.wal_seq);
	}
	m->bottom = in.n == d->set->n;
	m->inputs = db_set_make(in.p, in.n);
	vec_release(&in);
	d->merge = m;
	return db_cursor_open(&m->c, m->inputs, SV_NULL, SV_NULL, err);
}

void db_merge_stop(struct db *d)
{
	struct db_merge *m = TAKE(d->merge);

	if (!m)
		return;
	if (m->open)
		table_out_abort(&m->out);
	if (m->c.set)
		db_cursor_release(&m->c);
	db_set_unref(m->inputs);
	buf_release(&m->key);
	free(m);
}

static bool merge_is_input(const struct db_merge *m, const struct table *t)
{
	for (size_t i = 0; i < m->inputs->n; i++)
		if (m->inputs->p[i].t == t)
			return true;
	return false;
}

void db_give_back(struct db *d)
{
	d->owes = false;
	for (size_t i = 0; i < d->set->n; i++) {
		const struct db_part *p = &d->set->p[i];
		uint64_t end;

		if (!p->from.n || !p->t->head.blocks)
			continue;
		end = table_entry(p->t, table_seek(p->t, p->from)).off & ~(uint64_t)4095;
		if (end <= MAX(p->t->given, TABLE_GIVE_FROM))
			continue;
		(void)fallocate(p->t->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, TABLE_GIVE_FROM,
				(off_t)(end - TABLE_GIVE_FROM));
		p->t->given = end;
	}
}

/* Commits what has been merged: everything before `next`, or all when that is empty. */
static int merge_commit(struct db *d, struct db_merge *m, struct db_meta *meta, struct sv next, struct db_set **ret_set,
			struct err *err)
{
	db_parts parts = VEC_INIT;
	struct db_part fresh = { .age = m->inputs->p[0].age };
	int r = 0;

	if (m->open) {
		m->open = false;
		fresh.t = table_out_open(&m->out, d->dir, err);
		if (!fresh.t)
			return -1;
		vec_push(&parts, fresh);
	}
	for (size_t i = 0; i < d->set->n; i++) {
		struct db_part p = d->set->p[i];

		if (merge_is_input(m, p.t)) {
			if (!next.n || sv_cmp(table_entry(p.t, p.t->head.blocks).first_key, next) < 0)
				continue;
			/* A merge that was left before may have consumed more of it. */
			if (sv_cmp(p.from, next) < 0)
				p.from = next;
		}
		vec_push(&parts, p);
	}
	if (!next.n && m->full)
		meta->full_rev = m->compact_rev;
	r = db_commit(d, &parts, fresh.t, meta, ret_set, err);
	if (r == 0) {
		d->owes = true;
		for (size_t i = 0; i < d->set->n; i++) {
			const struct table *t = d->set->p[i].t;
			bool stays = !merge_is_input(m, t);

			for (size_t k = 0; k < (*ret_set)->n && !stays; k++)
				stays = (*ret_set)->p[k].t == t;
			if (!stays)
				(void)unlink(t->path);
		}
	}
	table_unref(fresh.t);
	vec_release(&parts);
	return r;
}

/* Of the version the cursor is at: may anybody still ask for it? */
static bool merge_keeps(struct db_merge *m, const struct table_iter *it)
{
	if (it->h.rev > m->compact_rev)
		return true;
	if (m->floor)
		return false;
	m->floor = true;
	return !(m->bottom && (it->h.flags & WAL_TOMBSTONE));
}

/* As much as fits: half of the room there is, so that the other half is left for the log. */
static uint64_t merge_part_bytes(const struct db *d)
{
	return MAX(MIN(merge_room(d) / 2, PART_BYTES), PART_BYTES_LEAST);
}

/* Is it time to commit, before another key? When room is short, also for what goes alone. */
static bool merge_part_full(const struct db_merge *m, bool tight)
{
	return (m->open && table_out_bytes(&m->out) >= m->part_bytes) || (tight && m->consumed >= TIGHT_BYTES);
}

static int merge_add(struct db *d, struct db_merge *m, const struct table_iter *it, struct err *err)
{
	if (!m->open) {
		m->part_bytes = merge_part_bytes(d);
		m->head.number = d->next_number++;
		m->head.salt = env_random_u64(d->env);
		m->open = true; /* also of what could not be begun: stopping the merge lets go of it */
		if (table_out_begin(&m->out, d->dir, &m->head, err) < 0)
			return -1;
	}
	return table_out_add(&m->out, it->raw, it->raw_n, err);
}

static int merge_run(struct db *d, struct db_meta *meta, bool tight, struct db_set **ret_set, struct err *err)
{
	struct db_merge *m = d->merge;
	const struct table_iter *it;
	size_t seen = 0;

	while ((it = db_cursor_at(&m->c)) && seen < STEP_BYTES) {
		if (!sv_eq(buf_sv(&m->key), it->key)) {
			if (merge_part_full(m, tight)) {
				m->consumed = 0;
				return merge_commit(d, m, meta, it->key, ret_set, err) < 0 ? -1 : 1;
			}
			buf_clear(&m->key);
			buf_addsv(&m->key, it->key);
			m->floor = false;
		}
		seen += it->raw_n;
		m->consumed += it->raw_n;
		if (merge_keeps(m, it) && merge_add(d, m, it, err) < 0)
			return -1;
		if (db_cursor_next(&m->c, err) < 0)
			return -1;
	}
	if (it)
		return 0;
	if (merge_commit(d, m, meta, SV_NULL, ret_set, err) < 0)
		return -1;
	db_merge_stop(d);
	return 1;
}

int db_merge_step(struct db *d, struct db_meta *meta, enum db_haste how, struct db_set **ret_set, struct err *err)
{
	int r = 0;

	if (!d->merge)
		r = merge_begin(d, meta, how, err);
	if (r == 0 && d->merge)
		r = merge_run(d, meta, how == DB_MERGE_TIGHT, ret_set, err);
	if (r < 0)
		db_merge_stop(d);
	return r;
}
