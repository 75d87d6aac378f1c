/* restore.h - a data directory becomes another cluster's, or the same one's of another time: as a whole or not at all.
 *
 *	restore_new()		the directory is locked: no server runs on it, none can start
 *	restore_begin()		its new database is begun in DIR/restore.new
 *	restore_add() ...	records, in the order of keys
 *	restore_files()		keys and certificates, if there are any
 *	restore_commit()	all is on disk; DIR/restore.journal says what goes where, and that is the moment;
 *				then the exchange, and the journal goes
 *
 * Killed before the moment: the old. Behind it: the new, as whoever opens the directory calls restore_finish() first.
 * What was there is kept as NAME.before-restore-TIME.
 *
 * Revisions go on above those that clients have seen, as far as restore_rev() says. Leases of servers that are gone
 * (/registry/masterleases/) are left out, and so are keys that servers shared in their store (/caravel/keys/): the
 * sealed files have them.
 *
 * Threads: none; blocking.
 */
#pragma once

#include "snapshot/archive.h"

struct restore; /* opaque */

struct restore_opts {
	struct env *env;
	const char *data_dir; /* made when it is not there; borrowed */
	/* Called before each thing that a crash could come in between: for tests. May be NULL. */
	void (*step)(const char *what, void *ctx);
	void *step_ctx;
};

struct restore_done {
	int64_t rev;	/* the store's now */
	uint64_t keys;	/* in it */
	int64_t time_s; /* in the names of what was kept; 0: there was nothing */
	bool with_files, with_encryption;
};

/* What a restore before left undone is done first; where that fails this one does, too, and takes nothing from it.
 * ERR_ALREADY_EXISTS: a server runs on it. ERR_INVALID: its server has its objects in etcd. */
struct restore *restore_new(const struct restore_opts *o, struct err *err);
/* rev: that of what comes; time_ns: when it was read. */
int restore_begin(struct restore *r, int64_t rev, int64_t time_ns, struct err *err);
int restore_add(struct restore *r, const struct store_kv *kv, struct err *err);
int restore_files(struct restore *r, const struct archive_file *f, size_t n, struct err *err);
int restore_commit(struct restore *r, struct restore_done *ret, struct err *err);
void restore_free(struct restore *r); /* NULL is fine; without a commit nothing has changed */
DEFINE_CLEANUP(struct restore *, restore_freep, restore_free)

/* All of an archive. secret: of the token; SV_NULL: without_keys leaves them where they are (ERR_UNAUTHORIZED else).
 * Without keys those of the directory stay, or the next start makes new ones. One that has none is taken with
 * without_keys only (ERR_INVALID): it is the seal that vouches for the records. */
int restore_archive(struct restore *r, archive_get_fn *get, void *ctx, struct sv secret, bool without_keys,
		    struct restore_done *ret, struct err *err);

/* What a restore that was killed left to be done. 1: that was done; 0: nothing; -1: it cannot be, or a restore is under
 * way just now (ERR_ALREADY_EXISTS). */
int restore_finish(const char *data_dir, struct err *err);

/* Where revisions go on: rev of what comes, top of what is replaced. At most some 260,000,000 behind them. */
int64_t restore_rev(int64_t rev, int64_t top, int64_t time_ns, int64_t now_ns);
