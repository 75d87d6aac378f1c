#include "snapshot/restore.h"

#include "base/file.h"
#include "base/version.h"
#include "snapshot/keys.h"
#include "snapshot/restore-internal.h"
#include "store/disk/build.h"
#include "store/disk/dirlock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define REV_PER_SECOND INT64_C(100)	      /* more than a cluster spends for long */
#define SINCE_MAX_S (30 * 24 * INT64_C(3600)) /* a snapshot that is older hardly has clients of its time */

struct restore {
	struct restore_opts o;
	struct arena arena;
	int lock;	 /* against other restores and starts */
	int server_lock; /* against a server, wherever its objects are */
	int db_lock;	 /* against who has the database alone: checks */
	bool made_db;	 /* an empty one, for its lock */
	bool own_stage;	 /* what is in it is this restore's; else an earlier one's that is not finished may need it */
	bool committed;
	int64_t top, rev;
	const char *stage;
	struct store_build *build;
	struct restore_journal j;
};

static void restore_step(struct restore *r, const char *what)
{
	if (r->o.step)
		r->o.step(what, r->o.step_ctx);
}

int64_t restore_rev(int64_t rev, int64_t top, int64_t time_ns, int64_t now_ns)
{
	int64_t from = MIN(MAX(rev, top), INT64_MAX / 4);
	int64_t since_s = time_ns > 0 && now_ns > time_ns ? (now_ns - time_ns) / NS_PER_SEC : 0;

	from += STORE_REV_LEAP + MIN(since_s, SINCE_MAX_S) * REV_PER_SECOND;
	return (from + STORE_REV_LEAP - 1) / STORE_REV_LEAP * STORE_REV_LEAP;
}

static const char *restore_db(struct restore *r)
{
	return arena_printf(&r->arena, "%s/db", r->o.data_dir);
}

/* Of those that stopping the server would not help: said first. */
static int restore_can(struct restore *r, struct err *err)
{
	if (access(restore_db(r), F_OK) < 0 &&
	    access(arena_printf(&r->arena, "%s/pki/ca.crt", r->o.data_dir), F_OK) == 0)
		return err_set(err, ERR_INVALID,
			       "'%s' has keys and no database: its server has its objects in an etcd; restore "
			       "into another directory, which --cluster-init moves into one",
			       r->o.data_dir);
	return 0;
}

/* A server's, which it has wherever its objects are; and the database's own, also where there is none yet, which checks
 * of it take alone. */
static int restore_lock_others(struct restore *r, struct err *err)
{
	const char *db = restore_db(r);

	r->server_lock = dirlock_server(r->o.data_dir, NULL, err);
	if (r->server_lock < 0)
		return err_wrap(err, "stop the server first");
	if (access(db, F_OK) < 0) {
		if (mkdir(db, 0700) < 0)
			return err_set_errno(err, errno, "cannot make '%s'", db);
		r->made_db = true;
	}
	r->top = store_top_rev(db, &r->db_lock, err);
	if (r->top < 0)
		return err_wrap(err, "stop the server first");
	return 0;
}

struct restore *restore_new(const struct restore_opts *o, struct err *err)
{
	_cleanup_(restore_freep) struct restore *r = xcalloc(1, sizeof(*r));

	*r = (struct restore){ .o = *o, .arena = ARENA_INIT, .lock = -1, .server_lock = -1, .db_lock = -1 };
	r->stage = arena_printf(&r->arena, "%s/" RESTORE_STAGE, o->data_dir);
	if (dir_make(o->data_dir, 0700, err) < 0)
		return NULL;
	r->lock = restore_lock(o->data_dir, true, err);
	if (r->lock < 0 || restore_roll_forward(o->data_dir, NULL, NULL, err) < 0 || restore_can(r, err) < 0)
		return NULL;
	r->own_stage = true;
	if (restore_lock_others(r, err) < 0 || tree_remove(r->stage, err) < 0)
		return NULL;
	return TAKE(r);
}

