#include "store/lmdb/db.h"

#include "store/store-internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

int db_err(const struct db *d, int rc, struct err *err, const char *what)
{
	if (rc == MDB_MAP_FULL)
		return err_set(err, ERR_UNAVAILABLE, "%s: '%s' has reached its size limit", what, d->path);
	/* Full and failing disks are for later attempts; damage is not. */
	return err_set(err, rc > 0 ? ERR_UNAVAILABLE : ERR_STORE_READ, "%s: '%s': %s", what, d->path, mdb_strerror(rc));
}

static uint64_t db_rev_key(uint64_t rev)
{
	return __builtin_bswap64(rev);
}

static int db_load(struct db *d, uint64_t new_id, struct db_meta *ret, struct err *err)
{
	MDB_val k = { 4, (void *)"meta" }, v;
	MDB_txn *txn;
	int rc = mdb_txn_begin(d->env, NULL, 0, &txn);

	if (rc)
		return db_err(d, rc, err, "cannot open the database");
	rc = mdb_dbi_open(txn, "log", MDB_CREATE, &d->log);
	rc = rc ? rc : mdb_dbi_open(txn, "keys", MDB_CREATE, &d->keys);
	rc = rc ? rc : mdb_dbi_open(txn, "meta", MDB_CREATE, &d->meta);
	rc = rc ? rc : mdb_get(txn, d->meta, &k, &v);
	if (rc == MDB_NOTFOUND) {
		*ret = (struct db_meta){ .format = DB_FORMAT, .store_id = new_id, .rev = STORE_FIRST_REV };
		v = (MDB_val){ sizeof(*ret), ret };
		rc = mdb_put(txn, d->meta, &k, &v, 0);
		rc = rc ? rc : mdb_txn_commit(txn);
		return rc ? db_err(d, rc, err, "cannot make the database") : 0;
	}
	if (!rc && v.mv_size == sizeof(*ret))
		memcpy(ret, v.mv_data, sizeof(*ret));
	mdb_txn_abort(txn);
	if (rc)
		return db_err(d, rc, err, "cannot open the database");
	if (v.mv_size != sizeof(*ret) || ret->format != DB_FORMAT)
		return err_set(err, ERR_STORE_READ, "'%s' has a format this program does not know", d->path);
	/* The handles opened above are private to the aborted transaction: open them again. */
	rc = mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return db_err(d, rc, err, "cannot open the database");
	rc = mdb_dbi_open(txn, "log", 0, &d->log);
	rc = rc ? rc : mdb_dbi_open(txn, "keys", 0, &d->keys);
	rc = rc ? rc : mdb_dbi_open(txn, "meta", 0, &d->meta);
	rc = rc ? rc : mdb_txn_commit(txn);
	return rc ? db_err(d, rc, err, "cannot open the database") : 0;
}

/* LMDB does not tell where its map is, but any value lies in it. */
static void db_find_map(struct db *d)
{
	MDB_val k = { 4, (void *)"meta" }, v;
	char line[512];
	MDB_txn *txn;
	FILE *f = NULL;

	if (mdb_txn_begin(d->env, NULL, MDB_RDONLY, &txn))
		return;
	if (mdb_get(txn, d->meta, &k, &v) == 0)
		f = fopen("/proc/self/maps", "re");
	while (f && !d->map && fgets(line, sizeof(line), f)) {
		uintptr_t from, to, at = (uintptr_t)v.mv_data;

		if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &from, &to) == 2 && at >= from && at < to) {
			d->map = (void *)from;
			d->map_n = to - from;
		}
	}
	if (f)
		fclose(f);
	mdb_txn_abort(txn);
}

void db_trim(const struct db *d)
{
	/* A shared file map: dropping the pages loses nothing. */
	if (d->map)
		(void)madvise(d->map, d->map_n, MADV_DONTNEED);
}

int db_open(struct db *d, const char *dir, size_t map_size, uint64_t new_id, struct db_meta *ret, struct err *err)
{
	int rc;

	*d = (struct db){ .path = xasprintf("%s/data.mdb", dir) };
	rc = mdb_env_create(&d->env);
	rc = rc ? rc : mdb_env_set_maxdbs(d->env, 3);
	/* The readers' pool, the writer's own, and one to spare for mdb_stat(1). */
	rc = rc ? rc : mdb_env_set_maxreaders(d->env, DB_READERS + 2);
	rc = rc ? rc : mdb_env_set_mapsize(d->env, MAX(map_size, (size_t)1 << 20) & ~(size_t)4095);
	rc = rc ? rc : mdb_env_open(d->env, dir, MDB_NOTLS, 0600);
	if (rc)
		return db_err(d, rc, err, "cannot open the database");
	if (db_load(d, new_id, ret, err) < 0)
		return -1;
	db_find_map(d);
	return 0;
}

