/* snapshot-internal.h - the snapshot controller's files: snapshot.c (life, what is watched), snapshot_sync.c (a
 * snapshot), snapshot_claim.c (whose), snapshot_take.c (its content is made), snapshot_delete.c (it goes; its content),
 * snapshot_status.c (what they say), snapshot_place.c (claims that come from one).
 *
 * One run makes at most one write to each object and leaves the rest to the event of that write, so that no run goes
 * on with what it read before. */
#pragma once

#include "client/workq.h"
#include "controllers/controllers-internal.h"
#include "controllers/status.h"
#include "volsnap/watch.h"

#include <stdatomic.h>

/* Snapshots by the claim they are to be taken of; claims by the snapshot they are to be filled from. */
#define SNAPSHOTS_BY_CLAIM "snapshots of a claim"
#define CLAIMS_BY_SNAPSHOT "claims of a snapshot"

struct snapshots {
	struct controller_ctx *ctx;
	struct workq *q;
	struct volsnap_watch *watch;
	struct informer *claims, *volumes, *storage_classes; /* shared with others */
	bool kinds_made;				     /* of the first key's runs */
	atomic_bool wanted;				     /* there is a snapshot */
	atomic_bool class_made;
};

static inline struct informer *snapshots_known(struct snapshots *c, enum volsnap_kind kind)
{
	return volsnap_informer(c->watch, kind);
}

/* --- snapshot_sync.c --- */
int snapshot_sync(struct snapshots *c, struct obj *snapshot, struct err *err);

/* --- snapshot_claim.c --- */
/* The claim it is taken of, a new reference; NULL: there is none, or it is of no claim. */
struct obj *snapshot_claim(struct snapshots *c, const struct obj *snapshot);
/* Takes the claim's finalizer away when no snapshot of it is being taken, *but* not counted. */
int snapshot_release_claim(struct snapshots *c, const struct obj *snapshot, bool but, struct err *err);
/* Gives it the finalizer. */
int snapshot_hold_claim(struct snapshots *c, struct obj *claim, const struct obj *snapshot, struct err *err);
/* What another's write did to ours, in the words by which upstream knows that it may try again. */
#define UPDATE_FAILED "snapshot controller failed to update %.*s on API server: %s"

/* --- snapshot_place.c --- */
/* A claim that is to be filled from a snapshot of local-path: told which node has that. */
int snapshot_place(struct snapshots *c, struct sv ns, struct sv name, struct err *err);

/* --- snapshot_take.c --- */
/* Names the default class where none is named: 1, the event of that goes on; 0: there was one. -1: said in its status.
 */
int snapshot_choose_class(struct snapshots *c, struct obj *snapshot, struct err *err);
int snapshot_take(struct snapshots *c, struct obj *snapshot, struct err *err);

/* --- snapshot_delete.c --- */
int snapshot_go(struct snapshots *c, struct obj *snapshot, struct err *err);
int snapshot_content_sync(struct snapshots *c, struct obj *content, struct err *err);

/* --- snapshot_status.c --- */
/* Says what is wrong, in status and event, unless it says that already. not_ready: it cannot be used. */
int snapshot_fail(struct snapshots *c, struct obj *snapshot, bool not_ready, const char *reason, struct err *err,
		  const char *fmt, ...) _printf_(6, 7);
/* What its content says is said of it, too. */
int snapshot_follow(struct snapshots *c, struct obj *snapshot, const struct obj *content, struct err *err);
void snapshot_event(struct snapshots *c, const struct obj *snapshot, const char *type, const char *reason,
		    const char *fmt, ...) _printf_(5, 6);
/* Writes it; gone, or changed meanwhile, is fine: that is news, which brings us back. */
int snapshot_write(struct snapshots *c, enum volsnap_kind kind, const struct val *doc, struct err *err);
