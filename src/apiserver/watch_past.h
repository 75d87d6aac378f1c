/* watch_past.h - watches that start before the ring of recent changes; shared by watch_past.c (the reader's side) and
 * watch_past_read.c (the log's), nobody else. */
#pragma once

#include "apiserver/watchcache-internal.h"
#include "store/store.h"

#define PORTION_CHANGES 1000
#define PORTION_BYTES ((size_t)1024 * 1024) /* one change more may lie above it */

struct past_change {
	char *value, *prev; /* owned; value NULL: deleted, prev NULL: created */
	size_t value_n, prev_n;
	int64_t rev, prev_rev;
};

struct past_portion {
	VEC(struct past_change) changes;
	size_t bytes;
};

struct past_read; /* opaque */

struct wc_past {
	struct wc_watch *watch;
	struct past_read *read; /* who reads it */
	/* Guarded by the watch's lock. */
	struct past_portion got;
	int64_t upto;  /* everything up to it is in this portion or was in one before */
	int64_t again; /* of this revision the client may have a part (wc_is_after()); 0: of none */
	bool complete; /* the portion is full, or nothing is left */
	bool lost;     /* the log has been compacted underneath */
	bool former;   /* lost, as it is of a namespace that had this name before */
	/* The reader's own. */
	bool asked;  /* for a portion that is not delivered */
	bool joined; /* the others: nothing is read any more, but `told` still counts */
	size_t told; /* bytes of the portion that lies in the watch's queue */
};

/* --- watch_past_read.c --- */

void past_drop(struct past_portion *p); /* what is in it */

struct past_read *past_read_new(struct wc_past *p);
/* The next portion behind `since`: into p->got, then the watch is woken. */
void past_read_ask(struct past_read *r, int64_t since);
void past_read_close(struct past_read *r); /* never waits; NULL is fine */
/* The reader has written out a portion of so many bytes. */
void past_read_taken(struct past_read *r, size_t bytes);
/* Is there so much room that the next portion may be read while the last one is written out? */
bool past_read_ahead(struct past_read *r);
