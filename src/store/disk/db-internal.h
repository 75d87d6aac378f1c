/* db-internal.h - shared by db.c, db_set.c, db_merge.c, manifest.c and db_old.c, nobody else. */
#pragma once

#include "store/disk/damage.h"
#include "store/disk/db.h"

#define DB_TABLES_MAX 4096

typedef VEC(struct db_part) db_parts; /* borrowed tables and keys */

/* A set of its own, with references. */
struct db_set *db_set_make(const struct db_part *p, size_t n);
uint64_t db_part_bytes(const struct db_part *p); /* of what counts */

/* What a manifest says of a table. */
struct manifest_line {
	uint64_t number, age;
	uint32_t head_crc;
	struct sv from; /* view into the buffer it was read to */
};
typedef VEC(struct manifest_line) manifest_lines;
/* Reads a manifest and opens nothing. 1: read; 0: there is none; -1. */
int manifest_parse(const char *path, struct buf *b, struct db_meta *ret_meta, manifest_lines *ret, struct err *err);
/* 1: read, *ret has its tables open; 0: there is none; -1. */
int manifest_read(const char *path, const char *dir, struct db_meta *ret_meta, struct db_set **ret, struct err *err);
/* *ret_named: it may be on disk although this fails, so its files must stay. */
int manifest_write(const char *path, const char *dir, const struct db_meta *meta, const struct db_set *s,
		   bool *ret_named, struct err *err);

/* Makes the manifest that names parts durable. fresh: the one among them that is new, or NULL; its file goes when that
 * failed for certain. */
int db_commit(struct db *d, db_parts *parts, const struct table *fresh, struct db_meta *meta, struct db_set **ret_set,
	      struct err *err);

/* --- the format before tables --- */

/* Is there a database of format 1 in dir? */
bool db_old_exists(const char *dir);
/* Reads its meta row; calls fn for each version, by revision. skip (may be NULL): what to do about damage
 * instead of failing. */
struct db_old_meta {
	uint64_t format, store_id, rev, wal_seq, compact_rev, compact_done, live;
};
typedef void db_old_damage_fn(struct err *why, void *ctx);
int db_old_read(const char *dir, struct db_old_meta *ret, wal_record_fn *fn, db_old_damage_fn *skip, void *ctx,
		struct err *err);
void db_old_remove(const char *dir);
/* Makes tables and a manifest of the database of format 1 in d->dir. */
int db_convert(struct db *d, db_first_fn *first, void *ctx, struct db_meta *ret, struct err *err);
