#include "store/disk/db-internal.h"

#include "store/store-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

static void db_publish(struct db *d, struct db_set *set_take)
{
	set_take->count = &d->sets;
	atomic_fetch_add(&d->sets, 1);
	d->set = set_take;
}

void db_set_swap(struct db *d, struct db_set *set_take, struct db_set **ret_old)
{
	*ret_old = d->set;
	db_publish(d, set_take);
}

/* --- reading --- */

static bool part_has_key(const struct db_part *p, struct sv key)
{
	return !p->from.n || sv_cmp(key, p->from) >= 0;
}

int db_find(const struct db_set *s, struct sv key, uint64_t max_rev, struct table_hold *hold, struct wal_record *ret,
	    struct sv *ret_key, struct sv *ret_value, struct err *err)
{
	for (size_t i = 0; i < s->n; i++) {
		int got;

		if (!part_has_key(&s->p[i], key))
			continue;
		got = table_find(s->p[i].t, key, max_rev, hold, ret, ret_key, ret_value, err);
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

/* --- changing --- */

int db_commit(struct db *d, db_parts *parts, const struct table *fresh, struct db_meta *meta, struct db_set **ret_set,
	      struct err *err)
{
	struct db_set *s = db_set_make(parts->p, parts->n);
	bool named;

	meta->next_number = d->next_number;
	if (manifest_write(d->path, d->dir, meta, s, &named, err) < 0) {
		if (!named && fresh)
			(void)unlink(fresh->path);
		db_set_unref(s);
		return -1;
	}
	*ret_set = s;
	return 0;
}

int db_put_meta(struct db *d, struct db_meta *meta, struct db_set **ret_set, struct err *err)
{
	db_parts same = { d->set->p, d->set->n, 0 };

	return db_commit(d, &same, NULL, meta, ret_set, err);
}

/* A generation's versions: by key, and of each the newest first. */
static int db_write_gen(struct table_out *o, const struct gen *g, struct err *err)
{
	for (struct keyidx_node *n = keyidx_seek(&g->keys, SV_NULL); n; n = n->next[0])
		for (const struct rec *r = n->value; r; r = gen_rev(g, (int64_t)r->head.prev_rev))
			if (table_out_add(o, &r->head, sizeof(r->head) + r->head.key_n + r->head.value_n, err) < 0)
				return -1;
	return 0;
}

int db_apply(struct db *d, const struct gen *g, struct db_meta *meta, struct db_set **ret_set, struct err *err)
{
	struct table_head h = { .store_id = d->store_id,
				.first_rev = (uint64_t)g->base_rev + 1,
				.last_rev = (uint64_t)gen_last_rev(g),
				.wal_seq = g->seq,
				.hist_rev = meta->compact_rev };
	db_parts parts = VEC_INIT;
	struct table_out o;
	struct db_part fresh = { 0 };
	int r = -1;

	if (!g->recs.n)
		return db_put_meta(d, meta, ret_set, err);
	if (d->set->bytes + g->bytes > d->max_bytes)
		return err_set(err, ERR_UNAVAILABLE, "cannot apply the log: '%s' has reached its size limit", d->dir);
	fresh.age = h.number = d->next_number++;
	h.salt = env_random_u64(d->env);
	if (table_out_begin(&o, d->dir, &h, err) < 0 || db_write_gen(&o, g, err) < 0) {
		table_out_abort(&o);
		return -1;
	}
	fresh.t = table_out_open(&o, d->dir, err);
	if (!fresh.t)
		return -1;
	vec_push(&parts, fresh);
	for (size_t i = 0; i < d->set->n; i++)
		vec_push(&parts, d->set->p[i]);
	r = db_commit(d, &parts, fresh.t, meta, ret_set, err);
	vec_release(&parts);
	table_unref(fresh.t);
	return r;
}

/* --- opening --- */

/* Calls fn with each name in the directory. */
static int db_each_file(const char *dir, bool (*fn)(const struct db *d, int dir_fd, const char *name),
			const struct db *d)
{
	DIR *dp = opendir(dir);
	bool stop = false;

	if (!dp)
		return 0;
	for (struct dirent *e; !stop && (e = readdir(dp));)
		stop = fn(d, dirfd(dp), e->d_name);
	closedir(dp);
	return stop;
}

static bool db_is_part(_unused_ const struct db *d, _unused_ int dir_fd, const char *name)
{
	/* The note is made before the first manifest. */
	return strncmp(name, "t.", 2) == 0 || (strncmp(name, "wal.", 4) == 0 && strcmp(name, "wal.note") != 0);
}

static bool db_sweep_one(const struct db *d, int dir_fd, const char *name)
{
	uint64_t number;

	if (strcmp(name, "manifest.new") == 0)
		(void)unlinkat(dir_fd, name, 0);
	if (strncmp(name, "t.", 2) != 0 || !sv_to_u64(sv_from(name + 2), &number))
		return false;
	for (size_t i = 0; i < d->set->n; i++)
		if (d->set->p[i].t->head.number == number)
			return false;
	(void)unlinkat(dir_fd, name, 0);
	return false;
}

void db_sweep(const struct db *d)
{
	db_each_file(d->dir, db_sweep_one, d);
	db_old_remove(d->dir);
}

static int db_new(struct db *d, uint64_t id, db_first_fn *first, void *ctx, struct db_meta *ret, struct err *err)
{
	struct db_set *empty = db_set_make(NULL, 0);
	bool named;
	int r;

	*ret = (struct db_meta){ .format = DB_FORMAT, .store_id = id, .rev = STORE_FIRST_REV, .next_number = 1 };
	r = first(ret, ctx, err);
	if (r == 0)
		r = manifest_write(d->path, d->dir, ret, empty, &named, err);
	if (r < 0)
		db_set_unref(empty);
	else
		d->set = empty;
	return r;
}

int db_open(struct db *d, struct env *env, const char *dir, uint64_t max_bytes, db_first_fn *first, void *ctx,
	    struct db_meta *ret, struct err *err)
{
	int r;

	*d = (struct db){ .env = env,
			  .dir = xstrdup(dir),
			  .path = xasprintf("%s/manifest", dir),
			  .max_bytes = MAX(max_bytes, (uint64_t)1 << 20) };
	r = manifest_read(d->path, dir, ret, &d->set, err);
	/* Whoever wrote it may have been killed before its name was on disk. Segments are written over and tables
	 * removed because it is; so it has to be before the first of that. */
	if (r > 0 && table_sync_dir(dir, err) < 0)
		r = -1;
	if (r == 0 && db_old_exists(dir))
		r = db_convert(d, first, ctx, ret, err);
	else if (r == 0 && db_each_file(dir, db_is_part, NULL))
		r = damage_file(err, d->path, "is missing, but files that it has to name are there");
	else if (r == 0)
		r = db_new(d, env_random_u64(env), first, ctx, ret, err);
	d->store_id = ret->store_id;
	d->next_number = ret->next_number;
	if (r < 0)
		return -1;
	db_publish(d, d->set);
	/* Of the last run nobody knows. */
	d->owes = true;
	return 0;
}

void db_close(struct db *d)
{
	db_merge_stop(d);
	db_set_unref(d->set);
	free(d->dir);
	free(d->path);
	*d = (struct db){ 0 };
}
