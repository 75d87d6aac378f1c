/* `caravel store check` and `repair`. Both walk the same files; what one tells, the other leaves out. */
#include "store/disk/check.h"

#include "store/disk/build.h"
#include "store/disk/db-internal.h"
#include "store/disk/dirlock.h"
#include "store/disk/wal-internal.h"
#include "store/store-internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What was found in a directory. */
struct look {
	const char *dir;
	store_say_fn *say;
	void *ctx;
	size_t damages;
	bool old;
	struct db_meta meta;	/* of the manifest, or put together from the tables */
	db_parts parts;		/* owned, with their keys */
	VEC(struct rec *) recs; /* of the log and of an old database; owned */
	uint64_t top_rev;	/* the highest that shows anywhere */
	struct wal wal;
};

/* Without the advice, which whoever reads this is following already. */
static void look_err(struct look *l, struct err *why)
{
	_cleanup_free_ char *line = xstrdup(err_msg(why));
	char *advice = strstr(line, "; with the server stopped");

	if (advice)
		*advice = '\0';
	l->damages++;
	l->say(line, l->ctx);
	err_release(why);
}

static void look_part(struct look *l, struct table *t, uint64_t age, struct sv from)
{
	struct db_part p = { t, age, SV_NULL };

	if (from.n)
		p.from = sv_make(xmemdup(from.p, from.n), from.n);
	vec_push(&l->parts, p);
	l->top_rev = MAX(l->top_rev, t->head.last_rev);
}

/* Tables without a manifest: all there are. Which of two is newer, the stretch of history says that it comes from. */
static void look_find_tables(struct look *l)
{
	DIR *d = opendir(l->dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		struct err why = ERR_INIT;
		uint64_t number;
		struct table *t;

		if (strncmp(e->d_name, "t.", 2) != 0 || !sv_to_u64(sv_from(e->d_name + 2), &number))
			continue;
		t = table_open(l->dir, number, 0, NULL, &why);
		if (!t) {
			look_err(l, &why);
			continue;
		}
		look_part(l, t, t->head.last_rev, SV_NULL);
		l->meta.store_id = t->head.store_id;
		l->meta.wal_seq = MAX(l->meta.wal_seq, t->head.wal_seq);
	}
	if (d)
		closedir(d);
}

static void look_at_tables(struct look *l)
{
	_cleanup_free_ char *path = xasprintf("%s/manifest", l->dir);
	_cleanup_(buf_release) struct buf b = BUF_INIT;
	manifest_lines lines = VEC_INIT;
	struct err why = ERR_INIT;
	int r = manifest_parse(path, &b, &l->meta, &lines, &why);

	if (r == 0)
		r = damage_file(&why, path, "is missing");
	if (r < 0) {
		look_err(l, &why);
		l->meta = (struct db_meta){ 0 };
		look_find_tables(l);
	}
	for (size_t i = 0; r > 0 && i < lines.n; i++) {
		const struct manifest_line *m = &lines.p[i];
		struct table *t = table_open(l->dir, m->number, l->meta.store_id, &m->head_crc, &why);

		if (t)
			look_part(l, t, m->age, m->from);
		else
			look_err(l, &why);
	}
	vec_release(&lines);
	l->top_rev = MAX(l->top_rev, l->meta.rev);
}

static int look_record(const struct wal_record *h, struct sv key, struct sv value, void *ctx, _unused_ struct err *err)
{
	struct look *l = ctx;
	struct rec *r = rec_new(key, value, h->flags & WAL_TOMBSTONE);

	r->head = *h;
	vec_push(&l->recs, r);
	l->top_rev = MAX(l->top_rev, h->rev);
	return 0;
}

static void look_old_damage(struct err *why, void *ctx)
{
	look_err(ctx, why);
	*why = ERR_INIT;
}

static void look_at_old(struct look *l)
{
	struct db_old_meta m;
	struct err why = ERR_INIT;

	if (db_old_read(l->dir, &m, look_record, look_old_damage, l, &why) < 0)
		look_err(l, &why);
	l->meta.store_id = m.store_id;
	l->meta.wal_seq = m.wal_seq;
	l->meta.rev = m.rev;
	l->top_rev = MAX(l->top_rev, m.rev);
}

static int look_no_record(_unused_ const struct wal_record *h, _unused_ struct sv key, _unused_ struct sv value,
			  _unused_ void *ctx, _unused_ struct err *err)
{
	return 0;
}

static void look_no_segment(_unused_ int slot, _unused_ uint64_t seq, _unused_ void *ctx)
{
}