void db_close(struct db *d)
{
	if (d->env)
		mdb_env_close(d->env);
	free(d->path);
	*d = (struct db){ 0 };
}

int db_get_key(const struct db *d, MDB_txn *txn, struct sv key, struct db_key *ret, struct err *err)
{
	MDB_val k = db_val(key), v;
	int rc = mdb_get(txn, d->keys, &k, &v);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return db_err(d, rc, err, "cannot read a key");
	if (v.mv_size != sizeof(*ret))
		return db_err(d, MDB_CORRUPTED, err, "cannot read a key");
	memcpy(ret, v.mv_data, sizeof(*ret));
	return 1;
}

int db_get_rev(const struct db *d, MDB_txn *txn, uint64_t rev, struct wal_record *ret, struct sv *ret_key,
	       struct sv *ret_value, struct err *err)
{
	uint64_t be = db_rev_key(rev);
	MDB_val k = { sizeof(be), &be }, v;
	int rc = mdb_get(txn, d->log, &k, &v);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc)
		return db_err(d, rc, err, "cannot read a revision");
	if (wal_record_parse(v.mv_data, v.mv_size, ret, ret_key, ret_value) < 0 || ret->rev != rev)
		return err_set(err, ERR_STORE_READ, "'%s' is corrupted: revision %" PRIu64 " fails its checksum",
			       d->path, rev);
	return 1;
}

int db_put_log(const struct db *d, MDB_txn *txn, uint64_t rev, const void *p, size_t n, struct err *err)
{
	uint64_t be = db_rev_key(rev);
	MDB_val k = { sizeof(be), &be }, v = { n, (void *)p };
	int rc = mdb_put(txn, d->log, &k, &v, MDB_APPEND);

	return rc ? db_err(d, rc, err, "cannot apply the log") : 0;
}

int db_put_key(const struct db *d, MDB_txn *txn, struct sv key, const struct db_key *kv, struct err *err)
{
	MDB_val k = db_val(key), v = { sizeof(*kv), (void *)kv };
	int rc = mdb_put(txn, d->keys, &k, &v, 0);

	return rc ? db_err(d, rc, err, "cannot apply the log") : 0;
}

int db_put_meta(const struct db *d, MDB_txn *txn, const struct db_meta *m, struct err *err)
{
	MDB_val k = { 4, (void *)"meta" }, v = { sizeof(*m), (void *)m };
	int rc = mdb_put(txn, d->meta, &k, &v, 0);

	return rc ? db_err(d, rc, err, "cannot apply the log") : 0;
}

static int db_del_log(const struct db *d, MDB_txn *txn, uint64_t rev, struct err *err)
{
	uint64_t be = db_rev_key(rev);
	MDB_val k = { sizeof(be), &be };
	int rc = mdb_del(txn, d->log, &k, NULL);

	return rc && rc != MDB_NOTFOUND ? db_err(d, rc, err, "cannot compact") : 0;
}

int db_compact_one(const struct db *d, MDB_txn *txn, uint64_t rev, struct err *err)
{
	struct wal_record r;
	struct sv key, value;
	struct db_key k;
	int got = db_get_rev(d, txn, rev, &r, &key, &value, err);

	if (got <= 0)
		return got;
	/* Before the deletions below, which may move what key points to. */
	if (r.flags & WAL_TOMBSTONE) {
		got = db_get_key(d, txn, key, &k, err);
		if (got < 0)
			return -1;
		if (got && k.mod_rev == rev) {
			char copy[STORE_KEY_MAX];
			MDB_val kv = { key.n, copy };
			int rc;

			memcpy(copy, key.p, key.n);
			rc = mdb_del(txn, d->keys, &kv, NULL);
			if (rc)
				return db_err(d, rc, err, "cannot compact");
		}
		if (db_del_log(d, txn, rev, err) < 0)
			return -1;
	}
	return r.prev_rev ? db_del_log(d, txn, r.prev_rev, err) : 0;
}

uint64_t db_bytes(const struct db *d)
{
	struct stat st;

	return stat(d->path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}
