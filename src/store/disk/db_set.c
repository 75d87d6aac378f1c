/* Sets of tables, and reading one: a key, a revision, or all in order. */
#include "store/disk/db-internal.h"

#include <stdlib.h>

uint64_t db_part_bytes(const struct db_part *p)
{
	const struct table_head *h = &p->t->head;

	return p->from.n && h->blocks ? h->size - table_entry(p->t, table_seek(p->t, p->from)).off : h->size;
}

static int db_part_cmp(const void *a, const void *b)
{
	const struct db_part *x = a, *y = b;

	return x->age > y->age ? -1 : x->age < y->age;
}

struct db_set *db_set_make(const struct db_part *p, size_t n)
{
	struct db_set *s = xcalloc(1, sizeof(*s) + n * sizeof(s->p[0]));

	atomic_init(&s->refs, 1);
	s->n = n;
	for (size_t i = 0; i < n; i++) {
		s->p[i] = (struct db_part){ table_ref(p[i].t), p[i].age, SV_NULL };
		if (p[i].from.n)
			s->p[i].from = sv_make(xmemdup(p[i].from.p, p[i].from.n), p[i].from.n);
		s->bytes += db_part_bytes(&s->p[i]);
	}
	if (n)
		qsort(s->p, n, sizeof(s->p[0]), db_part_cmp);
	return s;
}

struct db_set *db_set_ref(struct db_set *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void db_set_unref(struct db_set *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < s->n; i++) {
		table_unref(s->p[i].t);
		free((char *)s->p[i].from.p);
	}
	/* Only now: whoever sees the count may count on the room. */
	if (s->count)
		atomic_fetch_sub(s->count, 1);
	free(s);
}

/* --- reading --- */

static bool part_has_key(const struct db_part *p, struct sv key)
{
	return !p->from.n || sv_cmp(key, p->from) >= 0;
}

int db_find(const struct db_set *s, struct sv key, uint64_t max_rev, struct table_hold *hold, struct wal_record *ret,
	    struct sv *ret_key, struct sv *ret_value, struct err *err)
{
	struct table_key k = table_key(s->n ? s->p[0].t->head.store_id : 0, key);

	for (size_t i = 0; i < s->n; i++) {
		int got;

		if (!part_has_key(&s->p[i], key))
			continue;
		got = table_find(s->p[i].t, &k, max_rev, hold, ret, ret_key, ret_value, err);
		if (got)
			return got;
	}
	return 0;
}

int db_find_rev(const struct db_set *s, uint64_t rev, struct table_hold *hold, struct wal_record *ret,
		struct sv *ret_key, struct sv *ret_value, struct err *err)
{
	for (size_t i = 0; i < s->n; i++) {
		const struct table *t = s->p[i].t;
		size_t from = s->p[i].from.n ? table_seek(t, s->p[i].from) : 0;
		int got = table_find_rev(t, rev, from, hold, ret, ret_key, ret_value, err);

		if (got < 0 || (got > 0 && part_has_key(&s->p[i], *ret_key)))
			return got;
	}
	return 0;
}

/* Key by key, each key's versions from the newest. */
static bool iter_before(const struct table_iter *a, const struct table_iter *b)
{
	int cmp = sv_cmp(a->key, b->key);

	return cmp < 0 || (cmp == 0 && a->h.rev > b->h.rev);
}

/* its.p[0] has moved: to its place. Mostly it stays, for neighbours come from one table. */
static void cursor_sift(struct db_cursor *c)
{
	struct table_iter *it = c->its.p[0];
	size_t lo = 1, hi = c->its.n;

	if (hi < 2 || iter_before(it, c->its.p[1]))
		return;
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (iter_before(c->its.p[mid], it))
			lo = mid + 1;
		else
			hi = mid;
	}
	memmove(c->its.p, c->its.p + 1, (lo - 1) * sizeof(c->its.p[0]));
	c->its.p[lo - 1] = it;
}

static int iter_cmp(const void *a, const void *b)
{
	struct table_iter *const *x = a, *const *y = b;

	return iter_before(*x, *y) ? -1 : 1;
}

static void iter_free(struct table_iter *it)
{
	table_iter_release(it);
	free(it);
}

static int cursor_open(struct db_cursor *c, struct db_set *s, struct sv from, struct sv to, table_damage_fn *skip,
		       void *ctx, struct err *err)
{
	*c = (struct db_cursor){ .set = db_set_ref(s) };
	for (size_t i = 0; i < s->n; i++) {
		struct table *t = s->p[i].t;
		struct sv start = sv_cmp(from, s->p[i].from) < 0 ? s->p[i].from : from;
		struct table_iter *it;
		int r;

		if (sv_cmp(table_entry(t, t->head.blocks).first_key, start) < 0 ||
		    (to.n && sv_cmp(table_entry(t, 0).first_key, to) >= 0))
			continue;
		it = xcalloc(1, sizeof(*it));
		it->t = table_ref(t);
		it->skip = skip;
		it->skip_ctx = ctx;
		r = table_iter_seek(it, start, err);
		if (r > 0)
			vec_push(&c->its, it);
		else
			iter_free(it);
		if (r < 0) {
			db_cursor_release(c);
			return -1;
		}
	}
	if (c->its.n)
		qsort(c->its.p, c->its.n, sizeof(c->its.p[0]), iter_cmp);
	return 0;
}

int db_cursor_open(struct db_cursor *c, struct db_set *s, struct sv from, struct sv to, struct err *err)
{
	return cursor_open(c, s, from, to, NULL, NULL, err);
}

int db_cursor_open_skipping(struct db_cursor *c, struct db_set *s, table_damage_fn *skip, void *ctx, struct err *err)
{
	return cursor_open(c, s, SV_NULL, SV_NULL, skip, ctx, err);
}

int db_cursor_next(struct db_cursor *c, struct err *err)
{
	int r = table_iter_next(c->its.p[0], err);

	if (r < 0)
		return -1;
	if (r > 0) {
		cursor_sift(c);
		return 0;
	}
	iter_free(c->its.p[0]);
	vec_remove(&c->its, 0);
	return 0;
}

void db_cursor_release(struct db_cursor *c)
{
	for (size_t i = 0; i < c->its.n; i++)
		iter_free(c->its.p[i]);
	vec_release(&c->its);
	db_set_unref(c->set);
	c->set = NULL;
}