/* Every sound group that the tables do not have yet, wherever it is. */
static void look_salvage(struct look *l, const struct wal_image *img)
{
	struct wal_group g;

	for (size_t at = WAL_BLOCK; at < img->n; at += WAL_BLOCK) {
		size_t from = at + sizeof(g), end;

		if (!wal_group_parse(img, at, &g) || g.seq <= l->meta.wal_seq)
			continue;
		end = from + g.bytes;
		for (uint32_t i = 0; i < g.count; i++) {
			struct wal_record h;
			struct sv key, value;
			ssize_t n = wal_record_parse(img->p + from, end - from, &h, &key, &value);

			if (n < 0)
				break;
			(void)look_record(&h, key, value, l, NULL);
			from += MIN(((size_t)n + 7) & ~(size_t)7, end - from);
		}
	}
}

static void look_at_log(struct look *l)
{
	struct err why = ERR_INIT;
	uint64_t rev = l->meta.rev;

	wal_init(&l->wal, l->dir, l->meta.store_id);
	if (!l->old && wal_note_open(&l->wal, false, &why) < 0)
		look_err(l, &why);
	/* Without a manifest nobody knows where the log is to go on. */
	if (l->meta.rev && wal_replay(&l->wal, l->meta.wal_seq, &rev, look_no_segment, look_no_record, NULL, &why) < 0)
		look_err(l, &why);
	for (int i = 0; i < WAL_SLOTS; i++) {
		_cleanup_close_ int fd = -1;
		struct wal_image img;

		if (wal_image_load(&l->wal, i, 0, &fd, &img, &why) < 0)
			look_err(l, &why);
		look_salvage(l, &img);
		free((void *)img.p);
		free((char *)img.name);
	}
	wal_release(&l->wal);
}

static void look_block(const struct table *t, size_t block, struct err *why, void *ctx)
{
	struct look *l = ctx;
	struct sv from = table_entry(t, block).first_key, to = table_entry(t, block + 1).first_key;

	look_err(l, why);
	*why = ERR_INIT;
	{
		_cleanup_free_ char *line = xasprintf(
		    "    lost with it: versions of keys from '%.*s' to '%.*s', which now are missing or as they "
		    "were before",
		    SV_ARG(from), SV_ARG(to));

		l->say(line, l->ctx);
	}
}

static void look_release(struct look *l)
{
	for (size_t i = 0; i < l->parts.n; i++) {
		table_unref(l->parts.p[i].t);
		free((char *)l->parts.p[i].from.p);
	}
	vec_release(&l->parts);
	for (size_t i = 0; i < l->recs.n; i++)
		rec_free(l->recs.p[i]);
	vec_release(&l->recs);
}

static int look_open(struct look *l, int *ret_lock, struct err *err)
{
	struct stat st;

	if (stat(l->dir, &st) < 0)
		return err_set_errno(err, errno, "cannot look at '%s'", l->dir);
	*ret_lock = dirlock_take(l->dir, err);
	if (*ret_lock < 0)
		return -1;
	{
		_cleanup_free_ char *path = xasprintf("%s/manifest", l->dir);

		l->old = access(path, F_OK) < 0 && db_old_exists(l->dir);
	}
	if (l->old)
		look_at_old(l);
	else
		look_at_tables(l);
	look_at_log(l);
	return 0;
}

int store_check(const char *dir, store_say_fn *say, void *ctx, struct err *err)
{
	struct look l = { .dir = dir, .say = say, .ctx = ctx };
	_cleanup_close_ int lock = -1;
	struct db_cursor c;
	struct db_set *s;
	int r = look_open(&l, &lock, err);

	if (r < 0)
		return -1;
	s = db_set_make(l.parts.p, l.parts.n);
	r = db_cursor_open_skipping(&c, s, look_block, &l, err);
	if (r == 0) {
		while (r == 0 && db_cursor_at(&c))
			r = db_cursor_next(&c, err);
		db_cursor_release(&c);
	}
	db_set_unref(s);
	look_release(&l);
	return r < 0 ? -1 : l.damages > 0;
}

/* --- repair --- */