int restore_begin(struct restore *r, int64_t rev, int64_t time_ns, struct err *err)
{
	int64_t now = env_now_ns(r->o.env);

	if (rev <= 0 || rev > INT64_MAX / 4)
		return err_set(err, ERR_INVALID, "%" PRId64 " is no revision of a store", rev);
	r->rev = restore_rev(rev, r->top, time_ns, now);
	r->j = (struct restore_journal){ .time_s = now / NS_PER_SEC };
	restore_step(r, "make the stage");
	if (mkdir(r->stage, 0700) < 0)
		return err_set_errno(err, errno, "cannot make '%s'", r->stage);
	r->build = store_build_new(r->o.env, arena_printf(&r->arena, "%s/db", r->stage), r->rev, err);
	return r->build ? 0 : -1;
}

int restore_add(struct restore *r, const struct store_kv *kv, struct err *err)
{
	/* Which servers live, as their etcd had it: none of them does here. */
	if (sv_starts(kv->key, SV("/registry/masterleases/")))
		return 0;
	/* Keys that servers of one store share, sealed with a token that may be lost: they come from files, and servers
	 * of the restored store put those in anew. */
	if (sv_starts(kv->key, SV("/caravel/keys/")))
		return 0;
	restore_step(r, "add a record");
	return store_build_add(r->build, kv, err);
}

/* The mark of whose clients know the database, as the server writes it. */
static int restore_mark(struct restore *r, struct sv ca, struct err *err)
{
	restore_step(r, "write the mark");
	return file_write(arena_printf(&r->arena, "%s/db/cluster", r->stage), ca, 0600, err);
}

int restore_files(struct restore *r, const struct archive_file *f, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		const char *path = arena_printf(&r->arena, "%s/%.*s", r->stage, SV_ARG(f[i].name));
		char *dir = arena_printf(&r->arena, "%s", path);

		if (!keys_known(f[i].name))
			return err_set(err, ERR_INVALID,
				       "it holds a file '%.*s', which this program does not know: take a newer one",
				       SV_ARG(f[i].name));
		*strrchr(dir, '/') = '\0';
		restore_step(r, "write a key");
		if (dir_make(dir, 0700, err) < 0 || file_write(path, f[i].data, 0600, err) < 0)
			return -1;
		if (!sv_is(f[i].name, "pki/ca.crt"))
			continue;
		if (restore_mark(r, f[i].data, err) < 0)
			return -1;
		r->j.with_files = true;
	}
	return 0;
}

/* What the exchange has to do, by what was staged: with keys, what the old cluster has and the new one has not goes
 * away, too. */
static void restore_plan(struct restore *r)
{
	static const char *const names[] = { "db", "pki", "server", "cidrs", KEYS_ENCRYPTION };

	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		bool staged = access(arena_printf(&r->arena, "%s/%s", r->stage, names[i]), F_OK) == 0;
		bool there = access(arena_printf(&r->arena, "%s/%s", r->o.data_dir, names[i]), F_OK) == 0;

		if (staged || (there && r->j.with_files))
			r->j.e[r->j.n++] = (struct restore_entry){ names[i], staged };
		/* Two in a second. */
		while (access(arena_printf(&r->arena, "%s/%s" RESTORE_KEPT "%" PRId64, r->o.data_dir, names[i],
					   r->j.time_s),
			      F_OK) == 0)
			r->j.time_s++;
	}
}

/* Keys that stay: the new database is theirs. */
static int restore_mark_kept(struct restore *r, struct err *err)
{
	const char *path = arena_printf(&r->arena, "%s/pki/ca.crt", r->o.data_dir);
	struct sv ca;

	if (r->j.with_files || access(path, F_OK) < 0)
		return 0;
	return file_read(&r->arena, path, (size_t)1 << 20, &ca, err) < 0 ? -1 : restore_mark(r, ca, err);
}

