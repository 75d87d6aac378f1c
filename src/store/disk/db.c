#include "store/disk/db-internal.h"

#include "store/store-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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

/* --- changing --- */

int db_put_meta(struct db *d, struct db_meta *meta, struct db_set **ret_set, struct err *err)
{
	db_parts same = { d->set->p, d->set->n, 0 };

	return db_commit(d, &same, NULL, meta, ret_set, err);
}

/* A generation's versions: by key, and of each the newest first. */
static int db_write_gen(struct table_out *o, const struct gen *g, struct err *err)
{
	gen_recs keys = VEC_INIT;
	int ret = 0;

	gen_sorted(g, &keys);
	for (size_t i = 0; i < keys.n && ret == 0; i++)
		for (const struct rec *r = keys.p[i]; r && ret == 0; r = gen_rev(g, (int64_t)r->head.prev_rev))
			ret = table_out_add(o, &r->head, sizeof(r->head) + r->head.key_n + r->head.value_n, err);
	vec_release(&keys);
	return ret;
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