/* Of each key the newest version, unless that is a tombstone. */
static int repair_copy(struct look *l, struct store_build *b, struct db_cursor *c, struct err *err)
{
	const struct table_iter *it;
	size_t i = 0;

	if (l->recs.n)
		qsort(l->recs.p, l->recs.n, sizeof(l->recs.p[0]), rec_order);
	while ((it = db_cursor_at(c)) || i < l->recs.n) {
		struct rec *r = i < l->recs.n ? l->recs.p[i] : NULL;
		int cmp = !it ? 1 : !r ? -1 : sv_cmp(it->key, rec_key(r));
		bool from_log = cmp > 0 || (cmp == 0 && r->head.rev >= it->h.rev);
		const struct wal_record *h = from_log ? &r->head : &it->h;
		char key[STORE_KEY_MAX];
		struct sv k = from_log ? rec_key(r) : it->key;

		memcpy(key, k.p, k.n);
		k.p = key;
		if (!(h->flags & WAL_TOMBSTONE) && store_build_add_raw(b, from_log ? (const void *)&r->head : it->raw,
								       sizeof(*h) + h->key_n + h->value_n, err) < 0)
			return -1;
		while ((it = db_cursor_at(c)) && sv_eq(it->key, k))
			if (db_cursor_next(c, err) < 0)
				return -1;
		while (i < l->recs.n && sv_eq(rec_key(l->recs.p[i]), k))
			i++;
	}
	return 0;
}

static int repair_build(struct look *l, struct store_build *b, uint64_t *ret_keys, struct err *err)
{
	struct db_set *s = db_set_make(l->parts.p, l->parts.n);
	struct db_cursor c;
	int r = db_cursor_open_skipping(&c, s, look_block, l, err);

	if (r == 0) {
		r = repair_copy(l, b, &c, err);
		db_cursor_release(&c);
	}
	db_set_unref(s);
	return r == 0 ? store_build_end(b, ret_keys, err) : -1;
}

/* Which cluster the store belongs to goes along. */
static void repair_keep_name(const char *from, const char *to)
{
	_cleanup_free_ char *a = xasprintf("%s/cluster", from), *b = xasprintf("%s/cluster", to);

	(void)!link(a, b);
}

/* At no moment, whatever of it a power cut leaves, is there nothing in dir's place: one call exchanges the two. What is
 * there first under the name for the old is the new. */
static int repair_exchange(const char *dir, const char *fresh, const char *kept, struct err *err)
{
	if (rename(fresh, kept) < 0)
		return err_set_errno(err, errno, "cannot rename '%s' to '%s'", fresh, kept);
	if (table_sync_parent(kept, err) < 0)
		return -1;
	if (renameat2(AT_FDCWD, kept, AT_FDCWD, dir, RENAME_EXCHANGE) < 0) {
		/* Some file systems cannot: then there is a moment. */
		if ((errno != EINVAL && errno != ENOSYS) || rename(kept, fresh) < 0 || rename(dir, kept) < 0 ||
		    rename(fresh, dir) < 0)
			return err_set_errno(err, errno, "cannot exchange '%s' and '%s'", dir, kept);
	}
	return table_sync_parent(dir, err);
}

int store_repair(struct env *env, const char *dir, char **ret_kept, store_say_fn *say, void *ctx, struct err *err)
{
	struct look l = { .dir = dir, .say = say, .ctx = ctx };
	_cleanup_free_ char *fresh = xasprintf("%s.repairing", dir), *kept = NULL;
	_cleanup_(store_build_freep) struct store_build *b = NULL;
	_cleanup_close_ int lock = -1;
	uint64_t keys = 0, rev;
	int r = look_open(&l, &lock, err);

	if (r < 0)
		return -1;
	kept = xasprintf("%s.before-repair-%" PRId64, dir, env_now_ns(env) / NS_PER_SEC);
	rev = MIN(l.top_rev, (uint64_t)INT64_MAX / 2) + (uint64_t)STORE_REV_LEAP;
	b = store_build_new(env, fresh, (int64_t)rev, err);
	if (!b) {
		r = err_wrap(err, "left by an earlier repair? then remove it");
	} else {
		/* The name first: with its last file the store syncs its directory. */
		repair_keep_name(dir, fresh);
		r = repair_build(&l, b, &keys, err);
	}
	if (r == 0)
		r = repair_exchange(dir, fresh, kept, err);
	if (r == 0) {
		_cleanup_free_ char *line =
		    xasprintf("%" PRIu64 " keys are kept; revisions go on after %" PRIu64, keys, rev);

		say(line, ctx);
	}
	look_release(&l);
	if (r == 0)
		*ret_kept = TAKE(kept);
	return r;
}

static void look_silent(_unused_ const char *line, _unused_ void *ctx)
{
}

int64_t store_top_rev(const char *dir, int *ret_lock, struct err *err)
{
	struct look l = { .dir = dir, .say = look_silent };
	struct stat st;
	int64_t rev;

	*ret_lock = -1;
	if (stat(dir, &st) < 0 && errno == ENOENT)
		return 0;
	if (look_open(&l, ret_lock, err) < 0)
		return -1;
	rev = (int64_t)MIN(l.top_rev, (uint64_t)INT64_MAX / 2);
	look_release(&l);
	return rev;
}
