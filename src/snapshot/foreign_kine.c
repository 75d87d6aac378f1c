/* k3s' SQLite: kine's table has a row for each version, whose id is the revision; the newest of a name that does not
 * say `deleted` is what there is. */
#include "base/lazylib.h"
#include "snapshot/foreign.h"

#include <sqlite3.h>

static typeof(sqlite3_open_v2) *sym_open;
static typeof(sqlite3_close) *sym_close;
static typeof(sqlite3_errmsg) *sym_errmsg;
static typeof(sqlite3_busy_timeout) *sym_busy_timeout;
static typeof(sqlite3_prepare_v2) *sym_prepare;
static typeof(sqlite3_step) *sym_step;
static typeof(sqlite3_finalize) *sym_finalize;
static typeof(sqlite3_exec) *sym_exec;
static typeof(sqlite3_limit) *sym_limit;
static typeof(sqlite3_column_int64) *sym_int64;
static typeof(sqlite3_column_blob) *sym_blob;
static typeof(sqlite3_column_bytes) *sym_bytes;
static const struct lazylib_sym sqlite_syms[] = {
	{ "sqlite3_open_v2", &sym_open },	{ "sqlite3_close", &sym_close },
	{ "sqlite3_errmsg", &sym_errmsg },	{ "sqlite3_busy_timeout", &sym_busy_timeout },
	{ "sqlite3_prepare_v2", &sym_prepare }, { "sqlite3_step", &sym_step },
	{ "sqlite3_finalize", &sym_finalize },	{ "sqlite3_exec", &sym_exec },
	{ "sqlite3_limit", &sym_limit },	{ "sqlite3_column_int64", &sym_int64 },
	{ "sqlite3_column_blob", &sym_blob },	{ "sqlite3_column_bytes", &sym_bytes },
};
static struct lazylib sqlite_lib = LAZYLIB("libsqlite3.so.0", sqlite_syms);

#define BUSY_MS 5000
#define VALUE_LIMIT (64 << 20) /* of a cell, before it is passed over */

static int kine_failed(sqlite3 *db, struct err *err)
{
	return err_set(err, ERR_INVALID, "SQLite says: %s", sym_errmsg(db));
}

static int kine_rev(sqlite3 *db, int64_t *ret, struct err *err)
{
	sqlite3_stmt *q = NULL;
	int r = 0;

	if (sym_prepare(db, "SELECT MAX(id) FROM kine", -1, &q, NULL) != SQLITE_OK || sym_step(q) != SQLITE_ROW)
		r = kine_failed(db, err);
	else
		*ret = sym_int64(q, 0);
	sym_finalize(q);
	if (r == 0 && (*ret <= 0 || *ret > INT64_MAX / 4))
		r = err_set(err, ERR_INVALID, "its table 'kine' has no revisions");
	return r;
}

static struct sv kine_cell(sqlite3_stmt *q, int i)
{
	const void *p = sym_blob(q, i);
	int n = sym_bytes(q, i);

	return p && n > 0 ? sv_make(p, (size_t)n) : SV("");
}

static int kine_rows(sqlite3 *db, struct sv prefix, const struct foreign_cb *cb, void *ctx, struct foreign_found *ret,
		     struct err *err)
{
	/* By the bytes of names, whatever type they have. */
	static const char sql[] =
	    "SELECT CAST(name AS BLOB), id, CASE WHEN created THEN id ELSE create_revision END, value"
	    " FROM kine WHERE id IN (SELECT MAX(id) FROM kine GROUP BY name) AND NOT deleted"
	    " ORDER BY CAST(name AS BLOB)";
	_cleanup_(arena_release) struct arena a = ARENA_INIT;
	sqlite3_stmt *q = NULL;
	struct sv ours;
	int r = 0, s;

	if (sym_prepare(db, sql, -1, &q, NULL) != SQLITE_OK)
		return kine_failed(db, err);
	while (r == 0 && (s = sym_step(q)) == SQLITE_ROW) {
		struct store_kv kv = { .key = kine_cell(q, 0),
				       .value = kine_cell(q, 3),
				       .mod_rev = sym_int64(q, 1),
				       .create_rev = sym_int64(q, 2) };

		if (kv.create_rev <= 0 || kv.create_rev > kv.mod_rev)
			kv.create_rev = kv.mod_rev;
		arena_reset(&a);
		ours = foreign_key(&a, kv.key, prefix);
		if (!ours.p) {
			foreign_pass(kv.key, ret);
			continue;
		}
		kv.key = ours;
		if (foreign_wanted(&kv, ret))
			r = cb->record(&kv, ctx, err);
	}
	if (r == 0 && s != SQLITE_DONE)
		r = kine_failed(db, err);
	sym_finalize(q);
	return r;
}

int foreign_kine(const char *path, struct sv prefix, const struct foreign_cb *cb, void *ctx, struct foreign_found *ret,
		 struct err *err)
{
	sqlite3 *db = NULL;
	int r;

	*ret = (struct foreign_found){ 0 };
	if (lazylib_need(&sqlite_lib, err) < 0)
		return err_wrap(err, "a database of k3s needs Debian's libsqlite3-0");
	r = sym_open(path, &db, SQLITE_OPEN_READONLY, NULL) == SQLITE_OK ? 0 : kine_failed(db, err);
	if (r == 0) {
		(void)sym_busy_timeout(db, BUSY_MS);
		(void)sym_limit(db, SQLITE_LIMIT_LENGTH, VALUE_LIMIT);
		/* One moment for both questions, also of one that a k3s still writes. */
		if (sym_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK)
			r = kine_failed(db, err);
	}
	if (r == 0)
		r = kine_rev(db, &ret->rev, err);
	if (r == 0)
		r = cb->begin(ret->rev, ctx, err);
	if (r == 0)
		r = kine_rows(db, prefix, cb, ctx, ret, err);
	(void)sym_close(db);
	return r;
}
