/* history-internal.h - shared by history.c (marks, what is kept), history_clock.c (the second it is), history_mend.c
 * (what is stored of a clock that had been ahead) and history_search.c (questions), nobody else. */
#pragma once

#include "apiserver/history/history.h"
#include "apiserver/history/marks.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>

struct history {
	struct apiserver *s;
	int64_t kept_s; /* 0: as long as upstream */
	uint64_t bound, look_at;
	int64_t start_ns, run_before_s; /* monotonic; what servers before this one ran */
	_Atomic uint64_t bytes, looked; /* written in all; and when the cut was last made */
	int64_t tick, compact_next;	/* without --history: minutes, and the revision of the next compaction */

	pthread_mutex_t mu; /* everything below */
	pthread_cond_t cond;
	marks m;	   /* the last that was written, and those that were not */
	int64_t written;   /* its revision as written; 0: none was */
	int64_t own_rev;   /* of that write: nothing else happened in it */
	int64_t behind_ns; /* monotonic: since when the clock is far behind the last mark; 0: it is not */
	int64_t mend_s;	   /* what is stored of this second and later ones is of a clock that was ahead; 0: nothing */
	bool working, stopping;
};

#define HISTORY_AHEAD_S 60		    /* so much later than the clock says the last mark may be */
int64_t history_clock_s(struct history *h); /* what the clock says */
/* The second it is for marks. It may cut those that are there. Lock held. */
int64_t history_now_s(struct history *h);
/* What is stored is cut as what is in memory was; before anything is written behind it. Waits for the store. */
int history_mend(struct history *h, struct err *err);

#define FORGET_MAX 100 /* that go with one write: an etcd takes 128 as one, unless it is told otherwise */

/* Stretches to be deleted. */
struct forgotten {
	struct store_write w[FORGET_MAX];
	char keys[FORGET_MAX][MARKS_KEY_MAX];
	size_t n;
};
int history_forget_one(const struct store_kv *kv, void *ctx); /* of a range over them */

/* A stretch that is stored. */
struct found {
	int64_t rev, mod_rev; /* its last mark's; of the value */
	struct stretch s;
};
void found_release(struct found *f);

/* The first whose last revision is in [from, last], the newest, and the last before which() does not hold any more:
 * it holds for the oldest ones. 1: there is one, 0, -1. last: no newer one is looked for. */
typedef bool found_fn(const struct found *f, int64_t x);
int history_first(struct history *h, int64_t from, int64_t last, struct found *ret, struct err *err);
int history_last(struct history *h, int64_t last, struct found *ret, struct err *err);
int history_search(struct history *h, int64_t last, found_fn *which, int64_t x, struct found *ret, struct err *err);