int restore_commit(struct restore *r, struct restore_done *ret, struct err *err)
{
	*ret = (struct restore_done){ .rev = r->rev, .with_files = r->j.with_files };
	restore_step(r, "end the database");
	if (restore_mark_kept(r, err) < 0 || store_build_end(r->build, &ret->keys, err) < 0)
		return -1;
	restore_plan(r);
	for (size_t i = 0; i < r->j.n; i++) {
		ret->with_encryption |= r->j.e[i].staged && strcmp(r->j.e[i].name, KEYS_ENCRYPTION) == 0;
		if (r->j.e[i].staged &&
		    restore_sync_dir(arena_printf(&r->arena, "%s/%s", r->stage, r->j.e[i].name), err) < 0)
			return -1;
	}
	restore_step(r, "sync the stage");
	if (restore_sync_dir(r->stage, err) < 0 || restore_sync_dir(r->o.data_dir, err) < 0)
		return -1;
	restore_step(r, "write the journal");
	if (restore_journal_write(&r->arena, r->o.data_dir, &r->j, err) < 0)
		return -1;
	/* From here on it is the new one, whatever happens. */
	r->committed = true;
	if (restore_roll_forward(r->o.data_dir, r->o.step, r->o.step_ctx, err) < 0)
		return err_wrap(err, "the next start goes on with it");
	if (r->made_db) {
		restore_step(r, "remove what had only a lock");
		(void)tree_remove(arena_printf(&r->arena, "%s/db" RESTORE_KEPT "%" PRId64, r->o.data_dir, r->j.time_s),
				  NULL);
	}
	ret->time_s = r->top > 0 ? r->j.time_s : 0;
	return 0;
}

void restore_free(struct restore *r)
{
	if (!r)
		return;
	store_build_free(r->build);
	/* Behind the moment the stage holds what the next start needs, also that of an earlier restore. */
	if (r->own_stage && !r->committed) {
		(void)tree_remove(r->stage, NULL);
		if (r->made_db)
			(void)tree_remove(arena_printf(&r->arena, "%s/db", r->o.data_dir), NULL);
	}
	if (r->db_lock >= 0)
		close(r->db_lock);
	if (r->server_lock >= 0)
		close(r->server_lock);
	if (r->lock >= 0)
		close(r->lock);
	arena_release(&r->arena);
	free(r);
}

/* --- of an archive --- */

/* "v1.37.0": 37; of a text that says none 0. */
static int64_t reader_minor(struct sv version)
{
	struct sv part;
	int64_t minor = 0;

	(void)sv_split(&version, '.', &part);
	if (sv_split(&version, '.', &part))
		(void)sv_to_i64(part, &minor);
	return minor;
}

/* What a newer API has stored may be nothing that this one can read. */
static int reader_head(const struct archive_head *h, void *ctx, struct err *err)
{
	if (reader_minor(h->kubernetes) > reader_minor(SV(KUBERNETES_VERSION)))
		return err_set(err, ERR_INVALID,
			       "it is of Kubernetes %.*s, and this program is " KUBERNETES_VERSION ": take a newer one",
			       SV_ARG(h->kubernetes));
	return restore_begin(ctx, h->rev, h->time_ns, err);
}

static int reader_record(const struct store_kv *kv, void *ctx, struct err *err)
{
	return restore_add(ctx, kv, err);
}

static int reader_files(const struct archive_file *f, size_t n, void *ctx, struct err *err)
{
	return restore_files(ctx, f, n, err);
}

int restore_archive(struct restore *r, archive_get_fn *get, void *ctx, struct sv secret, bool without_keys,
		    struct restore_done *ret, struct err *err)
{
	static const struct archive_cb cb = { reader_head, reader_record, reader_files };
	bool sealed;

	if (archive_read(get, ctx, without_keys ? SV_NULL : secret, &cb, r, NULL, &sealed, err) < 0)
		return -1;
	/* Checksums are made by anybody: it is the seal that says who wrote the records. */
	if (!sealed && !without_keys)
		return err_set(err, ERR_INVALID,
			       "it has no sealed keys, so nothing says that nobody changed it on its way: "
			       "--without-keys takes it all the same, where it comes from a place that is trusted");
	if (sealed && !secret.p && !without_keys)
		return err_set(err, ERR_UNAUTHORIZED,
			       "its keys are sealed with its servers' token: --token takes that, which was in "
			       "DIR/server/token there, and --without-keys does without the keys");
	return restore_commit(r, ret, err);
}
