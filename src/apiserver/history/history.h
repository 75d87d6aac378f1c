/* history.h - how long the past is kept, and which revision was at which time.
 *
 *	the watch cache's feed ──history_changed, history_progress──▶ marks in memory ──▶ /caravel/history/REVISION
 *	each minute: marks are written, and what is too old or too much is compacted away
 *
 * A mark says: in this second of the wall clock the last revision was that. So at the beginning of a second t the store
 * was at the revision of the newest mark before t: all that was answered before t is in it, nothing that was begun in t
 * or later. Seconds of marks never fall, whatever the clock does. The first mark of a server says that it did not see
 * when the revisions since the mark before it came (`gap`), but of the time that this was known for.
 *
 * How long: `history_ns` of time in which a server ran (not of the wall clock, which may jump), and no more than
 * `history_bytes` written since: keys, values and what a store has of each record besides, deletions too. 0: five
 * minutes, as upstream; then marks are in memory only, and nothing is written.
 *
 * The design: docs/design/2026-11-30-time-travel.md.
 *
 * Threads: history_changed() and history_progress() are called by the store's callbacks, one at a time, and neither
 * block nor call the store. All else from anywhere where a range may be read.
 */
#pragma once

#include "base/base.h"
#include "base/err.h"

struct apiserver;
struct buf;
struct history;

#define HISTORY_MIN_NS (10 * 60 * NS_PER_SEC) /* a shorter --history is refused: less than this is kept anyway */
#define HISTORY_BYTES_DEFAULT (UINT64_C(1) << 30)
#define HISTORY_BYTES_MIN (UINT64_C(16) << 20)

struct history *history_new(struct apiserver *s); /* by s->o.history_ns and history_bytes */
/* The watch cache is about to follow the store from rev on. */
int history_begin(struct history *h, int64_t rev, struct err *err);
/* A record was written, of key and value of so many bytes; a deletion has no value. */
void history_changed(struct history *h, size_t key, size_t value);
void history_progress(struct history *h, int64_t rev); /* rev is there as a whole */
/* A minute's work. A task: it waits for its writes. */
void history_tick(struct history *h);
/* What is still in memory is written. No tick may be under way, nothing is posted any more. */
void history_stop(struct history *h);
struct history *history_free(struct history *h); /* NULL is fine; returns NULL */

/* The revision at the beginning of the second sec; in *ret_doubt, else 0, the revision that it may have been as well,
 * as nobody saw when those up to it came. ERR_BAD_REQUEST: it is in the future, ERR_EXPIRED: it is before what is known
 * or kept. */
int history_rev_at(struct history *h, int64_t sec, int64_t *ret_rev, int64_t *ret_doubt, struct err *err);
/* ERR_EXPIRED, with words that say how far back it reaches. what: that is asked for. Returns -1. */
int history_expired(struct history *h, struct sv what, struct err *err);
void history_metrics(struct history *h, struct buf *b);
